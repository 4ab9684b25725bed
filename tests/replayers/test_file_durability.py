"""The file view on the disk: the order of the system's calls, recorded and never timed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from typing import NamedTuple

import pytest

from sacred.journal.events import Event, EventType
from sacred.replayers.contract import SinkContract
from sacred.replayers.follower import Follower
from sacred.replayers.sink import FieldsChanged, FileEntry, OutputChanged, RunKey, SinkSpec
from sacred.replayers.sinks.file import FileSink

RUN = RunKey("00000000000000f1", 1)
EVENTS = SinkContract.events(60)
#: What is replaced whole, and what grows.
WHOLE = {"run.json", "config.json", "info.json", "metrics.json", "position.json"}
GROWING = {"cout.txt", "points"}


class Call(NamedTuple):
    """One call of the system: ``open``, ``fsync`` or ``replace``.

    Attributes
    ----------
    file
        Number of the inode: it stays when the file is renamed.
    path
        The name that ``open`` and ``replace`` were given (the new one).
    size
        Of the file (bytes).
    flags
        Those of ``open``.
    """

    name: str
    file: int
    path: str
    size: int
    flags: int = 0


class Calls(list):
    """The calls below a folder, in their order; each rename is checked before it happens.

    What gets its name has to be durable, and whatever a position names as well.
    """

    def __init__(self, monkeypatch, tree):
        super().__init__()
        self.tree = tree + os.sep
        #: By inode, what of each file is durable, and under which name it was opened.
        self.durable = {}
        self.opened = {}
        self.positions = 0
        real_open, real_sync, real_replace = os.open, os.fsync, os.replace
        real_rename = os.rename

        def opened(path, flags, mode=0o777, **more):
            descriptor = real_open(path, flags, mode, **more)
            if not self.below(path):
                return descriptor
            found = os.fstat(descriptor)
            if not found.st_size:  # a new file may have the number of one that is gone
                self.durable.pop(found.st_ino, None)
            self.opened[found.st_ino] = path
            self.append(Call("open", found.st_ino, str(path), found.st_size, flags))
            return descriptor

        def sync(descriptor):
            real_sync(descriptor)
            found = os.fstat(descriptor)
            if found.st_ino not in self.opened:
                return
            with open(self.opened[found.st_ino], "rb") as file:
                self.durable[found.st_ino] = file.read()
            self.append(Call("fsync", found.st_ino, "", found.st_size))

        def replace(source, target):
            if not self.below(target):
                real_replace(source, target)
                return
            found = os.stat(source)
            with open(source, "rb") as file:
                content = file.read()
            assert self.durable.get(found.st_ino) == content, f"{target} is not durable"
            if os.path.basename(target) == "position.json":
                self.check_growing(os.path.dirname(target), json.loads(content))
            real_replace(source, target)
            self.append(Call("replace", found.st_ino, str(target), found.st_size))

        def rename(source, target):
            # A whole folder gets its name: nothing in it may be what a power cut would take.
            for folder, _, names in os.walk(source):
                for name in names:
                    path = os.path.join(folder, name)
                    state = os.stat(path)
                    with open(path, "rb") as file:
                        content = file.read()
                    durable = self.durable.get(state.st_ino, b"")
                    assert durable == content, f"{path} is not durable"
            real_rename(source, target)
            self.append(Call("rename", os.stat(target).st_ino, str(target), 0))

        monkeypatch.setattr(os, "rename", rename)
        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", replace)

    def below(self, path):
        return str(path).startswith(self.tree)

    def check_growing(self, own, kept):
        """Check that the growing files are durable up to the lengths that a position names."""
        named = {
            os.path.join(os.path.dirname(own), "cout.txt"): kept.get("output", [0, 0])[1],
            os.path.join(own, "points"): kept.get("points_size", 0),
        }
        for path, size in named.items():
            if size:
                with open(path, "rb") as file:
                    content = file.read(size)
                durable = self.durable.get(os.stat(path).st_ino, b"")
                assert durable[:size] == content, f"the position names {size} bytes of {path}"
        self.positions += 1

    def replaced(self):
        """Return the base names of what was replaced, in order."""
        return [os.path.basename(call.path) for call in self if call.name == "replace"]


@pytest.fixture
def spec(tmp_path):
    return SinkSpec.parse(f"file:{tmp_path / 'tree'}")


@pytest.fixture
def calls(monkeypatch, spec):
    """Record the calls in the view's folder from here on, and check each that renames a file."""
    return Calls(monkeypatch, spec.url)


