"""What the system refuses beside the journal's own writes: locks, folders, blobs, spools, processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import time
from types import SimpleNamespace

import pytest

from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal import garbage as collecting
from sacred.journal import seal_own as sealing
from sacred.journal.errors import NotAJournalError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.garbage import collect
from sacred.journal.liveness import Liveness, lock_is_held, run_liveness, state_now
from sacred.journal.marks import MarkingReader, mark_values, why_not_whole
from sacred.journal.seal_own import seal_own
from sacred.journal.spool import chunks_from, encode_record, read_spool

OLD = 30 * 86400.0


@pytest.fixture
def root(tmp_path):
    """An empty root."""
    root = JournalRoot(tmp_path / "sacred_runs")
    root.create()
    return root


@pytest.fixture
def run(root):
    """A run of three messages, ended by its process."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    for number in range(3):
        writer.append(EventType.MESSAGE, level="info", text=str(number))
    writer.close()
    return folder


def old_blob(root, content=b"nobody needs it"):
    """Store a blob that a collection removes."""
    store = BlobStore(root.blobs, durable=False)
    path = store.path_of(store.put_bytes(content).blob.digest)
    os.utime(path, (time.time() - OLD,) * 2)
    return path


def refusing(monkeypatch, name, number, matches, times=1 << 30):
    """Have a call of the system fail for some paths; return how often it did."""
    real, failed = getattr(os, name), []

    def call(*words, **options):
        if matches(str(words[0])) and len(failed) < times:
            failed.append(words)
            raise OSError(number, os.strerror(number), str(words[0]))
        return real(*words, **options)

    monkeypatch.setattr(os, name, call)
    return failed


# -- locks and life ------------------------------------------------------------------------------


def test_where_folders_can_not_be_locked_nobody_waits(run, monkeypatch):
    """A network disk without locks: the names of the files decide, as the docstring says."""

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked_journal(run.journal, patience=0.0), locked_journal(run.journal, patience=0.0):
        pass
    assert lock_is_held(run.journal / "w0000-e0001.jzst") is None


def test_a_lock_that_nobody_can_look_at_proves_nothing(run, monkeypatch):
    """No file, or a system without such locks: None, neither held nor free."""
    assert lock_is_held(run.journal / "nothing") is None
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert lock_is_held(run.journal / "w0000-e0001.jzst") is None


def test_a_run_without_its_first_writer_has_no_life(run):
    """The file of a worker is there, that of the run is not: no run, and not a run that died."""
    worker = JournalWriter.join(run.journal, journal_id=JournalReader(run.journal).journal_id)
    worker.append(EventType.MESSAGE, level="info", text="worker")
    worker.close()
    os.unlink(run.journal / "w0000-e0001.jzst")
    with pytest.raises(NotAJournalError, match="no file of the run's first writer"):
        run_liveness(run)
    assert Liveness.ENDED is state_now(JournalReader(run.journal), Liveness.ENDED, 0)


# -- blobs ---------------------------------------------------------------------------------------


def test_a_file_of_another_disk_is_copied(root, tmp_path, monkeypatch):
    """The blobs are a link to another disk: what is adopted is copied, and only that error is taken so."""
    store = BlobStore(root.blobs)
    content = b"from a bundle"
    digest = store.put_bytes(content).blob.digest
    os.unlink(store.path_of(digest))
    given = tmp_path / "given"
    given.write_bytes(content)
    failed = refusing(monkeypatch, "replace", errno.EXDEV, lambda path: path == str(given))
    assert store.adopt(given, digest)
    assert (1, content) == (len(failed), store.read(digest))
    os.unlink(store.path_of(digest))
    refusing(monkeypatch, "replace", errno.ENOSPC, lambda path: path == str(given))
    with pytest.raises(OSError, match="No space"):
        store.adopt(given, digest)
    assert not store.exists(digest)


def test_an_old_blob_of_another_user_is_stored_anew(root, monkeypatch):
    """It can not be made to look young, and a collection may be about to take it: there is a new file."""
    path = old_blob(root, b"shared")
    before = os.stat(path).st_ino
    refusing(monkeypatch, "utime", errno.EPERM, lambda name: name == str(path))
    BlobStore(root.blobs, durable=False).put_bytes(b"shared")
    after = os.stat(path)
    assert before != after.st_ino
    assert time.time() - after.st_mtime < OLD / 2


# -- spools --------------------------------------------------------------------------------------


def test_a_spool_is_read_by_pieces(tmp_path, monkeypatch):
    """More than a megabyte, and a system that can not read at an offset without moving there."""
    path = tmp_path / "spool"
    pieces = [bytes([number]) * 60_000 for number in range(40)]
    path.write_bytes(b"".join(encode_record(1, 5, piece) for piece in pieces))
    assert "more" == read_spool(path).verdict
    assert pieces == [chunk.data for chunk in chunks_from(path)]
    monkeypatch.delattr(os, "pread")
    assert pieces == [chunk.data for chunk in chunks_from(path)]


