"""The rows of ``run`` and ``journal_run``: which id a run has, and how it is found again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, cast, delete, exists, func, insert, select

from sacred.journal.identity import host_name, own_identity
from sacred.replayers.sink import wanted_id
from sacred.replayers.sinks.sql import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from sacred.replayers.sink import RunKey

__all__ = ["NAME", "find_run", "insert_claim", "is_taken", "next_id", "public_id"]

#: A text that is kept as an id where it is free.
NAME = re.compile(r"\w(?:[\w .:+@-]*\w)?")
_OWN = (
    tables.journal_point,
    tables.journal_metric,
    tables.journal_artifact,
    tables.journal_run,
)


def find_run(connection: Connection, run: RunKey) -> Any:
    """Return the rows of a run, as one; None if the view does not know it."""
    journal, its_run = tables.journal_run, tables.run
    return connection.execute(
        select(journal, its_run.c.run_id, its_run.c.experiment_id)
        .join(its_run, its_run.c.id == journal.c.run_key)
        .where(journal.c.journal_id == run.journal_id)
    ).one_or_none()


def is_taken(connection: Connection, wanted: str) -> bool:
    """Tell whether another run has an id."""
    taken = exists().where(tables.run.c.run_id == wanted)
    return bool(connection.execute(select(taken)).scalar_one())


def next_id(connection: Connection) -> str:
    """Return the number behind the largest id that is one; names sort anywhere among them."""
    run_id = tables.run.c.run_id
    newest = select(func.max(cast(run_id, BigInteger))).where(run_id.regexp_match("^[0-9]{1,15}$"))
    return str(int(connection.execute(newest).scalar_one() or 0) + 1)


def insert_claim(
    connection: Connection, journal_id: str, run_id: str, values: Mapping[str, Any]
) -> None:
    """Insert a run's row and its claim.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        Another run took the id meanwhile, or another replayer claimed this run.
    """
    made = connection.execute(insert(tables.run).values(**values, run_id=run_id))
    key = int(made.inserted_primary_key[0])  # type: ignore[index]
    # SQLite gives the key of a deleted row again, and may have kept what hung on it.
    for table in _OWN:
        connection.execute(delete(table).where(table.c.run_key == key))
    journal, its_run = tables.journal_run, tables.run
    # What was kept of a run that was deleted. The row of one that is there is another replayer's, committed
    # since this one looked: the insertion fails then.
    gone = ~exists().where(its_run.c.id == journal.c.run_key)
    connection.execute(delete(journal).where(journal.c.journal_id == journal_id, gone))
    connection.execute(
        insert(journal).values(
            journal_id=journal_id,
            run_key=key,
            revision=0,
            position="[]",
            ahead="[]",
            projector=0,
            event_order="arrival",
            spool=0,
            claimed_on=host_name()[:255],
            claim=json.dumps(own_identity()),
        )
    )


def public_id(text: str) -> int | str:
    """Return an id as the run has it: a number, where it is one."""
    number = wanted_id(text)
    return number if number is not None and str(number) == text else text
