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
import contextlib
import errno
import os
import struct
import threading
import time
import weakref
from pathlib import Path
from queue import Empty, SimpleQueue  # re-entrant: a signal handler may wake the flusher
from typing import TYPE_CHECKING, Any

import xxhash

from sacred.journal.codec import BlobReference, ObjectText, describe, new_packer, pack
from sacred.journal.epoch_writer import TABLE_ROWS, EpochWriter, Loss, short_write
from sacred.journal.errors import (
    InvalidEventError,
    JournalUnavailableError,
    WriterClosedError,
)
from sacred.journal.events import CONTROL, KEYS, EventType
from sacred.journal.frames import RAW_HEADERS, RAW_LIMIT
from sacred.journal.root import parse_epoch_file_name, unavailable
from sacred.journal.tables import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.blobs import BlobStore

__all__ = ["DURABILITIES", "JournalWriter", "Loss", "journal_id_text", "new_journal_id"]

#: A journal that was silent for so long writes the next point at once (ns): where points come more
#: often, a write each would cost their loop up to 1 % of its time.
IDLE = 25_000_000
#: The longest a point waits for company (ns).
PATIENCE = 10_000_000
#: So many pending points are written by the caller, who does not wait for the flusher's turn:
#: more than 100, so that 99 of 100 calls are none of this, and not many more: it is 50 us at once.
BATCH = 112
#: So many cells are packed at once: 4096 points.
_MOST_CELLS = 4 * 4096
#: Largest content of a frame of several events.
FRAME_BYTES = 256 * 1024
#: Largest event; larger values become blobs.
EVENT_BYTES = 16 * 1024 * 1024
#: A value larger than this becomes a blob where the event would be too large.
VALUE_BYTES = 1024 * 1024
#: Names of metrics whose encoding is remembered.
MAX_NAMES = 4096
#: Pending output and the like is written by the caller from here on.
PENDING_BYTES = 64 * 1024

#: The flusher's turns while points come (s), and what is too young for one (ns): together less than
#: ``PATIENCE``, by what a thread that computes in Python may keep the interpreter for itself.
_TICK = 0.006
_YOUNG = 1_000_000
#: Turns without work after which it waits to be woken: longer than ``IDLE``, so that a steady stream
#: never pays for waking it.
_DOZE_AFTER = 5
_SYNC_EVERY = 1.0
#: So often closing is tried where memory runs out.
_ATTEMPTS = 50
DURABILITIES = ("process", "second", "event")


class _Piece:
    """Output of one stream that was written in one go, or nearly so."""

    __slots__ = ("data", "size", "stream", "time")

    def __init__(self, stream: int, when: int, data: list[bytes]) -> None:
        self.stream = stream
        self.time = when
        self.data = data
        self.size = sum(map(len, data))

    def add(self, other: _Piece) -> None:
        size = self.size + other.size
        self.data += other.data
        self.size = size

    def packed(self) -> bytes:
        """Return it as an event."""
        keys = KEYS[EventType.OUTPUT]
        return pack(
            {
                "t": self.time,
                "e": int(EventType.OUTPUT),
                keys["stream"]: self.stream,
                keys["data"]: b"".join(self.data),
            }
        )


