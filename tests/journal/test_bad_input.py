"""Bad input: refused or read with a clear verdict, in bounded time and memory, and nothing is written.

What stands elsewhere is named here, so that the list is whole in one place:

* bombs, declared and real; forged sizes, dictionaries, skippable frames: ``test_frames.py``,
  ``test_durability.py`` (endless blocks) and the golden journals ``forged-*`` and
  ``foreign-skippable-frame``; whole journals of them below;
* nested msgpack and extensions: ``test_codec.py`` and ``replayers/test_depth.py``; as events below;
* names of artifacts in a file view: ``replayers/test_file_sink.py``, ``test_file_names.py``; below
  with NULs, control characters and names that are no text, and for all views of the command line;
* blobs that are not what their name says: ``test_blobs.py``; links and pipes in their place below;
* a journal that grows while it is read: ``test_reader.py``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from golden.journals.samples import START

from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal.codec import BlobReference, pack
from sacred.journal.errors import BlobDamagedError, JournalError, NotAJournalError
from sacred.journal.frames import MAGIC, FrameEncoder, chain_after
from sacred.journal.garbage import collect
from sacred.journal.liveness import run_liveness
from sacred.journal.seal import seal_run
from sacred.journal.verdicts import Foreign, Gap
from sacred.journal.verification import verify
from tests.journal.open_files import open_files

ENCODER = FrameEncoder()
BEGAN = {
    "t": 1,
    "e": 1,
    "format": 1,
    "min_reader": 1,
    "features": [],
    "journal": 5,
    "opened_by": "start",
    "host": "",
    "pid": 0,
    "wall": 1,
    "monotonic": 1,
    "software": "",
}


def frames(*contents, writer=0, epoch=1, first=0, chain=0):
    """A file of frames as a writer makes them, each of one event with these bytes."""
    made = [ENCODER.encode(pack([0, 5, writer, epoch, first, 0, chain]) + pack(BEGAN))]
    for content in contents:
        made.append(ENCODER.encode(pack([0, 5, writer, epoch, first, 1, chain]) + content))
        first, chain = first + 1, chain_after(chain, content)
    return b"".join(made)


def message(text):
    return pack({"t": 2, "e": int(EventType.MESSAGE), "level": "", "text": text})


def read(folder):
    """Read a journal through; return the texts of its messages, and its verdicts."""
    reader = JournalReader(getattr(folder, "journal", folder))
    found = [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
    verdicts = [*reader.verdicts, *reader.tails()]
    reader.close()
    return found, verdicts


@pytest.fixture
def root(tmp_path):
    """An empty root."""
    root = JournalRoot(tmp_path / "sacred_runs")
    root.create()
    return root


@pytest.fixture
def journal(root):
    """Make a run of one file; return its folder."""

    def make(data):
        folder = root.claim()
        (folder.journal / "w0000-e0001.jzst").write_bytes(data)
        return folder

    return make


# -- frames ------------------------------------------------------------------------------------

_SIZES = [
    0,
    1,
    1 << 24,
    (1 << 24) + (1 << 16) + 1,
    1 << 31,
    1 << 32,
    1 << 62,
    1 << 63,
    (1 << 64) - 1,
]
FORGED = {
    **{f"size {size}": MAGIC + b"\xe4" + struct.pack("<Q", size) for size in _SIZES},
    "size without single segment": MAGIC + b"\xc4\x00" + struct.pack("<Q", 1 << 63),
    "window of 2^41": MAGIC + b"\x44\xff\x10\x00",
    "dictionary of one byte": MAGIC + b"\x25\x01\x10",
    "dictionary of four bytes": MAGIC + b"\x27\x01\x02\x03\x04\x10",
    "no checksum": MAGIC + b"\x20\x10",
    "skippable": b"\x50\x2a\x4d\x18" + struct.pack("<I", 0xFFFFFFFF),
    "skippable of nothing": b"\x5f\x2a\x4d\x18" + bytes(4),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_costs_what_it_hit(journal, name):
    """In the middle it is named, and all behind it is read; at the end it is an end not whole."""
    whole = frames(message("one"))
    more = frames(message("one"), message("two"))[len(whole) :]
    forged = FORGED[name] + bytes(40)
    found, verdicts = read(journal(whole + forged + more))
    assert ["one", "two"] == found
    assert [(Foreign, len(forged))] == [(type(v), v.size) for v in verdicts]
    found, verdicts = read(journal(whole + forged))
    assert (["one"], 1) == (found, len(verdicts))


_BOUNDED = """
import resource, sys
limit = 400 << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from sacred.journal import JournalReader
reader = JournalReader(sys.argv[1])
count = sum(1 for event in reader.read() if event.seq >= 0)
print(count, len(reader.verdicts) + len(reader.tails()))
"""


def bounded(folder):
    """Read in a process of 400 MiB at most; return how many events and how many verdicts."""
    command = [sys.executable, "-c", _BOUNDED, str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert b"" == done.stderr
    return tuple(map(int, done.stdout.split()))


def bombs():
    """Frames that decode to much more than they are."""
    import zstandard

    declared = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(bytes(1 << 30))
    # One that tells a small size, and holds blocks of a GiB: each repeats a byte 128 Ki times.
    block = struct.pack("<I", (131072 << 3) | (1 << 1))[:3] + b"\0"
    hidden = MAGIC + b"\x24\x10" + block * 8192
    honest = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(bytes(16 << 20))
    return {"declared": declared, "hidden": hidden, "within the limit": honest * 200}


@pytest.mark.parametrize("name", ["declared", "hidden", "within the limit"])
def test_bombs(journal, name):
    """A GiB told, a GiB not told, and three GiB in frames that keep the limit: little is used."""
    whole = frames(message("one"))
    more = frames(message("one"), message("two"))[len(whole) :]
    events, verdicts = bounded(journal(whole + bombs()[name] + more).journal)
    assert events == 2 if name != "within the limit" else events >= 1
    assert verdicts >= 1


# -- events ------------------------------------------------------------------------------------


def deep(levels, kind):
    """Bytes of a msgpack value nested so deeply."""
    if kind == "list":
        return b"\x91" * levels + b"\xc0"
    if kind == "map":
        return b"\x81\xa1a" * levels + b"\xc0"
    if kind == "key":  # a map whose key is a map
        return b"\x81" * levels + b"\xc0" + b"\xc0" * levels
    value = b"\xc0"
    for _ in range(levels):
        value = msgpack.packb(msgpack.ExtType(3 if kind == "tuple" else 8, b"\x91" + value))
    return value


EVENTS = {
    **{f"{kind} {n}": deep(n, kind) for kind in ("list", "map", "key") for n in (150, 2000, 10**6)},
    **{f"{kind} {n}": deep(n, kind) for kind in ("tuple", "blob") for n in (40, 1000)},
    "text that is not UTF-8": b"\xa4\xff\xfe\x80\xc0",
    "half a surrogate": b"\xa3\xed\xa0\x80",
    "an int of 100,000 bytes": b"\xc9" + struct.pack(">I", 100_000) + b"\x01" + b"\x7f" * 100_000,
    "a length of 4 GiB": b"\xdd\xff\xff\xff\xff",
    "a map of 4 GiB": b"\xdf\xff\xff\xff\xff",
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "an unknown extension": b"\xd4\x7f\x00",
    "msgpack's own time": b"\xd6\xff\x00\x00\x00\x01",
    "a time beyond all": msgpack.packb(msgpack.ExtType(2, msgpack.packb([2**63, 2**40]))),
    "an array that is none": msgpack.packb(msgpack.ExtType(5, msgpack.packb(["O", [2**60], b""]))),
    "a blob of size inf": msgpack.packb(
        msgpack.ExtType(8, msgpack.packb({"algorithm": 1, "digest": 2, "size": float("inf")}))
    ),
    "the byte that is none": b"\xc1",
}


@pytest.mark.parametrize("name", EVENTS)
def test_odd_values(journal, root, name):
    """As the value of an event, or in the place of one: what is around it is read as it is."""
    value = EVENTS[name]
    result = b"\x83\xa1t\x02\xa1e\x1a\xa6result" + value
    for odd in (result, value):
        folder = journal(frames(message("one"), odd, message("two")))
        found, verdicts = read(folder)
        assert ["one", "two"] == found
        assert all(isinstance(verdict, (Foreign, Gap)) for verdict in verdicts)
        verify(folder, blobs=BlobStore(root.blobs))
        run_liveness(folder)
        seal_run(folder, force=True)
        assert ["one", "two"] == read(folder)[0]
    collect(root)
    shutil.rmtree(root.path)  # the page's reader leaves such values as msgpack has them


def test_numbers_and_names_that_are_none(journal, root):
    """Events whose fields have other kinds than they should: every tool ends, and says so or not."""
    odd = [None, True, -1, 2**64 - 1, float("nan"), float("inf"), "x", b"x", [], {}, [[]], {"a": 1}]
    kinds = [kind for kind in EventType if kind < 128 and kind != EventType.EPOCH_BEGAN]
    for value in odd:
        events = [
            msgpack.packb({"t": 1, "e": int(kind), **dict.fromkeys(_keys(kind), value)})
            for kind in kinds
        ]
        folder = journal(frames(message("one"), *events, message("two")))
        found, _ = read(folder)
        assert "one" == found[0]
        for tool in (run_liveness, verify, seal_run):
            try:
                tool(folder)
            except JournalError as error:
                assert str(error)
    collect(root, dry_run=True)


def _keys(kind):
    from sacred.journal.events import KEYS

    return KEYS[kind].values()


# -- files -------------------------------------------------------------------------------------


def test_links_in_the_place_of_files(root, tmp_path):
    """A link is read as what it leads to; sealing writes beside the link, never behind it."""
    target = tmp_path / "elsewhere"
    target.mkdir()
    data = frames(message("one"))
    (target / "w0000-e0001.jzst").write_bytes(data)
    folder = root.claim()
    (folder.journal / "w0000-e0001.jzst").symlink_to(target / "w0000-e0001.jzst")
    assert (["one"], []) == read(folder)
    seal_run(folder, force=True)
    assert ["w0000-e0001.jzst"] == os.listdir(target)
    assert data == (target / "w0000-e0001.jzst").read_bytes()
    assert ["one"] == read(folder)[0]
    other = root.claim()
    other.journal.rmdir()
    other.journal.symlink_to(target)
    assert (["one"], []) == read(other)
    other.journal.unlink()
    for leads_to in ("nowhere", "journal", "/dev"):
        other.journal.symlink_to(leads_to)
        with pytest.raises(NotAJournalError):
            JournalReader(other.journal)
        other.journal.unlink()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "dangling", "circle"])
def test_things_in_the_place_of_files(journal, kind):
    """No file under a file's name: nobody waits at it, and it is named."""
    folder = journal(frames(message("one")))
    path = folder.journal / "w0000-e0002.jzst"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "dangling": "nowhere", "circle": path.name}[kind])
    found, verdicts = read(folder)
    assert (["one"], [(2, "it is no regular file")]) == (
        found,
        [(v.epoch, v.reason) for v in verdicts],
    )


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_things_in_the_place_of_blobs(root, kind):
    """A pipe, a folder or a device under a blob's name is damage, and nobody waits at it."""
    store = BlobStore(root.blobs)
    digest = store.put_bytes(b"content").blob.digest
    path = store.path_of(digest)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    for look in (store.open, store.read, store.check):
        with pytest.raises(BlobDamagedError, match="no regular file"):
            look(digest)


