"""Zeros at the end of a file: what a power cut leaves where the file's size came before its content."""

from __future__ import annotations

import contextlib
import errno
import os

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter
from sacred.journal.holes import end_of_data, next_data
from sacred.journal.identity import own_identity
from sacred.journal.liveness import Liveness
from sacred.journal.repair import repair_run
from sacred.journal.root import RunFolder
from sacred.journal.seal import seal_run
from sacred.journal.sealer import seal_file
from sacred.journal.verdicts import Gap, Tail
from sacred.journal.verification import verify

NAME = "w0000-e0001.jzst"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run of an earlier boot, with six messages of 700 bytes, each a frame."""
    before = {**own_identity(), "boot": "another"}
    monkeypatch.setattr("sacred.journal.file_writer.own_identity", lambda: before)
    writer = JournalWriter.create(tmp_path / "1" / "journal")
    for number in range(6):
        text = f"{number} {os.urandom(350).hex()}"
        writer.append(EventType.MESSAGE, level="info", text=text)
    writer.close()
    monkeypatch.undo()
    return RunFolder.at(tmp_path / "1")


def content(run):
    return (run.journal / NAME).read_bytes()


def put(run, data):
    (run.journal / NAME).write_bytes(data)


def found(run):
    """Return which messages are read, and what is said of the end."""
    reader = JournalReader(run.journal)
    numbers = [int(e.fields["text"][0]) for e in reader.read() if e.type == EventType.MESSAGE]
    assert [] == reader.verdicts
    tails = reader.tails()
    reader.close()
    return numbers, [(tail.offset, tail.size, tail.damaged) for tail in tails]


@pytest.mark.parametrize("count", [1, 511, 4096, 3 << 20])
def test_zeros_behind_the_last_frame_are_a_torn_end(run, count):
    """P2: however many there are, no event is missing and nothing is damaged: `verify` notes a tail."""
    whole = content(run)
    put(run, whole + bytes(count))
    assert ([*range(6)], [(len(whole), count, False)]) == found(run)
    report = verify(run)
    assert (Liveness.DIED, "tail", True) == (report.liveness, report.verdict, report.clean)
    assert [] == repair_run(run)


def test_zeros_in_a_frame_are_a_torn_end_from_a_sector_on(run, split):
    """The first sectors of a frame were written, the others not: the zeros begin where one ends."""
    whole = content(run)
    begin = len(whole) - len(split(whole)[-1])
    bounds = [at for at in range(begin + 1, len(whole)) if at % 512 == 0]
    assert bounds
    for at in bounds:
        put(run, whole[:at] + bytes(len(whole) - at))
        assert ([*range(5)], [(begin, len(whole) - begin, False)]) == found(run)
    assert "tail" == verify(run).verdict


def test_zeros_that_no_power_cut_leaves_are_damage(run, split):
    """Fewer than from a sector's bound on, or behind what no frame begins with: something else wrote them."""
    frames = split(content(run))
    count = next(n for n in range(6, 0, -1) if len(b"".join(frames[: n + 1])) % 512 > 8)
    whole = b"".join(frames[: count + 1])
    begin = len(whole) - len(frames[count])
    put(run, whole[:-8] + bytes(8))
    assert ([*range(count - 1)], [(begin, len(whole) - begin, True)]) == found(run)
    assert "gap" == verify(run).verdict
    put(run, whole + b"no frame" + bytes(4096))
    assert ([*range(count)], [(len(whole), 8 + 4096, True)]) == found(run)
    (outcome,) = repair_run(run)
    assert outcome.reason is None
    assert "clean" == verify(run).verdict


def test_zeros_before_a_later_frame_are_a_gap(run, split):
    """The journal went on behind them: what stood there is missing, by its numbers."""
    whole = content(run)
    last = split(whole)[-1]
    put(run, whole[: -len(last)] + bytes(4096) + last)
    report = verify(run)
    assert ("foreign", False, 6) == (report.verdict, report.clean, report.events)
    before = split(whole)[-2]
    put(run, whole[: -len(last) - len(before)] + bytes(4096) + last)
    (gap,) = verify(run).verdicts
    assert (Gap, 4, 5) == (type(gap), gap.first_seq, gap.next_seq)


def test_sealing_leaves_the_zeros_out(run):
    """A run that a power cut ended is sealed like any that was killed, and says how much it left out."""
    put(run, content(run) + bytes(4096))
    (outcome,) = seal_run(run)
    assert ("sealed", 4096) == (outcome.state, outcome.sealed.torn)
    assert ([*range(6)], []) == found(run)
    assert "clean" == verify(run).verdict


def test_zeros_in_the_place_of_a_sealed_end_are_damage(run):
    """A sealed file was whole, and durable, before it got its name: no power cut leaves this."""
    seal_file(run.journal, 0, 1)
    reader = JournalReader(run.journal)
    ends = [frame.after.offset for frame in reader.poll()]
    reader.close()
    put(run, content(run)[: ends[-2]] + bytes(4096))
    report = verify(run)
    assert ("gap", Tail, True) == (
        report.verdict,
        type(report.verdicts[-1]),
        report.verdicts[-1].damaged,
    )


