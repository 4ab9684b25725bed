"""`sacred doctor`."""

from __future__ import annotations

import json
import os
import shutil
import time
from importlib import metadata

import pytest

from sacred.analysis.diagnosis import diagnose, exit_code
from sacred.analysis.machine import versions
from sacred.journal.notes import Said, annotate

NOW = time.time_ns()


@pytest.fixture(autouse=True)
def _here(root, monkeypatch):
    """The runs of these tests end now: old ones are to be sealed."""
    monkeypatch.setattr(type(root), "START", NOW)
    monkeypatch.setattr("tests.cli.conftest.START", NOW - 90 * 10**9, raising=False)


def wrong(root, **options):
    found = diagnose(str(root.path), **options)
    return {f.text: f for f in found if f.level != "ok" and f.area not in {"disk", "inotify"}}


def sealed(root, run_sacred):
    folder = root.completed()
    assert 0 == run_sacred("seal", "--all").code
    return folder


def test_nothing(root, run_sacred):
    """Exit code 0 and a line for each thing that was looked at."""
    sealed(root, run_sacred)
    done = run_sacred("doctor")
    assert (0, "") == (done.code, done.err), done.out
    assert "runs      1 runs looked at: none needs anything" in done.out
    assert done.out.count("\n") >= 4
    records = json.loads(run_sacred("doctor", "--json").out)
    assert {"ok"} == {record["level"] for record in records}


def test_no_root(tmp_path, run_sacred):
    """What was looked for and where, and what else is to be said."""
    done = run_sacred("doctor", cwd=tmp_path.parent)
    assert (1, True) == (done.code, "no root of journals in" in done.out)
    assert "sacred-journal" in done.out


def test_runs_that_died(root, run_sacred):
    """They are told of until somebody seals them; the command is there."""
    root.died()
    root.died()
    done = run_sacred("doctor")
    assert 1 == done.code
    assert "2 runs died, and nobody went on or sealed: 1, 2" in done.out
    assert "sacred seal 1 2" in done.out
    run_sacred("seal", "--all")
    assert 0 == run_sacred("doctor").code


def test_damaged_and_foreign_runs(root, run_sacred):
    """Each kind in a line with the numbers, and the command that says more."""
    folders = [root.completed() for _ in range(2)]
    run_sacred("seal", "--all")
    data = bytearray(root.file(folders[0]).read_bytes())
    middle = len(data) // 3
    data[middle : middle + 10] = bytes(10)
    root.file(folders[0]).write_bytes(data)
    root.file(folders[1]).write_bytes(b"x" * 500)
    old = time.time() - 3600
    os.utime(root.file(folders[1]), (old, old))
    found = wrong(root)
    assert {"run damaged: 1", "run without a journal of ours: 2"} <= set(found)
    assert (1,) == found["run damaged: 1"].runs
    assert "sacred verify 1 --root" in found["run damaged: 1"].remedy


def test_what_was_claimed_and_left(root):
    """A folder without a journal is told of when it is old."""
    folder = root.journals.claim()
    assert {} == wrong(root)
    old = time.time() - 7200
    os.utime(folder.path, (old, old))
    (found,) = wrong(root).values()
    assert ("run claimed, with nothing ever written: 1", True) == (
        found.text,
        found.remedy.startswith("sacred rm 1"),
    )


def test_views(root, run_sacred, tmp_path):
    """Behind alone is exit code 3, with the command that mends it."""
    folder = sealed(root, run_sacred)
    run_sacred("replay", "--to", f"journal:{tmp_path / 'copy'}")
    assert 0 == run_sacred("doctor").code
    annotate(folder, [Said("tag", "add", "good")])
    done = run_sacred("doctor")
    assert 3 == done.code
    assert "1 of 1 runs behind" in done.out
    assert "sacred-replay --to journal" in done.out


def test_a_run_that_was_copied_by_hand(root, run_sacred):
    """Two folders with one journal are one run to every view: it is said which they are."""
    for _ in range(3):
        root.completed()
    shutil.copytree(root.path / "2", root.path / "17")
    done = run_sacred("doctor")
    assert 1 == done.code
    assert "runs with one and the same journal, of which a view has one: 2, 17" in done.out
    assert "sacred rm 17" in done.out


