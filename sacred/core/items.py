"""The items of a dict that other threads may change meanwhile."""

from __future__ import annotations

from typing import Any

__all__ = ["items_of"]

#: So often a dict is looked at again that is changed just then; one that is no dict at heart may
#: raise for ever.
_TRIES = 100


def items_of(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the items of a dict, as they are at one moment.

    Raises
    ------
    Exception
        Whatever its class raises; a ``RuntimeError`` only if it does so again and again.
    """
    for _ in range(_TRIES - 1):
        try:
            return list(value.items())
        except RecursionError:
            raise
        except RuntimeError:  # another thread changed it just now
            continue
    return list(value.items())
