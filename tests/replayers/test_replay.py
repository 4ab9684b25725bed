"""Replaying: many runs, several views, exit codes, and what a bare mongo means."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import sacred.replayers.replay as module
from sacred.journal.errors import NotAJournalError, RunNotFoundError
from sacred.journal.events import EventType
from sacred.journal.finding import find_runs
from sacred.journal.writer import JournalWriter
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.errors import SinkSpecError, TransientSinkError
from sacred.replayers.registry import parse_spec
from sacred.replayers.replay import declared_spec, replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.memory import PLACES, MemorySink


@pytest.fixture
def memory():
    url = uuid.uuid4().hex
    yield f"memory:{url}"
    PLACES.pop(url, None)


def test_many_runs_and_several_views(root, run_writer, memory, tmp_path):
    """Each run arrives in each view, and the summary says so in order."""
    for _ in range(3):
        run_writer(root.claim())
    calls = []
    specs = [memory, f"file:{tmp_path / 'tree'}"]
    summary = replay(root, None, specs, jobs=2, progress=lambda *call: calls.append(call))
    assert [(o.run, o.view_id, o.state, o.error) for o in summary.outcomes] == [
        (n, n, "current", None) for n in (1, 1, 2, 2, 3, 3)
    ]
    assert summary.exit_code == 0
    assert [call[:2] for call in calls] == [(n, 6) for n in range(1, 7)]
    assert json.loads((tmp_path / "tree" / "3" / "run.json").read_text())["status"] == "COMPLETED"


def test_runs_that_share_a_resource_at_the_same_time(root, run_writer, tmp_path, monkeypatch):
    """FSO: two threads that store the same resource do not take each other's copy away."""
    run_writer(root.claim())
    run_writer(root.claim())
    both = threading.Barrier(2)
    really = os.replace

    def together(source, target):
        if "_resources" in str(target):
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(100)
        really(source, target)

    monkeypatch.setattr(os, "replace", together)
    summary = replay(root, None, [f"file:{tmp_path / 'tree'}"], jobs=2)
    assert [outcome.error for outcome in summary.outcomes] == [None, None]
    assert not both.broken


def test_which_runs(root, run_writer):
    """R21: the number of a folder, id:X for an id, a path; what is none is said."""
    run_writer(root.claim())
    other = root.claim(7)
    run_writer(other)
    assert [folder.number for folder in find_runs(root, ["7", 1, "7"])] == [7, 1]
    assert [folder.number for folder in find_runs(root, ["id:7"])] == [7]
    assert [folder.path for folder in find_runs(root, [str(other.path)])] == [other.path]
    for name in ("9", "id:nobody", "nothing"):
        with pytest.raises(RunNotFoundError) as caught:
            find_runs(root, [name])
        assert caught.value.exit_code == 2
    with pytest.raises(NotAJournalError):
        find_runs(root, [str(root.path)])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mogno", "Did you mean mongo"),
        ("sqlite:x.db", "three slashes: write sqlite:///x.db"),
        ("sqlite://", "in memory ends with its process"),
        ("postgresql://host", "needs a database: write postgresql://host/NAME"),
        ("postgresql://u:p@host:port/db", "'port' is no port"),
        ("postgresl://host/db", "Did you mean postgresql?"),
        ("tinydb:", "a TinyDB needs a folder"),
        ("tinibd:x", "Did you mean tinydb?"),
        ("", "there is no view"),
        ("s3://UPPER/x", "'UPPER' is no name of a bucket"),
        ("s3://bucket/x?regoin=eu", "did you mean region"),
        ("gs://google/x", "'google' is no name of a bucket"),
        ("file:", "needs a folder"),
        ("mongodb://", "mongodb://host"),
        ("mongodb://u:p@ss@host/db", "Username and password must be escaped"),
        ("mongodb://host/a.b", "'a.b' is no name of a MongoDB database: '.' may not be in it"),
        ("mongodb://host:port/db", "'port' is no port"),
        ("mongodb://u:p@host:27017,other:99999/db", "'99999' is no port"),
        ("mongo:[::1]:x/db", "'x' is no port"),
        (f"file:{__file__}", "is no folder"),
    ],
)
def test_addresses_that_are_none(root, text, says):
    """An unknown view or a wrong address is one sentence, exit 2, before anything is done."""
    with pytest.raises(SinkSpecError, match=says) as caught:
        replay(root, None, [text])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "place", ["", "1", "1/journal", "blobs", "blobs/87", ".cache/x", "../link"]
)
def test_a_view_among_the_journals_is_refused(root, run_writer, place):
    """Its folders would be taken for runs, blobs or files of a journal."""
    run_writer(root.claim())
    (root.path.parent / "link").symlink_to(root.path)
    with pytest.raises(SinkSpecError, match="is a place of journals") as caught:
        replay(root, None, [f"file:{root.path / place}"])
    assert caught.value.exit_code == 2


