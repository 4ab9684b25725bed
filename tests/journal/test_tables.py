"""Metric tables are exact, with numpy and without."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.codec import pack, unpack
from sacred.journal.tables import MAX_ROWS, decode_table, decode_times, encode_table

ANY_FLOAT = st.integers(0, 2**64 - 1).map(lambda b: struct.unpack("<d", struct.pack("<Q", b))[0])
ODD = st.integers() | st.text(max_size=5) | st.none() | st.booleans() | st.floats()
ROW = st.tuples(
    st.sampled_from([f"m{i}" for i in range(300)]) | st.sampled_from(["a", "b"]),
    st.integers(-(2**63), 2**63 - 1) | ODD,
    st.integers(0, 2**62),
    ANY_FLOAT | ODD,
)


def _bits(value):
    return struct.pack("<d", value) if type(value) is float else (type(value), value)


@settings(max_examples=200, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=400))
def test_tables_are_bit_exact(rows):
    """Steps and values come back bit for bit with their types, times in microseconds."""
    names, steps, times, values = zip(*rows, strict=True)
    wire = unpack(pack(encode_table(names, steps, times, values)))
    table = decode_table(wire)
    assert table.names() == list(names)
    assert list(map(_bits, table.steps)) == list(map(_bits, steps))
    assert table.times == [time // 1000 for time in times]
    assert list(map(_bits, table.values)) == list(map(_bits, values))
    assert decode_times(wire) == table.times


@pytest.mark.parametrize("rows", [0, -1, MAX_ROWS + 1, None, True, "3"])
def test_times_of_an_odd_number_of_rows(rows):
    """Whoever reads the times alone is told as well."""
    with pytest.raises(ValueError, match="no or too many rows"):
        decode_times({**encode_table(("a",), (0,), (0,), (0.5,)), "n": rows})


def test_reading_needs_no_numpy(tmp_path):
    """A process without numpy reads the same table as one with it."""
    names = tuple("ab"[i % 2] for i in range(100))
    values = tuple(1 / (i + 1) for i in range(100))
    fields = encode_table(names, tuple(range(100)), tuple(range(100)), values)
    (tmp_path / "table").write_bytes(pack(fields))
    program = """
import sys
sys.modules["numpy"] = None
from sacred.journal.codec import unpack
from sacred.journal.tables import decode_table
print(decode_table(unpack(open(sys.argv[1], "rb").read())).values)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "table")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(list(values))


def test_floats_without_a_fraction_stay_floats():
    """3.0 is no 3 and -0.0 no 0, also where a whole column would fit into integers."""
    values = (3.0, -0.0, 0.0, -7.0, 2.0**60)
    table = decode_table(unpack(pack(encode_table(("a",) * 5, range(5), (0,) * 5, values))))
    assert [repr(value) for value in table.values] == [repr(value) for value in values]


def test_rows_can_be_cut_off():
    """A reader that enters a table in the middle sees the rest of it."""
    fields = encode_table(("a", "b", "a"), (1, 2, 3), (0, 0, 0), (1.0, 2.0, 3.0))
    table = decode_table(fields)
    assert table.from_row(1).names() == ["b", "a"]
    assert table.from_row(1).values == [2.0, 3.0]
    assert table.first_rows(1).values == [1.0]


@pytest.mark.parametrize(
    "change",
    [
        {"n": 0},
        {"n": MAX_ROWS + 1},
        {"n": 2**62},
        {"n": "3"},
        {"m": []},
        {"m": ["a"], "i": b"\0\1\0"},
        {"i": b"\0\0"},
        {"s": [7, b"\0" * 24]},
        {"s": [0, b"\0" * 16]},
        {"v": [1, b""]},
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(change):
    """Lengths, codes and indices that contradict each other are a ValueError, whatever they say."""
    fields = encode_table(("a", "b", "a"), (1, 2, 3), (0, 0, 0), (1.0, 2.0, 3.0))
    with pytest.raises(ValueError):
        decode_table({**fields, **change})


def test_numpys_numbers_go_into_the_lanes():
    """numpy's floats and ints are numbers like others: no list of what does not fit."""
    np = pytest.importorskip("numpy")
    values = tuple(np.float64(i / 3) for i in range(20))
    steps = tuple(np.int64(i) for i in range(20))
    fields = unpack(pack(encode_table(("a",) * 20, steps, tuple(range(20)), values)))
    assert "vs" not in fields
    assert "ss" not in fields
    table = decode_table(fields)
    assert table.values == [i / 3 for i in range(20)]
    assert table.steps == list(range(20))
    mixed = (np.float32(0.1), 1.5, np.int8(3), True, None, "x", 2**70, np.True_) * 3
    fields = unpack(pack(encode_table(("a",) * 24, mixed, tuple(range(24)), mixed)))
    read = decode_table(fields).values
    assert read == [float(np.float32(0.1)), 1.5, 3, True, None, "x", 2**70, True] * 3
    assert [type(value) for value in read[:8]] == [
        float,
        float,
        int,
        bool,
        type(None),
        str,
        int,
        bool,
    ]
