"""What is given to experiments, ingredients, options, observers and runs, and can not be taken."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment, Ingredient, cli_option, host_info_gatherer
from sacred.core.active_run import start_run
from sacred.core.arguments import InvalidArgumentError
from sacred.core.errors import SacredError
from sacred.core.host_info import get_host_info
from sacred.observers import FileStorageObserver, QueueObserver

if TYPE_CHECKING:
    from collections.abc import Callable

UNOBSERVED = {"--unobserved": True}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")


def _experiment(name: Any = "given", **arguments: Any) -> Experiment:
    ex = Experiment(name, save_git_info=False, **arguments)

    @ex.main
    def main(_run: Any) -> Any:
        return _run.host_info.get("mine")

    return ex


def _undecorated(args: Any, run: Any) -> None:
    pass


def _in_a_run(work: Callable[[Any], Any]) -> Callable[[], Any]:
    def call() -> None:
        ex = Experiment("given", save_git_info=False)

        @ex.main
        def main(_run: Any) -> None:
            work(_run)

        ex.run()

    return call


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: _experiment(3),
            'The name of Experiment(...) is 3: give a text, Experiment("NAME")',
        ),
        (lambda: Ingredient(None), "The name of Ingredient(...) is None"),  # type: ignore[arg-type]
        (
            lambda: _experiment(ingredients=["data"]),
            "'data' among the ingredients of \"given\" is no Ingredient: give a list of Ingredient",
        ),
        (lambda: _experiment(ingredients=3), 'The ingredients of "given" are 3: give a list'),
        (lambda: _experiment(ingredients="data"), "The ingredients of \"given\" are 'data'"),
        (lambda: _experiment(ingredients=Ingredient("data")), 'The ingredients of "given" are <'),
        (
            lambda: _experiment(additional_cli_options=[_undecorated]),
            "in additional_cli_options is no option: decorate its function by @cli_option(",
        ),
        (lambda: _experiment(additional_cli_options=3), "additional_cli_options is 3: give a list"),
        (lambda: cli_option("-o", "--own")(3), "decorates a function of (args, run), not 3"),  # type: ignore[arg-type]
        (
            lambda: _experiment(additional_host_info=[_undecorated]),
            'in additional_host_info is no fact: give a list of functions that are decorated by @host_info_gatherer("NAME"), or a dictionary',
        ),
        (lambda: _experiment(additional_host_info=3), "additional_host_info=3 is no fact"),
        (
            lambda: _experiment(additional_host_info={"a": 3}),
            "The entry 'a' of additional_host_info is no fact",
        ),
        (lambda: get_host_info([_undecorated]), "in additional_host_info is no fact"),  # type: ignore[list-item]
        (
            _in_a_run(lambda run: run.add_artifact(None)),
            "None is no path: write add_artifact(PATH)",
        ),
        (
            _in_a_run(lambda run: run.open_resource(None)),
            "None is no path: write add_resource(PATH)",
        ),
        (
            _in_a_run(lambda run: run.open_resource(3, "w")),
            "3 is no path: write open_resource(PATH)",
        ),
        (lambda: Ingredient("i").add_source_file(3), "3 is no path: write add_source_file(PATH)"),  # type: ignore[arg-type]
        (
            lambda: Ingredient("i").add_package_dependency(3, 3),  # type: ignore[arg-type]
            "The dependency (3, 3) is no name with a version: give two texts",
        ),
        (lambda: FileStorageObserver(None), "None is no path: write FileStorageObserver(PATH)"),  # type: ignore[arg-type]
        (
            lambda: FileStorageObserver("runs", resource_dir=3),  # type: ignore[arg-type]
            "3 is no path: write FileStorageObserver(resource_dir=PATH)",
        ),
        (
            lambda: FileStorageObserver("runs", source_dir=3),  # type: ignore[arg-type]
            "3 is no path: write FileStorageObserver(source_dir=PATH)",
        ),
        (
            lambda: FileStorageObserver("runs", template=3),  # type: ignore[arg-type]
            "3 is no path: write FileStorageObserver(template=PATH)",
        ),
        (
            lambda: start_run(3),  # type: ignore[arg-type]
            'The name of start_run(...) is 3: give a text, start_run("NAME")',
        ),
        (
            lambda: FileStorageObserver("runs", priority="x"),  # type: ignore[arg-type]
            "The priority of FileStorageObserver(...) is 'x': give a number, priority=30",
        ),
    ],
)
def test_what_can_not_be_taken(call: Callable[[], Any], said: str) -> None:
    """EXP-01, ING-01, ING-09, CLI-12, HST-02, RUN-10, FSO-01: where Sacred fails inside, or later, a sentence says what can."""
    with pytest.raises(InvalidArgumentError) as caught:
        call()
    assert said in str(caught.value)
    assert isinstance(caught.value, (SacredError, TypeError))
    assert isinstance(caught.value, ValueError)


def test_what_is_added_later_is_looked_at_too() -> None:
    """EXP-04: the lists of an experiment may be added to."""
    ex = _experiment()
    ex.ingredients.append("data")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'data' among the ingredients of \"given\""):
        ex.run(options=UNOBSERVED)
    ex = _experiment()
    ex.additional_cli_options.append(_undecorated)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="in additional_cli_options is no option"):
        ex.run(options=UNOBSERVED)
    ex = _experiment()
    ex.additional_host_info.append(_undecorated)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="in additional_host_info is no fact"):
        ex.run(options=UNOBSERVED)


def test_an_option_whose_function_takes_other_arguments() -> None:
    """CLI-12: told when the option is used, and not of an error inside of the function."""

    @cli_option("-o", "--own")
    def own(args: Any) -> None:  # type: ignore[misc]
        pass

    @cli_option("-e", "--else")
    def other(args: Any, run: Any) -> None:
        len(args)

    ex = _experiment(additional_cli_options=[own, other])
    ex.run(options=UNOBSERVED)
    with pytest.raises(InvalidArgumentError, match=r"option --own can not .* def own\(args, run\)"):
        ex.run(options={**UNOBSERVED, "--own": 1})
    with pytest.raises(TypeError, match=r"has no len") as caught:
        ex.run(options={**UNOBSERVED, "--else": 1})
    assert not isinstance(caught.value, SacredError)


@pytest.mark.parametrize(
    "facts",
    [
        {"mine": lambda: 5},
        {"mine": host_info_gatherer("other")(lambda: 5)},
        [host_info_gatherer("mine")(lambda: 5)],
        (host_info_gatherer("mine")(lambda: 5),),
    ],
)
def test_facts_about_the_machine(facts: Any) -> None:
    """HST-02: as the documents have it, a dictionary of names and functions; or a list, as Sacred's code has it."""
    ex = _experiment(additional_host_info=facts)
    assert ["mine"] == [fact.name for fact in ex.additional_host_info]
    assert 5 == ex.run(options=UNOBSERVED).result
    assert 5 == get_host_info(facts)["mine"]


def test_a_fact_of_a_dictionary_with_a_taken_name() -> None:
    """HST-02: refused, as in a list."""
    with pytest.raises(KeyError, match="The name 'cpu' in `additional_host_info` is taken"):
        _experiment(additional_host_info={"cpu": lambda: 5})


def test_paths_as_names() -> None:
    """ING-01: a path or bytes are taken as their text."""
    assert ("data", "model") == (Ingredient(pathlib.Path("data")).path, Ingredient(b"model").path)  # type: ignore[arg-type]


def test_a_queue_around_nothing() -> None:
    """OBS-02, QUE-06: refused before the run, like any other observer that is none."""
    ex = _experiment()
    ex.observers.append(QueueObserver(3))
    with pytest.raises(TypeError, match="3, around which QueueObserver is, is no observer"):
        ex.run()
