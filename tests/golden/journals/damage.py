"""Golden journals that something harmed, and bytes that are not theirs."""

from __future__ import annotations

import random

import xxhash
from golden.journals.epochs import epochs_rotation
from golden.make import (
    FOREIGN_ID,
    content_of,
    flipped,
    golden,
    handmade,
    reframe,
)

from sacred.journal.codec import pack
from sacred.journal.frames import MAGIC, FrameEncoder


def _damaged(place, change, at=3):
    """A journal of which one frame in the middle was changed."""
    parts = place.simple()
    parts[at] = change(parts[at])
    place.put(parts)


@golden("a bit flipped in a frame's magic", "gap")
def damaged_magic(place):
    _damaged(place, lambda frame: flipped(frame, 1))


@golden("a bit flipped in a frame's descriptor", "gap")
def damaged_descriptor(place):
    _damaged(place, lambda frame: flipped(frame, 4, 3))


@golden("a bit flipped in a frame's content size", "gap")
def damaged_content_size(place):
    _damaged(place, lambda frame: flipped(frame, 5, 2))


@golden("a bit flipped in a block's size, so that the frame seems longer than the file", "gap")
def damaged_block_size(place):
    _damaged(place, lambda frame: flipped(frame, 7, 5))


@golden("a bit flipped in a frame's content", "gap")
def damaged_content(place):
    _damaged(place, lambda frame: flipped(frame, 60))


@golden("a bit flipped in a frame's checksum", "gap")
def damaged_checksum(place):
    _damaged(place, lambda frame: flipped(frame, len(frame) - 1, 7))


@golden("a bit flipped in the first frame of the file: no event is lost", "foreign")
def damaged_first_frame(place):
    _damaged(place, lambda frame: flipped(frame, 40), at=0)


@golden("a bit flipped in the last frame of the file: not to be told from a torn end", "tail")
def damaged_last_frame(place):
    _damaged(place, lambda frame: flipped(frame, 40), at=-1)


def _sector(place, filler):
    writer = place.writer()
    place.messages(writer, 12, size=8)
    writer.close()
    data = bytearray(b"".join(place.frames()))
    data[1024:1536] = filler
    place.put([bytes(data)])


@golden("a sector of zeros", "gap")
def damaged_sector_of_zeros(place):
    _sector(place, bytes(512))


@golden("a sector of ones", "gap")
def damaged_sector_of_ones(place):
    _sector(place, b"\xff" * 512)


@golden("a sector of noise", "gap")
def damaged_sector_of_noise(place):
    _sector(place, random.Random(6).randbytes(512))


@golden("bytes that were cut out of a frame", "gap")
def damaged_by_a_cut(place):
    _damaged(place, lambda frame: frame[:20] + frame[33:])


@golden("bytes that were pushed into a frame", "gap")
def damaged_by_an_insertion(place):
    _damaged(place, lambda frame: frame[:20] + b"pushed in" + frame[20:])


@golden("two places of damage in one file", "gap", "gap")
def damaged_twice(place):
    parts = place.simple(9)
    parts[2], parts[6] = flipped(parts[2], 50), flipped(parts[6], 6)
    place.put(parts)


@golden("a frame that was dropped", "gap")
def frame_dropped(place):
    parts = place.simple()
    place.put([*parts[:3], *parts[4:]])


@golden("the last frame of a file that was dropped: the next file shows it", "gap")
def frame_dropped_at_the_end(place):
    writer = place.writer()
    place.messages(writer, 4)
    writer._rotate()
    place.messages(writer, 2, 4)
    writer.close()
    place.put(place.frames()[:-1])


@golden("the first frame of a file that was dropped: nothing is missing")
def frame_dropped_at_the_beginning(place):
    place.put(place.simple()[1:])


@golden("a frame that stands twice", "foreign")
def frame_doubled(place):
    parts = place.simple()
    place.put([*parts[:4], *parts[3:]])


@golden("two frames that changed places", "gap", "foreign")
def frames_swapped(place):
    parts = place.simple()
    place.put([*parts[:3], parts[4], parts[3], *parts[5:]])


@golden("a frame in whose place another one stands: only the chain shows it", "gap")
def frame_exchanged(place):
    parts = place.simple()
    parts[3] = reframe(parts[3], events=[place.message("another")])
    place.put(parts)


