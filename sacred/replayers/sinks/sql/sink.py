"""The sink: one transaction per batch, changes and position together."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, insert, select, update

from sacred.journal.identity import host_name, process_lives
from sacred.journal.position import Position
from sacred.replayers.errors import TransientSinkError, ViewMovedError
from sacred.replayers.sink import (
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
from sacred.replayers.sinks.sql import marks, tables
from sacred.replayers.sinks.sql.columns import run_columns
from sacred.replayers.sinks.sql.connection import SqlConnection
from sacred.replayers.sinks.sql.rows import drop_unused_experiment, file_row
from sacred.replayers.sinks.sql.runs import (
    NAME,
    claim_columns,
    delete_remains,
    find_run,
    insert_run,
    look,
    next_id,
    public_id,
)
from sacred.replayers.sinks.sql.series import Series, add_points, load_series
from sacred.replayers.sinks.sql.shared import SharedFacts, SharedRows
from sacred.replayers.sinks.sql.values import (
    artifact_key,
    blob_bytes,
    bounded_output,
    sql_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    _References = Mapping[tuple[str, str, str | None, int], Any]

__all__ = ["SqlSink"]

log = logging.getLogger("sacred.replayers")

_journal, _run = tables.journal_run, tables.run
# Made once: to build a statement costs more than to run it.
_MOVE = (
    update(_journal)
    .where(
        _journal.c.journal_id == bindparam("this_journal"),
        _journal.c.revision == bindparam("known_revision"),
        exists().where(_run.c.id == bindparam("this_run")),
    )
    .values(claim=None, claimed_on=None)
)
_UPDATE_RUN = update(_run).where(_run.c.id == bindparam("this_run"))
_OUTPUT = select(_run.c.captured_out).where(_run.c.id == bindparam("this_run"))
_ARTIFACTS = select(tables.journal_artifact.c.file_key).where(
    tables.journal_artifact.c.run_key == bindparam("this_run")
)
_RESOURCES = select(tables.runs_resources.c.resource_id).where(
    tables.runs_resources.c.run_id == bindparam("this_run")
)
#: So many ids that others take at the same moment are passed over.
_ATTEMPTS = 1000


class _State:
    """What is known of one run's rows, as of ``position`` or the last ``write``."""

    def __init__(self, run_key: int, run_id: str, revision: int, experiment: int | None) -> None:
        self.run_key = run_key
        self.run_id = run_id
        self.revision = revision
        self.series: dict[str, Series] = {}
        self.experiment = experiment
        self.artifacts: set[str] = set()
        self.resources: set[int] = set()
        self.ahead = Position()


def _has_points(batch: Batch) -> bool:
    return any(isinstance(change, PointsAdded) for change in batch.changes)


def _position_columns(batch: Batch, ahead: Position) -> dict[str, Any]:
    return {
        "position": json.dumps(batch.position.to_wire()),
        "ahead": json.dumps(ahead.to_wire()),
        "projector": batch.projector,
        "event_order": batch.order,
        "spool": batch.spool,
    }


