"""What users add to a run: which files can be added, and what is taken of a folder."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.arguments import InvalidArgumentError
from sacred.core.artifacts import ArtifactError, check_file, files_of
from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot, RunFolder
from sacred.journal.snapshot import Snapshot
from sacred.observers import FileStorageObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")
    # The view is written by another process, which these tests do without.
    monkeypatch.setattr("sacred.core.launch.replayer_link", lambda *_, **__: mock.Mock(
        wait=mock.Mock(return_value={})))  # fmt: skip


def _run(main: Callable[[], Any], *observers: Any) -> Run:
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    parts: list[Any] = [{"a": 1}, None, main, list(observers)]
    return Run(*parts, mock.Mock(), mock.Mock(), info, {"hostname": "h"}, [], [])


def _recorded(run: Run, kind: EventType) -> list[dict[str, Any]]:
    assert run.folder is not None
    events = JournalReader(os.path.join(run.folder, "journal")).read()
    return [event.fields for event in events if event.type == kind]


def _said(run: Run) -> list[str]:
    return [str(call.args[-1]) for call in run.run_logger.warning.call_args_list]  # type: ignore[attr-defined]


def test_an_empty_name_of_a_file() -> None:
    """'' is no file, and not the current folder with everything in it."""
    run = _run(lambda: None)
    for add in (run.add_artifact, run.add_resource, run.open_resource):
        with pytest.raises(FileNotFoundError, match="no such file"):
            add("")


@pytest.mark.parametrize("what", ["artifact", "resource"])
def test_what_has_no_content(tmp_path: Path, what: str) -> None:
    """A pipe or a device is refused in the call, which does not wait for anything."""
    os.mkfifo("pipe")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("socket")
    for path, kind in (("pipe", "a pipe"), ("socket", "a socket"), (os.devnull, "a device")):
        place = os.path.join(tmp_path, path)
        with pytest.raises(
            ArtifactError, match=f"{place} can not be added as {what}: it is {kind}"
        ):
            check_file(path, what)
    bound.close()


def test_a_pipe_ends_no_run_in_silence() -> None:
    """add_artifact of a pipe raises in main(), where it can be caught."""
    os.mkfifo("pipe")

    def main() -> None:
        for add in (run.add_artifact, run.add_resource, run.open_resource):
            with pytest.raises(ValueError, match="it is a pipe"):
                add("pipe")

    run = _run(main)
    run()
    assert "COMPLETED" == run.status


def test_a_device_that_is_written() -> None:
    """A resource that is opened to be written may be a device: it is opened, and not recorded."""
    run = _run(lambda: run.open_resource(os.devnull, "w").close())
    run()
    assert [] == _recorded(run, EventType.RESOURCE_ADDED)


def test_the_current_folder() -> None:
    """The root, the views' folders and their runs are not in it, and a line says so."""
    os.makedirs("sub/deep")
    os.makedirs("old/3/.journal")
    JournalRoot("archive/sacred_runs").create()
    for name in ("a.txt", "sub/deep/b.txt", "old/note.txt", "old/3/.journal/position.json"):
        with open(name, "w") as file:
            file.write(name)
    os.symlink("sub", "link")
    os.mkfifo("pipe")

    def main() -> None:
        for _ in range(2):
            run.add_artifact(".", name="here")

    run = _run(main, FileStorageObserver("runs", source_dir="elsewhere"))
    os.mkdir("elsewhere")
    run()
    first, second = _recorded(run, EventType.DIRECTORY_ADDED)
    names = [entry[0] for entry in first["entries"]]
    assert ["a.txt", "old/note.txt", "sub/deep/b.txt"] == names
    assert first["entries"] == second["entries"]
    (sentence,) = [text for text in _said(run) if "Not recorded" in text]
    assert re.fullmatch(
        r"Not recorded of the folder \S+: elsewhere \(a view\), link \(a link to a folder\), "
        r"runs \(a view\), sacred_runs \(journals\), pipe \(a pipe\) and 2 more",
        sentence,
    )


