"""Runs in other processes: what is pickled, and what workers record."""

from __future__ import annotations

import copy
import gc
import io
import json
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment, Ingredient
from sacred.core import metrics, workers
from sacred.core.async_main import AsyncMainError
from sacred.core.errors import (
    CircularDependencyError,
    ConfigAddedError,
    InvalidConfigError,
    MissingConfigError,
    NamedConfigNotFoundError,
    SettingError,
)
from sacred.core.output_capture import UnknownCaptureModeError
from sacred.core.recorder import Recorder
from sacred.core.run import Run, RunIdTakenError
from sacred.core.settings import SETTINGS
from sacred.core.worker_run import WorkerRun, WorkerRunError
from sacred.core.workers import CarriedFunction, RunNotStartedError, find_run
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

here = Experiment("here", save_git_info=False)
here.add_config(number=1, seed=3, table={"a": [1, 2]})
part = Ingredient("part", save_git_info=False)


@here.capture
def look(number: int, _run: Any, more: int = 0) -> tuple[int, Any, int]:
    return number, _run, more


@here.capture
def draw(_seed: int, _rnd: Any) -> int:
    return _seed


def plain(number: int) -> int:
    return number


captured_elsewhere = here.capture(plain)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


@pytest.fixture(autouse=True)
def _found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # The test runner gives its modules names under which nobody can import them.
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())


def _this_module() -> Any:
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    return module


def _again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def _run(main: Callable[..., Any], **updates: Any) -> Run:
    here.commands.pop("main", None)
    here.main(main)
    return here.run(config_updates=updates)


def _events(run: Any) -> list[Any]:
    return list(JournalReader(str(run.folder)).read())


