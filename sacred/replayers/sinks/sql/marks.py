"""A number for each root that is written into the database: see ``sacred.replayers.place_mark``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, inspect, select, update

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["mark", "marked"]

# Of its own: only a service needs it, and a database that was made without it stays as it is.
_MARKS = MetaData()
journal_mark = Table(
    "journal_mark",
    _MARKS,
    Column("owner", String(16), primary_key=True),
    Column("marked", BigInteger, nullable=False),
)


def marked(connection: Connection, owner: str) -> int:
    """Return the number that is kept for an owner; 0 if there is none."""
    if not inspect(connection).has_table(journal_mark.name):
        return 0
    query = select(journal_mark.c.marked).where(journal_mark.c.owner == owner)
    return int(connection.execute(query).scalar() or 0)


def mark(connection: Connection, owner: str, number: int) -> None:
    """Keep a number for an owner; a larger one that is there stays."""
    if not inspect(connection).has_table(journal_mark.name):
        journal_mark.create(connection)
    mine = journal_mark.c.owner == owner
    if connection.execute(select(journal_mark.c.owner).where(mine)).first() is None:
        connection.execute(insert(journal_mark).values(owner=owner, marked=number))
        return
    smaller = update(journal_mark).where(mine, journal_mark.c.marked < number)
    connection.execute(smaller.values(marked=number))
