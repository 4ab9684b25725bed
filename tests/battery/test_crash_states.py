"""Row 5 of the battery: what a power cut may leave of what the journal does, state by state."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import time

import pytest

from battery import oracle, soak
from battery.crash_states import Bench, Program, Recording, crash_states, judge_all
from battery.disk import Moment, Recorder, files_of
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal import epoch_writer as lower_half
from sacred.journal.position import WriterPosition

MESSAGE = EventType.MESSAGE
#: States of each scenario, of them so many torn within a write; and of crashes after a crash.
STATES = 3_400
TORN = 2_200
BASES, STATES_AFTER = 50, 60
#: What part of a soak is a scenario's: two workers share all rows.
SHARE = 0.05


def start(do, patch):
    """A run begins, logs and ends."""
    writer = do.start()
    do.say(writer, "one", "two" * 90)
    do.sync(writer)
    do.points(writer, 40)
    do.say(writer, "three")
    do.points(writer, 5)
    do.sync(writer)
    do.say(writer, "four")
    writer.close()
    do.recorder.ack(("durable", 0, writer.durable_seq))


def every_event(do, patch):
    """Durability "event": a write a point."""
    writer = do.start(durability="event")
    do.points(writer, 6)
    do.sync(writer)
    do.points(writer, 6)
    do.say(writer, "end")
    do.sync(writer)


def process_only(do, patch):
    """Durability "process": nothing is synced, not even where a file follows a file."""
    patch.setattr(lower_half, "EPOCH_BYTES", 500)
    writer = do.start(durability="process")
    do.say(writer, *(f"event {number}" for number in range(9)))


def rotation(do, patch):
    """A file is followed by the next, with a sync in between, and without."""
    patch.setattr(lower_half, "EPOCH_BYTES", 600)
    writer = do.start()
    do.say(writer, *(f"event {number}" for number in range(4)))
    do.sync(writer)
    do.say(writer, *(f"event {number}" for number in range(4, 12)))
    assert writer.epoch > 2
    do.sync(writer)
    do.say(writer, "last")


def failed_write(do, patch):
    """A write fails: what is not durable is written again, in the next file."""
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    do.say(writer, "two", "three")
    do.recorder.fail("write", match="e0001")
    do.say(writer, "four", "five")
    assert writer.epoch == 2
    do.sync(writer)
    do.say(writer, "six")


def short_write(do, patch):
    """A disk takes a part of a frame, twice: in the file, and while it is written again."""
    writer = do.start()
    do.say(writer, "one", "two")
    do.sync(writer)
    do.say(writer, "three")
    do.recorder.fail("write", taken=33, times=1)
    do.say(writer, "four" * 60)
    do.recorder.fail("write", taken=200, times=2)
    do.say(writer, "five" * 80)
    writer._retry_at = 0.0
    do.say(writer, "six")
    do.sync(writer)
    do.say(writer, "seven")


def failed_sync(do, patch):
    """An fdatasync fails: nobody knows what the file holds, so all since the last one is written again."""
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    do.say(writer, "two", "three")
    do.recorder.fail("fdatasync")
    assert not do.sync(writer)
    do.say(writer, "four")
    assert writer.epoch == 2
    do.sync(writer)
    do.say(writer, "five")
    do.recorder.fail("fdatasync")
    assert not do.sync(writer)
    do.sync(writer)
    do.say(writer, "six")
    do.sync(writer)


def failed_folder_sync(do, patch):
    """The bytes are durable and the folder's fsync fails: their name is not."""
    writer = do.start()
    do.say(writer, "one", "two")
    do.recorder.fail("fsync", match="journal")
    assert not do.sync(writer)
    do.say(writer, "three")
    do.sync(writer)
    do.say(writer, "four")


def full_for_a_while(do, patch):
    """The disk takes nothing for longer than the memory for it lasts: a gap event says what is lost."""
    patch.setattr(lower_half, "RING_BYTES", 700)
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    do.say(writer, "two")
    do.recorder.fail("write", errno.ENOSPC, times=1000)
    for number in range(12):
        writer.append(MESSAGE, level="info", text=f"lost {number} " + "x" * 100)
    do.recorder.fail("write", times=0)
    writer._retry_at = 0.0
    do.say(writer, "three")
    do.sync(writer)
    do.say(writer, "four")


def child_writer(do, patch):
    """A child writes a file of its own between its parent's writes."""
    parent = do.start()
    do.say(parent, "one")
    do.sync(parent)
    child = do.child(parent)
    do.say(child, "child one")
    do.say(parent, "two")
    do.say(child, "child two")
    do.sync(child)
    do.say(parent, "three")
    do.say(child, "child three")
    child.close()
    do.recorder.ack(("durable", 1, child.durable_seq))
    do.sync(parent)
    do.say(parent, "four")


