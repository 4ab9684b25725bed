"""Memory that runs out at a given call of the writer, and how much a reader takes at most.

The battery lets every single allocation fail.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from types import SimpleNamespace

import pytest
import zstandard

from sacred.journal import (
    BlobStore,
    EventType,
    JournalReader,
    JournalWriter,
    codec,
    descriptors,
    flusher,
    packing,
    points,
)
from sacred.journal import epoch_writer as epoch_writer_module
from sacred.journal import file_writer as file_writer_module
from sacred.journal import writer as writer_module
from sacred.journal.codec import BlobReference, pack
from sacred.journal.errors import InvalidEventError, WriterClosedError
from sacred.journal.frames import FrameEncoder, chain_after
from sacred.journal.packing import FRAME_BYTES
from sacred.journal.writer import Loss

MESSAGE, OUTPUT, POINT = EventType.MESSAGE, EventType.OUTPUT, EventType.METRIC_POINT
NO_MEMORY = "Cannot allocate memory"


class Fails:
    """Stands for a function: the first of its calls behind ``arm`` raise, so many as that says."""

    def __init__(self, real, error=MemoryError):
        self.real, self.error, self.left = real, error, 0

    def arm(self, times=1):
        self.left = times

    def __call__(self, *args, **more):
        if self.left:
            self.left -= 1
            raise self.error
        return self.real(*args, **more)


class Ring(deque):
    """A ring whose next append fails, when it is told so."""

    left = 0

    def append(self, body):
        if Ring.left:
            Ring.left -= 1
            raise MemoryError
        super().append(body)


class Full(int):
    """A number to which nothing can be added, and from which nothing can be taken."""

    def __add__(self, other):
        raise MemoryError

    __radd__ = __sub__ = __add__


@pytest.fixture(autouse=True)
def no_background(monkeypatch):
    """Let the flusher never run: what happens is what the callers do."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)


@pytest.fixture
def folder(tmp_path):
    """The folder of a journal."""
    return tmp_path / "journal"


@pytest.fixture
def fails(monkeypatch):
    """Put a function that can be told to fail in the place of another."""

    def put(where, name, error=MemoryError):
        stand_in = Fails(getattr(where, name), error)
        monkeypatch.setattr(where, name, stand_in)
        return stand_in

    return put


def say(writer, text):
    return writer.append(MESSAGE, level="info", text=text)


def seen(folder):
    """Return what a journal holds: steps, outputs and texts in order, and gaps as (first, count)."""
    reader, found = JournalReader(folder), []
    for event in reader.read():
        fields = event.fields
        if event.type == POINT:
            found.append(fields["step"])
        elif event.type == OUTPUT:
            found.append(fields["data"])
        elif event.type == MESSAGE:
            found.append(fields["text"])
        elif event.type == EventType.GAP:
            found.append((fields["first_seq"], fields["count"]))
    return found


# -- values and frames ---------------------------------------------------------------------------


def test_no_memory_for_a_value_is_no_fault_of_the_value(fails):
    """Where memory runs out in both ways of encoding, that is said, and not that the value is odd."""
    fails(codec, "_pack_plain").arm(2)
    with pytest.raises(MemoryError):
        codec.pack({"x": 1})


def test_a_compressor_that_fails_has_no_memory():
    """Any bytes can be compressed: what zstd says of a failure is that memory ran out."""

    class Compressor:
        def compress(self, content):
            raise zstandard.ZstdError("cannot compress: Allocation error : not enough memory")

    encoder = FrameEncoder()
    encoder._compressor = Compressor()
    with pytest.raises(MemoryError, match="not enough memory"):
        encoder.encode(bytes(5000))


