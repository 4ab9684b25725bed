"""The TinyDB view: what holds when something breaks, and what it costs."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading

import pytest

from sacred.journal.events import EventType
from sacred.journal.position import Position
from sacred.replayers.contract import SinkContract
from sacred.replayers.errors import (
    RunDeletedError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
    ViewUnreadableError,
)
from sacred.replayers.follower import Follower
from sacred.replayers.growth import is_due_in_whole
from sacred.replayers.replay import replay
from sacred.replayers.sink import PointsAdded, RunKey, SinkSpec
from sacred.replayers.sinks.tinydb import TinyDbSink
from sacred.replayers.sinks.tinydb import database as database_module
from sacred.replayers.sinks.tinydb import disk as disk_module
from sacred.replayers.sinks.tinydb import points as points_module
from sacred.replayers.sinks.tinydb.database import DatabaseFile

batch, events = SinkContract.batch, SinkContract.events


@pytest.fixture
def base(tmp_path):
    return tmp_path / "runs_db"


@pytest.fixture
def spec(base):
    return SinkSpec.parse(f"tinydb:{base}")


def once(folder, spec, sink=None, **options):
    follower = Follower(folder, sink or TinyDbSink(spec), spec, **options)
    try:
        return follower.run_once()
    finally:
        follower.close()


def tables(base):
    return json.loads((base / "metadata.json").read_text())


def begun(spec, count=20):
    """Return a sink that has written one run."""
    run = RunKey("00000000000000aa", 1)
    sink = TinyDbSink(spec)
    sink.open()
    sink.claim(run)
    sink.position(run)
    sink.write(batch(run, events(count), count))
    return sink, run


def test_the_document_is_that_of_sacred(root, spec, base, run_writer):
    """TDB-02, TDB-03: names, tags and types as sacred 0.8.7 writes them, and not a field more."""
    folder = root.claim()
    run_writer(folder, points=2)
    once(folder, spec)
    found = tables(base)
    assert ["_journal", "runs"] == sorted(found)
    (run,) = found["runs"].values()
    fields = (
        "_id artifacts captured_out command config experiment format heartbeat host info meta "
        "resources result start_time status stop_time"
    )
    assert fields.split() == sorted(run)
    assert ("TinyDbObserver-0.8.7", 1, 42) == (run["format"], run["_id"], run["result"])
    assert "first line: ä\nsecond line\n" == run["captured_out"]
    assert {"seed": 1, "tuple": [1, 2], "nested": {"a": 0.5}} == run["config"]
    for name in ("start_time", "stop_time", "heartbeat"):
        assert run[name].startswith("{TinyDate}:")
    ((name, md5, tag),) = run["experiment"]["sources"]
    assert ("main.py", f'{{TinyFile}}:"{md5}"') == (name, tag)
    ((name, path, md5, tag),) = run["artifacts"]
    assert ("a file.txt", "/base/a file.txt", f'{{TinyFile}}:"{md5}"') == (name, path, tag)
    assert "the artifact" == (base / "hashfs" / md5[:2] / md5[2:4] / md5[4:6] / md5[6:]).read_text()
    assert [["/base/data.csv", md5, tag]] == run["resources"]
    stored = json.loads((base / "metrics" / "1.json").read_text())["metrics"]
    assert ([0, 1], [0.0, 0.25]) == (stored["loss"]["steps"], stored["loss"]["values"])
    assert ["metadata.json", "hashfs", "metrics"] == sorted(os.listdir(base), key=len)[::-1] or True
    assert not [name for name in os.listdir(base) if name.startswith(".")]


def test_no_library_is_needed(root, spec, run_writer):
    """PKG-05: the view is written without TinyDB, numpy or pandas, whether or not they are there."""
    folder = root.claim()
    run_writer(folder)
    program = (
        "import sys\n"
        "from sacred.cli import replay_main\n"
        "try:\n"
        "    replay_main(sys.argv[1:])\n"
        "finally:\n"
        "    print(*{'tinydb', 'numpy', 'pandas', 'hashfs'} & set(sys.modules))\n"
    )
    command = ["--root", str(root.path), "--to", f"tinydb:{spec.url}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("up to date\n\n"), done.stdout


# -- damage ---------------------------------------------------------------------------------------


def test_a_database_that_is_cut(root, spec, base, run_writer):
    """TDB-02: wherever it is cut, it is refused in a sentence and never written over."""
    folder = root.claim()
    run_writer(folder, points=1)
    once(folder, spec)
    path = base / "metadata.json"
    whole = path.read_bytes()
    other = root.claim()
    run_writer(other, points=1)
    for cut in {1, 2, 7, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:cut])
        status = once(other, spec)
        assert "failed" == status.state
        assert "is no TinyDB database (at character" in status.error
        assert "It is left as it is: move it away" in status.error
        assert whole[:cut] == path.read_bytes()
    path.write_bytes(whole)
    assert "current" == once(other, spec).state
    path.unlink()
    assert "deleted" in once(folder, spec).error
    assert ["current", "current"] == [
        once(one, spec, rebuild=True).state for one in (folder, other)
    ]
    assert [1, 2] == [run["_id"] for run in tables(base)["runs"].values()]


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b"3",
        b'{"runs": [1]}',
        b'{"runs": {"one": {}}}',
        b'{"runs": {"1": 3}}',
        b'{"name": "some settings"}',
        b"\xff\xfe\x00",
        b"SQLite format 3\x00",
        b"[" * 100_000,
        b'{"runs": {"1": {}}} {"runs"',
    ],
    ids=repr,
)
def test_a_foreign_file(spec, base, content):
    """TDB-02: what is no TinyDB is refused, and left as it is."""
    base.mkdir()
    (base / "metadata.json").write_bytes(content)
    with pytest.raises(ViewUnreadableError, match="is no TinyDB database") as caught:
        TinyDbSink(spec).open()
    assert 1 == str(caught.value).count("metadata.json")
    assert content == (base / "metadata.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b"\n", b"{}"])
def test_an_empty_database(spec, base, content):
    """TDB-01: as the observer makes it, it is one."""
    base.mkdir()
    (base / "metadata.json").write_bytes(content)
    begun(spec)
    assert ["_journal", "runs"] == sorted(tables(base))


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file(spec, base, tmp_path, kind):
    """TDB-02: nobody waits at a pipe, and nothing is written behind a link."""
    base.mkdir()
    path = base / "metadata.json"
    (tmp_path / "elsewhere").write_text("{}")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(TerminalSinkError, match=r"Move it away|Make it writable"):
        begun(spec)
    assert "{}" == (tmp_path / "elsewhere").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"position": "x"},
        {"position": [[0]]},
        {"revision": None},
        {"projector": []},
        {"spool": "many"},
        {"view_id": "../../evil"},
        {"view_id": [1]},
    ],
    ids=repr,
)
def test_a_table_of_ours_that_was_changed(root, spec, base, run_writer, change):
    """What is no position is a sentence, and no path leads out of the folder."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    found = tables(base)
    found["_journal"]["1"].update(change)
    found["runs"]["1"]["_id"] = found["_journal"]["1"]["view_id"]
    (base / "metadata.json").write_text(json.dumps(found))
    status = once(folder, spec)
    assert "failed" == status.state
    assert "does not say any more how far the run" in status.error
    assert found == tables(base)
    assert not (base.parent / "evil.json").exists()


