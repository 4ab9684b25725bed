"""The points of a run's metrics: one row each, keyed by run, writer and sequence number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.insertion import insert_points, rows_of
from sacred.replayers.sinks.sql.values import sql_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sacred.replayers.sink import PointsAdded

__all__ = ["Series", "add_points", "load_series"]


class Series:
    """What is known of one metric's rows.

    Attributes
    ----------
    number
        By which the rows name the metric.
    total
        How many points there are.
    next_seqs
        By writer, the sequence number behind the last point.
    """

    __slots__ = ("next_seqs", "number", "total")

    def __init__(self, number: int) -> None:
        self.number = number
        self.total = 0
        self.next_seqs: dict[int, int] = {}


def load_series(connection: Connection, run_key: int) -> dict[str, Series]:
    """Read which points a run has: counted in the table, so that a lost one is noticed."""
    names, points = tables.journal_metric, tables.journal_point
    query = select(names.c.metric, names.c.name).where(names.c.run_key == run_key)
    rows = connection.execute(query.order_by(names.c.metric)).all()
    found: dict[int, str] = {row.metric: row.name for row in rows}
    every = {number: Series(number) for number in found}
    counted = connection.execute(
        select(points.c.metric, points.c.writer, func.count(), func.max(points.c.seq))
        .where(points.c.run_key == run_key)
        .group_by(points.c.metric, points.c.writer)
    )
    for number, writer, count, last in counted:
        series = every.get(number)
        if series is not None:
            series.total += int(count)
            series.next_seqs[int(writer)] = int(last) + 1
    return {found[number]: series for number, series in every.items()}


def add_points(
    connection: Connection, run_key: int, every: dict[str, Series], changes: list[PointsAdded]
) -> None:
    """Insert points, but for those that are there."""
    rows: list[tuple[Any, ...]] = []
    for change in changes:
        name = sql_text(change.metric) or ""
        series = every.get(name)
        if series is None:
            number = max((one.number for one in every.values()), default=0) + 1
            series = every[name] = Series(number)
            facts = {"run_key": run_key, "metric": number, "name": name}
            connection.execute(insert(tables.journal_metric).values(facts))
        new = change.beyond(series.next_seqs)
        if new is None:
            continue
        rows += rows_of(new, run_key, series.number)
        series.total += len(new.seqs)
        series.next_seqs.update(new.next_seqs())
    if rows:
        insert_points(connection, rows)
