"""The Parquet view: what its readers see, at any moment and after any kill."""

from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from replayers.parquet_tree import TABLES, ask, source, tables_of

from sacred.analysis.queries import query
from sacred.journal.events import EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.root import JournalRoot
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract import write_run
from sacred.replayers.errors import SinkSpecError, TerminalSinkError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.registry import load_sink
from sacred.replayers.relations import RELATIONS
from sacred.replayers.replay import replay
from sacred.replayers.sink import (
    Batch,
    FieldsChanged,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
)
from sacred.replayers.sinks.parquet import series, tables
from sacred.replayers.sinks.parquet.layout import partition

KEY = RunKey("00000000000000aa", 1)


@pytest.fixture
def root(tmp_path):
    return JournalRoot(tmp_path / "runs")


@pytest.fixture
def base(tmp_path):
    return tmp_path / "tables"


@pytest.fixture
def spec(base):
    return SinkSpec.parse(f"parquet:{base}")


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few rows, so that a run has many."""
    monkeypatch.setattr(series, "ROW_GROUP", 16)
    monkeypatch.setattr(series, "_PART", 60)
    monkeypatch.setattr(series, "_LONGEST_PART", 200)


@pytest.fixture
def sink(spec):
    """A sink that has a run."""
    found = load_sink(spec)
    found.open()
    found.claim(KEY)
    found.position(KEY)
    yield found
    found.close()


def shown(table):
    """The columns of a relation that a view of it has: not what is said of a run when it is over."""
    return [c for c in RELATIONS[table].columns if c.name not in {"tags", "notes", "rerun_of"}]


def follow(folder, spec, **options):
    follower = Follower(folder, load_sink(spec), spec, **options)
    try:
        return follower.run_once()
    finally:
        follower.close()


def batch(upto, *changes, complete=True):
    position = Position({0: WriterPosition(1, upto, upto * 7 + 1)})
    return Batch(KEY, changes, position, PROJECTOR, complete=complete)


def points(first, behind, metric="m"):
    """Points with these sequence numbers."""
    seqs = list(range(first, behind))
    values = [seq / 2 for seq in seqs]
    return PointsAdded(metric, [0] * len(seqs), seqs, seqs, values, [10**15 + seq for seq in seqs])


def seqs(base):
    return [row[0] for row in ask(f"select seq from {source(base, 'metrics')} order by seq")]


def lines(base):
    return [row[0] for row in ask(f"select text from {source(base, 'output')}")]


def begun(name="x"):
    return FieldsChanged({"experiment": {"name": name}, "status": "RUNNING"})


# -- the tables are those of a query ---------------------------------------------------------------


def write_everything(folder):
    """A run with values of every type that a journal holds."""
    writer = JournalWriter.create(folder.journal, durability="process")
    config = {
        "whole": 3,
        "huge": 2**100,
        "max": 2**63 - 1,
        "small": -(2**63),
        "float": 0.1,
        "nan": math.nan,
        "inf": math.inf,
        "less": -math.inf,
        "zero": -0.0,
        "truth": True,
        "none": None,
        "text": "ein Text, 日本語 \U0001f642 'quoted' \"too\" \x00 end",
        "list": [1, [2.5, None], {"a": math.nan}],
        "empty": {},
        "tuple": (1, 2),
        "bytes": b"\xff\x00",
        "a.dotted": {"ü": 1, "": 2},
    }
    writer.append(
        EventType.RUN_STARTED,
        run_id=folder.number,
        name="ein Versuch/50%",
        command="main",
        config=config,
        meta={},
        experiment={"name": "ein Versuch/50%", "base_dir": "/b"},
        host={"hostname": "höst", "cpus": 4, "gpus": {"gpus": [{"model": "x"}]}},
    )
    odd = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1]
    odd += [2**53 + 1, -(2**64), 2**2000, True, None, "text", "日本", {"a": [1]}, [math.nan], ""]
    for step, value in enumerate(odd):
        writer.log_point("odd", step, value)
    for step in [*odd, 0.5, -3]:
        writer.log_point("name/with.dots and ü\x00'\"", step, 1.0)
    writer.append_output(1, "erste Zeile ä\nzweite\n".encode())
    writer.append(
        EventType.RUN_ENDED, how="completed", status="COMPLETED", result={"a": [1, math.inf]}
    )
    writer.close()


@pytest.mark.parametrize(
    "table", ["metrics", "config", "hosts", "artifacts", "resources", "sources"]
)
def test_a_table_is_the_relation_of_a_query(root, spec, base, table):
    """Names, types and rows are those that ``sacred query`` gives, with values of every type."""
    for write in (write_everything, write_run):
        folder = root.claim()
        write(folder)
        assert follow(folder, spec).state == "current"
    names = ", ".join(f'"{column.name}"' for column in shown(table))
    told = query(f"select {names} from {table} order by all", root).rows
    seen = ask(f"select {names} from {source(base, table)} order by all")
    assert told
    assert repr(seen) == repr(told)  # a NaN is like itself there, and -0.0 is not 0.0
    described = ask(f"describe select {names} from {source(base, table)}")
    assert [(row[0], row[1]) for row in described] == [
        (column.name, column.type) for column in shown(table)
    ]


def test_the_row_of_a_run_is_that_of_a_query(root, spec, base):
    """So is ``runs``; but for ``duration`` of one that died, and ``problem``, which a view can not know."""
    for write in (write_everything, write_run):
        folder = root.claim()
        write(folder)
        follow(folder, spec)
    names = ", ".join(column.name for column in shown("runs"))
    names = names.replace("duration", "round(duration, 4)")  # a view's times are microseconds
    told = query(f"select {names} from runs order by run", root).rows
    assert repr(ask(f"select {names} from {source(base, 'runs')} order by run")) == repr(told)


def test_output_is_there_line_by_line(root, spec, base):
    """The captured output is there in its order, a row a line."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    for number in range(100):
        writer.append_output(1, f"line {number} ".encode())
        writer.append_output(2, "ä\n\nend".encode())
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    follow(folder, spec)
    text = "first line: ä\n" + "".join(f"line {number} ä\n\nend" for number in range(100))
    assert lines(base) == text.split("\n")


