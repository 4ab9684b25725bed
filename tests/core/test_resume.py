"""Going on with a run: what it keeps, what it finds, and who is refused."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest
from golden.make import split

from sacred.core.artifacts import ArtifactError
from sacred.core.errors import TimeoutInterrupt
from sacred.core.experiment import Experiment
from sacred.core.ingredient import Ingredient
from sacred.core.observers import RunObserver
from sacred.core.options import cli_option
from sacred.core.recordable import as_it_was
from sacred.core.recorded import RecordedRun
from sacred.core.resume import Continuation, ResumeError, check_state, continued_run
from sacred.core.settings import SETTINGS
from sacred.journal.errors import BlobDamagedError, JournalBusyError, RunNotFoundError
from sacred.journal.events import EventType
from sacred.journal.folder_lock import locked_journal
from sacred.journal.reader import JournalReader
from sacred.journal.repair import repair_run
from sacred.journal.root import JournalRoot
from sacred.journal.seal import seal_run
from sacred.journal.verification import verify
from sacred.observers import FileStorageObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.core.run import Run
    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


class Trainer:
    """An experiment whose main function is given by the test, each time anew."""

    def __init__(self, name: str = "trains", **parts: Any) -> None:
        self.ex = Experiment(name, base_dir=os.getcwd(), save_git_info=False, **parts)
        self.does: Callable[[Run, Any], Any] = lambda _run, _rate: None

        @self.ex.config
        def config() -> None:
            rate = 0.5  # noqa: F841

        @self.ex.main
        def main(_run: Run, rate: float) -> Any:
            return self.does(_run, rate)

        @self.ex.command
        def other() -> None:
            """Do something else."""

    def ends_early(self, error: BaseException | None = None, **options: Any) -> int:
        """Run until an error; return the run's number."""

        def does(run: Run, rate: float) -> None:
            run.log_scalar("loss", rate)
            run.log_scalar("loss", rate / 2)
            run.info["best"] = {"loss": rate / 2}
            run.result = 0.25
            print("first part")
            with open("state.txt", "w", encoding="utf-8") as file:
                file.write("two epochs")
            run.add_artifact("state.txt")
            raise error or KeyboardInterrupt

        self.does = does
        with pytest.raises(type(error or KeyboardInterrupt())):
            self.ex.run(**options)
        assert self.ex.current_run is not None
        assert self.ex.current_run.folder is not None
        return int(os.path.basename(self.ex.current_run.folder))

    def goes_on(self, does: Callable[[Run, Any], Any], number: Any = 1, **more: Any) -> Run:
        """Go on with a run."""
        self.does = does
        return self.ex.run(resume=number, **more)


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


def _folder(number: int = 1) -> RunFolder:
    return JournalRoot("sacred_runs").run(number)


def _events(number: int = 1) -> list[Event]:
    folder = _folder(number)
    assert verify(folder).clean
    return [e for e in JournalReader(folder.journal).read() if e.writer == 0]


def _of_type(kind: EventType, number: int = 1) -> list[dict[str, Any]]:
    return [event.fields for event in _events(number) if event.type == kind]


def _points(number: int = 1) -> list[tuple[str, Any, Any]]:
    points: list[tuple[str, Any, Any]] = []
    for event in _events(number):
        if event.type == EventType.METRIC_POINT:
            points.append(tuple(event.fields[name] for name in ("metric", "step", "value")))
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            points += zip(table.names(), table.steps, table.values, strict=True)
    return points


