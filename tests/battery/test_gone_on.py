"""Rows 5 and 6 of the battery, for a run that somebody goes on with: its spool, its files, its lock."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import time

import pytest

from battery import oracle, soak, spooled
from battery.crash_states import Bench, Recording, crash_states, judge_all
from battery.disk import Recorder as Calls
from sacred.core.recorded import RecordedRun
from sacred.core.recorder import Recorder
from sacred.core.resume import Continuation
from sacred.journal import JournalWriter, RunFolder
from sacred.journal import pending_writer as upper_half
from sacred.journal.errors import JournalBusyError, JournalUnavailableError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.spool import encode_record

#: States of each scenario, of them so many torn within a write.
STATES, TORN = 1_000, 700
SHARE = 0.02


# -- row 5: power cuts ---------------------------------------------------------------------------


def begun(do, **options):
    """Begin a run that prints: some of it in the journal, some in the spool alone."""
    writer = do.start(**options)
    spooled.begin_run(writer)
    do.print(writer, b"one\n", b"two " * 40 + b"\n", journalled=True)
    do.sync(writer)
    do.print(writer, b"three\n" * 9, b"four\n")
    do.settle()
    do.say(writer, "never synced by the process that wrote it")
    return writer


def gone_on(do, patch):
    """A run is killed with output in its spool alone; another process goes on, and is killed."""
    begun(do)
    do.die()
    writer = do.go_on()
    do.say(writer, "again")
    do.print(writer, b"five\n" * 3, journalled=True)
    do.sync(writer)
    do.print(writer, b"six\n")
    do.settle()
    do.say(writer, "and again")
    do.die()
    do.say(do.go_on(), "for the third time")


def gone_on_behind_a_torn_end(do, patch):
    """The process is killed in the middle of a frame, and of a record of the spool."""
    writer = begun(do)
    os.write(writer._fd, writer._encoder.encode(b"\x97\0" + bytes(60))[:23])
    os.write(do.spool.descriptor, encode_record(1, 1, b"torn")[:-2])
    do.die()
    writer = do.go_on()
    do.say(writer, "again")
    do.sync(writer)
    do.say(writer, "more")


def gone_on_by_pieces(do, patch):
    """What is in the spool takes many frames, and the file is left in the middle of them."""
    patch.setattr(upper_half, "PENDING_BYTES", 100)
    patch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 1_200)
    writer = begun(do)
    do.print(writer, *(b"%d " % number * 30 for number in range(12)))
    do.settle()
    do.die()
    writer = do.go_on()
    assert writer.epoch > 2
    do.say(writer, "again")
    do.sync(writer)


def gone_on_without_room(do, patch):
    """The disk takes nothing of the spool: nobody goes on, until there is room."""
    begun(do)
    do.die()
    do.recorder.fail("write", errno.ENOSPC, match="e0002", times=1_000)
    with pytest.raises(JournalUnavailableError):
        do.go_on()
    do.recorder.fail("write", times=0)
    do.die()
    writer = do.go_on()
    do.say(writer, "again")
    do.sync(writer)


def gone_on_while_syncs_fail(do, patch):
    """The disk can not make durable what was taken from the spool."""
    begun(do)
    do.die()
    do.recorder.fail("fdatasync", times=2)
    try:
        writer = do.go_on()
    except JournalUnavailableError:
        do.recorder.fail("fdatasync", times=0)
        do.die()
        writer = do.go_on()
    do.say(writer, "again")
    do.sync(writer)


def gone_on_for_the_process(do, patch):
    """With durability "process" nothing is promised, and nothing is doubled or made up."""
    begun(do, durability="process")
    do.die()
    do.say(do.go_on(durability="process"), "again")


def joined(do, patch):
    """A worker joins; the run is killed and gone on with, and the worker writes on."""
    writer = begun(do)
    worker = do.join(kind="rank", label="3")
    do.say(worker, "worker one")
    do.sync(worker)
    do.say(writer, "two")
    do.say(worker, "worker two")
    spooled.kill_one(writer)
    do.spool.close()
    do.spool = None
    again = do.go_on()
    do.say(worker, "worker three")
    do.say(again, "four")
    do.sync(worker)
    do.sync(again)
    do.say(worker, "worker four")


SCENARIOS = [
    gone_on,
    gone_on_behind_a_torn_end,
    gone_on_by_pieces,
    gone_on_without_room,
    gone_on_while_syncs_fail,
    gone_on_for_the_process,
    joined,
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_a_power_cut_leaves_of_a_run_that_is_gone_on_with(scenario, record_property):
    """Row 5, P2, P3: what the killed process wrote, and all that was in its spool, is there once; what was promised since, too."""
    count, until = 0, time.monotonic() + soak.seconds(SHARE)
    seed = soak.seed()
    with soak.scratch() as folder:
        (folder / "run").mkdir()
        recording = Recording(scenario, folder / "run")
        bench = Bench(folder, pytest.MonkeyPatch)
        while not count or time.monotonic() < until:
            states = crash_states(recording, random.Random(seed), STATES, TORN)
            judge_all(bench, states, recording, seed)
            count += len(states)
            seed += 1
    assert count >= 300
    record_property("battery", ("row 5: states after a power cut", count))


# -- row 6: kills at every call ------------------------------------------------------------------


class Killed(BaseException):
    """The process is no more: nothing it calls does anything."""


class Killer:
    """Kills at the k-th call of the system, before it or in the middle of a write."""

    def __init__(self, at, *, torn):
        self.left = at
        self.torn = torn

    def __call__(self, name, path):
        self.left -= 1
        if self.left == 0 and self.torn and name == "write":
            return 5
        if self.left <= 0:
            raise Killed
        return None


def died(journal, ending):
    """Leave a run that was killed: 6 lines are in the journal, 14 in the spool, 6 of them in both."""
    writer = spooled.writer_of(journal)
    spool = spooled.Spool(journal)
    for number in range(14):
        begin, end = spool.print(spooled.line(number))
        if number < 6:
            writer.append_output(1, spooled.line(number), begin, end)
    writer.flush()
    if ending == "torn":
        os.write(writer._fd, writer._encoder.encode(b"\x97\0" + bytes(60))[:23])
        os.write(spool.descriptor, encode_record(1, 1, b"torn")[:-2])
    spool.close()
    spooled.kill(journal)
    if ending == "empty file":  # somebody who went on before was killed when the file was made
        (journal / "w0000-e0002.jzst").touch()


def go_on(journal):
    """Go on with a run as a process does that resumes it."""
    recorder = Recorder(journal.parent.parent)
    with locked_journal(journal):
        recorder.go_on(RecordedRun(RunFolder(journal.parent, 1)), resume=True)
    return recorder


def see(journal, least=14):
    """Raise if readers do not see all that was printed, once."""
    seen = oracle.look(journal)
    oracle.check_prefix(seen)
    assert all(getattr(verdict, "superseded", False) for verdict in seen.verdicts), seen.verdicts
    spooled.check_lines(journal, least, least)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["whole", "torn", "empty file"])
def test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing(
    tmp_path, monkeypatch, ending, record_property
):
    """Row 6, P1, P3, R8: whoever goes on is killed at any call, or in any write; readers see each line once, and so does whoever goes on then, who is killed at any call, too."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)
    monkeypatch.setattr(upper_half, "PENDING_BYTES", 150)  # a frame for each two lines
    base = tmp_path / "base" / "1" / "journal"
    base.parent.mkdir(parents=True)
    died(base, ending)
    see(base)
    rng, kills = random.Random(soak.seed()), 0
    for torn in (False, True):
        at, through = 0, False
        while not through:
            at += 1
            journal = tmp_path / f"{torn}-{at}" / "1" / "journal"
            shutil.copytree(base, journal)
            through = _killed(journal, Killer(at, torn=torn))
            see(journal)
            kills += not through
            if _killed(journal, Killer(rng.randint(1, at + 1), torn=not torn)):
                continue
            see(journal)
            recorder = go_on(journal)
            see(journal)
            assert not recorder.spool_path.exists()
            # What comes next is seen behind what was taken: its place is known.
            spool = spooled.Spool(journal, recorder.spool_begin)
            begin, end = spool.print(spooled.line(14))
            see(journal, 15)
            recorder.output(1, spooled.line(14), begin, end)
            spool.close()
            recorder.writer.close()
            see(journal, 15)
            shutil.rmtree(journal.parent.parent)
    assert kills > 40
    record_property("battery", ("row 6: kills at a call while a run is gone on with", kills))