def test_columns_are_there_before_any_run(spec, base):
    """A view that was opened and has no run yet answers every query, with no rows."""
    sink = load_sink(spec)
    sink.open()
    sink.close()
    for table in TABLES:
        names = ", ".join(f'"{column.name}"' for column in shown(table))
        assert ask(f"select {names}, experiment from {source(base, table)}") == []


def test_a_table_appears_with_its_file(spec, base, monkeypatch):
    """There is no moment in which a table's folder is there and no file in it, which ends a query."""
    looks = []

    def watched(call):
        def wrapped(*args, **options):
            result = call(*args, **options)
            there = [table for table in TABLES if (base / table).exists()]
            assert all(list((base / table).rglob("*.parquet")) for table in there)
            looks.append(len(there))
            return result

        return wrapped

    for name in ("rename", "replace", "makedirs", "mkdir"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    sink = load_sink(spec)
    sink.open()
    sink.close()
    assert set(looks) == set(range(len(TABLES) + 1))


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "..",
        "x=y",
        "50%",
        "ü 日本",
        "q'uo\"te",
        "nul\x00",
        "line\nbreak",
        "[a]*?",
        "2024",
        "~",
        "null",
    ],
)
def test_names_of_experiments(root, spec, base, name):
    """Whatever an experiment is called, its name is what a query finds in ``experiment``."""
    folder = root.claim()
    write_run(folder, name=name)
    assert follow(folder, spec).error is None
    (row,) = ask(f"select experiment, name, run from {source(base, 'runs')}")
    assert row == (name, name, 1)
    assert ask(f"select distinct experiment from {source(base, 'metrics')}") == [(name,)]


