"""Writing: what a call recorded is in the file, whoever is killed and whatever the disk says."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter
from sacred.journal.blobs import BlobStore
from sacred.journal.codec import BlobReference, unpack
from sacred.journal.errors import (
    InvalidEventError,
    JournalUnavailableError,
    WriterClosedError,
)

MESSAGE = EventType.MESSAGE


def _events(folder):
    return [event for event in JournalReader(folder).read() if event.seq >= 0]


def _points(folder):
    points = []
    for event in _events(folder):
        if event.type == EventType.METRIC_POINT:
            fields = event.fields
            points.append((fields["metric"], fields["step"], fields["value"]))
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            points += zip(table.names(), table.steps, table.values, strict=True)
    return points


def _say(writer, text):
    return writer.append(MESSAGE, level="info", text=text)


def _until(condition, what, seconds=100):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


# -- what is in the file when a call returns ---------------------------------------------------


def test_a_control_event_is_in_the_file_when_its_call_returns(tmp_path):
    """P1: another process sees the event as soon as `append` has returned its number."""
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(20):
        assert _say(writer, str(number)) == number
        assert [event.fields["text"] for event in _events(writer.folder)][-1] == str(number)
    writer.close()


def test_a_point_after_silence_is_in_the_file_when_its_call_returns(tmp_path):
    """A journal that was idle writes a metric point at once."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(3):
        writer._last = 0  # as if the last point were long ago
        writer.log_point("x", step, 0.5)
        assert len(_points(writer.folder)) == step + 1
    writer.close()


def test_a_steady_stream_leaves_its_points_to_the_background(tmp_path, monkeypatch):
    """A point 10 ms after the last waits for the flusher; one 25 ms after it is written at once."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    writer = JournalWriter.create(tmp_path / "journal")
    writer._rouse = lambda: None  # the background sleeps for ever
    writer.log_point("x", 0, 0.5)
    for step in (1, 2):
        now += 10_000_000
        writer.log_point("x", step, 0.5)
        assert len(_points(writer.folder)) == step
        writer.flush()
    now += 25_000_000
    writer.log_point("x", 3, 0.5)
    assert len(_points(writer.folder)) == 4
    writer.close()


@pytest.mark.parametrize("durability", ["second", "event"])
def test_the_function_for_points_is_the_method_of_the_documents(tmp_path, durability):
    """`log_point` is made for each writer, says what it does, and can be called as a method."""
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    assert "Record one metric point." in writer.log_point.__doc__
    assert writer.log_point.__doc__ == JournalWriter.log_point.__doc__
    JournalWriter.log_point(writer, "x", 0, 0.5)
    writer.close()
    assert _points(writer.folder) == [("x", 0, 0.5)]


def test_a_burst_is_in_the_file_soon_without_another_call(tmp_path):
    """Points of a burst are written by the background when nothing else comes."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(1000):
        writer.log_point("x", step, float(step))
    _until(lambda: len(_points(writer.folder)) == 1000, "the burst is written")
    assert _points(writer.folder) == [("x", step, float(step)) for step in range(1000)]
    writer.close()


def test_output_that_is_written_in_pieces_is_one_event(tmp_path):
    """What print writes word by word is joined, each stream by itself, nothing lost or moved."""
    writer = JournalWriter.create(tmp_path / "journal")
    rouse, writer._rouse = writer._rouse, lambda: None  # the background sleeps meanwhile
    for stream, data in [(1, b"loss"), (1, b" "), (1, b"0.5"), (1, b"\n"), (2, b"x"), (1, b"end")]:
        writer.append_output(stream, data)
    _say(writer, "done")
    said = [
        (event.fields.get("stream"), event.fields.get("data") or event.fields.get("text"))
        for event in _events(writer.folder)
        if event.seq >= 0
    ]
    assert [(1, b"loss 0.5\n"), (2, b"x"), (1, b"end"), (None, "done")] == said
    writer._last = 0  # as if nothing had come for long
    writer.append_output(1, b"a line\n")
    assert _events(writer.folder)[-1].fields["data"] == b"a line\n"
    writer._rouse = rouse
    writer.append_output(2, b"the last words")
    _until(lambda: _events(writer.folder)[-1].fields["stream"] == 2, "they are written")
    writer.close()


def test_a_caller_writes_full_batches_itself(tmp_path):
    """At most 112 points wait, also where the background never gets a turn."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer._rouse = lambda: None  # the background sleeps for ever
    for step in range(1000):
        writer.log_point("x", step, 0.0)
    assert 1000 - len(_points(writer.folder)) <= 112
    writer.close()
    assert len(_points(writer.folder)) == 1000


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_points_and_events_keep_their_order(tmp_path, durability):
    """A control event stands behind the points that were logged before it."""
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    for step in range(300):
        writer.log_point(f"m{step % 3}", step, step / 3)
        if step % 100 == 99:
            _say(writer, str(step))
    writer.close()
    seen = 0
    for event in _events(writer.folder):
        if event.type == MESSAGE:
            assert seen == int(event.fields["text"]) + 1
        else:
            seen += event.count
    assert _points(writer.folder) == [(f"m{step % 3}", step, step / 3) for step in range(300)]


def test_with_durability_event_every_point_is_in_the_file(tmp_path):
    """P1: `durability="event"` loses no point whose call returned, of any value."""
    writer = JournalWriter.create(tmp_path / "journal", durability="event")
    values = [0.5, 3, float("inf"), "text", 2**70, None, (1, 2)]
    for step, value in enumerate(values):
        writer.log_point("x", step, value)
        assert _points(writer.folder)[-1] == ("x", step, value)
    writer.close()


def test_closing_twice_and_logging_after_the_end(tmp_path):
    """`close`, `flush` and `sync` may be repeated; later events and points are refused."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.log_point("x", 0, 1.0)
    writer.close()
    writer.close()
    writer.flush()
    assert writer.sync()
    closed = "journal is closed: nothing more can be recorded in it"
    for record in (
        lambda: writer.log_point("x", 1, 1.0),
        lambda: _say(writer, "late"),
        lambda: writer.append_output(1, b"late"),
    ):
        with pytest.raises(WriterClosedError, match=closed):
            record()
    assert _points(writer.folder) == [("x", 0, 1.0)]


