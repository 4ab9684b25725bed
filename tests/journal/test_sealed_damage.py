"""Damage to sealed files: what it costs, what is said of it, and what a repair makes of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot, seal_index
from sacred.journal.epoch_file import EpochFile
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.repair import repair_run
from sacred.journal.root import RunFolder
from sacred.journal.seal import seal_run
from sacred.journal.seal_index import SEEK_TABLE_MAGIC, walk
from sacred.journal.verdicts import Gap, Unindexed
from sacred.journal.verification import verify
from sacred.replayers.listing import outline

NAME = "w0000-e0001.jzst"
WRITES = textwrap.dedent(
    """
    import sys
    from sacred.journal import EventType, JournalRoot, JournalWriter
    from sacred.journal.seal_own import seal_own

    writer = JournalWriter.create(JournalRoot(sys.argv[1]).claim().journal)
    writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
                  experiment={}, host={})
    for step in range(9000):
        writer.log_point("loss", step, step / 7)
        if step % 3000 == 0:
            writer.append(EventType.MESSAGE, level="info", text=str(step) * 2000)
    if sys.argv[2] != "dies":
        writer.append(EventType.RUN_ENDED, how="failed", status="TIMEOUT")
    writer.close()
    if sys.argv[2] == "seals":
        seal_own(writer, "TIMEOUT")
    """
)


def written(folder, how):
    """Have a process that is gone write a run; return its folder."""
    root = JournalRoot(folder / "sacred_runs")
    subprocess.run([sys.executable, "-c", WRITES, str(root.path), how], check=True, timeout=60)
    return root.runs()[0]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """The bytes of a sealed run of several frames."""
    run = written(tmp_path_factory.mktemp("sealed"), "ends")
    assert ["sealed"] == [outcome.state for outcome in seal_run(run)]
    return (run.journal / NAME).read_bytes()


@pytest.fixture
def run(tmp_path):
    """A run's folder with an empty journal folder."""
    (tmp_path / "1" / "journal").mkdir(parents=True)
    return RunFolder(tmp_path / "1")


def put(run, data):
    (run.journal / NAME).write_bytes(data)


