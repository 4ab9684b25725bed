"""The options of ``ex.run``: in either spelling, and the unknown ones told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment, cli_option

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")


def _experiment(**arguments: Any) -> Experiment:
    ex = Experiment("options", save_git_info=False, **arguments)

    @ex.main
    def main(_run: Any) -> Any:
        return _run.beat_interval

    return ex


@pytest.mark.parametrize(
    "options",
    [
        {"--beat-interval": 3},
        {"--beat_interval": 3},
        {"--beat_interval": 3, "--beat-interval": None},
        {"--beat-interval": None, "--beat_interval": 3},
    ],
)
def test_an_option_in_either_spelling(options: Any, caplog: pytest.LogCaptureFixture) -> None:
    """EXP-09: ``--beat_interval`` is that of Sacred's documents, ``--beat-interval`` that of its code."""
    run = _experiment().run(options=options)
    assert (3.0, 3) == (run.result, run.meta_info["options"]["--beat-interval"])
    assert "--beat_interval" not in run.meta_info["options"]
    assert "unknown" not in caplog.text


def test_options_with_underscores_in_the_other_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXP-09: what was asked for is done, and not passed over in silence."""
    run = _experiment().run(options={"--file-storage": "files"})
    assert ["<FileStorageObserver files>"] == [str(each) for each in run.observers]
    asked = []
    monkeypatch.setattr("sacred.core.dependencies.check_clean_repositories", asked.append)
    _experiment().run(options={"--enforce-clean": True})
    assert 1 == len(asked)


def test_the_options_of_an_old_run(caplog: pytest.LogCaptureFixture) -> None:
    """EXP-09: those that a run of an earlier Sacred has in its record can be given again, with the words of the grammar."""
    old = {
        "--beat_interval": "4",
        "--print_config": False,
        "--tiny_db": None,
        "--force": True,
        "--help": False,
        "COMMAND": None,
        "UPDATE": [],
        "help": False,
        "with": False,
    }
    assert 4.0 == _experiment().run(options=old).result
    assert "unknown" not in caplog.text


def test_unknown_options_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """EXP-09: the run goes on, as with Sacred, and is recorded with them; a warning names each that asks for something."""
    options = {"--nope": 1, "beat_interval": 3, "-f": True, 3: 4, "--off": False, "--none": None}
    run = _experiment().run(options=options)
    assert 10.0 == run.result
    assert options.items() <= run.meta_info["options"].items()
    told = [record.getMessage() for record in caplog.records if "is unknown" in record.getMessage()]
    assert 4 == len(told)
    said = "The option '--nope' of this run is unknown, and ignored. "
    assert f"{said}ex.get_default_options() has all there are." == told[0]
    assert told[1].endswith('Did you mean "--beat-interval"?')
    assert told[2].endswith('Did you mean "--force"?')
    assert told[3] == "The option 3 of this run is unknown, and ignored. " + told[0][len(said) :]


def test_what_an_option_hook_sets() -> None:
    """EXP-13: in either spelling, too."""
    ex = _experiment()

    @ex.option_hook
    def hook(options: Any) -> None:
        options["--beat_interval"] = 7

    assert 7.0 == ex.run().result


def test_an_own_option_with_the_other_spelling_is_that() -> None:
    """CLI-12: an experiment's own ``--beat_interval`` is its own."""
    given = []

    @cli_option("-x", "--beat_interval")
    def own(args: Any, run: Any) -> None:
        given.append(args)

    ex = _experiment(additional_cli_options=[own])
    assert 10.0 == ex.run(options={"--beat_interval": 3}).result
    assert [3] == given


def test_a_class_with_a_way_of_its_own_to_make_runs() -> None:
    """EXP-08: a subclass may have ``_create_run`` with the parameters that Sacred's has."""

    class Own(Experiment):
        def _create_run(  # type: ignore[override]
            self,
            command_name: Any = None,
            config_updates: Any = None,
            named_configs: Any = (),
            info: Any = None,
            meta_info: Any = None,
            options: Any = None,
        ) -> Any:
            run = super()._create_run(
                command_name, config_updates, named_configs, info, meta_info, options
            )
            run.info["own"] = True
            return run

    ex = Own("own", save_git_info=False)
    ex.main(lambda: 5)
    assert {"own": True} == ex.run(command_name="<lambda>").info
    assert {"own": True} == ex.run_command("<lambda>").info
    assert {"own": True} == ex.run_commandline(["own.py"]).info  # type: ignore[union-attr]