def test_bad_calls_are_refused_with_a_sentence(tmp_path):
    """Wrong durabilities, wrong types and fields, and a journal that is there already."""
    with pytest.raises(InvalidEventError, match="durability is one of process, second, event"):
        JournalWriter.create(tmp_path / "a", durability="never")
    for number in (0, -1, 1 << 63, "x", True):
        with pytest.raises(InvalidEventError, match="journal_id is 1 to"):
            JournalWriter.create(tmp_path / "a", journal_id=number)
    writer = JournalWriter.create(tmp_path / "b")
    with pytest.raises(InvalidEventError, match="message has no field 'txt': level, text, source"):
        writer.append(MESSAGE, level="info", txt="x")
    for unknown in (999, "message", None, []):
        with pytest.raises(InvalidEventError, match=r"no event type .*: RUN_STARTED \(2\), RUN_"):
            writer.append(unknown, text="x")
    for own in (EventType.EPOCH_BEGAN, EventType.SEALED, EventType.METRIC_TABLE):
        with pytest.raises(InvalidEventError, match="own; for metrics there is log_point"):
            writer.append(own)
    with pytest.raises(InvalidEventError, match="message needs level, text: a reader counts on th"):
        writer.append(MESSAGE, text=None)
    with pytest.raises(InvalidEventError, match="result_changed needs result: a reader counts on "):
        writer.append(EventType.RESULT_CHANGED)
    for when in (1.5, "now", 1 << 63, True):
        with pytest.raises(InvalidEventError, match="time_ns is a whole number of ns"):
            writer.append(MESSAGE, time_ns=when, level="info", text="x")
    with pytest.raises(InvalidEventError, match="output is bytes, not str: encode it"):
        writer.append_output(1, "text")
    with pytest.raises(JournalUnavailableError, match="holds a journal already"):
        JournalWriter.create(tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailableError, match="can not be written"):
        JournalWriter.create(tmp_path / "file" / "journal")
    writer.close()
    assert _events(writer.folder) == []


def test_what_may_be_none_and_what_may_be_a_point(tmp_path):
    """A value that is None stands in the event; a point may be appended, with a time of its own."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.RESULT_CHANGED, result=None)
    writer.append(EventType.METRIC_POINT, time_ns=7, metric=5, step=0, value=None)
    writer.append_output(1, bytearray(b"x"))
    writer.close()
    assert [(e.time == 7, e.fields) for e in _events(writer.folder)] == [
        (False, {"result": None}),
        (True, {"metric": "5", "step": 0, "value": None}),
        (False, {"stream": 1, "data": b"x"}),
    ]


def test_a_value_too_large_for_an_event_becomes_a_blob(tmp_path):
    """Beyond 16 MiB the value is kept beside the journal, or refused where there is no store."""
    big = {"x": bytes(17 << 20)}
    store = BlobStore(tmp_path / "blobs")
    writer = JournalWriter.create(tmp_path / "journal", blobs=store)
    writer.append(EventType.INFO_SNAPSHOT, info=big)
    writer.close()
    reference = _events(writer.folder)[0].fields["info"]
    assert type(reference) is BlobReference
    assert unpack(store.read(reference.digest)) == big
    writer = JournalWriter.create(tmp_path / "other")
    with pytest.raises(InvalidEventError, match="16 MiB"):
        writer.append(EventType.INFO_SNAPSHOT, info=big)
    writer.close()


# -- kills -------------------------------------------------------------------------------------

KILLED = textwrap.dedent(
    """
    import os, sys
    from sacred.journal import EventType, JournalWriter
    writer = JournalWriter.create(sys.argv[1], durability=sys.argv[2])
    ack = os.write
    number = 0
    while True:
        writer.log_point("x", number, number / 2)
        if sys.argv[2] == "event":
            ack(1, b"p%d\\n" % number)
        if number % 7 == 0:
            writer.append(EventType.MESSAGE, level="info", text=str(number) + "." * (number % 3000))
            ack(1, b"e%d\\n" % number)
        number += 1
    """
)


@pytest.mark.parametrize("durability", ["second", "event"])
def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path, durability):
    """P1, P3: killed flat out at odd moments, all acknowledged events are there, without a hole."""
    for round_number in range(12):
        folder = tmp_path / f"{durability}-{round_number}"
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), durability], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        acknowledged = process.stdout.read(40 + 977 * round_number)
        process.kill()
        acknowledged += process.stdout.read()
        process.wait(100)
        process.stdout.close()
        lines = acknowledged.split(b"\n")[:-1]
        texts = [int(line[1:]) for line in lines if line.startswith(b"e")]
        steps = [int(line[1:]) for line in lines if line.startswith(b"p")]
        reader = JournalReader(folder)
        events = list(reader.read())
        found = [int(e.fields["text"].rstrip(".")) for e in events if e.type == MESSAGE]
        points = [step for _, step, _ in _points(folder)]
        assert found[: len(texts)] == texts
        assert points == list(range(len(points)))
        assert len(points) >= len(steps)
        # A second file tells of a disk that refused for a moment: which, is what a person asks then.
        assert reader.verdicts == [], [e.fields for e in events if e.seq < 0]


# -- processes, threads, signals ---------------------------------------------------------------


def test_a_forked_child_becomes_a_writer_of_its_own(tmp_path):
    """R9: what a child logs is in a file of its own number; the parent's is untouched."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.log_point("x", 0, 0.0)
    _say(writer, "before")
    for number in range(3):
        child = os.fork()
        if child == 0:
            for step in range(50):
                writer.log_point("child", step, float(number))
            writer.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    writer.log_point("x", 1, 1.0)
    writer.close()
    events = _events(writer.folder)
    assert sorted({event.writer for event in events}) == [0, 1, 2, 3]
    begun = [event for event in events if event.type == EventType.CHILD_BEGAN]
    assert [event.fields["kind"] for event in begun] == ["fork"] * 3
    points = _points(writer.folder)
    assert sorted(point for point in points if point[0] == "x") == [("x", 0, 0.0), ("x", 1, 1.0)]
    for number in range(3):
        steps = [step for name, step, value in points if (name, value) == ("child", number)]
        assert steps == list(range(50))