def test_a_folder_above_a_view_that_holds_all() -> None:
    """-F . : a folder beside the runs is an artifact like any other; those are left out of '.'."""
    os.mkdir("out")
    for name in ("out/x", "y"):
        with open(name, "w") as file:
            file.write(name)

    def main() -> None:
        run.add_artifact("out")
        run.add_artifact(".", name="here")

    run = _run(main, FileStorageObserver("."))
    run()
    out, here = _recorded(run, EventType.DIRECTORY_ADDED)
    assert ["x"] == [entry[0] for entry in out["entries"]]
    assert ["y", "out/x"] == [entry[0] for entry in here["entries"]]


@pytest.mark.parametrize("place", ["sacred_runs", "sacred_runs/1", "sacred_runs/blobs"])
def test_journals_are_no_artifact(place: str) -> None:
    """A root that is added to a run of its own would hold itself."""

    def main() -> None:
        os.makedirs("sacred_runs/blobs", exist_ok=True)
        with pytest.raises(ArtifactError, match="it is a place of journals"):
            run.add_artifact(place)

    run = _run(main)
    run()
    assert [] == _recorded(run, EventType.DIRECTORY_ADDED)


def test_a_folder_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system does not show of a folder is named."""
    os.makedirs("in/secret")
    real = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = files_of(str(tmp_path / "in"), ())
    assert ([], ["secret (Permission denied)"]) == found


def test_a_file_that_is_gone_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a folder that somebody takes away ends nothing; it is named."""
    os.mkdir("in")
    with open("in/a", "w") as file:
        file.write("a")
    real = files_of

    def late(folder: str, places: Any) -> Any:
        found = real(folder, places)
        return found._replace(files=[*found.files, "temporary"])

    monkeypatch.setattr("sacred.core.file_recorder.files_of", late)
    run = _run(lambda: run.add_artifact("in"))
    run()
    (event,) = _recorded(run, EventType.DIRECTORY_ADDED)
    assert ["a"] == [entry[0] for entry in event["entries"]]
    assert any(text.endswith(": temporary (gone)") for text in _said(run))


def test_an_empty_name_is_the_files() -> None:
    """FSO-06: name='' is stored under the file's name, as Sacred does."""
    with open("f.txt", "w") as file:
        file.write("x")
    seen = mock.Mock(priority=0)
    seen.started_event.return_value = None
    run = _run(lambda: run.add_artifact("f.txt", name=""), seen)
    run()
    assert ["f.txt"] == [event["name"] for event in _recorded(run, EventType.ARTIFACT_ADDED)]
    assert "" == seen.artifact_event.call_args.kwargs["name"]


def test_the_folder_without_a_name() -> None:
    """The root of the file system has no name of its own."""
    with pytest.raises(ArtifactError, match="has no name"):
        _run(lambda: None).add_artifact("/")


def test_what_comes_after_the_end() -> None:
    """An artifact of a run that has ended is not lost in silence."""
    with open("f.txt", "w") as file:
        file.write("x")
    run = _run(lambda: None)
    run()
    run.add_artifact("f.txt")
    assert ["The run has ended: the artifact f.txt is not recorded."] == _said(run)[-1:]


def test_what_an_observer_adds_at_the_start() -> None:
    """An artifact that is added while the run's id is looked for is recorded with it."""
    with open("f.txt", "w") as file:
        file.write("x")
    eager = mock.Mock(priority=0)
    eager.started_event.side_effect = lambda **_: run.add_artifact("f.txt")
    run = _run(lambda: None, eager)
    run()
    assert ["f.txt"] == [event["name"] for event in _recorded(run, EventType.ARTIFACT_ADDED)]


# -- open files -----------------------------------------------------------------------------------


def _content(run: Run, fields: dict[str, Any]) -> bytes:
    root = RunFolder.at(str(run.folder)).root
    return BlobStore(root.blobs).read(fields["blob"]["digest"])


