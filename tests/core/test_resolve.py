# ruff: noqa: F841 - the local variables of a scope are its entries
"""From an experiment and updates to configuration, seeds and functions.

The numbers were drawn by Sacred 0.8.7 with the same experiments.
"""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from sacred.core.config.captured_function import activate
from sacred.core.config.config_summary import ConfigSummary
from sacred.core.errors import (
    ConfigAddedError,
    ConfigError,
    InvalidConfigError,
    NamedConfigNotFoundError,
    SacredError,
)
from sacred.core.experiment import Experiment
from sacred.core.ingredient import Ingredient
from sacred.core.initialize import Scaffold, create_run
from sacred.core.resolve import (
    create_scaffolding,
    find_best_match,
    gather_ingredients_topological,
    get_command,
    initialize_logging,
    resolve_config,
)
from sacred.core.settings import SETTINGS


def ingredient(path, *below):
    """An ingredient that leaves git alone."""
    return Ingredient(path, list(below), save_git_info=False)


def experiment(*below):
    """An experiment with a command that does nothing."""
    ex = Experiment("ex", list(below), save_git_info=False)

    @ex.command
    def main():
        pass

    return ex


def resolved(ex, updates=None, named=(), command="main"):
    """The configuration that a run of the command would have, its seed fixed."""
    return resolve_config(ex, command, {"seed": 1, **(updates or {})}, named)


def config_of(ex, updates=None, named=()):
    """The same, without the seed."""
    config = resolved(ex, updates, named).config
    assert config.pop("seed") == 1
    return config


# -- order ----------------------------------------------------------------------------------------


def test_configurations_are_evaluated_in_order():
    """CFG-06: each sees what those before it made, the later wins."""
    ex = experiment()
    ex.add_config(a=1, b={"x": 1})

    @ex.config
    def scope(a, b):
        c = a + 1
        b = {"y": c}

    ex.add_config(a=5)
    assert config_of(ex) == {"a": 5, "b": {"x": 1, "y": 2}, "c": 2}


def test_updates_win_and_scopes_see_them():
    """CFG-02, CFG-04: dotted keys and groups, dealt out by the longest path that fits."""
    below = ingredient("data.paths")
    below.add_config(base="/x", sub={"q": 1})
    data = ingredient("data", below)

    @data.config
    def scope(paths):
        file = paths["base"] + "/file"
        n = 1

    ex = experiment(data)

    @ex.config
    def root(data):
        twice = data["n"] * 2

    assert config_of(ex, {"data": {"paths.base": "/y", "n": 4}, "data.paths.sub.q": 2}) == {
        "twice": 8,
        "data": {"n": 4, "file": "/y/file", "paths": {"base": "/y", "sub": {"q": 2}}},
    }


def test_named_configs():
    """CFG-04: updates before the later before the earlier before configurations."""
    data = ingredient("data")
    data.add_config(name="plain", size=1)
    data.add_named_config("big", size=100)
    ex = experiment(data)
    ex.add_config(a=0, b=0, c=0, d=0)
    ex.add_named_config("first", a=1, b=1, c=1)

    @ex.named_config
    def second(a):
        b = a + 1
        data = {"name": "named"}

    assert config_of(ex, {"c": 9}, ["first", "second", "data.big"]) == {
        "a": 1, "b": 2, "c": 9, "d": 0, "data": {"name": "named", "size": 100},
    }  # fmt: skip


def test_keys_of_a_named_config_stay_what_they_are():
    """CFG-04, CFG-16: also numbers, which stop Sacred with a raw TypeError; those of updates are texts."""
    data = ingredient("data")
    data.add_config(sizes={1: 2, (3, 4): 5})
    data.add_named_config("big", sizes={1: 200})
    ex = experiment(data)
    ex.add_config(a={1: 2, 2.5: 3, None: 4})

    @ex.named_config
    def more():
        a = {2.5: 30}

    assert config_of(ex, {"a": {None: 5}}, ["more", "data.big"]) == {
        "a": {1: 2, 2.5: 30, None: 4, "None": 5},
        "data": {"sizes": {1: 200, (3, 4): 5}},
    }
    ex.add_named_config("wrong", a={7.5: "seven"})
    with pytest.raises(ConfigAddedError, match=r"\n  a\.7\.5=seven\n"):
        ex._create_run("main", named_configs=["wrong"])
    ex = experiment()
    ex.add_config(a={1: 2}, b={"near": 1})
    with pytest.raises(
        ConfigAddedError, match=r"=3\n.*has a key that is no text, and updates name"
    ):
        ex._create_run("main", {"a.1": 3})
    with pytest.raises(ConfigAddedError, match=r'Did you mean "b\.near"\?'):
        ex._create_run("main", {"b.mear": 3})


