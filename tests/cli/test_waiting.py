"""Lines that tell that something takes a while."""

from __future__ import annotations

import io
import sys

import pytest

from sacred import terminal
from sacred.waiting import Waiting


class Terminal(io.StringIO):
    """A stderr that is a terminal, and wakes whoever waits for what is written."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a terminal gets on stderr."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    return stream


def test_what_takes_a_while(shown, monkeypatch):
    """From a second on it is told what is done and since when, and taken away at the end."""
    monkeypatch.setattr("sacred.waiting._AFTER", 0.0)
    monkeypatch.setattr("sacred.waiting._PAUSE", 0.001)
    with Waiting("reading\x1b[2J"):
        while shown.getvalue().count("\r") < 3:
            pass
    text = shown.getvalue()
    assert text.startswith("\r\x1b[K⠋ reading\\x1b[2J  0.0s\r\x1b[K⠙ reading")
    assert text.endswith("\r\x1b[K")


def test_what_is_over_soon(shown):
    """Nothing is shown of what takes less than a second."""
    with Waiting("reading"):
        pass
    assert "" == shown.getvalue()


def test_no_terminal(capsys):
    """Nothing is shown, and no thread is started, where stderr is none."""
    with Waiting("reading") as waiting:
        assert waiting._thread is None
    assert "" == capsys.readouterr().err


def test_a_bar(shown, monkeypatch):
    """How many of how many, which, and how long the rest will take; at most 20 times a second."""
    now = iter([0.0, 1.0, 1.01, 5.0, 6.0])
    monkeypatch.setattr("sacred.terminal.time.monotonic", lambda: next(now))
    bar = terminal.Progress()
    for done in range(3):
        bar.draw(done, 4, f"run {done}")
    bar.draw(4, 4, "run 4")
    bar.close()
    bar.close()
    assert [
        "",
        "░" * 24 + " 0/4  run 0",
        "█" * 12 + "░" * 12 + " 2/4  5.0s left  run 2",
        "█" * 24 + " 4/4  run 4",
        "",
    ] == shown.getvalue().split("\r\x1b[K")


def test_a_bar_of_what_may_be_quick(shown, monkeypatch):
    """``after``: nothing is drawn in the first seconds."""
    now = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr("sacred.terminal.time.monotonic", lambda: next(now))
    bar = terminal.Progress(after=1.0)
    bar.draw(1, 4, "run 1")
    assert "" == shown.getvalue()
    bar.draw(2, 4, "run 2")
    assert "2/4" in shown.getvalue()
