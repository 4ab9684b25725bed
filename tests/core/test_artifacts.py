"""What users add to a run: which files can be added, and what is taken of a folder."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.artifacts import ArtifactError, check_file, files_of
from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
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

    monkeypatch.setattr("sacred.core.recorder.files_of", late)
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
