"""The rows that runs share: hosts, experiments, sources, resources, dependencies, repositories."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, false, func, insert, select, update

from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.values import sql_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table

    from sacred.replayers.sink import FileEntry

__all__ = [
    "drop_unused_experiment",
    "experiment_md5",
    "experiment_row",
    "file_row",
    "found_or_added",
    "host_values",
]

_FIND_EXPERIMENT = select(func.min(tables.experiment.c.experiment_id)).where(
    tables.experiment.c.md5sum == bindparam("md5")
)


@functools.cache
def _lookup(table: Table, known: tuple[str, ...], empty: tuple[str, ...], more: str | None) -> Any:
    """Return the statement that finds a row, and whether a column of it has no value."""
    (key,) = table.primary_key.columns
    same = [table.c[name] == bindparam(name) for name in known]
    same += [table.c[name].is_(None) for name in empty]
    lacks = table.c[more].is_(None) if more is not None else false()
    return select(key, lacks).where(*same)


def found_or_added(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any],
    content: Any = None,
) -> int:
    """Return the key of the row with these values; one is made if there is none.

    Two who make it at once make two: that costs room and does no harm.

    Parameters
    ----------
    connection
        In a transaction.
    table
        Where.
    values
        What tells the row from others.
    content
        Its column ``content``, where there is one. A row that has none gets it.
    """
    known = {name: value for name, value in values.items() if value is not None}
    empty = tuple(name for name in values if name not in known)
    more = "content" if content is not None else None
    found = connection.execute(_lookup(table, tuple(known), empty, more), known).all()
    if found:
        key, lacks = min(found)
        if lacks:  # an earlier run may not have had it
            (column,) = table.primary_key.columns
            bare = (column == key, table.c.content.is_(None))
            connection.execute(update(table).where(*bare).values(content=content))
        return int(key)
    row = dict(values) if content is None else {**values, "content": content}
    made = connection.execute(insert(table), row)
    return int(made.inserted_primary_key[0])  # type: ignore[index]


def host_values(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a host's row."""
    system = host.get("os")
    name, info = (*system, None)[:2] if isinstance(system, list) and system else (system, None)
    return {
        "cpu": sql_text(host.get("cpu")),
        "hostname": sql_text(host.get("hostname")),
        "os": sql_text(name),
        "os_info": sql_text(info),
        "python_version": sql_text(host.get("python_version")),
    }


def file_row(
    connection: Connection, table: Table, entry: FileEntry, name: str, content: Any
) -> int:
    """Return the key of the row of a source or a resource."""
    # Without a checksum there is nothing to know the content by again but our own.
    md5 = entry.md5 or (entry.digest or "")[:32] or None
    values = {"filename": sql_text(name), "md5sum": md5[:32] if md5 else None}
    return found_or_added(connection, table, values, content)


def experiment_md5(experiment: Mapping[str, Any], sources: Iterable[int]) -> str:
    """Return what tells an experiment's row from others; runs of the same code share it."""
    facts = [experiment.get("name"), experiment.get("base_dir"), sorted(set(sources))]
    facts += [_dependencies_of(experiment), _repositories_of(experiment)]
    # Not what Sacred makes of it: a row of ours may be taken away again, one of Sacred's never.
    text = json.dumps(["sacred-journal", *facts], sort_keys=True, default=str)
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def experiment_row(
    connection: Connection, md5: str, experiment: Mapping[str, Any], sources: Iterable[int]
) -> int:
    """Return the key of an experiment's row; one is made if there is none."""
    found = connection.execute(_FIND_EXPERIMENT, {"md5": md5}).scalar_one()
    if found is not None:
        return int(found)
    facts = {
        "name": sql_text(experiment.get("name")),
        "md5sum": md5,
        "base_dir": sql_text(experiment.get("base_dir")),
    }
    made = connection.execute(insert(tables.experiment), facts)
    key = int(made.inserted_primary_key[0])  # type: ignore[index]
    _join(connection, tables.experiments_sources, key, "source_id", sorted(set(sources)))
    found_keys = [_dependency(connection, one) for one in _dependencies_of(experiment)]
    _join(connection, tables.experiments_dependencies, key, "dependency_id", found_keys)
    found_keys = [_repository(connection, one) for one in _repositories_of(experiment)]
    _join(connection, tables.experiments_repositories, key, "repository_id", found_keys)
    return key


def _dependencies_of(experiment: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in experiment.get("dependencies") or ()]


def _repositories_of(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in experiment.get("repositories") or () if isinstance(one, dict)]


def _join(connection: Connection, table: Table, key: int, column: str, others: list[int]) -> None:
    rows = [{"experiment_id": key, column: other} for other in dict.fromkeys(others)]
    if rows:
        connection.execute(insert(table), rows)


def _dependency(connection: Connection, text: str) -> int:
    name, separator, version = text.partition("==")
    values = {"name": sql_text(name), "version": sql_text(version) if separator else None}
    return found_or_added(connection, tables.dependency, values)


def _repository(connection: Connection, found: Mapping[str, Any]) -> int:
    dirty = found.get("dirty")
    values = {
        "url": sql_text(found.get("url")),
        "commit": sql_text(found.get("commit")),
        "dirty": dirty if dirty is None else bool(dirty),
    }
    return found_or_added(connection, tables.repository, values)


def drop_unused_experiment(connection: Connection, key: int) -> None:
    """Delete an experiment's row that a run of ours had, unless another run has it."""
    run, experiment = tables.run, tables.experiment
    if connection.execute(select(exists().where(run.c.experiment_id == key))).scalar_one():
        return
    joined = (
        tables.experiments_sources,
        tables.experiments_dependencies,
        tables.experiments_repositories,
    )
    for table in joined:
        connection.execute(delete(table).where(table.c.experiment_id == key))
    connection.execute(delete(experiment).where(experiment.c.experiment_id == key))
