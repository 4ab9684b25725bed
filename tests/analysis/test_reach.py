"""Conditions on times reach the reader: of sealed runs the frames are read that can hold such rows."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
from unittest import mock

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.analysis import queries
from sacred.analysis.loader import Loader
from sacred.analysis.reach import reaches
from sacred.analysis.statement import Statement
from sacred.journal import EventType, JournalRoot, JournalWriter, seal_run
from sacred.journal.epoch_file import EpochFile
from sacred.journal.reader import JournalReader
from sacred.journal.sealed_events import SealedEvents

EPOCH = dt.datetime(1970, 1, 1)
START = dt.datetime(2026, 3, 1)


def nanoseconds(moment):
    return int((moment - EPOCH).total_seconds()) * 10**9


def write(root, began, *, points=9000, metrics=("loss", "acc"), seal=True):
    """Write a run of some hours, with a point every second and a line of output every ten minutes."""
    draw = random.Random(began.toordinal())
    clock = itertools.count(nanoseconds(began), 500_000_000)
    folder = root.claim()
    with mock.patch("time.time_ns", lambda: next(clock)):
        writer = JournalWriter.create(folder.journal)
        about = {"run_id": folder.number, "name": "x", "command": "main", "config": {"lr": 0.5}}
        nothing = {"meta": {}, "experiment": {"name": "x", "base_dir": "/x"}, "host": {}}
        writer.append(EventType.RUN_STARTED, **about, **nothing)
        for step in range(points):
            writer.log_point(metrics[step % len(metrics)], step, draw.random())
            if step % 600 == 599:
                # The end of a line comes with the beginning of the next.
                writer.append_output(1, f" ends\nline {step} of".encode())
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
        writer.close()
        if seal:
            seal_run(folder, closed={0: 1})
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four sealed runs a day apart, a small one, one that is not sealed (6), one before 1970."""
    found = JournalRoot(tmp_path_factory.mktemp("times") / "runs")
    for day in range(4):
        write(found, START + dt.timedelta(days=day))
    write(found, START + dt.timedelta(days=1), points=20)
    write(found, START + dt.timedelta(days=2), points=2000, seal=False)
    write(found, dt.datetime(1969, 12, 31, 23), metrics=("loss", "old"))
    sizes = [next(folder.journal.iterdir()).stat().st_size for folder in found.runs()]
    assert sum(size > 1 << 16 for size in sizes) >= 5, sizes
    return found


@pytest.fixture(scope="module")
def whole(root):
    """All that the relations hold, read without any statement."""
    connection = duckdb.connect(":memory:")
    connection.execute("set timezone = 'UTC'")
    loader = Loader(connection)
    loader.load(root.runs())
    assert not loader.problems
    with contextlib.closing(connection):
        yield connection


def decoded(root, sql, monkeypatch):
    """Return the answer, and how many frames were decoded for it."""
    frames = []
    read = EpochFile.next_frame
    monkeypatch.setattr(EpochFile, "next_frame", lambda file: (frames.append(1), read(file))[1])
    answer = queries.query(sql, root, cache=False).rows
    monkeypatch.undo()
    return answer, len(frames)


