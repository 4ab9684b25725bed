"""Values come back from msgpack as they went in, and nothing raises for its type."""

from __future__ import annotations

import datetime as dt
import math
import struct
import threading
import tracemalloc

import msgpack
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


@pytest.mark.parametrize(
    ("dtype", "shape", "data"),
    [
        ("<f8", (10**10, 0), b""),
        ("<f8", (2, -1), b"\0" * 16),
        ("<f8", (1 << 13, 1 << 13), b"\0" * 8),
        ("<f8", (3,), b"\0" * 16),
        ("|b1", (2, 2), b"\1"),
    ],
)
def test_an_array_whose_shape_says_something_else(dtype, shape, data):
    """P5: a shape is a few bytes: what it says beyond the array's own is believed of no journal."""
    with pytest.raises(ValueError, match="shape"):
        Array(dtype, shape, data).tolist()


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


def test_what_a_users_class_raises_does_not_come_through():
    """Whatever the methods of a value raise, the value is recorded as data or as text."""

    class Table(dict):
        def __iter__(self):
            raise RuntimeError

        keys = items = __iter__

    class Number(int):
        def __int__(self):
            raise KeyError

    class Text(str):
        __slots__ = ()

        def encode(self, *args):
            raise KeyError

    class Zone(dt.tzinfo):
        def utcoffset(self, when):
            raise ZeroDivisionError

    class Strange:
        def __repr__(self):
            return "\ud800"

    assert unpack(pack([Table(a=1), Text("t")])) == [{"a": 1}, "t"]
    for value in (Number(3), dt.datetime(2020, 1, 1, tzinfo=Zone()), Strange()):
        assert type(unpack(pack({"x": [value]}))["x"][0]) is ObjectText


@pytest.mark.parametrize("kind", ["tuple", "frozenset", "both", "dict"])
def test_nothing_nested_ends_the_process(kind):
    """Extension values within one another are cut at 32: more would overflow a reader's C stack."""
    wrap = {
        "tuple": lambda inner, n: (inner,),
        "frozenset": lambda inner, n: frozenset([inner]),
        "both": lambda inner, n: (inner,) if n % 2 else [inner],
        "dict": lambda inner, n: {"a": (inner,)},
    }[kind]
    for depth in (20, 40, 300, 3000):
        value = 1
        for number in range(depth):
            value = wrap(value, number)
        read = unpack(pack(value))
        if depth == 20:
            assert read == value
    forged = b"\x01"
    for _ in range(2000):
        forged = msgpack.packb(msgpack.ExtType(3, b"\x91" + forged))
    unpack(forged)


def test_cycles_that_branch_end():
    """A node that knows its parent and its children is no endless tree."""
    node = {}
    node.update(parent=node, children=[node, node, {"parent": node}], data=(1, 2))
    read = unpack(pack(node))
    assert read["data"] == (1, 2)
    assert read["parent"] == ObjectText("builtins.dict", "<contains itself>")


def test_keys_that_are_no_unicode_stay_apart():
    """Two keys that differ come back as two keys, whatever they are made of."""
    value = {"\ud800": 1, "\\ud800": 2, ("\udce9", 3): 4, frozenset({1}): 5, dt.date(2020, 1, 1): 6}
    assert unpack(pack(value)) == value


def test_a_value_that_another_thread_changes_is_encoded_whole():
    """A dict that grows and shrinks meanwhile gives one value, never half of one."""
    shared = {number: (number,) for number in range(300)}
    done = threading.Event()

    def change():
        number = 0
        while not done.is_set():
            shared[number % 1000] = (number,)
            shared.pop(number * 7 % 1000, None)
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(60):
            assert type(unpack(pack({"info": shared}))["info"]) is dict
    finally:
        done.set()
        thread.join(100)


@pytest.mark.parametrize("lead", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_forged_lengths_cost_nothing(lead):
    """A length of two thousand million in a few bytes is refused before anything is allocated."""
    tracemalloc.start()
    try:
        for look in (unpack, unpack_all):
            with pytest.raises(ValueError):
                look(lead + b"\x7f\xff\xff\xff\x03")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