def test_a_named_config_can_not_read_configurations():
    """CFG-05: it is evaluated before them."""
    ex = experiment()
    ex.add_config(a=1)

    @ex.named_config
    def reads(a):
        b = a

    with pytest.raises(KeyError, match="'a' not in preset"):
        config_of(ex, named=["reads"])


def test_a_file_as_named_config(tmp_path, monkeypatch):
    """CFG-03: a file wins over a named configuration of its name, a folder does not."""
    monkeypatch.chdir(tmp_path)
    ex = experiment()
    ex.add_config(a=1)
    ex.add_named_config("variant", a=2)
    ex.add_named_config("c.json", a=3)
    (tmp_path / "variant").mkdir()
    (tmp_path / "c.json").write_text('{"a": 4}')
    assert config_of(ex, named=["variant"]) == {"a": 2}
    assert config_of(ex, named=["c.json"]) == {"a": 4}


def test_named_configs_that_do_not_exist():
    """CFG-03: the error lists those that there are."""
    data = ingredient("data")
    data.add_named_config("big", a=1)
    ex = experiment(data)
    ex.add_named_config("mine", a=1)
    with pytest.raises(NamedConfigNotFoundError, match=r'"nope".*\(\'mine\',\)'):
        resolved(ex, named=["nope"])
    with pytest.raises(NamedConfigNotFoundError, match=r'"nope".*\(\'big\',\)'):
        resolved(ex, named=["data.nope"])
    with pytest.raises(KeyError, match='Ingredient for named config "no.nope" not found'):
        resolved(ex, named=["no.nope"])


def test_ingredients_are_read_by_those_that_use_them():
    """ING-14: a scope reads direct ingredients, whose entries are fixed for it."""
    far = ingredient("far")
    far.add_config(x=1)
    data = ingredient("data", far)
    data.add_config(name="d", values=[1])
    ex = experiment(data)

    @ex.config
    def scope(data):
        data["name"] = "changed"
        data["values"].append(2)
        data["new"] = "kept while it runs"
        name = data["name"]
        seen = data["values"], data["new"]

    assert config_of(ex) == {
        "name": "d", "seen": [[1], "kept while it runs"], "data": {"name": "d", "values": [1]}, "far": {"x": 1},
    }  # fmt: skip
    ex.config(_reads_far)
    with pytest.raises(KeyError, match="'far' not in preset"):
        config_of(ex)


def test_a_scope_sees_the_groups_inside_an_ingredient():
    """ING-13, ING-14: an ingredient whose path lies in that of one that a scope reads is a group of it."""
    inner = ingredient("data.inner")
    inner.add_config(z=1)
    data = ingredient("data", inner)
    data.add_config(y=2)
    ex = experiment(data)

    @ex.config
    def scope(data):
        seen = data["inner"]["z"], data["y"]

    assert {"seen": [5, 2], "data": {"y": 2, "inner": {"z": 5}}} == config_of(
        ex, {"data.inner.z": 5}
    )


def _reads_far(far):
    x = far


def test_an_ingredient_that_two_use():
    """ING-13: evaluated once, the deepest first."""
    shared = ingredient("shared")
    shared.add_config(v=1)
    ex = experiment(ingredient("a", shared), ingredient("b", shared))
    assert ["shared", "a", "b", "ex"] == [i.path for i in gather_ingredients_topological(ex)]
    assert config_of(ex, {"shared.v": 2}) == {"shared": {"v": 2}}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["data", "data"], "not unique. ['data', 'data']: give each Ingredient a path of its own"),
        ([""], 'The path "" of an ingredient has an empty name in it. Write Ingredient("NAME")'),
        (["a..b"], 'The path "a..b" of an ingredient has an empty name in it'),
        (["a."], 'The path "a." of an ingredient has an empty name in it'),
    ],
)
def test_paths_that_ingredients_can_not_have(paths, said):
    """ING-13: they are told apart by their paths; an empty name leads nowhere."""
    with pytest.raises(ValueError) as caught:
        resolved(experiment(*map(ingredient, paths)))
    assert said in str(caught.value)
    assert isinstance(caught.value, SacredError)


