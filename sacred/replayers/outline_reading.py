"""Reads what a journal says of its run at a glance.

Reading stays lean: metric points are counted and never decoded, so that a listing of many runs
costs about what reading their files costs.
"""

from __future__ import annotations

import os
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
from sacred.replayers.listing import DIED, EMPTY, FOREIGN, NEWER, UNREADABLE, RunOutline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder
    from sacred.journal.spool import SpoolFlaw
    from sacred.journal.verdicts import Verdict

__all__ = ["duration_of", "first_told", "fold_events", "judge", "read_outline", "take_notes"]

_SUMMARIES = SummaryReader()
_POINTS = frozenset({int(EventType.METRIC_POINT), int(EventType.METRIC_TABLE)})


def read_outline(
    folder: RunFolder,
    now: int | None = None,
    visit: Callable[[Event], object] | None = None,
    table_decoder: Callable[[dict[str, Any]], Any] | None = None,
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
        reader = JournalReader(folder.journal, table_decoder=table_decoder or decode_length)
    except JournalUnreadableError as error:
        found.status, found.problem = UNREADABLE, str(error)
        return found, False
    except (JournalError, OSError) as error:
        nothing = folder.holds_nothing()
        found.status = EMPTY if nothing else FOREIGN
        found.problem = "it was claimed, and nothing was written" if nothing else str(error)
        return found, False
    try:
        state = fold_events(reader, found, visit)
        judge(reader, found, state, now)
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
    found.duration = duration_of(found, alive=False, now=None)
    return True


def fold_events(
    reader: JournalReader, found: RunOutline, visit: Callable[[Event], object] | None
) -> Liveness:
    """Fold all events of a journal into an outline, and return what they say of the run's life."""
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


def judge(reader: JournalReader, found: RunOutline, state: Liveness, now: int | None) -> None:
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
    found.problem = first_told(damage) or found.problem
    found.note = first_told([verdict for verdict in told if not is_damage(verdict)])
    found.duration = duration_of(found, alive=alive, now=now)


def first_told(verdicts: Sequence[Verdict | SpoolFlaw]) -> str | None:
    """Return a sentence on several findings: the first, and how many more there are."""
    more = f" (and {len(verdicts) - 1} more)" if len(verdicts) > 1 else ""
    return f"{verdicts[0]}{more}" if verdicts else None


def duration_of(found: RunOutline, *, alive: bool, now: int | None) -> float | None:
    """Return how long a run took, so far if it goes on (s); None of one that has not begun."""
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
