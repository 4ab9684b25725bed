"""Updates: which ingredient each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.config.errors import ConfigTypeError, InvalidKeyError
from sacred.core.config.place import function_place
from sacred.core.config.utils import CONTAINS_ITSELF, assert_is_valid_key, normalize_or_die
from sacred.core.dotted import (
    convert_to_nested_dict,
    iterate_flattened,
    join_paths,
    recursive_update,
    set_by_dotted_path,
)
from sacred.core.errors import ConfigAddedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sacred.core.scaffold import Scaffold

__all__ = [
    "check_hook_keys",
    "check_keys",
    "distribute_config_updates",
    "distribute_hook_updates",
    "distribute_presets",
    "find_best_match",
    "nested_updates",
]


def nested_updates(updates: Any, origin: str) -> dict[str, Any]:
    """Return the updates of a run, which may mix dotted keys and dictionaries, as nested ones.

    Parameters
    ----------
    updates
        As they were given; whatever is false is none.
    origin
        Where, for errors: as in "It was set on the command line".

    Raises
    ------
    ConfigTypeError
        They are no dictionary, or contain themselves (a ``TypeError``).
    InvalidKeyError
        There is a key that no configuration may have, at any depth.
    """
    if not updates:
        return {}
    if not hasattr(updates, "keys"):
        raise ConfigTypeError(
            f"What was set {origin} is {updates!r}: give a dictionary, {{'NAME': VALUE}}."
        )
    place = f"what was set {origin}"
    try:
        for key in updates:
            if isinstance(updates[key], dict):
                _refuse_empty_names(updates[key], (str(key),), place)
        nested = convert_to_nested_dict(updates)
        check_keys(nested, place)
    except RecursionError:
        raise ConfigTypeError(f"A value of {place} {CONTAINS_ITSELF}") from None
    return nested


def _refuse_empty_names(group: Mapping[Any, Any], above: tuple[str, ...], place: str) -> None:
    """Refuse an empty key inside of a group: the path to it is that of the group itself."""
    for key, value in group.items():
        if key == "":
            error = InvalidKeyError('Invalid key "". Config-keys cannot be empty.', "Rename it.")
            error.above, error.place = above, place
            raise error
        if isinstance(value, dict):
            _refuse_empty_names(value, (*above, str(key)), place)


def check_keys(updates: Mapping[str, Any], place: str) -> None:
    """Refuse updates with a key that no configuration may have.

    Raises
    ------
    InvalidKeyError
        If there is one, at any depth. It names ``place``.
    """
    try:
        normalize_or_die(updates)
    except InvalidKeyError as error:
        error.place = place
        raise


def check_hook_keys(returned: Mapping[Any, Any], hook: Any) -> None:
    """Refuse what a config hook returned if a key of it can be none; keys may be dotted paths.

    Raises
    ------
    InvalidKeyError
        There is one, at any depth.
    ConfigTypeError
        What was returned contains itself (a ``TypeError``).
    """
    place = f"what the config hook {function_place(hook)} returned"
    try:
        for keys, value in _leaves(returned):
            for depth, key in enumerate(keys):
                _check_key(key, keys[:depth], place)
            try:
                normalize_or_die(value)
            except InvalidKeyError as error:
                error.above, error.place = (*map(str, keys), *error.above), place
                raise
    except RecursionError:
        raise ConfigTypeError(f"A value of {place} {CONTAINS_ITSELF}") from None


def _check_key(key: Any, above: tuple[Any, ...], place: str) -> None:
    try:
        assert_is_valid_key(key)
    except InvalidKeyError as error:
        error.above, error.place = tuple(map(str, above)), place
        raise


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
    prefixes: Any, scaffolding: Mapping[str, Scaffold], config_updates: Mapping[str, Any] | None
) -> None:
    """Add updates to the ingredients with the longest path that fits."""
    for path, value in iterate_flattened(config_updates or {}):
        target, suffix = find_best_match(str(path), prefixes)
        _set_or_merge(scaffolding[target].config_updates, target, suffix, value)


def distribute_presets(
    sc_path: str,
    prefixes: Any,
    scaffolding: Mapping[str, Scaffold],
    config_updates: Mapping[str, Any],
) -> None:
    """Add what a named configuration of one ingredient set to where later ones can read it."""
    for path, value in iterate_flattened(config_updates):
        target, suffix = find_best_match(join_paths(sc_path, str(path)), prefixes)
        _set_or_merge(scaffolding[target].presets, target, suffix, value)


def _set_or_merge(target: dict[str, Any], ingredient: str, path: str, value: Any) -> None:
    if path or not ingredient:
        assert_is_valid_key(path.partition(".")[0])
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


def distribute_hook_updates(
    scaffold: Scaffold,
    updates: Mapping[str, Any],
    prefixes: Any,
    scaffolding: Mapping[str, Scaffold],
    done: set[str],
) -> None:
    """Give what config hooks of one ingredient return to the ingredients it belongs to.

    An entry is one of that ingredient, unless it has the name of another and is no entry here.
    """
    for keys, value in _leaves(updates):
        path = join_paths(*map(str, keys))
        target, suffix = find_best_match(join_paths(scaffold.path, path), prefixes)
        if target == scaffold.path and keys[0] not in scaffold.config:
            elsewhere, rest = find_best_match(path, prefixes)
            if elsewhere and rest:
                target, suffix = elsewhere, rest
        # The keys in front are the names of the ingredient, which have no dots in them.
        below = keys[path.count(".") - suffix.count(".") :]
        try:
            scaffolding[target].take_hook_update(below, value, is_set_up=target in done)
        except ConfigTypeError as error:
            hooks = " or ".join(map(function_place, scaffold.config_hooks))
            raise ConfigTypeError(
                f"The config hook {hooks} {error.problem}", error.remedy
            ) from None


def _leaves(updates: Mapping[Any, Any], above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield (keys, value) of every leaf in the order of the dictionaries; keys may be dotted."""
    for key, value in updates.items():
        keys = (*above, *(key.split(".") if isinstance(key, str) else (key,)))
        if isinstance(value, dict) and value:
            yield from _leaves(value, keys)
        else:
            yield keys, value
