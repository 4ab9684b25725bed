"""The database file: tables of documents in one JSON, read with suspicion and replaced whole."""

from __future__ import annotations

import json
import os

from sacred.replayers.errors import ViewUnreadableError
from sacred.replayers.sinks.tinydb.disk import FolderLock, read_file, replace
from sacred.replayers.sinks.tinydb.known import (
    KnownFile,
    Table,
    Tables,
    Texts,
    forget,
    known_file,
    remember,
)

__all__ = ["DatabaseFile", "Table", "Tables", "next_key"]

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
            return self._parsed(read_file(self.path))
        except FileNotFoundError:
            return {}

    def look(self) -> Tables:
        """Return the tables as ``read`` does; what is as this process last saw it is not read again.

        The tables are the caller's own, their documents are not: they are replaced, never changed.

        Raises
        ------
        ViewUnreadableError, OSError
            As ``read`` does.
        """
        known = known_file(self.path)
        if known is None:
            known = KnownFile.opened(self.path)
            if known is None:
                return {}
            try:
                known.tables = self._parsed(known.content())
            except BaseException:
                known.close()
                raise
            remember(self.path, known)
        return {name: dict(table) for name, table in known.tables.items()}

    def _parsed(self, content: bytes) -> Tables:
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
        replace(self.path, [json.dumps(tables, default=str).encode()])

    def replace(self, tables: Tables) -> None:
        """Replace the file by tables that ``look`` gave, of which only what is new costs anything.

        Raises
        ------
        OSError
            As ``write`` does.
        """
        before = known_file(self.path)
        texts = {} if before is None else before.texts
        content, texts = _written(tables, texts)
        replace(self.path, [content])
        after = KnownFile.opened(self.path)
        if after is None or after.size != len(content):  # somebody was faster, without the lock
            forget(self.path)
            if after is not None:
                after.close()
            return
        after.tables, after.texts = {name: dict(table) for name, table in tables.items()}, texts
        remember(self.path, after)

    def size(self) -> int:
        """Return how many bytes it has; 0 if it is not there."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0


def _written(tables: Tables, texts: Texts) -> tuple[bytes, Texts]:
    """Return the file's content, and the text of each document, taken from ``texts`` if it is there.

    To the letter what ``json.dumps`` makes of the tables.
    """
    new: Texts = {}
    parts = []
    for name, table in tables.items():
        pieces = []
        for key, document in table.items():
            found = texts.get((name, key))
            if found is None or found[0] is not document:
                found = document, json.dumps(document, default=str)
            new[name, key] = found
            pieces.append(f'"{key}": {found[1]}')
        parts.append(f"{json.dumps(name)}: {{{', '.join(pieces)}}}")
    return f"{{{', '.join(parts)}}}".encode(), new


def next_key(table: Table) -> str:
    """Return the number of a table's next document."""
    return str(max(map(int, table), default=0) + 1)


def _reason(error: Exception, size: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"at character {error.pos} of {size}: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"at byte {error.start} of {size} it is no text"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
