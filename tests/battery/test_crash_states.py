"""Row 5 of the battery: what a power cut may leave of what the journal does, state by state."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
import time

import pytest

from battery import oracle, soak
from battery.disk import Moment, Recorder, files_of
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal import epoch_writer as lower_half
from sacred.journal.codec import BlobReference
from sacred.journal.verdicts import Foreign

MESSAGE = EventType.MESSAGE
#: States of each scenario, of them so many torn within a write; and of crashes after a crash.
STATES = 3_400
TORN = 2_200
BASES, STATES_AFTER = 50, 60
#: What part of a soak is a scenario's: two workers share all rows.
SHARE = 0.05


class Program:
    """What a scenario does: a root, a writer, and what they say is noted with the calls."""

    def __init__(self, recorder, root):
        self.recorder = recorder
        self.root = JournalRoot(root)
        self.writers = []
        self.said = []

    def start(self, **options):
        """Begin the journal of a run."""
        run = self.root.claim()
        writer = JournalWriter.create(run.journal, journal_id=4711, **options)
        self.writers.append(writer)
        return writer

    def child(self, parent):
        """Return what a forked child's writer becomes, with nothing in common with the parent's."""
        writer = JournalWriter(parent.folder, parent.journal_id, parent.durability, None, None)
        writer.number, writer.epoch, writer.next_seq = parent.number, parent.epoch, parent.next_seq
        writer._after_fork_in_child()
        self.writers.append(writer)
        return writer

    def say(self, writer, *texts):
        """Record messages: a frame each."""
        for text in texts:
            writer.append(MESSAGE, level="info", text=text)
            self.said.append(text)

    def points(self, writer, count):
        """Record points that come in one go."""
        for step in range(count):
            writer.log_point("loss", step, step / 7)
        writer.flush()

    def sync(self, writer):
        """Have all made durable, and note that it was promised."""
        done = writer.sync()
        if done:
            self.recorder.ack(("durable", writer.number, writer.durable_seq))
        return done

    def store(self, store, content):
        """Store a blob, and note that it was promised."""
        stored = store.put_bytes(content)
        self.recorder.ack(("blob", stored.blob.digest))
        return stored.blob


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


class Recording:
    """What a scenario did, and what can be known of all its frames."""

    def __init__(self, scenario, folder):
        with pytest.MonkeyPatch.context() as patch:
            # One thread: calls have an order.
            patch.setattr(JournalWriter, "_rouse", lambda self: None)
            recorder = Recorder(folder, patch)
            root = folder / "sacred_runs"
            JournalRoot(root).create()
            begun = len(recorder.ops)
            program = Program(recorder, root)
            scenario(program, patch)
            for writer in program.writers:
                writer.closed = True
                writer._close_file()
        self.said = program.said
        self.folders = recorder.folders
        self.start = Moment()
        for op in recorder.ops[:begun]:
            self.start.apply(op)
        for folder_id in list(self.start.changes):  # the root was there long before
            self.start.apply(type(recorder.ops[0])("sync", folder_id))
        for file in self.start.chunks:
            self.start._settle(file, "durable")
        self.ops = recorder.ops[begun:]
        self.journal = os.path.relpath(program.writers[0].folder, folder) + os.sep
        self.end = self.start.copy()
        for op in self.ops:
            self.end.apply(op)
        self.files = [file for file in self.end.chunks if file not in self.folders]
        self.check_recording(folder)
        self.reference = self.read_all(folder / "all")

    def check_recording(self, folder):
        """Raise if the calls that were recorded do not make what is there."""
        contents = {file: self.end.full(file) for file in self.files}
        made = files_of(self.end.names_after(dict.fromkeys(self.end.changes, 1 << 30)), contents)
        found = {}
        for path in folder.rglob("*"):
            name = str(path.relative_to(folder))
            found[name if path.is_file() else name + "/"] = (
                path.read_bytes() if path.is_file() else b""
            )
        assert found == made
        left = oracle.look(folder / self.journal)
        oracle.check_prefix(left)
        # A file that met a fault is never written again: nothing whole stands behind its torn end.
        assert not [verdict for verdict in left.verdicts if isinstance(verdict, Foreign)]

    def read_all(self, folder):
        """Return every frame of every file that ever was: (writer, first seq) to what it holds."""
        reference = {}
        for number, file in enumerate(self.files):
            data = self.end.full(file)
            place = folder / str(number)
            place.mkdir(parents=True)
            # Under its name, whatever that was: a preamble tells it.
            for writer, epoch in itertools.product((0, 1), range(1, 9)):
                path = place / f"w{writer:04d}-e{epoch:04d}.jzst"
                path.write_bytes(data)
                frames = oracle.look(place).frames
                for frame in frames:
                    if frame.count:
                        key = (frame.writer, frame.first_seq)
                        holds = [oracle.content(event) for event in frame.events]
                        known = reference.setdefault(key, holds)
                        assert known == holds, f"event {key} was written as two different ones"
                path.unlink()
                if frames:
                    break
        return reference


def torn_states(recording, moments, rng):
    """List ways in which the last write before the cut is torn, and names lost."""
    ways = []
    for index, op in enumerate(recording.ops, 1):
        moment = moments[index]
        folders = sorted(moment.changes)
        lengths = [range(len(moment.changes[folder]) + 1) for folder in folders]
        for taken in itertools.islice(itertools.product(*lengths), 64):
            names = dict(zip(folders, taken, strict=True))
            ways += [(index, names, None, 0, None, others) for others in ("floor", "full")]
        if op.kind != "append" or op.what in recording.folders:
            continue
        size = len(op.data)
        cuts = range(size) if size <= 200 else sorted(rng.sample(range(size), 150))
        every = dict.fromkeys(folders, 1 << 30)
        for cut, fill, others in itertools.product(
            cuts, (None, "zeros", "size", "garbage"), ("floor", "full")
        ):
            ways.append((index, every, op.what, cut, fill, others))
    rng.shuffle(ways)
    return ways


def make_torn(recording, moments, way, rng):
    """Make the disk of one of those ways."""
    index, taken, torn, cut, fill, others = way
    moment = moments[index]
    contents = {}
    for file in recording.files:
        if file == torn:
            whole = max(len(moment.uncertain(file)) - 1, 0)
            contents[file] = moment.torn(file, whole, cut, fill, rng)
        else:
            contents[file] = moment.floor(file) if others == "floor" else moment.full(file)
    return moment, files_of(moment.names_after(taken), contents)


def make_any(recording, moments, rng):
    """Make any disk that a cut at any moment may leave."""
    moment = rng.choice(moments)
    contents = {}
    for file in recording.files:
        writes = moment.uncertain(file)
        if not writes:
            contents[file] = moment.full(file)
        elif rng.random() < 0.3:
            contents[file] = moment.sectors(file, rng)
        else:
            whole = rng.randint(0, len(writes))
            cut = rng.randrange(len(writes[whole])) if whole < len(writes) else 0
            fill = rng.choice((None, None, "zeros", "size", "garbage"))
            contents[file] = moment.torn(file, whole, cut, fill, rng)
    if rng.random() < 0.5:
        names = moment.names_by_chance(rng)
    else:
        taken = {folder: rng.randint(0, len(ops)) for folder, ops in moment.changes.items()}
        names = moment.names_after(taken)
    return moment, files_of(names, contents)


def crash_states(recording, rng, quota, torn, start=None):
    """Return so many disks, no two alike: their files, and what was promised on the latest of them."""
    moments = [start or recording.start]
    for op in recording.ops:
        moments.append(moments[-1].copy())
        moments[-1].apply(op)
    found = {}

    def take(made):
        moment, files = made
        # Two disks that differ in a marker or a hint only are the same journal.
        kept = frozenset(
            (path, data)
            for path, data in files.items()
            if path.startswith(recording.journal) or "/blobs/" in path
        )
        if len(found.setdefault(kept, moment.acks)) < len(moment.acks):
            found[kept] = moment.acks

    for way in torn_states(recording, moments, rng):
        if len(found) >= torn:
            break
        take(make_torn(recording, moments, way, rng))
    for _ in range(4 * quota):
        if len(found) >= quota:
            break
        take(make_any(recording, moments, rng))
    return found


class Bench:
    """A folder in which one state after the other is made, read and judged."""

    def __init__(self, folder, patch):
        self.folder = folder / "state"
        self.folder.mkdir()
        self.there = {}
        self.count = 0
        real = os.open

        def only_reading(path, flags, *more, **options):
            if str(path).startswith(str(self.folder)) and flags & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
            ):
                raise oracle.Broken(f"the reader opened {path} to write")
            return real(path, flags, *more, **options)

        self.only_reading = only_reading
        self.patch = patch

    def put(self, files, prefix):
        """Make the journal's files of a state; say whether its folder can be reached."""
        wanted = {
            path[len(prefix) :]: data
            for path, data in files.items()
            if path.startswith(prefix) and len(path) > len(prefix)
        }
        for name in self.there.keys() - wanted.keys():
            os.unlink(self.folder / name)
        for name, data in wanted.items():
            if self.there.get(name) != data:
                with open(self.folder / name, "wb", buffering=0) as file:
                    file.write(data)
        self.there = wanted

    def judge(self, files, acks, recording):
        """Read a state; raise if a promise is broken."""
        self.count += 1
        self.put(files, recording.journal)
        with self.patch.context() as patch:
            patch.setattr(os, "open", self.only_reading)
            seen = oracle.look(self.folder)
        judge(seen, files, acks, recording)
        if self.count % 50 == 0:
            left = {path.name: path.read_bytes() for path in self.folder.iterdir()}
            assert left == self.there, "reading changed the journal"
        return seen


