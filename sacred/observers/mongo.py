"""MongoDB: the observer that declares a MongoDB view."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from sacred.core.arguments import (
    InvalidArgumentError,
    checked_priority,
    file_name,
    name_in_database,
)
from sacred.core.lending import lend
from sacred.core.passwords import mask_password
from sacred.core.view_options import mongo_db_option, parse_mongo_db_arg
from sacred.observers.bson_forms import force_bson_encodeable, force_valid_bson_key
from sacred.observers.declaration import declares_a_view
from sacred.observers.mongo_driver import (
    check_client,
    driver_is_replaced,
    modern_keywords,
    require_driver,
)
from sacred.observers.mongo_entry import MongoEntry
from sacred.observers.queue import QueueObserver

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

__all__ = [
    "DEFAULT_MONGO_PRIORITY",
    "MongoObserver",
    "QueueCompatibleMongoObserver",
    "QueuedMongoObserver",
    "force_bson_encodeable",
    "force_valid_bson_key",
    "mongo_db_option",
    "parse_mongo_db_arg",
]

DEFAULT_MONGO_PRIORITY = 30
_DEFAULT_URL = "mongodb://localhost:27017"


@declares_a_view
class MongoObserver(MongoEntry):
    """Declares that runs shall be written into MongoDB.

    Nothing is connected here: a process of its own writes the run from its journal, while it goes
    on and after it ended, whether or not the server is up. A subclass, an observer with a replaced
    method, with a ``client`` or with collections of its own is called event by event instead, in
    the run's process, and writes as Sacred's does.

    Parameters
    ----------
    url
        ``mongodb://...`` or ``host:port``, or a list of these, the servers of a replica set; the
        server of this machine by default.
    db_name
        The database.
    collection
        Deprecated: the collection of the runs.
    collection_prefix
        ``"P"`` gives the collections ``P_runs`` and ``P_metrics``.
    overwrite
        The ``_id`` of a run to write over. One run of this observer can; as with Sacred, a second
        one fails with a ``RuntimeError``.
    priority
        Higher ones are asked for a run's id first.
    client
        A ``pymongo.MongoClient`` of one's own.
    failure_dir
        Where an observer that is called event by event puts an entry that it can not save. A run's
        journal has it in any case.
    kwargs
        For ``pymongo.MongoClient``; the names of PyMongo 3 are understood as well. One is ours:
        ``required=True``, with which a run does not begin without the server, and ends when
        everything is there.

    Raises
    ------
    ValueError
        Both a URL and a client, a client that is none, a collection together with a prefix.
    KeyError
        A collection that MongoDB or a tool uses for itself.
    ImportError
        pymongo is not installed.
    InvalidArgumentError
        ``url`` is no address, a name no text, ``priority`` no number, or ``failure_dir`` no path. It
        is a ``TypeError``.
    """

    COLLECTION_NAME_BLACKLIST: ClassVar[set[str]] = {
        "fs.files",
        "fs.chunks",
        "_properties",
        "system.indexes",
        "search_space",
        "search_spaces",
    }

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        db_name: str = "sacred",
        collection: str = "runs",
        collection_prefix: str = "",
        overwrite: int | str | None = None,
        priority: int = DEFAULT_MONGO_PRIORITY,
        client: Any = None,
        failure_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        require_driver()
        name = type(self).__name__
        full_url = _full_url(url, name)
        checked_priority(priority, name)
        name_in_database(db_name, "db_name", name)
        name_in_database(collection, "collection", name)
        name_in_database(collection_prefix, "collection_prefix", name)
        if failure_dir is not None:
            file_name(failure_dir, f"{name}(failure_dir=PATH)")
        if client is not None:
            check_client(client)
            if url is not None:
                raise ValueError("Cannot pass both a client and a url.")
        if collection != "runs":
            warnings.warn(
                'Argument "collection" is deprecated. Please use "collection_prefix" instead.',
                DeprecationWarning,
                stacklevel=1,  # as Sacred's: a script shows none of it
            )
            if collection_prefix:
                raise ValueError("Cannot pass both collection and a collection prefix.")
        runs = f"{collection_prefix}_runs" if collection_prefix else collection
        metrics = f"{collection_prefix}_metrics" if collection_prefix else "metrics"
        for taken in (runs, metrics):
            if taken in self.COLLECTION_NAME_BLACKLIST:
                raise KeyError(
                    f'Collection name "{taken}" is reserved. Please use a different one.'
                )
        self.url: str | None = full_url
        self.db_name = db_name
        self.collection = collection
        self.collection_prefix = collection_prefix
        self.overwrite = overwrite
        self.priority = priority
        self.failure_dir = failure_dir
        self.required = bool(kwargs.pop("required", False))
        self._client_keywords = modern_keywords(kwargs)
        self._names = (runs, metrics)
        if client is None and driver_is_replaced():
            # By a test, which looks into what it put there: no other process has that.
            import pymongo

            client = pymongo.MongoClient(url, **kwargs)
            self._use(client, {})
            # What is put there may be gone when the first event comes.
            self._handles = {"runs": self.runs, "metrics": self.metrics, "fs": self.fs}
        else:
            self._use(client, {})

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> MongoObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "MongoObserver.create(...) is deprecated. Please use MongoObserver(...) instead.",
            DeprecationWarning,
            stacklevel=1,  # as Sacred's: a script shows none of it
        )
        return cls(*args, **kwargs)

    @classmethod
    def create_from(cls, *args: Any, **kwargs: Any) -> MongoObserver:
        """Return an observer for collections one has, or things that behave like them.

        The arguments are those of ``initialize``.
        """
        observer = cls.__new__(cls)
        observer.initialize(*args, **kwargs)
        return observer

    def initialize(
        self,
        runs_collection: Any,
        fs: Any,
        overwrite: int | str | None = None,
        metrics_collection: Any = None,
        failure_dir: str | os.PathLike[str] | None = None,
        priority: int = DEFAULT_MONGO_PRIORITY,
    ) -> None:
        """Use these collections, in this process."""
        self.url = None
        self.overwrite = overwrite
        self.priority = priority
        self.failure_dir = failure_dir
        self._client_keywords = {}
        self._names = ("runs", "metrics")
        self._use(None, {"runs": runs_collection, "fs": fs, "metrics": metrics_collection})
        if overwrite is not None:
            self._entry = self._overwritten()

    def _use(self, client: Any, handles: dict[str, Any]) -> None:
        self._client = client
        self._handles = handles
        self._client_is_given = client is not None or bool(handles)
        self._journal_id: str | None = None
        self._run_id: Any = None
        self._entry = None
        self._overwrote = False
        self._references, self._half_done = [], {}

    # -- the declaration -------------------------------------------------------------------------

    def _specification(self) -> dict[str, Any] | None:
        live = self._client_is_given or driver_is_replaced()
        if live or not _is_plain_data(self._client_keywords):
            return None
        if self._overwrote:
            raise RuntimeError(
                f"Cannot overwrite more than once! The run {self.overwrite!r} was written over by "
                "the run before: make a MongoObserver for each run."
            )
        return {
            "kind": "mongo",
            "url": self.url,
            "name": f"mongo:{self.db_name}@{_host_of(self.url or '')}",
            "options": {
                "db_name": self.db_name,
                "collection": self.collection,
                "collection_prefix": self.collection_prefix,
                "overwrite": self.overwrite,
                "client": self._client_keywords,
            },
        }

    def run_began(self, *, journal_id: str, run_id: Any, **_: Any) -> None:
        """Remember the run, for ``run_entry``, and that it writes over another."""
        self._journal_id = journal_id
        self._run_id = run_id
        self._entry = None
        self._overwrote = self.overwrite is not None

    # -- handles, connected when they are asked for ----------------------------------------------

    def _database(self) -> Any:
        if self._client is None:
            import pymongo

            self._client = pymongo.MongoClient(self.url, **self._client_keywords)
        return self._client[self.db_name]

    def _handle(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._handles:
            self._handles[name] = make()
        return self._handles[name]

    def _set_handle(self, name: str, handle: Any) -> None:
        # Another process can not have it: from now on this observer is called.
        self._handles[name] = handle
        self._client_is_given = True

    @property
    def runs(self) -> Any:
        """The collection of the runs."""
        return self._handle("runs", lambda: self._database()[self._names[0]])

    @runs.setter
    def runs(self, collection: Any) -> None:
        self._set_handle("runs", collection)

    @property
    def metrics(self) -> Any:
        """The collection of the metrics."""
        return self._handle("metrics", lambda: self._database()[self._names[1]])

    @metrics.setter
    def metrics(self, collection: Any) -> None:
        self._set_handle("metrics", collection)

    @property
    def fs(self) -> Any:
        """The GridFS of sources and artifacts."""
        import gridfs

        return self._handle("fs", lambda: gridfs.GridFS(self._database()))

    @fs.setter
    def fs(self, fs: Any) -> None:
        self._set_handle("fs", fs)

    @property
    def run_entry(self) -> dict[str, Any] | None:
        """The run's document; None before the run.

        Called event by event it is what the observer writes with the next save, and may be
        changed. Else it is the document as it is in the database now.
        """
        if self._entry is not None:
            return self._entry
        if self._journal_id is None:
            if self.overwrite is not None:
                self._entry = self._overwritten()
            return self._entry
        found = self.runs.find_one({"_journal.id": self._journal_id})
        if found is None:
            found = self.runs.find_one({"_id": self._run_id})
        return dict(found) if found is not None else None

    @run_entry.setter
    def run_entry(self, entry: dict[str, Any] | None) -> None:
        self._entry = entry

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MongoObserver):
            return False
        if self._client_is_given or other._client_is_given:
            return bool(self.runs == other.runs)
        return (self.url, self.db_name, self._names) == (other.url, other.db_name, other._names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        where = f"{self.db_name}@{_host_of(self.url)}" if self.url else "collections of its own"
        return f"<{type(self).__name__} {where}>"


@declares_a_view
class QueueCompatibleMongoObserver(MongoObserver):
    """A MongoObserver whose saves raise if the connection is lost: the queue tries them again."""

    def save(self) -> None:
        """Write all of ``run_entry``."""
        self._update()

    def final_save(self, attempts: int) -> None:
        """Write all of ``run_entry`` for the last time, in one attempt; the queue makes more."""
        del attempts
        self._save_for_good()


@declares_a_view
class QueuedMongoObserver(QueueObserver):
    """The same as a ``MongoObserver``: that one never makes a run wait.

    Parameters
    ----------
    interval, retry_interval
        Seconds between two attempts, for an observer that is called in this process.
    url, db_name, collection, overwrite, priority, client, kwargs
        As for ``MongoObserver``.
    """

    def __init__(
        self,
        interval: float = 20.0,
        retry_interval: float = 10.0,
        url: str | Sequence[str] | None = None,
        db_name: str = "sacred",
        collection: str = "runs",
        overwrite: int | str | None = None,
        priority: int = DEFAULT_MONGO_PRIORITY,
        client: Any = None,
        **kwargs: Any,
    ) -> None:
        covered = QueueCompatibleMongoObserver(
            url=url,
            db_name=db_name,
            collection=collection,
            overwrite=overwrite,
            priority=priority,
            client=client,
            **kwargs,
        )
        super().__init__(covered, interval=interval, retry_interval=retry_interval)

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> QueuedMongoObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "QueuedMongoObserver.create(...) is deprecated. "
            "Please use QueuedMongoObserver(...) instead.",
            DeprecationWarning,
            stacklevel=1,  # as Sacred's: a script shows none of it
        )
        return cls(*args, **kwargs)


def _full_url(url: Any, observer: str) -> str:
    if url is None:
        return _DEFAULT_URL
    if isinstance(url, (list, tuple)) and url and all(isinstance(host, str) for host in url):
        # As PyMongo takes the servers of a replica set.
        url = ",".join([url[0], *(host.removeprefix("mongodb://") for host in url[1:])])
    if not isinstance(url, str):
        raise InvalidArgumentError(
            f"The url of {observer}(...) is {url!r}: give the address of the server, as in "
            f'{observer}("{_DEFAULT_URL}", "sacred").'
        )
    return url if "://" in url else f"mongodb://{url}"


def _host_of(url: str) -> str:
    """Return the servers of a URL, without user and password."""
    place = mask_password(url).partition("://")[2]
    return place.partition("/")[0].rpartition("@")[2]


def _is_plain_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain_data(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain_data(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    ObserverError="sacred.core.errors",
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
    flatten="sacred.serializer",
    get_digest="sacred.core.sources",
)
