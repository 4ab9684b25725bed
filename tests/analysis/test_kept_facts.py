"""What questions keep of ended runs' entries and metrics is what their journals say."""

from __future__ import annotations

import datetime as dt
import math
import shutil

import pytest

from sacred.analysis import run_facts
from sacred.analysis.run_table import run_table
from sacred.journal import BlobStore, EventType, JournalWriter
from sacred.journal.codec import pack
from sacred.replayers import journal_stamps
from tests.analysis.test_fields import written

NAMES = [
    *("run", "status", "config.lr", "config.model", "config.when", "config.odd", "info.epoch"),
    *("host.cpu", "comment", "seed", "commit", "result", "metrics.loss.min", "metrics.loss.count"),
    *("metrics.loss.last", "metrics.loss.mean", "metrics.other.max", "metrics.loss.step"),
]


@pytest.fixture(autouse=True)
def _fine_disk(monkeypatch):
    """What was written a moment ago is believed: the disk's clock ticks every few milliseconds."""
    monkeypatch.setattr(journal_stamps, "_GRAIN", -(10**9))


@pytest.fixture
def reads(monkeypatch):
    """The runs whose documents and points were read."""
    found = {"documents": [], "points": []}
    document, statistics = run_facts._document, run_facts.metric_statistics
    monkeypatch.setattr(
        run_facts,
        "_document",
        lambda folder, at: found["documents"].append(folder.number) or document(folder, at),
    )
    monkeypatch.setattr(
        run_facts,
        "metric_statistics",
        lambda folders, names, *, at: (
            found["points"].extend(folder.number for folder in folders)
            or statistics(folders, names, at=at)
        ),
    )
    return found


@pytest.fixture
def filled(root):
    """Three runs that ended, and one that goes on."""
    for number in range(3):
        config = {"lr": number / 7, "seed": 2**70, "odd": [math.inf, None, {"a": [True]}, "\udc80"]}
        config["model"] = {"layers": {"a.b": number}}
        if number == 1:
            config["when"] = dt.datetime(2026, 1, 2)  # noqa: DTZ001 - as people write it
        points = [("loss", step, number + 1 / (step + 1)) for step in range(20)]
        written(root, config, [*points, ("other", 0, math.nan), ("other", 1, 2**70)])
    return root


def asked(root, names=NAMES, **more):
    table = run_table(root.runs(), names, **more)
    return repr((table.types, table.rows, table.problems))


def test_the_second_answer_is_the_first(filled, reads):
    """What is kept is what the journal says, of whatever kind; what can not be kept is read again."""
    first = asked(filled)
    assert [1, 2, 3] == reads["documents"] == reads["points"]
    assert first == asked(filled)
    assert [1, 2, 3, 2] == reads["documents"]  # a time is no entry that is kept
    assert [1, 2, 3] == reads["points"]
    shutil.rmtree(filled.path / ".cache")
    assert first == asked(filled)


def test_what_happens_to_a_run_is_noticed(filled, reads):
    """Runs that were damaged, written anew or removed are told as they are now."""
    asked(filled)
    file = next(filled.run(1).journal.glob("*.jzst"))
    file.write_bytes(b"noise" * 100)
    shutil.rmtree(filled.run(2).path)
    folder = filled.run(3)
    shutil.rmtree(folder.journal)
    writer = JournalWriter.create(folder.journal, durability="process")
    writer.append(
        EventType.RUN_STARTED,
        run_id=3,
        name="again",
        command="main",
        config={"lr": 9.0},
        meta={},
        experiment={},
        host={},
    )
    writer.log_point("loss", 0, 42.0)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    names = ["run", "config.lr", "metrics.loss.max"]
    table = run_table(filled.runs(), names)
    assert (3, 9.0, 42.0) == table.rows[-1]
    assert [1, 3] == [row[0] for row in table.rows]
    assert "run 1: " in table.problems[0]
    shutil.rmtree(filled.path / ".cache")
    again = run_table(filled.runs(), names)
    assert (table.rows, table.problems) == (again.rows, again.problems)


def test_a_run_that_goes_on_is_read_each_time(root, reads):
    """Of a run that did not end nothing is kept: new points count."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    writer.append(
        EventType.RUN_STARTED,
        run_id=1,
        name="x",
        command="main",
        config={"lr": 1},
        meta={},
        experiment={},
        host={},
    )
    for count in (1, 2, 3):
        writer.log_point("loss", count, float(count))
        writer.flush()
        assert [(1, count)] == run_table(root.runs(), ["config.lr", "metrics.loss.count"]).rows
    assert [1] * 3 == reads["documents"] == reads["points"]
    writer.close()


def test_what_lies_in_blobs_is_not_kept(root, reads):
    """A value that the journal only refers to may be gone the next time."""
    root.blobs.mkdir(parents=True)
    place = BlobStore(root.blobs, durable=False).put_bytes(pack({"text": "a long text"})).blob
    written(root, place._replace(encoding="msgpack"))
    names = ["config.text"]
    for _ in range(2):
        assert [("a long text",)] == run_table(root.runs(), names).rows
    assert [1, 1] == reads["documents"]


def test_a_large_part_is_left_out_alone(root, reads):
    """Where one part of a run is too large to be kept, the others are kept all the same."""
    written(root, {"lr": 1, "text": "a" * 20_000})
    for _ in range(2):
        assert [("one",)] == run_table(root.runs(), ["host.cpu"]).rows
    assert [1] == reads["documents"]
    for _ in range(2):
        assert [(1,)] == run_table(root.runs(), ["config.lr"]).rows
    assert [1, 1, 1] == reads["documents"]


def test_damage_in_points_is_told_and_not_kept(filled):
    """A problem that only reading the points meets is told each time."""
    before = run_facts.metric_statistics

    def damaged(folders, names, *, at):
        found = before(folders, names, at=at)
        found.problems[2] = "a frame is damaged"
        return found

    run_facts.metric_statistics = damaged
    try:
        for _ in range(2):
            table = run_table(filled.runs(), ["metrics.loss.min"])
            assert ["run 2: a frame is damaged"] == table.problems
    finally:
        run_facts.metric_statistics = before


def test_points_are_read_in_portions(filled, monkeypatch):
    """More points than have room together are read one part of the runs after the other."""
    together = asked(filled)
    shutil.rmtree(filled.path / ".cache")
    monkeypatch.setattr(run_facts, "_TOGETHER", 30)
    assert together == asked(filled)


def test_nothing_is_kept_unasked(filled, reads):
    """Without the cache every journal is read, and nothing is written."""
    for _ in range(2):
        run_table(filled.runs(), ["config.lr", "metrics.loss.min"], cache=False)
    assert [1, 2, 3] * 2 == reads["documents"] == reads["points"]
    assert not (filled.path / ".cache").exists()
