"""The projection: what it gives depends on the events alone."""

from __future__ import annotations

import datetime as dt
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.codec import Array, ObjectText, pack, unpack
from sacred.journal.events import Event, EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.tables import MetricTable
from sacred.replayers.annotations import Annotations
from sacred.replayers.plain import plain
from sacred.replayers.projection import RunProjection
from sacred.replayers.sink import Batch, FieldsChanged, OutputChanged, PointsAdded, RunKey, SinkSpec
from sacred.replayers.sinks.memory import PLACES, MemorySink

BEGAN = 1_700_000_000_123_456_000


def started(**more):
    fields = {
        "run_id": 1,
        "name": "x",
        "command": "main",
        "config": {"a": (1, 2)},
        "meta": {"comment": "c"},
        "experiment": {"name": "x", "base_dir": "/b", "mainfile": "m.py"},
        "host": {"hostname": "h", "nested": {"a": 1}},
    }
    return Event(int(EventType.RUN_STARTED), BEGAN, 0, 0, {**fields, **more})


def event(kind, seq=1, time=BEGAN + 1000, writer=0, **fields):
    return Event(int(kind), time, seq, writer, fields)


def fold(*events, **options):
    projection = RunProjection(**options)
    for one in events:
        projection.apply(one)
    return projection


def output_of(projection):
    return "".join(
        change.text for change in projection.changes() if isinstance(change, OutputChanged)
    )


# -- the document ----------------------------------------------------------------------------------


def test_the_start_has_what_the_clients_take_for_granted():
    """E.7.2, MGO-02: heartbeat, info, artifacts, resources from the first moment; naive UTC."""
    document = fold(started()).document()
    assert document["heartbeat"] == document["start_time"]
    assert document["start_time"] == dt.datetime(2023, 11, 14, 22, 13, 20, 123456)
    assert document["start_time"].tzinfo is None
    expected = {"info": {}, "artifacts": [], "resources": [], "status": "RUNNING", "result": None}
    assert {name: document[name] for name in expected} == expected
    assert document["config"] == {"a": [1, 2]}
    assert "stop_time" not in document
    assert "fail_trace" not in document


def test_a_queued_run_is_a_whole_document():
    """E.8.8: a queued run has start_time, heartbeat, info, artifacts, empty output."""
    projection = fold(started()._replace(type=int(EventType.RUN_QUEUED)))
    document = projection.document()
    assert document["status"] == "QUEUED"
    assert document["heartbeat"] == document["start_time"]
    assert OutputChanged(0, "") in projection.changes()


@pytest.mark.parametrize(
    ("how", "status"),
    [("completed", "COMPLETED"), ("interrupted", "TIMEOUT"), ("failed", "FAILED")],
)
def test_the_end(how, status):
    """RUN-03: status and stop_time; the heartbeat is not older, the clients measure by it."""
    trace = {"fail_trace": ["a\n", "b\n"]} if how == "failed" else {}
    end = event(EventType.RUN_ENDED, time=BEGAN + 5_000_000_000, how=how, status=status, **trace)
    document = fold(started(), event(EventType.RESULT_CHANGED, result=(1, 2)), end).document()
    assert document["status"] == status
    assert document["stop_time"] - document["start_time"] == dt.timedelta(seconds=5)
    assert document["heartbeat"] == document["stop_time"]
    assert document.get("fail_trace") == trace.get("fail_trace")
    assert document["result"] == (None if how == "completed" else [1, 2])


def test_a_resumed_run_is_running_again():
    """A run that goes on has no end any more."""
    projection = fold(started(), event(EventType.RUN_ENDED, how="failed", status="FAILED"))
    projection.changes()
    projection.apply(event(EventType.RUN_RESUMED, seq=2))
    (fields,) = [c for c in projection.changes() if isinstance(c, FieldsChanged)]
    assert fields.fields["status"] == "RUNNING"
    assert fields.removed == ("stop_time",)


