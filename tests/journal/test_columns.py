"""Metrics as numpy arrays: the same points, bit for bit, as the events say."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal import (
    EventType,
    JournalReader,
    JournalWriter,
    Position,
    RunFolder,
    columns,
    epoch_writer,
    read_metrics,
)
from sacred.journal.columns import RawTable
from sacred.journal.errors import NotAJournalError
from sacred.journal.position import WriterPosition
from sacred.journal.seal import seal_run

np = pytest.importorskip("numpy")

ANY_FLOAT = st.integers(0, 2**64 - 1).map(lambda b: struct.unpack("<d", struct.pack("<Q", b))[0])
NUMBER = st.integers(-(2**63), 2**63 - 1) | ANY_FLOAT | st.integers(-5, 5)
ODD = st.integers() | st.text(max_size=5) | st.none() | st.booleans()
POINT = st.tuples(st.sampled_from("abc"), NUMBER | ODD, NUMBER | ODD)
#: A part of a run: points that are written together, of which a few only have odd values.
PART = st.lists(POINT, max_size=4) | st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 99), ANY_FLOAT), min_size=16, max_size=60
)


def bits(value):
    """Return a value as what equals itself only: also NaN, also -0.0."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def points_of(folder):
    """Return the points of a journal as its events say them."""
    found = {}
    for event in JournalReader(folder).read(order="time"):
        fields = event.fields
        if event.type == EventType.METRIC_POINT:
            row = (fields["step"], fields["value"], event.time // 1000)
            found.setdefault(fields["metric"], []).append(row)
        elif event.type == EventType.METRIC_TABLE:
            table = fields["table"]
            rows = zip(table.steps, table.values, table.times, strict=True)
            for name, row in zip(table.names(), rows, strict=True):
                found.setdefault(name, []).append(row)
    return found


def exactly(array, wanted):
    """Tell whether an array holds these values: bit for bit, but for an integer as a float."""
    values = array.tolist()
    if array.dtype == np.float64:
        assert all(type(one) is float or float(one) == one for one in wanted)
        wanted = [float(one) for one in wanted]
    return list(map(bits, values)) == list(map(bits, wanted))


def check(folder):
    """Hold the arrays of a journal against its events."""
    wanted, found = points_of(folder), read_metrics(folder)
    assert sorted(wanted) == sorted(found)
    for name, rows in wanted.items():
        steps, values, times = zip(*rows, strict=True)
        assert exactly(found[name].steps, steps)
        assert exactly(found[name].values, values)
        assert found[name].times.dtype == np.dtype("M8[us]")
        assert found[name].times.view(np.int64).tolist() == list(times)
    for name in sorted(found)[:2]:
        assert list(read_metrics(folder, [name])) == [name]
    return found


def write(folder, parts):
    """Write points, part by part."""
    writer = JournalWriter.create(folder)
    for part in parts:
        for name, step, value in part:
            writer.log_point(name, step, value)
        writer.flush()
    writer.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(PART, min_size=1, max_size=8))
def test_arrays_say_what_the_events_say(tmp_path_factory, parts):
    """Live and sealed, single points between tables: every point once, in order, exact."""
    run = RunFolder(Path(tmp_path_factory.mktemp("run")) / "1")
    write(run.journal, parts)
    check(run.journal)
    assert [done.state for done in seal_run(run, closed={0: 1})] == ["sealed"]
    check(run.journal)


def test_types(tmp_path):
    """Integers are int64, floats float64, both together float64, what a float can not hold object."""
    rows = {
        "ints": [1, 2, 3],
        "floats": [0.5, -0.0, float("nan")],
        "both": [1, 0.5, 2],
        "large": [2**53 + 1, 0.5, 2],
        "huge": [2**70, 1, 2],
        "texts": [1.5, "two", None],
        "bools": [True, False, 1],
    }
    for points in (1, 20):  # as single points, and as tables
        folder = tmp_path / str(points)
        parts = [
            [(name, step, value) for _ in range(points) for step, value in enumerate(values)]
            for name, values in rows.items()
        ]
        write(folder, parts)
        found = check(folder)
        kinds = {name: arrays.values.dtype.name for name, arrays in found.items()}
        assert kinds == {
            "ints": "int64",
            "floats": "float64",
            "both": "float64",
            "large": "object",
            "huge": "object",
            "texts": "object",
            "bools": "object",
        }


