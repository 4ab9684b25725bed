"""``--at``: the state of runs as it was at a moment."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.analysis.details import details
from sacred.analysis.moment import Moment, moment_of
from sacred.analysis.queries import query
from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter, seal_run
from sacred.journal.errors import RunNotFoundError
from sacred.journal.events import Event
from sacred.journal.spool import encode_record
from sacred.replayers.errors import QueryError
from sacred.replayers.listing import outline, outlines
from sacred.replayers.past_outline import outline_at
from sacred.replayers.projection import RunProjection

START = 1_700_000_000 * 10**9
SECOND = 10**9


@pytest.fixture
def berlin(monkeypatch):
    """This machine stands in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*parts):
    return int(dt.datetime(*parts, tzinfo=dt.timezone.utc).timestamp()) * SECOND


# -- how a moment is named -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-23T14:05:09Z", utc(2026, 11, 23, 14, 5, 10)),
        ("2026-11-23 14:05:09 +01:00", utc(2026, 11, 23, 13, 5, 10)),
        ("2026-11-23T14:05:09-0330", utc(2026, 11, 23, 17, 35, 10)),
        ("2026-11-23 14:05:09", utc(2026, 11, 23, 13, 5, 10)),
        ("2026-07-23 14:05:09", utc(2026, 7, 23, 12, 5, 10)),
        ("2026-11-23 14:05", utc(2026, 11, 23, 13, 6)),
        ("2026-11-23", utc(2026, 11, 23, 23)),
        ("2026-10-25", utc(2026, 10, 25, 23)),
        ("2026-11-23T14:05:09.5Z", utc(2026, 11, 23, 14, 5, 9) + 600_000_000),
        ("2026-11-23T14:05:09.123456789Z", utc(2026, 11, 23, 14, 5, 9) + 123_456_790),
    ],
)
def test_a_time_is_meant_to_its_end(berlin, text, end):
    """What a table shows to the second is not before what it is the time of; no zone is this one."""
    assert Moment(end - 1, None, text) == moment_of(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("-10m", 600), ("10 minutes ago", 600), ("-1h30m", 5400), ("1.5h ago", 5400), ("now", 0)]
    + [("- 2 days", 172_800), ("1w ago", 604_800), ("-90s", 90)],
)
def test_so_long_ago(text, seconds):
    """Relative times count from now."""
    assert START - seconds * SECOND == moment_of(text, now=START).time


def test_other_names():
    """Numbers are events, @ is the epoch, and a naive datetime is UTC as those of answers are."""
    assert Moment(None, 1500, "event 1500") == moment_of("1500") == moment_of(1500)
    assert 1_763_906_709_250_000_000 == moment_of("@1763906709.25").time
    naive = dt.datetime(2026, 11, 23, 14, 5)
    assert utc(2026, 11, 23, 14, 5) == moment_of(naive).time
    assert moment_of(moment_of("7")) == moment_of("7")


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "-10", "-3 parsecs", "2 hours", "2026-13-01", "2026-11-23 25:00"]
)
def test_what_is_no_moment(text):
    """A sentence says what may stand there."""
    with pytest.raises(QueryError, match="'2 hours ago', or the number of an event"):
        moment_of(text)


# -- the state as it was ---------------------------------------------------------------------------

ABOUT = {"run_id": 1, "name": "x", "command": "main", "config": {"a": {"b": 1}}}
NOTHING = {"meta": {}, "experiment": {"name": "x", "base_dir": "/x"}, "host": {"hostname": "h"}}

_EVENTS = st.one_of(
    st.tuples(st.just("point"), st.sampled_from(["loss", "acc"]), st.integers(0, 9)),
    st.tuples(st.just("info"), st.sampled_from(["p", "q"]), st.integers(0, 9)),
    st.tuples(st.just("output"), st.text("ab\n\r", min_size=1, max_size=4), st.just(0)),
    st.tuples(st.just("artifact"), st.sampled_from(["m", "n"]), st.just(0)),
    st.tuples(st.just("result"), st.just(""), st.integers(0, 9)),
    st.tuples(st.just("beat"), st.just(""), st.just(0)),
)
#: Who writes it, how long after the event before (us), and what.
_JOURNALS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1]), st.integers(-2, 3), _EVENTS), max_size=12
)


