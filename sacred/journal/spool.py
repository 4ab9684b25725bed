"""The spool: what a run printed, as bytes, before it is in the journal.

In ``fd`` mode a small process of its own (``sacred/core/tee.py``) copies the output of a run to the
terminal and into the spool file; the run, or whoever finds the file after a kill, reads it from
there into the journal.

A spool file is nothing but a concatenation of records::

    stream  1 byte                  1 stdout, 2 stderr
    time    8 bytes, little endian  ns since the epoch, when the bytes were read from the pipe
    length  4 bytes, little endian  of the data, 1 to 65536
    data    that many bytes

The file of a run that somebody went on with begins with a hole, which is as long as all spools of
the run before it: places go on counting, and reading begins behind what the journal has.

There is no checksum: the file lives for one run on one machine, and the journal that it is copied
into has its own. A record that is not whole is "not yet", because its writer may be about to finish
it. Behind damage, reading goes on where records follow one another again.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING

from sacred.journal.events import EventType
from sacred.journal.holes import next_data
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import NO_FILE, open_regular
from sacred.journal.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    from sacred.journal.events import Event

__all__ = [
    "MAX_DATA",
    "SPOOL",
    "STDERR",
    "STDOUT",
    "SpoolChunk",
    "SpoolFlaw",
    "SpoolRead",
    "chunks_from",
    "encode_record",
    "flaws_from",
    "read_spool",
    "set_damage_aside",
    "spooled_to",
    "told_flaws",
    "tolerant_chunks",
]

#: The name of a run's spool, in its ``journal`` folder.
SPOOL = "w0000.spool"

STDOUT = 1
STDERR = 2

#: The most bytes that one record holds.
MAX_DATA = 65536

_HEADER = struct.Struct("<BQI")
#: A header that no other bytes look like: a stream, a time between 2001 and 2262, a length. Of
#: bytes by chance one place in twenty millions does, and of text none.
_BEGINS = re.compile(
    rb"(?=[\x01\x02][\x00-\xff]{7}[\x0d-\x7f](?:[\x00-\xff]{2}\x00|\x00\x00\x01)\x00)"
)
#: So many records one behind the other, or fewer that lead to the end of the file, are believed.
_CHAIN = 4
#: What is looked through behind damage, and how many headers are followed there, for a whole file:
#: one that somebody made to be slow costs a few seconds.
_MOST_LOOKED = 256 << 20
_MOST_TRIED = 100_000
#: The least that one piece of damage counts for: so much is read anew behind it.
_LOOK = 1 << 16
#: So many pieces of damage are told of in the journal.
_MOST_TOLD = 100
#: Zeros that are passed over, where they are no hole.
_MOST_ZEROS = 1 << 30


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


class SpoolFlaw(NamedTuple):
    """What a run printed, or may have printed, and nobody can read.

    Attributes
    ----------
    begin, end
        From which byte of the spool up to but not which. Behind ``end`` it can be read again, or
        the file ends.
    reason
        Why, half a sentence: the bytes are damaged, or what the system says.
    refused
        The system does not let us read: nothing may be damaged.
    at_end
        Nothing behind ``begin`` can be read.
    """

    begin: int
    end: int
    reason: str = "the bytes are damaged"
    refused: bool = False
    at_end: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        if self.end <= self.begin:
            return f"{SPOOL}: what was printed can not be read: {self.reason}"
        size = counted(self.end - self.begin, "byte")
        place = f"from byte {self.begin} {'on' if self.at_end else f'to byte {self.end}'}"
        return f"{SPOOL}: what was printed can not be read {place} ({size}): {self.reason}"


def spooled_to(event: Event) -> int:
    """Return up to which byte of the spool an event has the output; 0 for what is no output."""
    end = event.fields.get("end") if event.type == EventType.OUTPUT else None
    return end if type(end) is int else 0


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
        If the file is there but can not be read, or is none.
    """
    size = max(max_bytes, _HEADER.size + MAX_DATA)
    if isinstance(path_or_fd, int):
        offset, data = _read_from(path_or_fd, offset, size)
    else:
        try:
            fd = open_regular(path_or_fd)
        except FileNotFoundError:
            return SpoolRead([], offset, "missing")
        try:
            offset, data = _read_from(fd, offset, size)
        finally:
            os.close(fd)
    return _split(data, offset, max_bytes)


def chunks_from(
    path: str | os.PathLike[str], offset: int = 0, flaws: list[SpoolFlaw] | None = None
) -> Iterator[SpoolChunk]:
    """Yield the whole records of a spool from an offset on, up to its present end.

    Nothing if there is no such file. What is damaged is passed over, if records follow one another
    behind it. Bounded in memory, about a megabyte at a time, and in the time that damage costs.

    Parameters
    ----------
    path
        Of the spool.
    offset
        The ``end`` of a record, or 0.
    flaws
        Gets what was passed over. Zeros up to the end of the file, which a power cut leaves, and a
        record that was not finished are none.

    Raises
    ------
    OSError
        If the file is there but can not be read, or is none.
    """
    try:
        fd = open_regular(path)
    except FileNotFoundError:
        return
    search = _Search(fd)
    last: SpoolChunk | None = None  # its length may be what is damaged
    try:
        size = 1 << 20
        while True:
            read = read_spool(fd, offset, size)
            for chunk in read.chunks:
                if last is not None:
                    yield last
                last = chunk
            offset, size = read.next_offset, 1 << 20
            if read.verdict == "more":
                continue
            flaw = None
            if read.verdict != "clean":
                flaw = search.behind(offset, last, torn=read.verdict == "tail")
            if last is not None and (flaw is None or flaw.begin >= last.end):
                yield last
            if flaw is not None and flaws is not None:
                flaws.append(flaw)
            if flaw is None or flaw.at_end:
                return
            last, offset, size = None, flaw.end, 1
    finally:
        os.close(fd)


