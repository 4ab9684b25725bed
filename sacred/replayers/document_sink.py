"""A sink of a place that keeps one document for each run: a base for sinks of one's own.

Many places can do one thing in one step: replace a document, if it still is the one that was read
(CouchDB's revisions, ETags over HTTP, etcd, DynamoDB, Firestore, Redis with ``WATCH``). That is all
a view needs. Whoever derives from :class:`DocumentSink` says how a document is read and replaced;
ids, positions, points that come again and replayers that meet are done here.

A document is plain JSON (``docs/write-a-sink.md`` builds a sink on it)::

    {"journal": "8c16...",           the run's identity, which two documents never share
     "number": 57,                   its id in the view, which two documents never share
     "run": {"status": ..., ...},    the fields of Sacred's run document
     "output": "...", "metrics": {"loss": {"steps", "values", "timestamps", "writers", "seqs"}},
     "stands": {...}}                how far the view is
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.errors import ViewMovedError
from sacred.replayers.jsontext import jsonable
from sacred.replayers.sink import (
    OWNED_FIELDS,
    FieldsChanged,
    OutputChanged,
    PointsAdded,
    ViewPosition,
    wanted_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sacred.replayers.sink import Batch, FileEntry, RunKey, SinkSpec

__all__ = ["DocumentSink"]

_COLUMNS = ("writers", "seqs", "steps", "values", "timestamps")


class DocumentSink:
    """Keeps each run as one document; a subclass says where.

    Parameters
    ----------
    spec
        The view. Making a sink neither connects nor creates anything.

    Notes
    -----
    Every method of a subclass raises ``TransientSinkError`` (not now) or ``TerminalSinkError`` (not
    at all; the text says what to do) for what the other side does, and nothing else. A document is
    written whole: the follower waits until that is worth it.
    """

    rewrites: frozenset[str] = frozenset({"output", "points"})

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        #: The documents as they were read or replaced last, with their revisions, by journal.
        self._seen: dict[str, tuple[dict[str, Any], Any]] = {}

    # -- of the place ----------------------------------------------------------------------------

    def open(self) -> None:
        """Look that the place is there and can be written."""

    def read(self, journal_id: str) -> tuple[dict[str, Any], Any] | None:
        """Return the document of a run and what tells this version from others; None if there is none.

        Asks the place, never a memory of it.
        """
        raise NotImplementedError

    def numbers(self) -> Iterable[int]:
        """Return the ids that are taken, those of other programs' runs too."""
        raise NotImplementedError

    def replace(self, document: dict[str, Any], revision: Any) -> Any:
        """Store a document in one step, and return its revision.

        Parameters
        ----------
        document
            Plain JSON.
        revision
            Of the document that it takes the place of; None: there must be none with this number.

        Raises
        ------
        ViewMovedError
            What is there has another revision. Then nothing is stored.
        """
        raise NotImplementedError

    def remove(self, document: dict[str, Any], revision: Any) -> None:
        """Remove a document that still has this revision."""
        raise NotImplementedError

    def put_content(self, digest: str, content: Path) -> None:
        """Store a file's content under its sha256, unless it is there. Without it none is stored."""

    def close(self) -> None:
        """Give back connections; never raises."""

    # -- the protocol of a sink ------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Give the run its number, and return it: see ``Sink.claim``."""
        # In this order: whoever claims the same run meanwhile wants the same number.
        taken = set(self.numbers())
        found = self.read(run.journal_id)
        if found is not None:
            return found[0]["number"]
        number = wanted_id(run.run_id)
        if number is None or number in taken:
            number = max(taken, default=0) + 1
        stands = ViewPosition(number, Position(), 0, claimed=True)
        self._replace(_new_document(run.journal_id, dict(run.fields), stands), None)
        return number

    def clear_claims(self, max_age: float) -> int:  # noqa: ARG002 - only a program's own views leave any
        """Return 0: ``sacred-replay`` leaves no claims behind."""
        return 0

    def release(self, run: RunKey) -> bool:
        """Take a claim back, if there is nothing but it."""
        found = self.read(run.journal_id)
        if found is None or not found[0]["stands"]["claimed"]:
            return False
        self.remove(*found)
        return True

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the run's view stands."""
        found = self.read(run.journal_id)
        if found is None:
            self._seen.pop(run.journal_id, None)
            return None
        self._seen[run.journal_id] = found
        document, _ = found
        stands = dict(document["stands"])
        return ViewPosition(
            document["number"],
            Position.from_wire(stands.pop("position")),
            points={name: len(columns["seqs"]) for name, columns in document["metrics"].items()},
            **stands,
        )

    def write(self, batch: Batch) -> None:
        """Store a batch and its position: one document takes the place of another."""
        if batch.run.journal_id not in self._seen:
            raise ViewMovedError("the run is not in the view any more")
        seen, revision = self._seen[batch.run.journal_id]
        document = copy.deepcopy(seen)
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                document["run"].update(change.fields)
                for name in change.removed:
                    document["run"].pop(name, None)
            elif isinstance(change, OutputChanged):
                document["output"] = document["output"][: change.keep] + change.text
            else:
                _add_points(document["metrics"], change)
        document["stands"] = _stands_to_wire(
            ViewPosition(0, batch.position, batch.projector, batch.order, spool=batch.spool)
        )
        self._replace(document, revision)

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:  # noqa: ARG002
        """Store a file's content under its checksum, and return that."""
        if blob is not None and entry.digest is not None:
            self.put_content(entry.digest, blob)
        return entry.digest

    def reset(self, run: RunKey) -> None:
        """Forget everything but the number and the fields of others."""
        found = self.read(run.journal_id)
        if found is None:
            return
        document, revision = found
        kept = {name: value for name, value in document["run"].items() if name not in OWNED_FIELDS}
        stands = ViewPosition(document["number"], Position(), 0)
        self._replace({**document, **_new_document(run.journal_id, kept, stands)}, revision)

    def _replace(self, document: dict[str, Any], revision: Any) -> None:
        document = jsonable(document)
        self._seen[document["journal"]] = (document, self.replace(document, revision))


def _new_document(journal_id: str, fields: dict[str, Any], stands: ViewPosition) -> dict[str, Any]:
    return {
        "journal": journal_id,
        "number": stands.view_id,
        "run": fields,
        "output": "",
        "metrics": {},
        "stands": _stands_to_wire(stands),
    }


def _stands_to_wire(stands: ViewPosition) -> dict[str, Any]:
    return {
        "position": stands.position.to_wire(),
        "projector": stands.projector,
        "order": stands.order,
        "spool": stands.spool,
        "claimed": stands.claimed,
    }


def _add_points(metrics: dict[str, Any], change: PointsAdded) -> None:
    """Add those points of a metric that are not there."""
    columns = metrics.setdefault(change.metric, {name: [] for name in _COLUMNS})
    rows = zip(columns["writers"], columns["seqs"], strict=True)
    new = change.beyond({writer: seq + 1 for writer, seq in rows})
    if new is not None:
        for name, values in zip(_COLUMNS, new[1:], strict=True):
            columns[name] += values
