"""Metric points: the two functions that take one, each made for its writer.

They are closures over all they need, and the only place of the journal where a byte code counts.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Any

import xxhash

from sacred.journal import descriptors
from sacred.journal.codec import new_packer, pack
from sacred.journal.frames import RAW_HEADERS, RAW_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.writer import JournalWriter

#: A journal that was silent for so long writes the next point at once (ns): where points come more
#: often, a write each would cost their loop up to 1 % of its time.
IDLE = 25_000_000
#: The longest a point waits for company (ns).
PATIENCE = 10_000_000
#: So many pending points are written by the caller, who does not wait for the flusher's turn:
#: more than 100, so that 99 of 100 calls are none of this, and not many more: it is 50 us at once.
BATCH = 112
#: Names of metrics whose encoding is remembered.
_MAX_NAMES = 4096


def point_logger(writer: JournalWriter) -> Callable[[str, Any, Any], None]:
    """Return the function that logs one metric point.

    A closure over what it needs: every attribute it would look up costs 30 ns of 400.
    """
    cells = writer._cells
    extend, full = cells.extend, 4 * BATCH
    now_ns = time.time_ns
    write_point = point_writer(writer)

    def log_point(name: str, step: Any, value: Any) -> None:
        now = 0
        try:
            now = now_ns()
            if now < writer._due:
                extend((name, step, value, now))
                if len(cells) >= full:
                    writer.flush()
            elif writer.closed:
                cells.clear()  # of other threads, that were late by less
                raise writer._refusal()
            elif writer._due or cells or writer._unclaimed:
                extend((name, step, value, now))
                writer._last = now
                writer.flush()
            elif writer._patient and 0 <= now - writer._last < IDLE:
                # The first of a burst: wait for company.
                due = now + PATIENCE
                extend((name, step, value, now))
                writer._last, writer._due = now, due
                if writer._dozing:
                    writer._rouse()
            else:
                writer._last = now
                write_point(name, step, value, now)
        except MemoryError:
            if not cells or cells[-1] is not now:
                writer._miss()

    return log_point


def point_writer(writer: JournalWriter) -> Callable[..., None]:
    """Return the function that writes one metric point before it returns.

    A fourth argument says when it was logged, if that is known.

    ``_exclusively``, ``_write_out``, ``_emit`` and ``_write`` in one piece, for a journal with
    nothing pending: 2.4 us instead of 4.3, of which write(2) is 1.2.
    """
    now_ns = time.time_ns
    point = writer._events.point
    pending, ring, remember = writer._pending, writer._ring, writer._ring.append
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
            if writer._busy or writer._ending:  # another thread, or a handler that interrupted it
                writer._append_packed(point(name, step, value, now_ns()), control=True)
                return
        except MemoryError:
            writer._miss()
            return
        lock = writer._lock
        try:
            lock.acquire()
        except BaseException:  # an interrupt, which may come when the lock is taken already
            if lock._is_owned():  # type: ignore[attr-defined]
                lock.release()
            raise
        first, kept = writer.next_seq, False
        try:
            writer._busy = True
            descriptor, prefix = writer._fd, writer._prefix
            first, chain = writer.next_seq, writer._chain
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
                    content = join((prefix, start, middle, packed(step), b"\xa1v", packed(value)))
            except Exception:  # a new name, an odd value: the careful way
                packer.reset()  # without memory it keeps what it did not hand out
                if type(name) is str and len(named) < _MAX_NAMES:
                    middle = b"\xa1e\x10\xa1m" + pack(name) + b"\xa1s"
                    form = f">BIBBQ4sQ{len(middle)}sBI3sd"
                    named[name] = middle, struct.Struct(form).pack
                descriptor = -1
            if descriptor < 0 or pending or writer._piece or len(content) > RAW_LIMIT:
                if writer.closed:
                    raise writer._refusal()
                writer._queue(point(name, step, value, now))
                kept = True
                writer._write_or_keep()
                return
            frame = headers[len(content)] + content + digest(content)[:3:-1]
            events = content[len(prefix) + events_at :]
            after = chained(events, chain)
            body = (first, 1, chain, events)
            # Nothing is called between here and the append: see _emit.
            writer.next_seq, writer._chain = first + 1, after
            try:
                remember(body)
                if (done := write(descriptor, frame)) != len(frame):
                    raise descriptors.short_write(descriptor, frame[done:])
            except OSError as error:
                writer._fail_to_write(error, first)
                writer._try_again()
            except MemoryError:
                if not ring or ring[-1] is not body:
                    writer.next_seq, writer._chain = first, chain
                    raise
                writer._doubt(first)  # nobody knows whether it was written
            except BaseException:
                writer._doubt(first)
                raise
            if not writer._dirty or not first & 1023:
                writer._after_write()
        except MemoryError:
            if writer.next_seq == first and not kept:
                writer._miss()
        finally:
            writer._busy = False
            lock.release()
            if writer._deferred:
                writer._deferred = False
                writer._write_deferred()

    return log_point
