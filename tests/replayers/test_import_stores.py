"""Importing runs of stores: once each, whole or not at all, whatever is wrong with the store."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sacred.analysis.details import details
from sacred.journal.errors import JournalUnavailableError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.replayers.errors import StoredRunError, StoreError
from sacred.replayers.listing import outlines
from sacred.replayers.stores import importer
from sacred.replayers.stores.file import FileStore
from sacred.replayers.stores.importer import RunImport, import_runs
from sacred.replayers.stores.registry import is_address, store_at
from sacred.replayers.stores.tinydb import TinyDbStore

RUN = {
    "artifacts": ["model.bin"],
    "command": "main",
    "experiment": {
        "base_dir": "/lab",
        "dependencies": ["numpy==2.0"],
        "mainfile": "train.py",
        "name": "trains",
        "repositories": [{"commit": "abc", "dirty": False, "url": "https://host/lab.git"}],
        "sources": [["train.py", "_sources/train_9dd4e461268c8034f5c8564e155c67a6.py"]],
    },
    "heartbeat": "2024-05-06T07:09:08.000009",
    "host": {"hostname": "node1", "os": ["Linux", "x"], "python_version": "3.9.1"},
    "meta": {"command": "main", "options": {"--comment": "c"}},
    "resources": [],
    "result": 0.5,
    "start_time": "2024-05-06T07:08:09.000010",
    "status": "COMPLETED",
    "stop_time": "2024-05-06T07:09:08.000008",
}
METRICS = {
    "loss": {
        "steps": [0, 1, 2],
        "timestamps": [f"2024-05-06T07:08:1{second}.000000" for second in range(3)],
        "values": [1.5, None, 0.25],
    }
}


class Tree:
    """A tree of files as Sacred leaves it, made by hand."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "_sources").mkdir(parents=True)
        # its md5 is that of "x"
        (base / "_sources" / "train_9dd4e461268c8034f5c8564e155c67a6.py").write_text("x")

    def add(self, name: str | int, **changes: Any) -> Path:
        """Add a run."""
        folder = self.base / str(name)
        folder.mkdir()
        start = f"2024-05-06T07:08:09.{int(name) if str(name).isdigit() else 999:06}"
        run = {**RUN, "start_time": start, **changes}
        (folder / "run.json").write_text(json.dumps(run))
        (folder / "config.json").write_text(json.dumps({"seed": 3, "lr": {"py/tuple": [1]}}))
        (folder / "metrics.json").write_text(json.dumps(METRICS))
        (folder / "cout.txt").write_bytes("schön\n".encode())
        (folder / "model.bin").write_bytes(b"\0model")
        return folder

    def store(self) -> FileStore:
        """Return the store, open."""
        store = FileStore(str(self.base))
        store.open()
        return store

    def take(self, root: JournalRoot, *run_ids: int | str, **options: Any) -> list[RunImport]:
        """Import runs, or all."""
        store = self.store()
        return list(import_runs(store, root, run_ids or store.runs(), **options))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "old")


def _events(folder: Any) -> list[Any]:
    reader = JournalReader(folder.journal)
    try:
        return [event for frame in reader.poll() for event in frame.events]
    finally:
        reader.close()


# -- what comes -----------------------------------------------------------------------------------


def test_what_a_run_brings(tree: Tree, root: JournalRoot) -> None:
    """Its document, files, points and output; where it came from; and the times that are known."""
    tree.add(7)
    (done,) = tree.take(root)
    assert (7, "imported", 3, 2, ()) == (
        done.run_id,
        done.state,
        done.points,
        done.files,
        done.losses,
    )
    assert done.folder is not None
    found = details(done.folder)
    assert ("COMPLETED", 7, 0.5) == (found.outline.status, found.outline.id, found.outline.result)
    assert "schön\n" == found.output
    assert {"kind": "file", "store": f"file:{tree.base}", "run": 7} == found.imported_from
    (linked,) = (e for e in _events(done.folder) if e.type == EventType.LINKED)
    assert "imported_from" == linked.fields["relation"]
    target = linked.fields["target"]
    assert ("file", f"file:{tree.base}", 7) == (target["kind"], target["store"], target["run"])
    points = [e for e in _events(done.folder) if e.type == EventType.METRIC_POINT]
    assert [1.5, None, 0.25] == [point.fields["value"] for point in points]
    assert ["07:08:10", "07:08:11", "07:08:12"] == [_time(e.time)[11:] for e in points]


