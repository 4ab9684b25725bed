"""A listing that is drawn anew as runs go on: ``--watch``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import click

from sacred.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sacred.cli.live_screen import LiveScreen

__all__ = ["Picture", "counts_text", "watch"]

#: It is drawn so often (s), and takes so much of the time at most: ten thousand runs on a slow disk.
_PAUSE, _SHARE = 1.0, 0.2


class Picture(NamedTuple):
    """A table at one moment.

    Attributes
    ----------
    summary
        What it is, in some words.
    head
        The lines that stay at the top.
    rows
        Those below.
    first
        Whether the first rows count where not all have room; the last do else.
    """

    summary: str
    head: list[str]
    rows: list[str]
    first: bool = False


def counts_text(counts: Mapping[str, int]) -> str:
    """Return how many runs there are of each status: ``3 RUNNING, 12 COMPLETED``."""
    running = sorted(counts, key=lambda status: (status != "RUNNING", status))
    return ", ".join(f"{counts[status]:,} {status}" for status in running)


def watch(place: str, picture: Callable[[], Picture]) -> int:
    """Draw a picture every second until somebody has seen enough.

    Parameters
    ----------
    place
        What the root is called in the line at the top, or the roots.
    picture
        Reads and returns it.

    Raises
    ------
    click.UsageError
        There is no terminal.
    """
    from sacred.cli.live_screen import LiveScreen

    if not terminal.is_terminal():
        raise click.UsageError("--watch draws on a terminal, and stdout is none")
    try:
        with LiveScreen() as screen:
            while True:
                began = time.monotonic()
                seen = picture()
                taken = time.monotonic() - began
                _draw(screen, place, seen)
                if not screen.wait(max(_PAUSE, taken / _SHARE)):
                    break
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _draw(screen: LiveScreen, place: str, seen: Picture) -> None:
    now = time.strftime("%H:%M:%S")
    width = terminal.columns()
    room = screen.height - 1 - len(seen.head)
    rows, left = seen.rows, len(seen.rows) - room
    if left > 0:
        # A line says what there is no room for.
        rows = rows[: room - 1] if seen.first else rows[left + 1 :]
        more = terminal.paint(f"{left + 1:,} more {'below' if seen.first else 'above'}", "dim")
        rows = [*rows, more] if seen.first else [more, *rows]
    title = terminal.fitted(f"{now}  {seen.summary}  {terminal.clean(place)}", width - 10)
    title += " " * (width - 9 - terminal.width_of(title)) + " q: quit"
    screen.draw(terminal.paint(title, "dim"), [*seen.head, *rows])
