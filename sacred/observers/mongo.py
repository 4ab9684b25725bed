"""MongoDB: the observer that declares a MongoDB view."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from sacred.core.view_options import mask_password, mongo_db_option, parse_mongo_db_arg
from sacred.observers.declaration import DeclaredObserver, declares_a_view
from sacred.observers.queue import QueueObserver

if TYPE_CHECKING:
    import os

    from sacred.replayers.sink import Sink

__all__ = [
    "DEFAULT_MONGO_PRIORITY",
    "MongoObserver",
    "QueueCompatibleMongoObserver",
    "QueuedMongoObserver",
    "mongo_db_option",
    "parse_mongo_db_arg",
]

DEFAULT_MONGO_PRIORITY = 30
_DEFAULT_URL = "mongodb://localhost:27017"

#: Keywords of the MongoClient of PyMongo 3 that PyMongo 4 refuses, and what they are called now.
_OLD_KEYWORDS = {
    "ssl": "tls",
    "ssl_ca_certs": "tlsCAFile",
    "ssl_certfile": "tlsCertificateKeyFile",
    "ssl_keyfile": "tlsCertificateKeyFile",
    "ssl_pem_passphrase": "tlsCertificateKeyFilePassword",
    "ssl_crlfile": "tlsCRLFile",
    "ssl_match_hostname": "tlsAllowInvalidHostnames",
    "ssl_cert_reqs": "tlsAllowInvalidCertificates",
}
_NEGATED = {"ssl_match_hostname"}


@declares_a_view
class MongoObserver(DeclaredObserver):
    """Declares that runs shall be written into MongoDB.

    Nothing is connected here: a process of its own writes the run from its journal, while it goes
    on and after it ended, whether or not the server is up.

    Parameters
    ----------
    url
        ``mongodb://...`` or ``host:port``; the server of this machine by default.
    db_name
        The database.
    collection
        Deprecated: the collection of the runs.
    collection_prefix
        ``"P"`` gives the collections ``P_runs`` and ``P_metrics``.
    overwrite
        The ``_id`` of a run to write over.
    priority
        Higher ones are asked for a run's id first.
    client
        A ``pymongo.MongoClient`` of one's own; the run is then written by a thread of this process.
    failure_dir
        Kept for what was written for Sacred: the journal has what could not be written.
    required
        True: a run does not begin without the server, and ends when everything is there.
    kwargs
        For ``pymongo.MongoClient``; the names of PyMongo 3 are understood as well.

    Raises
    ------
    ValueError
        Both a URL and a client, a client that is none, a collection together with a prefix.
    KeyError
        A collection that MongoDB or a tool uses for itself.
    """

    COLLECTION_NAME_BLACKLIST: ClassVar[set[str]] = {
        "fs.files",
        "fs.chunks",
        "_properties",
        "system.indexes",
        "search_space",
        "search_spaces",
    }
    VERSION = "MongoObserver-0.7.0"

    def __init__(
        self,
        url: str | None = None,
        db_name: str = "sacred",
        collection: str = "runs",
        collection_prefix: str = "",
        overwrite: int | str | None = None,
        priority: int = DEFAULT_MONGO_PRIORITY,
        client: Any = None,
        failure_dir: str | os.PathLike[str] | None = None,
        required: bool = False,
        **kwargs: Any,
    ) -> None:
        if client is not None:
            _check_client(client)
            if url is not None:
                raise ValueError("Cannot pass both a client and a url.")
        if collection != "runs":
            warnings.warn(
                'Argument "collection" is deprecated. Please use "collection_prefix" instead.',
                DeprecationWarning,
                stacklevel=2,
            )
            if collection_prefix:
                raise ValueError("Cannot pass both collection and a collection prefix.")
        runs = f"{collection_prefix}_runs" if collection_prefix else collection
        metrics = f"{collection_prefix}_metrics" if collection_prefix else "metrics"
        for name in (runs, metrics):
            if name in self.COLLECTION_NAME_BLACKLIST:
                raise KeyError(f'Collection name "{name}" is reserved. Please use a different one.')
        self.url: str | None = _full_url(url)
        self.db_name = db_name
        self.collection = collection
        self.collection_prefix = collection_prefix
        self.overwrite = overwrite
        self.priority = priority
        self.failure_dir = failure_dir
        self.required = required
        self._client = client
        self._client_is_given = client is not None
        self._client_keywords = _modern_keywords(kwargs)
        self._names = (runs, metrics)
        self._handles: dict[str, Any] = {}
        self._journal_id: str | None = None
        self._run_id: Any = None

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> MongoObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "MongoObserver.create(...) is deprecated. Please use MongoObserver(...) instead.",
            DeprecationWarning,
            stacklevel=2,
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
        self._client = None
        self._client_is_given = True
        self._client_keywords = {}
        self._handles = {"runs": runs_collection, "fs": fs, "metrics": metrics_collection}
        self._journal_id = None
        self._run_id = None

    # -- the declaration -------------------------------------------------------------------------

    def _specification(self) -> dict[str, Any] | None:
        if self._client_is_given or not _is_plain_data(self._client_keywords):
            return None
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

    def _new_sink(self) -> Sink:
        if not self._client_is_given:
            return super()._new_sink()
        from sacred.replayers.sink import SinkSpec
        from sacred.replayers.sinks.mongo import MongoSink

        spec = SinkSpec("mongo", "", {"overwrite": self.overwrite}, "mongo:client")
        return MongoSink(spec, runs=self.runs, metrics=self.metrics, fs=self.fs)

    def run_began(self, *, journal_id: str, run_id: Any, **_: Any) -> None:
        """Remember the run, for ``run_entry``."""
        self._journal_id = journal_id
        self._run_id = run_id

    # -- handles, connected when they are asked for ----------------------------------------------

    def _database(self) -> Any:
        if self._client is None:
            import pymongo

            self._client = pymongo.MongoClient(self.url, **self._client_keywords)
        return self._client[self.db_name]

    @property
    def runs(self) -> Any:
        """The collection of the runs."""
        if self._handles.get("runs") is None:
            self._handles["runs"] = self._database()[self._names[0]]
        return self._handles["runs"]

    @property
    def metrics(self) -> Any:
        """The collection of the metrics."""
        if "metrics" not in self._handles:
            self._handles["metrics"] = self._database()[self._names[1]]
        return self._handles["metrics"]

    @property
    def fs(self) -> Any:
        """The GridFS of sources and artifacts."""
        if self._handles.get("fs") is None:
            import gridfs

            self._handles["fs"] = gridfs.GridFS(self._database())
        return self._handles["fs"]

    @property
    def run_entry(self) -> dict[str, Any] | None:
        """The run's document as it is in the database now; None before the run."""
        if self._direct is not None:
            document: dict[str, Any] | None = self._direct.document()
            return document
        if self._journal_id is None:
            return None
        found = self.runs.find_one({"_journal.id": self._journal_id})
        if found is None:
            found = self.runs.find_one({"_id": self._run_id})
        return dict(found) if found is not None else None

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


