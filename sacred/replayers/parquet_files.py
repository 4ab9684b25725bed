"""Parquet files: how DuckDB writes them for an export and for a view."""

from __future__ import annotations

from typing import Any

from sacred.replayers.duckdb_settings import ALONE

__all__ = ["ROW_GROUP", "copy_rows", "quoted", "set_up"]

#: Rows of a row group.
ROW_GROUP = 1 << 17

# Bloom filters lie outside of the row groups, which a view moves; a file is not aside of itself again.
_FORMAT = (
    f"(format parquet, compression zstd, row_group_size {ROW_GROUP}, use_tmp_file false, "
    "write_bloom_filter false)"
)


def set_up(connection: Any, *, memory: str, threads: int, spilled: str = "") -> None:
    """Have a database of DuckDB load nothing, print nothing, and take no more than it is given.

    Parameters
    ----------
    connection
        Of the database.
    memory
        As DuckDB writes it.
    threads
        Each holds a part of every column.
    spilled
        A folder for what is more than the memory; without, that is an error.
    """
    for setting in (
        f"set threads = {threads}",
        f"set memory_limit = {quoted(memory)}",
        f"set temp_directory = {quoted(spilled)}",
        *ALONE,
    ):
        connection.execute(setting)


def copy_rows(connection: Any, rows: str, path: str) -> int:
    """Write the rows of a query, or a table, into a new file; return how many there are.

    ``rows`` is SQL: the caller's own, or quoted. The file is not durable yet.
    """
    found = connection.execute(f"copy {rows} to {quoted(path)} {_FORMAT}").fetchall()
    return int(found[0][0])


def quoted(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
