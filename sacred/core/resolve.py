"""From an experiment and the updates of one run to its configuration, seeds and functions.

The order: updates are dealt out to the ingredients they belong to; named configurations are
evaluated, and what they give counts as updates; then each ingredient, the deepest first, evaluates
its configurations and config hooks; at last the seeds are drawn, the experiment's first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.dotted import (
    convert_to_nested_dict,
    iterate_flattened,
    join_paths,
    recursive_update,
    set_by_dotted_path,
)
from sacred.core.errors import ConfigAddedError
from sacred.core.scaffold import Scaffold, place_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sacred.core.ingredient import Ingredient

__all__ = [
    "ResolvedConfig",
    "create_basic_stream_logger",
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
    "resolve_config",
]

_Scaffolding = dict[str, Scaffold]
_Prefixes = "Sequence[Sequence[str]]"


class ResolvedConfig(NamedTuple):
    """Everything about a run that its configuration decides. Not changed once it is made.

    Attributes
    ----------
    config
        The whole configuration: the experiment's entries, each ingredient's at its path.
    modifications
        What updates changed of it.
    scaffolding
        Path -> ingredient in the order of evaluation, the experiment last and under ``""``; each
        has its ``config``, ``seed`` and ``config_mods``.
    main_function
        The captured function of the command.
    pre_run_hooks, post_run_hooks
        In the order in which they are called.
    root_logger, run_logger
        The logger of the experiment and that of the run.
    """

    config: dict[str, Any]
    modifications: ConfigSummary
    scaffolding: _Scaffolding
    main_function: Any
    pre_run_hooks: tuple[Any, ...]
    post_run_hooks: tuple[Any, ...]
    root_logger: Any
    run_logger: Any

    def bind(self, run: Any) -> None:
        """Log what is suspicious about the updates, and let captured functions work for ``run``.

        Raises
        ------
        ConfigAddedError
            If an update names an entry that nothing uses and ``run.force`` is not set.
        """
        for scaffold in self.scaffolding.values():
            scaffold.finalize_initialization(run=run)


def resolve_config(
    experiment: Any,
    command_name: str,
    config_updates: Mapping[str, Any] | None = None,
    named_configs: Iterable[str] = (),
    *,
    log_level: int | str | None = None,
) -> ResolvedConfig:
    """Put together the configuration of a run.

    Nothing of the experiment is changed, and no captured function is bound yet.

    Parameters
    ----------
    experiment
        The experiment.
    command_name
        Dotted name of a command.
    config_updates
        Entries that win over everything, nested or with dotted keys.
    named_configs
        Names of named configurations or of files, the later winning over the earlier.
    log_level
        The level of the root logger; None leaves it alone.

    Raises
    ------
    KeyError
        If the command or the ingredient of a named configuration does not exist.
    NamedConfigNotFoundError
        If a named configuration does not exist.
    CircularDependencyError, ValueError
        If the ingredients contain each other, or two have one path.
    """
    ingredients = gather_ingredients_topological(experiment)
    scaffolding = create_scaffolding(experiment, ingredients)
    prefixes = sorted((path.split(".") for path in scaffolding if path), key=len, reverse=True)
    root_logger, run_logger = initialize_logging(experiment, scaffolding, log_level)

    updates = convert_to_nested_dict(config_updates or {})
    distribute_config_updates(prefixes, scaffolding, updates)
    for name in named_configs:
        scaffold, config_name = get_scaffolding_and_config_name(name, scaffolding)
        scaffold.gather_fallbacks()
        named_updates = scaffold.run_named_config(config_name)
        distribute_presets(scaffold.path, prefixes, scaffolding, named_updates)
        for path, value in iterate_flattened(named_updates):
            set_by_dotted_path(updates, join_paths(scaffold.path, str(path)), value)
    distribute_config_updates(prefixes, scaffolding, updates)

    done: set[str] = set()
    for path, scaffold in scaffolding.items():
        scaffold.gather_fallbacks()
        scaffold.set_up_config()
        done.add(path)
        if scaffold.config_hooks:
            hooked = scaffold.call_config_hooks(
                get_configuration(scaffolding), command_name, run_logger
            )
            _distribute_hook_updates(scaffold, hooked, prefixes, scaffolding, done)

    _set_up_seeds(scaffolding)
    config = get_configuration(scaffolding)
    return ResolvedConfig(
        config=config,
        modifications=get_config_modifications(scaffolding),
        scaffolding=scaffolding,
        main_function=get_command(scaffolding, command_name),
        pre_run_hooks=tuple(hook for i in ingredients for hook in i.pre_run_hooks),
        post_run_hooks=tuple(hook for i in ingredients for hook in i.post_run_hooks),
        root_logger=root_logger,
        run_logger=run_logger,
    )


def _distribute_hook_updates(
    scaffold: Scaffold,
    updates: Mapping[str, Any],
    prefixes: Any,
    scaffolding: _Scaffolding,
    done: set[str],
) -> None:
    """Give what config hooks of one ingredient return to the ingredients it belongs to.

    An entry is one of that ingredient, unless it has the name of another and is no entry here.
    """
    for key, value in list(iterate_flattened(updates)):
        path = str(key)
        target, suffix = find_best_match(join_paths(scaffold.path, path), prefixes)
        if target == scaffold.path and path.partition(".")[0] not in scaffold.config:
            elsewhere, rest = find_best_match(path, prefixes)
            if elsewhere and rest:
                target, suffix = elsewhere, rest
        entry: dict[str, Any] = {}
        set_by_dotted_path(entry, suffix, value)
        scaffolding[target].take_hook_updates(entry, is_set_up=target in done)


def _set_up_seeds(scaffolding: _Scaffolding) -> None:
    root = scaffolding[""]
    if root.config.get("seed") is None:
        import random

        # Not from the global generator: the run before may have seeded that.
        root.set_up_seed(random.SystemRandom())
    else:
        root.set_up_seed()
    for scaffold in reversed(list(scaffolding.values())):
        if scaffold.seed is None:
            # Used by an ingredient that it does not lie below: its seed follows from the
            # experiment's and its own path, so that the run can be repeated.
            scaffold.set_up_seed(_DerivedSeed(root.seed, scaffold.path))


class _DerivedSeed:
    """Gives one seed that follows from another and a name."""

    def __init__(self, seed: int | None, name: str) -> None:
        self._text = f"{seed}/{name}"

    def draw(self) -> int:
        """Return the seed."""
        from hashlib import sha256

        digest = sha256(self._text.encode()).digest()
        return int.from_bytes(digest[:8], "big") % 999_999_999 + 1


# -- ingredients ----------------------------------------------------------------------------------


def gather_ingredients_topological(ingredient: Ingredient) -> list[Ingredient]:
    """Return an ingredient and those below it, the deepest first.

    The depth is the longest way; ingredients of one depth stay in the order of traversal.
    """
    depths: dict[int, int] = {}
    found: dict[int, Ingredient] = {}
    for below, depth in ingredient.traverse_ingredients():
        found[id(below)] = below
        depths[id(below)] = max(depths.get(id(below), 0), depth)
    return sorted(found.values(), key=lambda below: -depths[id(below)])


def create_scaffolding(experiment: Any, sorted_ingredients: Sequence[Ingredient]) -> _Scaffolding:
    """Return path -> scaffold, in the order given, the experiment last and under ``""``.

    Raises
    ------
    ValueError
        If two ingredients have one path.
    """
    paths = [ingredient.path for ingredient in sorted_ingredients]
    if len(set(paths)) != len(paths):
        raise ValueError(f"The pathes of the ingredients are not unique. {paths}")
    scaffolds: dict[int, Scaffold] = {}
    others = [ingredient for ingredient in sorted_ingredients if ingredient is not experiment]
    for ingredient in [*others, experiment]:
        scaffolds[id(ingredient)] = Scaffold(
            config_scopes=ingredient.configurations,
            subrunners={
                scaffolds[id(below)].path: scaffolds[id(below)] for below in ingredient.ingredients
            },
            path="" if ingredient is experiment else ingredient.path,
            captured_functions=ingredient.captured_functions,
            commands=ingredient.commands,
            named_configs=ingredient.named_configs,
            config_hooks=ingredient.config_hooks,
            generate_seed=ingredient is experiment,
        )
    return {scaffold.path: scaffold for scaffold in scaffolds.values()}


def find_best_match(path: str, prefixes: Any) -> tuple[str, str]:
    """Return (the first of ``prefixes`` that a path begins with, the rest of the path).

    Parameters
    ----------
    path
        A dotted path.
    prefixes
        Paths as lists of names, the longest first.
    """
    names = path.split(".")
    for prefix in prefixes:
        parts = prefix.split(".") if isinstance(prefix, str) else list(prefix)
        if names[: len(parts)] == parts:
            return ".".join(parts), ".".join(names[len(parts) :])
    return "", path


def distribute_config_updates(
    prefixes: Any, scaffolding: _Scaffolding, config_updates: Mapping[str, Any] | None
) -> None:
    """Add updates to the ingredients with the longest path that fits."""
    for path, value in iterate_flattened(config_updates or {}):
        target, suffix = find_best_match(str(path), prefixes)
        _set_or_merge(scaffolding[target].config_updates, target, suffix, value)


def distribute_presets(
    sc_path: str, prefixes: Any, scaffolding: _Scaffolding, config_updates: Mapping[str, Any]
) -> None:
    """Add what a named configuration of one ingredient set to where later ones can read it."""
    for path, value in iterate_flattened(config_updates):
        target, suffix = find_best_match(join_paths(sc_path, str(path)), prefixes)
        _set_or_merge(scaffolding[target].presets, target, suffix, value)


def _set_or_merge(target: dict[str, Any], ingredient: str, path: str, value: Any) -> None:
    if path:
        set_by_dotted_path(target, path, value)
    elif isinstance(value, dict):
        # An empty dictionary in the place of an ingredient sets nothing.
        recursive_update(target, value)
    else:
        raise ConfigAddedError(
            ingredient,
            f'"{ingredient}" is an ingredient: update its entries ({ingredient}.NAME) instead.',
            config=convert_to_nested_dict({ingredient: value}),
        )


def get_scaffolding_and_config_name(
    named_config: str, scaffolding: _Scaffolding
) -> tuple[Scaffold, str]:
    """Return the ingredient that a named configuration belongs to, and its name there.

    The name of a file belongs to the experiment.

    Raises
    ------
    KeyError
        If there is no such ingredient.
    """
    if os.path.isfile(named_config):
        return scaffolding[""], named_config
    path, _, name = named_config.rpartition(".")
    if path not in scaffolding:
        raise KeyError(f'Ingredient for named config "{named_config}" not found')
    return scaffolding[path], name


def get_command(scaffolding: _Scaffolding, command_path: str) -> Callable[..., Any]:
    """Return a command by its dotted name.

    Raises
    ------
    KeyError
        If there is no such ingredient or command.
    """
    path, _, name = command_path.rpartition(".")
    if path not in scaffolding:
        raise KeyError(f'Ingredient for command "{command_path}" not found.')
    if name not in scaffolding[path].commands:
        place = f' in ingredient "{path}"' if path else ""
        raise KeyError(f'Command "{name}" not found{place}')
    command: Callable[..., Any] = scaffolding[path].commands[name]
    return command


# -- results --------------------------------------------------------------------------------------


def get_configuration(scaffolding: _Scaffolding) -> dict[str, Any]:
    """Return the whole configuration as far as it is known; its groups are the ingredients'."""
    config: dict[str, Any] = {}
    for path, scaffold in reversed(list(scaffolding.items())):
        if not scaffold.config:
            continue
        if path:
            place_config(config, path, scaffold.config)
        else:
            config.update(scaffold.config)
    return config


def get_config_modifications(scaffolding: _Scaffolding) -> ConfigSummary:
    """Return what updates changed of the whole configuration."""
    modifications = ConfigSummary()
    for path, scaffold in scaffolding.items():
        modifications.update_add(scaffold.config_mods, path=path)
    return modifications


# -- loggers --------------------------------------------------------------------------------------


def create_basic_stream_logger() -> Any:
    """Return the root logger, set up to write to stderr unless it was set up before."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(levelname)s - %(name)s - %(message)s")
    return logging.getLogger("")


def initialize_logging(
    experiment: Any, scaffolding: _Scaffolding, log_level: int | str | None = None
) -> tuple[Any, Any]:
    """Give each ingredient its logger and return (that of the experiment, that of the run).

    Raises
    ------
    ValueError
        If there is no such level.
    """
    root_logger = experiment.logger
    if root_logger is None:
        root_logger = create_basic_stream_logger()
    for path, scaffold in scaffolding.items():
        scaffold.logger = root_logger.getChild(path) if path else root_logger
    if log_level:
        text = str(log_level)
        root_logger.setLevel(int(text) if text.isdigit() else text.upper())
    return root_logger, root_logger.getChild(experiment.path)