def test_an_ingredient_called_like_the_experiment():
    """ING-13: the experiment's entries lie beside those of the ingredient; commands, named configurations and draws are Sacred's."""
    iris = ingredient("iris")
    iris.add_config(x=1)
    iris.add_named_config("fast", x=99)

    @iris.command
    def show(x, _seed):
        return x, _seed

    @iris.capture
    def get(x, _seed, _log):
        return x, _seed, _log.name

    ex = Experiment("iris", ingredients=[iris], save_git_info=False)

    @ex.config
    def config(iris):
        y = iris["x"] + 1

    ex.add_named_config("fast", y=55)

    @ex.command
    def own(y):
        return y

    @ex.main
    def main(y):
        return get(), y

    def run(command=None, **how):
        how.setdefault("config_updates", {})["seed"] = 1
        return ex.run(command, options={"--unobserved": True}, **how)

    plain = run(config_updates={"iris.x": 7})
    assert ((7, 429423633, "iris.get"), 8) == plain.result
    assert {"y": 8, "seed": 1, "iris": {"x": 7}} == plain.config
    assert (1, 600083075) == run("iris.show").result
    assert 100 == run("own", named_configs=["iris.fast"]).result
    assert ((1, 429423633, "iris.get"), 55) == run(named_configs=["fast"]).result


def test_modules_and_functions_of_a_scope_do_not_get_in_the_way():
    """CFG-17: scopes may import; config hooks still get a copy of their own."""
    ex = experiment()

    @ex.config
    def scope():
        import math

        a = math.floor(2.5)
        values = [1]

    @ex.config_hook
    def hook(config, command_name, logger):
        config["values"].append(2)
        return {"b": config["math"].ceil(config["a"] + 0.5)}

    config = config_of(ex)
    assert (2, 3, [1]) == (config["a"], config["b"], config["values"])


def test_callables_as_configurations():
    """seml appends callables to ex.configurations; they are called as scopes are."""
    ex = experiment()

    def computed(fixed=None, preset=None, fallback=None):
        summary = ConfigSummary()
        summary.update({"a": 1, **preset, **fixed})
        return summary

    ex.configurations.append(computed)
    assert config_of(ex, {"a": 2}) == {"a": 2}


# -- config hooks ---------------------------------------------------------------------------------


def test_config_hooks_update_their_ingredient():
    """CFG-08: they see all of the configuration so far; the user's updates win over them."""
    data = ingredient("data")
    data.add_config(name="d", n={"x": 1, "y": 1})
    seen = []

    @data.config_hook
    def hook(config, command_name, logger):
        seen.append((config, command_name, logger.name))
        return {"name": "hooked", "n": {"x": 2, "z": 2}}

    ex = experiment(data)

    @ex.config
    def root(data):
        copied = data["name"]

    assert config_of(ex, {"data.n.x": 7}) == {
        "copied": "hooked", "data": {"name": "hooked", "n": {"x": 7, "y": 1, "z": 2}},
    }  # fmt: skip
    assert [({"data": {"name": "d", "n": {"x": 7, "y": 1}}}, "main", "ex")] == seen


def test_config_hooks_update_other_ingredients():
    """CFG-08: as the documents say, entries outside the hook's own ingredient too."""
    first, last = ingredient("first"), ingredient("last")
    first.add_config(a=1, b=1)
    last.add_config(a=1)

    @last.config
    def scope(a):
        seen = a

    first.config_hook(_hook_of_first)
    ex = experiment(first, last)
    ex.config_hook(_hook_of_root)
    assert config_of(ex, {"first.b": 9}) == {
        "first": {"a": "from root", "b": 9, "own": 1},
        "last": {"a": "from first", "seen": "from first", "new": 1},
    }


def _hook_of_first(config, command_name, logger):
    return {"last": {"a": "from first", "new": 1}, "own": 1}


def _hook_of_root(config, command_name, logger):
    return {"first": {"a": "from root", "b": "not this"}}


# -- suspicious changes ---------------------------------------------------------------------------


def test_updates_stay_as_they_were_given():
    """CFG-17: a scope makes lists of its own tuples, not of those that were asked for, and loses nothing in them."""
    ex = experiment()
    ex.add_config(before=0)

    @ex.config
    def config():
        own = (1, (2,))
        asked = 0
        seen = asked
        group = {"kept": (1,), "asked": 0}

    given = (1, ({"x": (2,)}, np.float64(0.5)))
    updates = {"asked": given, "group.asked": (3,), "before": [(4,), {"x": ({"y": 1},)}]}
    config = config_of(ex, updates)
    assert {
        "before": [(4,), {"x": ({"y": 1},)}],
        "own": [1, [2]],
        "asked": given,
        "seen": [1, [{"x": [2]}, 0.5]],
        "group": {"kept": [1], "asked": (3,)},
    } == config
    assert np.float64 is type(config["asked"][1][1])


def test_updates_beside_a_named_scope_become_lists():
    """CFG-04, CFG-17: what a named scope gives counts as updates, tuples that it was given as lists."""
    ex = experiment()
    ex.add_config(a=0, b=0)

    @ex.named_config
    def scope():
        b = (1,)

    ex.add_named_config("entries", b=(1,))
    assert {"a": [2], "b": [1]} == config_of(ex, {"a": (2,)}, ["scope"])
    assert {"a": (2,), "b": [1]} == config_of(ex, {"a": (2,)}, ["entries"])


