"""The sink: one transaction per batch, changes and position together."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, insert, select, update

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
from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.columns import run_columns
from sacred.replayers.sinks.sql.connection import SqlConnection
from sacred.replayers.sinks.sql.rows import (
    drop_unused_experiment,
    experiment_row,
    file_row,
    host_row,
)
from sacred.replayers.sinks.sql.runs import (
    NAME,
    find_run,
    insert_claim,
    is_taken,
    next_id,
    public_id,
)
from sacred.replayers.sinks.sql.series import Series, add_points, load_series
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

__all__ = ["SqlSink"]

log = logging.getLogger("sacred.replayers")

#: So many ids that others take at the same moment are passed over.
_ATTEMPTS = 1000


class _State:
    """What is known of one run's rows, as of ``position`` or the last ``write``."""

    def __init__(self, run_key: int, run_id: str, revision: int) -> None:
        self.run_key = run_key
        self.run_id = run_id
        self.revision = revision
        self.series: dict[str, Series] = {}
        self.experiment: int | None = None
        self.artifacts: set[str] = set()
        self.resources: set[int] = set()
        self.ahead = Position()


class SqlSink:
    """Writes runs into an SQL database.

    Parameters
    ----------
    spec
        The view. It has no options.
    """

    rewrites: frozenset[str] = frozenset({"output"})

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self._connection = SqlConnection(spec)
        self._states: dict[str, _State] = {}

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
                    return public_id(self._claimed(connection, run, wanted))
            except ViewMovedError:
                wanted = None  # somebody took it, or is this run's other replayer
        raise TransientSinkError(f"no free id was found in {self.spec.name}")

    def _wanted(self, run_id: Any) -> str | None:
        number = wanted_id(run_id)
        if number is not None:
            return str(number)
        fits = isinstance(run_id, str) and len(run_id) <= self._connection.id_length
        return run_id if fits and NAME.fullmatch(run_id) else None

    def _claimed(self, connection: Connection, run: RunKey, wanted: str | None) -> str:
        found = find_run(connection, run)
        if found is not None:
            return str(found.run_id)
        if wanted is None or is_taken(connection, wanted):
            wanted = next_id(connection)
        columns, host, experiment = self._rendered(connection, dict(run.fields), {})
        values = {"captured_out": "", **columns, "host_id": host, "experiment_id": experiment}
        insert_claim(connection, run.journal_id, wanted, values)
        return wanted

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
        with self._connection.begin() as connection:
            found = find_run(connection, run)
            if found is None:
                return None
            state = _State(found.run_key, found.run_id, found.revision)
            state.experiment = found.experiment_id
            state.ahead = Position.from_wire(json.loads(found.ahead))
            state.series = load_series(connection, state.run_key)
            kept, joined = tables.journal_artifact, tables.runs_resources
            artifacts = select(kept.c.file_key).where(kept.c.run_key == state.run_key)
            state.artifacts = set(connection.execute(artifacts).scalars())
            resources = select(joined.c.resource_id).where(joined.c.run_id == state.run_id)
            state.resources = set(connection.execute(resources).scalars())
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

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write what changed and the position in one transaction."""
        # Should it fail, nobody knows what was written: to be asked again.
        state = self._states.pop(batch.run.journal_id, None)
        if state is None:
            raise ViewMovedError("the run is not in the view any more")
        with self._connection.begin() as connection:
            self._move(connection, batch, state)
            points = [change for change in batch.changes if isinstance(change, PointsAdded)]
            add_points(connection, state.run_key, state.series, points)
            for change in batch.changes:
                if isinstance(change, FieldsChanged):
                    self._save_fields(connection, batch, state, change)
                elif isinstance(change, OutputChanged):
                    self._save_output(connection, state, change)
        state.revision += 1
        self._states[batch.run.journal_id] = state

    @staticmethod
    def _move(connection: Connection, batch: Batch, state: _State) -> None:
        """Take the next revision, first of all: it locks the run, and proves what is known of it."""
        journal = tables.journal_run
        if any(isinstance(change, PointsAdded) for change in batch.changes):
            state.ahead = batch.ahead
        moved = connection.execute(
            update(journal)
            .where(
                journal.c.journal_id == batch.run.journal_id,
                journal.c.revision == state.revision,
                exists().where(tables.run.c.id == state.run_key),
            )
            .values(
                revision=state.revision + 1,
                position=json.dumps(batch.position.to_wire()),
                ahead=json.dumps(state.ahead.to_wire()),
                projector=batch.projector,
                event_order=batch.order,
                spool=batch.spool,
                claim=None,
                claimed_on=None,
            )
        )
        if not moved.rowcount:
            raise ViewMovedError("another replayer wrote this run meanwhile, or it was deleted")

    def _save_fields(
        self, connection: Connection, batch: Batch, state: _State, change: FieldsChanged
    ) -> None:
        fields = dict.fromkeys(change.removed) | change.fields
        columns, host, experiment = self._rendered(connection, fields, batch.references)
        if host is not None:
            columns["host_id"] = host
        if experiment is not None:
            columns["experiment_id"] = experiment
        if columns:
            run = tables.run
            connection.execute(update(run).where(run.c.id == state.run_key).values(**columns))
        if experiment is not None:
            before, state.experiment = state.experiment, experiment
            if before not in {None, experiment}:
                drop_unused_experiment(connection, int(before))
        keys = (batch.references.get(entry.key) for entry in fields.get("resources") or ())
        new = sorted({key for key in keys if key is not None} - state.resources)
        for key in new:
            row = {"run_id": state.run_id, "resource_id": key}
            connection.execute(insert(tables.runs_resources).values(row))
        state.resources.update(new)
        for entry in fields.get("artifacts") or ():
            self._save_artifact(connection, state, entry, batch.references.get(entry.key))

    def _rendered(
        self,
        connection: Connection,
        fields: dict[str, Any],
        references: Mapping[tuple[str, str, str | None, int], Any],
    ) -> tuple[dict[str, Any], int | None, int | None]:
        """Return the columns of ``run``, and the keys of the host's and the experiment's row."""
        columns = run_columns(fields, self._connection.most_bytes)
        host = experiment = None
        if fields.get("host") is not None:
            host = host_row(connection, fields["host"])
        if fields.get("experiment") is not None:
            entries = fields["experiment"].get("sources") or ()
            keys = [references[entry.key] for entry in entries if references.get(entry.key)]
            experiment = experiment_row(connection, fields["experiment"], keys)
        return columns, host, experiment

    def _save_output(self, connection: Connection, state: _State, change: OutputChanged) -> None:
        run = tables.run
        kept = ""
        if change.keep:
            query = select(run.c.captured_out).where(run.c.id == state.run_key)
            kept = (connection.execute(query).scalar_one() or "")[: change.keep]
        text = bounded_output(kept + (sql_text(change.text) or ""), self._connection.most_bytes)
        connection.execute(update(run).where(run.c.id == state.run_key).values(captured_out=text))

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

    # -- files ---------------------------------------------------------------------------------

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
