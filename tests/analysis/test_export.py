"""Runs as files for other programs: JSON Lines and Parquet."""

from __future__ import annotations

import json
import math
import os
import struct
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.analysis import export
from sacred.analysis.details import event_lines
from sacred.analysis.export import parquet, run_lines, write_lines
from sacred.analysis.queries import query
from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter, RunFolder
from sacred.journal.errors import NotAJournalError, OutputPlaceError
from sacred.journal.seal import seal_run
from sacred.journal.spool import encode_record
from sacred.replayers.errors import QueryError
from sacred.replayers.relations import RELATIONS

duckdb = pytest.importorskip("duckdb")

#: Before its version 2 DuckDB writes one of the two zeros of a column for the other.
_ONE_ZERO = int(duckdb.__version__.split(".")[0]) < 2
EXTREME = [
    math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 0, 1, -1,
    (1 << 53) - 1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, (1 << 63) - 1, -(1 << 63), 1 << 64,
    10**30, True, None, "text", "", "\u00e4\n\0", [1, "x"],
]  # fmt: skip


def written(root, points=(), ends=True):
    """Write a run of some points, by this process; return its folder."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    about = {"name": "x", "command": "main", "config": {"lr": 0.5, "n": [1]}, "meta": {}}
    about |= {"experiment": {"name": "x"}, "host": {"hostname": "there"}}
    writer.append(EventType.RUN_STARTED, run_id=folder.number, **about)
    for point in points:
        writer.log_point(*point)
    if ends:
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
        writer.close()
    else:
        writer.flush()
    return folder


def damage(folder):
    """Change a bit in the middle of a run's file."""
    path = folder.journal / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def bits(number):
    """Return the bits of a float, or None."""
    if _ONE_ZERO and number == 0:
        number = 0.0
    return None if number is None else struct.pack("<d", number)


