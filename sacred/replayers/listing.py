"""Runs at a glance: what ``sacred ls`` shows.

Reading stays lean: metric points are counted and never decoded, so that a listing of many runs
costs about what reading their files costs.
"""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import pack, unpack
from sacred.journal.errors import (
    JournalError,
    JournalUnreadableError,
    NewerFormatError,
)
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, ended_as, state_after, state_now
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder
from sacred.journal.sealed_summary import SummaryReader
from sacred.journal.spool import SPOOL, flaws_from, spooled_to
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.jsontext import instant, jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot
    from sacred.journal.spool import SpoolFlaw
    from sacred.journal.verdicts import Verdict

__all__ = ["KeptOutlines", "RunOutline", "outline", "outlines"]

#: Statuses that are computed here and stand in no journal.
DIED, EMPTY, FOREIGN, NEWER = "DIED", "EMPTY", "FOREIGN", "NEWER"
UNREADABLE = "UNREADABLE"

_SUMMARIES = SummaryReader()
_POINTS = frozenset({int(EventType.METRIC_POINT), int(EventType.METRIC_TABLE)})


@dataclass(slots=True)
class RunOutline:
    """What one line of a listing says of a run.

    Attributes
    ----------
    run
        The folder's number; None for a journal outside of a root.
    id
        ``_run._id``; None before the start.
    status
        As the run said (``COMPLETED``, ...), or what only the outside can see: ``DIED`` (its
        process is gone and it did not end), ``EMPTY`` (it never began), ``FOREIGN`` (no journal of
        ours is there), ``NEWER`` (written by a newer version), ``UNREADABLE`` (the system does
        not let us read it).
    start, stop
        ns since the epoch, UTC, or None.
    last
        Time of the last event of the run's first writer (ns since the epoch).
    duration
        Seconds from the start to the end, to the last sign of life of one that died, or to now.
    points
        How many metric points the journal holds.
    result
        As it is in the journal.
    problem
        What is wrong with the journal in a sentence, or None.
    note
        What is not as in a run that went well and is no damage, in a sentence, or None: an end that
        a kill left, events that the run itself told to be lost, or that a repair wrote down.
    spool_end
        Where in the spool the output ends that the journal has (bytes).
    """

    run: int | None
    path: str
    journal_id: int = 0
    id: Any = None
    name: str | None = None
    command: str | None = None
    status: str = EMPTY
    start: int | None = None
    stop: int | None = None
    last: int = 0
    duration: float | None = None
    points: int = 0
    events: int = 0
    result: Any = None
    host: str | None = None
    problem: str | None = None
    note: str | None = None
    spool_end: int = 0

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "run": self.run,
            "id": jsonable(self.id),
            "name": self.name,
            "command": self.command,
            "status": self.status,
            "start": instant(self.start),
            "stop": instant(self.stop),
            "duration": self.duration,
            "points": self.points,
            "result": jsonable(self.result),
            "host": self.host,
            "journal_id": f"{self.journal_id:016x}" if self.journal_id else None,
            "path": self.path,
            "problem": self.problem,
            "note": self.note,
        }


def outline(
    folder: RunFolder,
    *,
    now: int | None = None,
    visit: Callable[[Event], object] | None = None,
    table_decoder: Callable[[dict[str, Any]], Any] = decode_length,
) -> RunOutline:
    """Read a run's journal and tell what became of the run.

    Never raises for what is in the folder: what is wrong is in ``status`` and ``problem``.

    Parameters
    ----------
    folder
        Of the run.
    now
        The time by which the duration of a running one is measured (ns since the epoch).
    visit
        Is called with each event, writer after writer; what it raises is raised.
    table_decoder
        Makes what ``visit`` sees of a table of points.
    """
    return _read(folder, now, visit, table_decoder)[0]


