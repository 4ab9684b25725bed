"""MongoDB: the documents that Sacred's MongoObserver writes, for the clients that read them.

``runs`` and ``metrics`` documents and GridFS files, with one field more: ``_journal``, by which a
run is known and which holds where the view stands. A run's document is written by one guarded
``update_one``; points are pushed before it, into documents that guard themselves by how many points
they have. No sessions, no transactions, no pipeline updates: it works on any server that speaks the
protocol.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import host_name, own_identity, process_lives
from sacred.journal.position import Position
from sacred.replayers.errors import (
    SinkError,
    SinkMissingError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
    ViewMovedError,
)
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
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bson import ObjectId

__all__ = ["MongoSink", "modern_options"]

log = logging.getLogger("sacred.replayers")

FORMAT = "MongoObserver-0.7.0"
#: A series goes on in another document before it reaches the server's 16 MB (bytes, estimated).
METRIC_BYTES = 12 << 20
PUSH_BYTES = 6 << 20
#: Longer output is kept whole in GridFS, and its end in the document (bytes).
OUTPUT_BYTES = 4 << 20
OUTPUT_TAIL = 1 << 20
#: What a run's document may have in all (bytes).
DOCUMENT_BYTES = 15 << 20
_POINT_BYTES = 51
_CHUNK = 1 << 20
_MAX_DEPTH = 90

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC

#: Codes of the server that mean "not now": stepdowns, shutdowns, timeouts, no primary.
_RETRYABLE = frozenset(
    {6, 7, 50, 63, 64, 89, 91, 133, 150, 189, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435}
    | {13436, 112}
)
_REFUSED = frozenset({13, 18, 8000})
_BAD_KEYS = frozenset({2, 52, 56, 57})

_OLD_OPTIONS = {
    "ssl": "tls",
    "ssl_ca_certs": "tlsCAFile",
    "ssl_certfile": "tlsCertificateKeyFile",
    "ssl_keyfile": "tlsCertificateKeyFile",
    "ssl_pem_passphrase": "tlsCertificateKeyFilePassword",
    "ssl_crlfile": "tlsCRLFile",
}


def modern_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords for today's ``MongoClient`` from those of PyMongo 3."""
    modern: dict[str, Any] = {}
    for name, value in options.items():
        if name == "ssl_match_hostname":
            modern["tlsAllowInvalidHostnames"] = not value
        elif name == "ssl_cert_reqs":
            # ssl.CERT_NONE is 0, and its old spelling a text.
            modern["tlsAllowInvalidCertificates"] = value in (0, None, "CERT_NONE")
        else:
            modern[_OLD_OPTIONS.get(name, name)] = value
    return modern


# -- connections, one for all the runs of a process ------------------------------------------------

_clients: dict[tuple[int, str, str], list[Any]] = {}
_clients_lock = threading.Lock()


def _borrow_client(url: str, options: Mapping[str, Any]) -> Any:
    import pymongo

    key = (os.getpid(), url, repr(sorted(options.items(), key=repr)))
    with _clients_lock:
        found = _clients.get(key)
        if found is None:
            keywords = modern_options(options)
            named = {name.lower() for name in keywords} | _named_in(url)
            # A server that swallows packets must not hold a view for ever.
            defaults = {
                "serverSelectionTimeoutMS": 5000,
                "connectTimeoutMS": 5000,
                "socketTimeoutMS": 60000,
                "appname": "sacred-journal",
            }
            for name, value in defaults.items():
                if name.lower() not in named:
                    keywords[name] = value
            found = _clients[key] = [pymongo.MongoClient(url, connect=False, **keywords), 0]
        found[1] += 1
        return found[0]


def _named_in(url: str) -> set[str]:
    query = url.partition("?")[2]
    return {part.partition("=")[0].lower() for part in query.replace(";", "&").split("&")}


def _return_client(client: Any) -> None:
    with _clients_lock:
        for key, found in list(_clients.items()):
            if found[0] is client:
                found[1] -= 1
                if found[1] <= 0:
                    del _clients[key]
                    client.close()


