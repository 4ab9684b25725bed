"""What changed in ``info`` since the last look."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.core.changes import Changes, ChangeTracker
from sacred.core.observers import copy_of

_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3)
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
_infos = st.dictionaries(st.text(max_size=2), _values, max_size=4)


def _apply(state: Any, changes: Changes) -> Any:
    """Carry changes out, as a reader of the journal does."""
    state = copy_of(state)
    for path in changes.deleted:
        target = state
        for key in path[:-1]:
            target = target[key]
        del target[path[-1]]
    for path, value in changes.set:
        target = state
        for key in path[:-1]:
            target = target[key]
        if isinstance(target, list) and path[-1] == len(target):
            target.append(copy_of(value))
        else:
            target[path[-1]] = copy_of(value)
    return state


def _shown(value: Any) -> str:
    """Return a text that tells values apart that ``==`` does not; the order of keys is free."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{_shown(v)}" for key, v in value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_shown, value)) + "]"
    # Adding zero takes the sign from -0.0, which is not told from 0.0.
    return repr(value + 0.0) if isinstance(value, float) else repr(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(_infos, min_size=1, max_size=4))
def test_changes_carried_out_give_the_new_state(states: list[dict[str, Any]]) -> None:
    """Any state follows from the one before and the changes between them, types included."""
    tracker = ChangeTracker({})
    rebuilt: Any = {}
    for state in states:
        rebuilt = _apply(rebuilt, tracker.look(state))
        assert _shown(state) == _shown(rebuilt)


@settings(max_examples=100, deadline=None)
@given(_infos)
def test_a_second_look_finds_nothing(state: dict[str, Any]) -> None:
    """What did not change is not told again, NaN included."""
    tracker = ChangeTracker({})
    tracker.look(state)
    assert not tracker.look(state)


def test_an_appended_element_is_all_that_is_told() -> None:
    """A list that grows costs what it grew by."""
    values = list(range(1000))
    tracker = ChangeTracker({"values": values})
    values.append(7)
    assert Changes([[["values", 1000], 7]], []) == tracker.look({"values": values})


def test_a_change_inside_an_object_is_seen() -> None:
    """An object that changes in place is told again."""

    class Thing:
        state = 1

        def __repr__(self) -> str:
            return f"Thing({self.state})"

    thing = Thing()
    tracker = ChangeTracker({"thing": thing})
    assert not tracker.look({"thing": thing})
    thing.state = 2
    assert [[["thing"], thing]] == tracker.look({"thing": thing}).set


def test_numbers_of_other_types_are_changes() -> None:
    """1, 1.0 and True are equal in Python and different in a record."""
    tracker = ChangeTracker({"a": 1})
    assert [[["a"], 1.0]] == tracker.look({"a": 1.0}).set
    assert [[["a"], True]] == tracker.look({"a": True}).set
