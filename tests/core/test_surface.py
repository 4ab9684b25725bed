"""What can be seen of experiments and runs from outside, and how a configuration comes together."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import pytest

import sacred
from sacred import Experiment, Ingredient

# What an experiment is made of, as scripts and tools read it.
_EXPERIMENT = (
    "path doc base_dir mainfile sources dependencies configurations named_configs ingredients commands "
    "captured_functions config_hooks pre_run_hooks post_run_hooks option_hooks observers captured_out_filter "
    "current_run default_command logger additional_host_info additional_cli_options all_cli_options"
).split()
# What a run knows.
_RUN = (
    "_id captured_out config config_modifications experiment_info host_info info root_logger run_logger "
    "main_function observers pre_run_hooks post_run_hooks result status start_time stop_time debug pdb meta_info "
    "beat_interval unobserved force queue_only captured_out_filter fail_trace capture_mode"
).split()


def _experiment(*ingredients: Ingredient) -> Experiment:
    ex = Experiment("surface", ingredients=ingredients, save_git_info=False)

    @ex.main
    def main() -> int:
        return 1

    return ex


def test_what_the_package_offers() -> None:
    """PKG-01: the names, and the marker by which type checkers know that it is typed."""
    names = (
        "Experiment Ingredient observers host_info_getter host_info_gatherer cli_option SETTINGS"
    )
    facts = "__version__ __author__ __author_email__ __url__"
    assert [] == [name for name in (names + " " + facts).split() if not hasattr(sacred, name)]
    assert (Path(str(sacred.__file__)).parent / "py.typed").exists()


def test_what_an_experiment_is_made_of() -> None:
    """EXP-04: attributes that can be read; the current run stays after the run."""
    ex = _experiment()
    assert [] == [name for name in _EXPERIMENT if not hasattr(ex, name)]
    assert ([], {}, [], None) == (ex.observers, ex.named_configs, ex.config_hooks, ex.current_run)
    run = ex.run()
    assert run is ex.current_run
    assert ("surface", "main") == (ex.path, ex.default_command)


def test_what_a_run_knows() -> None:
    """RUN-02: attributes and methods, before, during and after."""
    ex = _experiment()
    run = ex._create_run()
    assert [] == [name for name in _RUN if not hasattr(run, name)]
    methods = "open_resource add_resource add_artifact log_scalar warn_if_unobserved"
    assert all(callable(getattr(run, name)) for name in methods.split())
    assert (None, None, {}, 10.0) == (run.status, run.result, run.info, run.beat_interval)
    run()
    assert ("COMPLETED", 1, None) == (run.status, run.result, run.fail_trace)


def test_names_are_shown_without_the_experiments_path() -> None:
    """EXP-14: of commands and of named configurations, the ingredients' keep theirs."""
    data = Ingredient("data", save_git_info=False)
    ex = _experiment(data)

    @data.command
    def stats() -> None:
        pass

    @data.named_config
    def small() -> None:
        size = 1  # noqa: F841

    @ex.named_config
    def quick() -> None:
        epochs = 1  # noqa: F841

    built_in = ["print_config", "print_dependencies", "save_config", "print_named_configs"]
    assert [*built_in, "main", "data.stats"] == [name for name, _ in ex.gather_commands()]
    assert ["quick", "data.small"] == [name for name, _ in ex.gather_named_configs()]


def test_the_deepest_ingredients_are_configured_first() -> None:
    """CFG-01: an ingredient stands before all that use it, by its longest way; then as they were named."""
    order: list[str] = []

    def ingredient(path: str, *below: Ingredient) -> Any:
        made = Ingredient(path, ingredients=below, save_git_info=False)

        @made.config_hook
        def note(config: Any, command_name: Any, logger: Any) -> dict[str, Any]:
            order.append(path)
            return {}

        return made

    bottom = ingredient("bottom")
    middle = ingredient("middle", bottom)
    ex = _experiment(bottom, ingredient("side"), ingredient("top", middle))

    @ex.config_hook
    def note(config: Any, command_name: Any, logger: Any) -> dict[str, Any]:
        order.append("")
        return {}

    ex.run()
    assert ["bottom", "middle", "side", "top", ""] == order


