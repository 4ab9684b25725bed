"""What people say of a run reaches the views whose clients show it, exactly as it is now."""

from __future__ import annotations

import time
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.journal.notes import Said, annotate, notes_size
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.annotations import Annotations
from sacred.replayers.daemon import Daemon, DaemonPlan
from sacred.replayers.follower import Follower
from sacred.replayers.memo import JournalSize, ViewMemo
from sacred.replayers.registry import load_sink, parse_spec
from sacred.replayers.replay import replay
from sacred.replayers.sinks.mongo.annotations import annotation_update
from sacred.replayers.standings import standings

server = pytest.mark.server


def tag(name, action="add"):
    return Said("tag", action, name)


@pytest.fixture
def spec(mongo_server, mongo_db):
    return mongo_spec(mongo_server.url, mongo_db.name)


@pytest.fixture
def folder(root, run_writer):
    """A run that ended, sealed by its own process."""
    folder = root.claim()
    run_writer(folder).close()
    return folder


def until(what):
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@server
def test_a_run_that_is_whole_in_its_view(root, folder, spec, mongo_db):
    """The next replay brings what was said since, and once more brings nothing."""
    replay(root, None, [spec])
    assert "omniboard" not in mongo_db.runs.find_one()
    annotate(folder, [tag("good"), tag("bad"), Said("note", "set", "see 3")])
    (standing,) = standings([folder])
    assert ("behind", True) == (standing.state, 0 < standing.lag_events)
    replay(root, None, [spec])
    first = mongo_db.runs.find_one()
    assert {"tags": ["good", "bad"], "notes": "see 3"} == first["omniboard"]
    (standing,) = standings([folder])
    assert ("current", 0, 0.0) == (standing.state, standing.lag_events, standing.lag_seconds)
    replay(root, None, [spec])
    assert first == mongo_db.runs.find_one()


@server
def test_both_sides_write(root, folder, spec, mongo_db):
    """A person's tags stay, ours come and go, and a person's note is never written over."""
    annotate(folder, [tag("ours"), tag("late")])
    replay(root, None, [spec])
    board = {"tags": ["ours", "late", "mine"], "notes": "my own"}
    mongo_db.runs.update_one({}, {"$set": {"omniboard": board}})
    annotate(folder, [tag("late", "remove"), tag("new"), Said("note", "set", "from the journal")])
    replay(root, None, [spec])
    wanted = {"tags": ["ours", "mine", "new"], "notes": "my own"}
    assert wanted == mongo_db.runs.find_one()["omniboard"]
    replay(root, None, [spec], rebuild=True)
    assert wanted == mongo_db.runs.find_one()["omniboard"]


@server
def test_a_view_that_came_back_older(root, folder, spec, mongo_db):
    """It is told again, though the note on this machine says that it knows."""
    replay(root, None, [spec])
    older = mongo_db.runs.find_one()
    annotate(folder, [tag("good")])
    replay(root, None, [spec])
    mongo_db.runs.replace_one({}, older)
    replay(root, None, [spec])
    assert ["good"] == mongo_db.runs.find_one()["omniboard"]["tags"]


@server
def test_the_service(root, folder, spec, mongo_db, monkeypatch):
    """It notices a tag of a run that it has left alone since it was whole."""
    monkeypatch.setattr("sacred.replayers.daemon.LOOK", 0.0)
    replay(root, None, [spec])
    plan = DaemonPlan((root.path,), (("", spec),))
    said = []
    service = Daemon(plan, lambda: plan, said.append)
    try:
        until(lambda: service.step() is None or service.report()["views"][0]["current"] == 1)
        for number in range(2):
            annotate(folder, [tag(f"t{number}")])

            def arrived(number=number):
                service.step()
                tags = mongo_db.runs.find_one().get("omniboard", {}).get("tags", [])
                return f"t{number}" in tags

            until(arrived)
    finally:
        service.stop()
    assert ["t0", "t1"] == mongo_db.runs.find_one()["omniboard"]["tags"]


