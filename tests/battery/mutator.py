"""Makes other journals of journals: with frames that are whole, and say something else.

A journal travels as one value of bytes: (writer, epoch, size, bytes) of each of its files.
"""

from __future__ import annotations

import random
import struct

import msgpack
from golden.make import handmade

from sacred.journal.codec import pack
from sacred.journal.frames import FrameDamagedError, FrameDecoder, FrameEncoder, chain_after
from sacred.journal.frames import frame_bounds as bounds_of
from sacred.journal.root import epoch_file_name, parse_epoch_file_name

_HEAD = struct.Struct("<HHI")
NUMBERS = [0, 1, 2, 3, 15, 16, 17, 127, 128, 136, 255, 256, 2**16, 2**20, 2**31, 2**32 - 1]
NUMBERS += [2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -128, -(2**31), -(2**63)]
KEYS = ["t", "e", "m", "s", "v", "n", "i", "x", "ss", "vs", "o", "z", "d", "lost", "chain", "blob"]
KEYS += ["min_reader", "features", "journal", "opened_by", "first_seq", "next_seq", "text"]


def pack_files(files):
    """Return a journal as one value; ``files`` are bytes by (writer, epoch)."""
    return b"".join(_HEAD.pack(*at, len(data)) + data for at, data in files.items())


def pack_folder(folder):
    """Return the journal of a folder as one value; None if it is too large for it."""
    files = {}
    for path in sorted(folder.iterdir()):
        parsed = parse_epoch_file_name(path.name)
        if parsed is not None and max(parsed) < 1 << 16 and path.is_file():
            files[parsed] = path.read_bytes()
    return pack_files(files) if sum(map(len, files.values())) < 60_000 else None


def unpack_files(data):
    """Read what ``pack_files`` returned, or any bytes."""
    files, at = {}, 0
    while at + _HEAD.size <= len(data) and len(files) < 6:
        writer, epoch, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        files[writer, max(1, epoch)] = data[at : at + size]
        at += size
    return files or {(0, 1): data}


def write_files(folder, data):
    """Make the folder hold a journal that travelled as one value."""
    for path in folder.iterdir():
        path.unlink()
    for at, content in unpack_files(data).items():
        (folder / epoch_file_name(*at)).write_bytes(content)


def split(data):
    """Return (frames, what stands behind them)."""
    frames, at = [], 0
    while at < len(data):
        try:
            bounds = bounds_of(data, at)
        except FrameDamagedError:
            break
        if bounds is None:
            break
        frames.append(data[at : bounds.end])
        at = bounds.end
    return frames, data[at:]


def _values(frame):
    """Return the preamble and events of a frame, extension values as they stand."""
    content = FrameDecoder().decode(frame, bounds_of(frame, 0).content_size)
    unpacker = msgpack.Unpacker(
        strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=1 << 24
    )
    unpacker.feed(content)
    return list(unpacker)


def _packed(values):
    packer = msgpack.Packer(unicode_errors="surrogateescape", use_bin_type=True)
    return [packer.pack(value) for value in values]


