"""Runs at a glance: what ``sacred ls`` shows.

What reads a journal is :mod:`sacred.replayers.outline_reading`, which is not loaded where all that is
asked for is known from the last time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sacred.replayers.annotations import Annotations
from sacred.replayers.jsontext import instant, jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["RunOutline", "outline", "outlines"]

#: Statuses that are computed here and stand in no journal.
DIED, EMPTY, FOREIGN, NEWER = "DIED", "EMPTY", "FOREIGN", "NEWER"
UNREADABLE = "UNREADABLE"

_NOTHING_SAID = Annotations()


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
    table_decoder: Callable[[dict[str, Any]], Any] | None = None,
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
        Makes what ``visit`` sees of a table of points; by default its length alone.
    """
    from sacred.replayers.outline_reading import read_outline, take_notes

    found, _ = read_outline(folder, now, visit, table_decoder)
    take_notes(folder, found)
    return found


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
        yield from kept.every(wanted)
    finally:
        kept.close(numbers)
