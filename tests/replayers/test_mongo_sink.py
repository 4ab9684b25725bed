"""The MongoDB view: what the clients read, and what each error of the driver means."""

from __future__ import annotations

import datetime as dt
import math
import re

import pytest
from servers.tls import TlsFront
from servers.web import HttpServer, make_certificate

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.errors import SinkSpecError, TerminalSinkError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.registry import parse_spec
from sacred.replayers.sink import FileEntry, PointsAdded, RunKey, SinkSpec
from sacred.replayers.sinks.mongo import MongoSink
from sacred.replayers.sinks.mongo import series as module
from sacred.replayers.sinks.mongo import sink as sink_module

server = pytest.mark.server


@pytest.fixture
def spec(mongo_server, mongo_db):
    return mongo_spec(mongo_server.url, mongo_db.name)


def once(folder, spec, **options):
    follower = Follower(folder, MongoSink(spec), spec, **options)
    try:
        return follower.run_once()
    finally:
        follower.close()


def _simple(folder, **more):
    writer = JournalWriter.create(
        folder.journal, durability="process", blobs=BlobStore(folder.root.blobs)
    )
    fields = {"run_id": 1, "name": "x", "command": "m", "config": {}, "meta": {}}
    fields |= {"experiment": {"name": "x", "base_dir": "/"}, "host": {}}
    writer.append(EventType.RUN_STARTED, **{**fields, **more})
    return writer


# -- documents -------------------------------------------------------------------------------------


@server
def test_the_documents(root, spec, mongo_db, run_writer):
    """MGO-02, MGO-03, E.1-E.3: fields and types of runs, metrics and GridFS."""
    import gridfs
    from bson import ObjectId

    folder = root.claim()
    run_writer(folder, points=3)
    assert once(folder, spec).view_id == 1
    run = mongo_db.runs.find_one()
    assert sorted(run) == [
        "_id",
        "_journal",
        "artifacts",
        "captured_out",
        "command",
        "config",
        "experiment",
        "format",
        "heartbeat",
        "host",
        "info",
        "meta",
        "resources",
        "result",
        "start_time",
        "status",
        "stop_time",
    ]
    assert (run["_id"], run["format"], run["result"]) == (1, "MongoObserver-0.7.0", 42)
    assert all(type(run[n]) is dt.datetime for n in ("start_time", "heartbeat", "stop_time"))
    files = gridfs.GridFS(mongo_db)
    ((name, source_id),) = run["experiment"]["sources"]
    assert (name, type(source_id)) == ("main.py", ObjectId)
    source = mongo_db.fs.files.find_one({"_id": source_id})
    assert (source["filename"], source["length"]) == ("/base/main.py", 9)
    assert len(source["md5"]) == 32
    (artifact,) = run["artifacts"]
    stored = mongo_db.fs.files.find_one({"_id": artifact["file_id"]})
    assert stored["filename"] == "artifact://runs/1/a file.txt"
    assert (stored["contentType"], stored["metadata"]) == ("text/plain", None)
    assert files.get(artifact["file_id"]).read() == b"the artifact"
    ((path, md5),) = run["resources"]
    assert files.find_one({"filename": path, "md5": md5}).read() == b"the artifact"
    series = {one["name"]: one for one in mongo_db.metrics.find()}
    assert {m["name"]: m["id"] for m in run["info"]["metrics"]} == {
        name: str(one["_id"]) for name, one in series.items()
    }
    loss = series["loss"]
    assert (loss["run_id"], loss["steps"], loss["values"]) == (1, [0, 1, 2], [0.0, 0.25, 0.5])
    assert all(type(time) is dt.datetime for time in loss["timestamps"])


@server
def test_sources_are_stored_once(root, spec, mongo_db, run_writer):
    """E.8.3: runs of the same program share their sources; artifacts are each run's own."""
    for _ in range(2):
        folder = root.claim()
        run_writer(folder)
        once(folder, spec)
    sources = [run["experiment"]["sources"][0][1] for run in mongo_db.runs.find()]
    assert sources[0] == sources[1]
    assert mongo_db.fs.files.count_documents({"filename": "/base/main.py"}) == 1
    assert mongo_db.fs.files.count_documents({"filename": {"$regex": "^artifact"}}) == 2


