"""TinyDB: the observer that declares a TinyDB view."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import file_name
from sacred.core.lending import lend
from sacred.core.view_options import tiny_db_option
from sacred.observers.declaration import declares_a_view
from sacred.observers.tinydb_hashfs.driver import require_driver
from sacred.observers.tinydb_hashfs.entry import TinyDbEntry
from sacred.observers.tinydb_hashfs.reader import TinyDbReader

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TinyDbObserver", "TinyDbReader", "tiny_db_option"]


@declares_a_view
class TinyDbObserver(TinyDbEntry):
    """Declares that runs shall be written into a TinyDB.

    A process of its own writes the run from its journal: ``metadata.json`` with a document for each
    run, ``hashfs`` with the files and ``metrics`` with the points. A subclass, an observer with a
    replaced method or with a database of its own is called event by event instead, in the run's
    process, and writes as Sacred's does.

    Parameters
    ----------
    path
        The folder; made here, and all above it.
    overwrite
        Of no use, as with Sacred.
    required
        True: a run does not begin without the view, and ends when everything is there.

    Attributes
    ----------
    db, runs, fs
        The database, its table of runs and its files, opened when they are asked for.
    root
        The folder, absolute; None with a database of one's own.

    Raises
    ------
    ImportError
        tinydb is not installed.
    InvalidArgumentError
        ``path`` is none. It is a ``TypeError``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "./runs_db",
        overwrite: Any = None,
        required: bool = False,
    ) -> None:
        require_driver(type(self).__name__)
        root = os.path.abspath(file_name(path, f"{type(self).__name__}(PATH)"))
        self._use({}, overwrite, root)
        self.required = required
        _make(root)

    @classmethod
    def create(
        cls, path: str | os.PathLike[str] = "./runs_db", overwrite: Any = None
    ) -> TinyDbObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "TinyDbObserver.create(...) is deprecated. Please use TinyDbObserver(...) instead.",
            DeprecationWarning,
            stacklevel=1,  # as Sacred's: a script shows none of it
        )
        return cls(path, overwrite)

    @classmethod
    def create_from(
        cls, db: Any, fs: Any, overwrite: Any = None, root: str | None = None
    ) -> TinyDbObserver:
        """Return an observer for a TinyDB and a HashFS that one has; it is called in this process."""
        observer = cls.__new__(cls)
        observer._use({"db": db, "runs": db.table("runs"), "fs": fs}, overwrite, root)
        return observer

    def _use(self, handles: dict[str, Any], overwrite: Any, root: str | None) -> None:
        self._handles = handles
        self._is_live = bool(handles)
        self.overwrite = overwrite
        self.root = root
        self.db_run_id = None
        self._entry = {}
        self._journal_id: str | None = None
        #: What ``claim_run`` gave, and was told.
        self._claimed: tuple[Any, Mapping[str, Any]] | None = None

    # -- the declaration -------------------------------------------------------------------------

    def _specification(self) -> dict[str, Any] | None:
        if self._is_live or self.root is None:
            return None
        return {"kind": "tinydb", "url": self.root, "name": f"tinydb:{self.root}", "options": {}}

    def claim_run(
        self, *, journal_id: str, run_id: Any, document: Mapping[str, Any], strict: bool = False
    ) -> Any:
        """Return the id of a run: 32 hex digits that nobody else draws, unless it has one.

        Nothing is read or written for it, as the database may be large, but if ``required``: then
        the run's document is there when this returns.

        Parameters
        ----------
        journal_id
            By which the view knows the run.
        run_id
            The run's id if it has one.
        document
            What is known about the run.
        strict
            True: an id that is not free is an error.

        Raises
        ------
        FileExistsError
            The id is not free, and ``strict``.
        SinkError
            ``required``, and the database can not be written.
        """
        import uuid

        given = uuid.uuid4().hex if run_id is None else run_id
        if strict:
            self.check_run_id(run_id)
        if self.required:
            from sacred.replayers.claims import claimed_fields
            from sacred.replayers.sink import RunKey

            sink = self._new_sink()
            sink.open()
            given = sink.claim(RunKey(journal_id, given, claimed_fields(document)))
        self._claimed = (given, document)
        return given

    def check_run_id(self, run_id: Any) -> None:
        """See that a run could have this id.

        Raises
        ------
        FileExistsError
            There is one with it.
        """
        from sacred.replayers.errors import SinkError
        from sacred.replayers.sinks.tinydb.database import DatabaseFile

        try:
            documents = DatabaseFile(str(self.root)).read().get("runs", {}).values()
        except (SinkError, OSError):
            return  # the view says so when it is written
        if any(str(document.get("_id")) == str(run_id) for document in documents):
            raise FileExistsError(
                f"There is a run with the id {run_id} in {self.root}. "
                "Leave out --id, or choose another one."
            )

    def run_began(self, *, journal_id: str, **_: Any) -> None:
        """Remember the run, for ``run_entry``."""
        self._journal_id = journal_id
        self._entry = {}
        self.db_run_id = None

    # -- handles, opened when they are asked for -------------------------------------------------

    def _handle(self, name: str) -> Any:
        if name not in self._handles:
            from sacred.replayers.sinks.tinydb.storage import open_database

            db, fs = open_database(str(self.root))
            self._handles = {"db": db, "runs": db.table("runs"), "fs": fs, **self._handles}
        return self._handles[name]

    def _set_handle(self, name: str, handle: Any) -> None:
        # Another process can not have it: from now on this observer is called.
        self._handle(name)
        self._handles[name] = handle
        self._is_live = True

    @property
    def db(self) -> Any:
        """The database."""
        return self._handle("db")

    @db.setter
    def db(self, db: Any) -> None:
        self._set_handle("db", db)

    @property
    def runs(self) -> Any:
        """The table of the runs."""
        return self._handle("runs")

    @runs.setter
    def runs(self, table: Any) -> None:
        self._set_handle("runs", table)

    @property
    def fs(self) -> Any:
        """The files, by their md5."""
        return self._handle("fs")

    @fs.setter
    def fs(self, fs: Any) -> None:
        self._set_handle("fs", fs)

    @property
    def run_entry(self) -> dict[str, Any]:
        """The run's document; empty before the run.

        Called event by event it is what the observer writes with the next save, and may be changed.
        Else it is the document as it is in the database now, or will be there in a moment.
        """
        if self._entry or self._journal_id is None:
            return self._entry
        for row in self.db.table("_journal").all():
            if row.get("id") == self._journal_id:
                found = self.runs.get(doc_id=int(row["document"]))
                return dict(found) if found is not None else {}
        return self._expected()

    @run_entry.setter
    def run_entry(self, entry: dict[str, Any]) -> None:
        self._entry = entry

    def _expected(self) -> dict[str, Any]:
        """Return the document with which the run begins."""
        from sacred.replayers.claims import claimed_fields

        if self._claimed is None:
            return {}
        run_id, document = self._claimed
        return {**_first_fields(self.VERSION, run_id), **claimed_fields(document)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TinyDbObserver):
            return False
        if self.root is not None and self.root == other.root:
            return True
        return _contents(self) == _contents(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root or 'with a database of its own'}>"


def _first_fields(form: str, run_id: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {"resources": [], "artifacts": [], "captured_out": "", "info": {}}
    return {**lists, "heartbeat": None, "format": form, "_id": run_id}


def _make(root: str) -> None:
    """Make the folder, and an empty database in it; what can not be made, the view says."""
    from contextlib import suppress

    from sacred.journal.root import root_around
    from sacred.replayers.sinks.tinydb.database import FILE_NAME

    with suppress(OSError):
        if root_around(root) is None:
            os.makedirs(root, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            os.close(os.open(os.path.join(root, FILE_NAME), flags, 0o666))


def _contents(observer: TinyDbObserver) -> list[Any]:
    from sacred.replayers.sinks.tinydb.tags import tagged

    found: list[Any] = tagged(observer.runs.all(), lambda file: str(observer.fs.put(file).id))
    return found


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    OrderedDict="collections",
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
)
