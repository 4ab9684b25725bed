"""Following a journal while it is written: each event once, in order."""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import sacred.journal
from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder, follow
from sacred.journal.epoch_file import EpochFile
from sacred.journal.following import events_and_pauses
from sacred.journal.seal import seal_run
from sacred.journal.spool import encode_record
from sacred.journal.watch import FolderWatch

#: Writes numbered messages and points as its standard input says, and confirms each line.
WRITER = """
import random, sys
from sacred.journal import EventType, JournalWriter
from sacred.journal import epoch_writer
epoch_writer.EPOCH_BYTES = 3000
writer = JournalWriter.create(sys.argv[1])
number = 0
for line in sys.stdin:
    word, count = line.split()
    for _ in range(int(count)):
        if word == "points":
            writer.log_point("loss", number, random.random())
        elif word == "messages":
            writer.append(EventType.MESSAGE, level="info", text=str(number))
        number += 1
    if word == "end":
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.flush()
    print("done", flush=True)
writer.close()
"""


@pytest.fixture
def program(tmp_path):
    """A process that writes what it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "1" / "journal")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def tell(word, count=0):
        process.stdin.write(f"{word} {count}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    process.tell = tell
    yield process
    process.kill()
    process.wait(100)
    process.stdin.close()
    process.stdout.close()


def numbers_of(events):
    """Return the numbers that the writer gave its points and messages."""
    found = []
    for event in events:
        if event.type == EventType.METRIC_POINT:
            found.append(event.fields["step"])
        elif event.type == EventType.METRIC_TABLE:
            found += event.fields["table"].steps
        elif event.type == EventType.MESSAGE:
            found.append(int(event.fields["text"]))
    return found


class Listener:
    """Follows in a thread of its own."""

    def __init__(self, folder, **options):
        self.reader = JournalReader(folder)
        self.events = []
        self.grown = threading.Condition()
        self.thread = threading.Thread(target=self.listen, kwargs=options, daemon=True)
        self.thread.start()

    def listen(self, **options):
        for event in follow(self.reader, **options):
            with self.grown:
                self.events.append(event)
                self.grown.notify_all()

    def wait_for(self, count):
        with self.grown:
            assert self.grown.wait_for(lambda: len(numbers_of(self.events)) >= count, 100)

    def end(self):
        self.thread.join(100)
        assert not self.thread.is_alive()
        return numbers_of(self.events)


@pytest.mark.parametrize("notify", [True, False])
def test_each_event_once_and_in_order(program, tmp_path, notify):
    """Points and messages, across files and through a seal, until the run is over."""
    program.tell("messages", 1)
    run = RunFolder(tmp_path / "1")
    listener = Listener(run.journal, notify=notify)
    written = 1
    for word, count in [("points", 1), ("points", 300), ("messages", 5), ("points", 700)]:
        program.tell(word, count)
        written += count
        listener.wait_for(written)
    assert len(list(run.journal.iterdir())) > 2
    assert "sealed" in [done.state for done in seal_run(run)]
    program.tell("points", 50)
    program.tell("end")
    program.stdin.close()
    program.wait(100)
    assert list(range(written + 50)) == listener.end()
    assert listener.events[-1].type == EventType.RUN_ENDED
    assert listener.reader.verdicts == []
    assert all(event.seq >= 0 for event in listener.events)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("notify", [True, False])
def test_a_run_that_is_killed_is_over(program, tmp_path, notify):
    """A writer whose process is gone writes no more: all that is there is read, and that was it."""
    program.tell("messages", 1)
    listener = Listener(tmp_path / "1" / "journal", notify=notify)
    program.tell("points", 200)
    program.kill()
    program.wait(100)
    assert list(range(201)) == listener.end()


def test_a_pause_comes_behind_what_was_read(program, tmp_path):
    """None says that all that was there was handed out, and comes last: the spool may be read then."""
    program.tell("messages", 3)
    reader = JournalReader(tmp_path / "1" / "journal")
    found = events_and_pauses(reader)
    told = [next(found) for _ in range(3)]
    assert [0, 1, 2] == numbers_of(told)
    assert next(found) is None
    program.tell("end", 1)
    rest = list(found)
    assert rest[-1] is None
    assert [EventType.RUN_ENDED] == [event.type for event in rest if event is not None]
    reader.close()


def test_following_is_stopped(tmp_path):
    """What is there when following is stopped is still read; the run goes on."""
    writer = JournalWriter.create(tmp_path / "journal")
    stop = threading.Event()
    listener = Listener(tmp_path / "journal", stop=stop)
    for step in range(100):
        writer.log_point("loss", step, 0.5)
    writer.flush()
    stop.set()
    assert list(range(100)) == listener.end()
    writer.close()


def test_following_begins_where_the_reader_stands(program, tmp_path):
    """From a position on, nothing twice; also where the end lay before it."""
    program.tell("messages", 10)
    folder = tmp_path / "1" / "journal"
    first = JournalReader(folder)
    assert list(range(10)) == numbers_of(first.read())
    program.tell("messages", 5)
    stop = threading.Event()
    stop.set()
    reader = JournalReader(folder, position=first.position)
    assert list(range(10, 15)) == numbers_of(follow(reader, stop=stop))
    program.tell("end")
    assert list(range(15)) == numbers_of(JournalReader(folder).read())
    list(reader.read())
    again = JournalReader(folder, position=reader.position)
    assert [] == list(follow(again, notify=False))


def test_no_public_name_is_hidden_by_a_module():
    """What `sacred.journal` offers stays what it is, whichever of its modules is imported."""
    for module in pkgutil.iter_modules(sacred.journal.__path__):
        importlib.import_module(f"sacred.journal.{module.name}")
        assert module.name not in sacred.journal.__all__


@pytest.mark.parametrize("notify", [True, False])
def test_a_child_says_nothing_of_its_run(tmp_path, monkeypatch, notify):
    """R9: what a child writes is yielded as well; the run is over when the first writer said so."""
    monkeypatch.setattr("sacred.journal.following.SILENCE", 0.0)
    writer = JournalWriter.create(tmp_path / "journal", durability="event")
    writer.append(EventType.MESSAGE, level="info", text="0")
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer._after_fork_in_child()
    writer.append(EventType.MESSAGE, level="info", text="1")
    listener = Listener(tmp_path / "journal", notify=notify)
    assert [0, 1] == listener.end()
    assert {0, 1} == {event.writer for event in listener.events}
    writer.close()


# -- being told of changes -----------------------------------------------------------------------


def test_each_that_waits_for_a_folder_is_woken(tmp_path):
    """Two wait for one folder and one for another; who went is not woken, who stays is."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second, other = (threading.Event() for _ in range(3))
    watch = FolderWatch()
    schedule, scheduled = watch._schedule, []
    watch._schedule = lambda folder: scheduled.append(folder) or schedule(folder)
    try:
        with watch.watching(folders[0], first), watch.watching(folders[1], other):
            with watch.watching(folders[0], second):
                (folders[0] / "file").touch()
                assert first.wait(100)
                assert second.wait(100)
            # One thread tells all: when it comes to this, it has done with what was before.
            (folders[1] / "file").touch()
            assert other.wait(100)
            second.clear()
            first.clear()
            (folders[0] / "more").touch()
            assert first.wait(100)
            assert not second.is_set()
        assert watch._wakes == watch._watches == {}
        assert scheduled == [str(folder) for folder in folders]
    finally:
        watch.close()
    watch.close()  # nothing is left to be stopped


