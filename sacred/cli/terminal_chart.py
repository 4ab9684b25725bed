"""Curves drawn with characters: braille dots where the terminal has them, letters elsewhere.

Own code, because a chart in a terminal should need no package besides the base: what there is draws as
well and changed its whole interface between two versions.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from sacred.analysis.scale import Scale
from sacred.analysis.ticks import log_ticks, number_texts, ticks, time_texts
from sacred.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Series", "chart_lines"]

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 4
#: Of SGR: cyan, yellow, green, magenta, red, blue.
_COLOURS = ("36", "33", "32", "35", "31", "34")
_MARKS = "abcdefghijklmnopqrstuvwxyz"
#: The bit of each of a cell's dots, by column and row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class Series(NamedTuple):
    """A curve to be drawn.

    Attributes
    ----------
    label
        What it is called in the legend.
    x, y
        Finite numbers, as many of the one as of the other, sorted by x.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


class _Canvas:
    """Cells of two by four dots, or of one character each."""

    def __init__(self, width: int, height: int, *, dots: bool) -> None:
        self.width, self.height = width, height
        self.across, self.down = (2 * width, 4 * height) if dots else (width, height)
        self._dots = dots
        self._cells: dict[tuple[int, int], tuple[int, int]] = {}

    def dot(self, x: int, y: int, series: int) -> None:
        if not self._dots:
            self._cells[y, x] = (0, series)
            return
        cell = (y // 4, x // 2)
        bits = self._cells.get(cell, (0, 0))[0]
        self._cells[cell] = (bits | _DOTS[x % 2][y % 4], series)

    def line(self, begin: tuple[int, int], end: tuple[int, int], series: int) -> None:
        """Draw from one dot to another."""
        (x, y), (to_x, to_y) = begin, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            self.dot(
                x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps), series
            )

    def row(self, number: int, *, colours: bool, many: bool) -> str:
        """Return a row's cells, those of one colour together."""
        parts: list[tuple[int, str]] = []
        for column in range(self.width):
            bits, series = self._cells.get((number, column), (0, -1))
            if series < 0:
                text = " "
            elif self._dots:
                text = chr(0x2800 + bits)
            else:
                text = _MARKS[series % len(_MARKS)] if many else "*"
            if parts and parts[-1][0] == series:
                parts[-1] = (series, parts[-1][1] + text)
            else:
                parts.append((series, text))
        shown = [_painted(text, s) if colours and s >= 0 else text for s, text in parts]
        return "".join(shown).rstrip()


def _painted(text: str, series: int) -> str:
    return f"\x1b[{_COLOURS[series % len(_COLOURS)]}m{text}\x1b[0m"


def chart_lines(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    width: int,
    height: int,
    log: bool = False,
    times: bool = False,
) -> list[str]:
    """Draw curves, with axes and a legend.

    Parameters
    ----------
    title
        What the y axis is.
    series
        One point at least, all in all.
    x_label
        Of the x axis.
    width, height
        In characters, all in all; more where that is too small to draw in.
    log
        A logarithmic y axis: all values are above zero.
    times
        x are seconds since the epoch.

    Returns
    -------
    Lines for stdout: in colours where it shows them, of ASCII where it has nothing else.
    """
    colours = terminal.paint("x", "bold") != "x"
    dots = _has_braille() and (colours or len(series) == 1)
    across, up = (
        Scale.of(x for one in series for x in one.x),
        Scale.of((y for one in series for y in one.y), log=log),
    )
    rows = max(_LEAST_HEIGHT, height - 3 - (len(series) > 1))
    marks = (log_ticks if log else ticks)(up.low, up.high, max(2, rows // 3))
    texts = number_texts(marks)
    margin = max(map(len, texts))
    room = max(_LEAST_WIDTH, width - margin - 2)
    canvas = _Canvas(room, rows, dots=dots)
    for number, one in enumerate(series):
        places = [
            (
                round(across.place(x) * (canvas.across - 1)),
                round((1 - up.place(y)) * (canvas.down - 1)),
            )
            for x, y in zip(one.x, one.y, strict=True)
        ]
        for begin, end in zip(places, places[1:] or places, strict=False):
            canvas.line(begin, end, number)
    lines = [terminal.paint(terminal.fitted(terminal.clean(title), width), "bold")]
    named = {
        round((1 - up.place(m)) * (rows - 1)): text for m, text in zip(marks, texts, strict=True)
    }
    side, corner, floor, cross = ("│", "└", "─", "┤") if _has_braille() else ("|", "+", "-", "+")
    for row in range(rows):
        text = named.get(row, "")
        edge = cross if text else side
        lines.append(
            f"{text:>{margin}} {edge}{canvas.row(row, colours=colours, many=len(series) > 1)}"
        )
    lines.append(f"{'':>{margin}} {corner}{floor * room}")
    lines.append(_below(across, room, margin + 2, x_label, times=times))
    if len(series) > 1:
        lines += _legend(series, width, colours=colours, dots=dots)
    return lines


def _has_braille() -> bool:
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding.startswith("utf") and os.environ.get("TERM") != "linux"


def _below(across: Scale, room: int, margin: int, label: str, *, times: bool) -> str:
    """Return the line of numbers below the x axis, with its label at the right."""
    seconds = times or label.startswith("seconds")
    marks = ticks(across.low, across.high, max(2, room // 14), times=seconds)
    texts = time_texts(marks) if times else number_texts(marks)
    label = terminal.clean(label)
    line = ""
    for mark, text in zip(marks, texts, strict=True):
        place = round(across.place(mark) * (room - 1)) - len(text) // 2
        place = max(0, min(place, room - len(text)))
        if place >= len(line) + (2 if line else 0):
            line = line.ljust(place) + text
    if len(line) + 2 + len(label) <= room:
        line = line.ljust(room - len(label)) + label
    return " " * margin + line


def _legend(series: Sequence[Series], width: int, *, colours: bool, dots: bool) -> list[str]:
    lines, used = [""], 0
    for number, one in enumerate(series):
        sign = "━" if dots else _MARKS[number % len(_MARKS)]
        text = terminal.clean(one.label)
        size = len(sign) + 3 + terminal.width_of(text)
        if used and used + size > width:
            lines.append("")
            used = 0
        lines[-1] += f"{_painted(sign, number) if colours else sign} {text}  "
        used += size
    return [line.rstrip() for line in lines]
