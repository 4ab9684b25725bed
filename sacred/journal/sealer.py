"""Sealing: a file that will not grow is written anew, smaller, with an index.

The events and their sequence numbers stay. What changes is how they are packed: frames of up to
16 KiB or of one event, points that follow each other as tables of 2,048 rows and more. What begins
and ends a run stands alone, so that damage to a frame costs what is in it and not what became of
the run. The sealed file is written aside, read back, compared, made durable and renamed over the
live one, so that at any instant one of the two is there whole.
"""

from __future__ import annotations

import os
import time
from math import isfinite
from typing import TYPE_CHECKING, Any

from sacred.journal import __software__
from sacred.journal.codec import pack, split, unpack
from sacred.journal.descriptors import short_write
from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import NotSealableError
from sacred.journal.events import KEYS, POINT_KEYS, TABLE_KEYS, EventType
from sacred.journal.frames import FrameDamagedError, FrameDecoder, FrameEncoder, chain_after
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.root import fsync_folder
from sacred.journal.seal_index import (
    LiveBounds,
    MetricSummary,
    SealedFrame,
    SealIndex,
    read_index,
    write_index,
)
from sacred.journal.tables import MetricTable, decode_table, encode_table
from sacred.journal.verdicts import Gap, explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sacred.journal.verdicts import Loss

__all__ = ["Sealed", "first_event", "output_events", "seal_file", "write_sealed"]

#: Largest content of a sealed frame of several events: a flipped bit costs so much at most.
_FRAME_BYTES = 16 * 1024
#: Rows of a table, which then is a frame by itself: 13 KB for a random walk.
_TABLE_ROWS = 2048
#: With many metrics a table has so many rows of each, for it lists their names: 1,000 names in
#: 2,048 rows would be 10.5 bytes a point in place of 7.8.
_ROWS_OF_EACH = 16
_MOST_ROWS = 8192
#: Largest table: 24 bytes a row, the names, and what fits no column.
_TABLE_BYTES = 255 * 1024
#: These have a frame of their own.
_ALONE = frozenset(
    {
        EventType.RUN_QUEUED,
        EventType.RUN_STARTED,
        EventType.RUN_RESUMED,
        EventType.RUN_ENDED,
    }
)
#: Fewer points than this are smaller as they are.
_FEWEST_ROWS = 4


class Sealed(NamedTuple):
    """What sealing one file did.

    Attributes
    ----------
    path
        The file; the same name as before.
    events
        Sequence numbers in it.
    before, after
        Its size (bytes).
    torn
        Bytes at its end that are no whole frame and are left out: of an unfinished one, zeros that a
        power cut left, or damaged ones whose events stand whole in the writer's next file.
    """

    path: Path
    events: int
    before: int
    after: int
    torn: int


def seal_file(
    folder: Path,
    writer: int,
    epoch: int,
    *,
    until: int | None = None,
    last_seen: int | None = None,
    status: str | None = None,
    added: Iterable[dict[str, Any]] = (),
    lost: Iterable[Loss] = (),
) -> Sealed | None:
    """Seal one file of a journal.

    Whoever calls has made sure that nobody writes it any more.

    Parameters
    ----------
    folder
        The ``journal`` folder.
    writer, epoch
        Which file.
    until
        Where the writer's next file begins: what stands from there on in this one stands there
        again, and counts there.
    last_seen
        When the writer was last seen alive, if it died (ns since the epoch).
    status
        How the run ended, where this is the file in which it did.
    added
        Events, as maps by wire key, that the writer could not write any more: its last output.
    lost
        What the writer itself told to be lost: where the file lacks that, it is not damaged.

    Returns
    -------
    What was done; None if the file is sealed already. The sealed file survives a power cut.

    Raises
    ------
    NotSealableError
        The file is of something else, or it grew meanwhile, or what counts of it is damaged. It is
        left as it is.
    OSError
        The disk refuses. The file is left as it is.
    """
    file = EpochFile.of(folder, writer, epoch)
    path = file.path
    try:
        begin = _next(file)
        if begin is None:
            raise NotSealableError(f"{path} is empty")
        began = begin.values[1] if len(begin.values) == 2 else {}
        if begin.count or not isinstance(began, dict) or began.get("e") != EventType.EPOCH_BEGAN:
            raise NotSealableError(f"{path} does not begin as a file of a journal does")
        if began.get("opened_by") == "seal":
            return None
        if (begin.writer, begin.epoch) != (writer, epoch):
            raise NotSealableError(f"{path} is a file of another writer or epoch")
        before = os.stat(path)
        frames = _live_frames(file, begin, until, [*lost])
        first = first_event(began, last_seen=last_seen, status=status)
        events = write_sealed(path, first, begin, frames, added, before)
        torn = file.remaining()
    finally:
        file.close()
    return Sealed(path, events, before.st_size, os.stat(path).st_size, torn)


