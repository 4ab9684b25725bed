"""FileStorageObserver called event by event: Sacred's folder, with what people replace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
from observers.calls import NOW, PEER, beat, experiment, points, start

from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.observers.file_storage import FileStorageObserver

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _json(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_the_folder_of_a_start() -> None:
    """USE-03, USE-11, FSO-02: three files and not one of ours, below a base with nothing else."""
    observer = FileStorageObserver("runs")
    assert ("1", "runs/1") == (start(observer, x=np.arange(2)), observer.dir)
    assert (["1"], ["config.json", "cout.txt", "run.json"]) == (
        os.listdir("runs"),
        sorted(os.listdir("runs/1")),
    )
    assert {"a": 1, "x": [0, 1]} == _json("runs/1/config.json")
    assert {
        "experiment": experiment(),
        "command": "main",
        "host": {"hostname": "here"},
        "start_time": "2024-05-04T03:02:01",
        "heartbeat": None,
        "meta": {"comment": "c"},
        "status": "RUNNING",
        "resources": [],
        "artifacts": [],
    } == _json("runs/1/run.json")


_PROGRAM = """
import datetime as dt, os
from sacred.observers import FileStorageObserver

now = dt.datetime(2024, 5, 4, 3, 2, 1, 5)
experiment = {"name": "iris", "base_dir": os.getcwd(), "sources": [["main.py", "abc"]],
              "dependencies": ["numpy==1"], "repositories": [], "mainfile": "main.py"}
facts = {"command": "main", "host_info": {"h": 1}, "config": {"b": [1, {"c": None}], "a": 0.5},
         "meta_info": {"options": {"-x": False}}}
for ends in ("completed", "interrupted", "failed"):
    observer = FileStorageObserver("runs", copy_sources=ends != "failed", copy_artifacts=ends == "failed")
    print(observer.started_event(ex_info=dict(experiment), start_time=now, _id=None, **facts))
    for n in range(2):
        points = {"steps": [n, n + 0.5], "values": [1.5, 2], "timestamps": [now] * 2}
        observer.log_metrics({"loss": points} if n else {}, {})
        observer.heartbeat_event({"x": n} if n else {}, "out\\n" * n, now, n)
    observer.resource_event(os.path.abspath("main.py"))
    observer.artifact_event("main", "main.py", {"k": 1}, None)
    observer.resource_event(os.path.abspath("runs/1/main"))
    observer.save_file("main.py")
    observer.save_json({"z": 1, "a": [1.5]}, "mine.json")
    {"completed": lambda: observer.completed_event(now, {"r": 1}),
     "interrupted": lambda: observer.interrupted_event(now, "TIMEOUT"),
     "failed": lambda: observer.failed_event(now, ["a", "b"])}[ends]()
for given in (None, "x", 7, None):
    observer = FileStorageObserver("runs", copy_sources=given is None)
    print(repr(observer.queued_event(ex_info=dict(experiment), queue_time=now, _id=given, **facts)))
"""


def _tree(python: str, folder: Path) -> tuple[str, dict[str, str]]:
    folder.mkdir()
    (folder / "main.py").write_text("print()")
    (folder / "program.py").write_text(_PROGRAM)
    # A PYTHONPATH would lead the peer's Python to this project.
    path = {} if python == sys.executable else {"PYTHONPATH": ""}
    done = subprocess.run(
        [python, "program.py"],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    files = (one for one in (folder / "runs").rglob("*") if one.is_file())
    texts = {str(one.relative_to(folder)): one.read_text() for one in files}
    return done.stdout, {name: text.replace(str(folder), "HERE") for name, text in texts.items()}


@pytest.mark.skipif(PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
def test_the_same_folders_as_the_peer(tmp_path: Path) -> None:
    """USE-03, FSO-03, FSO-04, FSO-05: each file, byte for byte, as Sacred's observer writes it."""
    assert _tree(str(PEER), tmp_path / "theirs") == _tree(sys.executable, tmp_path / "ours")


def test_metrics_of_several_beats() -> None:
    """FSO-05: ``metrics.json`` is there after the first beat, and grows."""
    observer = FileStorageObserver("runs")
    start(observer)
    observer.log_metrics({}, {})
    assert {} == _json("runs/1/metrics.json")
    for _ in range(2):
        observer.log_metrics({"loss": points(0.5)}, {})
    with mock.patch.object(observer, "save_json", side_effect=AssertionError):
        observer.log_metrics({}, {})
    times = ["2024-05-04T03:02:01"] * 2
    expected = {"loss": {"steps": [0, 0], "values": [0.5, 0.5], "timestamps": times}}
    assert expected == _json("runs/1/metrics.json")


