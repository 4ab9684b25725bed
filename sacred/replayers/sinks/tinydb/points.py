"""The points of one run: ``metrics/<id>.json``, replaced whole, with how far the journal is in it."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.position import Position
from sacred.replayers.sinks.tinydb.disk import read_file, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.sink import PointsAdded

__all__ = ["FOLDER", "RunPoints"]

FOLDER = "metrics"
#: What says that a file holds none, or none that can be used.
_NO_POINTS = (
    FileNotFoundError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    JournalError,
)
#: So many entries of a column are made text at once.
_PIECE = 1 << 14
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC


class RunPoints:
    """A run's points, and up to which of the journal's they go.

    Attributes
    ----------
    metrics
        ``{name: {"steps", "values", "timestamps"}}``, as in the ``metrics.json`` of Sacred's files.
    next_seqs
        By metric and writer, the sequence number behind the last point.
    at
        Behind what was read of the journal when they were written: may be more than the run's
        position, if something ended between the two files.
    """

    def __init__(self, path: str, journal_id: str) -> None:
        self.path = path
        self._journal_id = journal_id
        self.metrics: dict[str, dict[str, list[Any]]] = {}
        self.next_seqs: dict[str, dict[int, int]] = {}
        self.at = Position()

    @classmethod
    def load(cls, path: str, journal_id: str) -> RunPoints:
        """Read them; none if they are not there, not of this run, or damaged: they come again.

        Raises
        ------
        OSError
            The disk failed, or the name is not that of a regular file.
        """
        points = cls(path, journal_id)
        try:
            found = json.loads(read_file(path))
            ours = found["_journal"]
            if ours["id"] == journal_id:
                metrics = {name: _columns(one) for name, one in found["metrics"].items()}
                points.next_seqs = {
                    name: {int(writer): int(seq) for writer, seq in seqs.items()}
                    for name, seqs in ours["next"].items()
                }
                points.at = Position.from_wire(ours["at"])
                points.metrics = metrics
        except _NO_POINTS:
            return cls(path, journal_id)
        return points

    def counts(self) -> dict[str, int]:
        """Return how many points each metric has."""
        return {name: len(columns["steps"]) for name, columns in self.metrics.items()}

    def add(self, change: PointsAdded) -> bool:
        """Add the points that are new; True if there were any."""
        seqs = self.next_seqs.setdefault(change.metric, {})
        new = change.beyond(seqs)
        if new is None:
            return False
        empty: dict[str, list[Any]] = {"steps": [], "values": [], "timestamps": []}
        columns = self.metrics.setdefault(change.metric, empty)
        columns["steps"] += new.steps
        columns["values"] += new.values
        columns["timestamps"] += [
            (_EPOCH + dt.timedelta(microseconds=time)).isoformat() for time in new.times
        ]
        seqs.update(new.next_seqs())
        return True

    def save(self, at: Position) -> None:
        """Replace the file.

        Raises
        ------
        OSError
            The disk refuses; the file is as it was.
        """
        self.at = at
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        ours = {"id": self._journal_id, "next": self.next_seqs, "at": at.to_wire()}
        replace(self.path, self._pieces(ours))

    def _pieces(self, ours: dict[str, Any]) -> Iterator[bytes]:
        """Yield the file in pieces, to the letter as ``json.dumps`` makes it in one.

        A million points are some 60 MB as text, and half as much again as long as that is encoded.
        """
        yield b'{"metrics": {'
        for number, (name, columns) in enumerate(self.metrics.items()):
            yield f"{', ' if number else ''}{json.dumps(name)}: {{".encode()
            for place, (part, column) in enumerate(columns.items()):
                yield f"{', ' if place else ''}{json.dumps(part)}: [".encode()
                for begin in range(0, len(column), _PIECE):
                    text = json.dumps(column[begin : begin + _PIECE], default=str)[1:-1]
                    yield f"{', ' if begin else ''}{text}".encode()
                yield b"]"
            yield b"}"
        yield f'}}, "_journal": {json.dumps(ours, default=str)}}}'.encode()


def _columns(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    columns = {part: list(found[part]) for part in ("steps", "values", "timestamps")}
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError("columns of several lengths")
    return columns
