"""Bundles: a run in one file, and its way back into a root."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sacred.journal import (
    BlobStore,
    EventType,
    JournalReader,
    JournalRoot,
    JournalWriter,
    bundle_writer,
    import_bundle,
    verify,
    write_bundle,
)
from sacred.journal import bundle as bundles
from sacred.journal.bundle import BundleReader, Manifest, Member, end, header, padding
from sacred.journal.codec import pack
from sacred.journal.errors import (
    BlobMissingError,
    BundleError,
    JournalError,
    NewerFormatError,
    NotABundleError,
    NotAJournalError,
    OutputPlaceError,
)
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.seal import seal_run
from sacred.journal.spool import encode_record

_ELSEWHERE = """
import os, sys
from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
root = JournalRoot(sys.argv[1])
folder = root.claim()
store = BlobStore(root.blobs)
writer = JournalWriter.create(folder.journal, blobs=store)
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={"name": "x"}, host={})
for step in range(900):
    writer.log_point("loss", step, step / 7)
stored = store.put_bytes(b"weights" * 100)
writer.append(EventType.ARTIFACT_ADDED, name="weights", filename="w", blob=stored.blob.to_wire(),
              md5=stored.md5)
if len(sys.argv) > 2:
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
else:
    writer.flush()
os._exit(0)
"""


@pytest.fixture
def root(tmp_path):
    """A root of journals."""
    return JournalRoot(tmp_path / "here")


@pytest.fixture
def there(tmp_path):
    """A root that is not there yet."""
    return JournalRoot(tmp_path / "there")


def by_another_process(root, *ends):
    """Have a process that is gone write a run, with an artifact; it died, or ended."""
    command = [sys.executable, "-c", _ELSEWHERE, str(root.path), *ends]
    subprocess.run(command, check=True, timeout=60)
    return root.runs()[-1]


def messages(root, count=3, **options):
    """Write a run of messages; return its folder and its writer, still open."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, blobs=BlobStore(root.blobs), **options)
    for number in range(count):
        writer.append(EventType.MESSAGE, level="info", text=f"event {number}")
    writer.flush()
    return folder, writer


