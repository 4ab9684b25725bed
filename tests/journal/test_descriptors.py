"""A program that closes descriptors which are not its own, and opens files under their numbers."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder, descriptors, verify
from tests.journal.open_files import open_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs descriptors as POSIX has them")

ESTALE = OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "1" / "journal"


@pytest.fixture
def no_background(monkeypatch):
    """Let the flusher never run: what happens is what the callers do."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)


@pytest.fixture
def users_file(tmp_path):
    """A file of the program, and a function that opens it under a number that it was given."""
    path = tmp_path / "results.csv"
    taken = []

    def takes(number):
        own = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)
        os.dup2(own, number)
        os.close(own)
        taken.append(number)
        os.write(number, b"a,b\n")

    yield path, takes
    for number in taken:
        os.close(number)


def say(writer, *texts):
    for text in texts:
        writer.append(EventType.MESSAGE, level="info", text=text)


def told(folder):
    """Return what stands in a journal, of which nothing may be missing."""
    reader = JournalReader(folder)
    events = list(reader.read())
    assert [] == reader.verdicts
    assert [] == [event.fields for event in events if event.type == EventType.GAP]
    found = [event.fields["text"] for event in events if event.type == EventType.MESSAGE]
    for event in events:
        if event.type == EventType.METRIC_POINT:
            found.append(event.fields["step"])
        elif event.type == EventType.METRIC_TABLE:
            found += event.fields["table"].steps
    return found


@pytest.mark.parametrize("durability", ["process", "second"])
def test_a_number_that_the_program_was_given_is_left_to_it(
    folder, users_file, durability, no_background
):
    """The writer goes on in a file of its own; nothing goes into the program's, or closes it."""
    path, takes = users_file
    faults = []
    writer = JournalWriter.create(folder, durability=durability, on_fault=faults.append)
    say(writer, "one")
    number = writer._fd
    takes(number)
    say(writer, "two")
    for step in range(200):
        writer.log_point("a", step, 0.5)
    # What stood in the file alone can not be made durable by anybody any more.
    assert (durability == "second") == writer.sync()
    writer.close()
    os.write(number, b"1,2\n")
    assert b"a,b\n1,2\n" == path.read_bytes()
    assert ["one", "two", *range(200)] == told(folder)
    assert [(errno.EBADF, "its file was closed by other code of the program")] == [
        (error.errno, error.strerror) for error in faults
    ]


@pytest.mark.parametrize("told_by", ["sync", "count"])
def test_events_that_went_elsewhere_are_written_again(folder, users_file, told_by, no_background):
    """With "event" nobody looks before each write: at a sync, and at every thousandth point."""
    _, takes = users_file
    writer = JournalWriter.create(folder, durability="event")
    say(writer, "one")
    assert writer.sync()
    writer.log_point("a", 0, 0.5)
    number = writer._fd
    takes(number)
    points = 200 if told_by == "sync" else 2500
    for step in range(1, points):
        writer.log_point("a", step, 0.5)
    if told_by == "sync":
        assert writer.sync() is False
    say(writer, "two")
    assert writer.sync()
    writer.close()
    os.write(number, b"1,2\n")
    found = told(folder)
    assert {"one", "two", *range(points)} == set(found)
    assert len(found) == points + 2


