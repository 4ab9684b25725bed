"""One file of a journal, read frame by frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from sacred.journal.codec import holds_too_much, unpack_all
from sacred.journal.frames import (
    CONTENT_CAP,
    MAGIC,
    FrameDamagedError,
    FrameDecoder,
    chain_after,
    frame_bounds,
)
from sacred.journal.holes import end_of_data, next_data
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import open_regular
from sacred.journal.root import epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.journal.seal_index import SealIndex

#: So much is read at once (bytes): less than what the allocator takes from the system each time.
_READ = 120 << 10
#: More bytes than any frame has.
_LONGEST = CONTENT_CAP + CONTENT_CAP // 256 + 4096
#: Contents decoded while looking for the next whole frame behind damage, per look (bytes).
_RESYNC_BUDGET = 4 * CONTENT_CAP
#: Bytes looked through for that, and for the beginning of the zeros that a file ends in: a writer's
#: file ends at 256 MiB. Holes do not count, they are not looked through.
_FARTHEST = 1 << 30
_PREAMBLE_MARK = 0
#: What a frame may hold beside its event: a preamble of eight values.
_AROUND = 8
#: Behind its first byte, the magic of the frames that zstd skips.
_SKIPPABLE = b"\x2a\x4d\x18"
#: No disk has smaller pieces: where a power cut left zeros in a frame, they begin at such a bound.
_SECTOR = 512
_NOTHING = bytes(4096)
#: How msgpack begins an array of seven.
_SEVEN = b"\x97"

_Seen = TypeVar("_Seen")


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

    def __init__(
        self, path: Path, writer: int, epoch: int, decoder: FrameDecoder | None = None
    ) -> None:
        self.path = path
        self.writer = writer
        self.epoch = epoch
        self.offset = 0
        self.sealed = False
        self.decoder = decoder or FrameDecoder()
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

    def has_its_name(self) -> bool:
        """Tell whether the file that was opened still is the one that its name leads to."""
        found = os.stat(self.path)
        return self._was == (found.st_dev, found.st_ino)

    def is_replaced(self) -> bool:
        """Tell whether the file that is open has no name any more, and another one has it."""
        try:
            return self._descriptor >= 0 and not self.has_its_name()
        except OSError:
            return False  # gone: said by who reads on

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
            self._descriptor = open_regular(self.path)
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
            return self.look(read_index)
        except OSError:
            return None

    def look(self, at: Callable[[int], _Seen]) -> _Seen:
        """Return what a function sees in the file that was opened; it is given the descriptor.

        Raises
        ------
        OSError
            The file can not be read.
        """
        self._ensure(1)
        return at(self._descriptor)

    def remaining(self) -> int:
        """Return how many bytes lie behind the offset."""
        if self.sealed:
            return 0  # an index and a seek table, which no event needs
        if self._descriptor < 0:
            self._ensure(1)
        return max(0, os.fstat(self._descriptor).st_size - self.offset)

    def size(self) -> int:
        """Return the size of the file, which was read."""
        return os.fstat(self._descriptor).st_size

    def strangers(self) -> int:
        """Return how many bytes a frame and what is behind it take, if one stands behind the end.

        Behind the event that ends a sealed file, or behind its index and its seek table.
        """
        origin = self.offset
        try:
            while True:
                self._ensure(8)
                at = self.offset - self._base
                head = self._buffer[at : at + 8]
                if len(head) < 8 or head[1:4] != _SKIPPABLE or not 0x50 <= head[0] <= 0x5F:
                    break
                self.offset += 8 + int.from_bytes(head[4:], "little")
            if head[:4] != MAGIC:
                return 0
            return self.size() - self.offset
        finally:
            self.offset = origin

    def begins_in_damage(self) -> bool:
        """Tell whether it does not even begin as a file of a journal does; it is closed then."""
        self.seek(0)
        try:
            self.next_frame()
        except FrameDamagedError:
            return True
        except (NotYet, OSError):
            return False
        finally:
            self.close()
        return False

    def is_cut(self) -> bool:
        """Tell whether the file ends, where it stands, as a power cut may leave it: in zeros.

        Some file systems keep a file's size sooner than its content. So nothing but zeros is behind
        the offset; or the beginning of a frame, and zeros from the bound of a sector on. For a file
        at whose offset no frame begins.

        Raises
        ------
        OSError
        """
        end = self.size()
        zeros = self._behind_zeros(end)
        if zeros == self.offset:
            return True
        written = -(-zeros // _SECTOR) * _SECTOR
        size = written - self.offset
        if written >= end or size > CONTENT_CAP + CONTENT_CAP // 256:
            return False
        self._ensure(size)
        start = self.offset - self._base
        try:
            return frame_bounds(self._buffer[start : start + size], 0) is None
        except FrameDamagedError:
            return False

    def _behind_zeros(self, end: int) -> int:
        """Return where the zeros begin that the file ends in, but not before the offset."""
        nothing, left, sought = bytes(_READ), _FARTHEST, False
        while end > self.offset and left > 0:
            begin = max(self.offset, end - _READ)
            os.lseek(self._descriptor, begin, os.SEEK_SET)
            data = os.read(self._descriptor, end - begin)
            if data != nothing[: len(data)]:  # five times as fast as to strip them
                return begin + len(data.rstrip(b"\0"))
            end, left = begin, left - _READ
            if not sought:  # where zeros were seen: a hole is believed where it shows what it is
                end, sought = end_of_data(self._descriptor, self.offset, end), True
        return end

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
        while (bounds := frame_bounds(self._buffer, self.offset - self._base)) is None:
            # Not all of it at once: mostly a frame only lies across the end of the buffer.
            grown = self._ensure(min(2 * have, _LONGEST)) if have < _LONGEST else have
            if grown <= have:
                raise NotYet
            have = grown
        return self._decode(bounds.start, bounds.end, bounds.content_size)

    def _decode(self, start: int, end: int, content_size: int) -> RawFrame:
        self._decoded += content_size
        content = self.decoder.decode(self._buffer[start:end], content_size)
        if content[:1] != _SEVEN:  # before 16 MiB of anything are made into values
            raise FrameDamagedError("a frame without a preamble")
        if holds_too_much(content, more=_AROUND):
            raise FrameDamagedError("a frame of more values than the format allows")
        try:
            values = unpack_all(content)
            mark, journal_id, writer, epoch, first_seq, count, chain = values[0]
            if mark != _PREAMBLE_MARK:
                raise FrameDamagedError("a frame without a preamble")
            events = content[_preamble_size(content) :]  # which are unsigned integers
        except FrameDamagedError:
            raise
        except Exception:
            raise FrameDamagedError("a frame whose content is not msgpack") from None
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

        The offset moves behind the frame found, else it stays. Bounded by the contents that are
        decoded on the way, and by the bytes that are looked through.
        """
        origin = self.offset
        spent = searched = 0
        zeros = -1
        position = origin + 1
        while spent < _RESYNC_BUDGET and searched < _FARTHEST:
            self.offset = position
            have = self._ensure(_READ)
            if have < len(MAGIC):
                break
            found = self._buffer.find(MAGIC, position - self._base)
            if found < 0:
                position = self._base + len(self._buffer) - len(MAGIC) + 1
                if have < _READ:
                    break
                searched += have
                if self._buffer.endswith(_NOTHING):  # no frame begins in zeros
                    zeros = self._behind_zeros(self.size()) if zeros < 0 else zeros
                    data = next_data(self._descriptor, position)
                    if data < 0 or position >= zeros:
                        break
                    position = max(position, data)
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