def files(folder):
    """Return the content of every file below a folder, by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def events(folder):
    """Return every event of a run."""
    return [
        (e.writer, e.seq, e.time, e.type, repr(e.fields))
        for e in JournalReader(folder.journal).read()
    ]


# -- there and back ----------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["ended", "sealed", "died", "damaged"])
def test_there_and_back(root, there, tmp_path, fate):
    """Whatever became of a run, its files come back byte for byte, and so do its blobs."""
    folder = by_another_process(root, *(["ends"] if fate != "died" else []))
    if fate == "sealed":
        assert ["sealed"] == [outcome.state for outcome in seal_run(folder)]
    if fate == "died":
        (folder.journal / "w0000.spool").write_bytes(encode_record(1, 1, b"last words"))
    if fate == "damaged":
        (file,) = folder.journal.glob("*.jzst")
        data = bytearray(file.read_bytes())
        # One bit would not do: nothing depends on some, and where those are differs from run to run.
        data[len(data) // 2 : len(data) // 2 + 8] = bytes(8)
        file.write_bytes(data)
    done = write_bundle(folder, tmp_path / "run.tar")
    assert (fate == "damaged") == bool(done.problems)
    found = import_bundle(tmp_path / "run.tar", there)
    assert (True, folder.number) == (found.new, found.folder.number)
    assert files(folder.journal) == files(found.folder.journal)
    assert files(root.blobs) == files(there.blobs)
    assert events(folder) == events(found.folder)
    before, after = (verify(at, blobs=BlobStore(at.root.blobs)) for at in (folder, found.folder))
    assert before == after
    assert [] == [name for name in os.listdir(there.path) if name.startswith(".import-")]


def test_a_bundle_is_a_tar(root, tmp_path):
    """Any tar lists and unpacks it, to files that are named by their digests."""
    folder = by_another_process(root, "ends")
    write_bundle(folder, tmp_path / "run.tar")
    with tarfile.open(tmp_path / "run.tar") as archive:
        content = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
    manifest = json.loads(content.pop("sacred-bundle.json"))
    assert {m["name"]: (m["size"], m["sha256"]) for m in manifest["members"]} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()
    }
    assert {f"journal/{name}": data for name, data in files(folder.journal).items()} | {
        f"blobs/{name}": data for name, data in files(root.blobs).items()
    } == content
    listed = subprocess.run(
        ["tar", "-tf", tmp_path / "run.tar"], capture_output=True, check=True, timeout=60
    )
    assert ["sacred-bundle.json", *content] == listed.stdout.decode().split()


def test_the_same_run_gives_the_same_bytes(root, there, tmp_path):
    """Also at another time, with other dates of its files, and from the root it was imported into."""
    folder = by_another_process(root, "ends")
    write_bundle(folder, tmp_path / "first.tar")
    (file,) = folder.journal.glob("*.jzst")
    os.utime(file, (1, 1))
    os.chmod(file, 0o600)
    write_bundle(folder, tmp_path / "second.tar")
    write_bundle(import_bundle(tmp_path / "first.tar", there).folder, tmp_path / "third.tar")
    contents = {(tmp_path / f"{name}.tar").read_bytes() for name in ("first", "second", "third")}
    assert 1 == len(contents)


def test_a_bundle_of_known_bytes(tmp_path):
    """The format does not change: header, manifest, padding and end are what they always were."""
    content = b"not a journal"
    member = Member("journal/w0000-e0001.jzst", len(content), hashlib.sha256(content).hexdigest())
    path = tmp_path / "x.tar"
    path.write_bytes(assembled(Manifest(7, 57, (member,)), [content]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert "64ebb011462feb13716770a68b720a44ec36edbf8eb905bb59c8cabd72827e35" == digest
    BundleReader(path).prove()


def test_a_large_member(tmp_path):
    """A size that no ustar header holds stands in one of its own, which other programs read."""
    size = 9 << 30
    head = header("journal/w0000-e0001.jzst", size)
    path = tmp_path / "x.tar"
    with open(path, "wb") as file:
        file.write(head)
        file.seek(len(head) + size)
        file.write(header("second", 0) + end(0))
    with tarfile.open(path) as archive:
        assert [size, 0] == [member.size for member in archive.getmembers()]


def test_what_goes_along(root, there, tmp_path):
    """Damaged originals, notes and the spool go along; views, hidden and other files do not."""
    folder = by_another_process(root, "ends")
    kept = {
        "journal/w0000-e0001.jzst.damaged-1": b"as it was",
        "journal/w0003.spool": encode_record(2, 5, b"x"),
    }
    left = {"journal/.xx-w0000-e0002.jzst": b"", "journal/README": b"", "views/a.json": b"{}"}
    for name, data in (kept | left).items():
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_bytes(data)
    writer = JournalWriter.create(folder.path / "notes", blobs=BlobStore(root.blobs))
    stored = BlobStore(root.blobs).put_bytes(b"a picture in a note")
    writer.append(EventType.IMAGE_LOGGED, name="i", step=0, blob=stored.blob.to_wire())
    writer.close()
    assert [] == write_bundle(folder, tmp_path / "run.tar").problems
    found = import_bundle(tmp_path / "run.tar", there)
    wanted = {name: data for name, data in files(folder.path).items() if name not in left}
    assert wanted == files(found.folder.path)
    assert set(kept) < set(wanted)
    assert BlobStore(there.blobs).read(stored.blob.digest) == b"a picture in a note"


def test_every_blob_that_a_journal_names(root, there, tmp_path):
    """Values that were too large, entries of folders, values within values; not what was redacted."""
    store = BlobStore(root.blobs)
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, blobs=store)
    large = store.put_bytes(b"\xa5large", "msgpack").blob
    entry, gone, point, unknown = (store.put_bytes(data).blob for data in (b"e", b"g", b"p", b"u"))
    writer.append(EventType.INFO_CHANGED, set=[[["a", "b"], {"deep": [large]}]], deleted=[])
    writer.append(
        EventType.DIRECTORY_ADDED,
        name="d",
        role="artifact",
        filename="/d",
        entries=[["a/b", entry.to_wire(), 0o644]],
    )
    writer.append(EventType.ARTIFACT_ADDED, name="g", filename="g", blob=gone.to_wire())
    writer.append(EventType.REDACTED, path=["artifacts", 0], digest=gone.digest)
    writer.append(EventType.MESSAGE, level="info", text="x", source=unknown)
    for step in range(40):
        writer.log_point("m", step, step if step % 7 else point)
    writer.close()
    os.remove(store.path_of(gone.digest))
    done = write_bundle(folder, tmp_path / "run.tar")
    digests = {member.digest for member in done.manifest.members if member.digest}
    assert {large.digest, entry.digest, unknown.digest, point.digest} == digests
    assert ((), []) == (done.manifest.missing, done.problems)


def test_a_list_that_is_a_blob(root, there, tmp_path):
    """The files of a folder whose list was too large for its event go along, wherever they stand."""
    folder = root.claim()
    store = BlobStore(root.blobs)
    inner = [store.put_bytes(b"file %d" % number).blob for number in range(3)]
    entries = [
        [str(n), {"pad": "x" * 40_000} if n % 40 else inner[n // 40].to_wire()] for n in range(120)
    ]
    whole = store.put_bytes(pack(entries), "msgpack").blob
    writer = JournalWriter.create(folder.journal)
    about = {"name": "d", "role": "artifact", "filename": "/d"}
    writer.append(EventType.DIRECTORY_ADDED, entries=whole, **about)
    writer.close()
    done = write_bundle(folder, tmp_path / "run.tar")
    digests = {member.digest for member in done.manifest.members if member.digest}
    assert {whole.digest, *(blob.digest for blob in inner)} == digests
    assert 4 == import_bundle(tmp_path / "run.tar", there).blobs


def test_a_child_whose_file_is_gone(root, tmp_path):
    """It is a loss that is told, as by ``verify``."""
    folder, writer = messages(root)
    writer.append(EventType.CHILD_SEEN, writer=3)
    writer.close()
    (problem,) = write_bundle(folder, tmp_path / "run.tar").problems
    assert "w0003-e0001.jzst: the events from 0 on are lost" in problem


def test_an_end_that_is_not_whole(root, tmp_path):
    """Of a writer that lives it is "not yet", of one that died what a kill leaves, or damage."""
    lives, _writer = messages(root)
    died = by_another_process(root)
    cases = ((lives, b"no frame", 0), (died, b"\x28\xb5\x2f\xfd\x24", 0), (died, b"no frame", 1))
    for number, (folder, rest, problems) in enumerate(cases):
        with open(folder.journal / "w0000-e0001.jzst", "ab") as file:
            file.write(rest)
        assert problems == len(write_bundle(folder, tmp_path / f"{number}.tar").problems)


def test_a_child_that_comes_meanwhile(root, tmp_path, monkeypatch):
    """A bundle whose events name a file that came after its list was made is begun anew."""
    folder, writer = messages(root)
    measured = bundle_writer._measured

    def child_comes(name, path):
        (folder.journal / "w0001-e0001.jzst").touch()
        return measured(name, path)

    monkeypatch.setattr(bundle_writer, "_measured", child_comes)
    done = write_bundle(folder, tmp_path / "run.tar")
    names = [member.name for member in done.manifest.members]
    assert ["journal/w0000-e0001.jzst", "journal/w0001-e0001.jzst"] == names
    writer.close()


def test_missing_and_damaged_blobs(root, there, tmp_path):
    """They are told, named in the manifest, and still missing in the root that gets the run."""
    folder = by_another_process(root, "ends")
    (blob,) = [path for path in root.blobs.rglob("*") if path.is_file()]
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    done = write_bundle(folder, tmp_path / "damaged.tar")
    assert (blob.name,) == done.manifest.missing
    assert [f"the content of blob {blob.name} is not what its name says"] == done.problems
    blob.unlink()
    done = write_bundle(folder, tmp_path / "missing.tar")
    assert (blob.name,) == done.manifest.missing
    assert len(done.problems) == 1
    assert "is not in" in done.problems[0]
    found = import_bundle(tmp_path / "missing.tar", there)
    assert (blob.name,) == found.manifest.missing
    with pytest.raises(BlobMissingError):
        BlobStore(there.blobs).read(blob.name)


def test_a_run_that_goes_on(root, there, tmp_path):
    """The bundle of a run that is written is a prefix of it, and a clean one."""
    folder, writer = messages(root, 100)
    stop = threading.Event()

    def log():
        step = 0
        while not stop.is_set() and step < 20_000:
            writer.log_point("loss", step, step)
            step += 1

    thread = threading.Thread(target=log)
    thread.start()
    try:
        for turn in range(5):
            done = write_bundle(folder, tmp_path / f"{turn}.tar")
            assert [] == done.problems
            with tarfile.open(tmp_path / f"{turn}.tar") as archive:
                archive.extractall(tmp_path / f"unpacked-{turn}", filter="fully_trusted")
    finally:
        stop.set()
        thread.join(60)
    writer.close()
    whole = files(folder.journal)["w0000-e0001.jzst"]
    sizes = []
    for turn in range(5):
        part = files(tmp_path / f"unpacked-{turn}" / "journal")["w0000-e0001.jzst"]
        assert whole.startswith(part)
        sizes.append(len(part))
    assert sorted(sizes) == sizes
    assert 100 <= import_bundle(tmp_path / "0.tar", there).events


def test_a_file_that_is_sealed_meanwhile(root, tmp_path, monkeypatch):
    """A file that became another one between two looks at it has the bundle begun anew."""
    folder = by_another_process(root, "ends")
    write, begun = bundle_writer._write, []

    def seal_first(*args):
        if not begun:
            seal_run(folder)
        begun.append(args)
        return write(*args)

    monkeypatch.setattr(bundle_writer, "_write", seal_first)
    write_bundle(folder, tmp_path / "run.tar")
    assert 2 == len(begun)
    BundleReader(tmp_path / "run.tar").prove()
    (file,) = folder.journal.glob("*.jzst")

    def change_a_byte(*args):
        if len(begun) == 2:
            data = file.read_bytes()
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        begun.append(args)
        return write(*args)

    monkeypatch.setattr(bundle_writer, "_write", change_a_byte)
    write_bundle(folder, tmp_path / "run.tar", overwrite=True)
    assert 4 == len(begun)
    BundleReader(tmp_path / "run.tar").prove()
    monkeypatch.setattr(bundle_writer, "_write", lambda *_: (_ for _ in ()).throw(Changed()))
    with pytest.raises(BundleError, match="change while they are read: try again"):
        write_bundle(folder, tmp_path / "never.tar")
    assert ["run.tar"] == [path.name for path in tmp_path.glob("*.tar")]


Changed = bundle_writer._ChangedError


# -- where it goes -----------------------------------------------------------------------------


def test_numbers(root, there, tmp_path):
    """A run keeps its number if that is free, also below the highest; else it gets the next one."""
    for number in (1, 2):
        messages(root)[1].close()
        write_bundle(root.run(number), tmp_path / f"{number}.tar")
    there.claim(5)
    (there.path / "1").mkdir()  # claimed by a process that is not further yet
    assert 2 == import_bundle(tmp_path / "2.tar", there).folder.number
    assert 6 == import_bundle(tmp_path / "1.tar", there).folder.number
    assert 7 == there.claim().number
    (there.path / ".trash" / "2").mkdir(parents=True)
    shutil.rmtree(there.path / "2")
    assert 8 == import_bundle(tmp_path / "2.tar", there).folder.number


def test_a_run_outside_of_a_root(tmp_path, there):
    """A journal that lies anywhere gets the next number."""
    writer = JournalWriter.create(tmp_path / "somewhere" / "journal")
    writer.close()
    from sacred.journal import RunFolder

    write_bundle(RunFolder.at(tmp_path / "somewhere"), tmp_path / "run.tar")
    there.claim()
    assert 2 == import_bundle(tmp_path / "run.tar", there).folder.number


def test_a_number_between_claiming_and_making(root, there, tmp_path, monkeypatch):
    """A run and an import that want one number at the same moment get one each."""
    messages(root)[1].close()
    write_bundle(root.run(1), tmp_path / "1.tar")
    there.create()
    mkdir, taken = Path.mkdir, []

    def import_in_between(self, *args, **options):
        if self.name == "journal" and self.parent == there.path / "1" and not taken:
            monkeypatch.setattr(os.path, "lexists", lambda _: False)
            taken.append(import_bundle(tmp_path / "1.tar", there).folder.number)
            monkeypatch.undo()
        return mkdir(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", import_in_between)
    claimed = there.claim()
    assert ([1], 2) == (taken, claimed.number)
    assert 3 == verify(there.run(1)).events


def test_the_same_run_again(root, there, tmp_path):
    """A run that is there stays as it is, also if it is sealed by now; lost blobs come back."""
    folder = by_another_process(root, "ends")
    write_bundle(folder, tmp_path / "run.tar")
    seal_run(folder)
    before = files(root.path)
    found = import_bundle(tmp_path / "run.tar", root)
    assert (False, 1, 0) == (found.new, found.folder.number, found.blobs)
    blob = next(name for name in before if name.startswith("blobs/"))
    for damage in (os.remove, lambda path: Path(path).write_bytes(b"x")):
        damage(root.path / blob)
        assert 1 == import_bundle(tmp_path / "run.tar", root).blobs
    after = files(root.path)
    after.pop(".import.lock")
    assert before == after


def test_the_same_run_with_other_events(root, there, tmp_path):
    """A root that has fewer events than the bundle, or other ones, is left as it is."""
    folder, writer = messages(root)
    write_bundle(folder, tmp_path / "early.tar")
    shutil.copytree(folder.path, tmp_path / "fork")
    writer.append(EventType.MESSAGE, level="info", text="more")
    writer.close()
    write_bundle(folder, tmp_path / "late.tar")
    import_bundle(tmp_path / "early.tar", there)
    before = files(there.path)
    with pytest.raises(BundleError, match="with fewer events: to have those of the bundle, move"):
        import_bundle(tmp_path / "late.tar", there)
    assert before == files(there.path)
    shutil.rmtree(there.path / "1")
    late = import_bundle(tmp_path / "late.tar", there)
    assert (True, 2) == (late.new, late.folder.number)  # the number of the one before is used
    assert not import_bundle(tmp_path / "early.tar", there).new  # a longer one has it all
    other = tmp_path / "fork" / "journal" / "w0000-e0001.jzst"
    frame = (folder.journal / "w0000-e0001.jzst").read_bytes()[len(other.read_bytes()) :]
    assert frame
    shutil.rmtree(late.folder.path)
    _, elsewhere = messages(there, 0, journal_id=JournalReader(folder.journal).journal_id)
    elsewhere.append(EventType.MESSAGE, level="info", text="something else")
    elsewhere.append(EventType.MESSAGE, level="info", text="and more")
    elsewhere.append(EventType.MESSAGE, level="info", text="and more")
    elsewhere.append(EventType.MESSAGE, level="info", text="and more")
    elsewhere.close()
    with pytest.raises(BundleError, match="with other events: look at both"):
        import_bundle(tmp_path / "late.tar", there)


def test_an_imported_run_looks_as_old_as_it_is(root, there, tmp_path):
    """A file's date is no sign of life: one of another machine that died is not taken for running."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.MESSAGE, time_ns=10**18, level="info", text="long ago")
    writer.close()
    write_bundle(folder, tmp_path / "run.tar")
    found = import_bundle(tmp_path / "run.tar", there)
    assert Liveness.RUNNING is run_liveness(found.folder)  # by this process, which lives
    newest = max(e.time for e in JournalReader(folder.journal).read())
    assert newest == (found.folder.journal / "w0000-e0001.jzst").stat().st_mtime_ns


