"""The follower: what it does when journals and views are not as they were."""

from __future__ import annotations

import json
import os
import threading
import uuid
import warnings

import pytest
from golden.journals.samples import START

from sacred.journal.errors import PositionContradictedError
from sacred.journal.events import EventType
from sacred.journal.position import Position
from sacred.journal.reader import JournalReader
from sacred.journal.sealer import seal_file
from sacred.journal.spool import encode_record
from sacred.journal.writer import JournalWriter
from sacred.replayers.errors import JournalShorterError, RunDeletedError, TerminalSinkError
from sacred.replayers.follower import BATCH_POINTS, Follower
from sacred.replayers.growth import SHARE, SMALL, Growth
from sacred.replayers.memo import JournalSize, read_memos
from sacred.replayers.sink import RunKey, SinkSpec
from sacred.replayers.sinks.chaos import ChaosSink
from sacred.replayers.sinks.memory import PLACES, MemorySink


@pytest.fixture
def spec():
    url = uuid.uuid4().hex
    yield SinkSpec("memory", url, {}, f"memory:{url}")
    PLACES.pop(url, None)


def begun(folder, **options):
    """Begin a run in a folder; return its writer."""
    writer = JournalWriter.create(folder.journal, **options)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    return writer


def once(folder, spec, sink=None, **options):
    follower = Follower(folder, sink or MemorySink(spec), spec, **options)
    try:
        follower.run_once()
        return follower
    finally:
        follower.close()


def view(spec, number=1):
    return PLACES[spec.url].runs[number]


class Recording(MemorySink):
    """Remembers its batches, and writes points whole as MongoDB does."""

    rewrites = frozenset({"points", "output"})

    def __init__(self, spec):
        super().__init__(spec)
        self.batches = []

    def write(self, batch):
        super().write(batch)
        self.batches.append(batch)


# -- nothing to do ---------------------------------------------------------------------------------


def test_a_view_that_is_current_is_not_written(root, spec, run_writer):
    """A replay that finds everything there writes nothing at all."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    revision = view(spec).revision
    once(folder, spec)
    assert view(spec).revision == revision


def test_a_run_that_has_not_begun(root, spec):
    """A journal without a start has no document, and is no error."""
    folder = root.claim()
    JournalWriter.create(folder.journal).close()
    follower = once(folder, spec)
    assert (follower.status.state, follower.status.view_id) == ("current", None)


def test_a_folder_without_a_journal(root, spec):
    """A folder that was claimed and holds no journal yet is said to, and can be retried."""
    follower = once(root.claim(), spec)
    assert follower.status.state == "failed"
    assert "no journal" in follower.status.error


# -- R11 -------------------------------------------------------------------------------------------


def _shortened(root, run_writer, spec):
    """A view that is ahead of its journal."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    (path,) = folder.journal.glob("*.jzst")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return folder


def test_a_shorter_journal_is_left_alone(root, spec, run_writer):
    """R11: a journal shorter than its view is reported (exit 3) and the view left as it is."""
    folder = _shortened(root, run_writer, spec)
    before = view(spec).document()
    follower = once(folder, spec)
    assert isinstance(follower.failure, JournalShorterError)
    assert follower.failure.exit_code == 3
    assert "--rebuild" in follower.status.error
    assert view(spec).document() == before
    assert once(folder, spec, rebuild=True).status.state == "current"
    assert view(spec).document() != before


def test_a_journal_that_a_power_cut_shortened(root, spec, run_writer, monkeypatch):
    """R11: after another boot of the host it was a power cut: the view is written anew."""
    folder = _shortened(root, run_writer, spec)
    before = view(spec).document()
    monkeypatch.setattr("sacred.journal.identity.boot_id", lambda: "another boot")
    assert once(folder, spec).status.state == "current"
    assert view(spec).document() != before


