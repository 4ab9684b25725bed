"""TinyDbObserver and TinyDbReader: Sacred's documents, files and reports."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from observers.calls import NOW, PEER, beat, experiment, points, start

import sacred
from sacred.core.arguments import InvalidArgumentError
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.observers import FileStorageObserver, TinyDbObserver, TinyDbReader
from sacred.observers.tinydb_hashfs import bases
from sacred.replayers.errors import ViewUnreadableError

LATER = dt.datetime(2024, 5, 5, 6, 7, 8, 123456)

pd = pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _runs(folder: str = "db") -> list[dict[str, Any]]:
    """Return the documents as the JSON has them."""
    return list(json.loads(Path(folder, "metadata.json").read_text())["runs"].values())


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _with_files(observer: TinyDbObserver) -> None:
    """Play a run with a file of each kind."""
    for name in ("main.py", "data.csv", "art.txt"):
        Path(name).write_text(name)
    start(observer, "x", experiment(["main.py", _md5("main.py")], base=Path.cwd()))
    observer.resource_event("data.csv")
    observer.artifact_event("an artifact", "art.txt", {"key": 1}, "text/plain")


# -- called directly ------------------------------------------------------------------------------


def test_the_document_of_a_start() -> None:
    """USE-03, TDB-03: written when the call returns, with not one field more than Sacred's."""
    run_id = start(TinyDbObserver("db"), nested={"t": (1, 2), "when": LATER})
    assert [
        {
            "experiment": experiment(),
            "format": "TinyDbObserver-0.8.7",
            "command": "main",
            "host": {"hostname": "here"},
            "start_time": "{TinyDate}:2024-05-04T03:02:01.000000",
            "config": {
                "a": 1,
                "nested": {"t": [1, 2], "when": "{TinyDate}:2024-05-05T06:07:08.123456"},
            },
            "meta": {"comment": "c"},
            "status": "RUNNING",
            "resources": [],
            "artifacts": [],
            "captured_out": "",
            "info": {},
            "heartbeat": None,
            "_id": run_id,
        }
    ] == _runs()
    assert ["runs"] == list(json.loads(Path("db/metadata.json").read_text()))


def test_ids() -> None:
    """OBS-03: 32 hex digits, unless the run has an id; of what kind it is does not matter."""
    observer = TinyDbObserver("db")
    drawn = start(observer)
    assert (32, str) == (len(drawn), type(drawn))
    int(drawn, 16)
    assert ("mine", 7) == (start(observer, "mine"), start(observer, 7))
    assert [drawn, "mine", 7] == [run["_id"] for run in _runs()]


def test_the_documents_of_ends() -> None:
    """TDB-03: completed, interrupted and failed; a run that failed before it began is not there."""
    observer = TinyDbObserver("db")
    observer.failed_event(LATER, ["early"])
    assert "" == Path("db/metadata.json").read_text()
    start(observer)
    beat(observer, {"i": 1}, "text", 0.5)
    observer.completed_event(LATER, 0.75)
    start(observer)
    observer.interrupted_event(LATER, "TIMEOUT")
    start(observer)
    observer.failed_event(LATER, ["a\n", "b\n"])
    completed, interrupted, failed = _runs()
    stop = "{TinyDate}:2024-05-05T06:07:08.123456"
    assert ("COMPLETED", 0.75, "text", {"i": 1}, stop) == tuple(
        completed[name] for name in ("status", "result", "captured_out", "info", "stop_time")
    )
    assert "{TinyDate}:2024-05-04T03:02:01.000000" == completed["heartbeat"]
    assert ("TIMEOUT", stop) == (interrupted["status"], interrupted["stop_time"])
    assert ("FAILED", ["a\n", "b\n"]) == (failed["status"], failed["fail_trace"])


