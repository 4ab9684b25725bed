"""Golden journals of values: msgpack's own, and each extension."""

from __future__ import annotations

import datetime as dt
import math
import struct

from golden.journals.samples import E
from golden.make import (
    float_of,
    golden,
)

from sacred.journal.codec import Array, BlobReference, ObjectText


def _values(place, *values):
    """A journal of these values as results, each a frame."""
    writer = place.writer()
    for value in values:
        place.append(writer, E.RESULT_CHANGED, result=value)
        writer.flush()
    writer.close()


@golden("everything that msgpack has by itself, at the bounds of its widths")
def values_plain(place):
    ints = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    ints += [-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63)]
    floats = [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
    sizes = (0, 1, 31, 32, 255, 256, 65535, 65536)
    _values(
        place,
        [None, True, False],
        ints,
        floats,
        ["x" * size for size in sizes],
        [b"\xff" * size for size in sizes],
        [[0] * size for size in (0, 15, 16)],
        b"".join(b"%d," % number for number in range(20_000)),
        dict.fromkeys(range(17)),
        {None: 1, True: 2, 2.5: 3, b"b": 4, "": 5, -1: 6, (1, "a"): 7},
    )


@golden("lists and maps within one another, 150 deep")
def values_deep(place):
    lists = maps = "core"
    for level in range(150):
        lists, maps = [lists], {f"level {level}": maps}
    _values(place, lists, maps)


@golden("NaN with payloads, as plain values")
def values_nan(place):
    bits = (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF, 0x7FF0000000000001)
    _values(place, *map(float_of, bits), [float_of(number) for number in bits])


@golden("extension 1: integers beyond 64 bits")
def ext_1_int(place):
    near = [2**64, -(2**63) - 1, 2**64 + 1, 2**127 - 1, 2**127, -(2**127), -(2**127) - 1]
    _values(place, *near, 10**100, -(10**100), [2**1000, {"x": -(2**1000)}])


@golden("extension 2: date and time, with an offset and without, before 1970 and after 2262")
def ext_2_datetime(place):
    at = dt.datetime
    east = dt.timezone(dt.timedelta(hours=5, minutes=45))
    west = dt.timezone(dt.timedelta(hours=-9, minutes=-30))
    _values(
        place,
        at(2026, 11, 21, 12, 0, 0, 123456),
        at(2026, 11, 21, 12, 0, tzinfo=dt.timezone.utc),
        at(2026, 11, 21, 12, 0, tzinfo=east),
        at(1969, 12, 31, 23, 59, 59, 999999, tzinfo=west),
        at(1, 1, 1),
        at(9999, 12, 31, 23, 59, 59, 999999),
    )


@golden("extension 3: tuples")
def ext_3_tuple(place):
    _values(place, (), (1,), (1, "a", None, (2.5, (b"x",))), [(1, 2), {"x": (3,)}], {(1, 2): 3})


@golden("extension 4: sets")
def ext_4_set(place):
    _values(place, set(), {3, 1, 2}, {"b", "a"}, frozenset({(1, 2), (0,)}), {1, "1", None, b"1"})


@golden("extension 5: arrays, also of kinds and shapes that few programs have")
def ext_5_array(place):
    _values(
        place,
        Array("<f8", (2, 3), struct.pack("<6d", *range(6))),
        Array("<f4", (3,), struct.pack("<3f", 0.5, -0.0, math.inf)),
        Array("|u1", (2, 2, 1), b"\0\1\2\xff"),
        Array("|b1", (3,), b"\1\0\1"),
        Array("<i8", (), struct.pack("<q", -5)),
        Array("<i2", (0, 4), b""),
        Array("<c16", (1,), struct.pack("<2d", 1, -1)),
        Array("<M8[ns]", (1,), struct.pack("<q", 1_700_000_000_000_000_000)),
        Array("<U3", (2,), "abcxy\0".encode("utf-32-le")),
        Array("<f2", (2,), struct.pack("<2e", 0.5, 65504.0)),
    )


@golden("extension 6: complex numbers")
def ext_6_complex(place):
    odd = complex(float_of(0x7FF800000000BEEF), -math.inf)
    _values(place, 1 + 2j, complex(-0.0, -0.0), odd, [0j])


@golden("extension 7: objects that have no data form")
def ext_7_object(place):
    _values(
        place,
        ObjectText("a.module.Model", "Model(größe=3)"),
        ObjectText("a.module.Long", "x" * 4096 + "..."),
        ObjectText("", ""),
        {"model": ObjectText("a.module.Model", "<odd \\ud800 text>")},
    )


@golden("extension 8: values kept as blobs; the blobs are not there")
def ext_8_blob(place):
    _values(
        place,
        BlobReference("sha256", "ab" * 32, 20_000_000, "msgpack"),
        BlobReference("sha256", "cd" * 32, 0),
        {"inside": BlobReference("sha256", "ef" * 32, 7, "zstd")},
    )


@golden("extension 9: text that is not Unicode")
def ext_9_text(place):
    _values(place, "a\ud800b", "\udcff\udcfe", ["file-\udce4.txt"], {"k\udcff": "\ud83d"})


@golden("extension 10: dates, times of day, durations")
def ext_10_date(place):
    _values(
        place,
        dt.date(2026, 11, 21),
        dt.date(1, 1, 1),
        dt.time(12, 30, 1, 500),
        dt.time(0, 0),
        dt.timedelta(days=-1, microseconds=1),
        dt.timedelta(days=999999999),
        dt.timedelta(0),
    )


@golden("extensions within one another: 31 tuples, and sets in tuples in sets")
def ext_nested(place):
    value = "core"
    for _ in range(31):
        value = (value,)
    _values(place, value, {(1, frozenset({(2, 2**70)}))}, [({"x": (1 + 1j,)},)])


@golden("a program's values too deep for the format: what is left of them")
def ext_too_deep(place):
    value = "core"
    for _ in range(40):
        value = (value,)
    _values(place, value)