def test_output_that_a_filter_changes() -> None:
    """FSO-06: what is new is added; if what was there before changed, the file is written anew."""
    observer = FileStorageObserver("runs")
    start(observer)
    for text in ("10 %\n", "10 %\n20", "done\n", ""):
        beat(observer, {}, text)
        assert text == Path("runs/1/cout.txt").read_text()
    beat(observer, {"x": 1})
    beat(observer, {})
    assert {} == _json("runs/1/info.json")


def test_names_of_artifacts(tmp_path: Path) -> None:
    """FSO-06, USE-11: none leaves the folder, the tree's own are refused, a folder is its files."""
    observer = FileStorageObserver("runs")
    start(observer)
    (tmp_path / "f.txt").write_text("x")
    for own in ("run.json", "info.json", "metrics.json"):
        with pytest.raises(FileExistsError, match=f"necessary for the FileStorageObserver: {own}"):
            observer.artifact_event(own, "f.txt")
    for name in ("../evil", "a/b.txt", ""):
        observer.artifact_event(name, "f.txt")
    observer.artifact_event("all", str(tmp_path))
    found = _json("runs/1/run.json")["artifacts"]
    assert ["a/b.txt", "f.txt", "all/f.txt"] == found[1:]
    assert found[0].startswith("evil-")
    assert all((tmp_path / "runs" / "1" / name).read_text() == "x" for name in found)


def test_a_file_whose_event_comes_again(tmp_path: Path) -> None:
    """EVT-04: an event that failed and is told again is in the entry once."""
    (tmp_path / "f").write_text("x")
    observer = FileStorageObserver("runs")
    start(observer)
    for event in (observer.resource_event, lambda path: observer.artifact_event("f", path)):
        with mock.patch.object(observer, "save_json", side_effect=OSError("full")):
            with pytest.raises(OSError, match="full"):
                event(str(tmp_path / "f"))
        event(str(tmp_path / "f"))
    run = _json("runs/1/run.json")
    assert (1, ["f"]) == (len(run["resources"]), run["artifacts"])


def test_ids_that_are_given() -> None:
    """USE-11: returned as they were given; FileExistsError for one that is taken."""
    observer = FileStorageObserver("runs")
    assert [5, "x", "6"] == [start(observer, run_id) for run_id in (5, "x", None)]
    with pytest.raises(FileExistsError, match="There is a run with the id 5"):
        start(observer, "5")
    with pytest.raises(ValueError, match="can not be the name of a run's folder"):
        start(observer, "../x")
    assert "runs/6" == observer.dir


def test_folders_that_others_make_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """FSO-03: the next number is tried, if the file system does not tell of a folder yet."""
    observer = FileStorageObserver("runs")
    start(observer)
    with monkeypatch.context() as patched:
        patched.setattr("os.listdir", lambda _: [])
        assert "2" == start(observer)

        def mkdir(path: str) -> None:
            raise FileExistsError(path)

        patched.setattr("os.mkdir", mkdir)
        with pytest.raises(FileExistsError):
            start(observer)


def test_a_start_that_failed_leaves_nothing() -> None:
    """EVT-04: its folder is gone, so that the same start can be told again."""
    observer = FileStorageObserver("runs")
    config: dict[str, Any] = {}
    with mock.patch.object(observer, "save_cout", side_effect=OSError("full")):
        with pytest.raises(OSError, match="full"):
            start(observer, "x")
    assert ([], None) == (os.listdir("runs"), observer.dir)
    observer.failed_event(NOW, [])  # told to all observers, also to those that never began
    with pytest.raises(RuntimeError, match="comes first"):
        beat(observer, {})
    assert "x" == start(observer, "x", **config)


def test_a_source_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """A source file that can not be read stops no run."""
    observer = FileStorageObserver("runs")
    start(observer, ex_info=experiment(["gone.py", "abc"], base=os.getcwd()))
    assert [["gone.py", "../gone.py"]] == _json("runs/1/run.json")["experiment"]["sources"]
    assert "gone.py is not stored" in caplog.text


