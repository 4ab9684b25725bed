# ruff: noqa: F841 - the local variables of a scope are its entries
"""Ingredients: what they are made of and what they know of themselves."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

from sacred.core.config.config_scope import ConfigScope
from sacred.core.dependencies import Source
from sacred.core.errors import CircularDependencyError
from sacred.core.ingredient import Ingredient, collect_repositories


def make(path="data", ingredients=(), **options):
    """An ingredient of this file that leaves git alone."""
    return Ingredient(path, ingredients, save_git_info=False, **options)


def test_what_a_new_ingredient_knows():
    """ING-01: its file, the folder of that and the docstring; git is not needed for it."""
    ingredient = make(pathlib.Path("data"))
    assert ingredient.path == "data"
    assert ingredient.doc == __doc__
    assert os.path.dirname(os.path.realpath(__file__)) == ingredient.base_dir
    assert os.path.realpath(__file__) == ingredient.mainfile.filename


def test_its_own_source_is_there_at_once():
    """USE-08: right after the construction."""
    assert Source.create(__file__) in make().sources


def test_without_a_file():
    """EXP-15: only where interactive=True says that this is meant."""
    with pytest.raises(RuntimeError, match="interactive mode!"):
        Ingredient("data", _caller_globals={"__name__": "notebook"})
    ingredient = Ingredient(
        "data", interactive=True, _caller_globals={"__name__": "notebook"}, save_git_info=False
    )
    assert ingredient.mainfile is None
    assert ingredient.get_experiment_info()["mainfile"] is None


@pytest.mark.parametrize("name", ["capture", "pre_run_hook", "post_run_hook", "command"])
def test_decorators_with_and_without_arguments(name):
    """ING-03: both spellings capture, the second with its prefix."""
    ingredient = make()
    decorate = getattr(ingredient, name)

    @decorate
    def first(a):
        return a

    @decorate(prefix="p")
    def second(a):
        return a

    assert [first, second] == ingredient.captured_functions
    assert (None, "p") == (first.prefix, second.prefix)
    assert second(3) == 3


def test_hooks_and_commands_are_listed():
    """ING-05: the later command of two with one name wins."""
    ingredient = make()
    hook = ingredient.pre_run_hook(lambda: 1)
    late = ingredient.post_run_hook(lambda: 2)

    def work():
        pass

    first = ingredient.command(work)
    second = ingredient.command(unobserved=True)(lambda: 3)
    assert ([hook], [late]) == (ingredient.pre_run_hooks, ingredient.post_run_hooks)
    assert {"work": first, "<lambda>": second} == ingredient.commands
    assert (False, True) == (first.unobserved, second.unobserved)


def test_capturing_twice_changes_nothing():
    """ING-04: a captured function is returned as it is, and counted once."""
    ingredient = make()
    captured = ingredient.capture(lambda: 1)
    assert ingredient.command(captured) is captured
    assert [captured] == ingredient.captured_functions


def test_configurations_are_kept_in_order(tmp_path):
    """ING-07: scopes, dictionaries, keywords and files, also by pathlib."""
    ingredient = make()
    (tmp_path / "c.json").write_text('{"d": 4}')

    @ingredient.config
    def scope():
        a = 1

    ingredient.add_config({"b": 2})
    ingredient.add_config(c=3)
    ingredient.add_config(tmp_path / "c.json")
    ingredient.add_config(str(tmp_path / "c.json"))
    assert [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}, {"d": 4}] == [
        dict(configuration()) for configuration in ingredient.configurations
    ]
    assert isinstance(scope, ConfigScope)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        (({"a": 1},), {"b": 2}, ValueError, "cannot combine keyword config"),
        ((), {}, ValueError, "attempted to add empty config"),
        (("nowhere.json",), {}, OSError, "File not found nowhere.json"),
        ((3,), {}, TypeError, "Invalid argument type <class 'int'>"),
        (({"a.b": 1},), {}, KeyError, "Invalid key"),
    ],
)
def test_wrong_ways_to_add_a_configuration(arguments, keywords, error, message):
    """ING-07, ING-08: the same for named configurations, which are not kept then."""
    ingredient = make()
    with pytest.raises(error, match=message):
        ingredient.add_config(*arguments, **keywords)
    with pytest.raises(error, match=message):
        ingredient.add_named_config("name", *arguments, **keywords)
    assert ([], {}) == (ingredient.configurations, ingredient.named_configs)


def test_a_name_is_used_once():
    """ING-08: KeyError with Sacred's words, from both ways."""
    ingredient = make()
    ingredient.add_named_config("variant", a=1)

    def variant():
        a = 2

    for add in (lambda: ingredient.add_named_config("variant", a=1),
                lambda: ingredient.named_config(variant)):  # fmt: skip
        with pytest.raises(KeyError, match='Configuration name "variant" already in use!'):
            add()