def test_two_imports_at_a_time(root, there, tmp_path):
    """A run comes once, however many bring it at the same time."""
    write_bundle(by_another_process(root, "ends"), tmp_path / "run.tar")
    program = (
        "import sys; from sacred.journal import *\n"
        "print(import_bundle(sys.argv[1], JournalRoot(sys.argv[2])).new)"
    )
    command = [sys.executable, "-c", program, tmp_path / "run.tar", there.path]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[0].strip() for process in started]
    assert ["False", "False", "False", "True"] == sorted(said)
    assert [1] == there.numbers()


_KILLED = """
import os, signal, sys
from sacred.journal import JournalRoot, import_bundle
import fcntl, shutil, sacred.journal.bundle_import, sacred.journal.reader
KINDS = {"open", "os.mkdir", "os.rename", "os.utime", "os.remove", "os.rmdir", "fcntl.flock"}
for number in range(1, 300):
    child = os.fork()
    if not child:
        left = [number]
        def step(name, args):
            if name in KINDS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(step)
        import_bundle(sys.argv[1], JournalRoot(f"{sys.argv[2]}/{number}"))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number)
"""


def test_killed_at_every_step(root, tmp_path):
    """An import that is killed anywhere leaves no run or a whole one, and the next one mends it all."""
    folder = by_another_process(root, "ends")
    (folder.journal / "w0000.spool").write_bytes(encode_record(1, 1, b"words"))
    write_bundle(folder, tmp_path / "run.tar")
    places = tmp_path / "killed"
    places.mkdir()
    command = [sys.executable, "-c", _KILLED, tmp_path / "run.tar", places]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True)
    last, wanted, came = int(done.stdout), files(folder.journal), []
    assert 30 < last < 299
    for number in range(1, last + 1):
        there = JournalRoot(places / str(number))
        numbers = there.numbers() if there.path.exists() else []
        assert numbers in ([], [1])
        if numbers:
            assert wanted == files(there.run(1).journal)
            assert verify(there.run(1), blobs=BlobStore(there.blobs)).blob_errors == []
        came.append(bool(numbers))
        found = import_bundle(tmp_path / "run.tar", there)
        assert (bool(numbers), 1) == (not found.new, found.folder.number)
        assert [] == [name for name in os.listdir(there.path) if name.startswith(".import-")]
    assert sorted(came) == came  # once it is there, it stays
    assert (False, True, True) == (came[0], came[-2], came[-1])