def test_damaged_notes(root, run_sacred):
    """What people said of a run is looked at, too."""
    folder = sealed(root, run_sacred)
    annotate(folder, [Said("tag", "add", "good")])
    file = folder.path / "notes" / "w0000-e0001.jzst"
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    (found,) = wrong(root).values()
    assert ("notes", (1,)) == (found.area, found.runs)


def test_old_runs_and_clocks(root, monkeypatch):
    """Ended long ago and not sealed; events from the future."""
    monkeypatch.setattr("tests.cli.conftest.START", NOW - 3 * 86400 * 10**9)
    root.completed()
    monkeypatch.undo()
    writer = root.writer()
    root.start(writer, 2)
    root.end(writer)
    writer = root.writer()
    writer.append(2, time_ns=NOW + 7200 * 10**9, run_id=3, name="x", command="m", config={},
                  meta={}, experiment={}, host={})  # fmt: skip
    writer.close()
    texts = set(wrong(root))
    assert any("from the future: 3" in text for text in texts), texts


def test_what_kills_left(root):
    """Old asides of imports go with gc."""
    left = root.path / ".import-1-2"
    left.mkdir()
    assert {} == wrong(root)
    old = time.time() - 3 * 86400
    os.utime(left, (old, old))
    (found,) = wrong(root).values()
    assert found.remedy.startswith("sacred gc --root")


def test_deep(root, run_sacred):
    """Stored files are read only when that is asked for."""
    from sacred.journal import BlobStore, EventType

    store = BlobStore(root.journals.blobs)
    stored = store.put_bytes(b"the model")
    writer = root.writer()
    root.start(writer, 1)
    writer.append(EventType.ARTIFACT_ADDED, name="m", filename="m", blob=stored.blob.to_wire())
    root.end(writer)
    run_sacred("seal", "--all")
    store.path_of(stored.blob.digest).unlink()
    assert {} == wrong(root)
    (found,) = wrong(root, deep=True).values()
    assert "run 1: blobs" in found.text


def test_packages(monkeypatch):
    """One that is too old, one that is missing, another Sacred beside: with what pip has to do."""
    known = {"sacred": "0.8.7", "click": "7.0", "SQLAlchemy": "1.4.50"}

    def version(name):
        if name in known:
            return known[name]
        raise metadata.PackageNotFoundError(name)

    needs = ["click>=8.1", "msgpack>=1.0", "SQLAlchemy>=2.0; extra == 'sql'",
             "boto3>=1.36; extra == 's3'", "mypy>=1; extra == 'dev'",
             "tomli>=2.0; python_version < '3.11'"]  # fmt: skip
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _name: needs)
    found = [*versions()]
    assert [
        "the package sacred 0.8.7 is installed, too, and writes over files of this one",
        "click 7.0 is older than 8.1",
        "msgpack is missing, and needed",
        "SQLAlchemy 1.4.50 is older than 2.0",
    ] == [f.text for f in found if f.level == "wrong"]
    assert "not installed: boto3 (s3)" == found[-1].text
    assert 1 == exit_code(found)


def test_who_holds_a_lock(root, run_sacred):
    """Information, and nothing wrong."""
    from sacred.journal.folder_lock import locked_journal

    folder = sealed(root, run_sacred)
    with locked_journal(folder.journal):
        found = [f for f in diagnose(str(root.path)) if f.area == "locks"]
    if os.path.exists("/proc/locks"):
        assert [f"process {os.getpid()} seals, repairs or goes on with run 1"] == [
            f.text for f in found
        ]


def test_a_disk_that_is_mounted_read_only(root, monkeypatch):
    """Of such a root the doctor does not say chmod, which would not help."""
    real = os.statvfs(root.path)

    class Mounted:
        f_flag = real.f_flag | os.ST_RDONLY

        def __getattr__(self, name):
            return getattr(real, name)

    monkeypatch.setattr(os, "statvfs", lambda _: Mounted())
    monkeypatch.setattr(os, "access", lambda *_: False)
    (told,) = [
        f
        for f in diagnose(str(root.path))
        if f.text == f"{root.path} can not be written: its disk is mounted read-only"
    ]
    assert told.remedy is None
