"""Writing a journal: one process, one file at a time, one ``write(2)`` a frame.

What may be believed after a call returned:

* a *control* event (start, artifact, heartbeat, end, ...) is in the file: killing the process does
  not lose it;
* a metric point, a piece of output or a change of ``info`` is in the file at most 10 ms later, or
  with ``durability="event"`` at once;
* all of it survives a power cut after at most a second and one ``fdatasync``, and at once after
  ``sync()``; with ``durability="process"`` only what the operating system wrote by itself.

A disk that is full, read-only or failing raises nothing here: events wait in memory (up to
``RING_BYTES``), a new file is tried, and what was lost is counted in a ``gap`` event. Nor does it
raise when memory runs out: what can not even be kept is counted in the same way.
"""

from __future__ import annotations

import atexit
import errno
import os
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import unpack
from sacred.journal.epoch_writer import Loss
from sacred.journal.errors import (
    InvalidEventError,
    JournalBusyError,
    JournalUnavailableError,
)
from sacred.journal.events import CONTROL, EventType
from sacred.journal.exclusion import Exclusion
from sacred.journal.loss_note import forget_losses
from sacred.journal.packing import FRAME_BYTES, VALUE_BYTES
from sacred.journal.pending_writer import PendingWriter
from sacred.journal.piece import Piece
from sacred.journal.points import point_logger, point_writer
from sacred.journal.root import (
    epoch_file_name,
    fsync_file,
    parse_epoch_file_name,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.blobs import BlobStore
    from sacred.journal.loss_note import LossNote
    from sacred.journal.position import WriterPosition

__all__ = ["DURABILITIES", "JournalWriter", "Loss", "journal_id_text", "new_journal_id"]

#: So often closing is tried where memory runs out.
_ATTEMPTS = 50
DURABILITIES = ("process", "second", "event")


class JournalWriter(PendingWriter):
    """Appends the events of one process to a journal.

    Use ``JournalWriter.create``. All methods may be called from any thread and from signal
    handlers. After ``os.fork`` the child's calls go to a writer of its own, under the next free
    number, which it claims with its first event; each is written before its call returns.

    No method raises because of the disk or of memory: what they do not take waits or is counted in
    ``losses``. After ``close``, what records raises ``WriterClosedError``; ``flush``, ``sync`` and
    ``close`` have nothing to do then.

    Attributes
    ----------
    folder, path
        The journal's folder, and the file that is written at the moment.
    journal_id
        63 random bits, the same for all writers of the journal.
    number, epoch
        Which writer this is, from 0, and which of its files ``path`` is, from 1. A writer of which
        another process took the next file goes on under a new number, from sequence number 0.
    next_seq
        The sequence number of the next event that is written.
    durable_seq
        Events with lower numbers survive a power cut.
    losses
        What was lost so far, by sequence numbers, with the system's reason. What is counted here
        stands in a ``gap`` event as soon as the disk takes one.
    fault
        Why nothing can be written at the moment, or None.
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
        if durability not in DURABILITIES:
            raise InvalidEventError(
                f"durability is one of {', '.join(DURABILITIES)}, not {durability!r}"
            )
        super().__init__(folder, journal_id, durability, blobs, on_fault)
        # In the instance, as a closure over all it needs: a method would cost twice as much.
        log_point = point_logger(self) if durability != "event" else point_writer(self)
        log_point.__doc__ = JournalWriter.log_point.__doc__
        self.__dict__["log_point"] = log_point
        _living.add(self)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        *,
        journal_id: int | None = None,
        durability: str = "second",
        blobs: BlobStore | None = None,
        on_fault: Callable[[OSError], None] | None = None,
    ) -> JournalWriter:
        """Begin a journal in a folder that has none.

        The first file is there, with its first event in it, when this returns: it survives the
        process, and a power cut as ``durability`` says.

        Parameters
        ----------
        folder
            Made if it is not there. Where its name is ``journal``, the folder around it is a run's
            for all that takes one (``RunFolder.at``, ``sacred verify``, ``sacred seal``, ...).
        journal_id
            1 to 2^63 - 1; drawn if None.
        durability
            ``"process"`` (survives the process), ``"second"`` (and a power cut, but for the last
            second) or ``"event"`` (every event is written before its call returns).
        blobs
            Where values that are too large for an event go.
        on_fault
            Called once for each time the disk begins to refuse, with the error, from whichever
            thread met it. It must not block and must not raise.

        Returns
        -------
        The writer of the journal's first process, number 0.

        Raises
        ------
        InvalidEventError
            ``durability`` or ``journal_id`` is none.
        JournalUnavailableError
            The file can not be made, or there is a journal already.
        """
        path = Path(folder)
        if journal_id is None:
            journal_id = new_journal_id()
        _check_journal_id(journal_id)
        writer = cls(path, journal_id, durability, blobs, on_fault)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(map(parse_epoch_file_name, os.listdir(path))):
                raise FileExistsError
            writer._open_epoch(1, "start")
        except FileExistsError as error:
            writer.closed = True
            if not path.is_dir():
                raise unavailable(path, error) from error
            raise JournalUnavailableError(17, f"{path} holds a journal already") from None
        except OSError as error:
            writer.closed = True
            raise unavailable(path, error) from error
        return writer

    @classmethod
    def go_on(
        cls,
        folder: str | os.PathLike[str],
        at: WriterPosition,
        *,
        journal_id: int,
        durability: str = "second",
        blobs: BlobStore | None = None,
        on_fault: Callable[[OSError], None] | None = None,
    ) -> JournalWriter:
        """Go on as a journal's first writer, whose process is gone, in its next file.

        Who calls has made sure that nobody writes it any more, and holds ``locked_journal``. Of
        several that go on from the same position one is given the file::

            with locked_journal(folder):
                reader = JournalReader(folder)
                for _ in reader.poll():
                    pass
                at = reader.position[0]
                writer = JournalWriter.go_on(folder, at, journal_id=reader.journal_id)

        A run that has ended is told to go on by a ``RUN_RESUMED`` event; a journal without an
        experiment needs none.

        Parameters
        ----------
        folder
            The folder that holds the journal's files.
        at
            Where what the first writer wrote ends: epoch, next_seq and chain count. The epoch is
            that of its newest file, also of one that a kill left without a whole event.
        journal_id
            The journal's, as its reader tells it.
        durability, blobs, on_fault
            As for ``create``.

        Returns
        -------
        The writer, whose first frame is in the file. What the killed process wrote is durable, but
        with ``durability="process"``.

        Raises
        ------
        InvalidEventError
            ``durability`` or ``journal_id`` is none.
        JournalBusyError
            The next file is there: another process made it first, or ``at`` has an older epoch.
        JournalUnavailableError
            The file can not be made.
        """
        _check_journal_id(journal_id)
        writer = cls(Path(folder), journal_id, durability, blobs, on_fault)
        writer.next_seq, writer._chain, writer.durable_seq = at.next_seq, at.chain, at.next_seq
        try:
            if durability != "process":  # a writer that was killed did not sync what came last
                names = map(parse_epoch_file_name, os.listdir(folder))
                for epoch in [name[1] for name in names if name is not None and name[0] == 0]:
                    fsync_file(writer.folder / epoch_file_name(0, epoch))
            writer._open_epoch(at.epoch + 1, "resume")
        except FileExistsError:
            writer.closed = True
            place = writer.folder
            raise JournalBusyError(
                f"another process goes on with {place.parent if place.name == 'journal' else place} "
                f"already: {epoch_file_name(0, at.epoch + 1)} is there"
            ) from None
        except OSError as error:
            writer.closed = True
            raise unavailable(writer.folder, error) from error
        return writer

    @classmethod
    def join(
        cls,
        folder: str | os.PathLike[str],
        *,
        journal_id: int,
        durability: str = "second",
        blobs: BlobStore | None = None,
        on_fault: Callable[[OSError], None] | None = None,
        kind: str = "worker",
        label: str | None = None,
        lost: Loss | None = None,
    ) -> JournalWriter:
        """Write into a journal that another process began, as a writer of one's own.

        Nothing is done before the first event: it claims the next free number of a writer. Each
        event is in the file when its call returns, so that whoever ends this process without a
        word (``Pool.terminate`` does) takes nothing along. The journal may be sealed, and its run
        over: readers find the writer when they look again.

        Parameters
        ----------
        folder
            The ``journal`` folder of the run. One that is gone is as a disk that refuses.
        journal_id
            That of the journal.
        durability, blobs, on_fault
            As for ``create``.
        kind, label
            What the process is: ``worker``, ``spawn``, ``rank``; and a name for people.
        lost
            What it recorded and nobody could write: told when its number is claimed.

        Returns
        -------
        The writer; its number is claimed with its first event.

        Raises
        ------
        InvalidEventError
            ``durability`` or ``journal_id`` is none.
        """
        _check_journal_id(journal_id)
        writer = cls(Path(folder), journal_id, durability, blobs, on_fault)
        writer._joined = {"kind": kind} if label is None else {"kind": kind, "label": label}
        writer._patient, writer._unclaimed = False, True
        writer._unreported = [lost] if lost is not None else []
        return writer

    @classmethod
    def tell_losses_of(
        cls, note: LossNote, folder: str | os.PathLike[str], *, journal_id: int, durability: str
    ) -> bool:
        """Write the ``gap`` event of a child process that has ended and could not write it.

        It stands in a file of its own, under the next free number, as if the child had found room
        at its end.

        Parameters
        ----------
        note
            What the child left.
        folder, journal_id, durability
            As for ``join``.

        Returns
        -------
        Whether the event is in a file.
        """
        label = f"process {note.pid}"
        lost = Loss(0, note.lost, note.reason)
        writer = cls.join(
            folder, journal_id=journal_id, durability=durability, label=label, lost=lost
        )
        writer._exclusively(writer._claim_as_child)
        written = writer.fault is None
        writer._joined = None  # what fails here is said by whoever asked
        if not written:
            forget_losses(journal_id)
        writer.close()
        return written

    # -- recording ---------------------------------------------------------------------------

    def log_point(self, name: str, step: Any, value: Any) -> None:
        """Record one metric point.

        It survives the process 10 ms after this returned, at the latest, and at once where the
        journal was silent for 25 ms or has ``durability="event"``; a power cut as ``sync`` says.
        It costs 0.2 us in a loop, and 50 us at every hundredth call.

        Parameters
        ----------
        name
            Of the metric. What is no text is recorded as the text that shows it.
        step, value
            As a rule numbers, kept bit for bit; any value is taken, as ``append`` takes it.

        Raises
        ------
        WriterClosedError
            The journal was closed. (A point that another thread logs while ``close`` runs is in
            the file, refused, or lost without a word.)
        """
        self.__dict__["log_point"](name, step, value)

    def append(self, event_type: int, /, *, time_ns: int | None = None, **fields: Any) -> int:
        """Record one event.

        A control event is in the file when this returns: it survives the process, and a power cut
        as ``sync`` says. Another one (``docs/journal-format.md`` tells which) may wait 10 ms.

        Parameters
        ----------
        event_type
            An ``EventType``; not those that only the writer writes: ``EPOCH_BEGAN``, ``SEALED``
            and ``METRIC_TABLE``.
        time_ns
            When it happened (ns since the epoch, UTC); now if None.
        fields
            By their names in the registry, each of the kind that stands there. Those that are
            always there must be given; of the others, what is None is left out. What msgpack has
            not (dates, arrays, numbers of any size, ...) is encoded; another object becomes the
            text that shows it. A large value of an event beyond 16 MiB becomes a blob.

        Returns
        -------
        The sequence number of a control event; -1 for another one, for an event of a signal handler
        that interrupted this very writer, and where memory ran out: these are written with what
        comes next, or counted as lost. While the disk refuses (``fault`` tells why) the event waits
        in memory under the number that is returned, or is counted as lost.

        Raises
        ------
        InvalidEventError
            A type or field that does not exist, a field that is missing, or an event larger than
            16 MiB without a store of blobs. Nothing was recorded.
        WriterClosedError
            The journal was closed.
        """
        try:
            packed = self._events.event(event_type, time_ns, fields)
        except MemoryError:
            self._miss()
            return -1
        return self._append_packed(packed, control=event_type in CONTROL)

    def append_output(
        self, stream: int, data: bytes, begin: int | None = None, end: int | None = None
    ) -> None:
        """Record a piece of output; may wait 10 ms.

        Pieces of one stream that follow each other in that time become one event: ``print`` writes
        every argument and every space by itself.

        Parameters
        ----------
        stream
            1 stdout, 2 stderr.
        data
            As it was written.
        begin, end
            The spool's offsets (bytes), where the output went through one.

        Raises
        ------
        InvalidEventError
            The data is no bytes.
        WriterClosedError
            The journal was closed.
        """
        if type(data) is not bytes:
            data = _checked_bytes(data)
        if begin is not None:
            self.append(EventType.OUTPUT, stream=stream, data=data, begin=begin, end=end)
            return
        try:
            for start in range(0, len(data), FRAME_BYTES):
                part = data[start : start + FRAME_BYTES]
                self._append_piece(Piece(stream, time.time_ns(), [part]))
        except MemoryError:
            self._miss()

    def sync(self) -> bool:
        """Write what is pending and wait until it survives a power cut.

        Without it, an event survives one after a second and the time the disk takes to sync; with
        ``durability="process"``, whenever the system writes by itself.

        Returns
        -------
        Whether all that was recorded before does: False if the disk refuses, or refused earlier
        what could not be written again, and where the file system can make nothing durable.
        """
        self.flush()
        seq = self.next_seq
        try:
            self._sync_file()
        except MemoryError:
            return False
        if self._cells or self._pending:
            return False  # memory ran out in ``flush``
        return self.durable_seq >= seq and self.fault is None and not self._in_doubt

    def close(self) -> None:
        """Write what is pending, make it durable and end the file; later events are refused.

        Raises nothing: what the disk or memory does not take is counted in ``losses``. May be
        called again.
        """
        attempts = 0
        while attempts < _ATTEMPTS:
            try:
                self._close()
                return
            except MemoryError:  # there may be some again
                attempts += 1
        self._give_up_pending()

    def _prepare_for_the_end(self) -> None:
        """Have nothing wait any more: the interpreter stops all threads but one, wherever they are."""
        self._patient = False
        self._ending = True
        self.flush()
        self._wake.put(None)
        flusher = self._flusher
        if flusher is not None and flusher is not threading.current_thread():
            flusher.join(1.0)

    def _close(self) -> None:
        if self._is_frozen():
            self.closed = True
            return
        if not self.closed:
            self.flush()
            if self._syncs and not self._unclaimed:
                self._sync_file()
            self._exclusively(self._end_file)
        with self._sync_lock:
            self._close_left()
        self._wake.put(None)
        flusher = self._flusher
        if flusher is not None and flusher is not threading.current_thread():
            flusher.join(1.0)
        _living.discard(self)

    def _give_up_pending(self) -> None:
        """Take no more; what no file took, for lack of memory, is lost."""
        # Nobody writes into the file any more. It stays open: another thread may be at it.
        self.closed, self._fd = True, -1
        try:
            self.losses += self._unreported
            count = len(self._cells) // 4 + len(self._pending) + self._missed
            if count:
                self.losses.append(Loss(self.next_seq, count, os.strerror(errno.ENOMEM)))
        except MemoryError:
            pass

    def _end_file(self) -> None:
        """Write what can be written, count what can not, and take no more. Holds the lock."""
        self._write_out()
        self._has_its_file()
        self._try_again(force=True)
        untold = 0
        if self.fault is not None:
            for first, count, _, events in self._ring:
                # What lies before is in a file, durable or not.
                if first < self._unwritten:
                    continue
                told = _told_loss(count, events)
                if told is None:
                    self._lose(first, count)
                else:
                    untold += told
        if untold or self._unreported:
            self._note(untold + sum(loss.count for loss in self._unreported))
        self.losses += self._unreported
        self.closed = True
        self._close_file()


def _checked_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise InvalidEventError(f"output is bytes, not {type(data).__name__}: encode it")


def _told_loss(count: int, events: bytes) -> int | None:
    """Return how many lost events a frame tells of, if it is one that ``_tell_losses`` makes."""
    event = unpack(events) if count == 1 and len(events) < VALUE_BYTES else {}
    return int(event["count"]) if event.get("e") == EventType.GAP else None


def _check_journal_id(journal_id: Any) -> None:
    if type(journal_id) is not int or not 0 < journal_id < 1 << 63:
        raise InvalidEventError(f"journal_id is 1 to 2^63 - 1, not {journal_id!r}")


def new_journal_id() -> int:
    """Draw a journal's id: 63 random bits, never 0."""
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1


def journal_id_text(journal_id: int) -> str:
    """Return a journal's id as 16 hex digits, as it is shown and kept by views."""
    return f"{journal_id:016x}"


_living: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for writer in list(_living):
        writer._after_fork_in_child()


def _flush_at_exit() -> None:
    Exclusion._all_ending = True
    for writer in list(_living):
        writer._prepare_for_the_end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_flush_at_exit)