def flipped(data, at, bit=0):
    """Return the bytes with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def sizes_of(run):
    """Return (offset, size) of each frame, and where the events end."""
    descriptor = os.open(run.journal / NAME, os.O_RDONLY)
    sizes, end = walk(descriptor)
    os.close(descriptor)
    offsets, at = [], 0
    for size, _ in sizes:
        offsets.append((at, size))
        at += size
    return offsets, end


def rows(run):
    """Return how many sequence numbers are read."""
    reader = JournalReader(run.journal)
    count = sum(frame.count for frame in reader.poll())
    reader.close()
    return count


# -- behind the events -----------------------------------------------------------------------------


def test_every_flip_behind_the_events_is_noticed_and_mended(run, sealed):
    """Index and seek table: no event is lost, verify names the file, and a repair writes it anew."""
    put(run, sealed)
    _, end = sizes_of(run)
    events = rows(run)
    whole = EpochFile.of(run.journal, 0, 1).index()
    rng = random.Random(11)
    table = sealed.rindex(SEEK_TABLE_MAGIC)
    parts = (range(8 * end, 8 * table), range(8 * table, 8 * len(sealed)))
    bits = [bit for part in parts for bit in (part[0], *rng.sample(part, 30), part[-1])]
    for bit in bits:
        put(run, flipped(sealed, bit // 8, bit % 8))
        report = verify(run)
        if report.verdict == "clean" and bit < 8 * table:  # bits of zstd that mean nothing
            assert EpochFile.of(run.journal, 0, 1).index() == whole, bit
            continue
        assert (report.verdict, report.clean, report.events) == ("index", False, events), bit
        (flaw,) = report.verdicts
        assert (Unindexed, 0, 1, end) == (type(flaw), *flaw[:3]), bit
        assert "w0000-e0001.jzst: no event is lost, but the " in str(flaw)
    (outcome,) = repair_run(run)
    assert (outcome.lost, outcome.reason) == ([], None)
    assert verify(run).verdict == "clean"
    assert rows(run) == events
    assert "lost" not in EpochFile.of(run.journal, 0, 1).next_frame().values[1]


@pytest.mark.parametrize("left", [0, 8, 40, -9, -1])
def test_a_file_that_is_cut_behind_its_events(run, sealed, left):
    """What a copy left out: the index, or the seek table."""
    put(run, sealed)
    _, end = sizes_of(run)
    put(run, sealed[: end + left] if left >= 0 else sealed[:left])
    assert "index" == verify(run).verdict
    assert len(repair_run(run)) == 1
    assert "clean" == verify(run).verdict


def test_more_behind_the_seek_table_is_noticed(run, sealed):
    """Bytes that no sealing wrote."""
    put(run, sealed + b"\0")
    assert "index" == verify(run).verdict


def test_the_index_of_another_file_is_noticed(tmp_path, run, sealed):
    """Whole by its checksum, and it tells of other frames."""
    put(run, sealed)
    _, end = sizes_of(run)
    other = written(tmp_path, "dies")
    seal_run(other)
    data = (other.journal / NAME).read_bytes()
    _, other_end = sizes_of(other)
    put(run, sealed[:end] + data[other_end:])
    assert EpochFile.of(run.journal, 0, 1).index() is not None
    assert "index" == verify(run).verdict


def test_a_file_of_millions_of_frames_is_sealed(tmp_path, monkeypatch):
    """Where the bounds of the live frames do not fit the index, they are left out, and all else is in it."""
    run = written(tmp_path, "ends")
    events = rows(run)
    monkeypatch.setattr(seal_index, "CONTENT_CAP", 1100)
    assert ["sealed"] == [outcome.state for outcome in seal_run(run)]
    monkeypatch.undo()
    index = EpochFile.of(run.journal, 0, 1).index()
    assert ([], events) == (index.live.seqs, index.next_seq)
    assert ("clean", events) == (verify(run).verdict, rows(run))


def test_positions_of_the_live_file_stay_where_the_seek_table_alone_is_hit(run, tmp_path):
    """The index is found from frame to frame, so that the repaired file still proves them."""
    other = written(tmp_path, "ends")
    reader = JournalReader(other.journal)
    stands = [(reader.position, frame.first_seq + frame.count) for frame in reader.poll()]
    seal_run(other)
    data = (other.journal / NAME).read_bytes()
    put(run, flipped(data, len(data) - 30))
    for mend in (False, True):
        if mend:
            assert [None] == [outcome.reason for outcome in repair_run(run)]
        for position, seq in stands[1 :: len(stands) // 5]:
            again = JournalReader(run.journal, position)
            first = next(e.seq for f in again.poll() for e in f.events if e.seq >= 0)
            assert (first, []) == (seq, again.unproven())


# -- among the events ------------------------------------------------------------------------------


def test_what_begins_and_ends_a_run_stands_alone(run, sealed):
    """A frame for the start and one for the end; no other holds more than 2,048 points of a metric."""
    put(run, sealed)
    frames = EpochFile.of(run.journal, 0, 1).index().frames
    starts, ends = int(EventType.RUN_STARTED), int(EventType.RUN_ENDED)
    assert (starts,) == frames[0].types
    assert (ends,) == frames[-1].types
    assert len(frames) > 6
    assert max(frame.count for frame in frames) <= 2048


def test_a_flipped_bit_costs_one_frame(run, sealed):
    """P4: whichever frame is hit, the others are read, and the hole is named by its numbers."""
    put(run, sealed)
    index = EpochFile.of(run.journal, 0, 1).index()
    events = rows(run)
    for frame in index.frames:
        put(run, flipped(sealed, frame.offset + 30))
        assert rows(run) == events - frame.count
        holes = [v[3:5] for v in verify(run).verdicts if isinstance(v, Gap)]
        assert holes == [(frame.first_seq, frame.first_seq + frame.count)]


def test_a_sealed_file_never_ends_in_silence(run, sealed):
    """Cut where a frame ends, also before the last: it was whole once, so its end is missing."""
    put(run, sealed)
    offsets, _ = sizes_of(run)
    for at, _ in offsets[1:]:
        put(run, sealed[:at])
        report = verify(run)
        assert (report.verdict, report.verdicts[-1].size) == ("gap", 0)
        assert "it was sealed, and its end" in str(report.verdicts[-1])
        assert outline(run).problem is not None
        assert len(repair_run(run)) == 1
        assert "clean" == verify(run).verdict
        for name in os.listdir(run.journal):
            (run.journal / name).unlink()


def test_the_index_tells_what_the_end_held(run, sealed):
    """The last frames are hit: the repaired file names what they held, and reading says it."""
    put(run, sealed)
    index = EpochFile.of(run.journal, 0, 1).index()
    last = index.frames[-2]
    data = flipped(flipped(sealed, last.offset + 30), index.frames[-1].offset + 20)
    put(run, flipped(data, index.end + 20))
    assert "gap" == verify(run).verdict
    (outcome,) = repair_run(run)
    assert outcome.lost == [(last.first_seq, index.next_seq)]
    report = verify(run)
    assert "clean" == report.verdict
    (hole,) = report.verdicts
    assert (hole.first_seq, hole.next_seq, hole.repaired) == (last.first_seq, index.next_seq, True)


# -- how the run ended -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["seals", "ends"])
def test_a_run_whose_end_is_hit_has_ended_all_the_same(tmp_path, how):
    """The seal says how, at the file's beginning and at its end: one of the two is enough."""
    run = written(tmp_path, how)
    if how == "ends":
        seal_run(run)
    data = (run.journal / NAME).read_bytes()
    index = EpochFile.of(run.journal, 0, 1).index()
    ended = index.frames[-1].offset + 20
    offsets, _ = sizes_of(run)
    cases = {
        "the event": [ended],
        "and the end": [ended, index.end + 20],
        "and the beginning": [ended, 30],
    }
    for hit in cases.values():
        damaged = data
        for at in hit:
            damaged = flipped(damaged, at)
        put(run, damaged)
        assert run_liveness(run) is Liveness.ENDED
        found = outline(run)
        assert (found.status, found.stop) == ("TIMEOUT", None)
        assert found.problem is not None
    assert [None] == [outcome.reason for outcome in repair_run(run, force=True)]
    assert (outline(run).status, outline(run).problem) == ("TIMEOUT", None)
    first, *_ = JournalReader(run.journal).read()
    assert first.fields["status"] == "TIMEOUT"