def test_a_blob_that_may_not_be_read_is_not_called_damaged(root, monkeypatch):
    """What the system says is said: a right that is missing is no damage."""
    store = BlobStore(root.blobs)
    digest = store.put_bytes(b"content").blob.digest

    def refused(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("sacred.journal.blobs.open_regular", refused)
    with pytest.raises(PermissionError):
        store.read(digest)


def test_a_link_in_the_place_of_a_blob_is_no_stored_content(root, tmp_path):
    """Content of the same size behind a link proves nothing: it is stored anew, not behind the link."""
    store = BlobStore(root.blobs)
    digest = store.put_bytes(b"content").blob.digest
    (tmp_path / "other").write_bytes(b"CONTENT")
    store.path_of(digest).unlink()
    store.path_of(digest).symlink_to(tmp_path / "other")
    store.put_bytes(b"content")
    assert b"content" == store.read(digest)
    assert b"CONTENT" == (tmp_path / "other").read_bytes()


def test_nothing_is_stored_behind_a_link_among_the_blobs(root, tmp_path):
    """The folder of all blobs may be a link to another disk; one of its folders may not."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store = BlobStore(root.blobs)
    digest = store.put_bytes(b"stored before").blob.digest
    os.rename(root.blobs / digest[:2], elsewhere / "before")
    (root.blobs / digest[:2]).symlink_to(elsewhere / "before")
    os.utime(elsewhere / "before" / digest, (5, 5))
    (tmp_path / "large").write_bytes(bytes(5 << 20))
    other = tmp_path / "sent"
    other.write_bytes(b"sent")
    for number in range(256):
        path = root.blobs / f"{number:02x}"
        if not os.path.lexists(path):
            path.symlink_to(elsewhere)
    for call in (
        lambda: store.put_bytes(b"content"),
        lambda: store.put_bytes(b"stored before"),
        lambda: store.put_file(tmp_path / "large"),
        lambda: store.adopt(other, hashlib.sha256(b"sent").hexdigest()),
    ):
        with pytest.raises(
            OSError, match="is a link, and nothing is stored behind one: remove"
        ) as error:
            call()
        assert str(root.blobs) == os.path.dirname(error.value.filename)
    assert ["before"] == os.listdir(elsewhere)
    assert 5 == os.stat(elsewhere / "before" / digest).st_mtime
    assert b"stored before" == store.read(digest)  # what is there is read
    assert [] == [name for name in os.listdir(root.blobs) if name.startswith(".")]
    shutil.rmtree(root.blobs)
    root.blobs.symlink_to(elsewhere)
    stored = store.put_bytes(b"content").blob.digest
    assert (elsewhere / stored[:2] / stored).exists()


# -- names -------------------------------------------------------------------------------------

NAMES = [
    "../evil",
    "../../../../../../../../../../tmp/evil",
    "/evil",
    "//evil",
    "a/../../evil",
    "a/./../..",
    "..",
    ".",
    "",
    "nul\0evil",
    "new\nline\r\x1b[2J\x07",
    "C:\\evil",
    "..\\..\\evil",
    "con",
    "\udcff\udcfe",
    "\u202eevil",
    "run.json",
    "config.json/x",
    ".journal/position",
    "x" * 5000,
    "x/" * 2500 + "x",
]


def snapshot(folder):
    """All that is in a folder, with size and time, links not followed."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def evil_run(root):
    """A run whose names try to lead out of every folder."""
    store = BlobStore(root.blobs)
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, blobs=store)
    about = {**START, "run_id": 1, "name": "../evil", "experiment": {"name": "../evil"}}
    writer.append(EventType.RUN_STARTED, **about)
    stored = store.put_bytes(b"evil").blob.to_wire()
    for name in NAMES:
        writer.append(EventType.ARTIFACT_ADDED, name=name, filename=name, blob=stored)
        more = {"md5": "0" * 32, "blob": stored}
        writer.append(EventType.RESOURCE_ADDED, filename=name, **more)
        writer.append(EventType.SOURCE_ADDED, filename=name, path=name, **more)
        inside = {"filename": name, "role": "artifact", "entries": [[name, stored, 0o777]]}
        writer.append(EventType.DIRECTORY_ADDED, name=name, **inside)
        writer.log_point(name, 0, 0.5)
    for digest in ("../../evil", "/etc/passwd", "A" * 64, "\0", ""):
        reference = BlobReference("sha256", digest, 4).to_wire()
        writer.append(EventType.ARTIFACT_ADDED, name="evil", filename="evil", blob=reference)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    return folder