def test_a_configuration_is_a_plain_dict_with_the_ingredients_in_it() -> None:
    """CFG-09: each ingredient's entries lie at its dotted path."""
    data = Ingredient("data", save_git_info=False)
    deep = Ingredient("data.paths.raw", save_git_info=False)
    data.add_config(size=3, seed=1)
    deep.add_config(folder="f", seed=2)
    ex = _experiment(data, deep)
    ex.add_config(a=1, seed=0)
    config = ex.run().config
    assert {
        "a": 1,
        "seed": 0,
        "data": {"size": 3, "seed": 1, "paths": {"raw": {"folder": "f", "seed": 2}}},
    } == config
    assert (dict, dict) == (type(config), type(config["data"]))


@pytest.mark.parametrize("paths", list(itertools.permutations(["a", "a.b", "a.b.c"])))
@pytest.mark.parametrize("nested", [False, True])
def test_groups_in_groups_keep_each_other(paths: tuple[str, ...], nested: bool) -> None:
    """ING-13, ING-14: in whatever order ingredients are named, none hides one whose path lies in its own."""
    made: list[Ingredient] = []
    seen: dict[str, Any] = {}
    for path in paths:
        below = made[-1:] if nested else []
        ingredient = Ingredient(path, ingredients=below, save_git_info=False)
        ingredient.add_config(name=path, seed=1)
        made.append(ingredient)
    ex = Experiment("groups", ingredients=made[-1:] if nested else made, save_git_info=False)
    ex.add_config(seed=0)

    @made[paths.index("a")].capture
    def within(_config: dict[str, Any]) -> None:
        seen.update(_config)

    @ex.main
    def main(_config: dict[str, Any]) -> dict[str, Any]:
        within()
        return dict(_config)

    run = ex.run()
    group = {
        "name": "a",
        "seed": 1,
        "b": {"name": "a.b", "seed": 1, "c": {"name": "a.b.c", "seed": 1}},
    }
    assert {"seed": 0, "a": group} == run.config
    assert {"seed": 0, "a": group} == run.result
    assert group == seen


def test_no_scope_reads_the_seed() -> None:
    """SCO-05: it may be set, and be given, but a scope that asks for it gets an error."""
    ex = _experiment()

    @ex.config
    def config() -> None:
        seed = 5  # noqa: F841

    assert 5 == ex.run().config["seed"]

    @ex.config
    def reads(seed: int) -> None:
        b = seed  # noqa: F841

    # Set by an earlier scope it is an entry like any other.
    assert 5 == ex.run().config["b"]
    other = _experiment()
    other.config(reads._func if hasattr(reads, "_func") else reads)
    with pytest.raises(KeyError, match="seed"):
        other.run()


@pytest.mark.parametrize(
    "command", ["print_config", "print_dependencies", "save_config", "print_named_configs"]
)
def test_the_four_commands_are_runs_that_nobody_observes(
    command: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMD-07: with the lines of any run, a status, and no observer called."""
    monkeypatch.chdir(tmp_path)

    class Never:
        priority = 0

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    ex = _experiment()
    ex.observers.append(Never())
    with caplog.at_level(logging.INFO):
        run = ex.run(command)
    assert "COMPLETED" == run.status
    messages = [
        record.getMessage() for record in caplog.records if record.name.startswith("surface")
    ]
    messages = [message for message in messages if not message.startswith("Saving config")]
    assert [f"Running command '{command}'", "Started"] == messages[:-1]
    assert messages[-1].startswith("Completed after 0:0")


def test_hooks_of_a_run_are_lists() -> None:
    """RUN-02: they can be added to before the run is called."""
    ex = _experiment()
    run = ex._create_run("main")
    called: list[str] = []
    run.post_run_hooks.append(lambda: called.append("after"))
    assert ([], list) == (run.pre_run_hooks, type(run.post_run_hooks))
    run()
    assert ["after"] == called
