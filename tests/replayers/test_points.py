"""Metric points from journals into DuckDB: the arrays of numpy say what the lists say."""

from __future__ import annotations

import random
import sys

import duckdb
import pytest

from sacred.journal import EventType, JournalReader, JournalWriter
from sacred.journal.columns import RawTable
from sacred.journal.events import Event
from sacred.journal.tables import encode_table
from sacred.replayers import points
from sacred.replayers.relations import RELATIONS


@pytest.fixture
def connection():
    """A DuckDB with the empty relation ``metrics``."""
    found = duckdb.connect(":memory:")
    columns = ", ".join(f'"{c.name}" {c.type}' for c in RELATIONS["metrics"].columns)
    found.execute(f"create table metrics ({columns})")
    yield found
    found.close()


def rows_of(connection):
    """Return the rows; as text, because NaN equals nothing."""
    return [repr(row) for row in connection.execute("from metrics").fetchall()]


def table(rows, names, start=0):
    """Return the wire fields of a table with odd steps and values in it."""
    chance = random.Random(rows)
    odd = [None, "text", 1 << 70, (1 << 53) + 1, float("nan"), -0.0, True]
    steps = [chance.choice([row, row + 0.5, "s"]) for row in range(rows)]
    values = [chance.choice([1 / (row + 1), row, *odd]) for row in range(rows)]
    times = [(start + row) * 1000 for row in range(rows)]
    picked = [names[chance.randrange(len(names))] for _ in range(rows)]
    return encode_table(tuple(picked), tuple(steps), tuple(times), tuple(values))


def both_ways(connection, monkeypatch, folder):
    """Return what numpy's arrays and what Python's lists make of a journal."""

    def loaded():
        connection.execute("delete from metrics")
        loader = points.PointLoader(connection)
        for run in (7, 8):
            for event in JournalReader(folder, table_decoder=loader.decode).read(order="time"):
                loader.add(run, event)
        loader.flush()
        rows = rows_of(connection)
        half = len(rows) // 2
        assert rows[:half] == ["(7," + row.removeprefix("(8,") for row in rows[half:]]
        return rows[:half]

    with_numpy = loaded()
    monkeypatch.setitem(sys.modules, "numpy", None)
    return with_numpy, loaded()


def test_many_names(connection, monkeypatch, tmp_path):
    """Tables of several metrics, of more than 256 too, come row by row in order."""
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(2000):
        writer.log_point(f"m{number * 7 % 300}", number, number / 3)
    writer.close()
    arrays, lists = both_ways(connection, monkeypatch, tmp_path / "journal")
    assert 2000 == len(arrays)
    assert lists == arrays


def test_small_chunks(connection, monkeypatch, tmp_path):
    """Points and tables in turns, over several chunks, are all there once and in order."""
    monkeypatch.setattr(points, "_CHUNK", 100)
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(1000):
        writer.log_point("ab"[number % 2], number, float(number))
        if number % 90 < 5:
            writer.flush()
    writer.close()
    arrays, lists = both_ways(connection, monkeypatch, tmp_path / "journal")
    assert list(range(1000)) == [int(row.split(", ")[2]) for row in arrays]
    assert lists == arrays


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], [f"n{i}" for i in range(600)]])
@pytest.mark.parametrize("skip", [0, 1, 63, 127])
def test_rows_that_are_skipped(connection, names, skip):
    """R5: a table that is entered in its middle gives its last rows, with their numbers."""
    np = pytest.importorskip("numpy")
    wires = [table(128, names), table(700, names), table(128, names, start=5000)]

    def loaded(skips):
        connection.execute("delete from metrics")
        arrays = points._Arrays(np, connection)
        seq = 0
        for wire, rows in zip(wires, skips, strict=True):
            found = RawTable.of(wire)
            found = found.from_row(rows) if rows else found
            fields = {"table": found}
            arrays.add(1, Event(EventType.METRIC_TABLE, 0, seq + rows, 0, fields))
            seq += wire["n"]
        arrays.flush()
        return rows_of(connection)

    whole = loaded([0, 0, 0])
    assert 128 + 700 + 128 == len(whole)
    assert whole[:128] + whole[128 + skip : 828] + whole[828 + skip :] == loaded([0, skip, skip])


@pytest.mark.parametrize(
    "change",
    [
        {"n": 0},
        {"n": "5"},
        {"n": 1 << 40},
        {"m": []},
        {"m": ["a", "b"]},
        {"i": b"\x00" * 7},
        {"i": b"\x09" * 20},
        {"s": [0, b""]},
        {"v": [7, b"\x00" * 160]},
        {"vs": [[99, None]]},
        {"ss": [["x", None]]},
        {"x": 5},
    ],
)
def test_a_table_that_is_none(tmp_path, change):
    """A table that something else wrote is a verdict, and what stands beside it is read."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.MESSAGE, level="info", text="before")
    for step in range(20):
        writer.log_point("a", step, 1.0)
    writer.append(EventType.MESSAGE, level="info", text="behind")
    writer.close()
    decoded = []

    def decode(wire):
        decoded.append(wire)
        return RawTable.of({**wire, **change})

    reader = JournalReader(tmp_path / "journal", table_decoder=decode)
    texts = [event.fields["text"] for event in reader.read() if event.type == EventType.MESSAGE]
    assert 1 == len(decoded)
    assert ["before", "behind"] == texts
    assert "an event that is not one" in str(reader.verdicts[0])