def in_journal(folder):
    """Return every point of a run as its journal has it: (writer, seq, name, step, value, time)."""
    points = []
    for event in JournalReader(folder.journal).read(order="time"):
        if event.type == EventType.METRIC_POINT:
            fields = event.fields
            point = (fields["metric"], fields["step"], fields["value"], event.time // 1000)
            points.append((event.writer, event.seq, *point))
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            columns = zip(table.names(), table.steps, table.values, table.times, strict=True)
            for row, point in enumerate(columns):
                points.append((event.writer, event.seq + row, *point))
    return points


def in_tables(value):
    """Return what the two columns of a step or value hold: bits, and the text where they do not do."""
    if value is None:
        return None, None
    if isinstance(value, float):
        return bits(value), None
    if isinstance(value, int):
        near = float(value)
        return bits(near), None if int(near) == value else str(value)
    return None, value.encode("utf-8", "replace").decode() if isinstance(
        value, str
    ) else json.dumps(value)


def the_points(path):
    """Return every point in a metrics.parquet, as ``in_journal`` and ``in_tables`` have them."""
    rows = duckdb.sql(
        "select writer, seq, metric, step, step_text, value, value_text, epoch_us(time) "
        f"from read_parquet('{path}')"
    ).fetchall()
    return [
        (writer, seq, name, (bits(step), st), (bits(value), vt), micros)
        for writer, seq, name, step, st, value, vt, micros in rows
    ]


def as_tables(points):
    return [
        (writer, seq, name, in_tables(step), in_tables(value), micros)
        for writer, seq, name, step, value, micros in points
    ]


# -- JSON Lines --------------------------------------------------------------------------------


def test_lines_of_one_run(root, tmp_path):
    """The lines are those of ``sacred events``, every event, also what is in the spool only."""
    folder = written(root, [("loss", n, n / 3) for n in range(100)], ends=False)
    (folder.journal / "w0000.spool").write_bytes(encode_record(1, 1, b"last words\n"))
    done = write_lines([folder], tmp_path / "run.jsonl", numbered=False)
    wanted = list(event_lines(folder, []))
    assert wanted == (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()
    assert (tmp_path / "run.jsonl", len(wanted), []) == done
    assert "last words" in wanted[-1]
    assert 103 == len(wanted)  # the file's beginning, the run's, a hundred points, the spool


def test_lines_of_several_runs(root, tmp_path):
    """Each line begins with its run, run after run; a folder that was claimed only has none."""
    folders = [written(root, [("loss", 0, math.nan)]), root.claim(), written(root)]
    lines = list(run_lines(folders, [], numbered=True))
    assert all(line.startswith('{"run": ') for line in lines)
    parsed = [json.loads(line) for line in lines]
    plain = [json.loads(line) for at in (0, 2) for line in event_lines(folders[at], [])]
    assert [1, 3] == sorted({line["run"] for line in parsed})
    assert plain == [{k: v for k, v in line.items() if k != "run"} for line in parsed]


def test_lines_of_damaged_runs(root, tmp_path):
    """All that is whole is there, what is lost is told by run; one that is no journal stops no other."""
    folders = [written(root, [("loss", n, n) for n in range(500)]) for _ in range(2)]
    damage(folders[0])
    foreign = root.claim()
    (foreign.journal / "w0000-e0001.jzst").write_bytes(b"something else")
    (foreign.path / "mine").write_text("x")
    bare = root.claim()
    (bare.path / "mine").write_text("x")
    done = write_lines([*folders, foreign, bare], tmp_path / "all.jsonl", numbered=True)
    runs = [json.loads(line)["run"] for line in open(tmp_path / "all.jsonl", encoding="utf-8")]
    assert {1, 2} == set(runs)
    assert 503 == runs.count(2)
    assert {"run 1", "run 3", "run 4"} == {problem[:5] for problem in done.problems}
    with pytest.raises(NotAJournalError):
        write_lines([bare], tmp_path / "one.jsonl", numbered=False)
    assert not (tmp_path / "one.jsonl").exists()


def test_lines_come_as_they_are_read(root, monkeypatch):
    """Nothing is held back: the first line is there before the second run is looked at."""
    folders = [written(root), written(root)]
    seen = []
    lines = export.event_lines
    monkeypatch.setattr(
        export,
        "event_lines",
        lambda folder, problems: seen.append(folder) or lines(folder, problems),
    )
    given = run_lines(folders, [], numbered=True)
    next(given)
    assert folders[:1] == seen


def test_text_that_is_no_unicode(root, tmp_path):
    """A file of lines is UTF-8 and JSON whatever a journal holds."""
    folder = written(root, [("m\udc80", 0, "\ud800x\u2028")])
    write_lines([folder], tmp_path / "run.jsonl", numbered=False)
    for line in (tmp_path / "run.jsonl").read_bytes().decode("utf-8").split("\n")[:-1]:
        json.loads(line)


# -- Parquet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("numpy", [True, False])
@pytest.mark.parametrize("sealed", [True, False])
def test_every_value(root, tmp_path, monkeypatch, numpy, sealed):
    """Steps and values come back bit for bit, and what no double says stands beside it."""
    points = [("m", step, value) for step in EXTREME for value in EXTREME]
    folder = written(root, points)
    if sealed:
        # This process lives: it says itself that the file is closed.
        assert ["sealed"] == [o.state for o in seal_run(folder, closed={0: 1})]
    if not numpy:
        monkeypatch.setitem(sys.modules, "numpy", None)
    done = parquet([folder], tmp_path / "tables")
    wanted = as_tables(in_journal(folder))
    assert len(points) == len(wanted) == done.rows["metrics"]
    assert wanted == the_points(tmp_path / "tables" / "metrics.parquet")


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "\u00e4"]),
            st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False),
            st.floats(allow_nan=False) | st.integers() | st.booleans() | st.text(max_size=3),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_points_property(root, tmp_path, points):
    """Whatever was logged is what the tables hold."""
    folder = written(root, points)
    parquet([folder], tmp_path / "tables", overwrite=True)
    wanted = [(name, in_tables(step), in_tables(value)) for name, step, value in points]
    found = the_points(tmp_path / "tables" / "metrics.parquet")
    assert wanted == [point[2:5] for point in found]


def test_tables_are_those_of_a_query(root, tmp_path):
    """A file for each relation, with its columns, types and rows, compressed by zstd."""
    from sacred.replayers.contract import write_run

    folder = root.claim()
    write_run(folder)
    written(root, [("loss", n, n / 7) for n in range(40)])
    root.claim()  # nothing in it yet: no row
    done = parquet(root.runs(), tmp_path / "tables")
    assert [] == done.problems
    assert [f"{name}.parquet" for name in sorted(RELATIONS)] == sorted(os.listdir(done.path))
    for name, relation in RELATIONS.items():
        file = f"read_parquet('{tmp_path}/tables/{name}.parquet')"
        described = duckdb.sql(f"describe from {file}").fetchall()
        assert [(c.name, c.type) for c in relation.columns] == [row[:2] for row in described]
        found = duckdb.sql(f"from {file}").fetchall()
        assert done.rows[name] == len(found)
        if name != "runs":
            assert query(f"from {name}", root).rows == found
        else:
            assert [1, 2] == [row[0] for row in found]
        told = duckdb.sql(
            f"select distinct compression from parquet_metadata('{tmp_path}/tables/{name}.parquet')"
        ).fetchall()
        assert told in ([("ZSTD",)], [])
    assert all(done.rows[name] for name in ("runs", "metrics", "output", "artifacts", "events"))


