"""The spool: what a run printed, as bytes, before it is in the journal.

In ``fd`` mode a small process of its own (``sacred/core/tee.py``) copies the output of a run to the
terminal and into the spool file; the run, or whoever finds the file after a kill, reads it from
there into the journal.

A spool file is nothing but a concatenation of records::

    stream  1 byte                  1 stdout, 2 stderr
    time    8 bytes, little endian  ns since the epoch, when the bytes were read from the pipe
    length  4 bytes, little endian  of the data, 1 to 65536
    data    that many bytes

There is no checksum: the file lives for one run on one machine, and the journal that it is copied
into has its own. A record that is not whole is "not yet", because its writer may be about to finish
it.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

__all__ = [
    "MAX_DATA",
    "STDERR",
    "STDOUT",
    "SpoolChunk",
    "SpoolRead",
    "chunks_from",
    "encode_record",
    "read_spool",
]

STDOUT = 1
STDERR = 2

#: The most bytes that one record holds.
MAX_DATA = 65536

_HEADER = struct.Struct("<BQI")


class SpoolChunk(NamedTuple):
    """One record of a spool.

    Attributes
    ----------
    stream
        1 for stdout, 2 for stderr.
    begin, end
        Where the record begins and ends in the file. ``end`` is the offset to go on reading from.
    time_ns
        When the bytes were read, in ns since the epoch.
    data
        What was printed.
    """

    stream: int
    begin: int
    end: int
    time_ns: int
    data: bytes


class SpoolRead(NamedTuple):
    """What one look into a spool gave.

    Attributes
    ----------
    chunks
        The whole records, in the order of the file.
    next_offset
        Where to go on: the end of the last whole record.
    verdict
        ``"clean"``: the file ends there. ``"more"``: there is more than was asked for. ``"tail"``:
        a record is there in part, wait for the rest. ``"damaged"``: the bytes there are no record,
        and nothing behind them can be read. ``"missing"``: there is no such file.
    """

    chunks: list[SpoolChunk]
    next_offset: int
    verdict: Literal["clean", "more", "tail", "damaged", "missing"]


def encode_record(stream: int, time_ns: int, data: bytes) -> bytes:
    """Return one record.

    Parameters
    ----------
    stream
        1 for stdout, 2 for stderr.
    time_ns
        Nanoseconds since the epoch.
    data
        1 to 65536 bytes.

    Raises
    ------
    ValueError
        If the stream or the length is not one that the format knows.
    """
    if stream not in (STDOUT, STDERR) or not 0 < len(data) <= MAX_DATA:
        raise ValueError(
            f"no record can hold {len(data)} bytes of stream {stream}: "
            f"give 1 to {MAX_DATA} bytes of stream 1 or 2"
        )
    return _HEADER.pack(stream, time_ns, len(data)) + data


def read_spool(
    path_or_fd: str | os.PathLike[str] | int, offset: int = 0, max_bytes: int = 1 << 20
) -> SpoolRead:
    """Read the whole records of a spool from an offset on.

    The file is only read. It may grow meanwhile.

    Parameters
    ----------
    path_or_fd
        The file, or a descriptor of it that can be read; its position is left alone where the
        system can do that.
    offset
        The ``end`` of a record, or 0.
    max_bytes
        The most bytes to hold in memory; at least one record is read all the same.

    Returns
    -------
    SpoolRead
        Never an exception for what the file holds.

    Raises
    ------
    OSError
        If the file is there but can not be read.
    """
    if isinstance(path_or_fd, int):
        data = _read_at(path_or_fd, offset, max(max_bytes, _HEADER.size + MAX_DATA))
    else:
        try:
            fd = os.open(path_or_fd, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _CLOEXEC)
        except FileNotFoundError:
            return SpoolRead([], offset, "missing")
        try:
            data = _read_at(fd, offset, max(max_bytes, _HEADER.size + MAX_DATA))
        finally:
            os.close(fd)
    return _split(data, offset, max_bytes)


def chunks_from(path: str | os.PathLike[str], offset: int = 0) -> Iterator[SpoolChunk]:
    """Yield the whole records of a spool from an offset on, up to its present end.

    Nothing if there is no such file. Bounded in memory: about a megabyte at a time.

    Raises
    ------
    OSError
        If the file is there but can not be read.
    """
    while True:
        read = read_spool(path, offset)
        yield from read.chunks
        if read.verdict != "more" or read.next_offset <= offset:
            return
        offset = read.next_offset


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


def _read_at(fd: int, offset: int, size: int) -> bytes:
    parts = []
    while size > 0:
        if hasattr(os, "pread"):
            part = os.pread(fd, size, offset)
        else:
            os.lseek(fd, offset, os.SEEK_SET)
            part = os.read(fd, size)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return b"".join(parts)


def _split(data: bytes, offset: int, max_bytes: int) -> SpoolRead:
    chunks: list[SpoolChunk] = []
    limit = max(max_bytes, _HEADER.size + MAX_DATA)
    at = 0
    while at + _HEADER.size <= len(data):
        stream, time_ns, length = _HEADER.unpack_from(data, at)
        if stream not in (STDOUT, STDERR) or not 0 < length <= MAX_DATA:
            return SpoolRead(chunks, offset + at, "damaged")
        end = at + _HEADER.size + length
        if end > len(data):
            break
        text = data[at + _HEADER.size : end]
        chunks.append(SpoolChunk(stream, offset + at, offset + end, time_ns, text))
        at = end
    if len(data) == limit:
        return SpoolRead(chunks, offset + at, "more")
    return SpoolRead(chunks, offset + at, "clean" if at == len(data) else "tail")
