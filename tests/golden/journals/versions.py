"""Golden journals of later versions."""

from __future__ import annotations

from golden.make import (
    golden,
)


@golden("a later format that old readers may read: unknown fields, types from 128 on, an extension")
def future_minor(place):
    import msgpack

    now = place.clock.time_ns
    place.built(
        [place.message("with a new field", mood="good", m=[1, (2, 3)])],
        [{"t": now(), "e": 200, "what": 1}, {"t": now(), "e": 255, "x": {"y": b"z"}}],
        [{"t": now(), "e": 1 << 20, "far": True}],
        [{"t": now(), "e": 8, "d": 0, "load": [0.5, 0.25]}],
        [{"t": now(), "e": 16, "m": "loss", "s": 0, "v": 0.5}],
        [{"t": now(), "e": 26, "result": msgpack.ExtType(77, b"something new")}],
        [place.message("last")],
        began={"format": 2, "min_reader": 1, "opened_by": "a new reason", "cloud": "none"},
    )


@golden("a later format that needs a later reader", "NewerFormatError")
def future_major(place):
    place.built([place.message("unseen")], began={"format": 2, "min_reader": 2})


@golden("a feature that a reader of format 1 does not know", "NewerFormatError")
def future_feature(place):
    place.built([place.message("unseen")], began={"features": ["encrypted"]})


@golden("an unknown type below 128, behind events that are known", "NewerFormatError")
def future_event(place):
    place.built(
        [place.message("seen")], [{"t": 1, "e": 100, "what": "new"}], [place.message("unseen")]
    )


@golden(
    "a file that says it is sealed by a later version, with bytes behind it", "NewerFormatError"
)
def future_sealed(place):
    parts = place.built(
        [place.message("unseen")],
        began={"format": 2, "min_reader": 2, "opened_by": "seal", "features": ["columns"]},
    )
    place.put([*parts, bytes.fromhex("5a2a4d18") + (8).to_bytes(4, "little") + b"an index"])
