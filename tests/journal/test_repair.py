"""Repair: all that is whole, what is lost by name, and the damaged file kept."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.journal import (
    EventType,
    JournalReader,
    JournalRoot,
    JournalWriter,
    Position,
    epoch_writer,
)
from sacred.journal.frames import frame_bounds
from sacred.journal.repair import repair_run
from sacred.journal.root import RunFolder
from sacred.journal.seal import seal_run
from sacred.journal.sealer import seal_file
from sacred.journal.verdicts import Gap
from sacred.journal.verification import verify

WRITES = textwrap.dedent(
    """
    import sys
    from sacred.journal import EventType, JournalRoot, JournalWriter
    import sacred.journal.epoch_writer as module

    module.EPOCH_BYTES = int(sys.argv[2])
    folder = JournalRoot(sys.argv[1]).claim()
    writer = JournalWriter.create(folder.journal)
    for number in range(60):
        writer.append(EventType.MESSAGE, level="info", text=f"event {number} " + "x" * number)
        writer.log_point("x", number, number / 3)
        writer.flush()
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    """
)


def run_of_another_process(folder, epoch_bytes=1 << 30):
    """Have a process that is gone write a run; return its folder."""
    root = JournalRoot(folder / "sacred_runs")
    command = [sys.executable, "-c", WRITES, str(root.path), str(epoch_bytes)]
    subprocess.run(command, check=True, timeout=60)
    return root.runs()[0]


def events_of(run):
    """Return (seq, what it says) of each event, points one by one, and the verdicts."""
    reader = JournalReader(run.journal)
    found = []
    for event in reader.read():
        if event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            rows = zip(table.names(), table.steps, table.values, strict=True)
            found += [(event.seq + n, row) for n, row in enumerate(rows)]
        elif event.type == EventType.METRIC_POINT:
            fields = event.fields
            found.append((event.seq, (fields["metric"], fields["step"], fields["value"])))
        elif event.seq >= 0:
            found.append((event.seq, repr(event.fields)))
    return found, [*reader.verdicts, *reader.tails()]


class Files(dict):
    """Names and contents, told in short."""

    def __repr__(self):
        return f"<{len(self)} files>"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run's files: as one, as several, and sealed."""
    one = run_of_another_process(tmp_path_factory.mktemp("one"))
    several = run_of_another_process(tmp_path_factory.mktemp("several"), 3000)
    sealed = run_of_another_process(tmp_path_factory.mktemp("sealed"))
    seal_run(sealed)
    return Files(
        (name, {path.name: path.read_bytes() for path in run.journal.iterdir()})
        for name, run in (("one", one), ("several", several), ("sealed", sealed))
    )


def damage(data, rng):
    """Return bytes that something happened to."""
    data = bytearray(data)
    at = rng.randrange(len(data))
    kind = rng.choice(["flip", "zero", "cut out", "twice", "garbage"])
    size = rng.choice([1, 50, 512])
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "zero":
        data[at : at + size] = b"\0" * len(data[at : at + size])
    elif kind == "cut out":
        del data[at : at + size]
    elif kind == "twice":
        data[at:at] = data[at : at + size]
    else:
        data[at:at] = rng.randbytes(size)
    return bytes(data)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["one", "several", "sealed"]))
def test_all_that_is_whole_stays_and_the_rest_is_named(written, tmp_path_factory, seed, form):
    """What was read before a repair is read after it; the run is then clean, its losses known."""
    rng = random.Random(seed)
    run = RunFolder(tmp_path_factory.mktemp("damaged"))
    run.journal.mkdir()
    for name, data in written[form].items():
        (run.journal / name).write_bytes(data)
    path = run.journal / rng.choice(sorted(written[form]))
    path.write_bytes(damage(path.read_bytes(), rng))
    bytes_before = {p.name: p.read_bytes() for p in run.journal.iterdir()}
    before, verdicts = events_of(run)
    gaps = [(v.first_seq, v.next_seq) for v in verdicts if isinstance(v, Gap)]
    outcomes = repair_run(run)
    assert all(outcome.reason is None for outcome in outcomes if before), outcomes
    after, verdicts = events_of(run)
    assert after == before
    if before:
        # The index of a sealed file may tell what its damaged end held.
        named = {gap for gap in gaps if gap[0] < gap[1]} | {
            gap for outcome in outcomes for gap in outcome.lost
        }
        assert {(v.first_seq, v.next_seq) for v in verdicts if isinstance(v, Gap)} == named
        assert all(v.repaired for v in verdicts if isinstance(v, Gap))
        assert verify(run).verdict in {"clean", "tail"}
    for outcome in outcomes:
        if outcome.kept is not None:
            assert outcome.kept.read_bytes() == bytes_before[outcome.path.name]
    assert all(outcome.reason for outcome in repair_run(run))
    assert {o.state for o in seal_run(run)} <= {"sealed", "already", "empty"} or not before
    assert events_of(run)[0] == before


def test_a_clean_run_is_left_alone(tmp_path):
    """Nothing is written where nothing is damaged."""
    run = run_of_another_process(tmp_path)
    data = (run.journal / "w0000-e0001.jzst").read_bytes()
    assert repair_run(run) == []
    assert (run.journal / "w0000-e0001.jzst").read_bytes() == data
    assert os.listdir(run.journal) == ["w0000-e0001.jzst"]


def test_a_torn_end_is_left_alone(tmp_path):
    """What a kill leaves is no damage."""
    run = run_of_another_process(tmp_path)
    path = run.journal / "w0000-e0001.jzst"
    path.write_bytes(path.read_bytes()[:-5])
    assert repair_run(run) == []
    assert os.listdir(run.journal) == ["w0000-e0001.jzst"]


