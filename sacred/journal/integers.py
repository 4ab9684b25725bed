"""Integers that are too long to be written with decimal digits.

Python turns integers of more than 4,300 digits neither into decimal text nor back, because the time
for it grows with the square of their length; most readers of JSON refuse them, too. A journal holds
them as they are. Wherever one is shown it is hexadecimal text, ``0x...``, which takes no time, loses
nothing, and is read by ``int(text, 0)``.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["MOST_DIGITS", "is_long", "legible", "text_of", "whole_number"]

#: Python's own limit. Someone who sets a lower one (``PYTHONINTMAXSTRDIGITS``) has that.
MOST_DIGITS = 4300
_ASKED = getattr(sys, "get_int_max_str_digits", int)()
#: No integer of so many bits has more digits: log2(10) is a little more than 3.3219.
_BITS = min(MOST_DIGITS, _ASKED or MOST_DIGITS) * 33219 // 10000
_MAX_DEPTH = 200


class _Hexadecimal(int):
    """An integer that shows itself in hexadecimal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return hex(self)

    __str__ = __repr__


def is_long(number: int) -> bool:
    """Tell whether an integer has too many digits to be shown with them."""
    return int.bit_length(number) > _BITS


def whole_number(number: int) -> int | str:
    """Return an integer as views hold it: itself, or hexadecimal text in place of a long one."""
    return hex(number) if is_long(number) else number


def text_of(value: object) -> str:
    """Return ``str(value)``, also of long integers and of containers with some in them.

    Raises
    ------
    Exception
        Whatever the methods of its class raise for another reason.
    """
    try:
        return str(value)
    except ValueError:
        return str(legible(value))


def legible(value: Any) -> Any:
    """Return a value whose ``repr`` does not fail because of a long integer in it.

    What holds none is returned as it is, not copied. Dicts, lists, tuples and sets are looked into.
    """
    try:
        return _legible(value, ()) if _holds_long(value, ()) else value
    except Exception:  # the methods of a user's class raise what they like
        return value


class _Cut:
    """Stands for a container inside itself, or too deep to be shown."""

    def __repr__(self) -> str:
        return "..."


_CONTAINERS = (list, tuple, set, frozenset)


def _holds_long(value: Any, within: tuple[int, ...]) -> bool:
    if isinstance(value, int):
        return is_long(value)
    if id(value) in within or len(within) >= _MAX_DEPTH:
        return False
    inside = (*within, id(value))
    if isinstance(value, dict):
        return any(_holds_long(k, inside) or _holds_long(v, inside) for k, v in [*value.items()])
    return isinstance(value, _CONTAINERS) and any(_holds_long(item, inside) for item in [*value])


def _legible(value: Any, within: tuple[int, ...]) -> Any:
    if isinstance(value, int):
        return _Hexadecimal(value) if is_long(value) else value
    if not isinstance(value, (dict, *_CONTAINERS)):
        return value
    if id(value) in within or len(within) >= _MAX_DEPTH:
        return _Cut()
    inside = (*within, id(value))
    if isinstance(value, dict):
        return {_legible(k, inside): _legible(v, inside) for k, v in [*value.items()]}
    kind = next(kind for kind in _CONTAINERS if isinstance(value, kind))
    return kind([_legible(item, inside) for item in [*value]])