def test_the_folder_is_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-04: ``basedir`` and ``dir`` are as given, and mean the same when the program moves."""
    (tmp_path / "f.txt").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    observer = FileStorageObserver("runs", resource_dir="kept")
    start(observer)
    monkeypatch.chdir("elsewhere")
    observer.resource_event(str(tmp_path / "f.txt"))
    observer.completed_event(NOW, 1)
    assert ("runs", "runs/1") == (observer.basedir, observer.dir)
    assert ([], 1) == (os.listdir(), len(os.listdir(tmp_path / "kept")))
    assert "COMPLETED" == _json(str(tmp_path / "runs" / "1" / "run.json"))["status"]


# -- what people replace ---------------------------------------------------------------------------


class _Noting(FileStorageObserver):
    """Notes what its base asks of it."""

    def __init__(self, basedir: str) -> None:
        super().__init__(basedir)
        self.asked: list[str] = []

    def save_json(self, obj: Any, filename: str) -> None:
        self.asked.append(filename)
        super().save_json(obj, filename)

    def save_cout(self) -> None:
        self.asked.append("save_cout")
        super().save_cout()

    def save_file(self, filename: Any, target_name: str | None = None) -> None:
        self.asked.append(f"save_file {target_name}")
        super().save_file(filename, target_name)

    def find_or_save(self, filename: Any, store_dir: Path) -> Path | str:
        self.asked.append(f"find_or_save {store_dir}")
        super().find_or_save(filename, store_dir)
        return "/some/where"

    def render_template(self) -> None:
        self.asked.append("render_template")
        super().render_template()


def test_a_subclass() -> None:
    """R22: the methods it has are called where Sacred calls them, and their results used."""
    Path("f.py").write_text("x")
    observer = _Noting("runs")

    def asked() -> list[str]:
        asked, observer.asked = observer.asked, []
        return asked

    start(observer, ex_info=experiment(["f.py", "abc"], base=os.getcwd()))
    assert ["find_or_save runs/_sources", "run.json", "config.json", "save_cout"] == asked()
    beat(observer, {"x": 1})
    assert ["save_cout", "run.json", "info.json"] == asked()
    observer.log_metrics({}, {})
    observer.resource_event(os.path.abspath("f.py"))
    observer.artifact_event("f", "f.py")
    assert [
        "metrics.json",
        "find_or_save runs/_resources",
        "run.json",
        "save_file f",
        "run.json",
    ] == asked()
    observer.completed_event(NOW, 1)
    assert ["run.json", "render_template"] == asked()
    run = _json("runs/1/run.json")
    assert ([[os.path.abspath("f.py"), "/some/where"]], [["f.py", "../../../some/where"]]) == (
        run["resources"],
        [[n, os.path.join("../../..", p.lstrip("./"))] for n, p in run["experiment"]["sources"]],
    )


def test_a_replaced_method_of_one_observer() -> None:
    """R22: an observer with one is called event by event, and it is asked."""
    observer = FileStorageObserver("runs")
    assert declared_view(observer) is not None
    observer.find_or_save = lambda *_: "elsewhere"  # type: ignore[method-assign]
    assert declared_view(observer) is None
    start(observer)
    observer.resource_event("/no/such/file")
    assert [["/no/such/file", "elsewhere"]] == _json("runs/1/run.json")["resources"]


class _Dated(FileStorageObserver):
    """Gives its folders names of its own."""

    def _make_run_dir(self, _id: Any) -> None:
        super()._make_run_dir(f"2024-{_id}")


def test_folders_with_names_of_their_own() -> None:
    """The name of the folder is the id, whatever a subclass makes of it."""
    assert "2024-None" == start(_Dated("runs"))


def _run(observer: Any, main: Callable[[Run], Any]) -> None:
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    logger = mock.Mock()
    run = Run({"seed": 1}, None, lambda: main(run), [observer], logger, logger, info, {}, [], [])
    run()


def test_a_run_with_it() -> None:
    """R22, USE-16: called by the run; ``.dir`` and ``save_file`` inside main; all is there after it."""
    observer = _Noting("runs")
    Path("notes.txt").write_text("notes")

    def main(run: Run) -> int:
        assert ("runs/1", "1") == (run.observers[0].dir, run._id)
        observer.save_file("notes.txt")
        print("hello")
        run.log_scalar("loss", 0.5)
        return 3

    _run(observer, main)
    run = _json("runs/1/run.json")
    assert ("COMPLETED", 3, "hello\n", [0.5], "notes") == (
        run["status"],
        run["result"],
        Path("runs/1/cout.txt").read_text(),
        _json("runs/1/metrics.json")["loss"]["values"],
        Path("runs/1/notes.txt").read_text(),
    )
    assert not os.path.exists("runs/1/.journal")


# -- templates -------------------------------------------------------------------------------------

_TEMPLATE = "${run['status']} ${config['a']} ${info['x']} ${cout} ${savedir} ${run['result']}"


@pytest.mark.parametrize(
    ("name", "report"), [("runs/template.html", None), ("mine.txt", "mine.txt")]
)
def test_a_template(name: str, report: str | None) -> None:
    """FSO-01, FSO-08: rendered at the end into ``report``; in the run's process, as it is code."""
    pytest.importorskip("mako")
    os.mkdir("runs")
    Path(name).write_text(_TEMPLATE)
    observer = FileStorageObserver("runs", template=report)
    assert declared_view(observer) is None
    start(observer)
    beat(observer, {"x": 2}, "out")
    observer.completed_event(NOW, 42)
    ending = os.path.splitext(name)[1]
    assert "COMPLETED 1 2 out runs/1 42" == Path(f"runs/1/report{ending}").read_text()


