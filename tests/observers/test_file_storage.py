"""FileStorageObserver: what it declares, and the folder that is there inside main()."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred import Experiment
from sacred.core.run import Run, RunIdError, RunIdTakenError
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.journal.root import JournalRoot
from sacred.observers.file_storage import FileStorageObserver
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec

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


class _Changed(FileStorageObserver):
    """One of one's own: it is called event by event."""


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


def test_the_report_that_is_built_in(tmp_path: Path) -> None:
    """FSO-08: it is no code of the user's: the view stays one that another process writes."""
    observer = FileStorageObserver("runs", template=True)
    view = declared_view(observer)
    assert view is not None
    assert True is view["options"]["report"]
    assert "report" not in declared_view(FileStorageObserver("runs"))["options"]  # type: ignore[index]
    ex = Experiment("reported", save_git_info=False)
    ex.observers.append(observer)

    @ex.main
    def main(_run: Any) -> int:
        for step in range(50):
            _run.log_scalar("loss", 1 / (step + 1), step)
        print("<output>")
        return 42

    ex.run()
    summary = replay("sacred_runs", None, [SinkSpec.from_wire(view)])
    assert 0 == summary.exit_code
    page = (tmp_path / "runs" / "1" / "report.html").read_text()
    for part in ("COMPLETED", "42", "<b>loss</b> 50 points", "&lt;output&gt;", "<polyline"):
        assert part in page


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
    assert [(os.path.join("runs", "1"), "1", {"a": 1, "seed": 7})] == seen
    assert os.path.exists("runs/1/notes.txt")


def test_ids_are_consecutive_integers_of_the_view(tmp_path: Path) -> None:
    """FSO-03, OBS-03: the view's next number, as text, is the run's id; the journal's is as it."""
    os.makedirs("runs/41")
    runs = [_run(lambda: None, FileStorageObserver("runs")) for _ in range(2)]
    for run in runs:
        run()
    assert ["42", "43"] == [run._id for run in runs]
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
    """R14: --id of a run in a local file view; nobody is told, and nothing is left of it."""
    os.makedirs("runs/5")
    main = mock.Mock(__name__="main", prefix=None)
    told = mock.Mock(priority=50)
    run = _run(main, FileStorageObserver("runs"), told, run_id="5")
    with pytest.raises(RunIdTakenError, match="There is a run with the id 5"):
        run()
    assert not main.called
    assert not told.started_event.called
    assert ["5"] == os.listdir("runs")
    assert [] == JournalRoot("sacred_runs").numbers()


def test_an_id_that_is_taken_at_the_last_moment() -> None:
    """R14: of two runs that ask for one id at once the second is refused, and not journalled."""
    faster = mock.Mock(priority=50)
    faster.started_event.side_effect = lambda **_: os.makedirs("runs/5")
    main = mock.Mock(__name__="main", prefix=None)
    with pytest.raises(RunIdTakenError, match="There is a run with the id 5"):
        _run(main, FileStorageObserver("runs"), faster, run_id="5")()
    assert not main.called
    assert faster.failed_event.called
    assert ["5"] == os.listdir("runs")
    assert [] == JournalRoot("sacred_runs").numbers()


@pytest.mark.parametrize("given", ["abc", "007", "0", "a name", "\u00e4-1", "12"])
def test_a_text_as_id_names_the_folder(given: str) -> None:
    """OBS-03: --id abc makes runs/abc, --id 007 runs/007; _run._id is that text."""
    observer = FileStorageObserver("runs")
    seen: list[Any] = []
    run = _run(lambda: seen.append(os.path.isdir(os.path.join("runs", run._id))), observer)
    run._id = given
    run()
    assert [True] == seen
    assert (given, [given], os.path.join("runs", given)) == (
        run._id,
        os.listdir("runs"),
        observer.dir,
    )
    for another in (FileStorageObserver("runs"), _Changed("runs")):
        again = _run(lambda: None, another, run_id=given)
        again.journal_root = "another"
        with pytest.raises(RunIdTakenError, match="There is a run with the id"):
            again()
    assert [] == JournalRoot("another").numbers()


@pytest.mark.parametrize(
    "given", ["_sources", ".hidden", "mine", "../evil", "a\tb", " a", "x" * 201]
)
def test_a_text_that_names_no_folder(given: str) -> None:
    """An id that no folder of a run can have is refused in one sentence, before anything begins."""
    observer = FileStorageObserver("runs", source_dir="runs/mine/sources")
    main = mock.Mock(__name__="main", prefix=None)
    with pytest.raises(RunIdError, match="can not be the name of a run's folder"):
        _run(main, observer, run_id=given)()
    assert not main.called
    assert not os.path.exists("runs")
    assert [] == JournalRoot("sacred_runs").numbers()


def test_a_text_that_an_observer_gave() -> None:
    """OBS-02: the folder has the id that an observer of higher priority gave."""
    first = mock.Mock(priority=50)
    first.started_event.return_value = "x-1"
    run = _run(lambda: None, FileStorageObserver("runs"), first)
    run()
    assert ("x-1", ["x-1"]) == (run._id, os.listdir("runs"))


def test_observers_behind_a_file_view_get_its_text() -> None:
    """OBS-03: what Sacred's file observer gives is a text."""
    late = mock.Mock(priority=-1)
    _run(lambda: None, FileStorageObserver("runs"), late)()
    assert "1" == late.started_event.call_args.kwargs["_id"]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("run.json", r"run-\w{8}\.json"),
        ("info.json", r"info-\w{8}\.json"),
        ("../../evil", r"evil-\w{8}"),
        ("/abs", r"abs-\w{8}"),
    ],
)
def test_an_artifact_under_another_name_is_said_once(name: str, stored: str) -> None:
    """FSO-06: what the tree can not have under its name gets another one, and a line says so."""
    with open("f.txt", "w") as file:
        file.write("x")

    def main() -> None:
        for _ in range(2):
            run.add_artifact("f.txt", name=name)

    run = _run(main, FileStorageObserver("runs"))
    run()
    said = [str(call.args[-1]) for call in run.run_logger.warning.call_args_list]  # type: ignore[attr-defined]
    (sentence,) = [text for text in said if "is stored" in text]
    assert re.search(f"The artifact '{re.escape(name)}' is stored as '{stored}'", sentence)


def test_called_directly() -> None:
    """USE-11: ids are texts, .dir is there, and a tree's own file is no name for an artifact."""
    observer = FileStorageObserver("runs")
    info: dict[str, Any] = {"name": "iris", "sources": [], "base_dir": "."}
    now = datetime(2020, 1, 1)
    given = observer.started_event(info, "main", {}, now, {}, {}, None)
    assert ("1", os.path.join("runs", "1")) == (given, observer.dir)
    with open("f.txt", "w") as file:
        file.write("x")
    with pytest.raises(FileExistsError, match="necessary for the FileStorageObserver: run.json"):
        observer.artifact_event("run.json", "f.txt")
    observer.artifact_event("", "f.txt")
    assert os.path.exists("runs/1/f.txt")
    another = FileStorageObserver("runs").queued_event(info, "main", {}, now, {}, {}, "abc")
    assert ("abc", True) == (another, os.path.isdir("runs/abc"))


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
