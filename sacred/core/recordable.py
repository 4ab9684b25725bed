"""What of a user's values is recorded: ids as numbers, configurations without code and passwords."""

from __future__ import annotations

import sys
from typing import Any

from sacred.core.changes import named
from sacred.core.config.captured_function import CapturedFunction
from sacred.core.items import items_of
from sacred.core.passwords import mask_password, masked_key, masked_within
from sacred.journal.codec import describe

__all__ = ["number_of", "recordable"]

#: Containers of a configuration or result that may stand within one another.
_MAX_DEPTH = 200


def number_of(run_id: Any) -> int | None:
    """Return the number that an id is or spells; None for other texts.

    Sacred has ids of the command line and of file observers as text. Journals and the folders of
    a root know a number as a number, whoever gave it.
    """
    if isinstance(run_id, int) and not isinstance(run_id, bool):
        return run_id
    if not isinstance(run_id, str) or not run_id.isascii() or not run_id.isdigit():
        return None
    number = int(run_id[:19])
    return number if str(number) == run_id and 0 < number < 1 << 53 else None


def recordable(value: Any) -> Any:
    """Return a value without the modules and functions that a scope happened to define.

    Other objects stay; the journal keeps them as text that names them. Passwords in addresses are
    masked. A part that contains itself, or lies too deep, is replaced by a text that says so; no
    value makes this raise.
    """
    return _recordable(value, ())


def _recordable(value: Any, within: tuple[int, ...]) -> Any:
    if isinstance(value, str):
        return mask_password(value)
    if isinstance(value, bytes):
        return masked_within(value)
    if not isinstance(value, (dict, list)) and type(value) is not tuple:
        return value
    if id(value) in within:
        return named(value, "<contains itself>")
    if len(within) >= _MAX_DEPTH:
        return named(value, "<nested too deeply>")
    inside = (*within, id(value))
    try:
        if isinstance(value, dict):
            items = items_of(value)
            found: dict[Any, Any] = {}
            for key, item in items:
                if not _is_code(item):
                    found[masked_key(key, found)] = _recordable(item, inside)
            return found
        if isinstance(value, list):
            return [_recordable(item, inside) for item in value]
        return tuple([_recordable(item, inside) for item in value])
    except Exception:  # the methods of a user's class raise what they like
        return describe(value)


_CODE = (type(sys), type(number_of), type(len), CapturedFunction)


def _is_code(value: Any) -> bool:
    return isinstance(value, _CODE)
