"""Sealing: the same events in fewer bytes, and nothing moves."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.journal import EventType, JournalReader, JournalWriter, Position
from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import NotSealableError, PositionContradictedError
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.root import JournalRoot, RunFolder, epoch_file_name
from sacred.journal.seal import seal_run
from sacred.journal.seal_index import INDEX_MAGIC
from sacred.journal.sealer import seal_file
from sacred.journal.spool import encode_record
from sacred.journal.verification import verify

NAMES = ("loss", "accuracy", "ü", "x" * 300)
VALUES = (0.5, -0.0, float("nan"), float("inf"), 3, 2**62, 2**70, -(2**80), "text", True, None)


def contents(folder, position=None):
    """Every event with its number; points one by one, times to the microsecond."""
    reader = JournalReader(folder, position)
    found = []
    for frame in reader.poll():
        for event in frame.events:
            if event.type == EventType.METRIC_TABLE:
                table = event.fields["table"]
                rows = zip(table.names(), table.steps, map(repr, table.values), table.times)
                found += [(event.writer, event.seq + n, *row) for n, row in enumerate(rows)]
            elif event.type == EventType.METRIC_POINT:
                fields = event.fields
                row = (fields["metric"], fields["step"], repr(fields["value"]), event.time // 1000)
                found.append((event.writer, event.seq, *row))
            elif event.seq >= 0:
                found.append((event.writer, event.seq, event.type, event.time, repr(event.fields)))
    assert reader.verdicts == []
    assert reader.tails() == []
    assert reader.unproven() == []
    return found, reader.position


def write_some(folder, rng, size, **options):
    """Write a journal of some events of all kinds; return its closed writer."""
    writer = JournalWriter.create(folder, **options)
    for step in range(size):
        kind = rng.random()
        if kind < 0.02:
            writer.append(EventType.MESSAGE, level="info", text="x" * rng.choice([1, 100, 50_000]))
        elif kind < 0.04:
            writer.append_output(rng.choice([1, 2]), b"some output\n")
        elif kind < 0.07:
            writer.flush()
        else:
            writer.log_point(rng.choice(NAMES), step, rng.choice([rng.random(), *VALUES]))
    writer.close()
    return writer


def positions(folder):
    """Where a view may stand: behind every frame."""
    reader = JournalReader(folder)
    return [frame.after for frame in reader.poll() if frame.count]


# -- what stays ----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), size=st.sampled_from([0, 1, 5, 300, 2000]))
def test_events_numbers_and_positions_stay(tmp_path_factory, seed, size):
    """R5: every event, bit for bit, under its number; every position, with its hint or without."""
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("seal") / "journal"
    write_some(folder, rng, size)
    before, end = contents(folder)
    stands = positions(folder)
    done = seal_file(folder, 0, 1)
    assert done.events == end[0].next_seq
    assert contents(folder) == (before, end)
    for at in rng.sample(stands, min(20, len(stands))):
        for offset in (at.offset, 0):
            rest, reached = contents(folder, Position({0: at._replace(offset=offset)}))
            assert rest == [event for event in before if event[1] >= at.next_seq]
            assert reached == end
        with pytest.raises(PositionContradictedError):
            contents(folder, Position({0: at._replace(chain=at.chain ^ 1, offset=0)}))


def test_a_position_taken_in_the_sealed_file_holds(tmp_path):
    """A reader of the sealed file stops behind one of its frames, and goes on from there."""
    write_some(tmp_path / "journal", random.Random(1), 3000)
    seal_file(tmp_path / "journal", 0, 1)
    before, end = contents(tmp_path / "journal")
    stands = positions(tmp_path / "journal")
    assert len(stands) > 2
    for at in stands:
        rest, reached = contents(tmp_path / "journal", Position({0: at._replace(offset=0)}))
        assert (rest, reached) == ([e for e in before if e[1] >= at.next_seq], end)


def test_a_position_between_frames_is_contradicted(tmp_path):
    """A number at which no frame ended is no place where a view ever stood."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(500):
        writer.log_point("x", step, 0.5)
    writer.close()
    (first, *_) = positions(tmp_path / "journal")
    seal_file(tmp_path / "journal", 0, 1)
    wrong = Position({0: first._replace(next_seq=first.next_seq + 1)})
    with pytest.raises(PositionContradictedError):
        contents(tmp_path / "journal", wrong)