def write(writer, kind, name, number, when):
    at = {"time_ns": when}
    if kind == "point":
        point = {"metric": name, "step": number, "value": float(number)}
        writer.append(EventType.METRIC_POINT, **at, **point)
    elif kind == "info":
        writer.append(EventType.INFO_CHANGED, **at, set=[[[name], number]], deleted=[])
    elif kind == "output":
        writer.append(EventType.OUTPUT, **at, stream=1, data=name.encode())
    elif kind == "artifact":
        writer.append(EventType.ARTIFACT_ADDED, **at, name=name, filename=f"/{name}")
    elif kind == "result":
        writer.append(EventType.RESULT_CHANGED, **at, result=number)
    else:
        writer.append(EventType.HEARTBEAT, **at)


def make(root, drawn, *, ends=True, seals=False):
    folder = root.claim()
    first = JournalWriter.create(folder.journal)
    first.append(EventType.RUN_STARTED, time_ns=START, **ABOUT, **NOTHING)
    first.sync()
    writers = {0: first}
    when = START
    for number, later, (kind, name, value) in drawn:
        when += later * 1000
        if number not in writers:
            writers[number] = JournalWriter.join(folder.journal, journal_id=first.journal_id)
        write(writers[number], kind, name, value, when)
    if ends:
        first.append(EventType.RUN_ENDED, time_ns=when + 5000, how="completed", status="COMPLETED")
    for writer in writers.values():
        writer.close()
    if seals:
        seal_run(folder, closed=dict.fromkeys(writers, 1))
    return folder


def one_by_one(folder):
    """Return the events of a journal in the order of their times, tables as their points."""
    reader = JournalReader(folder.journal)
    found = []
    for event in reader.read(order="time"):
        if event.type != EventType.METRIC_TABLE:
            found.append(event)
            continue
        table = event.fields["table"]
        rows = zip(table.names(), table.steps, table.values, table.times, strict=True)
        for row, (name, step, value, micros) in enumerate(rows):
            point = {"metric": name, "step": step, "value": value}
            kind, seq = EventType.METRIC_POINT, event.seq + row
            found.append(Event(kind, micros * 1000, seq, event.writer, point))
    reader.close()
    return found


def expected(events):
    """Return the document, the output and the points of some events."""
    projection = RunProjection()
    points = []
    text = ""
    for event in events:
        if event.type == EventType.METRIC_POINT:
            fields = event.fields
            points.append((event.writer, event.seq, fields["metric"], float(fields["value"])))
            continue
        projection.apply(event)
        change = projection.take_output() if projection.pending_output else None
        if change is not None:
            text = text[: change.keep] + change.text
    change = projection.take_output()
    if change is not None:
        text = text[: change.keep] + change.text
    return projection.document(), text, sorted(points)


def told(folder, at):
    found = details(folder, at=at)
    sql = "select writer, seq, metric, value from metrics order by all"
    return found.document, found.output, query(sql, folder.root, at=at).rows


@settings(max_examples=25)
@given(_JOURNALS, st.booleans(), st.booleans())
def test_the_fold_of_the_journal_cut_there(tmp_path_factory, drawn, ends, seals):
    """At the moment of each event, and by its number, the state is what the events until then fold to."""
    root = JournalRoot(tmp_path_factory.mktemp("root") / "runs")
    folder = make(root, drawn, ends=ends, seals=seals)
    events = one_by_one(folder)
    numbered = [event for event in events if event.seq >= 0]
    for moment in sorted({event.time for event in numbered}):
        there = [event for event in events if event.time <= moment or event.seq < 0]
        assert expected(there) == told(folder, Moment(moment))
    own = {event.seq: event.time for event in numbered if event.writer == 0}
    for seq, when in own.items():
        there = [e for e in events if (e.seq <= seq if e.writer == 0 else e.time <= when)]
        assert expected(there) == told(folder, Moment(None, seq))
    whole = details(folder)
    assert repr(whole.document) == repr(details(folder, at=Moment(None, 10_000)).document)


@settings(max_examples=15)
@given(_JOURNALS, st.booleans())
def test_the_listing_agrees_with_the_document(tmp_path_factory, drawn, seals):
    """At each moment a line of a listing says what the run's document and its points say then."""
    root = JournalRoot(tmp_path_factory.mktemp("root") / "runs")
    folder = make(root, drawn, seals=seals)
    events = [event for event in one_by_one(folder) if event.seq >= 0]
    end = max(event.time for event in events if event.type == EventType.RUN_ENDED)
    for moment in sorted({event.time for event in events if START <= event.time < end}):
        line = outline_at(folder, Moment(moment))
        document, _, points = expected([e for e in events if e.time <= moment])
        assert (document["status"], len(points)) == (line.status, line.points)
        assert (moment - START) / SECOND == pytest.approx(line.duration)
        (row,) = query("select status, points from runs", root, at=Moment(moment)).rows
        assert row == (line.status, line.points)
    assert outline_at(folder, Moment(START - 10_000)) is None


