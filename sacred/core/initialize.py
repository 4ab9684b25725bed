"""Building a run: the names that Sacred's users know, on top of ``resolve``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sacred.core.resolve import (
    create_basic_stream_logger,
    create_scaffolding,
    distribute_config_updates,
    distribute_presets,
    find_best_match,
    gather_ingredients_topological,
    get_command,
    get_config_modifications,
    get_configuration,
    get_scaffolding_and_config_name,
    initialize_logging,
    resolve_config,
)
from sacred.core.scaffold import Scaffold
from sacred.core.setting_checks import check_settings
from sacred.core.uncollected import Uncollected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sacred.core.run import Run

__all__ = [
    "Scaffold",
    "create_basic_stream_logger",
    "create_run",
    "create_scaffolding",
    "distribute_config_updates",
    "distribute_presets",
    "find_best_match",
    "gather_ingredients_topological",
    "get_command",
    "get_config_modifications",
    "get_configuration",
    "get_scaffolding_and_config_name",
    "initialize_logging",
]


def create_run(
    experiment: Any,
    command_name: str,
    config_updates: Mapping[str, Any] | None = None,
    named_configs: Sequence[str] = (),
    force: bool = False,
    log_level: int | str | None = None,
    origin: str | None = None,
) -> Run:
    """Build a run of an experiment, its captured functions bound, not started.

    Parameters
    ----------
    experiment
        The experiment. Its observers are read after the configuration was evaluated.
    command_name
        Dotted name of the command.
    config_updates
        Entries that win over everything, nested or with dotted keys.
    named_configs
        Names of named configurations or of files, the later winning over the earlier.
    force
        True to say nothing about suspicious updates.
    log_level
        The level of the root logger; None leaves it alone.
    origin
        Where the updates were given, for errors about them.

    Raises
    ------
    ConfigAddedError
        If an update names an entry that nothing uses and ``force`` is not set.
    KeyError, NamedConfigNotFoundError
        If something does not exist that is named here.
    JournalSettingError
        If a setting has a value that it can not have.
    """
    loaded = frozenset(sys.modules)
    check_settings()
    resolved = resolve_config(
        experiment,
        command_name,
        config_updates,
        named_configs,
        log_level=log_level,
        origin=origin,
    )
    with Uncollected():
        from sacred.core.late_imports import LateImports
        from sacred.core.run import Run

    run = Run(
        resolved.config,
        resolved.modifications,
        resolved.main_function,
        experiment.observers,
        resolved.root_logger,
        resolved.run_logger,
        experiment.get_experiment_info(),
        _host_info(experiment.additional_host_info),
        list(resolved.pre_run_hooks),
        list(resolved.post_run_hooks),
        experiment.captured_out_filter,
    )
    if hasattr(resolved.main_function, "unobserved"):
        run.unobserved = resolved.main_function.unobserved
    run.force = force
    run.late_imports = LateImports(experiment, loaded)
    resolved.bind(run)
    return run


def _host_info(additional: Any) -> dict[str, Any]:
    """Return the facts about the machine; those that take their time are found when asked for."""
    from sacred.core.facts import LateDict
    from sacred.core.host_info import IgnoreHostInfo, get_host_info, gpu_facts
    from sacred.core.settings import SETTINGS

    if not SETTINGS.HOST_INFO.INCLUDE_GPU_INFO:
        return get_host_info(additional)

    def find() -> dict[str, Any]:
        # The program of the driver may take some seconds to answer.
        try:
            return {"gpus": gpu_facts()}
        except IgnoreHostInfo:
            return {}

    return LateDict(get_host_info(additional, gpus=False), find, ("gpus",))
