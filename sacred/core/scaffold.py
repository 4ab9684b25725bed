"""Scaffold: the configuration of one ingredient while it is being put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.config.captured_function import Binding, bind
from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.custom_containers import make_read_only
from sacred.core.config.errors import ConfigTypeError
from sacred.core.config.place import function_place
from sacred.core.config.utils import (
    chain_evaluate_config_scopes,
    dogmatize,
    restore_fixed,
    undogmatize,
)
from sacred.core.dotted import (
    get_by_dotted_path,
    is_prefix,
    iter_prefixes,
    iterate_flattened,
    join_paths,
    recursive_update,
    rel_path,
    set_by_dotted_path,
)
from sacred.core.errors import ConfigAddedError, ConfigError, NamedConfigNotFoundError
from sacred.core.groups import copy_config, group_at, in_order, place_groups
from sacred.core.origins import Origins, named_config_hint, unused_hint
from sacred.core.randomness import SeedError, create_seed_stream, get_seed
from sacred.core.settings import SETTINGS
from sacred.core.updates import check_hook_keys
from sacred.journal.integers import legible, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Scaffold"]


class Scaffold:
    """What is known of one ingredient's configuration in one run.

    Parameters
    ----------
    config_scopes
        Its configurations, called with ``fixed``, ``preset`` and ``fallback``.
    subrunners
        Path -> scaffold of the ingredients that it uses.
    path
        Its own path; empty for the experiment.
    captured_functions, commands, named_configs, config_hooks
        What the ingredient has.
    generate_seed
        Whether a seed that was drawn becomes a configuration entry.

    Attributes
    ----------
    config_updates
        What the user asked for.
    presets
        What named configurations set, for the next of them to read.
    config, config_mods
        The result.
    seed, rnd
        The seed, and the stream that the seeds of ingredients below are drawn from.
    """

    def __init__(
        self,
        config_scopes: Sequence[Callable[..., ConfigSummary]],
        subrunners: Mapping[str, Scaffold],
        path: str,
        captured_functions: Sequence[Any],
        commands: Mapping[str, Any],
        named_configs: Mapping[str, Callable[..., ConfigSummary]],
        config_hooks: Sequence[Callable[..., Any]],
        generate_seed: bool,
    ) -> None:
        self.config_scopes = config_scopes
        self.named_configs = named_configs
        self.subrunners = subrunners
        self.path = path
        self.generate_seed = generate_seed
        self.config_hooks = config_hooks
        self.config_updates: dict[str, Any] = {}
        self.named_configs_to_use: list[str] = []
        self.config: dict[str, Any] = {}
        self.fallback: dict[str, Any] = {}
        self.presets: dict[str, Any] = {}
        self.fixture: dict[str, Any] | None = None
        self.logger: Any = None
        self.seed: int | None = None
        self.rnd: Any = None
        self._captured_functions = captured_functions
        self.commands = commands
        self.config_mods = ConfigSummary()
        self.summaries: list[ConfigSummary] = []
        self.captured_args = {
            join_paths(function.prefix, name)
            for function in captured_functions
            for name in function.signature.arguments
        } | {"__doc__"}
        #: Where the updates of the run were given.
        self.origins = Origins()
        #: Those of the experiment whose paths lie inside of this one's, below it or not.
        self.inside: list[Scaffold] = []
        #: Paths that config hooks of other ingredients set. Nobody has to use them.
        self._hooked: set[str] = set()

    # -- configuration ----------------------------------------------------------------------------

    def set_up_config(self) -> None:
        """Evaluate the configurations, one after the other."""
        self.config, self.summaries = chain_evaluate_config_scopes(
            self.config_scopes,
            fixed=self.config_updates,
            preset=self.config,
            fallback=self.fallback,
        )
        self.get_config_modifications()
        self._ignore_ingredients()

    def restore_updates(self) -> None:
        """Put what the user asked for into the configuration as it was given.

        A scope makes lists of tuples, and a config hook may have changed an entry.
        """
        restore_fixed(self.config, self.config_updates)

    def _ignore_ingredients(self) -> None:
        """Drop entries in whose place the configuration of an ingredient belongs."""
        for path in self._paths_below():
            group: Any = self.config
            for prefix in iter_prefixes(path):
                name = prefix.rpartition(".")[2]
                if name not in group:
                    break
                if not isinstance(group[name], dict):
                    del group[name]
                    self.config_mods.ignored_fallbacks.add(prefix)
                    break
                group = group[name]

    def _seen_from_here(self, path: str) -> str:
        """Return where an ingredient's configuration stands among what this one sees."""
        return rel_path(self.path, path) if self.path and is_prefix(self.path, path) else path

    def _paths_below(self) -> list[str]:
        paths = []
        for path, scaffold in self.subrunners.items():
            below = rel_path(self.path, path) if is_prefix(self.path, path) else ""
            if below:
                paths.append(below)
            if is_prefix(self.path, path):
                paths.extend(join_paths(below, deeper) for deeper in scaffold._paths_below())
        return paths

    def get_config_modifications(self) -> None:
        """Gather what the updates changed into ``config_mods``."""
        self.config_mods = ConfigSummary(
            added={
                path for path, _ in iterate_flattened(self.config_updates) if isinstance(path, str)
            }
        )
        for summary in self.summaries:
            self.config_mods.update_from(summary)

    def gather_fallbacks(self) -> None:
        """Make the configurations of the ingredients used readable for scopes."""
        self.fallback = {"_log": self.logger}
        for path, scaffold in self.subrunners.items():
            # Copies that keep their entries, so that a scope can not change an ingredient's.
            group = dogmatize(copy_config(scaffold.group()))
            group.revelation()
            set_by_dotted_path(self.fallback, self._seen_from_here(path), group)

    def group(self) -> dict[str, Any]:
        """Return the configuration with those of the ingredients inside its path, as far as known."""
        config = dict(self.config)
        place_groups(
            config,
            {
                rel_path(self.path, below.path): below.config
                for below in self.inside
                if below.config
            },
        )
        return config

    def find_named_config(self, config_name: str) -> Callable[..., ConfigSummary]:
        """Return a named configuration, or that of a file.

        Raises
        ------
        NamedConfigNotFoundError
            If there is none with that name.
        ConfigFileError, InvalidKeyError, MissingReaderError, OSError
            If the file can not be read.
        """
        if os.path.isfile(config_name):
            from sacred.core.config.config_dict import ConfigDict

            return ConfigDict.from_file(config_name)
        if config_name in self.named_configs:
            return self.named_configs[config_name]
        raise NamedConfigNotFoundError(
            named_config=config_name,
            available_named_configs=tuple(self.named_configs),
            hint=named_config_hint(config_name, self.named_configs),
        )

    def run_named_config(self, config_name: str) -> dict[str, Any]:
        """Evaluate a named configuration, or a file, and return what it sets.

        See :meth:`find_named_config` for what is raised.
        """
        return self.evaluate_named_config(self.find_named_config(config_name))

    def evaluate_named_config(self, named_config: Callable[..., ConfigSummary]) -> dict[str, Any]:
        """Evaluate a named configuration of this ingredient and return what it sets."""
        summary = named_config(
            fixed=self.get_config_updates_recursive(),
            preset=copy_config(self.presets),
            fallback=self.fallback,
        )
        result: dict[str, Any] = undogmatize(dict(summary))
        return result

    def get_config_updates_recursive(self) -> dict[str, Any]:
        """Return the updates of this ingredient and those below it, nested."""
        updates: dict[str, Any] = copy_config(self.config_updates)
        for path, scaffold in self.subrunners.items():
            if not is_prefix(self.path, path):
                continue
            below = scaffold.get_config_updates_recursive()
            if below:
                set_by_dotted_path(updates, rel_path(self.path, path), below)
        return updates

    def run_config_hooks(
        self, config: Mapping[str, Any], command_name: str, logger: Any
    ) -> dict[str, Any]:
        """Call the config hooks and return what they update; the user's updates win.

        Parameters
        ----------
        config
            All of the configuration so far. Each hook gets a copy of its own.
        command_name
            The command that will be run.
        logger
            The logger of the run.
        """
        updates = self.call_config_hooks(config, command_name, logger)
        recursive_update(updates, self.config_updates)
        return updates

    def call_config_hooks(
        self, config: Mapping[str, Any], command_name: str, logger: Any
    ) -> dict[str, Any]:
        """Call the config hooks and return what they returned, merged."""
        updates: dict[str, Any] = {}
        for hook in self.config_hooks:
            given = copy_config(config)
            with ConfigError.track(given):
                returned = hook(given, command_name, logger)
            if returned is None:
                continue
            if not hasattr(returned, "items"):
                raise ConfigTypeError(
                    f"The config hook {function_place(hook)} returned {returned!r}.",
                    "Return a dictionary of updates, or nothing.",
                )
            check_hook_keys(returned, hook)
            recursive_update(updates, returned)
        return updates

    def take_hook_update(self, keys: Sequence[Any], value: Any, is_set_up: bool) -> None:
        """Take an entry that a config hook set, unless the user updated it.

        Parameters
        ----------
        keys
            Where it is, from group to group.
        value
            The value; no dictionary with entries.
        is_set_up
            Whether the configurations were evaluated. Else the entry counts as an update for them.

        Raises
        ------
        ConfigTypeError
            If something that is no group is in its way.
        """
        path = join_paths(*map(str, keys))
        fixed = {str(path) for path, _ in iterate_flattened(self.config_updates)}
        if any(prefix in fixed for prefix in iter_prefixes(path)) or any(
            is_prefix(path, other) for other in fixed
        ):
            return
        group: Any = self.config if is_set_up else self.config_updates
        *above, last = keys
        for key in above:
            group = group.setdefault(key, {})
            if not isinstance(group, dict):
                raise ConfigTypeError(
                    f"can not set {path!r}: its part {key!r} is no dictionary but {legible(group)!r}.",
                    "Return an entry of another name: a dot leads into a group.",
                )
        if isinstance(value, dict) and last in group:
            # Dictionaries are merged: an empty one changes nothing.
            return
        group[last] = value
        if not is_set_up:
            self._hooked.add(path)

    # -- seeds ------------------------------------------------------------------------------------

    def set_up_seed(self, rnd: Any = None) -> None:
        """Decide the seed, and those of the ingredients below that are still without.

        Parameters
        ----------
        rnd
            Where a seed is drawn from that the configuration does not give.

        Raises
        ------
        SeedError
            If the seed of the configuration can not be one.
        """
        if self.seed is not None:
            return
        seed = self.config.get("seed")
        if seed is None:
            seed = get_seed(rnd)
        self.seed = _checked_seed(seed, self._seed_entry())
        self.rnd = create_seed_stream(self.seed)
        if self.generate_seed:
            self.config["seed"] = seed
        if "seed" in self.config and "seed" in self.config_mods.added:
            self.config_mods.modified.add("seed")
            self.config_mods.added.discard("seed")
        # Sacred draws in this order, and each draw decides those that follow.
        for path, scaffold in reversed(list(self.subrunners.items())):
            if is_prefix(self.path, path):
                scaffold.set_up_seed(self.rnd)

    def _seed_entry(self) -> str:
        path = join_paths(self.path, "seed")
        place = self.origins.of(path)
        return f'It is the entry "{path}", set {place}.' if place else f'It is the entry "{path}".'

    # -- use --------------------------------------------------------------------------------------

    def get_fixture(self) -> dict[str, Any]:
        """Return what functions of the ingredient see: its configuration, those inside in place."""
        if self.fixture is None:
            self.fixture = dict(self.config)
            seen = self._seen_below(self)
            # Sacred shows functions also the neighbours whose paths lie inside of this one's.
            for below in self.inside:
                seen.setdefault(self._seen_from_here(below.path), below.config)
            place_groups(self.fixture, seen)
            self.fixture = in_order(self.fixture, self.config, seen)
        return self.fixture

    def _seen_below(self, scaffold: Scaffold) -> dict[str, Mapping[str, Any]]:
        """Return the configurations below a scaffold by the paths under which they are seen here."""
        seen: dict[str, Mapping[str, Any]] = {}
        for path, below in scaffold.subrunners.items():
            seen.update(self._seen_below(below))
            seen[self._seen_from_here(path)] = below.config
        return seen

    def bindings(self, run: Any) -> dict[Any, Binding]:
        """Return what the captured functions of the ingredient work with in a run.

        Each function has a stream of its own, whose seed is drawn in the order of definition.
        """
        seeds = create_seed_stream(0 if self.seed is None else self.seed)
        fixture = self.get_fixture()
        bindings = {}
        for function in self._captured_functions:
            config: Any = fixture
            if function.prefix:
                config = group_at(fixture, function.prefix)
            if SETTINGS.CONFIG.READ_ONLY_CONFIG:
                config = make_read_only(config)
            bindings[function] = Binding(
                config,
                self.logger.getChild(function.__name__),
                create_seed_stream(get_seed(seeds)),
                run,
            )
        return bindings

    def finalize_initialization(self, run: Any) -> None:
        """Bind the captured functions, and warn about suspicious changes, unless forced."""
        bindings = self.bindings(run)
        bind(bindings)
        run.captured_bindings = {**getattr(run, "captured_bindings", {}), **bindings}
        if not run.force:
            self._warn_about_suspicious_changes()

    def _warn_about_suspicious_changes(self) -> None:
        for path in sorted(self.config_mods.added):
            if path in self._hooked:
                continue
            if not self.captured_args.intersection(iter_prefixes(path)):
                full_path = join_paths(self.path, path)
                config: dict[str, Any] = {}
                value = get_by_dotted_path(self.config, path, _NOTHING)
                is_text = value is not _NOTHING
                if not is_text:  # a key that is no text, as 2.5 of a named configuration
                    value = dict(iterate_flattened(self.config)).get(path)
                set_by_dotted_path(config, full_path, value)
                error = ConfigAddedError(full_path, config=config)
                error.hint = unused_hint(
                    full_path,
                    self.origins.of(full_path),
                    self._known_paths(),
                    is_no_text=is_text and path in set(_odd_paths(self.config)),
                )
                raise error
            self.logger.warning('Added new config entry: "%s"', path)
        # In the order of the assignments, as Sacred's users read it.
        for path, (old, new) in self.config_mods.typechanged.items():
            if old is type(None) or {old, new} == {int, float} or path in self._hooked:
                continue
            self.logger.warning(
                'Changed type of config entry "%s" from %s to %s', path, old.__name__, new.__name__
            )
        for path in sorted(self.config_mods.ignored_fallbacks):
            self.logger.warning(
                'Ignored attempt to set value of "%s", because it is an ingredient.', path
            )

    def _known_paths(self) -> set[str]:
        """Return the paths of the entries that there are, and of those that functions take."""
        entries = {str(path) for path, _ in iterate_flattened(self.config)}
        entries -= set(_odd_paths(self.config))
        return {join_paths(self.path, path) for path in entries - self.config_mods.added} | {
            join_paths(self.path, path) for path in self.captured_args
        }

    def __repr__(self) -> str:
        return f"<Scaffold: {self.path!r}>"


_NOTHING = object()


def _odd_paths(config: Mapping[Any, Any], above: str = "", odd: bool = False) -> Iterator[str]:
    """Yield the paths that lead by keys which are no texts: no update reaches what lies there."""
    for key, value in config.items():
        path, is_odd = join_paths(above, text_of(key)), odd or not isinstance(key, str)
        if is_odd:
            yield path
        if isinstance(value, dict):
            yield from _odd_paths(value, path, is_odd)


def _checked_seed(seed: Any, entry: str) -> int:
    # Where it is, and what to do, behind Sacred's own words.
    remedy = f"{entry} Give a whole number that is not negative, seed=42, or leave it out."
    if not isinstance(seed, int):
        raise SeedError(f"Seed has to be integer but was {legible(seed)!r} {type(seed)}. {remedy}")
    if seed < 0:
        raise SeedError(f"Seed has to be a non-negative integer but was {text_of(seed)}. {remedy}")
    return seed


Scaffold.__module__ = "sacred.initialize"