class Mutator:
    """Changes journals, by a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def mutate(self, data):
        """Return another journal."""
        files = unpack_files(data)
        for _ in range(self.rng.choice((1, 1, 2, 4))):
            at = self.rng.choice(list(files))
            frames, rest = split(files[at])
            if not frames or self.rng.random() < 0.1:
                files[at] = self._bytes(files[at])
                continue
            frames = self._frames(frames)
            if self.rng.random() < 0.6:
                frames = self._linked(frames)
            if rest and self.rng.random() < 0.1:
                rest = self._bytes(rest)
            files[at] = b"".join(frames) + rest
            if self.rng.random() < 0.03:
                files[self.rng.choice((0, 1)), self.rng.choice((1, 2, 3))] = files[at]
        return pack_files(files)

    def _bytes(self, data):
        data = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 3, 9))):
            at = self.rng.randrange(len(data) + 1)
            kind = self.rng.randrange(4)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << self.rng.randrange(8)
            elif kind == 1:
                data[at:at] = self.rng.randbytes(self.rng.choice((1, 2, 4, 30)))
            elif kind == 2:
                del data[at : at + self.rng.choice((1, 2, 4, 30, 400))]
            else:
                size = self.rng.choice((1, 4, 8))
                number = self.rng.choice(NUMBERS) & ((1 << 8 * size) - 1)
                data[at : at + size] = number.to_bytes(size, self.rng.choice(("little", "big")))
        return bytes(data)

    def _frames(self, frames):
        frames, rng = list(frames), self.rng
        at = rng.randrange(len(frames))
        kind = rng.randrange(12)
        if kind == 0:
            del frames[at]
        elif kind == 1:
            frames.insert(rng.randrange(len(frames) + 1), frames[at])
        elif kind == 2:
            other = rng.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        else:
            try:
                frames[at] = self._frame(frames[at])
            except (FrameDamagedError, ValueError, OverflowError, TypeError, RecursionError):
                frames[at] = self._bytes(frames[at])
        return frames or [b"\0"]

    def _frame(self, frame):
        rng = self.rng
        values = _values(frame)
        kind = rng.randrange(8)
        if not values or kind == 0:
            content = self._bytes(b"".join(_packed(values)))
        elif kind == 1 and isinstance(values[0], list) and values[0]:
            values[0][rng.randrange(len(values[0]))] = self._value(0)
            content = b"".join(_packed(values))
        else:
            place = rng.randrange(min(1, len(values) - 1), len(values))
            values[place] = self._changed(values[place], 0)
            if rng.random() < 0.1:
                values.append(values[place])
            content = b"".join(_packed(values))
        return self._framed(content or b"\0")

    def _framed(self, content):
        """Put a content into a frame, now and then into one that libzstd would not write."""
        if self.rng.random() < 0.9 or len(content) > 100_000:
            return FrameEncoder().encode(content)
        width = self.rng.choice([w for w in (2, 4, 8) if w != 2 or 256 <= len(content) < 65_000])
        window = self.rng.choice((None, b"\x58", b"\x50", b"\x00"))
        half = len(content) // 2
        blocks = [(0, content[:half]), (0, content[half:])] if half else None
        return handmade(content, width=width, window=window, blocks=blocks)

    def _changed(self, value, depth):
        """Return a value with something in it changed."""
        rng = self.rng
        if depth > 6 or rng.random() < 0.15:
            return self._value(depth)
        if isinstance(value, dict):
            value = dict(value)
            key = rng.choice(list(value)) if value else "t"
            kind = rng.randrange(8)
            if kind == 0:
                value.pop(key, None)
            elif kind == 1:
                value[rng.choice(KEYS)] = self._value(depth)
            else:
                value[key] = self._changed(value.get(key), depth + 1)
            return value
        if isinstance(value, list) and value:
            value = list(value)
            at = rng.randrange(len(value))
            value[at] = self._changed(value[at], depth + 1)
            return value
        if isinstance(value, msgpack.ExtType):
            code = value.code if rng.random() < 0.5 else rng.randrange(12)
            return msgpack.ExtType(code, self._bytes(value.data))
        if isinstance(value, bytes) and value:
            return self._bytes(value)
        if isinstance(value, int):
            return rng.choice((value + 1, value - 1, value * 2, rng.choice(NUMBERS)))
        return self._value(depth)

    def _value(self, depth):
        rng = self.rng
        kind = rng.randrange(10)
        if kind < 4:
            return rng.choice(NUMBERS)
        if kind == 4:
            return rng.choice((float("nan"), float("inf"), -0.0, 1e308, 0.5, None, True, False))
        if kind == 5:
            return rng.choice(("", "seal", "x" * 300, "\0", "\udcff", "größe", *KEYS))
        if kind == 6:
            return rng.randbytes(rng.choice((0, 1, 8, 24, 128)))
        if kind == 7:
            return msgpack.ExtType(rng.randrange(14), rng.randbytes(rng.choice((0, 1, 4, 8, 16))))
        if depth > 4:
            return []
        if kind == 8:
            return [self._value(depth + 1) for _ in range(rng.randrange(4))]
        return {rng.choice(KEYS): self._value(depth + 1) for _ in range(rng.randrange(4))}

    def _linked(self, frames):
        """Give the frames numbers and chains that go on from each other."""
        linked, seq, chain = [], None, 0
        for frame in frames:
            try:
                head, *events = _values(frame)
                numbers = list(map(int, head[:7]))
                if seq is None:
                    seq, chain = numbers[4], numbers[6]
                count = sum(map(_seqs, events))
                body = b"".join(_packed(events))
                head = [*numbers[:4], seq, count, chain]
                frame = FrameEncoder().encode(pack(head) + body)
                if count:
                    seq, chain = seq + count, chain_after(chain, body)
            except Exception:
                pass  # it is no frame of a journal any more
            linked.append(frame)
        return linked


def _seqs(event):
    if not isinstance(event, dict):
        return 1
    kind = event.get("e")
    if kind in (1, 136):
        return 0
    rows = event.get("n")
    return rows if kind == 17 and type(rows) is int and 0 < rows < 1 << 40 else 1
