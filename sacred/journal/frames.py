"""The bytes of a frame: the only module that knows zstd and the checksums.

A frame is a standard zstd frame (RFC 8878) with a content checksum and the content's size, and
without a dictionary. A frame is decoded whole, from its exact bytes: python-zstandard's streaming
readers accept a torn last frame in silence, and ``decompress`` of several frames returns the first
one only, so neither is used.
"""

from __future__ import annotations

import xxhash
import zstandard

from sacred.journal.errors import JournalError
from sacred.journal.named_tuple import NamedTuple

MAGIC = b"\x28\xb5\x2f\xfd"
#: Largest content of a frame: one event of 16 MiB and what stands around it.
CONTENT_CAP = 16 * 1024 * 1024 + 64 * 1024
#: Largest window a reader accepts where a frame is not a single segment (RFC 8878, 3.1.1.1.2).
WINDOW_CAP = 32 * 1024 * 1024
#: A frame header (at most 14 bytes) and the first block header.
HEADER_MAX = 17

_BLOCK_MAX = 128 * 1024
#: Contents up to here are stored by hand as a raw block: at 70 bytes libzstd's call costs 1.15 us
#: and gains nothing, the same bytes put together here cost 0.25 us.
RAW_LIMIT = 160

RAW_HEADERS = tuple(
    MAGIC + b"\x24" + bytes((size,)) + ((size << 3) | 1).to_bytes(3, "little")
    for size in range(RAW_LIMIT + 1)
)


class FrameDamagedError(JournalError):
    """The bytes at this place are not a whole, unharmed frame."""


class FrameBounds(NamedTuple):
    """Where a frame lies in a buffer, and how long its content is."""

    start: int
    end: int
    content_size: int


class FrameEncoder:
    """Turns contents into frames.

    Not thread-safe: the zstd compressor holds state.
    """

    def __init__(self, level: int = 1) -> None:
        self._compressor = _compressor(level)
        self._quick = _compressor(-1)

    def encode(self, content: bytes, *, numbers: bool = False) -> bytes:
        """Return the frame of a content of at least one byte.

        Parameters
        ----------
        content
            The preamble and the events.
        numbers
            Most of it are columns of numbers, which gain nothing from the search for the best
            code: a table of 128 points is 930 bytes either way, after 4.3 us in place of 9.2.
            (Text would grow by a third.)

        Raises
        ------
        ValueError
            The content is empty or larger than ``CONTENT_CAP``.
        MemoryError
        """
        size = len(content)
        if 0 < size <= RAW_LIMIT:
            # The digest is big endian: its last four bytes, backwards, are the low half.
            return RAW_HEADERS[size] + content + xxhash.xxh64_digest(content)[:3:-1]
        if not 0 < size <= CONTENT_CAP:
            msg = f"a frame holds 1 to {CONTENT_CAP} bytes, not {size}"
            raise ValueError(msg)
        try:
            return (self._quick if numbers else self._compressor).compress(content)
        except zstandard.ZstdError as error:  # what else could be wrong with any bytes?
            raise MemoryError(str(error)) from None


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(
        level=level, write_checksum=True, write_content_size=True, write_dict_id=False
    )


def frame_bounds(buffer: bytes, start: int) -> FrameBounds | None:
    """Find the end of the frame that begins at ``start``, without decoding it.

    Returns
    -------
    The bounds, or None if the buffer ends before the frame does.

    Raises
    ------
    FrameDamagedError
        What stands there is no frame of this format. Sizes are checked against ``CONTENT_CAP``
        before anything is allocated.
    """
    available = len(buffer) - start
    if available < len(MAGIC):
        if MAGIC.startswith(buffer[start : start + len(MAGIC)]):
            return None
        raise FrameDamagedError("no frame begins here")
    if buffer[start : start + 4] != MAGIC:
        raise FrameDamagedError("no frame begins here")
    if available < 6:
        return None
    descriptor = buffer[start + 4]
    if descriptor & 0b0001_1011 or not descriptor & 0b0000_0100:
        raise FrameDamagedError("a frame header that this format does not use")
    position = start + 5
    single = descriptor & 0b0010_0000
    size_flag = descriptor >> 6
    if not single:
        window = buffer[position]
        position += 1
        if (1 << (10 + (window >> 3))) * (8 + (window & 7)) // 8 > WINDOW_CAP:
            raise FrameDamagedError("a frame header that asks for too large a window")
        if size_flag == 0:
            raise FrameDamagedError("a frame header without the content's size")
    width = 1 << size_flag if size_flag else 1
    if available < position - start + width:
        return None
    content_size = int.from_bytes(buffer[position : position + width], "little")
    if width == 2:
        content_size += 256
    position += width
    if not 0 < content_size <= CONTENT_CAP:
        raise FrameDamagedError(f"a frame header that tells of {content_size} bytes")
    # The compressed blocks can not be larger than the content and its block headers.
    limit = position + content_size + 3 * (content_size // 1024 + 2)
    length = len(buffer)
    while True:
        if position + 3 > length:
            return None
        header = int.from_bytes(buffer[position : position + 3], "little")
        kind = (header >> 1) & 3
        size = header >> 3
        if kind == 3 or size > _BLOCK_MAX:
            raise FrameDamagedError("a block header that is not valid")
        position += 3 + (1 if kind == 1 else size)
        if position > limit:
            raise FrameDamagedError("a frame that is longer than its content can be")
        if header & 1:
            break
    position += 4
    if position > length:
        return None
    return FrameBounds(start, position, content_size)


class FrameDecoder:
    """Turns the exact bytes of frames into their contents.

    Not thread-safe: the zstd decompressor holds state.
    """

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_CAP)

    def decode(self, frame: bytes, content_size: int) -> bytes:
        """Return the content of one whole frame.

        Parameters
        ----------
        frame
            Exactly the bytes between the bounds that ``frame_bounds`` found.
        content_size
            The size the header tells; it was checked against ``CONTENT_CAP``.

        Raises
        ------
        FrameDamagedError
            The checksum, the size or the compressed data are wrong.
        """
        try:
            content = self._decompressor.decompress(frame, allow_extra_data=False)
        except (zstandard.ZstdError, MemoryError) as error:
            raise FrameDamagedError(_why_not_decoded(error)) from None
        if len(content) != content_size:
            raise FrameDamagedError("a frame whose content has not the size its header tells")
        return content


def _why_not_decoded(error: Exception) -> str:
    """Say in words of ours what libzstd said in its own, which change with its version."""
    if isinstance(error, MemoryError):
        return "a frame for whose content there is no memory"
    if "checksum" in str(error):
        return "a frame whose checksum is not that of its content"
    return "a frame that can not be decompressed"


def chain_after(chain: int, events: bytes) -> int:
    """Return the chain behind a frame: XXH64 of its events, seeded with the chain before it."""
    return xxhash.xxh64_intdigest(events, chain)
