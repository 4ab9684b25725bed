"""Sacred's module paths are our modules."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

PATHS = [
    line
    for line in (Path(__file__).parents[1] / "facts" / "paths.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(
    ("path", "real", "names"),
    [
        ("sacred.commands", "sacred.core.commands", ["print_config", "help_for_command"]),
        (
            "sacred.commandline_options",
            "sacred.core.options",
            ["CLIOption", "CommandLineOption", "cli_option", "force_option", "get_name"],
        ),
        (
            "sacred.arg_parser",
            "sacred.core.commandline",
            ["get_config_updates", "format_usage", "printable_usage"],
        ),
        ("sacred.host_info", "sacred.core.host_info", ["get_host_info", "host_info_gatherer"]),
        (
            "sacred.dependencies",
            "sacred.core.dependencies",
            ["Source", "PackageDependency", "get_digest"],
        ),
        ("sacred.stdout_capturing", "sacred.core.output_capture", ["capture"]),
    ],
)
def test_a_public_path_is_the_module_itself(path, real, names):
    """PKG-03: both paths are one module, so an assignment through one is seen by the other."""
    module = importlib.import_module(path)
    assert importlib.import_module(real) is module
    assert [] == [name for name in names if not hasattr(module, name)]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("sacred.metrics_logger", ["MetricError"]),
        ("sacred.arg_parser", ["CommandLineError"]),
        ("sacred.stdout_capturing", ["UnknownCaptureModeError"]),
        ("sacred.settings", ["SettingError", "JournalSettingError"]),
        (
            "sacred.run",
            ["RunIdTakenError", "Terminated", "ViewPlaceError", "ViewRequiredError"],
        ),
    ],
)
def test_an_exception_says_where_it_can_be_imported_from(path, names):
    """PKG-03: a traceback names the public path, and there it is."""
    module = importlib.import_module(path)
    assert [path] * len(names) == [getattr(module, name).__module__ for name in names]


def _at(path):
    """What a dotted path leads to: the longest module in it, and attributes from there."""
    names = path.split(".")
    for cut in range(len(names) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:]:
            found = getattr(found, name)
        return found
    raise AssertionError(path)


@pytest.mark.parametrize("line", PATHS)
def test_paths_that_lead_to_one_object_lead_to_one_here(line):
    """PKG-01, PKG-02, PKG-03, USE-15: what Sacred has under several paths is one object, and under each of them."""
    first, *others = line.split()
    assert [] == [path for path in others if _at(path) is not _at(first)]


@pytest.mark.parametrize(
    "path",
    [
        path
        for line in PATHS
        for path in line.split()
        if path.split(".")[-1][0].isupper() and not path.split(".")[-1].isupper()
    ],
)
def test_a_class_says_its_public_path(path):
    """PKG-03: what is pickled or shown by its path is found there, and no path is one of ours inside."""
    found = _at(path)
    assert not found.__module__.startswith("sacred.core"), found.__module__
    assert found is getattr(importlib.import_module(found.__module__), found.__qualname__)
