"""MongoObserver called event by event: Sacred's documents, by Sacred's calls, with what people replace."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
from observers.calls import NOW, PEER, beat, experiment, points, start
from servers.memory import Collection, Files

from sacred.core.errors import ObserverError
from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.observers.mongo import MongoObserver, QueuedMongoObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _observer(**more: Any) -> Any:
    runs, metrics = Collection("runs"), Collection("metrics")
    return MongoObserver.create_from(runs, Files(), metrics_collection=metrics, **more)


# -- documents -------------------------------------------------------------------------------------


def test_the_document_of_a_start() -> None:
    """USE-03, MGO-02: not one field more than Sacred's, and no heartbeat before the first beat."""
    observer = _observer()
    assert 1 == start(observer)
    assert [
        {
            "_id": 1,
            "format": "MongoObserver-0.7.0",
            "command": "main",
            "status": "RUNNING",
            "start_time": NOW,
            "heartbeat": None,
            "config": {"a": 1},
            "info": {},
            "meta": {"comment": "c"},
            "host": {"hostname": "here"},
            "experiment": experiment(),
            "resources": [],
            "artifacts": [],
            "captured_out": "",
        }
    ] == observer.runs.documents


def test_the_document_of_a_queued_run() -> None:
    """MGO-02: experiment, command, host, config, meta, status."""
    observer = _observer()
    facts = (experiment(), "main", {"hostname": "here"}, NOW, {"a": 1}, {"comment": "c"})
    assert 1 == observer.queued_event(*facts, None)
    assert [
        {
            "_id": 1,
            "command": "main",
            "status": "QUEUED",
            "config": {"a": 1},
            "meta": {"comment": "c"},
            "host": {"hostname": "here"},
            "experiment": experiment(),
        }
    ] == observer.runs.documents


def test_a_beat() -> None:
    """USE-10: a start and a first beat are two writes, an insert_one and an update_one of all."""
    observer = _observer()
    start(observer)
    beat(observer, {"x": np.arange(2), "y": (1, np.float64(0.5))}, "hello")
    assert ["insert_one", "update_one"] == observer.runs.writes
    (document,) = observer.runs.documents
    assert ({"x": [0, 1], "y": [1, 0.5]}, "hello", NOW, None) == tuple(
        document[name] for name in ("info", "captured_out", "heartbeat", "result")
    )
    _, query, update, upsert = observer.runs.calls[-1]
    assert ({"_id": 1}, ["$set"], document, False) == (query, list(update), update["$set"], upsert)


def test_metrics() -> None:
    """MGO-03: one push a metric; the documents are named in the info that was given, and once."""
    observer = _observer()
    start(observer)
    info: dict[str, Any] = {"mine": 1}
    for value in (0.5, 0.25):
        observer.log_metrics({"loss": points(value), "acc": points(1, 2)}, info)
        beat(observer, dict(info))
        beat(observer, {"mine": 1})  # a run gives each event a copy of its own
    loss, acc = observer.metrics.documents
    assert ("loss", 1, [0, 0], [0.5, 0.25], [NOW] * 2) == tuple(
        loss[name] for name in ("name", "run_id", "steps", "values", "timestamps")
    )
    assert ["_id", "name", "run_id", "steps", "timestamps", "values"] == sorted(loss)
    named = [{"name": one["name"], "id": str(one["_id"])} for one in (loss, acc)]
    assert {"mine": 1, "metrics": named} == info == observer.runs.documents[0]["info"]
    assert ["update_one"] * 4 == observer.metrics.writes


