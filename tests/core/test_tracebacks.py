"""Stack traces without the framework's own frames."""

from __future__ import annotations

import pytest

from sacred.core.config.captured_function import create_captured_function
from sacred.core.dotted import get_by_dotted_path
from sacred.core.errors import MissingConfigError, SacredError
from sacred.core.tracebacks import (
    format_filtered_stacktrace,
    format_sacred_error,
    print_filtered_stacktrace,
)

HEADER = "Traceback (most recent calls WITHOUT Sacred internals):\n"


@create_captured_function
def fails():
    raise KeyError("inner")


def formatted(function, word="default"):
    """What is printed of the exception that a function raises."""
    try:
        function()
    except Exception:
        return format_filtered_stacktrace(word)


def test_frames_of_the_framework_are_left_out():
    """RUN-11: the user's frames stay, the wrapper's go."""
    text = formatted(fails)
    assert text.startswith(HEADER)
    assert text.endswith("KeyError: 'inner'\n")
    assert ", in fails" in text
    assert "captured_function.py" not in text


def test_never_is_what_python_prints():
    """RUN-11: with "never" the wrapper's frame is there."""
    text = formatted(fails, "never")
    assert text.startswith("Traceback (most recent call last):\n")
    assert "/captured_function.py" in text


def test_an_error_from_within():
    """RUN-11: "default" shows the last frame only and says where it is."""
    text = formatted(lambda: get_by_dotted_path(3, "a"))
    head, _, rest = text.partition("\n")
    assert head == "Exception originated from within Sacred."
    assert rest.startswith("Traceback (most recent calls):\n")
    assert rest.count("File ") == 1
    assert not text.endswith("\n")
    assert formatted(lambda: get_by_dotted_path(3, "a"), "always").startswith(HEADER)


def test_causes_are_filtered_too():
    """RUN-11: the exceptions behind one are shown the same way."""

    def chained():
        try:
            fails()
        except KeyError as error:
            raise ValueError("outer") from error

    text = formatted(chained)
    assert text.count(HEADER) == 2
    assert "captured_function.py" not in text
    assert "direct cause" in text


def test_a_cause_that_was_never_raised():
    """RUN-11: an exception without a stack as the cause is shown, where Sacred fails."""

    def chained():
        raise ValueError("outer") from KeyError("bare")

    assert "KeyError: 'bare'" in formatted(chained)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MissingConfigError("m", ["a"]), "USAGE\nsacred.utils.MissingConfigError: m ['a']\n"),
        (SacredError("m", print_traceback=False), "sacred.utils.SacredError: m\n"),
    ],
)
def test_an_error_prints_what_it_asks_for(error, expected):
    """RUN-11: usage and stack only where the error wants them."""
    assert expected == format_sacred_error(error, "USAGE")


def test_an_error_with_its_stack():
    """RUN-11: with print_traceback the filtered stack stands there."""
    try:
        raise SacredError("m", print_usage=True)
    except SacredError as error:
        text = format_sacred_error(error, "USAGE")
    assert text.startswith("USAGE\n" + HEADER)
    assert text.endswith("sacred.utils.SacredError: m\n")


def test_printing_goes_to_stderr(capsys):
    """PKG-03 (sacred.utils): print_filtered_stacktrace."""
    try:
        fails()
    except KeyError:
        print_filtered_stacktrace()
    out, err = capsys.readouterr()
    assert ("", HEADER) == (out, err[: len(HEADER)])
