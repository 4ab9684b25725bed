"""Making the tables, and making room in those that Sacred made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy import Enum, Float, LargeBinary, String, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from sacred.replayers.errors import TerminalSinkError
from sacred.replayers.sinks.sql import tables

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Dialect, Engine, MetaData, Table

__all__ = ["make_tables"]

log = logging.getLogger("sacred.replayers")

#: Two processes may make the same tables at once; the slower one looks again.
_TRIES = 5


def make_tables(engine: Engine, *, journal: bool) -> None:
    """See that the tables are there and wide enough; may be called by many at once.

    A table that is there keeps its rows and all of its columns. One that Sacred made gets the column
    ``run.result_json``, and wider types on servers that hold to them.

    Parameters
    ----------
    engine
        Of the database.
    journal
        Whether the tables of ours are wanted, too.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        They can not be made.
    TerminalSinkError
        There is a table of such a name that is something else; nothing is made or changed.
    """
    kinds = [tables.SACRED, tables.JOURNAL] if journal else [tables.SACRED]
    for left in reversed(range(_TRIES)):
        try:
            if journal and _is_made(engine):
                return
            _check_foreign(engine, kinds)
            _make(engine, tables.SACRED)
            _make_room(engine)
            if journal:
                _make(engine, tables.JOURNAL)  # the last of it: who finds them asks no more
            if journal and engine.dialect.name == "sqlite":
                _make_trigger(engine)
        except DBAPIError as error:
            if not left or error.connection_invalidated:
                raise
        else:
            return


def _is_made(engine: Engine) -> bool:
    """Tell whether everything was done before: a run waits for its id, and looking costs most of that."""
    wanted = {
        table.name for kind in (tables.SACRED, tables.JOURNAL) for table in kind.sorted_tables
    }
    if not wanted <= set(inspect(engine).get_table_names()):
        return False
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            if connection.exec_driver_sql(_LOOK_FOR_TRIGGER).first() is None:
                return False
    ours = [tables.run, *tables.JOURNAL.sorted_tables]
    inspector = inspect(engine)
    return all(
        {column.name for column in table.columns}
        <= {column["name"] for column in inspector.get_columns(table.name)}
        for table in ours
    )


def _check_foreign(engine: Engine, kinds: list[MetaData]) -> None:
    """Raise where a table has one of the names and is neither Sacred's nor ours."""
    inspector = inspect(engine)
    there, views = set(inspector.get_table_names()), set(inspector.get_view_names())
    for table in (table for metadata in kinds for table in metadata.sorted_tables):
        if table.name in views:
            raise TerminalSinkError(
                f"the database has a view {table.name!r}, where Sacred has a table: choose another "
                "database, it is left as it is"
            )
        if table.name not in there:
            continue
        found = {column["name"] for column in inspector.get_columns(table.name)}
        wanted = {column.name for column in table.columns}
        keys = {column.name for column in table.primary_key.columns}
        # An older Sacred may have had fewer columns.
        if not keys <= found or 2 * len(wanted & found) < len(wanted):
            raise TerminalSinkError(
                f"the database has a table {table.name!r} that is not Sacred's (no column "
                f"{', '.join(sorted(wanted - found)[:3])}): choose another database, it is left as "
                "it is"
            )


def _make(engine: Engine, metadata: MetaData) -> None:
    """Make the tables that are not there: in one transaction, where a database can do that."""
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        _make_each(engine, metadata)
        return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 begins none for a table
        metadata.create_all(connection)


def _make_each(engine: Engine, metadata: MetaData) -> None:
    there = set(inspect(engine).get_table_names())
    for table in metadata.sorted_tables:
        if table.name in there:
            continue
        try:
            table.create(engine)
        except DBAPIError:
            if not inspect(engine).has_table(table.name):
                raise  # else another process was faster