def _as_elsewhere(run: Run, value: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what a value is where nobody knows the run: in a process of its own."""
    content = pickle.dumps(value)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "OWN_RUNS", {})
        return pickle.loads(content)


# -- what is pickled ------------------------------------------------------------------------------


def test_before_any_run_names_are_pickled() -> None:
    """CAP-08: captured functions and experiments are what they were, by their names."""
    assert look is _again(look)
    assert here is _again(here)
    assert part is _again(part)
    assert 5 == _again(captured_elsewhere)(5)
    assert plain is _again(plain)  # it is as it was


def test_copies_are_the_thing_itself() -> None:
    """Copying a configuration that holds captured functions or experiments copies none of them."""
    assert [look, here] == copy.deepcopy([look, here])
    assert (look, here) == (copy.copy(look), copy.copy(here))


def test_an_experiment_without_a_name() -> None:
    """One that is no variable of its module can not be found again: a sentence says what to do."""
    with pytest.raises(pickle.PicklingError, match="Assign it there, outside of functions"):
        pickle.dumps(Experiment("local", save_git_info=False))


def test_in_its_own_process_everything_is_itself() -> None:
    """CAP-08: inside a run and behind it, the run, its functions and its experiment are the same."""

    def main(_run: Run) -> None:
        assert _run is _again(_run)
        assert look is _again(look)
        assert here is _again(here)

    run = _run(main)
    assert run is _again(run)
    assert look is _again(look)


def test_the_method_that_logs_is_pickled_as_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """MET-01: `_run.log_scalar` by itself leads to the same run, here and elsewhere."""

    def main(_run: Run) -> None:
        assert _run.log_scalar == _again(_run.log_scalar)
        _again(_run.log_scalar)("here", 1.0)
        there = _as_elsewhere(_run, _run.log_scalar, monkeypatch)
        assert type(there.__self__) is WorkerRun
        there("there", 2.0, step=5)

    points = [e.fields for e in _events(_run(main)) if e.type == EventType.METRIC_POINT]
    assert [("here", 1.0), ("there", 2.0)] == sorted((p["metric"], p["value"]) for p in points)


def test_cloudpickle_takes_the_method_that_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MET-01: cloudpickle, which Dask and Ray send with, takes methods apart; `_run.log_scalar` and `ex.log_scalar` arrive whole all the same."""
    cloudpickle = pytest.importorskip("cloudpickle")

    def main(_run: Run) -> None:
        sent = cloudpickle.dumps((_run.log_scalar, here.log_scalar))
        assert len(sent) < 10_000
        by_run, by_experiment = cloudpickle.loads(sent)
        assert (_run.log_scalar, here.log_scalar) == (by_run, by_experiment)
        with monkeypatch.context() as patch:
            patch.setattr(workers, "OWN_RUNS", {})
            patch.setattr(metrics, "_loggers", {})
            there, _ = cloudpickle.loads(sent)
            assert type(there.__self__) is WorkerRun
            there("there", 2.0, step=5)
            again = cloudpickle.loads(cloudpickle.dumps(there))
            again("there", 3.0)
            # What a pool sends back is pickled as Python does it.
            back = pickle.dumps(again)
        assert _run.log_scalar == pickle.loads(back)

    points = [e.fields for e in _events(_run(main)) if e.type == EventType.METRIC_POINT]
    assert [(2.0, 5), (3.0, 6)] == [(p["value"], p["step"]) for p in points]


def test_nothing_of_a_run_is_changed_from_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set there is seen by nobody: each way to do it is told."""

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        changes: tuple[Callable[[], Any], ...] = (
            lambda: setattr(there, "_id", 7),
            lambda: setattr(there, "config", {}),
            lambda: there.config.update(number=2),
            lambda: there.config["table"].update(a=1),
            lambda: there.config["table"]["a"].append(3),
            lambda: there.meta_info.update(a=1),
            lambda: there.info.update(a=1),
            lambda: there.experiment_info.clear(),
            lambda: setattr(there, "start_time", None),
        )
        for change in changes:
            with pytest.raises(WorkerRunError, match="in the process of the run alone"):
                change()
        assert (there._id, there.config) == (_run._id, _run.config)
        # What was sent on says so, too.
        with pytest.raises(WorkerRunError):
            pickle.loads(pickle.dumps(there.config["table"]["a"])).append(1)

    assert _run(main).status == "COMPLETED"


def test_what_is_no_number_is_told_for_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """MET-01: the sentence advises nothing that a worker can not do."""

    def main(_run: Run) -> None:
        for run in (_run, _as_elsewhere(_run, _run, monkeypatch)):
            with pytest.raises(TypeError, match="log_text takes texts") as caught:
                run.log_scalar("loss", {"a": 1})
            assert "info" not in str(caught.value)

    assert _run(main).status == "COMPLETED"


def test_a_run_that_has_not_started() -> None:
    """It has no journal yet: it can not be sent, and its functions go without it."""
    here.commands.pop("main", None)
    here.main(lambda: None)
    run = here._create_run()
    with pytest.raises(RunNotStartedError, match="when it has started"):
        pickle.dumps(run)
    assert look is _again(look)


def test_elsewhere_a_run_is_that_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Config, id and facts are there; info, result and status can be read and not changed."""
    seen = {}

    def main(_run: Run) -> int:
        _run.info["a"] = 1
        there = _as_elsewhere(_run, _run, monkeypatch)
        seen["run"] = there
        assert (WorkerRun, _run._id, _run.config, _run.folder) == (
            type(there),
            there._id,
            there.config,
            there.folder,
        )
        assert ({"a": 1}, None, "RUNNING", None) == (
            dict(there.info),
            there.result,
            there.status,
            there.stop_time,
        )
        assert "here" == there.experiment_info["name"]
        for name in ("info", "result", "status"):
            with pytest.raises(WorkerRunError, match=f"The {name} of a run can be changed in"):
                setattr(there, name, 2)
        for change in (
            lambda info: info.__setitem__("a", 2),
            lambda info: info.update(a=2),
            lambda info: info.setdefault("b", {}),
        ):
            with pytest.raises(WorkerRunError, match="The info of a run can be changed in"):
                change(there.info)
        with pytest.raises(WorkerRunError):
            there()
        with pytest.raises(AttributeError, match="has no 'nonsense'"):
            there.nonsense  # noqa: B018
        return 4

    run = _run(main)
    ended = _as_elsewhere(run, run, monkeypatch)
    assert (4, "COMPLETED", run.stop_time) == (ended.result, ended.status, ended.stop_time)
    ended.log_scalar("late", 1)
    assert [] == [e for e in _events(run) if e.type == EventType.METRIC_POINT]


def test_a_worker_has_one_run_for_all_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several functions, and several times the same: one run, so one writer in one process."""

    def main(_run: Run) -> None:
        first = _as_elsewhere(_run, _run, monkeypatch)
        assert first is _as_elsewhere(_run, _run, monkeypatch)
        carried = _as_elsewhere(_run, look, monkeypatch)
        assert isinstance(carried, CarriedFunction)
        number, there, more = carried(more=3)
        assert (7, first, 3) == (number, there, more)
        assert ("look", look.__doc__, look.signature) == (
            carried.__name__,
            carried.__doc__,
            carried.signature,
        )
        with monkeypatch.context() as patch:
            patch.setattr(workers, "OWN_RUNS", {})
            once_more = _again(carried)
        assert (7, first, 0) == once_more()

    _run(main, number=7)


def test_what_can_not_be_pickled_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock in the configuration is missing in a worker, and nothing else is."""
    lock = threading.Lock()

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        assert {"a": [1, 2]} == there.config["table"]
        assert "lock" not in there.config
        assert 1 == _as_elsewhere(_run, look, monkeypatch)()[0]

    ex = here
    ex.add_config(lock=lock, locks=[lock])
    try:
        _run(main)
    finally:
        ex.configurations.pop()


def test_seeds_of_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """RND-05: what is sent draws what nobody else draws, the same with each run of the seed, and nothing from the stream at home."""
    drawn = []

    def main(_run: Run) -> None:
        random.seed()  # the global generator is no part of it
        sent = [_as_elsewhere(_run, draw, monkeypatch) for _ in range(4)]
        drawn.append(([one() for one in sent for _ in range(3)], [draw() for _ in range(3)]))

    def at_home() -> None:
        drawn.append(([], [draw() for _ in range(3)]))

    for entry in (main, main, at_home):
        _run(entry)
    assert drawn[0] == drawn[1]
    assert drawn[0][1] == drawn[2][1]
    assert 15 == len({*drawn[0][0], *drawn[0][1]})


def test_many_runs_in_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that serves many runs keeps some of them, and the files of no more than these open."""
    found = []

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        there.log_scalar("m", 1)
        found.append(there)

    runs = [_run(main) for _ in range(12)]
    assert workers._JOINED == len(workers._joined)
    writers = [there._recorder_.writer for there in found]
    del found[:-1]
    gc.collect()
    assert [True] * 4 == [writer.closed for writer in writers[:4]]
    assert [False] * 8 == [writer.closed for writer in writers[4:]]
    for run in runs:
        assert ["m"] == [
            e.fields["metric"] for e in _events(run) if e.type == EventType.METRIC_POINT
        ]
    workers._joined.clear()


def test_a_worker_records_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker can record of its run: points, files, texts; by a writer of its own."""
    (tmp_path / "file.txt").write_text("content")

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        there.log_scalar("m", 1.5, 3)
        there.log_scalar("m", 2.5)
        there.log_text("t", "words")
        there.log_dict("d", {"a": 1})
        there.add_artifact("file.txt")
        there.add_artifact(io.BytesIO(b"memory"), name="memory.bin")
        there.add_resource("file.txt")
        with there.open_resource("file.txt") as file:
            assert "content" == file.read()
        _run.log_scalar("m", 9.5)

    run = _run(main)
    by_worker: dict[int, list[str]] = {}
    for event in _events(run):
        by_worker.setdefault(event.writer, []).append(event.name)
    expected = ["child_began", "metric_point", "metric_point", "text_logged", "text_logged"]
    expected += ["artifact_added", "artifact_added", "resource_added", "resource_added"]
    assert expected == [name for name in by_worker[1] if name != "epoch_began"]
    assert "metric_point" in by_worker[0]
    points = [e for e in _events(run) if e.type == EventType.METRIC_POINT]
    assert {(1, 3, 1.5), (1, 4, 2.5), (0, 0, 9.5)} == {
        (e.writer, e.fields["step"], e.fields["value"]) for e in points
    }


def test_a_run_without_a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journalling is off: its functions work elsewhere, and that nothing is recorded is said once."""
    monkeypatch.setitem(SETTINGS.JOURNAL, "ENABLED", False)
    said = []

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        monkeypatch.setattr(there.run_logger, "warning", lambda *a: said.append(a[0] % a[1:]))
        for _ in range(2):
            there.log_scalar("m", 1)
        assert 1 == _as_elsewhere(_run, look, monkeypatch)()[0]

    _run(main)
    assert ["A point of the metric 'm' is not recorded: the run has no journal."] == said


def test_a_worker_whose_run_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: a journal that is gone stops no worker."""
    import shutil

    def main(_run: Run) -> None:
        there = _as_elsewhere(_run, _run, monkeypatch)
        # This process is no worker, and would tell of it at the end of all tests.
        monkeypatch.setattr(Recorder, "tell_losses_at_end", lambda *_: None)
        shutil.rmtree(str(_run.folder))
        there.log_scalar("m", 1)
        there.log_scalar("m", 2)
        assert there._recorder_.writer.fault is not None

    _run(main)
    workers._joined.clear()


def test_a_ticket_leads_to_the_same_run_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that arrive in several threads of a worker at once share one run."""

    def main(_run: Run) -> None:
        ticket = workers.ticket_of(_run)
        with monkeypatch.context() as patch:
            patch.setattr(workers, "OWN_RUNS", {})
            found: list[Any] = []
            threads = [
                threading.Thread(target=lambda: found.append(find_run(ticket))) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(100)
        assert 1 == len({id(one) for one in found})

    _run(main)


@pytest.mark.parametrize(
    "error",
    [
        MissingConfigError("f is missing value(s):", missing_configs=["a"]),
        ConfigAddedError(["a"], config={"a": 1}),
        NamedConfigNotFoundError("x", available_named_configs=["y"]),
        CircularDependencyError(ingredients=[]),
        InvalidConfigError("no", "a"),
        SettingError("no"),
        UnknownCaptureModeError("x"),
        RunIdTakenError("taken"),
        WorkerRunError("The info"),
        AsyncMainError("main"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_from_workers_as_they_were(error: Exception) -> None:
    """An error of ours that a worker raised is the same to whoever waits: its class, its sentence and how it is shown."""
    again = _again(error)
    assert (type(error), str(error), error.args) == (type(again), str(again), again.args)
    assert vars(error) == vars(again)


# -- real processes -------------------------------------------------------------------------------

PROGRAM = """
import concurrent.futures, json, multiprocessing, os, signal, sys, time
from sacred import Experiment
import module_beside

ex = Experiment("workers", save_git_info=False)

@ex.config
def config():
    number = 1
    how = "fork"
    seed = 5

@ex.capture
def inner(number):
    return 10 * number

@ex.capture
def work(task, number, _run, _seed):
    print(f"task {task}\\n", end="", flush=True)
    for step in range(50):
        _run.log_scalar("by run", task, step)
    ex.log_scalar("by experiment", task, task)
    return number, inner(), _run._id, _seed, os.getpid()

def given(run, task):
    run.log_scalar("given", task, task)
    return run.config["number"]

class Model:
    def __init__(self, plus):
        self.plus = plus

    @ex.capture
    def step(self, task, number, _run):
        _run.log_scalar("by method", task, task)
        return number + self.plus

    def plain(self, task):
        return task + self.plus

def mapped(how, function, tasks):
    if how == "joblib":
        from joblib import Parallel, delayed
        return Parallel(n_jobs=2)(delayed(function)(*task) for task in tasks)
    if how.startswith("futures"):
        context = multiprocessing.get_context(how.split()[1])
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            return [job.result(60) for job in [pool.submit(function, *task) for task in tasks]]
    with multiprocessing.get_context(how).Pool(2) as pool:
        return pool.starmap_async(function, tasks, chunksize=1).get(60)

@ex.main
def main(how, number, _run):
    tasks = [(task,) for task in range(6)]
    found = mapped(how, work, tasks)
    beside = mapped(how, module_beside.work, tasks[:2])
    own = mapped(how, given, [(_run, task) for task in range(6)])
    model = Model(100)
    methods = mapped(how, model.step, tasks[:2]) + mapped(how, model.plain, tasks[:2])
    return [found, beside, own, methods]

if __name__ == "__main__":
    how, mode = sys.argv[1:]
    module_beside.join(ex)
    runs = []
    for number in (4, 7):
        updates = {"how": how, "number": number}
        run = ex.run(config_updates=updates, options={"--capture": mode})
        runs.append([run._id, run.result, run.captured_out, run.folder])
    with open("report.json", "w") as file:
        json.dump([os.getpid(), runs], file)
"""
BESIDE = """
import os
from sacred import Ingredient

part = Ingredient("part", save_git_info=False)
part.add_config(size=3)

def join(ex):
    ex.ingredients.append(part)

@part.capture
def work(task, size, _run):
    _run.log_scalar("beside", task, task)
    print(f"beside {task}\\n", end="", flush=True)
    return size
"""


def _start(tmp_path: Path, program: str, *arguments: str, timeout: int = 120) -> Any:
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    (tmp_path / "module_beside.py").write_text(BESIDE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-4000:]
    return json.loads((tmp_path / "report.json").read_text())


METHODS = [
    pytest.param("fork", "sys", marks=[]),
    pytest.param("fork", "fd", marks=pytest.mark.slow),
    pytest.param("spawn", "sys", marks=pytest.mark.slow),
    pytest.param("spawn", "fd", marks=pytest.mark.slow),
    pytest.param("forkserver", "sys", marks=pytest.mark.slow),
    pytest.param("forkserver", "fd", marks=pytest.mark.slow),
    pytest.param("futures fork", "sys", marks=pytest.mark.slow),
    pytest.param("futures spawn", "sys", marks=pytest.mark.slow),
    pytest.param("joblib", "sys", marks=pytest.mark.slow),
    pytest.param("joblib", "fd", marks=pytest.mark.slow),
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its start methods are those of Linux")
@pytest.mark.parametrize(("how", "mode"), METHODS)
def test_workers_record_into_their_run(tmp_path: Path, how: str, mode: str) -> None:
    """R9, CAP-08: captured functions and _run in workers of all kinds, over two runs of a process: the configuration, points, seeds and prints of each run, none lost, none mixed."""
    if how == "joblib":
        pytest.importorskip("joblib")
    parent, runs = _start(tmp_path, PROGRAM, how, mode)
    assert 2 == len(runs)
    for number, (run_id, results, printed, folder) in zip((4, 7), runs, strict=True):
        found, beside, own, methods = results
        assert [number + 100, number + 100, 100, 101] == methods
        assert [[number, 10 * number, run_id]] * 6 == [task[:3] for task in found]
        assert 6 == len({task[3] for task in found})
        assert parent not in {task[4] for task in found}
        assert ([3, 3], [number] * 6) == (beside, own)
        lines = [line for line in printed.splitlines() if line.startswith(("task", "beside"))]
        expected = [*(f"task {task}" for task in range(6)), "beside 0", "beside 1"]
        assert sorted(expected) == sorted(lines)
        points: dict[str, list[Any]] = {}
        for event in JournalReader(folder).read():
            assert event.type != EventType.GAP
            if event.type == EventType.METRIC_POINT:
                assert event.writer != 0
                fields = event.fields
                points.setdefault(fields["metric"], []).append((fields["value"], fields["step"]))
        assert sorted((task, step) for task in range(6) for step in range(50)) == sorted(
            points["by run"]
        )
        for name, count in (("by experiment", 6), ("given", 6), ("beside", 2), ("by method", 2)):
            assert [(task, task) for task in range(count)] == sorted(points[name])
        assert verify(RunFolder.at(folder)).clean


TERMINATED = """
import json, multiprocessing, os, sys
from sacred import Experiment

ex = Experiment("terminated", save_git_info=False)
ex.add_config(seed=1)

@ex.capture
def work(told, _run):
    step = 0
    while True:
        _run.log_scalar("m", float(step), step)
        print(f"printed {step}\\n", end="", flush=True)
        told.value = step
        step += 1

@ex.main
def main(_run):
    context = multiprocessing.get_context(sys.argv[1])
    told = context.Value("q", -1)
    child = context.Process(target=work, args=(told,))
    child.start()
    child.join(0.3)
    while told.value < 20:
        child.join(0.05)
        assert child.is_alive()
    child.terminate()
    child.join()
    return told.value

if __name__ == "__main__":
    run = ex.run(options={"--capture": "sys"})
    with open("report.json", "w") as file:
        json.dump([run.result, run.captured_out, run.folder], file)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its start methods are those of Linux")
@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_worker_that_is_terminated_loses_nothing(tmp_path: Path, how: str) -> None:
    """P1: each point and line of which the call had returned is in the journal, whatever ended the worker."""
    told, printed, folder = _start(tmp_path, TERMINATED, how)
    steps = [e.fields["step"] for e in JournalReader(folder).read() if e.name == "metric_point"]
    assert list(range(len(steps))) == steps
    assert told <= len(steps) - 1 <= told + 1
    lines = printed.splitlines()
    assert [f"printed {step}" for step in range(told + 1)] == lines[: told + 1]


OUTLIVING = """
import json, multiprocessing, os, sys, time
from sacred import Experiment

ex = Experiment("outliving", save_git_info=False)
ex.add_config(seed=1)

@ex.capture
def work(ended, done, _run):
    _run.log_scalar("m", 0.0, 0)
    assert ended.wait(60)
    _run.log_scalar("m", 1.0, 1)
    with open("late.txt", "w") as file:
        file.write("late")
    _run.add_artifact("late.txt")
    done.set()

@ex.main
def main(_run):
    context = multiprocessing.get_context(sys.argv[1])
    global child, ended, done
    ended, done = context.Event(), context.Event()
    child = context.Process(target=work, args=(ended, done))
    child.start()

if __name__ == "__main__":
    run = ex.run()
    from sacred.journal import seal_run
    from sacred.journal.root import RunFolder
    seal_run(RunFolder.at(run.folder))
    ended.set()
    assert done.wait(60)
    child.join(60)
    assert child.exitcode == 0
    seal_run(RunFolder.at(run.folder))
    with open("report.json", "w") as file:
        json.dump([run.folder, run.status], file)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its start methods are those of Linux")
@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_worker_that_outlives_its_run(tmp_path: Path, how: str) -> None:
    """R4, R9: a run that ended and is sealed takes what its worker records; the worker's file is sealed when it ended, and a view gets it all."""
    folder, status = _start(tmp_path, OUTLIVING, how)
    assert "COMPLETED" == status
    events = list(JournalReader(folder).read())
    assert [0, 1] == [e.fields["step"] for e in events if e.name == "metric_point"]
    assert ["late.txt"] == [e.fields["name"] for e in events if e.name == "artifact_added"]
    assert {0, 1} == {e.writer for e in events}
    assert verify(RunFolder.at(folder)).clean
    opened = {e.writer: e.fields["opened_by"] for e in events if e.name == "epoch_began"}
    assert {0: "seal", 1: "seal"} == opened
    root = os.path.dirname(folder)
    command = [sys.executable, "-m", "sacred", "replay", "--to", "file:views", "-J", root]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    view = tmp_path / "views" / "1"
    assert [0, 1] == json.loads((view / "metrics.json").read_text())["m"]["steps"]
    assert "late" == (view / "late.txt").read_text()


FROM_POOL = """
import json, multiprocessing, sys
from sacred import Experiment

ex = Experiment("pooled", save_git_info=False)
ex.add_config(number=1, seed=1)

@ex.main
def main(number, _run):
    _run.log_scalar("m", number)
    return 2 * number

def work(number):
    return ex.run(config_updates={"number": number})

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        runs = pool.map(work, range(4))
    with open("report.json", "w") as file:
        json.dump([[r._id, r.result, r.status, r.config["number"]] for r in runs], file)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="its start methods are those of Linux")
@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_runs_that_a_pool_returns(tmp_path: Path, how: str) -> None:
    """Whole runs in the processes of a pool: each has its id, and comes back with its result."""
    runs = _start(tmp_path, FROM_POOL, how)
    assert {1, 2, 3, 4} == {run[0] for run in runs}
    assert [[2 * n, "COMPLETED", n] for n in range(4)] == [run[1:] for run in runs]
