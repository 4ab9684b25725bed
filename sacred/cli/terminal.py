"""How a terminal or a pipe shows what the commands found: tables, colours, a progress bar."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

__all__ = [
    "Progress",
    "Table",
    "clean",
    "columns",
    "duration_text",
    "is_terminal",
    "local_time",
    "paint",
    "printed_lines",
    "shows",
    "status_colour",
    "status_text",
    "undisturbed",
    "width_of",
    "wrapped",
]

_COLOURS = {
    "green": "32",
    "red": "31",
    "cyan": "36",
    "yellow": "33",
    "blue": "34",
    "dim": "2",
    "bold": "1",
}
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


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Have Ctrl-C wait until something is drawn: so that it is known what there is to wipe.

    It counts in the main thread; elsewhere nobody is interrupted.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *told: came.append(told))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if came and callable(before):
        before(*came[0])


def shows(characters: str, stream: TextIO | None = None) -> bool:
    """Tell whether the encoding of a stream (stdout if None) has some characters."""
    try:
        characters.encode(getattr(stream or sys.stdout, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def shows_colours(stream: TextIO | None = None) -> bool:
    """Tell whether a stream (stdout if None) shows colours, and nobody objects."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and is_terminal(stream)


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Return a text in a colour where the stream shows colours and nobody objects."""
    if not text or colour not in _COLOURS or not shows_colours(stream):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def status_colour(status: str) -> str:
    """Return the colour of a run's status, empty if it has none."""
    return _STATUS_COLOURS.get(status, "")


def status_text(status: str) -> str:
    """Return a run's status in its colour."""
    return paint(clean(status), status_colour(status))


def clean(text: str) -> str:
    """Return a text that stays on its line and can not steer the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    unsafe = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    if unsafe and character != "\u200d":
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
    mark = "…" if shows("…") else "~"
    kept, used = [], 0
    for character in text:
        used += width_of(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + mark


def wrapped(text: str, indent: str, width: int) -> list[str]:
    """Return a line as those that a terminal has room for, all but the first indented.

    It is broken at spaces alone: a path that is too long stays one, which can be copied. Where
    stdout is no terminal, the line stays as it is.
    """
    lines: list[str] = []
    while is_terminal() and width_of(text) > width > len(indent):
        # Not at a space of what stands in front: of the indent, of a key.
        cut = text.rfind(" ", len(indent) + 1, len(fitted(text, width + 1)))
        if cut < 0:
            cut = text.find(" ", max(width, len(indent) + 1))
        if cut < 0:
            break
        lines.append(text[:cut].rstrip())
        text = indent + text[cut:].lstrip()
    return [*lines, text]


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
        Names of those that may be cut where the terminal is narrow, to 8 and the width of their
        names; maybe each with a width for which optional columns are left out before it is cut.
    optional
        Names of those that are left out there, the first first.
    colours
        Of the cells of some columns, by the column's name: a colour, or what gives a cell's.
    """

    def __init__(
        self,
        header: Sequence[str],
        *,
        right: Iterable[str] = (),
        flexible: Iterable[str] | Mapping[str, int] = (),
        optional: Iterable[str] = (),
        colours: Mapping[str, str | Callable[[str], str]] | None = None,
    ) -> None:
        self.header = [clean(name) for name in header]
        self.rows: list[list[str]] = []
        self._right = {clean(name) for name in right}
        least = flexible if isinstance(flexible, dict) else dict.fromkeys(flexible, 8)
        self._flexible = {clean(name): width for name, width in least.items()}
        self._optional = [clean(name) for name in optional]
        self._colours = {"STATUS": status_colour, **(colours or {})}
        self._cells: dict[tuple[int, int], str] = {}

    def add(self, *cells: str) -> None:
        """Add a row."""
        row, whole = list(cells), "".join(cells)
        if not (
            whole.isascii() and whole.isprintable()
        ):  # seen for all cells at once: 0.3 us for 3
            row = [clean(cell) for cell in cells]
        self.rows.append(row)

    def colour(self, column: int, colour: str) -> None:
        """Show a cell of the row that was added last in a colour."""
        self._cells[len(self.rows), column] = colour

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
        room = max(1, width - len(indent))
        natural = self._natural()
        chosen = self._chosen(natural, room)
        widths = self._widths(chosen, natural, room)
        coloured = shows_colours()
        lines = []
        for number, row in enumerate((self.header, *self.rows)):
            cells = [
                self._cell(number, column, row[column], widths[column], coloured=coloured)
                for column in chosen
            ]
            lines.append(indent + "  ".join(cells).rstrip())
        return lines

    def width(self) -> int:
        """Return how many columns of a terminal it takes where nothing is cut."""
        natural = self._natural()
        return sum(natural) + 2 * (len(natural) - 1)

    def fits(self, width: int | None = None) -> bool:
        """Tell whether there is room for all columns but the optional ones.

        Parameters
        ----------
        width
            The columns that there are; the terminal's if None, no bound where stdout is none.
        """
        if width is None:
            if not is_terminal():
                return True
            width = columns()
        natural = self._natural()
        every = [number for number, name in enumerate(self.header) if name not in self._optional]
        return self._least_of(every, natural) <= width

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

    def _natural(self) -> list[int]:
        """Return how wide each column is where nothing is cut."""
        return [max(map(width_of, cells)) for cells in zip(self.header, *self.rows, strict=True)]

    def _least(self, column: int, natural: list[int], *, good: bool = False) -> int:
        name = self.header[column]
        whole = natural[column]
        if name not in self._flexible:
            return whole
        return min(whole, max(self._flexible[name] if good else 8, width_of(name)))

    def _least_of(self, columns: list[int], natural: list[int], *, good: bool = False) -> int:
        between = 2 * (len(columns) - 1)
        return sum(self._least(column, natural, good=good) for column in columns) + between

    def _chosen(self, natural: list[int], width: int) -> list[int]:
        columns = list(range(len(self.header)))
        for name in self._optional:
            if self._least_of(columns, natural, good=True) <= width:
                break
            columns.remove(self.header.index(name))
        return columns

    def _widths(self, columns: list[int], natural: list[int], width: int) -> dict[int, int]:
        flexible = [column for column in columns if self.header[column] in self._flexible]
        widths = {column: natural[column] for column in columns}
        for column in flexible:  # a cell may have a million characters
            widths[column] = min(natural[column], max(width, self._least(column, natural)))
        over = sum(widths.values()) + 2 * (len(columns) - 1) - width
        while over > 0 and flexible:
            widest = max(flexible, key=widths.__getitem__)
            if widths[widest] <= self._least(widest, natural):
                flexible.remove(widest)
                continue
            widths[widest] -= 1
            over -= 1
        return widths

    def _cell(self, row: int, column: int, text: str, width: int, *, coloured: bool) -> str:
        name = self.header[column]
        shown = fitted(text, width)
        space = " " * (width - width_of(shown))
        if coloured and not row:
            shown = paint(shown, "bold")
        elif coloured and (row, column) in self._cells:
            shown = paint(shown, self._cells[row, column])
        elif coloured and name in self._colours:
            colour = self._colours[name]
            shown = paint(shown, colour if isinstance(colour, str) else colour(text))
        return space + shown if name in self._right else shown + space


