"""Values come back from msgpack as they went in, and nothing raises for its type."""

from __future__ import annotations

import datetime as dt
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.codec import Array, BlobReference, ObjectText, pack, unpack, unpack_all

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[]), max_size=20)
    | st.binary(max_size=40)
    | st.complex_numbers(allow_nan=False)
    | st.datetimes(timezones=st.just(dt.timezone.utc) | st.none())
    | st.timedeltas()
    | st.dates()
)
KEYS = st.text(max_size=10) | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.frozensets(st.integers() | st.text(max_size=5), max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_values_come_back(value):
    """Any nesting of Python's own values is read as it was written, types included."""
    read = unpack(pack(value))
    assert read == value
    assert type(read) is type(value)


@given(st.integers(0, 2**64 - 1))
def test_every_bit_of_a_float_comes_back(bits):
    """NaN payloads, -0.0 and infinities are kept bit for bit."""
    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
    assert struct.pack("<d", unpack(pack(value))) == struct.pack("<d", value)


def test_subclasses_become_what_they_are():
    """A subclass of a plain type is journalled as that type."""
    from collections import OrderedDict
    from enum import IntEnum

    class Colour(IntEnum):
        RED = 3

    class Text(str):
        __slots__ = ()

    assert unpack(pack([Colour.RED, Text("x"), OrderedDict(a=1), True])) == [3, "x", {"a": 1}, True]


def test_objects_become_text_that_names_them():
    """What has no data form is recorded as text, also when its repr raises or is long."""

    class Bad:
        def __repr__(self):
            raise RuntimeError("no")

    class Long:
        def __repr__(self):
            return "x" * 100_000

    for value in (Bad(), Long(), object(), print, dt):
        read = unpack(pack({"a": value}))["a"]
        assert type(read) is ObjectText
        assert len(read.text) < 5000


def test_a_cycle_and_a_deep_nesting_do_not_raise():
    """A structure that contains itself, or nests beyond msgpack's depth, is cut, not refused."""
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert unpack(pack(cycle))[0] == 1
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert isinstance(unpack(pack(deep)), list)


def test_surrogates_and_odd_keys_come_back():
    """Text that is not Unicode (file names) is kept, beside anything else."""
    value = {"name": "caf\udce9.txt", 3: [1, "\ud800"], "n": 2**80}
    assert unpack(pack(value)) == value


def test_numpy_values_come_back_as_numbers_and_arrays():
    """numpy scalars become Python numbers; arrays keep dtype, shape and bytes."""
    np = pytest.importorskip("numpy")
    read = unpack(pack([np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("x")]))
    assert read == [0.5, -3, True, "x"]
    array = np.arange(6, dtype=">i4").reshape(2, 3)
    read = unpack(pack(array))
    assert type(read) is Array
    assert read.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert unpack(pack(np.array(1.5))).tolist() == 1.5
    assert unpack(pack(np.zeros((2, 0)))).tolist() == [[], []]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(data):
    """Decoding foreign bytes gives a value or ValueError, nothing else, and builds no objects."""
    try:
        unpack_all(data)
    except ValueError:
        pass


def test_a_blob_reference_survives_and_a_false_one_is_none():
    """References are read back; a map that is none gives None."""
    reference = BlobReference("sha256", "0" * 64, 5, "msgpack")
    assert unpack(pack(reference)) == reference
    assert BlobReference.from_wire(reference.to_wire()) == reference
    assert BlobReference.from_wire({"digest": 3}) is None
    assert BlobReference.from_wire("x") is None


def test_non_finite_numbers_stay():
    """NaN and the infinities are values like others."""
    read = unpack(pack([math.nan, math.inf, -math.inf]))
    assert math.isnan(read[0])
    assert read[1:] == [math.inf, -math.inf]