def blobs(do, patch):
    """Contents are stored, and events name them."""
    store = BlobStore(do.root.blobs)
    writer = do.start()
    for number in range(3):
        blob = do.store(store, b"content %d " % (number % 2) * 20)
        do_artifact(writer, number, blob)
        if number == 1:
            do.sync(writer)
    do.sync(writer)
    do.store(store, b"a third content")


def do_artifact(writer, number, blob):
    writer.append(
        EventType.ARTIFACT_ADDED, name=f"artifact {number}", filename="/a", blob=blob, version=1
    )


def removal(do, patch):
    """Somebody removes the file under the writer: what it held and nobody has is a gap."""
    writer = do.start()
    do.say(writer, "one", "two")
    do.sync(writer)
    do.say(writer, "three")
    os.unlink(writer.path)
    do.recorder.ack(("removed", 0))
    do.sync(writer)
    do.say(writer, "four")
    assert writer.epoch == 2
    writer.sync()
    do.recorder.ack(("from", 0, 2))
    do.say(writer, "five")


def superseded(do, patch):
    """The next file is another's: the writer goes on under a new number."""
    patch.setattr(lower_half, "EPOCH_BYTES", 600)
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    with open(writer.folder / "w0000-e0002.jzst", "wb"):
        pass
    do.say(writer, *(f"event {number}" for number in range(6)))
    assert writer.number == 1
    do.sync(writer)
    do.say(writer, "last")


def failed_sync_superseded(do, patch):
    """An fdatasync fails, and the next file is another's: what was to be durable goes along."""
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    do.say(writer, "two", "three")
    with open(writer.folder / "w0000-e0002.jzst", "wb"):
        pass
    do.recorder.fail("fdatasync")
    do.sync(writer)
    do.say(writer, "four")
    assert writer.number == 1
    if do.sync(writer):
        do.recorder.ack(("texts", ("two", "three", "four")))
    do.say(writer, "five")


def blob_again(do, patch):
    """The fsync of a blob's folder fails, and the content is stored a second time."""
    store = BlobStore(do.root.blobs)
    writer = do.start()
    do.store(store, b"another blob")  # so that the folder of all blobs is there
    do.recorder.fail("fsync", match=os.sep + hashlib.sha256(b"content").hexdigest()[:2])
    with pytest.raises(OSError, match="error"):
        store.put_bytes(b"content")
    do_artifact(writer, 0, do.store(store, b"content"))
    do.sync(writer)


def new_root(do, patch):
    """The first run ever: its root is made with it."""
    do.root = JournalRoot(do.root.path.parent / "made" / "here")
    writer = do.start()
    do.say(writer, "one")
    do.sync(writer)
    do.say(writer, "two")