@pytest.mark.parametrize("where", ["schedule", "start"])
def test_a_system_that_tells_nothing_is_no_error(tmp_path, monkeypatch, where):
    """No notification is left to be had: whoever waits looks by itself, and nothing raises."""
    from watchdog.observers import Observer

    def refused(self, *args, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Observer, where, refused)
    watch = FolderWatch()
    try:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            with watch.watching(tmp_path / name, threading.Event()):
                assert watch._watches == {}
        assert watch._broken is (where == "start")
    finally:
        watch.close()


def test_what_a_seal_adds_is_seen_by_whoever_has_the_file_open(tmp_path):
    """Sealing a died run adds what stood in its spool: also for a reader that read it all before."""
    folder = tmp_path / "1" / "journal"
    code = """
    import os, signal, sys
    from sacred.journal import EventType, JournalWriter
    writer = JournalWriter.create(sys.argv[1])
    writer.append(EventType.MESSAGE, level="info", text="before")
    writer.flush()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(folder)], check=False)
    (folder / "w0000.spool").write_bytes(encode_record(1, 1, b"the last words\n"))
    reader = JournalReader(folder)
    assert ["before"] == [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
    assert ["sealed"] == [one.state for one in seal_run(RunFolder(folder.parent, 1))]
    added = [event for event in reader.read() if event.seq >= 0]
    assert [b"the last words\n"] == [event.fields["data"] for event in added]
    assert ([], []) == (list(reader.read()), reader.verdicts)


def test_one_look_sees_the_rest_of_a_file_and_what_its_seal_added(tmp_path):
    """Who has the old file open reads on in it, and then in the one that has its name by now."""
    folder = tmp_path / "1" / "journal"
    code = """
    import os, signal, sys
    from sacred.journal import EventType, JournalWriter
    writer = JournalWriter.create(sys.argv[1])
    for text in ("before", "behind"):
        writer.append(EventType.MESSAGE, level="info", text=text)
        writer.flush()
        print(text, flush=True)
        sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout.readline() == "before\n"
        reader = JournalReader(folder)
        assert ["before"] == [e.fields["text"] for e in reader.read() if e.seq >= 0]
        program.communicate("on\nend\n", timeout=100)
    (folder / "w0000.spool").write_bytes(encode_record(1, 1, b"the last words\n"))
    assert ["sealed"] == [one.state for one in seal_run(RunFolder(folder.parent, 1))]
    message, output = [event for event in reader.read() if event.seq >= 0]
    assert ("behind", b"the last words\n") == (message.fields["text"], output.fields["data"])
    assert ([], []) == (list(reader.read()), reader.verdicts)


def test_a_file_that_is_gone_is_not_replaced(tmp_path):
    """Whoever reads on says so; one that nobody opened is not replaced either."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.close()
    file = EpochFile.of(writer.folder, 0, 1)
    assert not file.is_replaced()
    file.next_frame()
    assert not file.is_replaced()
    writer.path.unlink()
    assert not file.is_replaced()
    file.close()
