"""A tree of Parquet as its readers see it: DuckDB over ``**/*.parquet``, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import duckdb

TABLES = ("runs", "metrics", "config", "hosts", "artifacts", "resources", "sources", "output")
_CONNECTION = duckdb.connect(":memory:", config={"threads": 1, "enable_external_file_cache": False})


def source(base: str | os.PathLike[str], table: str) -> str:
    """What stands behind ``from`` to read a table, as docs/views.md writes it."""
    place = os.path.join(os.fspath(base), table).replace("'", "''")
    return f"read_parquet('{place}/**/*.parquet', hive_partitioning = true)"


def ask(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows that a statement gives."""
    # A cursor of one connection: making one takes longer than most queries.
    with _CONNECTION.cursor() as cursor:
        return cursor.execute(sql, values or None).fetchall()


def tables_of(base: str | os.PathLike[str], run: int) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run, table by table; {} where there is no tree."""
    found: dict[str, list[dict[str, Any]]] = {}
    with _CONNECTION.cursor() as connection:
        for table in TABLES:
            if not os.path.isdir(os.path.join(base, table)):
                continue
            statement = f"select * exclude (run) from {source(base, table)} where run = ?"
            cursor = connection.execute(statement, [run])
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found