def test_facts_that_arrive_late():
    """Host facts are merged, dependencies added, repositories listed once."""
    repository = {"url": "u", "commit": "c", "dirty": False}
    document = fold(
        started(),
        event(EventType.HOST_FACTS, facts={"cpu": "fast", "nested": {"b": 2}}),
        event(EventType.DEPENDENCIES_FOUND, dependencies=["a==1"]),
        event(EventType.DEPENDENCIES_FOUND, dependencies=["a==1", "b==2"]),
        event(EventType.REPOSITORY_FOUND, **repository),
        event(EventType.REPOSITORY_FOUND, **repository),
        event(EventType.SOURCE_ADDED, filename="m.py", path="/b/m.py", md5="0" * 32),
    ).document()
    assert document["host"] == {"hostname": "h", "nested": {"a": 1, "b": 2}, "cpu": "fast"}
    experiment = document["experiment"]
    assert experiment["dependencies"] == ["a==1", "b==2"]
    assert experiment["repositories"] == [repository]
    assert [source.name for source in experiment["sources"]] == ["m.py"]


@pytest.mark.parametrize("is_late", [False, True])
def test_sources_of_workers(is_late):
    """SRC-01: what workers import is among the sources, once; of one file the run's own process has the say, whoever was first."""
    home = event(EventType.SOURCE_ADDED, filename="both.py", path="/both.py", md5="home")
    others = [
        event(EventType.SOURCE_ADDED, writer=1, filename="both.py", path="/both.py", md5="worker"),
        event(EventType.SOURCE_ADDED, writer=1, filename="own.py", path="/own.py", md5="first"),
        event(EventType.SOURCE_ADDED, writer=2, filename="own.py", path="/own.py", md5="second"),
        event(EventType.DEPENDENCIES_FOUND, writer=1, dependencies=["a==1"]),
        event(EventType.DEPENDENCIES_FOUND, writer=2, dependencies=["a==1", "b==2"]),
    ]
    events = [home, *others] if is_late else [*others, home]
    experiment = fold(started(), *events).document()["experiment"]
    assert [("both.py", "home"), ("own.py", "first")] == [
        (entry.name, entry.md5) for entry in experiment["sources"]
    ]
    assert ["a==1", "b==2"] == experiment["dependencies"]


def test_info_as_path_diffs():
    """Info follows its path diffs: nested entries, list elements, growth, deletion, snapshots."""
    projection = fold(
        started(info={"l": [1, 2]}),
        event(EventType.INFO_CHANGED, set=[[["a"], {}], [["a", "b"], 1]], deleted=[]),
        event(EventType.INFO_CHANGED, set=[[["l", 1], 5], [["l", 2], 6]], deleted=[["a", "b"]]),
    )
    assert projection.document()["info"] == {"l": [1, 5, 6], "a": {}}
    projection.apply(event(EventType.INFO_SNAPSHOT, info={"new": 1}))
    assert projection.document()["info"] == {"new": 1}


# -- output ----------------------------------------------------------------------------------------


def test_characters_that_are_cut_in_two():
    """OUT-04: output is decoded as it comes, also in the middle of a character, by stream."""
    raw = "aä€😀".encode()
    pieces = [event(EventType.OUTPUT, stream=1, data=raw[i : i + 1]) for i in range(len(raw))]
    assert output_of(fold(started(), *pieces)) == "aä€😀"
    mixed = [pieces[0], pieces[1], event(EventType.OUTPUT, stream=2, data=b"!"), *pieces[2:]]
    assert output_of(fold(started(), *mixed)) == "a!ä€😀"