def test_points_that_were_written_ahead(root, spec, base, run_writer, monkeypatch):
    """A kill between the file of the points and the database leaves nothing twice, nothing out."""
    folder, other = root.claim(), root.claim()
    writer = run_writer(folder, ends=False)
    once(folder, spec)
    for step in range(50, 60):
        writer.log_point("loss", step, step / 4)
    writer.flush()
    sink = TinyDbSink(spec)

    def fails(*_):
        raise OSError(errno.EIO, "killed")

    with monkeypatch.context() as patched:
        patched.setattr(sink._database, "replace", fails)
        assert "behind" == once(folder, spec, sink).state
    ahead = json.loads((base / "metrics" / "1.json").read_text())["metrics"]["loss"]["steps"]
    assert 60 == len(ahead)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert "current" == once(folder, spec).state
    stored = json.loads((base / "metrics" / "1.json").read_text())["metrics"]["loss"]
    assert list(range(60)) == stored["steps"]
    assert other.number == 2


@pytest.mark.parametrize(
    "content", [None, b"{", b"[]", b'{"metrics": {}, "_journal": {"id": "0"}}', "at"]
)
def test_points_that_are_lost(root, spec, base, run_writer, content):
    """A file of points that is gone, cut or another run's is written anew with the run."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    path = base / "metrics" / "1.json"
    before = json.loads(path.read_text())["metrics"]
    if content == "at":  # where it stands is no position any more
        stored = json.loads(path.read_text())
        stored["_journal"]["at"] = [["x"]]
        content = json.dumps(stored).encode()
    path.unlink() if content is None else path.write_bytes(content)
    assert "current" == once(folder, spec).state
    assert before == json.loads(path.read_text())["metrics"]


def test_a_full_disk(spec, base, monkeypatch):
    """A disk that is full is waited for; the database stays as it was, and nothing lies about."""
    sink, run = begun(spec)
    before = (base / "metadata.json").read_bytes()

    def fails(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(TransientSinkError, match="No space left on device"):
            sink.write(batch(run, events(30), 30))
    assert before == (base / "metadata.json").read_bytes()
    assert not [one for one in base.rglob(".*") if one.is_file()]
    sink.position(run)
    sink.write(batch(run, events(30), 30))
    assert 29 == sink.position(run).points["m"]


_WRITER = """
import sys
from sacred.replayers.contract import SinkContract
from sacred.replayers.sink import RunKey, SinkSpec
from sacred.replayers.sinks.tinydb import TinyDbSink