def test_a_disk_that_refuses(root, there, tmp_path, monkeypatch):
    """An error half way is the system's own, and leaves nothing."""
    write_bundle(by_another_process(root, "ends"), tmp_path / "run.tar")
    there.create()
    before = files(there.path)
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        import_bundle(tmp_path / "run.tar", there)
    monkeypatch.undo()
    after = files(there.path)
    after.pop(".import.lock")
    assert before == after


# -- what is no bundle -------------------------------------------------------------------------


def assembled(manifest, contents):
    """Return a bundle, whatever it holds."""
    data = manifest if isinstance(manifest, bytes) else manifest.to_bytes()
    found = header("sacred-bundle.json", len(data)) + data + padding(len(data))
    members = () if isinstance(manifest, bytes) else manifest.members
    for member, content in zip(members, contents, strict=True):
        found += header(member.name, member.size) + content + padding(len(content))
    return found + end(len(found))


def listed(*names, content=b"x", **changes):
    """Return a bundle that is right but for the names in it, or what else is changed."""
    sha = hashlib.sha256(content).hexdigest()
    members = tuple(Member(name, len(content), sha) for name in names)
    manifest = Manifest(7, 1, members)._replace(**changes)
    return assembled(manifest, [content] * len(manifest.members))


def refused(data, there, tmp_path, kind=BundleError):
    """Import some bytes, which is an error that leaves nothing; return the sentence."""
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    before = files(tmp_path)
    with pytest.raises(kind) as error:
        import_bundle(path, there)
    after = files(tmp_path)
    assert before == after
    assert not there.path.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