def test_a_worker_joins_a_journal_that_another_process_began(tmp_path):
    """R9: nothing is there before its first event; then it has a number, a name, and each event in the file at once."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "first")
    names = ["worker 7", None]
    joined = [
        JournalWriter.join(writer.folder, journal_id=writer.journal_id, label=name)
        for name in names
    ]
    assert writer.other_writers() == []
    for number, other in enumerate(joined, 1):
        other.log_point("x", 0, 0.5)
        other.append_output(1, b"no line")
        other.log_point("x", 1, 0.25)
        assert len(_events(writer.folder)) == 1 + 4 * number  # before anything is flushed
    writer.close()
    joined[0].close()
    events = _events(writer.folder)
    begun = [event.fields for event in events if event.type == EventType.CHILD_BEGAN]
    assert begun == [{"kind": "worker", "label": "worker 7"}, {"kind": "worker"}]
    assert _say(joined[1], "behind the end") == 4
    joined[1].close()
    reader = JournalReader(writer.folder)
    assert [event.fields["text"] for event in reader.read() if event.type == MESSAGE] == [
        "first", "behind the end",
    ]  # fmt: skip
    assert reader.verdicts == []
    identities = [reader.identities[number, 1] for number in (1, 2)]
    assert [(i["opened_by"], i.get("parent")) for i in identities] == [("child", None)] * 2


def test_a_worker_that_forks(tmp_path):
    """R9: its child is a fork; of a worker that wrote nothing itself, one without a parent among the writers."""
    writer = JournalWriter.create(tmp_path / "journal")
    for has_written in (False, True):
        joined = JournalWriter.join(writer.folder, journal_id=writer.journal_id)
        if has_written:
            _say(joined, "worker")
        child = os.fork()
        if child == 0:
            joined.append_output(1, b"no line")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        joined.close()
    writer.close()
    reader = JournalReader(writer.folder)
    kinds = [event.fields["kind"] for event in reader.read() if event.type == EventType.CHILD_BEGAN]
    assert kinds == ["fork", "worker", "fork"]
    parents = [reader.identities[number, 1].get("parent") for number in (1, 2, 3)]
    assert parents == [None, None, [2, 1, 2]]
    assert reader.verdicts == []


def test_a_worker_whose_journal_is_gone(tmp_path):
    """P6: it is as a disk that refuses: nothing raises, and what is recorded is there when the folder is."""
    seen = []
    joined = JournalWriter.join(
        tmp_path / "journal", journal_id=5, on_fault=seen.append, durability="process"
    )
    joined.log_point("x", 0, 0.5)
    assert [type(error) for error in seen] == [FileNotFoundError]
    (tmp_path / "journal").mkdir()
    joined._retry_at = 0.0
    joined.log_point("x", 1, 0.25)
    joined.close()
    assert _points(tmp_path / "journal") == [("x", 0, 0.5), ("x", 1, 0.25)]
    with pytest.raises(InvalidEventError):
        JournalWriter.join(tmp_path / "journal", journal_id=5, durability="never")


def test_a_child_that_logs_nothing_leaves_no_file(tmp_path):
    """A forked child claims its number with its first event, not before."""
    writer = JournalWriter.create(tmp_path / "journal")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    assert len(list(writer.folder.iterdir())) == 1


@pytest.mark.parametrize("durability", ["second", "event"])
def test_threads_share_a_writer(tmp_path, durability):
    """Eight threads: every point and event once, each thread's in its own order."""
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)

    def work(number):
        for step in range(500):
            writer.log_point(f"t{number}", step, 0.5)
            if step % 100 == 0:
                _say(writer, f"{number} {step}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    writer.close()
    points = _points(writer.folder)
    for number in range(8):
        assert [s for name, s, _ in points if name == f"t{number}"] == list(range(500))
    reader = JournalReader(writer.folder)
    assert sum(event.count for event in reader.read()) == 8 * 505
    assert reader.verdicts == []


def test_a_signal_handler_may_record(tmp_path):
    """A handler that interrupts the writer anywhere neither blocks nor loses its events."""
    writer = JournalWriter.create(tmp_path / "journal")
    handled = []

    def handler(number, frame):
        writer.log_point("signal", len(handled), 1.0)
        _say(writer, f"signal {len(handled)}")
        handled.append(1)

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for step in range(20_000):
            writer.log_point("x", step, 0.0)
            if step % 50 == 0:
                _say(writer, str(step))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    writer.close()
    assert handled
    points = _points(writer.folder)
    assert [step for name, step, _ in points if name == "x"] == list(range(20_000))
    assert len([1 for name, _, _ in points if name == "signal"]) == len(handled)
    texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
    assert len([text for text in texts if text.startswith("signal")]) == len(handled)


def test_what_is_pending_is_written_when_the_program_ends(tmp_path):
    """A program that ends without closing loses nothing."""
    program = """
import sys
from sacred.journal import JournalWriter
writer = JournalWriter.create(sys.argv[1])
for step in range(77):
    writer.log_point("x", step, 1.0)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "j")], check=True, timeout=60)
    assert len(_points(tmp_path / "j")) == 77


# -- a disk that refuses -----------------------------------------------------------------------


class Disk:
    """Stands between the writer and the system's calls, and lets some of them fail."""

    def __init__(self, monkeypatch):
        self.failing = None
        self.written = 0
        real_write, real_sync, real_open = os.write, os.fdatasync, os.open

        def write(descriptor, data):
            if self.failing in {"EIO", "ENOSPC", "EROFS"}:
                raise OSError(
                    getattr(errno, self.failing), os.strerror(getattr(errno, self.failing))
                )
            if self.failing == "short":
                return real_write(descriptor, data[: len(data) // 2])
            return real_write(descriptor, data)

        def sync(descriptor):
            if self.failing == "sync":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real_sync(descriptor)

        def opened(path, flags, mode=0o777, **more):
            if self.failing in {"ENOSPC", "EROFS", "EMFILE"} and str(path).endswith(".jzst"):
                raise OSError(
                    getattr(errno, self.failing), os.strerror(getattr(errno, self.failing))
                )
            return real_open(path, flags, mode, **more)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "fdatasync", sync)
        monkeypatch.setattr(os, "open", opened)


@pytest.fixture
def disk(monkeypatch):
    """A disk that a test can let fail."""
    return Disk(monkeypatch)


@pytest.mark.parametrize("failure", ["EIO", "ENOSPC", "EROFS", "short"])
@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_a_disk_that_refuses_for_a_while_costs_nothing(tmp_path, disk, failure, durability):
    """P6: no call raises; when the disk takes again, all is written, in the next epoch's file."""
    faults = []
    writer = JournalWriter.create(
        tmp_path / "journal", durability=durability, on_fault=faults.append
    )
    _say(writer, "before")
    disk.failing = failure
    for step in range(300):
        writer.log_point("x", step, float(step))
    _say(writer, "while")
    assert writer.fault is not None
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "after")
    writer.close()
    assert len(faults) == 1
    texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
    assert texts == ["before", "while", "after"]
    assert [step for _, step, _ in _points(writer.folder)] == list(range(300))
    assert writer.epoch >= 2
    reader = JournalReader(writer.folder)
    list(reader.read())
    assert all(getattr(verdict, "superseded", False) for verdict in reader.verdicts)


def test_what_does_not_fit_into_memory_is_counted_as_lost(tmp_path, disk, monkeypatch):
    """P6, P3: a disk that refuses for long loses the oldest events, and a gap event names them."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 20_000)
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    _say(writer, "first")
    disk.failing = "ENOSPC"
    for number in range(200):
        _say(writer, f"{number:04} " + "x" * 500)
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "last")
    writer.close()
    events = _events(writer.folder)
    gaps = [event.fields for event in events if event.type == EventType.GAP]
    assert len(gaps) == 1
    assert gaps[0]["first_seq"] == 1
    assert "No space left" in gaps[0]["reason"]
    kept = [e.fields["text"][:4] for e in events if e.type == MESSAGE]
    assert kept == ["firs", *[f"{n:04}" for n in range(gaps[0]["count"], 200)], "last"]
    assert [(loss.first_seq, loss.count) for loss in writer.losses] == [(1, gaps[0]["count"])]


def test_the_number_of_an_event_is_not_that_of_a_loss_behind_it(tmp_path, disk, monkeypatch):
    """`append` returns the event's own number, whatever is told behind it of what was lost."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 3000)
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    numbers = {"first": _say(writer, "first")}
    writer._miss()
    numbers["behind a loss"] = _say(writer, "behind a loss")
    disk.failing = "ENOSPC"
    for number in range(20):
        _say(writer, f"{number} " + "x" * 500)
    disk.failing = None
    writer._retry_at = 0.0
    numbers["behind a fault"] = _say(writer, "behind a fault")
    numbers["last"] = _say(writer, "last")
    writer.close()
    events = {e.fields["text"]: e.seq for e in _events(writer.folder) if e.type == MESSAGE}
    assert numbers == {text: events[text] for text in numbers}
    gaps = [e.fields for e in _events(writer.folder) if e.type == EventType.GAP]
    assert [(gap["first_seq"], gap["count"]) for gap in gaps] == [
        (loss.first_seq, loss.count) for loss in writer.losses
    ]


def test_a_gap_that_no_file_takes_is_no_lost_event(tmp_path, disk, monkeypatch):
    """P6: the disk took the last event, and not what was to tell of the losses before it."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 3000)
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    _say(writer, "first")
    disk.failing = "ENOSPC"
    for number in range(20):
        _say(writer, f"{number} " + "x" * 500)
    tell = writer._tell_losses

    def told():
        disk.failing = "ENOSPC"
        tell()

    disk.failing, writer._retry_at, writer._tell_losses = None, 0.0, told
    last = _say(writer, "last")
    writer.close()
    disk.failing = None
    assert _events(writer.folder)[-1].fields["text"] == "last"
    assert _events(writer.folder)[-1].seq == last
    (loss,) = writer.losses
    assert (loss.first_seq, loss.first_seq + loss.count) == (1, _events(writer.folder)[1].seq)


def test_after_a_failed_fsync_the_file_is_not_trusted(tmp_path, disk):
    """R2: what was not durable is written again, same numbers and bounds, into the next file."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "durable")
    assert writer.sync()
    _say(writer, "one")
    writer.log_point("x", 0, 0.5)
    disk.failing = "sync"
    assert not writer.sync()
    disk.failing = None
    _say(writer, "two")
    assert writer.sync()
    writer.close()
    assert writer.epoch == 2
    second = [path for path in writer.folder.iterdir() if "e0002" in path.name][0]
    second_alone = tmp_path / "alone" / second.name
    second_alone.parent.mkdir()
    second_alone.write_bytes(second.read_bytes())
    again = [event for event in _events(second_alone.parent) if event.seq >= 0]
    assert [event.seq for event in again] == [1, 2, 3]
    events = _events(writer.folder)
    assert [event.seq for event in events] == [0, 1, 2, 3]
    reader = JournalReader(writer.folder)
    list(reader.read())
    assert reader.verdicts == []


def test_a_reader_of_the_old_file_goes_on_in_the_new_one(tmp_path, disk):
    """What was read before a fault and is written again after it is not read twice."""
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(5):
        _say(writer, str(number))
    reader = JournalReader(writer.folder)
    before = [e.fields["text"] for e in reader.read() if e.type == MESSAGE]
    disk.failing = "sync"
    writer.sync()
    disk.failing = None
    _say(writer, "5")
    after = [e.fields["text"] for e in reader.read() if e.type == MESSAGE]
    writer.close()
    assert before + after == [str(number) for number in range(6)]


def test_a_disk_that_never_takes_again(tmp_path, disk):
    """The run ends without an exception, and the writer knows what was lost."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "kept")
    disk.failing = "ENOSPC"
    _say(writer, "lost")
    writer.close()
    disk.failing = None
    assert [e.fields["text"] for e in _events(writer.folder)] == ["kept"]
    assert sum(loss.count for loss in writer.losses) >= 1


FULL = """
import resource, signal, sys
from sacred.journal import EventType, JournalWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = JournalWriter.create(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for number in range(100):
    writer.append(EventType.MESSAGE, level="info", text=f"{number:03} " + "y" * 100)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer._retry_at = 0.0
writer.append(EventType.MESSAGE, level="info", text="end")
writer.close()
"""


@pytest.mark.parametrize("limit", [600, 1000, 2777, 5000])
def test_a_real_limit_on_the_size_of_files(tmp_path, limit):
    """Real short writes and refusals by the kernel: all events are there when space is back."""
    subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "j"), str(limit)], check=True, timeout=60
    )
    texts = [e.fields["text"][:3] for e in _events(tmp_path / "j") if e.type == MESSAGE]
    assert texts == [*[f"{number:03}" for number in range(100)], "end"]


REPLACED = """
import os, sys
from sacred.journal import EventType, JournalWriter
JournalWriter._rouse = lambda self: None  # a sync in the background would forget what it made durable
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.MESSAGE, level="info", text="before")
os.unlink(writer.path)
os.mkfifo(writer.path)
writer.append(EventType.MESSAGE, level="info", text="behind")
writer.sync()
writer.append(EventType.MESSAGE, level="info", text="later")
writer.close()
"""


def test_a_pipe_in_the_place_of_the_file_stops_no_program(tmp_path):
    """Whoever writes looks what took the place of its file, and waits at nothing there."""
    done = subprocess.run(
        [sys.executable, "-c", REPLACED, str(tmp_path / "j")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    os.unlink(tmp_path / "j" / "w0000-e0001.jzst")
    texts = [e.fields["text"] for e in _events(tmp_path / "j") if e.type == MESSAGE]
    assert ["before", "behind", "later"] == texts


SAID = """
import os, resource, signal, sys
from sacred.journal import EventType, JournalWriter
if len(sys.argv) > 3:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
faults = []
writer = JournalWriter.create(sys.argv[1], durability="event", on_fault=faults.append)
writer.append(EventType.MESSAGE, level="info", text="first")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
if sys.argv[3:4] == ["points"]:
    for number in range(20):
        writer.log_point("x", number, 0.5)
else:
    writer.append(EventType.MESSAGE, level="info", text=os.urandom(400).hex())
print(faults[0].strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.close()
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [((), "File too large"), (("points",), "No space left on device")],
    ids=["a message", "a point where the signal would kill"],
)
def test_a_short_write_tells_what_the_next_one_would(tmp_path, more, said):
    """A limit is no full disk; but nothing is asked of the system that could kill the program."""
    limit = "700" if not more else "800"
    done = subprocess.run(
        [sys.executable, "-c", SAID, str(tmp_path / "j"), limit, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, f"{said}\n") == (done.returncode, done.stdout), done.stderr
    kinds = [e.type for e in _events(tmp_path / "j")]
    assert (20 if more else 0) == kinds.count(EventType.METRIC_POINT)


def test_a_short_write_of_a_quota_and_of_nothing(monkeypatch):
    """What the system says is said; where it takes the rest, what was most likely."""
    import errno

    from sacred.journal.descriptors import short_write

    answers = [OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 4]

    def write(descriptor, rest):
        assert (7, b"rest") == (descriptor, rest)
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "write", write)
    assert [errno.EDQUOT, errno.ENOSPC] == [short_write(7, b"rest").errno for _ in range(2)]


def test_a_superseded_writer_goes_on_under_a_new_number(tmp_path, disk):
    """R3: who finds its next file taken by another process takes a new number, and says so."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "one")
    (tmp_path / "journal" / "w0000-e0002.jzst").write_bytes(b"")
    disk.failing = "EIO"
    _say(writer, "two")
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "three")
    writer.close()
    assert writer.number == 1
    texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
    assert "three" in texts
    assert "two" in texts


def test_large_files_are_followed_by_the_next_epoch(tmp_path, monkeypatch):
    """A file that has grown enough is closed; numbers, chain and reading go on in the next."""
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 5000)
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(200):
        _say(writer, f"{number}")
    writer.close()
    assert writer.epoch > 2
    reader = JournalReader(writer.folder)
    texts = [e.fields["text"] for e in reader.read() if e.type == MESSAGE]
    assert texts == [str(number) for number in range(200)]
    assert reader.verdicts == []


def test_an_idle_journal_goes_idle(tmp_path):
    """R7: nothing is written while nothing happens."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "x")
    _until(lambda: writer.durable_seq == 1 and not writer._dirty, "the event is durable")
    _until(lambda: writer._dozing, "the background dozes")
    size = writer.path.stat().st_size
    time.sleep(0.1)
    assert writer.path.stat().st_size == size
    writer.close()


# -- values, disks and interrupts that nobody planned for ----------------------------------------


@pytest.mark.parametrize("durability", ["second", "event"])
@pytest.mark.parametrize("count", [1, 40])
def test_one_odd_point_does_not_harm_the_others(tmp_path, durability, count):
    """A name that is none, or a value that raises, costs no other point, and ends no thread."""

    class Bad(dict):
        def __iter__(self):
            raise RuntimeError

        keys = items = __iter__

    odd = [(["x"], 1.0), (None, 2.0), (5, 3.0), ("caf\udce9", 4.0), ("bad", Bad(a=1))]
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    for name, value in odd:
        for step in range(count):
            writer.log_point("good", step, 0.5)
        writer.log_point(name, 0, value)
    _until(lambda: len(_points(writer.folder)) == 5 * (count + 1), "all points are written")
    writer.close()
    points = _points(writer.folder)
    others = [(name, value) for name, _, value in points if name != "good"]
    assert others == [
        ("['x']", 1.0),
        ("None", 2.0),
        ("5", 3.0),
        ("caf\\udce9", 4.0),
        ("bad", {"a": 1}),
    ]
    assert [step for name, step, _ in points if name == "good"] == list(range(count)) * 5
    reader = JournalReader(writer.folder)
    list(reader.read())
    assert reader.verdicts == []


@pytest.mark.parametrize("durability", ["second", "event"])
@pytest.mark.parametrize("stored", [True, False])
def test_points_too_large_for_a_frame(tmp_path, durability, stored):
    """Large values share no frame; one beyond 16 MiB becomes a blob, or a text that says so."""
    store = BlobStore(tmp_path / "blobs") if stored else None
    writer = JournalWriter.create(tmp_path / "journal", durability=durability, blobs=store)
    for step in range(20):
        writer.log_point("large", step, "x" * 1_000_000)
    writer.log_point("huge", 0, "y" * 17_000_000)
    writer.log_point("small", 0, 1.0)
    writer.close()
    points = _points(writer.folder)
    assert [(name, step) for name, step, _ in points] == [
        *[("large", step) for step in range(20)],
        ("huge", 0),
        ("small", 0),
    ]
    huge = points[20][2]
    if stored:
        assert unpack(store.read(huge.digest)) == "y" * 17_000_000
    else:
        assert "no store" in huge.text


def test_a_full_disk_for_blobs_stops_nothing(tmp_path, monkeypatch):
    """P6: a value that can not be stored is named, and the run goes on."""
    faults = []
    store = BlobStore(tmp_path / "blobs")
    writer = JournalWriter.create(tmp_path / "journal", blobs=store, on_fault=faults.append)

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(BlobStore, "put_bytes", refuse)
    writer.append(EventType.INFO_SNAPSHOT, info={"x": bytes(17 << 20)})
    writer.close()
    assert "No space left" in _events(writer.folder)[0].fields["info"].text
    assert len(faults) == 1


def test_many_middling_values_make_no_event_too_large(tmp_path):
    """An event of many values under 1 MiB each is kept, its largest ones as blobs."""
    store = BlobStore(tmp_path / "blobs")
    writer = JournalWriter.create(tmp_path / "journal", blobs=store)
    fields = dict.fromkeys(("name", "command", "run_id"), "n" * 1_000_000)
    parts = {key: {"x": "v" * 6_000_000} for key in ("config", "meta", "experiment", "host")}
    writer.append(EventType.RUN_STARTED, **fields, **parts)
    writer.close()
    read = _events(writer.folder)[0].fields
    for key, value in {**fields, **parts}.items():
        found = read[key]
        if type(found) is BlobReference:
            found = unpack(store.read(found.digest))
        assert found == value


def test_a_large_event_survives_a_passing_error(tmp_path, disk):
    """An event larger than what is kept in memory is written when the disk takes again."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "one")
    disk.failing = "EIO"
    text = os.urandom(3 << 20).hex()
    _say(writer, text)
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "two")
    writer.close()
    texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
    assert texts == ["one", text, "two"]
    assert writer.losses == []


@pytest.mark.parametrize("left", [100, 500, 900, 1500])
def test_a_disk_that_fills_takes_nothing_back(tmp_path, monkeypatch, left):
    """P1, P6: what was in the file before the disk was full is read, also if it never takes again.

    A next file that has room for its first frame only must not hide the end of the one before.
    """
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(5):
        _say(writer, f"{number}")
    real = os.write
    room = sum(path.stat().st_size for path in writer.folder.iterdir()) + left

    def write(descriptor, data):
        used = sum(path.stat().st_size for path in writer.folder.iterdir())
        if used + len(data) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    for number in range(8):
        writer._retry_at = 0.0
        _say(writer, f"late {number} " + os.urandom(1000).hex())
    writer.close()
    monkeypatch.undo()
    texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
    assert texts[:5] == [str(number) for number in range(5)]
    assert [path for path in writer.folder.iterdir() if path.name.startswith(".")] == []
    assert len(list(writer.folder.iterdir())) <= 2


def test_what_is_in_a_file_is_not_counted_as_lost(tmp_path, disk, monkeypatch):
    """P3: a gap event names what no file has, not what was written before the disk refused."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 3000)
    writer = JournalWriter.create(tmp_path / "journal")
    writer._sync_file = lambda: None  # nothing is durable yet
    for number in range(4):
        _say(writer, f"early {number} " + "x" * 500)
    disk.failing = "ENOSPC"
    for number in range(20):
        _say(writer, f"while {number} " + "x" * 500)
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "last")
    writer.close()
    events = _events(writer.folder)
    gap = next(event.fields for event in events if event.type == EventType.GAP)
    assert gap["first_seq"] == 4
    seqs = [event.seq for event in events]
    assert seqs[:4] == [0, 1, 2, 3]
    missing = sorted(set(range(max(seqs))) - set(seqs))
    assert missing == list(range(4, 4 + gap["count"]))