class QueueCompatibleMongoObserver(MongoObserver):
    """Kept under its name; a MongoObserver."""

    _as_written: ClassVar[dict[str, Any]] = {}


declares_a_view(QueueCompatibleMongoObserver)


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
        url: str | None = None,
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
            stacklevel=2,
        )
        return cls(*args, **kwargs)


def _check_client(client: Any) -> None:
    import pymongo

    kind = pymongo.MongoClient
    # Tests put a function in the class's place; then there is nothing to check against.
    if isinstance(kind, type) and not isinstance(client, kind):
        raise ValueError(  # noqa: TRY004 - what Sacred raises
            f"client needs to be a pymongo.MongoClient, but is {type(client)} instead"
        )


def _full_url(url: str | None) -> str:
    if url is None:
        return _DEFAULT_URL
    return url if "://" in url else f"mongodb://{url}"


def _host_of(url: str) -> str:
    """Return the servers of a URL, without user and password."""
    place = mask_password(url).partition("://")[2]
    return place.partition("/")[0].rpartition("@")[2]


def _modern_keywords(keywords: dict[str, Any]) -> dict[str, Any]:
    modern: dict[str, Any] = {}
    for name, value in keywords.items():
        if name in _NEGATED:
            said = not value
        elif name == "ssl_cert_reqs":
            # ssl.CERT_NONE is 0, and its old spelling is a text.
            said = value in (0, None, "CERT_NONE")
        else:
            said = value
        modern[_OLD_KEYWORDS.get(name, name)] = said
    return modern


def _is_plain_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain_data(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain_data(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)
