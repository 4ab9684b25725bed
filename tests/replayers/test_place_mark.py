"""A place that came back older, or empty, is noticed; a person's deletions are left alone."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from typing import Any

import pytest

from sacred.journal.root import JournalRoot
from sacred.replayers import place_watch
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.daemon import Daemon, DaemonPlan
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.memo import ViewMemo
from sacred.replayers.place_mark import PlaceGuard, PlaceGuards, PlaceMark
from sacred.replayers.place_watch import PlaceWatch
from sacred.replayers.registry import load_sink, parse_spec
from sacred.replayers.replay import replay
from sacred.replayers.sink import RunKey, SinkSpec

SPEC = SinkSpec("numbers", "here", {}, "numbers:here")


class Numbers:
    """A place that keeps marks, and nothing else."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.fails = ""

    def marked(self, owner: str) -> int:
        if self.fails == "marked":
            raise TransientSinkError("it does not answer")
        return self.kept.get(owner, 0)

    def mark(self, owner: str, number: int) -> None:
        if self.fails == "mark":
            raise TransientSinkError("it went away")
        self.kept[owner] = max(number, self.kept.get(owner, 0))


def look_at_place(root: JournalRoot, spec: SinkSpec, place: Any) -> int:
    """Look from a process of its own, and count up."""
    return PlaceGuard(root, spec).look(place, count=True)


def _note(root: JournalRoot, state: str, looked: int = 0) -> Any:
    folder = root.claim()
    memo = ViewMemo("numbers:here", 7, state, position=[[0, 1, 2, 3, 4]], looked=looked)
    memo.save(folder.views, SPEC.key)
    return folder


def _states(root: JournalRoot) -> list[str]:
    memos = [ViewMemo.load(folder.views, SPEC.key) for folder in root.runs()]
    return [memo.state for memo in memos if memo is not None]


def _mark(root: JournalRoot, spec: SinkSpec = SPEC) -> PlaceMark | None:
    return PlaceMark.load(root.path / ".cache" / "replayers" / f"{spec.key}.mark")


def test_notes_are_taken_back(root: JournalRoot) -> None:
    """Where the place has a smaller number than it had; a kill at any call means nothing."""
    place: Any = Numbers()
    _note(root, "current")
    _note(root, "failed")
    _note(root, "deleted", looked=1)
    assert 0 == look_at_place(root, SPEC, place)
    for fails in ("marked", "mark"):
        place.fails = fails
        with pytest.raises(TransientSinkError):
            look_at_place(root, SPEC, place)
    place.fails = ""
    (owner,) = place.kept
    for ahead in (0, 0, 3):  # a kill between the place and the file leaves the place ahead
        place.kept[owner] += ahead
        assert 0 == look_at_place(root, SPEC, place)
    mark = _mark(root)
    assert mark is not None
    assert (owner, place.kept[owner]) == (mark.owner, mark.number)
    assert ["current", "failed", "deleted"] == _states(root)
    # Somebody asked before the service did, and took what was lost for deleted.
    _note(root, "deleted", looked=time.time_ns())
    place.kept[owner] -= 1
    place.fails = "mark"
    with pytest.raises(TransientSinkError):
        look_at_place(root, SPEC, place)
    place.fails = ""
    assert ["following", "failed", "deleted", "following"] == _states(root)
    memo = ViewMemo.load(root.run(1).views, SPEC.key)
    assert memo is not None
    assert (7, [], False) == (memo.view_id, memo.position, memo.had)
    _note(root, "current")
    place.kept.clear()
    assert 1 == look_at_place(root, SPEC, place)
    assert 0 == look_at_place(root, SPEC, place)
    assert [owner] == list(place.kept)


def test_what_can_not_be_remembered_is_not_said(root: JournalRoot) -> None:
    """A root that can not be written leaves no number in the place, look after look."""
    place: Any = Numbers()
    root.create()
    (root.path / ".cache").write_text("in the way")
    assert [0, 0] == [look_at_place(root, SPEC, place) for _ in range(2)]
    assert {} == place.kept


def test_a_place_that_can_not_be_asked(root: JournalRoot) -> None:
    """A write waits for its number, but not for ever; one that is missing is nobody's deletion then."""
    place: Any = Numbers()
    guard = PlaceGuard(root, SPEC)
    place.fails = "mark"
    for _ in range(2):
        with pytest.raises(TransientSinkError):
            guard.before_write(place)
    guard.before_write(place)
    assert guard.is_due
    place.fails = "marked"
    with pytest.raises(TransientSinkError):
        guard.is_put_back(place)
    place.fails = ""
    assert guard.look(place) == 0
    assert not guard.is_due
    assert list(place.kept.values()) == [1]
    for _ in range(5):
        guard.before_write(place)
    assert list(place.kept.values()) == [2]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"owner": 1, "number": 1, "looked": 1}'])