J = "journal/w0000-e0001.jzst"
SHA = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "names",
    [
        ("../evil",),
        ("/etc/passwd",),
        (J, "journal/../../evil"),
        (J, "journal/w0001-e0001.jzst/../x"),
        (J, "journal/w0001-e0001.jzst\n"),
        (J, "journal/w00001-e0001.jzst"),  # w0001 by another name
        (J, "journal/w٠٠٠١-e0001.jzst"),  # digits of another script
        (J, "journal/w٠٠٠١.spool"),
        (J, "journal/.hidden"),
        (J, "journal/w0001-e0001.jzst.damaged-0"),
        (J, J),
        ("journal/w0001-e0001.jzst", J),
        (J, "blobs/aa/../../../evil"),
        (J, f"blobs/00/{SHA}"),
        (J, f"blobs/{SHA[:2]}/{SHA.upper()}"),
        (J, "views/a.json"),
        (J, "notes/../x"),
        ("journal/w0000.spool",),
        (f"blobs/{SHA[:2]}/{SHA}",),
        (),
    ],
    ids=repr,
)
def test_names(names, there, tmp_path):
    """Only the names that a run's files have, each once, in order; nothing outside is touched."""
    if all(name.isascii() for name in names):
        data = listed(*names)
    else:  # in a manifest it can be, in a header not
        manifest = Manifest(7, 1, tuple(Member(name, 1, SHA) for name in names))
        data = assembled(manifest.to_bytes(), [])
    assert "is no whole bundle: " in refused(data, there, tmp_path)