# -- searching behind damage ---------------------------------------------------------------------


def test_noise_behind_a_journal_is_looked_through(run):
    """More than is read at once, in which no frame begins and that ends in no zeros: all of it, once."""
    path = run.journal / "w0000-e0001.jzst"
    whole = path.read_bytes()
    first = JournalReader(run.journal)
    ends = [frame.after.offset for frame in first.poll()]
    path.write_bytes(whole[: ends[-2]] + b"noise" * 100_000 + whole[ends[-2] :])
    reader = JournalReader(run.journal)
    texts = [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
    assert ["0", "1", "2"] == texts
    assert [500_000] == [verdict.size for verdict in reader.verdicts]


# -- sealing at the end --------------------------------------------------------------------------


def rotated(root, monkeypatch):
    """Return a closed writer with two files."""
    folder = root.claim()
    with monkeypatch.context() as patch:
        patch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1)
        writer = JournalWriter.create(folder.journal)
        writer.append(EventType.MESSAGE, level="info", text="one")
        writer.close()
    assert writer.epoch == 2
    return writer


def opened_by(writer):
    """Return how each file of a journal was opened."""
    reader = JournalReader(writer.folder)
    list(reader.poll())
    reader.close()
    return [identity["opened_by"] for _, identity in sorted(reader.identities.items())]


@pytest.mark.skipif(sys.platform == "win32", reason="processes of Windows")
def test_what_is_large_is_sealed_by_a_process_left_behind(root, monkeypatch):
    """R26: nobody waits for it; what is through is forgotten with the next, and at the end nobody is warned."""
    monkeypatch.setattr(sealing, "_sealing", [])
    first, second = rotated(root, monkeypatch), rotated(root, monkeypatch)
    seal_own(first)
    (process,) = sealing._sealing
    assert 0 == process.wait(60)
    assert ["seal", "seal"] == opened_by(first)
    seal_own(second)
    (process,) = sealing._sealing
    assert 0 == process.wait(60)
    sealing._sealing[:] = [SimpleNamespace(returncode=None)]
    sealing._leave_behind()
    assert [0] == [process.returncode for process in sealing._sealing]


def test_what_can_not_be_sealed_stays_as_it_is(root, run, monkeypatch):
    """A frozen program starts no process; a disk that refuses is nobody's error; a writer that is open is left."""
    monkeypatch.setattr(sealing, "_sealing", [])
    writer = rotated(root, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "frozen", True, raising=False)
        seal_own(writer)
    assert [] == sealing._sealing
    assert ["start", "rotation"] == opened_by(writer)
    small = JournalWriter.create(root.claim().journal)
    seal_own(small)  # it is open
    small.close()

    def refuse(*words, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "seal_file", refuse)
        seal_own(small)
    assert ["start"] == opened_by(small)
    seal_own(small)
    assert ["seal"] == opened_by(small)


# -- collecting ----------------------------------------------------------------------------------


def test_a_marker_that_says_nothing_is_one_of_this_version(root, run):
    """A cut marker still marks the root, and is no reason to keep everything."""
    path = old_blob(root)
    (root.path / ".sacred-journal").write_text("{")
    assert [] == collect(root).obstacles
    assert not path.exists()


def test_folders_in_a_circle_and_roots_within_are_looked_into_once(root, run):
    """A folder of one's own in the root: links that lead back, and another root, which keeps its own blobs."""
    path = old_blob(root)
    aside = root.path / "aside"
    aside.mkdir()
    shutil.copytree(run.path, aside / "kept")
    (aside / "circle").symlink_to(aside)
    inner = JournalRoot(aside / "other")
    inner.create()
    shutil.copytree(run.path, inner.path / "1")
    done = collect(root)
    assert (2, []) == (done.runs, done.obstacles)
    assert not path.exists()


@pytest.mark.parametrize("what", ["folder", "journal"])
def test_what_may_not_be_read_keeps_all_blobs(root, run, monkeypatch, what):
    """A run's folder, or its files, are closed to us: no blob goes, also by force."""
    path = old_blob(root)
    call = "listdir" if what == "folder" else "open"
    match = str(run.path) if what == "folder" else str(run.journal / "w0000-e0001.jzst")
    refusing(monkeypatch, call, errno.EACCES, lambda name: name == match)
    (obstacle,) = collect(root, force=True).obstacles
    assert "can not be read" in obstacle.reason
    assert not obstacle.damaged
    assert path.exists()


