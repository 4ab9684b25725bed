"""Runs at a glance as they were at a moment: what ``sacred ls --at`` shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError, JournalUnreadableError, NewerFormatError
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness
from sacred.journal.past import PastReader
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.listing import DIED, FOREIGN, NEWER, UNREADABLE, RunOutline
from sacred.replayers.outline_reading import (
    duration_of,
    first_told,
    fold_events,
    judge,
    take_notes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["outline_at", "outlines_at"]


def outline_at(
    folder: RunFolder,
    at: Moment,
    *,
    visit: Callable[[Event], object] | None = None,
    table_decoder: Callable[[dict[str, Any]], Any] = decode_length,
) -> RunOutline | None:
    """Tell what had become of a run at a moment.

    Parameters
    ----------
    folder
        Of the run.
    at
        The moment.
    visit
        Is called with each event that was there, writer after writer; what it raises is raised.
    table_decoder
        Makes what ``visit`` sees of a table of points; of one that was there in part it sees the
        points one by one.

    Returns
    -------
    None if the run had not begun. What has no date is there at every moment: a folder that is no
    journal, or one that can not be read, as it is now.

    Notes
    -----
    A run that ended later was ``RUNNING``. One that died is ``DIED`` from its last sign of life on;
    one that somebody went on with, until he did.
    """
    found = RunOutline(folder.number, str(folder.path))
    try:
        reader = PastReader(folder.journal, at, table_decoder=table_decoder)
    except JournalUnreadableError as error:
        found.status, found.problem = UNREADABLE, str(error)
        return found
    except (JournalError, OSError) as error:
        if folder.holds_nothing():
            return None
        found.status, found.problem = FOREIGN, str(error)
        return found
    try:
        state = fold_events(reader, found, visit)
        if not reader.held and (reader.journal_id or reader.behind is not None):
            return None
        if reader.behind is None:
            now = time.time_ns()
            judge(reader, found, state, now if reader.time is None else min(now, reader.time))
        else:
            _judge_past(reader, found, state, reader.behind)
        take_notes(folder, found, until=reader.time)
    except NewerFormatError as error:
        found.status, found.problem = NEWER, str(error)
    except (JournalError, OSError) as error:
        found.status, found.problem = FOREIGN, str(error)
    finally:
        reader.close()
    return found


def _judge_past(reader: PastReader, found: RunOutline, state: Liveness, behind: Event) -> None:
    """Tell what had become of a run of which there was more to come."""
    alive = state is Liveness.RUNNING
    if alive and behind.type == EventType.RUN_RESUMED:
        found.status, alive = DIED, False
    elif alive and not found.id and found.start is None:
        found.status = "RUNNING"
    found.problem = first_told(
        [v for v in reader.verdicts if is_damage(v) and not getattr(v, "superseded", False)]
    )
    found.duration = duration_of(found, alive=alive, now=reader.time)


def outlines_at(root: JournalRoot, at: Moment, *, last: int | None = None) -> Iterator[RunOutline]:
    """Yield the outlines of the runs that had begun at a moment, in the order of their numbers.

    Parameters
    ----------
    root
        Where the runs are.
    at
        The moment.
    last
        How many at most: of those that had begun, the ones with the highest numbers.

    Raises
    ------
    NoRootError
    """
    folders = root.runs()
    if last is None:
        found = (outline_at(folder, at) for folder in folders)
        yield from (outline for outline in found if outline is not None)
        return
    latest: list[RunOutline] = []
    for folder in reversed(folders):
        if len(latest) == last:
            break
        outline = outline_at(folder, at)
        if outline is not None:
            latest.append(outline)
    yield from reversed(latest)
