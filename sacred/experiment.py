"""Sacred's public path of ``sacred.core.experiment``, which it is."""

from __future__ import annotations

import sys

import sacred.core.experiment as _real
from sacred.core.experiment import *  # noqa: F403 - for editors and type checkers
from sacred.core.lending import lend

lend(
    _real,
    CLIOption="sacred.core.options",
    DEFAULT_COMMAND_LINE_OPTIONS="sacred.core.options:DEFAULT_OPTIONS",
    HostInfoGetter="sacred.core.host_info",
    Run="sacred.core.run",
    SETTINGS="sacred.core.settings",
    SacredError="sacred.core.errors",
    Signature="sacred.core.config.signature",
    check_additional_host_info="sacred.core.host_info",
    create_run="sacred.core.initialize",
    ensure_wellformed_argv="sacred.utils",
    file_storage_option="sacred.core.view_options",
    format_sacred_error="sacred.core.tracebacks",
    format_usage="sacred.core.usage",
    get_config_updates="sacred.core.commandline",
    get_inheritors="sacred.utils",
    help_for_command="sacred.core.commands",
    mongo_db_option="sacred.core.view_options",
    print_config="sacred.core.commands",
    print_dependencies="sacred.core.commands",
    print_filtered_stacktrace="sacred.core.tracebacks",
    print_named_configs="sacred.core.commands",
    printable_usage="sacred.core.usage",
    s3_option="sacred.core.view_options",
    save_config="sacred.core.commands",
    sql_option="sacred.core.view_options",
    tiny_db_option="sacred.core.view_options",
)
sys.modules[__name__] = _real
