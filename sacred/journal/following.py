"""Following a journal that is written: each event once, in order, as it comes."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from sacred.journal.liveness import Liveness, journal_liveness, state_after, state_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.events import Event
    from sacred.journal.reader import JournalReader

__all__ = ["events_and_pauses", "follow"]

#: How often to look where nothing tells of changes (s).
POLL = 0.02
#: How often to look all the same where something does: it may be wrong, as on a network disk (s).
LOOK = 1.0
#: For so long nothing comes before an ended run counts as through: late facts come behind the end (s).
SILENCE = 1.0
#: Within this time (s) a follower that can be stopped notices that it was.
_STOPPABLE = 0.05


def follow(
    reader: JournalReader,
    *,
    stop: threading.Event | None = None,
    notify: bool = True,
) -> Iterator[Event]:
    """Yield the events of a journal as they are written, until its run is over.

    Over is a run that ended and was silent for a second since, and one whose process is gone (a
    killed one, or a program that uses the journal alone and ended), once all is read. Each event
    comes once, in the order of its writer, also across files and while a file is sealed; those that
    only begin or seal a file are left out. Not thread-safe, as the reader is not.

    Parameters
    ----------
    reader
        Where it stands is where following begins; its ``position`` tells how far it came, its
        ``verdicts`` what was wrong.
    stop
        Ends it from another thread: what is there is still read.
    notify
        Wait for the system to tell of changes (with watchdog), which takes a few milliseconds, and
        look once a second where it does not tell, as on network disks. Else look 50 times a second.

    Yields
    ------
    What is in the files, which a power cut may take back for a second (``durability``). What was
    yielded last is before ``reader.position``, with all that its frame holds: whoever stops in the
    middle of one and begins there again misses the rest of it.

    Raises
    ------
    NotAJournalError
        The folder is gone.
    NewerFormatError
        The journal needs a newer version of this package.
    JournalUnreadableError
        The system does not let us read it.
    PositionContradictedError
        The journal is not the one on which the reader's position was taken.
    """
    for event in events_and_pauses(reader, stop=stop, notify=notify):
        if event is not None:
            yield event


def events_and_pauses(
    reader: JournalReader,
    *,
    stop: threading.Event | None = None,
    notify: bool = True,
) -> Iterator[Event | None]:
    """Do as ``follow`` does, and yield None each time that all that is there was read.

    Then, before it waits, whoever follows may look at what else changes beside the journal's files
    (the spool, whose changes wake it, too) or draw. There is a pause once a second at least, and one
    behind the last event. Parameters and errors are those of ``follow``.
    """
    begun_before = bool(reader.position)
    state, last, over = Liveness.RUNNING, 0, False
    heard = looked = time.monotonic()
    with _changes(reader, notify) as wake:
        while True:
            stopped = stop is not None and stop.is_set()
            wake.clear()
            came = False
            for frame in reader.poll():
                came = True
                for event in frame.events:
                    if frame.writer == 0:
                        last = max(last, event.time) if event.seq >= 0 else last
                        state = state_after(event.type, state)
                    if event.seq >= 0:
                        yield event
            yield None
            if stopped or (over and not came):
                return
            now = time.monotonic()
            if came:
                heard = now
            if now - heard >= SILENCE and now - looked >= SILENCE:
                looked = now
                found = journal_liveness(reader.folder) if begun_before else None
                found = found or state_now(reader, state, last)
                # What was written before it was over is read once more.
                over = found in {Liveness.ENDED, Liveness.DIED}
            if not over:
                pause = LOOK if notify else POLL
                wake.wait(pause if stop is None else min(pause, _STOPPABLE))


@contextlib.contextmanager
def _changes(reader: JournalReader, notify: bool) -> Iterator[threading.Event]:
    """Give an event that is set at each change in the journal's folder, if that is asked for."""
    wake = threading.Event()
    if not notify:
        yield wake
        return
    from sacred.journal.watch import FolderWatch

    watch = FolderWatch()
    try:
        with watch.watching(reader.folder, wake):
            yield wake
    finally:
        watch.close()
