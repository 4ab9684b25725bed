"""Importing from MongoDB: documents that are odd or damaged, and a server that goes away."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sacred.analysis.details import details
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.replayers.errors import StoreError, TransientSinkError
from sacred.replayers.stores.importer import RunImport, import_runs
from sacred.replayers.stores.registry import store_at

pytestmark = pytest.mark.server

START = dt.datetime(2024, 5, 6, 7, 8, 9)


def _run(run_id: Any, **changes: Any) -> dict[str, Any]:
    document = {
        "_id": run_id,
        "format": "MongoObserver-0.7.0",
        "command": "main",
        "status": "COMPLETED",
        "start_time": START,
        "heartbeat": START,
        "stop_time": START,
        "config": {"seed": 1},
        "info": {},
        "meta": {},
        "host": {"hostname": "node"},
        "experiment": {"name": "odd", "base_dir": "/lab", "sources": [], "dependencies": []},
        "resources": [],
        "artifacts": [],
        "captured_out": "out",
        "result": None,
    }
    return {**document, **changes}


def _address(server: Any, name: str) -> str:
    return f"{server.url.rstrip('/')}/{name}"


def _take(address: str, root: JournalRoot, **options: Any) -> list[RunImport]:
    collection = options.pop("collection", None)
    store = store_at(address, collection=collection)
    try:
        store.open()
        return list(import_runs(store, root, store.runs(), **options))
    finally:
        store.close()


def _events(folder: Any) -> list[Any]:
    reader = JournalReader(folder.journal)
    try:
        return [event for frame in reader.poll() for event in frame.events]
    finally:
        reader.close()


def test_odd_documents(mongo_server: Any, mongo_db: Any, root: JournalRoot) -> None:
    """Ids of every kind, types that BSON alone has, tags of Omniboard, fields of others."""
    import bson
    from bson import ObjectId

    key = ObjectId()
    mongo_db.runs.insert_many(
        [
            _run("name"),
            _run(2.5),
            _run(
                bson.Int64(12),
                config={"n": bson.Int64(1 << 40), "d": bson.Decimal128("1.5"), "b": b"\x00"},
            ),
            _run(3, omniboard={"tags": ["good", "bad"], "notes": "see 12"}, mine={"x": 1}),
            _run(key, info={"metrics": [1, "mine"], "when": START}),
        ]
    )
    found = _take(_address(mongo_server, mongo_db.name), root)
    assert [3, 12, "2.5", str(key), "name"] == [one.run_id for one in found]
    assert ["imported"] * 5 == [one.state for one in found]
    tagged, typed, _, keyed, _ = found
    assert ("the field 'mine', which is none of Sacred's, is left out",) == tagged.losses
    assert tagged.folder is not None
    notes = [e.fields for e in _events(tagged.folder) if e.type == EventType.ANNOTATED]
    assert ["good", "bad", "see 12"] == [fields["value"] for fields in notes]
    assert ("a Decimal128 in config became text",) == typed.losses
    assert typed.folder is not None
    start = next(e for e in _events(typed.folder) if e.type == EventType.RUN_STARTED)
    assert {"n": 1 << 40, "d": "1.5", "b": b"\x00"} == start.fields["config"]
    assert keyed.folder is not None
    # What a user has put under that name himself.
    assert [1, "mine"] == details(keyed.folder).record()["info"]["metrics"]


def test_what_is_missing(mongo_server: Any, mongo_db: Any, root: JournalRoot) -> None:
    """Files and metrics that the database has lost, or half."""
    import gridfs
    from bson import ObjectId

    fs = gridfs.GridFS(mongo_db)
    whole = fs.put(b"x" * 600_000, filename="artifact://runs/1/model")
    mongo_db.fs.chunks.delete_one({"files_id": whole, "n": 1})
    short, lost = ObjectId(), ObjectId()
    columns = {"steps": [0, 1], "values": [1.0], "timestamps": [START]}
    mongo_db.metrics.insert_one({"_id": short, "run_id": 2, "name": "short", **columns})
    experiment = {"name": "odd", "base_dir": "/lab", "sources": [["a.py", ObjectId()]]}
    mongo_db.runs.insert_many(
        [
            _run(1, experiment=experiment, artifacts=[{"name": "model", "file_id": whole}, {}]),
            _run(2, info={"metrics": [{"name": "short", "id": str(short)}]}),
            _run(3, info={"metrics": [{"name": "lost", "id": str(lost)}]}),
            _run(4, config=[1]),
        ]
    )
    address = _address(mongo_server, mongo_db.name)
    first, second, third, fourth = _take(address, root)
    assert ("imported", 0) == (first.state, first.files)
    assert first.losses == (
        "an artifact without a name is left out ({})",
        "the content of 'model' is not in the store: it is not whole in GridFS",
    )
    assert ("failed", "the metric 'short' has 2 steps and 1 values") == (
        second.state,
        second.reason,
    )
    assert ("imported", ("the metric 'lost' is not in the database: left out",)) == (
        third.state,
        third.losses,
    )
    assert ("failed", "its config is no mapping") == (fourth.state, fourth.reason)
    found = _take(address, root, partial=True)
    assert ["already", "imported", "already", "imported"] == [one.state for one in found]
    assert 1 == found[1].points
    assert mongo_db.runs.count_documents({}) == 4


def test_other_collections(mongo_server: Any, mongo_db: Any, root: JournalRoot) -> None:
    """--collection names that of the runs; with a prefix, the metrics are those of the prefix."""
    from bson import ObjectId

    key = ObjectId()
    columns = {"steps": [0], "values": [2.5], "timestamps": [START]}
    mongo_db.lab_metrics.insert_one({"_id": key, "run_id": 1, "name": "loss", **columns})
    mongo_db.lab_runs.insert_one(_run(1, info={"metrics": [{"name": "loss", "id": str(key)}]}))
    address = _address(mongo_server, mongo_db.name)
    with pytest.raises(StoreError, match="no collection 'runs': say --collection lab_runs"):
        _take(address, root)
    (found,) = _take(address, root, collection="lab_runs")
    assert ("imported", 1, ()) == (found.state, found.points, found.losses)


def test_a_server_that_dies(private_mongo: Any, root: JournalRoot) -> None:
    """What came before is there; the import ends with a sentence, and goes on when it is back."""
    import pymongo

    with pymongo.MongoClient(private_mongo.url) as client:
        client.lab.runs.insert_many([_run(number) for number in (1, 2, 3)])
    address = _address(private_mongo, "lab") + "?serverSelectionTimeoutMS=1000"
    store = store_at(address)
    store.open()
    found = import_runs(store, root, store.runs())
    assert "imported" == next(found).state
    private_mongo.kill()
    with pytest.raises(TransientSinkError, match="does not answer"):
        list(found)
    store.close()
    assert [1] == root.numbers()
    private_mongo.start()
    with pymongo.MongoClient(private_mongo.url) as client:
        client.lab.runs.delete_many({})  # it may have lost what came last
        client.lab.runs.insert_many([_run(number) for number in (1, 2, 3)])
    address = _address(private_mongo, "lab")
    assert ["already", "imported", "imported"] == [one.state for one in _take(address, root)]


def test_a_login_that_is_wrong(locked_mongo: Any, root: JournalRoot) -> None:
    """A wrong password: one sentence without it."""
    place = locked_mongo.url.partition("://")[2].rpartition("@")[2].rstrip("/")
    with pytest.raises(StoreError) as caught:
        _take(f"mongodb://somebody:very-secret@{place}/lab", root)
    assert "very-secret" not in str(caught.value)
    assert "Check user, password" in str(caught.value)
    assert "may read there" in str(caught.value)
    assert not root.path.exists()
