"""What is installed, and what is loaded already.

Nothing here imports anything on its own: a package counts as loaded only when the user's code
imported it, and is looked for only when somebody asks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "get_package_version",
    "get_tensorflow",
    "loaded",
    "module_exists",
    "module_is_in_cache",
    "modules_exist",
    "optional_import",
    "parse_version",
]

_PACKAGES = {
    "has_numpy": "numpy",
    "has_pandas": "pandas",
    "has_yaml": "yaml",
    "has_tensorflow": "tensorflow",
    "has_sqlalchemy": "sqlalchemy",
    "has_mako": "mako",
    "has_tinydb": "tinydb",
}
_MODULES = {"np": "numpy", "pandas": "pandas", "yaml": "yaml"}


def loaded(name: str) -> ModuleType | None:
    """Return a module when it was imported already, else None. Costs one dictionary look-up."""
    return sys.modules.get(name)


def module_is_in_cache(modname: str) -> bool:
    """Say whether a module was imported already."""
    return modname in sys.modules


def module_exists(modname: str) -> bool:
    """Say whether a module can be found, without importing it (its parents are imported)."""
    from importlib.util import find_spec

    if sys.modules.get(modname) is not None:
        return True
    try:
        return find_spec(modname) is not None
    except (ImportError, ValueError):
        return False


def modules_exist(*modnames: str) -> bool:
    """Say whether all of the modules can be found."""
    return all(module_exists(name) for name in modnames)


def optional_import(*package_names: str) -> tuple[bool, ModuleType | None]:
    """Import the packages and return (True, the last one), or (False, None) if one is missing."""
    from importlib import import_module

    try:
        packages = [import_module(name) for name in package_names]
    except ImportError:
        return False, None
    return True, packages[-1] if packages else None


def get_package_version(name: str) -> Any:
    """Import a package and return its ``__version__`` as a comparable version."""
    from importlib import import_module

    return parse_version(import_module(name).__version__)


def parse_version(version_string: str) -> Any:
    """Return a version that can be compared.

    ``packaging.version.Version`` where that package is installed, else the leading numbers as a
    tuple.
    """
    try:
        from packaging.version import parse
    except ImportError:
        import re

        return tuple(int(number) for number in re.findall(r"\d+", version_string)[:3])
    return parse(version_string)


def get_tensorflow() -> ModuleType:
    """Import TensorFlow and return its version 1 interface."""
    import importlib

    tensorflow = importlib.import_module("tensorflow")
    compat = getattr(getattr(tensorflow, "compat", None), "v1", None)
    return tensorflow if compat is None else compat


def __getattr__(name: str) -> Any:
    # Sacred computes these at import, which loads numpy; here they cost nothing until asked for.
    if name in _PACKAGES:
        return module_exists(_PACKAGES[name])
    if name in _MODULES:
        return optional_import(_MODULES[name])[1]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