def test_a_blob_that_is_not_its_digest(there, tmp_path):
    """A blob is what its name says: neither the list nor the content may say other."""
    other = hashlib.sha256(b"other").hexdigest()
    name = f"blobs/{other[:2]}/{other}"
    assert "whose digest is none" in refused(listed(J, name), there, tmp_path)
    lies = Manifest(7, 1, (Member(J, 1, SHA), Member(name, 1, other)))
    assert f"content of {name} is damaged" in refused(
        assembled(lies, [b"x", b"x"]), there, tmp_path
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"journal_id": 0}, "names no journal"),
        ({"journal_id": 1 << 63}, "names no journal"),
        ({"run": 0}, "names no run"),
        ({"run": True}, "names no run"),
        ({"run": "1"}, "names no run"),
        ({"run": 10**18}, "names no run"),
        ({"missing": ("../x",)}, "misses what is no blob"),
        ({"missing": (7,)}, "misses what is no blob"),
    ],
)
def test_manifests(changes, sentence, there, tmp_path):
    """What a manifest says is believed only if it can be."""
    assert sentence in refused(listed(J, **changes), there, tmp_path)


SIZES = [-1, 1 << 62, 1 << 200, True, None, "1", 1.0, []]


@pytest.mark.parametrize("size", SIZES)
def test_forged_sizes(size, there, tmp_path):
    """A size is a number that fits the file; nothing is allocated before that is known."""
    manifest = Manifest(7, 1, (Member(J, size, SHA),)).to_bytes()
    found = header("sacred-bundle.json", len(manifest)) + manifest + padding(len(manifest))
    refused(found + header(J, 1) + b"x" + padding(1) + end(0), there, tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"bundle": 1}',
        b'{"bundle": ' + b"9" * 100_000 + b"}",
        b'{"bundle": 1, "journal_id": 7, "members": [], "missing": [], "run": 1}',
        b'{"bundle": 1, "journal_id": "7", "members": [[1, 2, 3]], "missing": [], "run": 1}',
        b'{"bundle": 1, "journal_id": "7", "members": [{"name": 1}], "missing": [], "run": 1}',
        b'{"bundle": 1, "journal_id": "7", "members": {"a": 1}, "missing": 5, "run": NaN}',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_manifests_of_something_else(manifest, there, tmp_path):
    """Any JSON, or none, is refused in a sentence."""
    assert "manifest is not" in refused(assembled(manifest, []), there, tmp_path)


def test_a_manifest_is_written_in_one_way(there, tmp_path):
    """The same content in other bytes, or with more in it, is another file."""
    data = listed(J)
    manifest = Manifest(7, 1, (Member(J, 1, SHA),)).to_bytes()
    rest = data[512 + len(manifest) + len(padding(len(manifest))) :]
    for other in (
        json.dumps(json.loads(manifest)).encode(),
        manifest.replace(b'"run"', b'"run": 1,\n "run"'),
        manifest.replace(b'"about"', b'"also": 1,\n "about"'),
    ):
        head = header("sacred-bundle.json", len(other)) + other + padding(len(other))
        assert "manifest is not" in refused(head + rest, there, tmp_path)


