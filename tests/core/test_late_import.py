"""Doing something at the moment of an import."""

from __future__ import annotations

import sys

import pytest

from sacred.core.late_import import when_imported


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a module that can be imported and was not yet."""
    name = f"late_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_a_callback_runs_once_after_the_import(package):
    """RND-03: it is called with the finished module, once."""
    seen = []
    callback = seen.append
    when_imported(package, callback)
    when_imported(package, callback)
    assert seen == []
    module = __import__(package)
    assert [module] == seen
    assert module.value == 1


def test_a_module_that_is_there_is_given_at_once(package):
    """RND-03: there is nothing to wait for."""
    module = __import__(package)
    seen = []
    when_imported(package, seen.append)
    assert [module] == seen


def test_a_callback_that_fails_does_not_break_the_import(package):
    """RND-03: the user asked for an import; the failure becomes a warning."""
    when_imported(package, lambda module: module.nothing)
    with pytest.warns(UserWarning, match=f"could not set up {package}"):
        assert __import__(package).value == 1


def test_a_package_that_does_not_exist_stays_missing():
    """RND-03: waiting for a package does not change what importing it says."""
    when_imported("package_that_is_nowhere", print)
    with pytest.raises(ModuleNotFoundError):
        __import__("package_that_is_nowhere")
