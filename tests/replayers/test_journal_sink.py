"""Copies of journals in a folder and in a bucket: what is there equals the run, whatever was killed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import threading
import uuid
from pathlib import Path

import pytest
from died_runs import died_run
from servers.objects import MemoryStore

from sacred.journal import (
    BlobStore,
    EventType,
    JournalReader,
    JournalRoot,
    JournalWriter,
    RootOrigin,
    RunFolder,
    merge,
    repair_run,
    seal_run,
    verify,
)
from sacred.journal.codec import unpack
from sacred.journal.position import Position
from sacred.replayers.contract import SinkContract, write_run
from sacred.replayers.copies import bring as bring_module
from sacred.replayers.copies import fetch
from sacred.replayers.copies import folder as folder_module
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import (
    JournalShorterError,
    RunDeletedError,
    SinkSpecError,
    TransientSinkError,
)
from sacred.replayers.memo import ViewMemo
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import FileEntry, RunKey, SinkSpec
from sacred.replayers.sinks.journal import sink as journal_sink


@pytest.fixture
def root(tmp_path):
    """The root of the runs."""
    return JournalRoot(tmp_path / "runs")


class Folder:
    """A folder of copies."""

    def __init__(self, tmp_path, monkeypatch):
        self.path = tmp_path / "copies"
        self.spec = SinkSpec.parse(f"journal:{self.path}")

    def run(self, folder, tmp_path):
        """The copy of a run, as one that can be read."""
        return RunFolder(self.path / f"journal-{ident(folder)}")

    def state(self):
        """What would change if anything was written."""
        return {
            str(path): (path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in sorted(self.path.rglob("*"))
        }


class Bucket:
    """A bucket of copies, in memory."""

    def __init__(self, tmp_path, monkeypatch):
        self.store = MemoryStore()
        self.spec = SinkSpec.parse("journal:s3://bucket/path")

        def store(_spec, **_options):
            return self.store

        monkeypatch.setattr(journal_sink, "object_store", store)
        monkeypatch.setattr(fetch, "object_store", store)

    def run(self, folder, tmp_path):
        """The copy of a run, brought back into a root of its own."""
        back = JournalRoot(tmp_path / f"back-{uuid.uuid4().hex}")
        with fetch.fetched("s3://bucket/path") as origin:
            merge(origin, back)
        (found,) = (one for one in back.runs() if ident(one) == ident(folder))
        return found

    def state(self):
        """What would change if anything was put."""
        return {key: found.version for key, found in self.store.objects.items()}


@pytest.fixture(params=[Folder, Bucket])
def place(request, tmp_path, monkeypatch):
    """A place of copies."""
    return request.param(tmp_path, monkeypatch)


@pytest.fixture
def folder_place(tmp_path, monkeypatch):
    """A folder of copies."""
    return Folder(tmp_path, monkeypatch)


def ident(folder):
    """The id of a run's journal."""
    return f"{JournalReader(folder.journal).journal_id:016x}"


def copied(folder, place, **options):
    """Copy a run once; return how the copy stands."""
    follower = follower_for(folder, load_sink(place.spec), place.spec, **options)
    try:
        return follower.run_once(patience=100.0)
    finally:
        follower.close()


def gone_on(folder):
    """Return a writer that goes on with a run whose process is gone."""
    reader = JournalReader(folder.journal)
    for _ in reader.read():
        pass
    return JournalWriter.go_on(folder.journal, reader.position[0], journal_id=reader.journal_id)


def events(folder):
    """Return every event of a run that has a number."""
    return [
        (e.writer, e.seq, e.time, e.type, repr(e.fields))
        for e in JournalReader(folder.journal).read("time")
        if e.seq >= 0
    ]


def facts(folder):
    """Return what a run says, whatever frames and tables it stands in."""
    found = set()
    for event in JournalReader(folder.journal).read():
        if event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            for row, (name, step) in enumerate(zip(table.names(), table.steps, strict=True)):
                found.add((event.writer, event.seq + row, name, step))
        elif event.type == EventType.METRIC_POINT:
            found.add((event.writer, event.seq, event.fields["metric"], event.fields["step"]))
        elif event.seq >= 0:
            found.add((event.writer, event.seq, event.type, repr(event.fields)))
    return found