def test_a_newer_format(there, tmp_path):
    """A bundle of a later version says that one has to upgrade."""
    manifest = Manifest(7, 1, (Member(J, 1, SHA),)).to_bytes()
    newer = manifest.replace(b'"bundle": 1', b'"bundle": 2')
    sentence = refused(assembled(newer, []), there, tmp_path, NewerFormatError)
    assert "upgrade sacred-journal" in sentence


def test_a_journal_of_another_id(root, there, tmp_path):
    """The journal in a bundle is the one that its manifest names, and a journal at all."""
    folder, writer = messages(root)
    writer.close()
    content = files(folder.journal)["w0000-e0001.jzst"]
    there.create()
    for data in (content, b"nothing of the kind"):
        member = Member(J, len(data), hashlib.sha256(data).hexdigest())
        (tmp_path / "x.tar").write_bytes(assembled(Manifest(7, 1, (member,)), [data]))
        with pytest.raises(BundleError, match="another journal than its manifest says"):
            import_bundle(tmp_path / "x.tar", there)
    assert [] == there.numbers()
    assert [] == [name for name in os.listdir(there.path) if name.startswith(".import-")]


def other_archive(member, tmp_path):
    """Return a tar as another program makes it, with one more member in it."""
    data = listed(J)
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for one in old.getmembers():
            new.addfile(one, old.extractfile(one))
        new.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE],
)
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "journal/w0001-e0001.jzst"])
def test_links_and_devices(kind, name, there, tmp_path):
    """What is no plain file that the manifest lists is refused, wherever it points to."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    refused(other_archive(member, tmp_path), there, tmp_path)


def test_a_link_in_the_place_of_a_file(there, tmp_path):
    """A member's kind is part of what is compared."""
    data = listed(J)
    at = data.index(J.encode() + b"\0")
    link = tarfile.TarInfo(J)
    link.type, link.linkname, link.mtime = tarfile.SYMTYPE, "/etc/passwd", 0
    changed = data[:at] + link.tobuf(tarfile.USTAR_FORMAT) + data[at + 512 :]
    assert "the header of" in refused(changed, there, tmp_path)


def test_files_that_are_something_else(there, tmp_path):
    """What is no bundle is called so, with exit code 2; a compressed one, how to go on."""
    for data, sentence in {
        b"": "is no bundle",
        b"text": "is no bundle",
        bytes(20480): "is no bundle",
        b"\x28\xb5\x2f\xfd" + bytes(600): "is compressed by zstd: decompress it first",
        b"\x1f\x8b\x08" + bytes(600): "is compressed by gzip",
    }.items():
        assert sentence in refused(data, there, tmp_path, NotABundleError)
    assert 2 == NotABundleError.exit_code
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(NotABundleError, match="is no file"):
            import_bundle(path, there)
    with pytest.raises(FileNotFoundError):
        import_bundle(tmp_path / "nothing", there)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("first", ["sacred-bundle.json", "journal", "."])
def test_a_bundle_that_was_unpacked_and_packed_again(whole, there, tmp_path, form, first):
    """It is not called damaged: what packed it, and what to do, is said; and that works."""
    place = tmp_path / "unpacked"
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(place, filter="data")
    names = sorted(os.listdir(place), key=lambda name: name != first)
    with tarfile.open(tmp_path / "again.tar", "w", format=form) as archive:
        for name in ["."] if first == "." else names:
            archive.add(place / name, arcname=name)
    with pytest.raises(BundleError) as error:
        import_bundle(tmp_path / "again.tar", there)
    text = str(error.value)
    assert "another tar packed it anew. Take the file that `sacred export" in text
    assert "damaged" not in text
    there.create()
    os.renames(place / "journal", there.path / "7" / "journal")
    os.renames(place / "blobs", there.blobs)
    report = verify(there.run(7), blobs=BlobStore(there.blobs))
    assert (True, True) == (report.clean, report.events > 0)