# -- what it keeps --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "INTERRUPTED"),
        (TimeoutInterrupt(), "TIMEOUT"),
        (ValueError("no"), "FAILED"),
    ],
)
def test_a_run_that_ended_early_goes_on(
    trainer: Trainer, error: BaseException, status: str
) -> None:
    """Same id, configuration and journal, in its next file; it knows what it was and had."""
    trainer.ends_early(error, config_updates={"rate": 0.75})
    seed = trainer.ex.current_run.config["seed"]  # type: ignore[union-attr]
    began = trainer.ex.current_run.start_time  # type: ignore[union-attr]
    seen: dict[str, Any] = {}

    def does(run: Run, rate: float) -> float:
        seen.update(resumed=run.resumed, rate=rate, info=dict(run.info), result=run.result)
        with run.open_artifact("state.txt") as file:
            seen["state"] = file.read()
        run.log_scalar("loss", 0.125)
        run.info["more"] = 1
        return 1.5

    run = trainer.goes_on(does)
    assert (1, "COMPLETED", 1.5) == (run._id, run.status, run.result)
    assert (0.75, seed) == (run.config["rate"], run.config["seed"])
    # As views have it: when the start was recorded.
    (started,) = (event for event in _events(1) if event.type == EventType.RUN_STARTED)
    recorded = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=started.time // 1000)
    assert began <= recorded == run.start_time  # type: ignore[operator]
    assert {"best": {"loss": 0.375}} == seen["info"]
    assert (0.25, b"two epochs", 0.75) == (seen["result"], seen["state"], seen["rate"])
    resumed = seen["resumed"]
    assert (status, 1) == (resumed.status, resumed.times)
    assert ({"loss": 1}, {"state.txt": 1}) == (resumed.steps, resumed.artifacts)
    assert resumed.last_seen >= began
    assert [("loss", 0, 0.75), ("loss", 1, 0.375), ("loss", 2, 0.125)] == _points()
    assert 1 == len(_of_type(EventType.RUN_STARTED))
    (event,) = _of_type(EventType.RUN_RESUMED)
    assert status == event["reason"]
    ends = [end["status"] for end in _of_type(EventType.RUN_ENDED)]
    assert [status, "COMPLETED"] == ends
    files = sorted(name for name in os.listdir(_folder().journal) if name.startswith("w0000-"))
    assert ["w0000-e0001.jzst", "w0000-e0002.jzst"] == files
    assert ["1"] == [name for name in os.listdir("sacred_runs") if name.isdigit()]


def test_it_goes_on_again_and_again(trainer: Trainer) -> None:
    """A run may stop several times; versions of artifacts and sealed files go on, too."""
    trainer.ends_early()

    def stops(run: Run, _rate: float) -> None:
        run.add_artifact("state.txt")
        raise KeyboardInterrupt

    for times in (1, 2, 3):
        seal_run(_folder())
        with pytest.raises(KeyboardInterrupt):
            trainer.goes_on(stops)
        assert times == trainer.ex.current_run.resumed.times  # type: ignore[union-attr]
    versions = [fields["version"] for fields in _of_type(EventType.ARTIFACT_ADDED)]
    assert [1, 2, 3, 4] == versions
    trainer.goes_on(lambda run, _: run.open_artifact("state.txt", 4).close())
    with pytest.raises(ArtifactError, match="no version 5: there are 1 to 4"):
        trainer.ex.current_run.open_artifact("state.txt", 5)  # type: ignore[union-attr]
    with pytest.raises(ArtifactError, match="no artifact 'x'; it has state.txt"):
        trainer.ex.current_run.open_artifact("x")  # type: ignore[union-attr]


def test_a_new_run_is_not_resumed(trainer: Trainer) -> None:
    """`_run.resumed` is None in a run that begins, and its own artifacts can be opened."""
    seen: list[Any] = []

    def does(run: Run, _rate: float) -> None:
        (run_dir := os.path.join("out", "deep")) and os.makedirs(run_dir)
        with open("out/deep/a.txt", "w", encoding="utf-8") as file:
            file.write("a")
        run.add_artifact("out")
        with run.open_artifact("out/deep/a.txt") as file:
            seen.extend([run.resumed, file.read()])

    trainer.does = does
    trainer.ex.run()
    assert [None, b"a"] == seen


def test_files_of_a_folder_are_found_again(trainer: Trainer) -> None:
    """A folder that was added before the run stopped is opened file by file."""

    def stops(run: Run, _rate: float) -> None:
        os.makedirs("model")
        with open("model/w.bin", "wb") as file:
            file.write(b"weights")
        run.add_artifact("model")
        raise KeyboardInterrupt

    trainer.does = stops
    with pytest.raises(KeyboardInterrupt):
        trainer.ex.run()
    seen = []

    def does(run: Run, _rate: float) -> None:
        with run.open_artifact("model/w.bin") as file:
            seen.append(file.read())

    trainer.goes_on(does)
    assert [b"weights"] == seen


