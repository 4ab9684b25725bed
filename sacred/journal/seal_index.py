"""What stands behind the events of a sealed file: its index, and the seek table of zstd.

Both are skippable frames, so that ``zstd`` passes over them, and neither is needed to read the
events. The index proves positions that were taken on the file as it was before it was sealed, and
says where in the sealed one they lie; with the seek table other tools find their way.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import pack, unpack
from sacred.journal.errors import JournalError
from sacred.journal.frames import CONTENT_CAP, FrameDamagedError, FrameDecoder, FrameEncoder
from sacred.journal.frames import frame_bounds as bounds_of
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.tables import decode_numbers, encode_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LiveBounds",
    "MetricSummary",
    "SealIndex",
    "SealedFrame",
    "read_index",
    "why_unindexed",
    "write_index",
]

INDEX_MAGIC = b"\x5a\x2a\x4d\x18"
SEEK_TABLE_MAGIC = b"\x5e\x2a\x4d\x18"
_SEEKABLE = b"\xb1\xea\x92\x8f"
_FOOTER = 9
#: Largest seek table that is looked at: one of 2^20 frames.
_SEEK_TABLE_CAP = 8 * (1 << 20) + 17
_READ = 1 << 20
_FRAME_CAP = CONTENT_CAP + (CONTENT_CAP >> 8) + 4096


class SealedFrame(NamedTuple):
    """Where a frame of the sealed file lies, and what is in it.

    Attributes
    ----------
    offset
        In the file (bytes).
    first_seq, count
        The sequence numbers it holds.
    first_time, last_time
        The earliest and the latest time of its events (ns since the epoch).
    types
        The numbers of the types of its events, in order.
    """

    offset: int
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    first_time: int
    last_time: int
    types: tuple[int, ...]


class MetricSummary(NamedTuple):
    """One metric of the file at a glance.

    Attributes
    ----------
    least, greatest
        Of its finite numbers; None if it has none.
    last_step, last_value
        Of its last point.
    """

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    least: Any
    greatest: Any
    last_step: Any
    last_value: Any


class LiveBounds(NamedTuple):
    """The bounds of the frames of the file before it was sealed.

    Attributes
    ----------
    seqs
        The first sequence number of each, ascending.
    chains
        The 16 low bits of the chain before each.
    """

    seqs: list[int]
    chains: list[int]

    def chain_at(self, seq: int) -> int | None:
        """Return the 16 low bits of the chain before a bound; None if no frame began there."""
        place = bisect_right(self.seqs, seq) - 1
        return self.chains[place] if place >= 0 and self.seqs[place] == seq else None


class SealIndex(NamedTuple):
    """The index of one sealed file.

    Attributes
    ----------
    first_seq, next_seq
        The sequence numbers of the file: from, and up to but not.
    chain
        Behind its last event, as the live file had it.
    end
        Where the frame stands that ends the events (bytes).
    """

    first_seq: int
    next_seq: int
    chain: int
    end: int
    live: LiveBounds
    frames: list[SealedFrame]
    metrics: list[MetricSummary]

    def proves(self, seq: int, chain: int) -> bool:
        """Tell whether a position that was taken on the live file stands in this one."""
        if seq == self.next_seq:
            return chain == self.chain
        low = self.live.chain_at(seq)
        return low is not None and low == chain & 0xFFFF

    def frame_of(self, seq: int) -> SealedFrame | None:
        """Return the sealed frame that holds a sequence number; None if none does."""
        firsts = [frame.first_seq for frame in self.frames]
        place = bisect_right(firsts, seq) - 1
        if place < 0:
            return None
        frame = self.frames[place]
        return frame if seq < frame.first_seq + frame.count else None


def write_index(index: SealIndex, sizes: Iterable[tuple[int, int]]) -> bytes:
    """Return the two skippable frames that end a sealed file.

    Parameters
    ----------
    index
        The index.
    sizes
        Of every frame of the file (bytes): as it stands there, and its content.
    """
    live, frames = index.live, index.frames
    numbers = [
        [frame.offset for frame in frames],
        [frame.first_seq for frame in frames],
        [frame.count for frame in frames],
        [frame.first_time for frame in frames],
        [frame.last_time for frame in frames],
    ]
    content = pack(
        {
            "sealed": [index.first_seq, index.next_seq, index.chain, index.end],
            "live": [
                len(live.seqs),
                encode_numbers(live.seqs),
                struct.pack(f"<{len(live.chains)}H", *live.chains),
            ],
            "frames": [
                len(frames),
                *map(encode_numbers, numbers),
                [list(frame.types) for frame in frames],
            ],
            "metrics": [list(metric) for metric in index.metrics],
        }
    )
    if len(content) > CONTENT_CAP and live.seqs:
        # Millions of frames of one event each: a view that stood in that file begins anew.
        return write_index(index._replace(live=LiveBounds([], [])), sizes)
    frame = FrameEncoder(level=3).encode(content)
    parts = [_skippable(INDEX_MAGIC, frame)]
    parts.append(_seek_table([*sizes, (len(parts[0]), 0)]))
    return b"".join(parts)


def _seek_table(entries: list[tuple[int, int]]) -> bytes:
    table = b"".join(struct.pack("<II", *entry) for entry in entries)
    footer = struct.pack("<IB", len(entries), 0) + _SEEKABLE
    return _skippable(SEEK_TABLE_MAGIC, table + footer)


def _skippable(magic: bytes, content: bytes) -> bytes:
    return magic + struct.pack("<I", len(content)) + content


def read_index(descriptor: int) -> SealIndex | None:
    """Read the index of a file.

    Never raises for what the bytes are. Where the seek table that says where the index begins is
    damaged, the file's frames are walked up to it.

    Parameters
    ----------
    descriptor
        Of the file; its place is not moved.

    Returns
    -------
    None if the file has none, or a damaged one: the events can be read without it.

    Raises
    ------
    OSError
        The file can not be read.
    """
    found = _told_by_seek_table(descriptor)
    if found is not None:
        return found
    sizes, end = walk(descriptor)
    if not sizes:
        return None
    head = os.pread(descriptor, 8, end)
    return _index_at(descriptor, end, 8 + int.from_bytes(head[4:], "little"))


def _told_by_seek_table(descriptor: int) -> SealIndex | None:
    size = os.fstat(descriptor).st_size
    footer = os.pread(descriptor, _FOOTER, max(0, size - _FOOTER))
    if len(footer) < _FOOTER or footer[5:] != _SEEKABLE or footer[4]:
        return None
    table_size = 8 + 8 * int.from_bytes(footer[:4], "little") + _FOOTER
    if table_size > min(size, _SEEK_TABLE_CAP) or table_size < 8 + 8 + _FOOTER:
        return None
    last = os.pread(descriptor, 8, size - _FOOTER - 8)
    index_size, content_size = struct.unpack("<II", last)
    start = size - table_size - index_size
    return None if content_size or start < 0 else _index_at(descriptor, start, index_size)


def _index_at(descriptor: int, start: int, size: int) -> SealIndex | None:
    """Return the index that stands at a place in a file, if one does."""
    if not 8 < size <= CONTENT_CAP + (CONTENT_CAP >> 8) + 64:
        return None
    raw = os.pread(descriptor, size, start)
    if len(raw) < size or raw[:8] != INDEX_MAGIC + struct.pack("<I", size - 8):
        return None
    try:
        bounds = bounds_of(raw, 8)
        if bounds is None or bounds.end != len(raw):
            return None
        return _parsed(unpack(FrameDecoder().decode(raw[8:], bounds.content_size)))
    except (FrameDamagedError, JournalError, ValueError, TypeError, KeyError, struct.error):
        return None


def walk(descriptor: int) -> tuple[list[tuple[int, int]], int]:
    """Go from frame to frame, by their headers alone.

    Returns
    -------
    Of each frame the size that it has in the file, and that of its content; and where the first
    byte stands that begins none.

    Raises
    ------
    OSError
    """
    sizes: list[tuple[int, int]] = []
    at = base = 0
    buffer, wanted = b"", _READ
    while True:
        try:
            bounds = bounds_of(buffer, at - base) if at - base < len(buffer) else None
        except FrameDamagedError:
            return sizes, at
        if bounds is not None:
            sizes.append((bounds.end - bounds.start, bounds.content_size))
            at, wanted = base + bounds.end, _READ
            continue
        more = os.pread(descriptor, wanted, at)
        if at == base and len(more) <= len(buffer):
            return sizes, at
        base, buffer, wanted = at, more, _FRAME_CAP


def why_unindexed(descriptor: int) -> tuple[int, str] | None:
    """Tell what is wrong behind the events of a sealed file whose events are whole.

    Returns
    -------
    Where the events end (bytes), and half a sentence; None if index and seek table are as they were
    written.

    Raises
    ------
    OSError
    """
    sizes, end = walk(descriptor)
    behind = os.fstat(descriptor).st_size - end
    if not behind:
        return end, "the index behind its events is missing"
    head = os.pread(descriptor, 8, end)
    size = 8 + int.from_bytes(head[4:], "little")
    index = _index_at(descriptor, end, size)
    if index is None or not _is_of(index, sizes):
        return end, "the index behind its events is damaged"
    table = _seek_table([*sizes, (size, 0)])
    if os.pread(descriptor, len(table) + 1, end + size) != table:
        return end, "the seek table behind its events is damaged"
    return None


def _is_of(index: SealIndex, sizes: list[tuple[int, int]]) -> bool:
    """Tell whether an index speaks of frames of such sizes."""
    begins, at = [], 0
    for size, _ in sizes:
        begins.append(at)
        at += size
    # The first frame and the last hold what begins and ends the file.
    return [*(frame.offset for frame in index.frames), index.end] == begins[1:]


def _parsed(wire: dict[str, Any]) -> SealIndex:
    first_seq, next_seq, chain, end = wire["sealed"]
    if any(type(number) is not int for number in (first_seq, next_seq, chain, end)):
        raise ValueError("an index that does not say where the events end")
    bounds, seqs, chains = wire["live"]
    live = LiveBounds(decode_numbers(seqs, bounds), list(struct.unpack(f"<{bounds}H", chains)))
    rows, *columns, types = wire["frames"]
    offsets, firsts, counts, begins, ends = (decode_numbers(column, rows) for column in columns)
    frames = [
        SealedFrame(offset, first, count, begin, last, tuple(kinds))
        for offset, first, count, begin, last, kinds in zip(
            offsets, firsts, counts, begins, ends, types, strict=True
        )
    ]
    metrics = [MetricSummary(*metric) for metric in wire["metrics"]]
    return SealIndex(first_seq, next_seq, chain, end, live, frames, metrics)
