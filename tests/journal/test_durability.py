"""What is durable when: the order of the system's calls, recorded and never timed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from queue import Empty
from typing import NamedTuple

import pytest

from sacred.core.recorder import Recorder
from sacred.journal import EventType, JournalReader, JournalWriter, packing
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalError
from sacred.journal.flusher import flush_in_background
from sacred.journal.frames import FrameDamagedError, FrameDecoder, FrameEncoder, frame_bounds
from sacred.journal.sealer import seal_file

MS = 1_000_000
MESSAGE = EventType.MESSAGE
SYNCS = {"fsync", "fdatasync"}


class Call(NamedTuple):
    """One call of the system, as of when it was through.

    Attributes
    ----------
    name
        ``open``, ``write``, ``fsync``, ``fdatasync``, ``mkdir`` or ``replace``.
    file
        Number of the inode: it stays when the file is renamed.
    path
        The name that ``open``, ``mkdir`` and ``replace`` were given (the new one).
    size
        Of the file (bytes).
    flags
        Those of ``open``.
    data
        What was written.
    """

    name: str
    file: int
    path: str = ""
    size: int = 0
    flags: int = 0
    data: bytes = b""


class Calls(list):
    """This thread's calls in their order; made before the writer, which keeps ``os.write``."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.thread = threading.get_ident()
        #: Called before each call with its name and path or descriptor; may raise.
        self.before = lambda name, what: None
        for name in ("open", "write", "fsync", "fdatasync", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def _recorded(self, name, real):
        def call(*args, **more):
            if threading.get_ident() != self.thread:  # the background of an earlier test
                return real(*args, **more)
            self.before(name, args[0])
            result = real(*args, **more)
            if name in {"fsync", "fdatasync", "write"}:
                found = os.fstat(args[0])
                data = bytes(args[1]) if name == "write" else b""
                self.append(Call(name, found.st_ino, "", found.st_size, 0, data))
            elif name == "open":
                found = os.fstat(result)
                self.append(Call(name, found.st_ino, str(args[0]), found.st_size, args[1]))
            else:
                path = str(args[1] if name == "replace" else args[0])
                found = os.stat(path)
                self.append(Call(name, found.st_ino, path, found.st_size))
            return result

        return call

    def where(self, path_or_inode, *names):
        """Return the places of the calls of these names on one file, in order."""
        file = inode(path_or_inode)
        return [at for at, call in enumerate(self) if call.file == file and call.name in names]

    def first(self, path_or_inode, *names):
        """Return the place of the first of them."""
        places = self.where(path_or_inode, *names)
        assert places, f"no {' or '.join(names)} of {path_or_inode}"
        return places[0]


def inode(path_or_inode):
    return path_or_inode if isinstance(path_or_inode, int) else os.stat(path_or_inode).st_ino


@pytest.fixture
def calls(monkeypatch):
    """Record the system's calls from here on."""
    return Calls(monkeypatch)


@pytest.fixture
def no_background(monkeypatch):
    """Let the flusher never run: what happens is what the callers do."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)


def say(writer, text):
    return writer.append(MESSAGE, level="info", text=text)


def events(folder):
    return [event for event in JournalReader(folder).read() if event.seq >= 0]


def point_count(folder):
    kinds = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
    return sum(event.count for event in events(folder) if event.type in kinds)


# -- how files are opened ----------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_every_file_is_made_anew_and_only_appended_to(
    tmp_path, calls, no_background, durability, monkeypatch
):
    """R3, P3: first file, rotation and fault: O_CREAT, O_EXCL and O_APPEND, and no O_TRUNC."""
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 300)
    say(writer, "a" * 150)
    rotated = writer.epoch
    assert rotated > 1
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1 << 20)
    say(writer, "before the fault")

    def refuse(name, what):
        if name == "write":
            calls.before = lambda name, what: None
            raise OSError(5, os.strerror(5))

    calls.before = refuse
    say(writer, "at the fault")
    assert writer.epoch == rotated + 1
    writer.close()
    opened = [call for call in calls if call.name == "open" and call.path.endswith(".jzst")]
    assert len(opened) >= 3
    for call in opened:
        assert call.flags & os.O_CREAT, call.path
        assert call.flags & os.O_EXCL, call.path
        assert call.flags & os.O_APPEND, call.path
        assert not call.flags & os.O_TRUNC, call.path


def test_a_frame_lands_at_the_end_wherever_the_offset_is(tmp_path):
    """P3: a descriptor that was inherited or moved by others overwrites no frame (O_APPEND)."""
    writer = JournalWriter.create(tmp_path / "journal", durability="event")
    say(writer, "one")
    os.lseek(writer._fd, 0, os.SEEK_SET)
    writer.log_point("x", 0, 0.5)
    os.lseek(writer._fd, 0, os.SEEK_SET)
    say(writer, "two")
    writer.close()
    kinds = [event.type for event in events(writer.folder)]
    assert [MESSAGE, EventType.METRIC_POINT, MESSAGE] == kinds


def test_a_rotation_takes_no_file_of_another_process(tmp_path, monkeypatch, no_background):
    """R3: the next epoch's file is there already: its bytes stay, a new number is taken."""
    writer = JournalWriter.create(tmp_path / "journal")
    taken = tmp_path / "journal" / "w0000-e0002.jzst"
    taken.write_bytes(b"somebody else's")
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 10)
    say(writer, "one")
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1 << 20)
    say(writer, "two")
    writer.close()
    assert (writer.number, writer.path.name) == (1, "w0001-e0001.jzst")
    assert taken.read_bytes() == b"somebody else's"


