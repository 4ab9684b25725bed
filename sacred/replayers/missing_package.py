"""A module that is not there, as a person is told of it: by the package that brings it."""

from __future__ import annotations

import importlib.util

__all__ = ["how_to_install", "is_missing"]

#: The packages that are not called as their modules are.
_PACKAGES = {
    "bson": "pymongo",
    "git": "GitPython",
    "google": "google-cloud-storage",
    "gridfs": "pymongo",
    "matplotlib": "'sacred-journal[plot]'",
    "MySQLdb": "mysqlclient",
    "psycopg": "'psycopg[binary]'",
    "pymysql": "PyMySQL",
    "socks": "'requests[socks]'",
    "sqlalchemy": "'sacred-journal[sql]'",
    "yaml": "PyYAML",
}


def how_to_install(error: ImportError) -> str | None:
    """Return which module a program lacks, and what to type: the end of a sentence.

    None if nothing is missing but in this package, which is a defect.
    """
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module in {"", "sacred"}:
        return None
    return f"{module}, which is not installed: pip install {_PACKAGES.get(module, module)}"


def is_missing(module: str) -> bool:
    """Tell whether a module can not be found. None is loaded."""
    try:
        return importlib.util.find_spec(module) is None
    except ValueError:  # something that a test put in its place
        return False