def test_a_superseded_writer_says_nothing_twice(tmp_path, disk):
    """R3: under its new number it writes what no file has, and not what the old file holds."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "one")
    (tmp_path / "journal" / "w0000-e0002.jzst").write_bytes(b"")
    disk.failing = "EIO"
    _say(writer, "two")
    disk.failing = None
    writer._retry_at = 0.0
    _say(writer, "three")
    writer.close()
    events = _events(writer.folder)
    texts = [(e.writer, e.fields["text"]) for e in events if e.type == MESSAGE]
    assert texts == [(0, "one"), (1, "two"), (1, "three")]


def test_a_superseded_writer_tells_what_was_lost(tmp_path, disk, monkeypatch):
    """R3, P3: events that no memory held are the first of the new number, and named there."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 3000)
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    _say(writer, "one")
    (tmp_path / "journal" / "w0000-e0002.jzst").write_bytes(b"")
    disk.failing = "EMFILE"
    writer._fail(OSError(errno.EIO, "as if"))
    for number in range(20):
        _say(writer, f"{number} " + "x" * 500)
    disk.failing = None
    writer._retry_at = 0.0
    last = _say(writer, "last")
    writer.close()
    reader = JournalReader(writer.folder)
    events = [e for e in reader.read() if e.writer == 1 and e.seq >= 0]
    texts = [(e.seq, e.fields["text"].split()[0]) for e in events if e.type == MESSAGE]
    lost = texts[0][0]
    assert texts == [*((number, str(number)) for number in range(lost, 20)), (20, "last")]
    assert last == 20
    gaps = [(e.fields["first_seq"], e.fields["count"]) for e in events if e.type == EventType.GAP]
    assert gaps == [(0, lost)]
    assert [(loss.first_seq, loss.count) for loss in writer.losses] == gaps
    (gap,) = reader.verdicts
    assert (gap.writer, gap.first_seq, gap.next_seq) == (1, 0, lost)


