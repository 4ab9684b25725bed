"""Runs without an experiment: begun by a call, ended by a ``with``, by ``finish`` or by the program's end."""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import sacred
from sacred.core.errors import SacredError, TimeoutInterrupt
from sacred.core.observers import RunObserver
from sacred.core.run import Run, RunIdTakenError
from sacred.core.settings import SETTINGS
from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.observers import FileStorageObserver
from sacred.stdout_capturing import UnknownCaptureModeError

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.events import Event


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _events(folder: Any) -> list[Event]:
    return list(JournalReader(folder).read())


def _only(folder: Any, kind: EventType) -> dict[str, Any]:
    (found,) = [event.fields for event in _events(folder) if event.type == kind]
    return found


def _points(folder: Any) -> list[tuple[Any, Any, Any]]:
    points: list[tuple[Any, Any, Any]] = []
    for event in _events(folder):
        if event.type == EventType.METRIC_POINT:
            points.append(tuple(event.fields[name] for name in ("metric", "step", "value")))  # type: ignore[arg-type]
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            points += list(zip(table.names(), table.steps, table.values, strict=True))
    return points


# -- what is recorded ------------------------------------------------------------------------------


def test_a_run_in_a_with_statement(tmp_path: Path) -> None:
    """Everything an experiment's run has: config, points, info, artifact, output, result, source."""
    (tmp_path / "made.txt").write_text("content", encoding="utf-8")
    with sacred.start_run("fit", config={"lr": 0.1, "layers": (1, 2)}, comment="first") as run:
        assert "RUNNING" == run.status
        for step in range(3):
            run.log_scalar("loss", 1 / (step + 1))
        run.info["best"] = 7
        run.add_artifact("made.txt")
        run.add_resource("made.txt")
        print("hello")
        run.result = 42
    assert isinstance(run, Run)
    assert ("COMPLETED", 1, "hello\n") == (run.status, run.id, run.captured_out)
    started = _only(run.folder, EventType.RUN_STARTED)
    assert ("fit", "start_run") == (started["name"], started["command"])
    assert {"lr": 0.1, "layers": [1, 2]} == started["config"]
    assert "first" == started["meta"]["comment"]
    assert ("completed", "COMPLETED", 42, None) == tuple(
        _only(run.folder, EventType.RUN_ENDED).get(name)
        for name in ("how", "status", "result", "fail_trace")
    )
    assert [("loss", 0, 1.0), ("loss", 1, 0.5), ("loss", 2, 1 / 3)] == _points(run.folder)
    assert "made.txt" == _only(run.folder, EventType.ARTIFACT_ADDED)["name"]
    sources = [e.fields for e in _events(run.folder) if e.type == EventType.SOURCE_ADDED]
    main = [source["filename"] for source in sources if source.get("main")]
    assert ["test_start_run.py"] == main


def test_the_name_is_the_callers_file() -> None:
    """Without a name it is called like the file that calls; without one, it is interactive."""
    with sacred.start_run() as run:
        pass
    assert "test_start_run" == run.experiment_info["name"]
    made: dict[str, Any] = {"__name__": "typed"}
    exec("import sacred\nrun = sacred.start_run()\nrun.finish()", made)
    assert "interactive" == made["run"].experiment_info["name"]
    assert None is made["run"].experiment_info["mainfile"]