def test_a_run_that_died_is_not_said_to_have_ended(tmp_path):
    """Sealed after it died, whatever is hit then: DIED, with its last sign of life, repaired too."""
    run = written(tmp_path, "dies")
    seal_run(run)
    assert outline(run).status == "DIED"
    data = (run.journal / NAME).read_bytes()
    index = EpochFile.of(run.journal, 0, 1).index()
    seen = next(JournalReader(run.journal).read()).fields["last_seen"]
    for at in (30, index.frames[2].offset + 30):
        put(run, flipped(data, at))
        assert outline(run).status == "DIED"
        assert [None] == [outcome.reason for outcome in repair_run(run, force=True)]
        assert outline(run).status == "DIED"
        assert seen == next(JournalReader(run.journal).read()).fields["last_seen"]


@pytest.mark.parametrize(("how", "status"), [("dies", "DIED"), ("ends", "TIMEOUT")])
def test_a_repair_notes_what_became_of_the_run(tmp_path, how, status):
    """As sealing does: when a run was last seen alive that died, or how it ended."""
    run = written(tmp_path, how)
    data = (run.journal / NAME).read_bytes()
    put(run, flipped(data, len(data) // 2))
    assert outline(run).status == status
    assert [None] == [outcome.reason for outcome in repair_run(run)]
    assert outline(run).status == status
    first = next(JournalReader(run.journal).read()).fields
    assert (how == "dies", how == "ends") == ("last_seen" in first, "status" in first)
