"""One run as an object: what its journal says of it, read as far as it is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from sacred.analysis.fields import entry, near
from sacred.analysis.series import Series, missing
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    import threading
    from datetime import datetime
    from pathlib import Path

    from sacred.analysis.details import Repository, RunDetails
    from sacred.analysis.tail import Point
    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import FileEntry

__all__ = ["Entries", "Metrics", "RecordedRun", "StoredFile", "StoredFilesByName"]


class Entries(Mapping[str, Any]):
    """A part of a run, such as its configuration: a mapping that reads, and takes dotted paths.

    ``config["model.lr"]`` is ``config["model"]["lr"]``; a key that has dots itself comes first.
    Groups of entries are ``Entries``, too; everything else is what was recorded, as plain Python.
    """

    __slots__ = ("_part", "_tree")

    def __init__(self, tree: Mapping[str, Any], part: str) -> None:
        self._tree = dict(tree)
        self._part = part

    def __getitem__(self, path: str) -> Any:
        """Return an entry.

        Raises
        ------
        KeyError
            There is none; the text names what is near.
        """
        found, value = entry(self._tree, path)
        if not found:
            raise KeyError(_no_entry(self._part, path, list(self.dotted())))
        return Entries(value, f"{self._part}.{path}") if isinstance(value, dict) else value

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys of the outermost level."""
        return iter(self._tree)

    def __len__(self) -> int:
        """Return how many entries the outermost level has."""
        return len(self._tree)

    def __repr__(self) -> str:
        """Show it as a dict."""
        return f"<{self._part} {self._tree!r}>"

    def dotted(self) -> dict[str, Any]:
        """Return every entry that is no group, by its dotted path."""
        from sacred.replayers.jsontext import leaves

        return dict(leaves(self._tree))

    def to_dict(self) -> dict[str, Any]:
        """Return it as nested dicts, a copy."""
        from copy import deepcopy

        return deepcopy(self._tree)

    def _repr_html_(self) -> str:
        from sacred.analysis.notebook_view import entries_html

        return entries_html(self.dotted())


class StoredFile:
    """A file that a run stored: an artifact, a resource or a source.

    Attributes
    ----------
    name
        As the run named it.
    size
        Bytes; None if the content was not stored.
    sha256
        The digest of the content; None if it was not stored.
    version
        Counts artifacts of one name, from 1; None for other files.
    """

    def __init__(self, folder: RunFolder, entry: FileEntry) -> None:
        self._folder, self._entry = folder, entry
        self.name = entry.name
        self.size = entry.size if entry.digest else None
        self.sha256 = entry.digest
        self.version = entry.version

    def __repr__(self) -> str:
        """Show name and size."""
        size = "not stored" if self.size is None else f"{self.size:,} bytes"
        return f"<StoredFile {self.name}, {size}>"

    def read(self) -> bytes:
        """Return the content, proved against its digest.

        Raises
        ------
        BlobMissingError, BlobDamagedError
            It was not stored, is not there any more, or is not what its digest says.
        """
        from sacred.analysis.stored import content

        return b"".join(content(self._folder, self._entry))

    def open(self) -> BinaryIO:
        """Return the content as a file to read, proved; see ``read``."""
        return io.BytesIO(self.read())

    def text(self, encoding: str = "utf-8") -> str:
        """Return the content as text."""
        return self.read().decode(encoding)

    def save(self, to: str | Path, *, overwrite: bool = False) -> Path:
        """Write the content below a folder, under its name; return where it is.

        Raises
        ------
        OutputPlaceError
            A file is there already, or the place is none.
        BlobMissingError, BlobDamagedError
            See ``read``.
        """
        from sacred.analysis.stored import copy_out
        from sacred.journal.errors import BlobMissingError

        done = copy_out(self._folder, [self._entry], to, overwrite=overwrite)
        if done.problems:
            raise BlobMissingError(done.problems[0])
        return done.places[0][1]


