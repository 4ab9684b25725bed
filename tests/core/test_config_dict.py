"""Configurations given as dictionaries, and operations on configurations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.core.config.config_dict import ConfigDict
from sacred.core.config.utils import (
    assert_is_valid_key,
    chain_evaluate_config_scopes,
    dogmatize,
    normalize_or_die,
    recursive_fill_in,
    undogmatize,
)
from sacred.core.settings import SETTINGS


def test_fixed_wins_and_preset_fills_in():
    """SCO-11: the result is fixed before the entries before preset; fallback is no part of it."""
    summary = ConfigDict({"a": 1, "b": {"c": 2}, "n": None})(
        fixed={"a": "x", "b": {"d": 5}, "n": 3}, preset={"p": 1, "a": 9}, fallback={"f": 2}
    )
    assert summary == {"a": "x", "b": {"c": 2, "d": 5}, "n": 3, "p": 1}
    assert ({"b.d"}, {"b", "n"}) == (summary.added, summary.modified)
    assert summary.typechanged == {"a": (int, str)}


def test_values_are_normalised():
    """CFG-17: tuples become lists, numpy scalars numbers; everything else is kept as it is."""
    array, function = np.arange(2), lambda: 1
    config = normalize_or_die(
        {"t": (1, (2,)), "f": np.float32(2), "b": np.bool_(True), "a": array, "l": function}
    )
    assert config == {"t": [1, [2]], "f": 2.0, "b": True, "a": array, "l": function}
    assert (float, bool) == (type(config["f"]), type(config["b"]))
    assert config["a"] is array


def test_the_dictionary_is_copied():
    """SCO-11: what happens to a configuration in a run does not reach the next one."""
    config = ConfigDict({"a": [1]})
    config()["a"].append(2)
    assert config() == {"a": [1]}


@pytest.mark.parametrize("key", ["a.b", "$a", "py/object", "json://x", "a=b", ""])
def test_refused_keys(key):
    """CFG-16: keys that databases or jsonpickle can not hold, at every level."""
    with pytest.raises(KeyError, match="Invalid key"):
        ConfigDict({"fine": [{key: 1}]})


@pytest.mark.parametrize(
    ("setting", "key"),
    [("ENFORCE_STRING_KEYS", 1), ("ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS", "not one")],
)
def test_keys_that_a_setting_refuses(setting, key):
    """CFG-16: allowed by default, refused when the setting says so."""
    assert_is_valid_key(key)
    SETTINGS.CONFIG[setting] = True
    try:
        with pytest.raises(KeyError):
            assert_is_valid_key(key)
    finally:
        SETTINGS.CONFIG[setting] = False


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("ENFORCE_KEYS_MONGO_COMPATIBLE", "a.b"),
        ("ENFORCE_KEYS_JSONPICKLE_COMPATIBLE", "py/object"),
        ("ENFORCE_KEYS_NO_EQUALS", "a=b"),
    ],
)
def test_keys_that_a_setting_allows(setting, key):
    """CFG-16: each rule can be switched off."""
    SETTINGS.CONFIG[setting] = False
    try:
        assert_is_valid_key(key)
    finally:
        SETTINGS.CONFIG[setting] = True


def test_dictionaries_are_merged_and_never_replaced():
    """CFG-07: two configurations that set one group both count, entry by entry."""
    config, summaries = chain_evaluate_config_scopes(
        [ConfigDict({"n": {"x": 1, "y": 1}, "m": 4}), ConfigDict({"n": {"y": 2}, "m": {"z": 1}})]
    )
    assert config == {"n": {"x": 1, "y": 2}, "m": {"z": 1}}
    assert len(summaries) == 2


def test_no_configuration_at_all():
    """CFG-06: without configurations the updates are the configuration."""
    assert chain_evaluate_config_scopes([], fixed={"a": 1}, preset={"p": 1}) == (
        {"p": 1, "a": 1}, [],
    )  # fmt: skip


_CONFIGS = st.recursive(
    st.integers(0, 3) | st.booleans() | st.none() | st.text("ab", max_size=1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
_GROUPS = st.dictionaries(st.sampled_from("abc"), _CONFIGS)


@given(_GROUPS)
def test_dogmatizing_is_undone(config):
    """USE-15: undogmatize gives back what dogmatize was given."""
    fixed = dogmatize(config)
    fixed.revelation()
    assert config == undogmatize(fixed)


@given(_GROUPS, _GROUPS)
def test_filling_in_keeps_what_is_there(config, preset):
    """USE-15: recursive_fill_in adds and never changes."""
    filled = copy.deepcopy(config)
    recursive_fill_in(filled, preset)

    def check(before, after, extra):
        for key, value in before.items():
            if isinstance(value, dict) and isinstance(extra.get(key), dict):
                check(value, after[key], extra[key])
            else:
                assert value == after[key]
        assert set(before) | set(extra) == set(after)

    check(config, filled, preset)


@given(_GROUPS, _GROUPS, _GROUPS)
def test_updates_win_over_everything(first, second, fixed):
    """CFG-04: whatever configurations say, each entry of the updates is in the result."""
    config, _ = chain_evaluate_config_scopes([ConfigDict(first), ConfigDict(second)], fixed=fixed)

    def check(wanted, found):
        for key, value in wanted.items():
            if isinstance(value, dict):
                assert isinstance(found[key], dict)
                check(value, found[key])
            else:
                assert value == found[key]

    check(fixed, config)