def test_metrics_that_were_pushed_are_not_pushed_again() -> None:
    """A run gives points again that an observer did not take: here all but those it took."""
    observer = _observer()
    start(observer)
    failures = [None, OSError("down")]

    def fail(_: str) -> None:
        if failures and (failure := failures.pop(0)):
            raise failure

    observer.metrics.before = fail
    with pytest.raises(OSError, match="down"):
        observer.log_metrics({"a": points(1), "b": points(2)}, {})
    observer.log_metrics({"a": points(1, 3), "b": points(2)}, {})
    assert [[1, 3], [2]] == [one["values"] for one in observer.metrics.documents]
    observer.log_metrics({"a": points(1, 3)}, {})
    assert [1, 3, 1, 3] == observer.metrics.documents[0]["values"]


def test_without_a_metrics_collection() -> None:
    """USE-02: ``create_from`` needs none; points are for the other observers then."""
    observer = MongoObserver.create_from(Collection("runs"), Files())
    start(observer)
    observer.log_metrics({"a": points(1)}, {})
    assert observer.metrics is None


def test_sources_and_resources_are_stored_once(tmp_path: Path) -> None:
    """MGO-04, MGO-05, MGO-06: under absolute paths, by name and md5; one that is gone is left out."""
    (tmp_path / "main.py").write_text("print()")
    observer = _observer()
    facts = experiment(["main.py", "abc"], ["gone.py", "def"], base=tmp_path)
    for _ in range(2):
        start(observer, ex_info=facts)
        observer.resource_event(filename=str(tmp_path / "main.py"))
    source, resource = observer.fs.files
    assert (str(tmp_path / "main.py"), "abc", b"print()") == tuple(
        source[name] for name in ("filename", "md5", "content")
    )
    assert [["main.py", "abc"], ["gone.py", "def"]] == facts["sources"]
    for document in observer.runs.documents:
        assert [["main.py", source["_id"]]] == document["experiment"]["sources"]
        assert [(resource["filename"], resource["md5"])] == document["resources"]


def test_artifacts(tmp_path: Path) -> None:
    """MGO-04: ``artifact://collection/run/name``, metadata, a content type that is guessed."""
    (tmp_path / "f.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "g.unknown").write_text("y")
    observer = _observer()
    start(observer)
    path = str(tmp_path / "f.txt")
    observer.artifact_event(name="a b", filename=path)
    observer.artifact_event(name="c", filename=path, metadata={"k": 1}, content_type="x/y")
    observer.artifact_event(name="d", filename=str(tmp_path / "folder"))
    assert [
        ("artifact://runs/1/a b", None, "text/plain"),
        ("artifact://runs/1/c", {"k": 1}, "x/y"),
        ("artifact://runs/1/d/g.unknown", None, None),
    ] == [(one["filename"], one["metadata"], one["content_type"]) for one in observer.fs.files]
    ids = [one["_id"] for one in observer.fs.files]
    assert [
        {"name": name, "file_id": file_id}
        for name, file_id in zip(["a b", "c", "d/g.unknown"], ids, strict=True)
    ] == observer.runs.documents[0]["artifacts"]


def test_a_file_whose_event_comes_again(tmp_path: Path) -> None:
    """EVT-04: an event that failed and is told again is in the entry once."""
    (tmp_path / "f").write_text("x")
    observer = _observer()
    start(observer)
    for event in (observer.resource_event, lambda path: observer.artifact_event("f", path)):
        observer.runs.before = _failing(OSError("down"))
        with pytest.raises(OSError, match="down"):
            event(str(tmp_path / "f"))
        observer.runs.before = lambda _: None
        event(str(tmp_path / "f"))
    (document,) = observer.runs.documents
    assert (1, 1) == (len(document["resources"]), len(document["artifacts"]))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"completed_event": (NOW, {"r": 1})}, {"status": "COMPLETED", "result": {"r": 1}}),
        ({"interrupted_event": (NOW, "TIMEOUT")}, {"status": "TIMEOUT"}),
        ({"failed_event": (NOW, ["a", "b"])}, {"status": "FAILED", "fail_trace": ["a", "b"]}),
    ],
)
def test_ends(event: dict[str, Any], expected: dict[str, Any]) -> None:
    """EVT-02: status, stop_time, and result or trace; the last save makes the entry if need be."""
    observer = _observer()
    start(observer)
    before = dict(observer.runs.documents[0])
    ((name, arguments),) = event.items()
    getattr(observer, name)(*arguments)
    assert {**before, "stop_time": NOW, **expected} == observer.runs.documents[0]
    assert observer.runs.calls[-1][3] is True