def test_a_table_is_cut_row_by_row(tmp_path):
    """Points of one block of columns are there one after the other, by time and by number."""
    root = JournalRoot(tmp_path / "runs")
    drawn = [(0, 1, ("point", "la"[step % 2] * 3, step % 10)) for step in range(300)]
    folder = make(root, drawn, seals=True)
    reader = JournalReader(folder.journal)
    tables = [event for event in reader.read() if event.type == EventType.METRIC_TABLE]
    assert max(event.fields["table"].rows for event in tables) > 100
    for count in (0, 1, 77, 299, 300):
        moment = Moment(START + count * 1000)
        assert [(count,)] == query("select count(*) from metrics", root, at=moment).rows
        assert count == sum(metric.points for metric in details(folder, at=moment).metrics)
        assert count == next(outlines(root, at=moment)).points
        by_number = query("select count(*), max(seq) from metrics", root, at=count).rows
        assert [(count, count or None)] == by_number


def test_runs_that_had_not_begun_are_absent(tmp_path):
    """In listings, in each relation and in show; the last N are the last of those that had begun."""
    root = JournalRoot(tmp_path / "runs")
    for number in range(3):
        folder = root.claim()
        writer = JournalWriter.create(folder.journal)
        start = START + number * 60 * SECOND
        writer.append(EventType.RUN_STARTED, time_ns=start, **ABOUT, **NOTHING)
        writer.append(EventType.METRIC_POINT, time_ns=start, metric="m", step=1, value=1.0)
        writer.append(EventType.RUN_ENDED, time_ns=start + SECOND, how="completed", status="DONE")
        writer.close()
    at = Moment(START + 60 * SECOND)
    assert [(1, "DONE"), (2, "RUNNING")] == [(o.run, o.status) for o in outlines(root, at=at)]
    assert [2] == [outline.run for outline in outlines(root, last=1, at=at)]
    for name in ("runs", "metrics", "config", "events", "hosts"):
        rows = query(f"select distinct run from {name} order by 1", root, at=at).rows
        assert [(1,), (2,)] == rows, name
    joined = "select run from metrics join runs using (run) where status = 'RUNNING'"
    assert [(2,)] == query(joined, root, at=at).rows
    with pytest.raises(RunNotFoundError, match="run 3 had not begun at -1h"):
        details(root.run(3), at=at._replace(text="-1h"))


def test_statuses_between(tmp_path):
    """Queued, running, died until somebody went on, and as now when nothing came behind."""
    root = JournalRoot(tmp_path / "runs")
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    times = itertools.count(START, SECOND)
    writer.append(EventType.RUN_QUEUED, time_ns=next(times), **ABOUT, **NOTHING)
    writer.append(EventType.RUN_STARTED, time_ns=next(times), **ABOUT, **NOTHING)
    resumed = {"reason": "DIED", "last_seen": START + SECOND}
    writer.append(EventType.RUN_RESUMED, time_ns=next(times), **resumed)
    writer.append(EventType.HEARTBEAT, time_ns=next(times))
    writer.sync()
    try:
        found = [outline_at(folder, Moment(START + n * SECOND)) for n in range(-1, 5)]
        statuses = [each.status if each else None for each in found]
        assert [None, "QUEUED", "DIED", "RUNNING", "RUNNING", "RUNNING"] == statuses
        assert 2.0 == found[4].duration - found[2].duration
        assert "DIED" == outline_at(folder, Moment(None, 1)).status
    finally:
        writer.close()


def test_what_has_no_date_is_listed_as_it_is(tmp_path):
    """Damaged and foreign runs appear at every moment; a folder in which nothing began does not."""
    root = JournalRoot(tmp_path / "runs")
    make(root, [])
    foreign, empty = root.claim(), root.claim()
    (foreign.journal).mkdir(exist_ok=True)
    (foreign.journal / "w0000-e0001.jzst").write_bytes(b"something else" * 100)
    found = {outline.run: outline.status for outline in outlines(root, at=Moment(START))}
    assert {1: "RUNNING", foreign.number: "FOREIGN"} == found
    assert empty.number not in found


def test_output_that_is_only_in_the_spool(tmp_path):
    """It is cut by the times of its records; by an event's number what came behind is not there."""
    root = JournalRoot(tmp_path / "runs")
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, time_ns=START, **ABOUT, **NOTHING)
    writer.append(EventType.HEARTBEAT, time_ns=START + 5 * SECOND)
    writer.sync()
    try:
        with open(folder.journal / "w0000.spool", "ab") as spool:
            for number in range(3):
                spool.write(encode_record(1, START + number * SECOND, b"line %d\n" % number))
        at = Moment(START + SECOND)
        assert "line 0\nline 1\n" == details(folder, at=at).output
        assert [("line 0",), ("line 1",)] == query("select text from output", root, at=at).rows
        assert "" == details(folder, at=Moment(None, 0)).output
        assert "line 0\nline 1\nline 2\n" == details(folder, at=Moment(None, 9)).output
    finally:
        writer.close()