# -- a power cut -------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["second", "event"])
def test_sync_makes_the_bytes_durable_and_then_their_names(
    tmp_path, calls, no_background, durability
):
    """P2: the file, then the names of it, of its folder, and of the run's folder in the root."""
    folder = tmp_path / "root" / "1" / "journal"
    writer = JournalWriter.create(folder, durability=durability)
    say(writer, "one")
    seen = []
    calls.before = lambda name, what: seen.append(writer.durable_seq) if name in SYNCS else None
    assert writer.sync()
    file = writer.path
    synced = calls.first(file, *SYNCS)
    assert calls[synced].size == file.stat().st_size
    assert synced > calls.where(file, "write")[-1]
    for place in (folder, folder.parent, folder.parent.parent):
        assert calls.first(place, "fsync") > synced, place
    # Nothing was called durable before the last of these calls.
    assert set(seen) == {0}
    assert writer.durable_seq == writer.next_seq == 1
    before = len(calls)
    say(writer, "two")
    assert writer.sync()
    again = [call.name for call in calls[before:] if call.name in SYNCS]
    assert len(again) == 1, "the names were durable already"
    writer.close()


def test_names_that_can_not_be_made_durable_are_no_success(tmp_path, calls, no_background):
    """P2: `sync` is not true, nor is anything called durable, if a folder's fsync fails."""
    folder = tmp_path / "root" / "1" / "journal"
    writer = JournalWriter.create(folder)
    say(writer, "one")
    root = inode(folder.parent.parent)

    def refuse(name, what):
        if name == "fsync" and os.fstat(what).st_ino == root:
            raise OSError(5, os.strerror(5))

    calls.before = refuse
    assert not writer.sync()
    assert writer.durable_seq == 0
    calls.before = lambda name, what: None
    say(writer, "two")
    assert writer.sync()
    assert writer.durable_seq == 2
    writer.close()
    assert [event.fields["text"] for event in events(folder)] == ["one", "two"]


@pytest.mark.parametrize("durability", ["second", "event"])
def test_a_file_is_durable_before_the_next_one_is_used(
    tmp_path, calls, no_background, durability, monkeypatch
):
    """P2: at a rotation the old file is synced whole before the new one is made; its name after."""
    folder = tmp_path / "root" / "1" / "journal"
    writer = JournalWriter.create(folder, durability=durability)
    say(writer, "one")
    assert writer.sync()
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 500)
    for number in range(8):
        say(writer, f"{number} " + "z" * 120)
    writer.sync()
    files = sorted(folder.glob("*.jzst"))
    assert len(files) >= 3
    for old, new in zip(files, files[1:], strict=False):
        last_write = calls.where(old, "write")[-1]
        made = calls.first(new, "open")
        whole = [
            at
            for at in calls.where(old, *SYNCS)
            if last_write < at < made and calls[at].size == old.stat().st_size
        ]
        assert whole, f"{old.name} is not durable when {new.name} is made"
    named = calls.where(folder, "fsync")
    assert any(at > calls.first(files[-1], "open") for at in named), "the last name is not durable"
    writer.close()


def test_the_end_of_a_run_is_durable(tmp_path, calls, no_background):
    """P2: `close` leaves nothing that a power cut takes, names included."""
    folder = tmp_path / "root" / "1" / "journal"
    writer = JournalWriter.create(folder)
    writer.log_point("x", 0, 0.5)
    say(writer, "end")
    writer.close()
    synced = calls.where(writer.path, *SYNCS)[-1]
    assert synced > calls.where(writer.path, "write")[-1]
    for place in (folder, folder.parent, folder.parent.parent):
        assert calls.first(place, "fsync") > synced