def test_the_config_is_recorded_as_it_is_and_can_not_be_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No entry is added; a change is refused, also deep down, unless the setting allows it."""
    given = {"a": {"b": [1]}, "n": None}
    with sacred.start_run("x", given) as run:
        assert {"a": {"b": [1]}, "n": None} == run.config
        with pytest.raises(SacredError):
            run.config["a"]["b"].append(2)
        with pytest.raises(SacredError):
            run.config["c"] = 1
        given["a"]["b"].append(3)  # the caller's own goes its own way
        assert [1] == run.config["a"]["b"]
    monkeypatch.setitem(SETTINGS.CONFIG, "READ_ONLY_CONFIG", False)
    with sacred.start_run("x", given) as run:
        run.config["c"] = 1


def test_a_config_from_a_file(tmp_path: Path) -> None:
    """The name of a file stands for what is in it."""
    (tmp_path / "c.json").write_text('{"a": {"b": [1, 2]}}', encoding="utf-8")
    for config in ("c.json", tmp_path / "c.json"):
        with sacred.start_run("x", config) as run:
            assert {"a": {"b": [1, 2]}} == run.config


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"config": argparse.Namespace(a=1)}, TypeError, "vars"),
        ({"config": {"a.b": 1}}, KeyError, "a.b"),
        ({"config": "none.json"}, OSError, "none.json"),
        ({"config": {"seed": 1}, "seed": 2}, ValueError, "two seeds: seed=2 and"),
        ({"seed": "x"}, TypeError, "not 'x'"),
        ({"seed": True}, TypeError, "not True"),
        ({"capture": "some"}, UnknownCaptureModeError, "some"),
        ({"root": 3}, TypeError, r"3 is no path: write start_run\(root=PATH\)"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_begins(
    arguments: dict[str, Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    """A sentence that names it; no run has begun."""
    with pytest.raises(error, match=text):
        sacred.start_run("x", **arguments)
    assert not (tmp_path / "sacred_runs").exists()


def test_an_id_of_ones_own_must_be_free() -> None:
    """As with --id."""
    with sacred.start_run("x", run_id="first") as run:
        assert "first" == run.id == run._id
    with pytest.raises(RunIdTakenError):
        sacred.start_run("x", run_id="first")


def test_the_seed_seeds_and_nothing_else_does() -> None:
    """``seed=`` seeds the global generators and is recorded; an entry of that name only is."""
    random.seed(3)
    expected = random.random()
    with sacred.start_run("x", seed=3) as run:
        assert expected == random.random()
    assert {"seed": 3} == run.config
    assert 3 == _only(run.folder, EventType.RUN_STARTED)["seed"]
    random.seed(3)
    with sacred.start_run("x", {"seed": 5}) as run:
        assert expected == random.random()
    assert {"seed": 5} == run.config


def test_logging_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The root logger keeps its handlers and level; nobody is warned of a run without observers."""
    import logging

    root = logging.getLogger()
    before = list(root.handlers), root.level
    with caplog.at_level(logging.INFO, "quiet"), sacred.start_run("quiet"):
        pass
    assert before == (list(root.handlers), root.level)
    lines = [r.getMessage() for r in caplog.records if r.name == "quiet"]
    assert ["Running command 'start_run'", "Started"] == lines[:-1]
    assert lines[-1].startswith("Completed after 0:0")


def test_settings_and_arguments_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's root, before that ``root=``; nothing with ``unobserved``."""
    monkeypatch.setenv("SACRED_JOURNAL_ROOT", str(tmp_path / "there"))
    with sacred.start_run("x") as run:
        pass
    assert str(tmp_path / "there" / "1") == run.folder
    with sacred.start_run("x", root=tmp_path / "here") as run:
        pass
    assert str(tmp_path / "here" / "1") == run.folder
    with sacred.start_run("x", unobserved=True) as run:
        run.log_scalar("a", 1)
    assert (None, "COMPLETED") == (run.folder, run.status)


class _Listening(RunObserver):
    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def _note(self, event: str, arguments: dict[str, Any]) -> None:
        self.heard.append((event, arguments))

    def started_event(self, **arguments: Any) -> str:  # type: ignore[override]
        self._note("started", arguments)
        return "given"

    def heartbeat_event(self, **arguments: Any) -> None:  # type: ignore[override]
        self._note("heartbeat", arguments)

    def completed_event(self, **arguments: Any) -> None:  # type: ignore[override]
        self._note("completed", arguments)

    def failed_event(self, **arguments: Any) -> None:  # type: ignore[override]
        self._note("failed", arguments)

    def interrupted_event(self, **arguments: Any) -> None:  # type: ignore[override]
        self._note("interrupted", arguments)