def test_a_thousand_names(tmp_path):
    """Tables of many metrics are taken apart; metrics that are not wanted are left out."""
    chance = random.Random(5)
    writer = JournalWriter.create(tmp_path / "j")
    for step in range(3000):
        writer.log_point(f"m{chance.randrange(1000)}", step, chance.random())
        if step % 700 < 3:
            writer.flush()
    writer.close()
    check(tmp_path / "j")
    assert sorted(read_metrics(tmp_path / "j", ["m1", "m2", "no"])) == ["m1", "m2"]
    assert read_metrics(tmp_path / "j", []) == {}


def test_several_writers_are_merged_by_time(tmp_path, monkeypatch):
    """R10: points of several writers stand in the order of their times."""
    clock = iter(range(10**18, 2 * 10**18, 10**9))
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    writer = JournalWriter.create(tmp_path / "j", durability="event")
    writer.log_point("a", 0, 0.5)
    writer._after_fork_in_child()
    writer.log_point("a", 1, 1.5)
    writer.log_point("a", 2, 2.5)
    writer.close()
    found = check(tmp_path / "j")
    assert found["a"].steps.tolist() == [0, 1, 2]
    assert (np.diff(found["a"].times) > np.timedelta64(0, "us")).all()


def test_what_is_no_journal(tmp_path):
    """A folder without a journal is said to be one; a journal without points gives nothing."""
    with pytest.raises(NotAJournalError):
        read_metrics(tmp_path)
    JournalWriter.create(tmp_path / "j").close()
    assert read_metrics(tmp_path / "j") == {}


def test_tables_that_follow_each_other_are_one_array(tmp_path):
    """Of one metric, of one length, with nothing between; a point or an odd value keeps them apart."""
    rows = [("a", step, float(step)) for step in range(20)]
    odd = [*rows[:-1], ("a", 19, None)]
    write(tmp_path / "j", [rows, rows, rows, rows[:1], rows, odd, rows, rows])
    assert check(tmp_path / "j")["a"].steps.tolist() == [*range(20)] * 3 + [0] + [*range(20)] * 4


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_table_that_is_entered_in_the_middle(tmp_path, names):
    """R5: a reader that stands inside a merged table takes the rows from there on, and no other."""
    run = RunFolder(tmp_path / "1")
    writer = JournalWriter.create(run.journal)
    positions = []
    for part in range(2):
        for step in range(20):
            writer.log_point(names[step % len(names)], 20 * part + step, 0.5)
        writer.flush()
        reader = JournalReader(run.journal)
        list(reader.read())
        positions.append(reader.position)
    writer.close()
    assert [done.state for done in seal_run(run, closed={0: 1})] == ["sealed"]
    gathered = columns._Gathered(None, lambda: 1.0)
    for event in JournalReader(run.journal, positions[0], table_decoder=RawTable.of).read():
        if event.type == EventType.METRIC_TABLE:
            assert (event.fields["table"].rows, event.fields["table"].skip) == (20, 20)
            gathered.add_table(event)
    steps = [step for name in gathered.arrays().values() for step in name.steps.tolist()]
    assert sorted(steps) == list(range(20, 40))


