"""Golden journals of metric points: rows and tables."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
import struct

from golden.journals.samples import E
from golden.make import (
    float_of,
    golden,
)


@golden("points that came one by one, each a frame")
def points_single(place):
    writer = place.writer()
    place.single(writer, [("loss", step, math.exp(-step / 7)) for step in range(12)])
    place.single(writer, [("accuracy", 2**33, 1), ("loss", 0, 10**400), ("accuracy", -1, -(2**70))])
    writer.close()


@golden("points that waited together as rows of one frame, their names interned")
def points_batched(place):
    writer = place.writer()
    place.points(writer, [(name, step, step / 3) for step in range(5) for name in ("a", "b", "c")])
    place.points(writer, [("b", 5, 1.5), ("a", 5, 2.5), ("b", 6, 1.25)])
    writer.close()


@golden("steps and values that are no ordinary numbers, as single points")
def points_odd(place):
    writer = place.writer()
    odd = [None, True, "text", "", b"bytes", 2**64, -(2**80), math.inf, -0.0, (1, 2), [1], {"a": 1}]
    odd += [float_of(0x7FF800000000BEEF), 1 + 2j, dt.date(2026, 1, 1)]
    for value in odd:
        place.single(writer, [("x", value, 1.0), ("x", 1, value)])
    writer.close()


def _table(place, points, **options):
    writer = place.writer(**options)
    points = list(points)
    place.points(writer, points)
    writer.close()


@golden("a table of one metric")
def table_one_metric(place):
    rng = random.Random(1)
    _table(place, [("loss", step, rng.gauss(0, 1)) for step in range(100)])


@golden("a table of several metrics in no order")
def table_several_metrics(place):
    rng = random.Random(2)
    names = ["loss", "accuracy", "lr", "größe"]
    _table(place, [(rng.choice(names), step, rng.gauss(0, 1)) for step in range(100)])


@golden("a table of 256 metrics, whose index has one byte a row")
def table_256_metrics(place):
    _table(place, [(f"m{row % 256}", row // 256, row / 4) for row in range(300)])


@golden("a table of 257 metrics, whose index has four bytes a row")
def table_257_metrics(place):
    _table(place, [(f"m{row % 257}", row // 257, row / 4) for row in range(300)])


@golden("a table with an index of four bytes a row where one would do")
def table_wide_index(place):
    from sacred.journal.tables import encode_table

    names = ("a", "b", "a", "a", "b") * 4
    fields = encode_table(names, tuple(range(20)), tuple(range(0, 20_000, 1000)), (0.5,) * 20)
    fields["i"] = struct.pack("<20I", *fields["i"])
    place.built([{"t": 0, "e": 17, **fields}])


@golden("a table of a single row, and one of two")
def table_of_one_row(place):
    from sacred.journal.tables import encode_table

    one = encode_table(("a",), (7,), (1_700_000_000_000_000_000,), (-0.0,))
    two = encode_table(("a", "b"), (7, 8.5), (1_700_000_000_000_001_000,) * 2, (math.nan, 2**63))
    place.built([{"t": 1, "e": 17, **one}, {"t": 2, "e": 17, **two}])


@golden("a table of NaN with payloads and signs")
def table_nan_payloads(place):
    bits = itertools.cycle((0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001))
    _table(place, [("x", step, float_of(next(bits) + (step << 8))) for step in range(40)])


@golden("a table of infinities, zeros of both signs and the smallest and largest numbers")
def table_extreme_floats(place):
    odd = (math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, 2.5e-308)
    _table(place, [("x", step, odd[step % 8]) for step in range(32)])


@golden("a table of integers as values, at the bounds of 64 bits")
def table_of_integers(place):
    odd = (0, -1, 1, 2**63 - 1, -(2**63), 2**62, -(2**62), 7)
    _table(place, [("x", odd[-1 - step % 8], odd[step % 8]) for step in range(32)])


@golden("a table with integers beyond 64 bits, beside the columns")
def table_big_integers(place):
    odd = (2**63, -(2**63) - 1, 2**64, 10**30, 5)
    _table(place, [("x", odd[step % 5], odd[-1 - step % 5]) for step in range(32)])


@golden("a table whose values are all text")
def table_of_text(place):
    _table(place, [("x", step, f"größe {step}") for step in range(20)])


@golden("a table with fractions as steps")
def table_float_steps(place):
    _table(place, [("x", step / 4, step / 8) for step in range(40)])


@golden("a table with everything beside its columns, first row and last among it")
def table_side_lists(place):
    odd = [None, True, "text", b"b", 2**70, (1, 2), [1, {"a": 1j}], math.nan, 3, "\ud800"]
    points = [(f"m{row % 3}", row, row / 2) for row in range(60)]
    for row, value in zip((0, 1, 13, 14, 30, 31, 45, 46, 58, 59), odd, strict=True):
        points[row] = (points[row][0], odd[-1 - row % 10], value)
    _table(place, points)


@golden("a table of as many integers as floats")
def table_half_integers(place):
    _table(place, [("x", step, step if step % 2 else step / 2) for step in range(40)])


@golden("a table whose clock was put back between its rows, and points of before 1970")
def table_of_odd_times(place):
    writer = place.writer()
    for step in range(40):
        if step % 10 == 5:
            place.clock.set_back(3600)
        writer._cells += ("x", step, 0.5, place.clock.time_ns())
    for step in range(20):
        writer._cells += ("x", step, 0.5, -1_000_000_001 * step)
    writer.flush()
    writer.append(E.MESSAGE, level="info", text="long ago", time_ns=-1)
    writer.close()


@golden("a table of 5,000 rows, in the frames it was cut into")
def table_large(place):
    rng = random.Random(3)
    walk = itertools.accumulate(rng.gauss(0, 1e-3) for _ in range(5000))
    points = [("ab"[row % 2], row // 2, round(value, 4)) for row, value in enumerate(walk)]
    _table(place, points)


@golden("points, a table, output and a control event in one frame")
def mixed_frame(place):
    from sacred.journal.tables import encode_table

    now = place.clock.time_ns
    table = encode_table(("a",) * 3, (1, 2, 3), (now(), now(), now()), (0.5, 0.25, "x"))
    place.built(
        [
            {"t": now(), "e": 16, "m": "b", "s": 1, "v": 0.5},
            {"t": now(), "e": 17, **table},
            {"t": now(), "e": 16, "m": "a", "s": 4, "v": 0.5},
            {"t": now(), "e": 20, "s": 1, "d": b"between\n"},
            {"t": now(), "e": 16, "m": 0, "s": 2, "v": 0.5},
            {"t": now(), "e": 16, "m": 1, "s": 5, "v": 0.5},
            {"t": now(), "e": 8},
        ],
        [{"t": now(), "e": 16, "m": "a", "s": 6, "v": 0.5}],
    )
