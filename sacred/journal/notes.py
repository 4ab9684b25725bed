"""What people say of a run after the fact: its tags and notes, in a journal of their own beside its.

The run's files stay as they are, byte for byte: a sealed one, a damaged one, one that is written at
this moment. Each process that says something writes a file of its own (``notes/w0003-e0001.jzst``),
so that any number of them, on any machines, may do so at once. The order of what they said is that
of time; who says something says it later than all that he could read.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import (
    JournalBusyError,
    JournalError,
    JournalUnavailableError,
    NotAJournalError,
    RunNotFoundError,
)
from sacred.journal.events import EventType
from sacred.journal.folder_lock import locked_journal
from sacred.journal.liveness import lock_is_held
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.position import WriterPosition
from sacred.journal.reader import JournalReader
from sacred.journal.root import NOTES, epoch_file_name, fsync_folder, parse_epoch_file_name
from sacred.journal.verdicts import is_damage
from sacred.journal.writer import JournalWriter, new_journal_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder

__all__ = [
    "COPY_MARK",
    "Notes",
    "Said",
    "annotate",
    "bring_notes",
    "notes_size",
    "read_notes",
]

#: What a copy of a run has: its original goes on, and brings its notes.
COPY_MARK = "copy.json"
#: For so long a file without a whole frame may be one that is being begun on another machine (s).
_BEGINNING = 1.0
_PAUSE = 0.02
_ATTEMPTS = 1000


class Said(NamedTuple):
    """One thing that somebody says of a run.

    Attributes
    ----------
    what
        ``tag`` or ``note``.
    action
        ``add``, ``set`` or ``remove``.
    value
        The text.
    """

    what: str
    action: str
    value: str


class Notes(NamedTuple):
    """What was said of a run.

    Attributes
    ----------
    events
        ``ANNOTATED`` events in their order.
    problem
        What of it can not be read, in a sentence, or None.
    """

    events: tuple[Event, ...] = ()
    problem: str | None = None


def read_notes(folder: RunFolder) -> Notes:
    """Read what was said of a run.

    Parameters
    ----------
    folder
        The run's.

    Returns
    -------
    Never raises for what is there: what is wrong is its ``problem``.
    """
    place = folder.path / NOTES
    if not os.path.isdir(place):
        return Notes()
    events: list[Event] = []
    try:
        reader = JournalReader(place)
        try:
            events += (e for e in reader.read() if e.type == EventType.ANNOTATED)
            wrong = [v for v in (*reader.verdicts, *reader.tails()) if is_damage(v)]
        finally:
            reader.close()
    except NotAJournalError:
        return Notes()
    except (JournalError, OSError) as error:
        return Notes(tuple(events), f"its tags and notes can not be read: {error}")
    problem = f"its tags and notes are not whole: {wrong[0]}" if wrong else None
    # Not as they came: what was brought from a copy was said between what was said here.
    return Notes(tuple(sorted(events, key=_identity)), problem)


def notes_size(folder: Path) -> tuple[int, int]:
    """Return how many files the notes of a run have, and their bytes: by it news are noticed.

    Parameters
    ----------
    folder
        The run's.
    """
    files = size = 0
    try:
        with os.scandir(folder / NOTES) as entries:
            for entry in entries:
                if parse_epoch_file_name(entry.name):
                    files += 1
                    size += entry.stat().st_size
    except OSError:
        return 0, 0
    return files, size


def annotate(
    folder: RunFolder, said: Sequence[Said], *, author: str | None = None, at: int | None = None
) -> None:
    """Write down what somebody says of a run: it survives a power cut when this returns.

    Parameters
    ----------
    folder
        The run's. Nothing of its journal is touched: it may be sealed, damaged, or being written.
    said
        In order. Killed meanwhile, a first part of it is written, or none.
    author
        Who says it.
    at
        When (ns since the epoch); now if None, and in either case later than all that was said.

    Raises
    ------
    RunNotFoundError
        The run was removed.
    JournalUnavailableError
        It can not be written, or the run is a copy.
    """
    if not said:
        return
    now = time.time_ns() if at is None else at
    rows = [(now + number, each._asdict()) for number, each in enumerate(said)]
    _write(folder, rows, author, later=True)


def bring_notes(source: RunFolder, target: RunFolder) -> int:
    """Write down for a run what was said of another copy of it, and not here, with its times.

    Parameters
    ----------
    source
        Where it was said.
    target
        Where it is to be written.

    Returns
    -------
    How many things came. Called again, none does.

    Raises
    ------
    RunNotFoundError, JournalUnavailableError
        As by ``annotate``.
    """
    here = {_identity(event) for event in read_notes(target).events}
    news = [event for event in read_notes(source).events if _identity(event) not in here]
    if news:
        _write(target, [(event.time, event.fields) for event in news], None, later=False)
    return len(news)


def _identity(event: Event) -> tuple[Any, ...]:
    names = ("what", "action", "value", "author")
    return event.time, *(repr(event.fields.get(name)) for name in names)


def _write(
    folder: RunFolder,
    rows: Iterable[tuple[int, dict[str, Any]]],
    author: str | None,
    *,
    later: bool,
) -> None:
    place = folder.path / NOTES
    if os.path.exists(folder.path / COPY_MARK):
        raise JournalUnavailableError(
            22, f"{folder.path} is a copy of a run: say it of the run itself, and replay it"
        )
    # Of the run's folder: who removes the run waits, or is waited for.
    with locked_journal(folder.path):
        if not os.path.isdir(folder.journal):
            raise RunNotFoundError(f"{folder.path} is gone: the run was removed")
        writer, last = _begun(place)
        try:
            for when, fields in rows:
                known = {"author": author} if author is not None else {}
                stamp = max(when, last + 1) if later else when
                last = max(last, stamp)
                writer.append(EventType.ANNOTATED, time_ns=stamp, **{**known, **fields})
            writer.sync()
        finally:
            writer.close()
        fault = writer.fault
        if fault is not None or writer.losses:
            reason = fault.strerror if fault is not None else writer.losses[0].reason
            raise _not_written(place, reason)
        with contextlib.suppress(OSError):  # what was said is in its file
            fsync_folder(folder.path)


def _begun(place: Path) -> tuple[JournalWriter, int]:
    """Return a writer for what is to be said, and the time of what was said last."""
    deadline = time.monotonic() + _BEGINNING
    for _ in range(_ATTEMPTS):
        try:
            os.makedirs(place, exist_ok=True)
            reader = JournalReader(place)
        except NotAJournalError:
            with contextlib.suppress(FileExistsError):
                return _created(place), 0
            continue  # another process was faster
        except OSError as error:
            raise _not_written(place, error.strerror) from error
        try:
            said = (event for event in reader.read() if event.type == EventType.ANNOTATED)
            last = max((event.time for event in said), default=0)
        finally:
            reader.close()
        if reader.journal_id:
            joined = JournalWriter.join(
                place, journal_id=reader.journal_id, durability="process", kind="person"
            )
            return joined, last
        newest = place / epoch_file_name(0, max(reader._epochs(0), default=1))
        if not lock_is_held(newest) and time.monotonic() > deadline:
            # A kill left a file without a whole frame, and nobody else will begin the journal.
            with contextlib.suppress(JournalBusyError):
                at = WriterPosition(max(reader._epochs(0), default=0), 0, 0)
                return JournalWriter.go_on(
                    place, at, journal_id=new_journal_id(), durability="process"
                ), 0
        time.sleep(_PAUSE)
    raise _not_written(place, "another process is at it")


def _created(place: Path) -> JournalWriter:
    try:
        return JournalWriter.create(place, durability="process")
    except JournalUnavailableError as error:
        if error.errno == 17:  # EEXIST
            raise FileExistsError from None
        cause = error.__cause__
        raise _not_written(place, getattr(cause, "strerror", None) or str(error)) from None


def _not_written(place: Path, reason: str | None) -> JournalUnavailableError:
    return JournalUnavailableError(
        5, f"nothing was written down: {place} can not be written: {reason or 'unknown'}"
    )