def test_a_damaged_index_costs_no_event(tmp_path):
    """The index is there for positions alone: without it all is read, and a view begins anew."""
    write_some(tmp_path / "journal", random.Random(3), 500)
    before, _ = contents(tmp_path / "journal")
    at = positions(tmp_path / "journal")[3]
    seal_file(tmp_path / "journal", 0, 1)
    path = tmp_path / "journal" / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[data.rindex(INDEX_MAGIC) + 40] ^= 1
    path.write_bytes(data)
    assert contents(tmp_path / "journal")[0] == before
    with pytest.raises(PositionContradictedError):
        contents(tmp_path / "journal", Position({0: at._replace(offset=0)}))


def test_zstd_takes_it(tmp_path):
    """`zstd -t` proves a sealed file, index and seek table included."""
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    writer = write_some(tmp_path / "journal", random.Random(2), 2000)
    seal_file(tmp_path / "journal", 0, 1)
    subprocess.run(["zstd", "-tq", writer.path], check=True, timeout=60)


def test_the_index_tells_of_the_metrics(tmp_path):
    """Per metric: how many, the least and greatest finite number, the last step and value."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step, value in enumerate([3.0, float("nan"), 1.0, float("inf"), 2, "text", 5.0, 4.0]):
        writer.log_point("a", step, value)
    writer.log_point("b", 0.5, "only text")
    writer.close()
    seal_file(tmp_path / "journal", 0, 1)
    index = EpochFile(writer.path, 0, 1).index()
    assert [tuple(metric) for metric in index.metrics] == [
        ("a", 8, 1.0, 5.0, 7, 4.0),
        ("b", 1, None, None, 0.5, None),
    ]
    assert index.frame_of(0).first_seq == 0
    assert index.frame_of(9) is None


def test_it_gets_smaller(tmp_path, monkeypatch):
    """The events of a burst take at most 7 bytes a point, those of 1,000 metrics at most 8 (B5).

    Half a microsecond after one another, as in a loop: on a machine that is busy they are not.
    """
    rng = random.Random(4)
    now = [time.time_ns()]

    def clock():
        now[0] += rng.randrange(300, 700)
        return now[0]

    monkeypatch.setattr(time, "time_ns", clock)
    value = 0.0
    for folder, names, limit in (("one", 1, 7.0), ("many", 1000, 8.0)):
        writer = JournalWriter.create(tmp_path / folder)
        for step in range(40_000):
            value += rng.random() - 0.5
            writer.log_point(f"m{step % names}", step // names, value)
        writer.close()
        done = seal_file(tmp_path / folder, 0, 1)
        assert done.after < done.before
        assert EpochFile(done.path, 0, 1).index().end / 40_000 < limit, folder


# -- several files ---------------------------------------------------------------------------------


def test_files_that_overlap(tmp_path, monkeypatch):
    """After a fault events stand in two files: sealed, each stands in one, and nothing is lost."""
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    real = os.write
    for step in range(300):
        writer.log_point("x", step, step / 3)
        if step in {100, 200}:
            writer.flush()

            def fail(descriptor, data):
                monkeypatch.setattr(os, "write", real)
                raise OSError(5, "Input/output error")

            monkeypatch.setattr(os, "write", fail)
    writer.close()
    assert writer.epoch > 1
    run = RunFolder(tmp_path / "1")
    before = contents(run.journal)
    stands = positions(run.journal)
    states = [outcome.state for outcome in seal_run(run)]
    assert states == ["sealed"] * (writer.epoch - 1) + ["growing"]
    assert contents(run.journal) == before
    for at in stands:
        rest, end = contents(run.journal, Position({0: at._replace(offset=0)}))
        assert (rest, end) == ([e for e in before[0] if e[1] >= at.next_seq], before[1])
    seal_file(run.journal, 0, writer.epoch)
    assert contents(run.journal) == before


def test_a_reader_of_the_live_file_goes_on(tmp_path):
    """A reader that has the live file open goes on in it, and then in the next one."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.MESSAGE, level="info", text="one")
    reader = JournalReader(tmp_path / "journal")
    poll = reader.poll()
    next(poll)
    writer.append(EventType.MESSAGE, level="info", text="two")
    writer._exclusively(writer._rotate)
    seal_file(tmp_path / "journal", 0, 1)
    writer.append(EventType.MESSAGE, level="info", text="three")
    texts = [e.fields["text"] for f in (*poll, *reader.poll()) for e in f.events if e.seq >= 0]
    assert texts == ["one", "two", "three"]
    assert reader.verdicts == []
    writer.close()


