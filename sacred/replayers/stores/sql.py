"""An SQL database, as Sacred's ``SqlObserver`` and our SQL view write it."""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from sacred.replayers.errors import SinkError, StoredRunError, StoreError
from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.connection import engine_for
from sacred.replayers.sinks.sql.meaning import meaning_of
from sacred.replayers.sinks.sql.runs import public_id
from sacred.replayers.stores.document import microseconds, stored_run
from sacred.replayers.stores.meaning import meaning_for_a_reader
from sacred.replayers.stores.store import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Row, Table

    from sacred.replayers.sink import SinkSpec
    from sacred.replayers.stores.store import Points, StoredRun

__all__ = ["SqlStore"]

#: So many rows of points are fetched at once.
_ROWS = 10_000
_TIMES = ("start_time", "heartbeat", "stop_time")


class SqlStore:
    """Reads the runs of one database, in transactions that only read.

    Parameters
    ----------
    spec
        The database.
    """

    kind = "sql"
    lacks: tuple[str, ...] = (
        "metrics (Sacred's SqlObserver keeps none)",
        "results that are no number, the main file, the command line and other facts of meta",
        "when each line was printed, and on which of the two streams",
        "heartbeats but for the last one",
        "metadata, types and places of artifacts, and sources that are no text",
    )

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self._engine: Engine | None = None
        self._columns: dict[str, frozenset[str]] = {}
        self._ids: dict[int | str, int] = {}

    # -- the connection --------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and look that the tables are Sacred's."""
        self._engine = engine_for(_read_only(self.spec.url))
        with self._errors():
            inspector = inspect(self._engine)
            names = set(inspector.get_table_names())
            for table in (*tables.SACRED.sorted_tables, *tables.JOURNAL.sorted_tables):
                if table.name in names:
                    found = inspector.get_columns(table.name)
                    self._columns[table.name] = frozenset(column["name"] for column in found)
        if not {"id", "run_id", "status", "config"} <= self._columns.get("run", frozenset()):
            raise StoreError(
                f"{self.name} holds no runs of a SqlObserver: it has no table 'run' with run_id, "
                "status and config"
            )

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, SinkError):
            raise
        except (SQLAlchemyError, OSError) as error:
            # The driver's traceback may name the password.
            raise meaning_for_a_reader(meaning_of(error, self.spec)) from None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        assert self._engine is not None
        with self._errors(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                )
            yield connection

    def _has(self, table: Table) -> bool:
        return table.name in self._columns

    def _known(self, table: Table) -> list[Any]:
        """Return the columns that a table has here, of those that we know."""
        there = self._columns.get(table.name, frozenset())
        return [column for column in table.columns if column.name in there]

    def runs(self) -> list[int | str]:
        """Return the ids, the oldest first."""
        run = tables.run
        with self._connected() as connection:
            rows = connection.execute(select(run.c.id, run.c.run_id).order_by(run.c.id)).all()
        self._ids = {
            public_id(row.run_id) if row.run_id is not None else f"row {row.id}": int(row.id)
            for row in rows
        }
        return list(self._ids)

    def read(self, run_id: int | str, *, partial: bool = False) -> StoredRun:
        """Read the rows of a run."""
        if not self._ids:
            self.runs()
        key = self._ids.get(run_id)
        if key is None:
            raise StoredRunError(f"there is no such run in {self.name}")
        losses: list[str] = []
        with self._connected() as connection:
            row = self._row(connection, tables.run, tables.run.c.id == key)
            if row is None:
                raise StoredRunError(f"it was deleted in {self.name} meanwhile")
            document = self._document(connection, row, losses, partial=partial)
            experiment = document["experiment"]
            base_dir = experiment.get("base_dir") or ""
            sources = self._joined(
                connection, tables.source, tables.experiments_sources, row, "experiment_id"
            )
            resources = self._joined(
                connection, tables.resource, tables.runs_resources, row, "run_id"
            )
            artifacts = self._artifacts(connection, row)
            journal = self._journal_id(connection, key)
        return stored_run(
            run_id,
            document,
            sources=[self._source(one, base_dir) for one in sources],
            resources=[
                self._file(tables.resource, one.resource_id, one.filename, one.filename, one.md5sum)
                for one in resources
            ],
            artifacts=[
                self._file(tables.artifact, one.artifact_id, one.filename, one.filename, None)
                for one in artifacts
            ],
            output=lambda: [str(row.captured_out or "")],
            metrics=lambda: self._metrics(key),
            journal_id=journal,
            losses=losses,
            partial=partial,
        )

    # -- rows ------------------------------------------------------------------------------------

    def _row(self, connection: Connection, table: Table, where: Any) -> Row[Any] | None:
        columns = [column for column in self._known(table) if column.name != "content"]
        return connection.execute(select(*columns).where(where)).first() if columns else None

    def _document(
        self, connection: Connection, row: Row[Any], losses: list[str], *, partial: bool
    ) -> dict[str, Any]:
        found = row._mapping
        document: dict[str, Any] = {name: found.get(name) for name in (*_TIMES, "command")}
        document["status"] = getattr(found.get("status"), "value", found.get("status"))
        document["experiment"] = self._experiment(connection, found.get("experiment_id"), losses)
        document["host"] = self._host(connection, found.get("host_id"))
        meta = {"comment": found.get("comment"), "priority": found.get("priority")}
        if found.get("queue_time") is not None:
            meta["queue_time"] = found["queue_time"]
        document["meta"] = {name: value for name, value in meta.items() if value is not None}
        document["result"] = found.get("result")
        parts = {"config": "config", "info": "info", "result_json": "result"}
        for column, name in parts.items():
            raw = found.get(column)
            if raw is None or raw == "":
                continue
            try:
                document[name] = json.loads(raw) if isinstance(raw, (str, bytes)) else raw
            except (ValueError, RecursionError) as error:
                sentence = f"its {column} is no JSON: {error}"
                if not partial:
                    raise StoredRunError(sentence) from None
                losses.append(f"{sentence}: left out")
        trace = found.get("fail_trace")
        if trace is not None:
            document["fail_trace"] = str(trace).split("\n")
        return document

    def _experiment(self, connection: Connection, key: Any, losses: list[str]) -> dict[str, Any]:
        table = tables.experiment
        row = None if key is None else self._row(connection, table, table.c.experiment_id == key)
        if row is None:
            losses.append("its row names no experiment: name, sources and packages are unknown")
            return {}
        found: dict[str, Any] = {"name": row.name, "base_dir": row.base_dir}
        of = (connection, row, "experiment_id")
        packages = self._of_experiment(tables.dependency, tables.experiments_dependencies, *of)
        found["dependencies"] = [
            one.name if one.version is None else f"{one.name}=={one.version}" for one in packages
        ]
        places = self._of_experiment(tables.repository, tables.experiments_repositories, *of)
        found["repositories"] = [
            {"url": one.url, "commit": one.commit, "dirty": one.dirty} for one in places
        ]
        return found

    def _of_experiment(
        self, table: Table, joined: Table, connection: Connection, row: Row[Any], column: str
    ) -> list[Row[Any]]:
        return self._joined(connection, table, joined, row, column)

    def _joined(
        self, connection: Connection, table: Table, joined: Table, row: Row[Any], column: str
    ) -> list[Row[Any]]:
        """Return the rows that another table hangs on one, without their content."""
        value = row._mapping.get(column)
        if value is None or not (self._has(table) and self._has(joined)):
            return []
        (key,) = table.primary_key.columns
        columns = [one for one in self._known(table) if one.name != "content"]
        query = (
            select(*columns)
            .join(joined, joined.c[key.name] == key)
            .where(joined.c[column] == value)
            .order_by(key)
        )
        return list(connection.execute(query).all())

    def _host(self, connection: Connection, key: Any) -> dict[str, Any]:
        table = tables.host
        row = None if key is None else self._row(connection, table, table.c.host_id == key)
        if row is None:
            return {}
        found = row._mapping
        names = ("cpu", "hostname", "python_version")
        host = {name: found[name] for name in names if found.get(name) is not None}
        if found.get("os") is not None:
            host["os"] = [found["os"], found.get("os_info")]
        return host

    def _artifacts(self, connection: Connection, row: Row[Any]) -> list[Row[Any]]:
        table = tables.artifact
        if not self._has(table):
            return []
        query = select(table.c.artifact_id, table.c.filename).where(table.c.run_id == row.run_id)
        rows = connection.execute(query.order_by(table.c.artifact_id)).all()
        return list(rows)  # type: ignore[arg-type]  # a Row of unknown columns

    def _journal_id(self, connection: Connection, key: int) -> str | None:
        table = tables.journal_run
        if not self._has(table):
            return None
        query = select(table.c.journal_id).where(table.c.run_key == key)
        found = connection.execute(query).scalar()
        return None if found is None else str(found)

    # -- files -----------------------------------------------------------------------------------

    def _source(self, row: Row[Any], base_dir: str) -> StoredFile:
        name = str(row.filename)
        path = f"{base_dir}/{name}" if base_dir else name
        return self._file(tables.source, row.source_id, name, path, row.md5sum)

    def _file(self, table: Table, key: int, name: Any, path: Any, md5: Any) -> StoredFile:
        digest = str(md5) if md5 is not None else None
        label = str(name)

        def opened() -> io.BytesIO:
            (column,) = table.primary_key.columns
            with self._connected() as connection:
                query = select(table.c.content).where(column == key)
                content = connection.execute(query).scalar()
            if content is None:
                raise StoredRunError("its column is empty")
            return io.BytesIO(content.encode() if isinstance(content, str) else bytes(content))

        return StoredFile(label, str(path), digest, opened)

    # -- metrics ---------------------------------------------------------------------------------

    def _metrics(self, key: int) -> Iterator[Points]:
        """Yield the points that our view keeps; Sacred keeps none."""
        names = tables.journal_metric
        if not (self._has(names) and self._has(tables.journal_point)):
            return
        query = select(names.c.metric, names.c.name).where(names.c.run_key == key)
        with self._connected() as connection:
            found = connection.execute(query.order_by(names.c.metric)).all()
        for row in found:
            yield str(row.name), self._points(key, int(row.metric))

    def _points(self, key: int, metric: int) -> Iterator[tuple[Any, Any, int | None]]:
        points = tables.journal_point
        where = (points.c.run_key == key, points.c.metric == metric)
        columns = (points.c.step, points.c.value, points.c.time, points.c.exact)
        query = select(*columns).where(*where).order_by(points.c.writer, points.c.seq)
        with self._connected() as connection:
            rows = connection.execution_options(yield_per=_ROWS).execute(query)
            for step, value, time, exact in rows:
                if exact is not None:
                    step, value = _exact(exact)  # noqa: PLW2901
                yield _whole(step), value, microseconds(time)


def _whole(step: Any) -> Any:
    """Return a step as the whole number that it nearly always is; the column has doubles."""
    return int(step) if type(step) is float and step.is_integer() else step


def _exact(text: str) -> tuple[Any, Any]:
    """Return what a double can not hold, as our view writes it."""
    step, value = json.loads(text)
    return _float(step), _float(value)


def _float(value: Any) -> Any:
    return float(value) if value in {"NaN", "Infinity", "-Infinity"} else value


def _read_only(url: str) -> str:
    """Return the address of a SQLite file as one that nothing can be written to.

    Raises
    ------
    StoreError
        There is no such file.
    """
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0].lower() != "sqlite" or rest.startswith("/file:"):
        return url
    path = rest.partition("?")[0][1:]
    if not os.path.isfile(path):
        raise StoreError(f"{path} does not exist: name the file of the SQLite database")
    return f"{scheme}:///file:{quote(path)}?mode=ro&uri=true"