class JournalWriter(EpochWriter):
    """Appends the events of one process to a journal.

    Use ``JournalWriter.create``. All methods may be called from any thread and from signal
    handlers. After ``os.fork`` the child's calls go to a writer of its own, under the next free
    number, which it claims with its first event; each is written before its call returns.

    The attributes are those of :class:`EpochWriter`, and

    Attributes
    ----------
    closed
        No event is taken any more.
    log_point
        ``log_point(name, step, value)`` records one metric point. A function made for this writer:
        it costs 0.2 us in a loop.
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
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._dozing = True
        self._flusher: threading.Thread | None = None
        super().__init__(folder, journal_id, durability, on_fault)
        self.closed = False
        #: Events may wait for company. Not in a forked child: it ends by ``os._exit``, as those of
        #: multiprocessing do, and nobody is told.
        self._patient = durability != "event"
        self._blobs = blobs
        #: The points that wait: name, step, value and time (ns) of each, one behind the other. In
        #: one list, which takes the four in one step and makes columns by slices; a tuple each
        #: would cost the flush a tenth of its time, and the garbage collector its turns.
        self._cells: list[Any] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        #: How many events found no memory, and are not told to be lost yet.
        self._missed = 0
        #: Output that waits for more of its stream.
        self._piece: _Piece | None = None
        self._due = 0
        self._last = 0
        self.log_point: Callable[[str, Any, Any], None] = (
            self._point_logger() if durability != "event" else self._point_writer()
        )
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

        The first file is there, with its first event in it, when this returns.

        Parameters
        ----------
        folder
            Made if it is not there.
        journal_id
            63 bits; drawn if None.
        durability
            ``"process"`` (survives the process), ``"second"`` (and a power cut, but for the last
            second) or ``"event"`` (every event is written before its call returns).
        blobs
            Where values that are too large for an event go.
        on_fault
            Called once for each time the disk begins to refuse, with the error, from whichever
            thread met it. It must not block and must not raise.

        Raises
        ------
        JournalUnavailableError
            The file can not be made, or there is a journal already.
        """
        path = Path(folder)
        if journal_id is None:
            journal_id = new_journal_id()
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

    # -- recording ---------------------------------------------------------------------------

    def _point_logger(self) -> Callable[[str, Any, Any], None]:
        """Return the function that logs one metric point.

        A closure over what it needs: every attribute it would look up costs 30 ns of 400.
        """
        cells = self._cells
        extend, full = cells.extend, 4 * BATCH
        now_ns = time.time_ns
        write_point = self._point_writer()

        def log_point(name: str, step: Any, value: Any) -> None:
            now = 0
            try:
                now = now_ns()
                if now < self._due:
                    extend((name, step, value, now))
                    if len(cells) >= full:
                        self.flush()
                elif self.closed:
                    cells.clear()  # the run has ended, and its journal with it
                elif self._due or cells or self._unclaimed:
                    extend((name, step, value, now))
                    self._last = now
                    self.flush()
                elif self._patient and 0 <= now - self._last < IDLE:
                    # The first of a burst: wait for company.
                    due = now + PATIENCE
                    extend((name, step, value, now))
                    self._last, self._due = now, due
                    if self._dozing:
                        self._rouse()
                else:
                    self._last = now
                    write_point(name, step, value, now)
            except MemoryError:
                if not cells or cells[-1] is not now:
                    self._miss()

        return log_point

    def _point_writer(self) -> Callable[..., None]:
        """Return the function that writes one metric point before it returns.

        A fourth argument says when it was logged, if that is known.

        ``_exclusively``, ``_write_out``, ``_emit`` and ``_write`` in one piece, for a journal with
        nothing pending: 2.4 us instead of 4.3, of which write(2) is 1.2.
        """
        now_ns = time.time_ns
        pending, ring, remember = self._pending, self._ring, self._ring.append
        packer, write, join, headers = new_packer(), os.write, b"".join, RAW_HEADERS
        packed = packer.pack
        digest, chained = xxhash.xxh64_digest, xxhash.xxh64_intdigest
        # The preamble's last three numbers and the event, at fixed widths: one call that takes
        # 0.15 us in place of six, and a library less whose pages may be in no cache. For each
        # metric what stands between the time and the step, and who packs it with the rest.
        head = struct.Struct(">BIBBQ4sQ").pack
        events_at = struct.calcsize(">BIBBQ")
        named: dict[str, tuple[bytes, Callable[..., bytes]]] = {}

        def log_point(name: str, step: Any, value: Any, now: int = 0) -> None:
            try:
                if self._busy or self._ending:  # another thread, or a handler that interrupted it
                    self._append_packed(self._pack_point(name, step, value, now_ns()), control=True)
                    return
            except MemoryError:
                self._miss()
                return
            lock = self._lock
            try:
                lock.acquire()
            except BaseException:  # an interrupt, which may come when the lock is taken already
                if lock._is_owned():  # type: ignore[attr-defined]
                    lock.release()
                raise
            first, kept = self.next_seq, False
            try:
                self._busy = True
                descriptor, prefix = self._fd, self._prefix
                first, chain = self.next_seq, self._chain
                if not now:
                    now = now_ns()
                try:
                    middle, whole = named[name]
                    if type(value) is float and type(step) is int and 0 <= step <= 0xFFFFFFFF:
                        # fmt: off
                        content = prefix + whole(
                            0xCE, first, 1, 0xCF, chain, b"\x85\xa1t\xcf", now, middle,
                            0xCE, step, b"\xa1v\xcb", value,
                        )
                        # fmt: on
                    else:
                        start = head(0xCE, first, 1, 0xCF, chain, b"\x85\xa1t\xcf", now)
                        content = join(
                            (prefix, start, middle, packed(step), b"\xa1v", packed(value))
                        )
                except Exception:  # a new name, an odd value: the careful way
                    packer.reset()  # without memory it keeps what it did not hand out
                    if type(name) is str and len(named) < MAX_NAMES:
                        middle = b"\xa1e\x10\xa1m" + pack(name) + b"\xa1s"
                        form = f">BIBBQ4sQ{len(middle)}sBI3sd"
                        named[name] = middle, struct.Struct(form).pack
                    descriptor = -1
                if descriptor < 0 or pending or self._piece or len(content) > RAW_LIMIT:
                    if not self.closed:
                        self._queue(self._pack_point(name, step, value, now))
                        kept = True
                        self._write_or_keep()
                    return
                frame = headers[len(content)] + content + digest(content)[:3:-1]
                events = content[len(prefix) + events_at :]
                after = chained(events, chain)
                body = (first, 1, chain, events)
                # Nothing is called between here and the append: see _emit.
                self.next_seq, self._chain = first + 1, after
                try:
                    remember(body)
                    if write(descriptor, frame) != len(frame):
                        raise short_write()
                except OSError as error:
                    self._fail_to_write(error, first)
                    self._try_again()
                except MemoryError:
                    if not ring or ring[-1] is not body:
                        self.next_seq, self._chain = first, chain
                        raise
                    self._doubt(first)  # nobody knows whether it was written
                except BaseException:
                    self._doubt(first)
                    raise
                if not self._dirty or not first & 1023:
                    self._after_write()
            except MemoryError:
                if self.next_seq == first and not kept:
                    self._miss()
            finally:
                self._busy = False
                lock.release()
                if self._deferred:
                    self._deferred = False
                    self._write_deferred()

        return log_point

    def append(self, event_type: int, /, *, time_ns: int | None = None, **fields: Any) -> int:
        """Record one event.

        Parameters
        ----------
        event_type
            An ``EventType``.
        time_ns
            When it happened (ns since the epoch); now if None.
        fields
            By their names in the registry; fields that are None are left out.

        Returns
        -------
        The sequence number of a control event, which is in the file by then (or counted as lost
        if the disk refuses it); -1 for an event that may wait 10 ms, and where memory ran out: it
        is written with the next one, or counted as lost.

        Raises
        ------
        InvalidEventError
            A value that can not be encoded, or larger than 16 MiB without a store of blobs.
        WriterClosedError
            The journal was closed.
        """
        try:
            packed = self._pack_event(event_type, time_ns, fields)
        except MemoryError:
            self._miss()
            return -1
        return self._append_packed(packed, control=event_type in CONTROL)

    def _pack_event(self, event_type: int, when: int | None, fields: dict[str, Any]) -> bytes:
        keys = KEYS[event_type]
        wire: dict[str, Any] = {"t": time.time_ns() if when is None else when}
        wire["e"] = int(event_type)
        try:
            for name, value in fields.items():
                if value is not None:
                    wire[keys[name]] = value
        except KeyError as error:
            kind = EventType(event_type).name.lower()
            raise InvalidEventError(f"{kind} has no field {error}: {', '.join(keys)}") from None
        packed = pack(wire)
        if len(packed) > EVENT_BYTES:
            if self._blobs is None:
                raise InvalidEventError("an event larger than 16 MiB, and no store for blobs")
            packed = self._pack_large(wire)
        return packed

    def _pack_large(self, wire: dict[str, Any]) -> bytes:
        """Move the largest values of an event that is too large into blobs.

        What no blob can take (there is no store, or its disk is full) becomes a text that says so.
        """
        sizes = sorted(((len(pack(value)), key) for key, value in wire.items()), reverse=True)
        total = sum(size for size, _ in sizes)
        for size, key in sizes:
            if total > VALUE_BYTES:
                wire[key] = self._blob_of(wire[key], size)
                total -= size
        return pack(wire)

    def _blob_of(self, value: Any, size: int) -> BlobReference | ObjectText:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if self._blobs is None:
            return ObjectText(kind, f"<{size} bytes: no store for values of more than 16 MiB>")
        try:
            stored = self._blobs.put_bytes(pack(value))
        except OSError as error:
            if self._on_fault is not None:
                self._on_fault(error)
            return ObjectText(kind, f"<{size} bytes that could not be stored: {error.strerror}>")
        return BlobReference(*stored.blob[:3], "msgpack")

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
            The spool's offsets, where the output went through one.
        """
        if begin is not None:
            self.append(EventType.OUTPUT, stream=stream, data=data, begin=begin, end=end)
            return
        try:
            for start in range(0, len(data), FRAME_BYTES):
                part = data[start : start + FRAME_BYTES]
                self._append_piece(_Piece(stream, time.time_ns(), [part]))
        except MemoryError:
            self._miss()

    def _append_piece(self, piece: _Piece) -> None:
        if self._exclusively(self._take_piece, piece) is None:
            self._append_packed(piece.packed(), control=False)
        elif self._due and self._dozing:
            self._rouse()

    def _take_piece(self, piece: _Piece) -> bool:
        """Join a piece of output to what waits. Holds the lock."""
        if self.closed:
            raise WriterClosedError("the journal is closed: the run has ended")
        size = len(piece.data[0])
        waits = self._piece
        if waits is not None and (waits.stream, waits.size + size <= FRAME_BYTES) == (
            piece.stream,
            True,
        ):
            waits.add(piece)
        else:
            self._end_piece()
            self._piece = piece
        try:
            self._pending_bytes += size
            now = piece.time
            is_line = piece.data[0].endswith(b"\n") and now - self._last >= IDLE and not self._due
            if is_line or self._parent is not None or self._pending_bytes >= PENDING_BYTES:
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

    def _queue(self, packed: bytes) -> None:
        """Put an event behind those that are pending: it is lost no more, unless with the process."""
        size = self._pending_bytes + len(packed)
        self._pending.append(packed)
        self._pending_bytes = size

    def _take_event(self, packed: bytes, control: bool) -> int:
        """Write an event, or have it wait for company. Holds the lock."""
        if self.closed:
            raise WriterClosedError("the journal is closed: the run has ended")
        self._end_piece()
        self._queue(packed)
        if control or not self._patient:
            return self.next_seq - 1 if self._write_or_keep() else -1
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

    def _write_or_keep(self) -> bool:
        """Write what is pending; where memory runs out, the rest stays so. Holds the lock.

        Returns
        -------
        Whether all of it is written, or waits in memory for the disk.
        """
        try:
            self._write_out()
        except MemoryError:
            self._due = 1  # long ago: the flusher's next turn, or the next call, tries again
            return False
        return True

    def _miss(self) -> None:
        """Count an event that found no memory: told to be lost with what is written next."""
        try:
            self._missed += 1
        except MemoryError:
            pass

    def _tell_missed(self) -> None:
        """Give what was missed its sequence numbers, and name them. Holds the lock."""
        first, count, reason = self.next_seq, self._missed, os.strerror(errno.ENOMEM)
        loss = Loss(first, count, reason)
        fields = {"t": time.time_ns(), "e": int(EventType.GAP), "writer": self.number}
        packed = pack({**fields, **loss._asdict()})
        self._queue(packed)
        self.losses.append(loss)
        self.next_seq, self._missed = first + count, 0
        if self._on_fault is not None:
            self._on_fault(OSError(errno.ENOMEM, reason))

    def sync(self) -> bool:
        """Write what is pending and wait until it survives a power cut.

        Returns
        -------
        False if the disk refuses, or refused earlier what could not be written again; and where
        the file system can make nothing durable.
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
        """Write what is pending, make it durable and end the file; later events are refused."""
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
        if self._ending and self._is_frozen():
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
        self.closed = True
        try:
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
        if self.fault is not None:
            for first, count, _, _ in self._ring:
                if first >= self._unwritten:  # what lies before is in a file, durable or not
                    self._lose(first, count)
            self.losses += self._unreported
        self.closed = True
        self._close_file()

    def _write_out(self) -> None:
        """Write the pending points, then the pending events. Holds the lock.

        What is pending stays so until a frame holds it: an interrupt (Ctrl-C) loses nothing, nor
        does memory that runs out.
        """
        self._end_piece()
        cells, pending = self._cells, self._pending
        if self._unclaimed:
            if not cells and not pending:
                return
            self._claim_as_child()
        self._due = 0
        if self._missed:
            self._tell_missed()
        body: list[bytes] = []
        size = held = queued = 0
        # A caller flushes at ``BATCH``; only a flusher that was kept from running finds more.
        while cells:
            packed, held = self._pack_points(cells[:_MOST_CELLS])
            if 4 * held == len(cells):
                body, size = [packed], len(packed)
                break
            self._send([packed], held, 0)
            held = 0
        for packed in tuple(pending):
            if body and size + len(packed) > FRAME_BYTES:
                self._send(body, held, queued)
                body, size, held, queued = [], 0, 0, 0
            body.append(packed)
            size += len(packed)
            queued += 1
        if body:
            self._send(body, held, queued)

    def _send(self, body: list[bytes], points: int, queued: int) -> None:
        """Write a frame of the first pending points and events, which are pending no more."""
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

    def _pack_points(self, cells: list[Any]) -> tuple[bytes, int]:
        """Encode the first of some metric points, as many as fit; return how many that are."""
        try:
            packed = _pack_cells(cells)
        except Exception:  # a name that is none
            cells[::4] = map(_name_of, cells[::4])
            packed = _pack_cells(cells)
        if 0 < len(packed) <= FRAME_BYTES:
            return packed, len(cells) // 4
        if len(cells) > 4:
            return self._pack_points(cells[: len(cells) // 8 * 4])
        return self._pack_point(*cells), 1

    def _pack_point(self, name: Any, step: Any, value: Any, when: int) -> bytes:
        """Encode one metric point, whatever was given for it."""
        wire: dict[str, Any] = {"t": when, "e": int(EventType.METRIC_POINT), "m": _name_of(name)}
        wire.update(s=step, v=value)
        packed = pack(wire)
        return packed if len(packed) <= EVENT_BYTES else self._pack_large(wire)

    # -- the flusher -------------------------------------------------------------------------

    def _rouse(self) -> None:
        """Wake the flusher if it dozes, or start it."""
        if not self._dozing or self._ending:
            return
        self._dozing = False
        if self._flusher is None and not self.closed:
            self._flusher = threading.Thread(
                target=_flush_in_background,
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
        if self._due and (now >= self._due - PATIENCE + _YOUNG or now < self._due - PATIENCE):
            self.flush()  # it is time, or the clock was put back
        if self.fault is not None and time.monotonic() >= self._retry_at:
            self._exclusively(self._try_again)
        if self._due or self._cells:
            return _TICK
        return None

    # -- fork --------------------------------------------------------------------------------

    def _after_fork_in_child(self) -> None:
        """Become a writer of one's own; what was pending is the parent's to write."""
        self._wake = SimpleQueue()
        self._dozing = True
        self._flusher = None
        self._cells.clear()
        self._pending.clear()
        self._piece = None
        self._pending_bytes = 0
        self._due = self._last = 0
        self._patient = False
        self._start_anew()
        self._unclaimed = not self.closed


def _flush_in_background(reference: weakref.ref[JournalWriter], wake: SimpleQueue[None]) -> None:
    """Write what waits, and make durable what was written, until the writer is closed or gone."""
    turns = _Turns(reference, wake)
    while True:
        try:
            if not turns.take():
                return
        except MemoryError:  # whoever has taken it gives it back, or ends with the process
            time.sleep(_TICK)


class _Turns:
    """The flusher's turns: when the next comes, and when what was written is made durable."""

    def __init__(self, reference: weakref.ref[JournalWriter], wake: SimpleQueue[None]) -> None:
        self._reference = reference
        self._wake = wake
        self._next_sync = 0.0
        self._quiet = 0

    def take(self) -> bool:
        """Do what is due and wait for the next turn; return whether there is to be one."""
        writer = self._reference()
        if writer is None or writer.closed or writer._ending:
            return False
        sleep = writer._tick()
        self._quiet = 0 if sleep is not None else self._quiet + 1
        if writer._syncs and writer._dirty:
            now = time.monotonic()
            if now >= self._next_sync:
                writer._sync_file()
                # A slow disk is given twenty times as long as it took.
                took = time.monotonic() - now
                self._next_sync = now + max(_SYNC_EVERY, 20 * took)
        wake = self._wake
        while not wake.empty():
            wake.get_nowait()
        if writer._due or writer._cells:
            sleep = _TICK
        elif writer.fault is not None:
            sleep = max(_TICK, writer._retry_at - time.monotonic())
        elif self._quiet < _DOZE_AFTER:
            sleep = _TICK
        else:
            pause = max(self._next_sync - time.monotonic(), 0.0)
            sleep = pause if writer._syncs and writer._dirty else None
            writer._dozing = True
            if writer._due or writer._cells:  # came between the look and the doze
                writer._dozing = False
                sleep = _TICK
        del writer
        with contextlib.suppress(Empty):
            wake.get(timeout=sleep)
        writer = self._reference()
        if writer is not None:
            writer._dozing = False
        return True


def _check_name(name: Any) -> None:
    """Raise if a name is no text that every reader can take for one."""
    if type(name) is not str:
        raise TypeError
    name.encode()


def _name_of(name: Any) -> str:
    """Return what a metric is called that was given some name."""
    text = name if isinstance(name, str) else describe(name).text
    return str.encode(text, "utf-8", "backslashreplace").decode()


def _pack_cells(cells: list[Any]) -> bytes:
    """Encode metric points: as rows with names interned in the frame, or as a table."""
    names, steps, values, times = cells[::4], cells[1::4], cells[2::4], cells[3::4]
    if len(names) < TABLE_ROWS:
        seen: dict[str, int] = {}
        parts = []
        for name, step, value, when in zip(names, steps, values, times, strict=True):
            metric: Any = seen.get(name)
            if metric is None:
                _check_name(name)
                seen[name] = len(seen)
                metric = name
            parts.append(pack({"t": when, "e": 16, "m": metric, "s": step, "v": value}))
        return b"".join(parts)
    fields: dict[str, Any] = {"t": times[0], "e": int(EventType.METRIC_TABLE)}
    fields.update(encode_table(names, steps, times, values))
    metrics = fields["m"]
    if len(metrics) == 1:
        _check_name(metrics[0])
    elif set(map(type, metrics)) != {str}:
        raise TypeError
    else:
        "".join(metrics).encode()
    return pack(fields)


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
    for writer in list(_living):
        writer._prepare_for_the_end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_flush_at_exit)
