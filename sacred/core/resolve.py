"""From an experiment and the updates of one run to its configuration, seeds and functions.

The order: updates are dealt out to the ingredients they belong to; named configurations are
evaluated, and what they give counts as updates; then each ingredient, the deepest first, evaluates
its configurations and config hooks; at last the seeds are drawn, the experiment's first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.errors import (
    CommandNotFoundError,
    IngredientNotFoundError,
    IngredientPathError,
)
from sacred.core.config.place import place_of
from sacred.core.dotted import (
    join_paths,
)
from sacred.core.groups import in_order, place_groups
from sacred.core.origins import Origins, named_config_hint
from sacred.core.scaffold import Scaffold
from sacred.core.updates import (
    distribute_config_updates,
    distribute_hook_updates,
    distribute_presets,
    find_best_match,
    merge_named,
    nested_updates,
)
from sacred.journal.named_tuple import NamedTuple

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
    origin: str | None = None,
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
    origin
        Where the updates were given, for errors about them: as in "It was set on the command line".

    Raises
    ------
    CommandNotFoundError, IngredientNotFoundError
        If the command or the ingredient of a named configuration does not exist.
    NamedConfigNotFoundError
        If a named configuration does not exist.
    CircularDependencyError, IngredientPathError
        If the ingredients contain each other, or two have one path, or one has none.
    """
    ingredients = gather_ingredients_topological(experiment)
    scaffolding = create_scaffolding(experiment, ingredients)
    prefixes = sorted((path.split(".") for path in scaffolding if path), key=len, reverse=True)
    root_logger, run_logger = initialize_logging(experiment, scaffolding, log_level)

    origin = origin or "in the config_updates of the call"
    updates = nested_updates(config_updates, origin)
    origins = Origins()
    origins.note(updates, origin)
    distribute_config_updates(prefixes, scaffolding, updates)
    for name in named_configs:
        scaffold, config_name = get_scaffolding_and_config_name(name, scaffolding)
        scaffold.gather_fallbacks()
        named_config = scaffold.find_named_config(config_name)
        named_updates = scaffold.evaluate_named_config(named_config)
        origins.note(named_updates, f"by {place_of(named_config)}", below=scaffold.path)
        as_set = merge_named(updates, scaffold.path, named_updates)
        distribute_presets(scaffold.path, prefixes, scaffolding, as_set)
    distribute_config_updates(prefixes, scaffolding, updates)

    done: set[str] = set()
    for path, scaffold in scaffolding.items():
        scaffold.origins = origins
        scaffold.gather_fallbacks()
        scaffold.set_up_config()
        done.add(path)
        if scaffold.config_hooks:
            hooked = scaffold.call_config_hooks(
                get_configuration(scaffolding), command_name, run_logger
            )
            distribute_hook_updates(scaffold, hooked, prefixes, scaffolding, done)
        scaffold.restore_updates()

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
        from sacred.journal.digests import sha256

        return int(sha256(self._text.encode()).hexdigest()[:16], 16) % 999_999_999 + 1


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
    IngredientPathError
        If two ingredients have one path, or one has a path with an empty name in it. It is a
        ``ValueError``.
    """
    scaffolds: dict[int, Scaffold] = {}
    others = [ingredient for ingredient in sorted_ingredients if ingredient is not experiment]
    _check_paths([ingredient.path for ingredient in others])
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
    for scaffold in scaffolds.values():
        if scaffold.path:
            scaffold.inside = [
                other for other in scaffolds.values() if other.path.startswith(f"{scaffold.path}.")
            ]
    return {scaffold.path: scaffold for scaffold in scaffolds.values()}


def _check_paths(paths: Sequence[str]) -> None:
    # The experiment is not among them: its entries stand beside those of an ingredient, also of
    # one with its name.
    for path in paths:
        if not all(path.split(".")):
            raise IngredientPathError(
                f'The path "{path}" of an ingredient has an empty name in it. Write '
                'Ingredient("NAME") or Ingredient("GROUP.NAME").'
            )
        if paths.count(path) > 1:
            raise IngredientPathError(
                f"The pathes of the ingredients are not unique. {paths}: give each Ingredient a path "
                f'of its own, or name the one object "{path}" in both places.'
            )


def get_scaffolding_and_config_name(
    named_config: str, scaffolding: _Scaffolding
) -> tuple[Scaffold, str]:
    """Return the ingredient that a named configuration belongs to, and its name there.

    The name of a file belongs to the experiment.

    Raises
    ------
    IngredientNotFoundError
        If there is no such ingredient. It is a ``KeyError``.
    """
    if os.path.isfile(named_config):
        return scaffolding[""], named_config
    path, _, name = named_config.rpartition(".")
    if path not in scaffolding:
        available = [
            join_paths(scaffold.path, name)
            for scaffold in scaffolding.values()
            for name in scaffold.named_configs
        ]
        hint = named_config_hint(named_config, available)
        raise IngredientNotFoundError(
            f'Ingredient for named config "{named_config}" not found. Available named configs '
            f"are: {', '.join(available) or 'none'}. {hint}".rstrip()
        )
    return scaffolding[path], name


def get_command(scaffolding: _Scaffolding, command_path: str) -> Callable[..., Any]:
    """Return a command by its dotted name.

    Raises
    ------
    CommandNotFoundError
        If there is no such ingredient or command. It is a ``KeyError``.
    """
    path, _, name = command_path.rpartition(".")
    if path not in scaffolding or name not in scaffolding[path].commands:
        from sacred.core.commandline import closest

        available = [
            join_paths(scaffold.path, command)
            for scaffold in reversed(list(scaffolding.values()))
            for command in scaffold.commands
        ]
        if path not in scaffolding:
            problem = f'Ingredient for command "{command_path}" not found.'
        else:
            place = f' in ingredient "{path}"' if path else ""
            problem = f'Command "{name}" not found{place}.'
        meant = closest(command_path, available)
        hint = f' Did you mean "{meant}"?' if meant else ""
        raise CommandNotFoundError(
            f"{problem} Available commands are: {', '.join(available)}.{hint}"
        )
    command: Callable[..., Any] = scaffolding[path].commands[name]
    return command


# -- results --------------------------------------------------------------------------------------


def get_configuration(scaffolding: _Scaffolding) -> dict[str, Any]:
    """Return the whole configuration as far as it is known; its groups are the ingredients'."""
    config = dict(scaffolding[""].config)
    # The last to be evaluated in front.
    place_groups(
        config,
        {
            path: scaffold.config
            for path, scaffold in reversed(list(scaffolding.items()))
            if path and scaffold.config
        },
    )
    # The experiment's entries first, then the ingredients', the last to be evaluated in front.
    return in_order(config, scaffolding[""].config, reversed(list(scaffolding)))


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
    CommandLineError
        If there is no such level (a ``ValueError``).
    """
    root_logger = experiment.logger
    if root_logger is None:
        root_logger = create_basic_stream_logger()
    for path, scaffold in scaffolding.items():
        scaffold.logger = root_logger.getChild(path) if path else root_logger
    if log_level:
        from sacred.core.options import set_log_level

        set_log_level(root_logger, log_level)
    return root_logger, root_logger.getChild(experiment.path)
