"""TinyDB: the observer that declares a TinyDB view, and the reader of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sacred.core.view_options import tiny_db_option
    from sacred.observers.tinydb_hashfs.reader import TinyDbReader
    from sacred.observers.tinydb_hashfs.tinydb_hashfs import TinyDbObserver

__all__ = ["TinyDbObserver", "TinyDbReader", "tiny_db_option"]

_HOMES = {
    "TinyDbObserver": f"{__name__}.tinydb_hashfs",
    "TinyDbReader": f"{__name__}.reader",
    "tiny_db_option": "sacred.core.view_options",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in {"bases", "tinydb_hashfs"}:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
