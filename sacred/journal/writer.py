"""Writing a journal: one process, one file at a time, one ``write(2)`` a frame.

What may be believed after a call returned:

* a *control* event (start, artifact, heartbeat, end, ...) is in the file: killing the process does
  not lose it;
* a metric point, a piece of output or a change of ``info`` is in the file at most 10 ms later, or
  with ``durability="event"`` at once;
* all of it survives a power cut after at most a second and one ``fdatasync``, and at once after
  ``sync()``; with ``durability="process"`` only what the operating system wrote by itself.

A disk that is full, read-only or failing raises nothing here: events wait in memory (up to
``RING_BYTES``), a new file is tried, and what was lost is counted in a ``gap`` event.
"""

from __future__ import annotations

import atexit
import os
import struct
import threading
import time
import weakref
from collections import deque
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
        self.size += other.size
        self.data += other.data

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
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
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
            now = now_ns()
            if now < self._due:
                extend((name, step, value, now))
                if len(cells) >= full:
                    self.flush()
            elif self.closed:
                cells.clear()  # the run has ended, and its journal with it
            elif self._due or cells or self._unclaimed:
                extend((name, step, value, now))
                self.flush()
                self._last = now
            elif self._patient and 0 <= now - self._last < IDLE:
                # The first of a burst: wait for company.
                extend((name, step, value, now))
                self._last = now
                self._due = now + PATIENCE
                if self._dozing:
                    self._rouse()
            else:
                self._last = now
                write_point(name, step, value, now)

        return log_point

    def _point_writer(self) -> Callable[..., None]:
        """Return the function that writes one metric point before it returns.

        A fourth argument says when it was logged, if that is known.

        ``_exclusively``, ``_write_out``, ``_emit`` and ``_write`` in one piece, for a journal with
        nothing pending: 2.4 us instead of 4.3, of which write(2) is 1.2.
        """
        now_ns = time.time_ns
        pending, remember = self._pending, self._ring.append
        packed, write, join, headers = new_packer().pack, os.write, b"".join, RAW_HEADERS
        digest, chained = xxhash.xxh64_digest, xxhash.xxh64_intdigest
        # The preamble's last three numbers and the event, at fixed widths: one call that takes
        # 0.15 us in place of six, and a library less whose pages may be in no cache. For each
        # metric what stands between the time and the step, and who packs it with the rest.
        head = struct.Struct(">BIBBQ4sQ").pack
        events_at = struct.calcsize(">BIBBQ")
        named: dict[str, tuple[bytes, Callable[..., bytes]]] = {}

        def log_point(name: str, step: Any, value: Any, now: int = 0) -> None:
            if self._busy:  # another thread, or a signal handler that interrupted this one in here
                self._append_packed(self._pack_point(name, step, value, now_ns()), control=True)
                return
            lock = self._lock
            try:
                lock.acquire()
            except BaseException:  # an interrupt, which may come when the lock is taken already
                if lock._is_owned():  # type: ignore[attr-defined]
                    lock.release()
                raise
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
                    if type(name) is str and len(named) < MAX_NAMES:
                        middle = b"\xa1e\x10\xa1m" + pack(name) + b"\xa1s"
                        form = f">BIBBQ4sQ{len(middle)}sBI3sd"
                        named[name] = middle, struct.Struct(form).pack
                    descriptor = -1
                if descriptor < 0 or pending or self._piece or len(content) > RAW_LIMIT:
                    if not self.closed:
                        self._write_out(self._pack_point(name, step, value, now))
                    return
                frame = headers[len(content)] + content + digest(content)[:3:-1]
                events = content[len(prefix) + events_at :]
                after = chained(events, chain)
                # Nothing is called between here and the append: see _emit.
                self.next_seq, self._chain = first + 1, after
                try:
                    remember((first, 1, chain, events))
                    if write(descriptor, frame) != len(frame):
                        raise short_write()
                except OSError as error:
                    self._fail(error, first)
                    self._try_again()
                except BaseException:
                    self._doubt(first)
                    raise
                if not self._dirty or not first & 1023:
                    self._after_write()
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
        if the disk refuses it); -1 for an event that may wait 10 ms.

        Raises
        ------
        InvalidEventError
            A value that can not be encoded, or larger than 16 MiB without a store of blobs.
        WriterClosedError
            The journal was closed.
        """
        keys = KEYS[event_type]
        wire: dict[str, Any] = {"t": time.time_ns() if time_ns is None else time_ns}
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
        return self._append_packed(packed, control=event_type in CONTROL)

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
        for start in range(0, len(data), FRAME_BYTES):
            self._append_piece(_Piece(stream, time.time_ns(), [data[start : start + FRAME_BYTES]]))

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
        self._pending_bytes += size
        now = piece.time
        is_line = piece.data[0].endswith(b"\n") and now - self._last >= IDLE and not self._due
        if is_line or self._parent is not None or self._pending_bytes >= PENDING_BYTES:
            self._write_out()
            self._last = now
        elif not self._due:
            self._due = now + PATIENCE
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
        seq = self._exclusively(self._take_event, packed, control)
        if seq is None:  # the call that this signal handler interrupted takes the event along
            self._pending.append(packed)
            self._pending_bytes += len(packed)
            return -1
        if seq < 0 and self._dozing:
            self._rouse()
        return seq

    def _take_event(self, packed: bytes, control: bool) -> int:
        """Write an event, or have it wait for company. Holds the lock."""
        if self.closed:
            raise WriterClosedError("the journal is closed: the run has ended")
        if control or not self._patient:
            self._write_out(packed)
            return self.next_seq - 1
        self._end_piece()
        self._pending.append(packed)
        self._pending_bytes += len(packed)
        now = time.time_ns()
        if self._pending_bytes >= PENDING_BYTES or (not self._due and now - self._last >= IDLE):
            self._write_out()
            self._last = now
        elif not self._due:
            self._due = now + PATIENCE
        return -1

    def _write_deferred(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Write what is pending. It survives the process when this returns (not a power cut).

        From a signal handler that interrupted a call of this writer: when that call returns.
        """
        self._exclusively(self._write_pending)

    def _write_pending(self) -> None:
        if not self.closed:
            self._write_out()

    def sync(self) -> bool:
        """Write what is pending and wait until it survives a power cut.

        Returns
        -------
        False if the disk refuses, or refused earlier what could not be written again.
        """
        self.flush()
        seq = self.next_seq
        self._sync_file()
        return self.durable_seq >= seq and self.fault is None and not self._in_doubt

    def close(self) -> None:
        """Write what is pending, make it durable and end the file; later events are refused."""
        self.flush()
        if self.closed:
            return
        if self.durability != "process" and not self._unclaimed:
            self._sync_file()
        self._exclusively(self._end_file)
        self._wake.put(None)
        flusher = self._flusher
        if flusher is not None and flusher is not threading.current_thread():
            flusher.join(1.0)
        _living.discard(self)

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

    def _write_out(self, last: bytes | None = None) -> None:
        """Write the pending points, then the pending events, then ``last``. Holds the lock.

        What is pending stays so until a frame holds it: an interrupt (Ctrl-C) loses nothing.
        """
        self._end_piece()
        cells, pending = self._cells, self._pending
        if self._unclaimed:
            if not cells and not pending and last is None:
                return
            self._claim_as_child()
        self._due = 0
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
        if last is not None:
            if body and size + len(last) > FRAME_BYTES:
                self._send(body, held, queued)
                body, held, queued = [], 0, 0
            body.append(last)
        if body:
            self._send(body, held, queued, bool(last))

    def _send(self, body: list[bytes], points: int, queued: int, more: int = 0) -> None:
        """Write a frame of the first pending points and events, which are pending no more."""
        before = self.next_seq
        try:
            self._emit(b"".join(body) if len(body) > 1 else body[0], points + queued + more)
        finally:
            if self.next_seq != before:
                del self._cells[: 4 * points]
                for _ in range(queued):
                    self._pending_bytes -= len(self._pending.popleft())

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
        if not self._dozing:
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
    next_sync = 0.0
    quiet = 0
    while True:
        writer = reference()
        if writer is None or writer.closed:
            return
        sleep = writer._tick()
        quiet = 0 if sleep is not None else quiet + 1
        if writer.durability != "process" and writer._dirty:
            now = time.monotonic()
            if now >= next_sync:
                writer._sync_file()
                # A slow disk is given twenty times as long as it took.
                took = time.monotonic() - now
                next_sync = now + max(_SYNC_EVERY, 20 * took)
        while not wake.empty():
            wake.get_nowait()
        if writer._due or writer._cells:
            sleep = _TICK
        elif writer.fault is not None:
            sleep = max(_TICK, writer._retry_at - time.monotonic())
        elif quiet < _DOZE_AFTER:
            sleep = _TICK
        else:
            sleep = max(next_sync - time.monotonic(), 0.0) if writer._dirty else None
            writer._dozing = True
            if writer._due or writer._cells:  # came between the look and the doze
                writer._dozing = False
                sleep = _TICK
        del writer
        try:
            wake.get(timeout=sleep)
        except Empty:
            pass
        writer = reference()
        if writer is not None:
            writer._dozing = False
        del writer


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
    for name in fields["m"]:
        _check_name(name)
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
        writer.flush()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_flush_at_exit)