class _Series:
    """What is known of one metric's documents."""

    __slots__ = ("bucket", "ids", "next_seqs", "points", "size", "total")

    def __init__(self) -> None:
        self.bucket = 0
        self.points = 0  # in the last document
        self.size = 0
        self.total = 0
        self.next_seqs: dict[int, int] = {}
        self.ids: list[Any] = []


class _State:
    """What is known of one run's documents, as of ``position`` or the last ``write``."""

    def __init__(self, view_id: Any, revision: int) -> None:
        self.view_id = view_id
        self.revision = revision
        self.series: dict[str, _Series] = {}
        self.listed = 0  # how many series the run's document names
        self.large: dict[str, int] = {}
        self.output_file: Any = None
        self.anew = False


class MongoSink:
    """Writes runs into a MongoDB database.

    Options: ``db_name``, ``collection`` (of the runs), ``collection_prefix``, ``overwrite``,
    ``client`` (keywords for ``pymongo.MongoClient``).

    Parameters
    ----------
    spec
        The view.
    runs, metrics, fs
        Collections and a GridFS that one has already; nothing is connected then.
    """

    rewrites: frozenset[str] = frozenset({"output", "points"})

    def __init__(
        self, spec: SinkSpec, *, runs: Any = None, metrics: Any = None, fs: Any = None
    ) -> None:
        options = spec.options
        prefix = str(options.get("collection_prefix") or "")
        self.spec = spec
        self.db_name = str(options.get("db_name") or "sacred")
        self.runs_name = f"{prefix}_runs" if prefix else str(options.get("collection") or "runs")
        self.metrics_name = f"{prefix}_metrics" if prefix else "metrics"
        self.overwrite = options.get("overwrite")
        self._client: Any = None
        self._given = (runs, metrics, fs) if runs is not None else None
        self._states: dict[str, _State] = {}
        self._runs: Any = runs
        self._metrics: Any = metrics
        self._fs: Any = fs
        self._indexed = False
        if runs is not None:
            self.runs_name = runs.name

    # -- the connection ------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, look that the server answers, and see that the indexes are there."""
        self._states.clear()
        with self._errors():
            if self._given is None:
                self._connect()
            if not self._indexed:
                self._make_indexes()
                self._indexed = True

    def _connect(self) -> None:
        try:
            import gridfs
            import pymongo
        except ImportError as error:
            raise SinkMissingError("a MongoDB view needs PyMongo: pip install pymongo") from error
        if self._client is None:
            self._client = _borrow_client(self.spec.url, self.spec.options.get("client") or {})
        database = self._client[self.db_name]
        if not database.write_concern.acknowledged:
            # Without an answer nobody would know what the view holds.
            database = database.with_options(write_concern=pymongo.WriteConcern(w=1))
        self._client.admin.command("ping")
        self._runs = database[self.runs_name]
        self._metrics = database[self.metrics_name]
        self._fs = gridfs.GridFS(database)

    def _make_indexes(self) -> None:
        from pymongo.errors import OperationFailure

        try:
            self._runs.create_index("_journal.id", unique=True, sparse=True)
            if self._metrics is not None:
                self._metrics.create_index("_journal.id", sparse=True)
        except OperationFailure as error:
            if error.code not in _REFUSED:
                raise
            log.warning("%s: no index could be made: %s", self.spec.name, self._say(error))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the driver raises into what it means for the view."""
        try:
            yield
        except SinkError:
            raise
        except Exception as error:
            raise self._meaning(error) from None  # the driver's traceback may name the password

    def _meaning(self, error: Exception) -> SinkError:
        try:
            from bson.errors import BSONError
            from gridfs.errors import GridFSError
            from pymongo import errors
        except ImportError:
            return SinkMissingError("a MongoDB view needs PyMongo: pip install pymongo")
        text = self._say(error)
        place = self.spec.name
        code = getattr(error, "code", None)
        if isinstance(error, errors.InvalidURI):
            return SinkSpecError(f"the address of {place} is no MongoDB address: {text}")
        if isinstance(error, errors.ConfigurationError):
            if "DNS" in text or "resol" in text:
                return TransientSinkError(f"{place} can not be found: {text}")
            return SinkSpecError(f"{place} can not be connected with these options: {text}")
        if isinstance(error, errors.ConnectionFailure):
            if "certificate" in text or "SSL handshake" in text:
                return TerminalSinkError(
                    f"{place} was not trusted ({text}): check tlsCAFile and the server's name"
                )
            return TransientSinkError(f"{place} does not answer: {text}")
        if isinstance(error, errors.OperationFailure):
            if code in _REFUSED:
                return TerminalSinkError(
                    f"{place} refuses the connection: {text}. Check user, password and authSource, "
                    "and that the user may write there"
                )
            if isinstance(
                error, (errors.ExecutionTimeout, errors.WTimeoutError, errors.CursorNotFound)
            ):
                return TransientSinkError(f"{place} is too slow: {text}")
            labels = getattr(error, "has_error_label", None)
            retryable = labels is not None and labels("RetryableWriteError")
            if code in _RETRYABLE or retryable:
                return TransientSinkError(f"{place} can not write now: {text}")
            return TerminalSinkError(f"{place} refused a document: {text}")
        if isinstance(error, (errors.PyMongoError, BSONError, GridFSError)):
            return TerminalSinkError(f"{place} can not be written: {text}")
        if isinstance(error, (OSError, EOFError)):
            return TransientSinkError(f"{place}: {text}")
        if isinstance(error, (ValueError, TypeError)):
            return SinkSpecError(f"{place} can not be connected with these options: {text}")
        return TerminalSinkError(f"{place}: {type(error).__name__}: {text}")

    def _say(self, error: Exception) -> str:
        """Return an error's text without secrets, and without the driver's inner life."""
        from urllib.parse import unquote

        text = str(getattr(error, "_message", None) or error)
        text = text.partition(", Timeout: ")[0].partition(", full error: ")[0]
        text = text.partition(" (configured timeouts")[0]
        login = self.spec.url.partition("://")[2].rpartition("@")[0]
        options = self.spec.options.get("client") or {}
        secrets = [login.partition(":")[2], login, str(options.get("password") or "")]
        for secret in secrets:
            for form in (secret, unquote(secret)):
                if form:
                    text = text.replace(form, "***")
        return " ".join(text.split())[:300]

    def close(self) -> None:
        """Give the connection back."""
        client, self._client = self._client, None
        if client is not None:
            _return_client(client)
        self._states.clear()

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Insert the run's document under an id that is free; the server decides between two."""
        with self._errors():
            known = self._runs.find_one({"_journal.id": run.journal_id}, {"_id": 1})
            if known is not None:
                return known["_id"]
            if self.overwrite is not None:
                taken = self._take_over(run)
                if taken is not None:
                    return taken
            return self._insert(run)

    def _insert(self, run: RunKey) -> Any:
        from pymongo.errors import DuplicateKeyError

        wanted = wanted_id(run.run_id)
        rendered = self._rendered(dict(run.fields), {}, [])
        self._shrink(rendered, _State(None, 0))
        document = {
            "format": FORMAT,
            "captured_out": "",
            **_document(rendered, safe_keys=True),
            "_journal": {
                "id": run.journal_id,
                "run_id": _value(run.run_id),
                "claimed": own_identity(),
                "position": [],
                "projector": 0,
                "revision": 0,
            },
        }
        if wanted is None:
            wanted = self._next_id()
        for _ in range(10_000):
            try:
                self._runs.insert_one({"_id": wanted, **document})
            except DuplicateKeyError:
                known = self._runs.find_one({"_journal.id": run.journal_id}, {"_id": 1})
                if known is not None:
                    return known["_id"]
                wanted = max(self._next_id(), 1)
                continue
            return wanted
        raise TransientSinkError(f"no free id was found in {self.spec.name}")

    def _next_id(self) -> int:
        # Only numbers are looked at: an id that is text would sort above them all.
        newest = self._runs.find({"_id": {"$gte": 1, "$lt": 1 << 53}}, {"_id": 1})
        for found in newest.sort("_id", -1).limit(1):
            return int(found["_id"]) + 1
        return 1

    def _take_over(self, run: RunKey) -> Any:
        """Take an entry that the user named with ``overwrite``; None if there is none."""
        target = wanted_id(self.overwrite) or self.overwrite
        ours = {"id": run.journal_id, "run_id": _value(run.run_id), "claimed": own_identity()}
        ours |= {"position": [], "projector": 0, "revision": 0, "overwrote": True}
        result = self._runs.update_one({"_id": target}, {"$set": {"_journal": ours}})
        return target if result.matched_count else None

    def release(self, run: RunKey) -> bool:
        """Delete a document that is only claimed; one that was written over stays."""
        with self._errors():
            result = self._runs.delete_one(
                {
                    "_journal.id": run.journal_id,
                    "_journal.claimed": {"$exists": True},
                    "_journal.overwrote": {"$exists": False},
                }
            )
            return bool(result.deleted_count)

    def clear_claims(self, max_age: float) -> int:
        """Delete claims of this host whose process is gone."""
        cleared = 0
        with self._errors():
            found = self._runs.find({"_journal.claimed.host": host_name()}, {"_journal": 1})
            for document in list(found.limit(1000)):
                claim = document["_journal"].get("claimed") or {}
                old = time.time() - claim.get("wall", 0) / 1e9 > max_age
                if old and process_lives(claim) is False:
                    cleared += self.release(RunKey(document["_journal"]["id"]))
        return cleared

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read where the run's documents stand, those of its metrics too."""
        with self._errors():
            self._states.pop(run.journal_id, None)
            found = self._runs.find_one({"_journal.id": run.journal_id}, {"_journal": 1})
            if found is None:
                return None
            ours = found["_journal"]
            state = _State(found["_id"], int(ours.get("revision", 0)))
            state.listed = int(ours.get("series", 0))
            state.large = dict(ours.get("large") or {})
            state.output_file = ours.get("captured_out")
            state.anew = bool(ours.get("anew"))
            ahead = self._load_series(run.journal_id, state)
            self._states[run.journal_id] = state
        return ViewPosition(
            found["_id"],
            Position.from_wire(ours.get("position")),
            int(ours.get("projector", 0)),
            str(ours.get("order", "arrival")),
            ahead,
            {name: series.total for name, series in state.series.items()},
            claimed="claimed" in ours,
            spool=int(ours.get("spool", 0)),
        )

    def _load_series(self, journal_id: str, state: _State) -> Position:
        ahead: dict[int, Any] = {}
        if self._metrics is None:
            return Position()
        query = {"_journal.id": journal_id, "_journal.runs": self.runs_name}
        for found in self._metrics.find(query, {"name": 1, "_journal": 1}).sort("_journal.bucket"):
            ours = found["_journal"]
            series = state.series.setdefault(found["name"], _Series())
            series.bucket = int(ours["bucket"])
            series.points = int(ours["n"])
            series.size = int(ours["size"])
            series.total += series.points
            series.ids.append(found["_id"])
            series.next_seqs.update({int(w): int(seq) for w, seq in ours["next"].items()})
            for writer, at in Position.from_wire(ours.get("at")).items():
                if writer not in ahead or ahead[writer].next_seq < at.next_seq:
                    ahead[writer] = at
        return Position(ahead)

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Push the points, then set what changed and the position in one update."""
        with self._errors():
            state = self._states.get(batch.run.journal_id)
            if state is None:
                raise ViewMovedError("the run is not in the view any more")
            # Should it fail, nobody knows what was written: to be asked again.
            del self._states[batch.run.journal_id]
            points = [change for change in batch.changes if isinstance(change, PointsAdded)]
            self._push(batch, state, points)
            self._update(batch, state)
            self._states[batch.run.journal_id] = state

    # points

    def _push(self, batch: Batch, state: _State, changes: list[PointsAdded]) -> None:
        from pymongo import InsertOne, UpdateOne
        from pymongo.errors import BulkWriteError

        if self._metrics is None:
            return
        operations: list[Any] = []
        updates = 0
        for change in changes:
            series = state.series.setdefault(change.metric, _Series())
            new = change.beyond(series.next_seqs)
            if new is None:
                continue
            for part, size in _parts(new):
                if series.ids and series.size + size > METRIC_BYTES:
                    series.bucket += 1
                    series.points = series.size = 0
                series.next_seqs.update(part.next_seqs())
                ours = {
                    "n": series.points + len(part.seqs),
                    "size": series.size + size,
                    "next": {str(w): seq for w, seq in series.next_seqs.items()},
                    "at": batch.ahead.to_wire(),
                }
                columns = {
                    "steps": _column(part.steps),
                    "values": _column(part.values),
                    "timestamps": [_EPOCH + dt.timedelta(microseconds=t) for t in part.times],
                }
                name = self._series_id(batch.run.journal_id, change.metric, series.bucket)
                if not series.points:
                    key = {
                        "id": batch.run.journal_id,
                        "runs": self.runs_name,
                        "bucket": series.bucket,
                    }
                    head = {"_id": name, "run_id": state.view_id, "name": change.metric}
                    operations.append(InsertOne({**head, **columns, "_journal": {**key, **ours}}))
                    series.ids.append(name)
                else:
                    pushes = {column: {"$each": rows} for column, rows in columns.items()}
                    guard = {"_id": name, "_journal.n": series.points}
                    marks = {f"_journal.{field}": value for field, value in ours.items()}
                    operations.append(UpdateOne(guard, {"$push": pushes, "$set": marks}))
                    updates += 1
                series.points += len(part.seqs)
                series.size += size
                series.total += len(part.seqs)
        if not operations:
            return
        try:
            # In order: the parts of a series must come one after another.
            result = self._metrics.bulk_write(operations, ordered=True)
        except BulkWriteError as error:
            codes = [one.get("code") for one in (error.details or {}).get("writeErrors", ())]
            if 11000 in codes:
                raise ViewMovedError("another replayer wrote this run meanwhile") from None
            raise
        if result.matched_count != updates:
            raise ViewMovedError("another replayer or a client changed this run's metrics")

    def _series_id(self, journal_id: str, name: str, bucket: int) -> ObjectId:
        return _object_id("metric", journal_id, self.runs_name, name, str(bucket))

    # the run's document

    def _update(self, batch: Batch, state: _State) -> None:
        fields: dict[str, Any] = {}
        removed: list[str] = []
        if state.anew:
            removed = [name for name in OWNED_FIELDS if name in {"stop_time", "fail_trace"}]
        stale_file = None
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                fields |= self._rendered(
                    change.fields, batch.references, self._metric_references(batch, state)
                )
                removed += change.removed
            elif isinstance(change, OutputChanged):
                stale_file = state.output_file
                fields["captured_out"] = self._output(batch, state, change.text)
        listed = self._metric_references(batch, state)
        if "info" not in fields and len(listed) != state.listed:
            fields["info.metrics"] = self._relisted(state, listed)
        self._shrink(fields, state)
        marks = {
            "_journal.series": len(listed),
            "_journal.position": batch.position.to_wire(),
            "_journal.projector": batch.projector,
            "_journal.revision": state.revision + 1,
            "_journal.order": batch.order,
            "_journal.spool": batch.spool,
            "_journal.large": state.large,
            "_journal.captured_out": state.output_file,
        }
        gone = {name: "" for name in removed if name not in fields}
        gone |= {"_journal.claimed": "", "_journal.anew": "", "_journal.overwrote": ""}
        guard = {
            "_id": state.view_id,
            "_journal.id": batch.run.journal_id,
            "_journal.revision": state.revision,
        }
        result = self._set(guard, fields, marks, gone)
        if not result.matched_count:
            raise ViewMovedError("another replayer wrote this run meanwhile, or it was deleted")
        state.revision += 1
        state.listed = len(listed)
        state.anew = False
        if stale_file is not None and stale_file != state.output_file:
            self._fs.delete(stale_file)

    def _set(
        self,
        guard: dict[str, Any],
        fields: dict[str, Any],
        marks: dict[str, Any],
        gone: dict[str, str],
    ) -> Any:
        from pymongo.errors import WriteError

        head = {"format": FORMAT} if fields else {}
        try:
            document = {**head, **_document(fields, safe_keys=False), **marks}
            return self._runs.update_one(guard, {"$set": document, "$unset": gone})
        except WriteError as error:
            if error.code not in _BAD_KEYS:
                raise
            # A server that refuses keys with $ or . gets them as Sacred would have written them.
            document = {**head, **_document(fields, safe_keys=True), **marks}
            return self._runs.update_one(guard, {"$set": document, "$unset": gone})

    def _metric_references(self, batch: Batch, state: _State) -> list[dict[str, str]]:
        references = []
        for name in batch.metrics:
            series = state.series.get(name)
            ids = series.ids if series is not None else []
            references += [{"name": name, "id": str(one)} for one in ids]
        return references

    def _relisted(self, state: _State, listed: list[dict[str, str]]) -> list[Any]:
        """Return ``info.metrics`` with all series, behind what the user has put there."""
        found = self._runs.find_one({"_id": state.view_id}, {"info.metrics": 1}) or {}
        known = (found.get("info") or {}).get("metrics")
        ids = {one["id"] for one in listed}
        own = known if isinstance(known, list) else []
        return [
            *(one for one in own if not isinstance(one, dict) or one.get("id") not in ids),
            *listed,
        ]

    def _rendered(
        self,
        fields: Mapping[str, Any],
        references: Mapping[tuple[str, str, str | None, int], Any],
        metrics: list[dict[str, str]],
    ) -> dict[str, Any]:
        rendered = dict(fields)
        if "experiment" in rendered:
            sources = [
                [entry.name, references[entry.key]]
                for entry in rendered["experiment"]["sources"]
                if references.get(entry.key) is not None
            ]
            rendered["experiment"] = {**rendered["experiment"], "sources": sources}
        if "resources" in rendered:
            rendered["resources"] = [[entry.name, entry.md5] for entry in rendered["resources"]]
        if "artifacts" in rendered:
            rendered["artifacts"] = [
                {"name": entry.name, "file_id": references[entry.key]}
                for entry in rendered["artifacts"]
                if references.get(entry.key) is not None
            ]
        if "info" in rendered and metrics:
            own = rendered["info"].get("metrics")
            listed = own if isinstance(own, list) else []
            rendered["info"] = {**rendered["info"], "metrics": [*listed, *metrics]}
        return rendered

    def _output(self, batch: Batch, state: _State, text: str) -> str:
        """Return the text for the document; one that is too long is kept whole in GridFS."""
        content = text.encode("utf-8", "replace")
        if len(content) <= OUTPUT_BYTES:
            state.output_file = None
            return text
        import hashlib

        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        name = f"output://{self.runs_name}/{state.view_id}/captured_out"
        file_id = _object_id("output", batch.run.journal_id, self.runs_name, digest)
        if not self._fs.exists(file_id):
            self._put(file_id, [content], name, digest, "text/plain", None)
        state.output_file = file_id
        tail = content[-OUTPUT_TAIL:].decode("utf-8", "ignore").partition("\n")[2]
        return f"[{len(content)} bytes of output, whole in GridFS as {name}; its end:]\n{tail}"

    def _shrink(self, fields: dict[str, Any], state: _State) -> None:
        """Leave out the largest fields of a document that no server would take."""
        import bson

        for name, value in fields.items():
            document = _document({name: value}, safe_keys=True)
            size = len(bson.encode(document))
            if size > _CHUNK:
                state.large[name] = size
            else:
                state.large.pop(name, None)
        while sum(state.large.values()) > DOCUMENT_BYTES:
            # Neither the output, which has a limit of its own, nor what the clients count on.
            spared = {"captured_out", "experiment", "info.metrics"}
            able = [name for name in state.large if name in fields and name not in spared]
            if not able:
                return
            largest = max(able, key=lambda name: state.large[name])
            notice = f"{state.large.pop(largest)} bytes: too large for MongoDB, kept in the journal"
            value = fields[largest]
            fields[largest] = (
                {"too_large": notice, **_kept_metrics(value)}
                if isinstance(value, dict)
                else ([] if isinstance(value, list) else notice)
            )

    # -- files ---------------------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a file in GridFS, unless it is there."""
        if blob is None or self._fs is None:
            return None
        with self._errors():
            if entry.role == "artifact":
                state = self._states.get(run.journal_id)
                if state is None:
                    raise ViewMovedError("the run is not in the view any more")
                name = f"artifact://{self.runs_name}/{state.view_id}/{entry.name}"
                parts = ("artifact", run.journal_id, self.runs_name, entry.name)
                file_id = _object_id(*parts, str(entry.version), str(entry.digest))
                content_type, metadata = entry.content_type, _value(entry.metadata)
            else:
                name = entry.path
                known = self._fs.find_one({"filename": name, "md5": entry.md5})
                if known is not None:
                    return known._id
                file_id = _object_id("file", name, str(entry.md5))
                content_type, metadata = None, None
            if not self._fs.exists(file_id):
                self._put(file_id, _chunks(blob), name, entry.md5, content_type, metadata)
            return file_id

    def _put(
        self,
        file_id: Any,
        chunks: Iterator[bytes] | list[bytes],
        name: str,
        md5: str | None,
        content_type: str | None,
        metadata: Any,
    ) -> None:
        from gridfs.errors import FileExists

        # What an upload that was cut off left: chunks without a file are invisible.
        self._fs.delete(file_id)
        facts: dict[str, Any] = {"filename": name, "metadata": metadata}
        facts |= {"contentType": content_type, "md5": md5}
        if metadata is None and content_type is None and not name.startswith("artifact://"):
            facts = {"filename": name, "md5": md5}
        try:
            file = self._fs.new_file(_id=file_id, **facts)
            try:
                for chunk in chunks:
                    file.write(chunk)
            except BaseException:
                file.abort()
                raise
            file.close()
        except FileExists:
            return  # another replayer was faster; the content is the same

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Delete the run's series and its position; its document is overwritten field by field."""
        with self._errors():
            if self._metrics is not None:
                self._metrics.delete_many(
                    {"_journal.id": run.journal_id, "_journal.runs": self.runs_name}
                )
            self._runs.update_one(
                {"_journal.id": run.journal_id},
                {
                    "$set": {
                        "_journal.position": [],
                        "_journal.projector": 0,
                        "_journal.anew": True,
                        "_journal.spool": 0,
                    },
                    "$inc": {"_journal.revision": 1},
                },
            )
            self._states.pop(run.journal_id, None)