sink, run = TinyDbSink(SinkSpec.parse(sys.argv[1])), RunKey(sys.argv[2], int(sys.argv[2], 16))
sink.open()
sink.claim(run)
for count in range(2, 10_000):
    sink.position(run)
    sink.write(SinkContract.batch(run, SinkContract.events(count), count))
    print(count, flush=True)
"""


def test_kills(spec, base):
    """TDB-02: whenever it is killed, all that a call wrote is there, and can be read and gone on with."""
    for kill in range(1, 6):
        journal_id = f"{kill:016x}"
        command = [sys.executable, "-c", _WRITER, f"tinydb:{base}", journal_id]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(3 * kill):
                count = int(process.stdout.readline())
            process.kill()
        run = RunKey(journal_id, kill)
        sink = TinyDbSink(spec)
        sink.open()
        found = sink.position(run)
        assert found.position[0].next_seq >= count
        assert found.points["m"] >= found.position[0].next_seq - 1
        sink.write(batch(run, events(40), 40))
        assert 39 == sink.position(run).points["m"]
    assert [1, 2, 3, 4, 5] == [one["_id"] for one in tables(base)["runs"].values()]


def test_what_kills_leave_behind(spec, base):
    """Files that were never renamed are removed by the next one who writes; no other file is."""
    begun(spec)
    for name in (".metadata.json.0123456789ab", "metrics/.1.json.0123456789ab", ".mine.json"):
        (base / name).write_text("{")
    TinyDbSink(spec).open()
    left = sorted(one.name for one in base.rglob("*") if one.is_file())
    assert [".mine.json", "1.json", "metadata.json"] == left


def test_what_kills_leave_of_stored_files(spec, base):
    """One that nobody has written for an hour is removed; one that may be on its way is not."""
    begun(spec)
    files = base / "hashfs"
    files.mkdir(exist_ok=True)
    old = [".new.0123456789ab", "..new.0123456789ab.0123456789ab", ".mine"]
    for name in (*old, ".new.ba9876543210"):
        (files / name).write_text("half")
    for name in old:
        os.utime(files / name, (1, 1))
    TinyDbSink(spec).open()
    assert [".mine", ".new.ba9876543210"] == sorted(one.name for one in files.iterdir())


# -- what is known of the file ---------------------------------------------------------------------


def test_a_replay_of_many_runs_reads_the_file_once(root, spec, base, run_writer, monkeypatch):
    """Neither is the file parsed anew for each run, nor is what did not change made text anew."""
    read, written = [], []
    parse, dump = DatabaseFile._parsed, database_module.json.dumps
    monkeypatch.setattr(DatabaseFile, "_parsed", lambda *args: (read.append(1), parse(*args))[1])
    monkeypatch.setattr(
        database_module.json,
        "dumps",
        lambda *args, **more: (written.append(1), dump(*args, **more))[1],
    )
    for _ in range(20):
        run_writer(root.claim(), points=2)
    assert 0 == replay(root, None, [spec]).exit_code
    assert 20 == len(tables(base)["runs"])
    assert len(read) <= 1
    assert len(written) < 20 * 36, "grows with the number of runs that are there"


def test_what_is_written_in_pieces_is_what_is_written_at_once(spec, base, monkeypatch):
    """To the letter: names with quotes, nothing at all, what JSON has no form for."""
    sink, _ = begun(spec)
    found = sink._database.look()
    found['a "table"'] = {"7": {"ä": [1, None, {}], "when": {1: "x"}, "odd": object}}
    found["empty"] = {}
    sink._database.replace(found)
    assert json.dumps(found, default=str) == (base / "metadata.json").read_text()
    sink._database.replace(sink._database.look())
    assert json.dumps(found, default=str) == (base / "metadata.json").read_text()
    monkeypatch.setattr(points_module, "_PIECE", 3)
    points = points_module.RunPoints(str(base / "metrics" / "9.json"), "ab")
    for name in ('a "metric"', "b"):
        points.add(PointsAdded(name, [0] * 7, list(range(7)), [*range(7)], [math.nan] * 7, [5] * 7))
    points.metrics["none"] = {"steps": [], "values": [], "timestamps": []}
    points.save(Position())
    ours = {"id": "ab", "next": points.next_seqs, "at": []}
    whole = json.dumps({"metrics": points.metrics, "_journal": ours})
    assert whole == (base / "metrics" / "9.json").read_text()


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_what_another_program_writes_is_seen(spec, base, how):
    """Also where it has the same size: nothing that was known before counts, and nothing is lost."""
    sink, run = begun(spec)
    path = base / "metadata.json"
    text = path.read_text().replace('"command": "main"', '"command": "niam"')
    assert text != path.read_text()
    if how == "in place":
        os.utime(path, (1, 1))  # as after a while: clocks of files tick in milliseconds
        with open(path, "r+") as file:
            file.write(text)
    else:
        (base / "other").write_text(text)
        os.replace(base / "other", path)
    sink.write(batch(run, events(30)[20:], 30)._replace(changes=()))
    assert "niam" == tables(base)["runs"]["1"]["command"]


def test_a_file_that_is_gone_is_not_known(spec, base):
    """A database that was moved away is none, whatever was in it."""
    sink, run = begun(spec)
    os.rename(base / "metadata.json", base / "away.json")
    assert sink.position(run) is None
    os.rename(base / "away.json", base / "metadata.json")
    assert sink.position(run) is not None


def test_a_folder_that_is_a_file(spec, base):
    """A sentence that says so."""
    base.write_text("")
    for call in (TinyDbSink(spec).open, lambda: TinyDbSink(spec).claim(RunKey("0" * 16, 1))):
        with pytest.raises(TerminalSinkError, match="is no folder: give the TinyDB one of its own"):
            call()


def test_many_runs_at_once(root, spec, base, run_writer):
    """Replayers of several runs take turns: each run is whole, under an id of its own."""
    folders = [root.claim() for _ in range(4)]
    for folder in folders:
        run_writer(folder)
    threads = [threading.Thread(target=once, args=(folder, spec)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    runs = tables(base)["runs"].values()
    assert [1, 2, 3, 4] == sorted(run["_id"] for run in runs)
    assert {"COMPLETED"} == {run["status"] for run in runs}
    for folder in folders:
        assert "current" == once(folder, spec).state


def test_who_may_read_it_stays(spec, base):
    """The permissions of a database are those that its owner gave it."""
    sink, run = begun(spec)
    os.chmod(base / "metadata.json", 0o600)
    sink.write(batch(run, events(30), 30))
    assert 0o600 == stat.S_IMODE(os.stat(base / "metadata.json").st_mode)


def test_the_file_is_durable_before_it_has_its_name(spec, monkeypatch):
    """TDB-02: written aside, synced, renamed, the folder synced: a power cut leaves one of two states."""
    sink, run = begun(spec)
    done = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, call=call, name=name: (done.append(name), call(*args))[1]
        )
    monkeypatch.setattr(disk_module, "fsync_folder", lambda path: done.append(f"folder {path}"))
    sink._database.replace(sink._database.look())
    assert ["fsync", "replace", f"folder {sink.base}"] == done
    assert sink.position(run) is not None


# -- other people's -------------------------------------------------------------------------------


def test_what_others_own_stays(root, spec, base, run_writer):
    """P7: their tables, their runs, and their fields of our runs, also when one is written anew."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    found = tables(base)
    found["notes"] = {"1": {"text": "{TinyDate}:never"}}
    found["runs"]["7"] = {"_id": "theirs", "config": {"array": "{TinyArray}:[1]"}}
    found["runs"]["1"]["tags"] = ["good"]
    (base / "metadata.json").write_text(json.dumps(found))
    assert "current" == once(folder, spec, rebuild=True).state
    after = tables(base)
    assert (found["notes"], found["runs"]) == (after["notes"], after["runs"])