def test_a_run_that_is_removed_while_it_is_looked_at_is_in_nobodys_way(root, run, monkeypatch):
    """Its folder was listed, and then it was gone."""
    path = old_blob(root)

    def reader(place, marks):
        shutil.rmtree(place)
        return MarkingReader(place, marks)

    monkeypatch.setattr(collecting, "MarkingReader", reader)
    assert [] == collect(root).obstacles
    assert not path.exists()


def test_blobs_that_can_not_be_listed_or_removed_are_told_of(root, run, monkeypatch):
    """Each in a sentence, twenty at most; what another collection took meanwhile is none."""
    paths = [old_blob(root, b"%d" % number) for number in range(25)]
    with monkeypatch.context() as patch:
        refusing(patch, "listdir", errno.EIO, lambda name: name == str(root.blobs))
        assert [f"{root.blobs}: Input/output error"] == collect(root).failures
    with monkeypatch.context() as patch:
        refusing(patch, "rename", errno.EACCES, lambda name: "/blobs/" in name)
        assert 20 == len(collect(root).failures)
    with monkeypatch.context() as patch:
        refusing(patch, "rename", errno.ENOENT, lambda name: name == str(paths[0]))
        refusing(patch, "lstat", errno.ENOENT, lambda name: name == str(paths[1]))
        assert [] == collect(root).failures
    assert [True, True, False] == [path.exists() for path in paths[:3]]


def test_a_trial_moves_nothing_that_a_killed_collection_took_aside(root, run):
    """With dry_run a blob that lost its name stays without it, and is not counted."""
    path = old_blob(root)
    aside = path.with_name(f".gc-00000000-{path.name}")
    os.rename(path, aside)
    done = collect(root, dry_run=True)
    assert 0 == sum(entry.count for entry in done.collected)
    assert aside.exists()


def test_a_blob_that_is_stored_anew_while_it_gets_its_name_back(root, run, monkeypatch):
    """Without hard links, what a writer stored meanwhile stays, and the old one goes."""
    path = old_blob(root)
    aside = path.with_name(f".gc-00000000-{path.name}")
    shutil.copy(path, aside)
    os.utime(path)
    refusing(monkeypatch, "link", errno.EPERM, lambda name: name == str(aside))
    collect(root)
    assert (True, False) == (path.exists(), aside.exists())


def test_left_overs_that_vanish_or_stay_by_force(root, run, monkeypatch):
    """What a kill left goes; another's was faster, or the disk refuses, which is told."""
    names = [run.journal / f".{number:08x}-w0000-e0001.jzst" for number in range(2)]
    for path in names:
        path.write_bytes(b"left")
        os.utime(path, (time.time() - OLD,) * 2)
    with monkeypatch.context() as patch:
        refusing(patch, "unlink", errno.ENOENT, lambda name: name == str(names[0]))
        refusing(patch, "unlink", errno.EACCES, lambda name: name == str(names[1]))
        done = collect(root)
    assert [f"{names[1]}: Permission denied"] == done.failures
    assert 0 == sum(entry.count for entry in done.collected)


def test_an_import_that_can_not_be_removed_is_told_of(root, run, monkeypatch):
    """A killed import's folder: a trial counts it, a disk that refuses is said."""
    aside = root.path / f"{collecting.ASIDE}1"
    aside.mkdir()
    (aside / "file").write_bytes(b"12345")
    os.utime(aside, (time.time() - OLD,) * 2)
    temporary = {e.kind: (e.count, e.size) for e in collect(root, dry_run=True).collected}
    assert (1, 5) == temporary["temporary"]
    assert aside.exists()

    def refuse(path):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "remove_aside", refuse)
        assert [f"{aside}: Permission denied"] == collect(root).failures
    assert aside.exists()


def test_a_value_whose_blob_is_gone_is_an_obstacle(root, run):
    """Nobody knows what it named; and a text that looks like the name of an encoding is no value."""
    gone = "0" * 64
    assert "is not in" in str(mark_values(BlobStore(root.blobs), [gone], set()))
    stored = BlobStore(root.blobs).put_bytes(b"a file").blob
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.ARTIFACT_ADDED, name="msgpack", filename="/a", blob=stored, version=1)
    writer.close()
    reader = MarkingReader(folder.journal, set())
    list(reader.poll())
    assert set() == reader.values
    reader.close()


def test_a_run_that_begins_while_it_is_looked_at_is_not_damaged(run):
    """Its first frame was not there when the file was opened, and is whole when it is asked for."""
    path = run.journal / "w0000-e0001.jzst"
    whole = path.read_bytes()
    path.write_bytes(b"")
    reader = MarkingReader(run.journal, set())
    assert [] == list(reader.poll())
    path.write_bytes(whole)
    assert why_not_whole(reader, [path.name]) is None
    path.write_bytes(b"noise" + whole)
    assert "is damaged at byte 0" in str(why_not_whole(reader, [path.name]))
    reader.close()