def test_observers_hear_what_they_hear_of_an_experiment() -> None:
    """The events of any run, with its id, output, info and result."""
    observer = _Listening()
    with sacred.start_run("x", {"a": 1}, observers=[observer], info={"k": 1}) as run:
        print("out")
        run.result = 5
    assert "given" == run.id
    assert ["started", "heartbeat", "completed"] == [event for event, _ in observer.heard]
    started, beat, completed = (arguments for _, arguments in observer.heard)
    assert ("start_run", {"a": 1}, "x") == (
        started["command"],
        started["config"],
        started["ex_info"]["name"],
    )
    assert ("out\n", {"k": 1}, 5) == (beat["captured_out"], beat["info"], beat["result"])
    assert 5 == completed["result"]


@pytest.mark.slow
def test_views_hold_what_they_hold_of_an_experiment(tmp_path: Path) -> None:
    """The file view has the tree of any run when the ``with`` is left."""
    import json

    view = FileStorageObserver(tmp_path / "tree")
    with sacred.start_run("x", {"a": 1}, observers=[view]) as run:
        run.log_scalar("loss", 1.5)
        print("out")
    tree = tmp_path / "tree" / "1"
    assert "1" == run.id
    assert {"a": 1} == json.loads((tree / "config.json").read_text())
    assert [1.5] == json.loads((tree / "metrics.json").read_text())["loss"]["values"]
    assert "out\n" == (tree / "cout.txt").read_text()
    document = json.loads((tree / "run.json").read_text())
    assert ("COMPLETED", "start_run") == (document["status"], document["command"])
    assert "test_start_run.py" == document["experiment"]["mainfile"]


# -- how it ends -----------------------------------------------------------------------------------


def test_an_exception_fails_the_run_and_goes_on() -> None:
    """FAILED, with a trace that begins in the caller's own line."""

    def broken() -> None:
        raise ValueError("oops")

    observer = _Listening()
    with (
        pytest.raises(ValueError, match="oops"),
        sacred.start_run("x", observers=[observer]) as run,
    ):
        broken()
    assert "FAILED" == run.status
    trace = _only(run.folder, EventType.RUN_ENDED)["fail_trace"]
    assert "Traceback (most recent call last):\n" == trace[0]
    assert "broken()" in trace[1]
    assert "ValueError: oops\n" == trace[-1]
    assert not any("sacred/core" in line for line in trace)
    assert ["started", "heartbeat", "failed"] == [event for event, _ in observer.heard]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "INTERRUPTED"),
        (TimeoutInterrupt(), "TIMEOUT"),
        (SystemExit(3), "FAILED"),
    ],
)
def test_interrupts_are_told_apart(error: BaseException, status: str) -> None:
    """Ctrl-C, interrupts with a status of their own, and the program's exit, as with an experiment."""
    with pytest.raises(type(error)), sacred.start_run("x") as run:
        raise error
    assert status == run.status == _only(run.folder, EventType.RUN_ENDED)["status"]


def test_finish_ends_a_run_once() -> None:
    """Without ``with``: COMPLETED; a second ``finish`` and leaving a ``with`` change nothing."""
    run = sacred.start_run("x")
    run.finish()
    assert "COMPLETED" == run.status
    run.finish(ValueError("late"))
    assert "COMPLETED" == run.status
    with pytest.raises(ValueError, match="late"), sacred.start_run("x") as run:
        run.finish()
        raise ValueError("late")
    assert "COMPLETED" == _only(run.folder, EventType.RUN_ENDED)["status"]


def test_finish_with_an_error_says_why() -> None:
    """What was caught elsewhere decides how it ended, with its stack trace."""
    run = sacred.start_run("x")
    try:
        raise ValueError("oops")
    except ValueError as error:
        run.finish(error)
    assert "FAILED" == run.status
    assert "ValueError: oops\n" == _only(run.folder, EventType.RUN_ENDED)["fail_trace"][-1]


