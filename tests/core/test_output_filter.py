"""OUT-06: the filter for progress bars."""

from __future__ import annotations

import pytest

from sacred.core.output_filter import apply_backspaces_and_linefeeds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain\ntext\n", "plain\ntext\n"),
        ("abc\rX", "Xbc"),
        ("abc\r", "abc\r"),
        ("abc\r\ndef", "abc\ndef"),
        ("ab\b\bX", "Xb"),
        ("ab\bX\b", "aX"),
        ("\b\bx", "x"),
        ("abc\rX\r", "Xbc\r"),
        ("a\b", "a"),
        ("abc\b\b\n", "abc\n"),
        ("abc\rX\bY", "Ybc"),
        ("\r\r", "\r"),
        ("abc\r\r\nq", "abc\nq"),
        ("a\r\nb\r\nc", "a\nb\nc"),
        ("abc\rxy\b\bz", "zyc"),
        ("abc\n\rX", "abc\nX"),
        ("one\rtwo\r\rthree\r", "three\r"),
        ("xyz\b\b\r", "xyz\r"),
        ("\b", ""),
        ("ab\b\r", "ab\r"),
    ],
)
def test_lines_are_settled_as_on_a_terminal(text, expected):
    """OUT-06: backspaces and carriage returns act in their line; a last one is kept."""
    assert expected == apply_backspaces_and_linefeeds(text)
