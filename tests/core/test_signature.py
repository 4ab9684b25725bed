"""Filling in the arguments of a call."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from sacred.core.config.signature import Signature, get_argspec
from sacred.core.errors import MissingConfigError, SignatureError


def everything(a, b, c=3, *args, d, e=5, **kw):
    """All kinds of parameters."""


def plain(a, b=2):
    return a, b


def by_position(a, /, b, *, c):
    return a, b, c


class Holder:
    def method(self, a, b=2):
        return a, b


def test_the_parameters_of_a_function():
    """CAP-04: every kind of parameter is told apart."""
    signature = Signature(everything)
    assert ["a", "b", "c", "d", "e"] == signature.arguments
    assert ("args", "kw") == (signature.vararg_name, signature.kw_wildcard_name)
    assert ["a", "b"] == signature.positional_args
    assert signature.kwargs == {"c": 3, "e": 5}
    assert str(signature) == "everything(a, b, *args, c=3, e=5, **kw)"
    assert (["a", "b"], None, None, ["a"], {"b": 2}) == get_argspec(plain)


@pytest.mark.parametrize(
    ("args", "kwargs", "options", "expected"),
    [
        ((), {}, {"a": 1, "b": 3, "z": 3}, (1, 3)),
        ((1,), {}, {"a": 5, "b": 3}, (1, 3)),
        ((1,), {"b": 4}, {"b": 3}, (1, 4)),
        ((), {"a": 1}, {}, (1, 2)),
    ],
)
def test_explicit_before_options_before_defaults(args, kwargs, options, expected):
    """CAP-01: the call wins over the configuration, and that over default values."""
    filled_args, filled = Signature(plain).construct_arguments(args, kwargs, options)
    assert expected == plain(*filled_args, **filled)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, 2, 3), {}, r"plain got unexpected argument\(s\): \(3,\)"),
        ((1,), {"a": 2}, r"plain got multiple values for argument\(s\) \['a'\]"),
        ((1,), {"q": 2, "p": 1}, r"plain got unexpected kwarg\(s\): \['p', 'q'\]"),
    ],
)
def test_arguments_that_do_not_fit(args, kwargs, message):
    """CAP-01: SignatureError, a TypeError, with Sacred's words."""
    with pytest.raises(SignatureError, match=message):
        Signature(plain).construct_arguments(args, kwargs, {})


def test_a_value_that_nobody_gives():
    """CAP-01: MissingConfigError names the function and the parameters."""
    with pytest.raises(
        MissingConfigError, match=r"^everything is missing value\(s\): \['b', 'd'\]$"
    ):
        Signature(everything).construct_arguments((1,), {}, {"args": 1, "kw": 2})


def test_stars_are_never_filled_in():
    """CAP-04: *args and **kwargs take what the call gives and nothing else."""
    args, kwargs = Signature(everything).construct_arguments(
        (1, 2, 3, 4), {"q": 1}, {"args": 1, "kw": 2, "d": 6, "z": 2}
    )
    assert ((1, 2, 3, 4), {"q": 1, "d": 6}) == (args, kwargs)


def test_parameters_by_position_only_are_filled_in():
    """CAP-04: Sacred passes them by name, which fails."""
    args, kwargs = Signature(by_position).construct_arguments((), {}, {"a": 1, "b": 2, "c": 3})
    assert by_position(*args, **kwargs) == (1, 2, 3)
    with pytest.raises(SignatureError, match="unexpected kwarg"):
        Signature(by_position).construct_arguments((), {"a": 1}, {})


def test_the_first_parameter_of_a_bound_method_is_given():
    """CAP-04: by the object itself, or by saying so."""
    signature = Signature(Holder().method)
    assert ["a", "b"] == signature.arguments
    assert ((), {"a": 1}) == signature.construct_arguments((), {}, {"a": 1, "self": 2})
    unbound = Signature(Holder.method)
    assert ((), {"a": 1}) == unbound.construct_arguments((), {}, {"a": 1, "self": 2}, bound=True)


def test_a_default_may_be_an_array():
    """CAP-06: no default is compared with anything."""
    default = np.arange(3)

    def f(a=default):
        return a

    assert Signature(f).kwargs["a"] is default


def test_what_only_inspect_understands():
    """CAP-04: classes, partial objects and decorated functions have their signatures."""

    @functools.wraps(plain)
    def decorated(*args, **kwargs):
        return plain(*args, **kwargs)

    assert ["a", "b"] == Signature(decorated).arguments
    assert ["b"] == Signature(functools.partial(plain, 1)).arguments
    assert ["path"] == Signature(type("C", (), {"__init__": lambda self, path: None})).arguments


def test_free_parameters():
    """seml asks which parameters a call leaves open, defaults or not."""
    assert ["b"] == Signature(plain).get_free_parameters([1], {})
    assert ["a"] == Signature(plain).get_free_parameters([], {"b": 1})
    assert [] == Signature(plain).get_free_parameters([1], {}, bound=True)