def first_event(began: dict[str, Any], **known: Any) -> dict[str, Any]:
    """Return the first event of a sealed file, by wire key, with what is known beside it."""
    return {
        **began,
        "opened_by": "seal",
        **{key: value for key, value in known.items() if value is not None},
    }


def write_sealed(
    path: Path,
    began: dict[str, Any],
    begin: RawFrame,
    frames: Iterable[RawFrame],
    added: Iterable[dict[str, Any]],
    before: os.stat_result,
    *,
    known: SealIndex | None = None,
    end: Callable[[], tuple[int, int] | None] = lambda: None,
    kept: Path | None = None,
) -> int:
    """Write a sealed file aside, prove it, and have it take the place of a file.

    Parameters
    ----------
    path
        The file.
    began
        The first event of the new one, by wire key.
    begin
        A frame of the old one, for its numbers: journal, writer, epoch, first_seq, chain.
    frames
        What the new one holds, in order; where one does not follow the one before, events are lost.
    added
        Events behind them.
    before
        What the file was when it was opened: it must not have changed.
    known
        The index of the old file, if it was a sealed one.
    end
        Asked behind the last frame: next_seq and chain of the old file's end, if that is known.
    kept
        A second name that the old file gets, so that it stays.

    Returns
    -------
    How many sequence numbers the file spans.

    Raises
    ------
    NotSealableError, OSError
        The file is as it was.
    """
    folder = path.parent
    aside = folder / f".{os.urandom(4).hex()}-{path.name}"
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(aside, flags, 0o666)
    try:
        sealer = _Sealer(descriptor, began, begin, known)
        for frame in frames:
            sealer.take(frame)
        sealer.add(added)
        events = sealer.end(end())
        _check(descriptor, sealer)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, before.st_mode & 0o777)
        os.fsync(descriptor)
        now = os.stat(path)
        if (now.st_ino, now.st_size) != (before.st_ino, before.st_size):
            raise NotSealableError(f"{path} changed while it was sealed: its writer lives")
        if kept is not None:
            os.link(path, kept)
            fsync_folder(folder)
        os.replace(aside, path)
    except BaseException:
        _remove(aside)
        raise
    finally:
        os.close(descriptor)
    fsync_folder(folder)
    return events


def _next(file: EpochFile, *, spare: bool = False) -> RawFrame | None:
    """Return the next frame; None at the end, torn or not, and at damage if that may be left out."""
    try:
        return file.next_frame()
    except NotYet:
        return None
    except FrameDamagedError as error:
        if spare or file.is_cut():
            return None
        raise NotSealableError(
            f"{file.path} is damaged at byte {file.offset} ({error}): repair it first"
        ) from None