@server
def test_what_others_wrote_stays(root, spec, mongo_db):
    """E.7.6, E.8.2: omniboard's tags and other foreign fields survive writes and rebuilds."""
    folder = root.claim()
    writer = _simple(folder)
    once(folder, spec)
    mongo_db.runs.update_one({}, {"$set": {"omniboard": {"tags": ["mine"]}, "slurm": {"id": 1}}})
    writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["a\n"])
    writer.close()
    once(folder, spec)
    once(folder, spec, rebuild=True)
    run = mongo_db.runs.find_one()
    assert (run["omniboard"], run["slurm"]) == ({"tags": ["mine"]}, {"id": 1})
    assert (run["status"], run["fail_trace"]) == ("FAILED", ["a\n"])


@server
def test_tags_that_came_with_a_run(root, spec, mongo_db):
    """Tags of the journal are joined with a person's, and a note is never written over a person's.

    Nor again where a person took them away; with the position, or not at all.
    """
    folder = root.claim()
    writer = _simple(folder)
    for what, action, value in (
        *(("tag", "add", tag) for tag in ("good", "bad", "good", "best")),
        *(("tag", "remove", "bad"), ("note", "set", "see 3"), ("status", "set", "INVALID")),
    ):
        writer.append(EventType.ANNOTATED, what=what, action=action, value=value)
    writer.flush()
    once(folder, spec)
    (run,) = mongo_db.runs.find()
    assert {"tags": ["good", "best"], "notes": "see 3"} == run["omniboard"]
    mongo_db.runs.update_one({}, {"$set": {"omniboard.notes": "mine"}})
    writer.append(EventType.ANNOTATED, what="tag", action="add", value="late")
    writer.append(EventType.ANNOTATED, what="note", action="set", value="see 4")
    writer.flush()
    once(folder, spec)
    (run,) = mongo_db.runs.find()
    assert {"tags": ["good", "best", "late"], "notes": "mine"} == run["omniboard"]
    for number, board in enumerate(({"tags": []}, {}, {"tags": ["x"], "notes": ""})):
        mongo_db.runs.update_one({}, {"$set": {"omniboard": board}})
        writer.append(EventType.ANNOTATED, what="tag", action="add", value=f"later {number}")
        writer.flush()
        once(folder, spec)
        once(folder, spec, rebuild=True)
        (run,) = mongo_db.runs.find()
        assert {**board, "tags": [*board.get("tags", []), f"later {number}"]} == run["omniboard"]
    writer.append(EventType.ANNOTATED, what="tag", action="remove", value="later 2")
    writer.append(EventType.ANNOTATED, what="note", action="set", value="see 5")
    writer.flush()
    once(folder, spec)
    (run,) = mongo_db.runs.find()
    assert {"tags": ["x"], "notes": "see 5"} == run["omniboard"]
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    mongo_db.runs.update_one({}, {"$set": {"omniboard": "another program's"}})
    assert "current" == once(folder, spec, rebuild=True).state
    (run,) = mongo_db.runs.find()
    assert "another program's" == run["omniboard"]


@server
def test_a_tag_that_a_person_writes_meanwhile(root, spec, mongo_db):
    """Between the look and the write: the write finds out, and both have their tags."""
    folder = root.claim()
    writer = _simple(folder)
    once(folder, spec)
    writer.append(EventType.ANNOTATED, what="tag", action="add", value="ours")
    writer.append(EventType.RESULT_CHANGED, result=7)
    writer.flush()
    follower = Follower(folder, MongoSink(spec), spec)
    follower._attach()
    runs = follower.sink._runs

    class Meanwhile:
        def __getattr__(self, name):
            return getattr(runs, name)

        def update_one(self, *given):
            follower.sink._runs = runs
            runs.update_one({}, {"$set": {"omniboard": {"tags": ["a person's"]}}})
            return runs.update_one(*given)

    follower.sink._runs = Meanwhile()
    assert "current" == follower.run_once().state
    follower.close()
    (run,) = mongo_db.runs.find()
    assert (["a person's", "ours"], 7) == (run["omniboard"]["tags"], run["result"])
    writer.close()