def test_an_empty_dict_of_a_hook_changes_nothing():
    """CFG-08: dictionaries are merged, also by hooks; new groups keep the order of the hook's."""
    ex = experiment()
    ex.add_config(a={"x": 1}, b=2)
    ex.config_hook(
        lambda config, command_name, logger: {"a": {}, "b": {}, "new": {"z": 1, "y": 2}, "c": {}}
    )
    config = config_of(ex)
    assert {"a": {"x": 1}, "b": 2, "new": {"z": 1, "y": 2}, "c": {}} == config
    assert ["z", "y"] == list(config["new"])


def test_an_empty_dict_of_a_later_hook_changes_nothing():
    """CFG-08: nor what a hook before it gave."""
    ex = experiment()
    ex.config_hook(lambda config, command_name, logger: {"a": 0, "b": {"x": 1}})
    ex.config_hook(lambda config, command_name, logger: {"a": {}, "b": {}})
    assert {"a": 0, "b": {"x": 1}} == config_of(ex)


def test_a_hook_that_gives_the_whole_configuration():
    """CFG-08, CFG-16: every entry stays what and where it is, also under keys that are no text."""
    ex = experiment(data := ingredient("data"))
    data.add_config({"a": {1: 2}, 0.5: 1})
    ex.add_config({"group": {1: {"x": None}, (2, 3): 4}, 5: [6]})

    @ex.config_hook
    def hook(config, command_name, logger):
        config["group"][1]["x"] = "changed"
        config["data"]["a"][7] = 8
        return config

    assert {
        "group": {1: {"x": "changed"}, (2, 3): 4}, 5: [6], "data": {"a": {1: 2, 7: 8}, 0.5: 1},
    } == config_of(ex)  # fmt: skip


def test_the_order_of_the_entries():
    """CFG-09: the experiment's first, then the ingredients', the last to be evaluated in front."""
    inner, first, second = ingredient("outer.inner"), ingredient("first"), ingredient("second")
    for each in (inner, first, second):
        each.add_config(x=1)
    ex = experiment(first, inner, second)
    ex.add_config(b=1, a=2)
    assert ["b", "a", "second", "outer", "first"] == list(config_of(ex))


def test_the_order_of_what_functions_see():
    """ING-14: one's own entries first, then the groups of what an ingredient uses before its own."""
    far, near = ingredient("far"), ingredient("near")
    middle = ingredient("middle", far)
    for each in (far, near, middle):
        each.add_config(x=1)
    ex = experiment(middle, near)
    ex.add_config(b=1, a=2)
    create_run(ex, "main", {"seed": 1})
    assert ["b", "a", "seed", "far", "middle", "near"] == list(ex.commands["main"].config)


def test_an_entry_in_the_way_of_an_ingredient():
    """CFG-09: a sentence that names both."""
    inner = ingredient("model.opt")
    inner.add_config(x=1)
    with pytest.raises(ConfigError, match=r'"model" can not be \[1\]: the ingredient "model.opt"'):
        resolved(experiment(inner), {"model": [1]})


def test_a_group_that_an_entry_holds_is_whole():
    """SCO-10, SCO-12: also in its entries that an earlier configuration set."""
    ex = experiment()
    ex.add_config(group={"x": 1, "y": 2})

    @ex.config
    def scope():
        group = {"x": 3}
        held = [group]

    assert {"group": {"x": 5, "y": 2}, "held": [{"x": 5, "y": 2}]} == config_of(ex, {"group.x": 5})


def test_a_refused_run_leaves_its_configuration():
    """CAP-05: functions that are called afterwards see it, as after any other run."""
    ex = experiment()
    ex.add_config(a=1)

    @ex.capture
    def function(a):
        return a

    with pytest.raises(ConfigAddedError):
        create_run(ex, "main", {"seed": 1, "a": 2, "nowhere": 3})
    assert 2 == function()


def test_an_update_without_a_name():
    """CFG-16: a key can not be empty."""
    with pytest.raises(KeyError, match="cannot be empty"):
        resolved(experiment(), {"": 1})


def test_modifications():
    """CFG-10: what the updates changed, by path."""
    data = ingredient("data")
    data.add_config(a=1, n={"x": 1})
    ex = experiment(data)

    @ex.config
    def scope():
        b = [1, 2, 3]  # the b
        c = 1.0

    changes = resolved(ex, {"data.n.x": "s", "data.new": 1, "b": [1, 2, 4], "c": 1.0}).modifications
    assert {"data.new"} == changes.added
    assert {"seed", "b", "data", "data.n"} == changes.modified
    assert changes.typechanged == {"data.n.x": (int, str)}
    assert changes.docs == {"b": "the b", "seed": "the random seed for this experiment"}


