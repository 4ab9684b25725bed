"""Observers: which views a run shall have.

``MongoObserver(...)`` and ``FileStorageObserver(...)`` *declare* a view: a process of its own writes
it from the run's journal. A subclass of :class:`RunObserver` is called in the run's process with
Sacred's events.

Everything here is loaded when it is first asked for; no database driver is loaded to declare a view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sacred.observers.base import RunObserver
    from sacred.observers.file_storage import FileStorageObserver
    from sacred.observers.gcs_observer import GoogleCloudStorageObserver
    from sacred.observers.mongo import MongoObserver, QueuedMongoObserver
    from sacred.observers.parquet import ParquetObserver
    from sacred.observers.queue import QueueObserver
    from sacred.observers.s3_observer import S3Observer
    from sacred.observers.slack import SlackObserver
    from sacred.observers.sql import SqlObserver
    from sacred.observers.telegram_obs import TelegramObserver
    from sacred.observers.tinydb_hashfs import TinyDbObserver, TinyDbReader

__all__ = [
    "FileStorageObserver",
    "GoogleCloudStorageObserver",
    "MongoObserver",
    "QueueObserver",
    "QueuedMongoObserver",
    "RunObserver",
    "TinyDbObserver",
    "TinyDbReader",
    "SlackObserver",
    "TelegramObserver",
    "SqlObserver",
    "S3Observer",
    "ParquetObserver",
]

_HOMES = {
    "FileStorageObserver": "file_storage",
    "GoogleCloudStorageObserver": "gcs_observer",
    "MongoObserver": "mongo",
    "ParquetObserver": "parquet",
    "QueueObserver": "queue",
    "QueuedMongoObserver": "mongo",
    "RunObserver": "base",
    "TinyDbObserver": "tinydb_hashfs",
    "TinyDbReader": "tinydb_hashfs",
    "SlackObserver": "slack",
    "TelegramObserver": "telegram_obs",
    "SqlObserver": "sql",
    "S3Observer": "s3_observer",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _HOMES.values():
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
