"""Memory: the reference sink, in the fewest lines that keep the whole contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.errors import ViewMovedError
from sacred.replayers.sink import (
    OWNED_FIELDS,
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
    ViewPosition,
    wanted_id,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PLACES", "MemoryPlace", "MemoryRun", "MemorySink"]


class MemoryRun:
    """What the place keeps of one run."""

    def __init__(self, journal_id: str, view_id: int, fields: dict[str, Any]) -> None:
        self.journal_id = journal_id
        self.view_id = view_id
        self.fields = fields
        self.output = ""
        self.metrics: dict[str, dict[str, list[Any]]] = {}
        self.next_seqs: dict[str, dict[int, int]] = {}
        self.files: dict[tuple[str, str, str | None, int], bytes | None] = {}
        self.stands = ViewPosition(view_id, Position(), 0, claimed=True)
        self.revision = 0

    def document(self) -> dict[str, Any]:
        """Return the run as one value that can be compared."""
        return {
            **self.fields,
            "captured_out": self.output,
            "metrics": {name: dict(columns) for name, columns in self.metrics.items()},
        }


class MemoryPlace:
    """A place that outlives the sinks that write into it."""

    def __init__(self) -> None:
        self.runs: dict[int, MemoryRun] = {}
        self.marks: dict[str, int] = {}

    def of_journal(self, journal_id: str) -> MemoryRun | None:
        """Return the run of a journal."""
        return next((run for run in self.runs.values() if run.journal_id == journal_id), None)


#: The places by address; they live as long as the process.
PLACES: dict[str, MemoryPlace] = {}


class MemorySink:
    """Keeps runs in the memory of this process: for tests, and to read as an example."""

    rewrites: frozenset[str] = frozenset()
    takes_unasked = True

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.place = PLACES.setdefault(spec.url, MemoryPlace())
        self._seen: dict[str, int] = {}

    def open(self) -> None:
        """Do nothing: memory is there."""

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        return self.place.marks.get(owner, 0)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        self.place.marks[owner] = max(number, self.marked(owner))

    def claim(self, run: RunKey) -> Any:
        """Give the run its id: the one it would like, or the next free one."""
        known = self.place.of_journal(run.journal_id)
        if known is not None:
            return known.view_id
        wanted = wanted_id(run.run_id)
        if wanted is None or wanted in self.place.runs:
            wanted = max(self.place.runs, default=0) + 1
        self.place.runs[wanted] = MemoryRun(run.journal_id, wanted, dict(run.fields))
        return wanted

    def take_up(self, run: RunKey) -> ViewPosition:
        """Claim the run, and know where it stands."""
        self.claim(run)
        found = self.position(run)
        if found is None:
            raise ViewMovedError("the run was taken back meanwhile")
        return found

    def clear_claims(self, max_age: float) -> int:  # noqa: ARG002 - a process sees its own only
        """Return 0: nothing is left behind by a process that is gone."""
        return 0

    def release(self, run: RunKey) -> bool:
        """Take a claim back, if there is nothing but it."""
        known = self.place.of_journal(run.journal_id)
        if known is None or not known.stands.claimed:
            return False
        del self.place.runs[known.view_id]
        return True

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the run's view stands."""
        known = self.place.of_journal(run.journal_id)
        if known is None:
            return None
        self._seen[run.journal_id] = known.revision
        points = {name: len(columns["steps"]) for name, columns in known.metrics.items()}
        return known.stands._replace(points=points)

    def write(self, batch: Batch) -> None:
        """Store a batch; nothing can fail half way here."""
        known = self.place.of_journal(batch.run.journal_id)
        if known is None:
            raise ViewMovedError("the run is not in the view any more")
        if known.revision != self._seen.get(batch.run.journal_id):
            raise ViewMovedError("another replayer wrote this run meanwhile")
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                known.fields.update(change.fields)
                for name in change.removed:
                    known.fields.pop(name, None)
            elif isinstance(change, OutputChanged):
                known.output = known.output[: change.keep] + change.text
            else:
                self._append(known, change)
        known.stands = ViewPosition(
            known.view_id, batch.position, batch.projector, batch.order, spool=batch.spool
        )
        known.revision += 1
        self._seen[batch.run.journal_id] = known.revision

    @staticmethod
    def _append(run: MemoryRun, change: PointsAdded) -> None:
        next_seqs = run.next_seqs.setdefault(change.metric, {})
        new = change.beyond(next_seqs)
        if new is None:
            return
        columns = run.metrics.setdefault(
            change.metric, {"steps": [], "values": [], "timestamps": []}
        )
        columns["steps"] += new.steps
        columns["values"] += new.values
        columns["timestamps"] += new.times
        next_seqs.update(new.next_seqs())

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Keep a file's content."""
        known = self.place.of_journal(run.journal_id)
        if known is None:
            raise ViewMovedError("the run is not in the view any more")
        known.files[entry.key] = blob.read_bytes() if blob is not None else None
        return entry.digest

    def reset(self, run: RunKey) -> None:
        """Forget everything but the id and what others own."""
        known = self.place.of_journal(run.journal_id)
        if known is None:
            return
        foreign = {k: v for k, v in known.fields.items() if k not in OWNED_FIELDS}
        anew = MemoryRun(run.journal_id, known.view_id, foreign)
        anew.stands = anew.stands._replace(claimed=False)
        anew.revision = known.revision + 1
        self.place.runs[known.view_id] = anew
        self._seen[run.journal_id] = anew.revision

    def close(self) -> None:
        """Do nothing: the place stays."""