@pytest.fixture
def sink(spec):
    """A sink with a run that was claimed."""
    made = FileSink(spec)
    made.open()
    made.claim(RUN)
    made.position(RUN)
    yield made
    made.close()


def batch(upto, *changes):
    """Return a batch of the first events, or of some changes."""
    made = SinkContract.batch(RUN, EVENTS[:upto], upto)
    return made._replace(changes=changes) if changes else made


def opened_for_writing(calls):
    """Return by base name how files were opened that are no temporary ones."""
    found = {}
    for call in calls:
        name = os.path.basename(call.path)
        if call.name == "open" and call.flags & (os.O_WRONLY | os.O_RDWR):
            found.setdefault(name, set()).add(call.flags & (os.O_TRUNC | os.O_APPEND))
    return found


def test_the_position_is_saved_last(sink, calls):
    """P7, R18: a write ends with the position; what it names is durable by then."""
    began = EVENTS[0].time
    more = [
        EVENTS[0],
        Event(int(EventType.INFO_CHANGED), began, 90, 0, {"set": [[["a"], 1]], "deleted": []}),
        Event(int(EventType.OUTPUT), began, 91, 0, {"stream": 1, "data": b"line\n"}),
    ]
    batches = [
        batch(20),
        SinkContract.batch(RUN, more, 92),
        batch(60),
        batch(61, FieldsChanged({"status": "COMPLETED", "result": 1})),
        batch(62, OutputChanged(0, "anew \u00e4\n")),
        batch(63, OutputChanged(3, "")),
    ]
    names = set()
    for number, one in enumerate(batches, 1):
        del calls[:]
        sink.write(one)
        assert (calls[-1].name, os.path.basename(calls[-1].path)) == ("replace", "position.json")
        assert calls.replaced().count("position.json") == 1
        assert calls.positions == number
        names |= set(calls.replaced())
    assert names == WHOLE


def test_a_write_that_fails_saves_no_position(sink, calls, monkeypatch):
    """P7: whichever file is refused, the position stays, and the repeat brings everything."""
    real = os.replace
    position = os.path.join(sink.base, "1", ".journal", "position.json")
    before = open(position, "rb").read()
    whole = batch(20)._replace(
        changes=(
            *batch(20).changes,
            OutputChanged(0, "some output\n"),
        )
    )
    for refused in sorted(WHOLE - {"info.json"}):

        def replace(source, target, refused=refused):
            if os.path.basename(target) == refused:
                raise OSError(28, os.strerror(28))
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(Exception, match="No space left"):
            sink.write(whole)
        assert open(position, "rb").read() == before, refused
    monkeypatch.setattr(os, "replace", real)
    sink.write(whole)
    folder = os.path.dirname(os.path.dirname(position))
    assert sink.position(RUN).points == {"m": 19}
    with open(os.path.join(folder, "metrics.json"), "rb") as file:
        assert json.loads(file.read())["m"]["steps"] == list(range(1, 20))
    with open(os.path.join(folder, "cout.txt"), encoding="utf-8") as file:
        assert file.read() == "some output\n"


def test_a_whole_run(root, spec, calls, run_writer):
    """P7: a replayed run gets its name when all of it is durable, the position last of all."""
    folder = root.claim()
    run_writer(folder)
    follower = Follower(folder, FileSink(spec), spec)
    assert follower.run_once().state == "current"
    follower.close()
    tree = os.path.join(spec.url, "1")
    data = hashlib.md5(b"the artifact").hexdigest()
    source = hashlib.md5(b"print(1)\n").hexdigest()
    shared = {f"main_{source}.py", f"data_{data}.csv"}
    assert set(calls.replaced()) == {"a file.txt", "position.json", *shared}
    (named,) = [number for number, call in enumerate(calls) if call.name == "rename"]
    assert calls[named].path == tree
    assert [call for call in calls[named:] if call.flags & (os.O_WRONLY | os.O_RDWR)] == []
    positions = [call for call in calls if call.path.endswith("position.json")]
    first = calls.index(positions[0])
    written = {os.path.basename(call.path) for call in calls[:first] if call.name == "open"}
    assert WHOLE - {"position.json"} | GROWING <= written
    assert calls.positions == 1