def files(folder):
    """Return the content of the files of a run's journal."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.journal.iterdir())
        if not path.name.startswith(".")
    }


def is_copied(folder, place, tmp_path):
    """Compare a run with its copy: events, bytes, stored files."""
    found = place.run(folder, tmp_path)
    assert events(found) == events(folder)
    assert files(found) == files(folder)
    report = verify(found, blobs=BlobStore(found.root.blobs))
    assert report.clean, (report.verdicts, report.blob_errors)
    assert report.blobs == verify(folder).blobs


# -- the copy equals the run -----------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["died", "ended", "sealed", "damaged", "repaired"])
def test_a_copy_equals_the_run(root, place, tmp_path, fate):
    """Whatever became of a run, its copy has the same files, and verify says the same of both."""
    if fate in {"ended", "sealed"}:
        folder = root.claim()
        write_run(folder)
    else:
        folder = died_run(root)
    if fate == "sealed":
        seal_run(folder)
    if fate in {"damaged", "repaired"}:
        damage(folder)
    if fate == "repaired":
        repair_run(folder, force=True)
    status = copied(folder, place)
    assert (status.state, status.error) == ("current", None)
    found = place.run(folder, tmp_path)
    assert files(found) == files(folder)
    assert events(found) == events(folder)
    ours, theirs = (verify(one, blobs=BlobStore(one.root.blobs)) for one in (folder, found))
    assert (ours.verdict, ours.blobs, ours.blob_errors) == (
        theirs.verdict,
        theirs.blobs,
        theirs.blob_errors,
    )


def damage(folder):
    """Damage a frame in the middle of a run's first file."""
    file = folder.journal / "w0000-e0001.jzst"
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    file.write_bytes(broken)


def test_a_repeat_writes_nothing(root, place):
    """A second call finds everything there, and touches no file and puts no object."""
    folder = died_run(root)
    copied(folder, place)
    before, note = place.state(), ViewMemo.load(folder.views, place.spec.key)
    assert note.written is not None  # `sacred views` shows when that was
    assert copied(folder, place).state == "current"
    assert place.state() == before
    assert ViewMemo.load(folder.views, place.spec.key).written == note.written


def test_only_what_is_new_is_written(root, tmp_path, monkeypatch):
    """Of a run that goes on, its new events go into the copy, and no others again."""
    folder_place, bucket = Folder(tmp_path, monkeypatch), Bucket(tmp_path, monkeypatch)
    folder = root.claim()
    writer = write_run(folder, ends=False, points=20_000)
    for place in (folder_place, bucket):
        copied(folder, place)
    file = folder_place.run(folder, tmp_path).journal / "w0000-e0001.jzst"
    inode, before = file.stat().st_ino, bucket.store.written
    size = (folder.journal / "w0000-e0001.jzst").stat().st_size
    assert size > 50_000
    writer.log_point("loss", 10**6, 1.0)
    writer.flush()
    for place in (folder_place, bucket):
        copied(folder, place)
        is_copied(folder, place, tmp_path)
    assert file.stat().st_ino == inode
    assert bucket.store.written - before < 5_000
    writer.close()


def test_a_copy_is_followed(root, place, tmp_path):
    """While a run goes on its copy does, at its end it is whole, and sealed it is the sealed one."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    follower = follower_for(folder, load_sink(place.spec), place.spec)
    try:
        for step in range(30):
            writer.log_point("loss", 100 + step, float(step))
            writer.flush()
            assert follower.run_once(patience=100.0).state == "current"
            assert events(place.run(folder, tmp_path)) == events(folder)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        follower.run_once(patience=100.0)
        is_copied(folder, place, tmp_path)
        seal_run(folder)
        follower.run_once(patience=100.0)
        is_copied(folder, place, tmp_path)
    finally:
        follower.close()
    assert not [name for name in files(place.run(folder, tmp_path)) if "before" in name]


def test_following_ends_with_everything(root, place, tmp_path):
    """A follower in a thread has all that a run wrote when it is stopped."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    stop = threading.Event()
    follower = follower_for(folder, load_sink(place.spec), place.spec)
    thread = threading.Thread(target=follower.follow, args=(stop,), daemon=True)
    thread.start()
    for step in range(2000):
        writer.log_point("loss", 100 + step, float(step))
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    stop.set()
    thread.join(100)
    follower.close()
    assert follower.status.state == "current"
    is_copied(folder, place, tmp_path)


def test_epochs_and_workers(root, place, tmp_path):
    """A run that was gone on with, by several processes, is copied with all its files."""
    folder = died_run(root)
    copied(folder, place)
    writer = gone_on(folder)
    writer.log_point("loss", 10**7, 1.0)
    writer.flush()
    copied(folder, place)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    copied(folder, place)
    assert len(files(folder)) == 3
    is_copied(folder, place, tmp_path)