def test_a_view_beside_the_runs_is_no_harm(root, run_writer):
    """A root may be a project's folder, with a folder of results in it."""
    run_writer(root.claim())
    assert replay(root, None, [f"file:{root.path / 'results'}"]).exit_code == 0


@pytest.mark.parametrize(
    ("content", "state", "code"), [(b"", "empty", 1), (b"something else", "failed", 1)]
)
def test_a_run_of_something_else_is_no_success(root, run_writer, memory, content, state, code):
    """A journal whose files were emptied, or that is none, is said and ends with status 1."""
    folder = root.claim()
    run_writer(folder)
    (folder.journal / "w0000-e0001.jzst").write_bytes(content)
    summary = replay(root, None, [memory])
    assert [outcome.state for outcome in summary.outcomes] == [state]
    assert summary.outcomes[0].error
    assert summary.exit_code == code


def test_addresses(tmp_path, monkeypatch):
    """What people write, and what it means; no password in a name."""
    monkeypatch.chdir(tmp_path)
    assert parse_spec("file:tree").url == str(tmp_path / "tree")
    assert parse_spec("mongo").url == ""
    spec = parse_spec("mongodb://user:pass@host:1/db?authSource=admin")
    assert (spec.name, spec.options["db_name"]) == ("mongo:db@host:1", "db")
    assert "pass" not in repr(spec)
    assert "pass" not in spec.key
    assert parse_spec("mongo:host:1/db").url == "mongodb://host:1/db"
    assert parse_spec("mongo:[::1]/db").name == "mongo:db@[::1]"
    assert parse_spec("mongo:[::1]:27018/db").name == "mongo:db@[::1]:27018"
    assert parse_spec("mongodb://%2Ftmp%2Fmongo.sock/db").options["db_name"] == "db"
    assert parse_spec("mongodb://host").options["db_name"] == "sacred"
    assert SinkSpec.from_wire(spec.to_wire()) == spec
    # The same place under whichever name.
    assert mongo_spec("mongodb://host:1", "db").key == mongo_spec("mongodb://u:p@host:1/db").key
    assert (
        mongo_spec("host:1", "db", collection="runs", overwrite=None).key
        == mongo_spec("host:1/db").key
    )


def test_nothing_to_write_to(root):
    """Without a view nothing is done, and it is said what to write."""
    with pytest.raises(SinkSpecError, match="--to"):
        replay(root, None, [])


def _declaring(root, *views):
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    fields = {"run_id": 1, "name": "x", "command": "m", "config": {}, "meta": {}}
    writer.append(EventType.RUN_STARTED, **fields, experiment={}, host={}, views=list(views))
    writer.close()
    return folder


def test_a_bare_mongo_is_what_the_run_declared(root):
    """A bare ``mongo``: as the run declared it, else the server of this machine."""
    bare = parse_spec("mongo")
    assert declared_spec(bare, _declaring(root)) == mongo_spec(
        "mongodb://localhost:27017", "sacred"
    )
    options = {"db_name": "mine", "collection": "runs", "collection_prefix": "p", "overwrite": None}
    view = {"kind": "mongo", "url": "mongodb://far:1", "options": options, "name": "n"}
    found = declared_spec(bare, _declaring(root, {"kind": "file", "url": "/x"}, view))
    assert (found.url, found.options["db_name"], found.options["collection_prefix"]) == (
        "mongodb://far:1",
        "mine",
        "p",
    )
    hidden = {**view, "url": "mongodb://user:***@far:1"}
    with pytest.raises(SinkSpecError, match="password"):
        declared_spec(bare, _declaring(root, hidden))