def test_a_template_without_mako(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FSO-08: a sentence says what is missing, and the run is stored."""
    monkeypatch.setitem(sys.modules, "mako.template", None)
    Path("mine.txt").write_text(_TEMPLATE)
    observer = FileStorageObserver("runs", template="mine.txt")
    start(observer)
    observer.completed_event(NOW, 42)
    assert "it needs mako (pip install mako)" in caplog.text
    assert "COMPLETED" == _json("runs/1/run.json")["status"]


@pytest.mark.parametrize(
    ("name", "report"),
    [("mine.html.j2", "report.html"), ("mine.j2", "report.txt"), ("mine.tex.j2", "report.tex")],
)
def test_a_template_of_jinja(name: str, report: str) -> None:
    """FSO-08: a name that ends with .j2 is jinja2's; HTML is escaped, and parts of it are found beside it."""
    pytest.importorskip("jinja2")
    Path("part").write_text("({{ savedir }})")
    Path(name).write_text(
        "{{ run.status }} {{ config.a }} {{ info.x }} {{ cout }} {% include 'part' %}"
    )
    observer = FileStorageObserver("runs", template=name)
    assert declared_view(observer) is None
    start(observer)
    beat(observer, {"x": 2}, "<b>")
    observer.completed_event(NOW, 42)
    shown = "&lt;b&gt;" if report.endswith("html") else "<b>"
    assert f"COMPLETED 1 2 {shown} (runs/1)" == Path("runs/1", report).read_text()


@pytest.mark.parametrize("name", ["mine.html", "mine.html.j2"])
@pytest.mark.parametrize(
    "text", ["${1 / 0} {{ 1 / 0 }}", "${ {{ never closed", "${nobody} {{ nobody.knows }}"]
)
def test_a_template_that_raises(name: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """FSO-08: one sentence with the file and the error; the run is stored, and no half report is there."""
    Path(name).write_text(text)
    observer = FileStorageObserver("runs", template=name)
    start(observer)
    observer.completed_event(NOW, 42)
    (record,) = caplog.records
    assert f"{name} is not rendered, and there is no report of the run: " in record.message
    assert record.exc_info is None
    assert "COMPLETED" == _json("runs/1/run.json")["status"]
    assert [] == list(Path("runs/1").glob("report*"))


def test_a_template_without_jinja(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FSO-08: a sentence says what is missing, and the run is stored."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    Path("mine.j2").write_text("x")
    observer = FileStorageObserver("runs", template="mine.j2")
    start(observer)
    observer.completed_event(NOW, 42)
    assert "it needs jinja2 (pip install jinja2)" in caplog.text
    assert "COMPLETED" == _json("runs/1/run.json")["status"]


def test_the_built_in_report(caplog: pytest.LogCaptureFixture) -> None:
    """FSO-08: called event by event it is written at the end; an artifact of its name is not written over."""

    class Own(FileStorageObserver):
        pass

    observer = Own("runs", template=True)
    start(observer, lr="<script>")
    observer.log_metrics({"loss": points(3.0, float("nan"), 1.0)}, {})
    beat(observer, {"x": {"deep": 2}}, "out & more")
    observer.completed_event(NOW, 42)
    page = Path("runs/1/report.html").read_text()
    for part in ("COMPLETED", "42", "&lt;script&gt;", "x.deep", "out &amp; more", "<polyline"):
        assert part in page
    assert "<script>" not in page
    start(observer)
    Path("report.html").write_text("mine")
    observer.artifact_event("report.html", "report.html")
    observer.completed_event(NOW, 42)
    assert "mine" == Path("runs/2/report.html").read_text()
    assert "an artifact is called report.html: no report is written" in caplog.text