def test_files() -> None:
    """TDB-02, TDB-03: stored once under their md5; each entry ends with a reader of the file."""
    observer = TinyDbObserver("db")
    _with_files(observer)
    observer.resource_event("data.csv")
    (run,) = _runs()
    md5 = {name: _md5(name) for name in ("main.py", "data.csv", "art.txt")}
    tags = {name: f'{{TinyFile}}:"{one}"' for name, one in md5.items()}
    assert [["main.py", md5["main.py"], tags["main.py"]]] == run["experiment"]["sources"]
    assert [["data.csv", md5["data.csv"], tags["data.csv"]]] * 2 == run["resources"]
    assert [["an artifact", "art.txt", md5["art.txt"], tags["art.txt"]]] == run["artifacts"]
    for name, one in md5.items():
        path = Path("db/hashfs", one[:2], one[2:4], one[4:6], one[6:])
        assert name == path.read_text()
    assert 3 == sum(one.is_file() for one in Path("db/hashfs").rglob("*"))


def test_the_handles() -> None:
    """USE-04, USE-13, TDB-01: ``db``, ``runs`` and ``fs`` are as TinyDB's and hashfs's."""
    observer = TinyDbObserver("deep/db")
    assert os.path.isdir("deep/db")
    assert ("TinyDbObserver-0.8.7", 0, None) == (
        observer.VERSION,
        observer.priority,
        observer.overwrite,
    )
    assert 3 == TinyDbObserver("deep/db", overwrite=3).overwrite
    _with_files(observer)
    from tinydb import Query, TinyDB

    assert isinstance(observer.db, TinyDB)
    assert {"runs"} == observer.db.tables()
    assert 1 == len(observer.runs)
    assert observer.db_run_id == 1
    (run,) = observer.runs.search(Query().start_time == NOW)
    assert run["_id"] == observer.runs.get(doc_id=1)["_id"]
    handles = [one[-1] for one in (*run["experiment"]["sources"], *run["resources"])]
    handles.append(run["artifacts"][0][-1])
    assert all(isinstance(one, io.BufferedReader) for one in handles)
    assert all(isinstance(one, bases.BufferedReaderWrapper) for one in handles)
    assert [b"main.py", b"data.csv", b"art.txt"] == [one.read() for one in handles]
    fs = observer.fs
    assert (os.path.realpath("deep/db/hashfs"), 3, 2, "md5") == (
        fs.root,
        fs.depth,
        fs.width,
        fs.algorithm,
    )
    md5 = _md5("art.txt")
    address = fs.get(md5)
    assert (md5, os.path.join(md5[:2], md5[2:4], md5[4:6], md5[6:])) == address[:2]
    assert address.abspath == os.path.join(fs.root, address.relpath)
    assert fs.exists(md5) and md5 in fs and fs.exists(address.relpath)
    assert not fs.exists("nothing") and fs.get("nothing") is None
    assert fs.put("art.txt").is_duplicate
    put = fs.put(io.BytesIO(b"bytes"), extension="bin")
    assert (hashlib.md5(b"bytes").hexdigest(), False) == (put.id, put.is_duplicate)
    assert put.relpath.endswith(".bin")
    assert (b"bytes", "bytes") == (fs.open(put.id).read(), fs.open(put.id, "r").read())
    assert [] == list(fs.corrupted())
    Path(put.abspath).write_bytes(b"other")
    ((path, expected),) = fs.corrupted()
    assert (put.abspath, hashlib.md5(b"other").hexdigest()) == (path, expected.id)
    assert (4, 4) == (len(fs), len(list(fs.files())))
    fs.delete(put.id)
    assert not fs.exists(put.id)
    assert not os.path.exists(os.path.dirname(put.abspath))
    with pytest.raises(ValueError, match="is no file: give a path"):
        fs.put("nothing")


def test_what_lies_outside_is_not_found() -> None:
    """USE-13: neither a path nor a tag leads out of the folder of files."""
    Path("secret").write_text("x")
    observer = TinyDbObserver("db")
    start(observer, x='{TinyFile}:"../../secret"', y='{TinyFile}:"../secret"')
    assert not observer.fs.exists("../../secret")
    assert not observer.fs.exists(os.path.abspath("secret"))
    config = observer.runs.get(doc_id=1)["config"]
    assert '{TinyFile}:"../../secret"' == config["x"]