def test_a_file_that_is_none(root: JournalRoot, content: str) -> None:
    """Is as none: a new owner is drawn."""
    place: Any = Numbers()
    look_at_place(root, SPEC, place)
    path = root.path / ".cache" / "replayers" / f"{SPEC.key}.mark"
    path.write_text(content)
    assert 0 == look_at_place(root, SPEC, place)
    assert [1, 1] == list(place.kept.values())


def _marks_of(spec: SinkSpec) -> None:
    """Keep numbers in a real place, from two connections."""
    sinks: list[Any] = [load_sink(spec), load_sink(spec)]
    one, two = sinks
    try:
        for sink in sinks:
            sink.open()
        assert 0 == one.marked("a" * 16)
        one.mark("a" * 16, 3)
        two.mark("a" * 16, 2)
        two.mark("b" * 16, 1 << 40)
        assert [3, 1 << 40] == [one.marked(owner * 16) for owner in "ab"]
        two.mark("a" * 16, 4)
        assert 4 == one.marked("a" * 16)
    finally:
        for sink in sinks:
            sink.close()


def test_marks_of_sqlite(tmp_path: Any) -> None:
    """A larger number stays; each owner has its own."""
    _marks_of(parse_spec(f"sqlite:///{tmp_path}/x.db"))


@pytest.mark.server
def test_marks_of_postgres(postgres_url: str) -> None:
    """PostgreSQL."""
    _marks_of(parse_spec(postgres_url))


@pytest.mark.server
def test_marks_of_mariadb(maria_url: str) -> None:
    """MariaDB."""
    _marks_of(parse_spec(maria_url))


@pytest.mark.server
def test_marks_of_mongo(mongo_server: Any, mongo_db: Any) -> None:
    """MongoDB."""
    _marks_of(mongo_spec(mongo_server.url, mongo_db.name))


def _looked(root: JournalRoot, spec: SinkSpec) -> int:
    mark = _mark(root, spec)
    return 0 if mark is None else mark.looked


class Running:
    """A service in this process; each step is one of its own."""

    def __init__(self, root: JournalRoot, spec: SinkSpec) -> None:
        plan = DaemonPlan((root.path,), (("", spec),))
        self.said: list[str] = []
        self.daemon = Daemon(plan, lambda: plan, self.said.append)

    def until(self, text: str) -> None:
        end = time.monotonic() + 60
        while not any(text in line for line in self.said):
            assert time.monotonic() < end, self.said
            self.daemon.step()
            time.sleep(0.01)

    def until_marked(self, root: JournalRoot, spec: SinkSpec, more: int = 1) -> None:
        """Go on until it looked so often from now on."""
        looks = {_looked(root, spec)}
        end = time.monotonic() + 60
        while len(looks) <= more:
            assert time.monotonic() < end, self.said
            self.daemon.step()
            time.sleep(0.01)
            looks.add(_looked(root, spec))

    def stop(self) -> None:
        self.daemon.stop()


def _write(root: JournalRoot, run_writer: Any) -> None:
    run_writer(root.claim()).close()


