"""Memory that runs out at a given call of the writer; the battery lets every single allocation fail."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import SimpleNamespace

import pytest
import zstandard

from sacred.journal import EventType, JournalReader, JournalWriter, codec
from sacred.journal import epoch_writer as epoch_writer_module
from sacred.journal import writer as writer_module
from sacred.journal.frames import FrameEncoder
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
    monkeypatch.setattr(writer_module, "time", SimpleNamespace(**stand_ins))
    listener = {"on_fault": faults.append} if listens else {}
    writer = JournalWriter.create(folder, **listener)
    say(writer, "before")
    if where == "event":
        fails(writer_module, "pack").arm()
        assert say(writer, "lost") == -1
    elif where == "queue":
        fails(writer, "_queue").arm()
        assert say(writer, "lost") == -1
    elif where == "piece":
        fails(writer_module, "_Piece").arm()
        writer.append_output(1, b"lost\n")
    elif where == "point":
        writer._last = 0
        packing = fails(writer_module, "pack")
        packing.arm(3)  # for the name, which is tried with care, and for the point
        writer.log_point("x", 1, 0.5)
        packing.arm(0)
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
    monkeypatch.setattr(epoch_writer_module, "deque", Ring)
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
    write = Fails(epoch_writer_module.os.write)
    monkeypatch.setattr(epoch_writer_module.os, "write", write)
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
    real, armed = writer_module.os.write, []
    packing = fails(writer_module, "pack")

    def write(descriptor, data):
        if armed:
            armed.clear()
            packing.arm()
            writer.log_point("x", 1, 0.5)
        return real(descriptor, data)

    monkeypatch.setattr(writer_module.os, "write", write)
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
    fails(epoch_writer_module, "_sync").arm()
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
    # What was missed, then what waited: a point, a line, a message, and the gap that was to tell.
    assert writer.losses == ([Loss(1, 2, NO_MEMORY), Loss(3, 4, NO_MEMORY)] if waits else [])
    assert seen(folder) == ["one"]
    writer._close_file()


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

    monkeypatch.setattr(writer_module, "_Turns", Turns)
    monkeypatch.setattr(writer_module, "time", SimpleNamespace(sleep=slept.append))
    writer_module._flush_in_background(lambda: None, None)
    assert (answers, slept) == ([], [writer_module._TICK] * 2)