def test_the_id_stays_where_the_number_is_taken(tree: Tree, root: JournalRoot) -> None:
    """A run whose number was used keeps its id, in the next free folder."""
    for name in (1, 2, "named"):
        tree.add(name)
    root.claim(1)
    found = tree.take(root)
    numbers = [one.folder.number for one in found if one.folder]
    assert [1, 2, "named"] == [one.run_id for one in found]
    assert [2, 3, 4] == numbers
    assert [1, 2, "named"] == [one.id for one in outlines(root) if one.run in numbers]


def test_twice_is_once(tree: Tree, root: JournalRoot) -> None:
    """A run that was imported stays as it is, also from a copy of the store, or after a rename."""
    tree.add(1)
    tree.take(root)
    before = {path: path.stat().st_mtime_ns for path in root.path.rglob("*") if path.is_file()}
    (again,) = tree.take(root)
    assert ("already", 1) == (again.state, again.folder.number if again.folder else None)
    copy = Tree.__new__(Tree)
    copy.base = tree.base.with_name("copy")
    shutil.copytree(tree.base, copy.base)
    assert ["already"] == [one.state for one in copy.take(root)]
    after = {path: path.stat().st_mtime_ns for path in before if path.name != ".import.lock"}
    assert all(before[path] == when for path, when in after.items())
    # Another run of the same id is another run.
    other = Tree(tree.base.with_name("other"))
    other.add(1, start_time="2025-01-01T00:00:00")
    (done,) = other.take(root)
    assert ("imported", 2) == (done.state, done.folder.number if done.folder else None)


def test_a_run_that_went_on(tree: Tree, root: JournalRoot) -> None:
    """A run that the store has more of by now is told, and left as it is."""
    folder = tree.add(1, status="RUNNING", stop_time=None)
    assert ["imported"] == [one.state for one in tree.take(root)]
    assert ["DIED"] == [one.status for one in outlines(root)]
    (folder / "run.json").write_text(
        json.dumps({**RUN, "start_time": "2024-05-06T07:08:09.000001"})
    )
    (done,) = tree.take(root)
    assert ("changed", 1) == (done.state, done.exit_code)
    assert done.reason == (
        f"it was imported as run 1, and the store has more of it now: move {root.path}/1 out of the "
        "root, and import it again"
    )
    shutil.move(root.path / "1", root.path.with_name("aside"))
    assert ["imported"] == [one.state for one in tree.take(root)]


def test_a_run_that_goes_on(tree: Tree, root: JournalRoot) -> None:
    """A run with a fresh heartbeat is left for later, unless it is asked for."""
    import datetime as dt

    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None).isoformat()
    tree.add(1, status="RUNNING", heartbeat=now, stop_time=None)
    (done,) = tree.take(root)
    assert ("running", None, 0) == (done.state, done.folder, done.exit_code)
    assert "--running" in str(done.reason)
    assert ["imported"] == [one.state for one in tree.take(root, fresh=0)]


def test_a_dry_run(tree: Tree, root: JournalRoot) -> None:
    """Everything is read, nothing is written, not even a root."""
    tree.add(1)
    (tree.add(2) / "metrics.json").write_text('{"loss": {"steps": [')
    (tree.add(3) / "model.bin").unlink()
    found = tree.take(root, dry_run=True)
    assert ["new", "failed", "new"] == [one.state for one in found]
    assert [(3, 2), (0, 0), (3, 1)] == [(one.points, one.files) for one in found]
    assert not root.path.exists()
    # What it said is what comes.
    same = tree.take(root)
    assert [one.losses for one in found] == [one.losses for one in same]