def test_a_sqlite_file_from_a_backup(
    root: JournalRoot, run_writer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that the backup lacks are written again; what a person deleted is not."""
    monkeypatch.setattr(place_watch, "INTERVAL", 0.0)
    monkeypatch.setattr(place_watch, "BUSY_INTERVAL", 0.0)
    path = tmp_path / "x.db"
    spec = parse_spec(f"sqlite:///{path}")

    def ids() -> list[int]:
        connection = sqlite3.connect(path)
        try:
            return [int(one) for (one,) in connection.execute("select run_id from run order by 1")]
        finally:
            connection.close()

    for _ in range(2):
        _write(root, run_writer)
    service = Running(root, spec)
    try:
        for number in (1, 2):
            service.until(f"as {number}: up to date")
        service.until_marked(root, spec)
    finally:
        service.stop()
    shutil.copy(path, tmp_path / "backup.db")
    connection = sqlite3.connect(path)
    connection.execute("delete from run where run_id = '1'")
    connection.commit()
    connection.close()
    assert 1 == replay(root, None, [spec]).count("deleted")
    _write(root, run_writer)
    service = Running(root, spec)
    try:
        service.until("run 3")
        service.until_marked(root, spec, 2)
        assert [2, 3] == ids()
        assert not any("lacks" in line for line in service.said)
        # While it goes on: the backup has run 1 again, which stays, and nothing of run 3.
        os.replace(tmp_path / "backup.db", path)
        service.said.clear()
        service.until("lacks what it had")
        service.until("run 3 -> ")
        assert [1, 2, 3] == ids()
        service.said.clear()
        service.until_marked(root, spec, 2)
        assert [] == service.said
    finally:
        service.stop()


@pytest.mark.server
def test_a_database_that_was_dropped(
    root: JournalRoot, run_writer: Any, mongo_server: Any, mongo_db: Any
) -> None:
    """At the next start of the service all its runs are written again, under their ids."""
    spec = mongo_spec(mongo_server.url, mongo_db.name)
    for _ in range(3):
        _write(root, run_writer)
    for lost in (False, True, False):
        service = Running(root, spec)
        try:
            service.until_marked(root, spec)
            if lost:
                service.until("3 runs of")
            if mongo_db.runs.count_documents({}) != 3:
                for number in (1, 2, 3):
                    service.until(f"as {number}: up to date")
        finally:
            service.stop()
        assert lost == any("lacks what it had" in line for line in service.said)
        found = [run["status"] for run in mongo_db.runs.find({}, sort=[("_id", 1)])]
        assert ["COMPLETED"] * 3 == found
        if not lost:
            mongo_db.client.drop_database(mongo_db.name)


PROGRAM = """
from sacred import Experiment
from sacred.observers import FileStorageObserver
ex = Experiment("x", save_git_info=False)
ex.observers.append(FileStorageObserver("tree"))
@ex.automain
def main(_run):
    _run.log_scalar("loss", 1.0)
"""


@pytest.mark.slow
def test_a_tree_of_an_experiment_that_is_put_back(tmp_path: Any) -> None:
    """The replayer of the experiment's process leaves the number; `sacred-replay` says what it found."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done
        return done.stdout + done.stderr

    def program(number: int) -> None:
        command("program.py")
        root = JournalRoot(tmp_path / "sacred_runs")
        key = parse_spec(f"file:{tmp_path / 'tree'}").key
        end = time.monotonic() + 60
        while True:  # its replayer ends a moment later
            memo = ViewMemo.load(root.run(number).views, key)
            mark = PlaceMark.load(root.path / ".cache" / "replayers" / f"{key}.mark")
            if memo is not None and memo.state == "current" and mark is not None:
                if mark.number == 2 * number:
                    return
            assert time.monotonic() < end, (memo, mark)
            time.sleep(0.02)

    tree, backup = tmp_path / "tree", tmp_path / "backup"
    program(1)
    shutil.copytree(tree, backup)
    program(2)
    replay_it = ("-m", "sacred", "replay", "--to", "file:tree")
    assert "came back older" not in command(*replay_it)
    shutil.rmtree(tree)
    shutil.move(backup, tree)
    said = command(*replay_it)
    assert "came back older, or empty" in said
    assert (tree / "2" / "run.json").exists()
    shutil.rmtree(tree / "2")
    assert "was deleted there" in command(*replay_it)
    assert not (tree / "2").exists()
    assert "came back older" not in command(*replay_it)


def test_a_service_takes_claims_back(root, tmp_path):
    """What a killed process left claimed goes at the service's start, and of a living one stays."""
    spec = parse_spec(f"file:{tmp_path / 'out'}")
    program = (
        "import sys; from sacred.replayers.registry import load_sink, parse_spec\n"
        "from sacred.replayers.sink import RunKey\n"
        "load_sink(parse_spec(sys.argv[1])).claim(RunKey('00000000000000aa', 1))\n"
    )
    subprocess.run([sys.executable, "-c", program, f"file:{tmp_path / 'out'}"], check=True)
    load_sink(spec).claim(RunKey("00000000000000bb", 2))
    for name in ("1", "2"):  # both are older than a minute
        path = tmp_path / "out" / name / ".journal" / "position.json"
        kept = json.loads(path.read_text())
        kept["claimed"]["wall"] -= 120 * 10**9
        path.write_text(json.dumps(kept))
    root.path.mkdir(exist_ok=True)
    watch = PlaceWatch(spec, PlaceGuards())
    assert watch.look([root], 0)
    watch._thread.join()
    assert {"2"} == {name for name in os.listdir(spec.url) if name.isdecimal()}