def test_bytes_that_are_no_text():
    """OUT-04: what can not be decoded is replaced, at the end too, and nothing raises."""
    end = event(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    out = event(EventType.OUTPUT, stream=1, data=b"a\xff\xe2\x82")
    assert output_of(fold(started(), out, end)) == "a\ufffd\ufffd"


def test_filtered_output_wins():
    """OUTPUT_FILTERED replaces the raw text, from the first one on."""
    projection = fold(
        started(),
        event(EventType.OUTPUT, stream=1, data=b"raw 1\rraw 2"),
        event(EventType.OUTPUT_FILTERED, keep=0, text="raw 2"),
        event(EventType.OUTPUT, stream=1, data=b" more"),
        event(EventType.OUTPUT_FILTERED, keep=4, text="3"),
        keep_output=True,
    )
    assert projection.output() == "raw 3"


def test_offsets_that_were_seen_are_dropped():
    """R8: what came out of the spool before does not come again."""
    first = event(EventType.OUTPUT, stream=1, data=b"one", begin=0, end=16)
    second = event(EventType.OUTPUT, stream=1, data=b"two", begin=16, end=32)
    assert output_of(fold(started(), first, second, first, second)) == "onetwo"


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (frozenset({2, 1}), [1, 2]),
        (Array("<f8", (2,), b"\0" * 16), [0.0, 0.0]),
        (Array("<c16", (1, 2), struct.pack("<4d", 1, 2, 3, -1)), [["(1+2j)", "(3-1j)"]]),
        (Array("|S2", (2,), b"abc\0"), ["ab", "c"]),
        (Array("<M8[D]", (1,), struct.pack("<q", 18262)), ["2020-01-01"]),
        (Array("<f8", (2, 3, 0), b""), [[[], [], []], [[], [], []]]),
        (Array("<f8", (3, 0), b""), [[], [], []]),
        (ObjectText("m.C", "<C>"), "<C>"),
        (b"text", "text"),
        (b"\xff", "/w=="),
        ({1: {2: 3}}, {"1": {"2": 3}}),
        ("\ud800x", "?x"),
        (
            dt.datetime(2020, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2020, 1, 1),
        ),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_plain_values(value, expected):
    """E.7.5: arrays, tuples and sets are lists, objects text, times naive UTC."""
    assert plain(value) == expected


@pytest.mark.parametrize("dtype", ["<f8", "<c16"])
@pytest.mark.parametrize("shape", [(10**10, 0), (3, 10**10, 0), (-1,), (10**9,), (2, 2)])
def test_an_array_whose_shape_is_forged(dtype, shape):
    """Bad input: a shape is a few bytes and may say anything; lists are made of what is there only."""
    assert plain(Array(dtype, shape, b"")) == f"<array of {dtype}, shape {shape}>"


def test_numbers_are_what_they_were():
    """Ints stay ints, floats floats, and NaN is one."""
    assert [type(value) for value in plain([1, 1.0, True])] == [int, float, bool]
    assert math.isnan(plain(math.nan))


# -- points ----------------------------------------------------------------------------------------


def table(seq, names, index, steps, values):
    times = [BEGAN // 1000 + n for n in range(len(steps))]
    fields = {"table": MetricTable(tuple(names), bytes(index), steps, times, values)}
    return Event(int(EventType.METRIC_TABLE), BEGAN, seq, 0, fields)


def test_a_table_equals_its_rows():
    """R1: a table is its rows, one sequence number each."""
    rows = [("a", 0, 0.5), ("b", 0, 1), ("a", 1, math.inf), ("b", 1, "text")]
    points = [
        event(EventType.METRIC_POINT, seq=n + 1, time=BEGAN + 1000 * n, metric=m, step=s, value=v)
        for n, (m, s, v) in enumerate(rows)
    ]
    one = table(1, "ab", [0, 1, 0, 1], [r[1] for r in rows], [r[2] for r in rows])
    assert fold(started(), one).changes() == fold(started(), *points).changes()


def test_what_was_folded_in_silence_is_counted_only():
    """R19: points that the view has are counted and not kept."""
    projection = fold(started())
    projection.apply(table(1, "a", [], [0, 1], [0.0, 1.0]), silent=True)
    projection.apply(table(3, "a", [], [2], [2.0]))
    assert projection.counts == {"a": 3}
    (points,) = [c for c in projection.changes() if isinstance(c, PointsAdded)]
    assert (points.seqs, points.steps) == ([3], [2])


def test_tags_and_notes():
    """They come whole when they changed, outside the document, which is of Sacred's fields alone."""

    def said(what, action, value):
        return event(EventType.ANNOTATED, what=what, action=action, value=value)

    projection = fold(started())
    assert [None] == [c.annotations for c in projection.changes() if isinstance(c, FieldsChanged)]
    for words in [("tag", "add", "b"), ("tag", "add", "a"), ("tag", "add", "b")]:
        projection.apply(said(*words))
    assert [FieldsChanged({}, (), Annotations(("b", "a")))] == projection.changes()
    projection.apply(said("tag", "add", "a"))
    projection.apply(said("name", "set", "baseline"))
    assert [] == projection.changes()
    projection.apply(said("note", "set", "one"))
    projection.apply(said("tag", "remove", "b"))
    other = fold(started())
    other.restore(unpack(pack(projection.state())))
    other.changes()
    other.apply(said("tag", "add", "c"))
    for one, tags in ((projection, ("a",)), (other, ("a", "c"))):
        assert [FieldsChanged({}, (), Annotations(tags, "one"))] == one.changes()
        assert "omniboard" not in one.document()
    projection.apply(said("note", "remove", None))
    assert [FieldsChanged({}, (), Annotations(("a",)))] == projection.changes()


def test_points_that_were_handed_out_are_not_kept():
    """A projection does not grow with the points of the run."""
    projection = fold(started(), table(1, "a", [], list(range(1000)), [0.0] * 1000))
    projection.changes()
    assert projection.pending_points == 0
    assert projection._points == {}


def test_a_batch_says_what_it_says_and_not_what_was():
    """A heartbeat after many points costs what one after few does: its changes are the same."""
    few = fold(started(), table(1, "a", [], [0], [0.0]))
    many = fold(started(), *(table(1 + n, "a", [], [n], [0.0]) for n in range(500)))
    beat = event(EventType.HEARTBEAT, seq=999)
    for projection in (few, many):
        projection.changes()
        projection.apply(beat)
    assert few.changes() == many.changes() != []


# -- any split gives the same ----------------------------------------------------------------------

_texts = st.sampled_from(["a", "b", "key.with.dots", "ü"])
_values = st.one_of(st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=3))


@st.composite
def _histories(draw):
    """A run's events, with sequence numbers."""
    kinds = st.sampled_from("point table output filtered info result beat artifact facts".split())
    events, seq = [started()], 1
    for kind in draw(st.lists(kinds, max_size=25)):
        writer = 0
        if kind == "point":
            one = event(16, seq, metric=draw(_texts), step=seq, value=draw(_values))
        elif kind == "table":
            rows = draw(st.integers(1, 4))
            index = [draw(st.integers(0, 1)) for _ in range(rows)]
            one = table(seq, ["a", "ü"], index, list(range(rows)), [0.5] * rows)
        elif kind == "output":
            data = draw(st.binary(max_size=5))
            one = event(20, seq, stream=draw(st.integers(1, 2)), data=data)
        elif kind == "filtered":
            one = event(21, seq, keep=draw(st.integers(0, 5)), text=draw(st.text(max_size=4)))
        elif kind == "info":
            path = draw(st.lists(_texts, min_size=1, max_size=2))
            one = event(24, seq, set=[[path, draw(_values)]], deleted=[])
        elif kind == "result":
            one = event(26, seq, result=draw(_values))
        elif kind == "beat":
            one = event(8, seq, time=BEGAN + seq * 1000)
        elif kind == "artifact":
            one = event(33, seq, name=draw(_texts), filename="/x")
        else:
            one = event(38, seq, facts={draw(_texts): 1})
        events.append(one._replace(writer=writer))
        seq += one.count
    return events


def _place(name):
    PLACES.pop(name, None)
    sink = MemorySink(SinkSpec("memory", name, {}, name))
    run = RunKey("00000000000000ff", 1)
    sink.claim(run)
    sink.position(run)
    return sink, run


def _write(sink, run, projection, at, order=None):
    position = Position({0: WriterPosition(1, at, at)})
    sink.write(Batch(run, tuple(projection.changes()), position))


def _document(name):
    return PLACES.pop(name).runs[1].document()


@given(_histories(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_cut_into_batches_gives_the_same(events, data):
    """P7: a view is the fold of its journal, however the events were cut into batches."""
    sink, run = _place("whole")
    _write(sink, run, fold(*events), 1)
    sink, run = _place("cut")
    projection = RunProjection()
    for number, one in enumerate(events):
        projection.apply(one)
        if data.draw(st.booleans()):
            _write(sink, run, projection, number)
    _write(sink, run, projection, len(events))
    assert _document("whole") == _document("cut")


@given(_histories(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_restart_anywhere_gives_the_same(events, data):
    """R19: a new projection that folds in silence up to the position goes on as the old one."""
    sink, run = _place("whole")
    _write(sink, run, fold(*events), 1)
    sink, run = _place("restarted")
    cut = data.draw(st.integers(1, len(events)))
    _write(sink, run, fold(*events[:cut]), cut)
    second = RunProjection()
    for number, one in enumerate(events):
        if number == cut:
            second.drop_changes()
        second.apply(one, silent=number < cut)
    if cut == len(events):
        second.drop_changes()
    _write(sink, run, second, len(events))
    assert _document("whole") == _document("restarted")