@pytest.mark.parametrize("name", ["n" * 300, "日" * 200, "%" * 100, "/" * 81 + "ü" * 80])
def test_a_name_that_no_folder_can_have(root, spec, base, name):
    """An over-long name is cut in the folder and whole in ``runs.name``; two that begin alike differ."""
    for one in (name, name + "2"):
        folder = root.claim()
        write_run(folder, name=one)
        assert follow(folder, spec).error is None
    rows = ask(f"select experiment, name from {source(base, 'runs')} order by run")
    assert [row[1] for row in rows] == [name, name + "2"]
    assert rows[0][0] != rows[1][0]
    assert all(row[0][:20] == name[:20] for row in rows)
    assert max(len(part.encode()) for part in partition(name, 1).split("/")) <= 255


def test_a_folder_of_any_name(root, tmp_path):
    """The letters of a path that a glob or a statement means something by are letters."""
    base = tmp_path / "it's [a] *tree*? {x,y} ü"
    folder = root.claim()
    writer = write_run(folder, ends=False)
    spec = SinkSpec.parse(f"parquet:{base}")
    assert follow(folder, spec).error is None
    writer.log_point("loss", 99, 1.0)
    writer.append_output(1, b"more\n")
    writer.close()
    assert follow(folder, spec).error is None
    found = [path for path in base.glob("metrics/**/*.parquet") if "_schema" not in str(path)]
    shutil.copytree(base, tmp_path / "plain")
    assert len(found) == 1
    assert ask(f"select count(*) from {source(tmp_path / 'plain', 'metrics')}") == [(68,)]


# -- other readers ---------------------------------------------------------------------------------


def test_pyarrow_and_pandas_read_it(root, spec, base):
    """The folders of a table are a dataset for pyarrow, and for pandas with it."""
    dataset = pytest.importorskip("pyarrow.dataset")
    pandas = pytest.importorskip("pandas")
    for write in (write_everything, write_run):
        folder = root.claim()
        write(folder)
        follow(folder, spec)
    for table in TABLES:
        count = ask(f"select count(*) from {source(base, table)}")[0][0]
        found = dataset.dataset(base / table, partitioning="hive").to_table()
        assert found.num_rows == count
        assert {"experiment", "run"} <= set(found.column_names)
        assert len(pandas.read_parquet(base / table)) == count
    frame = pandas.read_parquet(base / "metrics", filters=[("run", "=", 2)])
    assert set(frame["metric"]) == {"loss", "dotted.name"}


# -- parts -----------------------------------------------------------------------------------------


def test_a_long_run_is_cut_into_parts(small_parts, sink, base):
    """Rows go into the last part until it is full; a row never leaves its part."""
    where = {}
    upto, seed = 1, random.Random(4)
    sink.write(batch(1, begun()))
    while upto < 300:
        behind = upto + seed.randint(1, 25)
        sink.write(batch(behind, points(upto, behind)))
        upto = behind
        found = ask(f"select seq, filename from {source(base, 'metrics')[:-1]}, filename = true)")
        assert sorted(seq for seq, _ in found) == list(range(1, upto))
        for seq, name in found:
            assert where.setdefault(seq, name) == name
    sizes = ask(
        f"select count(*) from {source(base, 'metrics')[:-1]}, filename = true) group by filename"
    )
    assert max(size for (size,) in sizes) <= 16
    assert 300 / 16 <= len(sizes) <= 300 / 8 + 2


def test_a_batch_larger_than_a_part(small_parts, sink, base):
    """So many points at once as several parts hold arrive as several parts."""
    sink.write(batch(100, begun(), points(1, 100)))
    sink.write(batch(200, points(50, 200)))  # half of it comes again
    assert seqs(base) == list(range(1, 200))


