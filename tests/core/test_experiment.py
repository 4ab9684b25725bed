"""Experiments as people write them: scripts, command lines, and what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sacred.core.experiment import Experiment
from sacred.core.options import cli_option
from sacred.core.settings import SETTINGS
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.core.run import Run

#: The Python of an environment with Sacred 0.8.7, to compare with; left out where there is none.
_PEER = os.environ.get("SACRED_PEER_PYTHON")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


@pytest.fixture
def ex() -> Experiment:
    experiment = Experiment("iris", base_dir=os.getcwd(), save_git_info=False)

    @experiment.config
    def config() -> None:
        a = 1  # noqa: F841
        b = {"c": 2}  # noqa: F841

    @experiment.main
    def main(a: Any, b: Any, _run: Run) -> Any:
        _run.info["b"] = b["c"]
        return a

    return experiment


def _fields(run: Run, kind: EventType) -> dict[str, Any]:
    assert run.folder is not None
    return next(e.fields for e in JournalReader(run.folder).read() if e.type == kind)


# -- building -------------------------------------------------------------------------------------


def test_the_four_commands_come_first(ex: Experiment) -> None:
    """EXP-03: their order decides the seeds of everything after them."""
    names = ["print_config", "print_dependencies", "save_config", "print_named_configs", "main"]
    assert names == list(ex.commands)
    assert [True, True, True, True, False] == [c.unobserved for c in ex.commands.values()]


def test_the_name_is_that_of_the_file() -> None:
    """EXP-02: without an extension."""
    assert "test_experiment" == Experiment().path


def test_a_name_is_needed_without_a_file() -> None:
    """EXP-02: in interactive mode, and where there is no file."""
    with pytest.raises(RuntimeError, match="name is required in interactive mode"):
        Experiment(interactive=True)
    with pytest.raises(RuntimeError, match="No main-file found"):
        exec("Experiment()", {"Experiment": Experiment})


def test_automain_of_an_imported_module_does_nothing() -> None:
    """EXP-05: it makes the function the default command."""
    experiment = Experiment("x")

    @experiment.automain
    def my_main() -> None:
        raise AssertionError("called")

    assert "my_main" == experiment.default_command


def test_outside_of_a_run(ex: Experiment) -> None:
    """EXP-11: artifacts need a run."""
    for add in (ex.add_artifact, ex.add_resource, ex.open_resource):
        with pytest.raises(AssertionError, match="Can only be called during a run"):
            add("x")
    with pytest.raises(AttributeError):
        ex.info  # noqa: B018
    with pytest.raises(AttributeError):
        ex.log_scalar("a", 1)


def test_an_option_hook_needs_its_parameter(ex: Experiment) -> None:
    """EXP-13: KeyError without ``options``."""
    with pytest.raises(KeyError, match="options"):
        ex.option_hook(lambda something: None)


# -- running --------------------------------------------------------------------------------------


def test_run_returns_the_run(ex: Experiment) -> None:
    """EXP-06, EXP-08: result, config, info, meta_info and the journal of a run."""
    run = ex.run(
        config_updates={"a": 5, "b.c": 6}, info={"mine": 1}, meta_info={"comment": "hello"}
    )
    assert (5, {"mine": 1, "b": 6}, 1) == (run.result, run.info, run._id)
    assert run is ex.current_run
    assert ("main", "hello", {"a": 5, "b.c": 6}, False) == (
        run.meta_info["command"],
        run.meta_info["comment"],
        run.meta_info["config_updates"],
        run.meta_info["options"]["--force"],
    )
    started = _fields(run, EventType.RUN_STARTED)
    assert ("iris", "main", {"mine": 1}) == (started["name"], started["command"], started["info"])
    assert {"a", "b", "b.c"} <= set(started["modifications"]["modified"])


def test_many_runs_of_one_experiment(ex: Experiment) -> None:
    """Twelve runs in one process: twelve clean journals, each with its configuration."""
    runs = [ex.run(config_updates={"a": number}) for number in range(12)]
    assert list(range(1, 13)) == [run._id for run in runs]
    assert list(range(12)) == [_fields(run, EventType.RUN_ENDED)["result"] for run in runs]
    assert all(verify(folder).clean for folder in JournalRoot("sacred_runs").runs())


def test_observers_are_copied_for_each_run(ex: Experiment) -> None:
    """EXP-10: an option that adds an observer adds it to that run."""
    ex.run(options={"--unobserved": True})
    assert [] == ex.observers


def test_sources_and_dependencies_are_there_at_the_end(tmp_path: Path) -> None:
    """They arrive after the start, the main function's file always among them."""
    experiment = Experiment("iris", save_git_info=False)
    experiment.main(lambda: None)
    run = experiment.run("<lambda>")
    source = _fields(run, EventType.SOURCE_ADDED)
    assert ("test_experiment.py", True) == (source["filename"], source["main"])
    assert (tmp_path / "sacred_runs" / "blobs").is_dir()
    assert "base_dir" in _fields(run, EventType.RUN_STARTED)["experiment"]
    assert run.experiment_info["sources"]


