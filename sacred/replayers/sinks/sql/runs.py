"""The rows of ``run`` and ``journal_run``: which id a run has, and how it is found again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, bindparam, cast, delete, exists, func, insert, or_, select

from sacred.journal.identity import host_name, own_identity
from sacred.replayers.sink import wanted_id
from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.shared import IS_THERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from sacred.replayers.sink import RunKey

__all__ = [
    "NAME",
    "Look",
    "claim_columns",
    "delete_remains",
    "find_run",
    "insert_run",
    "look",
    "next_id",
    "public_id",
]

#: A text that is kept as an id where it is free.
NAME = re.compile(r"\w(?:[\w .:+@-]*\w)?")
_OWN = (
    tables.journal_point,
    tables.journal_metric,
    tables.journal_artifact,
    tables.journal_run,
)


_journal, _run = tables.journal_run, tables.run
# Made once: to build a statement costs more than to run it.
_FIND = (
    select(_journal, _run.c.run_id, _run.c.experiment_id)
    .join(_run, _run.c.id == _journal.c.run_key)
    .where(_journal.c.journal_id == bindparam("journal"))
)
_LOOK = select(
    exists().where(_run.c.run_id == bindparam("wanted")),
    exists().where(_journal.c.journal_id == bindparam("journal")),
    *IS_THERE,
)
_LEFT = select(or_(*(exists().where(table.c.run_key == bindparam("key")) for table in _OWN)))
_NEWEST = select(func.max(cast(_run.c.run_id, BigInteger))).where(
    _run.c.run_id.regexp_match("^[0-9]{1,15}$")
)
_INSERT_RUN, _INSERT_JOURNAL = insert(_run), insert(_journal)


class Look(NamedTuple):
    """What the database says before a run is added.

    Attributes
    ----------
    is_taken
        Another run has the id.
    is_known
        There is something of this journal.
    host, experiment
        Whether the rows of these keys are there.
    """

    is_taken: bool
    is_known: bool
    host: bool
    experiment: bool


def find_run(connection: Connection, run: RunKey) -> Any:
    """Return the rows of a run, as one; None if the view does not know it."""
    return connection.execute(_FIND, {"journal": run.journal_id}).one_or_none()


def look(
    connection: Connection, journal_id: str, wanted: str | None, questions: Mapping[str, Any]
) -> Look:
    """Ask at once all that has to be known before a run is added.

    Parameters
    ----------
    connection
        In a transaction.
    journal_id
        Of the run.
    wanted
        The id it would like to have.
    questions
        Those of ``SharedRows``.
    """
    if connection.dialect.name == "sqlite":
        # What is seen from here on is true until the commit; sqlite3 begins at the first change.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    values = {"journal": journal_id, "wanted": wanted, **questions}
    return Look(*map(bool, connection.execute(_LOOK, values).one()))


def next_id(connection: Connection) -> str:
    """Return the number behind the largest id that is one; names sort anywhere among them."""
    return str(int(connection.execute(_NEWEST).scalar_one() or 0) + 1)


def insert_run(
    connection: Connection, journal_id: str, values: Mapping[str, Any], stands: Mapping[str, Any]
) -> int:
    """Insert a run's row, and where its view stands; return the row's key.

    Parameters
    ----------
    connection
        In a transaction.
    journal_id
        Of the run.
    values
        The columns of ``run``.
    stands
        The columns of ``journal_run``, but for those that name the run; see ``claim_columns``.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        Another run took the id meanwhile, or another replayer has this run.
    """
    made = connection.execute(_INSERT_RUN, dict(values))
    key = int(made.inserted_primary_key[0])  # type: ignore[index]
    # SQLite gives the key of a deleted row again, and may have kept what hung on it.
    if connection.dialect.name == "sqlite" and connection.execute(_LEFT, {"key": key}).scalar_one():
        for table in _OWN:
            connection.execute(delete(table).where(table.c.run_key == key))
    connection.execute(_INSERT_JOURNAL, {"journal_id": journal_id, "run_key": key, **stands})
    return key


def delete_remains(connection: Connection, journal_id: str) -> None:
    """Delete what was kept of a run whose row is gone.

    The row of one that is there is another replayer's, committed since this one looked: the
    insertion fails then.
    """
    gone = ~exists().where(_run.c.id == _journal.c.run_key)
    connection.execute(delete(_journal).where(_journal.c.journal_id == journal_id, gone))


def claim_columns() -> dict[str, Any]:
    """Return the columns of ``journal_run`` for a run that this process claims."""
    return {
        "revision": 0,
        "position": "[]",
        "ahead": "[]",
        "projector": 0,
        "event_order": "arrival",
        "spool": 0,
        "claimed_on": host_name()[:255],
        "claim": json.dumps(own_identity()),
    }


def public_id(text: str) -> int | str:
    """Return an id as the run has it: a number, where it is one."""
    number = wanted_id(text)
    return number if number is not None and str(number) == text else text
