"""The trash: runs go by a rename and come back by one, and their numbers are never given again."""

from __future__ import annotations

import os
import shutil
import threading
import time

import pytest

from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
from sacred.journal import trash as module
from sacred.journal.errors import JournalBusyError, JournalUnavailableError, RunNotFoundError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.garbage import collect
from sacred.journal.trash import empty, remove, restore, trashed


@pytest.fixture
def root(tmp_path):
    return JournalRoot(tmp_path / "sacred_runs")


def begin(root, **more):
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    about = {"run_id": folder.number, "name": "x", "command": "main", "config": {}, "meta": {}}
    writer.append(EventType.RUN_STARTED, **about, experiment={}, host={})
    if more:
        writer.append(EventType.ARTIFACT_ADDED, **more)
    return folder, writer


def ended(root, **more):
    folder, writer = begin(root, **more)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    return folder


def places(root):
    return [run.folder.path for run in trashed(root)]


def contents(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_there_and_back(root):
    """Nothing of a run changes on the way, and nobody finds it meanwhile."""
    folder = ended(root)
    before = contents(folder.path)
    run = remove(folder)
    assert ([], [run.folder.path]) == (root.runs(), places(root))
    assert (folder.number, True) == (run.number, abs(run.removed - time.time()) < 60)
    assert before == contents(run.folder.path)
    assert restore(run, root).path == folder.path
    assert (before, []) == (contents(folder.path), trashed(root))


@pytest.mark.parametrize("hint", [True, False])
@pytest.mark.parametrize("gone", [True, False])
def test_its_number_is_not_given_again(root, hint, gone):
    """R12: from the trash, and when that was emptied; without the hint as long as it is there."""
    ended(root)
    remove(ended(root))
    if not hint:
        (root.path / ".high-water").unlink()
    if gone:
        assert [None] == [reason for _, reason in empty(root)]
    assert 3 == root.claim().number
    assert 4 == root.claim(2).number


def test_stored_files_stay_as_long_as_it_may_come_back(root):
    """``gc`` takes them when the trash was emptied, and not before."""
    root.create()
    store = BlobStore(root.blobs)
    stored = store.put_bytes(b"the model")
    folder = ended(root, name="m", filename="m", blob=stored.blob.to_wire())
    path = store.path_of(stored.blob.digest)
    os.utime(path, (time.time() - 30 * 86400,) * 2)
    remove(folder)
    collect(root)
    assert path.exists()
    list(empty(root))
    done = collect(root)
    assert (False, []) == (path.exists(), done.obstacles)


def test_one_that_is_written(root):
    """A running run stays, whatever is forced."""
    folder, writer = begin(root)
    try:
        for force in (False, True):
            with pytest.raises(JournalBusyError, match=f"run {folder.number} is not removed"):
                remove(folder, force=force)
    finally:
        writer.close()
    assert [folder.path] == [run.path for run in root.runs()]


def test_one_of_another_machine(root, monkeypatch):
    """Whether it lives can not be seen: it goes by force."""
    folder, writer = begin(root)
    writer.close()
    monkeypatch.setattr("sacred.journal.identity.host_name", lambda: "elsewhere")
    monkeypatch.setattr("sacred.journal.identity.boot_id", lambda: "another")
    with pytest.raises(JournalBusyError, match="can not be seen from here"):
        remove(folder)
    remove(folder, force=True)
    assert [] == root.runs()


def test_one_that_was_claimed_a_moment_ago(root, monkeypatch):
    """Somebody is about to write into it; an old one goes."""
    folder = root.claim()
    with pytest.raises(JournalBusyError, match="claimed a moment ago"):
        remove(folder)
    monkeypatch.setattr(module, "_CLAIMING", 0.0)
    remove(folder)
    assert [] == root.numbers()


@pytest.mark.parametrize("content", [b"", b"nothing of ours" * 100])
def test_what_is_no_journal(root, content):
    """Damaged and foreign folders go like others, and come back."""
    folder = root.claim()
    file = folder.journal / "w0000-e0001.jzst"
    file.write_bytes(content)
    with pytest.raises(JournalBusyError, match="unknown machine"):
        remove(folder)  # young: somebody may be writing it on another machine
    os.utime(file, (time.time() - 3600,) * 2)
    run = remove(folder)
    assert content == (restore(run, root).journal / "w0000-e0001.jzst").read_bytes()


def test_a_number_that_is_taken(root):
    """What is there stays, and the sentence says where."""
    folder = ended(root)
    run = remove(folder)
    folder.path.mkdir()
    with pytest.raises(JournalBusyError, match="move that away first"):
        restore(run, root)
    assert [run.folder.path] == places(root)


def test_gone_meanwhile(root):
    """Two that remove or restore at once: one does, the other says so."""
    folder = ended(root)
    run = remove(folder)
    with pytest.raises(RunNotFoundError, match="there is no run 1"):
        remove(folder)
    restore(run, root)
    with pytest.raises(RunNotFoundError, match="not in the trash any more"):
        restore(run._replace(number=7), root)


def test_who_works_at_it_is_waited_for(root):
    """A seal that is at work ends first."""
    folder = ended(root)
    done = []
    thread = threading.Thread(target=lambda: done.append(remove(folder)))
    with locked_journal(folder.journal):
        thread.start()
        thread.join(0.2)
        assert ([], True) == (done, folder.path.is_dir())
    thread.join(60)
    assert 1 == len(done)


def test_only_what_is_old(root, monkeypatch):
    """The age is that of the removal; one that somebody moved there by hand has none."""
    now = time.time()
    for days in (40, 20):
        monkeypatch.setattr(time, "time", lambda days=days: now - days * 86400)
        remove(ended(root))
    monkeypatch.undo()
    folder = ended(root)
    os.rename(folder.path, root.path / ".trash" / "3")
    assert [1] == [run.number for run, _ in empty(root, older_than=30 * 86400.0)]
    assert [2, 3] == [run.number for run in trashed(root)]


def test_killed_while_it_was_emptied(root, monkeypatch):
    """What is half removed is no run, in no list, no obstacle to ``gc``, and goes with it."""
    remove(ended(root))

    def killed(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        list(empty(root))
    monkeypatch.undo()
    assert ([], []) == (trashed(root), root.runs())
    (left,) = root.path.glob(".import-*")
    old = time.time() - 30 * 86400
    os.utime(left, (old, old))
    assert [] == collect(root).obstacles
    assert not left.exists()


def test_what_can_not_be_removed(root, monkeypatch):
    """It is told of, and the others go."""
    for _ in range(2):
        remove(ended(root))
    real = shutil.rmtree

    def once(path):
        monkeypatch.setattr(shutil, "rmtree", real)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", once)
    reasons = [reason for _, reason in empty(root)]
    assert (True, None) == ("Permission denied" in reasons[0], reasons[1])


def test_a_trash_on_another_disk(root, monkeypatch):
    """A run is never copied: a rename that can not be is a sentence."""
    folder = ended(root)

    def rename(*_args):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(JournalUnavailableError, match="on another disk"):
        remove(folder)
    monkeypatch.undo()
    assert folder.path.is_dir()


def test_a_copy_behind_a_link(root):
    """It would come back with the next replay: the sentence says what to do."""
    folder = ended(root)
    os.rename(folder.path, root.path / "elsewhere")
    os.symlink("elsewhere", folder.path)
    with pytest.raises(JournalBusyError, match="a copy that a replay keeps"):
        remove(folder)
