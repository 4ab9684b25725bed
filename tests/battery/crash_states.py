"""What a power cut may leave of what a program did below a root, state by state: made, read, judged."""

from __future__ import annotations

import hashlib
import itertools
import os

import pytest

from battery import oracle, spooled
from battery.disk import Moment, Recorder, files_of
from sacred.core.recorded import RecordedRun
from sacred.core.recorder import Recorder as recorder_of
from sacred.journal import EventType, JournalRoot, JournalWriter, RunFolder
from sacred.journal.codec import BlobReference
from sacred.journal.folder_lock import locked_journal
from sacred.journal.verdicts import Foreign

MESSAGE = EventType.MESSAGE


class Program:
    """What a scenario does: a root, a writer, and what they say is noted with the calls."""

    def __init__(self, recorder, root):
        self.recorder = recorder
        self.root = JournalRoot(root)
        self.writers = []
        self.said = []
        self.spool = None
        #: By the offset at which each piece of output begins, where it ends and what it is.
        self.printed = {}

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

    def print(self, writer, *texts, journalled=False):
        """Print something: it goes into the spool, and into the journal if it is taken from there."""
        if self.spool is None:
            self.spool = spooled.Spool(writer.folder)
        for text in texts:
            begin, end = self.spool.print(text)
            self.printed[begin] = end, text
            if journalled:
                writer.append_output(1, text, begin, end)

    def settle(self):
        """Let some time go by: the system writes the spool to the disk by itself."""
        os.fsync(self.spool.descriptor)
        folder = os.open(self.writers[0].folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self.recorder.ack(("printed", self.spool.end))

    def die(self):
        """Leave all as SIGKILL does: what was given to the system is there."""
        spooled.kill(self.writers[0].folder)
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def go_on(self, **options):
        """Go on with the run as another process does; return its writer."""
        journal = self.writers[0].folder
        recorder = recorder_of(self.root.path, **options)
        with locked_journal(journal):
            record = RecordedRun(RunFolder(journal.parent, 1))
            recorder.go_on(record, resume=True)
        writer = recorder.writer
        self.writers.append(writer)
        if writer.durability != "process":
            self.recorder.ack(("durable", 0, record.at.next_seq))
        self.spool = spooled.Spool(journal, recorder.spool_begin)
        return writer

    def join(self, **options):
        """Return the writer of a worker that joins the run."""
        first = self.writers[0]
        writer = JournalWriter.join(first.folder, journal_id=first.journal_id, **options)
        self.writers.append(writer)
        return writer

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
            if program.spool is not None:
                program.spool.close()
        self.said = program.said
        self.printed = program.printed
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
        least = max((ack[1] for ack in acks if ack[0] == "printed"), default=0)
        spool = self.there.get(spooled.NAME, b"")
        spooled.check_output(seen, spool, recording.printed, least)
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
        elif ack[0] == "from":
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