@server
def test_values_that_mongo_can_not_hold(root, spec, mongo_db):
    """Large ints become text, NaN stays, keys with dots and dollars stay as they are (E.8.6)."""
    folder = root.claim()
    config = {"big": 1 << 70, "a.b": {"$c": 1}, "deep": None, "nul\0": 1}
    writer = _simple(folder, config=config, info={"x.y": 1})
    writer.log_point("m", 0, math.nan)
    writer.log_point("m", 1 << 70, (1, 2))
    writer.close()
    assert once(folder, spec).error is None
    run = mongo_db.runs.find_one()
    assert run["config"]["big"] == str(1 << 70)
    assert run["config"]["a.b"] == {"$c": 1}
    series = mongo_db.metrics.find_one()
    assert math.isnan(series["values"][0])
    assert series["values"][1] == [1, 2]
    assert series["steps"] == [0, str(1 << 70)]


@server
def test_a_long_series_goes_on_in_another_document(root, spec, mongo_db, monkeypatch):
    """MGO-03: a series is split before it reaches 16 MB, also when it is taken up again."""
    monkeypatch.setattr(module, "METRIC_BYTES", 20_000)
    monkeypatch.setattr(module, "PUSH_BYTES", 4_000)
    folder = root.claim()
    writer = _simple(folder)
    for part in range(2):
        for step in range(500):
            writer.log_point("m", 500 * part + step, 0.5)
        writer.flush()
        once(folder, spec)
    writer.close()
    series = list(mongo_db.metrics.find().sort("_journal.bucket"))
    # A client that keeps metrics by their names has all.
    assert [one["name"] for one in series] == ["m", "m (2)", "m (3)"]
    assert [step for one in series for step in one["steps"]] == list(range(1000))
    references = mongo_db.runs.find_one()["info"]["metrics"]
    assert references == [{"name": one["name"], "id": str(one["_id"])} for one in series]


@server
@pytest.mark.slow
def test_a_metric_of_more_than_16_mb(root, spec, mongo_db):
    """MGO-03: 400,000 points, without any limit of the tests': clients find all, in order, by the names that the run lists."""
    import bson

    folder = root.claim()
    writer = _simple(folder)
    for step in range(400_000):
        writer.log_point("m", step, step / 7)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    assert once(folder, spec).state == "current"
    references = mongo_db.runs.find_one()["info"]["metrics"]
    assert [reference["name"] for reference in references][:2] == ["m", "m (2)"]
    # As Omniboard asks: by the ids that the run names, and by the run.
    ids = [bson.ObjectId(reference["id"]) for reference in references]
    assert len(ids) > 1
    found = {one["_id"]: one for one in mongo_db.metrics.find({"run_id": 1})}
    assert set(found) == set(ids)
    sizes = [len(bson.encode(one)) for one in found.values()]
    assert max(sizes) < 16 << 20 < sum(sizes)
    steps = [step for one in ids for step in found[one]["steps"]]
    assert steps == list(range(400_000))


@server
def test_the_indexes(root, spec, mongo_db, run_writer):
    """A sparse unique one on the journal's id, made once: Sacred's own documents have none."""
    mongo_db.runs.insert_many(
        [{"_id": 1000 + n, "format": "MongoObserver-0.8.7"} for n in range(2)]
    )
    for _ in range(2):
        folder = root.claim()
        run_writer(folder)
        assert once(folder, spec).state == "current"
    found = mongo_db.runs.index_information()
    assert sorted(found) == ["_id_", "_journal.id_1"]
    assert found["_journal.id_1"]["unique"]
    assert found["_journal.id_1"]["sparse"]
    from pymongo.errors import DuplicateKeyError

    known = mongo_db.runs.find_one({"_id": 1})["_journal"]["id"]
    with pytest.raises(DuplicateKeyError):
        mongo_db.runs.insert_one({"_id": 7, "_journal": {"id": known}})


@server
def test_every_file_has_its_md5(root, spec, mongo_db, run_writer):
    """MGO-04: no driver writes one any more, and clients look for it; also where the journal has none."""
    import hashlib

    import gridfs

    folder = root.claim()
    run_writer(folder)
    assert once(folder, spec).state == "current"
    sink = MongoSink(spec)
    sink.open()
    for text in ("one", "another"):
        blob = folder.path / f"{text}.py"
        blob.write_text(text)
        entry = FileEntry("source", "x.py", "/base/x.py", None, None, len(text))
        first, again = (sink.put_file(RunKey("0" * 16, 1), entry, blob) for _ in range(2))
        assert first == again
    sink.close()
    files = list(gridfs.GridFS(mongo_db).find())
    assert len(files) == 5
    said = {one["_id"]: one["md5"] for one in mongo_db.fs.files.find()}
    assert said == {
        one._id: hashlib.md5(one.read(), usedforsecurity=False).hexdigest() for one in files
    }


