"""What a configuration says about its changes."""

from __future__ import annotations

from sacred.core.config.config_summary import ConfigSummary


def test_one_kind_of_change_for_each_path():
    """CFG-10: typechanged before added before modified; what lies above is modified."""
    summary = ConfigSummary(
        added={"a.b", "q.r"}, modified={"x.y", "a.b"}, typechanged={"q.r": (int, str)}
    )
    assert {"a.b"} == summary.added
    assert {"a", "x", "x.y", "q"} == summary.modified


def test_added_is_what_no_configuration_defines():
    """CFG-11: of configurations evaluated in a row all have to call an entry added."""
    summary = ConfigSummary(added={"a", "b"})
    summary.update_from(ConfigSummary(added={"a", "c"}, modified={"b"}))
    assert ({"a"}, {"b"}) == (summary.added, summary.modified)


def test_ingredients_are_placed_at_their_path():
    """CFG-10: paths are those of the whole configuration; only the experiment's seed is shown."""
    summary = ConfigSummary(added={"x"}, docs={"seed": "root"})
    summary.update_add(
        ConfigSummary(
            added={"a"}, typechanged={"b": (int, str)}, docs={"a": "doc", "seed": "below"}
        ),
        "data",
    )
    assert {"x", "data.a"} == summary.added
    assert summary.typechanged == {"data.b": (int, str)}
    assert summary.docs == {"seed": "root", "data.a": "doc"}


def test_the_first_comment_stays():
    """SCO-09: a later scope that sets an entry again does not change its comment."""
    summary = ConfigSummary(docs={"a": "first"})
    summary.update_from(ConfigSummary(docs={"a": "second", "b": "new"}))
    assert summary.docs == {"a": "first", "b": "new"}
