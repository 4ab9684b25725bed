"""Row 17 of the battery: views of events that a power cut took back."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from battery import soak
from battery.mutator import split
from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal.errors import PositionContradictedError
from sacred.journal.sealer import seal_file
from sacred.replayers.errors import JournalShorterError
from sacred.replayers.follower import Follower
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.memory import PLACES

ROUNDS = 20
START = {
    "run_id": 1,
    "name": "phantom",
    "command": "main",
    "config": {"lr": 0.5},
    "meta": {},
    "experiment": {"name": "phantom", "base_dir": "/srv"},
    "host": {"hostname": "h"},
}


def _document(spec):
    """All that a view holds of its run."""
    if spec.kind == "memory":
        return PLACES[spec.url].runs[1].document()
    found = {}
    for path in sorted(Path(spec.url, "1").rglob("*")):
        name = str(path.relative_to(spec.url))
        if path.is_file() and ".journal" not in path.parts:
            text = path.read_text()
            found[name] = json.loads(text) if name.endswith(".json") else text
    assert found
    return found


def _write(writer, rng, count, mood):
    """Write so many things of a kind that tells who wrote them."""
    for number in range(count):
        kind = rng.randrange(4)
        if kind == 0:
            writer.append_output(1, f"{mood} {number}\n".encode())
        elif kind == 1:
            writer.append(EventType.INFO_CHANGED, set=[[["mood"], mood]], deleted=[])
        else:
            for step in range(rng.choice((1, 3, 20))):
                writer.log_point("ab"[number % 2], number * 20 + step, hash_of(mood) + step / 7)
        writer.flush()


def hash_of(mood):
    return float(sum(mood.encode()))


def _cut(path, rng):
    """Take the last frames of a file, or a part of one too, but not the run's start."""
    frames, _ = split(path.read_bytes())
    kept = rng.randrange(2, len(frames))
    torn = frames[kept][: rng.randrange(len(frames[kept]))] if rng.random() < 0.5 else b""
    path.write_bytes(b"".join(frames[:kept]) + torn)


def _go_on(folder, rng):
    """Return the writer of the process that comes after the cut."""
    reader = JournalReader(folder.journal)
    at = [frame.after for frame in reader.poll()][-1]
    reader.close()
    if rng.random() < 0.5:
        seal_file(folder.journal, 0, 1)
    writer = JournalWriter(folder.journal, reader.journal_id, "process", None, None)
    writer.next_seq, writer._chain = at.next_seq, at.chain
    writer._open_epoch(2, "resume")
    return writer


def _round(base, kind, seed):
    rng = random.Random(seed)
    root = JournalRoot(base / f"runs-{seed}")
    specs = [SinkSpec.parse(f"{kind}:{base}/{name}-{seed}") for name in ("view", "truth")]
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    writer.append(EventType.RUN_STARTED, **START)
    _write(writer, rng, rng.randrange(4, 20), "before")
    writer.close()
    written = writer.next_seq
    follower = Follower(folder, load_sink(specs[0]), specs[0])
    shorter = 0
    try:
        assert follower.run_once().state == "current"
        phantom = _document(specs[0])
        _cut(writer.path, rng)
        if rng.random() < 0.5:  # another process follows from here on
            follower.close()
            follower = Follower(folder, load_sink(specs[0]), specs[0])
        again = _go_on(folder, rng)
        while again.next_seq <= written:
            _write(again, rng, 1, "after the cut")
            if rng.random() < 0.2:
                follower.run_once()
                if isinstance(follower.failure, JournalShorterError):
                    assert _document(specs[0]) == phantom
                    shorter += 1
        _write(again, rng, rng.randrange(3), "after the cut")
        again.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=seed)
        again.close()
        status = follower.run_once()
        if isinstance(follower.failure, PositionContradictedError):
            status = follower.run_once()  # it had the file open, and asks the view where it stands
        assert (status.state, status.error) == ("current", None)
    finally:
        follower.close()
    truth = Follower(folder, load_sink(specs[1]), specs[1])
    assert truth.run_once().state == "current"
    truth.close()
    found, wanted = map(_document, specs)
    assert found != phantom
    assert found == wanted
    PLACES.pop(specs[0].url, None)
    PLACES.pop(specs[1].url, None)
    return shorter


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_view_of_events_that_were_taken_back_is_written_anew(record_property, kind):
    """Row 17, P7, R11: a view has N events, a power cut takes the last, and the run goes on with others: the chain tells, and the view becomes what the journal is."""
    seed = soak.seed()
    until = time.monotonic() + soak.seconds(0.03)
    count = shorter = 0
    with soak.scratch() as base:
        while count < ROUNDS or time.monotonic() < until:
            try:
                shorter += _round(base, kind, seed + count)
            except Exception as error:
                raise AssertionError(f"seed {seed + count}: {error!r}") from error
            count += 1
    record_property("battery", ("row 17: phantom tails", count))
    record_property("battery", ("row 17: looks at a journal that was shorter", shorter))
