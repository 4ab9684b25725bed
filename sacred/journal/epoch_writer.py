"""Frames into files: one writer's epochs, what is not durable yet, and a disk that refuses.

This is the lower half of :class:`sacred.journal.writer.JournalWriter`. It knows nothing of events
but their bytes. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal import __software__
from sacred.journal.codec import new_packer, pack
from sacred.journal.events import FORMAT, MIN_READER, EventType
from sacred.journal.frames import FrameEncoder, chain_after
from sacred.journal.identity import own_identity
from sacred.journal.root import epoch_file_name, fsync_folder, parse_epoch_file_name

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

_RETRY_FIRST, _RETRY_LAST = 0.05, 5.0


class Loss(NamedTuple):
    """Sequence numbers whose events were lost because nothing took them."""

    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    reason: str


#: What a frame holds behind its preamble, kept until it is durable: first seq, number of seqs,
#: chain before it, events. A plain tuple: a named one costs 0.2 us more, with every frame.
_Body = tuple[int, int, int, bytes]


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
        #: The files that were made, or about to be.
        self._made: set[Path] = set()
        #: With a fault: what has this number or a higher one is in no file.
        self._unwritten = 0
        self._unreported: list[Loss] = []
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

    def _write_deferred(self) -> None:
        """Write what a signal handler left; for whoever takes events."""

    # -- frames ------------------------------------------------------------------------------

    def _emit(self, events: bytes, count: int) -> None:
        """Write one frame. Holds the lock."""
        first, chain = self.next_seq, self._chain
        after, size = chain_after(chain, events), self._ring_bytes + len(events)
        # Nothing is called between here and the append, so that an interrupt (Ctrl-C) comes
        # either before all of it or behind.
        self.next_seq, self._chain, self._ring_bytes = first + count, after, size
        try:
            self._ring.append((first, count, chain, events))
            if self.fault is None:
                self._write_frame(first, count, chain, events)
        except OSError as error:
            self._fail(error, first)
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
            if self.durability != "process":
                self._rouse()
        if self.durability == "event" and self._fd >= 0:  # points are counted by the thousand
            self._size = os.fstat(self._fd).st_size
        if (
            self.durability == "process"
            or self._ring_bytes > RING_BYTES
            or len(self._ring) > RING_FRAMES
        ):
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
        limit = 0 if self.durability == "process" and self.fault is None else RING_BYTES
        least = 0 if self.fault is None else 1  # an event may be larger than the limit
        while len(ring) > least and (self._ring_bytes > limit or len(ring) > RING_FRAMES):
            first, count, _, events = ring.popleft()
            self._ring_bytes = max(0, self._ring_bytes - len(events))
            if self.fault is not None:
                if first >= self._unwritten:
                    self._lose(first, count)
                else:
                    self._in_doubt = True

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
            descriptor = os.open(path, flags, 0o666)
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
                descriptor = os.open(aside, flags, 0o666)
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
        if self.durability != "process":
            try:
                os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)
            except OSError as error:
                self._fail(error)
                return
        self._close_file()
        self._ring.clear()
        self._ring_bytes = 0
        try:
            self._open_epoch(self.epoch + 1, "rotation")
        except FileExistsError:
            self._supersede()
        except OSError as error:
            self._fail(error)

    def _doubt(self, first_unwritten: int) -> None:
        """After an interrupt inside a write: go on in the next file. Holds the lock."""
        # First of all, and without a call: a second interrupt finds a file that takes nothing more.
        descriptor, self._fd = self._fd, -1
        if self.fault is None:
            self.fault = OSError(errno.EINTR, os.strerror(errno.EINTR))
            self._unwritten = first_unwritten
            self._retry_at = 0.0
        _close(descriptor)

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
        for first, count, _, events in bodies:
            if first >= unwritten:
                self._emit(events, count)
            elif self.durability != "process":
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

    def _sync_file(self) -> None:
        """Make what was written durable, names included."""
        with self._sync_lock:
            begun = self._exclusively(self._begin_sync)
            if not begun:
                return
            seq, descriptor, path = begun
            failure: OSError | None = None
            try:
                if hasattr(os, "fdatasync"):
                    os.fdatasync(descriptor)
                else:
                    os.fsync(descriptor)
                if not self._names_durable:
                    for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                        with contextlib.suppress(FileNotFoundError):  # the root was moved
                            fsync_folder(folder)
                    self._names_durable = path == self.path
            except OSError as error:
                failure = error
            finally:
                _close(descriptor)
            self._exclusively(self._end_sync, seq, path, failure)

    def _begin_sync(self) -> tuple[int, int, Path] | None:
        """Return what will be durable, and a descriptor by which. Holds the lock."""
        self._dirty = False
        if not self._has_its_file():
            return None
        try:
            # A descriptor of its own: a fault in another thread closes the writer's.
            return self.next_seq, os.dup(self._fd), self.path
        except OSError:
            return None

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
        """Forget what is durable. Holds the lock."""
        if path != self.path:
            return
        if failure is not None:
            # Never a second fsync of the same file: the kernel has forgotten the pages.
            self._fail(failure)
            return
        self.durable_seq = max(self.durable_seq, seq)
        self._forget_below(seq)

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
        self.fault = None
        self._unwritten = 0
        self._unreported = []
        self._dirty = False
        self._unclaimed = True


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