def _live_frames(
    file: EpochFile, begin: RawFrame, until: int | None, lost: list[Loss]
) -> Iterator[RawFrame]:
    """Yield the frames behind the first that count, each proved to continue the one before."""
    seq, chain = begin.first_seq, begin.chain
    while until is None or seq < until:
        frame = _next(file)
        if frame is None:
            break
        if (frame.journal_id, frame.writer, frame.epoch) != begin[2:5]:
            raise NotSealableError(f"{file.path} holds a frame of something else: repair it first")
        if not frame.count:
            continue
        if frame.first_seq > seq:
            hole = Gap(file.writer, file.epoch, frame.offset, seq, frame.first_seq, "")
            if all(piece.told for piece in explained(hole, lost)):
                seq, chain = frame.first_seq, frame.chain
        if (frame.first_seq, frame.chain) != (seq, chain):
            raise NotSealableError(
                f"{file.path} lacks events before byte {frame.offset}: repair it first"
            )
        if until is not None and frame.first_seq >= until:
            break
        seq, chain = seq + frame.count, frame.chain_after
        if until is not None and seq > until:
            raise NotSealableError(f"{file.path} and the file behind it share half a frame")
        yield frame
    if until is None:
        return
    if seq < until:
        hole = Gap(file.writer, file.epoch, file.offset, seq, until, "")
        if not all(piece.told or piece.repaired for piece in explained(hole, lost)):
            raise NotSealableError(f"{file.path} lacks its last events: repair it first")
    # The rest counts for nothing: it stands again in the next file, so that damage costs none of it.
    while _next(file, spare=True) is not None:
        pass


