"""Document -> events -> document: what a store says of a run is what the projection makes of it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.journal.codec import pack, unpack
from sacred.journal.events import REQUIRED, Event, EventType
from sacred.replayers.errors import StoredRunError
from sacred.replayers.projection import RunProjection
from sacred.replayers.stores.columns import ColumnFile
from sacred.replayers.stores.document import stored_run, time_of
from sacred.replayers.stores.events import events_of, live_config
from sacred.replayers.stores.store import StoredFile

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(TEXTS, VALUES, max_size=4)
TIMES = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1))
REPOSITORIES = st.fixed_dictionaries({"url": TEXTS, "commit": TEXTS, "dirty": st.booleans()})
STATUSES = st.sampled_from(["COMPLETED", "FAILED", "INTERRUPTED", "TIMEOUT", "RUNNING", "MINE"])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return a run's document as Sacred's observers write it."""
    status = draw(STATUSES)
    document = {
        "experiment": {
            "name": draw(TEXTS),
            "base_dir": draw(TEXTS),
            "mainfile": draw(st.none() | TEXTS),
            "dependencies": draw(st.lists(TEXTS, unique=True, max_size=3)),
            "repositories": draw(st.lists(REPOSITORIES | MAPS, max_size=2)),
        },
        "command": draw(TEXTS),
        "status": status,
        "start_time": draw(TIMES),
        "heartbeat": draw(TIMES),
        "config": draw(MAPS),
        "meta": draw(MAPS),
        "host": draw(MAPS),
        "info": draw(MAPS),
        "result": draw(VALUES),
    }
    if status != "RUNNING":
        document["stop_time"] = draw(TIMES)
    if status == "FAILED":
        document["fail_trace"] = draw(st.lists(TEXTS, max_size=3))
    return document


def _folded(run: Any) -> RunProjection:
    """Fold what is told of a run, each event through the journal's encoding."""
    projection = RunProjection(keep_output=True)
    for seq, told in enumerate(events_of(run, {"kind": "test"})):
        given = {  # as the writer does
            name: value
            for name, value in told.fields.items()
            if value is not None or name in REQUIRED[told.type]
        }
        fields = unpack(pack(given))
        projection.apply(Event(told.type, told.time, seq, 0, fields))
    return projection


def _stored(document: dict[str, Any], **more: Any) -> Any:
    parts: dict[str, Any] = {
        "sources": [],
        "resources": [],
        "artifacts": [],
        "output": list,
        "metrics": list,
        "journal_id": None,
        "losses": [],
        "partial": False,
    }
    return stored_run(1, document, **{**parts, **more})


@settings(max_examples=100, deadline=None)
@given(documents(), st.lists(TEXTS, max_size=3))
def test_the_same_document(document: dict[str, Any], output: list[str]) -> None:
    """Whatever a document says, the events of its run make it again, field by field."""
    run = _stored(document, output=lambda: output)
    assert [] == run.losses
    projection = _folded(run)
    found = projection.document()
    assert "".join(output) == projection.output()
    found["experiment"].pop("sources")
    for name in ("resources", "artifacts"):
        assert [] == found.pop(name)
    assert document == found


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        TEXTS.filter(bool),
        st.lists(st.tuples(NUMBERS, VALUES, st.integers(0, 1 << 51)), max_size=5),
        max_size=3,
    )
)
def test_the_same_points(metrics: dict[str, list[Any]]) -> None:
    """Each metric has its points, in their order, with their times."""
    document = {"status": "COMPLETED", "config": {}, "experiment": {}}
    run = _stored(document, metrics=lambda: [(n, iter(rows)) for n, rows in metrics.items()])
    found = {
        added.metric: list(zip(added.steps, added.values, added.times, strict=True))
        for added in _folded(run).take_points()
    }
    assert {name: rows for name, rows in metrics.items() if rows} == found


def test_files_are_told_with_their_versions() -> None:
    """An artifact that was added again is its next version; what is missing says why."""
    named = StoredFile("a", "/lab/a", "0" * 32, content_type="text/x", metadata={"m": 1})
    run = _stored(
        {"status": "COMPLETED", "experiment": {"mainfile": "m.py"}},
        sources=[StoredFile("m.py", "/lab/m.py", "1" * 32)],
        resources=[StoredFile("/lab/d", "/lab/d", "2" * 32, missing="gone")],
        artifacts=[named, named],
    )
    found = _folded(run).document()
    (source,) = found["experiment"]["sources"]
    assert ("m.py", "/lab/m.py", "1" * 32) == (source.name, source.path, source.md5)
    assert ["2" * 32] == [entry.md5 for entry in found["resources"]]
    assert [(1, "text/x"), (2, "text/x")] == [
        (e.version, e.content_type) for e in found["artifacts"]
    ]