def test_a_damaged_checkpoint_is_none(trainer: Trainer) -> None:
    """An artifact whose content is not what was stored is refused when it is opened."""
    trainer.ends_early()
    (blob,) = [fields["blob"] for fields in _of_type(EventType.ARTIFACT_ADDED)]
    path = JournalRoot("sacred_runs").blobs / blob["digest"][:2] / blob["digest"]
    content = path.read_bytes()
    path.write_bytes(b"rwo epochs")
    with pytest.raises(BlobDamagedError):
        trainer.goes_on(lambda run, _: run.open_artifact("state.txt"))
    path.write_bytes(content)


def test_the_configuration_is_the_recorded_one() -> None:
    """Also where a scope would give something else now, in ingredients, and for seeds."""
    data = Ingredient("data", base_dir=os.getcwd(), save_git_info=False)

    @data.config
    def data_config() -> None:
        import math

        salt = random.random()  # noqa: F841, S311
        area = math.pi  # noqa: F841

    @data.capture
    def draw(_seed: int, salt: float, math: Any) -> Any:
        return _seed, salt, math.sqrt(4)

    trainer = Trainer(ingredients=[data])

    @trainer.ex.named_config
    def slow() -> None:
        rate = 0.01  # noqa: F841
        layers = [1, 2]  # noqa: F841

    @trainer.ex.capture
    def own(_seed: int, layers: Any = None) -> Any:
        return _seed, layers

    seen: list[Any] = []

    def stops(run: Run, rate: float) -> None:
        seen.append((rate, draw(), own(), run.config["data"]["salt"], run.config["seed"]))
        raise KeyboardInterrupt

    trainer.does = stops
    with pytest.raises(KeyboardInterrupt):
        trainer.ex.run(named_configs=["slow"])
    with pytest.raises(KeyboardInterrupt):
        trainer.goes_on(stops)
    assert seen[0] == seen[1]
    assert 0.01 == seen[0][0]


def test_an_entry_that_changed_is_named(trainer: Trainer, caplog: Any) -> None:
    """A configuration that can not be had as it was recorded is said, entry by entry."""
    trainer.ends_early()

    @trainer.ex.config_hook
    def hook(config: Any, command_name: Any, logger: Any) -> Any:
        return {"added_by_now": 1}

    trainer.goes_on(lambda _run, _rate: None)
    assert "not the recorded one any more, in: added_by_now" in caplog.text


class _Net:
    """An object of the user's own, which a journal only names."""


@pytest.mark.parametrize("kind", ["resumed", "queued"])
def test_objects_that_are_only_named_are_no_difference(
    trainer: Trainer, caplog: Any, kind: str
) -> None:
    """CFG-17: classes, objects, arrays and sets of the configuration change nothing by themselves."""

    @trainer.ex.config
    def objects() -> None:
        a = dict  # noqa: F841
        b = _Net  # noqa: F841
        c = {3, 1, 2}  # noqa: F841
        d = [1, (2.5, None)]  # noqa: F841
        e = [_Net, 1]  # noqa: F841
        f = b"bytes"  # noqa: F841
        g = _Net()  # noqa: F841
        h = {"k": _Net, "n": 1}  # noqa: F841
        i = ValueError("no good")  # noqa: F841
        j = float  # noqa: F841
        k = dt.timedelta(1)  # noqa: F841
        l = 1 << 70  # noqa: E741, F841
        m = float("nan")  # noqa: F841
        n = len  # noqa: F841

    trainer.does = lambda run, rate: None
    if kind == "queued":
        trainer.ex.run(options={"--queue": True})
        record = RecordedRun(JournalRoot("sacred_runs").run(1))
        again = Continuation(record, resume=False, stored=False, force=False)
        continued_run(trainer.ex, again)()
    else:
        trainer.ends_early()
        trainer.goes_on(lambda _run, _rate: None)
    assert "not the recorded one" not in caplog.text

    number = trainer.ends_early()

    @trainer.ex.config_hook
    def hook(config: Any, command_name: Any, logger: Any) -> Any:
        return {"a": 1, "h": {"k": 2}}

    trainer.goes_on(lambda _run, _rate: None, number=number)
    assert "not the recorded one any more, in: a, h\n" in caplog.text.replace(
        ", in: h, a", ", in: a, h"
    )


