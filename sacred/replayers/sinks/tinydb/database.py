"""The database file: tables of documents in one JSON, read with suspicion and replaced whole."""

from __future__ import annotations

import json
import os
from typing import Any

from sacred.replayers.errors import ViewUnreadableError
from sacred.replayers.sinks.tinydb.disk import FolderLock, read_file, replace

__all__ = ["DatabaseFile", "Table", "Tables", "next_key"]

#: Documents by the text of their number.
Table = dict[str, dict[str, Any]]
Tables = dict[str, Table]

#: What Sacred calls it.
FILE_NAME = "metadata.json"


class DatabaseFile:
    """``metadata.json`` of one folder, as the JSON has it: no tagged value is decoded.

    Parameters
    ----------
    base
        The folder, absolute.

    Attributes
    ----------
    lock
        Held, in a ``with`` statement, by whoever reads in order to write.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.path = os.path.join(base, FILE_NAME)
        self.lock = FolderLock(base)

    def read(self) -> Tables:
        """Return the tables; none, if there is no file or nothing in it.

        Raises
        ------
        ViewUnreadableError
            It is damaged, or something else.
        OSError
            The disk failed, or it is no regular file.
        """
        try:
            content = read_file(self.path)
        except FileNotFoundError:
            return {}
        if not content.strip():
            return {}  # as TinyDB makes it, before anything is in it
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(_reason(error, len(content))) from None
        if not isinstance(found, dict):
            raise self._unreadable("it holds no tables")
        for name, table in found.items():
            if not isinstance(table, dict):
                raise self._unreadable(f"its entry {name[:80]!r} is no table")
            for key, document in table.items():
                if not (key.isascii() and key.isdecimal() and isinstance(document, dict)):
                    raise self._unreadable(f"the table {name[:80]!r} holds {key[:80]!r}")
        return found

    def _unreadable(self, reason: str) -> ViewUnreadableError:
        return ViewUnreadableError(
            f"{self.path} is no TinyDB database ({reason}). It is left as it is: move it away and "
            "replay with --rebuild, put a copy of it back, or choose another folder"
        )

    def write(self, tables: Tables) -> None:
        """Replace the file; all of it is durable before it has its name.

        Raises
        ------
        OSError
            The disk refuses; the file is as it was.
        """
        replace(self.path, json.dumps(tables, default=str).encode())

    def size(self) -> int:
        """Return how many bytes it has; 0 if it is not there."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0


def next_key(table: Table) -> str:
    """Return the number of a table's next document."""
    return str(max(map(int, table), default=0) + 1)


def _reason(error: Exception, size: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"at character {error.pos} of {size}: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"at byte {error.start} of {size} it is no text"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
