"""What changed in a nested value since it was last looked at."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sacred.journal.codec import pack

__all__ = ["Changes", "ChangeTracker", "fingerprint"]

_PLAIN = (type(None), bool, int, float, str, bytes)
_UNSEEN = object()


class _Packed(bytes):
    """A leaf that may change in place, as its encoding."""

    __slots__ = ()


class Changes(NamedTuple):
    """The difference between two states of a value.

    Attributes
    ----------
    set
        ``[path, value]`` of what is new or other; a path is a list of keys and indices. A list
        that grew has its new elements at the indices behind its end, in order; one that shrank is
        set as a whole.
    deleted
        Paths of dict entries that are gone.
    """

    set: list[list[Any]]
    deleted: list[list[Any]]

    def __bool__(self) -> bool:
        return bool(self.set or self.deleted)


class ChangeTracker:
    """Remembers a nested value and tells what changed in it.

    Not thread-safe. The value itself is only read, and may be changed by other threads meanwhile.
    """

    def __init__(self, value: Any = None) -> None:
        self._last: Any = {} if value is None else fingerprint(value)

    def look(self, value: Any) -> Changes:
        """Return what changed since the last look, and remember the state of now."""
        changes = Changes([], [])
        self._last = _compare(self._last, value, [], changes)
        return changes


def fingerprint(value: Any) -> Any:
    """Return a copy by which a later change is noticed, also one inside an array or object."""
    if isinstance(value, dict):
        return {key: fingerprint(item) for key, item in _items(value)}
    if isinstance(value, list):
        return [fingerprint(item) for item in value]
    if type(value) in _PLAIN:
        return value
    return _Packed(pack(value))


def _compare(old: Any, value: Any, path: list[Any], changes: Changes) -> Any:
    if isinstance(value, dict):
        if type(old) is dict:
            return _compare_dicts(old, value, path, changes)
    elif isinstance(value, list):
        if type(old) is list and len(old) <= len(value):
            return [
                _compare(old[index] if index < len(old) else _UNSEEN, item, [*path, index], changes)
                for index, item in enumerate(value)
            ]
    else:
        new = fingerprint(value)
        if type(new) is type(old) and (new == old or (_is_nan(new) and _is_nan(old))):
            return old
        changes.set.append([path, value])
        return new
    changes.set.append([path, value])
    return fingerprint(value)


def _is_nan(value: Any) -> bool:
    return type(value) is float and math.isnan(value)


def _compare_dicts(
    old: dict[Any, Any], value: dict[Any, Any], path: list[Any], changes: Changes
) -> dict[Any, Any]:
    new = {
        key: _compare(old.get(key, _UNSEEN), item, [*path, key], changes)
        for key, item in _items(value)
    }
    changes.deleted.extend([*path, key] for key in old if key not in new)
    return new


def _items(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    while True:
        try:
            return list(value.items())
        except RuntimeError:  # another thread changed it just now
            continue
