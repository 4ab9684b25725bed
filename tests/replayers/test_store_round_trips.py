"""What Sacred wrote, imported, and written again by a view: the same documents."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from replayers.old_runs import FATES, PEER, run_peer, write_store

from sacred.journal.root import JournalRoot
from sacred.journal.verification import verify
from sacred.replayers.errors import StoreError
from sacred.replayers.listing import outlines
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.stores.importer import import_runs
from sacred.replayers.stores.registry import store_at

pytestmark = pytest.mark.skipif(
    PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7"
)


def _import(address: str, root: JournalRoot, **options: Any) -> list[Any]:
    store = store_at(address)
    try:
        store.open()
        return list(import_runs(store, root, store.runs(), **options))
    finally:
        store.close()


def _imported(address: str, root: JournalRoot, fates: list[str] = FATES) -> None:
    """Import a store, twice, and look at what came."""
    found = _import(address, root, fresh=0)
    assert ["imported"] * len(fates) == [one.state for one in found]
    assert fates == [one.status for one in found]
    assert [()] * len(fates) == [one.losses for one in found]
    assert ["already"] * len(fates) == [one.state for one in _import(address, root)]
    statuses = ["DIED" if fate == "RUNNING" else fate for fate in fates]
    assert statuses == [one.status for one in outlines(root)]
    for folder in root.runs():
        report = verify(folder)
        assert ("clean", True) == (report.verdict, report.clean)


def _written_again(root: JournalRoot, spec: str | SinkSpec) -> None:
    summary = replay(root, None, [spec])
    assert 0 == summary.exit_code, summary


# -- files ----------------------------------------------------------------------------------------


def _tree(base: Path) -> dict[str, bytes]:
    """Return every file by its path, the place of the tree itself taken out."""
    found = {}
    for path in sorted(base.rglob("*")):
        relative = path.relative_to(base).as_posix()
        if path.is_file() and "/.journal/" not in f"/{relative}" and not relative.startswith("."):
            found[relative] = path.read_bytes().replace(os.fsencode(base), b"BASE")
    return found


def test_files_byte_for_byte(tmp_path: Path, root: JournalRoot) -> None:
    """Tree -> journals -> tree: each file has the same bytes, for a run of every fate."""
    write_store(tmp_path / "lab", "file", str(tmp_path / "old"), *FATES)
    before = _tree(tmp_path / "old")
    _imported(f"file:{tmp_path}/old", root)
    assert before == _tree(tmp_path / "old")
    _written_again(root, f"file:{tmp_path}/new")
    assert before == _tree(tmp_path / "new")
    assert 39 == len(before)


def test_a_tree_that_was_moved(tmp_path: Path, root: JournalRoot) -> None:
    """Resources are found where the tree is now; a copy of it has the same runs."""
    write_store(tmp_path / "lab", "file", str(tmp_path / "old"), "COMPLETED")
    (tmp_path / "old").rename(tmp_path / "moved")
    (found,) = _import(f"file:{tmp_path}/moved", root)
    assert ("imported", (), 6) == (found.state, found.losses, found.files)
    (tmp_path / "moved").rename(tmp_path / "again")
    (found,) = _import(f"file:{tmp_path}/again", root)
    assert "already" == found.state


def test_our_own_tree(tmp_path: Path, root: JournalRoot, run_writer: Any) -> None:
    """A tree of our view, whose root is lost: the same tree again; with the root, nothing to do."""
    run_writer(root.claim())
    _written_again(root, f"file:{tmp_path}/old")
    (found,) = _import(f"file:{tmp_path}/old", root)
    assert ("already", 1) == (found.state, found.folder.number)
    other = JournalRoot(tmp_path / "other")
    (found,) = _import(f"file:{tmp_path}/old", other)
    assert ("imported", ()) == (found.state, found.losses)
    _written_again(other, f"file:{tmp_path}/new")
    assert _tree(tmp_path / "old") == _tree(tmp_path / "new")


# -- TinyDB ---------------------------------------------------------------------------------------


def _documents(base: Path) -> list[dict[str, Any]]:
    return list(json.loads((base / "metadata.json").read_text())["runs"].values())


def _hashed(base: Path) -> dict[str, bytes]:
    files = (base / "hashfs").rglob("*")
    return {str(p.relative_to(base)): p.read_bytes() for p in files if p.is_file()}


def test_tinydb(tmp_path: Path, root: JournalRoot) -> None:
    """TinyDB -> journals -> TinyDB: the same documents and files, ids and all."""
    write_store(tmp_path / "lab", "tinydb", str(tmp_path / "old"), *FATES)
    content = (tmp_path / "old" / "metadata.json").read_bytes()
    _imported(f"tinydb:{tmp_path}/old", root)
    assert content == (tmp_path / "old" / "metadata.json").read_bytes()
    _written_again(root, f"tinydb:{tmp_path}/new")
    # NaN is not equal to itself.
    assert repr(_sorted(_documents(tmp_path / "old"))) == repr(
        _sorted(_documents(tmp_path / "new"))
    )
    assert _hashed(tmp_path / "old") == _hashed(tmp_path / "new")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_our_own_tinydb(tmp_path: Path, root: JournalRoot, run_writer: Any) -> None:
    """The points that our view keeps beside the database come too."""
    run_writer(root.claim())
    _written_again(root, f"tinydb:{tmp_path}/old")
    other = JournalRoot(tmp_path / "other")
    (found,) = _import(f"tinydb:{tmp_path}/old", other)
    assert ("imported", ()) == (found.state, found.losses)
    assert found.points > 0
    _written_again(other, f"tinydb:{tmp_path}/new")
    assert repr(_sorted(_documents(tmp_path / "old"))) == repr(
        _sorted(_documents(tmp_path / "new"))
    )
    old, new = (
        json.loads(next((tmp_path / name / "metrics").iterdir()).read_text())["metrics"]
        for name in ("old", "new")
    )
    assert repr(_sorted(old)) == repr(_sorted(new))


# -- SQL ------------------------------------------------------------------------------------------

_RUN = (
    "select run_id, command, start_time, heartbeat, stop_time, priority, comment, fail_trace, "
    "captured_out, config, info, status, result, cpu, hostname, os, os_info, python_version, "
    "e.name, e.base_dir from run r join host h on r.host_id = h.host_id join experiment e "
    "on r.experiment_id = e.experiment_id order by r.id"
)
_MORE = """
select r.run_id, s.filename, s.md5sum, s.content from run r join experiments_sources x
  on r.experiment_id = x.experiment_id join source s on s.source_id = x.source_id order by r.id;