#: A SQLite client minds foreign keys only if it was told to. What is deleted in one of these goes
#: with the row of ``run``, as it does on servers; what Sacred's tables have of the run goes as well.
_WITH_A_RUN = (
    "DELETE FROM artifact WHERE artifact_id IN (SELECT artifact_id FROM journal_artifact WHERE run_key = OLD.id)",
    "DELETE FROM runs_resources WHERE run_id = OLD.run_id",
    "DELETE FROM journal_point WHERE run_key = OLD.id",
    "DELETE FROM journal_metric WHERE run_key = OLD.id",
    "DELETE FROM journal_artifact WHERE run_key = OLD.id",
    "DELETE FROM journal_run WHERE run_key = OLD.id",
)
_TRIGGER = "journal_run_deleted"
_LOOK_FOR_TRIGGER = f"SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = '{_TRIGGER}'"  # noqa: S608


def _make_trigger(engine: Engine) -> None:
    """See that what belongs to a run goes with its row, whichever client deletes it."""
    body = "; ".join(_WITH_A_RUN)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS {_TRIGGER} AFTER DELETE ON run BEGIN {body}; END"
        )


def _make_room(engine: Engine) -> None:
    """Widen the columns of tables that Sacred made."""
    inspector = inspect(engine)
    for table in tables.SACRED.sorted_tables:
        known = {column["name"]: column for column in inspector.get_columns(table.name)}
        new = [column for column in table.columns if column.name not in known]
        narrow = []
        if engine.dialect.name != "sqlite":  # which keeps what it is given
            narrow = [
                column
                for column in table.columns
                if column.name in known and _is_narrow(known[column.name]["type"], column)
            ]
        if new or narrow:
            log.info("the table %s is Sacred's: it gets wider columns", table.name)
            with engine.begin() as connection:
                _alter(connection, table, new, narrow)


def _is_narrow(found: Any, wanted: Column[Any]) -> bool:
    """Tell whether a column has not the room that ours has.

    Columns that others refer to (``run_id``) are left: MySQL lets nobody change them.
    """
    if wanted.foreign_keys or wanted.unique or wanted.primary_key or wanted.index:
        return False
    if isinstance(found, Enum):
        return True
    length = getattr(found, "length", None)
    wanted_length = getattr(wanted.type, "length", None)
    if isinstance(wanted.type, String) and isinstance(found, String):
        if length is not None and wanted_length is None:
            return True
        # MySQL's TEXT ends at 64 KiB
        return (
            wanted_length is None
            and type(found).__name__ in {"TEXT", "TINYTEXT"}
            and _is_mysql(found)
        )
    if isinstance(wanted.type, LargeBinary):
        return type(found).__name__ in {"BLOB", "TINYBLOB"} and _is_mysql(found)
    if isinstance(wanted.type, Float):
        return type(found).__name__ == "FLOAT" and _is_mysql(found)
    return False


def _is_mysql(kind: Any) -> bool:
    return ".mysql" in type(kind).__module__


def _alter(
    connection: Connection, table: Table, new: list[Column[Any]], narrow: list[Column[Any]]
) -> None:
    dialect = connection.dialect
    quote = dialect.identifier_preparer.quote
    name = dialect.identifier_preparer.format_table(table)
    for column in new:
        definition = (
            f"{CreateColumn(column).compile(dialect=dialect)}{_characters(dialect, column)}"
        )
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
    for column in narrow:
        kind = column.type.compile(dialect=dialect)
        column_name = quote(column.name)
        if dialect.name == "postgresql":
            change = f"ALTER COLUMN {column_name} TYPE {kind} USING {column_name}::{kind}"
        else:
            change = f"MODIFY {column_name} {kind}{_characters(dialect, column)}"
        connection.exec_driver_sql(f"ALTER TABLE {name} {change}")


def _characters(dialect: Dialect, column: Column[Any]) -> str:
    """Return what makes a column of MySQL take every character, in a table that may not."""
    if dialect.name in {"mysql", "mariadb"} and isinstance(column.type, String):
        return " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return ""
