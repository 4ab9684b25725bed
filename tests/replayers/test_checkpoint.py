"""R19: a fold's state is kept with its position, and thrown away at no loss; silent points are counted."""

from __future__ import annotations

import datetime as dt
import math
import shutil
import threading
import uuid

import pytest
from golden.journals.samples import START

import sacred.replayers.counted_table as counted
import sacred.replayers.fold as folding
import sacred.replayers.follower as following
from sacred.journal.events import EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.writer import JournalWriter
from sacred.replayers.checkpoint import Checkpoint, Checkpoints
from sacred.replayers.contract import write_run
from sacred.replayers.fold import RunFold
from sacred.replayers.follower import Follower
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.memory import PLACES, MemorySink
from sacred.replayers.stale_checkpoints import collect_checkpoints


@pytest.fixture
def spec():
    url = uuid.uuid4().hex
    yield SinkSpec("memory", url, {}, f"memory:{url}")
    PLACES.pop(url, None)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """A checkpoint after every frame."""
    monkeypatch.setattr(following, "CONTENT", 1)


class Whole(MemorySink):
    """Keeps the output whole and holds points back, as MongoDB does."""

    rewrites = frozenset({"points", "output"})


def once(folder, spec, sink=MemorySink):
    follower = Follower(folder, sink(spec), spec)
    follower.run_once()
    follower.close()
    assert follower.failure is None
    return follower


def begun_at(folder, spec, sink=MemorySink):
    """Attach a new follower; return (events it has to fold, its view's position)."""
    follower = Follower(folder, sink(spec), spec)
    follower._attach()
    fold = follower._fold
    begin = fold._begin.events()
    follower.close()
    return begin


def document(spec, number=1):
    return PLACES[spec.url].runs[number].document()


def fresh(folder, spec, sink=MemorySink):
    """Return what a view is that was made from nothing."""
    other = SinkSpec("memory", uuid.uuid4().hex, {}, "other")
    try:
        once(folder, other, sink)
        return document(other)
    finally:
        PLACES.pop(other.url)


def test_a_restart_begins_at_the_checkpoint(root, spec):
    """A new replayer folds what came since, and not the journal from its beginning."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    once(folder, spec)
    at = PLACES[spec.url].runs[1].stands.position.events()
    assert at == begun_at(folder, spec) > 50
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    once(folder, spec)
    assert "COMPLETED" == document(spec)["status"]
    assert document(spec) == fresh(folder, spec)


@pytest.mark.parametrize("sink", [MemorySink, Whole])
def test_killed_after_every_frame(root, spec, sink):
    """A replayer that begins anew after each frame, each from its checkpoint: the view of one that did not."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    began = []
    for step in range(30):
        writer.log_point("loss", step, math.nan if step == 7 else step / 3)
        writer.log_point("z" if step % 5 else "late", step, step)
        # Half of a character, and the other half with the next frame.
        writer.append_output(1, "ä".encode()[step % 2 : step % 2 + 1])
        writer.append(
            EventType.INFO_CHANGED, set=[[["k", str(step)], (1, {2}, 2**70, b"x")]], deleted=[]
        )
        writer.append(EventType.HOST_FACTS, facts={f"f{step}": dt.datetime(2024, 5, 4, 3, 2, 1, 7)})
        if step % 9 == 8:
            writer.append(EventType.OUTPUT_FILTERED, keep=0, text=f"filtered {step}")
        writer.flush()
        once(folder, spec, sink)
        began.append(begun_at(folder, spec, sink))
        if step == 7:
            assert repr(fresh(folder, spec, sink)) == repr(document(spec))
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    once(folder, spec, sink)
    assert repr(fresh(folder, spec, sink)) == repr(document(spec))
    assert began == sorted(began)
    assert began[-1] > 100