# -- who may be sealed -----------------------------------------------------------------------------

DIES = textwrap.dedent(
    """
    import os, sys
    from sacred.journal import EventType, JournalRoot, JournalWriter

    folder = JournalRoot(sys.argv[1]).claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
                  experiment={}, host={})
    for step in range(100):
        writer.log_point("x", step, step / 7)
    writer.append_output(1, b"from the journal\\n", 0, 30)
    writer.flush()
    if sys.argv[2] == "end":
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
        writer.close()
    os._exit(0)
    """
)


def run_that(ends, tmp_path):
    """Have another process write a run that ends, or dies."""
    root = JournalRoot(tmp_path / "sacred_runs")
    command = [sys.executable, "-c", DIES, str(root.path), ends]
    subprocess.run(command, check=True, timeout=60)
    return root.runs()[0]


def test_a_run_that_ended(tmp_path):
    """A run whose process is gone is sealed; a second time nothing is to be done."""
    run = run_that("end", tmp_path)
    before = contents(run.journal)
    (outcome,) = seal_run(run)
    assert (outcome.state, outcome.reason) == ("sealed", None)
    assert contents(run.journal) == before
    assert run_liveness(run) is Liveness.ENDED
    assert [again.state for again in seal_run(run)] == ["already"]
    assert os.listdir(run.journal) == ["w0000-e0001.jzst"]


def test_a_run_that_died(tmp_path):
    """R4, R8: it stays DIED; when it was last seen alive and what is in its spool are kept."""
    run = run_that("die", tmp_path)
    rest = encode_record(1, 5, b"from the spool\n")
    (run.journal / "w0000.spool").write_bytes(
        b"\x01" + b"\0" * 8 + b"\x11\0\0\0" + b"x" * 17 + rest
    )
    path = run.journal / "w0000-e0001.jzst"
    path.write_bytes(path.read_bytes() + b"\x28\xb5\x2f")  # as if killed in a write
    seen = path.stat().st_mtime_ns
    reader = JournalReader(run.journal)
    before = list(reader.read())
    stands = reader.position
    (outcome,) = seal_run(run)
    assert (outcome.state, outcome.sealed.torn) == ("sealed", 3)
    assert run_liveness(run) is Liveness.DIED
    events = list(JournalReader(run.journal).read())
    assert events[0].fields["last_seen"] == events[-1].fields["last_seen"] == seen
    added = [event for event in events if event.seq >= before[-1].seq + before[-1].count]
    assert [event.fields["data"] for event in added] == [b"from the spool\n"]
    assert [event.seq for event in JournalReader(run.journal, stands).read() if event.seq >= 0] == [
        event.seq for event in added
    ]


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\x28\xb5"])
def test_a_run_that_died_when_it_was_to_go_on(tmp_path, content):
    """R8: the next file has nothing in it: the one before it takes the output and says what became of the run."""
    run = run_that("die", tmp_path)
    spool = run.journal / "w0000.spool"
    taken = encode_record(1, 0, b"x" * 17)  # as the journal says
    spool.write_bytes(taken + encode_record(1, 5, b"printed\n") + b"\x09" * 40)
    (run.journal / "w0000-e0002.jzst").write_bytes(content)
    assert not verify(run).clean
    done = seal_run(run)
    assert ["sealed", "empty"] == [outcome.state for outcome in done]
    assert (run.journal / "w0000.spool.damaged-1", None) == (done[0].kept, done[1].kept)
    events = list(JournalReader(run.journal).read())
    assert events[0].fields["last_seen"]
    assert b"printed\n" in [event.fields.get("data") for event in events]
    assert verify(run).clean
    assert ["already", "empty"] == [outcome.state for outcome in seal_run(run)]


