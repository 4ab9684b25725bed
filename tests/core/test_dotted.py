"""Paths into nested dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.core.dotted import (
    PATHCHANGE,
    convert_to_nested_dict,
    get_by_dotted_path,
    is_prefix,
    iter_prefixes,
    iterate_flattened,
    iterate_flattened_separately,
    join_paths,
    recursive_update,
    rel_path,
    set_by_dotted_path,
)

_NAMES = st.text("abc", min_size=1, max_size=2)
_NESTED = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


def test_joining_leaves_empty_parts_out():
    """PKG-03 (sacred.utils): join_paths."""
    assert join_paths("a", "", None, "b.c") == "a.b.c"
    assert join_paths() == ""


def test_prefixes():
    """PKG-03 (sacred.utils): iter_prefixes, is_prefix, rel_path."""
    assert ["a", "a.b", "a.b.c"] == list(iter_prefixes("a.b.c"))
    assert [True, False, True, False] == [
        is_prefix("a", "a.b"), is_prefix("a", "ab"), is_prefix("", "a"), is_prefix("a", "a"),
    ]  # fmt: skip
    assert ["b", "b", ""] == [rel_path("a", "a.b"), rel_path("", "b"), rel_path("a", "a")]
    with pytest.raises(ValueError, match="not a prefix"):
        rel_path("a", "c.b")


def test_getting_and_setting():
    """CFG-02: values are read and set by path, groups on the way are made."""
    config = {}
    set_by_dotted_path(config, "a.b.c", 1)
    assert config == {"a": {"b": {"c": 1}}}
    assert get_by_dotted_path(config, "a.b") == {"c": 1}
    assert get_by_dotted_path(config, "a.x.y", default=7) == 7
    assert get_by_dotted_path(config, "") is config
    with pytest.raises(TypeError, match="its part 'c' is no dictionary but 1"):
        set_by_dotted_path(config, "a.b.c.d", 2)


def test_dotted_keys_and_groups_can_be_mixed():
    """CFG-02: updates may mix dotted keys and nested dictionaries."""
    assert convert_to_nested_dict({"a.b": 1, "a": {"c": {"d.e": 2}}, "f": {}}) == {
        "a": {"b": 1, "c": {"d": {"e": 2}}},
        "f": {},
    }


def test_leaves_come_before_groups():
    """CMD-01: the order of print_config."""
    config = {"b": 1, "a": {"x": 1}, "c": {}, "__doc__": "d"}
    assert [("__doc__", "d"), ("b", 1), ("c", {}), ("a", PATHCHANGE), ("a.x", 1)] == list(
        iterate_flattened_separately(config, ["__doc__"])
    )


def test_keys_that_are_false_are_part_of_a_path():
    """CFG-02, CFG-16: also 0, False and None; in Sacred, an update of ``{"a": {0: 5}}`` makes ``a`` 5."""
    d = {"a": {0: 5, None: {False: 6}}, 0: {"b": 7}}
    assert {"a.0": 5, "a.None.False": 6, "0.b": 7} == dict(iterate_flattened(d))
    assert "a.0" in dict(iterate_flattened_separately(d))


def test_keys_of_several_types_have_an_order():
    """CMD-01: mixed key types can be walked."""
    assert [(1, "x"), ("a", "y")] == list(iterate_flattened({"a": "y", 1: "x"}))


def test_an_empty_dict_updates_nothing():
    """CFG-08: what is there stays, also what is no dictionary."""
    assert {"a": 0, "b": {"c": 1}, "d": {}} == recursive_update(
        {"a": 0, "b": {"c": 1}}, {"a": {}, "b": {}, "d": {}}
    )


def test_the_later_value_wins():
    """CFG-07: groups are merged, a value that is none gives way to a group and the other way."""
    assert recursive_update({"a": {"b": 1}, "c": 1, "d": {}}, {"a": {"e": 2}, "c": {"f": 3}, "d": 4}
    ) == {"a": {"b": 1, "e": 2}, "c": {"f": 3}, "d": 4}  # fmt: skip


@given(st.dictionaries(_NAMES, _NESTED, max_size=4))
def test_flattening_is_undone_by_nesting(config):
    """CFG-02: flattening loses nothing, empty groups included."""
    assert config == convert_to_nested_dict(dict(iterate_flattened(config)))