@pytest.mark.parametrize(
    ("given", "status", "last"),
    [
        (0, "COMPLETED", None),
        (None, "COMPLETED", None),
        (3, "FAILED", "sacred.core.active_run.ExitStatusError: the exit status is 3\n"),
        (-9, "FAILED", "sacred.core.active_run.ExitStatusError: the exit status is -9\n"),
        (ValueError, "FAILED", "ValueError\n"),
        (TimeoutInterrupt, "TIMEOUT", None),
    ],
)
def test_finish_with_an_exit_status_or_a_class(given: Any, status: str, last: str | None) -> None:
    """As other trackers have it, 0 is a good end and another number none; an exception may come as its class."""
    run = sacred.start_run("x")
    run.finish(given)
    assert status == run.status
    trace = _only(run.folder, EventType.RUN_ENDED).get("fail_trace")
    assert last is None or last == trace[-1]


@pytest.mark.parametrize("given", ["done", True, 0.5, [1]])
def test_finish_with_what_is_no_reason(given: Any) -> None:
    """It is refused in a sentence, and the run goes on."""
    with sacred.start_run("x") as run:
        with pytest.raises(TypeError, match=r"give nothing if all went well, else the exception"):
            run.finish(given)
        run.log_scalar("after", 1)
    assert ("COMPLETED", [("after", 0, 1.0)]) == (run.status, _points(run.folder))


def test_runs_may_overlap_in_any_order() -> None:
    """Two at a time, ended in the order in which they began: each has its own points and config."""
    one = sacred.start_run("one", {"n": 1})
    two = sacred.start_run("two", {"n": 2})
    one.log_scalar("a", 1)
    two.log_scalar("a", 2)
    one.finish()
    two.log_scalar("a", 3)
    two.finish()
    assert ([("a", 0, 1)], [("a", 0, 2), ("a", 1, 3)]) == (
        _points(one.folder),
        _points(two.folder),
    )
    assert ({"n": 1}, {"n": 2}) == (one.config, two.config)
    assert sys.stdout is sys.stdout


def test_output_goes_back_when_overlapping_runs_have_ended() -> None:
    """What is printed after them is nobody's, and the stream works."""
    one, two = sacred.start_run("one"), sacred.start_run("two")
    one.finish()
    two.finish()
    print("after")
    assert ("", "") == (one.captured_out, two.captured_out)


def test_runs_in_threads() -> None:
    """Each thread has its own run."""
    folders: dict[int, Any] = {}

    def work(n: int) -> None:
        with sacred.start_run("thread", {"n": n}) as run:
            for _ in range(5):
                run.log_scalar("n", n)
        folders[n] = run.folder

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for n in range(4):
        assert {n} == {value for _, _, value in _points(folders[n])}
        assert {"n": n} == _only(folders[n], EventType.RUN_STARTED)["config"]


def test_an_experiment_runs_inside_a_run() -> None:
    """The two are two runs."""
    ex = sacred.Experiment("inner", save_git_info=False)
    ex.main(lambda _run: _run.log_scalar("a", 1))
    with sacred.start_run("outer") as outer:
        inner = ex.run("<lambda>")
        outer.log_scalar("b", 2)
    assert [("a", 0, 1)] == _points(inner.folder)
    assert [("b", 0, 2)] == _points(outer.folder)


def test_it_is_no_function_to_be_called() -> None:
    """It began already."""
    with sacred.start_run("x") as run, pytest.raises(RuntimeError, match="only be started once"):
        run()


# -- programs --------------------------------------------------------------------------------------

_PROGRAM = """
import os, signal, sys
import sacred

run = sacred.start_run("program")
run.log_scalar("a", 1)
"""