@server
def test_tls(root, run_writer, mongo_server, mongo_db, tmp_path):
    """USE-17: the old ``ssl*`` arguments of an observer reach the driver; who is not trusted is told of."""
    from sacred.observers import MongoObserver

    certificate = make_certificate(tmp_path / "certificate.pem")
    folder = root.claim()
    run_writer(folder)
    host, port = mongo_server.url.rpartition("/")[2].rsplit(":", 1)
    assert host in {"127.0.0.1", "localhost"}
    with TlsFront(int(port), certificate) as front:
        url = f"mongodb://127.0.0.1:{front.port}"
        stranger = MongoObserver(url, mongo_db.name, ssl=True)
        status = once(folder, SinkSpec.from_wire(stranger.declare_view()))
        assert status.state == "failed"
        assert "was not trusted" in status.error
        assert "check tlsCAFile and the server's name" in status.error
        trusting = MongoObserver(url, mongo_db.name, ssl=True, ssl_ca_certs=str(certificate))
        assert once(folder, SinkSpec.from_wire(trusting.declare_view())).state == "current"
        by_url = parse_spec(f"{url}/{mongo_db.name}?tls=true&tlsCAFile={certificate}")
        assert once(folder, by_url).state == "current"
    assert mongo_db.runs.count_documents({}) == 1


@pytest.mark.parametrize("login", ["", "me:s3cret@"])
def test_a_login_that_is_refused(root, run_writer, locked_mongo, login):
    """It is no use to wait: a sentence says what to check, and shows no password."""
    folder = root.claim()
    run_writer(folder)
    spec = parse_spec(locked_mongo.url.replace("//", f"//{login}") + "/d?authSource=admin")
    status = once(folder, spec)
    assert status.state == "failed"
    assert "refuses the connection" in status.error
    assert "Check user, password and authSource" in status.error
    assert "s3cret" not in status.error


@server
@pytest.mark.parametrize("points", [0, 1])
def test_what_a_user_calls_metrics_hides_no_run(root, spec, mongo_db, points):
    """E.1: an ``id`` that is none becomes ``id_``; Omniboard would show no run of the database."""
    whole = {"name": "whole", "id": "a" * 24}
    own = [{"name": "mine", "id": "zz"}, {"id": 3}, whole, {"name": "none", "id": None}, "text"]
    folder = root.claim()
    writer = _simple(folder, info={"metrics": own})
    if points:
        writer.log_point("loss", 0, 0.5)
    writer.close()
    once(folder, spec)
    found = mongo_db.runs.find_one()["info"]["metrics"]
    assert [{"name": "mine", "id_": "zz"}, {"id_": 3}, *own[2:]] == found[:5]
    assert [str(one["_id"]) for one in mongo_db.metrics.find()] == [one["id"] for one in found[5:]]
    for one in found:
        given = one.get("id") if isinstance(one, dict) else None
        assert given is None or re.fullmatch("[0-9a-f]{24}", given)


@server
def test_a_server_that_knows_no_logins(root, run_writer, mongo_db, mongo_server):
    """What it answers (no such command) is told as what to do, and not as a document that it refused."""
    folder = root.claim()
    run_writer(folder)
    address = mongo_server.url.replace("//", "//me:s3cret@") + f"/{mongo_db.name}"
    status = once(folder, parse_spec(address))
    assert status.state == "failed"
    assert "knows no logins: leave user and password out of its address" in status.error
    assert "s3cret" not in status.error


@server
def test_long_output_is_kept_in_gridfs(root, spec, mongo_db, monkeypatch):
    """Output beyond the limit is whole in GridFS, its end readable in the document."""
    import gridfs

    monkeypatch.setattr(sink_module, "OUTPUT_BYTES", 1000)
    monkeypatch.setattr(sink_module, "OUTPUT_TAIL", 100)
    folder = root.claim()
    writer = _simple(folder)
    text = ""
    for part in range(2):
        more = "".join(f"line {part} {n}\n" for n in range(200))
        text += more
        writer.append_output(1, more.encode())
        writer.flush()
        once(folder, spec)
    writer.close()
    shown = mongo_db.runs.find_one()["captured_out"]
    assert shown.startswith(f"[{len(text)} bytes of output, whole in GridFS as output://runs/1/")
    assert shown.endswith("line 1 199\n")
    (stored,) = gridfs.GridFS(mongo_db).find({"filename": "output://runs/1/captured_out"})
    assert stored.read().decode() == text


