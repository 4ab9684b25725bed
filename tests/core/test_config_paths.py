"""Sacred's module paths of the configuration are our modules."""

from __future__ import annotations

import importlib

import pytest

import sacred.config
import sacred.utils


@pytest.mark.parametrize(
    "name",
    ["settings", "randomness", "optional", "ingredient", "initialize",
     *(f"config.{name}" for name in (
         "captured_function", "config_dict", "config_files", "config_scope", "config_summary",
         "custom_containers", "signature", "utils",
     ))],
)  # fmt: skip
def test_a_public_path_is_the_module_itself(name):
    """PKG-03: an assignment through one path is seen by the other."""
    module = importlib.import_module(f"sacred.{name}")
    assert importlib.import_module(f"sacred.core.{name}") is module


def test_what_is_imported_from_the_package():
    """USE-09, USE-15: names of sacred.config, and modules as its attributes."""
    assert all(hasattr(sacred.config, name) for name in sacred.config.__all__)
    assert sacred.config.ConfigScope is sacred.config.config_scope.ConfigScope


@pytest.mark.parametrize(
    "name",
    ["NO_LOGGER", "PYTHON_IDENTIFIER", "CircularDependencyError", "ObserverError",
     "SacredInterrupt", "TimeoutInterrupt", "create_basic_stream_logger", "recursive_update",
     "iterate_flattened", "iterate_flattened_separately", "set_by_dotted_path",
     "get_by_dotted_path", "iter_prefixes", "join_paths", "is_prefix", "convert_to_nested_dict",
     "convert_camel_case_to_snake_case", "print_filtered_stacktrace", "optional_kwargs_decorator",
     "get_inheritors", "apply_backspaces_and_linefeeds", "rel_path", "IntervalTimer", "PathType",
     "ConfigAddedError", "InvalidConfigError", "MissingConfigError", "SacredError", "PATHCHANGE",
     "format_filtered_stacktrace", "format_sacred_error", "ensure_wellformed_argv",
     "is_non_empty_dict", "module_exists", "get_package_version"],
)  # fmt: skip
def test_what_is_imported_from_utils(name):
    """PKG-03: all that Sacred exports there, and what people import besides."""
    assert name in sacred.utils.__all__
    assert hasattr(sacred.utils, name)


def test_words_of_a_command_line():
    """EXP-07: a string is taken apart, a list is checked."""
    assert ["a", "b c"] == sacred.utils.ensure_wellformed_argv("a 'b c'")
    assert sacred.utils.ensure_wellformed_argv(("a",)) == ("a",)
    for wrong in (3, ["a", 1]):
        with pytest.raises(ValueError, match="argv must be"):
            sacred.utils.ensure_wellformed_argv(wrong)


def test_snake_case():
    """CLI-13: names of old options."""
    convert = sacred.utils.convert_camel_case_to_snake_case
    assert ["foo_bar", "html_thing", "get_http_response_code", "a"] == list(
        map(convert, ["FooBar", "HTMLThing", "getHTTPResponseCode", "a"])
    )


def test_decorators_with_options():
    """PKG-03: optional_kwargs_decorator."""

    @sacred.utils.optional_kwargs_decorator
    def times(function, n=2):
        return lambda: function() * n

    assert (2, 3) == (times(lambda: 1)(), times(n=3)(lambda: 1)())


def test_what_is_installed():
    """PKG-05: found out when asked for, nothing is loaded by asking for another package."""
    optional = importlib.import_module("sacred.optional")
    assert optional.has_numpy is True
    assert optional.np.__name__ == "numpy"
    assert optional.module_exists("no.such.module") is False
    assert (False, None) == optional.optional_import("no_such_module")
    with pytest.raises(AttributeError):
        optional.has_nothing
