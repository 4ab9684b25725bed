"""Cells that are run again: what they define takes the place of what they defined before."""

from __future__ import annotations

import itertools
import linecache
from typing import Any

import pytest

from sacred import Experiment, Ingredient
from sacred.core.notebook import is_typed

_numbers = itertools.count(1)


class _Prompt:
    """A namespace into which cells are typed, as IPython types them."""

    def __init__(self, **names: Any) -> None:
        self.names = {"__name__": "__main__", **names}

    def cell(self, code: str) -> None:
        filename = f"<ipython-input-{next(_numbers)}-0123456789ab>"
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        exec(compile(code, filename, "exec"), self.names)


@pytest.fixture
def prompt() -> _Prompt:
    ex = Experiment("cells", interactive=True, save_git_info=False)
    return _Prompt(ex=ex)


def _run(prompt: _Prompt, **updates: Any) -> Any:
    return prompt.names["ex"].run(config_updates=updates, options={"--unobserved": True})


def test_a_configuration_is_replaced(prompt: _Prompt) -> None:
    """No entry of the old one is left; another function's stay."""
    prompt.cell("@ex.config\ndef config():\n    a = 1\n    gone = True\n")
    prompt.cell("@ex.config\ndef more():\n    b = 2\n")
    prompt.cell("@ex.main\ndef main(a):\n    return a\n")
    assert 1 == _run(prompt, seed=1).result
    prompt.cell("# further down\n\n@ex.config\ndef config():\n    a = 5\n")
    run = _run(prompt, seed=1)
    assert ({"a": 5, "b": 2, "seed": 1}, 5) == (run.config, run.result)


def test_two_of_one_name_in_one_cell_are_two(prompt: _Prompt) -> None:
    """They are merged as in a file, also when the cell is run again, changed or not."""
    cell = "@ex.config\ndef config():\n    a = 1\n\n@ex.config\ndef config():\n    b = {}\n"
    prompt.cell("@ex.main\ndef main():\n    pass\n")
    for text in (cell.format(2), cell.format(2), cell.format(3)):
        prompt.cell(text)
    assert {"a": 1, "b": 3, "seed": 1} == _run(prompt, seed=1).config
    assert 2 == len(prompt.names["ex"].configurations)


def test_functions_and_commands_are_replaced(prompt: _Prompt) -> None:
    """A command is the newest of its name; hooks are called once; named configurations can be defined again."""
    for n in (1, 2):
        prompt.cell(
            f"calls = []\n"
            f"@ex.capture\ndef helper():\n    return {n}\n"
            f"@ex.pre_run_hook\ndef before():\n    calls.append('before{n}')\n"
            f"@ex.post_run_hook\ndef after():\n    calls.append('after{n}')\n"
            f"@ex.named_config\ndef fast():\n    a = {n}\n"
            f"@ex.config_hook\ndef hook(config, command_name, logger):\n"
            f"    calls.append('hook{n}')\n    return {{}}\n"
            f"@ex.option_hook\ndef choose(options):\n    calls.append('option{n}')\n"
            f"@ex.main\ndef main(a=0):\n    return helper()\n"
        )
    ex = prompt.names["ex"]
    run = ex.run(named_configs=["fast"], options={"--unobserved": True})
    assert (2, 2) == (run.result, run.config["a"])
    assert ["option2", "hook2", "before2", "after2"] == prompt.names["calls"]
    assert 4 == len([f for f in ex.captured_functions if f.__module__ == "__main__"])


def test_seeds_stay_the_same_when_a_cell_is_run_again(prompt: _Prompt) -> None:
    """A function keeps its place in the order of draws: the numbers do not depend on how often a cell was run."""
    prompt.cell("@ex.capture\ndef first(_seed):\n    return _seed\n")
    main = "@ex.main\ndef main(_seed):\n    return first(), _seed\n"
    prompt.cell(main)
    expected = _run(prompt, seed=1).result
    prompt.cell("@ex.capture\ndef first(_seed):\n    return _seed  # changed\n")
    prompt.cell(main)
    assert expected == _run(prompt, seed=1).result


def test_ingredients_too() -> None:
    """What a cell defines of an ingredient is replaced in the same way."""
    data = Ingredient("data", interactive=True, save_git_info=False)
    prompt = _Prompt(data=data)
    for n in (1, 2):
        prompt.cell(f"@data.config\ndef config():\n    size{n} = {n}\n")
    assert 1 == len(data.configurations)


def test_closures_and_lambdas_are_never_replaced(prompt: _Prompt) -> None:
    """A function that makes captured functions makes a new one each time."""
    prompt.cell(
        "def make(n):\n    @ex.capture\n    def inner():\n        return n\n    return inner\n"
    )
    prompt.cell("ones = [make(1), make(2)]\nex.capture(lambda: 3)\nex.capture(lambda: 4)\n")
    ex = prompt.names["ex"]
    assert 4 == len([f for f in ex.captured_functions if f.__module__ == "__main__"])
    assert [1, 2] == [one() for one in prompt.names["ones"]]


def test_functions_of_files_are_as_with_sacred() -> None:
    """ING-08: there, two of one name are two, and a named configuration of a name in use an error."""
    ex = Experiment("file", save_git_info=False)
    for _ in range(2):

        @ex.config
        def config() -> None:
            a = 1  # noqa: F841

    assert 2 == len(ex.configurations)

    @ex.named_config
    def fast() -> None:
        a = 2  # noqa: F841

    with pytest.raises(KeyError, match="already in use"):
        ex.named_config(fast._func)  # type: ignore[arg-type]


def test_another_kind_of_the_same_name_is_still_refused(prompt: _Prompt) -> None:
    """ING-08: a function does not replace a named configuration that was added as a dictionary."""
    prompt.names["ex"].add_named_config("fast", {"a": 1})
    with pytest.raises(KeyError, match="already in use"):
        prompt.cell("@ex.named_config\ndef fast():\n    a = 2\n")


@pytest.mark.parametrize(
    ("filename", "typed"),
    [
        ("<stdin>", True),
        ("<ipython-input-3-0123456789ab>", True),
        ("<python-input-0>", True),
        ("/tmp/ipykernel_123/456.py", True),
        ("<string>", False),
        ("/home/me/train.py", False),
    ],
)
def test_where_a_function_was_typed(filename: str, typed: bool) -> None:
    """EXP-05: prompts of Python and IPython, and the cells of notebooks."""
    made: dict[str, Any] = {}
    exec(compile("def f():\n    pass\n", filename, "exec"), made)
    assert typed is is_typed(made["f"])


def test_what_was_typed_is_no_program(prompt: _Prompt) -> None:
    """EXP-05: ``automain`` says what to do instead."""
    with pytest.raises(RuntimeError, match="Cannot use @ex.automain decorator in interactive mode"):
        prompt.cell("@ex.automain\ndef main():\n    pass\n")