def test_names_never_lead_out_of_a_view(root, tmp_path):
    """Nothing is written beside the view's folder, whatever artifacts, sources and metrics are called."""
    evil_run(root)
    before = snapshot(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    command = "import sys; from sacred.cli import main; sys.exit(main())"
    for arguments in (
        ["replay", "--to", "file:view"],
        ["verify", "1"],
        ["show", "1"],
        ["events", "1"],
        ["ls"],
        ["query", "select * from artifacts"],
        ["gc", "--dry-run"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments, "--root", str(root.path)],
            cwd=work,
            capture_output=True,
            timeout=120,
            check=False,
            env={**os.environ, "HOME": str(work)},
        )
        assert b"Traceback" not in done.stderr, arguments
        assert done.returncode in {0, 1, 3}, (arguments, done.stderr)
        assert b"a defect" not in done.stdout + done.stderr, arguments
        assert b"\x1b[2J" not in done.stdout + done.stderr, arguments
        assert b"\0" not in done.stdout + done.stderr, arguments
    ours = {str(root.path / "1" / "views"), str(root.path / ".cache")}
    after = {
        path: facts
        for path, facts in snapshot(tmp_path).items()
        if not path.startswith((str(work), *ours))
    }
    before.pop(str(root.path / "1"), None), after.pop(str(root.path / "1"), None)
    before.pop(str(root.path), None), after.pop(str(root.path), None)
    assert before == after
    assert {"view"} <= set(os.listdir(work)) <= {"view", ".cache", ".duckdb"}
    assert not Path("/tmp/evil").exists()
    assert not Path("/evil").exists()
    assert (work / "view" / "1" / "run.json").read_bytes()


# -- many --------------------------------------------------------------------------------------


def many(folder, count, kind):
    """Write a journal of so many epochs, or of so many writers, by hand."""
    chain = 0
    for number in range(count):
        event = message(str(number))
        if kind == "epochs":
            place = {"writer": 0, "epoch": number + 1, "first": number, "chain": chain}
            chain = chain_after(chain, event)
        else:
            place = {"writer": number, "epoch": 1}
        name = f"w{place['writer']:04d}-e{place['epoch']:04d}.jzst"
        (folder / name).write_bytes(frames(event, **place))


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("epochs", 2000),
        ("writers", 2000),
        pytest.param("epochs", 10_000, marks=pytest.mark.slow),
        pytest.param("epochs", 100_000, marks=pytest.mark.soak),
        pytest.param("writers", 5_000, marks=pytest.mark.slow),
    ],
)
def test_a_journal_of_very_many_files(tmp_path, kind, count):
    """So many epochs, or writers: all is read, in order, with few descriptors and no verdict."""
    folder = tmp_path / "journal"
    folder.mkdir()
    many(folder, count, kind)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (min(soft, len(os.listdir("/proc/self/fd")) + 100), hard)
    )
    try:
        reader = JournalReader(folder)
        for order in ("arrival", "time") if kind == "writers" else ("arrival",):
            reader = JournalReader(folder)
            numbers = [int(e.fields["text"]) for e in reader.read(order) if e.seq >= 0]
            assert list(range(count)) == numbers
            assert ([], []) == (reader.verdicts, reader.tails())
            assert [] == list(reader.poll())
            assert count == sum(at.next_seq for _, at in reader.position.items())
            reader.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shutil.rmtree(folder)


