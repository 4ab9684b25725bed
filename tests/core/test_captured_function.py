"""Functions whose missing arguments come from the configuration."""

from __future__ import annotations

import inspect
import logging
import pickle
import re
import threading
import types
import typing
from unittest import mock

import numpy as np
import pytest

from sacred.core.config.captured_function import (
    Binding,
    activate,
    bind,
    create_captured_function,
)
from sacred.core.errors import ConfigError, InvalidConfigError, MissingConfigError, SignatureError
from sacred.core.randomness import create_seed_stream


@create_captured_function
def at_module_level(a):
    """What it does."""
    return a


class Holder:
    factor = 10

    @create_captured_function
    def method(self, a):
        return self.factor * a

    @staticmethod
    @create_captured_function
    def static(a):
        return a


def test_explicit_before_config_before_default():
    """CAP-01: the example of the overview."""

    @create_captured_function
    def f(a, foo, bar=10):
        return a, foo, bar

    f.config = {"foo": 42, "bar": "baz"}
    assert (1, 2, 3) == f(1, 2, 3)
    assert (1, 42, "baz") == f(1)
    assert (1, 42, 12) == f(1, bar=12)
    with pytest.raises(TypeError, match=r"f is missing value\(s\): \['a'\]"):
        f()
    with pytest.raises(SignatureError):
        f(1, 2, 3, 4)


def test_before_any_run():
    """CAP-05: the configuration is empty and there is no run."""

    @create_captured_function
    def f(_config, _log, _run):
        return _config, _log, _run

    assert ({}, None, None) == f()


def test_special_arguments():
    """CAP-02: filled in where they are declared; explicit values win."""

    @create_captured_function
    def f(_config, _log, _run, a):
        return _config, _log, _run, a

    log = logging.getLogger("some.function")
    bind({f: Binding({"a": 1}, log, None, "run")})
    assert ({"a": 1}, log, "run", 1) == f()
    assert ("c", log, "run", 1) == f(_config="c")


def test_randomness_is_drawn_where_it_is_declared():
    """CAP-02, RND-05: a seed for each call from the function's stream, and a generator of it."""

    @create_captured_function
    def f(_seed, _rnd):
        return _seed, _rnd.integers(10**6)

    @create_captured_function
    def g(a=1):
        return a

    assert (True, False) == (f.uses_randomness, g.uses_randomness)
    f.rnd = create_seed_stream(3)
    generator = np.random.default_rng(3)
    for _ in range(2):
        seed = int(generator.integers(1, 10**9))
        assert (seed, np.random.default_rng(seed).integers(10**6)) == f()


def test_the_wrapper_is_like_its_function():
    """CAP-08: it has name, docstring, signature, hints, source and module of the one it wraps."""
    assert isinstance(at_module_level.__wrapped__, types.FunctionType)
    assert inspect.getsource(at_module_level).endswith("return a\n")
    assert {} == typing.get_type_hints(at_module_level)
    assert "<captured function at_module_level>" == repr(at_module_level)
    assert ("at_module_level", "What it does.") == (
        at_module_level.__name__, at_module_level.__doc__,
    )  # fmt: skip
    assert ["a"] == list(inspect.signature(at_module_level).parameters)
    assert at_module_level.__module__ == __name__


def test_a_captured_function_can_be_pickled(monkeypatch):
    """CAP-08: by its name, as any function; also when it is bound to a run that can not be."""
    monkeypatch.setitem(__import__("sys").modules, __name__, mock.Mock(
        at_module_level=at_module_level, spec=["at_module_level"],
    ))  # fmt: skip
    bind({at_module_level: Binding({"a": 1}, None, None, threading.Lock())})
    assert at_module_level is pickle.loads(pickle.dumps(at_module_level))


def test_methods():
    """CAP-04: bound, unbound, static, and captured from an object."""
    for function in (Holder.method, Holder.static):
        function.config = {"a": 2}
    assert (20, 30, 20) == (Holder().method(), Holder().method(3), Holder.method(Holder()))
    assert (2, 3) == (Holder.static(), Holder().static(3))
    with pytest.raises(MissingConfigError, match="self"):
        Holder.method()
    captured = create_captured_function(Holder().method.__wrapped__.__get__(Holder()))
    captured.config = {"a": 4}
    assert captured() == 40


def test_errors_of_the_configuration_are_located():
    """SCO-13: names are those of the whole configuration, values those that were seen."""

    def f(a):
        raise InvalidConfigError("no", "a")

    captured = create_captured_function(f, prefix="p.q")
    captured.config = {"a": 5}
    with pytest.raises(ConfigError, match=r"\n  p\.q\.a=5$"):
        captured()


def test_calls_are_logged(caplog):
    """CAP-07: at level DEBUG, before and after."""
    captured = create_captured_function(lambda: 1)
    captured.logger = logging.getLogger("some.function")
    with caplog.at_level(logging.DEBUG):
        captured()
    begin, end = caplog.messages
    assert "Started" == begin
    assert re.fullmatch(r"Finished after 0:0\d:\d\d\.", end)


def test_overlapping_runs_do_not_disturb_each_other():
    """CAP-05: two threads, each inside a run of its own, see their own configuration."""

    @create_captured_function
    def f(a, _run):
        return a, _run

    barrier = threading.Barrier(2, timeout=100)
    seen = {}

    def run(name, a):
        bindings = {f: Binding({"a": a}, None, None, name)}
        bind(bindings)
        barrier.wait()
        with activate(bindings):
            seen[name] = f()
            barrier.wait()

    threads = [threading.Thread(target=run, args=arguments) for arguments in (("x", 1), ("y", 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert seen == {"x": (1, "x"), "y": (2, "y")}


def test_a_run_inside_a_run():
    """CAP-05: when the inner one is over, the outer one goes on; afterwards the last stays."""

    @create_captured_function
    def f(a):
        return a

    outer, inner = ({f: Binding({"a": a}, None, None, None)} for a in (1, 2))
    bind(outer)
    with activate(outer):
        bind(inner)
        with activate(inner):
            assert f() == 2
        assert f() == 1
    assert f() == 2


def test_what_tools_look_for_in_a_function():
    """CAP-08: a captured function has the code, defaults and globals of the function."""

    def function(a, b=3, *, k=4):
        return a

    captured = create_captured_function(function)
    names = ("__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__")
    assert [getattr(function, name) for name in names] == [
        getattr(captured, name) for name in names
    ]
    assert captured.__builtins__ is function.__builtins__
