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

#: A file that has grown beyond this is followed by the next epoch's.
EPOCH_BYTES = 256 * 1024 * 1024
#: Events kept in memory to be written again should the disk fail.
RING_BYTES = 4 * 1024 * 1024
RING_FRAMES = 32 * 1024

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
        self._parent: list[int] | None = None
        self._unclaimed = False
        #: A number has to be claimed before anything is written: how, and with which facts.
        self._claiming: tuple[str, dict[str, Any]] | None = None
        self._encoder = FrameEncoder()
        self._packer = new_packer()
        self._ring: deque[_Body] = deque()
        self._ring_bytes = 0
        self._unreported: list[Loss] = []
        self._retry_at = 0.0
        self._retry_delay = _RETRY_FIRST
        self._dirty = False
        self._names_durable = False
        self._new_locks()

    def _new_locks(self) -> None:
        # Re-entrant, so that who holds it and that it is held are one step: a signal handler
        # that came between the two would wait for its own thread for ever.
        self._lock = threading.RLock()
        self._deferred = False
        self._sync_lock = threading.RLock()

    def _rouse(self) -> None:
        """Have the background look at what is not durable; for whoever has a background."""

    # -- the lock ----------------------------------------------------------------------------

    def _acquire(self) -> bool:
        """Take the lock; False if this thread holds it already (a signal handler's call)."""
        if self._lock._is_owned():  # type: ignore[attr-defined]
            return False
        self._lock.acquire()
        return True

    def _release(self) -> None:
        self._lock.release()
        if self._deferred:  # a handler left something while the lock was held
            self._deferred = False
            self._write_deferred()

    def _write_deferred(self) -> None:
        """Write what a signal handler left; for whoever takes events."""

    # -- frames ------------------------------------------------------------------------------

    def _emit(self, events: bytes, count: int) -> None:
        """Write one frame. Holds the lock."""
        first, chain = self.next_seq, self._chain
        self._ring.append((first, count, chain, events))
        self._ring_bytes += len(events)
        self.next_seq = first + count
        self._chain = chain_after(chain, events)
        if self.fault is None:
            try:
                self._write_frame(first, count, chain, events)
            except OSError as error:
                self._fail(error)
            else:
                self._after_write()
                return
        self._shrink_ring()
        self._try_again()

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
        packed = self._packer.pack
        content = self._prefix + packed(first) + packed(count) + packed(chain) + events
        frame = self._encoder.encode(content)
        written = os.write(self._fd, frame)
        self._size += written
        if written != len(frame):
            raise short_write()

    def _shrink_ring(self) -> None:
        """Forget what was written, or as the last resort what was not. Holds the lock."""
        ring = self._ring
        limit = 0 if self.durability == "process" and self.fault is None else RING_BYTES
        while ring and (self._ring_bytes > limit or len(ring) > RING_FRAMES):
            first, count, _, events = ring.popleft()
            self._ring_bytes = max(0, self._ring_bytes - len(events))
            if self.fault is not None:
                self._lose(first, count)

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
        path = self.folder / epoch_file_name(self.number, epoch)
        before = self.epoch
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._fd, self._size, self.path, self.epoch = descriptor, 0, path, epoch
        # The four numbers with which every preamble of this file begins.
        whole = self._packer.pack([0, self.journal_id, self.number, epoch, 0, 0, 0])
        self._prefix = whole[:-3]
        self._names_durable = False
        _lock_file(descriptor)
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
        first, chain = self.next_seq, self._chain
        if self._ring:
            first, _, chain, _ = self._ring[0]
        # Alone in its frame: the chain of the events is then the same in whichever file they
        # are written again.
        try:
            self._write_frame(first, 0, chain, pack(event))
        except OSError:
            # No event is in it: a disk that refuses for hours leaves no row of empty files.
            self._close_file()
            self.epoch = before
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise

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

    def _fail(self, error: OSError) -> None:
        """Stop trusting the file: it is closed and never written again. Holds the lock."""
        first_time = self.fault is None
        self.fault = error
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
            for body in self._ring:
                self._write_frame(*body)
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

        The new writer's sequence begins at 0. Pending frames of the old one are renumbered: they
        never were in a file that counts.
        """
        self._claiming = (opened_by, more)
        bodies, self._ring = self._ring, deque()
        before = (self.number, self.next_seq, self.durable_seq, self._chain)
        self.next_seq = self.durable_seq = self._chain = 0
        number = max(_writer_numbers(self.folder), default=0)
        try:
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
        except OSError:
            self.number, self.next_seq, self.durable_seq, self._chain = before
            self._ring = bodies
            raise
        self._claiming = None
        self.fault = None
        self._retry_delay = _RETRY_FIRST
        self._ring_bytes = 0
        for _, count, _, events in bodies:
            self._emit(events, count)

    def _claim_as_child(self) -> None:
        self._unclaimed = False
        try:
            self._claim_number("child")
        except OSError as error:
            self._fail(error)
            return
        event = {"t": time.time_ns(), "e": int(EventType.CHILD_BEGAN), "kind": "fork"}
        self._emit(pack(event), 1)

    def _close_file(self) -> None:
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _sync_file(self) -> None:
        """Make what was written durable, names included."""
        with self._sync_lock:
            if not self._acquire():
                return
            try:
                seq, descriptor, path = self.next_seq, self._fd, self.path
                self._dirty = False
                if descriptor < 0:
                    return
                # A descriptor of its own: a fault in another thread closes the writer's.
                descriptor = os.dup(descriptor)
            except OSError:
                return
            finally:
                self._release()
            failure: OSError | None = None
            try:
                if hasattr(os, "fdatasync"):
                    os.fdatasync(descriptor)
                else:
                    os.fsync(descriptor)
                if not self._names_durable:
                    for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                        fsync_folder(folder)
                    self._names_durable = path == self.path
            except OSError as error:
                failure = error
            finally:
                os.close(descriptor)
            if not self._acquire():
                return
            try:
                if path != self.path:
                    return
                if failure is not None:
                    # Never a second fsync of the same file: the kernel has forgotten the pages.
                    self._fail(failure)
                    return
                self.durable_seq = max(self.durable_seq, seq)
                ring = self._ring
                while ring and ring[0][0] + ring[0][1] <= seq:
                    self._ring_bytes = max(0, self._ring_bytes - len(ring.popleft()[3]))
            finally:
                self._release()

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
        self._unreported = []
        self._dirty = False
        self._unclaimed = True


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