class StoredFilesByName(Mapping[str, StoredFile]):
    """Files of a run by name; of several versions of one name the last, see ``versions``."""

    def __init__(self, folder: RunFolder, entries: list[FileEntry], what: str) -> None:
        self._what = what
        self._files: dict[str, list[StoredFile]] = {}
        for each in entries:
            self._files.setdefault(each.name, []).append(StoredFile(folder, each))

    def __getitem__(self, name: str) -> StoredFile:
        """Return a file; a ``KeyError`` names what is near."""
        return self.versions(name)[-1]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._files)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._files)

    def __repr__(self) -> str:
        """Show the names."""
        return f"<{self._what} {', '.join(self._files) or 'none'}>"

    def versions(self, name: str) -> list[StoredFile]:
        """Return all files of a name, the first one first."""
        if name not in self._files:
            raise KeyError(_no_entry(self._what, name, list(self._files)))
        return list(self._files[name])


class Metrics(Mapping[str, Series]):
    """The metrics of a run by name. Names come from what ``sacred show`` reads; points when asked for."""

    def __init__(self, folder: RunFolder, names: list[str]) -> None:
        self._folder = folder
        self._names = names
        self._series: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        """Return the points of a metric; a ``KeyError`` names what is near."""
        if name not in self._names:
            raise KeyError(_no_entry("metrics", name, self._names))
        if name not in self._series:
            self._series[name] = _series(self._folder, name)
        return self._series[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which they appeared."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names)

    def __repr__(self) -> str:
        """Show the names."""
        return f"<metrics {', '.join(self._names) or 'none'}>"


class RecordedRun:
    """A run that its journal tells of: one that ended, died, or goes on.

    What it says is the journal as it was when it was first asked for (a snapshot: each part is read
    once); ``refresh()`` has it read anew, so that a run that goes on can be looked at again. Nothing
    it does changes anything. Not for several threads at once.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._details: RunDetails | None = None
        self._metrics: Metrics | None = None

    def __repr__(self) -> str:
        """Show number, status and name."""
        return f"<RecordedRun {self.number}: {self.status}, {self.name or 'without a name'}>"

    def __eq__(self, other: object) -> bool:
        """Compare the folders."""
        return isinstance(other, RecordedRun) and self.folder.path == other.folder.path

    def __hash__(self) -> int:
        """Hash the folder."""
        return hash(self.folder.path)

    def refresh(self) -> RecordedRun:
        """Forget what was read, and return the run itself."""
        self._details = self._metrics = None
        return self

    @property
    def _read(self) -> RunDetails:
        if self._details is None:
            from sacred.analysis.details import details

            self._details = details(self.folder)
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
            self._metrics = Metrics(self.folder, [each.name for each in self._read.metrics])
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
        rows = _asked(self.folder, "output", "select stream, text from output")
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


def _no_entry(what: str, name: str, known: list[str]) -> str:
    found = near(name, known)
    hint = f"; did you mean {' or '.join(found)}?" if found else ""
    return f"there is no {name!r} in {what}{hint}"


def _time(nanoseconds: Any) -> datetime | None:
    from sacred.analysis.run_facts import naive_utc

    found: datetime | None = naive_utc(nanoseconds)
    return found


def _asked(folder: RunFolder, relation: str, sql: str) -> list[tuple[Any, ...]]:
    """Return rows of one relation of one run."""
    import duckdb

    from sacred.analysis.loader import Loader
    from sacred.analysis.statement import Statement

    connection = duckdb.connect(":memory:")
    try:
        Loader(connection, {relation}, Statement(connection, sql)).load([folder])
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def _series(folder: RunFolder, name: str) -> Series:
    import duckdb

    try:
        import numpy as np  # noqa: F401 - DuckDB needs it to give arrays
    except ImportError:
        raise missing("numpy") from None

    from sacred.analysis.loader import Loader
    from sacred.analysis.statement import Statement

    text = name.replace("'", "''")
    sql = f"select step, value, time, writer, seq from metrics where metric = '{text}'"  # noqa: S608 - quoted
    connection = duckdb.connect(":memory:")
    try:
        Loader(connection, {"metrics"}, Statement(connection, sql), kept=1 << 30).load([folder])
        several = connection.execute("select count(distinct writer) > 1 from metrics").fetchone()
        order = "time, writer, seq" if several and several[0] else "seq"
        found = connection.execute(f"{sql} order by {order}").fetchnumpy()
    finally:
        connection.close()
    return Series(name, _floats(found["step"]), _floats(found["value"]), _unmasked(found["time"]))


def _floats(array: Any) -> Any:
    import numpy as np

    return np.ma.filled(array, np.nan) if isinstance(array, np.ma.MaskedArray) else array


def _unmasked(array: Any) -> Any:
    import numpy as np

    return np.ma.getdata(array)