def _read(
    folder: RunFolder,
    now: int | None = None,
    visit: Callable[[Event], object] | None = None,
    table_decoder: Callable[[dict[str, Any]], Any] = decode_length,
) -> tuple[RunOutline, bool]:
    """Read a run's journal; tell, too, whether nothing but the journal's files decides the answer.

    It does for a run that ended and whose journal is sound: the others may be told of otherwise a
    moment later.
    """
    found = RunOutline(folder.number, str(folder.path))
    if visit is None and _summarised(found):
        return found, True
    ended = False
    try:
        reader = JournalReader(folder.journal, table_decoder=table_decoder)
    except JournalUnreadableError as error:
        found.status, found.problem = UNREADABLE, str(error)
        return found, False
    except (JournalError, OSError) as error:
        nothing = folder.holds_nothing()
        found.status = EMPTY if nothing else FOREIGN
        found.problem = "it was claimed, and nothing was written" if nothing else str(error)
        return found, False
    try:
        state = _fold(reader, found, visit)
        _judge(reader, found, state, now)
        ended = state is Liveness.ENDED and found.problem is None
    except NewerFormatError as error:
        found.status, found.problem = NEWER, str(error)
    except (JournalError, OSError) as error:
        found.status, found.problem = FOREIGN, str(error)
    finally:
        reader.close()
    return found, ended


def _summarised(found: RunOutline) -> bool:
    """Fill in what a sealed run's file says at a glance; tell whether it says anything."""
    summary = _SUMMARIES.read(f"{found.path}{os.sep}journal")
    if summary is None:
        return False
    found.journal_id, found.last = summary.journal_id, summary.last
    found.events, found.points = summary.events, summary.points
    for kind, time, fields in summary.told:
        _take(found, kind, time, fields)
    found.duration = _duration(found, alive=False, now=None)
    return True


def _fold(
    reader: JournalReader, found: RunOutline, visit: Callable[[Event], object] | None
) -> Liveness:
    state = Liveness.RUNNING
    for frame in reader.poll():
        found.events += frame.count
        for event in frame.events:
            if visit is not None:
                visit(event)
            if event.type in _POINTS:
                found.points += event.count
            if event.writer != 0:
                continue
            # What begins and seals files is no sign of the run's life: sealing moves nothing.
            if type(event.time) is int and event.seq >= 0:
                found.last = max(found.last, event.time)
            state = state_after(event.type, state)
            _take(found, event.type, event.time, event.fields)
            found.spool_end = max(found.spool_end, spooled_to(event))
    found.journal_id = reader.journal_id
    return state


def _take(found: RunOutline, kind: int, time: int, fields: dict[str, Any]) -> None:
    if kind in {EventType.RUN_STARTED, EventType.RUN_QUEUED}:
        found.id = fields.get("run_id")
        found.name = _text(fields.get("name"))
        found.command = _text(fields.get("command"))
        host = fields.get("host")
        found.host = _text(host.get("hostname")) if isinstance(host, dict) else None
        queued = kind == EventType.RUN_QUEUED
        found.status = _text(fields.get("status")) or ("QUEUED" if queued else "RUNNING")
        found.start = None if queued else time
    elif kind == EventType.RUN_RESUMED:
        found.status, found.stop = "RUNNING", None
    elif kind == EventType.RUN_ENDED:
        found.status, found.stop = _text(fields.get("status")) or "COMPLETED", time
        if "result" in fields:
            found.result = fields["result"]
    elif kind == EventType.RESULT_CHANGED:
        found.result = fields.get("result")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _judge(reader: JournalReader, found: RunOutline, state: Liveness, now: int | None) -> None:
    """Tell what became of the run, and what is wrong with its journal."""
    verdicts = reader.verdicts
    alive = False
    if not reader.journal_id:
        sizes = [
            os.path.getsize(reader.folder / name)
            for name in os.listdir(reader.folder)
            if name.endswith(".jzst")
        ]
        found.status = FOREIGN if any(sizes) else EMPTY
        found.problem = (
            "its files hold no frame of a journal" if any(sizes) else "its files are empty"
        )
        return
    if reader._epochs(0):
        became = state_now(reader, state, found.last)
        alive = became is Liveness.RUNNING
        if became is Liveness.DIED:
            # A run that was cut off before its start event died all the same.
            found.status = DIED
        elif became is Liveness.ENDED and state is not became:
            found.status = ended_as(reader) or found.status
        elif alive and found.status == EMPTY:
            found.status = "RUNNING"
    elif found.status == EMPTY:
        found.problem = "it has no file of the run's first writer"
    tails = [] if alive else [tail for tail in reader.tails() if not tail.superseded]
    told = [*(v for v in verdicts if not getattr(v, "superseded", False)), *tails]
    damage: list[Verdict | SpoolFlaw] = [verdict for verdict in told if is_damage(verdict)]
    damage += flaws_from(reader.folder / SPOOL, found.spool_end)
    found.problem = _first(damage) or found.problem
    found.note = _first([verdict for verdict in told if not is_damage(verdict)])
    found.duration = _duration(found, alive=alive, now=now)


