"""The tables: Sacred's, and those that a journal needs beside them.

Sacred's tables and columns have Sacred's names. Two things differ: types are wide enough (Sacred
has room for 64 characters of a path, and a closed list of statuses), and ``run.result_json`` holds
the result when it is no number. Nothing of ours is in them but that.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

__all__ = [
    "JOURNAL",
    "SACRED",
    "artifact",
    "dependency",
    "experiment",
    "experiments_dependencies",
    "experiments_repositories",
    "experiments_sources",
    "host",
    "journal_artifact",
    "journal_metric",
    "journal_point",
    "journal_run",
    "repository",
    "resource",
    "run",
    "runs_resources",
    "source",
]

#: Sacred's tables, and ours. They are made apart: an observer that is called makes Sacred's alone.
SACRED = MetaData()
JOURNAL = MetaData()

_MYSQL = ("mysql", "mariadb")
# MySQL's TEXT and BLOB end at 64 KiB, its DATETIME at seconds.
_Long = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)
_Content = LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)
_Time = DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)

# Without these MySQL takes "A.py" for "a.py", and may have a character set without emojis.
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{name}": value
    for dialect in _MYSQL
    for name, value in (
        ("engine", "InnoDB"),
        ("charset", "utf8mb4"),
        ("collate", "utf8mb4_bin"),
    )
}


def _table(name: str, metadata: MetaData, *parts: Any) -> Table:
    return Table(name, metadata, *parts, **_OPTIONS)


# -- Sacred's -------------------------------------------------------------------------------------

source = _table(
    "source",
    SACRED,
    Column("source_id", Integer, primary_key=True),
    Column("filename", _Long),
    Column("md5sum", String(32)),
    Column("content", _Long),
    Index("source_by_md5sum", "md5sum"),
)

repository = _table(
    "repository",
    SACRED,
    Column("repository_id", Integer, primary_key=True),
    Column("url", _Long),
    Column("commit", _Long),
    Column("dirty", Boolean),
)

dependency = _table(
    "dependency",
    SACRED,
    Column("dependency_id", Integer, primary_key=True),
    Column("name", _Long),
    Column("version", _Long),
)

resource = _table(
    "resource",
    SACRED,
    Column("resource_id", Integer, primary_key=True),
    Column("filename", _Long),
    Column("md5sum", String(32)),
    Column("content", _Content),
    Index("resource_by_md5sum", "md5sum"),
)

host = _table(
    "host",
    SACRED,
    Column("host_id", Integer, primary_key=True),
    Column("cpu", _Long),
    Column("hostname", _Long),
    Column("os", _Long),
    Column("os_info", _Long),
    Column("python_version", _Long),
)

experiment = _table(
    "experiment",
    SACRED,
    Column("experiment_id", Integer, primary_key=True),
    Column("name", _Long),
    Column("md5sum", String(32)),
    Column("base_dir", _Long),
    Index("experiment_by_md5sum", "md5sum"),
)

run = _table(
    "run",
    SACRED,
    Column("id", Integer, primary_key=True),
    # What MySQL can keep unique has an end; ids of runs are numbers or names.
    Column("run_id", String(255), unique=True),
    Column("command", _Long),
    Column("start_time", _Time),
    Column("heartbeat", _Time),
    Column("stop_time", _Time),
    Column("queue_time", _Time),
    Column("priority", Double),
    Column("comment", _Long),
    Column("fail_trace", _Long),
    Column("captured_out", _Long),
    Column("config", _Long),
    Column("info", _Long),
    Column("status", _Long),
    Column("host_id", Integer, ForeignKey("host.host_id")),
    Column("experiment_id", Integer, ForeignKey("experiment.experiment_id")),
    Column("result", Double),
    Column("result_json", _Long),
)

artifact = _table(
    "artifact",
    SACRED,
    Column("artifact_id", Integer, primary_key=True),
    Column("filename", _Long),
    Column("content", _Content),
    Column("run_id", String(255), ForeignKey("run.run_id")),
)

experiments_sources = _table(
    "experiments_sources",
    SACRED,
    Column("experiment_id", Integer, ForeignKey("experiment.experiment_id")),
    Column("source_id", Integer, ForeignKey("source.source_id")),
)

experiments_repositories = _table(
    "experiments_repositories",
    SACRED,
    Column("experiment_id", Integer, ForeignKey("experiment.experiment_id")),
    Column("repository_id", Integer, ForeignKey("repository.repository_id")),
)

experiments_dependencies = _table(
    "experiments_dependencies",
    SACRED,
    Column("experiment_id", Integer, ForeignKey("experiment.experiment_id")),
    Column("dependency_id", Integer, ForeignKey("dependency.dependency_id")),
)

runs_resources = _table(
    "runs_resources",
    SACRED,
    Column("run_id", String(255), ForeignKey("run.run_id")),
    Column("resource_id", Integer, ForeignKey("resource.resource_id")),
)

# -- ours -----------------------------------------------------------------------------------------


def _of_run(**more: Any) -> Column[int]:
    """Return the column that names a run; what is in the table goes when the run is deleted."""
    return Column(
        "run_key", Integer, ForeignKey(run.c.id, ondelete="CASCADE"), autoincrement=False, **more
    )


#: Which journal a run is, and where its view stands. ``revision`` counts the writes: whoever does
#: not know the newest one may not write.
journal_run = _table(
    "journal_run",
    JOURNAL,
    Column("journal_id", String(16), primary_key=True),
    _of_run(unique=True, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("position", _Long, nullable=False),
    Column("ahead", _Long, nullable=False),
    Column("projector", Integer, nullable=False),
    Column("event_order", String(16), nullable=False),
    Column("spool", BigInteger, nullable=False),
    Column("claimed_on", String(255)),
    Column("claim", _Long),
)

#: The metrics of a run, numbered in the order in which they appeared.
journal_metric = _table(
    "journal_metric",
    JOURNAL,
    _of_run(primary_key=True),
    Column("metric", Integer, primary_key=True, autoincrement=False),
    Column("name", _Long, nullable=False),
)

#: The points. ``exact`` is the JSON of [step, value] where a double can not hold one of them.
journal_point = _table(
    "journal_point",
    JOURNAL,
    _of_run(primary_key=True),
    Column("writer", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("metric", Integer, nullable=False),
    Column("step", Double),
    Column("value", Double),
    Column("time", _Time, nullable=False),
    Column("exact", _Long),
)

#: Which row of ``artifact`` is which version of a file.
journal_artifact = _table(
    "journal_artifact",
    JOURNAL,
    _of_run(primary_key=True),
    Column("file_key", String(64), primary_key=True),
    Column("artifact_id", Integer, nullable=False),
)