class SqlSink:
    """Writes runs into an SQL database.

    Parameters
    ----------
    spec
        The view. It has no options.
    """

    rewrites: frozenset[str] = frozenset({"output"})
    takes_unasked = True
    #: Of the run that was written last.
    view_id: Any = None

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self._connection = SqlConnection(spec)
        self._states: dict[str, _State] = {}
        #: Runs that were taken up, and are not in the database.
        self._new: dict[str, RunKey] = {}
        self._shared = SharedRows()

    def open(self) -> None:
        """Connect, look that the database answers, and see that the tables are there."""
        self._states.clear()
        self._connection.open()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()
        self._states.clear()

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Insert the run's row under an id that is free; the database decides between two."""
        wanted = self._wanted(run.run_id)
        for _ in range(_ATTEMPTS):
            try:
                with self._connection.begin() as connection:
                    state = self._claimed(connection, run, wanted)
            except ViewMovedError:
                continue  # somebody took the id meanwhile, or is this run's other replayer
            else:
                if state.revision == 0:
                    self._states[run.journal_id] = state
                return public_id(state.run_id)
        raise TransientSinkError(f"no free id was found in {self.spec.name}")

    def take_up(self, run: RunKey) -> ViewPosition:
        """Remember what the run would like: its first batch inserts all of it, the claim as well."""
        self._states.pop(run.journal_id, None)
        self._new[run.journal_id] = run
        return ViewPosition(None, Position(), 0, claimed=True)

    def _wanted(self, run_id: Any) -> str | None:
        number = wanted_id(run_id)
        if number is not None:
            return str(number)
        fits = isinstance(run_id, str) and len(run_id) <= self._connection.id_length
        return run_id if fits and NAME.fullmatch(run_id) else None

    def _claimed(self, connection: Connection, run: RunKey, wanted: str | None) -> _State:
        found = find_run(connection, run)
        if found is not None:
            return _State(found.run_key, found.run_id, found.revision, found.experiment_id)
        return self._added(connection, run, wanted, dict(run.fields), {}, "", claim_columns())

    def _added(
        self,
        connection: Connection,
        run: RunKey,
        wanted: str | None,
        fields: dict[str, Any],
        references: _References,
        output: str,
        stands: dict[str, Any],
    ) -> _State:
        """Insert a run that the database has not: its row, and where its view stands."""
        columns = run_columns(fields, self._connection.most_bytes)
        facts = SharedFacts.of(fields, references)
        known = self._shared.known(facts)
        found = look(connection, run.journal_id, wanted, self._shared.questions(facts, known))
        if found.is_known:
            delete_remains(connection, run.journal_id)
        host, experiment = known
        if not found.host:
            host = self._shared.host_key(connection, facts)
        if not found.experiment:
            experiment = self._shared.experiment_key(connection, facts)
        run_id = next_id(connection) if wanted is None or found.is_taken else wanted
        values = {"captured_out": output, **columns, "run_id": run_id}
        values |= {"host_id": host, "experiment_id": experiment}
        key = insert_run(connection, run.journal_id, values, stands)
        return _State(key, run_id, stands["revision"], experiment)

    def release(self, run: RunKey) -> bool:
        """Delete a row that is only claimed."""
        journal = tables.journal_run
        with self._connection.begin() as connection:
            found = find_run(connection, run)
            if found is None or found.claim is None:
                return False
            gone = connection.execute(
                delete(journal).where(
                    journal.c.journal_id == run.journal_id,
                    journal.c.run_key == found.run_key,
                    journal.c.claim.is_not(None),
                )
            )
            if not gone.rowcount:
                return False
            connection.execute(delete(tables.run).where(tables.run.c.id == found.run_key))
            if found.experiment_id is not None:
                drop_unused_experiment(connection, found.experiment_id)
        self._states.pop(run.journal_id, None)
        return True

    def clear_claims(self, max_age: float) -> int:
        """Delete claims of this host whose process is gone."""
        journal = tables.journal_run
        query = select(journal.c.journal_id, journal.c.claim).where(
            journal.c.claimed_on == host_name()[:255], journal.c.claim.is_not(None)
        )
        with self._connection.begin() as connection:
            claims = connection.execute(query.limit(1000)).all()
        cleared = 0
        for journal_id, text in claims:
            try:
                claim = dict(json.loads(text))
            except (ValueError, TypeError):
                continue
            old = time.time() - claim.get("wall", 0) / 1e9 > max_age
            if old and process_lives(claim) is False:
                cleared += self.release(RunKey(journal_id))
        return cleared

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read where the run's rows stand, and count its points."""
        self._states.pop(run.journal_id, None)
        self._new.pop(run.journal_id, None)
        with self._connection.begin() as connection:
            found = find_run(connection, run)
            if found is None:
                return None
            state = _State(found.run_key, found.run_id, found.revision, found.experiment_id)
            state.ahead = Position.from_wire(json.loads(found.ahead))
            if found.claim is None:  # else there is nothing but the claim
                state.series = load_series(connection, state.run_key)
                kept = connection.execute(_ARTIFACTS, {"this_run": state.run_key})
                state.artifacts = set(kept.scalars())
                kept = connection.execute(_RESOURCES, {"this_run": state.run_id})
                state.resources = set(kept.scalars())
        self._states[run.journal_id] = state
        points = {name: series.total for name, series in state.series.items()}
        return ViewPosition(
            public_id(found.run_id),
            Position.from_wire(json.loads(found.position)),
            found.projector,
            found.event_order,
            state.ahead,
            # A name that had to be changed is not known by its own.
            points if not any("\ufffd" in name for name in points) else None,
            claimed=found.claim is not None,
            spool=found.spool,
        )

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with self._connection.begin() as connection:
            return marks.marked(connection, owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        with self._connection.begin() as connection:
            marks.mark(connection, owner, number)

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write what changed and the position in one transaction."""
        # Should it fail, nobody knows what was written: to be asked again.
        new = self._new.pop(batch.run.journal_id, None)
        state = self._states.pop(batch.run.journal_id, None)
        if new is not None:
            state = self._insert(new, batch)
        elif state is not None:
            self._update(state, batch)
        else:
            raise ViewMovedError("the run is not in the view any more")
        self._states[batch.run.journal_id] = state
        self.view_id = public_id(state.run_id)

    def _insert(self, run: RunKey, batch: Batch) -> _State:
        """Add a run with all of its first batch."""
        wanted = self._wanted(run.run_id)
        for _ in range(_ATTEMPTS):
            try:
                with self._connection.begin() as connection:
                    return self._begun(connection, run, wanted, batch)
            except ViewMovedError:
                with self._connection.begin() as connection:
                    if find_run(connection, run) is not None:
                        raise  # this run's other replayer, and not somebody who took the id
        raise TransientSinkError(f"no free id was found in {self.spec.name}")

    def _begun(
        self, connection: Connection, run: RunKey, wanted: str | None, batch: Batch
    ) -> _State:
        fields, output = dict(run.fields), ""
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                fields |= dict.fromkeys(change.removed) | change.fields
            elif isinstance(change, OutputChanged):
                output = self._output("", change)
        ahead = batch.ahead if _has_points(batch) else Position()
        stands = {"revision": 1, "claim": None, "claimed_on": None}
        stands |= _position_columns(batch, ahead)
        state = self._added(connection, run, wanted, fields, batch.references, output, stands)
        state.ahead = ahead
        self._save_points(connection, batch, state)
        self._save_files(connection, batch, state, fields)
        return state

    def _update(self, state: _State, batch: Batch) -> None:
        with self._connection.begin() as connection:
            self._move(connection, batch, state)
            self._save_points(connection, batch, state)
            columns: dict[str, Any] = {}
            fields: dict[str, Any] = {}
            for change in batch.changes:
                if isinstance(change, FieldsChanged):
                    fields = dict.fromkeys(change.removed) | change.fields
                    columns |= run_columns(fields, self._connection.most_bytes)
                    columns |= self._shared_columns(connection, fields, batch.references)
                elif isinstance(change, OutputChanged):
                    before = ""
                    if change.keep:
                        kept = connection.execute(_OUTPUT, {"this_run": state.run_key})
                        before = kept.scalar_one() or ""
                    columns["captured_out"] = self._output(before, change)
            if columns:
                connection.execute(_UPDATE_RUN, {"this_run": state.run_key, **columns})
            experiment = columns.get("experiment_id")
            if experiment is not None:
                earlier, state.experiment = state.experiment, experiment
                if earlier not in {None, experiment}:
                    drop_unused_experiment(connection, int(earlier))
            self._save_files(connection, batch, state, fields)
        state.revision += 1

    def _shared_columns(
        self, connection: Connection, fields: dict[str, Any], references: _References
    ) -> dict[str, int]:
        """Return the columns of ``run`` that name the host's and the experiment's row."""
        facts = SharedFacts.of(fields, references)
        host = self._shared.host_key(connection, facts)
        experiment = self._shared.experiment_key(connection, facts)
        found = {"host_id": host, "experiment_id": experiment}
        return {name: key for name, key in found.items() if key is not None}

    @staticmethod
    def _move(connection: Connection, batch: Batch, state: _State) -> None:
        """Take the next revision, first of all: it locks the run, and proves what is known of it."""
        if _has_points(batch):
            state.ahead = batch.ahead
        known = {"this_journal": batch.run.journal_id, "this_run": state.run_key}
        known |= {"known_revision": state.revision, "revision": state.revision + 1}
        moved = connection.execute(_MOVE, known | _position_columns(batch, state.ahead))
        if not moved.rowcount:
            raise ViewMovedError("another replayer wrote this run meanwhile, or it was deleted")

    @staticmethod
    def _save_points(connection: Connection, batch: Batch, state: _State) -> None:
        points = [change for change in batch.changes if isinstance(change, PointsAdded)]
        add_points(connection, state.run_key, state.series, points)

    def _save_files(
        self, connection: Connection, batch: Batch, state: _State, fields: dict[str, Any]
    ) -> None:
        keys = (batch.references.get(entry.key) for entry in fields.get("resources") or ())
        new = sorted({key for key in keys if key is not None} - state.resources)
        if new:
            rows = [{"run_id": state.run_id, "resource_id": key} for key in new]
            connection.execute(insert(tables.runs_resources), rows)
        state.resources.update(new)
        for entry in fields.get("artifacts") or ():
            self._save_artifact(connection, state, entry, batch.references.get(entry.key))

    def _output(self, before: str, change: OutputChanged) -> str:
        text = before[: change.keep] + (sql_text(change.text) or "")
        return bounded_output(text, self._connection.most_bytes)

    # -- files ---------------------------------------------------------------------------------

    def _save_artifact(
        self, connection: Connection, state: _State, entry: FileEntry, blob: str | None
    ) -> None:
        key = artifact_key(entry)
        if key in state.artifacts:
            return
        row = {
            "filename": sql_text(entry.name),
            "content": self._content(entry, blob),
            "run_id": state.run_id,
        }
        made = connection.execute(insert(tables.artifact).values(row))
        connection.execute(
            insert(tables.journal_artifact).values(
                run_key=state.run_key,
                file_key=key,
                artifact_id=made.inserted_primary_key[0],  # type: ignore[index]
            )
        )
        state.artifacts.add(key)

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a source or a resource, unless it is there; an artifact waits for ``write``."""
        del run
        if entry.role == "artifact":
            return None if blob is None else str(blob)
        content: Any = self._content(entry, blob)
        table = tables.resource
        if entry.role == "source":
            table = tables.source
            content = None if content is None else sql_text(content.decode("utf-8", "replace"))
        with self._connection.begin() as connection:
            return file_row(connection, table, entry, entry.name, content)

    def _content(self, entry: FileEntry, blob: Path | str | None) -> bytes | None:
        with self._connection.errors():
            content = blob_bytes(blob, self._connection.most_bytes)
        if content is None and blob is not None:
            log.warning(
                "%s: %s is too large for the database: the journal has it",
                self.spec.name,
                entry.name,
            )
        return content

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Delete the run's points, artifacts and position; its row is overwritten."""
        journal, its_run = tables.journal_run, tables.run
        self._states.pop(run.journal_id, None)
        with self._connection.begin() as connection:
            moved = connection.execute(
                update(journal)
                .where(journal.c.journal_id == run.journal_id)
                .values(
                    revision=journal.c.revision + 1,
                    position="[]",
                    ahead="[]",
                    projector=0,
                    spool=0,
                    claim=None,
                    claimed_on=None,
                )
            )
            found = find_run(connection, run) if moved.rowcount else None
            if found is None:
                return
            key = found.run_key
            kept, stored = tables.journal_artifact, tables.artifact
            ours = select(kept.c.artifact_id).where(kept.c.run_key == key)
            rows = connection.execute(ours).scalars().all()
            for artifact_id in rows:
                connection.execute(delete(stored).where(stored.c.artifact_id == artifact_id))
            for table in (tables.journal_point, tables.journal_metric, kept):
                connection.execute(delete(table).where(table.c.run_key == key))
            joined = tables.runs_resources
            connection.execute(delete(joined).where(joined.c.run_id == found.run_id))
            gone = dict.fromkeys(("stop_time", "fail_trace", "result", "result_json"))
            connection.execute(
                update(its_run).where(its_run.c.id == key).values(captured_out="", **gone)
            )
