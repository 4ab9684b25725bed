"""Which modules are installed: those that a program finds also in another shell, from another folder."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING
from sacred.core.imports import file_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["found_anew", "is_installed", "place_of_module"]

_PYTHON = os.path.join(os.path.dirname(os.path.realpath(os.__file__)), "")
_OWN_PACKAGE = __name__.partition(".")[0]

#: Prints what a new interpreter finds, without PYTHONPATH and the folder it is called in.
_ASK = """
import sys
sys.path[:] = [path for path in sys.path if path]
from importlib.util import find_spec
for name in sys.argv[1:]:
    try:
        spec = find_spec(name)
        print(name, spec.origin if spec.has_location else [*spec.submodule_search_locations][0])
    except Exception:
        pass
"""


def place_of_module(name: str) -> str | None:
    """Return the file of a module, or a folder of one that has none; nothing is imported.

    Returns
    -------
    str or None
        Without symbolic links. Empty for a module of the interpreter, and for one that the program
        made. None if there is none of this name.
    """
    if name in sys.modules:
        module: Any = sys.modules[name]
        file, folders = file_of(module), getattr(module, "__path__", None)
    else:
        import importlib.util

        try:
            with IMPORTING:
                spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        file = spec.origin if spec.has_location else None
        folders = spec.submodule_search_locations
    try:
        places = [file] if file is not None else list(folders or ())
    except Exception:  # a module that a program made may be any object
        places = []
    return os.path.realpath(places[0]) if places and isinstance(places[0], str) else ""


def is_installed(name: str, place: str) -> bool:
    """Tell whether a module is part of Python or of an installed distribution.

    Parameters
    ----------
    name
        The module.
    place
        Where it is, as ``place_of_module`` says.
    """
    with IMPORTING:
        from sacred.core.distributions import distribution_of

    top = name.partition(".")[0]
    if not place or place.startswith(_PYTHON) or top == _OWN_PACKAGE:
        return True
    if "-packages" in place or os.path.basename(place) == "<frozen>":
        return True
    return distribution_of(name, place) is not None


def found_anew(places: Mapping[str, str]) -> set[str]:
    """Return the modules that a new interpreter finds where this one did.

    The last resort, for editable installations of all kinds: a process of 20 ms and more.

    Parameters
    ----------
    places
        Where modules are, by their names without dots.
    """
    with IMPORTING:
        from sacred.core.programs import ask_program

    if not places:
        return set()
    printed = ask_program([sys.executable, "-E", "-c", _ASK, *places]) or ""
    found = dict(line.partition(" ")[::2] for line in printed.splitlines())
    return {name for name, at in found.items() if os.path.realpath(at) == places.get(name)}
