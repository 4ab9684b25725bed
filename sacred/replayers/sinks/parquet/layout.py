"""The names in the tree: tables, partitions and parts.

::

    <base>/<table>/experiment=<name>/run=<id>/part-<generation>-<number>.parquet
    <base>/<table>/experiment=_schema/run=0/part-0-00000.parquet    no rows: the columns
    <base>/.journal/                                                this sink's own

Readers find the columns ``experiment`` and ``run`` in the names of the folders, so that they are not
in the files.
"""

from __future__ import annotations

import os
import re

from sacred.replayers.relations import RELATIONS, Column

__all__ = [
    "OWN",
    "SCHEMA",
    "TABLES",
    "columns_of",
    "hidden_place",
    "part_name",
    "part_of",
    "partition",
    "table_of",
]

#: ``events`` is not among them: a view is given what came of the events.
TABLES = ("metrics", "output", "config", "hosts", "artifacts", "resources", "sources", "runs")
_SAID = frozenset({"tags", "notes", "rerun_of"})
#: The folder below the base that no reader looks into.
OWN = ".journal"
#: Where each table has its columns before any run has rows in it.
SCHEMA = os.path.join("experiment=_schema", "run=0")

_PART = re.compile(r"part-(\d{1,9})-(\d{5,9})\.parquet")
#: What Hive and Spark write as %XX in the name of a partition.
_SPECIAL = frozenset("\"#%'*/:=?\\\x7f{[]^") | frozenset(map(chr, range(32)))
#: Bytes that a file system gives a name; and how much of a longer one stays.
_LONGEST, _KEPT = 255, 200


def columns_of(table: str) -> tuple[Column, ...]:
    """Return the columns of a table's files: those of the relation but for ``run``.

    And but for what people say of a run when it is over (its rows are written then, and stay), and
    what it repeats: a table that is there has the columns that it began with.
    """
    columns = RELATIONS[table].columns[1:]
    return columns if table != "runs" else tuple(c for c in columns if c.name not in _SAID)


def partition(experiment: str | None, view_id: int) -> str:
    """Return the folders of a run below those of the tables.

    Of an experiment whose name no folder can have, they have its first 200 bytes and a digest; the
    whole name is in ``runs.name``.
    """
    name = "".join(
        f"%{ord(letter):02X}" if letter in _SPECIAL else letter
        for letter in experiment or "unnamed"
    )
    if name.lower() == "null":  # which DuckDB 1 takes for no value
        name = f"%{ord(name[0]):02X}{name[1:]}"
    folder = f"experiment={name}"
    if len(folder.encode()) > _LONGEST:
        import hashlib

        digest = hashlib.sha256((experiment or "").encode()).hexdigest()[:12]
        kept = folder.encode()[:_KEPT].decode("utf-8", "ignore")
        # Not in the middle of a %XX.
        folder = f"{re.sub('%.?$', '', kept)}~{digest}"
    return os.path.join(folder, f"run={view_id}")


def part_name(generation: int, number: int) -> str:
    """Return the name of a part. Each time that a run is written anew is a generation."""
    return f"part-{generation}-{number:05d}.parquet"


def hidden_place(journal_id: str, table: str, name: str) -> str:
    """Return where a part is that no reader finds yet, relative to the base."""
    return os.path.join(OWN, journal_id, f"anew-{table}-{name}")


def table_of(place: str) -> tuple[str, bool]:
    """Return of which table a file is, by its place relative to the base, and whether it is hidden."""
    table, _, rest = place.partition(os.sep)
    if table == OWN:
        return os.path.basename(rest).split("-")[1], True
    return table, False


def part_of(name: str) -> tuple[int, int] | None:
    """Return generation and number of a part by its name; None if it is none of ours."""
    match = _PART.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None