def _first(verdicts: Sequence[Verdict | SpoolFlaw]) -> str | None:
    more = f" (and {len(verdicts) - 1} more)" if len(verdicts) > 1 else ""
    return f"{verdicts[0]}{more}" if verdicts else None


def _duration(found: RunOutline, *, alive: bool, now: int | None) -> float | None:
    if type(found.start) is not int:
        return None
    end = found.stop
    if type(end) is not int:
        if alive:
            import time

            end = now if now is not None else time.time_ns()
        else:
            end = found.last
    return max(0.0, (end - found.start) / 1e9)


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
        from sacred.replayers.question_cache import JournalStamps, KeptRows

        self._root = str(root.path)
        self._stamps = JournalStamps(root) if cache and os.name != "nt" else None
        self._rows = KeptRows(root, "runs", self._stamps) if self._stamps is not None else None

    def of(self, number: int) -> RunOutline:
        """Return the outline of a run."""
        path = f"{self._root}{os.sep}{number}"
        row = self._rows.get(number) if self._rows is not None else None
        if row is not None:
            return _outline_of(number, path, row)
        found, ended = RunOutline(number, path), True
        if not _summarised(found):
            found, ended = _read(RunFolder(Path(path), number))
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


#: What is kept of an outline besides its id and its result.
_KEPT = (
    *("journal_id", "name", "command", "status", "start", "stop", "last", "duration", "points"),
    *("events", "host", "note", "spool_end"),
)
_SCALARS = frozenset({type(None), bool, int, float, str})
_values_of = operator.attrgetter(*_KEPT)


def _row_of(found: RunOutline) -> tuple[Any, ...] | None:
    """Return what is kept of an outline; None if that would not be what it is."""
    values = _values_of(found)
    if type(found.id) not in _SCALARS or not _SCALARS.issuperset(map(type, values)):
        return None
    result = found.result
    if type(result) not in _SCALARS:
        if not _is_plain(result):
            return None
        result = (pack(result),)
    return found.id, result, values


def _outline_of(number: int, path: str, row: tuple[Any, ...]) -> RunOutline:
    ident, result, values = row
    if type(result) is tuple:
        result = unpack(result[0])
    (journal, name, command, status, start, stop, last, duration) = values[:8]
    (points, events, host, note, spool_end) = values[8:]
    return RunOutline(
        *(number, path, journal, ident, name, command, status, start, stop, last, duration),
        *(points, events, result, host, None, note, spool_end),
    )


def _is_plain(value: Any, depth: int = 8) -> bool:
    """Tell whether a value is written and read as what it is."""
    if type(value) is list and depth:
        return all(_is_plain(item, depth - 1) for item in value)
    if type(value) is dict and depth:
        return all(type(key) is str and _is_plain(item, depth - 1) for key, item in value.items())
    return type(value) in _SCALARS


def outlines(
    root: JournalRoot, *, last: int | None = None, cache: bool = True, at: Moment | None = None
) -> Iterator[RunOutline]:
    """Yield the outlines of a root's runs in the order of their numbers.

    Parameters
    ----------
    root
        Where the runs are.
    last
        How many at most: those with the highest numbers.
    cache
        Whether what is known of ended runs may be used, and kept (``sacred.replayers.question_cache``).
    at
        The runs as they were at that moment; those that had not begun are left out
        (:func:`sacred.replayers.past_outline.outline_at`). None: as they are.

    Raises
    ------
    NoRootError
    """
    if at is not None:
        from sacred.replayers.past_outline import outlines_at

        yield from outlines_at(root, at, last=last)
        return
    numbers = root.numbers()
    wanted = numbers if last is None else numbers[max(0, len(numbers) - last) :]
    kept = KeptOutlines(root, cache=cache)
    try:
        for number in wanted:
            yield kept.of(number)
    finally:
        kept.close(numbers)