# -- ids -------------------------------------------------------------------------------------------


def test_ids_are_the_next_numbers() -> None:
    """MGO-07, OBS-04: beyond the highest number, whatever texts are there."""
    observer = _observer()
    assert ["x", 12, 13] == [start(observer, run_id) for run_id in ("x", "12", None)]
    assert ["x", 12, 13] == [one["_id"] for one in observer.runs.documents]


def test_an_id_that_two_want() -> None:
    """MGO-07: the next one, when another run took it meanwhile; a given one is an error."""
    observer = _observer()
    start(observer)

    def taken(method: str) -> None:
        if method == "insert_one":
            observer.runs.before = lambda _: None
            observer.runs.documents.append({"_id": 2})

    observer.runs.before = taken
    assert 3 == start(observer)
    from pymongo.errors import DuplicateKeyError

    with pytest.raises(FileExistsError, match="There is a run with the id 3"):
        start(observer, 3)
    with pytest.raises(DuplicateKeyError):
        start(observer, 3)
    assert 3 == observer.run_entry["_id"]  # the run that began is still the one at work
    with mock.patch.object(observer.runs, "find", return_value=observer.runs.find({"_id": 9})):
        assert 4 == start(observer)  # what a server says may be old


def test_overwrite() -> None:
    """MGO-07: an entry is taken over with what others put there, once; one that is not is an error."""
    first = _observer()
    start(first)
    first.log_metrics({"loss": points(1)}, {})
    first.runs.documents[0]["omniboard"] = {"tags": ["t"]}
    given = {"metrics_collection": first.metrics, "overwrite": 1}
    observer: Any = MongoObserver.create_from(first.runs, Files(), **given)
    assert {"tags": ["t"]} == observer.run_entry["omniboard"]
    assert 1 == start(observer, a=2)
    (document,) = first.runs.documents
    assert ({"tags": ["t"]}, {"a": 2}) == (document["omniboard"], document["config"])
    observer.log_metrics({"loss": points(2)}, {})
    beat(observer)
    (series,) = first.metrics.documents
    named = [{"name": "loss", "id": str(series["_id"])}]
    assert ([1, 2], {"metrics": named}) == (series["values"], first.runs.documents[0]["info"])
    with pytest.raises(RuntimeError, match="Cannot overwrite more than once"):
        start(observer)
    with pytest.raises(RuntimeError, match="Couldn't find run to overwrite with _id='9'"):
        MongoObserver.create_from(first.runs, Files(), overwrite=9)


# -- failures --------------------------------------------------------------------------------------


def _failing(error: Exception, method: str = "update_one") -> Callable[[str], None]:
    def fail(called: str) -> None:
        if called == method:
            raise error

    return fail


