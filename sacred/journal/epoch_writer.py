"""Frames on their way into files: a writer's epochs and numbers, and a disk that refuses.

This is the part of :class:`sacred.journal.writer.JournalWriter` above its files. It knows nothing of
events but their bytes. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import new_packer, pack
from sacred.journal.events import EventType
from sacred.journal.file_writer import FileWriter
from sacred.journal.frames import FrameEncoder, chain_after
from sacred.journal.loss_note import forget_losses, note_losses
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.root import CAN_NOT_SYNC, parse_epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: A file that has grown beyond this is followed by the next epoch's.
EPOCH_BYTES = 256 * 1024 * 1024
#: Events kept in memory to be written again should the disk fail.
RING_BYTES = 4 * 1024 * 1024
RING_FRAMES = 32 * 1024

#: Made beforehand: it is told where nothing may be called.
_INTERRUPTED = OSError(errno.EINTR, os.strerror(errno.EINTR))
_RETRY_FIRST, _RETRY_LAST = 0.05, 5.0


class Loss(NamedTuple):
    """Sequence numbers whose events were lost because nothing took them."""

    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    reason: str


class EpochWriter(FileWriter):
    """Writes the frames of one process, each by one ``write(2)``, into one file after another.

    Attributes
    ----------
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
        super().__init__(folder, journal_id, durability)
        self.losses: list[Loss] = []
        self.fault: OSError | None = None
        self._on_fault = on_fault
        self._unclaimed = False
        #: What is told of a writer that goes on in a journal which another process began.
        self._joined: dict[str, Any] | None = None
        #: A number has to be claimed before anything is written: how, and with which facts.
        self._claiming: tuple[str, dict[str, Any]] | None = None
        self._ring_bytes = 0
        #: How many frames were taken in: numbers begin anew where a writer is superseded.
        self._taken = 0
        #: The number behind the last frame that was taken in and tells of no loss.
        self._behind = 0
        #: With a fault: what has this number or a higher one is in no file.
        self._unwritten = 0
        self._unreported: list[Loss] = []
        #: Whether a note of this process tells what is in no file.
        self._is_noted = False
        #: Whether what is written is to be made durable: not where nobody asked for it, or where
        #: the file system has told that it can not.
        self._syncs = durability != "process"
        self._retry_at = 0.0
        self._retry_delay = _RETRY_FIRST

    def _rouse(self) -> None:
        """Have the background look at what is not durable; for whoever has a background."""

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
        self._behind = behind
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
            self._note(self.next_seq - self._unwritten)

    def _after_write(self) -> None:
        """Have what was written made durable, forgotten, and the file followed by the next."""
        if not self._dirty:
            self._dirty = True
            if self._syncs:
                self._rouse()
        if self.durability == "event" and self._fd >= 0:  # points are counted by the thousand
            try:
                state = self._look_at_file()
            except OSError as error:
                # What went elsewhere meanwhile is in memory still: all of it is written again.
                self._fail_to_write(error, min(self._sure, self.next_seq))
                return
            self._size = self._size if state is None else state.st_size
        if not self._syncs or self._ring_bytes > RING_BYTES or len(self._ring) > RING_FRAMES:
            self._shrink_ring()
        if self._size > EPOCH_BYTES:
            self._rotate()

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

    def _tell_losses(self) -> None:
        """Name in gap events what was lost. Holds the lock."""
        behind = self._behind
        while self._unreported and self.fault is None:
            losses, rest, before = self._unreported, self._unreported[1:], self._taken
            event = {"t": time.time_ns(), "e": int(EventType.GAP), "writer": self.number}
            try:
                self._unreported = rest
                # Alone in its frame: should no file ever take it, it is told from what was lost.
                self._emit(pack({**event, **losses[0]._asdict()}), 1)
            finally:
                if self._taken == before:  # no memory, or an interrupt: it is still to be told
                    self._unreported = losses
                else:
                    self.losses.append(losses[0])
        self._behind = behind

    def _note(self, lost: int) -> None:
        """Have a child's losses outlive it: it may end before the disk takes them."""
        if self._joined is None:
            return
        fault = self.fault
        reason = "unknown" if fault is None else str(fault.strerror or fault)
        self._is_noted = note_losses(self.journal_id, lost, reason) or self._is_noted

    def _withdraw_note(self) -> None:
        """Take the note away as soon as what it tells is in a file."""
        if self._is_noted and self.fault is None:
            self._is_noted = False
            forget_losses(self.journal_id)

    # -- the next file, and a disk that refuses -------------------------------------------------

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
                if opened_by == "child":
                    self._tell_kind()
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
        self._tell_losses()
        self._withdraw_note()

    # -- numbers -----------------------------------------------------------------------------

    def _supersede(self) -> None:
        """Another process took this writer's next file: go on under a new number (R3)."""
        old = self.number
        try:
            self._claim_number("superseded", supersedes=old)
        except OSError as error:
            self._fail(error)

    def _claim_number(self, opened_by: str, **more: Any) -> None:
        """Begin the first file of the next free writer number.

        Frames of the old writer that never were in a file are renumbered. The sequence begins with
        what was lost before and not told yet: a child has no number to tell it under, and the
        events of a superseded writer came to an end before them.
        """
        self._claiming = (opened_by, more)
        bodies = tuple(self._ring)
        before = (self.number, self.next_seq, self.durable_seq, self._chain)
        doubtful = self._is_doubtful()
        lost = sum(loss.count for loss in self._unreported)
        number = max(_writer_numbers(self.folder), default=0)
        self.next_seq, self.durable_seq, self._chain = lost, 0, 0
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
        if lost:
            self._unreported = [Loss(0, lost, self._unreported[0].reason)]
        for first, count, _, events in bodies:
            if first >= unwritten:
                self._emit(events, count)
            elif first < suspect:
                # It stands in the old writer's file, so that it would be there twice.
                self._in_doubt = True
        self._tell_losses()
        self._withdraw_note()

    def _claim_as_child(self) -> None:
        self._unclaimed = False
        try:
            self._claim_number("child")
        except OSError as error:
            self._fail(error)
            return
        self._tell_kind()

    def _tell_kind(self) -> None:
        """Write what the process is that has a number of its own now."""
        event = {"t": time.time_ns(), "e": int(EventType.CHILD_BEGAN)}
        self._emit(pack({**event, **(self._joined or {"kind": "fork"})}), 1)

    def other_writers(self) -> list[int]:
        """Return the numbers of the journal's other writers: its children, mostly.

        Returns
        -------
        In order; of those whose files are there.

        Raises
        ------
        OSError
            The folder can not be read.
        """
        return sorted({*_writer_numbers(self.folder)} - {self.number})

    def _start_anew(self) -> None:
        """In a forked child: forget the parent's file and claim one's own with the next event."""
        self._new_locks()
        self._ring.clear()
        self._ring_bytes = 0
        self._encoder = FrameEncoder()
        self._packer = new_packer()
        if self._joined is None or not self._unclaimed:  # else the parent wrote nothing itself
            self._parent = [self.number, self.epoch, self.next_seq]
        self._joined = {"kind": "fork"}
        self._close_file()
        self._close_left()
        self._forgotten = self._suspect = 0
        self._in_doubt = False
        self.fault = None
        self._unwritten = 0
        self.losses, self._unreported = [], []  # the parent's to tell
        self._is_noted = False
        self._dirty = False
        self._unclaimed = True


def _writer_numbers(folder: Path) -> list[int]:
    names = (parse_epoch_file_name(name) for name in os.listdir(folder))
    return [name[0] for name in names if name is not None]