def test_another_program_reads_them(root, tmp_path):
    """pyarrow reads the same values, NaN as a NaN that is no null."""
    pq = pytest.importorskip("pyarrow.parquet")
    folder = written(root, [("m", n, value) for n, value in enumerate(EXTREME)])
    parquet([folder], tmp_path / "tables")
    table = pq.read_table(tmp_path / "tables" / "metrics.parquet").to_pydict()
    wanted = [in_tables(value) for value in EXTREME]
    values = zip(table["value"], table["value_text"], strict=True)
    assert wanted == [(bits(value), text) for value, text in values]


def test_tables_of_damaged_runs(root, tmp_path):
    """What could be read is there, and what is wrong is told, in ``runs`` too."""
    folders = [written(root, [("loss", n, n) for n in range(500)]) for _ in range(2)]
    damage(folders[0])
    done = parquet(folders, tmp_path / "tables")
    assert ["run 1: "] == [problem[:7] for problem in done.problems]
    rows = duckdb.sql(f"select run, problem from '{tmp_path}/tables/runs.parquet'").fetchall()
    assert [True, False] == [problem is not None for _, problem in rows]
    count = duckdb.sql(f"select count(*) from '{tmp_path}/tables/metrics.parquet' where run = 2")
    assert [(500,)] == count.fetchall()


def test_no_runs(root, tmp_path):
    """Of no runs the tables are there, and empty."""
    done = parquet([], tmp_path / "tables")
    assert {0} == set(done.rows.values())


def test_a_journal_in_no_root(tmp_path):
    """It is run 0 in every table."""
    writer = JournalWriter.create(tmp_path / "somewhere" / "journal")
    writer.log_point("loss", 0, 1)
    writer.close()
    parquet([RunFolder.at(tmp_path / "somewhere")], tmp_path / "tables")
    for name in ("runs", "metrics", "events"):
        found = duckdb.sql(f"select distinct run from '{tmp_path}/tables/{name}.parquet'")
        assert [(0,)] == found.fetchall()


def test_two_runs_of_one_number(tmp_path):
    """Runs of several roots that no row could tell apart are refused."""
    folders = [written(JournalRoot(tmp_path / name)) for name in ("a", "b")]
    with pytest.raises(QueryError, match="the same number"):
        parquet(folders, tmp_path / "tables")


@pytest.mark.parametrize("name", ["it's", "a b", "\u00e4", "*", "$(x)", '"', "a;b", "x.parquet"])
def test_names_of_folders(root, tmp_path, name):
    """Any name will do, and only that folder is made."""
    folder = written(root, [("loss", 0, 1)])
    parquet([folder], tmp_path / name)
    assert {"sacred_runs", name} == set(os.listdir(tmp_path))
    assert len(RELATIONS) == len(os.listdir(tmp_path / name))


def test_a_name_that_is_no_unicode(root, tmp_path):
    """DuckDB takes no such name: one sentence, nothing left."""
    place = os.path.join(os.fsencode(tmp_path), b"x\xff")
    with pytest.raises(OutputPlaceError, match="whose path is no UTF-8"):
        parquet([written(root)], os.fsdecode(place))
    assert ["sacred_runs"] == os.listdir(tmp_path)


def test_what_is_there_stays(root, tmp_path):
    """Another's folder or file is never replaced; an earlier export is, if one says so."""
    folder = written(root, [("loss", 0, 1)])
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "empty").mkdir()
    parquet([folder], tmp_path / "tables")
    for path, overwrite, sentence in [
        ("file", False, "is there already"),
        ("file", True, "is no folder"),
        ("full", False, "is there already"),
        ("full", True, "holds other things"),
        ("tables", False, "is there already"),
        ("no/tables", False, "does not exist"),
        ("sacred_runs/1", True, "lies among the journals"),
    ]:
        with pytest.raises(OutputPlaceError, match=sentence):
            parquet([folder], tmp_path / path, overwrite=overwrite)
    parquet([folder], tmp_path / "empty")
    done = parquet([folder, written(root, [("loss", 0, 1)])], tmp_path / "tables", overwrite=True)
    assert 2 == done.rows["metrics"]
    assert 2 == len(the_points(tmp_path / "tables" / "metrics.parquet"))
    assert {"sacred_runs", "file", "full", "empty", "tables"} == set(os.listdir(tmp_path))
    assert ["mine"] == os.listdir(tmp_path / "full")