def test_readers_are_opened_when_they_are_read() -> None:
    """USE-13: so many documents as one likes take no descriptors; a copy reads for itself."""
    observer = TinyDbObserver("db")
    _with_files(observer)
    before = len(os.listdir("/proc/self/fd"))
    documents = [observer.runs.get(doc_id=1) for _ in range(50)]
    assert before == len(os.listdir("/proc/self/fd"))
    reader = documents[0]["artifacts"][0][-1]
    assert b"art" == reader.read(3)
    copied = copy.deepcopy(reader)
    assert (b".txt", b".txt") == (reader.read(), copied.read())
    for one in (reader, copied):
        one.close()
    os.unlink(observer.fs.get(_md5("art.txt")).abspath)
    with pytest.raises(FileNotFoundError):
        documents[1]["artifacts"][0][-1].read()


def test_queued_runs() -> None:
    """TDB-03, USE-13: called directly, it has none."""
    with pytest.raises(NotImplementedError):
        TinyDbObserver("db").queued_event({}, "main", {}, NOW, {}, {}, None)


def test_arrays_and_tables() -> None:
    """TDB-02: each with its tag, and back as what it was; other values are readable."""
    observer = TinyDbObserver("db")
    start(observer, array=np.arange(6.0).reshape(2, 3))
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    info = {"table": table, "column": pd.Series([1.5, 2.5]), "bits": np.array([True, False])}
    beat(observer, {**info, "number": np.float32(0.5), "set": {1}, 3: b"x", "nan": float("nan")})
    (run,) = _runs()
    assert "{TinyArray}:[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]" == run["config"]["array"]
    assert '{TinyDataFrame}:{"a":{"0":1,"1":2},"b":{"0":"x","1":"y"}}' == run["info"]["table"]
    assert '{TinySeries}:{"0":1.5,"1":2.5}' == run["info"]["column"]
    assert "{TinyArray}:[true, false]" == run["info"]["bits"]
    assert (0.5, [1], "x") == tuple(run["info"][name] for name in ("number", "set", "3"))
    found = observer.runs.get(doc_id=1)
    assert np.array_equal(np.arange(6.0).reshape(2, 3), found["config"]["array"])
    assert table.equals(found["info"]["table"])
    assert [1.5, 2.5] == found["info"]["column"].tolist()


def test_other_documents_stay_as_they_are() -> None:
    """TDB-03: to the letter, whatever is in them; a text that only looks like a tag is one."""
    texts = ["{TinyDate}:never", "{TinyArray}:[1", "{TinyDataFrame}:/etc/passwd", "{TinyX}:1"]
    first = TinyDbObserver("db")
    start(first, "one", texts=texts, array=np.arange(3, dtype="int8"))
    before = _runs()[0]
    start(TinyDbObserver("db"), "two")
    first.runs.update({"note": LATER}, doc_ids=[2])
    assert before == _runs()[0]
    assert texts == first.runs.get(doc_id=1)["config"]["texts"]
    assert LATER == first.runs.get(doc_id=2)["note"]


def test_odd_containers() -> None:
    """TDB-03: keys that are one text, a list within itself, and what lies deep stop nothing."""
    observer = TinyDbObserver("db")
    circle: list[Any] = [np.arange(2)]
    circle.append(circle)
    start(observer, keys={1: "a", "1": np.arange(2), "other": ({"deep": np.arange(1)},)})
    (run,) = _runs()
    assert {"1": "{TinyArray}:[0, 1]", "other": [{"deep": "{TinyArray}:[0]"}]} == run["config"][
        "keys"
    ]
    beat(observer, {"circle": circle, "text": "x"})
    assert "x" == _runs()[0]["info"]["text"]


def test_passwords_are_masked() -> None:
    """TDB-03: those of addresses, as in everything that is recorded."""
    start(TinyDbObserver("db"), url="mongodb://me:secret@host/db", array=np.arange(2))
    assert "secret" not in Path("db/metadata.json").read_text()