def test_open_files(tmp_path: Path) -> None:
    """RUN-10: all that an open file holds, wherever it stands, also what was not flushed; it stays where it stood."""
    (tmp_path / "there.txt").write_text("from disk")

    def main() -> None:
        with open("there.txt", encoding="utf-8") as file:
            file.read(4)
            run.add_artifact(file)
            assert " disk" == file.read()
        with open("made.txt", "w", encoding="utf-8") as file:
            file.write("written")
            run.add_artifact(file, name="m/written.txt")
            file.write(" and more")
        buffer = io.BytesIO()
        buffer.write(b"binary")
        run.add_artifact(buffer, name="memory.bin", metadata={"a": 1}, content_type="x/y")
        assert 6 == buffer.tell()
        run.add_artifact(io.StringIO("t\u00e4xt"), "memory.txt")
        with tempfile.TemporaryFile() as file:  # its name is a number
            file.write(b"nameless")
            run.add_artifact(file, "nameless.bin")
        removed = open("gone.txt", "w+b")
        removed.write(b"gone")
        os.unlink("gone.txt")
        run.add_artifact(removed, "gone.txt")
        removed.close()

    observer = mock.Mock(priority=0)
    observer.started_event.return_value = None
    run = _run(main, observer)
    run()
    found = _recorded(run, EventType.ARTIFACT_ADDED)
    assert [
        ("there.txt", b"from disk"),
        ("m/written.txt", b"written"),
        ("memory.bin", b"binary"),
        ("memory.txt", "t\u00e4xt".encode()),
        ("nameless.bin", b"nameless"),
        ("gone.txt", b"gone"),
    ] == [(fields["name"], _content(run, fields)) for fields in found]
    assert ({"a": 1}, "x/y") == (found[2]["metadata"], found[2]["content_type"])
    assert ["text/plain", "application/octet-stream"] == [
        found[3]["guessed_type"], found[4]["guessed_type"],
    ]  # fmt: skip
    told = [call.kwargs for call in observer.artifact_event.call_args_list]
    assert [fields["name"] for fields in found] == [event["name"] for event in told]
    with open(told[2]["filename"], "rb") as file:
        assert b"binary" == file.read()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_open_files_that_can_not_be_recorded(tmp_path: Path) -> None:
    """One that is closed, write-only in memory, or has no name: a sentence says what to do."""

    class WriteOnly(io.RawIOBase):
        def writable(self) -> bool:
            return True

    def main() -> None:
        with open("x.txt", "w", encoding="utf-8") as closed:
            closed.write("x")
        with pytest.raises(ArtifactError, match=r"x\.txt is closed: add it by its path"):
            run.add_artifact(closed)
        with pytest.raises(ArtifactError, match=r"BytesIO has no name: add_artifact\(file, name="):
            run.add_artifact(io.BytesIO(b"x"))
        with pytest.raises(ArtifactError, match="The WriteOnly can not be read"):
            run.add_artifact(WriteOnly(), name="x")

    run = _run(main)
    run()
    assert [] == _recorded(run, EventType.ARTIFACT_ADDED)


def test_what_comes_through_a_pipe() -> None:
    """What can not be read twice is recorded from where it stands."""

    def main() -> None:
        ours, theirs = os.pipe()
        os.write(theirs, b"through")
        os.close(theirs)
        with open(ours, "rb") as file:
            run.add_artifact(file, name="through.txt")

    run = _run(main)
    run()
    (fields,) = _recorded(run, EventType.ARTIFACT_ADDED)
    assert b"through" == _content(run, fields)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_whose_writer_lives() -> None:
    """It is refused, as a pipe with a name is: whoever reads it would wait for somebody."""
    told = []

    def main() -> None:
        ours, theirs = os.pipe()
        os.write(theirs, b"so far")
        with open(ours, "rb") as file:
            with pytest.raises(
                ArtifactError, match=r"a pipe that others may still write to.*BytesIO"
            ):
                run.add_artifact(file, name="through.txt")
            os.close(theirs)
            told.append(file.read())
        with open(os.devnull, "rb", buffering=0) as device:
            copy = os.fdopen(os.dup(device.fileno()), "rb")  # its name is a number
        with copy, pytest.raises(ArtifactError, match="a device"):
            run.add_artifact(copy, name="x")

    run = _run(main)
    run()
    assert ([b"so far"], []) == (told, _recorded(run, EventType.ARTIFACT_ADDED))