def test_a_queued_run_of_files(tree: Tree, root: JournalRoot) -> None:
    """Sacred's queued runs: the sources lie beside run.json, the time is what jsonpickle made of it."""
    queue_time = {
        "__reduce__": [{"py/type": "datetime.datetime"}, ["B+oLFg46HwEcKg=="]],
        "py/object": "datetime.datetime",
    }
    pair = {"py/tuple": ["train.py", "9dd4e461268c8034f5c8564e155c67a6"]}
    folder = tree.add(4)
    document = {
        "command": "main",
        "experiment": {**RUN["experiment"], "sources": [pair]},  # type: ignore[dict-item]
        "host": {},
        "meta": {"queue_time": queue_time},
        "status": "QUEUED",
    }
    (folder / "run.json").write_text(json.dumps(document))
    (folder / "train.py").write_text("x")
    for name in ("metrics.json", "cout.txt", "model.bin"):
        (folder / name).unlink()
    (done,) = tree.take(root)
    assert ("imported", "QUEUED", 1, ()) == (done.state, done.status, done.files, done.losses)
    assert done.folder is not None
    start = next(e for e in _events(done.folder) if e.type == EventType.RUN_QUEUED)
    # A program that is started gets a tuple, not what stands for one.
    assert {"seed": 3, "lr": (1,)} == start.fields["config"]
    assert "2026-11-22T14:58:31.072746" == str(_time(start.time))


def _time(nanoseconds: int) -> str:
    from sacred.replayers.plain import utc

    return utc(nanoseconds).isoformat()


# -- what is wrong with a store -------------------------------------------------------------------


