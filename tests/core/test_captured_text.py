"""The output as text, and what a filter makes of it."""

from __future__ import annotations

import pytest

from sacred.core import captured_text
from sacred.core.captured_text import CapturedText, FilteredText
from sacred.core.output_filter import apply_backspaces_and_linefeeds


def _filtered(complaints: list[str] | None = None) -> tuple[CapturedText, FilteredText]:
    source = CapturedText()
    return source, FilteredText(source, [].append if complaints is None else complaints.append)


def test_a_character_in_pieces() -> None:
    """OUT-04: both streams in order, a character that came in two pieces whole, garbage replaced."""
    source = CapturedText()
    source.add(1, "ä".encode()[:1])
    source.add(2, b"error\n")
    source.add(1, "ä".encode()[1:] + b"\xff\n")
    assert ("error\nä\ufffd\n", 9) == (source.text, source.length)


def test_a_filter_is_not_called_for_nothing() -> None:
    """OUT-06: as long as nothing is printed, the filter is not asked again."""
    source, filtered = _filtered()
    calls: list[int] = []

    def count(text: str) -> str:
        calls.append(len(text))
        return text.upper()

    source.add(1, b"abc")
    assert ["ABC"] * 3 == [filtered.text(count) for _ in range(3)]
    source.add(1, b"d")
    assert "ABCD" == filtered.text(count, exact=False)
    assert [3, 4] == calls


def test_what_a_filter_works_through_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """OUT-06: of n characters in many pieces the filter sees 25 n, not half of n squared; the last look is exact."""
    monkeypatch.setattr(captured_text, "_SMALL", 1000)
    source, filtered = _filtered()
    seen = 0

    def count(text: str) -> str:
        nonlocal seen
        seen += len(text)
        return text.upper()

    for _ in range(5000):
        source.add(1, b"0123456789")
        filtered.text(count, exact=False)
    whole = filtered.text(count)
    assert whole == source.text
    # Up to 1000 characters it is asked each time: 50 thousand; in all there are 50 thousand.
    assert seen < 25 * 50_000
    assert len(whole) < seen


def test_another_filter_is_asked_anew() -> None:
    """A filter that is replaced while the run goes on counts from there."""
    source, filtered = _filtered()
    source.add(1, b"abc")
    assert ("ABC", "cba") == (filtered.text(str.upper), filtered.text(lambda text: text[::-1]))


@pytest.mark.parametrize(
    ("broken", "problem"),
    [(lambda text: 1 / 0, "raised ZeroDivisionError"), (lambda text: None, "returned NoneType")],
)
def test_a_filter_that_fails(broken: object, problem: str) -> None:
    """It is told once, and the output is shown as it is."""
    complaints: list[str] = []
    source, filtered = _filtered(complaints)
    source.add(1, b"abc")
    assert "abc" == filtered.text(broken)  # type: ignore[arg-type]
    source.add(1, b"d")
    assert "abcd" == filtered.text(broken)  # type: ignore[arg-type]
    assert 1 == len(complaints)
    assert complaints[0].startswith(f"captured_out_filter {problem}")


def test_a_progress_bar() -> None:
    """OUT-06: carriage returns and backspaces, in pieces, are carried out over the whole text."""
    source, filtered = _filtered()
    for percent in range(101):
        source.add(1, f"\r{percent:3}%".encode())
        filtered.text(apply_backspaces_and_linefeeds, exact=False)
    source.add(1, b"\nab\bc\n")
    assert "100%\nac\n" == filtered.text(apply_backspaces_and_linefeeds)


def test_many_small_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """OUT-07: what is not decoded at once stands in its order, however much there is of it."""
    monkeypatch.setattr(captured_text, "_MOST_RAW", 7)
    source = CapturedText()
    pieces = [(1 + number // 3 % 2, f"{number}ö ".encode()) for number in range(100)]
    for stream, data in pieces:
        for byte in data:
            source.add(stream, bytes([byte]))
    expected = "".join(f"{number}ö " for number in range(100))
    assert (expected, len(expected)) == (source.text, source.length)
    assert len(source._raw) < 7