def test_paths_as_bytes(tmp_path: Path) -> None:
    """A path may be bytes, as everywhere in Python."""
    (tmp_path / "x.txt").write_text("x")

    class Place:
        def __fspath__(self) -> bytes:
            return b"x.txt"

    def main() -> None:
        run.add_artifact(b"x.txt")
        run.add_artifact(Place(), "y.txt")
        run.add_resource(b"x.txt")
        with run.open_resource(b"x.txt") as file:
            assert "x" == file.read()
        run.open_resource(b"new.txt", "w").close()

    run = _run(main)
    run()
    names = [(e["name"], e["filename"]) for e in _recorded(run, EventType.ARTIFACT_ADDED)]
    assert [(name, str(tmp_path / "x.txt")) for name in ("x.txt", "y.txt")] == names
    assert {str(tmp_path / "x.txt")} == {
        fields["filename"] for fields in _recorded(run, EventType.RESOURCE_ADDED)
    }


@pytest.mark.parametrize("value", [None, 3, ["a.txt"], {"a": 1}])
def test_what_is_no_file_at_all(value: Any) -> None:
    """A sentence says what to give; it is a TypeError, as Python's own."""
    run = _run(lambda: None)
    kept = re.escape(repr(value))
    with pytest.raises(TypeError, match=rf"{kept} is no path: write add_artifact\(PATH\)"):
        run.add_artifact(value)
    with pytest.raises(ValueError, match=rf"{kept} is no path: write add_resource\(PATH\)"):
        run.add_resource(value)
    for mode in ("r", "w"):
        with pytest.raises(InvalidArgumentError, match="is no path: write"):
            run.open_resource(value, mode)


# -- files that others write ------------------------------------------------------------------------


class _Endless:
    """A file of the disk to which something is appended after each read of it."""

    def __init__(self, path: Any, size: int) -> None:
        self.path = path
        with open(path, "wb") as file:
            file.write(b"x" * size)
        self.reads = 0

    def grow(self) -> None:
        self.reads += 1
        assert self.reads < 1000, "it is chased"
        with open(self.path, "ab") as file:
            file.write(b"y" * 4096)


@pytest.fixture
def grows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], _Endless]:
    """Make files that grow while they are read by whatever takes a snapshot, or by an open file."""

    def make(path: Any, size: int) -> _Endless:
        endless = _Endless(path, size)
        real = Snapshot.read

        def read(self: Snapshot, size: int = -1) -> bytes:
            endless.grow()
            return real(self, size)

        monkeypatch.setattr(Snapshot, "read", read)
        return endless

    return make


@pytest.mark.parametrize("size", [0, 10, (4 << 20) + 10])
def test_a_file_that_grows(grows: Any, size: int) -> None:
    """What it held at the call is recorded, and nobody chases its end: as a file, in a folder, as a resource, by its open file."""
    os.mkdir("in")
    grows("in/log.txt", size)

    def main() -> None:
        run.add_artifact("in/log.txt")
        run.add_artifact("in")
        run.add_resource("in/log.txt")
        run.open_resource("in/log.txt").close()
        with open("in/log.txt") as file:
            run.add_artifact(file, name="open.txt")

    run = _run(main)
    run()
    added = _recorded(run, EventType.ARTIFACT_ADDED)
    sizes = [fields["blob"]["size"] for fields in added]
    # Each began behind what the one before had it grow by.
    assert size <= sizes[0] <= size + 4096
    assert size <= sizes[1] <= size + 100 * 4096
    ((entry,),) = [fields["entries"] for fields in _recorded(run, EventType.DIRECTORY_ADDED)]
    assert size <= entry[1]["size"] <= size + 100 * 4096
    assert 2 == len(_recorded(run, EventType.RESOURCE_ADDED))


