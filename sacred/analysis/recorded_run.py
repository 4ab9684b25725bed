"""One run as an object: what its journal says of it, read as far as it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.analysis.entries import Entries
from sacred.analysis.recorded_metrics import Metrics
from sacred.analysis.stored_files import StoredFilesByName
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from datetime import datetime

    from sacred.analysis.details import Repository, RunDetails
    from sacred.analysis.tail import Point
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["RecordedRun"]


class RecordedRun:
    """A run that its journal tells of: one that ended, died, or goes on.

    What it says is the journal as it was when it was first asked for (a snapshot: each part is read
    once); ``refresh()`` has it read anew, so that a run that goes on can be looked at again. Nothing
    it does changes anything. Not for several threads at once.

    Parameters
    ----------
    folder
        Of the run.
    at
        As it was at that moment; None: as it is. See ``at()``.
    """

    def __init__(self, folder: RunFolder, at: Moment | None = None) -> None:
        self.folder = folder
        self._at = at
        self._details: RunDetails | None = None
        self._metrics: Metrics | None = None

    def __repr__(self) -> str:
        """Show number, status and name."""
        return f"<RecordedRun {self.number}: {self.status}, {self.name or 'without a name'}>"

    def __eq__(self, other: object) -> bool:
        """Compare the folders."""
        same = isinstance(other, RecordedRun) and self.folder.path == other.folder.path
        return same and isinstance(other, RecordedRun) and self._at == other._at

    def __hash__(self) -> int:
        """Hash the folder."""
        return hash(self.folder.path)

    def at(self, moment: Moment | str | int | datetime) -> RecordedRun:
        """Return the run as it was at a moment.

        Parameters
        ----------
        moment
            A time (``"2026-11-23 14:05"``, ``"-10m"``, a ``datetime``, UTC if it has no zone), or
            the number of an event of its own, as ``--at`` takes it.

        Raises
        ------
        QueryError
            It is no moment.
        RunNotFoundError
            When it is asked for: the run had not begun.
        """
        from sacred.analysis.moment import moment_of

        return RecordedRun(self.folder, moment_of(moment))

    def refresh(self) -> RecordedRun:
        """Forget what was read, and return the run itself."""
        self._details = self._metrics = None
        return self

    @property
    def _read(self) -> RunDetails:
        if self._details is None:
            from sacred.analysis.details import details

            self._details = details(self.folder, at=self._at)
        return self._details

    def _document(self, part: str) -> Any:
        return self._read.document.get(part)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """The number of its folder; None for a journal outside of a root."""
        return self.folder.number

    @property
    def id(self) -> Any:
        """Its ``_id``, by which views know it."""
        return self._read.outline.id

    @property
    def name(self) -> str | None:
        """The experiment's name."""
        return self._read.outline.name

    @property
    def command(self) -> str | None:
        """The command that ran."""
        return self._read.outline.command

    @property
    def status(self) -> str:
        """What became of it, as ``sacred ls`` says."""
        return self._read.outline.status

    @property
    def start(self) -> datetime | None:
        """When it began: naive UTC."""
        return _time(self._read.outline.start)

    @property
    def stop(self) -> datetime | None:
        """When it ended: naive UTC; None if it did not."""
        return _time(self._read.outline.stop)

    @property
    def duration(self) -> float | None:
        """Seconds to its end, to its last sign of life if it died, or to when it was read."""
        return self._read.outline.duration

    @property
    def problem(self) -> str | None:
        """What is wrong with its journal, in a sentence; None if nothing is."""
        return self._read.outline.problem

    @property
    def result(self) -> Any:
        """Its result."""
        return self._read.outline.result

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self._read.outline.tags

    @property
    def notes(self) -> str | None:
        """What was noted about it."""
        return self._read.outline.notes

    # -- what it recorded ------------------------------------------------------------------------

    @property
    def config(self) -> Entries:
        """Its configuration."""
        return Entries(self._document("config") or {}, "config")

    @property
    def info(self) -> Entries:
        """Its info."""
        return Entries(self._document("info") or {}, "info")

    @property
    def host(self) -> Entries:
        """The facts about the machine it ran on."""
        return Entries(self._document("host") or {}, "host")

    @property
    def metrics(self) -> Metrics:
        """Its metrics by name."""
        if self._metrics is None:
            names = [each.name for each in self._read.metrics]
            self._metrics = Metrics(self.folder, names, self._at)
        return self._metrics

    @property
    def output(self) -> str:
        """What it printed on both streams, whole."""
        return self.output_of()

    def output_of(self, stream: str | None = None) -> str:
        """Return what it printed: on ``stdout``, on ``stderr``, or on both in their order (None).

        Raises
        ------
        QueryError
            There is no such stream.
        """
        if stream not in {None, "stdout", "stderr"}:
            raise QueryError(f"there is no stream {stream!r}: it is stdout or stderr")
        rows = _asked(self.folder, self._at, "output", "select stream, text from output")
        return "".join(f"{text}\n" for of, text in rows if stream in {None, of})

    @property
    def artifacts(self) -> StoredFilesByName:
        """The files it made, by name."""
        return self._files("artifacts", self._document("artifacts"))

    @property
    def resources(self) -> StoredFilesByName:
        """The files it read, by name."""
        return self._files("resources", self._document("resources"))

    @property
    def sources(self) -> StoredFilesByName:
        """The files of its program, by name."""
        return self._files("sources", (self._document("experiment") or {}).get("sources"))

    def _files(self, what: str, entries: Any) -> StoredFilesByName:
        return StoredFilesByName(self.folder, list(entries or ()), what)

    @property
    def repositories(self) -> list[Repository]:
        """The repositories that its sources lie in."""
        return list(self._read.repositories)

    @property
    def fail_trace(self) -> str | None:
        """The trace of its failure; None if it did not fail."""
        trace = self._document("fail_trace")
        return "".join(str(line) for line in trace) if trace else None

    # -- as it goes on ---------------------------------------------------------------------------

    def follow(
        self,
        *metrics: str,
        timeout: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Point]:
        """Yield the points of the run, those that are there and then those that come.

        It ends when the run is over: it ended, or its process is gone, and all is read.

        Parameters
        ----------
        metrics
            Names of metrics; all if none is given.
        timeout
            Seconds after which it ends in any case; None: never.
        stop
            Ends it from another thread.

        Yields
        ------
        Each point once, in the order of its writer: ``metric``, ``step`` and ``value`` as they were
        logged, ``time`` in ns since the epoch.
        """
        from threading import Event, Timer

        from sacred.analysis.tail import Point, RunTail

        stop = stop or Event()
        timer = Timer(timeout, stop.set) if timeout is not None else None
        tail = RunTail(self.folder, lines=False)
        try:
            if timer is not None:
                timer.daemon = True
                timer.start()
            for item in tail.follow(stop=stop):
                if isinstance(item, Point) and (not metrics or item.metric in metrics):
                    yield item
        finally:
            if timer is not None:
                timer.cancel()
            tail.close()

    def _repr_html_(self) -> str:
        from sacred.analysis.notebook_view import run_html

        return run_html(self)


def _time(nanoseconds: Any) -> datetime | None:
    from sacred.analysis.run_facts import naive_utc

    found: datetime | None = naive_utc(nanoseconds)
    return found


def _asked(folder: RunFolder, at: Moment | None, relation: str, sql: str) -> list[tuple[Any, ...]]:
    """Return rows of one relation of one run."""
    import duckdb

    from sacred.analysis.loader import Loader
    from sacred.analysis.statement import Statement

    connection = duckdb.connect(":memory:")
    try:
        Loader(connection, {relation}, Statement(connection, sql), at=at).load([folder])
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