def test_an_update_that_nothing_uses():
    """CFG-11: ConfigAddedError with the path and the value."""
    data = ingredient("data")
    data.add_config(a=1)
    ex = experiment(data)
    with pytest.raises(ConfigAddedError, match=r"not used anywhere\n.*\n  data.new.x=3\nIt was"):
        create_run(ex, "main", {"data.new.x": 3, "seed": 1})
    assert create_run(ex, "main", {"data.new.x": 3}, force=True).config["data"]["new"] == {"x": 3}


def test_what_is_said_about_updates(caplog):
    """CFG-11, CFG-12: used additions and changed types are warned about, on each one's logger."""
    data = ingredient("data")
    data.add_config(a=1, b=1, c=None, d=(1,), e=1)
    ex = experiment(data)

    @data.capture(prefix="group")
    def uses(x):
        pass

    @ex.capture
    def also(y):
        pass

    with caplog.at_level(logging.WARNING):
        create_run(ex, "main", {
            "seed": 1, "y.z": 1,
            "data": {"a": "s", "b": 1.5, "c": 3, "d": [2], "e": True, "group.x": 1},
        })  # fmt: skip
    assert [
        ("data", 'Added new config entry: "group.x"'),
        ("data", 'Changed type of config entry "a" from int to str'),
        ("data", 'Changed type of config entry "e" from int to bool'),
        ("root", 'Added new config entry: "y.z"'),
    ] == [(record.name, record.getMessage()) for record in caplog.records]


def test_assigning_to_an_ingredient(caplog):
    """CFG-13: ignored with a warning, whether it was declared or not."""
    data = ingredient("data")
    data.add_config(a=1)
    ex = experiment(data)

    @ex.config
    def scope():
        data = 3
        b = 1

    with caplog.at_level(logging.WARNING):
        run = create_run(ex, "main", {"seed": 1})
    assert run.config == {"b": 1, "seed": 1, "data": {"a": 1}}
    assert ['Ignored attempt to set value of "data", because it is an ingredient.'] == (
        caplog.messages
    )


def test_updating_an_ingredient_as_a_whole():
    """CFG-02: it has entries; an empty dictionary changes none of them."""
    data = ingredient("data")
    data.add_config(a=1)
    ex = experiment(data)
    with pytest.raises(ConfigAddedError, match='"data" is an ingredient: update its entries'):
        resolved(ex, {"data": 3})
    assert config_of(ex, {"data": {}}) == {"data": {"a": 1}}


def test_warnings_about_types_in_the_order_of_the_entries(caplog):
    """CFG-12: one line each, as the configurations assign them."""
    ex = experiment()
    ex.add_config(z=1, a=1)
    ex.add_config(m=1, b={"y": 1, "x": 1})
    run = type("Run", (), {"force": False})()
    with caplog.at_level(logging.WARNING):
        resolved(ex, {"a": "1", "b.x": "1", "b.y": "1", "m": "1", "z": "1"}).bind(run)
    assert ["z", "a", "m", "b.y", "b.x"] == [text.split('"')[1] for text in caplog.messages]


def test_force_says_nothing(caplog):
    """CFG-14: no error and no warning."""
    ex = experiment()
    ex.add_config(a=1)
    with caplog.at_level(logging.WARNING):
        run = create_run(ex, "main", {"a": "s", "new": 1, "seed": 1}, force=True)
    assert run.config == {"a": "s", "new": 1, "seed": 1}
    assert run.force
    assert [] == caplog.messages


def test_the_check_can_be_replaced(monkeypatch):
    """Public code assigns to Scaffold._warn_about_suspicious_changes."""
    monkeypatch.setattr(Scaffold, "_warn_about_suspicious_changes", lambda self: None)
    assert create_run(experiment(), "main", {"new": 1}).config["new"] == 1


# -- seeds ----------------------------------------------------------------------------------------


def _seeded():
    below = ingredient("data.paths")
    data = ingredient("data", below)
    other = ingredient("other")
    ex = Experiment("x", [data, other], save_git_info=False)

    @below.capture
    def of_below(_seed):
        return _seed

    @data.capture
    def first_of_data(_seed, _rnd):
        return _seed, int(_rnd.integers(0, 10**6))

    @data.capture
    def second_of_data(_seed):
        return _seed

    @other.capture
    def of_other(_seed):
        return _seed

    @ex.capture
    def of_ex(_seed):
        return _seed

    @ex.pre_run_hook
    def hook(_seed):
        return _seed

    @ex.main
    def main(_seed, _rnd):
        return _seed, int(_rnd.integers(0, 10**6))

    def draw():
        return {
            "hook": hook(), "main": main(), "ex": [of_ex(), of_ex(), of_ex()],
            "below": [of_below(), of_below()],
            "data": [first_of_data(), second_of_data(), first_of_data()], "other": of_other(),
        }  # fmt: skip

    return ex, draw