@pytest.mark.parametrize("seed", range(12))
def test_output_that_is_taken_back(small_parts, sink, base, seed):
    """Whatever is kept of the output and added, the rows are the lines of what results."""
    chance = random.Random(seed)
    sink.write(batch(1, begun()))
    text = ""
    alphabet = "ab\n\n日 \r" if seed % 3 else "abcdefghij"
    for upto in range(2, 60):
        keep = len(text) if chance.random() < 0.6 else chance.randint(0, len(text))
        size = chance.choice([0, 1, 5, 40, 150, 500])
        added = "".join(chance.choice(alphabet) for _ in range(size))
        text = text[:keep] + added
        sink.write(batch(upto, OutputChanged(keep, added)))
        if upto % 7 == 0:
            assert sink.position(KEY).projector == PROJECTOR
        if seed % 3:
            expected = text.split("\n")
            assert lines(base) == (expected[:-1] if not expected[-1] else expected)
        else:  # a line that never ends is cut, and nothing of it is lost
            assert "".join(lines(base)) == text


def test_how_often_a_long_run_is_written(root, spec, monkeypatch):
    """A full part makes batches wait until they are worth writing it anew; a short one does not."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    sink = load_sink(spec)
    follower = Follower(folder, sink, spec)
    follower.run_once()
    assert 0 < sink.weight < 20_000
    chance = random.Random(3)
    for step in range(60_000):
        writer.log_point("long", step, chance.random())
    writer.flush()
    follower.run_once()
    assert sink.weight > 1 << 18
    written = []
    monkeypatch.setattr(sink, "write", lambda one: written.append(one))
    writer.log_point("long", 60_000, 1.0)
    writer.flush()
    follower._advance(complete=False)
    assert not written
    follower._advance(complete=True)
    assert written
    follower.close()
    writer.close()


# -- written anew ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"), [(10, 10), (10, 50), (50, 10), (50, 50), (50, 0), (0, 50)]
)
def test_what_was_there_stays_until_as_much_is_there_again(small_parts, sink, base, first, second):
    """A run that is written anew is shown as it was until it is complete, then as it is; no file goes."""
    sink.write(batch(1, begun(), OutputChanged(0, "old line\n" * 20)))
    sink.write(batch(first + 1, points(1, first + 1)))
    files = set(base.rglob("part-*"))
    sink.reset(KEY)
    assert sink.position(KEY).position == Position()
    assert seqs(base) == list(range(1, first + 1))
    half = points(1001, 1001 + second // 2)
    sink.write(batch(1, begun(), OutputChanged(0, "new\n" * 10), complete=False))
    sink.write(batch(2, half, complete=False))
    if second < first:
        assert seqs(base) == list(range(1, first + 1))
    assert set(sink.position(KEY).points.values()) <= {second // 2}
    sink.write(batch(3, points(1001 + second // 2, 1001 + second)))
    assert seqs(base) == list(range(1001, 1001 + second))
    assert lines(base) == ["new"] * 10
    assert files <= set(base.rglob("part-*"))
    again = load_sink(sink.spec)
    assert again.position(KEY).projector == PROJECTOR
    sink.write(batch(4, points(2000, 2020)))
    assert len(seqs(base)) == second + 20


def test_a_short_run_is_replaced_in_one_step(sink, base):
    """Of a run of one part, readers find the old rows or the new ones under the same name."""
    sink.write(batch(10, begun(), points(1, 10)))
    before = sorted(path.name for path in base.glob("metrics/*/run=1/*"))
    sink.reset(KEY)
    sink.write(batch(20, begun(), points(100, 120)))
    assert sorted(path.name for path in base.glob("metrics/*/run=1/*")) == before
    assert seqs(base) == list(range(100, 120))


def test_what_was_emptied_long_ago_goes(small_parts, sink, base):
    """Files without rows, for readers who listed them, are removed by a later rebuild."""
    sink.write(batch(100, begun(), points(1, 100)))
    sink.reset(KEY)
    sink.write(batch(100, begun(), points(1, 100)))
    many = set(base.glob("metrics/*/run=1/*"))
    for path in many:
        os.utime(path, (1, 1))
    sink.reset(KEY)
    left = set(base.glob("metrics/*/run=1/*"))
    assert len(left) == len(many) - 7
    assert seqs(base) == list(range(1, 100))


def test_what_kills_left_goes(sink, base):
    """Files that a kill left half made are removed: a run's by its next write, others an hour after."""
    sink.write(batch(5, begun(), points(1, 5)))
    own = base / ".journal"
    strays = [own / "new-0a", own / "ids" / ".0b", own / KEY.journal_id / "new-0c"]
    for path in strays:
        path.write_text("half")
    again = load_sink(sink.spec)
    again.open()
    again.position(KEY)
    again.write(batch(9, points(5, 9)))
    assert [path.exists() for path in strays] == [True, True, False]
    for path in strays[:2]:
        os.utime(path, (1, 1))
    again.open()
    assert not any(path.exists() for path in strays)
    assert seqs(base) == list(range(1, 9))
    again.close()


