"""The rows that runs share: hosts, experiments, sources, resources, dependencies, repositories."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, insert, select, update

from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.values import sql_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table

    from sacred.replayers.sink import FileEntry

__all__ = ["drop_unused_experiment", "experiment_row", "file_row", "found_or_added", "host_row"]


def found_or_added(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any],
    content: Mapping[str, Any] | None = None,
) -> int:
    """Return the key of the row with these values; one is made if there is none.

    Two who make it at once make two: that costs room and does no harm.
    """
    (key,) = table.primary_key.columns
    same = (
        table.c[name].is_(None) if value is None else table.c[name] == value
        for name, value in values.items()
    )
    known = connection.execute(select(func.min(key)).where(*same)).scalar_one()
    if known is not None:
        for name, value in (content or {}).items():
            if value is not None:  # an earlier run may not have had it
                bare = (key == known, table.c[name].is_(None))
                connection.execute(update(table).where(*bare).values({name: value}))
        return int(known)
    made = connection.execute(insert(table).values({**values, **(content or {})}))
    return int(made.inserted_primary_key[0])  # type: ignore[index]


def host_row(connection: Connection, host: Mapping[str, Any]) -> int:
    """Return the key of a host's row."""
    system = host.get("os")
    name, info = (*system, None)[:2] if isinstance(system, list) and system else (system, None)
    return found_or_added(
        connection,
        tables.host,
        {
            "cpu": sql_text(host.get("cpu")),
            "hostname": sql_text(host.get("hostname")),
            "os": sql_text(name),
            "os_info": sql_text(info),
            "python_version": sql_text(host.get("python_version")),
        },
    )


def file_row(
    connection: Connection, table: Table, entry: FileEntry, name: str, content: Any
) -> int:
    """Return the key of the row of a source or a resource."""
    # Without a checksum there is nothing to know the content by again but our own.
    md5 = entry.md5 or (entry.digest or "")[:32] or None
    values = {"filename": sql_text(name), "md5sum": md5[:32] if md5 else None}
    return found_or_added(connection, table, values, {"content": content})


def experiment_row(
    connection: Connection, experiment: Mapping[str, Any], sources: Iterable[int]
) -> int:
    """Return the key of an experiment's row, which runs of the same code share."""
    source_keys = sorted(set(sources))
    dependencies = [str(one) for one in experiment.get("dependencies") or ()]
    repositories = [one for one in experiment.get("repositories") or () if isinstance(one, dict)]
    facts = [experiment.get("name"), experiment.get("base_dir"), source_keys]
    facts += [dependencies, repositories]
    # Not what Sacred makes of it: a row of ours may be taken away again, one of Sacred's never.
    text = json.dumps(["sacred-journal", *facts], sort_keys=True, default=str)
    md5 = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    table = tables.experiment
    found = connection.execute(
        select(func.min(table.c.experiment_id)).where(table.c.md5sum == md5)
    ).scalar_one()
    if found is not None:
        return int(found)
    made = connection.execute(
        insert(table).values(
            name=sql_text(experiment.get("name")),
            md5sum=md5,
            base_dir=sql_text(experiment.get("base_dir")),
        )
    )
    key = int(made.inserted_primary_key[0])  # type: ignore[index]
    _join(connection, tables.experiments_sources, key, "source_id", source_keys)
    found_keys = [_dependency(connection, one) for one in dependencies]
    _join(connection, tables.experiments_dependencies, key, "dependency_id", found_keys)
    found_keys = [_repository(connection, one) for one in repositories]
    _join(connection, tables.experiments_repositories, key, "repository_id", found_keys)
    return key


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