def test_an_option_applies_to_its_run(ex: Experiment) -> None:
    """EXP-09: options by their long flags; 0 is a value."""
    run = ex.run(options={"--beat-interval": 0, "--name": "other", "--comment": "c"})
    assert (0.0, "other", "c") == (
        run.beat_interval,
        run.experiment_info["name"],
        run.meta_info["comment"],
    )
    assert "other" == _fields(run, EventType.RUN_STARTED)["name"]


def test_an_option_of_ones_own() -> None:
    """CLI-12: it is applied after the run was built."""

    @cli_option("-o", "--own-flag", is_flag=True)
    def own(args: Any, run: Any) -> None:
        """Add something."""
        run.info["own"] = args

    experiment = Experiment("x", additional_cli_options=[own], save_git_info=False)
    experiment.main(lambda: None)
    run = experiment.run_commandline("x <lambda> -o")
    assert run is not None
    assert {"own": True} == run.info


def test_an_unknown_command_is_an_error(ex: Experiment) -> None:
    """EXP-06: KeyError from run()."""
    with pytest.raises(KeyError, match="nope"):
        ex.run("nope")


def test_no_command_at_all() -> None:
    """Without a main function, run() says what is missing."""
    with pytest.raises(RuntimeError, match="define a main function"):
        Experiment("x").run()


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv", ["iris with a=3", ["iris", "with", "a=3"], ("iris", "with", "a=3")]
)
def test_forms_of_a_command_line(ex: Experiment, argv: Any) -> None:
    """EXP-07: a text or a sequence; the first word is dropped."""
    run = ex.run_commandline(argv)
    assert run is not None
    assert 3 == run.result


@pytest.mark.parametrize("argv", [5, {"a": 1}, [1, 2]])
def test_what_is_no_command_line(ex: Experiment, argv: Any) -> None:
    """EXP-07: ValueError."""
    with pytest.raises(ValueError, match="argv must be str or list"):
        ex.run_commandline(argv)


@pytest.mark.parametrize(
    ("line", "status", "stream", "text"),
    [
        ("iris nope", 1, "out", 'Command "nope" not found. Available commands are: print_config'),
        ("iris help main", 0, "out", "main"),
        ("iris --help", 0, "out", "Usage:"),
        ("iris main -h", 0, "out", "main"),
        ("iris with zzz=1", 1, "err", "Added new config entry"),
        ("iris --id ../../evil", 1, "err", "can not be the id of a run"),
        ("iris --nonsense", 1, "err", "--nonsense"),
        ("iris -C xx", 1, "err", "Unknown capture mode"),
        ("iris with nope", 1, "err", "nope"),
    ],
)
def test_how_a_command_line_ends(
    ex: Experiment,
    capsys: pytest.CaptureFixture[str],
    line: str,
    status: int,
    stream: str,
    text: str,
) -> None:
    """CLI-20: exit status, one clear sentence, no traceback."""
    with pytest.raises(SystemExit) as exit_info:
        ex.run_commandline(line)
    assert status == (exit_info.value.code or 0)
    printed = capsys.readouterr()
    assert text in getattr(printed, stream)
    assert "Traceback" not in printed.err


