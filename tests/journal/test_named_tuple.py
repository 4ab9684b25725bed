"""Named tuples of our own are what ``typing`` makes of the same class."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Ours(NamedTuple):
    """Three fields, the last with a default."""

    name: str
    size: int
    note: str | None = None

    @property
    def doubled(self) -> int:
        """A method beside the fields."""
        return self.size * 2


class Theirs(typing.NamedTuple):
    """The same, by the standard library."""

    name: str
    size: int
    note: str | None = None

    @property
    def doubled(self) -> int:
        """A method beside the fields."""
        return self.size * 2


class Louder(Ours):
    """Inherits fields and gives a method."""

    def shout(self) -> str:
        """Return the name in capitals."""
        return self.name.upper()


def outcome(call: Callable[[Any], Any], kind: Any) -> Any:
    """Return what a call gives for a class, or the kind of its error."""
    try:
        return call(kind)
    except Exception as error:
        return type(error)


values = st.one_of(st.text(), st.integers(), st.none(), st.floats(allow_nan=False))
named = st.dictionaries(st.sampled_from(["name", "size", "note", "other"]), values)


@given(st.lists(values, max_size=4), named)
def test_calls_have_the_same_outcome(given_values: list[Any], given_named: dict[str, Any]) -> None:
    """Whatever is given by place and by name makes the same value, or the same kind of error."""
    made = outcome(lambda kind: kind(*given_values, **given_named), Ours)
    assert made == outcome(lambda kind: kind(*given_values, **given_named), Theirs)
    replaced = outcome(lambda kind: kind("a", 1)._replace(**given_named), Ours)
    expected = outcome(lambda kind: kind("a", 1)._replace(**given_named), Theirs)
    # Which of the two an unknown field is has changed between versions of Python.
    errors = (TypeError, ValueError)
    assert replaced == expected or (replaced in errors and expected in errors)
    assert outcome(lambda kind: kind._make(given_values), Ours) == outcome(
        lambda kind: kind._make(given_values), Theirs
    )


@given(values, values, values)
def test_values_are_tuples_with_names(name: Any, size: Any, note: Any) -> None:
    """A value is a tuple, shows its fields, and is the same after a copy and a pickle."""
    ours: Any = Ours(name, size, note)
    theirs: Any = Theirs(name, size, note)
    assert ours == theirs == (name, size, note)
    assert hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._asdict() == theirs._asdict()
    assert (ours.name, ours.size, ours.note) == tuple(theirs)
    again = pickle.loads(pickle.dumps(ours))
    for again in (copy.copy(ours), copy.deepcopy(ours), again):
        assert type(again) is Ours
        assert again == ours


def test_what_a_class_says_of_itself() -> None:
    """Fields, defaults, patterns and type hints are where programs look for them."""
    assert Ours._fields == Theirs._fields == ("name", "size", "note")
    assert Ours._field_defaults == Theirs._field_defaults == {"note": None}
    assert Ours.__match_args__ == Theirs.__match_args__
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    match Ours("a", 1):
        case Ours(name, size):
            assert (name, size) == ("a", 1)


def test_a_value_has_its_fields_alone() -> None:
    """No attribute can be set, and none but the fields is kept: values stay small and as made."""
    made = Ours("a", 1)
    with pytest.raises(AttributeError):
        made.name = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        made.more = "b"  # type: ignore[attr-defined]
    assert made.doubled == 2


def test_a_class_may_be_inherited_from_for_methods() -> None:
    """A class of values below another has its fields, also if it is made first."""
    made = Louder("a", 1)
    assert (made.shout(), made.size, made.note) == ("A", 1, None)
    assert type(made._replace(name="b")) is Louder
    assert repr(made) == "Louder(name='a', size=1, note=None)"
    assert type(Ours("c", 2)) is Ours


def test_the_signature_is_that_of_the_fields() -> None:
    """``help`` and editors show the fields with their types and defaults, before a value was made."""
    expected = [(p.name, p.default) for p in inspect.signature(Theirs).parameters.values()]
    for _ in range(2):
        shown = inspect.signature(Ours).parameters.values()
        assert expected == [(p.name, p.default) for p in shown]
        assert ["str", "int", "str | None"] == [p.annotation for p in shown]
        Ours("a", 1)