def test_points_that_the_view_has_are_not_decoded(root, spec, monkeypatch):
    """Without a checkpoint the journal is folded in silence: points are counted."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    for step in range(2000):
        writer.log_point("a", step, step)
        if step % 3 == 0:
            writer.log_point("b", step, step / 2)
    writer.flush()
    once(folder, spec)
    Checkpoints(folder, spec.key, "1 ").drop()
    for module in (counted, folding):
        monkeypatch.setattr(module, "decode_table", None)
    follower = Follower(folder, MemorySink(spec), spec)
    follower._attach()
    assert {"a": 2000, "b": 667} == follower._fold.projection.counts
    assert not follower._fold.begun
    follower.close()
    monkeypatch.undo()
    writer.close()


def test_thrown_away(root, spec):
    """Nothing depends on it: without it, and with what is none, the view is the same."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    once(folder, spec)
    cache = root.path / ".cache" / "replayers"
    kept = sorted(path for path in cache.iterdir() if ".fold" in path.name)
    assert kept
    whole = kept[0].read_bytes()
    for content in (b"", whole[:40], whole[:-1], whole[:32] + b"\xc1" * 9, b"\0" * 32):
        for path in kept:
            path.write_bytes(content)
        assert 0 == begun_at(folder, spec)
    for path in kept:
        path.unlink()
        path.mkdir()
    writer.append(EventType.HEARTBEAT)
    writer.flush()
    once(folder, spec)
    assert document(spec) == fresh(folder, spec)
    writer.close()


def test_an_older_view(root, spec):
    """A view that stands before the last checkpoint begins at the one before it, or at none."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    once(folder, spec)
    stands = PLACES[spec.url].runs[1].stands
    old = stands.position.events()
    for _ in range(2):
        writer.append(EventType.HEARTBEAT)
        writer.flush()
        fold = RunFold(folder, keep_output=False)
        for frame in fold.frames():
            fold.add(frame)
        Checkpoints(folder, spec.key, "1 ").save(fold.journal_id, fold.checkpoint())
        fold.close()
    assert 0 == begun_at(folder, spec)  # both are ahead of it
    once(folder, spec)
    assert begun_at(folder, spec) > old
    assert document(spec) == fresh(folder, spec)
    writer.close()


def test_of_another_journal(root, spec):
    """One that the journal contradicts is thrown away, and the journal folded from its beginning."""
    folder = root.claim()
    write_run(folder, ends=False).close()
    once(folder, spec)
    kept = Checkpoints(folder, spec.key, "1 ")
    stands = PLACES[spec.url].runs[1].stands
    journal_id = next(iter(PLACES[spec.url].runs.values())).journal_id
    found = kept.find(journal_id, stands.position)
    at = found.position[0]
    wrong = Position({0: WriterPosition(at.epoch, at.next_seq - 1, at.chain ^ 1, 0)})
    kept.drop()
    kept.save(journal_id, Checkpoint(wrong, found.state))
    assert 0 == begun_at(folder, spec)
    assert None is kept.find(journal_id, stands.position)
    assert None is kept.find("another", stands.position)
    kept.save(journal_id, found)
    assert found == kept.find(journal_id, stands.position)
    for seq, chain in ((at.next_seq, at.chain ^ 1), (at.next_seq - 1, at.chain)):
        assert None is kept.find(journal_id, Position({0: at._replace(next_seq=seq, chain=chain)}))
    assert None is kept.find(journal_id, Position())
    assert document(spec) == fresh(folder, spec)


def test_damage_is_met_again(root, spec):
    """No checkpoint lies behind damage: it is told each time."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    for step in range(50):
        writer.append(EventType.HEARTBEAT)
        writer.flush()
    writer.close()
    (path,) = folder.journal.glob("*.jzst")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert once(folder, spec).damage
    assert begun_at(folder, spec) < PLACES[spec.url].runs[1].stands.position.events() - 20
    assert once(folder, spec).damage


def test_several_writers(root, spec):
    """Runs with workers: what one writer has and another has not is folded once."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    for number in (1, 2):
        other = JournalWriter.join(folder.journal, journal_id=writer.journal_id)
        for step in range(100):
            other.log_point(f"of {number}", step, step)
        other.flush()
        once(folder, spec)
        assert begun_at(folder, spec) > 50
        other.close()
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    once(folder, spec)
    assert document(spec) == fresh(folder, spec)


def test_while_it_is_followed(root, spec):
    """A follower keeps them as it goes; a second one that takes over writes the same view."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    stop = threading.Event()
    follower = Follower(folder, MemorySink(spec), spec, on_status=lambda _: stop.set())
    follower.follow(stop)
    follower.close()
    assert begun_at(folder, spec) > 50
    writer.close()