@pytest.mark.parametrize(
    ("updates", "drawn"),
    [
        (
            {"seed": 12345},
            {
                "hook": 274546103,
                "main": (140922607, 631588),
                "ex": [459059766, 349242804, 369399820],
                "below": [429703581, 922725467],
                "data": [(783819110, 429703), 118331863, (697749456, 970515)],
                "other": 370252331,
            },
        ),
        (
            {"seed": 0},
            {
                "hook": 26981808,
                "main": (155244629, 174618),
                "ex": [495200602, 454176154, 264524161],
                "below": [896964075, 774785618],
                "data": [(808280094, 896964), 645888058, (899828838, 916969)],
                "other": 165799085,
            },
        ),
        (
            {"seed": 12345, "data.seed": 7},
            {
                "hook": 274546103,
                "main": (140922607, 631588),
                "ex": [459059766, 349242804, 369399820],
                "below": [606997026, 511374665],
                "data": [(821284816, 606997), 986264962, (717005195, 839859)],
                "other": 370252331,
            },
        ),
    ],
)
def test_seeds_are_those_of_sacred(updates, drawn):
    """RND-05, RND-06: draw for draw, the four built-in commands and the hooks counted."""
    ex, draw = _seeded()
    run = create_run(ex, "main", updates)
    with activate(run.captured_bindings):
        assert drawn == draw()


def test_seeds_of_the_old_generators():
    """RND-04, RND-05: with NUMPY_RANDOM_LEGACY_API they are RandomState's."""
    ex = Experiment("y", save_git_info=False)

    @ex.main
    def main(_seed, _rnd):
        return _seed, _rnd.randint(0, 10**6)

    SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API = True
    try:
        create_run(ex, "main", {"seed": 12345})
        assert (537920285, 275758) == main()
    finally:
        SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API = None


def test_an_ingredient_elsewhere_has_a_seed_that_follows():
    """RND-06: also one that does not lie below what uses it can be repeated."""
    far = ingredient("far")
    ex = experiment(ingredient("data", far))
    seeds = [resolved(ex).scaffolding["far"].seed for _ in range(2)]
    assert seeds[0] == seeds[1]
    assert resolve_config(ex, "main", {"seed": 2}).scaffolding["far"].seed != seeds[0]


def test_a_seed_that_nobody_gave():
    """RND-01: drawn, an entry, and not the same after the generators were seeded."""
    import random

    ex = experiment()
    seeds = set()
    for _ in range(3):
        random.seed(1)
        seeds.add(resolve_config(ex, "main").config["seed"])
    assert len(seeds) == 3
    assert all(1 <= seed <= 10**9 for seed in seeds)
    assert "seed" in resolved(ex).modifications.modified
    assert "seed" not in resolve_config(ex, "main").modifications.modified


@pytest.mark.parametrize("seed", ["1", 1.5, [1]])
def test_a_seed_that_is_none(seed):
    """RND-02: one sentence that says so."""
    with pytest.raises(SacredError, match="Seed has to be integer but was"):
        resolve_config(experiment(), "main", {"seed": seed})


# -- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("updates", "place"),
    [
        ({"seed": "abc"}, 'the entry "seed", set in the config_updates of the call.'),
        ({"data.seed": "abc"}, 'the entry "data.seed", set in the config_updates of the call.'),
        ({}, 'the entry "data.seed".'),
    ],
)
def test_where_a_wrong_seed_is(updates, place):
    """RND-02: the error names the entry, where it was set, and what to do."""
    data = ingredient("data")
    data.add_config(seed=1 if updates else "abc")
    with pytest.raises(SacredError) as caught:
        resolved(experiment(data), updates)
    assert str(caught.value).startswith("Seed has to be integer but was 'abc' <class 'str'>. It is")
    assert f"It is {place} Give a whole number that is not negative, seed=42" in str(caught.value)