def test_very_many_writers_that_go_on_and_are_sealed(tmp_path):
    """A reader that let go of their files goes on in each, also where it was sealed meanwhile."""
    folder = tmp_path / "journal"
    folder.mkdir()
    many(folder, 100, "writers")
    one, two = message("0"), message("two")
    chain = chain_after(0, one)
    reader = JournalReader(folder)
    assert 100 == sum(1 for event in reader.read() if event.seq >= 0)
    before = open_files(folder).total()
    for number in range(0, 100, 3):
        path = folder / f"w{number:04d}-e0001.jzst"
        more = pack([0, 5, number, 1, 1, 1, chain_after(0, message(str(number)))])
        with open(path, "ab") as file:
            file.write(ENCODER.encode(more + two))
    from sacred.journal.sealer import seal_file

    for number in range(0, 100, 2):
        seal_file(folder, number, 1)
    found = [event.writer for event in reader.read() if event.seq >= 0]
    assert list(range(0, 100, 3)) == found
    assert ([], []) == (reader.verdicts, reader.tails())
    assert [] == list(reader.poll())
    assert before == open_files(folder).total()
    assert chain
    reader.close()


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(10_000, marks=pytest.mark.slow),
        pytest.param(100_000, marks=pytest.mark.soak),
    ],
)
def test_a_root_of_very_many_runs(tmp_path, count):
    """A folder of so many runs: a claim, a look at one and at the last ten cost what they always cost."""
    root = JournalRoot(tmp_path / "sacred_runs")
    root.create()
    data = frames(message("one"))
    try:
        for number in range(1, count + 1):
            os.makedirs(root.path / str(number) / "journal")
        for number in (1, count // 2, count):
            (root.path / str(number) / "journal" / "w0000-e0001.jzst").write_bytes(data)
        assert count + 1 == root.claim().number  # the mark is missing, as in a copy
        assert count + 2 == root.claim().number
        assert count + 2 == len(root.numbers())
        assert (["one"], []) == read(root.run(count // 2))
        code = "import sys; from sacred.cli import main; sys.exit(main())"
        for arguments, lines in ((["ls", "-n", "10"], 11), (["gc", "--dry-run"], 8)):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments, "--root", str(root.path)],
                capture_output=True,
                timeout=240,
                check=False,
            )
            assert (0, b"") == (done.returncode, done.stderr)
            assert lines == len(done.stdout.splitlines())
    finally:
        shutil.rmtree(root.path)