INTERRUPTED = textwrap.dedent(
    """
    import gc, json, signal, sys, time
    from sacred.journal import EventType, JournalWriter

    def interrupt(*_):
        raise KeyboardInterrupt

    gc.disable()  # an interrupt inside a finalizer would be swallowed
    writer = JournalWriter.create(sys.argv[1], durability=sys.argv[2])
    returned, texts, step = [], [], 0
    signal.signal(signal.SIGALRM, interrupt)

    def record():
        global step
        stop = time.monotonic() + 0.1
        signal.setitimer(signal.ITIMER_REAL, 0.0004 + number * 0.00002)
        while time.monotonic() < stop:
            writer.log_point("x", step, 0.5)
            returned.append(step)
            step += 1
            if step % 40 == 0:
                writer.append(EventType.MESSAGE, level="info", text=str(step))
                texts.append(str(step))

    for number in range(100):
        try:  # around a function: Python 3.13 misses an interrupt at the head of a loop in a try
            record()
        except KeyboardInterrupt:
            step += 1000
    writer.close()
    print(json.dumps([returned, texts]))
    """
)


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_an_interrupt_loses_no_point(tmp_path, durability):
    """Ctrl-C in the middle of a write: nothing whose call returned is lost, nothing stands twice."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "j"), durability],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    returned, texts = json.loads(done.stdout)
    steps = [step for _, step, _ in _points(tmp_path / "j")]
    assert len(steps) == len(set(steps))
    assert set(returned) <= set(steps)
    found = [e.fields["text"] for e in _events(tmp_path / "j") if e.type == MESSAGE]
    assert set(texts) <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("failing_call", ["write", "replace"])
def test_an_interrupt_at_a_write_or_rename(tmp_path, monkeypatch, failing_call):
    """The same at the worst places: before and behind the system call itself."""
    for behind in (False, True):
        writer = JournalWriter.create(tmp_path / f"{failing_call}-{behind}")
        _say(writer, "one")
        real = getattr(os, failing_call)

        def interrupted(*args, real=real, behind=behind):
            monkeypatch.setattr(os, failing_call, real)
            if behind:
                real(*args)
            raise KeyboardInterrupt

        if failing_call == "replace":
            writer._doubt(writer.next_seq)
        monkeypatch.setattr(os, failing_call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            _say(writer, "two")
        _say(writer, "three")
        writer.close()
        texts = [e.fields["text"] for e in _events(writer.folder) if e.type == MESSAGE]
        assert texts == ["one", "two", "three"]
        reader = JournalReader(writer.folder)
        list(reader.read())
        assert reader.verdicts == []


def test_a_clock_that_is_put_back_delays_nothing(tmp_path, monkeypatch):
    """P1: after the wall clock was put back by an hour, points are written as soon as before."""
    now = time.time_ns()
    monkeypatch.setattr(
        time, "time_ns", lambda: now
    )  # else it is written on time on a busy machine
    writer = JournalWriter.create(tmp_path / "journal")
    writer.log_point("x", 0, 0.0)
    writer.log_point("x", 1, 0.0)  # the first of a burst: is to wait
    now -= 3600 * 10**9
    writer.log_point("x", 2, 0.0)
    _until(lambda: len(_points(writer.folder)) == 3, "the points are written")
    writer.close()


def test_a_point_of_a_signal_handler_does_not_wait_for_the_next(tmp_path):
    """A handler that came while the lock was held: its point is written when the lock is free."""
    writer = JournalWriter.create(tmp_path / "journal")
    # As a handler would, in the thread that holds the lock:
    writer._exclusively(writer.log_point, "x", 0, 0.5)
    assert _points(writer.folder) == [("x", 0, 0.5)]
    writer.close()


@pytest.mark.parametrize("ending", ["os._exit", "multiprocessing"])
def test_a_forked_child_loses_nothing_when_it_ends(tmp_path, ending):
    """P1, R9: a child ends by os._exit, and nobody is told: nothing of it waits for company."""
    writer = JournalWriter.create(tmp_path / "journal")

    def work():
        for step in range(500):
            writer.log_point("x", step, 0.5)
            if step % 50 == 0:
                writer.append_output(1, b"%d\n" % step)
        writer.append(EventType.INFO_CHANGED, set=[[["a"], 1]], deleted=[])
        writer.log_point("x", 500, 0.5)

    if ending == "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(60)
        assert child.exitcode == 0
    else:
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    writer.close()
    assert _points(writer.folder) == [("x", step, 0.5) for step in range(501)]
    output = [e.fields["data"] for e in _events(writer.folder) if e.type == EventType.OUTPUT]
    assert b"".join(output) == b"".join(b"%d\n" % step for step in range(0, 500, 50))
    kinds = {event.type for event in _events(writer.folder) if event.writer == 1}
    assert EventType.INFO_CHANGED in kinds


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_a_journal_that_is_removed_is_noticed(tmp_path, durability):
    """R4: the writer says so instead of writing where nobody can ever read; a loss is counted."""
    faults = []
    writer = JournalWriter.create(
        tmp_path / "journal", durability=durability, on_fault=faults.append
    )
    _say(writer, "one")
    shutil.rmtree(writer.folder)
    _say(writer, "two")
    if durability != "process":
        assert not writer.sync()
        assert [error.errno for error in faults] == [errno.ENOENT]
    writer.close()
    assert len(faults) == 1
    assert [(loss.first_seq, loss.count) for loss in writer.losses] == [(0, 2)]


def test_a_root_that_is_moved_takes_the_run_along(tmp_path):
    """A rename of the folder while it is written loses nothing."""
    writer = JournalWriter.create(tmp_path / "journal")
    _say(writer, "one")
    (tmp_path / "journal").rename(tmp_path / "moved")
    _say(writer, "two")
    assert writer.sync()
    _say(writer, "three")
    writer.close()
    assert writer.losses == []
    texts = [e.fields["text"] for e in _events(tmp_path / "moved") if e.type == MESSAGE]
    assert texts == ["one", "two", "three"]


def test_a_child_that_only_closes_leaves_no_file(tmp_path):
    """R9: a child that flushes and closes without an event claims no number."""
    writer = JournalWriter.create(tmp_path / "journal")
    child = os.fork()
    if child == 0:
        writer.flush()
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    assert [path.name for path in writer.folder.iterdir()] == ["w0000-e0001.jzst"]


def test_no_journal_is_begun_beside_another(tmp_path):
    """A folder that lost its first file still holds a journal; a file is no folder."""
    JournalWriter.create(tmp_path / "journal").close()
    folder = tmp_path / "journal"
    (folder / "w0000-e0001.jzst").rename(folder / "w0000-e0002.jzst")
    with pytest.raises(JournalUnavailableError, match="holds a journal already"):
        JournalWriter.create(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailableError, match="can not be written"):
        JournalWriter.create(tmp_path / "file")


def test_a_kill_while_a_file_is_written_again_costs_nothing(tmp_path):
    """P1: killed at any system call of going on in the next file, all that was there is read."""
    program = textwrap.dedent(
        """
        import errno, os, signal, sys
        from sacred.journal import EventType, JournalWriter
        writer = JournalWriter.create(sys.argv[1])
        for number in range(6):
            writer.append(EventType.MESSAGE, level="info", text=str(number))
        calls = int(sys.argv[2])
        def counted(real):
            def call(*args, **more):
                global calls
                calls -= 1
                if calls == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)
            return call
        os.write, os.open, os.replace, os.close = map(
            counted, (os.write, os.open, os.replace, os.close))
        writer._fail(OSError(errno.EIO, "as if"))
        writer.append(EventType.MESSAGE, level="info", text="6")
        """
    )
    killed = 0
    for calls in range(1, 60):
        folder = tmp_path / str(calls)
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), str(calls)], check=False, timeout=60
        )
        killed += done.returncode == -signal.SIGKILL
        texts = [e.fields["text"] for e in _events(folder) if e.type == MESSAGE]
        assert texts[:6] == [str(number) for number in range(6)]
        reader = JournalReader(folder)
        list(reader.read())
        assert [v for v in reader.verdicts if not getattr(v, "superseded", False)] == []
        if done.returncode == 0:  # it had no more calls to be killed at
            break
    else:
        raise AssertionError("the program never came to its end")
    assert killed >= 8
