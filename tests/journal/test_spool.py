"""The spool's byte format."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal import spool
from sacred.journal.spool import MAX_DATA, SpoolChunk, chunks_from, encode_record, read_spool

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


@pytest.mark.parametrize("begin", [200, 300_000])
def test_behind_the_hole_of_who_went_on_records_are_found(tmp_path, begin):
    """The journal lost what it had of the output before: what is behind the hole is there all the same."""
    path = tmp_path / "spool"
    with open(path, "wb") as file:
        file.seek(begin)
        file.write(encode_record(1, 5, b"behind"))
    end = path.stat().st_size
    for offset in (0, 17, begin):
        read = read_spool(path, offset)
        found = [(chunk.begin, chunk.end, chunk.data) for chunk in read.chunks]
        assert ([(begin, end, b"behind")], end, "clean") == (found, read.next_offset, read.verdict)
    with open(path, "rb") as file:
        assert b"behind" == read_spool(file.fileno(), 3).chunks[0].data
    path.write_bytes(bytes(200_000))  # nothing but zeros, as a loss of power leaves it
    assert ([], 5, "damaged") == tuple(read_spool(path, 5))
    path.write_bytes(encode_record(1, 5, b"before") + bytes(64) + encode_record(1, 5, b"behind"))
    assert "damaged" == read_spool(path, 19).verdict  # no hole of ours: nobody knows what is lost


def damaged(path, pieces):
    """Write a spool with a damaged header in every tenth record; return where these lie."""
    records = [
        encode_record(1, 1_700_000_000 * 10**9 + n, b"line %d\n" % n) for n in range(pieces * 10)
    ]
    data, places, at = bytearray(), [], 0
    for number, record in enumerate(records):
        if number % 10 == 5:
            places.append(at)
            record = b"\xff" + record[1:]
        data += record
        at += len(record)
    path.write_bytes(data)
    return places


@pytest.mark.parametrize("bound", ["_MOST_LOOKED", "_MOST_TRIED"])
def test_what_is_not_looked_through_is_named(tmp_path, monkeypatch, bound):
    """The search behind damage has an end: all that lies behind it is named, as far as the file goes."""
    path = tmp_path / "spool"
    places = damaged(path, 20)
    flaws = []
    assert 180 == len(list(chunks_from(path, 0, flaws)))
    assert places == [flaw.begin for flaw in flaws]
    monkeypatch.setattr(spool, bound, 30 if bound == "_MOST_TRIED" else 5 * (1 << 16))
    flaws = []
    read = list(chunks_from(path, 0, flaws))
    assert len(read) < 180
    assert (path.stat().st_size, True) == (flaws[-1].end, flaws[-1].at_end)
    assert places[: len(flaws)] == [flaw.begin for flaw in flaws]


def test_the_search_within_a_record_has_an_end(tmp_path, monkeypatch):
    """A record whose text looks like a thousand headers, and damage behind it: named, in no time."""
    path = tmp_path / "spool"
    looks = encode_record(1, 1_700_000_000 * 10**9, b"x") * 2000
    first = encode_record(1, 1_700_000_000 * 10**9, looks[:20000])
    path.write_bytes(first + b"\xff" * 100 + looks[:13])
    monkeypatch.setattr(spool, "_MOST_TRIED", 50)
    flaws = []
    read = list(chunks_from(path, 0, flaws))
    assert (1, True) == (len(read), flaws[-1].at_end)
    assert len(first) == flaws[-1].begin


def test_headers_that_lead_nowhere_are_not_all_tried(tmp_path, monkeypatch):
    """Damage that looks like headers and nothing else: the search ends, and all of it is named."""
    path = tmp_path / "spool"
    first = encode_record(1, 1_700_000_000 * 10**9, b"line\n")
    header = encode_record(1, 1_700_000_000 * 10**9, b"12345")[:13]
    path.write_bytes(first + b"\xff" * 20 + header * 8000)
    monkeypatch.setattr(spool, "_MOST_TRIED", 50)
    flaws = []
    assert 1 == len(list(chunks_from(path, 0, flaws)))
    assert [(len(first), path.stat().st_size, True)] == [
        (flaw.begin, flaw.end, flaw.at_end) for flaw in flaws
    ]