# -- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["second", "event"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_frame_for_which_there_is_no_memory_waits(folder, fails, durability, listens):
    """P6: nothing raises; the event is pending, and written with the next one."""
    faults = []
    listener = {"on_fault": faults.append} if listens else {}
    writer = JournalWriter.create(folder, durability=durability, **listener)
    chain = fails(epoch_writer_module, "chain_after")
    chain.arm()
    assert say(writer, "one") == -1
    assert (writer._due, writer.next_seq) == (1, 0)
    chain.arm()
    writer.flush()
    assert say(writer, "two") == 1
    chain.arm()
    writer.append_output(1, b"a line\n")
    writer.append(OUTPUT, stream=1, data=b"of the spool", begin=0, end=12)
    chain.arm(2)  # once in ``flush``, once in ``sync`` if that would write
    assert say(writer, "three") == -1
    assert not writer.sync()
    assert writer.sync()
    writer.close()
    assert seen(folder) == ["one", "two", b"a line\n", b"of the spool", "three"]
    assert (writer.losses, faults) == ([], [])


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("where", ["event", "queue", "piece", "point", "clock"])
def test_an_event_that_finds_no_memory_is_counted(folder, monkeypatch, fails, where, listens):
    """P6: what can not even be kept is a gap of one before what comes next, told once, behind it."""
    faults = []
    stand_ins = dict(time.__dict__)
    stand_ins["time_ns"] = clock = Fails(time.time_ns)
    monkeypatch.setattr(points, "time", SimpleNamespace(**stand_ins))
    listener = {"on_fault": faults.append} if listens else {}
    writer = JournalWriter.create(folder, **listener)
    say(writer, "before")
    if where == "event":
        fails(packing, "pack").arm()
        assert say(writer, "lost") == -1
    elif where == "queue":
        fails(writer, "_queue").arm()
        assert say(writer, "lost") == -1
    elif where == "piece":
        fails(writer_module, "Piece").arm()
        writer.append_output(1, b"lost\n")
    elif where == "point":
        writer._last = 0
        fails(points, "pack").arm()  # for the name
        writer.log_point("x", 1, 0.5)
    else:
        clock.arm()
        writer.log_point("x", 1, 0.5)
    assert writer._missed == 1
    say(writer, "after")
    writer.close()
    assert seen(folder) == ["before", "after", (1, 1)]
    assert writer.losses == [Loss(1, 1, NO_MEMORY)]
    assert [str(fault) for fault in faults] == [f"[Errno 12] {NO_MEMORY}"] * listens


def test_an_event_that_waits_is_kept_where_its_writing_fails(folder, fails):
    """Output and points that are taken already, when a call finds no memory, are written later."""
    writer = JournalWriter.create(folder)
    writing = fails(writer, "_write_or_keep")
    writing.arm()
    writer._last = 0
    writer.append_output(1, b"a line\n")
    assert writer._due == 1
    writer._due = writer._last = 0
    writing.arm()
    writer.append(OUTPUT, stream=1, data=b"of the spool", begin=0, end=12)
    assert writer._due == 1
    writing.arm()
    writer.log_point("x", 2, 0.5)  # flushes, as what waits is due
    writing.arm()
    writer.flush()
    caught = fails(writer, "flush")
    caught.arm()
    writer.log_point("x", 3, 0.5)
    assert seen(folder) == []
    assert say(writer, "after") == 4
    writer.close()
    assert seen(folder) == [2, 3, b"a line\n", b"of the spool", "after"]
    assert writer.losses == []


def test_a_loss_that_can_not_be_counted_raises_nothing(folder):
    """Not even a number can be made: the call returns all the same."""
    writer = JournalWriter.create(folder)
    writer._missed = Full(1)
    writer._miss()
    assert writer._missed == 1
    writer._give_up_pending()
    assert (writer.closed, writer.losses) == (True, [])
    writer.closed, writer._missed = False, 0
    writer.close()


# -- one write after the other -------------------------------------------------------------------


@pytest.mark.parametrize("what", ["message", "point"])
def test_a_frame_that_can_not_be_kept_has_taken_no_number(folder, monkeypatch, what):
    """P4: memory runs out before the frame is kept: numbers and chain are those before it."""
    monkeypatch.setattr(file_writer_module, "deque", Ring)
    monkeypatch.setattr(Ring, "left", 0)
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.5)
    before = writer.next_seq, writer._chain, writer._ring_bytes, writer._taken
    Ring.left = 1
    if what == "message":
        assert say(writer, "kept") == -1
    else:
        writer.log_point("x", 1, 0.5)
    assert (writer.next_seq, writer._chain, writer._ring_bytes, writer._taken) == before
    writer.log_point("x", 2, 0.5)
    writer.close()
    assert seen(folder) == ([0, "kept", 2] if what == "message" else [0, 2, (2, 1)])
    assert sum(loss.count for loss in writer.losses) == (what == "point")