class Progress:
    """How far something is: a line on stderr that is written over; nothing where none is seen.

    It needs no thread (replays fork) and leaves the cursor alone, so that nothing that ends the
    process, SIGKILL either, leaves the terminal other than it was.

    Parameters
    ----------
    after
        Nothing is drawn of what is over sooner (s).

    Attributes
    ----------
    visible
        Whether stderr is a terminal.
    """

    #: It is drawn so often at most (s): ten thousand small runs are done in seconds.
    _PAUSE = 0.05

    def __init__(self, *, after: float = 0.0) -> None:
        self.visible = is_terminal(sys.stderr)
        self._began = time.monotonic()
        self._after = after
        self._drawn = 0.0
        self._shown = False

    def draw(self, done: int, total: int, what: str) -> None:
        """Show that ``done`` of ``total`` are done, ``what`` being the last."""
        now = time.monotonic()
        if not self.visible or now - self._began < self._after:
            return
        if self._shown and now - self._drawn < self._PAUSE and done < total:
            return
        width = min(24, columns() // 3)
        filled = width * min(done, total) // max(1, total)
        full, rest = ("█", "░") if shows("█░", sys.stderr) else ("#", ".")
        bar = paint(full * filled, "cyan", sys.stderr) + rest * (width - filled)
        text = f" {done:,}/{total:,}{self._time_left(done, total, now)}  {clean(what)}"
        sys.stderr.write(f"\r\x1b[K{bar}{fitted(text, max(1, columns() - 1 - width))}")
        sys.stderr.flush()
        self._shown, self._drawn = True, now

    def _time_left(self, done: int, total: int, now: float) -> str:
        passed = now - self._began
        if passed < 2 or not 0 < done < total:
            return ""
        return f"  {duration_text(passed * (total - done) / done)} left"

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