def test_a_root_that_is_a_file(
    ex: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal that can not be written: one sentence, status 1, no traceback, main not called."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as exit_info:
        ex.run_commandline(["iris", "-J", "file"])
    assert 1 == exit_info.value.code
    printed = capsys.readouterr().err
    assert re.search(r"Error: the journal can not be written in .*file: ", printed)
    assert "Traceback" not in printed


def test_debug_raises(ex: Experiment) -> None:
    """CLI-10: -d lets the exception through."""
    with pytest.raises(ZeroDivisionError):

        @ex.command
        def fail() -> None:
            raise ZeroDivisionError

        ex.run_commandline("iris fail -d")


def test_usage_names_options_and_commands(ex: Experiment) -> None:
    """EXP-12, CLI-05: the forms, the options, the commands."""
    short, long, _ = ex.get_usage("prog.py")
    assert short.startswith("Usage:\n  prog.py [(with UPDATE...)] [options]")
    assert long.startswith(short)
    for text in ("-J VALUE --journal=VALUE", "-m VALUE --mongo_db=VALUE", "Commands:", "main"):
        assert text in long


# -- programs -------------------------------------------------------------------------------------

_PROGRAM = """
    import sys
    from sacred import Experiment

    ex = Experiment("hello", save_git_info=False)

    @ex.config
    def config():
        mode = "well"
        seed = 3

    @ex.named_config
    def failing():
        mode = "fail"

    @ex.automain
    def main(mode, _log):
        "The main function."
        print("this is printed")
        _log.warning("this is logged")
        if mode == "fail":
            raise ValueError("no good")
        if mode == "exit":
            sys.exit(3)
        return 42
"""


def _execute(python: str, folder: Path, *words: str) -> tuple[int, list[str], list[str]]:
    """Run the program; return its exit status and the lines on stdout and stderr."""
    folder.mkdir(exist_ok=True)
    script = folder / "hello.py"
    script.write_text(textwrap.dedent(_PROGRAM))
    environment = dict(os.environ)
    if python == str(_PEER):  # a path to this project is none for the peer
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, str(script), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    out, err = (
        re.sub(
            r"(?<= after )\d:\d\d:\d\d", "TIME", text.replace(str(folder), "FOLDER")
        ).splitlines()
        for text in (done.stdout, done.stderr)
    )
    return done.returncode, out, err


def test_a_run_that_went_well_prints_exactly_sacreds_lines(tmp_path: Path) -> None:
    """USE-07: nothing about journals, with journalling on."""
    assert (
        0,
        ["this is printed"],
        [
            "WARNING - hello - No observers have been added to this run",
            "INFO - hello - Running command 'main'",
            "INFO - hello - Started",
            "WARNING - main - this is logged",
            "INFO - hello - Result: 42",
            "INFO - hello - Completed after TIME",
        ],
    ) == _execute(sys.executable, tmp_path / "a")
    assert ["1"] == [str(n) for n in JournalRoot(tmp_path / "a" / "sacred_runs").numbers()]


@pytest.mark.skipif(_PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("with", "failing"),
        ("with", "mode=exit"),
        ("-u",),
        ("-q",),
        ("-l", "ERROR"),
        ("-n", "other"),
        ("-c", "a comment"),
        ("-d",),
        ("-C", "no"),
        ("-p",),
        ("--force", "with", "zzz=1"),
        ("with", "zzz=1"),
        ("print_config",),
        ("print_config", "with", "failing"),
        ("print_named_configs",),
        ("save_config",),
        ("nope",),
        ("help", "main"),
    ],
)
def test_the_same_lines_as_the_peer(tmp_path: Path, words: tuple[str, ...]) -> None:
    """USE-07: transcripts, line by line, of the same program under both packages.

    Into a pipe the peer writes colours, too; behind an error about an update we say where it was
    given.
    """
    status, out, err = _execute(str(_PEER), tmp_path / "theirs", *words)
    theirs = status, [re.sub(r"\x1b\[\d+m", "", line) for line in out], err
    status, out, err = _execute(sys.executable, tmp_path / "ours", *words)
    assert theirs == (status, out, [line for line in err if not line.startswith("It was set")])


def test_a_terminated_run_is_recorded(tmp_path: Path) -> None:
    """SIGTERM: INTERRUPTED with what was stored, and the process dies of the signal."""
    script = tmp_path / "slow.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            from sacred import Experiment
            ex = Experiment("slow", save_git_info=False)

            @ex.automain
            def main(_run):
                _run.log_scalar("a", 1.5)
                _run.info["here"] = True
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(300)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, timeout=100, check=False
    )
    assert -15 == done.returncode
    events = list(JournalReader(tmp_path / "sacred_runs" / "1").read())
    ended = next(event.fields for event in events if event.type == EventType.RUN_ENDED)
    assert ("interrupted", "INTERRUPTED") == (ended["how"], ended["status"])
    assert [1.5] == [e.fields["value"] for e in events if e.type == EventType.METRIC_POINT]