def test_an_empty_file_that_somebody_holds(tmp_path):
    """R4: it is about to be written: the file before it is not the last one, and gets no end."""
    run = run_that("die", tmp_path)
    with open(run.journal / "w0000-e0002.jzst", "wb") as claimed:
        fcntl.flock(claimed, fcntl.LOCK_EX)
        assert ["sealed", "empty"] == [outcome.state for outcome in seal_run(run)]
    assert "last_seen" not in next(iter(JournalReader(run.journal).read())).fields


def test_a_process_that_lives(tmp_path):
    """R4: what is written by a living process is left alone, by force too."""
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    writer.log_point("x", 0, 0.5)
    run = RunFolder(tmp_path / "1")
    for force in (False, True):
        (outcome,) = seal_run(run, force=force)
        assert outcome.state == "growing"
        assert f"its process ({os.getpid()}) lives" in outcome.reason
    writer.close()


def test_another_machine(tmp_path, monkeypatch):
    """R4: whether a process of another machine lives is not seen from here: only by force."""
    run = run_that("end", tmp_path)
    monkeypatch.setattr("sacred.journal.identity.host_name", lambda: "elsewhere")
    (outcome,) = seal_run(run)
    assert outcome.state == "unknown"
    assert "do it there" in outcome.reason
    assert [forced.state for forced in seal_run(run, force=True)] == ["sealed"]


def test_the_date_of_a_file_is_no_sign_of_life_by_itself(tmp_path):
    """A copy is younger than the run, and a file may be touched: the last event counts, and a little more."""
    run = run_that("die", tmp_path)
    last = max(event.time for event in JournalReader(run.journal).read() if event.seq >= 0)
    os.utime(run.journal / "w0000-e0001.jzst", (4e9, 4e9))
    assert [outcome.state for outcome in seal_run(run)] == ["sealed"]
    seen = next(iter(JournalReader(run.journal).read())).fields["last_seen"]
    assert last <= seen <= last + 20 * 10**9


@pytest.mark.parametrize("at", [100, 400, -300])
def test_a_damaged_file_is_left_alone(tmp_path, at):
    """Sealing would make the damage look whole: it says to repair first."""
    run = run_that("end", tmp_path)
    path = run.journal / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    (outcome,) = seal_run(run)
    assert outcome.state == "damaged"
    assert path.read_bytes() == data
    assert os.listdir(run.journal) == [path.name]