@server
def test_a_document_that_would_be_too_large(root, spec, mongo_db):
    """A field of 20 MB is named and left out; the run is there all the same."""
    folder = root.claim()
    writer = _simple(folder)
    writer.append(EventType.INFO_CHANGED, set=[[["large"], "x" * (20 << 20)]], deleted=[])
    writer.log_point("m", 0, 1.0)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    assert once(folder, spec).error is None
    run = mongo_db.runs.find_one()
    assert run["status"] == "COMPLETED"
    assert [metric["name"] for metric in run["info"]["metrics"]] == ["m"]


@server
def test_of_a_group_the_largest_entries_are_left_out(root, spec, mongo_db):
    """What fits stays, with the notice in the place of what does not; one of small entries goes."""
    folder = root.claim()
    many = {f"key {n}": "y" * 100 for n in range(150_000)}
    config = {"data": "x" * (17 << 20), "lr": 0.5, "group": {"a": 1}, "nu\0l": 2, "$a.b": 3}
    writer = _simple(folder, config=config)
    writer.append(EventType.INFO_CHANGED, set=[[["many"], many], [["n"], 1]], deleted=[])
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result={"r": 1})
    writer.close()
    assert once(folder, spec).error is None
    run = mongo_db.runs.find_one()
    assert (run["config"]["lr"], run["config"]["group"]) == (0.5, {"a": 1})
    assert (run["config"]["nul"], 3) == (2, run["config"].get("$a.b") or run["config"]["@a,b"])
    assert run["config"]["data"].endswith("bytes: too large for MongoDB, kept in the journal")
    assert run["info"]["n"] == 1
    assert run["info"]["many"].endswith("bytes: too large for MongoDB, kept in the journal")
    assert run["result"] == {"r": 1}


class _InterruptedSink(MongoSink):
    """A sink before whose first write something else happens."""

    happens = None

    def write(self, batch):
        happens, self.happens = self.happens, None
        if happens is not None:
            happens(batch.run)
        super().write(batch)


@server
def test_an_id_that_is_given_away_while_it_is_written(root, spec, mongo_db, run_writer):
    """A run's points and files are under the id that it has, though it had another one before.

    A claim may be taken back while a replayer writes under it; clients look for points by ``run_id``.
    """
    folder = root.claim()
    run_writer(folder)
    other = RunKey("00000000000000ad", 1)

    def give_away(run):
        sink = MongoSink(spec)
        sink.open()
        assert sink.release(run)
        assert sink.claim(other) == 1
        sink.close()

    sink = _InterruptedSink(spec)
    sink.happens = give_away
    follower = Follower(folder, sink, spec)
    status = follower.run_once(patience=20.0)
    follower.close()
    assert (status.state, status.error, status.view_id) == ("current", None, 2)
    assert mongo_db.metrics.count_documents({"run_id": 1}) == 0
    assert mongo_db.metrics.count_documents({"run_id": 2}) > 0
    (artifact,) = mongo_db.runs.find_one({"_id": 2})["artifacts"]
    stored = mongo_db["fs.files"].find_one({"_id": artifact["file_id"]})
    assert stored["filename"] == f"artifact://runs/2/{artifact['name']}"


@server
@pytest.mark.parametrize(
    ("trace", "shown"),
    [
        (["Traceback:\n", "E: " + "x" * (17 << 20)], ["Traceback:\n", "17825795 bytes: "]),
        (["y" * 1000] * 17_000, ["17"]),
    ],
)
def test_a_trace_that_is_too_large_says_so(root, spec, mongo_db, trace, shown):
    """A stack trace stays a list of texts, as clients read it, and its short lines are there."""
    folder = root.claim()
    writer = _simple(folder)
    writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=trace)
    writer.close()
    assert once(folder, spec).error is None
    found = mongo_db.runs.find_one()["fail_trace"]
    assert len(found) == len(shown)
    assert all(line.startswith(start) for line, start in zip(found, shown, strict=True))
    assert found[-1].endswith("bytes: too large for MongoDB, kept in the journal")