def test_an_export_that_fails(root, tmp_path, monkeypatch):
    """Nothing is left of it, and what was there is as it was."""
    folder = written(root, [("loss", 0, 1)])
    parquet([folder], tmp_path / "tables")
    write_lines([folder], tmp_path / "lines", numbered=False)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        parquet([folder], tmp_path / "tables", overwrite=True)
    with pytest.raises(OSError, match="No space left"):
        write_lines([folder], tmp_path / "lines", numbered=False, overwrite=True)
    monkeypatch.undo()
    rename, calls = os.rename, []

    def fails_once(source, target):
        calls.append(target)
        if len(calls) == 2:
            full()
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails_once)
    with pytest.raises(OSError, match="No space left"):
        parquet([folder], tmp_path / "tables", overwrite=True)
    assert 3 == len(calls)
    assert before == {path: path.stat().st_ino for path in tmp_path.rglob("*")}


def test_csv_says_the_same_as_a_query(root, tmp_path):
    """Each table of CSV read back by DuckDB has the rows of the table itself, whatever stands in it."""
    texts = ['a "quoted", one', "two\nlines", "", "\u00e4", "nan"]
    folder = written(
        root, [("loss", step, value) for step, value in enumerate((1.5, 1 / 3, math.inf))]
    )
    written(root, [(text or "empty", 0, text) for text in texts])
    done = export.csv_tables([folder, *root.runs()[1:]], tmp_path / "csv")
    assert sorted(f"{name}.csv" for name in RELATIONS) == sorted(os.listdir(tmp_path / "csv"))
    for name, relation in RELATIONS.items():
        types = {column.name: column.type for column in relation.columns}
        path = str(tmp_path / "csv" / f"{name}.csv")
        found = duckdb.sql(
            f"from read_csv('{path}', header=true, allow_quoted_nulls=false, columns={types})"
        ).fetchall()
        told = query(f"from {name}", root).rows
        assert sorted(map(repr, told)) == sorted(map(repr, found))
        assert len(told) == done.rows[name]


def test_a_snapshot_is_the_tables(root, tmp_path):
    """A database opened by itself has every table with its rows and descriptions; nothing beside it."""
    folder = written(root, [("loss", step, step / 3) for step in range(20_000)])
    damage(written(root, [("hits", step, step) for step in range(5)]))
    done = export.snapshot(root.runs(), tmp_path / "runs.duckdb")
    assert done.problems
    with duckdb.connect(str(tmp_path / "runs.duckdb"), read_only=True) as connection:
        for name, count in done.rows.items():
            assert connection.execute(f"select count(*) from {name}").fetchall() == [(count,)]
        points = connection.execute("from metrics where run = 1 order by seq").fetchall()
        said = connection.execute(
            "select count(*) from duckdb_columns() where comment is null and not internal"
            " and table_name in (select table_name from duckdb_tables())"
        ).fetchall()
    assert points == query("from metrics where run = 1 order by seq", root).rows
    assert said == [(0,)]
    assert ["runs.duckdb", "sacred_runs"] == sorted(name for name in os.listdir(tmp_path))
    assert folder.number == 1


def test_a_snapshot_is_whole_or_not_there(root, tmp_path, monkeypatch):
    """What fails leaves nothing, and what was there as it was; nothing is written over unasked."""
    written(root, [("loss", 0, 1.0)])
    target = tmp_path / "runs.duckdb"
    target.write_bytes(b"mine")
    with pytest.raises(OutputPlaceError, match="is there already"):
        export.snapshot(root.runs(), target)
    monkeypatch.setattr(export.Loader, "load", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.snapshot(root.runs(), target, overwrite=True)
    assert b"mine" == target.read_bytes()
    monkeypatch.undo()
    with pytest.raises(OutputPlaceError, match="is no file"):
        export.snapshot(root.runs(), tmp_path, overwrite=True)
    export.snapshot(root.runs(), target, overwrite=True)
    assert ["runs.duckdb", "sacred_runs"] == sorted(os.listdir(tmp_path))


def test_who_waits_is_told_of_each_run(root, tmp_path):
    """Before each run: how many were read, how many there are, and which comes; once each."""
    for _ in range(3):
        written(root, [("loss", 0, 1.0)])
    seen = []

    def told(done, total, folder):
        seen.append((done, total, folder.number))

    for write in (export.csv_tables, export.parquet, export.snapshot):
        write(root.runs(), tmp_path / write.__name__, told=told)
        assert [(0, 3, 1), (1, 3, 2), (2, 3, 3)] == seen
        seen.clear()
    write_lines(root.runs(), tmp_path / "lines", numbered=True, told=told)
    assert [(0, 3, 1), (1, 3, 2), (2, 3, 3)] == seen
