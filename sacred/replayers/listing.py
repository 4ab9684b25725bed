"""Runs at a glance: what ``sacred ls`` shows.

Reading stays lean: metric points are counted and never decoded, so that a listing of many runs
costs about what reading their files costs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import (
    JournalError,
    JournalUnreadableError,
    NewerFormatError,
)
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, ended_as, state_after, state_now
from sacred.journal.notes import read_notes
from sacred.journal.reader import JournalReader
from sacred.journal.sealed_summary import SummaryReader
from sacred.journal.spool import SPOOL, flaws_from, spooled_to
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.annotations import Annotations
from sacred.replayers.jsontext import instant, jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.journal.spool import SpoolFlaw
    from sacred.journal.verdicts import Verdict

__all__ = ["RunOutline", "outline", "outlines", "read_outline", "take_notes"]

#: Statuses that are computed here and stand in no journal.
DIED, EMPTY, FOREIGN, NEWER = "DIED", "EMPTY", "FOREIGN", "NEWER"
UNREADABLE = "UNREADABLE"

_SUMMARIES = SummaryReader()
_NOTHING_SAID = Annotations()
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
    annotations
        What people said of the run: its tags and its note.
    rerun_of
        Of a run that repeats another one (``sacred rerun``): that one's journal id, 16 hex digits.
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
    annotations: Annotations = _NOTHING_SAID
    rerun_of: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the run has, in the order in which they came."""
        return self.annotations.tags

    @property
    def notes(self) -> str | None:
        """What a person noted about it, or None; ``note`` is what its journal tells."""
        return self.annotations.notes

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
            "tags": list(self.tags),
            "notes": self.notes,
            "rerun_of": self.rerun_of,
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
    found, _ = read_outline(folder, now, visit, table_decoder)
    take_notes(folder, found)
    return found


def read_outline(
    folder: RunFolder,
    now: int | None = None,
    visit: Callable[[Event], object] | None = None,
    table_decoder: Callable[[dict[str, Any]], Any] = decode_length,
) -> tuple[RunOutline, bool]:
    """Read a run's journal; tell, too, whether nothing but the journal's files decides the answer.

    Nothing else does for a run that ended and whose journal is sound: of the others something else
    may be told a moment later.
    """
    found = RunOutline(folder.number, folder.place)
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


def take_notes(folder: RunFolder, found: RunOutline, *, until: int | None = None) -> None:
    """Put what was said beside the journal, until a time (ns), into an outline."""
    said = read_notes(folder)
    events = [each for each in said.events if until is None or each.time <= until]
    found.annotations = found.annotations.after_all(events)
    found.note = found.note or said.problem


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
        found.rerun_of = _repeated(fields.get("meta"))
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
    elif kind == EventType.ANNOTATED:
        found.annotations = found.annotations.after(fields)


def _repeated(meta: Any) -> str | None:
    link = meta.get("rerun_of") if isinstance(meta, dict) else None
    return _text(link.get("journal")) if isinstance(link, dict) else None


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
    from sacred.replayers.kept_outlines import KeptOutlines

    kept = KeptOutlines(root, cache=cache)
    try:
        for number in wanted:
            yield kept.of(number)
    finally:
        kept.close(numbers)