def test_a_later_file_of_zeros_is_a_torn_one(run):
    """The name of a next file was durable, its content not: nothing of it counts, and nothing is damaged."""
    (run.journal / "w0000-e0002.jzst").write_bytes(bytes(8192))
    assert ([*range(6)], [(0, 8192, False)]) == found(run)
    assert "tail" == verify(run).verdict


# -- however many --------------------------------------------------------------------------------

#: More zeros than anybody could read.
TERABYTE = 1 << 40


@contextlib.contextmanager
def hole(run, at, size=TERABYTE):
    """Put a hole into the file, which takes no room on the disk; skip where there is none."""
    path, whole = run.journal / NAME, content(run)
    try:
        with open(path, "r+b") as file:
            file.truncate(at)
            file.seek(at + size)
            file.write(whole[at:])
            file.truncate()
            if next_data(file.fileno(), at + 4096) not in {-1, (at + size) // 4096 * 4096}:
                pytest.skip("no holes in files here, or nobody tells where they are")
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            pytest.skip("no such large files here")
        raise
    finally:
        put(run, whole)


def test_a_hole_behind_the_last_frame_is_not_read(run):
    """P2: a terabyte of zeros that takes no room costs no time: a torn end, for readers, `verify` and `seal`."""
    size = len(content(run))
    with hole(run, size):
        reader = JournalReader(run.journal)
        assert 6 == len([e for e in reader.read() if e.type == EventType.MESSAGE])
        for _ in range(3):
            assert [] == list(reader.poll())
            assert [(size, TERABYTE, False)] == [
                (t.offset, t.size, t.damaged) for t in reader.tails()
            ]
        reader.close()
        report = verify(run)
        assert ("tail", True, size + TERABYTE) == (report.verdict, report.clean, report.size)
        assert [] == repair_run(run)
        (outcome,) = seal_run(run)
        assert ("sealed", TERABYTE) == (outcome.state, outcome.sealed.torn)
        assert ([*range(6)], []) == found(run)


def test_a_hole_in_a_frame_is_not_read(run, split):
    """The beginning of a frame is there, the rest of it and what was behind it is a hole."""
    whole = content(run)
    begin = len(whole) - len(split(whole)[-1])
    at = -(-(begin + 5) // 512) * 512
    put(run, whole[:at])
    with hole(run, at):
        tail = (begin, at - begin + TERABYTE, False)
        assert ([*range(5)], [tail]) == found(run)


def test_what_is_behind_a_hole_is_found(run, split):
    """A later frame behind a terabyte of nothing: what stood there is missing, by its numbers."""
    whole = content(run)
    *_, before, last = split(whole)
    put(run, whole[: -len(last) - len(before)] + last)
    with hole(run, len(whole) - len(last) - len(before)):
        (gap,) = verify(run).verdicts
        assert (Gap, 4, 5) == (type(gap), gap.first_seq, gap.next_seq)


def test_an_empty_file_of_a_terabyte_is_not_read(run):
    """The last file of a run is nothing but a hole."""
    path = run.journal / "w0000-e0002.jzst"
    with hole(run, len(content(run))):
        os.rename(run.journal / NAME, path)
        os.truncate(path, 0)
        os.truncate(path, TERABYTE)
        reader = JournalReader(run.journal)
        assert [] == list(reader.poll())
        reader.close()
        os.rename(path, run.journal / NAME)


def test_more_zeros_on_the_disk_than_a_file_has_are_damage(run, monkeypatch):
    """Where no hole tells, zeros are read, up to four times what a writer puts into a file: the rest is nobody's."""
    monkeypatch.setattr("sacred.journal.epoch_file._FARTHEST", 1 << 20)
    monkeypatch.setattr("sacred.journal.holes._SEEK_DATA", None)
    whole, sizes, real = content(run), [], os.read
    monkeypatch.setattr(os, "read", lambda fd, size: sizes.append(size) or real(fd, size))
    read = {}
    for count in (1 << 20, 20 << 20, 40 << 20):
        put(run, whole + bytes(count))
        sizes.clear()
        assert ([*range(6)], [(len(whole), count, count > 1 << 20)]) == found(run)
        read[count] = sum(sizes)
    assert read[20 << 20] == read[40 << 20]  # time is bounded, whatever the size is
    put(run, whole)


def test_where_holes_are_not_told_of_all_is_data(tmp_path, monkeypatch):
    """A system without SEEK_DATA, or a file that knows none: nothing is taken for a hole."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.truncate(path, 1 << 20)
    with open(path, "rb") as file:
        holes = next_data(file.fileno(), 1 << 16) == -1
        assert end_of_data(file.fileno(), 0, 1 << 20) <= (8192 if holes else 1 << 20)
        for told in (None, 999):
            monkeypatch.setattr("sacred.journal.holes._SEEK_DATA", told)
            assert 77 == next_data(file.fileno(), 77)
            assert 1 << 20 == end_of_data(file.fileno(), 0, 1 << 20)
