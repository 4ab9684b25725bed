"""Whether a run lives, has ended or died: computed from its journal, never written into it."""

from __future__ import annotations

import contextlib
import os
import time
from enum import Enum
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import NotAJournalError
from sacred.journal.events import EventType
from sacred.journal.identity import YOUNG, process_lives
from sacred.journal.reader import JournalReader
from sacred.journal.regular_file import open_regular
from sacred.journal.root import epoch_file_name
from sacred.journal.tables import decode_length

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder


class Liveness(Enum):
    """What became of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    DIED = "died"


def writer_lives(path: Path, identity: dict[str, Any] | None, last_sign: int) -> bool:
    """Tell whether the writer of a file lives.

    Parameters
    ----------
    path
        The writer's newest file.
    identity
        The fields of its ``EPOCH_BEGAN``, if they could be read.
    last_sign
        Time of its last event (ns since the epoch).
    """
    lives = process_lives(identity) if identity is not None else None
    if lives is None:
        lives = lock_is_held(path)
    if lives is None:
        with contextlib.suppress(OSError):
            last_sign = max(last_sign, os.stat(path).st_mtime_ns)
        lives = time.time_ns() - last_sign < YOUNG * 1e9
    return lives


def why_untouched(identity: dict[str, Any], *, force: bool) -> tuple[bool, str | None]:
    """Tell whether the writer of a file is seen to live, and why its file stays as it is.

    Parameters
    ----------
    identity
        The fields of its ``EPOCH_BEGAN``; empty if they are lost.
    force
        What nobody can see from here counts as dead.

    Returns
    -------
    The reason is half a sentence; None where the file will not grow any more.
    """
    lives = process_lives(identity)
    if lives:
        return True, f"its process ({identity.get('pid')}) lives"
    if lives is None and not force:
        where = identity.get("host") or "an unknown machine"
        return False, (
            f"it was written on {where}, and whether its process lives can not be seen from here: "
            "do it there, or with --force"
        )
    return False, None


def lock_is_held(path: Path) -> bool | None:
    """Tell whether a process of this host holds the writer's lock; None if that proves nothing."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = open_regular(path)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None  # free here; a holder on another machine is not seen


def run_liveness(folder: RunFolder) -> Liveness:
    """Read a run's first writer and tell what became of the run.

    The first writer alone decides: a child may outlive the run, or die without harm to it.

    Raises
    ------
    NotAJournalError
    """
    return journal_liveness(folder.journal)


def journal_liveness(journal: Path) -> Liveness:
    """Do so for the ``journal`` folder of a run."""
    reader = JournalReader(journal, table_decoder=decode_length)
    state, last = Liveness.RUNNING, 0
    for frame in reader.poll():
        if frame.writer == 0:
            for event in frame.events:
                last = max(last, event.time) if event.seq >= 0 else last
                state = state_after(event.type, state)
    return state_now(reader, state, last)


def state_after(event_type: int, state: Liveness) -> Liveness:
    """Return what an event of the first writer says of its run, if it says anything."""
    if event_type == EventType.RUN_ENDED:
        return Liveness.ENDED
    if event_type in {EventType.RUN_STARTED, EventType.RUN_RESUMED}:
        return Liveness.RUNNING
    return Liveness.QUEUED if event_type == EventType.RUN_QUEUED else state


def state_now(reader: JournalReader, state: Liveness, last: int) -> Liveness:
    """Turn what the journal's events say of a run into what it is now.

    Parameters
    ----------
    reader
        Has read the journal to its present end.
    state
        Running, ended or queued by the events.
    last
        Time of the first writer's last event (ns since the epoch).
    """
    if state is not Liveness.RUNNING:
        return state
    epochs = reader._epochs(0)
    if not epochs:
        raise NotAJournalError(f"{reader.folder} has no file of the run's first writer")
    # The newest file may be empty: a writer that was killed while it made it.
    newest = newest_file(reader) or epochs[-1]
    path = reader.folder / epoch_file_name(0, newest)
    identity = reader.identities.get((0, newest)) or None
    if ended_as(reader) is not None:
        return Liveness.ENDED  # the event that says so is lost
    if (0, newest) in reader.seals or (identity and identity.get("opened_by") == "seal"):
        return Liveness.DIED  # it was seen to be dead when the file was sealed
    if identity is None and not lock_is_held(path):
        # The first frame is lost. It was the process of the file before, unless the run was resumed
        # in this one: that process would hold the lock.
        identity = _identity_before(reader, newest)
    return Liveness.RUNNING if writer_lives(path, identity, last) else Liveness.DIED


def _identity_before(reader: JournalReader, epoch: int) -> dict[str, Any] | None:
    """Return who wrote the first writer's file before one; None where nobody knows."""
    before = [e for e in reader._epochs(0) if e < epoch and (0, e) in reader.identities]
    return reader.identities[0, before[-1]] if before else None


def ended_as(reader: JournalReader) -> str | None:
    """Return the status that a sealed file tells of its run, at its beginning and at its end.

    It stands there for the case that damage hit the event that ends the run.

    Parameters
    ----------
    reader
        Has read the journal to its present end.

    Returns
    -------
    None if the newest file of the first writer tells none: the run did not end, or it was sealed
    by a version that did not write it.
    """
    newest = newest_file(reader)
    for events in (reader.identities, reader.seals):
        status = events.get((0, newest or 0), {}).get("status")
        if type(status) is str:
            return status
    return None


def newest_file(reader: JournalReader) -> int | None:
    """Return the newest epoch of the first writer in which anything is whole."""
    return next((e for e in reversed(reader._epochs(0)) if reader._readable(0, e)), None)
