"""One file of a journal, read frame by frame."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.codec import unpack_all
from sacred.journal.frames import (
    CONTENT_CAP,
    MAGIC,
    FrameDamagedError,
    FrameDecoder,
    chain_after,
    frame_bounds,
)
from sacred.journal.root import epoch_file_name

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.seal_index import SealIndex

_READ = 1 << 20
#: Contents decoded while looking for the next whole frame behind damage, per look (bytes).
_RESYNC_BUDGET = 4 * CONTENT_CAP
_PREAMBLE_MARK = 0
#: How msgpack begins an array of seven.
_SEVEN = b"\x97"


class RawFrame(NamedTuple):
    """A decoded frame: where it lies, its preamble, the chain behind it, and its events.

    ``values`` are the preamble and the events, decoded; ``events`` are the latter as they stand.
    """

    offset: int
    end: int
    journal_id: int
    writer: int
    epoch: int
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    chain: int
    chain_after: int
    values: list[Any]
    events: bytes


class NotYet(Exception):
    """The bytes that are there do not hold a whole frame."""


class EpochFile:
    """One file, read forward frame by frame; remembers where it stands."""

    def __init__(self, path: Path, writer: int, epoch: int) -> None:
        self.path = path
        self.writer = writer
        self.epoch = epoch
        self.offset = 0
        self.sealed = False
        self.decoder = FrameDecoder()
        self._buffer = b""
        self._base = 0
        self._decoded = 0
        self._descriptor = -1
        #: Which file it was when it was opened first.
        self._was: tuple[int, int] | None = None

    @classmethod
    def of(cls, folder: Path, writer: int, epoch: int) -> EpochFile:
        """Return a writer's file in a journal's folder; it need not be there."""
        return cls(folder / epoch_file_name(writer, epoch), writer, epoch)

    def close(self) -> None:
        """Close the descriptor; the next read opens the file again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def rest(self) -> None:
        """Let go of descriptor and buffer until the file is read on."""
        self.close()
        self.reread(self.offset)

    def is_another(self) -> bool:
        """Tell whether the name of a file that was let go is another's by now: a sealed one's."""
        if self._was is None or self._descriptor >= 0:
            return False
        try:
            self._ensure(1)
        except OSError:
            return False  # gone: said by who reads on
        another = self._identity() != self._was
        if another:
            self.close()
        return another

    def _identity(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_dev, found.st_ino

    def __del__(self) -> None:
        self.close()

    def seek(self, offset: int) -> None:
        """Go on reading at an offset."""
        self.offset = offset

    def reread(self, offset: int) -> None:
        """Go on reading at an offset, with nothing remembered of what stood there."""
        self.offset, self._base, self._buffer = offset, offset, b""

    def _ensure(self, size: int) -> int:
        """Have ``size`` bytes from the offset on in the buffer, if they exist; return how many."""
        have = self._base + len(self._buffer) - self.offset
        if self._base <= self.offset and have >= size:
            return have
        if self._descriptor < 0:
            # Not to wait for ever where a pipe has the name of a file.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self.path, flags)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                self.close()
                raise OSError(errno.EINVAL, "it is no regular file")
            self._was = self._was or self._identity()
        if self._base <= self.offset <= self._base + len(self._buffer):
            parts = [self._buffer[self.offset - self._base :]]
        else:
            parts = []
        self._base = self.offset
        have = sum(map(len, parts))
        wanted = max(size, _READ)
        os.lseek(self._descriptor, self._base + have, os.SEEK_SET)
        while have < wanted:
            chunk = os.read(self._descriptor, wanted - have)
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        self._buffer = b"".join(parts)
        return have

    def index(self) -> SealIndex | None:
        """Return the index of a sealed file; None if it is not sealed, or the index is damaged."""
        from sacred.journal.seal_index import read_index

        try:
            self._ensure(1)
            return read_index(self._descriptor)
        except OSError:
            return None

    def remaining(self) -> int:
        """Return how many bytes lie behind the offset."""
        if self.sealed:
            return 0  # an index and a seek table, which no event needs
        if self._descriptor < 0:
            self._ensure(1)
        return max(0, os.fstat(self._descriptor).st_size - self.offset)

    def strangers(self) -> int:
        """Return how many bytes lie behind the offset, if a frame begins there."""
        self._ensure(len(MAGIC))
        at = self.offset - self._base
        if self._buffer[at : at + len(MAGIC)] != MAGIC:
            return 0
        return os.fstat(self._descriptor).st_size - self.offset

    def next_frame(self) -> RawFrame:
        """Decode the frame at the offset and move behind it.

        Raises
        ------
        NotYet
            The file ends before the frame does (or right here).
        FrameDamagedError
            No whole frame begins here; the offset stays.
        """
        have = 0 if self.sealed else self._ensure(4096)
        if have == 0:
            raise NotYet
        start = self.offset - self._base
        bounds = frame_bounds(self._buffer, start)
        if bounds is None:
            grown = self._ensure(CONTENT_CAP + CONTENT_CAP // 256 + 4096)
            start = self.offset - self._base
            bounds = frame_bounds(self._buffer, start) if grown > have else None
            if bounds is None:
                raise NotYet
        return self._decode(bounds.start, bounds.end, bounds.content_size)

    def _decode(self, start: int, end: int, content_size: int) -> RawFrame:
        self._decoded += content_size
        content = self.decoder.decode(self._buffer[start:end], content_size)
        if content[:1] != _SEVEN:  # before 16 MiB of anything are made into values
            raise FrameDamagedError("a frame without a preamble")
        try:
            values = unpack_all(content)
            mark, journal_id, writer, epoch, first_seq, count, chain = values[0]
            if mark != _PREAMBLE_MARK:
                raise FrameDamagedError("a frame without a preamble")
            numbers = (journal_id, writer, epoch, first_seq, count, chain)
            if set(map(type, numbers)) != {int} or not 0 <= min(numbers) <= max(numbers) < 1 << 64:
                raise FrameDamagedError("a preamble that is not seven numbers")
            events = content[_preamble_size(content) :]
        except FrameDamagedError:
            raise
        except Exception as error:
            raise FrameDamagedError(f"a frame whose content is not msgpack: {error}") from None
        after = chain_after(chain, events) if count else chain
        offset = self._base + start
        self.offset = self._base + end
        return RawFrame(
            offset,
            self.offset,
            journal_id,
            writer,
            epoch,
            first_seq,
            count,
            chain,
            after,
            values,
            events,
        )

    def resync(self, accept: Any) -> RawFrame | None:
        """Find the next whole frame behind the offset that ``accept`` takes; None if none is there.

        The offset moves behind the frame found, else it stays. Bounded: candidates whose decoding
        would exceed the budget end the search at the end of the file's first 64 MiB behind here.
        """
        origin = self.offset
        spent = 0
        position = origin + 1
        while spent < _RESYNC_BUDGET:
            self.offset = position
            have = self._ensure(_READ)
            if have < len(MAGIC):
                break
            found = self._buffer.find(MAGIC, position - self._base)
            if found < 0:
                position = self._base + len(self._buffer) - len(MAGIC) + 1
                if have < _READ:
                    break
                continue
            self.offset = self._base + found
            position = self.offset + 1
            before = self._decoded
            try:
                frame = self.next_frame()
            except (NotYet, FrameDamagedError):
                spent += 4096 + self._decoded - before  # a frame of 1 KiB may decode to 16 MiB
                continue
            if accept(frame):
                return frame
            spent += frame.end - frame.offset
            position = frame.end
        self.offset = origin
        return None


def _preamble_size(content: bytes) -> int:
    """Return how many bytes an array of seven msgpack unsigned integers takes."""
    size = 1
    for _ in range(7):
        lead = content[size]
        if lead >= 0x80 and not 0xCC <= lead <= 0xCF:
            raise FrameDamagedError("a preamble that is not seven unsigned integers")
        size += 1 if lead < 0x80 else 1 + (1 << (lead - 0xCC))
    return size
