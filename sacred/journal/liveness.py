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
        lives = _lock_is_held(path)
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


def _lock_is_held(path: Path) -> bool | None:
    """Tell whether a process of this host holds the writer's lock; None if that proves nothing."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
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
    known = [epoch for epoch in epochs if (0, epoch) in reader.identities]
    newest = known[-1] if known else epochs[-1]
    path = reader.folder / epoch_file_name(0, newest)
    identity = reader.identities.get((0, newest)) or None
    if identity is not None and identity.get("opened_by") == "seal":
        return Liveness.DIED  # it was seen to be dead when the file was sealed
    return Liveness.RUNNING if writer_lives(path, identity, last) else Liveness.DIED