def test_the_command_line(tmp_path, capfd):
    """--at of query, ls and show; a wrong one is a sentence and exit code 2."""
    from sacred.cli import main

    root = JournalRoot(tmp_path / "runs")
    make(root, [(0, 0, ("result", "", 7)), (0, 2_000_000, ("result", "", 8))])
    place = os.fspath(root.path)
    at = f"@{START // SECOND + 1}"
    assert 0 == main(["query", "select status, result from runs", "--at", at, "-J", place])
    assert "status\tresult\nRUNNING\t7\n" == capfd.readouterr().out
    assert 0 == main(["show", "1", "--at", "1", "--json", "-J", place])
    shown = json.loads(capfd.readouterr().out)
    assert ("RUNNING", 7) == (shown["status"], shown["result"])
    assert 0 == main(["ls", "--at", at, "--json", "-J", place])
    assert [("RUNNING", 1.0)] == [
        (run["status"], run["duration"]) for run in json.loads(capfd.readouterr().out)
    ]
    assert 0 == main(["ls", "--at", "2020-01-01", "-J", place])
    assert "no run had begun at 2020-01-01" in capfd.readouterr().err
    assert 2 == main(["show", "1", "--at", "2020-01-01", "-J", place])
    assert "run 1 had not begun at 2020-01-01" in capfd.readouterr().err
    assert 2 == main(["ls", "--at", "yesteryear", "-J", place])
    assert "'yesteryear' is no moment" in capfd.readouterr().err
    assert outline(root.run(1)).status == "COMPLETED"


def test_tags_as_they_were(tmp_path):
    """What was said of a run later is not there, in a listing, in SQL and closely."""
    from sacred.journal.notes import Said, annotate

    root = JournalRoot(tmp_path / "runs")
    make(root, [(0, 0, ("result", "", 7))])
    folder = root.run(1)
    for seconds, tag in ((100, "early"), (200, "late")):
        annotate(folder, [Said("tag", "add", tag)], at=START + seconds * SECOND)
    at = Moment(time=START + 150 * SECOND)
    assert ("early",) == outline_at(folder, at).tags
    assert ("early",) == details(folder, at=at).outline.tags
    assert [(["early"],)] == query("select tags from runs", root, at=at).rows
    said = "select count(*) from events where type = 'annotated'"
    assert [(1,)] == query(said, root, at=at).rows
    assert [(2,)] == query(said, root).rows


def test_a_table_of_runs_as_they_were(tmp_path, capfd):
    """Columns, conditions and metrics of a table of runs, and of one run, are those of the moment."""
    import sacred
    from sacred.analysis.run_table import run_table
    from sacred.cli import main

    root = JournalRoot(tmp_path / "runs")
    make(root, [(0, 0, ("point", "loss", 5)), (0, 2_000_000, ("point", "loss", 1))])
    at = Moment(time=START + SECOND)
    names = ["run", "status", "metrics.loss.min", "metrics.loss.count", "config.a.b"]
    assert [(1, "RUNNING", 5.0, 1, 1)] == run_table(root.runs(), names, at=at).rows
    assert [(1, "COMPLETED", 1.0, 2, 1)] == run_table(root.runs(), names).rows
    where = "metrics.loss.min < 3"
    assert [] == run_table(root.runs(), ["run"], where=where, at=at).rows
    assert [] == run_table(root.runs(), ["run"], at=Moment(time=START - SECOND)).rows
    place = os.fspath(root.path)
    given = ["-c", "metrics.loss.min", "--at", f"@{START // SECOND + 1}", "--json", "-J", place]
    assert 0 == main(["ls", *given])
    assert [{"run": 1, "metrics.loss.min": 5.0}] == json.loads(capfd.readouterr().out)
    run = sacred.runs(root)[0]
    then = run.at(dt.datetime.fromtimestamp(START / SECOND + 1, tz=dt.timezone.utc))
    assert ("RUNNING", "COMPLETED") == (then.status, run.status)
    assert then != run
    pytest.importorskip("numpy")
    assert [5.0] == list(then.metrics["loss"].values)
    assert [5.0, 1.0] == list(run.metrics["loss"].values)
    with pytest.raises(RunNotFoundError):
        _ = run.at("2020-01-01").status