def test_what_captured_functions_see():
    """ING-14, CAP-03: all ingredients below, the common part of the path dropped, the prefix."""
    below = ingredient("data.paths")
    below.add_config(base="/x")
    far = ingredient("far")
    far.add_config(x=1)
    data = ingredient("data", below, far)
    data.add_config(a=1, group={"deep": {"b": 2}})
    ex = experiment(data)
    ex.add_config(top=1)
    seen = {}
    for name, owner, prefix in (
        ("below", below, None), ("data", data, None), ("ex", ex, None),
        ("prefix", data, "group.deep"), ("nothing", ex, "no.such"),
    ):  # fmt: skip
        seen[name] = owner.capture(lambda _config, _log: (_config, _log.name), prefix=prefix)
    create_run(ex, "main", {"seed": 1})
    whole = {"a": 1, "group": {"deep": {"b": 2}}, "paths": {"base": "/x"}}
    assert {
        "below": ({"base": "/x"}, "data.paths.<lambda>"),
        "data": ({**whole, "far": {"x": 1}}, "data.<lambda>"),
        "ex": ({"top": 1, "seed": 1, "data": whole, "far": {"x": 1}}, "<lambda>"),
        "prefix": ({"b": 2}, "data.<lambda>"),
        "nothing": ({}, "<lambda>"),
    } == {name: function() for name, function in seen.items()}


@pytest.mark.parametrize("read_only", [True, False])
def test_whether_functions_can_change_what_they_see(read_only):
    """CAP-09: as READ_ONLY_CONFIG says; never the configuration of the next run."""
    data = ingredient("data")
    data.add_config(values=[1])
    ex = experiment(data)

    @data.capture
    def change(values):
        values.append(2)

    @data.capture
    def look(values):
        return list(values)

    SETTINGS.CONFIG.READ_ONLY_CONFIG = read_only
    try:
        run = create_run(ex, "main", {"seed": 1})
        if read_only:
            with pytest.raises(SacredError, match="read-only"):
                change()
        else:
            change()
        expected = [1] if read_only else [1, 2]
        assert (expected, expected) == (look(), run.config["data"]["values"])
        create_run(ex, "main", {"seed": 1})
        assert look() == [1]
    finally:
        SETTINGS.CONFIG.READ_ONLY_CONFIG = True


@pytest.mark.parametrize("update", [{"opts": 3}, {"opts.deep": 3}])
def test_a_prefix_that_leads_to_no_group(update):
    """CAP-03: only a call of the function is an error, with a sentence about it."""
    ex = experiment()
    ex.add_config(opts={"deep": {"x": 1}})

    @ex.capture(prefix="opts.deep")
    def function(x):
        return x

    create_run(ex, "main", {"seed": 1, **update})
    with pytest.raises(
        ConfigError, match=r'prefix="opts.deep", but that entry is no group: it is 3'
    ):
        function()


def test_errors_in_functions_show_values():
    """SCO-13: the path and value of the whole configuration."""
    data = ingredient("data")
    data.add_config(group={"a": 5})
    ex = experiment(data)

    @data.capture(prefix="group")
    def check(a):
        raise InvalidConfigError("no", "a")

    create_run(ex, "main", {"seed": 1})
    with pytest.raises(InvalidConfigError, match=r"group\.a=5"):
        check()


def test_errors_in_config_hooks_show_values():
    """CFG-08: those of the configuration that the hook was given. (Sacred shows None.)"""
    data = ingredient("data")
    data.add_config(size=10)
    ex = experiment(data)
    ex.add_config(steps=5, group={"a": 1})

    @ex.config_hook
    def check(config, command_name, logger):
        raise InvalidConfigError("no", ["steps", "group.a", "data.size"])

    with pytest.raises(InvalidConfigError, match=r"steps=7\n  group\.a=1\n  data\.size=10$"):
        ex._create_run("main", {"steps": 7})


# -- runs -----------------------------------------------------------------------------------------


def test_the_run_that_is_built():
    """RUN-01: observers are copied after the configuration was evaluated."""
    data = ingredient("data")
    ex = experiment(data)
    late = object()

    @ex.config
    def scope():
        a = 1

    ex.configurations.append(lambda fixed, preset, fallback: ex.observers.append(late) or
                             ConfigSummary())  # fmt: skip
    data_hook = data.pre_run_hook(lambda: 1)
    own_hook = ex.pre_run_hook(lambda: 2)
    quiet = ex.command(unobserved=True)(lambda: 3)
    quiet_name = quiet.__name__
    run = create_run(ex, quiet_name, {"seed": 1})
    assert ([late], True) == (run.observers, run.unobserved)
    assert run.observers is not ex.observers
    assert [data_hook, own_hook] == list(run.pre_run_hooks)
    assert run.main_function is quiet
    assert ("root", "ex") == (run.root_logger.name, run.run_logger.name)
    assert run.experiment_info["name"] == "ex"
    assert "hostname" in run.host_info
    assert not create_run(ex, "main", {"seed": 1}).unobserved


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", r'^Command "nope" not found\. Available .* are: print_config, .*, data.size\.$'),
        ("mian", r'^Command "mian" not found\. Available .* Did you mean "main"\?$'),
        ("data.nope", r'^Command "nope" not found in ingredient "data"\. Available .*data.size'),
        ("no.nope", r'^Ingredient for command "no.nope" not found\. Available commands are: '),
    ],
)
def test_commands_that_do_not_exist(name, message):
    """CLI-20: KeyError with Sacred's words, those that there are, and the one that was meant."""
    data = ingredient("data")

    @data.command
    def size():
        pass

    ex = experiment(data)
    scaffolding = create_scaffolding(ex, gather_ingredients_topological(ex))
    with pytest.raises(KeyError) as caught:
        get_command(scaffolding, name)
    assert __import__("re").search(message, str(caught.value))


