"""Dictionaries and lists that keep fixed values or refuse changes."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

from sacred.core.config import custom_containers
from sacred.core.config.custom_containers import (
    DogmaticDict,
    DogmaticList,
    ReadOnlyDict,
    ReadOnlyList,
    fallback_dict,
    is_different,
    make_read_only,
    type_changed,
)
from sacred.core.config.utils import dogmatize, undogmatize
from sacred.core.errors import SacredError


def test_fixed_entries_stay_and_the_attempt_is_noted():
    """SCO-12: assigning to a fixed key changes nothing and is recorded."""
    names = DogmaticDict({"a": 1, "b": 1.0, "c": "x"})
    names.update({"a": 2, "b": 1, "c": None, "free": 3})
    del names["a"]
    assert names == {"a": 1, "b": 1.0, "c": "x", "free": 3}
    assert {"a", "c"} == names.modified
    assert names.typechanges == {"b": (int, float)}


def test_fixed_entries_appear_when_assigned_or_revealed():
    """SCO-12: revelation adds what nobody assigned, and names it."""
    names = dogmatize({"a": 1, "group": {"x": 1, "y": 2}, "rest": {"z": 3}})
    assert "a" not in names
    with pytest.raises(KeyError):
        names["a"]
    names["group"] = {"x": 5, "w": 6}
    assert {"a", "group.y", "rest", "rest.z"} == names.revelation()
    assert {"group", "group.x"} <= names.modified
    assert undogmatize(names) == {
        "a": 1, "group": {"x": 1, "w": 6, "y": 2}, "rest": {"z": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.setdefault("a", 5),
        lambda d: d.pop("a"),
        lambda d: d.clear(),
        lambda d: d.__ior__({"a": 5}),
    ],
)
def test_no_way_around_a_fixed_entry(change):
    """SCO-12: the other methods of a dictionary respect fixed entries too."""
    names = DogmaticDict({"a": 1})
    names["a"] = 1
    change(names)
    assert names == {"a": 1}


def test_a_fallback_can_be_read_and_is_no_content():
    """SCO-10: values of ingredients are readable, writing to one is noted."""
    names = DogmaticDict(fallback={"data": {"x": 1}})
    assert "data" in names
    assert names["data"] == names.get("data") == {"x": 1}
    assert dict(names) == {}
    names["data"] = 3
    assert names.fallback_writes == ["data"]


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.append(3),
        lambda v: v.extend([3]),
        lambda v: v.insert(0, 3),
        lambda v: v.remove(1),
        lambda v: v.reverse(),
        lambda v: v.sort(),
        lambda v: v.clear(),
        lambda v: v.__setitem__(0, 3),
        lambda v: v.__delitem__(0),
        lambda v: v.__iadd__([3]),
        lambda v: v.__imul__(2),
    ],
)
def test_a_fixed_list_ignores_changes(change):
    """SCO-12: every mutator of a DogmaticList does nothing."""
    values = DogmaticList([1, 2])
    change(values)
    assert [1, 2] == values


def test_nothing_is_popped_from_a_fixed_list():
    """SCO-12: pop raises, since it would have to return something."""
    with pytest.raises(TypeError, match="Cannot pop from DogmaticList"):
        DogmaticList([1]).pop()


def test_what_is_made_read_only():
    """CAP-09: exact dictionaries, lists and tuples at every level, nothing else."""
    config = make_read_only({"a": [1, {"b": (2, [3])}], "o": OrderedDict(x=[1]), "s": {1}})
    assert (ReadOnlyDict, ReadOnlyList, ReadOnlyDict) == (
        type(config), type(config["a"]), type(config["a"][1]),
    )  # fmt: skip
    assert (tuple, ReadOnlyList) == (type(config["a"][1]["b"]), type(config["a"][1]["b"][1]))
    assert (OrderedDict, list) == (type(config["o"]), type(config["o"]["x"]))
    assert json.loads(json.dumps(config["a"])) == [1, {"b": [2, [3]]}]


def add_in_place(config):
    config["a"] += [2]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.__setitem__("a", 1),
        lambda c: c.pop("a"),
        lambda c: c.popitem(),
        lambda c: c.update(a=1),
        lambda c: c.setdefault("z", 1),
        lambda c: c.clear(),
        lambda c: c.__delitem__("a"),
        lambda c: c.__ior__({"a": 1}),
        lambda c: c["a"].append(1),
        lambda c: c["a"].sort(),
        lambda c: c["a"].__iadd__([1]),
        lambda c: c["a"].__imul__(2),
        lambda c: c["a"].__setitem__(slice(0, 1), [2]),
        lambda c: c["a"].__setitem__(slice(None, None, 1), [2]),
        lambda c: c["a"].__delitem__(slice(None)),
        lambda c: c["a"].__delitem__(0),
        lambda c: c["a"].extend([1]),
        lambda c: c["a"].insert(0, 1),
        lambda c: c["a"].remove(1),
        lambda c: c["a"].pop(),
        lambda c: c["a"].reverse(),
        lambda c: c["a"].clear(),
        add_in_place,
        lambda c: c["n"]["d"][0].update(x=1),
    ],
)
def test_read_only_refuses_every_change(change):
    """CAP-09: also the in-place operators, which Sacred forgot."""
    config = make_read_only({"a": [1], "n": {"d": ({"x": 0},)}})
    with pytest.raises(SacredError, match="read-only in a captured function!") as caught:
        change(config)
    assert caught.value.filter_traceback == "always"
    assert config == {"a": [1], "n": {"d": ({"x": 0},)}}


def test_copies_of_read_only_can_be_changed():
    """CAP-09: copy is shallow, deepcopy is mutable at every level, pickle keeps it read-only."""
    config = make_read_only({"a": [1]})
    assert (dict, ReadOnlyList) == (type(copy.copy(config)), type(config.copy()["a"]))
    assert (dict, list) == (type(copy.deepcopy(config)), type(copy.deepcopy(config)["a"]))
    again = pickle.loads(pickle.dumps(config))
    assert (ReadOnlyDict, ReadOnlyList) == (type(again), type(again["a"]))
    assert type(config).__module__ == "sacred.config.custom_containers"


def test_yaml_is_told_about_the_containers():
    """CAP-09: PyYAML writes them as plain ones; it is told when it is imported."""
    told = []

    class Representer:
        yaml_representers = {}
        represent_dict, represent_list = "dict", "list"

        @classmethod
        def add_representer(cls, kind, how):
            told.append((kind, how))

    yaml = SimpleNamespace(
        representer=SimpleNamespace(SafeRepresenter=Representer, Representer=Representer)
    )
    custom_containers._teach_yaml(yaml)
    assert (ReadOnlyDict, "dict") in told
    assert (ReadOnlyList, "list") in told


@pytest.mark.parametrize(
    ("old", "new", "different", "changed"),
    [
        (1, 1.0, False, True),
        (1, True, False, True),
        ([1, 2, 3], [1, 2, 4], True, False),
        ([], [], False, False),
        ([[1], [2]], [[1], [3]], True, False),
        ((1,), [1], False, False),
        (None, 1, True, False),
        (1, None, True, True),
        ({"a": [1, 2]}, {"a": [1, 3]}, True, False),
        (np.arange(3), np.arange(3), False, False),
        (np.arange(3), [0, 1, 2], False, True),
        (np.arange(3), np.arange(4), True, False),
        (np.float64(1.5), 1.5, False, False),
        (np.int8(1), True, False, True),
        ("1", 1, True, True),
    ],
)
def test_differences(old, new, different, changed):
    """CFG-12, CFG-15: lists differ when one element does; numpy scalars are plain numbers."""
    assert (different, changed) == (is_different(old, new), type_changed(old, new))


def test_what_can_not_be_compared_differs():
    """CFG-15: an object that refuses to be compared does not stop a run."""

    class Stubborn:
        __hash__ = None

        def __ne__(self, other):
            raise RuntimeError

    assert is_different(Stubborn(), 1)


def test_fallback_dict():
    """PKG-03: keyword arguments win."""
    assert fallback_dict({"a": 1, "b": 1}, b=2) == {"a": 1, "b": 2}
