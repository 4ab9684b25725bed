"""Frames into files: one writer's epochs, what is not durable yet, and a disk that refuses.

This is the lower half of :class:`sacred.journal.writer.JournalWriter`. It knows nothing of events
but their bytes. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal import __software__
from sacred.journal.codec import new_packer, pack
from sacred.journal.events import FORMAT, MIN_READER, EventType
from sacred.journal.frames import FrameEncoder, chain_after
from sacred.journal.identity import own_identity
from sacred.journal.root import CAN_NOT_SYNC, epoch_file_name, fsync_folder, parse_epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    _Result = TypeVar("_Result")

#: A file that has grown beyond this is followed by the next epoch's.
EPOCH_BYTES = 256 * 1024 * 1024
#: Events kept in memory to be written again should the disk fail.
RING_BYTES = 4 * 1024 * 1024
RING_FRAMES = 32 * 1024

#: From so many pending points on they are written as a table.
TABLE_ROWS = 16

#: Made beforehand: it is told where nothing may be called.
_INTERRUPTED = OSError(errno.EINTR, os.strerror(errno.EINTR))
_RETRY_FIRST, _RETRY_LAST = 0.05, 5.0
#: So many files that a write failed in, or that a rotation left, wait to be made durable; the
#: flusher does it within a second, and with ``durability="process"`` nobody before ``sync()``.
_LEFT_FILES = 16


class Loss(NamedTuple):
    """Sequence numbers whose events were lost because nothing took them."""

    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    reason: str


#: What a frame holds behind its preamble, kept until it is durable: first seq, number of seqs,
#: chain before it, events. A plain tuple: a named one costs 0.2 us more, with every frame.
_Body = tuple[int, int, int, bytes]
#: A file that takes no more frames and was not made durable yet: descriptor, number of its writer,
#: the sequence number behind the last in it, and its path.
_Left = tuple[int, int, int, "Path"]


class EpochWriter:
    """Writes the frames of one process, each by one ``write(2)``, into one file after another.

    Attributes
    ----------
    folder
        The ``journal`` folder.
    journal_id
        63 random bits, the same for all writers of the journal.
    number, epoch
        Which writer, and which of its files.
    path
        That file.
    next_seq
        The sequence number of the next event.
    durable_seq
        Events below survive a power cut.
    losses
        What was lost so far.
    fault
        Why nothing can be written at the moment, or None.
    """

    def __init__(
        self,
        folder: Path,
        journal_id: int,
        durability: str,
        on_fault: Callable[[OSError], None] | None,
    ) -> None:
        self.folder = folder
        self.journal_id = journal_id
        self.durability = durability
        self.number = 0
        self.epoch = 0
        self.next_seq = 0
        self.durable_seq = 0
        self.losses: list[Loss] = []
        self.fault: OSError | None = None
        self.path = folder
        self._on_fault = on_fault
        self._chain = 0
        self._fd = -1
        self._prefix = b""
        self._size = 0
        self._file_seq = 0
        self._parent: list[int] | None = None
        self._unclaimed = False
        #: A number has to be claimed before anything is written: how, and with which facts.
        self._claiming: tuple[str, dict[str, Any]] | None = None
        self._encoder = FrameEncoder()
        self._packer = new_packer()
        self._ring: deque[_Body] = deque()
        self._ring_bytes = 0
        #: How many frames were taken in: numbers begin anew where a writer is superseded.
        self._taken = 0
        #: The files that were made, or about to be.
        self._made: set[Path] = set()
        #: With a fault: what has this number or a higher one is in no file.
        self._unwritten = 0
        self._unreported: list[Loss] = []
        #: Whether what is written is to be made durable: not where nobody asked for it, or where
        #: the file system has told that it can not.
        self._syncs = durability != "process"
        self._can_sync = True
        #: Files that a write failed in hold what is as good as ever, and perhaps nowhere else.
        self._left: tuple[_Left, ...] = ()
        #: What lies below was written, and is not in memory to be written again.
        self._forgotten = 0
        #: What lies below, and is not durable, was in a file of which the fsync failed.
        self._suspect = 0
        #: Something is in a file that could not be made durable, and was not written again.
        self._in_doubt = False
        self._retry_at = 0.0
        self._retry_delay = _RETRY_FIRST
        self._dirty = False
        self._names_durable = False
        self._new_locks()

    def _new_locks(self) -> None:
        # Re-entrant: a signal handler that waited for its own thread would wait for ever.
        self._lock = threading.RLock()
        self._busy = False
        self._ending = False
        self._deferred = False
        self._sync_lock = threading.RLock()

    def _rouse(self) -> None:
        """Have the background look at what is not durable; for whoever has a background."""

    # -- the lock ----------------------------------------------------------------------------

    def _exclusively(self, work: Callable[..., _Result], *args: Any) -> _Result | None:
        """Call a function while this thread holds the lock, and return what it returned.

        None, and nothing is called, if it is a signal handler that interrupted this very thread
        in here: what it left is written as soon as the interrupted call is through.
        """
        if self._ending and self._is_frozen():
            return None
        # An interrupt may come between any two calls. ``with`` takes the lock in one step, and
        # nothing is called between that and the mark: the lock is never left behind.
        try:
            with self._lock:
                if self._busy:
                    self._deferred = True
                    return None
                self._busy = True
                try:
                    return work(*args)
                finally:
                    self._busy = False
        finally:
            if self._deferred and not self._busy:
                self._deferred = False
                self._write_deferred()

    def _is_frozen(self) -> bool:
        """Tell whether a lock is held by a thread that the interpreter's end has stopped for good.

        A finalizer that waited for it would wait for ever.
        """
        if not sys.is_finalizing():
            return False
        for lock in (self._lock, self._sync_lock):
            if not lock.acquire(blocking=False):
                return True
            lock.release()
        return False

    def _write_deferred(self) -> None:
        """Write what a signal handler left; for whoever takes events."""

    # -- frames ------------------------------------------------------------------------------

    def _emit(self, events: bytes, count: int) -> None:
        """Write one frame. Holds the lock."""
        first, chain, taken_before = self.next_seq, self._chain, self._taken
        taken = taken_before + 1
        before = self._ring_bytes
        after, size = chain_after(chain, events), before + len(events)
        body, behind = (first, count, chain, events), first + count
        # Nothing is called between here and the append, so that an interrupt (Ctrl-C) comes
        # either before all of it or behind.
        self.next_seq, self._chain = behind, after
        self._ring_bytes, self._taken = size, taken
        try:
            self._ring.append(body)
            if self.fault is None:
                self._write_frame(first, count, chain, events)
        except OSError as error:
            self._fail_to_write(error, first)
        except MemoryError:
            self._packer.reset()  # what it did not hand out would stand before what is packed next
            if not self._ring or self._ring[-1] is not body:
                self.next_seq, self._chain = first, chain
                self._ring_bytes, self._taken = before, taken_before
                raise
            self._doubt(first)  # nobody knows whether it was written
        except BaseException:
            self._doubt(first)
            raise
        else:
            if self.fault is None:
                self._after_write()
                return
        self._try_again()
        if self.fault is not None:
            self._shrink_ring()

    def _after_write(self) -> None:
        """Have what was written made durable, forgotten, and the file followed by the next."""
        if not self._dirty:
            self._dirty = True
            if self._syncs:
                self._rouse()
        if self.durability == "event" and self._fd >= 0:  # points are counted by the thousand
            self._size = os.fstat(self._fd).st_size
        if not self._syncs or self._ring_bytes > RING_BYTES or len(self._ring) > RING_FRAMES:
            self._shrink_ring()
        if self._size > EPOCH_BYTES:
            self._rotate()

    def _write_frame(self, first: int, count: int, chain: int, events: bytes) -> None:
        self._size += self._write(self._fd, self._prefix, first, count, chain, events)

    def _write(
        self, descriptor: int, prefix: bytes, first: int, count: int, chain: int, events: bytes
    ) -> int:
        """Write one frame into a file; return its size (bytes)."""
        packed = self._packer.pack
        frame = self._encoder.encode(
            prefix + packed(first) + packed(count) + packed(chain) + events,
            numbers=count >= TABLE_ROWS,
        )
        if os.write(descriptor, frame) != len(frame):
            raise short_write()
        return len(frame)

    def _shrink_ring(self) -> None:
        """Forget what was written, or as the last resort what was not. Holds the lock."""
        ring = self._ring
        limit = RING_BYTES if self._syncs or self.fault is not None else 0
        least = 0 if self.fault is None else 1  # an event may be larger than the limit
        while len(ring) > least and (self._ring_bytes > limit or len(ring) > RING_FRAMES):
            first, count, _, events = ring.popleft()
            self._ring_bytes = max(0, self._ring_bytes - len(events))
            if self.fault is not None and first >= self._unwritten:
                self._lose(first, count)
            else:
                self._forgotten = first + count

    def _lose(self, first_seq: int, count: int) -> None:
        reason = str(self.fault.strerror or self.fault) if self.fault else "unknown"
        losses = self._unreported
        if losses and losses[-1].first_seq + losses[-1].count == first_seq:
            losses[-1] = losses[-1]._replace(count=losses[-1].count + count)
        else:
            losses.append(Loss(first_seq, count, reason))

    # -- files -------------------------------------------------------------------------------

    def _open_epoch(self, epoch: int, opened_by: str, **more: Any) -> None:
        """Make the file of an epoch and write its first event.

        Raises
        ------
        FileExistsError
            The file is there: another process goes on for this writer.
        OSError
        """
        name = epoch_file_name(self.number, epoch)
        path = aside = self.folder / name
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        ours = path in self._made
        self._made.add(path)
        try:
            descriptor = os.open(str(path), flags, 0o666)
        except FileExistsError:
            if not ours:
                raise
            # Left by ourselves when an interrupt came: it is empty, and passed over.
            self._open_epoch(epoch + 1, opened_by, **more)
            return
        except OSError:  # nothing was made: what stands there next time is another's
            if not ours:
                self._made.discard(path)
            raise
        try:
            if self._ring and os.name != "nt":
                # A later file takes the place of the end of the one before: it gets its name when
                # all that is written again stands in it, or else a kill would cost what was there.
                aside = self.folder / f".{os.urandom(4).hex()}-{name}"
                os.close(descriptor)
                descriptor = os.open(str(aside), flags, 0o666)
            _lock_file(descriptor)
            # The four numbers with which every preamble of this file begins.
            prefix = self._packer.pack([0, self.journal_id, self.number, epoch, 0, 0, 0])[:-3]
            first, chain = self.next_seq, self._chain
            if self._ring:
                first, _, chain, _ = self._ring[0]
            # Alone in its frame: the chain of the events is then the same in whichever file they
            # are written again.
            event = self._pack_epoch_began(opened_by, more)
            size = self._write(descriptor, prefix, first, 0, chain, event)
            for body in tuple(self._ring):
                size += self._write(descriptor, prefix, *body)
            if aside != path:
                os.replace(aside, path)
        except BaseException:
            self._packer.reset()
            # All in it is elsewhere: a disk that refuses for hours leaves no row of files.
            _close(descriptor)
            _remove(path, aside)
            raise
        # Nothing is called here: this is the writer's file in every respect or in none.
        self._fd, self._prefix, self._size, self._file_seq = descriptor, prefix, size, first
        self.path, self.epoch, self._names_durable = path, epoch, False

    def _pack_epoch_began(self, opened_by: str, more: dict[str, Any]) -> bytes:
        identity = own_identity()
        event = {
            "t": identity["wall"],
            "e": int(EventType.EPOCH_BEGAN),
            "format": FORMAT,
            "min_reader": MIN_READER,
            "features": [],
            "journal": self.journal_id,
            "opened_by": opened_by,
            **identity,
            "software": __software__,
            "durability": self.durability,
            **more,
        }
        if self._parent is not None:
            event["parent"] = self._parent
        return pack(event)

    def _rotate(self) -> None:
        """Go on in the next epoch's file. Holds the lock."""
        failure = self._sync_now() if self._syncs else None
        if failure is not None and not self._give_up_syncing(failure):
            self._suspect = self.next_seq
            self._fail(failure)
            return
        if failure is None and not self._syncs:
            self._leave_file(self.next_seq)
        self._close_file()
        if not self._syncs:
            self._forgotten = self.next_seq
        self._ring.clear()
        self._ring_bytes = 0
        try:
            self._open_epoch(self.epoch + 1, "rotation")
        except FileExistsError:
            self._supersede()
        except OSError as error:
            self._fail(error)

    def _sync_now(self) -> OSError | None:
        try:
            _sync(self._fd)
        except OSError as error:
            return error
        return None

    def _give_up_syncing(self, failure: OSError) -> bool:
        """Tell whether the file system can not make anything durable; say so once, and go on.

        Nothing is wrong with such a file: another one would be no better.
        """
        if failure.errno not in CAN_NOT_SYNC:
            return False
        if self._can_sync:
            self._can_sync = self._syncs = False
            if self._on_fault is not None:
                self._on_fault(failure)
        return True

    def _leave_file(self, next_seq: int) -> None:
        """Write no more into the file, and have what is in it made durable. Holds the lock."""
        # Nothing is called in between, so that an interrupt finds it here or there, and a second
        # one a file that takes nothing more.
        if self._fd >= 0 and self._can_sync:
            self._left, self._fd = (*self._left, (self._fd, self.number, next_seq, self.path)), -1
        self._close_file()
        self._dirty = True
        if len(self._left) > _LEFT_FILES:
            oldest, self._left = self._left[0], self._left[1:]
            self._suspect_all(oldest)
            _close(oldest[0])

    def _suspect_all(self, left: _Left) -> None:
        """Take down that a file can not be made durable. Holds the lock."""
        _, number, next_seq, _ = left
        if number == self.number:
            self._suspect = max(self._suspect, next_seq)
        else:
            self._in_doubt = True

    def _fail_to_write(self, error: OSError, first_unwritten: int) -> None:
        """Go on in another file: what this one took is good, and can be made durable."""
        self._leave_file(first_unwritten)
        self._fail(error, first_unwritten)

    def _doubt(self, first_unwritten: int) -> None:
        """After an interrupt inside a write: go on in the next file. Holds the lock."""
        if self.fault is None:
            self.fault = _INTERRUPTED
            self._unwritten = first_unwritten
            self._retry_at = 0.0
        self._leave_file(first_unwritten)

    def _fail(self, error: OSError, first_unwritten: int | None = None) -> None:
        """Stop trusting the file: it is closed and never written again. Holds the lock."""
        first_time = self.fault is None
        self.fault = error
        if first_time:
            self._unwritten = self.next_seq if first_unwritten is None else first_unwritten
        self._close_file()
        self._retry_at = time.monotonic()  # at first at once: a passing error costs nothing
        if not first_time:
            self._retry_at += self._retry_delay
            self._retry_delay = min(self._retry_delay * 2, _RETRY_LAST)
        if first_time and self._on_fault is not None:
            self._on_fault(error)
        self._rouse()

    def _try_again(self, *, force: bool = False) -> None:
        """After a fault, write all that is not durable into a new file. Holds the lock."""
        if self.fault is None or (not force and time.monotonic() < self._retry_at):
            return
        try:
            if self._claiming is not None:
                opened_by, more = self._claiming
                self._claim_number(opened_by, **more)
                return
            self._open_epoch(self.epoch + 1, "fault")
        except FileExistsError:
            self._supersede()
            return
        except OSError as error:
            self._fail(error)
            return
        self.fault = None
        self._retry_delay = _RETRY_FIRST
        self._dirty = True
        self.losses += self._unreported
        reports, self._unreported = self._unreported, []
        for loss in reports:
            now = time.time_ns()
            event = {"t": now, "e": int(EventType.GAP), "writer": self.number, **loss._asdict()}
            self._emit(pack(event), 1)

    def _supersede(self) -> None:
        """Another process took this writer's next file: go on under a new number (R3)."""
        old = self.number
        try:
            self._claim_number("superseded", supersedes=old)
        except OSError as error:
            self._fail(error)

    def _claim_number(self, opened_by: str, **more: Any) -> None:
        """Begin the first file of the next free writer number.

        The new writer's sequence begins at 0. Frames of the old one that never were in a file are
        renumbered.
        """
        self._claiming = (opened_by, more)
        bodies = tuple(self._ring)
        before = (self.number, self.next_seq, self.durable_seq, self._chain)
        doubtful = self._is_doubtful()
        self.next_seq = self.durable_seq = self._chain = 0
        number = max(_writer_numbers(self.folder), default=0)
        try:
            self._ring.clear()
            for _ in range(100_000):
                number += 1
                self.number = number
                try:
                    self._open_epoch(1, opened_by, **more)
                except FileExistsError:
                    continue
                break
            else:
                raise OSError(errno.EEXIST, "no free writer number")
        except BaseException:
            self.number, self.next_seq, self.durable_seq, self._chain = before
            self._ring.clear()
            self._ring.extend(bodies)
            raise
        self._claiming = None
        self.fault = None
        self._retry_delay = _RETRY_FIRST
        self._ring_bytes = 0
        unwritten, self._unwritten = self._unwritten, 0
        suspect, self._suspect, self._forgotten = self._suspect, 0, 0
        self._in_doubt = self._in_doubt or doubtful
        for first, count, _, events in bodies:
            if first >= unwritten:
                self._emit(events, count)
            elif first < suspect:
                # It stands in the old writer's file, so that it would be there twice.
                self._in_doubt = True

    def _claim_as_child(self) -> None:
        self._unclaimed = False
        try:
            self._claim_number("child")
        except OSError as error:
            self._fail(error)
            return
        event = {"t": time.time_ns(), "e": int(EventType.CHILD_BEGAN), "kind": "fork"}
        self._emit(pack(event), 1)

    def other_writers(self) -> list[int]:
        """Return the numbers of the journal's other writers: its children, mostly.

        Raises
        ------
        OSError
            The folder can not be read.
        """
        return sorted({*_writer_numbers(self.folder)} - {self.number})

    def _close_file(self) -> None:
        descriptor, self._fd = self._fd, -1
        _close(descriptor)

    def _close_left(self) -> None:
        """Give up the files that nobody made durable."""
        left, self._left = self._left, ()
        for descriptor, *_ in left:
            _close(descriptor)

    def _sync_file(self) -> None:
        """Make what was written durable, names included."""
        if self._ending and self._is_frozen():
            return
        with self._sync_lock:
            begun = self._exclusively(self._begin_sync)
            if begun is None:
                return
            seq, left, descriptor, path = begun
            good: list[_Left] = []
            named = False
            failure: OSError | None = None
            try:
                for file in left:
                    with contextlib.suppress(OSError):
                        _sync(file[0])
                        good.append(file)
                try:
                    if descriptor >= 0:
                        _sync(descriptor)
                    if good or not self._names_durable:
                        for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                            with contextlib.suppress(FileNotFoundError):  # the root was moved
                                fsync_folder(folder)
                        self._names_durable = path == self.path
                    named = True
                except OSError as error:
                    failure = error
            except BaseException:
                self._dirty = True
                raise
            finally:
                _close(descriptor)
                self._exclusively(self._end_left, left, good if named else [])
            if descriptor >= 0:
                self._exclusively(self._end_sync, seq, path, failure)

    def _begin_sync(self) -> tuple[int, tuple[_Left, ...], int, Path] | None:
        """Return what will be durable, and descriptors by which. Holds the lock."""
        self._dirty = False
        if not self._can_sync:
            self._has_its_file()
            return None
        descriptor = -1
        if self._has_its_file():
            try:
                # A descriptor of its own: a fault in another thread closes the writer's.
                descriptor = os.dup(self._fd)
            except OSError:
                self._dirty = True  # too many are open: the next turn tries again
        left, self._left = self._left, ()
        if descriptor < 0 and not left:
            return None
        return self.next_seq, left, descriptor, self.path

    def _end_left(self, left: tuple[_Left, ...], good: list[_Left]) -> None:
        """Forget what is durable in files that were left, and doubt the others. Holds the lock."""
        for file in left:
            _close(file[0])
            if file not in good:
                self._suspect_all(file)
            elif file[1] == self.number:
                self._has_made_durable(file[2])

    def _is_doubtful(self) -> bool:
        """Tell whether something is written, in doubt and not in memory. Holds the lock."""
        return min(self._forgotten, self._suspect) > self.durable_seq

    def _has_made_durable(self, seq: int) -> None:
        """Forget what is durable. Holds the lock."""
        self._in_doubt = self._in_doubt or self._is_doubtful()
        self.durable_seq = max(self.durable_seq, seq)
        self._forget_below(seq)

    def _has_its_file(self) -> bool:
        """Return whether the file still has a name; a fault if not. Holds the lock.

        Somebody may have removed it: what goes there would be gone with the process. Or sealed it,
        by force: then it goes on behind what the sealed file has (R4). A root that was moved takes
        the open file along.
        """
        if self._fd < 0 or self.fault is not None:
            return False
        first = self._file_seq
        try:
            if os.fstat(self._fd).st_nlink:
                return True
            error = OSError(errno.ENOENT, "its file was removed")
            first = self._sealed_until(first)
        except OSError as problem:
            error = problem
        self._forget_below(first)
        kept = self._ring[0][0] if self._ring else self.next_seq
        self._fail(error, kept)
        if kept > first:
            self._lose(first, kept - first)
        return False

    def _sealed_until(self, first: int) -> int:
        """Return where the sealed file ends that took the place of ours; ``first`` if none did."""
        from sacred.journal.seal_index import read_index

        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return first
        try:
            index = read_index(descriptor)
        finally:
            os.close(descriptor)
        return index.next_seq if index is not None and index.first_seq == first else first

    def _end_sync(self, seq: int, path: Path, failure: OSError | None) -> None:
        """Forget what is durable, or give the file up. Holds the lock."""
        if failure is None:
            if path == self.path:
                self._has_made_durable(seq)
        elif not self._give_up_syncing(failure):
            # Never a second fsync of the same file: the kernel has forgotten the pages.
            for file in [file for file in self._left if file[3] == path]:
                self._left = tuple(other for other in self._left if other is not file)
                self._suspect_all(file)
                _close(file[0])
            if path == self.path:
                self._suspect = max(self._suspect, self.next_seq)
                self._fail(failure)

    def _forget_below(self, seq: int) -> None:
        """Keep what must perhaps be written again only. Holds the lock."""
        ring = self._ring
        while ring and ring[0][0] + ring[0][1] <= seq:
            self._ring_bytes = max(0, self._ring_bytes - len(ring.popleft()[3]))

    def _start_anew(self) -> None:
        """In a forked child: forget the parent's file and claim one's own with the next event."""
        self._new_locks()
        self._ring.clear()
        self._ring_bytes = 0
        self._encoder = FrameEncoder()
        self._packer = new_packer()
        self._parent = [self.number, self.epoch, self.next_seq]
        self._close_file()
        self._close_left()
        self._forgotten = self._suspect = 0
        self._in_doubt = False
        self.fault = None
        self._unwritten = 0
        self._unreported = []
        self._dirty = False
        self._unclaimed = True


def _sync(descriptor: int) -> None:
    os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _remove(*paths: Path) -> None:
    for path in set(paths):
        with contextlib.suppress(OSError):
            os.unlink(path)


def short_write() -> OSError:
    """Return the error of a disk that took a part of a frame only (it is full, or a quota is)."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _writer_numbers(folder: Path) -> list[int]:
    names = (parse_epoch_file_name(name) for name in os.listdir(folder))
    return [name[0] for name in names if name is not None]


def _lock_file(descriptor: int) -> None:
    """Hold a lock that ends with the process, for readers that can not look at its pid."""
    try:
        import fcntl
    except ImportError:
        return
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