def test_a_run_that_was_removed_is_left_alone(root, spec, base):
    """Who removes the folder of a run from ``runs`` has deleted it; ``rebuild`` writes it again."""
    folder = root.claim()
    write_run(folder)
    follow(folder, spec)
    before = tables_of(base, 1)
    for table in ("runs", "metrics"):
        shutil.rmtree(next(base.glob(f"{table}/experiment=contract")))
    assert "deleted" in (follow(folder, spec).error or "")
    assert follow(folder, spec, rebuild=True).state == "current"
    assert tables_of(base, 1) == before


def test_a_run_that_was_removed_in_part(root, spec, base):
    """Where only ``runs`` lacks it, a rebuild shows no row of the others twice."""
    folder = root.claim()
    write_run(folder)
    follow(folder, spec)
    before = tables_of(base, 1)
    shutil.rmtree(next(base.glob("runs/experiment=contract")))
    follow(folder, spec, rebuild=True)
    assert tables_of(base, 1) == before


@pytest.mark.parametrize("table", ["metrics", "output"])
def test_a_part_that_was_removed(root, spec, base, table):
    """Rows that somebody removed are noticed, and the run is written anew."""
    folder = root.claim()
    write_run(folder)
    follow(folder, spec)
    before = tables_of(base, 1)
    next(base.glob(f"{table}/experiment=contract/run=1/*")).unlink()
    assert follow(folder, spec).state == "current"
    assert tables_of(base, 1) == before


def test_a_position_that_was_lost(root, spec, base):
    """Without its own notes the view writes the run anew under its number, and nothing twice."""
    folder = root.claim()
    write_run(folder)
    follow(folder, spec)
    before = tables_of(base, 1)
    (notes,) = base.glob(".journal/*/position.json")
    notes.write_text("{torn")
    assert follow(folder, spec, rebuild=True).state == "current"
    assert tables_of(base, 1) == before


# -- kills -----------------------------------------------------------------------------------------


class Killed(BaseException):
    """What is raised where a kill falls."""


class Kill:
    """Has a system call fail, and all that follow: nothing that cleans up has any effect."""

    CALLS = ("replace", "link", "unlink", "makedirs", "fsync", "open")

    def __init__(self, monkeypatch, at):
        self.at = at
        self.count = 0
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        monkeypatch.setattr(tables.TableWriter, "write", self._wrapped(tables.TableWriter.write))

    def _wrapped(self, call):
        def wrapped(*args, **options):
            self.count += 1
            if self.count > self.at:
                raise Killed
            return call(*args, **options)

        return wrapped


def _killed_at(at, folder, spec, **options):
    """Follow a run until the call where the kill falls; True if it came that far."""
    with pytest.MonkeyPatch.context() as patch:
        sink = load_sink(spec)
        follower = Follower(folder, sink, spec, **options)
        kill = Kill(patch, at)
        try:
            follower.run_once()
        except Killed:
            return True
        finally:
            if kill.count <= at:
                follower.close()
    return False