@pytest.mark.parametrize("kind", ["resumed", "queued"])
def test_keys_stay_what_they_are(
    trainer: Trainer, caplog: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """CFG-16: numbers, tuples, None and texts with dots, at any depth, from scopes and updates."""
    monkeypatch.setattr(SETTINGS.CONFIG, "ENFORCE_KEYS_MONGO_COMPATIBLE", False)
    data = Ingredient("data", base_dir=os.getcwd(), save_git_info=False)
    data.add_config(sizes={1: 2, (3, 4): 5})
    data.add_named_config("big", sizes={1: 200})
    trainer = Trainer(ingredients=[data])

    @trainer.ex.config
    def keys() -> None:
        aa = {"y": 0, 1: 2, 2.5: 3, None: 4, (1, 2): 5, "x": {7: {8.5: 9}}, "a.b": {"c.d": 1}}
        bb = [{1: 2}, ({3.5: 4},)]  # noqa: F841
        total = len(aa)  # noqa: F841

    seen: list[Any] = []

    def stops(run: Run, rate: float) -> None:
        seen.append((run.config["aa"], run.config["bb"], run.config["total"], run.config["data"]))
        raise KeyboardInterrupt

    trainer.does = stops
    given: dict[str, Any] = {"aa": {"x": {"z": 1}}, "data.sizes": {"k": 3}}
    asked: dict[str, Any] = {"config_updates": given, "named_configs": ["data.big"]}
    options = {"--force": True}
    with pytest.raises(KeyboardInterrupt):
        trainer.ex.run(**asked, options=options)
    with pytest.raises(KeyboardInterrupt):
        if kind == "queued":
            number = trainer.ex.run(**asked, options={**options, "--queue": True})._id
            record = RecordedRun(JournalRoot("sacred_runs").run(int(number)))
            continued_run(
                trainer.ex, Continuation(record, resume=False, stored=False, force=False)
            )()
        else:
            trainer.goes_on(stops)
    assert seen[0] == seen[1]
    aa, _, _, sizes = seen[0]
    assert {7: {8.5: 9}, "z": 1} == aa["x"]
    assert {1: 200, (3, 4): 5, "k": 3} == sizes["sizes"]
    assert "not the recorded one" not in caplog.text


@pytest.mark.parametrize("kind", ["resumed", "queued"])
def test_paths_stay_paths(caplog: Any, kind: str) -> None:
    """A scope that goes on from a path works again; frozensets, and both inside others, stay too."""
    data = Ingredient("data", base_dir=os.getcwd(), save_git_info=False)
    data.add_config(parts=[pathlib.Path("a"), {1: (pathlib.PureWindowsPath("b"),)}])
    trainer = Trainer(ingredients=[data])

    @trainer.ex.config
    def folders(data: dict[str, Any]) -> None:
        root = pathlib.Path("root")
        train = root / "train"  # noqa: F841
        pure = pathlib.PurePosixPath("c")  # noqa: F841
        group = {"text": "d", "names": frozenset({1, 2})}  # noqa: F841
        first = data["parts"][0] / "x"  # noqa: F841

    seen: list[Any] = []

    def stops(run: Run, rate: float) -> None:
        seen.append({name: repr(run.config[name]) for name in sorted(run.config)})
        raise KeyboardInterrupt

    trainer.does = stops
    given = {"root": pathlib.Path("given"), "group": {"text": "e"}}
    with pytest.raises(KeyboardInterrupt):
        trainer.ex.run(config_updates=given)
    with pytest.raises(KeyboardInterrupt):
        if kind == "queued":
            number = trainer.ex.run(config_updates=given, options={"--queue": True})._id
            record = RecordedRun(JournalRoot("sacred_runs").run(int(number)))
            continued_run(
                trainer.ex, Continuation(record, resume=False, stored=False, force=False)
            )()
        else:
            trainer.goes_on(stops)
    seeds = [config.pop("seed") for config in seen]
    assert kind == "queued" or seeds[0] == seeds[1]
    assert seen[0] == seen[1]
    assert repr(pathlib.Path("given/train")) == seen[1]["train"]
    assert "frozenset" in seen[1]["group"]
    assert "not the recorded one" not in caplog.text


def test_a_key_with_a_password_comes_once(trainer: Trainer, caplog: Any) -> None:
    """It is recorded without the password, and the record is no entry besides the program's."""
    trainer.ex.add_config(servers={"http://me:pw@host/x": 1, "plain": 2})
    seen: list[Any] = []

    def stops(run: Run, rate: float) -> None:
        seen.append(dict(run.config["servers"]))
        raise KeyboardInterrupt

    trainer.does = stops
    with pytest.raises(KeyboardInterrupt):
        trainer.ex.run(config_updates={"servers": {"plain": 3}})
    with pytest.raises(KeyboardInterrupt):
        trainer.goes_on(stops)
    assert [{"http://me:pw@host/x": 1, "plain": 3}] * 2 == seen
    assert "not the recorded one" not in caplog.text


@pytest.mark.parametrize(
    "kinds", [3, [3], [[["root"]]], [[["no", 3], "Path"]], [[3, "Path"]], [[[[]], "Path"]]]
)
def test_kinds_that_do_not_fit_are_passed_over(kinds: Any) -> None:
    """What another version, or a damaged event, says of the types changes nothing and stops nothing."""
    recorded = {"root": "a", "group": {"b": [1, ("c",)]}}
    assert recorded == as_it_was(recorded, kinds)
    fits = [[["group", "b", 1, 0], "Path"], [["root"], "frozenset"], [["root", "x"], "Path"]]
    expected = {"root": "a", "group": {"b": [1, (pathlib.Path("c"),)]}}
    assert expected == as_it_was(recorded, fits)


def test_the_options_are_the_recorded_ones(trainer: Trainer, capsys: Any) -> None:
    """What was given at the start is in force again; what is given now wins."""
    options = {"--beat-interval": "7", "--capture": "no", "--comment": "first"}
    trainer.ends_early(options={**options, "--file_storage": "my_runs"})
    run = trainer.goes_on(lambda _run, _rate: print("on"), options={"--capture": "sys"})
    assert (7.0, "sys", "first") == (run.beat_interval, run.capture_mode, run.meta_info["comment"])
    assert ["my_runs"] == [observer.basedir for observer in run.observers]
    assert "1" == run._id
    record = json.loads((JournalRoot("my_runs").path / "1" / "run.json").read_text())
    assert "COMPLETED" == record["status"]
    assert run.start_time == dt.datetime.fromisoformat(record["start_time"])
    metrics = json.loads((JournalRoot("my_runs").path / "1" / "metrics.json").read_text())
    assert [0, 1] == metrics["loss"]["steps"]


def test_a_password_is_asked_for_again(trainer: Trainer) -> None:
    """An option that was recorded without its password can not be used as it is."""
    trainer.ends_early(options={"--comment": "see http://me:secret@host/"})
    with pytest.raises(ResumeError, match="--comment of run 1 is recorded without its password"):
        trainer.goes_on(lambda _run, _rate: None)
    trainer.goes_on(lambda _run, _rate: None, options={"--comment": "new"})


@pytest.mark.parametrize(
    "value",
    ["mongodb://me:secret@host/db", ["https://h/?token=abc"], {"deep": "http://u:pw@h/"}],
)
def test_a_secret_comes_from_the_program(trainer: Trainer, value: Any) -> None:
    """The record has ``***``: the program's own value is used, as long as it looks the same."""
    trainer.ex.add_config(address=value)
    number = trainer.ends_early()
    run = trainer.goes_on(lambda run, _rate: run.config["address"], number)
    assert (value, value) == (run.result, run.config["address"])


def test_a_secret_that_the_program_does_not_give(trainer: Trainer) -> None:
    """One that was typed behind ``with`` is nowhere: the run is refused, and nothing is called with ``***``."""
    trainer.ex.add_config(group={"address": "", "other": 1})
    number = trainer.ends_early(config_updates={"group.address": "http://me:secret@host/"})
    with pytest.raises(ResumeError, match="the entry 'group.address' .* without its password"):
        trainer.goes_on(lambda _run, _rate: None, number)


def test_output_goes_on(trainer: Trainer) -> None:
    """What is printed stands behind what was; a filter sees all of it."""
    trainer.ex.captured_out_filter = lambda text: text.replace("part", "PART")
    trainer.ends_early()
    run = trainer.goes_on(lambda _run, _rate: print("second part"))
    assert "first PART" in run.captured_out
    assert run.captured_out.index("first PART") < run.captured_out.index("second PART")
    text = ""
    for fields in _of_type(EventType.OUTPUT_FILTERED):
        text = text[: fields["keep"]] + fields["text"]
    assert run.captured_out == text
    data = b"".join(fields["data"] for fields in _of_type(EventType.OUTPUT))
    assert 1 == data.count(b"first part") == data.count(b"second part")


def test_info_goes_on_as_changes(trainer: Trainer) -> None:
    """What info held is not recorded again, and what is given for the start is added."""
    trainer.ends_early()
    trainer.goes_on(lambda run, _: run.info.update(best=None), info={"why": "preempted"})
    changes = [fields["set"] for fields in _of_type(EventType.INFO_CHANGED)][1:]
    assert [[["why"], "preempted"], [["best"], None]] == sum(changes, [])


def test_observers_are_told_of_a_start_with_the_id(trainer: Trainer) -> None:
    """An observer of one's own gets started_event with the run's `_id`, and all output so far."""
    told: list[Any] = []

    class Watches(RunObserver):
        def started_event(self, _id: Any, **about: Any) -> None:  # type: ignore[override]
            told.append((_id, about["start_time"]))

        def heartbeat_event(self, captured_out: str, **about: Any) -> None:  # type: ignore[override]
            told.append("first part" in captured_out)

    trainer.ends_early()
    trainer.ex.observers.append(Watches())
    run = trainer.goes_on(lambda _run, _rate: None)
    assert [(1, run.start_time), True] == told[:2]


def test_a_view_in_process_is_left_out(trainer: Trainer, caplog: Any) -> None:
    """A subclass of ours would begin a new entry: it is not called, and that is said."""

    class Mine(FileStorageObserver):
        """A subclass is user code."""

    trainer.ends_early()
    trainer.ex.observers.append(Mine("mine"))
    trainer.goes_on(lambda _run, _rate: None)
    assert "can not go on with a run that another one began" in caplog.text
    assert not os.path.exists("mine")


def test_sources_that_changed_are_recorded_anew(tmp_path: Path) -> None:
    """The program of now is recorded beside that of then, and the difference is said."""
    script = tmp_path / "changes.py"
    text = textwrap.dedent(
        """
        from sacred import Experiment
        ex = Experiment("changes", save_git_info=False)
        @ex.automain
        def main(_run):
            if not _run.resumed:
                raise KeyboardInterrupt
            return "{}"
        """
    )

    def start(what: str, *words: str) -> subprocess.CompletedProcess[str]:
        script.write_text(text.format(what), encoding="utf-8")
        command = [sys.executable, "changes.py", *words]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    assert 0 != start("one").returncode
    result = start("two", "--resume", "last")
    assert 0 == result.returncode, result.stderr
    assert 'Resumed run with ID "1"' in result.stderr
    assert "Sources are not as they were when the run began" in result.stderr
    assert 2 == len(_of_type(EventType.SOURCE_ADDED))
    messages = [fields["text"] for fields in _of_type(EventType.MESSAGE)]
    assert [True] == ["changes.py" in text for text in messages]


# -- who is refused -------------------------------------------------------------------------------


def _refused(trainer: Trainer, match: str, number: Any = 1, **more: Any) -> None:
    before = os.listdir(_folder().journal)
    with pytest.raises(ResumeError, match=match):
        trainer.goes_on(lambda _run, _rate: pytest.fail("it ran"), number, **more)
    assert before == os.listdir(_folder().journal)


def test_a_completed_run(trainer: Trainer) -> None:
    """What has run to its end does not go on."""
    trainer.ex.run()
    _refused(trainer, "run 1 is COMPLETED: there is nothing left of it to run")


def test_a_queued_run(trainer: Trainer) -> None:
    """A queued run has nothing to go on with; the sentence says how it is started."""
    trainer.ex.run(options={"--queue": True})
    _refused(trainer, "run 1 is queued and has not begun: start it with `sacred run 1`")


def test_a_run_that_runs(trainer: Trainer) -> None:
    """A run that is alive is not gone on with, also by itself."""
    caught: list[Any] = []

    def does(_run: Run, _rate: float) -> None:
        with pytest.raises(JournalBusyError, match=rf"run 1 is running \(process {os.getpid()}"):
            trainer.ex.run(resume=1)
        caught.append(True)

    trainer.does = does
    trainer.ex.run()
    assert [True] == caught


def test_another_configuration(trainer: Trainer) -> None:
    """A run has one configuration and one command."""
    trainer.ends_early()
    _refused(trainer, "keeps its configuration", config_updates={"rate": 1})
    _refused(trainer, "keeps its configuration", named_configs=["x"])
    _refused(trainer, "keeps its configuration", meta_info={"a": 1})
    _refused(trainer, "one of the command 'main', not 'other'", command_name="other")
    _refused(trainer, "keeps its id", options={"--id": "7"})
    _refused(trainer, "keeps its id", options={"--queue": True})
    _refused(trainer, "without one", options={"--unobserved": True})
    trainer.goes_on(lambda _run, _rate: None, command_name="main")


def test_another_experiment(trainer: Trainer) -> None:
    """A run goes on by the experiment it is of, which still has its command."""
    trainer.ends_early()
    _refused(Trainer("elsewhere"), "one of the experiment 'trains', not 'elsewhere'")
    lacks = Experiment("trains", base_dir=os.getcwd(), save_git_info=False)
    with pytest.raises(ResumeError, match="the command 'main', which the experiment 'trains' does"):
        lacks.run(resume=1)


def test_a_run_that_is_not_there(trainer: Trainer) -> None:
    """The run is named as on every command line."""
    trainer.ends_early()
    with pytest.raises(RunNotFoundError, match="there is no run 9 in .*holds run 1 only"):
        trainer.ex.run(resume=9)
    with pytest.raises(RunNotFoundError, match="'first' names no run"):
        trainer.ex.run(resume="first")
    trainer.goes_on(lambda _run, _rate: None, "id:1")


def test_a_damaged_journal(trainer: Trainer, tmp_path: Path) -> None:
    """Damage is said, with what to do; once it is repaired the run goes on."""
    script = tmp_path / "trains.py"
    script.write_text(
        textwrap.dedent(
            """
            from sacred import Experiment
            ex = Experiment("trains", save_git_info=False)
            @ex.automain
            def main(_run):
                for step in range(5):
                    _run.add_artifact(__file__)
                raise KeyboardInterrupt
            """
        ),
        encoding="utf-8",
    )
    environment = {**os.environ, "SACRED_JOURNAL_SEAL": "false"}
    command = [sys.executable, str(script)]
    subprocess.run(command, timeout=60, check=False, capture_output=True, env=environment)
    path = _folder().journal / "w0000-e0001.jzst"
    frames = split(path.read_bytes())
    hit = bytearray(frames[4])
    hit[len(hit) // 2] ^= 0xFF
    path.write_bytes(b"".join([*frames[:4], bytes(hit), *frames[5:]]))
    _refused(trainer, "the journal of run 1 is damaged: .*`sacred repair 1`")
    # Typed elsewhere, the command names the root.
    root = _folder().root.path
    (tmp_path / "elsewhere").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")
        patch.setenv("SACRED_JOURNAL_ROOT", str(tmp_path / "other"))
        with pytest.raises(ResumeError, match=f"`sacred repair 1 --root {re.escape(str(root))}`"):
            check_state(RecordedRun(JournalRoot(root).run(1)), resume=True)
    repair_run(_folder())
    run = trainer.goes_on(lambda _run, _rate: 3)
    assert ("COMPLETED", 3) == (run.status, run.result)


@pytest.mark.parametrize("age", [11, -3600], ids=["old", "from the future"])
def test_a_file_that_was_only_begun(trainer: Trainer, age: int) -> None:
    """An empty next file is somebody's who goes on, or died there: what helps is said."""
    trainer.ends_early()
    begun = _folder().journal / "w0000-e0002.jzst"
    begun.touch()
    with pytest.raises(
        JournalBusyError,
        match=r"^another process goes on with run 1 already; if it was killed there, try again in 1\d s$",
    ):
        trainer.goes_on(lambda _run, _rate: pytest.fail("it ran"))
    moment = time.time() - age
    os.utime(begun, (moment, moment))
    assert "COMPLETED" == trainer.goes_on(lambda _run, _rate: None).status


def test_waiting_for_a_seal_is_said(trainer: Trainer) -> None:
    """Whoever waits for a process that seals or repairs the run is told so, at once."""
    trainer.ends_early()
    at_work, told = locked_journal(_folder().journal), []

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for the process that seals" in record.getMessage():
                told.append(record.getMessage())
                at_work.__exit__(None, None, None)

    handler = Told()
    logging.getLogger().addHandler(handler)
    try:
        at_work.__enter__()
        assert "COMPLETED" == trainer.goes_on(lambda _run, _rate: None).status
    finally:
        logging.getLogger().removeHandler(handler)
    assert [
        "waiting for the process that seals, repairs or goes on with run 1: a minute at most"
    ] == told


def test_a_file_of_another_run_in_the_journal(trainer: Trainer) -> None:
    """It is named, and has to be moved away: a repair is not advised, for it could not help."""
    trainer.ends_early()
    trainer.ends_early()
    stranger = _folder().journal / "w0000-e0002.jzst"
    shutil.copy(_folder(2).journal / "w0000-e0001.jzst", stranger)
    name = re.escape(str(stranger.parent))
    _refused(
        trainer,
        f"^run 1 can not be gone on with: in {name} stands w0000-e0002.jzst, and it is of something "
        "else than this run: move it out of the folder; then try again$",
    )
    stranger.unlink()
    stranger.mkdir()
    _refused(trainer, "stands w0000-e0002.jzst, and it is no regular file: move it out of the fol")
    stranger.rmdir()
    # One of another writer is in nobody's way.
    shutil.copy(_folder(2).journal / "w0000-e0001.jzst", stranger.with_name("w0003-e0001.jzst"))
    assert "COMPLETED" == trainer.goes_on(lambda _run, _rate: None).status


def test_an_id_that_is_taken(trainer: Trainer) -> None:
    """`--id` of a run that exists is an error, also of one that could be gone on with."""
    trainer.ends_early()
    with pytest.raises(FileExistsError, match="There is a run with the id 1"):
        trainer.ex.run(options={"--id": "1"})


def test_the_option_of_ones_own_wins() -> None:
    """An experiment that has an option `--resume` or `-R` keeps it."""
    seen: list[Any] = []

    @cli_option("-R", "--resume")
    def mine(args: Any, _run: Any) -> None:
        """Resume in a way of one's own."""
        seen.append(args)

    trainer = Trainer(additional_cli_options=[mine])
    trainer.ex.run(options={"--resume": "checkpoint-7"})
    trainer.ex.run_commandline("x.py -R five")
    trainer.ex.run_commandline("x.py --resume six")
    assert ["checkpoint-7", "five", "six"] == seen


def test_options_of_ones_own_are_in_force_again() -> None:
    """Those of an experiment that are called like ours, `--resume` or `--journal`, are its own there, too."""
    seen: list[Any] = []
    own = [
        cli_option(short, flag)(lambda args, _run: seen.append(args))
        for short, flag in (("-1", "--resume"), ("-2", "--journal"))
    ]
    trainer = Trainer(additional_cli_options=own)
    trainer.ends_early(options={"--resume": "checkpoint-7", "--journal": "elsewhere"})
    trainer.goes_on(lambda _run, _rate: None, options={"--journal": "here"})
    assert ["checkpoint-7", "elsewhere", "checkpoint-7", "here"] == seen
    assert not os.path.exists("here")


def test_options_in_the_other_spelling(trainer: Trainer, caplog: Any) -> None:
    """EXP-09: as of any run, unknown ones told."""
    trainer.ends_early(options={"--beat_interval": 7})
    options = {"--print_config": False, "--file-storage": "files", "--nope": 1}
    run = trainer.goes_on(lambda _run, _rate: None, options=options)
    assert (7.0, ["files"]) == (run.beat_interval, [each.basedir for each in run.observers])
    assert "The option '--nope' of this run is unknown, and ignored" in caplog.text


def test_the_command_line_says_it_in_a_sentence(trainer: Trainer, capsys: Any) -> None:
    """A run that can not be gone on with ends the program with status 2."""
    trainer.ex.run()
    with pytest.raises(SystemExit) as end:
        trainer.ex.run_commandline("x.py --resume 1")
    assert 2 == end.value.code
    assert "Error: run 1 is COMPLETED: there is nothing left" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        trainer.ex.run_commandline("x.py --resume 1 with rate=2")
    assert 2 == end.value.code