def judge(seen, files, acks, recording):
    """Raise if what was read of a state is not what was promised."""
    oracle.check_prefix(seen)
    for frame in seen.frames:
        if not frame.count:
            continue
        wrote = recording.reference.get((frame.writer, frame.first_seq))
        read = [oracle.content(event) for event in frame.events]
        if wrote != read:
            raise oracle.Broken(f"read {read}, written was {wrote}")
        for event in frame.events:
            blob = event.fields.get("blob")
            if isinstance(blob, BlobReference):
                check_blob(files, blob.digest)
    required, removed, beyond = {}, set(), {}
    for ack in acks:
        if ack[0] == "durable":
            required[ack[1]] = [(0, ack[2])]
        elif ack[0] == "blob":
            check_blob(files, ack[1])
        elif ack[0] == "texts":
            assert set(ack[1]) <= set(oracle.texts(seen)), f"{ack[1]} were promised"
        elif ack[0] == "removed":
            removed.add(ack[1])
        else:
            beyond[ack[1]] = ack[2]
    for writer in removed:
        del required[writer]  # with the file that somebody took away
    leave_out_counted(seen, required)
    oracle.check_kept(seen, required)
    for writer, first in beyond.items():
        there = [a for a, _ in oracle.present(seen).get(writer, ())]
        if first not in there:
            raise oracle.Broken(f"writer {writer}: event {first} was promised, and is not there")