class _Sealer:
    """Writes the frames of a sealed file."""

    def __init__(
        self,
        descriptor: int,
        began: dict[str, Any],
        begin: RawFrame,
        known: SealIndex | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._encoder = FrameEncoder(level=3)
        self._head = [0, begin.journal_id, begin.writer, begin.epoch]
        self._last_seen = began.get("last_seen")
        self._status = began.get("status")
        self._chain = begin.chain
        self._seq = begin.first_seq
        self._first_seq = begin.first_seq
        #: As the live file had it: what the next file's chain is checked against.
        self._live_seq, self._live_chain = begin.first_seq, begin.chain
        #: Of a file that was sealed before, the bounds of the live one are those it knew.
        self._known = known
        self._bounds = known.live if known is not None else LiveBounds([], [])
        self._body: list[bytes] = []
        self._size = self._count = 0
        self._times: list[int] = []
        self._types: set[int] = set()
        #: Points that wait to be put into a table, as columns, and of which metrics they are.
        self._points = _Points([], [], [], [])
        self._names: set[str] = set()
        self._metrics: dict[str, MetricSummary] = {}
        self._offset = 0
        self.frames: list[SealedFrame] = []
        #: Of each frame: its size, that of its content, and the chain behind its events.
        self.written: list[tuple[int, int, int]] = []
        self._write([pack(began)], 0)

    def take(self, frame: RawFrame) -> None:
        """Take the events of a frame; what lies between it and the one before is lost."""
        if frame.first_seq != self._live_seq:
            self._flush_points()
            self._flush()
            self._seq = frame.first_seq
        if self._known is None:
            self._bounds.seqs.append(frame.first_seq)
            self._bounds.chains.append(frame.chain & 0xFFFF)
        self._live_seq, self._live_chain = frame.first_seq + frame.count, frame.chain_after
        names: list[str] = []
        names_of = self._names
        pieces: list[bytes] | None = None
        for place, wire in enumerate(frame.values[1:]):
            if wire["e"] == EventType.METRIC_POINT and wire.keys() == POINT_KEYS:
                name = wire["m"]
                if type(name) is str:
                    names.append(name)
                else:
                    name = names[name]
                self._points.add(name, wire["s"], wire["v"], wire["t"])
                names_of.add(name)
            elif wire["e"] == EventType.METRIC_TABLE and wire.keys() <= TABLE_KEYS:
                table = decode_table(wire)
                self._points.extend(table)
                names_of.update(table.metrics)
            else:
                self._flush_points()
                if pieces is None:
                    pieces = split(frame.events)
                seqs = wire["n"] if wire["e"] == EventType.METRIC_TABLE else 1
                self._put(pieces[place], seqs, wire["e"], wire["t"])
            while len(self._points.names) >= (rows := self._rows()):
                self._put_table(self._points.first(rows))
                self._points.drop(rows)
                names_of.clear()

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        """Take events that no live frame holds, as if one more had held them all."""
        packed = [pack(event) for event in events]
        if not packed:
            return
        self._flush_points()
        self._bounds.seqs.append(self._live_seq)
        self._bounds.chains.append(self._live_chain & 0xFFFF)
        self._live_seq += len(packed)
        self._live_chain = chain_after(self._live_chain, b"".join(packed))
        for event in packed:
            wire = unpack(event)
            self._put(event, 1, wire["e"], wire["t"])

    def end(self, last: tuple[int, int] | None = None) -> int:
        """Write what is left, the event that ends the file, the index and the seek table.

        ``last`` is where the file ended before, and the chain there, if that is known otherwise.
        """
        self._flush_points()
        self._flush()
        if last is not None and last[0] >= self._live_seq:
            self._seq = self._live_seq = last[0]
            self._live_chain = last[1]
        if self._seq != self._live_seq:
            raise NotSealableError("frames that tell of more events than they hold")
        event = {
            "t": time.time_ns(),
            "e": int(EventType.SEALED),
            "first_seq": self._first_seq,
            "next_seq": self._live_seq,
            "chain": self._live_chain,
            "by": __software__,
        }
        if self._last_seen is not None:
            event["last_seen"] = self._last_seen
        if self._status is not None:
            event["status"] = self._status
        end = self._offset
        self._write([pack(event)], 0)
        index = SealIndex(
            self._first_seq,
            self._live_seq,
            self._live_chain,
            end,
            self._bounds,
            self.frames,
            list(self._metrics.values()),
        )
        self._write_bytes(write_index(index, [entry[:2] for entry in self.written]))
        return self._live_seq - self._first_seq

    # -- frames ------------------------------------------------------------------------------

    def _put(self, event: bytes, seqs: int, kind: int, *times: int) -> None:
        alone = kind in _ALONE
        if self._body and (alone or self._size + len(event) > _FRAME_BYTES):
            self._flush()
        self._body.append(event)
        self._size += len(event)
        self._count += seqs
        self._types.add(kind)
        self._times += times
        if alone:
            self._flush()

    def _flush(self) -> None:
        if not self._body:
            return
        # Times are kept for whoever looks for a time, and clocks before 1970 are not worth a sign.
        first, last = max(0, min(self._times)), max(0, *self._times)
        types = tuple(sorted(self._types))
        self.frames.append(SealedFrame(self._offset, self._seq, self._count, first, last, types))
        self._write(self._body, self._count)
        self._body, self._size, self._count, self._times = [], 0, 0, []
        self._types = set()

    def _write(self, body: list[bytes], count: int) -> None:
        events = b"".join(body)
        content = pack([*self._head, self._seq, count, self._chain]) + events
        frame = self._encoder.encode(content)
        self._write_bytes(frame)
        if count:
            self._chain = chain_after(self._chain, events)
            self._seq += count
        self.written.append((len(frame), len(content), self._chain))

    def _write_bytes(self, data: bytes) -> None:
        if (done := os.write(self._descriptor, data)) != len(data):
            raise short_write(self._descriptor, data[done:])
        self._offset += len(data)

    # -- points ------------------------------------------------------------------------------

    def _rows(self) -> int:
        """Return how many rows the next table has."""
        return min(max(_TABLE_ROWS, _ROWS_OF_EACH * len(self._names)), _MOST_ROWS)

    def _flush_points(self) -> None:
        points, self._points = self._points, _Points([], [], [], [])
        self._names.clear()
        if len(points.names) >= _FEWEST_ROWS:
            self._put_table(points)
        elif points.names:
            self._summarize(points)
            for name, step, value, when in zip(*points, strict=True):
                event = {"t": when, "e": 16, "m": name, "s": step, "v": value}
                self._put(pack(event), 1, int(EventType.METRIC_POINT), when)

    def _put_table(self, points: _Points) -> None:
        names, steps, values, times = points
        fields: dict[str, Any] = {"t": times[0], "e": int(EventType.METRIC_TABLE)}
        fields.update(encode_table(names, steps, times, values))
        event = pack(fields)
        rows = len(names)
        if len(event) > _TABLE_BYTES and rows > 1:  # long texts among the values
            self._put_table(points.first(rows // 2))
            points.drop(rows // 2)
            self._put_table(points)
            return
        table = decode_table(unpack(event))
        same = (
            table.names() == names
            and table.times == [when // 1000 for when in times]
            # Packed, a float is its bits, so that NaN is NaN and -0.0 not 0.0.
            and pack([table.steps, table.values]) == pack([steps, values])
        )
        if not same:
            raise NotSealableError("points that do not come back as they were")
        self._summarize(points)
        self._put(event, rows, int(EventType.METRIC_TABLE), min(times), max(times))

    def _summarize(self, points: _Points) -> None:
        names = points.names
        if names.count(names[0]) == len(names):
            by_name = {names[0]: (points.values, points.steps[-1])}
        else:
            by_name = {}
            for name, step, value in zip(names, points.steps, points.values, strict=True):
                values, _ = by_name.get(name, ([], None))
                values.append(value)
                by_name[name] = (values, step)
        for name, (values, step) in by_name.items():
            # (An integer is finite, also one that is too large for a float.)
            numbers = [v for v in values if type(v) is int or (type(v) is float and isfinite(v))]
            known = self._metrics.get(name)
            if known is not None:
                numbers += [v for v in (known.least, known.greatest) if v is not None]
            self._metrics[name] = MetricSummary(
                name,
                len(values) + (known.count if known is not None else 0),
                min(numbers, default=None),
                max(numbers, default=None),
                _number(step),
                _number(values[-1]),
            )


class _Points(NamedTuple):
    """Metric points as columns: names, steps, values, times (ns)."""

    names: list[str]
    steps: list[Any]
    values: list[Any]
    times: list[int]

    def add(self, name: str, step: Any, value: Any, when: int) -> None:
        self.names.append(name)
        self.steps.append(step)
        self.values.append(value)
        self.times.append(when)

    def extend(self, table: MetricTable) -> None:
        self.names.extend(table.names())
        self.steps.extend(table.steps)
        self.values.extend(table.values)
        self.times.extend([micros * 1000 for micros in table.times])

    def first(self, rows: int) -> _Points:
        names, steps, values, times = self
        return _Points(names[:rows], steps[:rows], values[:rows], times[:rows])

    def drop(self, rows: int) -> None:
        columns: tuple[list[Any], ...] = self
        for column in columns:
            del column[:rows]


_NUMBERS = frozenset({int, float})


def _number(value: Any) -> Any:
    return value if type(value) in _NUMBERS else None


def _check(descriptor: int, sealer: _Sealer) -> None:
    """Read back what was written: every frame, its chain, and the index.

    Raises
    ------
    NotSealableError
        The disk gave back something else.
    """
    offset = 0
    decoder = FrameDecoder()
    for size, content_size, chain in sealer.written:
        try:
            content = decoder.decode(os.pread(descriptor, size, offset), content_size)
        except FrameDamagedError as error:
            raise NotSealableError(f"what was written did not come back: {error}") from None
        preamble, *_ = pieces = split(content)
        count = unpack(preamble)[5]
        begun = unpack(preamble)[6]
        after = chain_after(begun, b"".join(pieces[1:])) if count else begun
        if after != chain:
            raise NotSealableError("what was written did not come back as it was")
        offset += size
    index = read_index(descriptor)
    if index is None or index.frames != sealer.frames:
        raise NotSealableError("the index that was written did not come back as it was")


def output_events(
    chunks: Iterable[Any], lost: Iterable[str] = (), time_ns: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the events that record what a spool holds, as maps by wire key.

    Parameters
    ----------
    chunks
        Of the spool.
    lost
        A sentence for each part of it that could not be read; looked at behind the chunks.
    time_ns
        Of the messages that say so: no later than the run's last sign of life.
    """
    keys = KEYS[EventType.OUTPUT]
    for chunk in chunks:
        yield {
            "t": chunk.time_ns,
            "e": int(EventType.OUTPUT),
            keys["stream"]: chunk.stream,
            keys["data"]: chunk.data,
            keys["begin"]: chunk.begin,
            keys["end"]: chunk.end,
        }
    for text in lost:
        yield {"t": time_ns, "e": int(EventType.MESSAGE), "level": "warning", "text": text}


def _remove(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