def test_a_writer_whose_file_was_sealed_goes_on(tmp_path):
    """R4: sealed by force while it lives: nothing is lost, and the next file follows the sealed."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(50):
        writer.log_point("x", step, 0.5)
    writer.flush()
    seal_file(writer.folder, 0, 1)
    for step in range(50, 100):
        writer.log_point("x", step, 0.5)
    writer.sync()
    writer.log_point("x", 100, 0.5)
    writer.close()
    assert (writer.epoch, writer.losses) == (2, [])
    events, _ = contents(writer.folder)
    assert [event[3] for event in events] == list(range(101))


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "pread", "open"])
def test_a_disk_that_refuses_leaves_the_live_file(tmp_path, monkeypatch, call):
    """Whatever fails before the rename: the live file is as it was, and nothing lies beside it."""
    run = run_that("end", tmp_path)
    path = run.journal / "w0000-e0001.jzst"
    data = path.read_bytes()
    real = getattr(os, call)
    calls = 0

    def fail(*args, **options):
        nonlocal calls
        if call == "open" and not args[1] & os.O_CREAT:
            return real(*args, **options)
        calls += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        seal_file(run.journal, 0, 1)
    monkeypatch.undo()
    assert calls
    assert path.read_bytes() == data
    assert os.listdir(run.journal) == [path.name]


def test_a_file_that_changes_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    """A writer that lives after all: what it wrote since is not taken away."""
    run = run_that("end", tmp_path)
    path = run.journal / "w0000-e0001.jzst"
    real = os.fsync

    def write_on(descriptor):
        with path.open("ab") as file:
            file.write(b"more")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", write_on)
    with pytest.raises(NotSealableError, match="its writer lives"):
        seal_file(run.journal, 0, 1)
    assert path.read_bytes().endswith(b"more")
    assert os.listdir(run.journal) == [path.name]


def test_what_does_not_come_back_is_not_kept(tmp_path, monkeypatch):
    """A disk that gives back other bytes than it was given: the live file stays."""
    run = run_that("end", tmp_path)
    before = contents(run.journal)
    real = os.pread

    def flip(descriptor, size, offset):
        data = bytearray(real(descriptor, size, offset))
        if len(data) > 50:
            data[40] ^= 1
        return bytes(data)

    monkeypatch.setattr(os, "pread", flip)
    with pytest.raises(NotSealableError, match="come back"):
        seal_file(run.journal, 0, 1)
    monkeypatch.undo()
    assert contents(run.journal) == before
    assert os.listdir(run.journal) == [epoch_file_name(0, 1)]


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from sacred.journal.sealer import seal_file

    calls = 0
    die_at = int(sys.argv[2])

    def wrapped(real):
        def call(*args, **options):
            global calls
            calls += 1
            if calls == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)
        return call

    for name in ("open", "write", "fsync", "replace", "close"):
        setattr(os, name, wrapped(getattr(os, name)))
    seal_file(Path(sys.argv[1]), 0, 1)
    """
)


def test_a_kill_at_any_call_costs_nothing(tmp_path):
    """Killed before each of its calls: at every one the journal is whole, and can be sealed."""
    run = run_that("end", tmp_path)
    before = contents(run.journal)
    for die_at in range(1, 40):
        folder = tmp_path / str(die_at) / "journal"
        shutil.copytree(run.journal, folder)
        command = [sys.executable, "-c", KILLED, str(folder), str(die_at)]
        done = subprocess.run(command, timeout=60, check=False)
        assert contents(folder) == before
        seal_file(folder, 0, 1)
        assert contents(folder) == before
        if done.returncode == 0:
            break
    else:
        raise AssertionError("it makes more calls than that")


def test_integers_that_no_float_can_hold(tmp_path):
    """A metric may be any integer: it is sealed, and read back as it was."""
    values = [10**400, -(10**400), 7, 0.5, float("inf"), 2**63, 2**64]
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    for step, value in enumerate(values):
        writer.log_point("n", step, value)
    writer.close()
    assert ["sealed"] == [done.state for done in seal_run(RunFolder(tmp_path / "1"), closed={0: 1})]
    events = list(JournalReader(tmp_path / "1" / "journal").read())
    tables = [event.fields["table"] for event in events if event.name == "metric_table"]
    single = [event.fields["value"] for event in events if event.name == "metric_point"]
    assert values == [value for table in tables for value in table.values] + single