def _what_a_reader_sees(base):
    """What a reader finds at this moment: never an error, no row twice."""
    if not os.path.isdir(base / "runs" / "experiment=_schema"):
        return None
    found = {}
    for table in TABLES:
        if not os.path.isdir(base / table / "experiment=_schema" / "run=0"):
            return None
        if not list((base / table).rglob("*.parquet")):
            return None  # the view was never opened whole: nobody could ask it anything
        found[table] = ask(f"select * from {source(base, table)}")
    points_seen = ask(f"select run, writer, seq from {source(base, 'metrics')}")
    assert len(points_seen) == len(set(points_seen))
    assert len(found["runs"]) <= 1
    keys = ask(f"select run, key from {source(base, 'config')}")
    assert len(keys) == len(set(keys))
    return found


LIVES = ["begins", "goes on", "written anew"]


@pytest.mark.parametrize("life", LIVES)
def test_a_kill_at_some_steps(small_parts, tmp_path, root, life):
    """Wherever a kill falls, readers find whole files and no row twice; then nothing is missing."""
    _kills(tmp_path, root, life, first=LIVES.index(life), stride=11)


@pytest.mark.slow
@pytest.mark.parametrize("life", LIVES)
def test_a_kill_at_every_step(small_parts, tmp_path, root, life):
    """The same at each call of the system and of DuckDB."""
    _kills(tmp_path, root, life, first=0, stride=1)


def _kills(tmp_path, root, life, first, stride):
    folder = root.claim()
    writer = write_run(folder, ends=False)
    start = tmp_path / "start"
    template = SinkSpec.parse(f"parquet:{start}")
    if life != "begins":
        follow(folder, template)
    if life == "goes on":
        for step in range(40):
            writer.log_point("loss", 100 + step, 0.5)
        writer.append_output(1, b"a second line\n" * 10)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    options = {"rebuild": True} if life == "written anew" else {}
    whole = tmp_path / "whole"
    follow(folder, SinkSpec.parse(f"parquet:{whole}"))
    expected = {name: sorted(map(repr, rows)) for name, rows in tables_of(whole, 1).items()}
    views = folder.views
    at, count = first, 0
    while at < 1000:
        base = tmp_path / f"tree-{at}"
        if start.exists():
            shutil.copytree(start, base)
        shutil.rmtree(views, ignore_errors=True)
        spec = SinkSpec.parse(f"parquet:{base}")
        killed = _killed_at(at, folder, spec, **options)
        _what_a_reader_sees(base)
        assert follow(folder, spec).state == "current"
        seen = _what_a_reader_sees(base)
        assert seen is not None
        found = {name: sorted(map(repr, rows)) for name, rows in tables_of(base, 1).items()}
        assert found == expected
        shutil.rmtree(base)
        if not killed:
            break
        at, count = at + stride, count + 1
    assert 50 < at < 1000
    assert count > 4