def test_memory_that_runs_out_behind_a_frame_writes_nothing_twice(folder, monkeypatch):
    """P4: how much waits can not be counted down: what was written does not wait any more."""
    writer = JournalWriter.create(folder)
    emit = writer._emit

    def emitted(events, count):
        emit(events, count)
        writer._pending_bytes = Full(writer._pending_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_emit", emitted)
        assert say(writer, "one") == 0
    assert writer._pending == []
    writer._pending_bytes = int(writer._pending_bytes)
    assert say(writer, "two") == 1
    writer.close()
    assert seen(folder) == ["one", "two"]


@pytest.mark.parametrize("what", ["message", "point"])
def test_a_write_of_which_nobody_knows_is_done_again(folder, monkeypatch, fails, what):
    """P1: memory runs out in the write itself: the frame stands in the next file, once."""
    write = Fails(os.write)
    monkeypatch.setattr(os, "write", write)
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.5)
    writer.log_point("x", 1, 0.5)
    write.arm()
    if what == "message":
        assert say(writer, 2) == 2
    else:
        writer.log_point("x", 2, 0.5)
    writer.log_point("x", 3, 0.5)
    assert writer.sync()
    writer.close()
    assert (writer.epoch, writer.losses) == (2, [])
    assert seen(folder) == [0, 1, 2, 3]


def test_a_point_that_is_written_is_not_lost(folder, fails):
    """What fails behind the write of a point, or where its event is kept, costs no event."""
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.5)
    writer._dirty = False
    fails(writer, "_after_write").arm()
    writer.log_point("x", 1, 0.5)
    fails(writer, "_write_or_keep").arm()
    writer.log_point("a new name", 2, 0.5)
    writer.close()
    assert (writer._missed, writer.losses) == (0, [])
    assert seen(folder) == [0, 1, 2]


def test_a_point_of_a_handler_that_finds_no_memory_is_counted(folder, monkeypatch, fails):
    """P6: a handler that comes in a write logs a point, and no memory is left for it."""
    real, armed = os.write, []
    packs = fails(packing, "pack")

    def write(descriptor, data):
        if armed:
            armed.clear()
            packs.arm()
            writer.log_point("x", 1, 0.5)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.5)
    armed.append(True)
    say(writer, "one")
    assert writer._missed == 1
    say(writer, "two")
    writer.close()
    assert seen(folder) == [0, "one", "two", (2, 1)]


# -- syncing and closing -------------------------------------------------------------------------


def test_a_sync_that_finds_no_memory_is_no_success(folder, fails):
    """P2: nothing is called durable, and the next turn of the background tries again."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    fails(descriptors, "sync").arm()
    assert not writer.sync()
    assert (writer.durable_seq, writer._dirty) == (0, True)
    assert writer.sync()
    assert (writer.durable_seq, writer._dirty) == (1, False)
    writer.close()


def test_closing_is_tried_until_there_is_memory(folder, fails):
    """P1: memory that is back a moment later: all that waited is in the file."""
    writer = JournalWriter.create(folder)
    writer._last = time.time_ns()
    writer.log_point("x", 0, 0.5)
    fails(epoch_writer_module, "chain_after").arm(5)
    writer.close()
    assert (writer.closed, writer.losses, seen(folder)) == (True, [], [0])


@pytest.mark.parametrize("waits", [True, False])
def test_what_closing_gives_up_is_counted(folder, fails, waits):
    """P6: memory that never is back: closing ends, and tells how many numbers no file took."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    chain = fails(epoch_writer_module, "chain_after")
    descriptor = writer._fd
    ends = fails(writer, "_end_file")
    chain.arm(1000)
    ends.arm(1000)
    if waits:
        writer.log_point("x", 0, 0.5)
        writer.append_output(1, b"a line\n")
        say(writer, "two")
        writer._missed = 2
    writer.close()
    assert writer.closed
    # What was missed, then what waited: a point, a line, a message. What was to tell is no event.
    assert writer.losses == ([Loss(1, 2, NO_MEMORY), Loss(3, 3, NO_MEMORY)] if waits else [])
    assert seen(folder) == ["one"]
    os.close(descriptor)


@pytest.mark.parametrize("durability", ["second", "event"])
def test_what_was_given_up_is_written_no_more(folder, fails, durability):
    """A writer that closing gave up takes nothing, though its file is open."""
    writer = JournalWriter.create(folder, durability=durability)
    writer.log_point("x", 0, 0.5)
    writer.flush()
    descriptor = writer._fd
    fails(writer, "_end_file").arm(1000)
    writer.close()
    with pytest.raises(WriterClosedError):
        writer.log_point("x", 1, 0.5)
    assert seen(folder) == [0]
    os.close(descriptor)


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, FRAME_BYTES - 50])
def test_the_number_is_not_that_of_a_handler_s_event(folder, monkeypatch, size):
    """What a handler puts behind an event that is about to be written, in its frame or the next."""
    writer = JournalWriter.create(folder)
    say(writer, "before")
    write_out = writer._write_out

    def interrupted(*asked):
        monkeypatch.setattr(writer, "_write_out", write_out)
        assert say(writer, "of the handler") == -1
        write_out(*asked)

    monkeypatch.setattr(writer, "_write_out", interrupted)
    assert say(writer, "x" * size) == 1
    assert seen(folder) == ["before", "x" * size, "of the handler"]
    writer.close()


