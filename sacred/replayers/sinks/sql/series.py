"""The points of a run's metrics: one row each, keyed by run, writer and sequence number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select

from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.insertion import PointRows, insert_points
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


_names, _points = tables.journal_metric, tables.journal_point
_INSERT = insert(_names)
_NAMES = (
    select(_names.c.metric, _names.c.name)
    .where(_names.c.run_key == bindparam("key"))
    .order_by(_names.c.metric)
)
_COUNTED = (
    select(_points.c.metric, _points.c.writer, func.count(), func.max(_points.c.seq))
    .where(_points.c.run_key == bindparam("key"))
    .group_by(_points.c.metric, _points.c.writer)
)


def load_series(connection: Connection, run_key: int) -> dict[str, Series]:
    """Read which points a run has: counted in the table, so that a lost one is noticed."""
    key = {"key": run_key}
    rows = connection.execute(_NAMES, key).all()
    found: dict[int, str] = {row.metric: row.name for row in rows}
    every = {number: Series(number) for number in found}
    for number, writer, count, last in connection.execute(_COUNTED, key):
        series = every.get(number)
        if series is not None:
            series.total += int(count)
            series.next_seqs[int(writer)] = int(last) + 1
    return {found[number]: series for number, series in every.items()}


def add_points(
    connection: Connection, run_key: int, every: dict[str, Series], changes: list[PointsAdded]
) -> None:
    """Insert points, but for those that are there."""
    rows: list[PointRows] = []
    metrics: list[dict[str, Any]] = []
    number = max((one.number for one in every.values()), default=0)
    for change in changes:
        name = sql_text(change.metric) or ""
        series = every.get(name)
        if series is None:
            number += 1
            series = every[name] = Series(number)
            metrics.append({"run_key": run_key, "metric": number, "name": name})
        new = change.beyond(series.next_seqs)
        if new is None:
            continue
        rows.append(PointRows(new, series.number))
        series.total += len(new.seqs)
        series.next_seqs.update(new.next_seqs())
    if metrics:
        connection.execute(_INSERT, metrics)
    if rows:
        insert_points(connection, run_key, rows)
