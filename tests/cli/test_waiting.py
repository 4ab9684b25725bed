"""Lines that tell that something takes a while."""

from __future__ import annotations

import io
import sys
import threading
from types import SimpleNamespace

from sacred.cli import terminal
from sacred.cli.waiting import Waiting


class Terminal(io.StringIO):
    """A stderr that is a terminal, and wakes whoever waits for what is written."""

    encoding = "utf-8"

    def __init__(self):
        super().__init__()
        self.drawn_often = threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        super().write(text)
        if self.getvalue().count("\r") >= 3:
            self.drawn_often.set()


def on_stderr(monkeypatch):
    """Put a terminal in the place of stderr, in the test itself: pytest sets it anew for each."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    return stream


def test_what_takes_a_while(monkeypatch):
    """From a second on it is told what is done and since when, and taken away at the end."""
    shown = on_stderr(monkeypatch)
    monkeypatch.setattr("sacred.cli.waiting._AFTER", 0.0)
    monkeypatch.setattr("sacred.cli.waiting._PAUSE", 0.001)
    with Waiting("reading\x1b[2J"):
        assert shown.drawn_often.wait(60)
    text = shown.getvalue()
    assert text.startswith("\r\x1b[K⠋ reading\\x1b[2J  0.0s\r\x1b[K⠙ reading")
    assert text.endswith("\r\x1b[K")


def test_what_is_over_soon(monkeypatch):
    """Nothing is shown of what takes less than a second."""
    shown = on_stderr(monkeypatch)
    with Waiting("reading"):
        pass
    assert "" == shown.getvalue()


def test_no_terminal(capsys):
    """Nothing is shown, and no thread is started, where stderr is none."""
    with Waiting("reading") as waiting:
        assert waiting._thread is None
    assert "" == capsys.readouterr().err


def test_a_bar(monkeypatch):
    """How many of how many, which, and how long the rest will take; at most 20 times a second."""
    shown = on_stderr(monkeypatch)
    now = iter([0.0, 1.0, 1.01, 5.0, 6.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(now)))
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


def test_a_bar_of_what_may_be_quick(monkeypatch):
    """``after``: nothing is drawn in the first seconds."""
    shown = on_stderr(monkeypatch)
    now = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(now)))
    bar = terminal.Progress(after=1.0)
    bar.draw(1, 4, "run 1")
    assert "" == shown.getvalue()
    bar.draw(2, 4, "run 2")
    assert "2/4" in shown.getvalue()
