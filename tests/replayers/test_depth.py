"""Values that are nested deeper than a view can hold, and defects of a view's own."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.codec import Array
from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.follower import Follower
from sacred.replayers.jsontext import jsonable, to_json
from sacred.replayers.plain import plain
from sacred.replayers.projection import RunProjection
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.memory import PLACES


def deep(levels, wrap=lambda inner: {"a": inner}):
    value = wrap(0)
    for _ in range(levels - 1):
        value = wrap(value)
    return value


def depth(value):
    levels = 0
    while isinstance(value, (dict, list)):
        value = value["a"] if isinstance(value, dict) else value[0]
        levels += 1
    return levels, value


@pytest.fixture
def deep_run(root, tmp_path):
    """A run with deep values everywhere."""
    folder = root.claim()
    blobs = BlobStore(folder.root.blobs)
    made = JournalWriter.create(folder.journal, durability="process", blobs=blobs)
    with contextlib.closing(made) as writer:
        fields = {"run_id": 1, "name": "x", "command": "m", "config": {"deep": deep(600)}}
        fields |= {"meta": {}, "experiment": {"name": "x", "base_dir": "/"}, "host": {}}
        writer.append(EventType.RUN_STARTED, **fields)
        (tmp_path / "a.txt").write_text("a")
        stored = blobs.put_file(tmp_path / "a.txt")
        writer.append(
            EventType.ARTIFACT_ADDED,
            name="a.txt",
            filename=str(tmp_path / "a.txt"),
            metadata=deep(600),
            blob=stored.blob.to_wire(),
            md5=stored.md5,
        )
        changed = [[["deep"], deep(600)], [["list"], deep(600, lambda inner: [inner])]]
        writer.append(EventType.INFO_CHANGED, set=changed, deleted=[])
        writer.append(EventType.INFO_CHANGED, set=[[["path"] * 900, 1]], deleted=[])
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=deep(600))
    return folder


@pytest.mark.parametrize(
    "wrap",
    [lambda inner: {"a": inner}, lambda inner: [inner], lambda inner: (inner,)],
    ids=["dict", "list", "tuple"],
)
def test_what_is_nested_too_deeply_is_a_text(wrap):
    """Two hundred containers are shown; for what is deeper stands a text that names it."""
    assert depth(plain(deep(200, wrap))) == (200, 0)
    assert depth(plain(deep(900, wrap))) == (200, "<nested too deeply>")
    assert depth(json.loads(to_json(deep(900, wrap)))) == (200, "<nested too deeply>")


def test_an_array_of_more_dimensions_than_there_are():
    """A journal may say what it likes: no array has more than 64 dimensions."""
    array = Array("<i4", (1,) * 900, b"\1\0\0\0")
    assert plain(array) == "<array of <i4, 900 dimensions>"
    nested = jsonable(Array("<i4", (1,) * 64, b"\1\0\0\0"))
    assert depth(nested) == (64, 1)


def test_a_file_view_of_deep_values(deep_run, root, tmp_path):
    """FIL-03: run.json and info.json are there, and can be read."""
    (outcome,) = replay(root, None, [f"file:{tmp_path / 'view'}"]).outcomes
    assert (outcome.state, outcome.error) == ("current", None)
    run = json.loads((tmp_path / "view" / "1" / "run.json").read_text())
    info = json.loads((tmp_path / "view" / "1" / "info.json").read_text())
    assert (run["status"], depth(run["result"])) == ("COMPLETED", (200, "<nested too deeply>"))
    assert [depth(info[name])[0] for name in ("deep", "list")] == [199, 199]


@pytest.mark.server
def test_a_mongo_view_of_deep_values(deep_run, root, mongo_server, mongo_db):
    """MGO-02: the server takes a hundred levels; what is deeper is text."""
    spec = mongo_spec(mongo_server.url, mongo_db.name)
    (outcome,) = replay(root, None, [spec]).outcomes
    assert (outcome.state, outcome.error) == ("current", None)
    run = mongo_db.runs.find_one()
    for value in (run["result"], run["info"]["deep"], run["config"]["deep"]):
        levels, end = depth(value)
        assert (80 < levels < 100, type(end)) == (True, str)
    (file,) = mongo_db.fs.files.find({"filename": {"$regex": "a.txt"}})
    assert 80 < depth(file["metadata"])[0] < 100


# -- defects ---------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(root, run_writer):
    """Two runs, the first of which meets a defect."""
    folders = [root.claim(), root.claim()]
    for folder in folders:
        run_writer(folder)
    return folders


@pytest.fixture
def spec():
    url = uuid.uuid4().hex
    yield SinkSpec("memory", url, {}, f"memory:{url}")
    PLACES.pop(url, None)


@pytest.fixture
def defect(monkeypatch):
    """The first end of a run that is folded meets a defect."""
    apply, met = RunProjection.apply, []

    def broken(self, event, **options):
        if event.type == EventType.RUN_ENDED and not met:
            met.append(event)
            raise RecursionError("of\nsome kind")
        apply(self, event, **options)

    monkeypatch.setattr(RunProjection, "apply", broken)


def test_a_defect_stops_one_run_in_one_view(two_runs, root, spec, defect):
    """A replay goes on with the next run, and says in a sentence what stopped the first."""
    summary = replay(root, None, [spec])
    first, second = summary.outcomes
    assert first.error == (
        f"a defect in sacred-journal stopped the view {spec.name}, please report it: "
        "RecursionError: of some kind"
    )
    states = (first.state, second.state, summary.exit_code)
    assert states == ("failed", "current", 1)


def test_a_follower_that_meets_a_defect_ends(two_runs, spec, defect):
    """Following ends with the sentence; the process and its other views go on."""
    follower = Follower(two_runs[0], load_sink(spec), spec)
    try:
        status = follower.follow(threading.Event())
    finally:
        follower.close()
    assert (status.state, "a defect in sacred-journal" in status.error) == ("failed", True)