def _kept_metrics(value: dict[str, Any]) -> dict[str, Any]:
    return {"metrics": value["metrics"]} if isinstance(value.get("metrics"), list) else {}


def _object_id(*parts: str) -> ObjectId:
    """Return an id that is the same whenever it is asked for."""
    import hashlib

    from bson import ObjectId

    text = "\0".join(parts).encode("utf-8", "replace")
    return ObjectId(hashlib.sha256(text).digest()[:12])


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _parts(change: PointsAdded) -> Iterator[tuple[PointsAdded, int]]:
    """Cut points into pushes that a server takes, with their sizes in bytes (estimated)."""
    extra = [
        len(str(value)) if not isinstance(value, (int, float, type(None))) else 0
        for value in change.values
    ]
    begin = size = 0
    for row, more in enumerate(extra):
        size += _POINT_BYTES + more
        if size >= PUSH_BYTES:
            yield change.rows(list(range(begin, row + 1))), size
            begin, size = row + 1, 0
    if begin == 0:
        yield change, size
    elif begin < len(extra):
        yield change.rows(list(range(begin, len(extra)))), size


def _column(values: list[Any]) -> list[Any]:
    if set(map(type, values)) == {float}:
        return values
    return [_value(value) for value in values]


def _document(fields: Mapping[str, Any], *, safe_keys: bool) -> dict[str, Any]:
    return {name: _value(value, safe_keys=safe_keys) for name, value in fields.items()}


def _value(value: Any, depth: int = 0, *, safe_keys: bool = False) -> Any:
    """Return a plain value as BSON can hold it."""
    kind = type(value)
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if kind is dict:
        if depth > _MAX_DEPTH:
            return str(value)[:4096]
        return {
            _key(key, safe_keys): _value(item, depth + 1, safe_keys=safe_keys)
            for key, item in value.items()
        }
    if kind is list:
        if depth > _MAX_DEPTH:
            return str(value)[:4096]
        return [_value(item, depth + 1, safe_keys=safe_keys) for item in value]
    return value


def _key(key: str, safe: bool) -> str:
    key = key.replace("\0", "")
    return key.replace("$", "@").replace(".", ",") if safe else key