def test_what_does_not_come_back_is_not_kept(root, spec):
    """A state that the encoding changes is not kept: no view may depend on it."""
    folder = root.claim()
    write_run(folder)
    place = Checkpoints(folder, spec.key, "x")
    at = Position({0: WriterPosition(1, 1, 1)})
    assert place.save("j", Checkpoint(at, {"a": [math.nan, (1,), 2**80, dt.datetime(2024, 1, 1)]}))
    assert not place.save("j", Checkpoint(at, {"a": object()}))
    assert not place.save("j", Checkpoint(at, {"a": "x" * (33 << 20)}))


def test_a_cache_that_can_not_be_written(root, spec):
    """Without a place for them all goes on."""
    folder = root.claim()
    write_run(folder)
    (root.path / ".cache").mkdir(exist_ok=True)
    (root.path / ".cache" / "replayers").write_text("a file")
    once(folder, spec)
    assert 0 == begun_at(folder, spec)


def _kept(root):
    cache = root.path / ".cache" / "replayers"
    return sorted(path.name for path in cache.iterdir() if ".fold" in path.name)


def test_collected_when_nobody_needs_them(root, spec):
    """Those of a run that ended and is whole, or is gone; not of one that goes on, or is behind."""
    folders = [root.claim() for _ in range(3)]
    writers = [write_run(folder, ends=False) for folder in folders]
    for folder in folders:
        once(folder, spec)
    every = _kept(root)
    mine = [name for name in every if name.startswith("1-")]
    assert (6, 2) == (len(every), len(mine))
    assert (0, 0, []) == collect_checkpoints(root, grace=0)
    writers[1].append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    for writer in writers:
        writer.close()
    # It ended, and its view does not know yet.
    assert (0, 0, []) == collect_checkpoints(root, grace=0)
    once(folders[1], spec)
    shutil.rmtree(folders[2].path)
    cache = root.path / ".cache" / "replayers"
    size = sum((cache / name).stat().st_size for name in _kept(root) if name not in mine)
    assert (4, size, []) == collect_checkpoints(root, grace=0, dry_run=True)
    assert every == _kept(root)
    assert (4, size, []) == collect_checkpoints(root, grace=0)
    assert mine == _kept(root)
    # What they are for: the run is gone on with, and its view is the same without them.
    assert 0 == begun_at(folders[1], spec)


def test_what_is_not_collected(root, spec):
    """Other names, links, folders, files that are being written, a cache that lies behind a link."""
    cache = root.path / ".cache" / "replayers"
    cache.mkdir(parents=True)
    name = f"7-{spec.key}.fold"
    left = [f"x-{spec.key}.fold", f"7-{spec.key}.folder", "7-memory.fold", f"{spec.key}.lock"]
    for one in [name, f"{name}-before", f".{name}.0123456789ab", *left]:
        (cache / one).write_bytes(b"four")
    (cache / f"8-{spec.key}.fold").symlink_to(cache / left[0])
    (cache / f"9-{spec.key}.fold").mkdir()
    assert (2, 8, []) == collect_checkpoints(root, grace=3600, dry_run=True)
    assert (3, 12, []) == collect_checkpoints(root, grace=-1, dry_run=True)
    away = root.path / "away"
    cache.rename(away)
    cache.symlink_to(away)
    assert (0, 0, []) == collect_checkpoints(root, grace=-1)
    cache.unlink()
    away.rename(cache)
    assert (3, 12, []) == collect_checkpoints(root, grace=-1)
    assert sorted([*left, f"8-{spec.key}.fold", f"9-{spec.key}.fold"]) == sorted(
        path.name for path in cache.iterdir()
    )
    shutil.rmtree(cache)
    assert (0, 0, []) == collect_checkpoints(root, grace=-1)