@pytest.mark.parametrize(
    ("event", "attempts"),
    [
        ({"completed_event": (NOW, 1)}, 10),
        ({"interrupted_event": (NOW, "TIMEOUT")}, 3),
        ({"failed_event": (NOW, [])}, 1),
        ({"final_save": (2,)}, 2),
    ],
)
def test_a_last_save_that_fails(
    event: dict[str, Any], attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """USE-10, MGO-08: so many attempts, then a pickle in ``failure_dir``, which is made."""
    from pymongo.errors import AutoReconnect

    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    observer = _observer(failure_dir=tmp_path / "new" / "dir")
    start(observer)
    observer.runs.before = _failing(AutoReconnect("down"))
    ((name, arguments),) = event.items()
    getattr(observer, name)(*arguments)
    assert (["update_one"] * attempts, attempts - 1) == (observer.runs.writes[1:], len(slept))
    (kept,) = (tmp_path / "new" / "dir").glob("sacred_mongo_fail_1*.pickle")
    with open(kept, "rb") as file:
        assert observer.run_entry == pickle.load(file)  # noqa: S301 - it was written here


@pytest.mark.parametrize("given", [None, 7, "x"])
def test_an_insertion_whose_answer_is_lost(given: Any) -> None:
    """A start that is told again is not a second entry, though the driver raised; that of another run is."""
    from pymongo.errors import AutoReconnect

    observer = _observer()
    observer.runs.after = _failing(AutoReconnect("gone"), "insert_one")
    with pytest.raises(AutoReconnect):
        start(observer, given, x=float("nan"))
    observer.runs.after = lambda _: None
    run_id = start(observer, given, x=float("nan"))
    assert [given or 1] == [run_id] == [one["_id"] for one in observer.runs.documents]
    if given is None:
        assert 2 == start(observer, x=float("nan"))
    else:
        with pytest.raises(FileExistsError):
            start(observer, given, x=float("nan"))


def test_an_insertion_that_another_run_overtakes() -> None:
    """What stands under the number that was tried is compared: another run keeps its entry."""
    from pymongo.errors import AutoReconnect

    observer = _observer()
    observer.runs.before = _failing(AutoReconnect("gone"), "insert_one")
    with pytest.raises(AutoReconnect):
        start(observer)
    observer.runs.before = lambda _: None
    other = MongoObserver.create_from(observer.runs, observer.fs)
    assert (1, 2) == (start(other, x=1), start(observer))


def test_a_last_save_that_fails_without_a_place_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """MGO-08: with no ``failure_dir`` the driver's error is raised, and nothing hides it."""
    monkeypatch.setattr("time.sleep", mock.Mock(side_effect=AssertionError))
    from pymongo.errors import ConnectionFailure

    observer = _observer()
    start(observer)
    observer.runs.before = _failing(ConnectionFailure("down"))
    with pytest.raises(ConnectionFailure, match="down"):
        observer.completed_event(NOW, 1)


def test_a_connection_that_is_lost_and_other_errors() -> None:
    """MGO-08: a save passes over a lost connection, the next has it all; other errors are raised."""
    from pymongo.errors import AutoReconnect, OperationFailure

    observer = _observer()
    start(observer)
    observer.runs.before = _failing(AutoReconnect("down"))
    beat(observer, {"x": 1}, "one")
    observer.runs.before = _failing(OperationFailure("not allowed"))
    with pytest.raises(OperationFailure, match="not allowed"):
        beat(observer, {"x": 1}, "one two")
    observer.runs.before = lambda _: None
    observer.save()
    assert "one two" == observer.runs.documents[0]["captured_out"]


def test_what_bson_can_not_hold() -> None:
    """MGO-08: only a program that changes ``run_entry`` can do it; a save raises, the last mends."""
    observer = _observer()
    start(observer)
    observer.run_entry["mine"] = {"a.b": [object, 1], "$c": 1 << 70}
    with pytest.raises(ObserverError, match="unserializable entry"):
        observer.save()
    observer.completed_event(NOW, 1)
    mended = observer.runs.documents[0]["mine"]
    assert {"a,b": [str(object), 1], "@c": str(1 << 70)} == mended


def test_a_start_that_failed_leaves_nothing() -> None:
    """EVT-04: the entry is as before, and a beat is refused until the start has passed."""
    observer = _observer()
    observer.runs.before = _failing(OSError("down"), "insert_one")
    with pytest.raises(OSError, match="down"):
        start(observer)
    observer.failed_event(NOW, [])  # told to all observers, also to those that never began
    with pytest.raises(RuntimeError, match="comes first"):
        beat(observer)
    observer.runs.before = lambda _: None
    assert (1, ["insert_one"] * 2) == (start(observer), observer.runs.writes)


# -- what people replace ---------------------------------------------------------------------------


def test_a_patched_save_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """MGO-09, PKG-03: what Altar puts in the place of ``MongoObserver.save_sources`` is asked."""
    asked: list[Any] = []

    def save_sources(self: Any, ex_info: dict[str, Any]) -> list[list[str]]:
        asked.append((self, ex_info["name"]))
        return [["frozen.exe", "an id"]]

    monkeypatch.setattr("sacred.observers.mongo.MongoObserver.save_sources", save_sources)
    observer = _observer()
    start(observer, ex_info=experiment(["main.py", "abc"]))
    assert [(observer, "iris")] == asked
    assert [["frozen.exe", "an id"]] == observer.runs.documents[0]["experiment"]["sources"]
    assert declared_view(MongoObserver("h")) is None


class _Noting(MongoObserver):
    """Notes what its base asks of it."""

    def insert(self) -> None:
        self.asked: list[Any] = ["insert"]
        super().insert()
        self._poke("inserted")

    def save(self) -> None:
        self.asked.append("save")
        super().save()

    def final_save(self, attempts: int) -> None:
        self.asked.append(attempts)
        super().final_save(attempts)

    def _poke(self, what: str) -> None:
        assert self.run_entry is not None
        self.run_entry["slurm"] = what


def test_a_subclass(tmp_path: Path) -> None:
    """USE-18: insert, save and final_save are called where Sacred calls them; run_entry is written."""
    observer = _Noting.create_from(Collection("runs"), Files(), metrics_collection=Collection("m"))
    (tmp_path / "f").write_text("x")
    start(observer)
    observer.log_metrics({}, {})
    beat(observer)
    observer.resource_event(str(tmp_path / "f"))
    observer.artifact_event("f", str(tmp_path / "f"))
    observer.completed_event(NOW, 1)
    assert ["insert", "save", "save", "save", 10] == observer.asked  # type: ignore[attr-defined]
    assert "inserted" == observer.runs.documents[0]["slurm"]


def test_a_replaced_method_of_one_observer() -> None:
    """R22: an observer with one is called event by event, whichever method it is."""
    observer = MongoObserver("h")
    assert declared_view(observer) is not None
    observer.save_sources = lambda _: []  # type: ignore[method-assign]
    assert declared_view(observer) is None


def test_replaced_handles() -> None:
    """USE-04: ``runs``, ``metrics``, ``fs`` and ``run_entry`` can be set, and are used from then on."""
    observer = MongoObserver("h")
    observer.runs, observer.metrics, observer.fs = Collection("mine"), Collection("m"), Files()
    assert declared_view(observer) is None
    start(observer)
    assert "MongoObserver-0.7.0" == observer.VERSION == observer.runs.documents[0]["format"]
    observer.run_entry = {**observer.run_entry, "more": 1}  # type: ignore[dict-item]
    observer.save()
    assert 1 == observer.runs.documents[0]["more"]
    other = MongoObserver("h2")
    other.runs = observer.runs
    assert observer == other


def test_the_driver_is_looked_up_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-01: a MongoClient that is a function, and a GridFS; both are used, in this process."""
    database = {"runs": Collection("runs"), "metrics": Collection("metrics")}
    clients: list[Any] = []

    def client(*args: Any, **keywords: Any) -> Any:
        clients.append((args, keywords))
        return {"d": database}

    monkeypatch.setattr("pymongo.MongoClient", client)
    monkeypatch.setattr("gridfs.GridFS", lambda database: (database, "a GridFS"))
    observer = MongoObserver("h:1", "d", ssl=True)
    monkeypatch.undo()
    assert [(("h:1",), {"ssl": True})] == clients
    assert (database["runs"], database["metrics"]) == (observer.runs, observer.metrics)
    assert (database, "a GridFS") == observer.fs
    assert declared_view(observer) is None
    assert 1 == start(observer)


def test_a_client_of_ones_own() -> None:
    """USE-02: no connection is made to look at it, in the constructor and for the handles."""
    import pymongo

    with pymongo.MongoClient("mongodb://127.0.0.1:1", connect=False) as client:
        with mock.patch.object(pymongo.MongoClient, "_get_topology", side_effect=AssertionError):
            observer = MongoObserver(client=client, db_name="d", collection_prefix="P")
            assert ("P_runs", "P_metrics") == (observer.runs.name, observer.metrics.name)
            assert declared_view(observer) is None
        with pytest.raises(ValueError, match="both a client and a url"):
            MongoObserver("h", client=client)
    with pytest.raises(ValueError, match=r"client needs to be a pymongo\.MongoClient"):
        MongoObserver(client=Collection("no client"))


def test_a_driver_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-12: an ImportError that names the package, at construction."""
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(ImportError, match="pip install pymongo") as caught:
        MongoObserver()
    assert "pymongo" == caught.value.name


# -- in a run, and in a queue ----------------------------------------------------------------------


def _run(observer: Any, main: Callable[[Run], Any]) -> Run:
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    logger = mock.Mock()
    run = Run({"seed": 1}, None, lambda: main(run), [observer], logger, logger, info, {}, [], [])
    run()
    return run


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


@pytest.mark.usefixtures("_in_a_folder")
def test_a_run_with_it() -> None:
    """R22, USE-16: called by the run; ``run_entry`` inside main; points, output, result are there."""
    observer = _observer()
    seen: list[Any] = []

    def main(run: Run) -> int:
        seen.append((run.observers[0].run_entry["_id"], run._id))
        print("hello")
        run.log_scalar("loss", 0.5)
        return 3

    _run(observer, main)
    (document,) = observer.runs.documents
    assert [(1, 1)] == seen
    assert ("COMPLETED", 3, "hello\n") == tuple(
        document[name] for name in ("status", "result", "captured_out")
    )
    (series,) = observer.metrics.documents
    assert [{"name": "loss", "id": str(series["_id"])}] == document["info"]["metrics"]
    assert "_journal" not in document | series


@pytest.mark.usefixtures("_in_a_folder")
def test_a_run_while_the_server_is_down_at_the_start() -> None:
    """EVT-04: views never stop a run; it is told of the start again with the last beat."""
    from pymongo.errors import ServerSelectionTimeoutError

    observer = _observer()
    failures: list[Exception] = [ServerSelectionTimeoutError("down")]

    def fail(method: str) -> None:
        if method == "insert_one" and failures:
            raise failures.pop()

    observer.runs.before = fail
    _run(observer, lambda _: 3)
    assert ["COMPLETED"] == [one["status"] for one in observer.runs.documents]


def test_the_queued_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-05: the start is one write, and there when it returns; what fails comes again till join."""
    from pymongo.errors import AutoReconnect, OperationFailure

    database = {"runs": Collection("runs"), "metrics": Collection("metrics")}
    monkeypatch.setattr("pymongo.MongoClient", lambda *_, **__: {"sacred": database})
    monkeypatch.setattr("gridfs.GridFS", lambda _: Files())
    observer = QueuedMongoObserver(interval=0.01, retry_interval=0.01)
    assert (1, ["insert_one"]) == (start(observer), observer.runs.writes)
    failures: list[Exception] = [AutoReconnect("down"), OperationFailure("no"), AutoReconnect("")]

    def fail(method: str) -> None:
        if method == "update_one" and failures:
            raise failures.pop()

    observer.runs.before = fail
    observer.heartbeat_event(info={}, captured_out="x", beat_time=NOW, result=1)
    observer.log_metrics({"m": points(1)}, {})
    observer.join()
    assert ["insert_one"] + ["update_one"] * 4 == observer.runs.writes
    assert ("x", [[1]]) == (
        observer.runs.documents[0]["captured_out"],
        [one["values"] for one in observer.metrics.documents],
    )
    observer.completed_event(stop_time=NOW, result=1)
    assert "COMPLETED" == observer.runs.documents[0]["status"]


# -- with a server, and beside the peer ------------------------------------------------------------

_PROGRAM = """
import datetime as dt, sys
import gridfs, pymongo
from bson.json_util import dumps
from sacred.observers import MongoObserver

url, name, folder = sys.argv[1:]
now = dt.datetime(2024, 5, 4, 3, 2, 1)
with pymongo.MongoClient(url) as client:
    database = client[name]
    for ends in ("completed", "interrupted", "failed"):
        observer = MongoObserver(client=client, db_name=name)
        experiment = {"name": "iris", "base_dir": folder, "sources": [["main.py", "abc"]],
                      "dependencies": ["numpy==1"], "repositories": [], "mainfile": "main.py"}
        observer.started_event(experiment, "main", {"hostname": "h"}, now, {"a": [1, {"b": None}]},
                               {"options": {"-x": False}}, None)
        info = {"x": 1.5, "y": "text"}
        for n in range(2):
            points = {"steps": [n, n + 0.5], "values": [1.5, 2], "timestamps": [now] * 2}
            observer.log_metrics({"loss": points}, info)
            observer.heartbeat_event(info, "out" * n, now, n)
        observer.resource_event(folder + "/main.py")
        observer.artifact_event("main", folder + "/main.py", {"k": 1}, None)
        {"completed": lambda: observer.completed_event(now, {"r": 1}),
         "interrupted": lambda: observer.interrupted_event(now, "TIMEOUT"),
         "failed": lambda: observer.failed_event(now, ["a", "b"])}[ends]()
    observer.queued_event(experiment, "main", {}, now, {}, {}, None)
    print("DOCUMENTS", dumps({c: list(database[c].find({}, sort=[(key, 1)]))
                              for c, key in (("runs", "_id"), ("metrics", "run_id"))}))
"""


def _execute(python: str, program: str, folder: Path, *words: str) -> Any:
    script = folder / "program.py"
    script.write_text(program)
    # A PYTHONPATH would lead the peer's Python to this project.
    path = {} if python == sys.executable else {"PYTHONPATH": ""}
    done = subprocess.run(
        [python, str(script), *words],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done


def _documents(python: str, url: str, name: str, folder: Path) -> Any:
    """Return what an observer of this Python writes; an ObjectId becomes a text that says so."""
    done = _execute(python, _PROGRAM, folder, url, name, str(folder))
    found = json.loads(done.stdout.partition("DOCUMENTS ")[2])
    for run in found["runs"]:
        for metric in run.get("info", {}).get("metrics", ()):
            metric["id"] = f"{len(metric['id'])} digits"
    return _without_ids(found)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            "an id" if list(value) == ["$oid"] else {k: _without_ids(v) for k, v in value.items()}
        )
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.mark.server
@pytest.mark.skipif(PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
def test_the_same_documents_as_the_peer(mongo_server: Any, mongo_db: Any, tmp_path: Path) -> None:
    """USE-03: field by field what Sacred's observer writes into the same server."""
    (tmp_path / "main.py").write_text("print()")
    theirs = _documents(str(PEER), mongo_server.url, mongo_db.name, tmp_path)
    mongo_db.client.drop_database(mongo_db.name)
    ours = _documents(sys.executable, mongo_server.url, mongo_db.name, tmp_path)
    assert theirs == ours
    # Sacred's stores the source anew with each run.
    assert 1 == mongo_db.fs.files.count_documents(
        {"filename": str(tmp_path / "main.py"), "md5": "abc"}
    )


@pytest.mark.server
def test_what_the_clients_ask_for(mongo_server: Any, mongo_db: Any, tmp_path: Path) -> None:
    """MGO-04, MGO-09: what AltarExtractor, incense and Omniboard ask of a database is answered."""
    import gridfs
    from bson import ObjectId

    (tmp_path / "main.py").write_text("print()")
    _documents(sys.executable, mongo_server.url, mongo_db.name, tmp_path)
    keys = mongo_db.runs.aggregate(
        [
            {"$match": {"experiment.name": "iris", "config": {"$type": "object"}}},
            {"$project": {"pairs": {"$objectToArray": "$config"}}},
            {"$unwind": "$pairs"},
            {"$group": {"_id": "$pairs.k"}},
        ]
    )
    assert ["a"] == [one["_id"] for one in keys]
    for run in mongo_db.runs.find({"status": {"$ne": "QUEUED"}}):
        json.dumps(run["info"])
        (metric,) = run["info"]["metrics"]
        series = mongo_db.metrics.find_one({"_id": ObjectId(metric["id"])})
        assert (run["_id"], "loss", [1.5, 2, 1.5, 2]) == (
            series["run_id"],
            metric["name"],
            series["values"],
        )
        (artifact,) = run["artifacts"]
        stored = gridfs.GridFS(mongo_db).get(artifact["file_id"])
        assert b"print()" == stored.read()
        facts = mongo_db.fs.files.find_one({"_id": artifact["file_id"]})
        assert (f"artifact://runs/{run['_id']}/main", "text/x-python") == (
            facts["filename"],
            facts["contentType"],
        )


_EXPERIMENT = """
import sys
from sacred import Experiment
from sacred.observers import MongoObserver

def save_sources(self, ex_info):
    return [["frozen.exe", "stored elsewhere"]]

MongoObserver.save_sources = save_sources
ex = Experiment("altar", save_git_info=False)
ex.add_config({"a": 1, "seed": 5})
ex.observers.append(MongoObserver(url=sys.argv[1], db_name=sys.argv[2]))

@ex.main
def main(_run, a):
    print("the id is", _run._id, "and the entry's", ex.observers[0].run_entry["_id"])
    for step in range(3):
        _run.log_scalar("loss", a / (step + 1), step + 0.5)
    _run.info["result"] = {"x": 2}
    _run.add_artifact(__file__, name="the program", content_type="text/plain")
    return 42

for a in (1, 2):
    ex.run(config_updates={"a": a}, options={"--capture": "sys"})
"""


@pytest.mark.server
@pytest.mark.skipif(PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
def test_the_same_experiment_as_the_peer(mongo_server: Any, mongo_db: Any, tmp_path: Path) -> None:
    """R22, USE-07, USE-16: a program that changes MongoObserver prints and stores the same in both."""
    said, stored = [], []
    for python in (str(PEER), sys.executable):
        folder = tmp_path / str(len(said))
        folder.mkdir()
        done = _execute(python, _EXPERIMENT, folder, mongo_server.url, mongo_db.name)
        said.append((done.stdout.splitlines(), done.stderr.splitlines()))
        runs = list(mongo_db.runs.find(sort=[("_id", 1)]))
        series = list(mongo_db.metrics.find(sort=[("run_id", 1)]))
        for run, metric in zip(runs, series, strict=True):
            assert [{"name": "loss", "id": str(metric["_id"])}] == run["info"].pop("metrics")
        names = ("_id", "status", "config", "info", "result", "captured_out", "command", "format")
        stored.append(
            (
                [{name: run[name] for name in names} for run in runs],
                [sorted(run) for run in runs],
                [run["experiment"]["sources"] for run in runs],
                [[one["name"] for one in run["artifacts"]] for run in runs],
                [(one["run_id"], one["steps"], one["values"], sorted(one)) for one in series],
            )
        )
        mongo_db.client.drop_database(mongo_db.name)
    assert said[0] == said[1]
    assert stored[0] == stored[1]
