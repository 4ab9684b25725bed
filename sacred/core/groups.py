"""Groups: the nested dictionaries of a configuration, and those of ingredients in their places."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from sacred.core.errors import ConfigError
from sacred.journal.integers import legible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["copy_config", "group_at", "in_order", "place_groups"]


def group_at(config: Mapping[str, Any], prefix: str) -> Any:
    """Return the entry at a dotted path, empty where it is missing, or the value that is in its way."""
    found: Any = config
    for name in prefix.split("."):
        if not isinstance(found, dict):
            break
        found = found.get(name, {})
    return found


def copy_config(config: Any) -> Any:
    """Return a deep copy; what can not be copied, such as a module, is shared."""
    from copy import deepcopy

    if type(config) is dict:
        return {key: copy_config(value) for key, value in config.items()}
    if type(config) is list:
        return [copy_config(value) for value in config]
    if config is None or isinstance(config, (bool, int, float, str, ModuleType)):
        return config
    try:
        return deepcopy(config)
    except Exception:
        return config


def in_order(config: Mapping[str, Any], own: Iterable[str], paths: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with ``own`` entries first, then the groups in the order of ``paths``."""
    names = dict.fromkeys([*own, *(path.partition(".")[0] for path in paths)])
    return {name: config[name] for name in names if name in config}


def place_groups(target: dict[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Put ingredients' configurations at their paths, changing no dictionary but ``target``.

    Groups inside the configuration are shared: code that changes one, where the settings allow
    that, changes it for all that see it.

    Raises
    ------
    ConfigError
        If something that is no group is in its way.
    """
    # A group is placed before the groups in it: it takes the place of what was there.
    for path in sorted(groups, key=lambda path: path.count(".")):
        place = target
        *above, last = path.split(".")
        for name in above:
            group = place.get(name, {})
            if not isinstance(group, dict):
                raise ConfigError(
                    f'"{name}" can not be {legible(group)!r}: the ingredient "{path}" has its place in it.',
                    print_conflicting_configs=False,
                    print_traceback=False,
                )
            place[name] = dict(group)
            place = place[name]
        place[last] = dict(groups[path])