def test_a_torn_end_comes_when_nobody_writes_it(root, place, tmp_path):
    """What a kill tore off is left out while the writer may live, and copied when it is gone."""
    folder = died_run(root)
    file = folder.journal / "w0000-e0001.jzst"
    with file.open("ab") as out:
        out.write(file.read_bytes()[-20:-5])
    copied(folder, place)
    assert files(place.run(folder, tmp_path)) == files(folder)
    live = root.claim()
    writer = write_run(live, ends=False)
    whole = files(live)
    with (live.journal / "w0000-e0001.jzst").open("ab") as out:
        out.write(b"\x28\xb5\x2f\xfd half a frame")
    copied(live, place)
    assert files(place.run(live, tmp_path)) == whole
    os.truncate(live.journal / "w0000-e0001.jzst", len(whole["w0000-e0001.jzst"]))
    writer.close()


def test_what_a_killed_run_printed_last(root, place, tmp_path):
    """The spool of a run that was killed is copied, and goes when a seal has recorded it."""
    from sacred.journal.spool import encode_record

    folder = died_run(root)
    (folder.journal / "w0000.spool").write_bytes(encode_record(1, 10**18, b"last words\n"))
    copied(folder, place)
    assert files(place.run(folder, tmp_path)) == files(folder)
    seal_run(folder)
    os.unlink(folder.journal / "w0000.spool")
    copied(folder, place)
    is_copied(folder, place, tmp_path)


def test_large_values_and_what_they_name(root, place, tmp_path):
    """A value that was too large for its event is copied, and the files that it lists."""
    folder = root.claim()
    store = BlobStore(root.blobs)
    writer = JournalWriter.create(folder.journal, blobs=store)
    inner = store.put_bytes(b"in a large folder").blob
    entries = [[f"{'x' * 200}{n}", inner.to_wire()] for n in range(100_000)]
    writer.append(EventType.INFO_CHANGED, set=[[["k"], entries]], deleted=[])
    writer.close()
    copied(folder, place)
    found = place.run(folder, tmp_path)
    blobs = BlobStore(found.root.blobs)
    assert blobs.read(inner.digest) == b"in a large folder"
    assert verify(found, blobs=blobs).clean


def test_a_stored_file_that_was_lost_and_comes_back(root, place, tmp_path):
    """What is not there can not be copied; when it is, it is, though the journal is as it was."""
    folder = died_run(root)
    (blob,) = (path for path in root.blobs.rglob("*") if path.is_file())
    content = blob.read_bytes()
    blob.write_bytes(b"noise")
    assert copied(folder, place).state == "current"
    blob.write_bytes(content)
    copied(folder, place)
    is_copied(folder, place, tmp_path)


# -- what the copy has and the run has not ---------------------------------------------------------


def test_damage_takes_nothing_from_a_copy(root, folder_place, tmp_path):
    """A run that was damaged and repaired takes its copy's place; the whole files stay beside it."""
    folder = died_run(root)
    copied(folder, folder_place)
    whole = files(folder)["w0000-e0001.jzst"]
    damage(folder)
    repair_run(folder, force=True)
    copied(folder, folder_place)
    found = folder_place.run(folder, tmp_path)
    assert events(found) == events(folder)
    assert files(found)["w0000-e0001.jzst.before-1"] == whole


def test_damage_takes_nothing_from_a_bucket(root, tmp_path, monkeypatch):
    """The parts of the whole file stay in the bucket, and the manifest names them."""
    place = Bucket(tmp_path, monkeypatch)
    folder = died_run(root)
    copied(folder, place)
    whole = files(folder)["w0000-e0001.jzst"]
    damage(folder)
    repair_run(folder, force=True)
    copied(folder, place)
    manifest = json.loads(place.store.objects[f"path/journal-{ident(folder)}/copy.json"].content)
    kept = [place.store.objects[f"path/{name}"].content for name in manifest["kept"]]
    assert b"".join(kept) == whole
    assert events(place.run(folder, tmp_path)) == events(folder)


def test_notes_go_along(root, place, tmp_path):
    """The journal of a run's notes is copied and brought back, and grows there as it does here."""
    folder = died_run(root)
    notes = JournalWriter.create(tmp_path / "elsewhere" / "journal")
    (folder.path / "notes").mkdir()
    for text in ("one", "two"):
        notes.append(EventType.MESSAGE, level="info", text=text)
        notes.flush()
        (file,) = (tmp_path / "elsewhere" / "journal").iterdir()
        (folder.path / "notes" / file.name).write_bytes(file.read_bytes())
        copied(folder, place)
        found = place.run(folder, tmp_path)
        assert (found.path / "notes" / file.name).read_bytes() == file.read_bytes()
    notes.close()


