"""The spool's byte format."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.spool import MAX_DATA, SpoolChunk, encode_record, read_spool

records = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.integers(0, 2**64 - 1), st.binary(min_size=1)),
    max_size=8,
)


def test_the_bytes_of_a_record():
    """R8: stream, time and length little endian, data."""
    assert bytes.fromhex("02 0807060504030201 03000000") + b"abc" == encode_record(
        2, 0x0102030405060708, b"abc"
    )


@pytest.mark.parametrize(
    ("stream", "data"), [(0, b"a"), (3, b"a"), (1, b""), (1, b"a" * (MAX_DATA + 1))]
)
def test_what_no_record_can_hold(stream, data):
    """R8: only streams 1 and 2, and 1 to 65536 bytes."""
    with pytest.raises(ValueError, match="no record can hold"):
        encode_record(stream, 0, data)


def write(path, items, rest=b""):
    path.write_bytes(b"".join(encode_record(*item) for item in items) + rest)


@settings(max_examples=100, deadline=None)
@given(items=records, cut=st.integers(0, 12))
def test_what_is_written_is_read(tmp_path_factory, items, cut):
    """R8: all whole records come back; a torn last one is not yet."""
    path = tmp_path_factory.mktemp("spool") / "spool"
    torn = encode_record(1, 0, b"torn")[:cut]
    write(path, items, torn)
    found = read_spool(path)
    assert items == [(chunk.stream, chunk.time_ns, chunk.data) for chunk in found.chunks]
    assert ("tail" if cut else "clean") == found.verdict
    assert path.stat().st_size - cut == found.next_offset


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=100), offset=st.integers(0, 100))
def test_no_bytes_are_an_exception(tmp_path_factory, data, offset):
    """R8: whatever the file holds, reading ends with a verdict."""
    path = tmp_path_factory.mktemp("spool") / "spool"
    path.write_bytes(data)
    found = read_spool(path, offset)
    assert found.verdict in {"clean", "tail", "damaged"}
    assert offset <= found.next_offset


def test_reading_goes_on_where_it_ended(tmp_path):
    """R8: `end` of a chunk and `next_offset` are places to go on from."""
    path = tmp_path / "spool"
    write(path, [(1, 5, b"abc"), (2, 6, b"de")])
    first = SpoolChunk(1, 0, 16, 5, b"abc")
    second = SpoolChunk(2, 16, 31, 6, b"de")
    assert ([first, second], 31, "clean") == read_spool(path)
    assert ([second], 31, "clean") == read_spool(path, first.end)
    assert ([], 31, "clean") == read_spool(path, 31)


def test_damage_stops_the_reader(tmp_path):
    """R8: what is before a damaged header is read, nothing behind it."""
    path = tmp_path / "spool"
    write(path, [(1, 0, b"good")], b"\x07" * 40 + encode_record(1, 0, b"behind"))
    found = read_spool(path)
    assert ([b"good"], 17, "damaged") == (
        [chunk.data for chunk in found.chunks],
        found.next_offset,
        found.verdict,
    )
    write(path, [], b"\x01" + bytes(8) + (MAX_DATA + 1).to_bytes(4, "little"))
    assert "damaged" == read_spool(path).verdict


def test_memory_is_bounded(tmp_path):
    """R8: at most about `max_bytes` are held, and nothing is skipped."""
    path = tmp_path / "spool"
    items = [(1, number, bytes([number]) * MAX_DATA) for number in range(20)]
    write(path, items)
    found, offset, verdict = [], 0, "more"
    while verdict == "more":
        chunks, offset, verdict = read_spool(path, offset, 100_000)
        assert 1 <= len(chunks) <= 2 or verdict == "clean"
        found += chunks
    assert items == [(chunk.stream, chunk.time_ns, chunk.data) for chunk in found]


def test_a_descriptor_keeps_its_position(tmp_path):
    """R8: reading by a descriptor does not move it."""
    path = tmp_path / "spool"
    write(path, [(1, 0, b"abc")])
    with open(path, "rb") as file:
        assert [b"abc"] == [chunk.data for chunk in read_spool(file.fileno()).chunks]
        assert 0 == os.lseek(file.fileno(), 0, os.SEEK_CUR)


def test_no_file(tmp_path):
    """R8: a spool that is not there is empty."""
    assert ([], 7, "missing") == read_spool(tmp_path / "none", 7)
