"""Connections to a SQLite file that are kept, as long as it is the file that they opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["KeptFiles", "path_of"]


def path_of(url: URL) -> str | None:
    """Return the file of a SQLite address; None if it is no plain path."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return None
    plain = not name.startswith("file:") and "memory" not in url.query.values()
    return name if plain else None


class KeptFiles:
    """Has a pool open a file again that is not as the pool's connection left it.

    Opening a file costs more than writing a short run into it. But a connection would go on with a
    file that was deleted, or exchanged for another one: then, and wherever anybody else wrote into
    it, it is opened anew.

    Parameters
    ----------
    engine
        A new one.
    path
        The file.
    """

    def __init__(self, engine: Engine, path: str) -> None:
        self._path = path
        event.listen(engine, "checkin", self._left)
        event.listen(engine, "checkout", self._taken)

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _left(self, connection: Any, record: Any) -> None:
        if connection is not None:
            record.info["file"] = self._state()

    def _taken(self, connection: Any, record: Any, proxy: Any) -> None:
        del connection, proxy
        left = record.info.pop("file", True)  # a new one was opened just now
        if left is not True and (left is None or left != self._state()):
            raise DisconnectionError("the file is another one, or somebody wrote into it")