_moments = st.datetimes(dt.datetime(2026, 2, 28), dt.datetime(2026, 3, 5)) | st.sampled_from(
    [START, EPOCH, dt.datetime(1969, 12, 31, 23, 30), dt.datetime(2026, 3, 2, 0, 0, 1)]
)
_forms = st.sampled_from(
    [
        *("time > timestamp '{0}'", "time >= '{0}'", "time < '{0}'", "'{0}' >= time"),
        *("time between '{0}' and '{1}'", "time = '{0}'", "time::date = date '{2}'"),
        *("time > '{0}' and time <= '{1}'", "time > '{0}' or metric = 'acc'", "not time > '{0}'"),
        *("time > '{0}'::timestamptz", "time < timestamp '{0}' + interval 90 minutes"),
        *("time > now() - interval 3 hours", "time < now() - interval 1 hour", "time <> '{0}'"),
        *("date_trunc('hour', time) = '{0}'", "time > null", "time > '{0}' and run < 4"),
        *("time > (select min(start) from runs)", "time in ('{0}', '{1}')", "run > 1"),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=_moments,
    second=_moments,
    forms=st.lists(_forms, min_size=1, max_size=2),
    relation=st.sampled_from(["metrics", "events", "output"]),
)
def test_any_condition(root, whole, first, second, forms, relation):
    """The answer is that of everything, whatever is left out."""
    conditions = [form.format(first, second, first.date()) for form in forms]
    if relation != "metrics":
        conditions = [each.replace("metric = 'acc'", "run = 2") for each in conditions]
    chosen = {"metrics": "metric, count(*), sum(step)", "output": "seq, text"}
    what = chosen.get(relation, "type, count(*), min(seq), max(time)")
    sql = f"select run, {what} from {relation} where {' and '.join(conditions)} group by all"
    expected = sorted(map(repr, whole.execute(sql).fetchall()))
    assert sorted(map(repr, queries.query(sql, root, cache=False).rows)) == expected, sql


@pytest.mark.parametrize("relation", ["metrics", "events"])
def test_frames_beside_are_not_read(root, whole, relation, monkeypatch):
    """A few minutes of one day cost a few frames; a day without runs less than a frame a run."""
    every = f"select count(*) from {relation} where time <> '2026-03-03' and run <> 6"
    _, all_frames = decoded(root, every, monkeypatch)
    minutes = "time between '2026-03-03 00:10' and '2026-03-03 00:20'"
    some = f"select count(*) from {relation} where {minutes} and run <> 6"
    answer, some_frames = decoded(root, some, monkeypatch)
    assert answer == whole.execute(some).fetchall() != [(0,)]
    none = f"select count(*) from {relation} where time > '2027-01-01' and run <> 6"
    answer, no_frames = decoded(root, none, monkeypatch)
    assert answer == [(0,)]
    assert no_frames < some_frames < all_frames / 2


def test_what_is_not_a_point_is_found_without_the_points(root, whole, monkeypatch):
    """Configurations are read from the frames that have them; a metric that a run has not, from none."""
    _, all_frames = decoded(root, "select count(*) from events", monkeypatch)
    for sql in (
        "select run, key, value from config order by all",
        "select count(*) from metrics where metric = 'none'",
        "select count(*) from metrics where metric = 'old'",
    ):
        answer, frames = decoded(root, sql, monkeypatch)
        assert answer == whole.execute(sql).fetchall(), sql
        assert frames < all_frames, sql


def test_damage_in_a_frame_that_is_read(root, tmp_path):
    """The rest of the file is read as by everybody else, the damage is told, and no row comes twice."""
    import shutil

    copied = JournalRoot(tmp_path / "runs")
    shutil.copytree(root.path, copied.path)
    folder = copied.runs()[1]
    reader = JournalReader(folder.journal)
    sealed = SealedEvents.of(reader)
    reader.close()
    frame = next(f for f in sealed.frames if f.first_seq > 1000 and f.count > 100)
    path = folder.journal / "w0000-e0001.jzst"
    content = bytearray(path.read_bytes())
    content[frame.offset + 200] ^= 255
    path.write_bytes(content)
    for sql in (
        "select run, step from metrics where time > '2026-03-02 00:02' order by all",
        "select run, seq, type from events where time > '2026-03-02 00:02' order by all",
    ):
        answer = queries.query(sql, copied, cache=False)
        everything = queries.query(sql.replace("where", "where run + 0 = run and not"), copied)
        with contextlib.closing(duckdb.connect(":memory:")) as connection:
            loader = Loader(connection)
            loader.load(copied.runs())
            assert answer.rows == connection.execute(sql).fetchall()
        assert any("run 2" in problem for problem in answer.problems), sql
        assert everything.rows


def reach_of(condition):
    connection = duckdb.connect(":memory:")
    connection.execute("set timezone = 'UTC'")
    statement = Statement(connection, f"select count(*) from metrics where {condition}")
    return reaches(statement, statement.scans["metrics"])


@pytest.mark.parametrize(
    ("condition", "first", "last"),
    [
        ("time > '2026-03-01'", START, None),
        ("time >= timestamp '2026-03-01'", START, None),
        ("time <= '2026-03-01'", None, START),
        ("'2026-03-01' > time", None, START),
        ("time = '2026-03-01'", START, START),
        ("time between '2026-03-01' and '2026-03-02'", START, START + dt.timedelta(days=1)),
        ("time::date = '2026-03-01'", START, START + dt.timedelta(days=1)),
        ("time > '2026-03-01 01:00:00+01:00'::timestamptz", START, None),
    ],
)
def test_how_far_a_condition_reaches(condition, first, last):
    """To a second, and never less than it has to."""
    (reach,) = reach_of(condition)
    for moment, bound, way in ((first, reach.first, -1), (last, reach.last, 1)):
        if moment is None:
            assert abs(bound) > 10**16 // 2
        else:
            exact = nanoseconds(moment) // 1000
            assert 0 <= (bound - exact) * way <= 1_000_000


@pytest.mark.parametrize(
    "condition",
    [
        "time < now()",
        "time < current_timestamp",
        "time > '2026-03-01' or value > 1",
        "time <> '2026-03-01'",
        "time > make_timestamp(seq)",
        "date_trunc('day', time) > '2026-03-01'",
        "time > 'nonsense'",
        "time > (select max(start) from runs)",
        "time > now() + (now() - time)",
        "run = 3",
    ],
)
def test_conditions_that_bound_nothing(condition):
    """What is no comparison with something fixed, or may hold of more when it is asked, bounds nothing."""
    assert reach_of(condition) == []


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("r.start > now() - interval 1 hour", 1),
        ("r.start > today()", 1),
        ("now() - interval 1 day < r.start", 1),
        ("r.start < now() - interval 1 hour", 0),
        ("r.start > timestamp '2026-01-01' - (now() - r.stop)", 0),
        ("age(r.start) > interval 1 hour", 0),
        ("r.start < timestamp '2026-01-01'", 1),
    ],
)
def test_runs_that_the_clock_may_add(condition, kept):
    """A condition that more runs may satisfy when the answer is made bounds no other relation."""
    connection = duckdb.connect(":memory:")
    sql = f"select count(*) from metrics m join runs r using (run) where {condition}"
    (scan,) = Statement(connection, sql).scans["runs"]
    assert len(scan.conditions) == kept


def test_the_last_hour():
    """What is later than an hour ago when the answer is made is later than an hour ago now."""
    (reach,) = reach_of("time > now() - interval 1 hour")
    ago = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None) - dt.timedelta(hours=1)
    assert abs(reach.first - nanoseconds(ago) // 1000) < 60_000_000
