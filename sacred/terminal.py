"""How a terminal or a pipe shows what the commands found: tables, colours, a progress bar."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Progress",
    "Table",
    "clean",
    "columns",
    "duration_text",
    "local_time",
    "paint",
    "printed_lines",
    "status_text",
]

_COLOURS = {"green": "32", "red": "31", "cyan": "36", "yellow": "33", "dim": "2", "bold": "1"}
_STATUS_COLOURS = {
    "COMPLETED": "green",
    "RUNNING": "cyan",
    "FAILED": "red",
    "DIED": "red",
    "INTERRUPTED": "yellow",
    "TIMEOUT": "yellow",
    "EMPTY": "dim",
    "FOREIGN": "yellow",
    "UNREADABLE": "yellow",
    "NEWER": "yellow",
}


def is_terminal(stream: TextIO | None = None) -> bool:
    """Tell whether a stream (stdout if None) is a terminal."""
    try:
        return (stream or sys.stdout).isatty()
    except (ValueError, AttributeError):
        return False


def columns() -> int:
    """Return how many columns the terminal has."""
    import shutil  # with the compressors that it loads, 4 ms of a command's start

    return shutil.get_terminal_size((80, 24)).columns


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return a text in a colour where the stream shows colours and nobody objects."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not is_terminal(stream) or colour not in _COLOURS:
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def status_text(status: str) -> str:
    """Return a run's status in its colour."""
    return paint(clean(status), _STATUS_COLOURS.get(status, ""))


def clean(text: str) -> str:
    """Return a text that stays on its line and can not steer the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character != "\u200d":
        return character.encode("unicode_escape").decode("ascii")
    return character


def printed_lines(output: str) -> list[str]:
    """Return the lines of a run's output as they stood on its terminal at last.

    A carriage return begins the line anew, as progress bars do; colours and the like are left out.
    """
    import re

    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])", "", output)
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [clean((line.rstrip("\r").rpartition("\r")[2]).replace("\t", "    ")) for line in lines]


def width_of(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    bare = sum(unicodedata.combining(character) != 0 for character in text)
    return len(text) + wide - bare


def fitted(text: str, width: int) -> str:
    """Return a text cut to some columns, with a sign where it was cut."""
    if width_of(text) <= width:
        return text
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    mark = "…" if encoding.lower().replace("-", "").startswith("utf") else "~"
    kept, used = [], 0
    for character in text:
        used += width_of(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + mark


def duration_text(seconds: float | None) -> str:
    """Return a duration for people: 0.3s, 4m05s, 2h07m, 3d04h."""
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def local_time(nanoseconds: object) -> str:
    """Return a time of the journal as the wall clock here shows it, to the second."""
    if type(nanoseconds) is not int:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(nanoseconds // 10**9))
    except (OverflowError, ValueError, OSError):
        return "?"


class Table:
    """Rows under a header: aligned on a terminal, separated by tabs elsewhere.

    Parameters
    ----------
    header
        Names of the columns.
    right
        Names of those aligned to the right.
    flexible
        Names of those that may be cut where the terminal is narrow.
    optional
        Names of those that are left out there, the first first.
    """

    def __init__(
        self,
        header: Sequence[str],
        *,
        right: Iterable[str] = (),
        flexible: Iterable[str] = (),
        optional: Iterable[str] = (),
    ) -> None:
        self.header = [clean(name) for name in header]
        self.rows: list[list[str]] = []
        self._right = {clean(name) for name in right}
        self._flexible = {clean(name) for name in flexible}
        self._optional = list(optional)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append([clean(cell) for cell in cells])

    def lines(
        self, *, aligned: bool | None = None, width: int | None = None, indent: str = ""
    ) -> list[str]:
        """Return the lines.

        Parameters
        ----------
        aligned
            As a terminal shows it; by what stdout is if None.
        width
            Columns to fit into; the terminal's if None, no bound where stdout is none.
        indent
            Stands before each line.
        """
        terminal = is_terminal()
        if not (terminal if aligned is None else aligned):
            return ["\t".join(row) for row in (self.header, *self.rows)]
        if width is None:
            width = columns() if terminal else 1 << 30
        chosen = self._chosen(width - len(indent))
        widths = self._widths(chosen, width - len(indent))
        lines = []
        for number, row in enumerate((self.header, *self.rows)):
            cells = [
                self._cell(column, row[column], widths[column], head=number == 0)
                for column in chosen
            ]
            lines.append(indent + "  ".join(cells).rstrip())
        return lines

    def fits(self) -> bool:
        """Tell whether the terminal has room for all columns; always true where there is none."""
        if not is_terminal():
            return True
        every = range(len(self.header))
        least = sum(map(self._least, every)) + 2 * (len(every) - 1)
        return least <= columns()

    def records(self) -> list[str]:
        """Return the rows one below the other, a line for each cell."""
        width = max(map(width_of, self.header))
        room = columns() - width - 2
        lines = []
        for number, row in enumerate(self.rows):
            if number:
                lines.append("")
            for name, cell in zip(self.header, row, strict=True):
                space = " " * (width - width_of(name))
                lines.append(f"{paint(name, 'bold')}{space}  {fitted(cell, room)}")
        return lines

    def _natural(self, column: int) -> int:
        return max(width_of(row[column]) for row in (self.header, *self.rows))

    def _least(self, column: int) -> int:
        natural = self._natural(column)
        name = self.header[column]
        return min(natural, max(8, len(name))) if name in self._flexible else natural

    def _chosen(self, width: int) -> list[int]:
        columns = list(range(len(self.header)))
        for name in self._optional:
            if sum(map(self._least, columns)) + 2 * (len(columns) - 1) <= width:
                break
            columns.remove(self.header.index(name))
        return columns

    def _widths(self, columns: list[int], width: int) -> dict[int, int]:
        widths = {column: self._natural(column) for column in columns}
        over = sum(widths.values()) + 2 * (len(columns) - 1) - width
        flexible = [column for column in columns if self.header[column] in self._flexible]
        while over > 0 and flexible:
            widest = max(flexible, key=widths.__getitem__)
            if widths[widest] <= self._least(widest):
                flexible.remove(widest)
                continue
            widths[widest] -= 1
            over -= 1
        return widths

    def _cell(self, column: int, text: str, width: int, *, head: bool) -> str:
        name = self.header[column]
        shown = fitted(text, width)
        space = " " * (width - width_of(shown))
        if head:
            shown = paint(shown, "bold")
        elif name == "STATUS":
            shown = status_text(shown)
        return space + shown if name in self._right else shown + space


class Progress:
    """How far something is: a line on stderr that is written over; nothing where none is seen.

    Attributes
    ----------
    visible
        Whether stderr is a terminal.
    """

    _WIDTH = 24

    def __init__(self) -> None:
        self.visible = is_terminal(sys.stderr)
        self._shown = False

    def draw(self, done: int, total: int, what: str) -> None:
        """Show that ``done`` of ``total`` are done, ``what`` being the last."""
        if not self.visible:
            return
        filled = self._WIDTH * done // max(1, total)
        bar = "#" * filled + "." * (self._WIDTH - filled)
        text = fitted(f"[{bar}] {done}/{total}  {clean(what)}", columns() - 1)
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
        self._shown = True

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