def test_a_process_that_is_killed(root, spec, base, tmp_path):
    """A replayer that is killed with SIGKILL again and again brings everything there, once."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    experiment = {"name": "killed", "base_dir": "/b"}
    writer.append(
        EventType.RUN_STARTED,
        run_id=1,
        name="killed",
        command="main",
        config={"a": 1},
        meta={},
        experiment=experiment,
        host={},
    )
    for step in range(30_000):
        writer.log_point("loss", step, step / 3)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    program = (
        "import os, random, signal, sys, threading\n"
        "from sacred.replayers import follower\n"
        "follower.BATCH_POINTS = 1500\n"
        "from sacred.replayers.replay import replay\n"
        "threading.Timer(random.uniform(0.1, 0.6), os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "replay(sys.argv[1], None, [sys.argv[2]])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    counts = []
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(root.path), f"parquet:{base}"]
        )
        while process.poll() is None:
            seen = _what_a_reader_sees(base)
            if seen is not None:
                counts.append(len(seen["metrics"]))
    assert counts == sorted(counts)
    assert follow(folder, spec).state == "current"
    assert ask(f"select count(*), count(distinct seq) from {source(base, 'metrics')}") == [
        (30_000, 30_000)
    ]


# -- readers beside writers ------------------------------------------------------------------------


def _duckdb_reader(base):
    # Its own database, as somebody else's program has it: with its file cache, and several threads.
    connection = duckdb.connect(":memory:")

    def look():
        rows = connection.execute(f"select seq from {source(base, 'metrics')}").fetchall()
        text = connection.execute(f"select text from {source(base, 'output')}").fetchall()
        told = connection.execute(f"select count(*) from {source(base, 'runs')}").fetchall()
        return [seq for (seq,) in rows], [line for (line,) in text], told[0][0]

    return look


def _pyarrow_reader(base):
    dataset = pytest.importorskip("pyarrow.dataset")

    def look():
        tables = [
            dataset.dataset(base / table, partitioning="hive").to_table().to_pydict()
            for table in ("metrics", "output", "runs")
        ]
        return tables[0]["seq"], tables[1]["text"], len(tables[2]["id"])

    return look


def _held_reader(base):
    """A dataset that is kept, as in a notebook: it knows files, and what their footers were."""
    dataset = pytest.importorskip("pyarrow.dataset")
    kept = []

    def look():
        if len(kept) % 10 == 0:
            kept.append([dataset.dataset(base / table, partitioning="hive") for table in TABLES])
        else:
            kept.append(kept[-1])
        found = dict(zip(TABLES, kept[-1], strict=True))
        where = dataset.field("run") == 1
        metrics = found["metrics"].to_table(filter=where).to_pydict()
        output = found["output"].to_table(filter=where).to_pydict()
        return metrics["seq"], output["text"], found["runs"].to_table(filter=where).num_rows

    return look


def _pandas_reader(base):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")

    def look():
        frames = [pandas.read_parquet(base / table) for table in ("metrics", "output", "runs")]
        return list(frames[0]["seq"]), list(frames[1]["text"]), len(frames[2])

    return look


@pytest.mark.parametrize("reader", [_duckdb_reader, _pyarrow_reader, _held_reader, _pandas_reader])
def test_reading_while_it_is_written(small_parts, sink, base, reader):
    """A reader beside the writer, who also writes the run anew, gets no error, and no row twice or torn."""
    sink.write(batch(1, begun()))
    look = reader(base)
    stop = threading.Event()
    wrong, looks = [], []

    def read():
        before = (0, 0)
        while not stop.is_set():
            try:
                found, text, runs = look()
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
                continue
            looks.append(len(found))
            if len(found) != len(set(found)) or any(not 0 < seq < 1000 for seq in found):
                wrong.append(f"points: {found}")
            if len(text) != len(set(text)) or any(line[:5] != "turn " for line in text):
                wrong.append(f"lines: {text}")
            if runs != 1:
                wrong.append(f"{runs} runs")
            if turns == [0] and (len(found) < before[0] or len(text) < before[1]):
                wrong.append(f"less than {before}: {len(found)}, {len(text)}")
            before = len(found), len(text)

    turns = [0]
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for turn in range(3):
            upto, text = 1, 0
            for step in range(25):
                behind = upto + 7
                added = f"turn {turn} line {step}\n"
                complete = step == 24
                sink.write(
                    batch(
                        behind,
                        begun(),
                        points(upto, behind),
                        OutputChanged(text, added),
                        complete=complete,
                    )
                )
                upto, text = behind, text + len(added)
            turns.append(turn)
            sink.reset(KEY)
            sink.position(KEY)
    finally:
        stop.set()
        thread.join(60)
    assert not wrong
    assert len(looks) > 3
    assert max(looks) <= 25 * 7


def test_many_writers_of_one_tree(tmp_path, base):
    """Runs of several roots, written at once, get a number each and share no file."""
    roots = [JournalRoot(tmp_path / f"root-{number}") for number in range(4)]
    for root in roots:
        for _ in range(3):
            write_run(root.claim(), name=f"of {root.path.name}")
    threads = [
        threading.Thread(target=replay, args=(root, None, [f"parquet:{base}"])) for root in roots
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    rows = ask(f"select run, path, points from {source(base, 'runs')} order by run")
    assert [row[0] for row in rows] == list(range(1, 13))
    assert len({row[1] for row in rows}) == 12
    counted = ask(f"select run, count(*) from {source(base, 'metrics')} group by run order by run")
    assert [row[1] for row in counted] == [67] * 12
    assert [row[2] for row in rows] == [67] * 12


# -- errors ----------------------------------------------------------------------------------------


def test_a_file_that_is_damaged(root, spec, base):
    """A part that somebody wrote over is told of in a sentence; a rebuild mends it."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    follow(folder, spec)
    before = seqs(base)
    part = next(base.glob("metrics/experiment=contract/run=1/*"))
    part.write_bytes(b"PAR1 nothing of the kind PAR1")
    writer.log_point("loss", 99, 1.0)
    writer.close()
    status = follow(folder, spec)
    assert status.state == "failed"
    assert "--rebuild writes the run there anew" in (status.error or "")
    assert "\n" not in (status.error or "")
    assert follow(folder, spec, rebuild=True).state == "current"
    assert len(seqs(base)) == len(before) + 1


