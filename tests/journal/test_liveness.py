"""Whether a run lives, has ended or died is computed, and computed rightly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.journal import liveness as module
from sacred.journal.identity import own_identity, process_lives, process_start
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.verification import verify

STARTED = {
    "run_id": 1,
    "name": "x",
    "command": "main",
    "config": {},
    "meta": {},
    "experiment": {},
    "host": {},
}

PROGRAM = """
import sys, time
from pathlib import Path
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(Path(sys.argv[1]) / "journal")
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={}, host={})
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    """A run's folder."""
    return JournalRoot(tmp_path / "root").claim()


def test_a_run_lives_while_its_process_does_and_died_after(folder):
    """RUNNING while the process is there, DIED after `kill -9`, with nothing written in between."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"started\n"
    files = {path: path.read_bytes() for path in folder.journal.iterdir()}
    assert run_liveness(folder) is Liveness.RUNNING
    assert verify(folder).clean
    process.kill()
    process.wait(100)
    assert run_liveness(folder) is Liveness.DIED
    assert verify(folder).verdict == "clean"
    assert {path: path.read_bytes() for path in folder.journal.iterdir()} == files
    process.stdout.close()
    process.stdin.close()


def test_a_run_that_ended_has_ended(folder):
    """The end event decides, whatever became of the process; a resume takes it back."""
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **STARTED)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    assert run_liveness(folder) is Liveness.ENDED
    writer.append(EventType.RUN_RESUMED)
    assert run_liveness(folder) is Liveness.RUNNING
    writer.close()


def test_a_queued_run_is_queued(folder):
    """A queued run neither lives nor died, though its process is gone."""
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_QUEUED, **STARTED)
    writer.close()
    assert run_liveness(folder) is Liveness.QUEUED


def test_pids_are_told_apart():
    """Own process lives; another start time, boot or a gone pid does not; another host is unknown."""
    me = own_identity()
    assert process_lives(me) is True
    assert process_lives({**me, "process_start": me["process_start"] + 1}) is False
    assert process_lives({**me, "boot": "another"}) is False
    assert process_lives({**me, "host": "elsewhere"}) is None
    assert process_lives({**me, "pid_namespace": "another"}) is None
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert process_start(child) is None
    assert process_lives({**me, "pid": child}) is False


def test_where_the_pid_says_nothing_the_lock_and_the_age_decide(folder, monkeypatch):
    """A run of another host: alive while its lock is held or its last sign is young."""
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **STARTED)
    monkeypatch.setattr(module, "process_lives", lambda identity: None)
    assert run_liveness(folder) is Liveness.RUNNING  # the lock is held
    writer.close()
    assert run_liveness(folder) is Liveness.RUNNING  # it wrote a moment ago
    monkeypatch.setattr(module, "YOUNG", -1.0)
    assert run_liveness(folder) is Liveness.DIED


def test_verify_names_torn_damaged_and_missing(folder):
    """The worst verdict wins; blobs are read through; a torn end of a dead run is a tail."""
    store_path = folder.path.parent / "blobs"
    from sacred.journal.blobs import BlobStore

    store = BlobStore(store_path)
    stored = store.put_bytes(b"content")
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **STARTED)
    writer.append(
        EventType.SOURCE_ADDED, filename="a.py", path="/a.py", md5="x", blob=stored.blob.to_wire()
    )
    for _ in range(3):
        writer.append(EventType.HEARTBEAT)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    report = verify(folder, blobs=store)
    assert (report.verdict, report.events, report.blobs, report.clean) == ("clean", 6, 1, True)
    store.path_of(stored.blob.digest).unlink()
    assert "is not in" in verify(folder, blobs=store).blob_errors[0]
    data = writer.path.read_bytes()
    writer.path.write_bytes(data[:-3])
    assert verify(folder).liveness in {Liveness.DIED, Liveness.RUNNING}
    writer.path.write_bytes(data + data[:20])
    assert verify(folder).verdict == "tail"
    damaged = bytearray(data)
    damaged[-100] ^= 1
    writer.path.write_bytes(bytes(damaged))
    assert verify(folder).verdict == "gap"


@pytest.fixture
def hit(folder):
    """A file of the run whose first frame, which names its process, is damaged."""

    def damage(path):
        data = bytearray(path.read_bytes())
        data[20] ^= 1
        path.write_bytes(data)

    return damage


def test_whose_first_frame_is_lost_is_judged_by_the_file_before(folder, hit):
    """A killed run is DIED at once, where its newest file begins in damage: the process was the same."""
    code = PROGRAM.replace("print(", "writer._rotate(); writer.append(8); print(")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"started\n"
    hit(folder.journal / "w0000-e0002.jzst")
    assert run_liveness(folder) is Liveness.RUNNING
    process.kill()
    process.wait(100)
    assert run_liveness(folder) is Liveness.DIED
    process.stdout.close()
    process.stdin.close()


def test_a_resumed_run_whose_first_frame_is_lost_lives(folder, hit, monkeypatch):
    """Its process is another one than that of the file before, and holds its lock."""
    before = {**own_identity(), "boot": "another"}
    monkeypatch.setattr("sacred.journal.file_writer.own_identity", lambda: before)
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **STARTED)
    writer.sync()
    assert run_liveness(folder) is Liveness.DIED
    writer._rotate()
    writer.append(EventType.RUN_RESUMED)
    assert run_liveness(folder) is Liveness.DIED
    hit(writer.path)
    assert run_liveness(folder) is Liveness.RUNNING
    writer.close()
    assert run_liveness(folder) is Liveness.DIED


def test_a_run_of_which_nothing_names_the_process_is_judged_by_its_age(folder, hit, monkeypatch):
    """The first frame of its only file is lost: whoever wrote it may be anywhere, until it is forgotten."""
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **STARTED)
    writer.close()
    hit(writer.path)
    assert run_liveness(folder) is Liveness.RUNNING
    monkeypatch.setattr(module, "YOUNG", -1.0)
    assert run_liveness(folder) is Liveness.DIED


def test_an_empty_next_file_does_not_make_a_dead_run_live(folder):
    """A writer killed while it made its next file is dead at once, not when it is forgotten."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"started\n"
    process.kill()
    process.wait(100)
    (folder.journal / "w0000-e0002.jzst").write_bytes(b"")
    assert run_liveness(folder) is Liveness.DIED
    process.stdout.close()
    process.stdin.close()