def _program(
    folder: Path, rest: str, *words: str, before: str = ""
) -> subprocess.CompletedProcess[str]:
    script = folder / "program.py"
    script.write_text(before + _PROGRAM + rest, encoding="utf-8")
    return subprocess.run(
        [sys.executable, *words, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("rest", "status", "code", "told"),
    [
        ("", "INTERRUPTED", 0, "ended without finish"),
        ("sys.exit(3)", "INTERRUPTED", 3, "ended without finish"),
        ("raise ValueError('oops')", "FAILED", 1, "ValueError: oops"),
        ("raise KeyboardInterrupt", "INTERRUPTED", -signal.SIGINT, "KeyboardInterrupt"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "INTERRUPTED", -signal.SIGTERM, "Aborted"),
        (
            "other = sacred.start_run('two')\nrun.finish()\nos.kill(os.getpid(), signal.SIGTERM)",
            "COMPLETED",
            -signal.SIGTERM,
            "Aborted",
        ),
        ("with run:\n    raise ValueError('oops')", "FAILED", 1, "ValueError: oops"),
        (
            "with run:\n    os.kill(os.getpid(), signal.SIGTERM)",
            "INTERRUPTED",
            -signal.SIGTERM,
            "Aborted",
        ),
    ],
)
def test_a_program_that_ends(rest: str, status: str, code: int, told: str, tmp_path: Path) -> None:
    """Whatever ends it, the run's end is recorded, the exit status is what it would be without."""
    result = _program(tmp_path, rest)
    assert code == result.returncode, result.stderr
    assert told in result.stderr
    folder = tmp_path / "sacred_runs" / "1"
    assert status == _only(folder, EventType.RUN_ENDED)["status"]
    assert [("a", 0, 1)] == _points(folder)
    if "two" in rest:
        other = tmp_path / "sacred_runs" / "2"
        assert "INTERRUPTED" == _only(other, EventType.RUN_ENDED)["status"]


def test_the_trace_of_an_uncaught_exception_is_the_programs(tmp_path: Path) -> None:
    """The trace begins in the program's own line, and was printed once."""
    result = _program(tmp_path, "def f():\n    raise ValueError('oops')\nf()\n")
    assert 1 == result.stderr.count("ValueError: oops")
    trace = _only(tmp_path / "sacred_runs" / "1", EventType.RUN_ENDED)["fail_trace"]
    assert "program.py" in trace[1]
    assert "in <module>" in trace[1]


def test_a_prompt_behind_a_program_leaves_the_run_alone(tmp_path: Path) -> None:
    """``python -i``: an error of the program does not end the run, somebody may go on with it."""
    result = _program(tmp_path, "raise ValueError('oops')", "-i")
    assert "ValueError: oops" in result.stderr
    ended = _only(tmp_path / "sacred_runs" / "1", EventType.RUN_ENDED)
    assert "INTERRUPTED" == ended["status"]
    assert "finish" in ended["fail_trace"][-1]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_forked_child_ends_nothing(tmp_path: Path) -> None:
    """A child that leaves by an exception, inside a ``with`` or not, leaves the run to its parent."""
    result = _program(
        tmp_path,
        "with run:\n"
        "    if os.fork() == 0:\n"
        "        run.log_scalar('child', 2)\n"
        "        raise SystemExit\n"
        "    os.wait()\n"
        "    run.log_scalar('a', 3)\n",
    )
    assert 0 == result.returncode, result.stderr
    folder = tmp_path / "sacred_runs" / "1"
    assert "COMPLETED" == _only(folder, EventType.RUN_ENDED)["status"]
    assert [("a", 0, 1), ("a", 1, 3), ("child", 0, 2)] == sorted(_points(folder))


def test_its_source_is_the_program_and_what_it_imports(tmp_path: Path) -> None:
    """The caller's file, the main one, and the modules beside it."""
    (tmp_path / "beside.py").write_text("X = 1\n", encoding="utf-8")
    result = _program(tmp_path, "run.finish()\n", before="import beside")
    assert 0 == result.returncode, result.stderr
    sources = {
        event.fields["filename"]: event.fields
        for event in _events(tmp_path / "sacred_runs" / "1")
        if event.type == EventType.SOURCE_ADDED
    }
    assert {"program.py": True, "beside.py": None} == {
        name: fields.get("main") for name, fields in sources.items()
    }
    blobs = BlobStore(tmp_path / "sacred_runs" / "blobs")
    assert b"X = 1\n" == blobs.read(sources["beside.py"]["blob"]["digest"])