def test_a_source_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """TDB-03: it is said, and the run begins."""
    start(TinyDbObserver("db"), None, experiment(["gone.py", "0" * 32], base=Path.cwd()))
    assert [] == _runs()[0]["experiment"]["sources"]
    assert "gone.py is not stored" in caplog.text


def test_numpy_is_not_loaded_for_it() -> None:
    """PKG-05: nor pandas, nor tinydb before it is used."""
    program = (
        "import sys, datetime as dt\n"
        "from sacred.observers import TinyDbObserver\n"
        "observer = TinyDbObserver('db')\n"
        "assert 'tinydb' not in sys.modules\n"
        "info = {'name': 'x', 'base_dir': '.', 'sources': []}\n"
        "observer.started_event(info, 'main', {}, dt.datetime(2024, 1, 1), {'a': [1]}, {}, None)\n"
        "print(observer.runs.all()[0]['config'], *{'numpy', 'pandas'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("{'a': [1]}\n", "") == (done.stdout, done.stderr)


# -- made and compared ----------------------------------------------------------------------------


def test_the_old_constructor() -> None:
    """OBS-06: ``create``, with a warning."""
    with pytest.warns(DeprecationWarning, match="Please use TinyDbObserver"):
        assert TinyDbObserver("db") == TinyDbObserver.create("db", overwrite=1)


def test_a_database_of_ones_own() -> None:
    """OBS-06, USE-04: ``create_from`` writes into it, in this process."""
    db, fs = bases.get_db_file_manager("db")
    observer = TinyDbObserver.create_from(db, fs)
    assert (None, None) == (observer.root, declared_view(observer))
    _with_files(observer)
    assert ["x"] == [run["_id"] for run in _runs()]
    assert "/x" == TinyDbObserver.create_from(db, fs, root="/x").root


def test_a_database_whose_storage_knows_json_only() -> None:
    """OBS-06: TinyDB's own storage gets the tags, too."""
    from tinydb import TinyDB

    os.mkdir("db")
    db = TinyDB("db/metadata.json")
    _with_files(TinyDbObserver.create_from(db, bases.HashFS("db/hashfs")))
    db.close()
    (run,) = _runs()
    assert "{TinyDate}:2024-05-04T03:02:01.000000" == run["start_time"]
    assert (
        b"art.txt"
        == TinyDbReader("db").fetch_files(indices=0)[0]["artifacts"]["an artifact"].read()
    )


def test_the_serializers() -> None:
    """OBS-06: what a database of one's own is made with."""
    fs = bases.HashFS("files")
    Path("a").write_text("a")
    with open("a", "rb") as file:
        named = bases.FileSerializer(fs).encode(file)
    assert f'"{_md5("a")}"' == named
    assert b"a" == bases.FileSerializer(fs).decode(named).read()
    with pytest.raises(OSError, match="Could not locate"):
        bases.FileSerializer(fs).decode('"00"')
    dates = bases.DateTimeSerializer()
    assert NOW == dates.decode(dates.encode(NOW))
    for serializer, value in (
        (bases.NdArraySerializer(), np.arange(3)),
        (bases.SeriesSerializer(), pd.Series([1, 2])),
        (bases.DataFrameSerializer(), pd.DataFrame({"a": [1]})),
    ):
        assert isinstance(value, serializer.OBJ_CLASS)
        back = serializer.decode(serializer.encode(value))
        assert isinstance(back, serializer.OBJ_CLASS)
        assert (back == value).all(axis=None)


def test_equality() -> None:
    """OBS-07, USE-04: observers of one folder, and of the same contents; none can be hashed."""
    one, other = TinyDbObserver("db"), TinyDbObserver(Path("db"))
    assert one == other
    assert one == TinyDbObserver("empty")
    _with_files(one)
    assert one == other
    assert one == TinyDbObserver.create_from(one.db, one.fs)
    assert one != TinyDbObserver("empty")
    assert one != 3
    with pytest.raises(TypeError):
        hash(one)


def test_the_paths() -> None:
    """PKG-02: the modules that Sacred has, and one class in all of them."""
    from sacred.observers.tinydb_hashfs import tiny_db_option
    from sacred.observers.tinydb_hashfs import tinydb_hashfs as module

    assert module.TinyDbObserver is TinyDbObserver
    assert module.TinyDbReader is TinyDbReader
    assert sacred.observers.tinydb_hashfs.TinyDbObserver is TinyDbObserver
    assert tiny_db_option is module.tiny_db_option


@pytest.mark.parametrize("path", [3, None])
def test_what_is_no_path(path: Any) -> None:
    """TDB-01: told where it is given."""
    with pytest.raises(InvalidArgumentError, match="TinyDbObserver"):
        TinyDbObserver(path)


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-12: an ImportError that names the package, at construction."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinydb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for cls in (TinyDbObserver, TinyDbReader):
        with pytest.raises(ImportError, match="pip install tinydb") as caught:
            cls(".")
        assert "tinydb" == caught.value.name


def test_a_damaged_database() -> None:
    """TDB-02: cut in half, it is refused in a sentence, and nothing is written over it."""
    observer = TinyDbObserver("db")
    start(observer)
    path = Path("db/metadata.json")
    half = path.read_bytes()[:100]
    path.write_bytes(half)
    for call in (
        lambda: beat(observer),
        lambda: start(TinyDbObserver("db")),
        lambda: observer.db.drop_tables(),
        lambda: TinyDbReader("db").fetch_report(indices=0),
    ):
        with pytest.raises(ViewUnreadableError, match=r"is no TinyDB database \(at character"):
            call()
    assert half == path.read_bytes()


_PARALLEL = """
import sys
from sacred.observers import TinyDbObserver
observer = TinyDbObserver("db")
for number in range(10):
    observer.runs.insert({"_id": f"{sys.argv[1]}-{number}"})
    observer.runs.update({"seen": True}, doc_ids=[1])
"""


def test_several_processes_at_once() -> None:
    """TDB-02: the changes of all are there, each document under a number of its own."""
    TinyDbObserver("db").runs.insert({"_id": "first"})
    running = [subprocess.Popen([sys.executable, "-c", _PARALLEL, name]) for name in "abc"]
    assert [0, 0, 0] == [one.wait(60) for one in running]
    ids = {run["_id"] for run in _runs()}
    assert {"first", *(f"{name}-{number}" for name in "abc" for number in range(10))} == ids


# -- the reader -----------------------------------------------------------------------------------

_REPORT = """
-------------------------------------------------
Experiment: iris
-------------------------------------------------
ID: x
Date: Sat 04 May 2024    Duration: 27:05:07.1

Parameters:
    a: 1
    b: {'z': 1, 'y': [1, 2]}
    text: two
    lines

Result:
    'fine'

Dependencies:
    numpy==1

Resources:
    data.csv

Source Files:
    main.py

Outputs:
    an artifact
"""


def test_a_report() -> None:
    """TDB-04: the text that Sacred gives."""
    observer = TinyDbObserver("db")
    _with_files(observer)
    observer.run_entry["config"] |= {"text": "two\nlines", "b": {"z": 1, "y": (1, 2)}}
    observer.completed_event(LATER, "fine")
    assert [_REPORT] == TinyDbReader("db").fetch_report(indices=0)


def test_a_report_of_nothing() -> None:
    """TDB-04: ``None`` where there is nothing; a run that goes on has a report, too."""
    observer = TinyDbObserver("db")
    bare = {"name": "bare", "base_dir": "/", "sources": [], "dependencies": []}
    observer.started_event(bare, "main", {}, NOW, {}, {}, "x")
    (text,) = TinyDbReader("db").fetch_report("bare")
    assert "Duration: unknown\n" in text
    for title in ("Parameters", "Result", "Dependencies", "Resources", "Source Files", "Outputs"):
        assert f"\n{title}:\n    None\n" in text
    observer.heartbeat_event({}, "", NOW + dt.timedelta(seconds=0.1), None)
    assert "Duration: 00:00:00.1\n" in TinyDbReader("db").fetch_report("bare")[0]


def test_finding_runs() -> None:
    """TDB-04: by a regular expression, a query, or numbers from either end."""
    from tinydb import Query

    observer = TinyDbObserver("db")
    for name in ("one", "two", "three"):
        start(observer, name, {**experiment(), "name": name})
    observer.completed_event(LATER, 3)
    reader = TinyDbReader("db")

    def ids(**wanted: Any) -> list[str]:
        return [run["_id"] for run in reader.fetch_metadata(**wanted)]

    assert ["two", "three"] == ids(exp_name="^t")
    assert ["one", "two", "three"] == ids(exp_name="o|h")
    assert [] == ids(exp_name="nothing")
    assert ["three"] == ids(query=Query().result == 3)
    assert ["one"] == ids(indices=0)
    assert ["three", "one"] == ids(indices=[-1, 0])
    assert ["two"] == [run["_id"] for run in reader.search(Query().experiment.name == "two")]
    with pytest.raises(ValueError, match=r"Index value \(3\) must be less than number of records"):
        ids(indices=[0, 3])
    with pytest.raises(IndexError):
        ids(indices=-4)
    for nothing in ({}, {"exp_name": ""}, {"indices": []}):
        with pytest.raises(ValueError, match="Must specify an experiment name"):
            ids(**nothing)
    with pytest.raises(ValueError, match="no regular expression"):
        ids(exp_name="(")
    for wrong in ({"exp_name": 3}, {"indices": "a"}, {"indices": 1.5}, {"indices": [1.5]}):
        with pytest.raises(TypeError, match="give"):
            ids(**wrong)


def test_finding_files() -> None:
    """TDB-04: by name, open; only what there is."""
    observer = TinyDbObserver("db")
    _with_files(observer)
    start(observer, "y")
    found, bare = TinyDbReader("db").fetch_files(indices=[0, 1])
    assert ("iris", "x", NOW) == (found["exp_name"], found["exp_id"], found["date"])
    assert {"exp_name", "exp_id", "date"} == bare.keys()
    assert b"main.py" == found["sources"]["main.py"].read()
    assert b"data.csv" == found["resources"]["data.csv"].read()
    assert b"art.txt" == found["artifacts"]["an artifact"].read()


def test_a_reader_of_nothing() -> None:
    """TDB-04: a folder that is not there is an OSError."""
    with pytest.raises(OSError, match="Path does not exist: nowhere"):
        TinyDbReader("nowhere")
    os.mkdir("empty")
    assert [] == TinyDbReader("empty").fetch_metadata("x")


# -- declared -------------------------------------------------------------------------------------


def _experiment(observer: Any) -> sacred.Experiment:
    ex = sacred.Experiment("iris", save_git_info=False, interactive=True)
    ex.observers.append(observer)

    @ex.main
    def main(_run: Any) -> float:
        Path("art.txt").write_text("art.txt")
        _run.log_scalar("loss", 0.5)
        _run.add_artifact("art.txt", "an artifact")
        _run.info["key"] = [1]
        print("said")
        return 0.25

    return ex


def test_a_declared_view() -> None:
    """TDB-02, TDB-03, OBS-03, USE-04: the replayer writes Sacred's document; the handles read it."""
    observer = TinyDbObserver("db")
    assert "tinydb" == declared_view(observer)["kind"]  # type: ignore[index]
    run = _experiment(observer).run()
    (found,) = _runs()
    assert (run._id, "COMPLETED", 0.25) == (found["_id"], found["status"], found["result"])
    assert 32 == len(run._id)
    assert "said" in found["captured_out"]
    assert {"key": [1]} == found["info"]
    assert not [name for name in found if name.startswith("_") and name != "_id"]
    assert "COMPLETED" == observer.run_entry["status"]
    assert b"art.txt" == observer.run_entry["artifacts"][0][-1].read()
    assert isinstance(observer.run_entry["stop_time"], dt.datetime)
    stored = json.loads(Path("db/metrics", f"{run._id}.json").read_text())["metrics"]
    assert [0.5] == stored["loss"]["values"]
    (report,) = TinyDbReader("db").fetch_report(indices=-1)
    assert "Outputs:\n    an artifact\n" in report


def test_handles_inside_main() -> None:
    """USE-04, USE-16: the run's document is to be had, written or not yet."""
    observer = TinyDbObserver("db")
    ex = sacred.Experiment("iris", save_git_info=False, interactive=True)
    ex.observers.append(observer)
    seen: list[Any] = []

    @ex.main
    def main(_run: Any) -> None:
        seen.extend([_run._id, observer.run_entry, observer.runs.all(), len(observer.fs)])

    for _ in range(2):
        seen.clear()
        run = ex.run()
        run_id, entry, _, _ = seen
        assert run._id == run_id == entry["_id"]
        assert ("iris", "RUNNING") == (entry["experiment"]["name"], entry["status"])
        assert ("COMPLETED", run._id) == (observer.run_entry["status"], observer.run_entry["_id"])


def test_a_view_that_is_required() -> None:
    """With ``required`` the document is there when main begins, and without the view nothing begins."""
    observer = TinyDbObserver("db", required=True)
    ex = sacred.Experiment("iris", save_git_info=False, interactive=True)
    ex.observers.append(observer)
    ex.main(lambda: len(_runs()))
    assert 1 == ex.run().result
    assert ["COMPLETED"] == [one["status"] for one in _runs()]
    Path("db/metadata.json").write_text("{")
    with pytest.raises(sacred.utils.SacredError, match="is no TinyDB database"):
        ex.run()


def test_an_id_that_another_view_gave() -> None:
    """OBS-02, TDB-03: it is the run's in the TinyDB, too."""
    ex = _experiment(TinyDbObserver("db"))
    ex.observers.append(FileStorageObserver("files"))
    run = ex.run()
    assert ("1", [1]) == (run._id, [one["_id"] for one in _runs()])


def test_a_damaged_database_stops_no_run(caplog: pytest.LogCaptureFixture) -> None:
    """TDB-02: the run goes on, a line says what is wrong, and the file is left as it is."""
    os.mkdir("db")
    Path("db/metadata.json").write_text('{"runs": {"1": {"_id"')
    run = _experiment(TinyDbObserver("db")).run()
    assert "COMPLETED" == run.status
    assert '{"runs": {"1": {"_id"' == Path("db/metadata.json").read_text()
    assert "is no TinyDB database" in caplog.text


def test_an_id_that_is_taken() -> None:
    """R14: ``--id`` of a run that the database has is refused before anything begins."""
    start(TinyDbObserver("db"), "mine")
    ex = _experiment(TinyDbObserver("db"))
    with pytest.raises(sacred.utils.SacredError, match="There is a run with the id mine"):
        ex.run(options={"--id": "mine"})
    assert 1 == len(_runs())


@pytest.mark.parametrize("call", ["runs", "db", "fs"])
def test_a_handle_that_is_set(call: str) -> None:
    """USE-04: from then on the observer is called."""
    observer = TinyDbObserver("db")
    setattr(observer, call, getattr(TinyDbObserver("other"), call))
    assert declared_view(observer) is None


def test_a_subclass_is_called() -> None:
    """R22, USE-03: event by event, in this process, and metrics are nowhere: Sacred's has none."""

    class Mine(TinyDbObserver):
        pass

    observer = Mine("db")
    assert declared_view(observer) is None
    _experiment(observer).run()
    observer.log_metrics({"loss": points(0.5)}, {})
    (found,) = _runs()
    assert "COMPLETED" == found["status"]
    assert not Path("db/metrics").exists()


# -- beside the peer ------------------------------------------------------------------------------

_PROGRAM = """
import datetime as dt, json, os
from sacred.observers import TinyDbObserver, TinyDbReader

T = dt.datetime(2024, 5, 4, 3, 2, 1)
observer = TinyDbObserver("db")
for name in ("main.py", "data.csv", "art.txt"):
    open(name, "w").write(name)
ex_info = {"name": "iris", "sources": [["main.py", "x"]], "dependencies": ["b==1", "a==1"],
           "repositories": [], "base_dir": os.getcwd(), "mainfile": "main.py"}
config = {"z": 1, "a": {"y": (1, 2), "when": T}, "text": "\\u00e4\\nb", "none": None, "10": 1.5}
print(observer.started_event(ex_info, "main", {"hostname": "h"}, T, config, {"comment": "c"}, "x"))
observer.heartbeat_event({"a": [1], 1: 2}, "out\\n", T, None)
observer.resource_event("data.csv")
observer.artifact_event("an artifact", "art.txt", {"m": 1}, "text/plain")
observer.completed_event(T + dt.timedelta(seconds=3661.26), {"r": 0.5})
print(observer.started_event(ex_info, "main", {}, T, {}, {}, 7))
observer.heartbeat_event({}, "", T, None)
observer.failed_event(T, ["tb"])
print(observer.started_event(ex_info, "main", {}, T, {}, {}, "z"))
observer.interrupted_event(T, "INTERRUPTED")
reader = TinyDbReader("db")
print(*reader.fetch_report(indices=[0, 1]))
print([sorted(found) for found in reader.fetch_files("iris")])
"""


@pytest.fixture
def peer() -> str:
    """A Python with sacred 0.8.7 and what its TinyDbObserver needs."""
    if PEER is None:
        pytest.skip("SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
    needs = "import tinydb, tinydb_serialization, hashfs"
    found = subprocess.run(
        [PEER, "-c", needs], env={**os.environ, "PYTHONPATH": ""}, stderr=subprocess.DEVNULL
    )
    if found.returncode:
        pytest.skip(f"the peer can not `{needs}`: `make servers` brings them")
    return PEER


def _written(python: str, folder: Path) -> tuple[str, dict[str, str]]:
    folder.mkdir()
    (folder / "program.py").write_text(_PROGRAM)
    # A PYTHONPATH would lead the peer's Python to this project.
    path = {} if python == sys.executable else {"PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-W", "ignore", "program.py"],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    files = (one for one in (folder / "db").rglob("*") if one.is_file())
    texts = {str(one.relative_to(folder)): one.read_text() for one in files}
    return done.stdout, {name: text.replace(str(folder), "HERE") for name, text in texts.items()}


def test_the_same_database_as_the_peer(peer: str, tmp_path: Path) -> None:
    """USE-03, TDB-02, TDB-03, TDB-04: each file, byte for byte, and each report, as Sacred's."""
    assert _written(peer, tmp_path / "theirs") == _written(sys.executable, tmp_path / "ours")


_READ = """
from sacred.observers import TinyDbReader

reader = TinyDbReader("db")
print(reader.fetch_report(indices=-1)[0])
(files,) = reader.fetch_files(exp_name="^iris$")
print(files["artifacts"]["an artifact"].read(), files["date"].year, *files["sources"])
(run,) = reader.fetch_metadata(exp_name="iris")
print(run["_id"], run["result"], run["heartbeat"] >= run["start_time"])
"""


def test_the_reader_of_the_peer(peer: str) -> None:
    """TDB-04: Sacred's own reader finds in a declared view what ours does."""
    run = _experiment(TinyDbObserver("db")).run()
    texts = []
    for python in (peer, sys.executable):
        path = {} if python == sys.executable else {"PYTHONPATH": ""}
        done = subprocess.run(
            [python, "-W", "ignore", "-c", _READ],
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert 0 == done.returncode, done.stderr
        texts.append(done.stdout)
    assert texts[0] == texts[1]
    assert f"{run._id} 0.25 True" in texts[0]
    assert f"b'art.txt' {dt.datetime.now().year}" in texts[0]


def test_no_warnings_of_files_that_stay_open() -> None:
    """TDB-03: Sacred never closes its readers; these hold nothing open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        observer = TinyDbObserver("db")
        _with_files(observer)
        del observer