def leave_out_counted(seen, required):
    """Ask for no event that a gap event counts as lost."""
    for frame in seen.frames:
        for event in frame.events:
            if event.type == EventType.GAP and event.fields["writer"] in required:
                first, count = event.fields["first_seq"], event.fields["count"]
                required[event.fields["writer"]] = [
                    part
                    for a, b in required[event.fields["writer"]]
                    for part in ((a, min(b, first)), (max(a, first + count), b))
                    if part[0] < part[1]
                ]


def check_blob(files, digest):
    """Raise if a blob that an event names, or that was promised, is not there."""
    for path, data in files.items():
        if path.endswith(f"/blobs/{digest[:2]}/{digest}"):
            if hashlib.sha256(data).hexdigest() != digest:
                raise oracle.Broken(f"blob {digest[:8]} is there, and is not what its name says")
            return
    raise oracle.Broken(f"blob {digest[:8]} is named, and is not there")


def judge_all(bench, states, recording, seed):
    for number, (files, acks) in enumerate(states.items()):
        try:
            bench.judge(dict(files), acks, recording)
        except Exception as error:
            shown = {path: (len(data), data[-40:].hex()) for path, data in sorted(files) if data}
            raise AssertionError(
                f"state {number} of seed {seed}: {type(error).__name__}: {error}\n"
                f"promised: {acks}\nthe disk: {shown}"
            ) from error


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
    at = reader.position.get(0)
    writer = JournalWriter(folder, reader.journal_id, "second", None, None)
    do.writers.append(writer)
    writer.epoch = max(reader._epochs(0))
    if at is not None:
        writer.next_seq = writer.durable_seq = at.next_seq
        writer._chain = at.chain
    writer._open_epoch(writer.epoch + 1, "resume")
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
