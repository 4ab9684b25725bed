"""``sacred views``, and the line of ``sacred ls``: how far views are, as this machine remembers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from servers.mongo import free_port

from sacred.journal import EventType
from sacred.journal.root import JournalRoot
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.memo import JournalSize, ViewMemo, read_memos
from sacred.replayers.registry import load_sink, parse_spec
from sacred.replayers.standings import standings, summarised
from sacred.replayers.view_lock import give_back_view, take_view

_UNSEALED = """
import os, sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.RUN_STARTED, run_id=1, name="ends", command="main",
              config={}, meta={}, experiment={"name": "ends"}, host={"hostname": "there"})
for _ in range(300):
    writer.append(EventType.HEARTBEAT)
    writer.flush()
writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
writer.flush()
os._exit(9)
"""


def refusing():
    """Return the address of a server that is not there."""
    return f"mongodb://127.0.0.1:{free_port()}/db"


def records(run_sacred, *args):
    done = run_sacred("views", "--json", *args)
    return done.code, json.loads(done.out)


def test_a_view_that_has_all(root, tmp_path, run_sacred):
    """R21: run, view, id there, position, no lag, when written; in the table and as JSON."""
    root.completed(run_id=7)
    out = tmp_path / "out"
    run_sacred("replay", "--to", f"file:{out}")
    code, (record,) = records(run_sacred)
    assert (0, 1, "file", f"file:{out}") == (code, record["run"], record["kind"], record["view"])
    assert (7, "current", 0, 0.0) == tuple(
        record[name] for name in ("view_id", "state", "lag_events", "lag_seconds")
    )
    assert record["events"] > 30
    assert record["written"].startswith("20")
    assert None is record["error"]
    done = run_sacred("views")
    header, line = (line.split("\t") for line in done.out.splitlines())
    assert ["RUN", "STATE", "EVENTS", "LAG", "WRITTEN", "VIEW", "ERROR"] == header
    assert ["1 -> file 7", "up to date", str(record["events"]), ""] == line[:4]


def test_a_server_that_is_down(root, run_sacred):
    """A view that was never reached: all events are its lag, the reason is said; exit code 3."""
    root.completed()
    url = refusing()
    run_sacred("replay", "--to", url)
    code, (record,) = records(run_sacred)
    assert (3, "behind", None, 0) == (code, record["state"], record["view_id"], record["events"])
    assert record["lag_events"] > 30
    assert record["lag_seconds"] > 10**6  # the run is of 2023
    assert "Connection refused" in record["error"]
    assert record["error_since"]
    done = run_sacred("ls")
    name = record["view"]
    assert f"sacred: the view {name} of run 1 is behind; sacred views says why\n" == done.err


def test_a_server_that_goes_down_later(root, monkeypatch):
    """A replay that can not ask a view that has all of a run still remembers how far it was."""
    folder, spec = root.completed(), parse_spec("memory:away")
    sink = load_sink(spec)
    follower = Follower(folder, sink, spec)
    follower.run_once()
    follower.close()
    (before,) = standings([folder])

    def away():
        raise TransientSinkError("not now")

    monkeypatch.setattr(sink, "open", away)
    follower = Follower(folder, sink, spec)
    follower.run_once()
    follower.close()
    (after,) = standings([folder])
    assert ("current", "behind") == (before.state, after.state)
    assert before.events == after.events > 30
    assert (0, "not now") == (after.lag_events, after.error)


def test_a_poisoned_view_stops_alone(root, tmp_path, run_sacred):
    """A view that fails is said with its sentence, the others are written; exit code 1."""
    root.completed()
    (tmp_path / "taken").write_text("")
    bad, good = f"file:{tmp_path / 'taken' / 'out'}", f"file:{tmp_path / 'out'}"
    run_sacred("replay", "--to", bad, "--to", good)
    code, found = records(run_sacred)
    states = {record["view"]: (record["state"], bool(record["error"])) for record in found}
    assert (1, {bad: ("failed", True), good: ("current", False)}) == (code, states)
    done = run_sacred("ls", "--json")
    (listed,) = json.loads(done.out)
    assert {("failed", bad), ("current", good)} == {
        (v["state"], v["view"]) for v in listed["views"]
    }
    assert f"sacred: the view {bad} of run 1 failed; sacred views says why\n" == done.err


def test_an_event_that_breaks_a_view(root, monkeypatch):
    """An error that nobody thought of stops that view with a sentence, which is remembered."""
    folder = root.completed()
    bad, good = parse_spec("memory:bad"), parse_spec("memory:good")
    for spec in (bad, good):
        sink = load_sink(spec)
        if spec is bad:
            monkeypatch.setattr(sink, "write", lambda _batch: 1 / 0)
        follower = Follower(folder, sink, spec)
        follower.run_once()
        follower.close()
    found = {standing.view: standing for standing in standings([folder])}
    assert ("current", None) == (found["memory:good"].state, found["memory:good"].error)
    assert "failed" == found["memory:bad"].state
    assert "ZeroDivisionError" in found["memory:bad"].error


def test_news_since_the_last_look(root, tmp_path, run_sacred):
    """Events that came after the replayer went: counted from the position, with their age."""
    writer = root.writer()
    root.start(writer, 1)
    writer.flush()
    run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    assert 0 == records(run_sacred)[1][0]["lag_events"]
    before = time.time_ns()
    writer.append(EventType.HEARTBEAT, time_ns=before - 60 * 10**9)
    writer.flush()
    (folder,) = root.journals.runs()
    (memo,) = read_memos(folder.views)
    (soon,) = standings([folder], now=before)
    assert ("following", 1, 60.0) == (soon.state, soon.lag_events, soon.lag_seconds)
    later = memo.looked + 3600 * 10**9
    (late,) = standings([folder], now=later)
    assert ("behind", 1) == (late.state, late.lag_events)
    writer.close()


def test_a_killed_run_is_being_written_by_nobody(root, tmp_path, run_sacred):
    """Neither its process nor a replayer is there: it is behind at once, not after 90 seconds."""
    program = (
        "import sys; from pathlib import Path; from sacred.journal import EventType, JournalWriter\n"
        "writer = JournalWriter.create(Path(sys.argv[1]), durability='process')\n"
        "writer.append(EventType.RUN_STARTED, run_id=1, name='x', command='main', config={},\n"
        "              meta={}, experiment={'name': 'x', 'base_dir': '/'}, host={})\n"
        "writer.flush(); print('begun', flush=True); sys.stdin.readline()\n"
        "writer.append(EventType.HEARTBEAT); writer.flush(); print('more', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    folder = root.journals.claim()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder.journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "begun\n"
        to = f"file:{tmp_path / 'out'}"
        run_sacred("replay", "--to", to)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "more\n"
        (living,) = standings([folder])
        assert ("following", 1) == (living.state, living.lag_events)
        process.kill()
        process.wait()
        key = parse_spec(to).key
        assert take_view(folder, key)  # a replayer that is still at it
        try:
            assert "following" == next(standings([folder])).state
        finally:
            give_back_view(folder, key)
        (killed,) = standings([folder])
        assert ("behind", 1) == (killed.state, killed.lag_events)


def test_a_sealed_run_is_not_read_again(root, tmp_path, run_sacred, monkeypatch):
    """Sealing changes an ended run's files and adds nothing: the view still has all, unread."""
    folder = root.journals.claim()
    done = subprocess.run([sys.executable, "-c", _UNSEALED, str(folder.journal)], check=False)
    assert 9 == done.returncode
    run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    assert 0 == run_sacred("seal", "1").code
    (folder,) = root.journals.runs()
    (memo,) = read_memos(folder.views)
    assert list(JournalSize.of(folder.journal)) != memo.journal
    monkeypatch.setattr("sacred.replayers.standings.JournalReader", None)
    (standing,) = standings([folder])
    assert ("current", 0) == (standing.state, standing.lag_events)


