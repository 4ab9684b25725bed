"""Paths into nested dictionaries, written with dots: ``"dataset.paths.train"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sacred.journal.integers import legible, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping, Sequence

__all__ = [
    "PATHCHANGE",
    "convert_to_nested_dict",
    "get_by_dotted_path",
    "is_prefix",
    "iter_prefixes",
    "iterate_flattened",
    "iterate_flattened_separately",
    "join_paths",
    "recursive_update",
    "rel_path",
    "set_at",
    "set_by_dotted_path",
    "sorted_keys",
]

#: Stands for the value where :func:`iterate_flattened_separately` enters a dictionary.
PATHCHANGE = object()

_Mapping = TypeVar("_Mapping", bound="MutableMapping[Any, Any]")


def join_paths(*parts: str | None) -> str:
    """Join the parts that are not empty with dots."""
    return ".".join(str(part).strip(".") for part in parts if part)


def is_prefix(pre_path: str, path: str) -> bool:
    """Say whether ``path`` lies below ``pre_path``; everything lies below the empty path."""
    pre_path = pre_path.strip(".")
    path = path.strip(".")
    return not pre_path or path.startswith(pre_path + ".")


def iter_prefixes(path: str) -> Iterator[str]:
    """Yield the path's first name, its first two, and so on to the whole path."""
    end = path.find(".")
    while end != -1:
        yield path[:end]
        end = path.find(".", end + 1)
    yield path


def rel_path(base: str, path: str) -> str:
    """Return ``path`` as seen from ``base``.

    Raises
    ------
    ValueError
        If ``path`` is neither ``base`` nor below it.
    """
    if base == path:
        return ""
    if not is_prefix(base, path):
        raise ValueError(f"{base} not a prefix of {path}")
    return path[len(base) :].strip(".")


def get_by_dotted_path(d: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Return the value at ``path``, or ``default`` where a name is missing.

    Raises
    ------
    TypeError
        If the path leads through something that is no container.
    """
    value: Any = d
    for name in path.split(".") if path else ():
        if name not in value:
            return default
        value = value[name]
    return value


def set_by_dotted_path(d: MutableMapping[str, Any], path: str, value: Any) -> None:
    """Set the value at ``path`` and make the dictionaries on the way that are missing.

    Raises
    ------
    ConfigTypeError
        If the path leads through a value that is no dictionary. It is a ``TypeError``.
    """
    set_at(d, path.split("."), value)


def set_at(d: MutableMapping[Any, Any], keys: Sequence[Any], value: Any) -> None:
    """Set the value that keys lead to, as :func:`set_by_dotted_path` does by a path.

    Raises
    ------
    ConfigTypeError
        If they lead through a value that is no dictionary. It is a ``TypeError``.
    """
    *parents, last = keys
    target = d
    for name in parents:
        target = target.setdefault(name, {})
        if not hasattr(target, "setdefault"):
            from sacred.core.config.errors import ConfigTypeError

            path = ".".join(map(text_of, keys))
            raise ConfigTypeError(
                f"can not set {path!r}: its part {name!r} is no dictionary but {legible(target)!r}."
            )
    target[last] = value


def convert_to_nested_dict(dotted_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a nested dictionary of one that may mix dotted keys and dictionaries."""
    nested: dict[str, Any] = {}
    for path, value in iterate_flattened(dotted_dict):
        if isinstance(path, str):
            set_by_dotted_path(nested, path, value)
        else:
            nested[path] = value
    return nested


def iterate_flattened(d: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of every leaf, sorted by key; an empty dictionary is a leaf."""
    for key in sorted_keys(d):
        value = d[key]
        if isinstance(value, dict) and value:
            for path, leaf in iterate_flattened(value):
                yield join_paths(text_of(key), text_of(path)), leaf
        else:
            yield key, value


def iterate_flattened_separately(
    dictionary: Mapping[Any, Any], manually_sorted_keys: Sequence[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of each level first, then its dictionaries.

    Parameters
    ----------
    dictionary
        What to walk.
    manually_sorted_keys
        Keys that come first, in this order.

    Yields
    ------
    (path, value)
        A dictionary is announced by its path and :data:`PATHCHANGE`.
    """
    first = [key for key in manually_sorted_keys or () if key in dictionary]
    rest = [key for key in sorted_keys(dictionary) if key not in first]
    groups = [key for key in rest if isinstance(dictionary[key], dict) and dictionary[key]]
    for key in first + [key for key in rest if key not in groups]:
        yield key, dictionary[key]
    for key in groups:
        yield key, PATHCHANGE
        for path, value in iterate_flattened_separately(dictionary[key], manually_sorted_keys):
            yield join_paths(text_of(key), text_of(path)), value


def recursive_update(d: _Mapping, u: Mapping[Any, Any]) -> _Mapping:
    """Merge ``u`` into ``d`` in place, dictionary by dictionary, and return ``d``."""
    for key, value in u.items():
        if isinstance(value, dict):
            if not value and key in d:
                # Nothing to merge: Sacred leaves what is there, also where it is no dictionary.
                continue
            present = d.get(key)
            # What is no dictionary gives way to one: the later value wins.
            d[key] = recursive_update(present if isinstance(present, dict) else {}, value)
        else:
            d[key] = value
    return d


def sorted_keys(d: Mapping[Any, Any]) -> list[Any]:
    """Return the keys in their order, or where they have none, in that of their texts."""
    try:
        return sorted(d)
    except TypeError:
        # Keys of several types have no order of their own; their text and type give one.
        return sorted(d, key=lambda key: (text_of(key), type(key).__name__))