select r.run_id, d.name, d.version from run r join experiments_dependencies x
  on r.experiment_id = x.experiment_id join dependency d on d.dependency_id = x.dependency_id
  order by r.id, d.name;
select run_id, filename, content from artifact order by artifact_id;
select x.run_id, filename, md5sum, content from runs_resources x join resource s
  on s.resource_id = x.resource_id order by x.run_id
""".split(";")


def _rows(url: str) -> Any:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            runs = [dict(row) for row in connection.execute(sqlalchemy.text(_RUN)).mappings()]
            more = [connection.execute(sqlalchemy.text(query)).all() for query in _MORE]
    finally:
        engine.dispose()
    for run in runs:
        for name in ("config", "info"):
            run[name] = _sorted(json.loads(run[name]))
    return repr(runs), repr(more)


def test_sqlite(tmp_path: Path, root: JournalRoot) -> None:
    """SQLite -> journals -> SQLite: the same rows; the file is opened for reading alone."""
    write_store(tmp_path / "lab", "sql", f"sqlite:///{tmp_path}/old.db", *FATES)
    content = (tmp_path / "old.db").read_bytes()
    (tmp_path / "old.db").chmod(0o444)
    _imported(f"sqlite:///{tmp_path}/old.db", root)
    assert content == (tmp_path / "old.db").read_bytes()
    _written_again(root, f"sqlite:///{tmp_path}/new.db")
    old, new = _rows(f"sqlite:///{tmp_path}/old.db"), _rows(f"sqlite:///{tmp_path}/new.db")
    # JSON has no NaN: our columns have a text.
    assert old[0].replace(": nan", ": 'NaN'") == new[0]
    assert old[1] == new[1]


def _through_sql(url: str, root: JournalRoot, tmp_path: Path, run_writer: Any) -> None:
    """Write a run by our view, import it elsewhere, and compare the folds as files."""
    run_writer(root.claim())
    _written_again(root, url)
    other = JournalRoot(tmp_path / "other")
    (found,) = _import(url, other)
    assert ("imported", ()) == (found.state, found.losses)
    for name, place in (("a", root), ("b", other)):
        _written_again(place, f"file:{tmp_path}/{name}")
    a, b = (json.loads((tmp_path / n / "1" / "metrics.json").read_text()) for n in ("a", "b"))
    assert repr(_sorted(_as_doubles(a))) == repr(_sorted(_as_doubles(b)))
    assert (tmp_path / "a/1/cout.txt").read_bytes() == (tmp_path / "b/1/cout.txt").read_bytes()


def _as_doubles(metrics: Any) -> Any:
    for columns in metrics.values():
        columns["values"] = [
            float(value) if type(value) is int and abs(value) < 1 << 53 else value
            for value in columns["values"]
        ]
    return metrics


def test_our_own_sqlite(tmp_path: Path, root: JournalRoot, run_writer: Any) -> None:
    """The points of our tables come back, those that no double can hold too."""
    _through_sql(f"sqlite:///{tmp_path}/old.db", root, tmp_path, run_writer)


@pytest.mark.server
def test_postgres(tmp_path: Path, root: JournalRoot, run_writer: Any, postgres_url: str) -> None:
    """PostgreSQL, in transactions that only read."""
    _through_sql(postgres_url, root, tmp_path, run_writer)


@pytest.mark.server
def test_servers_that_refuse(postgres_url: str, maria_url: str, tmp_path: Path) -> None:
    """A database that is not there, a password that is wrong, tables of others: one sentence."""
    for url in (postgres_url, maria_url):
        scheme, _, rest = url.partition("://")
        place = rest.rpartition("@")[2]
        expected = {
            f"{url}_none": "name one that is there",
            f"{scheme}://somebody:very-secret@{place}": "refuses the connection",
            url: "holds no runs of a SqlObserver",
        }
        for address, sentence in expected.items():
            store = store_at(address)
            with pytest.raises(StoreError) as caught:
                store.open()
            store.close()
            assert sentence in str(caught.value)
            assert "very-secret" not in str(caught.value)
            assert "written" not in str(caught.value)


@pytest.mark.server
def test_mariadb(tmp_path: Path, root: JournalRoot, run_writer: Any, maria_url: str) -> None:
    """MariaDB."""
    _through_sql(maria_url, root, tmp_path, run_writer)


# -- MongoDB --------------------------------------------------------------------------------------


def _mongo_documents(database: Any) -> list[dict[str, Any]]:
    """Return the runs, with contents in the places of ids."""
    import gridfs
    from bson import ObjectId

    fs = gridfs.GridFS(database)
    found = list(database.runs.find({}, {"_journal": 0}, sort=[("_id", 1)]))
    for run in found:
        for source in run["experiment"]["sources"]:
            facts = database.fs.files.find_one({"_id": source[1]})
            source[1] = (facts["filename"], fs.get(source[1]).read())
        for artifact in run.get("artifacts", ()):
            key = artifact.pop("file_id")
            facts = database.fs.files.find_one({"_id": key})
            names = ("filename", "contentType", "metadata")
            artifact["content"] = [facts.get(name) for name in names], fs.get(key).read()
        for metric in run.get("info", {}).get("metrics", ()):
            series = database.metrics.find_one({"_id": ObjectId(metric.pop("id"))})
            columns = ("run_id", "name", "steps", "values", "timestamps")
            metric["series"] = {name: series[name] for name in columns}
    return found


@pytest.mark.server
def test_mongo(tmp_path: Path, root: JournalRoot, mongo_server: Any, mongo_db: Any) -> None:
    """MongoDB -> journals -> MongoDB: the same documents, metrics, and files of GridFS."""
    where = f"{mongo_server.url.rstrip('/')}/{mongo_db.name}"
    write_store(tmp_path / "lab", "mongo", where, "QUEUED", *FATES)
    before = _mongo_documents(mongo_db)
    _imported(where, root, ["QUEUED", *FATES])
    assert repr(before) == repr(_mongo_documents(mongo_db))
    again = f"{mongo_db.name}_again"
    try:
        _written_again(root, f"{mongo_server.url.rstrip('/')}/{again}")
        after = _mongo_documents(mongo_db.client[again])
    finally:
        mongo_db.client.drop_database(again)
    assert repr(_sorted(before[1:])) == repr(_sorted(after[1:]))
    # What a view has of a queued run, and Sacred has not; arrays are what the program gets.
    queued, ours = _sorted(before[0]), _sorted(after[0])
    extra = {"artifacts", "captured_out", "format", "heartbeat", "info", "resources", "result"}
    extra.add("start_time")
    assert queued["config"].pop("array")["values"] == ours["config"].pop("array")
    assert repr(queued) == repr({k: value for k, value in ours.items() if k not in extra})


@pytest.mark.server
def test_tags_and_notes_of_mongo(
    tmp_path: Path, root: JournalRoot, mongo_server: Any, mongo_db: Any
) -> None:
    """MongoDB -> journals -> MongoDB -> journals: what was written in Omniboard comes along."""
    where = f"{mongo_server.url.rstrip('/')}/{mongo_db.name}"
    write_store(tmp_path / "lab", "mongo", where, "COMPLETED", "FAILED")
    board = {"tags": ["good", "\u00e4"], "notes": "see 2\nand 3"}
    mongo_db.runs.update_one({"_id": 1}, {"$set": {"omniboard": board}})
    before = _mongo_documents(mongo_db)
    assert [(), ()] == [one.losses for one in _import(where, root, fresh=0)]
    again = f"{mongo_db.name}_again"
    try:
        there = f"{mongo_server.url.rstrip('/')}/{again}"
        _written_again(root, there)
        after = _mongo_documents(mongo_db.client[again])
        other = JournalRoot(tmp_path / "other")
        assert [(), ()] == [one.losses for one in _import(there, other, fresh=0)]
        mongo_db.client.drop_database(again)
        _written_again(other, there)
        last = _mongo_documents(mongo_db.client[again])
    finally:
        mongo_db.client.drop_database(again)
    assert [board, None] == [run.get("omniboard") for run in after]
    assert repr(_sorted(before)) == repr(_sorted(after)) == repr(_sorted(last))


def _pair(server: Any, database: Any) -> str:
    """Return a database as Sacred's -m takes it."""
    place = server.url.removeprefix("mongodb://").partition("/")[0]
    return f"{place}:{database.name}"


