"""Updates: which ingredient each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.config.errors import ConfigTypeError, InvalidKeyError
from sacred.core.config.place import function_place
from sacred.core.config.utils import CONTAINS_ITSELF, assert_is_valid_key, normalize_or_die
from sacred.core.dotted import (
    convert_to_nested_dict,
    join_paths,
    recursive_update,
    set_at,
    sorted_keys,
)
from sacred.core.errors import ConfigAddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sacred.core.scaffold import Scaffold

__all__ = [
    "RecordedConfig",
    "check_hook_keys",
    "check_keys",
    "distribute_config_updates",
    "distribute_hook_updates",
    "distribute_presets",
    "find_best_match",
    "merge_named",
    "nested_updates",
]


class RecordedConfig(dict[Any, Any]):
    """The configuration of an earlier run, as the updates of one that goes on with it.

    Its keys are what they are: Sacred makes texts of those in updates, and a path of one with a dot.
    """


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
    if isinstance(updates, RecordedConfig):
        return updates
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
    target, below = _target_of(tuple(path.split(".")), prefixes)
    return target, ".".join(below)


def distribute_config_updates(
    prefixes: Any, scaffolding: Mapping[str, Scaffold], config_updates: Mapping[str, Any] | None
) -> None:
    """Add updates to the ingredients with the longest path that fits."""
    for keys, value in _keys_and_values(config_updates or {}):
        target, below = _target_of(keys, prefixes)
        _set_or_merge(scaffolding[target].config_updates, target, below, value)


def distribute_presets(
    sc_path: str,
    prefixes: Any,
    scaffolding: Mapping[str, Scaffold],
    config_updates: Mapping[str, Any],
) -> None:
    """Add what a named configuration of one ingredient set to where later ones can read it."""
    for keys, value in _keys_and_values(config_updates):
        target, below = _target_of((*_names(sc_path), *keys), prefixes)
        _set_or_merge(scaffolding[target].presets, target, below, value)


def merge_named(
    updates: dict[str, Any], sc_path: str, named_updates: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Add to the updates of a run what a named configuration of one ingredient set.

    Its keys stay what they are; in Sacred, ones that are no texts stop the run with a TypeError.

    Returns
    -------
    Mapping
        What it set, its keys to be taken as those of the updates.
    """
    if isinstance(updates, RecordedConfig):
        named_updates = RecordedConfig(named_updates)
    for keys, value in _keys_and_values(named_updates):
        set_at(updates, (*_names(sc_path), *keys), value)
    return named_updates


def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def _keys_and_values(updates: Mapping[Any, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the keys to each leaf, sorted at each level, and its value."""
    return _leaves(updates, split=not isinstance(updates, RecordedConfig), in_order=sorted_keys)


def _target_of(keys: tuple[Any, ...], prefixes: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the path of the ingredient that an entry is of, and its keys there."""
    for prefix in prefixes:
        names = tuple(prefix.split(".") if isinstance(prefix, str) else prefix)
        if keys[: len(names)] == names:
            return ".".join(names), keys[len(names) :]
    return "", keys


def _set_or_merge(
    target: dict[str, Any], ingredient: str, keys: tuple[Any, ...], value: Any
) -> None:
    if keys or not ingredient:
        assert_is_valid_key(keys[0])
        set_at(target, keys, value)
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


def _leaves(
    updates: Mapping[Any, Any],
    above: tuple[Any, ...] = (),
    *,
    split: bool = True,
    in_order: Callable[[Mapping[Any, Any]], Iterable[Any]] = iter,
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield (keys, value) of every leaf; keys may be dotted, and are split then.

    In the order of the dictionaries, unless ``in_order`` gives another one of their keys.
    """
    for key in in_order(updates):
        value = updates[key]
        keys = (*above, *(key.split(".") if split and isinstance(key, str) else (key,)))
        if isinstance(value, dict) and value:
            yield from _leaves(value, keys, split=split, in_order=in_order)
        else:
            yield keys, value
