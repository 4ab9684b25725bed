"""The database as TinyDB sees it: safe against a kill, and against other processes.

TinyDB's own storage writes over its file in place, and a kill leaves the half of two states. This one
replaces the file, and whoever changes a table holds the folder's lock meanwhile. A change leaves the
documents that it does not name as they are in the file, to the letter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

from sacred.replayers.sinks.tinydb.database import DatabaseFile
from sacred.replayers.sinks.tinydb.files import HashedFiles, StoredFile
from sacred.replayers.sinks.tinydb.tags import tagged, untagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["ReplacedStorage", "RunDatabase", "RunTable", "open_database"]


class ReplacedStorage(Storage):  # type: ignore[misc]
    """Reads and replaces the database file of a folder.

    Parameters
    ----------
    base
        The folder, absolute.
    files
        Where the files lie that documents name.
    """

    def __init__(self, base: str, files: Any) -> None:
        self._database = DatabaseFile(base)
        self._files = files
        self.path = self._database.path
        self.lock = self._database.lock

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return all tables as the JSON has them; None if there are none.

        Raises
        ------
        ViewUnreadableError
            The file is damaged, or something else.
        """
        tables: dict[str, dict[str, Any]] = dict(self._database.read())
        return tables or None

    def write(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the file; values that JSON has no form for are written with a tag.

        Raises
        ------
        ViewUnreadableError
            What is there is damaged, or something else: it is not written over.
        """
        with self.lock:
            self._database.read()
            self._database.write(tagged(data, self.store))

    def store(self, file: Any) -> str:
        """Store an open file; return its md5."""
        return str(self._files.put(file).id)

    def find(self, md5: str) -> StoredFile:
        """Return a reader of a stored file, which need not be there yet."""
        address = self._files.get(md5)
        path = address.abspath if address is not None else self._files.idpath(md5)
        return StoredFile(str(path), md5)

    def decoded(self, document: Any) -> Any:
        """Return a document with times, files and arrays in the places of their tags."""
        return untagged(document, self.find)


class RunTable(Table):  # type: ignore[misc]
    """A table that other processes write as well."""

    #: A result that is kept would hide what others wrote.
    default_query_cache_capacity = 0
    _storage: ReplacedStorage

    def _read_table(self) -> dict[str, Mapping[str, Any]]:
        documents = super()._read_table()
        return {key: self._storage.decoded(document) for key, document in documents.items()}

    def _update_table(self, updater: Callable[[dict[int, Mapping[str, Any]]], None]) -> None:
        with self._storage.lock:
            super()._update_table(updater)

    def insert(self, document: Mapping[str, Any]) -> int:
        """Insert a document; return its number, which nobody else has."""
        with self._storage.lock:
            self._next_id = None
            return int(super().insert(document))

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        """Insert documents; return their numbers, which nobody else has."""
        with self._storage.lock:
            self._next_id = None
            return list(super().insert_multiple(documents))

    def update(
        self, fields: Any, cond: Any = None, doc_ids: Iterable[int] | None = None
    ) -> list[int]:
        """Change documents; a condition sees times as times."""
        return list(super().update(fields, self._on_decoded(cond), doc_ids))

    def remove(self, cond: Any = None, doc_ids: Iterable[int] | None = None) -> list[int]:
        """Remove documents; a condition sees times as times."""
        return list(super().remove(self._on_decoded(cond), doc_ids))

    def _on_decoded(self, cond: Any) -> Any:
        if cond is None:
            return None
        decoded = self._storage.decoded
        return lambda document: cond(decoded(document))


class RunDatabase(TinyDB):  # type: ignore[misc]
    """A TinyDB whose tables are ``RunTable``."""

    table_class = RunTable


def open_database(base: str) -> tuple[RunDatabase, HashedFiles]:
    """Return the database and the files of a folder; nothing is read or made."""
    files = HashedFiles(os.path.join(base, "hashfs"))
    return RunDatabase(base, files, storage=ReplacedStorage), files
