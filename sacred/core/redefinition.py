"""A cell that is run again: its functions take the place of those that it defined before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.notebook import is_typed

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["is_redefinition", "place"]


def place(items: list[Any], new: Any) -> None:
    """Put what a decorator made at the end, or where an earlier version of it stands.

    So that no hook of a notebook is called twice and no old configuration lives on, and that each
    function keeps its place in the order in which seeds are drawn.
    """
    old = [i for i, item in enumerate(items) if is_redefinition(item, new)]
    if not old:
        items.append(new)
        return
    items[old[0]] = new
    for i in reversed(old[1:]):
        del items[i]


def is_redefinition(old: Any, new: Any) -> bool:
    """Return whether a function is what another one, defined in a cell, has become.

    Both were typed, at the top level and under one name. Two of one name in one cell are two.
    """
    before, after = _function(old), _function(new)
    if before is None or after is None:
        return False
    if (before.__module__, before.__qualname__) != (after.__module__, after.__qualname__):
        return False
    if not before.__qualname__.isidentifier() or not (is_typed(before) and is_typed(after)):
        return False
    one, other = before.__code__, after.__code__
    return one.co_filename != other.co_filename or one.co_firstlineno == other.co_firstlineno


def _function(item: Any) -> FunctionType | None:
    """Return the function behind a configuration scope or a captured function."""
    function = getattr(item, "_func", item)
    function = getattr(function, "__wrapped__", function)
    return function if hasattr(function, "__code__") else None
