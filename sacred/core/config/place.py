"""Where a piece of configuration is written, as messages say it."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["function_place", "place_of", "shown_path"]


def shown_path(filename: str) -> str:
    """Return a path as the user would write it: relative to the present folder if it is below."""
    try:
        relative = os.path.relpath(filename)
    except (OSError, ValueError):
        # The present folder is gone, or on another drive.
        return filename
    return filename if relative.startswith(os.pardir) or filename.startswith("<") else relative


def function_place(function: Any, line: int | None = None) -> str:
    """Return the name of a function and where it is, or where a line of it is."""
    name = getattr(function, "__name__", None) or repr(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return f'"{name}"'
    return f'"{name}" ({shown_path(code.co_filename)}:{line or code.co_firstlineno})'


def place_of(configuration: Any) -> str:
    """Return what a configuration is and where it is written.

    Parameters
    ----------
    configuration
        A ``ConfigScope``, a ``ConfigDict``, or anything that is called in their way.
    """
    place = getattr(configuration, "place", None)
    if callable(place):
        return str(place())
    return str(place) if place else f"the configuration {function_place(configuration)}"