@server
def test_a_run_that_lives(root, spec, mongo_db, run_writer, monkeypatch):
    """A follower brings what is said while it follows."""
    monkeypatch.setattr("sacred.journal.watch.POLL_INTERVAL", 0.05)
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    follower = Follower(folder, load_sink(spec), spec)
    stop = Event()
    thread = Thread(target=follower.follow, args=(stop,))
    thread.start()
    try:
        until(lambda: mongo_db.runs.find_one() is not None)
        annotate(folder, [tag("live")])
        until(lambda: "omniboard" in mongo_db.runs.find_one())
    finally:
        stop.set()
        thread.join(60)
        follower.close()
        writer.close()
    assert {"tags": ["live"]} == mongo_db.runs.find_one()["omniboard"]


@server
def test_several_writers_are_put_in_order(root, spec, mongo_db, run_writer):
    """The document that is written anew by time has what was said, too."""
    from sacred.journal.writer import JournalWriter

    folder = root.claim()
    writer = run_writer(folder, ends=False)
    child = JournalWriter.join(folder.journal, journal_id=writer.journal_id)
    child.append_output(1, b"from a child\n")
    child.close()
    annotate(folder, [tag("good")])
    writer.append(7, how="completed", status="COMPLETED")
    writer.close()
    replay(root, None, [spec])
    assert ["good"] == mongo_db.runs.find_one()["omniboard"]["tags"]


def test_views_that_show_no_tags_are_left_alone(root, folder, tmp_path):
    """Nothing is written there, and they are not behind."""
    spec = parse_spec(f"file:{tmp_path / 'files'}")
    replay(root, None, [spec])
    files = {p: p.read_bytes() for p in (tmp_path / "files").rglob("*") if p.is_file()}
    annotate(folder, [tag("good")])
    (standing,) = standings([folder])
    assert "current" == standing.state
    replay(root, None, [spec])
    assert files == {p: p.read_bytes() for p in (tmp_path / "files").rglob("*") if p.is_file()}


def test_a_copy_has_them(root, folder, tmp_path):
    """A copy of the journals is behind until it has what was said."""
    spec = parse_spec(f"journal:{tmp_path / 'copy'}")
    replay(root, None, [spec])
    annotate(folder, [tag("good")])
    (standing,) = standings([folder])
    assert "behind" == standing.state
    replay(root, None, [spec])
    (standing,) = standings([folder])
    assert "current" == standing.state
    assert 1 == len([*(tmp_path / "copy").rglob("notes/w0000-e0001.jzst")])


def test_notes_of_an_earlier_version(root, folder):
    """A memo that knows of no notes covers a run without, and one with them in a view without."""
    size = JournalSize.of(folder.journal)
    old = ViewMemo("x", 1, "current", None, "mongo", (), list(size), True)
    assert old.covers(size)
    assert old.has_notes(notes_size(folder.path))
    annotate(folder, [tag("good")])
    assert not old.has_notes(notes_size(folder.path))
    assert old._replace(kind="file").has_notes(notes_size(folder.path))


def _updated(document, update):
    """What MongoDB makes of a document by an update, where its guard holds."""

    def at(path):
        place = document
        for name in path.split(".")[:-1]:
            place = place.setdefault(name, {})
        return place, path.rpartition(".")[2]

    for path, value in update.guard.items():
        place, name = at(path)
        assert name not in place if value == {"$exists": False} else place[name] == value
    for path, value in update.fields.items():
        place, name = at(path)
        place[name] = value
    for path in update.gone:
        place, name = at(path)
        place.pop(name, None)
    return document


_TAGS = st.lists(st.sampled_from("abcd"), unique=True).map(tuple)


@given(st.lists(st.tuples(_TAGS, st.none() | st.sampled_from(["x", "y"]), _TAGS, st.booleans())))
def test_tags_are_joined_whoever_writes_when(steps):
    """What either side did to a tag last holds; a look without news changes nothing."""
    document, ours = {}, set()
    for now, note, theirs, person in steps:
        board = document.setdefault("omniboard", {})
        if person:
            board["tags"] = list(theirs)
            board["notes"] = "a person's"
        there = set(board.get("tags", []))
        said = Annotations(now, note)
        document = _updated(document, annotation_update(document, said))
        found = document["omniboard"].get("tags", [])
        assert len(found) == len(set(found))
        assert set(found) == (there - (ours - set(now))) | (set(now) - ours)
        if person:
            assert "a person's" == document["omniboard"]["notes"]
        again = annotation_update(document, said)
        assert ({}, {}) == (again.fields, again.gone)
        ours = set(now)