def test_what_the_disk_says(sink, monkeypatch):
    """A full disk passes, one that can not be written does not; neither leaves a file behind."""
    sink.write(batch(5, begun(), points(1, 5)))
    own = Path(sink.base, ".journal", KEY.journal_id)
    before = sorted(own.iterdir())
    for text, kind in (
        ("No space left on device", TransientSinkError),
        ("Permission denied", TerminalSinkError),
        ("Read-only file system", TerminalSinkError),
    ):

        def refuse(*_, text=text):
            raise duckdb.IOException(f"IO Error: Could not write file: {text}\n\nLINE 1: copy")

        with monkeypatch.context() as patch:
            patch.setattr(tables, "_fresh", refuse)
            with pytest.raises(kind, match=text) as caught:
                sink.write(batch(9, points(5, 9)))
        assert "LINE" not in str(caught.value)
        assert sorted(own.iterdir()) == before
    sink.write(batch(9, points(5, 9)))
    assert seqs(sink.base) == list(range(1, 9))


def test_a_folder_that_can_be_none(tmp_path, root):
    """A file, a place of journals and no folder at all are refused before anything is done."""
    (tmp_path / "file").write_text("mine")
    write_run(root.claim())
    for address in (f"parquet:{tmp_path / 'file'}", f"parquet:{root.path}", "parquet:"):
        with pytest.raises(SinkSpecError, match=r"--to parquet:DIR"):
            SinkSpec.parse(address)


# -- as declared -----------------------------------------------------------------------------------


def test_as_the_runs_declared_it(root, base):
    """A bare ``parquet`` is where each run declared its tables; one that declared none says so."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    view = {"kind": "parquet", "url": str(base), "name": f"parquet:{base}", "options": {}}
    writer.append(
        EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={}, views=[view],
        experiment={"name": "x"}, host={},
    )  # fmt: skip
    writer.close()
    write_run(root.claim())
    summary = replay(root, None, ["parquet"])
    assert [outcome.state for outcome in summary.outcomes] == ["current", "failed"]
    assert "--to parquet:DIR" in (summary.outcomes[1].error or "")
    assert ask(f"select run, name from {source(base, 'runs')}") == [(1, "x")]


@pytest.mark.slow
def test_a_million_points(root, spec, base):
    """10^6 points arrive in parts of one row group each, and cost the memory of a batch."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    chance = random.Random(5)
    for step in range(1_000_000):
        writer.log_point("long", step, chance.random())
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert follow(folder, spec).state == "current"
    (row,) = ask(
        f"select count(*), count(distinct seq), sum(step) from {source(base, 'metrics')} "
        "where metric = 'long'"
    )
    assert row == (1_000_000, 1_000_000, 999_999 * 500_000.0)
    parts = list(base.glob("metrics/experiment=contract/run=1/*"))
    assert 8 <= len(parts) <= 16
    assert sum(path.stat().st_size for path in parts) < 15_000_000
