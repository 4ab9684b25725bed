"""The documents of a run's metrics: points are pushed, and each document guards itself."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.errors import ViewMovedError
from sacred.replayers.sinks.mongo.values import bson_column, object_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.sink import Batch, PointsAdded

#: A series goes on in another document before it reaches the server's 16 MB (bytes, estimated).
METRIC_BYTES = 12 << 20
PUSH_BYTES = 6 << 20
_POINT_BYTES = 51

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC


class Series:
    """What is known of one metric's documents.

    Attributes
    ----------
    bucket
        The number of the last document; there is more than one if the points need it.
    points, size
        What that one holds (size in bytes, estimated).
    total
        All points.
    next_seqs
        By writer, the sequence number behind the last point.
    ids, names
        Of the documents.
    """

    __slots__ = ("bucket", "ids", "names", "next_seqs", "points", "size", "total")

    def __init__(self) -> None:
        self.bucket = 0
        self.points = 0
        self.size = 0
        self.total = 0
        self.next_seqs: dict[int, int] = {}
        self.ids: list[Any] = []
        self.names: list[str] = []


def document_name(metric: str, bucket: int) -> str:
    """Return what a document of a metric is called: clients keep them by their names."""
    return f"{metric} ({bucket + 1})" if bucket else metric


def load_series(
    metrics: Any, journal_id: str, runs_name: str, view_id: Any
) -> tuple[dict[str, Series], Position, bool]:
    """Read how a run's metrics stand, how far the journal was pushed into them, and if some stray.

    Documents stray that have another ``run_id``: that of a claim that was taken back while a
    replayer wrote under it.
    """
    ahead: dict[int, Any] = {}
    every: dict[str, Series] = {}
    stray = False
    query = {"_journal.id": journal_id, "_journal.runs": runs_name}
    columns = {"name": 1, "run_id": 1, "_journal": 1}
    for found in metrics.find(query, columns).sort("_journal.bucket"):
        ours = found["_journal"]
        stray = stray or found.get("run_id") != view_id
        series = every.setdefault(ours.get("metric", found["name"]), Series())
        series.bucket = int(ours["bucket"])
        series.points = int(ours["n"])
        series.size = int(ours["size"])
        series.total += series.points
        series.ids.append(found["_id"])
        series.names.append(found["name"])
        series.next_seqs.update({int(w): int(seq) for w, seq in ours["next"].items()})
        for writer, at in Position.from_wire(ours.get("at")).items():
            if writer not in ahead or ahead[writer].next_seq < at.next_seq:
                ahead[writer] = at
    return every, Position(ahead), stray


def bring_home(metrics: Any, journal_id: str, runs_name: str, view_id: Any) -> None:
    """Give all documents of a run's metrics the id that the run has: clients look for that."""
    query = {"_journal.id": journal_id, "_journal.runs": runs_name}
    metrics.update_many({**query, "run_id": {"$ne": view_id}}, {"$set": {"run_id": view_id}})


def push_points(
    metrics: Any,
    runs_name: str,
    view_id: Any,
    every: dict[str, Series],
    batch: Batch,
    changes: list[PointsAdded],
) -> None:
    """Push points into the documents, but for those that they have.

    Raises
    ------
    ViewMovedError
        Somebody else wrote them since they were read.
    """
    from pymongo import InsertOne, UpdateOne
    from pymongo.errors import BulkWriteError

    operations: list[Any] = []
    updates = 0
    for change in changes:
        series = every.setdefault(change.metric, Series())
        new = change.beyond(series.next_seqs)
        if new is None:
            continue
        for part, size in parts(new):
            if series.ids and series.size + size > METRIC_BYTES:
                series.bucket += 1
                series.points = series.size = 0
            series.next_seqs.update(part.next_seqs())
            ours = {
                "n": series.points + len(part.seqs),
                "size": series.size + size,
                "next": {str(w): seq for w, seq in series.next_seqs.items()},
                "at": batch.ahead.to_wire(),
            }
            columns = {
                "steps": bson_column(part.steps),
                "values": bson_column(part.values),
                "timestamps": [_EPOCH + dt.timedelta(microseconds=t) for t in part.times],
            }
            journal_id = batch.run.journal_id
            name = object_id("metric", journal_id, runs_name, change.metric, str(series.bucket))
            if not series.points:
                key = {"id": journal_id, "runs": runs_name, "bucket": series.bucket}
                shown = document_name(change.metric, series.bucket)
                head = {"_id": name, "run_id": view_id, "name": shown}
                if series.bucket:
                    key["metric"] = change.metric
                operations.append(InsertOne({**head, **columns, "_journal": {**key, **ours}}))
                series.ids.append(name)
                series.names.append(shown)
            else:
                pushes = {column: {"$each": rows} for column, rows in columns.items()}
                guard = {"_id": name, "_journal.n": series.points}
                marks = {f"_journal.{field}": value for field, value in ours.items()}
                operations.append(UpdateOne(guard, {"$push": pushes, "$set": marks}))
                updates += 1
            series.points += len(part.seqs)
            series.size += size
            series.total += len(part.seqs)
    if not operations:
        return
    try:
        # In order: the parts of a series must come one after another.
        result = metrics.bulk_write(operations, ordered=True)
    except BulkWriteError as error:
        codes = [one.get("code") for one in (error.details or {}).get("writeErrors", ())]
        if 11000 in codes:
            raise ViewMovedError("another replayer wrote this run meanwhile") from None
        raise
    if result.matched_count != updates:
        raise ViewMovedError("another replayer or a client changed this run's metrics")


def parts(change: PointsAdded) -> Iterator[tuple[PointsAdded, int]]:
    """Cut points into pushes that a server takes, with their sizes in bytes (estimated)."""
    extra = [
        len(str(value)) if not isinstance(value, (int, float, type(None))) else 0
        for value in change.values
    ]
    begin = size = 0
    for row, more in enumerate(extra):
        size += _POINT_BYTES + more
        if size >= PUSH_BYTES:
            yield change.rows(list(range(begin, row + 1))), size
            begin, size = row + 1, 0
    if begin == 0:
        yield change, size
    elif begin < len(extra):
        yield change.rows(list(range(begin, len(extra)))), size