def test_the_queue_time_counts_for_a_queued_run() -> None:
    """A queued run has no other time; its configuration is what the program will get."""
    queued = dt.datetime(2024, 5, 6, 7, 8, 9, 10)
    array = {"py/object": "numpy.ndarray", "dtype": "int64", "values": [1, 2]}
    document = {
        "status": "QUEUED",
        "experiment": {"name": "x"},
        "meta": {"queue_time": queued},
        "config": {"a": array, "t": {"py/tuple": [1, {"py/set": [2]}]}},
    }
    first = next(events_of(_stored(document), {}))
    assert (EventType.RUN_QUEUED, (1, frozenset({2}))) == (first.type, first.fields["config"]["t"])
    assert [1, 2] == first.fields["config"]["a"].tolist()
    assert queued == dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=first.time // 1000)


def test_packages_as_old_versions_have_them() -> None:
    """Pairs of a name and a version are what newer versions write as one text."""
    document = {"status": "COMPLETED", "experiment": {"dependencies": [["numpy", "1.2"], "x==3"]}}
    found = _folded(_stored(document)).document()
    assert ["numpy==1.2", "x==3"] == found["experiment"]["dependencies"]


def test_no_class_is_made() -> None:
    """What names a class in a document stays the dictionary that it is."""
    for mark in (
        {"py/object": "os.system", "args": ["true"]},
        {"py/reduce": [{"py/function": "os.system"}, ["true"]]},
        {"py/tuple": "no list"},
        {"py/set": [[1]]},
    ):
        assert mark == live_config(mark)


def test_times_of_documents() -> None:
    """Dates, ISO 8601 with and without a zone, and jsonpickle's mark; anything else is none."""
    wanted = dt.datetime(2024, 5, 6, 7, 8, 9)
    zone = dt.timezone(dt.timedelta(hours=2))
    for given_time in (
        wanted,
        "2024-05-06T07:08:09",
        "2024-05-06T07:08:09Z",
        "2024-05-06T09:08:09+02:00",
        dt.datetime(2024, 5, 6, 9, 8, 9, tzinfo=zone),
    ):
        assert wanted == time_of(given_time)
    for odd in (None, 3, "soon", {}, {"py/object": "datetime.datetime"}, []):
        assert time_of(odd) is None


# -- files like metrics.json ----------------------------------------------------------------------


def _columns(path: Any, within: str | None = None) -> Any:
    file = ColumnFile(str(path), within)
    try:
        return {
            name: {part: list(file.column(span)) for part, span in spans.items()}
            for name, spans in file.spans.items()
        }
    finally:
        file.close()


COLUMNS = st.dictionaries(
    TEXTS, st.dictionaries(TEXTS, st.lists(VALUES, max_size=6), max_size=3), max_size=3
)


@settings(max_examples=100, deadline=None)
@given(COLUMNS, st.sampled_from([None, 2]), st.booleans())
def test_columns_are_read_as_json_reads_them(
    tmp_path_factory: pytest.TempPathFactory, content: Any, indent: int | None, ascii_only: bool
) -> None:
    """However a file is laid out, its columns are those that ``json`` finds; in pieces of any size."""
    path = tmp_path_factory.mktemp("columns") / "metrics.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    assert content == _columns(path)
    inside = {"metrics": content, "_journal": {"id": "a", "next": {"x": {"0": 3}}, "at": [[1, 2]]}}
    path.write_text(json.dumps(inside, indent=indent), encoding="utf-8")
    assert content == _columns(path, "metrics")


def test_columns_in_small_pieces(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece may end anywhere: in a number, a text, a list in a list."""
    content = {"m": {"values": [1.5, "a,b]", [1, [2, {"k": ","}]], None, '\\"', "x" * 50] * 5}}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr("sacred.replayers.stores.columns._PIECE", size)
        assert content == _columns(tmp_path / "metrics.json")


@settings(max_examples=80, deadline=None)
@given(COLUMNS.filter(bool), st.data())
def test_a_cut_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: Any, data: st.DataObject
) -> None:
    """Half a file is damage, wherever it ends."""
    whole = json.dumps(content).encode()
    path = tmp_path_factory.mktemp("columns") / "metrics.json"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(StoredRunError, match="its metrics.json is damaged: "):
        _columns(path)


def test_a_cut_inside_of_a_key_that_is_a_bracket(tmp_path: Any) -> None:
    """What is left of the key is no bracket."""
    (tmp_path / "metrics.json").write_text('{"}')
    with pytest.raises(StoredRunError, match="it ends in the middle, at byte 3"):
        _columns(tmp_path / "metrics.json")
