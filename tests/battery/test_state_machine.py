"""Row 13 of the battery: anything that can happen to a run, in any order.

A machine of rules (hypothesis) writes, loses disks and clocks, kills, tears, damages, repairs,
seals and resumes, while readers look. The model is a list per writer and kind of event, and what it
was before each power cut: what a later file took the place of still stands in an older one, and is
read again where the later one is damaged. But never mixed with what was written in its place.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from battery import oracle, soak, spooled
from sacred.core.recorded import RecordedRun
from sacred.core.recorder import Recorder
from sacred.journal import (
    EventType,
    JournalReader,
    JournalWriter,
    RunFolder,
    epoch_writer,
    file_writer,
    liveness,
)
from sacred.journal.errors import JournalBusyError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.repair import repair_run
from sacred.journal.seal import seal_run
from sacred.journal.verdicts import is_damage

RUNS, STEPS = 200, 50
KINDS = ("message", "point", "line", "print")
ID = 0x0123456789ABCDEF
#: When the clock begins, and by how much it goes on with each look (ns).
BEGAN, LOOK = 1_795_238_718 * 10**9, 50_000
#: What the whole test counted.
COUNTED = {"runs": 0, "steps": 0, "reads": 0}


def items(events):
    """Return what events say, as (kind, item) pairs."""
    for event in events:
        if event.type == EventType.MESSAGE:
            yield "message", event.fields["text"]
        elif event.type == EventType.OUTPUT and event.fields.get("begin") is not None:
            yield "print", (event.fields["begin"], int(event.fields["data"]))
        elif event.type == EventType.OUTPUT:
            for line in event.fields["data"].splitlines():
                yield "line", tuple(map(int, line.split()))
        elif event.type == EventType.METRIC_POINT:
            yield "point", (event.fields["step"], int(event.fields["value"]))
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            for step, value in zip(table.steps, table.values, strict=True):
                yield "point", (step, int(value))


def within(part, whole):
    """Tell whether all of a list stands in another one, in the same order."""
    left = iter(whole)
    return all(item in left for item in part)


class View:
    """What one reader has been given so far, by writer and kind."""

    def __init__(self):
        self.lists = {}

    def take(self, frames):
        for frame in frames:
            for kind, item in items(frame.events):
                self.lists.setdefault((frame.writer, kind), []).append(item)


class World:
    """The system's calls as this process sees them: a clock that jumps, a disk that fails.

    The clock goes on by a fixed time with each look at it, so that the same rules make the same files.
    """

    def __init__(self):
        self.offset = 0
        self.looks = 0
        self.fault = None
        self.pid = 1
        self.alive = set()
        self.real = (time.time_ns, os.write, os.fdatasync, file_writer.own_identity)
        self.real_time = epoch_writer.time
        self.real_lives = liveness.process_lives
        _, real_write, real_sync, real_identity = self.real

        def write(descriptor, data):
            if self.fault == "short":
                return real_write(descriptor, data[: len(data) // 2])
            if self.fault == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real_write(descriptor, data)

        def sync(descriptor):
            if self.fault == "sync":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real_sync(descriptor)

        def now():
            self.looks += 1
            return BEGAN + self.looks * LOOK + self.offset

        time.time_ns = now
        epoch_writer.time = SimpleNamespace(
            time_ns=now, monotonic=lambda: self.looks * LOOK / 10**9
        )
        os.write, os.fdatasync = write, sync
        # Every writer is a process of its own, and lives until it is killed.
        file_writer.own_identity = lambda: {
            **real_identity(),
            "pid": self.pid,
            "wall": now(),
            "monotonic": self.looks * LOOK,
        }
        liveness.process_lives = lambda identity: identity.get("pid") in self.alive
        # One thread, from the first event on: what fails can be made again.
        self.real_rouse = JournalWriter._rouse
        JournalWriter._rouse = lambda writer: None

    def restore(self):
        time.time_ns, os.write, os.fdatasync, file_writer.own_identity = self.real
        epoch_writer.time = self.real_time
        liveness.process_lives = self.real_lives
        JournalWriter._rouse = self.real_rouse


class Machine(RuleBasedStateMachine):
    """One run, its writers one after the other, and its readers."""

    def __init__(self):
        super().__init__()
        usable = soak.MEMORY.is_dir() and os.access(soak.MEMORY, os.W_OK)
        self.root = Path(tempfile.mkdtemp(prefix="battery-", dir=soak.MEMORY if usable else None))
        self.folder = self.root / "1" / "journal"
        self.world = World()
        self.lists = {}  # the model: (writer, kind) -> items in the order of their calls
        self.versions = {}  # writer -> what its lists once were, by kind: some files still hold it
        # Damaged files that no repair made anew: no frame is whole, or all stands again elsewhere.
        self.holed = set()  # writers of whom damage took something out of the middle
        self.sure = {}  # how many of them must be there whatever happens
        self.synced = {}  # how many of them must be there after a power cut
        self.durable = {}  # how long each file was when it last survived a power cut
        self.writer, self.journal_id = None, 0
        self.polling, self.polled = None, View()
        self.position, self.replayed = None, View()
        # The spool of the first writer: its records, as (begin, end, number), and how many of those
        # that are in it were given to the journal by the process that wrote it.
        self.spool, self.records, self.given, self.printed = None, [], 0, 0
        COUNTED["runs"] += 1

    def teardown(self):
        try:
            if self.writer is not None:
                self.world.fault = None
                self.close()
            if self.folder.exists():
                self.read_all()
                self.poll(1 << 30)
                self.replay(1 << 30)
                assert self.polled.lists == self.replayed.lists
        finally:
            if self.polling is not None:
                self.polling.close()
            self.world.restore()
            epoch_writer.EPOCH_BYTES = 256 << 20
            shutil.rmtree(self.root, ignore_errors=True)

    # -- writing -----------------------------------------------------------------------------

    def _add(self, kind, item):
        self.lists.setdefault((self.writer.number, kind), []).append(item)

    def _count(self, kind):
        return len(self.lists.get((self.writer.number, kind), ()))

    def _written(self):
        """All that was recorded is in a file now, if the disk takes anything."""
        if self.writer.fault is None:
            for kind in KINDS:
                self.sure[self.writer.number, kind] = self._count(kind)

    @precondition(lambda self: self.writer is None)
    @rule(durability=st.sampled_from(("process", "second", "event")), resumes=st.booleans())
    def begin(self, durability, resumes):
        """A run begins; or another process goes on in it, for its first writer or beside it."""
        self.world.pid += 1
        self.world.alive = {self.world.pid}
        self.world.fault = None
        if not self.lists and not self.folder.exists():
            self.writer = JournalWriter.create(self.folder, durability=durability, journal_id=ID)
            self.journal_id = self.writer.journal_id
            self._open_spool()
            return
        if resumes and oracle.look(self.folder).reader.position.get(0) is not None:
            self._go_on(durability)
        else:
            self.writer = JournalWriter.join(
                self.folder, journal_id=self.journal_id, durability=durability
            )
            text = f"0 0 0 0 {self.world.pid}"
            self.writer.append(EventType.MESSAGE, level="info", text=text)
            self._add("message", text)
        self._written()

    def _go_on(self, durability):
        """Go on as the first writer, by the code that runs use: what is in the spool becomes events."""
        rest = self._in_spool_alone()
        run = RunFolder(self.root / "1", 1)
        recorder = Recorder(self.root, durability=durability)
        with locked_journal(self.folder):
            record = RecordedRun(run)
            recorder.go_on(record, resume=True)
        assert not recorder.spool_path.exists()
        with pytest.raises(JournalBusyError):  # the second of two is told
            JournalWriter.go_on(self.folder, record.at, journal_id=self.journal_id)
        self.writer = recorder.writer
        for begin, _, number in rest:
            self._add("print", (begin, number))
        there = self.look().lists.get((0, "print"), [])
        assert there == self.lists.get((0, "print"), []), "the spool's output, once"
        self.durable = {path: path.stat().st_size for path in self.folder.glob("*.jzst")}
        self.synced[0, "print"] = len(there)
        self._open_spool(recorder.spool_begin)

    def _open_spool(self, begin=0):
        self.spool, self.records, self.given = spooled.Spool(self.folder, begin), [], 0

    def _in_spool_alone(self):
        """Return the records of the spool that no event of the journal holds."""
        ends = [
            event.fields["end"]
            for frame in oracle.look(self.folder).frames
            for event in frame.events
            if event.type == EventType.OUTPUT and event.fields.get("end") is not None
        ]
        behind = max(ends, default=0)
        return [record for record in self.records if record[0] >= behind]

    @precondition(lambda self: self.writer is not None)
    @rule(size=st.sampled_from((1, 40, 3_000)))
    def message(self, size):
        """A control event, which is in the file when its call returns, with all before it."""
        counts = [str(self._count(kind)) for kind in KINDS]
        text = " ".join((*counts, str(self.world.pid), "." * size))
        self._add("message", text)
        assert self.writer.append(EventType.MESSAGE, level="info", text=text) >= 0
        self._written()

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.integers(1, 300))
    def points(self, count):
        for _ in range(count):
            step = self._count("point")
            self._add("point", (step, self.world.pid))
            self.writer.log_point("loss", step, self.world.pid + step % 7 / 7)

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.integers(1, 5))
    def output(self, count):
        for _ in range(count):
            number = self._count("line")
            self._add("line", (number, self.world.pid))
            self.writer.append_output(1, b"%d %d\n" % (number, self.world.pid))

    @precondition(lambda self: self.spool is not None and self.world.fault in {None, "sync"})
    @rule(count=st.integers(1, 5))
    def prints(self, count):
        """The process that copies the output writes it into the spool."""
        for _ in range(count):
            self.printed += 1
            self.records.append((*self.spool.print(b"%d" % self.printed), self.printed))

    @precondition(lambda self: self.spool is not None)
    @rule()
    def take_from_spool(self):
        """What is new in the spool becomes events."""
        for begin, end, number in self.records[self.given :]:
            self._add("print", (begin, number))
            self.writer.append_output(1, b"%d" % number, begin, end)
        self.given = len(self.records)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def info(self):
        self.writer.append(EventType.INFO_CHANGED, set=[[["a"], 1]], deleted=[])

    @precondition(lambda self: self.writer is not None)
    @rule()
    def flush(self):
        self.writer.flush()
        self._written()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def turn(self):
        """The flusher's turn."""
        self.writer._tick()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def sync(self):
        if self.writer.sync():
            assert self.world.fault != "sync" or not self.writer._dirty
            self.durable = {path: path.stat().st_size for path in self.folder.glob("*.jzst")}
            for kind in KINDS:
                self.synced[self.writer.number, kind] = self._count(kind)
        self._written()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def rotate(self):
        epoch_writer.EPOCH_BYTES = 1
        self.message(1)
        epoch_writer.EPOCH_BYTES = 256 << 20

    # -- what happens to it ------------------------------------------------------------------

    @rule(hours=st.sampled_from((-24 * 365 * 60, -1, 1, 24 * 365 * 70)))
    def clock_jumps(self, hours):
        now = BEGAN + self.world.looks * LOOK
        self.world.offset = min(max(hours * 3600 * 10**9, 10**9 - now), 2**62 - now)

    @precondition(lambda self: self.writer is not None)
    @rule(fault=st.sampled_from(("full", "short", "sync", None)))
    def disk(self, fault):
        self.world.fault = fault
        if fault is None:
            self.writer._retry_at = 0.0

    def _gone(self):
        """The process is no more; what it left is the model from now on."""
        number = self.writer.number
        self.writer = None
        if self.spool is not None:
            self.spool.close()
            self.spool = None
        self.world.alive = set()
        self.world.fault = None
        self._adopt(number)

    def _adopt(self, number):
        view = self.look()
        for kind in KINDS:
            there = view.lists.get((number, kind), [])
            known = self.lists.get((number, kind), [])
            assert there == known[: len(there)]
            assert len(there) >= self.sure.get((number, kind), 0), f"lost: {number} {kind}"
            self.lists[number, kind] = there
            self.sure[number, kind] = self.synced[number, kind] = len(there)

    @precondition(lambda self: self.writer is not None)
    @rule(torn=st.sampled_from((0, 1, 3, 17, 40)))
    def kill(self, torn):
        """SIGKILL, in the middle of a write or not."""
        writer = self.writer
        if torn and writer._fd >= 0:
            frame = writer._encoder.encode(b"\x97\0" + bytes(60))
            self.world.real[1](writer._fd, frame[:torn])
        writer._close_file()
        writer._close_left()
        writer.closed = True
        writer._pending.clear()
        writer._cells.clear()
        self._gone()

    @precondition(lambda self: self.writer is not None)
    @rule(share=st.floats(0, 1))
    def power_cut(self, share):
        """The end of the last file is gone, as far as it was not durable: readers begin anew."""
        writer = self.writer
        path = writer.path
        writer._close_file()
        writer._close_left()
        writer.closed = True
        least = self.durable.get(path, 0) or _first_frame(path)
        size = path.stat().st_size
        os.truncate(path, max(least, size - int(share * min(size - least, 200))))
        self._remember(writer.number)
        for kind in KINDS:
            self.sure[writer.number, kind] = self.synced.get((writer.number, kind), 0)
        self._begin_readers_anew()
        self._gone()

    @precondition(lambda self: self.writer is not None and self.world.fault is None)
    @rule()
    def close(self):
        writer = self.writer
        writer._retry_at = 0.0
        writer.close()
        for kind in KINDS:
            assert not writer.losses
            self.sure[writer.number, kind] = self._count(kind)
        self._gone()

    @precondition(lambda self: self.lists)
    @rule()
    def seal(self):
        """All files that will not grow are sealed: nothing moves."""
        before, rest = self.look().lists, self._in_spool_alone()
        try:
            for outcome in seal_run(RunFolder.at(self.folder.parent)):
                is_noise = (outcome.reason or "").startswith("nothing whole is in it")
                allowed = {"sealed", "already", "growing", "empty"}
                assert outcome.state in allowed or is_noise, outcome
                if outcome.state == "sealed" and outcome.path == self._newest():
                    # What the spool alone had of the run's output becomes events of its last file.
                    before.setdefault((0, "print"), []).extend((b, n) for b, _, n in rest)
        except OSError:  # then all is as it was
            if self.world.fault is None:
                raise
        after = self.look().lists
        assert {key: some for key, some in before.items() if some} == after
        if self.writer is None or self.writer.number:
            self.lists[0, "print"] = after.get((0, "print"), [])
            self.sure[0, "print"] = self.synced[0, "print"] = len(self.lists[0, "print"])

    def _newest(self):
        """Return the last file of the first writer."""
        return max(self.folder.glob("w0000-e*.jzst"), default=None)

    def _remember(self, writer):
        """Keep what the lists are: it stands in some files, whatever is read from now on."""
        version = {kind: self.lists.get((writer, kind), []) for kind in KINDS}
        self.versions.setdefault(writer, []).append(version)

    @precondition(lambda self: self.writer is None and self.lists)
    @rule(which=st.integers(0, 3), where=st.floats(0, 1), bit=st.integers(0, 7))
    def damage_and_repair(self, which, where, bit):
        """A bit flips in a file that will not grow; repairing keeps all that is still read."""
        paths = sorted(self.folder.glob("w*-e*.jzst"), reverse=True)
        path = paths[which % len(paths)]
        content = bytearray(path.read_bytes())
        if not content:
            return
        content[int(where * (len(content) - 1))] ^= 1 << bit
        path.write_bytes(content)
        reader = JournalReader(self.folder)
        seen = View()
        seen.take(reader.poll())
        damaged = any(map(is_damage, reader.verdicts))
        reader.close()
        writers = {writer for writer, _ in (*self.lists, *seen.lists)}
        for writer in writers:
            self._remember(writer)
            assert any(
                all(within(seen.lists.get((writer, kind), ()), version[kind]) for kind in KINDS)
                for version in self.versions[writer]
            ), "it says what never was written, or was not written together"
        outcomes = repair_run(RunFolder.at(self.folder.parent))
        assert bool(outcomes) or not damaged
        after = View()
        reader = JournalReader(self.folder)
        after.take(reader.poll())
        reader.close()
        assert seen.lists == after.lists
        for writer in writers:
            for kind in KINDS:
                there = after.lists.get((writer, kind), [])
                known = self.lists.get((writer, kind), [])
                if known != there[: len(known)]:
                    self.holed.add(writer)
                self.lists[writer, kind] = there
                self.sure[writer, kind] = self.synced[writer, kind] = len(there)
        self._begin_readers_anew()

    def _begin_readers_anew(self):
        if self.polling is not None:
            self.polling.close()
        self.polling, self.polled = None, View()
        self.position, self.replayed = None, View()

    # -- readers -----------------------------------------------------------------------------

    def look(self):
        """Read all with a new reader: no event twice, none missing in the middle."""
        seen = oracle.look(self.folder)
        if not any(is_damage(verdict) for verdict in seen.verdicts):
            oracle.check_prefix(seen)
        view = View()
        view.take(seen.frames)
        COUNTED["reads"] += 1
        return view

    def _check(self, view):
        COUNTED["steps"] += 1
        for (number, kind), there in view.lists.items():
            known = self.lists[number, kind]
            assert there == known[: len(there)], f"writer {number}: {kind}s"
            if kind == "message" and number not in self.holed:
                for text in there:
                    counts = map(int, text.split(" ")[: len(KINDS)])
                    for other, count in zip(KINDS, counts, strict=True):
                        have = len(view.lists.get((number, other), ()))
                        assert have >= count or other == "message", "before what it follows"

    @precondition(lambda self: self.lists)
    @rule()
    def read_all(self):
        view = self.look()
        self._check(view)
        for (number, kind), count in self.sure.items():
            assert len(view.lists.get((number, kind), ())) >= count, f"lost: {number} {kind}"

    @precondition(lambda self: self.lists)
    @rule(limit=st.sampled_from((1, 3, 1 << 30)))
    def poll(self, limit):
        """A reader that stays: each event once."""
        if self.polling is None:
            self.polling = JournalReader(self.folder)
        self.polled.take(self.polling.poll(limit))
        self._check_prefixes(self.polled)

    @precondition(lambda self: self.lists)
    @rule(limit=st.sampled_from((1, 3, 1 << 30)))
    def replay(self, limit):
        """A view: a new process each time, which begins where the one before it stopped."""
        reader = JournalReader(self.folder, self.position)
        self.replayed.take(reader.poll(limit))
        self.position = reader.position
        reader.close()
        self._check_prefixes(self.replayed)

    def _check_prefixes(self, view):
        COUNTED["steps"] += 1
        for (number, kind), there in view.lists.items():
            known = self.lists[number, kind]
            assert there == known[: len(there)], f"writer {number}: {kind}s"


def _first_frame(path):
    from sacred.journal.frames import frame_bounds

    bounds = frame_bounds(path.read_bytes(), 0)
    return bounds.end if bounds else 0


def _settings(**more):
    return settings(
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(
            Phase.generate,
        ),  # making a failure smaller takes minutes, and is for who looks at it
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        **more,
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="row 13 lets fdatasync fail")
def test_whatever_happens_every_reader_sees_a_prefix(record_property):
    """Row 13, P1, P3, P4: writing, faults, kills, power cuts, seals, repairs and clocks in any order: every reader is given each event once, in order, and what was promised."""
    until = time.monotonic() + soak.seconds(0.15)
    COUNTED.update(dict.fromkeys(COUNTED, 0))
    if not soak.seconds(1):
        run_state_machine_as_test(Machine, settings=_settings(max_examples=RUNS, derandomize=True))
    number = soak.seed()
    while time.monotonic() < until:
        chosen = hypothesis.seed(number)(Machine)
        print(f"seed {number}")
        run_state_machine_as_test(chosen, settings=_settings(max_examples=RUNS))
        number += 1
    record_property("battery", ("row 13: runs of the state machine", COUNTED["runs"]))
    record_property("battery", ("row 13: readings, compared with the model", COUNTED["reads"]))
