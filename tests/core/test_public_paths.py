"""Sacred's module paths are our modules."""

from __future__ import annotations

import importlib

import pytest


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
