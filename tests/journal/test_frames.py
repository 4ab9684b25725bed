"""Frames: standard zstd, checked to the last bit, bounded before anything is allocated."""

from __future__ import annotations

import os
import shutil
import subprocess
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.frames import (
    CONTENT_CAP,
    RAW_LIMIT,
    FrameDamagedError,
    FrameDecoder,
    FrameEncoder,
    frame_bounds,
)


def _decode(frame):
    bounds = frame_bounds(frame, 0)
    if bounds is None:
        raise FrameDamagedError("not whole")
    return FrameDecoder().decode(frame[: bounds.end], bounds.content_size)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=3000))
def test_contents_come_back(content):
    """Every content is decoded as it was encoded, by us and by libzstd."""
    frame = FrameEncoder().encode(content)
    assert _decode(frame) == content
    assert zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False) == content


@pytest.mark.parametrize(
    "size", [1, RAW_LIMIT, RAW_LIMIT + 1, 255, 256, 65_791, 65_792, 600_000, 16 << 20]
)
@pytest.mark.parametrize("kind", ["random", "zeros"])
def test_all_sizes(size, kind):
    """Every width of the content's size, one block and many, and frames with a window are read."""
    content = os.urandom(size) if kind == "random" else bytes(size)
    frame = FrameEncoder().encode(content)
    bounds = frame_bounds(frame, 0)
    assert bounds is not None
    assert (bounds.end, bounds.content_size) == (len(frame), size)
    assert _decode(frame) == content


@pytest.mark.parametrize("content", [b"", bytes(CONTENT_CAP + 1)], ids=["empty", "too large"])
def test_no_frame_is_empty_or_too_large(content):
    """A content outside the limits is refused when it is written."""
    with pytest.raises(ValueError):
        FrameEncoder().encode(content)


@pytest.mark.parametrize(
    "content",
    [b"a point", b"compressible " * 40, os.urandom(300)],
    ids=["short", "compressible", "random"],
)
def test_every_flipped_bit_is_noticed(content):
    """Not one single-bit change of a frame decodes to anything else than the content."""
    frame = FrameEncoder().encode(content)
    for bit in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameDamagedError):
            _decode(bytes(damaged))


@pytest.mark.parametrize("content", [b"a point", b"compressible " * 40])
def test_every_truncation_is_not_yet_whole(content):
    """A frame that is cut anywhere is recognised as unfinished, never as damaged or whole."""
    frame = FrameEncoder().encode(content)
    for size in range(len(frame)):
        assert frame_bounds(frame[:size], 0) is None


@pytest.mark.parametrize(
    "head",
    [
        b"\xe4" + (1 << 63).to_bytes(8, "little"),
        b"\xe4" + (CONTENT_CAP + 1).to_bytes(8, "little"),
        b"\xa4" + (2**32 - 1).to_bytes(4, "little"),
        b"\x24\x00",  # empty
        b"\x20\x05",  # no checksum
        b"\x25\x07\x05",  # a dictionary
        b"\x2c\x05",  # the reserved bit
        b"\x34\x05",  # the unused bit
        b"\x04\x50",  # no content size
        b"\x44\xff\x00\x00",  # a window of many GiB
    ],
)
def test_forged_headers_are_refused_before_anything_is_allocated(head):
    """Sizes up to 2^63, windows, dictionaries and missing checksums never reach the decoder."""
    with pytest.raises(FrameDamagedError):
        frame_bounds(b"\x28\xb5\x2f\xfd" + head + bytes(64), 0)


def test_a_skippable_frame_is_not_of_this_format():
    """Skippable frames are not taken for frames."""
    with pytest.raises(FrameDamagedError):
        frame_bounds(b"\x50\x2a\x4d\x18\x04\0\0\0abcd", 0)


def test_a_bomb_costs_no_more_than_it_declares():
    """A frame that decodes to more than its header tells is refused, in bounded memory."""
    honest = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(10 << 20))
    bounds = frame_bounds(honest, 0)
    assert bounds is not None
    forged = bytearray(honest)
    assert forged[4] & 0xC0, "the size has a field of its own"
    width = 1 << (forged[4] >> 6)
    at = 5 if forged[4] & 0x20 else 6
    forged[at : at + width] = (1000).to_bytes(width, "little")
    tracemalloc.start()
    try:
        with pytest.raises(FrameDamagedError):
            _decode(bytes(forged))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 << 20


def test_a_bomb_of_repeated_bytes_costs_no_memory():
    """Four bytes a block that stand for 128 KiB each: refused with no more memory than is declared."""
    declared, blocks = 300_000, 600
    block = ((128 * 1024 << 3) | 2).to_bytes(3, "little") + b"x"
    last = ((128 * 1024 << 3) | 3).to_bytes(3, "little") + b"x"
    head = b"\x28\xb5\x2f\xfd\xa4" + declared.to_bytes(4, "little")
    bomb = head + block * blocks + last + bytes(4)
    tracemalloc.start()
    try:
        with pytest.raises(FrameDamagedError):
            _decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * declared
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_any_bytes_are_bounds_or_not(data):
    """Looking for a frame in any bytes gives bounds, None or FrameDamagedError."""
    try:
        bounds = frame_bounds(b"\x28\xb5\x2f\xfd" + data, 0)
    except FrameDamagedError:
        return
    if bounds is not None:
        assert bounds.end <= len(data) + 4


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd program")
def test_the_zstd_program_reads_them(tmp_path):
    """`zstd -t` proves a file of frames, and `zstd -dc` gives their contents."""
    encoder = FrameEncoder()
    contents = [b"x" * n for n in (1, 100, 161, 5000, 300_000)]
    path = tmp_path / "frames.zst"
    path.write_bytes(b"".join(map(encoder.encode, contents)))
    subprocess.run(["zstd", "-q", "-t", str(path)], check=True, timeout=60)
    done = subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True, timeout=60)
    assert done.stdout == b"".join(contents)


def test_a_frame_for_which_there_is_no_memory_is_damaged(monkeypatch):
    """The decoder runs out of memory: that frame is told, and nothing is raised that is not ours."""

    class Decompressor:
        def decompress(self, *_, **__):
            raise MemoryError

    decoder = FrameDecoder()
    monkeypatch.setattr(decoder, "_decompressor", Decompressor())
    with pytest.raises(FrameDamagedError, match="no memory"):
        decoder.decode(b"", 1)