def _killed(journal, killer):
    """Go on with a run below a killer; say whether that came to its end, the process then killed."""
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(journal.parent.parent, patch)
        for path in [journal.parent, journal, *journal.iterdir()]:
            calls.paths[str(path)] = calls._next  # it was there before
            calls._next += 1
        calls.before = killer
        try:
            go_on(journal)
            through = True
        except Killed:
            through = False
        finally:
            calls.before = lambda name, path: None
            spooled.kill(journal)
    return through


def test_damage_to_taken_output_hides_none_that_came_behind(tmp_path, monkeypatch):
    """P4, R8: what the journal had of the output is lost; the spool of who went on begins behind it, and is read, and taken, all the same."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)
    journal = tmp_path / "1" / "journal"
    journal.parent.mkdir()
    writer = spooled.writer_of(journal)
    begin = len(encode_record(1, 1, spooled.line(0))) + 150  # of what is no more in the journal
    spool = spooled.Spool(journal, begin)
    spool.print(spooled.line(0))
    spool.close()
    writer.close()
    assert [0] == spooled.lines(journal)
    recorder = go_on(journal)
    recorder.writer.close()
    assert not recorder.spool_path.exists()
    assert [0] == spooled.lines(journal)


# -- the lock ------------------------------------------------------------------------------------


def test_nobody_comes_in_before_the_spool_is_taken(tmp_path, monkeypatch):
    """R8: from before the journal is read until its output is taken no other process seals, repairs or goes on: the lock is held at each call of the system."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)
    monkeypatch.setattr("sacred.core.resume.check_state", lambda record, **options: None)
    journal = tmp_path / "1" / "journal"
    journal.parent.mkdir()
    died(journal, "whole")
    record = RecordedRun(RunFolder(tmp_path / "1", 1))
    recorder, asked = Recorder(tmp_path), set()

    def ask(name, path):
        if path != str(journal):  # else the folder is locked, or synced
            asked.add(name)
            with pytest.raises(JournalBusyError), locked_journal(journal, patience=0.0):
                pass

    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(tmp_path, patch)
        calls.before = ask
        Continuation(record, resume=True, stored=False, force=False).take(
            recorder, logging.getLogger()
        )
    assert {"open", "write", "fdatasync", "unlink"} <= asked
    with locked_journal(journal, patience=0.0):
        recorder.writer.close()
    see(journal)