def test_another_version_of_the_projection(root, spec, run_writer):
    """A view that another projector wrote is written anew."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    run = view(spec)
    run.stands = run.stands._replace(projector=0)
    run.fields["status"] = "WRONG"
    once(folder, spec)
    assert view(spec).fields["status"] == "COMPLETED"


def test_a_view_that_lost_points(root, spec, run_writer):
    """A server that came back with fewer points than its position promises is written anew."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    whole = view(spec).document()
    del view(spec).metrics["loss"]
    once(folder, spec)
    assert view(spec).document() == whole


def test_a_view_that_came_back_older(root, spec, run_writer):
    """After an error of the connection the position is asked again: an older view catches up."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    chaos = ChaosSink(MemorySink(spec), ["ok"] * 20)
    follower = Follower(folder, chaos, spec)
    follower.run_once()
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    PLACES[spec.url].runs.clear()
    chaos.plan = iter(["before"])
    assert follower.run_once(patience=100.0).state == "current"
    assert view(spec).fields["status"] == "COMPLETED"


# -- deletions -------------------------------------------------------------------------------------


def test_a_deleted_run_is_not_created_again(root, spec, run_writer):
    """A run that a person deleted in a client stays deleted, without --rebuild."""
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    PLACES[spec.url].runs.clear()
    for _ in range(2):
        follower = once(folder, spec)
        assert isinstance(follower.failure, RunDeletedError)
    assert PLACES[spec.url].runs == {}
    assert once(folder, spec, rebuild=True).status.state == "current"
    assert view(spec).fields["status"] == "COMPLETED"


def test_a_claim_that_was_taken_back_is_no_deletion(root, spec, run_writer):
    """R15: a claim that vanishes while its run is taken up does not stop the view."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    sink = MemorySink(spec)
    key = RunKey(f"{writer.journal_id:016x}", 5)
    sink.claim(key)
    follower = Follower(folder, sink, spec)
    follower._attach()
    sink.release(key)
    assert follower.run_once(patience=100.0).state == "current"
    assert follower.status.view_id == 1
    follower.close()
    writer.close()


def test_what_is_remembered_on_this_machine(root, spec, run_writer):
    """R21: the run's folder says which id the run has in which view."""
    folder = root.claim(5)
    run_writer(folder)
    once(folder, spec)
    (memo,) = read_memos(folder.views)
    assert memo[:5] == (spec.name, 5, "current", None, "memory")
    assert memo.ended and memo.written and memo.looked
    assert memo.covers(JournalSize.of(folder.journal))


# -- R18, R20 --------------------------------------------------------------------------------------