def test_the_file_of_a_child_is_repaired_by_itself(tmp_path, split):
    """What it lost is named, and the first writer's file is as it was."""
    run = RunFolder(tmp_path / "1")
    shutil.copytree(Path(__file__).parents[1] / "golden" / "children" / "journal", run.journal)
    before = (run.journal / "w0000-e0001.jzst").read_bytes()
    path = run.journal / "w0001-e0001.jzst"
    data = path.read_bytes()
    frames = split(data)
    hit = len(frames[0]) + 20
    path.write_bytes(data[:hit] + bytes([data[hit] ^ 1]) + data[hit + 1 :])
    (outcome,) = repair_run(run, force=True)  # it was written on another machine
    assert (outcome.reason, outcome.path, outcome.kept.read_bytes() != data) == (None, path, True)
    assert outcome.lost
    assert "clean" == verify(run).verdict
    assert (run.journal / "w0000-e0001.jzst").read_bytes() == before


def test_what_is_no_file_can_not_be_repaired(tmp_path):
    """A folder under a file's name: said, with what to do; the rest of the run is as it was."""
    run = run_of_another_process(tmp_path)
    (run.journal / "w0000-e0002.jzst").mkdir()
    (outcome,) = repair_run(run)
    assert (outcome.kept, outcome.reason) == (
        None,
        "it is no regular file: move it out of the folder",
    )
    assert sorted(os.listdir(run.journal)) == ["w0000-e0001.jzst", "w0000-e0002.jzst"]


def test_a_living_process_is_not_disturbed(tmp_path):
    """R4: a damaged file that a living process writes is left to it."""
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    for number in range(5):
        writer.append(EventType.MESSAGE, level="info", text=f"event {number}")
    data = bytearray(writer.path.read_bytes())
    data[500] ^= 1
    writer.path.write_bytes(data)
    (outcome,) = repair_run(RunFolder(tmp_path / "1"), force=True)
    assert f"its process ({os.getpid()}) lives" in outcome.reason
    assert writer.path.read_bytes() == data
    writer.close()


def test_a_file_of_which_only_the_end_is_left_tells_the_chain_all_the_same(tmp_path, monkeypatch):
    """Damage takes the events of a sealed file, and later its first frame: what its last frame tells proves the next file."""
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    writer.append(EventType.MESSAGE, level="info", text="event 0")
    with monkeypatch.context() as patch:
        patch.setattr(epoch_writer, "EPOCH_BYTES", 1)
        writer.append(EventType.MESSAGE, level="info", text="event 1")
    writer.append(EventType.MESSAGE, level="info", text="event 2")
    writer.close()
    run = RunFolder(tmp_path / "1")
    seal_file(run.journal, 0, 1)
    path = run.journal / "w0000-e0001.jzst"
    for number in (1, 0):
        data = path.read_bytes()
        at = 0
        for _ in range(number):
            at = frame_bounds(data, at).end
        path.write_bytes(data[: at + 40] + bytes([data[at + 40] ^ 1]) + data[at + 41 :])
        (outcome,) = repair_run(run)
        assert outcome.kept
        events, verdicts = events_of(run)
        assert [2] == [seq for seq, *_ in events]
        assert [(0, 2, True)] == [(v.first_seq, v.next_seq, v.repaired) for v in verdicts]
    whole = JournalReader(run.journal)
    for frame in whole.poll():  # each may stop there, and has to prove that the next may go on
        position = Position({0: frame.after})
        reader = JournalReader(run.journal, position)
        list(reader.poll())
        assert (3, []) == (reader.position[0].next_seq, reader.unproven())


def test_the_index_tells_the_chain_where_the_end_of_a_sealed_file_is_damaged(tmp_path, monkeypatch):
    """What ends a sealed file is written anew as it was: the next file is proved by it."""
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    for number in range(2):  # more than one live frame, so that sealed ones chain otherwise
        writer.append(EventType.MESSAGE, level="info", text=f"event {number}")
    with monkeypatch.context() as patch:
        patch.setattr(epoch_writer, "EPOCH_BYTES", 1)
        writer.append(EventType.MESSAGE, level="info", text="event 2")
    writer.append(EventType.MESSAGE, level="info", text="event 3")
    writer.close()
    run = RunFolder(tmp_path / "1")
    seal_file(run.journal, 0, 1)
    path = run.journal / "w0000-e0001.jzst"
    data = path.read_bytes()
    at = 40
    for _ in range(2):
        at += frame_bounds(data, at - 40).end - (at - 40)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    first, second = repair_run(run)
    assert (True, "lives") == (first.kept is not None, second.reason[-5:])
    events, verdicts = events_of(run)
    assert ([0, 1, 2, 3], []) == ([seq for seq, *_ in events], verdicts)


def test_a_second_damage_is_kept_beside_the_first(tmp_path):
    """Each damaged file keeps its bytes, and all losses stay named."""
    run = run_of_another_process(tmp_path)
    path = run.journal / "w0000-e0001.jzst"
    kept = []
    for at in (2000, 1500):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        (outcome,) = repair_run(run)
        assert outcome.lost
        assert outcome.kept.read_bytes() == data
        kept.append(outcome.kept.name)
    assert kept == ["w0000-e0001.jzst.damaged-1", "w0000-e0001.jzst.damaged-2"]
    _, verdicts = events_of(run)
    assert verdicts  # the second may have taken what lay around the first
    assert all(verdict.repaired for verdict in verdicts)
    assert verify(run).clean
