"""FileStorageObserver: what it declares, and the folder that is there inside main()."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.observers.file_storage import FileStorageObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")
    # The view is written by another process, which these tests do without.
    monkeypatch.setattr("sacred.core.launch.replayer_link", lambda *_, **__: mock.Mock(
        wait=mock.Mock(return_value={})))  # fmt: skip


def _run(main: Callable[[], Any], *observers: Any, run_id: Any = None) -> Run:
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    parts: list[Any] = [{"a": 1, "seed": 7}, None, main, list(observers)]
    run = Run(*parts, mock.Mock(), mock.Mock(), info, {"hostname": "h"}, [], [])
    run._id = run_id
    return run


def test_it_declares_a_view(tmp_path: Path) -> None:
    """FSO-01: absolute folders, whatever the program's folder is later."""
    view = declared_view(FileStorageObserver("runs", copy_sources=False))
    assert view is not None
    assert ("file", str(tmp_path / "runs")) == (view["kind"], view["url"])
    assert (str(tmp_path / "runs" / "_sources"), False) == (
        view["options"]["source_dir"],
        view["options"]["copy_sources"],
    )


def test_nothing_is_made_before_a_run(tmp_path: Path) -> None:
    """FSO-01: an observer alone makes no folder; str paths of source_dir work."""
    FileStorageObserver("runs", source_dir="here", resource_dir="there")
    assert [] == list(tmp_path.iterdir())


def test_a_template_that_does_not_exist() -> None:
    """FSO-01: said at once."""
    with pytest.raises(FileNotFoundError, match="template"):
        FileStorageObserver("runs", template="none.html")


def test_the_folder_is_there_inside_main() -> None:
    """USE-16: .dir with config.json in it, and save_file works at once."""
    observer = FileStorageObserver("runs")
    seen: list[Any] = []

    def main() -> None:
        folder = run.observers[0].dir
        with open(os.path.join(folder, "config.json")) as file:
            seen.append((folder, run._id, json.load(file)))
        observer.save_file("notes.txt")

    with open("notes.txt", "w") as file:
        file.write("notes")
    run = _run(main, observer)
    run()
    assert [(os.path.join("runs", "1"), 1, {"a": 1, "seed": 7})] == seen
    assert os.path.exists("runs/1/notes.txt")


def test_ids_are_consecutive_integers_of_the_view(tmp_path: Path) -> None:
    """FSO-03: the view's next number is the run's id, and the journal's folder has it too."""
    os.makedirs("runs/41")
    runs = [_run(lambda: None, FileStorageObserver("runs")) for _ in range(2)]
    for run in runs:
        run()
    assert [42, 43] == [run._id for run in runs]
    assert ["42", "43"] == [os.path.basename(str(run.folder)) for run in runs]


def test_an_id_that_comes_from_elsewhere_is_kept_if_it_is_free() -> None:
    """A view keeps a run's id if it is free there, else gives the next; the id does not change."""
    os.makedirs("runs/17")
    first = mock.Mock(priority=50)
    first.started_event.return_value = 17
    observer = FileStorageObserver("runs")
    run = _run(lambda: None, observer, first)
    run()
    assert (17, os.path.join("runs", "18")) == (run._id, observer.dir)


def test_a_given_id_that_is_taken_is_an_error() -> None:
    """R14: --id of a run in a local file view; nothing is left of the attempt."""
    os.makedirs("runs/5")
    main = mock.Mock(__name__="main", prefix=None)
    run = _run(main, FileStorageObserver("runs"), run_id="5")
    with pytest.raises(FileExistsError, match="There is a run with the id 5"):
        run()
    assert not main.called
    assert ["5"] == os.listdir("runs")


def test_the_trees_own_files_are_protected() -> None:
    """FSO-06, USE-11: FileExistsError."""
    observer = FileStorageObserver("runs")
    with pytest.raises(RuntimeError, match="no run"):
        observer.save_file("x")
    run = _run(lambda: observer.save_file("config.json"), observer)
    with pytest.raises(FileExistsError, match="necessary for the FileStorageObserver"):
        run()


def test_equality_is_that_of_the_folder() -> None:
    """OBS-07: by basedir."""
    assert FileStorageObserver("a") == FileStorageObserver("a", priority=3)
    assert FileStorageObserver("a") != FileStorageObserver("b")
