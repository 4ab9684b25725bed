"""What a writer does under faults, and which test shows it.

| fault | test |
|---|---|
| full disk, real | ``test_full_disk``; ``test_writer: test_what_does_not_fit_into_memory_is_counted_as_lost`` |
| limit on file sizes, short writes, real | ``test_full_disk``; ``test_writer: test_a_real_limit_on_the_size_of_files`` |
| quota (EDQUOT), EIO, EROFS, EINTR, ESTALE, EMFILE, of any call | ``test_syscall_faults`` |
| too many open files when it syncs | here |
| fdatasync that fails; that always fails | ``test_writer: test_after_a_failed_fsync_...``; ``test_syscall_faults: test_a_call_that_never_succeeds_...`` |
| fdatasync that the file system has not | here |
| a write that fails behind much that is not durable | here |
| vanished folder, moved root | ``test_writer: test_a_journal_that_is_removed_is_noticed``, ``test_a_root_that_is_moved_...`` |
| fork: os.fork, multiprocessing fork and spawn | ``test_concurrency``; ``test_writer: test_a_forked_child_...`` |
| threads x 32, asyncio, signal handlers, finalizers | ``test_concurrency``; ``test_writer: test_a_signal_handler_may_record`` |
| Ctrl-C anywhere | ``test_writer: test_an_interrupt_loses_no_point``, ``test_an_interrupt_at_a_write_or_rename`` |
| end of the interpreter, os._exit, SIGTERM, the kill for lack of memory | ``test_concurrency`` |
| SIGKILL | ``test_kills``, ``test_syscall_faults`` |
| no memory | ``test_allocation`` |
| clocks | ``test_clocks`` |
| power cut | ``test_power_cuts``, ``test_crash_states`` |
"""

from __future__ import annotations

import errno
import os
import resource
import weakref
from queue import Empty

import pytest

from battery import oracle
from sacred.journal import EventType, JournalWriter
from sacred.journal.flusher import Turns

if not hasattr(os, "fdatasync"):
    pytest.skip("this machine has no fdatasync", allow_module_level=True)


def say(writer, text):
    return writer.append(EventType.MESSAGE, level="info", text=text)


@pytest.fixture
def syncs(monkeypatch):
    """Record the files whose content is made durable, by inode; a test may let it fail."""
    real, seen = os.fdatasync, []

    def sync(descriptor):
        seen.append(os.fstat(descriptor).st_ino)
        if seen.error:
            raise OSError(seen.error, os.strerror(seen.error))
        real(descriptor)

    class Seen(list):
        error = 0

    seen = Seen()
    monkeypatch.setattr(os, "fdatasync", sync)
    return seen


@pytest.fixture
def full(monkeypatch):
    """A disk that is full while it says so."""
    real, state = os.write, {"full": False}

    def write(descriptor, data):
        if state["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)
    return state


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
@pytest.mark.parametrize("how", ["sync", "rotation"])
def test_a_file_system_that_can_sync_nothing_is_told_once(tmp_path, monkeypatch, syncs, error, how):
    """P2, P6: fdatasync is refused as such: one line, no other file, no second attempt, and `sync` never says True."""
    faults = []
    writer = JournalWriter.create(tmp_path / "journal", on_fault=faults.append)
    writer._rouse = lambda: None
    syncs.error = error
    if how == "rotation":
        monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1)
        say(writer, "before")
        monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1 << 20)
    for number in range(3):
        say(writer, str(number))
        assert not writer.sync()
    writer.close()
    assert [error] == [fault.errno for fault in faults]
    assert (1, None) == (len(syncs), writer.fault)
    assert (2 if how == "rotation" else 1) == writer.epoch
    assert [] == writer.losses
    assert ["0", "1", "2"] == oracle.texts(oracle.look(writer.folder))[-3:]


def test_a_folder_that_can_not_be_synced_is_no_fault(tmp_path, monkeypatch):
    """P2: EINVAL for the fsync of a folder is what some file systems say: the content is durable."""
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = JournalWriter.create(tmp_path / "journal")
    say(writer, "one")
    assert writer.sync()
    assert 1 == writer.epoch
    writer.close()


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_what_a_file_took_before_a_write_failed_is_made_durable(
    tmp_path, monkeypatch, syncs, full, durability
):
    """P2: events that are written, not durable, and no more in memory when the disk is full: their file is synced, and `sync` then says True."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 2_000)
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    for number in range(20):
        say(writer, f"{number} " + "x" * 500)
    first = writer.path.stat().st_ino
    full["full"] = True
    say(writer, "late")
    assert not writer.sync()
    assert [first] == syncs
    assert 20 == writer.durable_seq
    full["full"] = False
    writer._retry_at = 0.0
    say(writer, "last")
    assert writer.sync()
    assert first == syncs[0]
    assert writer.path.stat().st_ino == syncs[-1] != first
    writer.close()
    seen = oracle.look(writer.folder)
    oracle.check_prefix(seen)
    assert 22 == len(oracle.texts(seen))


def test_what_can_not_be_made_durable_any_more_stays_in_doubt(tmp_path, monkeypatch, syncs, full):
    """P2: the fsync of a file failed, and a part of it is no more in memory: `sync` never says True again."""
    monkeypatch.setattr("sacred.journal.epoch_writer.RING_BYTES", 2_000)
    writer = JournalWriter.create(tmp_path / "journal")
    for number in range(20):
        say(writer, f"{number} " + "x" * 500)
    syncs.error = errno.EIO
    assert not writer.sync()
    syncs.error = 0
    assert [writer.path.stat().st_ino] == syncs
    writer._retry_at = 0.0
    say(writer, "last")
    assert not writer.sync()
    assert 2 == writer.epoch
    writer.close()
    assert 21 == len(oracle.texts(oracle.look(writer.folder)))
    assert 1 == syncs.count(syncs[0])


def test_too_many_open_files_delay_a_sync_and_nothing_else(tmp_path, full):
    """P2, P6: without a descriptor to sync by, the next turn tries again."""
    writer = JournalWriter.create(tmp_path / "journal")
    say(writer, "one")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        assert not writer.sync()
        assert writer._dirty
        say(writer, "two")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert writer.sync()
    assert (2, 1) == (writer.durable_seq, writer.epoch)
    writer.close()


def test_durability_process_costs_no_processor(tmp_path):
    """The background dozes where nothing is to be made durable."""
    writer = JournalWriter.create(tmp_path / "journal", durability="process")
    writer._rouse = lambda: None
    say(writer, "one")
    waits = []

    class Wake:
        def empty(self):
            return True

        def get(self, timeout):
            waits.append(timeout)
            raise Empty

    turns = Turns(weakref.ref(writer), Wake())
    for _ in range(8):
        assert turns.take()
    assert waits[-1] is None
    writer.close()