@pytest.mark.parametrize("refused", ["cout.txt", "metrics.json", "run.json", "position.json", "1"])
def test_a_first_write_that_fails_leaves_no_folder(root, spec, run_writer, monkeypatch, refused):
    """P7: whichever file of a new folder is refused, no folder has a name, and the repeat is whole."""
    folder = root.claim()
    run_writer(folder)
    real_open, real_mkdir = os.open, os.mkdir

    def opened(path, flags, mode=0o777, **more):
        if refused in os.path.basename(path) and flags & os.O_CREAT:
            raise OSError(28, os.strerror(28))
        return real_open(path, flags, mode, **more)

    def mkdir(path, *more, **named):
        if os.path.basename(path) == refused:
            raise OSError(28, os.strerror(28))
        real_mkdir(path, *more, **named)

    follower = Follower(folder, FileSink(spec), spec)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        patch.setattr(os, "mkdir", mkdir)
        assert follower.run_once().state == "behind"
        assert "No space left" in follower.status.error
        # What could not get its name is finished by whoever comes next, or taken away.
        assert set(os.listdir(spec.url)) - {"_sources", "_resources"} <= {".claim"}
    assert follower.run_once().state == "current"
    follower.close()
    assert set(os.listdir(spec.url)) == {"1", "_sources", "_resources"}


@pytest.mark.parametrize("at", range(1, 40))
def test_a_kill_in_a_first_write(root, spec, run_writer, at):
    """P7: a process that dies at any call of the disk leaves a whole folder, or none with a name."""
    folder = root.claim()
    run_writer(folder)
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real):
            def call(*arguments, **named):
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return call

        try:
            sink = FileSink(spec)
            sink.open()
            for name in ("open", "fsync", "replace", "rename", "mkdir"):
                setattr(os, name, counted(getattr(os, name)))
            Follower(folder, sink, spec).run_once()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found = os.path.join(spec.url, "1")
    complete = os.path.isdir(found) and bool(os.listdir(found))
    if complete:
        with open(os.path.join(found, "run.json"), "rb") as file:
            assert json.loads(file.read())["status"] == "COMPLETED"
    follower = Follower(folder, FileSink(spec), spec)
    assert follower.run_once().state == "current"
    assert follower.status.view_id == 1
    follower.close()
    assert set(os.listdir(spec.url)) == {"1", "_sources", "_resources"}
    position = os.path.join(found, ".journal", "position.json")
    with open(position, "rb") as file:
        assert json.loads(file.read())["claimed"] is False


def test_points_are_cut_to_what_the_position_names(sink, calls):
    """P7: points that a killed replayer left behind the position are not there twice."""
    sink.write(batch(20))
    points = os.path.join(sink.base, "1", ".journal", "points")
    size = os.path.getsize(points)
    with open(points, "ab") as file:
        file.write(b"what a kill left")
    sink.write(batch(40))
    with open(points, "rb") as file:
        content = file.read()
    assert b"what a kill left" not in content
    assert len(content) > size
    assert calls.positions == 2


@pytest.mark.parametrize("role", ["source", "resource", "artifact"])
def test_files_appear_whole(sink, calls, tmp_path, role):
    """P7: sources, resources and artifacts are copied aside, synced, and then given their name."""
    content = os.urandom(100_000)
    blob = tmp_path / "blob"
    blob.write_bytes(content)
    digest, md5 = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    entry = FileEntry(role, "x.bin", "/elsewhere/x.bin", digest, md5, len(content))
    target = sink.put_file(RUN, entry, blob)
    if role == "artifact":
        sink.write(batch(5, FieldsChanged({"artifacts": [entry]})))
        target = os.path.join(sink.base, "1", "x.bin")
    with open(target, "rb") as file:
        assert file.read() == content
    (named,) = [call for call in calls if call.name == "replace" and call.path == target]
    assert named.size == len(content)
    assert [call.size for call in calls if call[:2] == ("fsync", named.file)] == [len(content)]
    assert os.path.basename(target) not in opened_for_writing(calls)
    folder = os.path.dirname(target)
    assert [name for name in os.listdir(folder) if "x.bin" in name and name[0] == "."] == []