@server
def test_a_result_that_is_a_large_list(root, spec, mongo_db):
    """A notice stands for it, and not an empty list, which would be another result."""
    folder = root.claim()
    writer = _simple(folder)
    result = ["z" * 1000] * 17_000
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=result)
    writer.close()
    assert once(folder, spec).error is None
    assert mongo_db.runs.find_one()["result"].endswith("too large for MongoDB, kept in the journal")


@server
def test_what_clients_read_as_json(root, spec, mongo_db):
    """E.7.5: incense makes JSON of an info; a time in one hid all runs of the database."""
    import json

    moment = dt.datetime(2024, 5, 4, 3, 2, 1, 123456)
    folder = root.claim()
    writer = _simple(folder)
    writer.append(EventType.INFO_CHANGED, set=[[["a", "b"], [moment]]], deleted=[])
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result={"at": moment})
    writer.close()
    assert once(folder, spec).error is None
    run = mongo_db.runs.find_one()
    assert json.loads(json.dumps(run["info"])) == {"a": {"b": ["2024-05-04T03:02:01.123456"]}}
    assert json.loads(json.dumps(run["result"])) == {"at": "2024-05-04T03:02:01.123456"}


def test_the_end_of_an_output_is_more_than_its_last_line():
    """A progress bar is one long line, and stands in front of the last one."""
    from sacred.replayers.lines import tail_of

    assert tail_of(b"one\ntwo\nthree\n", 9) == "three\n"
    bar = b"".join(b"\r%d of 99" % n for n in range(99))
    assert tail_of(bar + b"\nend", 24) == "97 of 99\r98 of 99\nend"
    assert tail_of(b"x" * 90 + b"\nend", 24) == "x" * 20 + "\nend"


@server
def test_overwrite(root, mongo_server, mongo_db):
    """MGO-07: overwrite= takes the named entry, and keeps what it does not write."""
    mongo_db.runs.insert_one({"_id": 3, "status": "OLD", "foreign": 1})
    folder = root.claim()
    _simple(folder).close()
    status = once(folder, mongo_spec(mongo_server.url, mongo_db.name, overwrite=3))
    assert status.view_id == 3
    run = mongo_db.runs.find_one({"_id": 3})
    assert (run["status"], run["foreign"]) == ("RUNNING", 1)


@server
def test_overwrite_leaves_no_metrics_of_the_run_before(root, mongo_server, mongo_db):
    """Clients find metrics by run and name; what Sacred wrote, and other runs have, is not touched."""
    mongo_db.metrics.insert_one({"run_id": 1, "name": "sacreds", "values": [0.5]})
    folders = [root.claim() for _ in range(3)]
    for number, folder in enumerate(folders):
        writer = _simple(folder, run_id=[1, 2, 1][number])
        writer.log_point("m", 0, float(number))
        writer.close()
    for folder in folders[:2]:
        once(folder, mongo_spec(mongo_server.url, mongo_db.name))
    over = mongo_spec(mongo_server.url, mongo_db.name, overwrite=1)
    sink = MongoSink(over)
    sink.open()
    found = Follower(folders[2], sink, over).journal_id
    assert sink.claim(RunKey(found, None, {})) == 1  # and its process vanishes
    sink.close()
    assert once(folders[2], over).view_id == 1
    metrics = sorted(
        (one["run_id"], one["name"], *one["values"]) for one in mongo_db.metrics.find()
    )
    assert metrics == [(1, "m", 2.0), (1, "sacreds", 0.5), (2, "m", 1.0)]


@server
def test_overwrite_of_a_run_that_is_not_there(root, mongo_server, mongo_db, caplog):
    """MGO-07: the run is in the view all the same, and the log says that nothing was written over."""
    folder = root.claim()
    _simple(folder).close()
    status = once(folder, mongo_spec(mongo_server.url, mongo_db.name, overwrite=77))
    assert (status.error, status.view_id) == (None, 1)
    assert "has no run 77 that could be written over" in caplog.text


