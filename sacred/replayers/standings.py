"""How the views of runs stand, from what this machine remembers: ``sacred views``.

No view is asked. Where a replayer left a note that the view has all of the journal, and nothing came
to the journal since, that is all that is read: ten thousand runs take about a second. Elsewhere the
journal is read from where the view stands, and its points are counted, not decoded.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError, NotAJournalError
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.notes import notes_size
from sacred.journal.position import Position
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.replayers.jsontext import instant, jsonable
from sacred.replayers.memo import JournalSize, ViewMemo, memos_by_key
from sacred.replayers.view_lock import is_taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sacred.journal.root import RunFolder

__all__ = ["Standing", "ViewSummary", "standings", "summarised"]

#: A view of which a replayer said something so recently is being written (s).
_FRESH = 90.0
#: What a person has to look at, the worst first.
_ORDER = ("failed", "behind", "following", "deleted", "current")


@dataclass(frozen=True, slots=True)
class Standing:
    """How one run stands in one view.

    Attributes
    ----------
    run
        The folder's number; None for a journal outside of a root.
    path
        The run's folder.
    kind, view
        ``mongo``, and the view's name, without secrets.
    view_id
        The run's id there; None if it has none, or it is not known here.
    state
        ``current``; ``following``: a replayer is at it; ``behind``: it lacks events, and nobody is
        at it or the view can not be reached; ``failed``: it will not come right by itself;
        ``deleted``: a person deleted the run there.
    events
        How many events of the journal the view has; None if the note, of an earlier version, does
        not tell.
    lag_events
        How many it lacks; None where that can not be told.
    lag_seconds
        For how long the oldest of these has been waiting; None where that can not be told.
    error
        Why it is behind or failed, in one sentence; None if all went well.
    written
        When the view was last written from this machine (ns since the epoch), or None.
    since
        Since when there is this error (ns since the epoch), or None.
    """

    run: int | None
    path: str
    kind: str
    view: str
    view_id: Any
    state: str
    events: int | None
    lag_events: int | None
    lag_seconds: float | None
    error: str | None
    written: int | None
    since: int | None

    @property
    def is_well(self) -> bool:
        """Whether nobody has to look."""
        return self.state not in {"behind", "failed"}

    @property
    def title(self) -> str:
        """``57 -> mongo 900``: which run it is, and what it is called there."""
        run = self.path if self.run is None else str(self.run)
        there = "" if self.view_id is None else f" {self.view_id}"
        return f"{run} -> {self.kind}{there}"

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "run": self.run,
            "kind": self.kind,
            "view": self.view,
            "view_id": jsonable(self.view_id),
            "state": self.state,
            "events": self.events,
            "lag_events": self.lag_events,
            "lag_seconds": self.lag_seconds,
            "error": self.error,
            "error_since": instant(self.since),
            "written": instant(self.written),
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class ViewSummary:
    """How all runs stand in one view.

    Attributes
    ----------
    kind, view
        As in ``Standing``.
    counts
        How many runs there are of each state.
    lag_events
        What all runs together lack.
    lag_seconds
        For how long the oldest of it has been waiting.
    error
        The reason that was met last, or None.
    written
        When the view was last written from this machine (ns since the epoch), or None.
    """

    kind: str
    view: str
    counts: dict[str, int]
    lag_events: int
    lag_seconds: float
    error: str | None
    written: int | None

    @property
    def runs(self) -> int:
        """How many runs the view has or is to have."""
        return sum(self.counts.values())

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "kind": self.kind,
            "view": self.view,
            "runs": self.runs,
            **{state: self.counts.get(state, 0) for state in reversed(_ORDER)},
            "lag_events": self.lag_events,
            "lag_seconds": self.lag_seconds,
            "error": self.error,
            "written": instant(self.written),
        }


def standings(
    folders: Iterable[RunFolder], *, measure: bool = True, now: int | None = None
) -> Iterator[Standing]:
    """Tell how runs stand in their views, run by run.

    A view of which this machine remembers nothing (it was written elsewhere) is not in it.

    Parameters
    ----------
    folders
        Of the runs.
    measure
        Whether to read in the journals how much the views lack that can not be written; without
        it the lag of these is None.
    now
        The time by which lag is measured (ns since the epoch).
    """
    clock = time.time_ns() if now is None else now
    for folder in folders:
        memos = memos_by_key(folder.views) if folder.has_views() else {}
        if not memos:
            continue
        size, notes = JournalSize.of(folder.journal), notes_size(folder.path)
        for key, memo in memos.items():
            yield _standing(folder, key, memo, size, notes, clock, measure=measure)


def _standing(
    folder: RunFolder,
    key: str,
    memo: ViewMemo,
    size: JournalSize | None,
    notes: tuple[int, int],
    now: int,
    *,
    measure: bool,
) -> Standing:
    state, error = memo.state, memo.error
    position = _position(memo)
    events, seconds = None, None
    if memo.covers(size) or state == "deleted":
        events, seconds = 0, 0.0
    elif memo.looked is not None and (measure or error is None):
        try:
            events, seconds = _lag(folder, position, now)
        except NotAJournalError:
            events, seconds = 0, 0.0  # nothing was written yet, or the journal was taken away
        except (JournalError, OSError) as reason:
            error = error or str(reason)
    waits = state != "deleted" and not memo.has_notes(notes)
    if events is not None and waits:
        # What was said beside the journal: a file each time, as a rule.
        known = memo.notes[0] if isinstance(memo.notes, list) and memo.notes else 0
        events += max(1, notes[0] - known)
        seconds = max(seconds or 0.0, _since_said(folder, now))
    if state in {"current", "following"} and memo.looked is not None:
        fresh = now - memo.looked < _FRESH * 1e9
        if fresh and error is None and (events or not memo.ended):
            fresh = not _is_left(folder, key)
        if error is not None:
            state = "behind"
        elif events:
            left = waits and memo.ended  # nobody looks at a run that is over but the next replay
            state = "following" if fresh and not left else "behind"
        elif memo.ended or not fresh:
            state = "current"  # where its process is gone, it left nothing
    return Standing(
        *(folder.number, str(folder.path), memo.kind, memo.view, memo.view_id, state),
        *(position.events() if _tells_position(memo) else None, events, seconds),
        *(error, memo.written, memo.since),
    )


def _since_said(folder: RunFolder, now: int) -> float:
    """Return how long ago something was said of a run (s)."""
    try:
        return max(0.0, (now - os.stat(folder.path / "notes").st_mtime_ns) / 1e9)
    except OSError:
        return 0.0


def _is_left(folder: RunFolder, key: str) -> bool:
    """Tell whether a run was killed, and whoever wrote this view of it as well."""
    if is_taken(folder, key) is not False:
        return False
    try:
        return run_liveness(folder) is Liveness.DIED
    except (JournalError, OSError):
        return False


def _tells_position(memo: ViewMemo) -> bool:
    """Tell whether a note says where the view stands: those of earlier versions have no such field."""
    return bool(memo.position != ())  # what comes of JSON is no tuple


def _position(memo: ViewMemo) -> Position:
    try:
        return Position.from_wire(memo.position)
    except JournalError:
        return Position()


def _lag(folder: RunFolder, position: Position, now: int) -> tuple[int, float]:
    """Return how many events lie behind a position, and for how long the first has (s)."""
    reader = JournalReader(folder.journal, position, table_decoder=decode_length)
    count, first = 0, now
    try:
        for frame in reader.poll():
            count += frame.count
            for event in frame.events:
                if event.seq >= 0 and type(event.time) is int:
                    first = min(first, event.time)
                    break
    finally:
        reader.close()
    return count, max(0.0, (now - first) / 1e9) if count else 0.0


def summarised(found: Iterable[Standing]) -> list[ViewSummary]:
    """Sum up how all runs stand in each view, in the order of the views' names."""
    views: dict[tuple[str, str], list[Standing]] = {}
    for standing in found:
        views.setdefault((standing.kind, standing.view), []).append(standing)
    return [_summary(kind, view, of) for (kind, view), of in sorted(views.items())]


def _summary(kind: str, view: str, found: list[Standing]) -> ViewSummary:
    counts = dict.fromkeys(_ORDER, 0)
    for standing in found:
        counts[standing.state] = counts.get(standing.state, 0) + 1
    told = [standing for standing in found if standing.error and not standing.is_well]
    last = max(told, key=lambda standing: standing.since or 0, default=None)
    return ViewSummary(
        kind,
        view,
        {state: count for state, count in counts.items() if count},
        sum(standing.lag_events or 0 for standing in found),
        max((standing.lag_seconds or 0.0 for standing in found), default=0.0),
        last.error if last is not None else None,
        max((standing.written for standing in found if standing.written), default=None),
    )