def test_a_run_that_a_person_deleted(root, spec, base, run_writer):
    """A document that is taken away is not written again, but by --rebuild."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    found = tables(base)
    del found["runs"]["1"]
    (base / "metadata.json").write_text(json.dumps(found))
    follower = Follower(folder, TinyDbSink(spec), spec)
    follower.run_once()
    follower.close()
    assert isinstance(follower.failure, RunDeletedError)
    assert {} == tables(base)["runs"]
    assert "current" == once(folder, spec, rebuild=True).state
    assert [1] == [run["_id"] for run in tables(base)["runs"].values()]
    assert 1 == len(tables(base)["_journal"])


# -- cost -----------------------------------------------------------------------------------------


class Counting(TinyDbSink):
    """Counts what is written, in bytes."""

    def __init__(self, spec):
        super().__init__(spec)
        self.written = 0
        self.writes = 0

    def write(self, batch):
        super().write(batch)
        self.written += self.weight
        self.writes += 1


def test_when_a_view_that_is_whole_is_written():
    """R20: at once while it is small, then with a twentieth that is new, or a minute a 256 KiB."""
    small, large = 1000, 1 << 20
    assert is_due_in_whole(small, 0, 0.0)
    assert not is_due_in_whole(large, large // 21, 1.0)
    assert is_due_in_whole(large, large // 20 + 1, 1.0)
    assert not is_due_in_whole(large, 0, 239.0)
    assert is_due_in_whole(large, 0, 240.0)


def test_the_cost_of_a_run_is_linear(root, spec, base):
    """R20: all that is written for a run that is followed is a multiple of what there is at its end."""
    from sacred.journal.writer import JournalWriter

    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    start = {"run_id": 1, "name": "x", "command": "main", "config": {}, "meta": {}, "host": {}}
    writer.append(EventType.RUN_STARTED, experiment={"name": "x", "base_dir": "/"}, **start)
    sink = Counting(spec)
    follower = Follower(folder, sink, spec)
    steps, each = 150, 400
    for part in range(steps):
        for point in range(each):
            writer.log_point("loss", part * each + point, point / 7)
        writer.append(EventType.HEARTBEAT)
        writer.flush()
        follower._advance(complete=False)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert "current" == follower.run_once().state
    follower.close()
    stored = json.loads((base / "metrics" / "1.json").read_text())["metrics"]["loss"]["steps"]
    assert steps * each == len(stored)
    assert sink.written < 25 * sink.weight
    assert sink.writes < steps


def test_heartbeats_of_a_large_database(root, spec, base, run_writer):
    """R20: they do not write it anew each time; the position waits with them, and the end does not."""
    begun(spec)
    found = tables(base)
    found["others"] = {"1": {"text": "x" * (1 << 20)}}
    (base / "metadata.json").write_text(json.dumps(found))
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    sink = Counting(spec)
    follower = Follower(folder, sink, spec)
    follower._advance(complete=False)
    writes = sink.writes
    assert writes == 1
    for _ in range(10):
        writer.append(EventType.HEARTBEAT)
        writer.flush()
        follower._advance(complete=False)
    assert writes == sink.writes
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert "current" == follower.run_once().state
    follower.close()
    assert sink.writes == writes + 1


# -- addresses ------------------------------------------------------------------------------------


def test_addresses(tmp_path, monkeypatch):
    """A folder, relative or below one's home; the name says it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert SinkSpec(
        "tinydb", str(tmp_path / "a"), {}, f"tinydb:{tmp_path / 'a'}"
    ) == SinkSpec.parse("tinydb:a")
    assert str(tmp_path / "home" / "a") == SinkSpec.parse("tinydb:~/a").url


def test_addresses_that_are_none(tmp_path, root):
    """A sentence each, with what to write; a kind that is misspelt has the nearest."""
    (tmp_path / "file").write_text("")
    root.claim()
    for text, sentence in (
        ("tinydb:", "a TinyDB needs a folder: --to tinydb:DIR"),
        ("tinydb", "a TinyDB needs a folder: --to tinydb:DIR"),
        (f"tinydb:{tmp_path / 'file'}", "is no folder: give a TinyDB one of its own"),
        (f"tinydb:{root.path}", "is a place of journals"),
        ("tinibd:x", "Did you mean tinydb?"),
    ):
        with pytest.raises(SinkSpecError, match=sentence):
            SinkSpec.parse(text)