def tolerant_chunks(path: Path, offset: int, flaws: list[SpoolFlaw]) -> Iterator[SpoolChunk]:
    """Do so for who only shows what is there: a file that can not be read is a flaw, too."""
    try:
        yield from chunks_from(path, offset, flaws)
    except OSError as error:
        reason = error.strerror or str(error)
        flaws.append(SpoolFlaw(offset, offset, reason, refused=reason != NO_FILE, at_end=True))


def flaws_from(path: Path, offset: int) -> list[SpoolFlaw]:
    """Return what can not be read of a spool from an offset on. Never raises."""
    flaws: list[SpoolFlaw] = []
    for _ in tolerant_chunks(path, offset, flaws):
        pass
    return flaws


def told_flaws(path: Path, flaws: list[SpoolFlaw]) -> Iterator[str]:
    """Yield what the journal records of what can not be read; the spool is set aside then."""
    from sacred.journal.root import name_for_damage

    kept = name_for_damage(path).name
    for flaw in flaws[:_MOST_TOLD]:
        yield f"{flaw}. It is kept as {kept}."
    if len(flaws) > _MOST_TOLD:
        more = counted(len(flaws) - _MOST_TOLD, "more part")
        yield f"{SPOOL}: {more} can not be read. It is kept as {kept}."


def set_damage_aside(path: Path) -> Path:
    """Rename a spool that can not be read whole; what can is recorded elsewhere.

    Returns
    -------
    Its new name, ``w0000.spool.damaged-1``.

    Raises
    ------
    OSError
        It can not be renamed.
    """
    from sacred.journal.root import name_for_damage

    kept = name_for_damage(path)
    os.replace(path, kept)
    return kept


class _Search:
    """Looks for records behind damage, in one spool; there is an end to what it looks through."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._looked = 0
        self._tried = 0

    def behind(self, begin: int, last: SpoolChunk | None, *, torn: bool) -> SpoolFlaw | None:
        """Return what is damaged from an offset on.

        Parameters
        ----------
        begin
            Where no record begins that is whole.
        last
            The record before it: it is the damaged one if others begin in it and lead on behind it.
        torn
            A record begins there that is longer than the file, so that its length is damaged if
            another one follows, and else all is well.

        Returns
        -------
        None if that is nothing.
        """
        if last is not None:
            first = last.begin + _HEADER.size + 1
            part = _read_at(self._fd, first, begin - first + _HEADER.size - 1)
            for match in _BEGINS.finditer(part):
                if self._is_over():
                    break
                if self._leads_on(first + match.start(), beyond=begin):
                    return SpoolFlaw(last.begin, first + match.start())
        blank, at, size = True, begin, 4096
        while True:
            at = next_data(self._fd, at)
            part = _read_at(self._fd, at, size) if at >= 0 else b""
            if not part:
                break
            blank = blank and not part.strip(b"\0")
            if self._is_over():
                # Nobody knows what else there is: all of it is named, and kept.
                return SpoolFlaw(begin, os.fstat(self._fd).st_size, at_end=True)
            for match in _BEGINS.finditer(part):
                found = at + match.start()
                if found > begin and self._leads_on(found, beyond=found):
                    self._looked += max(_LOOK, found - begin)
                    return SpoolFlaw(begin, found)
                if self._is_over():
                    break
            step = max(1, len(part) - _HEADER.size + 1)
            self._looked += step
            at, size = at + step, min(size * 2, 1 << 20)
        if blank or torn:
            return None
        return SpoolFlaw(begin, os.fstat(self._fd).st_size, at_end=True)

    def _is_over(self) -> bool:
        """Tell whether enough was looked through and tried, for one file."""
        return self._looked >= _MOST_LOOKED or self._tried >= _MOST_TRIED

    def _leads_on(self, at: int, beyond: int) -> bool:
        """Tell whether records follow one another from an offset on, and behind another one."""
        end = os.fstat(self._fd).st_size
        known = 0
        while known < _CHAIN or at <= beyond:
            self._tried += 1
            header = _read_at(self._fd, at, _HEADER.size)
            if not header.strip(b"\0") or len(header) < _HEADER.size:
                break  # the end of the file, or zeros, or what a kill left
            if not _BEGINS.match(header):
                return False
            length: int = _HEADER.unpack(header)[2]
            if at + _HEADER.size + length > end:
                break
            known, at = known + 1, at + _HEADER.size + length
        return known > 0 and at > beyond


def _read_from(fd: int, offset: int, size: int) -> tuple[int, bytes]:
    """Return what is there, and where it begins: behind the hole, if the offset lies in that."""
    data = _read_at(fd, offset, size)
    if data[:1] != b"\0" or _read_at(fd, 0, 1) != b"\0":
        return offset, data
    # The journal lost, to damage, what it had of the output before somebody went on.
    at, left = 0, _MOST_ZEROS
    while left > 0 and (at := next_data(fd, at)) >= 0 and (part := _read_at(fd, at, MAX_DATA)):
        if rest := part.lstrip(b"\0"):
            begin = at + len(part) - len(rest)
            return (begin, _read_at(fd, begin, size)) if begin >= offset else (offset, data)
        at += len(part)
        left -= len(part)
    return offset, data


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