def test_the_background_makes_durable_what_was_written(tmp_path, calls):
    """P2: with durability "second" nobody has to ask: the flusher's first turn syncs."""
    folder = tmp_path / "root" / "1" / "journal"
    writer = JournalWriter.create(folder)
    wake = Wake(turns=1)
    writer._flusher = object()  # this test is the flusher
    say(writer, "one")
    play_flusher(writer, wake)
    assert writer.durable_seq == 1
    assert calls.first(folder, "fsync") > calls.first(writer.path, *SYNCS)
    writer._flusher = None
    writer.close()


def test_durability_process_never_waits_for_the_disk(tmp_path, calls, no_background, monkeypatch):
    """With durability "process" nothing is synced: not at a rotation, not at the end."""
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 500)
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    for number in range(8):
        say(writer, f"{number} " + "z" * 120)
    writer.close()
    assert writer.epoch > 2
    assert [call for call in calls if call.name in SYNCS] == []


# -- blobs -------------------------------------------------------------------------------------


def put_small(store, content, folder):
    return store.put_bytes(content)


def put_large(store, content, folder):
    (folder / "large").write_bytes(content)
    return store.put_file(folder / "large")


@pytest.mark.parametrize(
    ("put", "size"), [(put_small, 1000), (put_large, (4 << 20) + 1)], ids=["bytes", "stream"]
)
def test_a_blob_is_durable_before_it_has_its_name(tmp_path, calls, put, size):
    """P2: the whole content is synced under another name, then renamed, then the names synced."""
    store = BlobStore(tmp_path / "blobs")
    digest = put(store, os.urandom(size), tmp_path).blob.digest
    path = store.path_of(digest)
    named = calls.first(path, "replace")
    synced = calls.first(path, *SYNCS)
    assert synced < named
    assert calls[synced].size == size
    assert calls.first(path.parent, "fsync") > named
    assert calls.where(store.path, "fsync")[-1] > named
    assert calls.first(tmp_path, "fsync") < synced  # the store's own name, when it is made


def test_a_sealed_file_is_durable_before_it_takes_the_name(tmp_path, calls, no_background):
    """P2: sealed: all bytes first, then their fsync, then the rename, then the fsync of the folder."""
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(50):
        say(writer, str(number))
    writer.close()
    del calls[:]
    seal_file(writer.folder, 0, 1)
    writes = calls.where(writer.path, "write")
    (sync,) = calls.where(writer.path, "fsync")
    (rename,) = calls.where(writer.path, "replace")
    (names,) = calls.where(writer.folder, "fsync")
    assert writes
    assert max(writes) < sync < rename < names
    assert calls[sync].size == os.stat(writer.path).st_size


def test_a_store_that_is_not_durable_syncs_nothing(tmp_path, calls):
    """With durability "process" blobs wait for the disk as little as events do."""
    store = BlobStore(tmp_path / "blobs", durable=False)
    store.put_bytes(b"content")
    assert [call.name for call in calls if call.name in SYNCS] == []


class Naming:
    """Looks at each write of a journal: are the blobs that it names durable?"""

    def __init__(self, calls, root):
        self.calls = calls
        self.blobs = root / "blobs"
        self.decoder = FrameDecoder()

    def check(self, digest):
        """Return how many writes name the blob, all of them behind what makes it durable."""
        path = self.blobs / digest[:2] / digest
        named = self.calls.first(path, "replace")
        synced = self.calls.first(path, *SYNCS)
        folders = [
            min(at for at in self.calls.where(folder, "fsync") if at > named)
            for folder in (path.parent, self.blobs)
        ]
        assert self.calls[synced].size == path.stat().st_size
        assert synced < named
        writes = [at for at, call in enumerate(self.calls) if self._names(call, digest)]
        for at in writes:
            assert at > max(folders), "an event names a blob that a power cut would take"
        return len(writes)

    def _names(self, call, digest):
        if call.name != "write" or not call.data.startswith(b"\x28\xb5\x2f\xfd"):
            return False
        bounds = frame_bounds(call.data, 0)
        return digest.encode() in self.decoder.decode(call.data, bounds.content_size)