def test_a_loss_that_can_not_be_told_is_told_later(folder, fails):
    """P3: no memory for the gap event itself: it comes with what is written next, once."""
    writer = JournalWriter.create(folder)
    writer._miss()
    fails(epoch_writer_module, "pack").arm()
    assert say(writer, "one") == 1
    assert (seen(folder), writer.losses) == (["one"], [])
    assert say(writer, "two") == 2
    writer.close()
    assert seen(folder) == ["one", "two", (0, 1)]
    assert writer.losses == [Loss(0, 1, NO_MEMORY)]


def test_a_child_tells_its_own_losses(folder):
    """P6: what its parent missed is the parent's to tell, also if the child says nothing else."""
    writer = JournalWriter.create(folder)
    writer._miss()
    child = os.fork()
    if child == 0:
        say(writer, "of the child")
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        writer._miss()
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    found = [(e.writer, e.fields) for e in JournalReader(folder).read() if e.name == "gap"]
    assert [(writer, fields["first_seq"], fields["count"]) for writer, fields in found] == [
        (0, 0, 1),
        (2, 1, 1),
    ]


# -- the flusher ---------------------------------------------------------------------------------


def test_a_flusher_for_which_there_is_no_memory_is_started_later(folder, monkeypatch):
    """No thread can be made: nothing raises, and the next call tries again."""
    monkeypatch.undo()
    writer = JournalWriter.create(folder)
    start = Fails(threading.Thread.start)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: start(thread))
        start.arm()
        writer._rouse()
        assert (writer._flusher, writer._dozing) == (None, True)
        writer._rouse()
        assert writer._flusher.is_alive()
    writer.close()
    assert not writer._flusher.is_alive()


def test_a_turn_that_finds_no_memory_is_followed_by_the_next(monkeypatch):
    """The background sleeps for a moment where memory ran out, and goes on."""
    answers, slept = [MemoryError, True, MemoryError, False], []

    class Turns:
        def __init__(self, reference, wake):
            pass

        def take(self):
            answer = answers.pop(0)
            if answer is MemoryError:
                raise answer
            return answer

    monkeypatch.setattr(flusher, "Turns", Turns)
    monkeypatch.setattr(flusher, "time", SimpleNamespace(sleep=slept.append))
    flusher.flush_in_background(lambda: None, None)
    assert (answers, slept) == ([], [flusher.TICK] * 2)


# -- how much a reader takes ---------------------------------------------------------------------


def array(count):
    """The head of a list of so many values."""
    return b"\xdd" + struct.pack(">I", count)