def test_while_the_disk_refuses_too_it_is_counted(folder, users_file, monkeypatch, no_background):
    """With "event": what went elsewhere and finds no file until the end is lost, and counted."""
    _, takes = users_file
    writer = JournalWriter.create(folder, durability="event")
    say(writer, "one")
    assert writer.sync()
    writer.log_point("a", 0, 0.5)
    takes(writer._fd)
    for step in range(1, 10):
        writer.log_point("a", step, 0.5)

    def refuse(*_arguments, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_open_epoch", refuse)
        assert writer.sync() is False
        writer.close()
    assert [(2, 9)] == [(loss.first_seq, loss.count) for loss in writer.losses]


def test_files_that_wait_to_be_durable_are_looked_at_too(
    folder, users_file, monkeypatch, no_background
):
    """A file that was left: another's number is neither synced nor closed, and sync() knows."""
    path, takes = users_file
    writer = JournalWriter.create(folder)
    say(writer, "one")
    writer._leave_file(writer.next_seq)
    writer._fail(OSError(errno.EIO, "once"))
    ((number, *_),) = writer._left
    takes(number)
    writer._ring.clear()
    writer._forgotten = writer.next_seq
    synced = []
    monkeypatch.setattr(descriptors, "sync", synced.append)
    say(writer, "two")
    assert writer.sync() is False
    assert number not in synced
    writer.close()
    os.write(number, b"1,2\n")
    assert b"a,b\n1,2\n" == path.read_bytes()
    assert ["one", "two"] == told(folder)


def test_all_numbers_closed_and_a_file_opened(folder, tmp_path):
    """What daemonizes a program: the file it opens then is not mistaken for the journal's."""
    script = f"""
import os, sys
from sacred.journal import JournalWriter
writer = JournalWriter.create({str(folder)!r})
for step in range(100):
    writer.log_point("a", step, 0.5)
writer.sync()
os.closerange(3, 4096)
files = [open(f"{tmp_path}/file{{number}}", "wb", 0) for number in range(8)]
for step in range(100, 1000):
    writer.log_point("a", step, 0.5)
assert writer.sync()
for file in files:
    file.write(b"mine")
writer.close()
for file in files:
    file.write(b"mine")
    file.close()
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
    assert [b"minemine"] * 8 == [(tmp_path / f"file{number}").read_bytes() for number in range(8)]
    assert list(range(1000)) == told(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_closes_no_number_of_the_programs(folder, users_file):
    """A forked child gives up its parent's file, unless the number is the program's."""
    path, takes = users_file
    writer = JournalWriter.create(folder)
    say(writer, "one")
    number = writer._fd
    takes(number)
    child = os.fork()
    if not child:
        try:
            os.write(number, b"child\n")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    writer.close()
    assert 0 == status
    assert b"a,b\nchild\n" == path.read_bytes()
    assert ["one"] == told(folder)


def test_a_disk_that_does_not_tell_of_a_file(folder, monkeypatch, no_background):
    """P4: fstat fails for once (ESTALE): nothing is said to be lost, so that damage is told later."""
    writer = JournalWriter.create(folder)
    for step in range(1000):
        writer.log_point("a", step, 0.5)
    assert writer.sync()

    def refuse(_descriptor):
        raise ESTALE

    say(writer, "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        say(writer, "two")
        assert writer.sync()
    say(writer, "three")
    writer.close()
    assert (None, []) == (writer.fault, writer.losses)
    assert ["one", "two", "three"] == told(folder)[:3]
    path = folder / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[700:1212] = bytes(512)
    path.write_bytes(data)
    reader = JournalReader(folder)
    list(reader.read())
    assert [True] == [verdict.damaged for verdict in reader.verdicts]


@pytest.mark.parametrize("durability", ["second", "event"])
def test_a_disk_that_never_tells(folder, durability, monkeypatch, no_background):
    """The same with every durability: the writer goes on as if it had been told."""
    writer = JournalWriter.create(folder, durability=durability)

    def refuse(_descriptor):
        raise ESTALE

    monkeypatch.setattr(os, "fstat", refuse)
    for step in range(2000):
        writer.log_point("a", step, 0.5)
    assert writer.sync()
    writer.close()
    monkeypatch.undo()
    assert list(range(2000)) == told(folder)


def test_a_new_file_of_which_the_disk_does_not_tell(folder, monkeypatch, no_background):
    """It is no file of the writer's; the next one is."""
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 100)
    writer = JournalWriter.create(folder)
    real, calls = descriptors.identity_of, []

    def refuse_once(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            raise ESTALE
        return real(descriptor)

    monkeypatch.setattr(descriptors, "identity_of", refuse_once)
    say(writer, "one")
    writer._try_again(force=True)
    say(writer, "two")
    assert writer.sync()
    writer.close()
    assert ["one", "two"] == told(folder)
    assert verify(RunFolder(folder.parent)).clean


def test_what_took_the_place_of_a_file_can_not_be_read(folder, monkeypatch, no_background):
    """P4: a file was removed, and what has its name can not be opened: nothing is said to be lost."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    assert writer.sync()
    os.unlink(writer.path)

    def refuse(_first):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    say(writer, "two")
    monkeypatch.setattr(writer, "_sealed_until", refuse)
    writer.sync()
    writer.close()
    assert [] == writer.losses
    reader = JournalReader(folder)
    found = [e.fields.get("text") for e in reader.read() if e.type == EventType.MESSAGE]
    assert ["two"] == found
    assert [(0, 1, 0)] == [(v.first_seq, v.next_seq, v.told) for v in reader.verdicts]


def test_a_later_file_that_can_not_be_made_closes_no_other(
    folder, tmp_path, monkeypatch, no_background
):
    """P6: its number is free before it is made under another name: a thread of the program has it then."""
    writer = JournalWriter.create(folder, durability="process")
    say(writer, "one")
    really, theirs = os.open, []

    def refuse(path, flags, mode=0o777, **more):
        if os.path.basename(path).startswith("."):
            theirs.append(really(tmp_path / "theirs", os.O_CREAT | os.O_WRONLY))
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return really(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    writer._fail(OSError(errno.EIO, "as if"))
    say(writer, "two")
    monkeypatch.setattr(os, "open", really)
    (number,) = theirs
    os.write(number, b"kept open")
    os.close(number)
    writer._retry_at = 0.0
    writer.close()
    assert ["one", "two"] == told(folder)


def test_a_low_limit_for_numbers(folder):
    """Where the limit is lower than the numbers that are out of the way, the lowest will do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        writer = JournalWriter.create(folder)
        assert writer._fd < 256
        say(writer, "one")
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ["one"] == told(folder)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_no_number_is_left_open(folder):
    """A writer that is closed has given its numbers back, the high one and the low one."""
    writer = JournalWriter.create(folder)
    assert writer._fd >= 512
    say(writer, "one")
    assert open_files(folder)
    writer.close()
    assert {} == open_files(folder)


def test_the_number_that_is_synced_is_looked_at(folder, users_file, monkeypatch, no_background):
    """P2: closed and given away between its making and the sync: nothing is called durable by it."""
    path, takes = users_file
    writer = JournalWriter.create(folder)
    say(writer, "one")
    real, numbers = descriptors.duplicate, []

    def taken(descriptor):
        numbers.append(real(descriptor))
        takes(numbers[-1])
        return numbers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(descriptors, "duplicate", taken)
        assert writer.sync() is False
    say(writer, "two")
    assert writer.sync()
    writer.close()
    os.write(numbers[0], b"1,2\n")
    assert b"a,b\n1,2\n" == path.read_bytes()
    assert ["one", "two"] == told(folder)


def test_a_second_number_where_the_limit_is_low(folder):
    """The lowest will do there, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        number = descriptors.duplicate(1)
        assert number < 256
        os.close(number)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    number = descriptors.duplicate(1)
    assert number >= 512
    os.close(number)