def test_the_command_of_an_ingredient():
    """ING-05: by its dotted name."""
    data = ingredient("data")
    command = data.command(lambda: 1)
    assert resolved(experiment(data), command="data.<lambda>").main_function is command


def test_the_best_match_is_the_longest():
    """CFG-02: prefixes are lists of names, the longest first."""
    prefixes = [["a", "b"], ["a"]]
    assert [("a.b", "c"), ("a", "c"), ("a", ""), ("", "ab.c")] == [
        find_best_match(path, prefixes) for path in ("a.b.c", "a.c", "a", "ab.c")
    ]


def test_loggers():
    """LOG-01: one's own logger is used where there is one; a level is a name or a number."""
    ex = experiment(ingredient("data"))
    ex.logger = logging.getLogger("mine")
    scaffolding = create_scaffolding(ex, gather_ingredients_topological(ex))
    for level in (10, "10", "DEBUG", "debug"):
        ex.logger.setLevel(logging.NOTSET)
        assert (ex.logger, logging.getLogger("mine.ex")) == initialize_logging(
            ex, scaffolding, level
        )
        assert ex.logger.level == logging.DEBUG
    assert logging.getLogger("mine.data") is scaffolding["data"].logger
    with pytest.raises(ValueError, match='Unknown log level "nope"'):
        initialize_logging(ex, scaffolding, "nope")


def test_the_steps_one_by_one():
    """seml goes through the steps of create_run itself."""
    from sacred.core import initialize as steps
    from sacred.core.dotted import (
        iterate_flattened,
        join_paths,
        recursive_update,
        set_by_dotted_path,
    )

    data = ingredient("data")
    data.add_config(a=1)
    data.add_named_config("big", a=100)
    ex = experiment(data)
    ex.add_config(b=1)
    ex.config_hook(lambda config, command_name, logger: {"c": config["data"]["a"]})
    scaffolding = steps.create_scaffolding(ex, steps.gather_ingredients_topological(ex))
    prefixes = sorted([s.split(".") for s in scaffolding if s], key=len, reverse=True)
    updates = {"b": 2}
    steps.distribute_config_updates(prefixes, scaffolding, updates)
    scaffold, name = steps.get_scaffolding_and_config_name("data.big", scaffolding)
    scaffold.gather_fallbacks()
    named = scaffold.run_named_config(name)
    steps.distribute_presets(scaffold.path, prefixes, scaffolding, named)
    for key, value in iterate_flattened(named):
        set_by_dotted_path(updates, join_paths(scaffold.path, key), value)
    steps.distribute_config_updates(prefixes, scaffolding, updates)
    for scaffold in scaffolding.values():
        scaffold.gather_fallbacks()
        scaffold.set_up_config()
        config = steps.get_configuration(scaffolding)
        recursive_update(scaffold.config, scaffold.run_config_hooks(config, "main", None))
    for scaffold in reversed(list(scaffolding.values())):
        scaffold.set_up_seed()
    config = steps.get_configuration(scaffolding)
    assert isinstance(config.pop("seed"), int)
    assert config == {"b": 2, "c": 100, "data": {"a": 100}}
    assert {"b", "data", "data.a"} <= steps.get_config_modifications(scaffolding).modified


def test_numpy_is_not_loaded_for_seeds():
    """B2: a run whose functions declare no _rnd does not load numpy."""
    import os
    import subprocess

    code = (
        "from sacred.core.experiment import Experiment\n"
        "from sacred.core.ingredient import Ingredient\n"
        "from sacred.core.initialize import create_run\n"
        "import sys\n"
        "i = Ingredient('i', save_git_info=False, interactive=True)\n"
        "ex = Experiment('x', [i], save_git_info=False, interactive=True)\n"
        "f = i.command(lambda _seed: _seed)\n"
        "create_run(ex, 'i.<lambda>', {'seed': 1}); print(f(), 'numpy' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.endswith(" False\n")