def test_a_config_hook_has_three_parameters():
    """ING-06: with these names, without defaults."""
    ingredient = make()

    @ingredient.config_hook
    def hook(config, command_name, logger):
        return {}

    for wrong in (
        lambda config, command_name: {},
        lambda command_name, config, logger: {},
        lambda config, command_name, logger=None: {},
        lambda config, command_name, logger, *rest: {},
    ):
        with pytest.raises(ValueError, match="Wrong signature for config_hook"):
            ingredient.config_hook(wrong)
    assert [hook] == ingredient.config_hooks


def test_sources_and_packages_can_be_added(tmp_path):
    """ING-09: before and after the rest was gathered."""
    ingredient = make()
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text("")
    ingredient.add_source_file(files[0])
    gathered = ingredient.sources
    ingredient.add_source_file(str(files[1]))
    assert {Source.create(file) for file in [*files, __file__]} <= ingredient.sources
    assert gathered is ingredient.sources
    ingredient.add_package_dependency("some-package", "1.2.3")
    assert "some-package==1.2.3" in ingredient.get_experiment_info()["dependencies"]
    with pytest.raises(ValueError, match="file not found"):
        ingredient.add_source_file("nowhere.py")


@pytest.mark.parametrize("version", ["1", "1.2rc1", "1.2.dev0", "1!2.0.post1+local.3"])
def test_versions_as_packages_have_them(version):
    """ING-09: everything that PEP 440 allows."""
    make().add_package_dependency("some-package", version)


@pytest.mark.parametrize("version", ["x.y", "v1", "", "1..2", "1.2 "])
def test_versions_that_are_none(version):
    """ING-09: ValueError."""
    with pytest.raises(ValueError, match="Invalid Version"):
        make().add_package_dependency("some-package", version)


def test_commands_and_named_configs_below():
    """ING-10: in pre-order, ingredients' under their path."""
    below = make("data.paths")
    middle = make("data", [below])
    top = make("top", [middle])
    for ingredient in (top, middle, below):
        ingredient.command(unobserved=False)(lambda: 1)
        ingredient.add_named_config("small", a=1)
    assert ["top.<lambda>", "data.<lambda>", "data.paths.<lambda>"] == [
        name for name, _ in top.gather_commands()
    ]
    assert ["top.small", "data.small", "data.paths.small"] == [
        name for name, _ in top.gather_named_configs()
    ]


def test_traversal():
    """ING-11: pre-order with depths; one that is used twice comes twice."""
    shared = make("shared")
    top = make("top", [make("a", [shared]), make("b", [shared])])
    assert [("top", 0), ("a", 1), ("shared", 2), ("b", 1), ("shared", 2)] == [
        (ingredient.path, depth) for ingredient, depth in top.traverse_ingredients()
    ]


