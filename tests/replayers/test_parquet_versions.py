"""Files of the Parquet view that grow: what a reader learnt of one version stays true in the next."""

from __future__ import annotations

import io
import os
import random

import duckdb
import pytest
from replayers.parquet_tree import ask, source

from sacred.journal.position import Position, WriterPosition
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import (
    Batch,
    FieldsChanged,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
)
from sacred.replayers.sinks.parquet import series
from sacred.replayers.sinks.parquet import sink as sink_module
from sacred.replayers.sinks.parquet.footer import FooterError, read_footer
from sacred.replayers.sinks.parquet.version import HELD, footer_of, write_version

KEY = RunKey("00000000000000aa", 1)


@pytest.fixture
def base(tmp_path):
    return tmp_path / "tables"


@pytest.fixture
def sink(base):
    """A sink that has a run."""
    found = load_sink(SinkSpec.parse(f"parquet:{base}"))
    found.open()
    found.claim(KEY)
    found.position(KEY)
    yield found
    found.close()


@pytest.fixture
def clock(monkeypatch):
    """The time that the view takes for now; a test moves it."""
    now = [1_700_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def batch(upto, *changes, complete=True):
    position = Position({0: WriterPosition(1, upto, upto * 7 + 1)})
    return Batch(KEY, changes, position, PROJECTOR, complete=complete)


def points(first, behind):
    seqs = list(range(first, behind))
    values = [seq / 2 for seq in seqs]
    return PointsAdded("m", [0] * len(seqs), seqs, seqs, values, [10**15 + seq for seq in seqs])


def begun(**fields):
    return FieldsChanged({"experiment": {"name": "x"}, "status": "RUNNING", **fields})


def write_rows(path, first, behind):
    path.unlink(missing_ok=True)
    duckdb.execute(
        f"copy (select i as seq, 'row ' || i as text, i / 3 as value from range({first}, {behind}) t(i)) "
        f"to '{path}' (format parquet, compression zstd, use_tmp_file false, write_bloom_filter false)"
    )
    return str(path)


def groups_of(content):
    """The bytes of each row group, by where they begin."""
    groups = read_footer(io.BytesIO(content)).groups
    return {group.begin: content[group.begin : group.end] for group in groups}


def is_true_of(old, new):
    """Whether a reader who has the footer of one version finds its rows in another."""
    return all(new[at : at + len(held)] == held for at, held in groups_of(old).items())


# -- one file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_a_file_through_its_versions(tmp_path, seed):
    """The rows are right, every footer of the last five minutes is, and room is used again."""
    chance = random.Random(seed)
    now, path = 1000.0, tmp_path / "part.parquet"
    rows: list[int] = []
    written = largest = 0
    versions: list[tuple[float, bytes]] = []
    for _ in range(120):
        now += chance.choice([0.0, 1.0, 30.0, 200.0])
        keep = chance.choice([len(rows), chance.randint(0, len(rows))])
        first = sum(rows[:keep])
        behind = max(written, first) + chance.randint(0, 60)
        added = write_rows(tmp_path / "added", first, behind)
        rows = [*rows[:keep], behind - first] if behind > first else rows[:keep]
        written = behind
        before = str(path) if path.exists() else None
        write_version(str(tmp_path / "next"), before, keep, added, now)
        new = (tmp_path / "next").read_bytes()
        for when, old in versions:
            assert now - when > HELD or is_true_of(old, new)
        os.replace(tmp_path / "next", path)
        versions.append((now, new))
        largest = max(largest, len(new))
        found = ask("select seq, text from read_parquet(?)", str(path))
        assert found == [(seq, f"row {seq}") for seq in range(written)]
    assert largest < 150_000
    footer = footer_of(str(path))
    assert [group.rows for group in footer.groups] == rows


def test_pyarrow_reads_a_version_by_an_earlier_footer(tmp_path):
    """A program that kept the footer of an earlier version gets that version's rows from the file."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "part.parquet"
    footers = []
    for number in range(12):
        keep = 0 if number % 4 == 3 else number % 4
        first = 10 * number if keep else 0
        added = write_rows(tmp_path / "added", first, 10 * number + 10)
        write_version(str(tmp_path / "next"), str(path) if number else None, keep, added, 100.0)
        os.replace(tmp_path / "next", path)
        known = parquet.ParquetFile(path)
        assert known.metadata.num_row_groups == keep + 1
        footers.append((known.metadata, known.read().to_pydict()))
    for metadata, rows in footers:
        assert parquet.ParquetFile(path, metadata=metadata).read().to_pydict() == rows


def test_nothing_is_held_for_ever(tmp_path):
    """Five minutes later the room of what no footer refers to is free, and the file short again."""
    path, now = tmp_path / "part.parquet", 1000.0
    sizes = []
    turns = [write_rows(tmp_path / f"added-{number}", 0, 50 + number) for number in range(2)]
    for number in range(400):
        added = turns[number % 2]
        write_version(str(tmp_path / "next"), str(path) if number else None, 0, added, now)
        os.replace(tmp_path / "next", path)
        sizes.append(path.stat().st_size)
        now += 10.0
    assert max(sizes[80:]) < max(sizes[:80]) + 100
    write_version(str(tmp_path / "next"), str(path), 0, added, now + 2 * HELD)
    write_version(str(tmp_path / "last"), str(tmp_path / "next"), 0, added, now + 4 * HELD)
    assert (tmp_path / "last").stat().st_size < 3 * os.path.getsize(added)


def test_a_clock_that_was_wrong(tmp_path):
    """What is said to be out of use since a time to come is given up five minutes from now."""
    path = tmp_path / "part.parquet"
    for number, now in enumerate((1e10, 1e10 + 20, 1000.0, 1001.0)):
        added = write_rows(tmp_path / "added", 0, 500)
        write_version(str(tmp_path / "next"), str(path) if number else None, 0, added, now)
        os.replace(tmp_path / "next", path)
    write_version(str(tmp_path / "next"), str(path), 0, added, 1000.0 + HELD + 60)
    write_version(str(tmp_path / "last"), str(tmp_path / "next"), 0, added, 1000.0 + 3 * HELD)
    assert (tmp_path / "last").stat().st_size < 2 * os.path.getsize(added)


@pytest.mark.parametrize("seed", range(3))
def test_a_footer_that_is_damaged(tmp_path, seed):
    """Whatever stands in place of a footer is read, or refused with the one error there is for it."""
    chance = random.Random(seed)
    added = write_rows(tmp_path / "added", 0, 50)
    write_version(str(tmp_path / "part"), None, 0, added, 0.0)
    write_version(str(tmp_path / "next"), str(tmp_path / "part"), 1, added, 0.0)
    whole = (tmp_path / "next").read_bytes()
    begin = footer_of(str(tmp_path / "next")).begin
    refused = 0
    for _ in range(1500):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(begin, len(content))] = chance.randrange(256)
        content = content[: chance.choice([len(content), chance.randint(0, len(content))])]
        try:
            read_footer(io.BytesIO(bytes(content)))
        except FooterError:
            refused += 1
    assert refused > 700


# -- a tree ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_no_version_of_a_tree_contradicts_another(sink, base, clock, monkeypatch, seed):
    """Of every table, through points, output, configurations and runs that are written anew."""
    monkeypatch.setattr(series, "ROW_GROUP", 100)
    monkeypatch.setattr(series, "_PART", 300)
    monkeypatch.setattr(series, "_LONGEST_PART", 900)
    chance = random.Random(seed)
    versions: dict[str, list[tuple[float, bytes]]] = {}
    replace = os.replace

    def watched(source, target):
        replace(source, target)
        name = os.path.relpath(target, base)
        if name.endswith(".parquet") and not name.startswith("."):
            with open(target, "rb") as file:
                new = file.read()
            for when, old in versions.setdefault(name, []):
                assert clock[0] - when > HELD or is_true_of(old, new), name
            versions[name].append((clock[0], new))

    monkeypatch.setattr(os, "replace", watched)
    for turns in (25, 3, 15):
        upto, text = 1, ""
        for turn in range(turns):
            clock[0] += chance.choice([0.1, 5.0, 100.0])
            behind = upto + chance.randint(0, 40)
            kept = text[: len(text) - (chance.random() < 0.3) * chance.randint(0, 50)]
            added = "".join(chance.choice("ab\n") for _ in range(chance.randint(0, 60)))
            sink.write(
                batch(
                    behind,
                    begun(config={"turn": turn, "text": "x" * chance.randint(0, 99)}),
                    points(upto, behind),
                    OutputChanged(len(kept), added),
                    complete=chance.random() < 0.5,
                )
            )
            upto, text = behind, kept + added
        sink.write(batch(upto))
        found = ask(f"select seq from {source(base, 'metrics')} order by seq")
        assert [seq for (seq,) in found] == list(range(1, upto))
        lines = [line for (line,) in ask(f"select text from {source(base, 'output')}")]
        assert lines == (
            text.split("\n")[:-1] if text.endswith("\n") or not text else text.split("\n")
        )
        assert ask(f"select points from {source(base, 'runs')}") == [(upto - 1,)]
        sink.reset(KEY)
        sink.position(KEY)
    assert max(map(len, versions.values())) > 10


def test_many_small_batches(sink, base, clock):
    """A run that is written again and again has few row groups, and no file that is much too large."""
    upto, text = 1, 0
    for _ in range(120):
        clock[0] += 1.0
        line = f"line {upto}\n"
        sink.write(batch(upto + 3, begun(), points(upto, upto + 3), OutputChanged(text, line)))
        upto, text = upto + 3, text + len(line)
    for table, rows in (("metrics", 360), ("output", 120)):
        (path,) = base.glob(f"{table}/experiment=x/run=1/*")
        footer = footer_of(str(path))
        assert footer.rows == rows
        assert len(footer.groups) <= 17
        assert path.stat().st_size < 200_000
    assert sink.weight < 1 << 19


def test_the_numbers_of_a_run_may_wait(sink, base, clock):
    """A run's row is not written for each point: when they are twice as many, a minute later, at the end."""

    def told(step, *changes, complete=False):
        nonlocal upto
        clock[0] += step
        sink.write(batch(upto + 1, *changes, points(upto, upto + 1), complete=complete))
        upto += 1
        ((number,),) = ask(f"select points from {source(base, 'runs')}")
        return number

    upto = 1
    assert told(0, begun(), complete=True) == 1
    assert [told(1) for _ in range(6)] == [2, 2, 4, 4, 4, 4]
    assert told(sink_module._TOLD) == 8
    assert told(1) == 8
    assert told(1, FieldsChanged({"status": "COMPLETED"})) == 10
    assert told(1) == 10
    assert told(1, complete=True) == 12


def test_a_row_that_waited_is_told_by_the_next(sink, base, clock):
    """Where a replayer was killed before it told a run's numbers, the next one that looks does."""
    sink.write(batch(10, begun(), points(1, 10)))
    sink.write(batch(12, points(10, 12), complete=False))
    again = load_sink(sink.spec)
    again.open()
    again.position(KEY)
    assert ask(f"select points from {source(base, 'runs')}") == [(9,)]
    clock[0] += 100
    again.position(KEY)
    assert ask(f"select points from {source(base, 'runs')}") == [(11,)]
    again.close()
