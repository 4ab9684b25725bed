"""Points and output of a run: rows that only grow, in parts that are replaced by longer ones.

A row's part is decided when the row is written, and stays. The last part grows by a row group with
each write, until it is full. Small row groups become larger ones on the way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import ViewMovedError
from sacred.replayers.parquet_files import ROW_GROUP
from sacred.replayers.points import exact_number
from sacred.replayers.sinks.parquet.disk import create
from sacred.replayers.sinks.parquet.footer import FooterError
from sacred.replayers.sinks.parquet.layout import columns_of, hidden_place, part_name
from sacred.replayers.sinks.parquet.version import footer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.replayers.sink import OutputChanged, PointsAdded
    from sacred.replayers.sinks.parquet.runs import RunState
    from sacred.replayers.sinks.parquet.tables import TableWriter

__all__ = ["SERIES", "add_points", "change_output", "has_rows", "place_of", "publish"]

SERIES = ("metrics", "output")
#: Characters of the largest part of the output, if no line is longer.
_PART = 1 << 20
#: And of one in the middle of a line: a progress bar that never ends its own.
_LONGEST_PART = 4 * _PART
_MICROS = 9 * 10**18
#: Row groups of a part: at most, and when some became one.
_MANY, _FEW = 16, 8


def _parts(state: RunState, table: str) -> dict[str, Any]:
    """Return what is kept of a series: its generation, and how many parts it has."""
    found = state.kept.get(table)
    if found is None:
        generation = max((generation for generation, _ in state.parts(table)), default=-1) + 1
        found = state.kept[table] = {"generation": generation, "parts": 0}
    series: dict[str, Any] = found
    return series


def place_of(state: RunState, table: str, number: int) -> str:
    """Return where a part is, relative to the base: not among the others while written anew."""
    name = part_name(state.kept[table]["generation"], number)
    if state.kept.get("anew") is not None:
        return hidden_place(str(state.kept["journal_id"]), table, name)
    return os.path.join(state.folder(table), name)


# -- points ----------------------------------------------------------------------------------------


def add_points(state: RunState, writer: TableWriter, changes: Sequence[PointsAdded]) -> None:
    """Add the points that the view does not have yet."""
    kept = state.kept
    columns: list[list[Any]] = [[] for _ in columns_of("metrics")]
    for change in changes:
        known = kept["next_seqs"].setdefault(change.metric, {})
        new = change.beyond({int(number): seq for number, seq in known.items()})
        if new is None:
            continue
        rows = len(new.seqs)
        steps, values = _numbers(new.steps), _numbers(new.values)
        times = [max(-_MICROS, min(_MICROS, time)) for time in new.times]
        added: tuple[list[Any], ...] = (
            new.writers,
            new.seqs,
            [new.metric] * rows,
            *steps,
            *values,
            times,
        )
        for column, items in zip(columns, added, strict=True):
            column.extend(items)
        known.update({str(number): seq for number, seq in new.next_seqs().items()})
        kept["counts"][new.metric] = kept["counts"].get(new.metric, 0) + rows
    rows = len(columns[0])
    series = _parts(state, "metrics")
    if not rows:
        return
    live, keep, before = int(series.get("rows", 0)), 0, None
    if series["parts"] and live + rows <= ROW_GROUP:
        series["parts"] -= 1
        keep, before = _grown(state, place_of(state, "metrics", series["parts"]), rows)
    else:
        live = 0
    for first in range(0, rows, ROW_GROUP):
        some = [column[first : first + ROW_GROUP] for column in columns]
        with state.put(place_of(state, "metrics", series["parts"]), keep) as path:
            writer.write(path, "metrics", some, before)
        series.update(parts=series["parts"] + 1, rows=live + len(some[0]))


def _grown(state: RunState, place: str, added: int) -> tuple[int, tuple[str, int] | None]:
    """Return how many row groups of a part stay when rows are added, and the rows that do not.

    The latter are a file and the number of its first ones that are in the row groups that stay.
    """
    path, footer = state.latest(place), state.footer(place)
    if path is None or footer is None:
        raise ViewMovedError("a file of the run is not in the view any more")
    rows = [group.rows for group in footer.groups]
    keep = _kept_groups(rows, added)
    return keep, (path, sum(rows[:keep])) if keep < len(rows) else None


def _kept_groups(rows: Sequence[int], added: int) -> int:
    """Return how many of some row groups stay as they are when rows are added.

    They are at most ``_MANY``. When there are so many, the last and smallest become one, so many of
    them that ``_FEW`` are left: each row is written again a few times, once for each power of
    ``_FEW`` that a part has of the rows of a write.
    """
    keep, size = len(rows), max(added, 1)
    if keep < _MANY:
        return keep
    while keep > _FEW:
        while keep and rows[keep - 1] <= size:
            keep -= 1
        size *= _FEW
    return keep


def _numbers(values: list[Any]) -> tuple[list[float | None], list[str | None]]:
    """Return the number and the text of each step or value."""
    if set(map(type, values)) == {float}:
        return values, [None] * len(values)
    both = list(map(exact_number, values))
    return [number for number, _ in both], [text for _, text in both]


# -- output ----------------------------------------------------------------------------------------


def change_output(state: RunState, writer: TableWriter, change: OutputChanged) -> None:
    """Keep the first characters and add a text, as lines."""
    series = _parts(state, "output")
    # Of each part the character behind it, and whether a line ends there.
    ends: list[list[int]] = series.setdefault("ends", [])
    length = ends[-1][0] if ends else 0
    keep, text = min(change.keep, length), change.text
    if keep == length and not text:
        return
    number = next((n for n, (end, _) in enumerate(ends) if end >= keep), 0)
    begin = ends[number - 1][0] if number else 0
    least = 0
    whole_lines = bool(ends) and keep == ends[number][0] and bool(ends[number][1])
    if whole_lines and keep - begin + len(text) > _PART:
        begin, number = keep, number + 1
    elif whole_lines and keep == length:
        ends[number] = [keep + len(text), int(text.endswith("\n"))]
        lines = _lines(text)
        stay, before = _grown(state, place_of(state, "output", number), len(lines))
        _write_lines(state, writer, number, lines, stay, before)
        return
    elif keep > begin:
        lines = writer.texts(state.path(place_of(state, "output", number)))
        least = keep - begin
        text = ("\n".join(lines) + "\n")[:least] + text
    for gone in range(len(ends) - 1, number - 1, -1):
        # Of two files that change, no reader shall see the new rows of one and the old of the other.
        if gone > number:
            _empty(state, writer, "output", place_of(state, "output", gone))
        ends.pop()
    for piece in _pieces(text, least):
        begin += len(piece)
        ends.append([begin, int(piece.endswith("\n"))])
        lines = _lines(piece)
        stay = first = 0
        if least > 0:
            stay, first = _unchanged(state, place_of(state, "output", number), piece[:least])
        _write_lines(state, writer, number, lines[first:], stay)
        least = 0
        number += 1
    series["parts"] = max(int(series["parts"]), number)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _unchanged(state: RunState, place: str, text: str) -> tuple[int, int]:
    """Return how many row groups of a part hold nothing but whole lines of a text, and their rows."""
    footer = state.footer(place)
    lines, groups, rows = text.count("\n"), 0, 0
    for group in footer.groups if footer is not None else ():
        if rows + group.rows > lines:
            break
        groups, rows = groups + 1, rows + group.rows
    return groups, rows


def _write_lines(
    state: RunState,
    writer: TableWriter,
    number: int,
    lines: list[str],
    keep: int,
    before: tuple[str, int] | None = None,
) -> None:
    columns: list[list[Any]] = [[None] * len(lines) for _ in columns_of("output")]
    columns[-1] = lines
    with state.put(place_of(state, "output", number), keep) as path:
        writer.write(path, "output", columns, before)


def _pieces(text: str, least: int) -> list[str]:
    """Cut a text into parts, at the ends of lines where that can be.

    The first part has at least so many characters: those that were in it before, so that no line
    goes from one part to the next.
    """
    pieces = []
    begin = 0
    while len(text) - begin > _PART:
        first = max(begin, least - 1)
        cut = text.rfind("\n", first, begin + _PART) + 1
        cut = cut or text.find("\n", first, max(begin + _LONGEST_PART, least)) + 1
        if not cut:
            if len(text) - begin <= _LONGEST_PART:
                break
            cut = max(begin + _LONGEST_PART, least)
        pieces.append(text[begin:cut])
        begin = cut
    if begin < len(text) or not pieces:
        pieces.append(text[begin:])
    return pieces


# -- written anew ----------------------------------------------------------------------------------


def publish(state: RunState, writer: TableWriter) -> None:
    """Have readers find what was written anew, and no more what was there.

    Where there was one part, and is one, it is the next version of that, and no reader sees a moment
    without. Else what was there first becomes files without rows: no reader sees a row twice.
    """
    hidden = {
        table: [place_of(state, table, number) for number in range(_parts(state, table)["parts"])]
        for table in SERIES
    }
    state.kept["anew"] = None
    for table, places in hidden.items():
        series = state.kept[table]
        old = _with_rows(state, table)
        if len(old) == len(places) == 1 and old[0][1] == 0:
            series["generation"] = old[0][0]
            state.add(place_of(state, table, 0), 0, state.latest(places[0]) or places[0])
            state.moves.append((os.path.basename(places[0]), ""))
            continue
        for generation, number in sorted(old, reverse=True):
            name = part_name(generation, number)
            _empty(state, writer, table, os.path.join(state.folder(table), name))
        for number, place in enumerate(places):
            state.moves.append((os.path.basename(place), place_of(state, table, number)))


def _with_rows(state: RunState, table: str) -> list[tuple[int, int]]:
    """Return the parts that readers find with rows in them."""
    found = state.parts(table)
    folder = state.path(state.folder(table))
    return [part for part, name in found.items() if has_rows(os.path.join(folder, name))]


def has_rows(path: str) -> bool:
    """Tell whether a file has rows; one that is damaged may."""
    try:
        return footer_of(path).rows > 0
    except FooterError:
        return True


def _empty(state: RunState, writer: TableWriter, table: str, place: str) -> None:
    """Have a file be one without rows."""
    content = writer.empty(table, state.own)
    with state.put(place) as path:
        create(path, content)