def odd_contents(size):
    """Events of so many bytes that say more in them than they should: what a byte or three make."""
    head = b"\x83\xa1t\x01\xa1e\x1a\xa6result"
    small = b"\xd5\x04\x91\x00"  # a set of one number
    return {
        "empty maps": head + array(size) + bytes([0x80]) * size,
        "maps as events": bytes([0x80]) * size,
        "maps of one entry": head + array(size // 3) + b"\x81\x00\x00" * (size // 3),
        "unknown extensions": head + array(size // 3) + b"\xd4\x7f\x00" * (size // 3),
        "sets": head + array(size // 4) + small * (size // 4),
        "a tuple of maps": head
        + b"\xc9"
        + struct.pack(">I", size + 5)
        + b"\x03"
        + array(size)
        + bytes([0x80]) * size,
        "lists that are not there": head
        + array(size) * 900
        + b"\xdb"
        + array(size)[1:]
        + b"x" * size,
    }


_MEASURED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from sacred.journal import JournalReader
reader = JournalReader(sys.argv[1])
last = [event.time for event in reader.read()][-1]
with open("/proc/self/status") as file:  # getrusage tells the parent's, too
    (most,) = (int(line.split()[1]) >> 10 for line in file if line.startswith("VmHWM"))
print(last, len(reader.verdicts), most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much a process took is told by /proc")
@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (2 << 20, "empty maps"),
        pytest.param(2 << 20, "maps of one entry", marks=pytest.mark.slow),
        *(pytest.param(16 << 20, kind, marks=pytest.mark.slow) for kind in odd_contents(8)),
    ],
)
def test_no_frame_takes_more_than_the_cap(tmp_path, size, kind):
    """A frame whose events are as many values as fit takes 256 MiB at most, and what stands behind it is read."""
    content = odd_contents(size - 65_536)[kind]
    began = pack({"t": 1, "e": 1, "format": 1, "min_reader": 1, "features": [], "journal": 5})
    last = pack({"t": 7, "e": 16, "m": "x", "s": 0, "v": 0.5})
    encode = FrameEncoder().encode
    frames = [
        encode(pack([0, 5, 0, 1, 0, 0, 0]) + began),
        encode(pack([0, 5, 0, 1, 0, 1, 0]) + content),
        encode(pack([0, 5, 0, 1, 1, 1, chain_after(0, content)]) + last),
    ]
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "w0000-e0001.jzst").write_bytes(b"".join(frames))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(folder)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    shutil.rmtree(folder)  # the page's reader has no such cap
    assert b"" == done.stderr
    last_time, verdicts, megabytes = map(int, done.stdout.split())
    assert 7 == last_time
    assert megabytes < 256
    assert verdicts or size == 2 << 20


def test_a_frame_of_too_many_values_is_a_gap(folder, monkeypatch):
    """What a reader does not decode is named, and what stands behind it is read."""
    monkeypatch.setattr(codec, "MOST_VALUES", 100)
    monkeypatch.setattr(packing, "holds_too_much", lambda event: False)
    writer = JournalWriter.create(folder)
    for count in (50, 90, 99):
        writer.append(EventType.INFO_CHANGED, set=[[["a"], [7] * count]], deleted=[])
        writer.flush()
    say(writer, "behind")
    writer.close()
    reader = JournalReader(folder)
    assert [-1, 0, 3] == [event.seq for event in reader.read()]
    assert [(1, 3)] == [(gap.first_seq, gap.next_seq) for gap in reader.verdicts]


def test_values_are_counted_as_they_nest():
    """The count of a content's values is that of what it decodes to, an extension as four more."""
    rng = random.Random(3)

    def some(depth):
        kind = rng.randrange(9 if depth > 3 else 13)
        if kind < 9:
            size = rng.choice([0, 1, 31, 32, 255, 256, 70_000])
            number = rng.randrange(-(1 << 63), 1 << 64) >> rng.randrange(64)
            return (None, True, number, -7, 0.5, "x" * size, b"x" * size, 200, 1j)[kind]
        items = [some(depth + 1) for _ in range(rng.choice([0, 1, 3, 16]))]
        return (items, dict(enumerate(items)), tuple(items), {"a": items})[kind - 9]

    def count(value):
        if isinstance(value, dict):
            return 1 + sum(map(count, [*value, *value.values()]))
        if isinstance(value, (list, tuple)):
            return 1 + 4 * isinstance(value, tuple) + sum(map(count, value))
        return 4 if isinstance(value, complex) else 1

    for _ in range(300):
        value = some(0)
        packed = pack(value)
        assert count(value) == codec._weigh(packed, 0, len(packed), 1 << 62)
    assert 1 == codec._weigh(b"\xc1" + bytes(9), 0, 10, 1 << 62)
    assert 4 == codec._weigh(b"\xc7\xff\x03", 0, 3, 1 << 62)


@pytest.mark.slow
def test_an_event_of_more_values_than_a_reader_takes_is_kept_beside_the_journal(tmp_path):
    """Millions of small numbers fit into an event by their size, and become a blob all the same; where there is no store, a text or an error."""
    many = [1] * ((1 << 21) + 1)
    store = BlobStore(tmp_path / "blobs")
    writer = JournalWriter.create(tmp_path / "journal", blobs=store)
    writer.append(EventType.INFO_SNAPSHOT, info={"many": many, "few": [0.5] * (1 << 20)})
    writer.append(EventType.INFO_SNAPSHOT, info={"few": [0.5] * (1 << 20)})
    writer.log_point("many", 0, many)
    writer.close()
    infos, points = [], []
    reader = JournalReader(tmp_path / "journal")
    for event in reader.read():
        if event.type == EventType.INFO_SNAPSHOT:
            infos.append(event.fields["info"])
        elif event.type == POINT:
            points.append(event.fields["value"])
    assert [BlobReference, dict] == [type(info) for info in infos]
    assert [BlobReference] == [type(point) for point in points]
    assert many == codec.unpack(store.read(points[0].digest))
    assert [] == reader.verdicts
    writer = JournalWriter.create(tmp_path / "without")
    with pytest.raises(InvalidEventError, match="2,097,152 values"):
        writer.append(EventType.INFO_SNAPSHOT, info={"many": many})
    writer.close()
