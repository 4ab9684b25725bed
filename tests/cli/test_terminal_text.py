"""Texts on a terminal."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.cli import terminal


def test_lines_are_broken_at_spaces(monkeypatch):
    """A line goes on below, indented; a word that has no room stays whole, to be copied."""
    monkeypatch.setattr(terminal, "is_terminal", lambda *_: True)
    assert ["  key  one", "       two"] == terminal.wrapped("  key  one two", " " * 7, 12)
    assert ["  folder  /a/long/path/of/a/run"] == terminal.wrapped(
        "  folder  /a/long/path/of/a/run", " " * 10, 20
    )
    assert ["  git://x  1234567890", "    (changed)"] == terminal.wrapped(
        "  git://x  1234567890 (changed)", " " * 4, 24
    )
    monkeypatch.setattr(terminal, "is_terminal", lambda *_: False)
    assert ["a b"] == terminal.wrapped("a b", "", 1)


@given(st.text("ab \u4e2d", max_size=80), st.integers(0, 12), st.integers(1, 40))
def test_nothing_is_lost(text, indent, width):
    """However narrow it is, all words are there in their order."""
    before = terminal.is_terminal
    terminal.is_terminal = lambda *_: True
    try:
        lines = terminal.wrapped(text, " " * indent, width)
    finally:
        terminal.is_terminal = before
    assert text.split() == " ".join(lines).split()


@given(
    st.lists(st.lists(st.text(max_size=30), min_size=3, max_size=3), min_size=1, max_size=5),
    st.integers(30, 100),
)
def test_tables_fit(rows, width):
    """Where flexible columns can make room, no line is wider than the terminal."""
    table = terminal.Table(("A", "B", "C"), flexible=("A", "B", "C"))
    for row in rows:
        table.add(*row)
    lines = table.lines(aligned=True, width=width)
    assert len(rows) + 1 == len(lines)
    assert max(map(terminal.width_of, lines)) <= width


def test_what_is_left_out_before_a_name_is_cut():
    """Optional columns go before a column is made narrower than what it likes to have."""
    table = terminal.Table(("NAME", "MORE"), flexible={"NAME": 20}, optional=("MORE",))
    table.add("a name of 20 letters", "more")
    assert ["NAME", "a name of 20 letters"] == table.lines(aligned=True, width=22)
    assert "more" in table.lines(aligned=True, width=26)[1]
    assert table.lines(aligned=True, width=10)[1] in {"a name of…", "a name of~"}


def test_an_interrupt_waits_until_something_is_drawn():
    """Ctrl-C in the middle of it counts at its end, also where one lies in another."""
    drawn = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), terminal.undisturbed():
        with terminal.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            drawn.append("one")
        drawn.append("all")
    assert ["one", "all"] == drawn
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    thread = threading.Thread(
        target=lambda: terminal.undisturbed().__enter__() or drawn.append("t")
    )
    thread.start()
    thread.join()
    assert "t" == drawn[-1]
