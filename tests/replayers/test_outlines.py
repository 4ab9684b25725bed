"""Runs at a glance: what is read of a sealed run tells what all of it tells."""

from __future__ import annotations

import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sacred.journal import EventType, JournalRoot, JournalWriter, RunFolder, seal_run
from sacred.journal.sealed_summary import SummaryReader
from sacred.replayers import listing

GOLDEN = sorted(path for path in (Path(__file__).parents[1] / "golden").iterdir() if path.is_dir())


@pytest.fixture
def root(tmp_path):
    """The root of the runs."""
    return JournalRoot(tmp_path / "runs")


def sealed(root, points=3, *, ends=True, names=("loss",), more=()):
    """Write a run and seal it."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    about = {"run_id": folder.number, "name": "x", "command": "main", "config": {"a": 1}}
    nothing = {"meta": {}, "experiment": {"name": "x", "base_dir": "/x"}}
    writer.append(EventType.RUN_STARTED, **about, **nothing, host={"hostname": "h"})
    for step in range(points):
        writer.log_point(names[step % len(names)], step, os.urandom(8).hex() if step % 7 else step)
    for kind, fields in more:
        writer.append(kind, **fields)
    if ends:
        writer.append(EventType.RUN_ENDED, how="failed", status="FAILED")
    writer.close()
    assert [outcome.state for outcome in seal_run(folder, closed={0: 1})] == ["sealed"]
    return folder


def both(folder):
    """Return what a look at what begins and ends it tells, and what all of it tells."""
    return listing.outline(folder, now=5), listing.outline(folder, now=5, visit=lambda _: None)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_journals(path):
    """Whatever was done to a journal, both ways tell the same of its run."""
    short, whole = both(RunFolder(path, 7))
    assert repr(whole) == repr(short)  # NaN equals nothing


@pytest.mark.parametrize("points", [0, 3, 500, 20_000])
@pytest.mark.parametrize("names", [("loss",), ("a", "b", "c")])
def test_sealed_runs(root, points, names):
    """Of short and long runs the summary is there, and all is in it."""
    more = [(EventType.RESULT_CHANGED, {"result": 3}), (EventType.HEARTBEAT, {})]
    folder = sealed(root, points, names=names, more=more)
    summary = SummaryReader().read(folder.journal)
    assert summary is not None
    assert (summary.points, summary.events) == (points, points + 4)
    short, whole = both(folder)
    assert whole == short
    assert (short.status, short.result, short.points) == ("FAILED", 3, points)


def test_a_long_run_is_not_read_whole(root, monkeypatch):
    """Of 20,000 points no table is decoded, and few frames are."""
    from sacred.journal.epoch_file import EpochFile

    folder = sealed(root, 20_000)
    really, read = EpochFile.next_frame, []
    monkeypatch.setattr(EpochFile, "next_frame", lambda file: read.append(1) or really(file))
    assert listing.outline(folder).points == 20_000
    assert len(read) < 6


def test_several_threads(root):
    """Each thread has a decoder of its own: zstd's holds state."""
    folders = [sealed(root, points) for points in (0, 5, 300, 3000)]
    expected = [listing.outline(folder, now=5) for folder in folders]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda folder: listing.outline(folder, now=5), folders * 100))
    assert found == expected * 100


def test_a_flipped_bit(root):
    """A short run with any byte of its file changed is told of as when it is read whole."""
    folder = sealed(root, 5)
    file = folder.journal / "w0000-e0001.jzst"
    content = file.read_bytes()
    told = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x10
        file.write_bytes(changed)
        short, whole = both(folder)
        assert whole == short, place
        told += short.problem is not None
    assert told > len(content) // 2  # the index and the seek table are not read


def test_a_cut_file(root):
    """So is one that ends anywhere."""
    folder = sealed(root, 5)
    file = folder.journal / "w0000-e0001.jzst"
    content = file.read_bytes()
    for size in range(len(content)):
        file.write_bytes(content[:size])
        short, whole = both(folder)
        assert whole == short, size


def test_a_flipped_bit_in_a_long_run(root):
    """In a long one what becomes of the run is told, whatever is hit; the middle is not looked at."""
    folder = sealed(root, 9000)
    file = folder.journal / "w0000-e0001.jzst"
    content = file.read_bytes()
    sound = listing.outline(folder, now=5)
    assert len(content) > 1 << 16
    for place in itertools.chain(
        range(0, len(content), 977), range(len(content) - 600, len(content), 7)
    ):
        changed = bytearray(content)
        changed[place] ^= 0x10
        file.write_bytes(changed)
        short, whole = both(folder)
        assert short in (sound, whole), place


@pytest.mark.parametrize("points", [5, 9000])
def test_what_is_told_of_a_loss(root, points):
    """A run that lost events is read whole: the loss is told."""
    lost = {"writer": 0, "first_seq": points + 1, "count": 3, "reason": "no space"}
    folder = sealed(root, points, more=[(EventType.GAP, lost)])
    assert SummaryReader().read(folder.journal) is None
    short, whole = both(folder)
    assert whole == short


def test_runs_that_are_no_such(root):
    """Of a run that died, that has more files, or whose file was exchanged it says nothing."""
    reader = SummaryReader()
    died = sealed(root, 5, ends=False)
    assert reader.read(died.journal) is None
    several = sealed(root, 5)
    (several.journal / "w0000.spool").write_bytes(b"")
    assert reader.read(several.journal) is None
    mixed = sealed(root, 5)
    other = sealed(root, 9000)
    assert reader.read(mixed.journal) is not None
    shutil.copy(other.journal / "w0000-e0001.jzst", mixed.journal / "w0001-e0001.jzst")
    assert reader.read(mixed.journal) is None
    assert reader.read(root.path / "none") is None
    os.rename(other.journal / "w0000-e0001.jzst", several.journal / "w0000-e0002.jzst")
    assert reader.read(other.journal) is None