def test_a_resumed_run_is_behind(root, tmp_path, run_sacred):
    """A further file of an ended run's journal is news."""
    folder = root.completed()
    run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    (memo,) = read_memos(folder.views)
    files, size = memo.journal
    assert memo.covers(JournalSize(files, size))
    assert memo.covers(JournalSize(files, size - 1))
    assert not memo.covers(JournalSize(files, size + 1))
    assert not memo.covers(JournalSize(files + 1, size - 1))
    assert not memo._replace(ended=False).covers(JournalSize(files, size - 1))


def test_deleted_there(root, tmp_path, run_sacred):
    """What a person deleted in a view is told as such, and is no failure."""
    root.completed()
    out = tmp_path / "out"
    run_sacred("replay", "--to", f"file:{out}")
    for path in sorted((out / "1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out / "1").rmdir()
    for _ in range(2):  # and is remembered
        run_sacred("replay", "--to", f"file:{out}")
        assert not (out / "1").exists()
    code, (record,) = records(run_sacred)
    assert (0, "deleted") == (code, record["state"])
    run_sacred("replay", "--to", f"file:{out}", "--rebuild")
    assert "current" == records(run_sacred)[1][0]["state"]


def test_memories_of_an_earlier_version(root, run_sacred):
    """A note without a position says what it said; nothing is made up."""
    folder = root.completed()
    folder.views.mkdir()
    note = {"view": "mongo:lab@h", "view_id": 900, "state": "current", "error": None}
    (folder.views / "mongo-0123456789ab.json").write_text(json.dumps(note))
    code, (record,) = records(run_sacred)
    assert (0, "current", "mongo", 900) == (
        code, record["state"], record["kind"], record["view_id"]
    )  # fmt: skip
    assert (None, None) == (record["events"], record["lag_events"])
    row = run_sacred("views", "1").out.splitlines()[1].split("\t")
    assert ["1 -> mongo 900", "up to date", "?", "?"] == row[:4]
    assert "1 -> mongo 900" in run_sacred("views", "1").out


@pytest.mark.parametrize(
    "note",
    [b"", b"[]", b"{", b'{"view": 1}', b'{"view": "x", "view_id": 1, "state": 3}',
     b'{"view": "x", "view_id": 1, "state": "current", "looked": "x"}', b"\xff" * 9],
)  # fmt: skip
def test_notes_that_are_none(root, run_sacred, note):
    """What is no note is passed over; a position that is none counts as the beginning."""
    folder = root.completed()
    folder.views.mkdir()
    (folder.views / "mongo-0.json").write_bytes(note)
    ViewMemo("x", 1, "behind", "why", "file", {"a": 1}, [1], looked=1).save(folder.views, "file-1")
    code, (record,) = records(run_sacred)
    assert (3, 0, "why") == (code, record["events"], record["error"])


def test_many_runs(root, run_sacred):
    """A line for each view and for what is not well; --all and --json have every run."""
    now = time.time_ns()
    for number in range(1, 41):
        folder = root.journals.claim()
        size = list(JournalSize.of(folder.journal))
        at = [[0, 1, 10, "00", 0]]
        memo = ViewMemo("mongo:a@h", number, "current", None, "mongo", at, size, True, now, now)
        memo.save(folder.views, "mongo-a")
        if number == 3:
            bad = memo._replace(
                view="file:b", kind="file", state="failed", error="no place", since=now
            )
            bad.save(folder.views, "file-b")
    done = run_sacred("views")
    lines = done.out.splitlines()
    assert 1 == done.code
    assert ["file:b", "1", "0", "0", "0", "1"] == lines[1].split("\t")[:6]
    assert ["mongo:a@h", "40", "40", "0", "0", "0"] == lines[2].split("\t")[:6]
    assert "" == lines[3]
    assert lines[5].startswith("3 -> file 3\tfailed\t10\t")
    assert 6 == len(lines)
    assert 42 == len(run_sacred("views", "--all").out.splitlines())
    assert 41 == len(records(run_sacred)[1])
    code, summary = records(run_sacred, "--summary")
    assert [("file:b", 1, 0, 1), ("mongo:a@h", 40, 40, 0)] == [
        (view["view"], view["runs"], view["current"], view["failed"]) for view in summary
    ]
    done = run_sacred("views", "--all", "--summary")
    assert (2, 1) == (done.code, done.err.count("\n"))


def test_nothing_to_tell(root, run_sacred):
    """A root without runs, and one whose runs have no views: a sentence, exit code 0."""
    assert (0, "", "sacred: there are no runs yet\n") == told(run_sacred("views"))
    root.completed()
    assert (0, "", "sacred: no run here was written into a view\n") == told(run_sacred("views"))
    assert (0, "[]\n", "") == told(run_sacred("views", "--json"))
    assert 2 == run_sacred("views", "9").code


def told(done):
    return done.code, done.out, done.err


def test_files_that_are_opened(tmp_path, monkeypatch):
    """Of a run whose view has all, one note is opened and no journal: many runs cost little."""
    root = JournalRoot(tmp_path / "r")
    root.create()
    for _ in range(20):
        folder = root.claim()
        size = list(JournalSize.of(folder.journal))
        memo = ViewMemo("v", 1, "current", None, "k", [], size, True, 1, 1)
        memo.save(folder.views, "k-1")
    opened = []
    really = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *a, **k: opened.append(path) or really(path, *a, **k)
    )
    (summary,) = summarised(standings(root.runs()))
    assert {"current": 20} == summary.counts
    assert 20 == len(opened)