def test_a_circle_is_found_each_time():
    """ING-11: also after a traversal that was abandoned half way."""
    a = make("a")
    a.ingredients.append(make("b", [a]))
    top = make("top", [a])
    for _ in range(2):
        next(iter(top.traverse_ingredients()))
        with pytest.raises(CircularDependencyError, match="detected:a->b->a$"):
            list(top.traverse_ingredients())


def test_experiment_info(tmp_path):
    """ING-12: merged over all ingredients, sorted, names relative to the base folder."""
    other = tmp_path / "other.py"
    other.write_text("x = 1\n")
    below = make("below", base_dir=tmp_path)
    below.add_source_file(other)
    below.add_package_dependency("Zebra", "2")
    below.add_package_dependency("ape", "1")
    top = make("top", [below])
    info = top.get_experiment_info()
    assert ["name", "base_dir", "sources", "dependencies", "repositories", "mainfile"] == list(info)
    assert ("top", [], os.path.basename(__file__)) == (
        info["name"], info["repositories"], info["mainfile"],
    )  # fmt: skip
    assert sorted([os.path.realpath(other), os.path.realpath(__file__)]) == [
        os.path.realpath(os.path.join(top.base_dir, name)) for name, _ in info["sources"]
    ]
    digest = dict(info["sources"])[os.path.relpath(os.path.realpath(other), top.base_dir)]
    assert hashlib.md5(b"x = 1\n").hexdigest() == digest
    assert ["ape==1", "Zebra==2"] == [
        d for d in info["dependencies"] if d.startswith(("ape=", "Zebra="))
    ]


def test_one_entry_for_each_repository():
    """ING-12: however many sources are in it."""
    sources = [Source(f"/x/{i}.py", "0" * 32, url, "c0ffee", False)
               for i, url in enumerate(["git:/x", "git:/x", None])]  # fmt: skip
    assert [{"url": "git:/x", "commit": "c0ffee", "dirty": False}] == collect_repositories(sources)


def test_imports_after_the_construction_are_found(tmp_path):
    """ING-02: sources are looked for when they are asked for, again for every run."""
    (tmp_path / "late.py").write_text("")
    (tmp_path / "main.py").write_text(
        "from sacred.core.ingredient import Ingredient\n"
        "i = Ingredient('i', save_git_info=False)\n"
        "print(len(i.sources))\n"
        "import late\n"
        "print([name for name, _ in i.get_experiment_info()['sources']])\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert ("", "1\n['late.py', 'main.py']\n") == (done.stderr, done.stdout)


def test_importing_is_cheap():
    """B1: no module that costs milliseconds is loaded to define an ingredient."""
    heavy = "inspect ast dataclasses json subprocess numpy importlib.metadata typing_extensions"
    code = (
        "import sys, logging; before = set(sys.modules)\n"
        "import sacred.core.ingredient, sacred.core.initialize\n"
        f"print(sorted((set(sys.modules) - before) & set({heavy.split()!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert ("", "[]\n") == (done.stderr, done.stdout)


def test_a_config_hook_may_take_more_keywords():
    """ING-06: a parameter for any other keywords is no difference; one with a name is."""
    ingredient = Ingredient("hooked", save_git_info=False)

    def hook(config, command_name, logger, **more):
        return {}

    def named(config, command_name, logger, *, more):
        return {}

    assert hook is ingredient.config_hook(hook)
    with pytest.raises(ValueError, match="Wrong signature for config_hook"):
        ingredient.config_hook(named)


def test_dependencies_are_sorted_by_name():
    """ING-12: without regard to upper and lower case; a name comes before those that begin with it."""
    ingredient = Ingredient("sorted", save_git_info=False)
    for name in ("zz-more", "ZZ", "aa_x", "aa"):
        ingredient.add_package_dependency(name, "1.0")
    found = [text.split("==")[0] for text in ingredient.get_experiment_info()["dependencies"]]
    ours = {"zz-more", "ZZ", "aa_x", "aa"}
    assert ["aa", "aa_x", "ZZ", "zz-more"] == [name for name in found if name in ours]