def test_damage_that_nobody_saw_stays_where_it_is(root, place, tmp_path):
    """A file that did not grow is not copied again, whatever became of its bytes."""
    folder = died_run(root)
    copied(folder, place)
    whole = files(folder)
    when = os.stat(folder.journal / "w0000-e0001.jzst")
    damage(folder)
    os.utime(folder.journal / "w0000-e0001.jzst", ns=(when.st_atime_ns, when.st_mtime_ns))
    copied(folder, place)
    assert files(place.run(folder, tmp_path)) == whole


def test_an_older_copy_of_the_run(root, place, tmp_path):
    """A run with fewer events than its copy leaves that alone, with exit code 3, but for a rebuild."""
    folder = died_run(root)
    older = tmp_path / "older"
    shutil.copytree(folder.path, older)
    writer = gone_on(folder)
    writer.log_point("loss", 10**7, 1.0)
    writer.close()
    whole = events(folder)
    copied(folder, place)
    shutil.rmtree(folder.path)
    shutil.copytree(older, folder.path)
    follower = follower_for(folder, load_sink(place.spec), place.spec)
    status = follower.run_once()
    follower.close()
    assert isinstance(follower.failure, JournalShorterError)
    assert follower.failure.exit_code == 3
    assert "sacred merge" in status.error
    assert events(place.run(folder, tmp_path)) == whole
    assert copied(folder, place, rebuild=True).state == "current"


def test_a_copy_brings_a_lost_run_back(root, folder_place, tmp_path):
    """The runs of a root that is gone come back with one command: sacred merge."""
    folders = [died_run(root), died_run(root)]
    truth = [events(folder) for folder in folders]
    for folder in folders:
        copied(folder, folder_place)
    shutil.rmtree(root.path)
    merge(RootOrigin(JournalRoot(folder_place.path)), root)
    assert [events(folder) for folder in root.runs()] == truth
    for folder in root.runs():
        assert verify(folder, blobs=BlobStore(root.blobs)).clean


def test_a_copy_that_was_sealed(root, folder_place, tmp_path):
    """Somebody sealed the copy: the run goes on, and the copy is what the run is."""
    folder = died_run(root)
    copied(folder, folder_place)
    seal_run(folder_place.run(folder, tmp_path))
    writer = gone_on(folder)
    writer.log_point("loss", 10**7, 1.0)
    writer.close()
    copied(folder, folder_place)
    assert events(folder_place.run(folder, tmp_path)) == events(folder)


def test_a_copy_that_somebody_changed(root, folder_place, tmp_path):
    """Events are not added to a file that is not the one that was copied: it is written anew."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    copied(folder, folder_place)
    file = folder_place.run(folder, tmp_path).journal / "w0000-e0001.jzst"
    content = file.read_bytes()
    file.write_bytes(content[:-50] + bytes(50))
    writer.log_point("loss", 10**6, 1.0)
    writer.flush()
    copied(folder, folder_place)
    is_copied(folder, folder_place, tmp_path)
    writer.close()


def test_a_child_that_begins_meanwhile(root, place, tmp_path, monkeypatch):
    """A process whose file comes while a run is read is in the copy with the event that names it."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    scan, begun = bring_module.scan, []

    def meanwhile(*args):
        if not begun:
            child = JournalWriter.join(folder.journal, journal_id=int(ident(folder), 16))
            child.log_point("child", 0, 1.0)
            child.flush()
            begun.append(child)
            writer.append(EventType.CHILD_SEEN, writer=1)
        return scan(*args)

    monkeypatch.setattr(bring_module, "scan", meanwhile)
    copied(folder, place)
    assert begun
    is_copied(folder, place, tmp_path)
    begun[0].close()
    writer.close()


# -- many roots ------------------------------------------------------------------------------------


def test_roots_of_many_machines_in_one(tmp_path, folder_place):
    """Runs of several roots stand in one folder, which is a root: each has a number of its own."""
    roots = [JournalRoot(tmp_path / name) for name in ("one", "two")]
    for one in roots:
        for _ in range(2):
            copied(died_run(one), folder_place)
    copies = JournalRoot(folder_place.path)
    assert [folder.number for folder in copies.runs()] == [1, 2, 3, 4]
    assert {ident(folder) for folder in copies.runs()} == {
        ident(folder) for one in roots for folder in one.runs()
    }
    assert copies.runs() and not [f for f in copies.every_run() if f.number is None]