_QUEUES = """
import numpy as np
from sacred import Experiment

ex = Experiment("trains", save_git_info=False)
ex.add_config(pair=(1, 2), array=np.arange(4))

@ex.automain
def main(_run, pair, array):
    for step in range(5):
        _run.log_scalar("loss", step)
    return float(sum(pair) + array[2:].sum())
"""


@pytest.mark.server
def test_a_queued_run_of_mongo_can_be_run(
    tmp_path: Path, root: JournalRoot, mongo_server: Any, mongo_db: Any
) -> None:
    """A run that Sacred queued is run here, by its stored source and configuration."""
    where = f"{mongo_server.url.rstrip('/')}/{mongo_db.name}"
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "trains.py").write_text(_QUEUES)
    words = ["trains.py", "-q", "-m", _pair(mongo_server, mongo_db), "with", "pair=(3,4)"]
    run_peer(tmp_path / "lab", *words)
    (found,) = _import(where, root)
    assert "QUEUED" == found.status
    done = subprocess.run(
        [sys.executable, "-m", "sacred", "run", "1", "--root", str(root.path)],
        cwd=tmp_path / "lab",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (outline,) = outlines(root)
    assert "COMPLETED" == outline.status, done.stderr
    assert (5, 12, 1) == (outline.points, outline.result, outline.run)
    assert "it was recorded with sacred==0.8.7, and sacred-journal stands for it" in done.stderr


@pytest.mark.server
def test_our_own_mongo(
    tmp_path: Path,
    root: JournalRoot,
    run_writer: Any,
    mongo_server: Any,
    mongo_db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What our view wrote, series in several documents and long output too, comes back."""
    monkeypatch.setattr("sacred.replayers.sinks.mongo.series.METRIC_BYTES", 1500)
    monkeypatch.setattr("sacred.replayers.sinks.mongo.series.PUSH_BYTES", 700)
    monkeypatch.setattr("sacred.replayers.sinks.mongo.sink.OUTPUT_BYTES", 12)
    monkeypatch.setattr("sacred.replayers.sinks.mongo.sink.OUTPUT_TAIL", 6)
    run_writer(root.claim(), points=200)
    where = f"{mongo_server.url.rstrip('/')}/{mongo_db.name}"
    _written_again(root, where)
    mongo_db.runs.update_one({}, {"$set": {"omniboard": {"tags": ["good"], "notes": "see 3"}}})
    (run,) = mongo_db.runs.find()
    names = [metric["name"] for metric in run["info"]["metrics"]]
    assert any(name.endswith(" (2)") for name in names)
    assert "whole in GridFS" in run["captured_out"]
    other = JournalRoot(tmp_path / "other")
    (found,) = _import(where, other)
    assert ("imported", ()) == (found.state, found.losses)
    for name, place in (("a", root), ("b", other)):
        _written_again(place, f"file:{tmp_path}/{name}")
    assert (tmp_path / "a/1/cout.txt").read_bytes() == (tmp_path / "b/1/cout.txt").read_bytes()
    a, b = (json.loads((tmp_path / n / "1" / "metrics.json").read_text()) for n in ("a", "b"))
    assert a.keys() == b.keys()
    for name in a:
        for part in ("steps", "values"):
            assert repr(a[name][part]) == repr(b[name][part])
    a, b = (json.loads((tmp_path / n / "1" / "run.json").read_text()) for n in ("a", "b"))
    for document in (a, b):
        for name in ("start_time", "heartbeat", "stop_time"):
            when = dt.datetime.fromisoformat(document[name])
            document[name] = when.replace(microsecond=when.microsecond // 1000 * 1000)
    assert a.keys() == b.keys()
    for name in ("status", "config", "result", "host", "meta", "start_time", "stop_time"):
        assert repr(a.get(name)) == repr(b.get(name)), name