def _cut(name: str) -> Any:
    def cut(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


def _wrote(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def _gone(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _pipe(name: str) -> Any:
    def pipe(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return pipe


DAMAGE = {
    "no-run": (_gone("run.json"), "it has no run.json, without which nothing says what it was"),
    "half-run": (_cut("run.json"), "its run.json is damaged: at line 1, column "),
    "empty-run": (_wrote("run.json", ""), "its run.json is damaged: at line 1, column 1: "),
    "list-run": (_wrote("run.json", "[]"), "its run.json is no document: it holds a list"),
    "foreign-run": (
        _wrote("run.json", '{"a": 1}'),
        "its document has nothing of a run of Sacred's",
    ),
    "pipe": (_pipe("run.json"), "its run.json can not be read: it is no regular file"),
    "no-config": (_gone("config.json"), "it has no config.json"),
    "half-config": (_cut("config.json"), "its config.json is damaged: at line 1, column "),
    "half-metrics": (
        _cut("metrics.json"),
        "its metrics.json is damaged: it ends in the middle, at byte ",
    ),
    "short": (
        _wrote("metrics.json", '{"a": {"steps": [1, 2], "values": [1], "timestamps": []}}'),
        "the metric 'a' has more steps than values",
    ),
    "noise": (
        _wrote("metrics.json", '{"a": {"steps": [1, oops], "values": [1, 2]}}'),
        "its metrics.json is damaged: Expecting value",
    ),
    "time": (
        _wrote("run.json", json.dumps({**RUN, "start_time": "soon"})),
        "its start_time is no time ('soon')",
    ),
    "config-list": (
        _wrote("config.json", "[1]"),
        "its config.json is no document: it holds a list",
    ),
    "host": (_wrote("run.json", json.dumps({**RUN, "host": 3})), "its host is no mapping"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_and_stops_no_other(tree: Tree, root: JournalRoot, name: str) -> None:
    """A damaged run: one sentence, nothing of it in the root, and the others come."""
    damage, sentence = DAMAGE[name]
    for number in (1, 2, 3):
        folder = tree.add(number)
        if number == 2:
            damage(folder)
    found = tree.take(root)
    assert ["imported", "failed", "imported"] == [one.state for one in found]
    assert str(found[1].reason).startswith(sentence)
    assert "\n" not in str(found[1].reason)
    assert [1, 3] == root.numbers()
    assert not [entry for entry in os.listdir(root.path) if entry.startswith(".import-")]


@pytest.mark.parametrize(
    "name", ["no-config", "half-config", "half-metrics", "short", "time", "host"]
)
def test_partial_takes_what_is_whole(tree: Tree, root: JournalRoot, name: str) -> None:
    """With --partial the rest of a damaged run comes, and the journal itself says what did not."""
    DAMAGE[name][0](tree.add(1))
    (done,) = tree.take(root, partial=True)
    assert "imported" == done.state
    assert done.losses
    assert done.folder is not None
    told = [e.fields["text"] for e in _events(done.folder) if e.type == EventType.MESSAGE]
    assert [f"imported without all of it: {text}" for text in done.losses] == told


def test_files_that_are_missing(tree: Tree, root: JournalRoot) -> None:
    """Contents that the store does not have are told; the run comes without them."""
    folder = tree.add(1, resources=[["/lab/data.csv", "/old/_resources/data_0123.csv"]])
    (folder / "model.bin").unlink()
    (tree.base / "_sources" / "train_9dd4e461268c8034f5c8564e155c67a6.py").write_text("changed")
    (done,) = tree.take(root)
    assert ("imported", 1) == (done.state, done.files)
    (text,) = done.losses
    assert text.startswith("'train.py' is not as it was: its md5 is ")
    assert done.folder is not None
    errors = [e.fields.get("error") for e in _events(done.folder) if "error" in e.fields]
    assert ["the file is not in the store"] * 2 == errors


def test_a_tree_leads_nowhere_else(tree: Tree, root: JournalRoot, tmp_path: Path) -> None:
    """Names that lead out of the tree bring no files of this machine into the root."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tree.add(
        1,
        artifacts=["../../secret", str(secret)],
        resources=[[str(secret), str(secret)]],
        experiment={"name": "x", "sources": [["a.py", "../secret"], ["b.py", str(secret)]]},
    )
    (done,) = tree.take(root)
    assert ("imported", 0) == (done.state, done.files)


def test_folders_that_are_no_runs(tree: Tree, root: JournalRoot) -> None:
    """What lies beside the runs is passed over; a numbered folder without a run.json is told."""
    tree.add(1)
    (tree.base / "plots").mkdir()
    (tree.base / "5").mkdir()
    (tree.base / "notes.txt").write_text("")
    assert [1, 5] == tree.store().runs()
    assert ["imported", "failed"] == [one.state for one in tree.take(root)]


def _foreign_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (a)")


def test_stores_that_are_none(tmp_path: Path) -> None:
    """Wrong places: one sentence that says what to do."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "metadata.json").write_text('{"runs": {"1": {')
    _foreign_database(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at" * 10)
    expected = {
        f"file:{tmp_path}/none": "does not exist: name the folder of the runs",
        f"file:{tmp_path}/empty": "holds no runs of a FileStorageObserver",
        f"file:{tmp_path}/file": "is no folder",
        f"tinydb:{tmp_path}/none": "does not exist: name the folder of the TinyDB",
        f"tinydb:{tmp_path}/empty": "it has no metadata.json",
        f"tinydb:{tmp_path}/cut": "is no TinyDB database (at character 16 of 16: ",
        f"sqlite:///{tmp_path}/none.db": "does not exist: name the file of the SQLite database",
        f"sqlite:///{tmp_path}/other.db": "holds no runs of a SqlObserver: it has no table 'run'",
        "s3://bucket/path": "runs can not be imported from s3: write file:DIR, mongodb://host/db",
        "slack:x.json": "",
        "ftp://host/x": "there is no store 'ftp': write file:DIR",
        "mongodb://host:port/x": "'port' is no port",
        "mongo": "'mongo' names no database",
        "sql": "'sql' names no database",
    }
    for address, sentence in expected.items():
        with pytest.raises(StoreError) as caught:  # noqa: PT012 - parsing may raise, or opening
            store = store_at(address)
            store.open()
        assert sentence in str(caught.value), address
        assert "\n" not in str(caught.value)
        assert "--to" not in str(caught.value)
        assert 2 == caught.value.exit_code
    with pytest.raises(Exception, match="is no SQLite database: name another file"):
        store_at(f"sqlite:///{tmp_path}/text.db").open()
    with pytest.raises(StoreError, match="--collection is for MongoDB"):
        store_at(f"file:{tmp_path}", collection="runs")


def test_addresses() -> None:
    """What is the address of a store, and what the name of a file."""
    for text in ("file:x", "mongodb://h/d", "sqlite:///x", "postgresql+psycopg://h/d", "mongo"):
        assert is_address(text)
    for text in ("run7.tar", "-", "./a:b", "C:\\x", "a b:c", "7"):
        assert not is_address(text)


def test_a_tinydb_document_that_is_odd(tmp_path: Path, root: JournalRoot) -> None:
    """Documents without an id, with a wrong time, with fields of others."""
    document = {**RUN, "config": {"a": "{TinyArray}:[1, 2]"}, "start_time": "{TinyDate}:never"}
    odd = {**RUN, "config": {}, "start_time": "{TinyDate}:2024-05-06T07:08:09.000010", "mine": 3}
    odd["experiment"] = {"name": "x", "sources": [["a.py", "../../etc", "{TinyFile}:no"], 3]}
    odd["artifacts"] = [["m", "/lab/m", "0" * 32, "{TinyFile}:..."]]
    (tmp_path / "db").mkdir()
    tables = {"_default": {}, "runs": {"1": {**document, "_id": "a"}, "2": odd}}
    (tmp_path / "db" / "metadata.json").write_text(json.dumps(tables))
    store = TinyDbStore(str(tmp_path / "db"))
    store.open()
    assert ["a", "document 2"] == store.runs()
    first, second = import_runs(store, root, store.runs())
    assert ("failed", "its start_time is no time ('{TinyDate}:never')") == (
        first.state,
        first.reason,
    )
    assert ("imported", 0) == (second.state, second.files)
    assert ("the field 'mine', which is none of Sacred's, is left out",) == second.losses


def test_rows_that_are_odd(tmp_path: Path, root: JournalRoot) -> None:
    """Rows whose JSON is cut, and rows that lead nowhere."""
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.executescript(
        """
        create table run (id integer primary key, run_id text, status text, config text, info text,
                          start_time datetime, experiment_id int, captured_out text, command text);
        insert into run values (1, '1', 'COMPLETED', '{"a": ', '{}', '2024-05-06 07:08:09', 9, 'x', 'm');
        insert into run values (2, 'two', 'FAILED', '{"a": 1}', '', '2024-05-06 07:08:09', null, 'y', 'm');
        """
    )
    connection.close()
    store = store_at(f"sqlite:///{tmp_path}/x.db")
    store.open()
    first, second = import_runs(store, root, store.runs())
    store.close()
    assert "failed" == first.state
    assert str(first.reason).startswith("its config is no JSON: ")
    assert ("imported", "two", "FAILED") == (second.state, second.run_id, second.status)
    assert second.losses == ("its row names no experiment: name, sources and packages are unknown",)


# -- kills and full disks -------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from sacred.journal import root as roots
from sacred.journal.root import JournalRoot
from sacred.replayers.stores import importer
from sacred.replayers.stores.file import FileStore

where, place, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
done = 0

def dies(of, name):
    real = getattr(of, name)
    def call(*args, **keywords):
        global done
        done += 1
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **keywords)
    setattr(of, name, call)

for of, name in ((importer, "_append"), (importer, "seal_run"), (importer, "fsync_folder"),
                 (importer, "date_files"), (os, "rename"), (roots, "fsync_folder")):
    dies(of, name)
store = FileStore(where)
store.open()
print(len(list(importer.import_runs(store, JournalRoot(place), store.runs()))), done)
"""


@pytest.mark.slow
def test_killed_anywhere(tree: Tree, tmp_path: Path) -> None:
    """Killed at any step, and again: the next import goes on, each run comes once, and is whole."""
    for number in (1, 2):
        tree.add(number)

    def run(place: Path, number: int) -> Any:
        words = [sys.executable, "-c", _KILLED, str(tree.base), str(place), str(number)]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    whole = run(tmp_path / "whole", 0)
    count, steps = map(int, whole.stdout.split())
    assert (2, 0) == (count, whole.returncode)
    assert steps > 30
    wanted = [_events(folder) for folder in JournalRoot(tmp_path / "whole").runs()]
    for at in [*range(1, 8), *range(8, steps, 3), steps]:
        place = tmp_path / f"killed-{at}"
        assert -signal.SIGKILL == run(place, at).returncode
        root = JournalRoot(place)
        for folder in root.runs() if root.exists() else ():
            assert len(_events(folder)) in {len(events) for events in wanted}
        found = tree.take(root)
        assert all(one.state in {"imported", "already"} for one in found)
        assert [1, 2] == root.numbers()
        again = [_events(folder) for folder in root.runs()]
        assert [_told(events) for events in wanted] == [_told(events) for events in again]
        assert not [entry for entry in os.listdir(place) if entry.startswith(".import-")]


def _told(events: list[Any]) -> list[Any]:
    """Return what events say, without who wrote the file, and when."""
    own = {EventType.EPOCH_BEGAN, EventType.SEALED, EventType.METRIC_TABLE}
    return [(e.type, e.time, e.seq, repr(e.fields)) for e in events if e.type not in own]


def test_a_full_disk(tree: Tree, root: JournalRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the root takes no more, the import ends with a sentence, and goes on later."""
    for number in (1, 2):
        tree.add(number)
    tree.take(root, 1)
    real = importer.JournalWriter.create

    def create(*args: Any, **keywords: Any) -> Any:
        writer = real(*args, **keywords)
        writer.losses.append((0, 3, "No space left on device"))
        return writer

    monkeypatch.setattr(importer.JournalWriter, "create", create)
    with pytest.raises(JournalUnavailableError, match="import again: it goes on with this run"):
        tree.take(root)
    monkeypatch.undo()
    assert [1] == root.numbers()
    assert ["already", "imported"] == [one.state for one in tree.take(root)]


def test_a_large_run_in_little_memory(tree: Tree, root: JournalRoot) -> None:
    """Points and output are read piece by piece: their number does not count."""
    import tracemalloc

    folder = tree.add(1)
    count = 60_000
    columns = {
        "steps": list(range(count)),
        "timestamps": ["2024-05-06T07:08:09.000010"] * count,
        "values": [step / 7 for step in range(count)],
    }
    (folder / "metrics.json").write_text(json.dumps({"loss": columns}, indent=2))
    (folder / "cout.txt").write_bytes(b"a line of output\n" * (24 << 16))
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 25 << 20
    tracemalloc.start()
    try:
        (done,) = tree.take(root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ("imported", count) == (done.state, done.points)
    assert peak < 40 << 20


def test_two_imports_at_once(tree: Tree, tmp_path: Path) -> None:
    """Two processes that import the same store into one root: each run is there once."""
    for number in range(1, 13):
        tree.add(number)
    words = [sys.executable, "-m", "sacred", "import", f"file:{tree.base}", "--json"]
    both = [
        subprocess.Popen([*words, "--root", str(tmp_path / "new")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    found = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [0, 0] == [process.returncode for process in both]
    states = [run["state"] for done in found for run in done["runs"]]
    assert (12, 12) == (states.count("imported"), states.count("already"))
    assert list(range(1, 13)) == JournalRoot(tmp_path / "new").numbers()


def test_a_sqlite_file_of_an_odd_name(tmp_path: Path) -> None:
    """Names that mean something in an address."""
    for name in ("a b.db", "100%.db", "ä#1.db"):
        _foreign_database(tmp_path / name)
        with pytest.raises(StoreError, match="holds no runs of a SqlObserver"):
            store_at(f"sqlite:///{tmp_path}/{name}").open()


def test_no_such_run(tree: Tree) -> None:
    """A store that is asked for a run that it has not."""
    tree.add(1)
    with pytest.raises(StoredRunError, match="does not exist"):
        tree.store().read(9)