def test_a_run_that_was_removed_from_the_copy(root, folder_place):
    """A run whose number a person removed is not copied again, but with --rebuild."""
    folder = died_run(root)
    copied(folder, folder_place)
    (folder_place.path / "1").unlink()
    follower = follower_for(folder, load_sink(folder_place.spec), folder_place.spec)
    follower.run_once()
    follower.close()
    assert isinstance(follower.failure, RunDeletedError)
    status = copied(folder, folder_place, rebuild=True)
    assert (status.state, status.view_id) == ("current", 2)


def test_two_replayers_at_once(root, place, tmp_path):
    """Two who copy the same run at the same time leave one whole copy."""
    folder = died_run(root)
    threads = [threading.Thread(target=copied, args=(folder, place)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    copied(folder, place)
    is_copied(folder, place, tmp_path)


def test_nobody_deletes_what_another_is_about_to_name(root, tmp_path, monkeypatch):
    """A replayer that clears up behind its list spares the parts that a faster one puts meanwhile."""
    place = Bucket(tmp_path, monkeypatch)
    folder = died_run(root)
    copied(folder, place)
    writer = gone_on(folder)
    seal_run(folder)
    raced = []

    def meanwhile(call, _key):
        if call == "delete" and not raced:
            raced.append(call)
            writer.log_point("loss", 10**8, 1.0)
            writer.flush()
            assert copied(folder, place).state == "current"

    place.store.before = meanwhile
    copied(folder, place)
    assert raced
    writer.close()
    copied(folder, place)
    is_copied(folder, place, tmp_path)


def test_a_claim_that_was_killed(root, folder_place):
    """A run of which nothing was copied yet is empty to all commands, and the next call copies it."""
    folder = died_run(root)
    sink = load_sink(folder_place.spec)
    sink.attend(folder)
    sink.open()
    assert sink.claim(RunKey(ident(folder), 1)) == 1
    assert JournalRoot(folder_place.path).run(1).holds_nothing()
    assert copied(folder, folder_place).view_id == 1


# -- killed at any moment --------------------------------------------------------------------------

_CALLS = ("replace", "rename", "fsync", "mkdir", "link", "symlink", "utime", "unlink")


def _stages(root):
    """Let a run become longer, sealed, and longer again; yield after each."""
    folder = died_run(root)
    yield folder
    with contextlib.closing(gone_on(folder)) as writer:
        writer.log_point("loss", 10**7, 1.0)
        writer.flush()
        yield folder
    seal_run(folder)
    yield folder


def test_killed_at_any_call_to_the_disk(root, folder_place, tmp_path):
    """A copy that ends at any call holds a part of the run, whole; the next call does the rest."""
    kills = 0
    for folder in _stages(root):
        begin = tmp_path / f"begin-{kills}"
        if folder_place.path.exists():
            shutil.copytree(folder_place.path, begin, symlinks=True)
        before = facts(folder_place.run(folder, tmp_path)) if begin.exists() else set()
        truth = facts(folder)
        for number in itertools.count():
            shutil.rmtree(folder_place.path, ignore_errors=True)
            if begin.exists():
                shutil.copytree(begin, folder_place.path, symlinks=True)
            shutil.rmtree(folder.views, ignore_errors=True)
            if _killed_at(folder, folder_place, number) == 0:
                break
            kills += 1
            there = folder_place.run(folder, tmp_path)
            if list(there.path.glob("journal/w*.jzst")):
                found = facts(there)
                assert before <= found <= truth
                if any(fact[0] == 0 for fact in found):
                    blobs = BlobStore(there.root.blobs)
                    assert verify(there, blobs=blobs).verdict in {"clean", "tail"}
                    assert verify(there, blobs=blobs).blob_errors == []
            elif before:
                raise AssertionError("the copy is gone")
            assert copied(folder, folder_place).state == "current"
            is_copied(folder, folder_place, tmp_path)
            assert [f.number for f in JournalRoot(folder_place.path).runs()] == [1]
        is_copied(folder, folder_place, tmp_path)
    assert kills > 40


def _killed_at(folder, place, number):
    """Copy in a child that ends without a word before its n-th call; return its exit code."""
    pid = os.fork()
    if pid == 0:
        left = number

        def counting(call):
            def counted(*args, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return call(*args, **options)

            return counted

        for name in _CALLS:
            setattr(os, name, counting(getattr(os, name)))
        halves = counting(lambda *_: None)
        copy = folder_module._copy

        def torn(file, out, size):
            begin = out.tell()
            copy(file, out, size)
            out.flush()
            os.truncate(out.fileno(), begin + size // 2)  # so far, for whoever is killed now
            halves()
            out.seek(begin)
            file.seek(-size, os.SEEK_CUR)
            copy(file, out, size)

        folder_module._copy = torn
        try:
            copied(folder, place)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("effect", ["before", "after"])
def test_killed_at_any_request_to_a_bucket(root, tmp_path, monkeypatch, effect):
    """A copy that ends before or behind any request holds what was committed, and goes on."""
    place = Bucket(tmp_path, monkeypatch)
    kills = 0
    for folder in _stages(root):
        begin = dict(place.store.objects)
        for number in itertools.count():
            place.store.objects = dict(begin)
            shutil.rmtree(folder.views, ignore_errors=True)
            if not _fails_at(place, folder, number, effect):
                break
            kills += 1
            assert copied(folder, place).state == "current"
            is_copied(folder, place, tmp_path)
            named = set()
            for key, found in place.store.objects.items():
                if key.endswith("copy.json"):
                    rows = json.loads(found.content)["files"].values()
                    named |= {f"path/{part[0]}" for row in rows for part in row[6]} | {key}
            left = {key for key in place.store.objects if "/blobs/" not in key} - named
            assert not left
        is_copied(folder, place, tmp_path)
    assert kills > 15


class _KilledError(BaseException):
    """The replayer is gone."""


def _fails_at(place, folder, number, effect):
    """Copy, and vanish at the n-th request; tell whether there were so many."""
    store, count = place.store, itertools.count()

    class Dying(MemoryStore):
        def __getattribute__(self, name):
            method = getattr(store, name)
            if name not in {"get", "put", "delete", "list"}:
                return method

            def call(*args, **options):
                now = next(count)
                if now > number or (now == number and effect == "before"):
                    raise _KilledError
                done = method(*args, **options)
                if now == number:
                    raise _KilledError
                return done

            return call

    place.store = Dying()
    try:
        copied(folder, place)
    except _KilledError:
        return True
    finally:
        place.store = store
    return False


def test_an_outage(root, place, tmp_path, monkeypatch):
    """A place that can not be written for a while is behind, with a sentence; then it has all."""
    folder = died_run(root)
    sink = load_sink(place.spec)
    fails = [3]
    opens = sink._place.open

    def refuse():
        if fails[0]:
            fails[0] -= 1
            raise TransientSinkError("down for a while")
        opens()

    monkeypatch.setattr(sink._place, "open", refuse)
    follower = follower_for(folder, sink, place.spec)
    assert follower.run_once().error == "down for a while"
    assert follower.run_once(patience=100.0).state == "current"
    follower.close()
    is_copied(folder, place, tmp_path)


# -- addresses -------------------------------------------------------------------------------------


def test_a_folder_of_something_else(root, tmp_path):
    """A folder that holds other things is no place of copies: one sentence, nothing is touched."""
    folder = died_run(root)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    spec = SinkSpec.parse(f"journal:{tmp_path / 'other'}")
    follower = follower_for(folder, load_sink(spec), spec)
    status = follower.run_once()
    follower.close()
    assert status.state == "failed"
    assert "holds other things ('mine.txt')" in status.error
    assert "Choose another folder, --to journal:DIR" in status.error
    assert os.listdir(tmp_path / "other") == ["mine.txt"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("journal:", "needs a place"),
        ("journal", "needs a place"),
        ("journal:ftp://host/x", "not copied to ftp"),
        ("journal:s3://x", "3 to 63"),
        ("journal:s3://bucket?regoin=x", "did you mean region"),
        ("journal:/dev/null", "no folder"),
    ],
)
def test_addresses_that_are_none(text, sentence):
    """What can be no place of copies is refused in a sentence that says what to write."""
    with pytest.raises(SinkSpecError, match=sentence):
        SinkSpec.parse(text)


def test_a_root_is_no_place_of_copies(root, tmp_path):
    """Neither the root itself, nor one that programs write, nor a folder in one."""
    died_run(root)
    for path in (root.path, root.path / "1", root.path / "blobs" / "x"):
        with pytest.raises(SinkSpecError, match="a folder of their own"):
            SinkSpec.parse(f"journal:{path}")


def test_a_copy_of_a_copy(root, folder_place, tmp_path):
    """A folder of copies is a root: it can be copied on, but not onto itself."""
    folder = died_run(root)
    copied(folder, folder_place)
    again = JournalRoot(folder_place.path).run(1)
    follower = follower_for(again, load_sink(folder_place.spec), folder_place.spec)
    assert "is the root of these runs" in follower.run_once().error
    follower.close()
    other = Folder.__new__(Folder)
    other.path = tmp_path / "second"
    other.spec = SinkSpec.parse(f"journal:{other.path}")
    assert copied(again, other).state == "current"
    is_copied(folder, other, tmp_path)


# -- the contract, as far as a copy has its shape --------------------------------------------------


class TestJournalSink(SinkContract):
    """The contract: a copy has no changes, and so what tells of single batches is not for it."""

    #: A copy is a run's own folder: one that is gone was deleted, and is said to be.
    test_an_id_that_is_given_away = None

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"journal:{tmp_path / 'tree'}")

    def document(self, spec, view_id):
        path = Path(spec.url) / str(view_id)
        if not (path / "journal").is_dir():
            return None
        if not any((path / "journal").glob("w*-e*.j*")):  # what is on its way has another name
            return {"metrics": None}
        metrics, output = {}, b""
        for event in JournalReader(path / "journal").read():
            if event.type == EventType.METRIC_POINT:
                fields = event.fields
                metrics.setdefault(fields["metric"], []).append([fields["step"], fields["value"]])
            elif event.type == EventType.METRIC_TABLE:
                table = event.fields["table"]
                for name, columns in _columns(table):
                    metrics.setdefault(name, []).extend(columns)
            elif event.type == EventType.OUTPUT:
                data = event.fields["data"]
                blobs = BlobStore(Path(spec.url) / "blobs")
                output += data if isinstance(data, bytes) else unpack(blobs.read(data.digest))
        return {"metrics": metrics, "output": output.decode("utf-8", "replace")}

    def place_foreign_run(self, spec, view_id):
        path = Path(spec.url) / str(view_id)
        (path / "journal").mkdir(parents=True)
        JournalWriter.create(path / "journal", journal_id=99).close()

    def copy_of_place(self, spec):
        base, kept = Path(spec.url), Path(f"{spec.url} of the backup")
        shutil.copytree(base, kept, symlinks=True)

        def put_back():
            shutil.rmtree(base)
            shutil.copytree(kept, base, symlinks=True)

        return put_back

    def delete_run(self, spec, view_id):
        """As `sacred rm` does with the copy."""
        link = Path(spec.url) / str(view_id)
        folder = link.resolve()
        link.unlink()
        shutil.rmtree(folder)

    # Batches that are made by hand: a copy is not given changes.
    test_a_batch_that_comes_twice = None
    test_position_and_projector_are_kept = None
    test_two_replayers = None
    test_two_replayers_of_a_view_that_goes_on = None
    test_a_claim_is_taken_back = None
    # These count the calls of a view that is given changes; kills of a copy are above.
    test_a_killed_replayer = None
    test_a_killed_replayer_of_two = None
    # Its digest is not that of its content: no copy takes that.
    test_a_file_that_comes_twice = None

    def test_a_blob_that_comes_twice(self, opened, tmp_path):
        """Storing a blob again gives the same reference; one that is not its digest's is refused."""
        blob = tmp_path / "blob"
        blob.write_bytes(b"content")
        digest = hashlib.sha256(b"content").hexdigest()
        run = RunKey("00000000000000b0", 1)
        entry = FileEntry("source", "x.py", "/base/x.py", digest, None, 7)
        sink = opened()
        sink.claim(run)
        assert [sink.put_file(run, entry, blob) for _ in range(2)] == [digest] * 2
        with pytest.raises(TransientSinkError, match="not what its name says"):
            sink.put_file(run, entry._replace(digest="d" * 64), blob)

    def test_a_claim_that_is_taken_back(self, opened, spec):
        """A claim can be released as long as nothing was copied; its number is not given again."""
        run = RunKey("00000000000000ad", 3)
        sink = opened()
        assert sink.claim(run) == 3
        assert sink.position(run).claimed
        assert sink.position(run).position == Position()
        assert sink.release(run)
        assert sink.position(run) is None
        assert self.document(spec, 3) is None


def _columns(table):
    rows = {}
    for metric, step, value in zip(table.names(), table.steps, table.values, strict=True):
        rows.setdefault(metric, []).append([step, value])
    return rows.items()


# -- the way back, again and again -----------------------------------------------------------------


def test_only_what_changed_is_fetched_again(root, tmp_path, monkeypatch):
    """Of a run that is as it was its manifest alone; what is missing or damaged here comes again."""
    bucket = Bucket(tmp_path, monkeypatch)
    folders = [died_run(root), died_run(root)]
    for folder in folders:
        assert copied(folder, bucket).error is None
    back = JournalRoot(tmp_path / "back")
    died_run(back)  # so that numbers differ
    got = []
    bucket.store.before = lambda name, key: got.append(key) if name == "get" else None

    def merged():
        got.clear()
        with fetch.fetched("s3://bucket/path", back) as origin:
            done = merge(origin, back)
        fetched = [key for key in got if not key.endswith("copy.json")]
        return [(run.there, run.number, run.state) for run in done], fetched

    named = {1: 2, 2: 3}
    ids = {ident(folder): folder.number for folder in folders}
    order = [ids[name] for name in sorted(ids)]
    now, fetched = merged()
    assert {(one, "new") for one in order} == {(there, state) for there, _, state in now}
    assert len(fetched) > 4
    numbers = {there: number for there, number, _ in now}
    assert set(named.values()) == set(numbers.values())
    for _ in range(2):
        now, fetched = merged()
        assert [(one, numbers[one], "already") for one in order] == now
        assert [] == fetched
        assert len(folders) == len(got)
    # A stored file that is lost here, another that is damaged.
    blobs = sorted(path for path in back.blobs.rglob("*") if path.is_file())
    lost, damaged, *_ = [path for path in blobs if path.name in _named_by(folders)]
    content = damaged.read_bytes()
    lost.unlink()
    damaged.write_bytes(content[:-1] + b"?")
    _, fetched = merged()
    assert {lost.name, damaged.name} == {key.rpartition("/")[2] for key in fetched}
    assert lost.exists()
    # A journal that is damaged here is mended, and one that went on comes.
    mine = back.run(numbers[1])
    file = sorted(mine.journal.glob("*.jzst"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + bytes(9))
    writer = gone_on(folders[1])
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    assert copied(folders[1], bucket).error is None
    now, fetched = merged()
    assert {(1, "mended"), (2, "longer")} == {(there, state) for there, _, state in now}
    assert whole == file.read_bytes()
    # What is remembered may be thrown away, or be nonsense.
    for content in (b"[]", b'{"a": 1}', b"\xff"):
        (memory,) = (back.path / ".cache" / "merged").iterdir()
        memory.write_bytes(content)
        now, fetched = merged()
        assert {"already"} == {state for _, _, state in now}
        assert len(fetched) > 2


def _named_by(folders):
    names = set()
    for folder in folders:
        names |= {path.name for path in folder.root.blobs.rglob("*") if path.is_file()}
    return names


# -- real stores -----------------------------------------------------------------------------------


class Server:
    """A bucket of a real server."""

    def __init__(self, address):
        self.address = address
        self.spec = SinkSpec.parse(f"journal:{address}")

    def run(self, folder, tmp_path):
        """The copy of a run, brought back into a root of its own."""
        back = JournalRoot(tmp_path / f"back-{uuid.uuid4().hex}")
        with fetch.fetched(self.address) as origin:
            merge(origin, back)
        (found,) = (one for one in back.runs() if ident(one) == ident(folder))
        return found


@pytest.fixture(params=["s3", "simple", "gcs"])
def server(request, monkeypatch):
    """A bucket of S3, of a store that ignores conditions, and of Google Cloud Storage."""
    if request.param == "gcs":
        request.getfixturevalue("gcs_server")
        return Server(f"gs://{request.getfixturevalue('gcs_place')}/path")
    found = request.getfixturevalue("s3_server" if request.param == "s3" else "simple_s3_server")
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    return Server(f"s3://test-{uuid.uuid4().hex[:12]}/path")


@pytest.mark.server
def test_a_real_bucket(root, server, tmp_path):
    """A run is copied as it goes on, ends and is sealed, and comes back the same."""
    for folder in _stages(root):
        assert copied(folder, server).error is None
        is_copied(folder, server, tmp_path)
        assert copied(folder, server).state == "current"


@pytest.mark.server
def test_two_replayers_of_a_real_bucket(root, server, tmp_path, request):
    """Two at the same time leave one whole copy, where the store knows conditions."""
    if "simple" in request.node.callspec.id:
        pytest.skip("not promised on a store without conditions")
    for folder in _stages(root):
        threads = [threading.Thread(target=copied, args=(folder, server)) for _ in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        copied(folder, server)
        is_copied(folder, server, tmp_path)


@pytest.mark.server
def test_a_bucket_that_is_not_there(server):
    """A bucket from which is merged is not made; the sentence names it."""
    from sacred.replayers.errors import TerminalSinkError

    bucket = f"test-{uuid.uuid4().hex[:12]}"
    scheme = server.address.partition("://")[0]
    with (
        pytest.raises(TerminalSinkError, match=f"there is no bucket {bucket}"),
        fetch.fetched(f"{scheme}://{bucket}/path"),
    ):
        pass
