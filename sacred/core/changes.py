"""What changed in a nested value since it was last looked at."""

from __future__ import annotations

import math
from typing import Any

from sacred.core.items import items_of
from sacred.journal.codec import ObjectText, describe, pack, unpack
from sacred.journal.errors import InvalidEventError
from sacred.journal.named_tuple import NamedTuple

__all__ = ["Changes", "ChangeTracker", "fingerprint", "named"]

_PLAIN = (type(None), bool, int, float, str, bytes)
_UNSEEN = object()
#: What lies deeper is told as a whole when something in it changes.
_MAX_DEPTH = 100


class _Packed(bytes):
    """A leaf that may change in place, as its encoding."""

    __slots__ = ()


class _Text(_Packed):
    """A value that can not be looked into, as the encoding of the text that stands for it."""

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
    Nothing in it makes a look fail: what can not be looked into counts as the text that names it.
    """

    def __init__(self, value: Any = None) -> None:
        self._last: Any = {} if value is None else fingerprint(value)

    def look(self, value: Any) -> Changes:
        """Return what changed since the last look, and remember the state of now."""
        changes = Changes([], [])
        self._last = _compare(self._last, value, (), [], changes)
        return changes

    def state(self) -> Any:
        """Return the value as it was at the last look, with leaves as the journal decodes them."""
        return _thawed(self._last)


def fingerprint(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Return a copy by which a later change is noticed, also one inside an array or object.

    ``within`` are the ids of the containers around it.
    """
    if type(value) in _PLAIN:
        return value
    if id(value) in within:
        return _Text(pack(named(value, "<contains itself>")))
    if _is_branch(value, within):
        inside = (*within, id(value))
        try:
            if isinstance(value, dict):
                return {key: fingerprint(item, inside) for key, item in items_of(value)}
            return [fingerprint(item, inside) for item in value]
        except Exception:  # the methods of a user's class raise what they like
            return _Text(pack(describe(value)))
    try:
        return _Packed(pack(value))
    except InvalidEventError:
        return _Text(pack(describe(value)))


def named(value: object, text: str) -> ObjectText:
    """Return what stands for a value that can not be recorded: its type, and why."""
    kind = type(value)
    return ObjectText(f"{kind.__module__}.{kind.__qualname__}", text)


def _is_branch(value: Any, within: tuple[int, ...]) -> bool:
    return isinstance(value, (dict, list)) and len(within) < _MAX_DEPTH and id(value) not in within


def _compare(
    old: Any, value: Any, within: tuple[int, ...], path: list[Any], changes: Changes
) -> Any:
    """Add what changed to ``changes``, and return the fingerprint of now."""
    known = len(changes.set), len(changes.deleted)
    if _is_branch(value, within):
        inside = (*within, id(value))
        try:
            if isinstance(value, dict):
                if type(old) is dict:
                    return _compare_dicts(old, value, inside, path, changes)
            elif type(old) is list and len(old) <= len(value):
                return [
                    _compare(
                        old[index] if index < len(old) else _UNSEEN,
                        item,
                        inside,
                        [*path, index],
                        changes,
                    )
                    for index, item in enumerate(value)
                ]
        except Exception:  # as above; what was found in it so far is told with the whole
            del changes.set[known[0] :], changes.deleted[known[1] :]
    new = fingerprint(value, within)
    is_leaf = type(new) not in (dict, list) and type(new) is type(old)
    if is_leaf and (new == old or (_is_nan(new) and _is_nan(old))):
        return old
    changes.set.append([path, _thawed(new) if _has_text(new) else value])
    return new


def _is_nan(value: Any) -> bool:
    return type(value) is float and math.isnan(value)


def _compare_dicts(
    old: dict[Any, Any],
    value: dict[Any, Any],
    inside: tuple[int, ...],
    path: list[Any],
    changes: Changes,
) -> dict[Any, Any]:
    new = {
        key: _compare(old.get(key, _UNSEEN), item, inside, [*path, key], changes)
        for key, item in items_of(value)
    }
    changes.deleted.extend([*path, key] for key in old if key not in new)
    return new


def _has_text(frozen: Any) -> bool:
    """Tell whether something in a fingerprint stands for what could not be looked into."""
    if type(frozen) is dict:
        return any(map(_has_text, frozen.values()))
    if type(frozen) is list:
        return any(map(_has_text, frozen))
    return type(frozen) is _Text


def _thawed(frozen: Any) -> Any:
    if type(frozen) is dict:
        return {key: _thawed(item) for key, item in frozen.items()}
    if type(frozen) is list:
        return [_thawed(item) for item in frozen]
    return unpack(frozen) if isinstance(frozen, _Packed) else frozen