def test_a_large_value_is_durable_before_its_event_is_written(
    tmp_path, calls, no_background, monkeypatch
):
    """P2: a value that is too large for an event is a durable blob when the event names it."""
    monkeypatch.setattr(packing, "EVENT_BYTES", 2000)
    monkeypatch.setattr(packing, "VALUE_BYTES", 500)
    root = tmp_path / "root"
    root.mkdir()
    store = BlobStore(root / "blobs")
    writer = JournalWriter.create(root / "1" / "journal", blobs=store)
    say(writer, "x" * 5000)
    writer.log_point("m", 0, "y" * 5000)
    writer.close()
    digests = [
        path.name for path in (root / "blobs").rglob("*") if path.is_file() and len(path.name) == 64
    ]
    assert len(digests) == 2
    naming = Naming(calls, root)
    assert [naming.check(digest) for digest in digests] == [1, 1]


def test_what_a_run_records_names_no_blob_that_could_be_lost(tmp_path, calls, no_background):
    """P2: sources, resources, artifacts and folders: the file first, then the event."""
    root = tmp_path / "root"
    recorder = Recorder(root, durability="second")
    recorder.open()
    contents = {}
    for name in ("source.py", "resource", "artifact", "folder/inside"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"the content of {name}")
        contents[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    recorder.sources([("source.py", str(tmp_path / "source.py"), "0" * 32)], None)
    recorder.resource(str(tmp_path / "resource"))
    recorder.artifact("artifact", str(tmp_path / "artifact"))
    recorder.artifact("folder", str(tmp_path / "folder"))
    recorder.close()
    naming = Naming(calls, root)
    # Once in the live file and once in the sealed one.
    assert dict.fromkeys(contents, 2) == {
        name: naming.check(digest) for name, digest in contents.items()
    }


# -- how long something waits ------------------------------------------------------------------


class Clock:
    """Stands for ``time.time_ns``; goes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: self.now)


class Wake:
    """Stands for the flusher's queue: to wait is to move the clock, and the last wait ends it."""

    def __init__(self, clock=None, turns=50, during=None):
        self.clock = clock
        self.turns = turns
        self.during = during or (lambda: None)
        self.timeouts = []

    def empty(self):
        return True

    def get(self, timeout=None):
        self.timeouts.append(timeout)
        self.turns -= 1
        if self.turns <= 0:
            raise EndedError
        if self.clock is not None and timeout is not None:
            target = self.clock.now + int(timeout * 1e9)
            self.during()
            self.clock.now = max(target, self.clock.now)
        raise Empty


class EndedError(Exception):
    """Ends the flusher that a test plays."""


def play_flusher(writer, wake):
    """Run the flusher's loop until ``wake`` has had its turns."""
    with pytest.raises(EndedError):
        flush_in_background(lambda: writer, wake)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still."""
    return Clock(monkeypatch)


@pytest.fixture
def busy(tmp_path, clock, no_background):
    """A journal in the middle of a steady stream, so that the next point may wait."""
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    writer.log_point("x", 0, 0.5)
    clock.now += MS
    yield writer
    writer.close()


def test_a_point_waits_for_its_caller_at_most_10_ms(busy, clock):
    """P1: where the flusher never gets a turn, the first call 10 ms later writes what waited."""
    begun = clock.now
    busy.log_point("x", 1, 0.5)
    assert busy._due == begun + 10 * MS
    clock.now = begun + 10 * MS - 1
    busy.log_point("x", 2, 0.5)
    assert point_count(busy.folder) == 1
    assert busy._due == begun + 10 * MS, "company must not put it off"
    clock.now = begun + 10 * MS
    busy.log_point("x", 3, 0.5)
    assert point_count(busy.folder) == 4


@pytest.mark.parametrize("what", ["output", "event"])
def test_output_and_events_wait_as_long_as_points(busy, clock, what):
    """P1: what may wait is due 10 ms after the first of it came."""

    def record(number):
        if what == "output":
            busy.append_output(1, b"x")
        else:
            busy.append(EventType.INFO_CHANGED, set=[[["n"], number]], deleted=[])

    begun = clock.now
    record(1)
    assert busy._due == begun + 10 * MS
    clock.now += 9 * MS
    record(2)
    assert busy._due == begun + 10 * MS
    assert len(events(busy.folder)) == 1
    clock.now = begun + 10 * MS
    busy._tick()
    assert len(events(busy.folder)) > 1
    assert (busy._due, busy._pending_bytes) == (0, 0)


@pytest.mark.parametrize("age_us", [0, 1, 500, 999, 1000, 3000, 6000, 9999, 10000])
def test_a_turn_of_the_flusher_writes_it_in_time(busy, clock, age_us):
    """P1: a turn writes what waits, or comes again before 10 ms are over."""
    begun = clock.now
    busy.log_point("x", 1, 0.5)
    clock.now = begun + 1000 * age_us
    sleep = busy._tick()
    while point_count(busy.folder) < 2:
        assert sleep is not None
        clock.now += int(sleep * 1e9)
        assert clock.now <= begun + 10 * MS
        sleep = busy._tick()
    assert busy._due == 0


@pytest.mark.parametrize("phase_us", range(0, 6000, 500))
def test_the_flusher_comes_in_time_for_every_point(busy, clock, phase_us):
    """P1: whenever a point comes in the flusher's pause, it is in the file 10 ms later."""
    came, waited = [], []

    def during():
        if not came:
            clock.now += 1000 * phase_us
            came.append(clock.now)
            busy._last = clock.now - MS  # a stream that goes on
            busy.log_point("x", 1, 0.5)
            assert point_count(busy.folder) == 1
        elif not waited and point_count(busy.folder) == 2:
            waited.append(clock.now - came[0])

    busy._dozing = False
    play_flusher(busy, Wake(clock, turns=6, during=during))
    assert len(waited) == 1
    assert waited[0] <= 10 * MS


@pytest.mark.parametrize("what", ["output", "two streams", "event"])
def test_64_kib_that_wait_are_written_by_their_caller(busy, what):
    """P1: also if the flusher never runs, less than 64 KiB wait in memory."""
    recorded = 0
    for number in range(300):
        if what == "event":
            busy.append(EventType.INFO_CHANGED, set=[[["n"], "x" * 1000]], deleted=[])
        else:
            busy.append_output(1 + number % 2 * (what == "two streams"), b"y" * 1000)
        recorded += 1000
        assert busy._pending_bytes < 64 * 1024
        assert recorded - stored_bytes(busy.folder) < 64 * 1024
    # And not each by itself: that would be a write a line.
    assert len(list(frames(busy.path))) < 20


def stored_bytes(folder):
    total = 0
    for event in events(folder):
        if event.type == EventType.OUTPUT:
            total += len(event.fields["data"])
        elif event.type == EventType.INFO_CHANGED:
            total += 1000
    return total


def frames(path):
    data = Path(path).read_bytes()
    at = 0
    while at < len(data):
        bounds = frame_bounds(data, at)
        yield data[at : bounds.end]
        at = bounds.end


# -- forged frames -----------------------------------------------------------------------------


class Counted(bytes):
    """Bytes that count how often somebody looks."""

    looks = 0

    def __getitem__(self, key):
        self.looks += 1
        return super().__getitem__(key)


def forged(block, count, content_size=3):
    """Return a frame whose blocks are all of one kind, none the last."""
    return b"\x28\xb5\x2f\xfd\x24" + bytes([content_size]) + block * count


@pytest.mark.parametrize(
    "block",
    [b"\0\0\0", b"\x02\0\0\0", (0x02 | 1 << 3).to_bytes(3, "little") + b"x", b"\x04\0\0"],
    ids=["empty raw", "empty rle", "rle of one byte", "empty compressed"],
)
def test_a_frame_of_endless_blocks_is_refused_at_once(block):
    """P4: blocks that add up to more than the content can be are damage, not a frame to wait for."""
    data = Counted(forged(block, 200_000))
    with pytest.raises(FrameDamagedError, match="longer than its content can be"):
        frame_bounds(data, 0)
    assert data.looks < 30


def test_a_reader_goes_on_behind_a_frame_of_endless_blocks(tmp_path):
    """P4: such a frame in the middle costs nothing behind it."""
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    say(writer, "one")
    with open(writer.path, "ab") as file:
        file.write(forged(b"\0\0\0", 1000))
    say(writer, "two")
    writer.close()
    reader = JournalReader(writer.folder)
    try:
        texts = [e.fields["text"] for e in reader.read() if e.type == MESSAGE]
    except JournalError as error:
        pytest.fail(str(error))
    assert texts == ["one", "two"]
    assert len(reader.verdicts) == 1
    assert reader.tails() == []


def test_the_bound_spares_every_honest_frame():
    """Contents that do not compress, at each size of a block, are within the bound."""
    encoder = FrameEncoder()
    for size in (1, 161, 1023, 1024, 131_071, 131_072, 131_073, 1 << 20):
        frame = encoder.encode(os.urandom(size))
        assert frame_bounds(frame, 0).end == len(frame)