@pytest.mark.parametrize("limit", [False, True])
def test_what_is_expected_may_be_wrong(tmp_path, monkeypatch, limit):
    """How many points are to come is guessed by the first; more, fewer and other ones come, too."""
    monkeypatch.setattr(columns, "_SETTLED_ROWS", 300)
    if limit:  # and where there is no memory for what is guessed, it goes without
        monkeypatch.setattr(columns, "_KEPT", 1)
        empty, refused = np.empty, []

        def refuse(size, dtype):
            if size > 9000:
                refused.append(size)
                raise MemoryError
            return empty(size, dtype)

        monkeypatch.setattr(np, "empty", refuse)
    even = [("a", 1, 0.5)] * 2000
    chance = random.Random(7)
    uneven = [("ab"[i % 2], chance.getrandbits(60), chance.random()) for i in range(2000)]
    for number, points in enumerate((even + uneven, uneven + even)):
        folder = tmp_path / str(number) / "journal"
        folder.parent.mkdir()
        write(folder, [points[at : at + 100] for at in range(0, len(points), 100)])
        check(folder)
    assert not limit or refused


def test_kinds_that_alternate_cost_no_more(tmp_path, monkeypatch):
    """An integer among floats now and then, as a metric of nothing is 0: memory is that of the points.

    It once was their square: each change of type began an array twice as large as all before.
    """
    monkeypatch.setattr(columns, "_SETTLED_ROWS", 512)
    monkeypatch.setattr(columns, "_KEPT", 1)
    count = 40_000
    values = [0 if step % 200 == 7 else step / 7 for step in range(count)]
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    for step, value in enumerate(values):
        writer.log_point("accuracy", step, value)
    writer.close()
    read_metrics(tmp_path / "1" / "journal")
    tracemalloc.start()
    try:
        found = read_metrics(tmp_path / "1" / "journal")["accuracy"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values == found.values.tolist()
    assert peak < 20 * 24 * count


WIRE = {"n": 2, "m": ["a"], "s": [0, bytes(16)], "x": [0, bytes(16)], "v": [0, bytes(16)]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n": 0}, "no or too many rows"),
        ({"n": "2"}, "no or too many rows"),
        ({"m": []}, "no or too many rows"),
        ({"s": [9, bytes(16)]}, "unknown kind or length"),
        ({"v": [0, bytes(15)]}, "unknown kind or length"),
        ({"m": ["a", "b"]}, "tells its metrics apart"),
        ({"m": ["a", "b"], "i": bytes(3)}, "different lengths"),
        ({"m": ["a", "b"], "i": b"\0\2"}, "a metric it has not"),
        ({"m": ["a", "b"], "i": struct.pack("<2I", 2, 0)}, "a metric it has not"),
        ({"vs": [[2, "odd"]]}, "beside its rows"),
        ({"ss": [[0.5, "odd"]]}, "beside its rows"),
    ],
)
def test_a_table_that_is_none(change, why):
    """What a damaged or forged table says is checked before anything is decoded."""
    assert RawTable.of(WIRE).rows == 2
    for index in (b"\1\0", struct.pack("<2I", 1, 0)):
        assert RawTable.of({**WIRE, "m": ["a", "b"], "i": index}).width == len(index) // 2
    with pytest.raises(ValueError, match=why):
        RawTable.of({**WIRE, **change})


def test_how_much_of_a_journal_was_read(tmp_path, monkeypatch):
    """By the bytes of all files of one writer; nothing is expected where that is not known."""
    monkeypatch.setattr(epoch_writer, "EPOCH_BYTES", 4000)
    folder = tmp_path / "journal"
    writer = JournalWriter.create(folder)
    for step in range(2000):
        writer.log_point("a", step, step / 7)
    writer.close()
    (folder / "w0000.spool").write_bytes(bytes(9999))
    assert len(list(folder.glob("*.jzst"))) > 1
    reader = JournalReader(folder)
    parts = [columns._part_read(reader) for _ in reader.read()]
    assert sorted(parts[:-1]) == parts[:-1]
    assert (True, True) == (parts[1] < 0.2, parts[-2] > 0.8)

    def standing(*positions):
        return SimpleNamespace(folder=folder, position=Position(dict(enumerate(positions))))

    at = WriterPosition(2, 700, 1, 1)
    assert 0 < columns._part_read(standing(at)) < 1
    assert 1 == columns._part_read(standing(at, at))

    def refuse(path):
        raise OSError("gone")

    monkeypatch.setattr(os.path, "getsize", refuse)
    assert 1 == columns._part_read(standing(at))