@server
def test_collections_of_other_names(root, mongo_server, mongo_db):
    """MGO-01, E.8.1: a collection of its own shares metrics without mixing; a prefix has both."""
    folder = root.claim()
    writer = _simple(folder)
    writer.log_point("m", 0, 1.0)
    writer.close()
    for options in ({}, {"collection": "seml"}, {"collection_prefix": "p"}):
        once(folder, mongo_spec(mongo_server.url, mongo_db.name, **options))
    assert mongo_db.runs.count_documents({}) == 1
    assert mongo_db.seml.count_documents({}) == 1
    assert mongo_db.p_runs.count_documents({}) == 1
    assert mongo_db.metrics.count_documents({}) == 2
    assert mongo_db.p_metrics.count_documents({}) == 1


@server
def test_ids_that_are_text_are_left_alone(root, spec, mongo_db, run_writer):
    """OBS-04: another program's text ids do not break the counting."""
    mongo_db.runs.insert_many([{"_id": "zzz"}, {"_id": 1}, {"_id": 4}])
    folder = root.claim()
    run_writer(folder)
    assert once(folder, spec).view_id == 5


@server
def test_claims_of_processes_that_are_gone(root, spec, mongo_db):
    """R15: a replayer that starts clears the claims of its host's dead processes."""
    from sacred.journal.identity import own_identity
    from sacred.replayers.sink import RunKey

    sink = MongoSink(spec)
    sink.open()
    for number in (1, 2):
        sink.claim(RunKey(f"{number:016x}", number))
    gone = {**own_identity(), "process_start": 0.5, "wall": 0}
    mongo_db.runs.update_one({"_id": 1}, {"$set": {"_journal.claimed": gone}})
    assert sink.clear_claims(60) == 1
    assert [run["_id"] for run in mongo_db.runs.find()] == [2]
    sink.close()


# -- without a server ------------------------------------------------------------------------------


@pytest.fixture
def sink():
    return MongoSink(mongo_spec("mongodb://me:s%40cret@far:1/db"))


def test_what_errors_mean(sink):
    """Only what may pass is transient; each sentence names the view and never the password."""
    from pymongo import errors

    cases = [
        (errors.AutoReconnect("connection to me:s@cret@far closed"), TransientSinkError),
        (
            errors.ServerSelectionTimeoutError("far:1: refused, Timeout: 5.0s, x"),
            TransientSinkError,
        ),
        (errors.OperationFailure("Authentication failed.", 18), TerminalSinkError),
        (errors.OperationFailure("not authorized on db", 13), TerminalSinkError),
        (errors.NotPrimaryError("stepping down"), TransientSinkError),
        (errors.OperationFailure("shutdown in progress", 91), TransientSinkError),
        (errors.OperationFailure("bad value", 2), TerminalSinkError),
        (errors.InvalidURI("bad mongodb://me:s%40cret@far"), SinkSpecError),
        (errors.ConfigurationError("Unknown option x"), SinkSpecError),
        (errors.DocumentTooLarge("too large"), TerminalSinkError),
        (TypeError("unexpected keyword"), SinkSpecError),
        (ConnectionResetError("reset"), TransientSinkError),
    ]
    for error, kind in cases:
        meaning = sink._connection._meaning(error)
        assert type(meaning) is kind, error
        assert "mongo:db@far:1" in str(meaning)
        assert "cret" not in str(meaning), error


@pytest.mark.parametrize("address", ["mongodb://me:p@ss@zzz@far:1/db", "mongodb://far/a/b"])
def test_a_wrong_address(address):
    """An address that is none is refused with a sentence, exit 2, and without its password."""
    with pytest.raises(SinkSpecError) as caught:
        MongoSink(mongo_spec(address))
    assert caught.value.exit_code == 2
    assert "zzz" not in str(caught.value)


def test_an_option_of_other_programs(recwarn):
    """MongoDB's addresses are shared: what PyMongo does not know is passed over, without a word of it."""
    spec = mongo_spec("mongodb://127.0.0.1:1/d?gssapiServiceName=x&somethingElse=1")
    with pytest.raises(TransientSinkError):
        MongoSink(spec).open()
    assert [] == [str(one.message) for one in recwarn]


@pytest.mark.parametrize(
    ("option", "meant"),
    [("tsl", "tls"), ("tlss", "tls"), ("replicaset_", "replicaSet"), ("authsorce", "authSource")],
)
def test_a_misspelt_option(option, meant):
    """One that is nearly one is refused before anything is connected: "tsl" would mean no TLS."""
    with pytest.raises(SinkSpecError, match=f"did you mean {meant}"):
        MongoSink(mongo_spec(f"mongodb://me:s3cret@127.0.0.1:1/d?w=1&{option}=true"))


