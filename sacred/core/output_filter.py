"""Filters for captured output."""

from __future__ import annotations

__all__ = ["apply_backspaces_and_linefeeds"]


def apply_backspaces_and_linefeeds(text: str) -> str:
    """Return the text as a terminal would leave it: backspaces and carriage returns carried out.

    A carriage return takes what follows to the beginning of its line, where it overwrites what it
    covers; a backspace takes it one place back. Made for ``captured_out_filter``, to keep only the
    last state of a progress bar.

    Parameters
    ----------
    text
        What was captured. A carriage return at the very end of it is kept, because what follows is
        not known yet.
    """
    lines = text.split("\n")
    last = len(lines) - 1
    return "\n".join(_settle(line, index == last) for index, line in enumerate(lines))


def _settle(line: str, is_last: bool) -> str:
    if "\r" not in line and "\b" not in line:
        return line
    ending = "\r" if is_last and line.endswith("\r") else ""
    cells: list[str] = []
    at = 0
    for letter in line:
        if letter == "\r":
            at = 0
        elif letter == "\b":
            at = max(at - 1, 0)
        else:
            cells[at : at + 1] = [letter]
            at += 1
    return "".join(cells) + ending