SCENARIOS = [
    start,
    every_event,
    process_only,
    rotation,
    failed_write,
    short_write,
    failed_sync,
    failed_folder_sync,
    full_for_a_while,
    child_writer,
    blobs,
    removal,
    superseded,
    failed_sync_superseded,
    blob_again,
    new_root,
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_a_power_cut_leaves_is_a_prefix_that_holds_what_was_promised(
    scenario, record_property
):
    """Row 5, P2, P3, P5: whatever of the calls since the last sync the disk kept, in parts or not."""
    count, until = 0, time.monotonic() + soak.seconds(SHARE)
    seed = soak.seed()
    with soak.scratch() as folder:
        (folder / "run").mkdir()
        recording = Recording(scenario, folder / "run")
        assert recording.ops, "the scenario did nothing"
        bench = Bench(folder, pytest.MonkeyPatch)
        while not count or time.monotonic() < until:
            states = crash_states(recording, random.Random(seed), STATES, TORN)
            judge_all(bench, states, recording, seed)
            count += len(states)
            seed += 1
    assert count >= 400
    record_property("battery", ("row 5: states after a power cut", count))


# -- two crashes in a row ------------------------------------------------------------------------


def resume(do, folder, said):
    """Go on in the next file of the first writer, as a run does that is resumed."""
    reader = JournalReader(folder)
    list(reader.poll())
    reader.close()
    at = reader.position.get(0) or WriterPosition(0, 0, 0)
    at = at._replace(epoch=max(reader._epochs(0)))
    writer = JournalWriter.go_on(folder, at, journal_id=reader.journal_id)
    do.writers.append(writer)
    do.say(writer, said + " one", said + " two")
    do.sync(writer)
    do.say(writer, said + " three")
    if writer.next_seq % 2:
        do.recorder.fail("write", taken=20)
    do.say(writer, said + " four")
    do.sync(writer)


class Again:
    """A run that is resumed on what a power cut left, recorded from there on."""

    def __init__(self, files, recording, folder, said):
        self.journal = "journal" + os.sep
        prefix = recording.journal
        before = {
            path[len(prefix) :]: data
            for path, data in files.items()
            if path.startswith(prefix) and len(path) > len(prefix)
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JournalWriter, "_rouse", lambda self: None)
            recorder = Recorder(folder, patch)
            (folder / "journal").mkdir()
            for name, data in before.items():
                with open(folder / "journal" / name, "wb") as file:
                    file.write(data)
            first = oracle.look(folder / "journal")
            begun = len(recorder.ops)
            program = Program(recorder, folder)
            resume(program, folder / "journal", said)
            for writer in program.writers:
                writer.closed = True
                writer._close_file()
        self.folders = recorder.folders
        self.start = Moment()
        for op in recorder.ops[:begun]:
            self.start.apply(op)
        for known in list(self.start.changes):
            self.start.apply(recorder.ops[0]._replace(kind="sync", what=known))
        for file in self.start.chunks:
            self.start._settle(file, "durable")
        self.ops = recorder.ops[begun:]
        self.files = [
            file
            for file in {*self.start.chunks, *(op.what for op in self.ops if op.kind != "ack")}
            if file not in self.folders
        ]
        # What was there before the second crash is there behind it.
        for writer, ranges in oracle.present(first).items():
            for a, b in ranges:
                self.start.acks.append(("range", writer, a, b))
        self.reference = {}
        for frame in first.frames + oracle.look(folder / "journal").frames:
            if frame.count:
                key = (frame.writer, frame.first_seq)
                self.reference[key] = [oracle.content(event) for event in frame.events]


def judge_again(seen, acks, again):
    oracle.check_prefix(seen)
    for frame in seen.frames:
        if frame.count:
            read = [oracle.content(event) for event in frame.events]
            wrote = again.reference.get((frame.writer, frame.first_seq))
            if wrote != read:
                raise oracle.Broken(f"read {read}, written was {wrote}")
    required = {}
    holes = [(w, a, b) for w, a, b in oracle.named_holes(seen)]
    for ack in acks:
        if ack[0] == "range":
            required.setdefault(ack[1], []).append((ack[2], ack[3]))
        else:
            # What the first crash took and named stays so.
            ranges = [(s, s + 1) for s in range(ack[2])]
            required.setdefault(ack[1], []).extend(
                (a, b)
                for a, b in ranges
                if not any(w == ack[1] and x <= a < y for w, x, y in holes)
            )
    oracle.check_kept(seen, required)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [start, process_only, rotation, short_write, child_writer],
    ids=lambda scenario: scenario.__name__,
)
def test_a_run_that_goes_on_after_a_power_cut_survives_the_next_one(scenario, record_property):
    """Row 5, P2, P3: compound crashes: all that the first one left stays, and the promises begin anew."""
    count, until = 0, time.monotonic() + soak.seconds(SHARE)
    seed = soak.seed()
    with soak.scratch() as folder:
        (folder / "run").mkdir()
        recording = Recording(scenario, folder / "run")
        bench = Bench(folder, pytest.MonkeyPatch)
        while not count or time.monotonic() < until:
            rng = random.Random(seed)
            bases = list(crash_states(recording, rng, 600, 300))
            rng.shuffle(bases)
            done = 0
            for number, base in enumerate(bases):
                bench.put(dict(base), recording.journal)
                found = oracle.look(bench.folder)
                if found.reader is None or 0 not in oracle.present(found):
                    continue
                place = folder / f"again-{seed}-{number}"
                place.mkdir()
                again = Again(dict(base), recording, place, f"again {number}")
                states = crash_states(again, rng, STATES_AFTER, STATES_AFTER // 2)
                for files, acks in states.items():
                    bench.put(dict(files), again.journal)
                    seen = oracle.look(bench.folder)
                    try:
                        judge_again(seen, acks, again)
                    except AssertionError as error:
                        raise AssertionError(f"seed {seed}, base {number}: {error}") from error
                    count += 1
                done += 1
                if done == BASES:
                    break
            seed += 1
    assert count >= 1000
    record_property("battery", ("row 5: states after a second power cut", count))


def test_the_disk_of_the_battery_loses_what_posix_lets_it_lose():
    """Row 5: the model itself: a write, a name and a failed sync, each by hand."""
    from battery.disk import Op

    moment = Moment()
    for op in (Op("name", 1, 0, "a"), Op("append", 1, data=b"one"), Op("sync", 1)):
        moment.apply(op)
    moment.apply(Op("append", 1, data=b"two"))
    contents = {1: moment.floor(1)}
    assert {} == files_of(moment.names_after({}), contents)
    assert {"a": b"one"} == files_of(moment.names_after({0: 1}), contents)
    assert b"onet" == moment.torn(1, 0, 1, None)
    assert b"onet\0\0" == moment.torn(1, 0, 1, "zeros")
    moment.apply(Op("sync_failed", 1))
    moment.apply(Op("append", 1, data=b"three"))
    moment.apply(Op("sync", 1))
    assert b"one\0\0\0three" == moment.floor(1)
    moment.apply(Op("sync", 0))
    moment.apply(Op("rename", 1, 0, "b", old="a"))
    assert {"a"} == set(moment.names_after({})[0])
    assert {"b"} == set(moment.names_after({0: 1})[0])
