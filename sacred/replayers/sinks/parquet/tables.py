"""Rows as files: what DuckDB does for this view."""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.parquet_files import copy_rows, quoted, set_up
from sacred.replayers.sinks.parquet.disk import damaged, read_file
from sacred.replayers.sinks.parquet.layout import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["TableWriter", "journals_of"]

_LOCK = threading.Lock()
_DATABASES: dict[int, Any] = {}
#: What of DuckDB's errors waiting does not mend.
_FINAL = re.compile("Permission denied|Read-only file system|Not a directory|Is a directory")


class TableWriter:
    """Writes rows of the tables into new files.

    Raises
    ------
    TransientSinkError, TerminalSinkError
        Each method, if the disk refuses or a file that is read is damaged.

    Notes
    -----
    DuckDB is loaded with the first file. Nothing here replaces a file.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._connection: Any = None
        self._empty: dict[str, bytes] = {}

    def write(
        self,
        path: str,
        table: str,
        columns: Sequence[list[Any]],
        before: tuple[str, int] | None = None,
    ) -> None:
        """Write a new file.

        Parameters
        ----------
        path
            Of the file; nothing is there.
        table
            Whose rows they are.
        columns
            The rows, column by column in the order of the table's; times are microseconds.
        before
            A file of the table, and how many of its rows are left out; the others come first.
        """
        names = ", ".join(f'"{column.name}"' for column in columns_of(table))
        # Names of columns are ours, and paths are quoted.
        rows = f"select {names} from fresh"  # noqa: S608
        if before is not None:
            first = f"{_source(before[0], 'file_row_number = true')} where file_row_number >= {int(before[1])}"
            rows = f"select {names} from {first} union all {rows}"  # noqa: S608
        with self._errors():
            connection = self._connected()
            connection.execute(*_fresh(table, columns))
            copy_rows(connection, f"({rows})", path)
            connection.execute("drop table fresh")

    def texts(self, path: str) -> list[str]:
        """Return the column ``text`` of a file of the table ``output``."""
        with self._errors():
            statement = f"select text from {_source(path)}"  # noqa: S608 - it is quoted
            rows = self._connected().execute(statement).fetchall()
        return [row[0] for row in rows]

    def empty(self, table: str, folder: str) -> bytes:
        """Return the file of a table without rows; ``folder`` is for one in between."""
        found = self._empty.get(table)
        if found is None:
            path = os.path.join(folder, f"new-{os.urandom(8).hex()}")
            try:
                self.write(path, table, [[] for _ in columns_of(table)])
                found = self._empty[table] = read_file(path)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        return found

    def close(self) -> None:
        """Forget what DuckDB has of this view."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = _database().cursor()
        return self._connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.InvalidInputException as error:
            self.close()
            raise damaged(self._base, _sentence(error)) from error
        except duckdb.Error as error:
            self.close()
            if isinstance(error, duckdb.FatalException):  # that DuckDB says no more
                _DATABASES.clear()
            text = f"the Parquet view {self._base} can not be written: {_sentence(error)}"
            if _FINAL.search(text):
                raise TerminalSinkError(
                    f"{text}. Make it writable, or choose another folder"
                ) from error
            raise TransientSinkError(text) from error


def journals_of(paths: Sequence[str]) -> list[str]:
    """Return the column ``journal_id`` of files of the table ``runs``; of what is none, nothing."""
    import duckdb

    found: list[str] = []
    cursor = _database().cursor()
    try:
        for path in paths:
            with contextlib.suppress(duckdb.Error):
                statement = f"select journal_id from {_source(path)}"  # noqa: S608 - it is quoted
                found += [str(row[0]) for row in cursor.execute(statement).fetchall()]
    finally:
        cursor.close()
    return found


def _database() -> Any:
    """Return the DuckDB of this process: to make one for each run takes as long as its files."""
    import duckdb

    with _LOCK:
        database = _DATABASES.get(os.getpid())
        if database is None:
            _DATABASES.clear()  # of the process that forked this one
            database = _DATABASES[os.getpid()] = duckdb.connect(":memory:")
            # Files of one row group: more threads would only wait for each other.
            set_up(database, memory="1GB", threads=1)
        return database


def _fresh(table: str, columns: Sequence[list[Any]]) -> tuple[str, dict[str, list[Any]]]:
    """Return the statement that makes a table of some rows, and its parameters."""
    taken, terms = [], []
    parameters = {}
    for number, (column, values) in enumerate(zip(columns_of(table), columns, strict=True)):
        kind = "BIGINT" if column.type == "TIMESTAMP" else column.type
        taken.append(f"unnest($c{number}::{kind}[]) as c{number}")
        parameters[f"c{number}"] = values
        term = f"c{number}"
        if column.type == "TIMESTAMP":
            term = f"make_timestamp(c{number})"
        elif column.type == "DOUBLE":
            odd = [value is not None and math.isnan(value) for value in values]
            if any(odd):  # DuckDB 1 takes a NaN in a list for NULL
                taken.append(f"unnest($n{number}::bool[]) as n{number}")
                parameters[f"n{number}"] = odd
                term = f"if(n{number}, 'nan'::double, c{number})"
        terms.append(f'{term} as "{column.name}"')
    rows = f"select {', '.join(terms)} from (select {', '.join(taken)})"  # noqa: S608 - no values
    return f"create or replace temp table fresh as {rows}", parameters


def _source(path: str, *options: str) -> str:
    """Return what reads one file, whatever letters its name has."""
    literal = "".join(f"[{letter}]" if letter in "[*?" else letter for letter in path)
    return f"read_parquet({', '.join((quoted(literal), 'hive_partitioning = false', *options))})"


def _sentence(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return " ".join(re.sub(r"^[A-Z][A-Za-z -]* Error: ", "", text).split()).rstrip(".")