class Unreachable(MemorySink):
    """A server that is down."""

    calls = 0

    def open(self):
        type(self).calls += 1
        raise TransientSinkError("it does not answer")


def test_a_view_that_is_down_is_waited_for_once(root, run_writer, memory, monkeypatch):
    """Exit 3; the second run does not wait for the same server again."""
    for _ in range(3):
        run_writer(root.claim())
    monkeypatch.setattr("sacred.replayers.replay.load_sink", Unreachable)
    monkeypatch.setattr("sacred.replayers.sink_pool.load_sink", Unreachable)
    Unreachable.calls = 0
    summary = replay(root, None, [memory])
    assert summary.exit_code == 3
    assert [outcome.error for outcome in summary.outcomes] == ["it does not answer"] * 3
    assert Unreachable.calls == 1


def test_an_empty_folder_is_no_failure(root, run_writer, memory):
    """A number that was claimed and never written is passed over."""
    root.claim()
    run_writer(root.claim())
    summary = replay(root, None, [memory])
    assert [outcome.state for outcome in summary.outcomes] == ["empty", "current"]
    assert summary.exit_code == 0


def test_several_jobs_are_interrupted(root, run_writer, memory, monkeypatch):
    """Ctrl-C with --jobs: runs that are begun are ended, the others are left for the next time."""
    for _ in range(10):
        run_writer(root.claim(), points=1)
    done, ending = [], threading.Event()
    really = ThreadPoolExecutor.shutdown

    def shutdown(pool, *args, **options):
        really(pool, *args, **options)
        ending.set()

    def progress(number, total, outcome):
        done.append(outcome.run)
        if outcome.run == 1:
            raise KeyboardInterrupt
        if 1 in done:
            ending.wait(100.0)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt):
        replay(root, None, [memory], jobs=2, progress=progress)
    assert len(done[done.index(1) :]) <= 3


def test_following_takes_up_new_runs(root, run_writer, memory):
    """--follow: living runs are followed, and those that begin meanwhile."""
    run_writer(root.claim())
    stop = threading.Event()
    seen = []

    def progress(done, total, outcome):
        seen.append(outcome.run)
        if outcome.run == 1:
            run_writer(root.claim())
        else:
            stop.set()

    summary = replay(root, None, [memory], follow=True, progress=progress, stop=stop)
    assert [outcome.state for outcome in summary.outcomes] == ["current", "current"]


def test_following_tries_again_what_is_behind(root, run_writer, memory, monkeypatch):
    """--follow: the view of a run that ended long ago is written when its server comes back."""
    run_writer(root.claim())
    monkeypatch.setattr(module, "_RETRY_FIRST", 0.0)
    monkeypatch.setattr(module, "_LOOK_FOR_RUNS", 0.01)
    really, refusals = MemorySink.open, iter(range(3))
    stop = threading.Event()
    seen = []

    def refuse(sink):
        if next(refusals, None) is not None:
            raise TransientSinkError("nobody answers")
        really(sink)

    def progress(done, total, outcome):
        seen.append(outcome.state)
        if outcome.state == "current":
            stop.set()

    monkeypatch.setattr(MemorySink, "open", refuse)
    monkeypatch.setattr(module._Replay, "_try_behind", _counted(module._Replay._try_behind, stop))
    summary = replay(root, None, [memory], follow=True, patience=0.0, progress=progress, stop=stop)
    assert seen == ["behind", "current"]  # and not a line for each attempt
    assert [outcome.error for outcome in summary.outcomes] == [None]


def _counted(method, stop, limit=10_000):
    """Bound a loop that would never end if the method did not do its work."""
    calls = iter(range(limit))

    def counted(*args):
        if next(calls, None) is None:
            stop.set()
        return method(*args)

    return counted