@golden("a whole file that is missing between two", "gap")
def file_missing(place):
    epochs_rotation(place)
    place.file(0, 2).unlink()


@golden("a frame whose header tells of 2^63 bytes", "gap")
def forged_size(place):
    _damaged(place, lambda frame: frame[:4] + b"\xe4" + (1 << 63).to_bytes(8, "little") + frame[6:])


@golden("a frame of 32 MiB of zeros in 1 KiB: above the cap, and not decoded", "gap")
def forged_bomb(place):
    size = 32 * 2**20
    blocks = [((2**17 << 3) | 2).to_bytes(3, "little") + b"\0"] * 255
    blocks.append(((2**17 << 3) | 3).to_bytes(3, "little") + b"\0")
    bomb = MAGIC + b"\xa4" + size.to_bytes(4, "little") + b"".join(blocks) + bytes(4)
    _damaged(place, lambda _: bomb)


@golden("a frame without a checksum, which zstd takes and this format does not", "gap")
def forged_without_checksum(place):
    _damaged(place, lambda frame: handmade(content_of(frame), width=1, checksum=False))


@golden("a frame without the content's size, which zstd takes and this format does not", "gap")
def forged_without_size(place):
    def change(frame):
        content = content_of(frame)
        block = (len(content) << 3 | 1).to_bytes(3, "little") + content
        return MAGIC + b"\x04\x00" + block + xxhash.xxh64_digest(content)[:3:-1]

    _damaged(place, change)


@golden("a frame with a window of 64 MiB", "gap")
def forged_window(place):
    _damaged(place, lambda frame: handmade(content_of(frame) + bytes(200), width=2, window=b"\x80"))


@golden("a whole frame whose content is no msgpack", "gap")
def forged_content(place):
    _damaged(place, lambda _: FrameEncoder().encode(b"\xc1 this is no msgpack"))


@golden("a whole frame without a preamble", "gap")
def forged_without_preamble(place):
    _damaged(place, lambda _: FrameEncoder().encode(pack(place.message("no preamble"))))


def _strange(place, *between):
    parts = place.simple()
    place.put([*parts[:4], *between, *parts[4:]])
    return parts


@golden("a frame of another journal", "foreign")
def foreign_journal(place):
    frame = place.simple()[2]
    place.journal.joinpath("w0000-e0001.jzst").unlink()
    _strange(place, reframe(frame, {1: FOREIGN_ID}))


@golden("a frame of another writer", "foreign")
def foreign_writer(place):
    frame = place.simple()[2]
    place.file().unlink()
    _strange(place, reframe(frame, {2: 7}))


@golden("a frame of another epoch", "foreign")
def foreign_epoch(place):
    frame = place.simple()[2]
    place.file().unlink()
    _strange(place, reframe(frame, {3: 2}))


@golden("bytes that are no frame, between two", "foreign")
def foreign_bytes(place):
    _strange(place, b"some program wrote this here\n")


@golden("a skippable frame in a file that was not sealed", "foreign")
def foreign_skippable_frame(place):
    _strange(place, bytes.fromhex("5a2a4d18") + (8).to_bytes(4, "little") + b"skip me!")


@golden("an empty frame, which zstd takes and this format does not", "foreign")
def foreign_empty_frame(place):
    empty = xxhash.xxh64_digest(b"")[:3:-1]
    _strange(place, MAGIC + b"\x24\x00\x01\x00\x00" + empty)


@golden("a file of another journal under this one's next name", "foreign")
def foreign_file(place):
    parts = place.simple(3)
    place.put([reframe(part, {1: FOREIGN_ID, 3: 2}) for part in parts], epoch=2)


@golden("a copy of a file under the name of a later epoch", "foreign")
def foreign_copy(place):
    place.put(place.simple(3), epoch=2)


@golden("names in the folder that are no journal's")
def foreign_names(place):
    parts = place.simple(3)
    for name in ("w0000-e0002.jzst.bak", "w0-e1.jzst", "README", "w0000-e0003.JZST", ".w0000.lock"):
        (place.journal / name).write_bytes(b"".join(parts))


@golden("a file that holds no journal at all")
def no_journal(place):
    place.put([b"This is a text.\n" * 20])
