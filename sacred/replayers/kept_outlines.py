"""Outlines of runs, of which those of ended runs are kept from one question to the next."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import pack, unpack
from sacred.journal.root import NOTES, RunFolder
from sacred.replayers.annotations import Annotations
from sacred.replayers.journal_stamps import JournalStamps
from sacred.replayers.listing import RunOutline
from sacred.replayers.question_cache import KeptRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sacred.journal.root import JournalRoot

__all__ = ["KeptOutlines", "is_plain"]


class KeptOutlines:
    """Outlines of the runs of a root, of which those of ended runs are kept for the next question.

    The answer is that of ``outline``. Close it when all that is wanted was asked for.

    Parameters
    ----------
    root
        Where the runs are.
    cache
        False: read every journal, and keep nothing.
    """

    def __init__(self, root: JournalRoot, *, cache: bool = True) -> None:
        self._root = str(root.path)
        self._stamps = JournalStamps(root) if cache and os.name != "nt" else None
        self._rows = (
            KeptRows(root, "runs", self._stamps, _FORM) if self._stamps is not None else None
        )

    def of(self, number: int) -> RunOutline:
        """Return the outline of a run."""
        path = f"{self._root}{os.sep}{number}"
        row = self._rows.get(number) if self._rows is not None else None
        found = _outline_of(number, path, row) if row is not None else self._read(number, path)
        # What people say of a run lies beside its journal, and is read each time.
        if os.access(f"{path}{_NOTES}", os.F_OK):  # in 1.5 us; a stat takes 3
            from sacred.replayers.outline_reading import take_notes

            take_notes(RunFolder(path, number), found)
        return found

    def every(self, numbers: Sequence[int]) -> Iterator[RunOutline]:
        """Yield the outlines of runs, in order.

        Of many of which nothing is known half are read by a second process, where this one may be
        forked: ten thousand runs take a third less.

        Parameters
        ----------
        numbers
            Of the runs.
        """
        known = len(self._rows) if self._rows is not None else 0
        if len(numbers) - known < _MANY:
            yield from map(self.of, numbers)
            return
        from sacred.replayers.second_process import SecondProcess, may_be_forked

        if not may_be_forked():
            yield from map(self.of, numbers)
            return
        if self._rows is not None:
            self._rows.begin()
        half = len(numbers) // 2
        process = SecondProcess(lambda: self._told(numbers[half:]))
        try:
            yield from map(self.of, numbers[:half])
            for begin in range(half, len(numbers), _TOGETHER):
                part = numbers[begin : begin + _TOGETHER]
                told = process.next()
                if told is None:  # it is gone, whatever the reason
                    yield from map(self.of, part)
                    continue
                for number, (found, kept) in zip(part, told, strict=True):
                    if kept is not None and self._rows is not None:
                        self._rows.adopt(number, kept)
                    yield found
        finally:
            process.close()

    def _told(self, numbers: Sequence[int]) -> Iterator[list[tuple[RunOutline, Any]]]:
        """Yield lists of outlines, each with what is newly kept of it."""
        for begin in range(0, len(numbers), _TOGETHER):
            told = []
            for number in numbers[begin : begin + _TOGETHER]:
                found = self.of(number)
                told.append((found, self._rows.new(number) if self._rows is not None else None))
            yield told

    def _read(self, number: int, path: str) -> RunOutline:
        from sacred.replayers.outline_reading import read_outline

        found, ended = read_outline(RunFolder(path, number))
        if ended and self._rows is not None and (row := _row_of(found)) is not None:
            self._rows.put(number, row)
        return found

    def close(self, numbers: Sequence[int] | None = None) -> None:
        """Keep what was read.

        Parameters
        ----------
        numbers
            All runs that the root has, if they are known: the others are forgotten.
        """
        if self._rows is not None and self._stamps is not None:
            if numbers is not None:
                self._rows.forget_others(numbers)
            self._rows.save()
            self._stamps.close()

    def __enter__(self) -> KeptOutlines:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was read."""
        self.close()


#: Fewer are read in less time than a second process takes to begin (15 ms).
_MANY = 500
#: So many come through its pipe at once.
_TOGETHER = 100
_NOTES = f"{os.sep}{NOTES}"
#: What is kept of an outline besides its id and its result.
_KEPT = (
    *("journal_id", "name", "command", "status", "start", "stop", "last", "duration", "points"),
    *("events", "host", "note", "spool_end", "rerun_of"),
)
#: Raise the number when what an outline says of a journal changes.
_FORM = f"1 id result {' '.join(_KEPT)} tags notes"
_NOTHING = Annotations()
_SCALARS = frozenset({type(None), bool, int, float, str})
_values_of = operator.attrgetter(*_KEPT)


def _row_of(found: RunOutline) -> tuple[Any, ...] | None:
    """Return what is kept of an outline; None if that would not be what it is."""
    values = _values_of(found)
    if type(found.id) not in _SCALARS or not _SCALARS.issuperset(map(type, values)):
        return None
    result = found.result
    if type(result) not in _SCALARS:
        if not is_plain(result):
            return None
        result = (pack(result),)
    said = found.annotations
    return found.id, result, values, (said.tags, said.notes)


def _outline_of(number: int, path: str, row: tuple[Any, ...]) -> RunOutline:
    ident, result, values, said = row
    if type(result) is tuple:
        result = unpack(result[0])
    (journal, name, command, status, start, stop, last, duration) = values[:8]
    (points, events, host, note, spool_end, rerun_of) = values[8:]
    return RunOutline(
        *(number, path, journal, ident, name, command, status, start, stop, last, duration),
        *(points, events, result, host, None, note, spool_end),
        *(Annotations(*said) if said != _NOTHING else _NOTHING, rerun_of),
    )


def is_plain(value: Any, depth: int = 8) -> bool:
    """Tell whether a value is written and read as what it is."""
    if type(value) is list and depth:
        return all(is_plain(item, depth - 1) for item in value)
    if type(value) is dict and depth:
        return all(type(key) is str and is_plain(item, depth - 1) for key, item in value.items())
    return type(value) in _SCALARS
