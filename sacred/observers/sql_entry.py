"""A run's rows in an SQL database, written by an observer that is called itself, event by event.

That happens to a subclass, to one whose methods somebody replaced, to one with an engine and a
session of its own (``create_from``), and in tests that call ``observer.started_event(...)``
themselves. The rows are Sacred's, and ``run.to_json()`` gives what Sacred's gives. Metrics have no
table there: the journal has them, and so has a view that is declared.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from sacred.observers.declaration import DeclaredObserver, declares_a_view

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from sacred.observers.sql_bases import Run

__all__ = ["SqlEntry"]

#: So many numbers that other runs take at the same moment are passed over.
_ATTEMPTS = 1000


@declares_a_view
class SqlEntry(DeclaredObserver):
    """Writes the rows of one run after the other, in the thread that calls.

    Every method raises what SQLAlchemy raises, and takes back what it had begun to write.
    """

    url: str | None
    echo: bool
    _is_given = False
    _handles: tuple[Any, Any] | None = None
    _run: Any = None
    _journal_id: str | None = None
    _has_tables = False

    def _use(self, engine: Any, session: Any) -> None:
        self._is_given = session is not None
        self._handles = (engine, session) if session is not None else None
        self._run = self._journal_id = None
        self._has_tables = False
        self.lock = threading.RLock()

    # -- handles, made when they are asked for ---------------------------------------------------

    def _both(self) -> tuple[Any, Any]:
        if self._handles is None:
            from sqlalchemy.orm import scoped_session, sessionmaker

            from sacred.replayers.sinks.sql.connection import engine_for

            engine = engine_for(self.url or "", echo=self.echo)
            # One session for all threads: the beats of a run come from a thread of their own.
            session = scoped_session(sessionmaker(bind=engine), scopefunc=_everybody)
            self._handles = (engine, session)
        return self._handles

    @property
    def engine(self) -> Engine:
        """The engine of SQLAlchemy."""
        engine: Engine = self._both()[0]
        return engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        # Another process can not have it: from now on this observer is called.
        self._handles = (engine, self._both()[1])
        self._is_given = True

    @property
    def session(self) -> Any:
        """The session of SQLAlchemy."""
        return self._both()[1]

    @session.setter
    def session(self, session: Any) -> None:
        self._handles = (self._both()[0], session)
        self._is_given = True

    @property
    def run(self) -> Run | None:
        """The run's row; None before the run.

        Called event by event it is what the observer writes. Else it is the row as it is in the
        database now.
        """
        if self._run is None and self._journal_id is not None:
            return self._row_of_view(self._journal_id)
        written: Run | None = self._run
        return written

    @run.setter
    def run(self, run: Run | None) -> None:
        self._run = run

    def _row_of_view(self, journal_id: str) -> Run | None:
        """Return the row that a replayer wrote; None while there is none."""
        from sqlalchemy.exc import DBAPIError

        from sacred.observers.sql_bases import Run
        from sacred.replayers.sinks.sql import tables

        journal = tables.journal_run
        query = self.session.query(Run).join(journal, journal.c.run_key == tables.run.c.id)
        try:
            found: Run | None = (
                query.filter(journal.c.journal_id == journal_id).populate_existing().first()
            )
        except DBAPIError:  # the tables are not there yet, or the server is not
            self.session.rollback()
            return None
        return found

    # -- what a subclass may replace -------------------------------------------------------------

    def save(self) -> None:
        """Commit what was changed."""
        with self.lock:
            session = self._session_of_run()
            try:
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def query(self, _id: Any) -> dict[str, Any]:
        """Return a run as ``to_json`` gives it, by its id or else by the key of its row.

        Raises
        ------
        KeyError
            There is no such run.
        """
        from sacred.observers.sql_bases import Run

        with self.lock:
            run = self.session.query(Run).filter_by(run_id=str(_id)).first()
            if run is None and str(_id).isdecimal():
                run = self.session.get(Run, int(_id))
            if run is None:
                raise KeyError(f"there is no run {_id!r} in {self!r}")
            return dict(run.to_json())

    # -- events ----------------------------------------------------------------------------------

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write a queued run; returns its id."""
        facts: dict[str, Any] = {"status": "QUEUED", "queue_time": queue_time}
        return self._add_event(ex_info, command, host_info, config, meta_info, _id, **facts)

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write the start of a run; returns its id."""
        facts: dict[str, Any] = {"status": "RUNNING", "start_time": start_time}
        return self._add_event(ex_info, command, host_info, config, meta_info, _id, **facts)

    def _add_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
        status: str,
        **kwargs: Any,
    ) -> Any:
        from sacred.observers.sql_bases import Experiment, Host, Run
        from sacred.replayers.sinks.sql.values import double, number

        with self.lock:
            self._make_tables()
            session, before = self.session, self._run
            for given in self._ids(_id):
                try:
                    with session.no_autoflush:
                        self._run = Run(
                            run_id=str(given),
                            config=_json(config),
                            command=command,
                            priority=double(number(meta_info.get("priority", 0))),
                            comment=meta_info.get("comment", ""),
                            status=status,
                            experiment=Experiment.get_or_create(ex_info, session),
                            host=Host.get_or_create(host_info, session),
                            **kwargs,
                        )
                        session.add(self._run)
                    session.commit()
                except BaseException as error:
                    session.rollback()
                    self._run = before
                    if not _is_conflict(error):
                        raise
                    if _id:
                        raise _taken(_id, error) from error
                else:
                    return _id or given
        raise _taken("?", None)

    def _ids(self, wanted: Any) -> Any:
        """Yield ids to try: the wanted one, else the numbers behind the last row's."""
        from sacred.replayers.sinks.sql import tables

        row = tables.run.c
        if wanted:
            yield wanted
            return
        following = 0
        for _ in range(_ATTEMPTS):
            last = self.session.query(row.id).order_by(row.id.desc()).limit(1).scalar()
            if last is None and not following:
                following = 1
                yield "0"
                continue
            following = max(int(last or 0) + 1, following + 1)
            while (
                self.session.query(row.id).filter(row.run_id == str(following)).first() is not None
            ):
                following += 1
            yield following

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        run = self._begun_run()
        with self.lock:
            run.info = _json(info)
            run.captured_out = _text(captured_out)
            run.heartbeat = beat_time
            self._set_result(run, result)
            self.save()

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Write the end of a run that went well."""
        run = self._begun_run()
        with self.lock:
            run.stop_time = stop_time
            self._set_result(run, result)
            run.status = "COMPLETED"
            self.save()

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Write the end of a run that was interrupted."""
        run = self._begun_run()
        with self.lock:
            run.stop_time = interrupt_time
            run.status = status
            self.save()

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Write the end of a run that failed; nothing, if it never began here."""
        if self._run is None:
            return
        with self.lock:
            self._run.stop_time = fail_time
            self._run.fail_trace = _text("\n".join(map(str, fail_trace)))
            self._run.status = "FAILED"
            self.save()

    def resource_event(self, filename: str) -> None:
        """Store a file that the run needs, unless its content is there; of a folder, all files."""
        from sacred.observers.direct import each_file
        from sacred.observers.sql_bases import Resource

        run = self._begun_run()
        with self.lock:
            for _, path in each_file("", filename):
                found = Resource.get_or_create(path, self._session_of_run())
                if found not in run.resources:
                    run.resources.append(found)
            self.save()

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,  # noqa: ARG002 - Sacred's table has no place
        content_type: str | None = None,  # noqa: ARG002 - the same
    ) -> None:
        """Store a file that the run made; of a folder, all files."""
        from sacred.observers.direct import each_file
        from sacred.observers.sql_bases import Artifact

        run = self._begun_run()
        with self.lock:
            for one, path in each_file(name or os.path.basename(filename), filename):
                run.artifacts.append(Artifact.create(one, path))
            self.save()

    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Write nothing: Sacred's tables have no place for metrics."""

    # -- rows ------------------------------------------------------------------------------------

    def _begun_run(self) -> Any:
        if self._run is None:
            raise RuntimeError("started_event or queued_event comes first")
        return self._run

    def _make_tables(self) -> None:
        if not self._has_tables:
            from sacred.replayers.sinks.sql.schema import make_tables

            make_tables(self.engine, journal=False)
            self._has_tables = True

    def _session_of_run(self) -> Any:
        """Return the session that has the run, whatever thread asks."""
        from sqlalchemy.orm import object_session
        from sqlalchemy.pool import SingletonThreadPool

        if self._run is None or isinstance(self.engine.pool, SingletonThreadPool):
            # In such a pool each thread has a database of its own.
            return self.session
        return object_session(self._run) or self.session

    @staticmethod
    def _set_result(run: Any, result: Any) -> None:
        from sacred.observers.direct import plain_value
        from sacred.replayers.sinks.sql.values import double

        run.result = double(plain_value(result))
        run.result_json = None if result is None else _json(result)


def _everybody() -> None:
    """Name the one session there is."""


def _json(value: Any) -> str:
    import json

    from sacred.observers.direct import plain_value

    return json.dumps(plain_value(value), default=_iso)


def _iso(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _text(value: Any) -> str | None:
    from sacred.replayers.sinks.sql.values import sql_text

    return sql_text(value)


def _is_conflict(error: BaseException) -> bool:
    from sqlalchemy.exc import IntegrityError

    return isinstance(error, IntegrityError)


def _taken(run_id: Any, reason: Any) -> Exception:
    """Return an error that is Sacred's and one that the run knows: the id was asked for."""
    from sqlalchemy.exc import IntegrityError

    class RunExistsError(FileExistsError, IntegrityError):
        """There is a run with this id."""

        def __init__(self, text: str) -> None:
            IntegrityError.__init__(
                self, None, None, getattr(reason, "orig", None) or OSError(text)
            )
            self._text = text

        def __str__(self) -> str:
            return self._text

    return RunExistsError(f"There is a run with the id {run_id}. Choose another one.")
