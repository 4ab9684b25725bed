"""What waits to be written: points, events and output, until they fill a frame or are due.

This is the part of :class:`sacred.journal.writer.JournalWriter` above frames and files. It is the side
of the writer that the flusher sees. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from queue import SimpleQueue  # re-entrant: a signal handler may wake the flusher
from typing import TYPE_CHECKING, Any

from sacred.journal.durable_writer import DurableWriter
from sacred.journal.epoch_writer import Loss
from sacred.journal.errors import WriterClosedError
from sacred.journal.flusher import TICK, YOUNG, flush_in_background
from sacred.journal.packing import FRAME_BYTES, EventPacker
from sacred.journal.points import IDLE, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.journal.blobs import BlobStore
    from sacred.journal.piece import Piece

#: So many cells are packed at once: 4096 points.
_MOST_CELLS = 4 * 4096
#: Pending output and the like is written by the caller from here on.
PENDING_BYTES = 64 * 1024


class PendingWriter(DurableWriter):
    """Takes what is recorded, and writes it in frames: at once, or within 10 ms.

    Attributes
    ----------
    closed
        No event is taken any more.
    """

    def __init__(
        self,
        folder: Path,
        journal_id: int,
        durability: str,
        blobs: BlobStore | None,
        on_fault: Callable[[OSError], None] | None,
    ) -> None:
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._dozing = True
        self._flusher: threading.Thread | None = None
        super().__init__(folder, journal_id, durability, on_fault)
        self.closed = False
        #: Events may wait for company. Not in a forked child: it ends by ``os._exit``, as those of
        #: multiprocessing do, and nobody is told.
        self._patient = durability != "event"
        self._events = EventPacker(blobs, on_fault)
        #: The points that wait: name, step, value and time (ns) of each, one behind the other. In
        #: one list, which takes the four in one step and makes columns by slices; a tuple each
        #: would cost the flush a tenth of its time, and the garbage collector its turns.
        self._cells: list[Any] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        #: How many events found no memory, and are not told to be lost yet.
        self._missed = 0
        #: The number of the control event that was written last; -1 if it still waits.
        self._written = -1
        #: Output that waits for more of its stream.
        self._piece: Piece | None = None
        self._due = 0
        self._last = 0

    # -- taking it -----------------------------------------------------------------------------

    def _append_piece(self, piece: Piece) -> None:
        if self._exclusively(self._take_piece, piece) is None:
            self._append_packed(piece.packed(), control=False)
        elif self._due and self._dozing:
            self._rouse()

    def _take_piece(self, piece: Piece) -> bool:
        """Join a piece of output to what waits. Holds the lock."""
        if self.closed:
            raise self._refusal()
        size = len(piece.data[0])
        waits = self._piece
        if waits is not None and waits.stream == piece.stream and waits.size + size <= FRAME_BYTES:
            waits.add(piece)
        else:
            self._end_piece()
            self._piece = piece
        try:
            self._pending_bytes += size
            now = piece.time
            is_line = piece.data[0].endswith(b"\n") and now - self._last >= IDLE and not self._due
            is_child = self._parent is not None or self._joined is not None
            if is_line or is_child or self._pending_bytes >= PENDING_BYTES:
                self._write_or_keep()
                self._last = now
            elif not self._due:
                self._due = now + PATIENCE
        except MemoryError:
            self._due = 1
        return True

    def _end_piece(self) -> None:
        """Have nothing more joined to the output that waits. Holds the lock."""
        piece = self._piece
        if piece is not None:
            packed = piece.packed()
            # Nothing is called in between, so that an interrupt finds it here or there.
            self._pending_bytes += len(packed) - piece.size
            self._pending += (packed,)
            self._piece = None

    def _append_packed(self, packed: bytes, *, control: bool) -> int:
        try:
            seq = self._exclusively(self._take_event, packed, control)
            if seq is None:  # the call that this signal handler interrupted takes the event along
                self._queue(packed)
                return -1
        except MemoryError:
            self._miss()
            return -1
        if seq < 0 and self._dozing:
            self._rouse()
        return seq

    def _refusal(self) -> WriterClosedError:
        return WriterClosedError(
            f"the journal in {self.folder} is closed: nothing more can be recorded in it"
        )

    def _queue(self, packed: bytes) -> None:
        """Put an event behind those that are pending: it is lost no more, unless with the process."""
        size = self._pending_bytes + len(packed)
        self._pending.append(packed)
        self._pending_bytes = size

    def _take_event(self, packed: bytes, control: bool) -> int:
        """Write an event, or have it wait for company. Holds the lock."""
        if self.closed:
            raise self._refusal()
        self._end_piece()
        self._queue(packed)
        if control or not self._patient:
            self._write_or_keep(len(self._pending) - 1)
            return self._written
        try:
            now = time.time_ns()
            if self._pending_bytes >= PENDING_BYTES or (not self._due and now - self._last >= IDLE):
                self._write_or_keep()
                self._last = now
            elif not self._due:
                self._due = now + PATIENCE
        except MemoryError:
            self._due = 1
        return -1

    def _miss(self) -> None:
        """Count an event that found no memory: told to be lost with what is written next."""
        try:
            self._missed += 1
        except MemoryError:
            pass

    def _number_missed(self) -> None:
        """Give what was missed its sequence numbers. Holds the lock."""
        first, count, reason = self.next_seq, self._missed, os.strerror(errno.ENOMEM)
        self._unreported += (Loss(first, count, reason),)
        self.next_seq, self._missed = first + count, 0
        if self._on_fault is not None:
            self._on_fault(OSError(errno.ENOMEM, reason))

    # -- writing it ----------------------------------------------------------------------------

    def _write_deferred(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Write what is pending. It survives the process when this returns (not a power cut).

        From a signal handler that interrupted a call of this writer: when that call returns.
        """
        try:
            self._exclusively(self._write_pending)
        except MemoryError:  # all of it is pending as before
            pass

    def _write_pending(self) -> None:
        if not self.closed:
            self._write_or_keep()

    def _write_or_keep(self, asked: int = -1) -> None:
        """Write what is pending; where memory runs out, the rest stays so. Holds the lock.

        Parameters
        ----------
        asked
            Of which pending event the number is to be in ``_written``, if it gets one.
        """
        self._written = -1
        try:
            self._write_out(asked)
        except MemoryError:
            self._due = 1  # long ago: the flusher's next turn, or the next call, tries again

    def _write_out(self, asked: int = -1) -> None:
        """Write the pending points, then the pending events, then what was lost. Holds the lock.

        What is pending stays so until a frame holds it: an interrupt (Ctrl-C) loses nothing, nor
        does memory that runs out.
        """
        self._end_piece()
        cells, pending = self._cells, self._pending
        if self._unclaimed:
            if not cells and not pending and not self._missed:
                return
            self._claim_as_child()
        self._due = 0
        if self._missed:
            self._number_missed()
        body: list[bytes] = []
        size = held = queued = 0
        # A caller flushes at ``BATCH``; only a flusher that was kept from running finds more.
        while cells:
            packed, held = self._events.points(cells[:_MOST_CELLS])
            if 4 * held == len(cells):
                body, size = [packed], len(packed)
                break
            self._send([packed], held, 0)
            held = 0
        for packed in tuple(pending):
            if body and size + len(packed) > FRAME_BYTES:
                asked = self._send(body, held, queued, asked)
                body, size, held, queued = [], 0, 0, 0
            body.append(packed)
            size += len(packed)
            queued += 1
        if body:
            self._send(body, held, queued, asked)
        if self._unreported:
            self._tell_losses()

    def _send(self, body: list[bytes], points: int, queued: int, asked: int = -1) -> int:
        """Write a frame of the first pending points and events, which are pending no more.

        Returns
        -------
        At which place among those that stay the event is of which the number is asked for.
        """
        before, size = self._taken, sum(map(len, body[len(body) - queued :]))
        # Made here: behind the frame there may be no memory for them, and it would be written twice.
        gone, gone_events = slice(4 * points), slice(queued)
        try:
            self._emit(b"".join(body) if len(body) > 1 else body[0], points + queued)
        finally:
            # Nothing is called here: a second interrupt finds all of it pending, or none.
            if self._taken != before:
                del self._cells[gone]
                del self._pending[gone_events]
                try:
                    self._pending_bytes -= size
                except MemoryError:
                    pass  # then a piece of output is written a little sooner than it need be
        if 0 <= asked < queued:
            self._written = self._behind - queued + asked
        return asked - queued

    # -- the flusher ---------------------------------------------------------------------------

    def _rouse(self) -> None:
        """Wake the flusher if it dozes, or start it."""
        if not self._dozing or self._ending:
            return
        self._dozing = False
        if self._flusher is None and not self.closed:
            self._flusher = threading.Thread(
                target=flush_in_background,
                args=(weakref.ref(self), self._wake),
                name="sacred-journal",
                daemon=True,
            )
            try:
                self._flusher.start()
            except RuntimeError:  # the interpreter is shutting down: close() writes the rest
                self._flusher = None
            except MemoryError:  # callers write what they log, and the next of them tries again
                self._flusher, self._dozing = None, True
                return
            except BaseException:  # an interrupt: the next call tries again
                self._flusher, self._dozing = None, True
                raise
        self._wake.put(None)

    def _tick(self) -> float | None:
        """Do what is due; return for how long to sleep (s), or None for until woken."""
        now = time.time_ns()
        if self._due and (now >= self._due - PATIENCE + YOUNG or now < self._due - PATIENCE):
            self.flush()  # it is time, or the clock was put back
        if self.fault is not None and time.monotonic() >= self._retry_at:
            self._exclusively(self._try_again)
        if self._due or self._cells:
            return TICK
        return None

    # -- fork ----------------------------------------------------------------------------------

    def _after_fork_in_child(self) -> None:
        """Become a writer of one's own; what was pending is the parent's to write."""
        self._wake = SimpleQueue()
        self._dozing = True
        self._flusher = None
        self._cells.clear()
        self._pending.clear()
        self._piece = None
        self._pending_bytes = self._missed = 0
        self._due = self._last = 0
        self._patient = False
        self._start_anew()
        self._unclaimed = not self.closed