def test_a_first_header_that_is_damaged_is_no_repacked_one(whole, there, tmp_path):
    """A bit of it: the sum in it tells."""
    for place in (0, 100, 110, 130, 140, 150, 260, 300, 340):
        data = bytearray(whole)
        data[place] ^= 2
        with pytest.raises(BundleError) as error:
            refused_path = tmp_path / "hit.tar"
            refused_path.write_bytes(data)
            import_bundle(refused_path, there)
        assert "packed it anew" not in str(error.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a bundle of a real run."""
    root = JournalRoot(tmp_path_factory.mktemp("whole") / "runs")
    folder = by_another_process(root, "ends")
    write_bundle(folder, root.path.parent / "run.tar")
    return (root.path.parent / "run.tar").read_bytes()


def test_cut_off_anywhere(whole, tmp_path, there):
    """A bundle that is cut off is refused, at every length."""
    path = tmp_path / "cut.tar"
    path.write_bytes(whole)
    for size in [*range(len(whole) - 1, 0, -97), 1, 0]:
        os.truncate(path, size)
        with pytest.raises(BundleError):
            import_bundle(path, there)
    path.write_bytes(whole + b"\0")
    with pytest.raises(BundleError, match="something stands behind its end"):
        import_bundle(path, there)
    path.write_bytes(whole + whole)
    with pytest.raises(BundleError, match="something stands behind its end"):
        import_bundle(path, there)
    assert not there.path.exists()


def test_every_flipped_bit(whole, tmp_path):
    """No bit of a bundle can be another one, in the padding either."""
    path = tmp_path / "flipped.tar"
    path.write_bytes(whole)
    choose = random.Random(4)
    with open(path, "r+b") as file:
        for at in [*range(0, 1024, 3), *choose.sample(range(len(whole)), 700)]:
            file.seek(at)
            file.write(bytes([whole[at] ^ 1 << choose.randrange(8)]))
            file.flush()
            with pytest.raises(JournalError), BundleReader(path) as reader:
                reader.prove()
            file.seek(at)
            file.write(whole[at : at + 1])
    with BundleReader(path) as reader:
        reader.prove()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cut", "copy", "write", "swap"]),
            st.integers(0, 40),
            st.integers(0, 40),
            st.binary(max_size=600),
        ),
        min_size=1,
        max_size=4,
    )
)
@example([("copy", 0, 1, b"")])
def test_surgery(whole, tmp_path, cuts):
    """A bundle whose blocks were cut, doubled, exchanged or written over is the same, or refused."""
    data = whole
    for what, first, second, written in cuts:
        a, b = first * 512, second * 512
        if what == "cut":
            data = data[:a] + data[b:]
        elif what == "copy":
            data = data[:a] + data[a:b] + data[a:]
        elif what == "swap":
            left, right = data[a : a + 512], data[b : b + 512]
            data = data[:a] + right + data[a + 512 :]
            data = data[:b] + left + data[b + 512 :]
        else:
            data = data[:a] + written + data[a + len(written) :]
    path = tmp_path / "surgery.tar"
    path.write_bytes(data)
    try:
        with BundleReader(path) as reader:
            reader.prove()
    except JournalError:
        assert data != whole
    else:
        assert data == whole


def test_places(root, tmp_path):
    """A bundle is not written over what is there, among journals, or where no folder is."""
    folder, writer = messages(root)
    writer.close()
    taken = tmp_path / "taken"
    taken.write_text("mine")
    (tmp_path / "link").symlink_to(taken)
    for path, sentence in {
        taken: "is there already",
        tmp_path / "link": "is there already",
        tmp_path: "is a folder: name a file in it",
        tmp_path / "no" / "run.tar": "does not exist: make it first",
        root.path / "1" / "run.tar": "lies among the journals",
        root.blobs: "lies among the journals",
    }.items():
        with pytest.raises(OutputPlaceError, match=sentence):
            write_bundle(folder, path)
    with pytest.raises(OutputPlaceError, match="is a folder"):
        write_bundle(folder, tmp_path, overwrite=True)
    assert "mine" == taken.read_text()
    done = write_bundle(folder, tmp_path / "link", overwrite=True)
    assert (taken, True) == (done.path, (tmp_path / "link").is_symlink())
    BundleReader(taken).prove()
    assert {"here", "link", "taken"} == set(os.listdir(tmp_path))


def test_no_journal_to_bundle(root, tmp_path):
    """A folder in which nothing is, or something else, makes no bundle."""
    folder = root.claim()
    for prepare in (lambda: None, lambda: (folder.journal / "w0000-e0001.jzst").write_bytes(b"x")):
        prepare()
        with pytest.raises(NotAJournalError):
            write_bundle(folder, tmp_path / "run.tar")
    assert ["here"] == os.listdir(tmp_path)


def test_the_cap_of_a_manifest(root, tmp_path, monkeypatch):
    """More files than a manifest may list are told when the bundle is written, not when it is read."""
    folder, writer = messages(root)
    writer.close()
    monkeypatch.setattr(bundle_writer, "MANIFEST_CAP", 100)
    with pytest.raises(BundleError, match="too many for a bundle"):
        write_bundle(folder, tmp_path / "run.tar")
    monkeypatch.undo()
    write_bundle(folder, tmp_path / "run.tar")
    monkeypatch.setattr(bundles, "MANIFEST_CAP", 100)
    with pytest.raises(BundleError, match="first header"):
        BundleReader(tmp_path / "run.tar")