def test_growth():
    """R20: small documents always, large ones at 5 % growth."""
    growth = Growth()
    growth.written("small", SMALL - 1)
    growth.written("large", 100 * SMALL)
    assert growth.due("new", 1)
    assert growth.due("small", 1)
    assert not growth.due("small", 0)
    assert not growth.due("large", 100 * SMALL // SHARE - 1)
    assert growth.due("large", 100 * SMALL // SHARE)


def test_the_position_stays_behind_what_is_held_back(root, spec):
    """R18: the position never passes the oldest point that waits; what waits comes at the end."""
    folder = root.claim()
    writer = begun(folder, durability="process")
    for step in range(10_000):
        writer.log_point("large", step, 0.5)
    writer.flush()
    sink = Recording(spec)
    follower = Follower(folder, sink, spec)
    follower._advance(complete=False)
    stood = view(spec).stands.position
    writer.log_point("large", 10_000, 0.5)
    writer.flush()
    writer.append(EventType.RESULT_CHANGED, result=1)
    writer.log_point("small", 0, 0.5)
    writer.flush()
    follower._advance(complete=False)
    assert view(spec).fields["result"] == 1
    assert len(view(spec).metrics["large"]["steps"]) == 10_000
    assert view(spec).metrics["small"]["steps"] == [0]
    assert view(spec).stands.position == stood
    follower.close()

    again = once(folder, spec, Recording(spec))
    assert view(spec).metrics["large"]["steps"] == list(range(10_001))
    assert view(spec).metrics["small"]["steps"] == [0]
    assert not view(spec).stands.position.behind(
        again._fold.reader.position if again._fold else Position()
    )
    writer.close()


def test_the_cost_of_a_run_is_linear(root, spec):
    """R20: whoever writes documents whole writes about twenty times the last one, not n times."""
    folder = root.claim()
    writer = begun(folder, durability="process")
    sink = Recording(spec)
    follower = Follower(folder, sink, spec)
    for batch in range(300):
        for step in range(100):
            writer.log_point("m", batch * 100 + step, 0.5)
        writer.flush()
        follower._advance(complete=False)
    pushes = [b for b in sink.batches if any(type(c).__name__ == "PointsAdded" for c in b.changes)]
    assert len(pushes) < 150
    follower.run_once()
    assert len(view(spec).metrics["m"]["steps"]) == 30_000
    follower.close()
    writer.close()


def test_a_large_run_goes_in_batches(root, spec):
    """A replay of many points holds a bounded number of them."""
    folder = root.claim()
    writer = begun(folder, durability="process")
    for step in range(BATCH_POINTS * 2):
        writer.log_point("m", step, 0.5)
    writer.close()
    sink = Recording(spec)
    once(folder, spec, sink)
    sizes = [len(c.seqs) for b in sink.batches for c in b.changes if hasattr(c, "seqs")]
    assert sum(sizes) == 2 * BATCH_POINTS
    assert max(sizes) < BATCH_POINTS * 1.2


# -- several writers -------------------------------------------------------------------------------


def _forked(writer, name, count):
    """Log some points from a child process, which becomes a writer of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            for step in range(count):
                writer.log_point(name, step, -1.0)
            writer.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can not fork")
def test_several_writers(root, spec):
    """R10: a live view appends in order of arrival and is put in order of time at the end."""
    folder = root.claim()
    writer = begun(folder, durability="process")
    follower = Follower(folder, MemorySink(spec), spec)
    writer.log_point("m", 0, 0.0)
    writer.flush()
    follower.run_once()
    _forked(writer, "m", 3)
    for step in range(1, 3):
        writer.log_point("m", step, float(step))
    writer.flush()
    assert follower.run_once().state == "current"
    live = view(spec).metrics["m"]["values"]
    assert sorted(live) == [-1.0, -1.0, -1.0, 0.0, 1.0, 2.0]
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    follower.run_once()
    follower.close()
    assert view(spec).metrics["m"]["values"] == [0.0, -1.0, -1.0, -1.0, 1.0, 2.0]
    assert view(spec).stands.order == "time"
    revision = view(spec).revision
    once(folder, spec)
    assert view(spec).revision == revision


# -- R8 --------------------------------------------------------------------------------------------


def test_what_a_killed_run_left_in_its_spool(root, spec, run_writer, monkeypatch):
    """R8: the spool's rest is the last output of a run that is dead; it is not journalled."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    records = [encode_record(1, 1, b"left "), encode_record(2, 2, b"behind\n")]
    (folder.journal / "w0000.spool").write_bytes(b"".join(records) + b"\1torn")
    before = {path.name: path.read_bytes() for path in folder.journal.iterdir()}
    once(folder, spec)
    assert "left behind" not in view(spec).output
    monkeypatch.setattr("sacred.journal.liveness.process_lives", lambda _: False)
    once(folder, spec)
    assert view(spec).output.endswith("left behind\n")
    revision = view(spec).revision
    once(folder, spec)
    assert view(spec).revision == revision
    assert before == {path.name: path.read_bytes() for path in folder.journal.iterdir()}
    writer.close()


# -- errors ----------------------------------------------------------------------------------------


def test_a_terminal_error_stops_the_view(root, spec, run_writer):
    """What waiting does not change is tried once, and said."""
    folder = root.claim()
    run_writer(folder)
    chaos = ChaosSink(MemorySink(spec), ["before"] * 9, TerminalSinkError("wrong password"))
    follower = Follower(folder, chaos, spec)
    status = follower.run_once(patience=60)
    assert (status.state, status.error, chaos.failures) == ("failed", "wrong password", 1)
    follower.follow(threading.Event())
    assert chaos.failures == 2
    follower.close()


def test_a_missing_blob_does_not_stop_a_run(root, spec, run_writer):
    """An artifact whose content is gone is left out; the rest of the run arrives."""
    folder = root.claim()
    run_writer(folder)
    for blob in root.blobs.rglob("*"):
        if blob.is_file():
            blob.unlink()
    follower = once(folder, spec)
    assert follower.status.state == "current"
    assert view(spec).fields["status"] == "COMPLETED"
    assert follower.damage
    assert all("the stored content of" in sentence for sentence in follower.damage)


def test_a_run_whose_start_is_lost(root, spec, run_writer):
    """P4: damage costs the frames it hit: points, output and end arrive, under a stand-in start."""
    folder = root.claim()
    run_writer(folder, points=40)
    reader = JournalReader(folder.journal)
    first = next(frame for frame in reader.poll() if frame.count)
    assert first.events[0].type == EventType.RUN_STARTED
    (path,) = folder.journal.glob("*.jzst")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x28\xb5\x2f\xfd", 4)  # the second frame
    content[at + 20] ^= 0xFF
    path.write_bytes(bytes(content))
    whole, follower = JournalReader(folder.journal), once(folder, spec)
    points = sum(event.count for event in whole.read() if event.type in {16, 17})
    assert points
    assert follower.status.state == "current"
    assert any("lost" in sentence for sentence in follower.damage)
    seen = view(spec)
    assert seen.fields["status"] == "COMPLETED"
    assert seen.fields["experiment"]["name"] == "(lost)"
    assert sum(len(columns["steps"]) for columns in seen.metrics.values()) == points
    # A second time changes nothing.
    before = dict(seen.fields)
    assert once(folder, spec).status.state == "current"
    assert view(spec).fields == before


def test_damage_is_named(root, spec, run_writer):
    """What is wrong with the journal itself is passed on in sentences."""
    folder = root.claim()
    run_writer(folder)
    (path,) = folder.journal.glob("*.jzst")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    follower = once(folder, spec)
    assert follower.status.state == "current"
    assert any("lost" in sentence or "skipped" in sentence for sentence in follower.damage)


def test_a_contradiction_is_no_view_error():
    """A contradicted position is the journal's word, and handled by writing anew."""
    assert not issubclass(PositionContradictedError, TerminalSinkError)


def test_a_memo_that_is_none(tmp_path):
    """What is remembered may be damaged or of another version: then nothing is remembered."""
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps({"other": 1}))
    assert read_memos(tmp_path) == []


@pytest.mark.parametrize("until", [1, 40, 137, 300, None])
def test_sealing_moves_no_view(root, spec, monkeypatch, until):
    """R5: a view that stands anywhere in the live file goes on in the sealed one, not anew."""
    folder = root.claim()
    writer = begun(folder)
    reached = None
    for step in range(400):
        writer.log_point("x", step, step / 3)
        if step % 7 == 0:
            writer.append_output(1, b"line\n")
            writer.flush()
        if step == until:
            writer.flush()
            once(folder, spec)
            reached = len(view(spec).metrics["x"]["values"])
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    if until is None:
        once(folder, spec)
    seal_file(folder.journal, 0, 1)
    monkeypatch.setattr(MemorySink, "reset", lambda *_: pytest.fail("the view began anew"))
    follower = once(folder, spec)
    assert follower.status.state == "current"
    assert view(spec).metrics["x"]["values"] == [step / 3 for step in range(400)]
    assert view(spec).document()["status"] == "COMPLETED"
    assert reached is None or reached == until + 1


def test_a_sealed_journal_that_another_view_position_contradicts(root, spec):
    """A view of a journal whose tail was lost and written anew begins anew, sealed or not."""
    folder = root.claim()
    lost = root.claim()
    for place, values in ((folder, 0.5), (lost, 0.25)):
        writer = begun(place, journal_id=77)
        for step in range(60):
            writer.log_point("x", step, values)
            writer.flush()
        writer.close()
    once(lost, spec)
    seal_file(folder.journal, 0, 1)
    once(folder, spec)
    assert view(spec).metrics["x"]["values"] == [0.5] * 60