def test_a_sentence_of_the_driver_becomes_a_part_of_ours():
    """No full stop of the driver's in the middle, and no number of the system's."""
    from pymongo.errors import AutoReconnect, OperationFailure

    connection = MongoSink(mongo_spec("mongodb://127.0.0.1:1/db"))._connection
    refused = str(connection._meaning(OperationFailure("Authentication failed.", 18)))
    assert "refuses the connection: Authentication failed. Check user" in refused
    unknown = AutoReconnect("h:27017: [Errno -2] Name or service not known")
    assert str(connection._meaning(unknown)).endswith("h:27017: Name or service not known")


def test_the_name_of_a_user_is_no_secret():
    """Of a user "u" without a password, "refused" was "ref***sed"; passwords are hidden as ever."""
    from pymongo.errors import AutoReconnect
    from sqlalchemy.exc import OperationalError

    from sacred.replayers.sinks.sql.meaning import said

    refused = AutoReconnect("u@h, s3cret: connection refused")
    connection = MongoSink(mongo_spec("mongodb://u@127.0.0.1:1/db"))._connection
    assert connection.say(refused) == "u@h, s3cret: connection refused"
    connection = MongoSink(mongo_spec("mongodb://u:s3cret@127.0.0.1:1/db"))._connection
    assert connection.say(refused) == "u@h, ***: connection refused"
    error = OperationalError("", {}, Exception("u, s3cret: refused"))
    assert said(error, parse_spec("postgresql://u@h/db")) == "u, s3cret: refused"
    assert said(error, parse_spec("postgresql://u:s3cret@h/db")) == "u, ***: refused"


def test_a_server_that_is_not_there(root, run_writer):
    """A refused connection is behind, not failed, and says who does not answer."""
    folder = root.claim()
    run_writer(folder)
    options = {"client": {"serverSelectionTimeoutMS": 50}}
    spec = mongo_spec("mongodb://127.0.0.1:1/db", **options)
    status = once(folder, spec)
    assert status.state == "behind"
    assert "mongo:db@127.0.0.1:1 does not answer" in status.error
    assert "Timeout" not in status.error


def test_a_server_of_another_kind(root, run_writer):
    """At a mistyped port a web server answers: who reads "does not answer" alone looks for the wrong thing."""
    folder = root.claim()
    run_writer(folder)
    with HttpServer() as web:
        options = {"client": {"serverSelectionTimeoutMS": 500}}
        status = once(folder, mongo_spec(f"mongodb://127.0.0.1:{web.port}/db", **options))
    assert status.state == "behind"
    assert "does not answer as a MongoDB does" in status.error
    assert "check host and port" in status.error


def test_pushes_are_cut_by_size(monkeypatch):
    """A push stays below what a server takes, whatever the values are."""
    monkeypatch.setattr(module, "PUSH_BYTES", 1000)
    rows = 50
    change = PointsAdded(
        "m", [0] * rows, list(range(rows)), [0] * rows, ["x" * 100] * rows, [0] * rows
    )
    parts = list(module.parts(change))
    assert [seq for part, _ in parts for seq in part.seqs] == list(range(rows))
    assert max(size for _, size in parts) < 1200
    assert list(module.parts(change.rows([0, 1])))[0][0].seqs == [0, 1]


@pytest.mark.parametrize(
    ("given", "safe", "found"),
    [
        ({"a\0b": 1, "ab": 2}, False, {"ab (2)": 1, "ab": 2}),
        ({"a\0b": 1, "ab\0": 2, "ab (2)": 3}, False, {"ab": 1, "ab (3)": 2, "ab (2)": 3}),
        ({"a.b": 1, "a,b": {"\0": 1, "": 2}}, True, {"a,b (2)": 1, "a,b": {" (2)": 1, "": 2}}),
        ({"a\0": 1, "b": 2}, False, {"a": 1, "b": 2}),
    ],
)
def test_keys_that_become_one(given, safe, found):
    """Both stay; one that BSON has as it is keeps its name, wherever it stands."""
    from sacred.replayers.sinks.mongo.values import bson_value

    assert bson_value(given, safe_keys=safe) == found
    assert list(bson_value(given, safe_keys=safe)) == list(found)
