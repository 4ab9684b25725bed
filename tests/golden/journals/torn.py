"""Golden journals whose end is not whole."""

from __future__ import annotations

import random

from golden.make import (
    golden,
    reframe,
)


def _torn(place, keep):
    parts = place.simple()
    place.put([*parts[:-1], keep(parts[-1])])


@golden("a file that ends inside the magic of a frame", "tail")
def torn_in_magic(place):
    _torn(place, lambda frame: frame[:3])


@golden("a file that ends inside the header of a frame", "tail")
def torn_in_header(place):
    _torn(place, lambda frame: frame[:5])


@golden("a file that ends inside the header of a block", "tail")
def torn_in_block_header(place):
    _torn(place, lambda frame: frame[:8])


@golden("a file that ends inside the content of a frame", "tail")
def torn_in_content(place):
    _torn(place, lambda frame: frame[: len(frame) // 2])


@golden("a file that ends inside the checksum of a frame", "tail")
def torn_in_checksum(place):
    _torn(place, lambda frame: frame[:-1])


@golden("a file that ends inside its first frame")
def torn_first_frame(place):
    place.put([place.simple()[0][:60]])


@golden("a file whose end is zeros, as after a power cut", "tail")
def torn_into_zeros(place):
    _torn(place, lambda frame: frame[:30] + bytes(4096 - 30))


@golden("a file whose end is garbage", "tail")
def torn_into_garbage(place):
    _torn(place, lambda _: random.Random(5).randbytes(600))


@golden("a torn end in two writers at once", "tail", "tail")
def torn_in_two_writers(place):
    parts = place.simple()
    place.put([*parts[:-1], parts[-1][:-1]])
    place.put([*[reframe(part, {2: 1}) for part in parts[:3]], parts[3][:40]], 1)