class _Appending:
    """A thread that appends to a file as fast as it can."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        with open(self.path, "ab", buffering=0) as file:
            for _ in range(2000):  # 128 MB at most
                if self.over.is_set():
                    return
                file.write(b"z" * 65536)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.thread.join(60)


def test_a_file_that_is_written_at_full_speed() -> None:
    """add_artifact returns while a thread appends, with no more than the file had; an open file that has no name any more, too."""
    with open("grow.log", "wb") as file:
        file.write(b"z" * (5 << 20))

    def main() -> None:
        with open("grow.log", "r+b") as nameless:
            with _Appending("grow.log"):
                run.add_artifact("grow.log")
                os.unlink("grow.log")
                run.add_artifact(nameless, name="nameless.log")
            told.append(os.fstat(nameless.fileno()).st_size)

    told: list[int] = []
    run = _run(main)
    run()
    for fields in _recorded(run, EventType.ARTIFACT_ADDED):
        assert 5 << 20 <= fields["blob"]["size"] <= told[0]
        assert set(_content(run, fields)) == {ord("z")}


def test_a_file_of_the_system() -> None:
    """A file that tells no size has its content recorded all the same."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("there is no /proc")
    run = _run(lambda: run.add_artifact("/proc/self/status"))
    run()
    (fields,) = _recorded(run, EventType.ARTIFACT_ADDED)
    assert _content(run, fields).startswith(b"Name:")


def test_an_open_archive() -> None:
    """What a class of another kind makes of its bytes is recorded whole, not as many bytes as the disk has."""
    import gzip

    with gzip.open("packed.gz", "wb") as packed:
        packed.write(b"x" * 100_000)

    def main() -> None:
        with gzip.open("packed.gz", "rb") as file:
            os.unlink("packed.gz")
            run.add_artifact(file, name="unpacked")

    run = _run(main)
    run()
    (fields,) = _recorded(run, EventType.ARTIFACT_ADDED)
    assert b"x" * 100_000 == _content(run, fields)


# -- versions -------------------------------------------------------------------------------------


def test_artifacts_of_one_name_are_kept(tmp_path: Path) -> None:
    """Of files and folders that are added again under their name the journal keeps each version; the file view shows the newest, and SQL all."""

    def main() -> None:
        os.mkdir("folder")
        for number in (1, 2, 3):
            for name in ("model.bin", "folder/part.txt"):
                (tmp_path / name).write_text(f"version {number}")
            run.add_artifact("model.bin")
            run.add_artifact("folder")

    run = _run(main)
    run()
    files = _recorded(run, EventType.ARTIFACT_ADDED)
    expected = [(number, f"version {number}".encode()) for number in (1, 2, 3)]
    assert expected == [(fields["version"], _content(run, fields)) for fields in files]
    folders = _recorded(run, EventType.DIRECTORY_ADDED)
    assert [1, 2, 3] == [fields["version"] for fields in folders]
    root = os.path.dirname(str(run.folder))
    for arguments in (["replay", "--to", "file:views"], ["query", "--json", _VERSIONS]):
        done = subprocess.run(
            [sys.executable, "-m", "sacred", *arguments, "-J", root],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=60,
        )
    names = ["folder/part.txt", "model.bin"]
    assert [(name, number) for name in names for number in (1, 2, 3)] == [
        (row["name"], row["version"]) for row in json.loads(done.stdout)
    ]
    for name in ("model.bin", "folder/part.txt"):
        assert "version 3" == (tmp_path / "views" / "1" / name).read_text()
    assert sorted(3 * names) == sorted(
        json.loads((tmp_path / "views" / "1" / "run.json").read_text())["artifacts"]
    )


_VERSIONS = "select name, version from artifacts order by all"
