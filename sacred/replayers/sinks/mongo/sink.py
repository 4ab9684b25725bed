"""The sink: a run's document, written by one guarded update."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import host_name, own_identity, process_lives
from sacred.journal.position import Position
from sacred.replayers.annotations import Annotations
from sacred.replayers.errors import TransientSinkError, ViewMovedError
from sacred.replayers.lines import tail_of
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
from sacred.replayers.sinks.mongo.annotations import annotation_update
from sacred.replayers.sinks.mongo.connection import REFUSED, MongoConnection
from sacred.replayers.sinks.mongo.files import chunks, md5_of, put_file
from sacred.replayers.sinks.mongo.series import Series, bring_home, load_series, push_points
from sacred.replayers.sinks.mongo.values import bson_document, bson_value, listed_metrics, object_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MongoSink"]

log = logging.getLogger("sacred.replayers")

FORMAT = "MongoObserver-0.7.0"
#: A document a root of journals, with the number by which an older database is noticed.
MARKS = "journal_marks"
#: Longer output is kept whole in GridFS, and its end in the document (bytes).
OUTPUT_BYTES = 4 << 20
OUTPUT_TAIL = 1 << 20
#: What a run's document may have in all (bytes).
DOCUMENT_BYTES = 15 << 20
#: A field that is larger counts towards that.
_LARGE = 1 << 20
#: An entry of a group that is not larger stays; the text in the place of one is not longer.
_SMALL = 1 << 10
#: A line of a stack trace that is not larger stays.
_LINE = 64 << 10

#: Codes of a server that takes no such keys.
_BAD_KEYS = frozenset({2, 52, 56, 57})


class _State:
    """What is known of one run's documents, as of ``position`` or the last ``write``."""

    def __init__(self, view_id: Any, revision: int) -> None:
        self.view_id = view_id
        self.revision = revision
        self.series: dict[str, Series] = {}
        self.listed = 0  # how many series the run's document names
        self.large: dict[str, int] = {}
        self.output_file: Any = None
        self.anew = False
        self.overwrites = False


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
    annotated = True

    takes_unasked = True

    def __init__(
        self, spec: SinkSpec, *, runs: Any = None, metrics: Any = None, fs: Any = None
    ) -> None:
        options = spec.options
        prefix = str(options.get("collection_prefix") or "")
        self.spec = spec
        self.runs_name = f"{prefix}_runs" if prefix else str(options.get("collection") or "runs")
        self.metrics_name = f"{prefix}_metrics" if prefix else "metrics"
        self.overwrite = options.get("overwrite")
        self._connection = MongoConnection(spec)
        self._given = (runs, metrics, fs) if runs is not None else None
        self._states: dict[str, _State] = {}
        self._runs: Any = runs
        self._metrics: Any = metrics
        self._fs: Any = fs
        self._indexed = False
        #: Whether the server itself sees to it that a journal has one document.
        self._unique = False
        if runs is not None:
            self.runs_name = runs.name

    # -- the connection ------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, look that the server answers, and see that the indexes are there."""
        self._states.clear()
        with self._connection.errors():
            if self._given is None:
                self._connect()
            if not self._indexed:
                self._make_indexes()
                self._indexed = True

    def _connect(self) -> None:
        database = self._connection.open()
        import gridfs

        self._runs = database[self.runs_name]
        self._metrics = database[self.metrics_name]
        self._fs = gridfs.GridFS(database)

    def _make_indexes(self) -> None:
        from pymongo.errors import OperationFailure

        try:
            self._runs.create_index("_journal.id", unique=True, sparse=True)
            self._unique = True
            if self._metrics is not None:
                self._metrics.create_index("_journal.id", sparse=True)
        except OperationFailure as error:
            if error.code not in REFUSED:
                raise
            text = self._connection.say(error)
            log.warning("%s: no index could be made: %s", self.spec.name, text)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
        self._states.clear()

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Insert the run's document under an id that is free; the server decides between two."""
        with self._connection.errors():
            known = self._runs.find_one({"_journal.id": run.journal_id}, {"_id": 1})
            if known is not None:
                return known["_id"]
            if self.overwrite is not None:
                taken = self._take_over(run)
                if taken is not None:
                    return taken
                log.warning(
                    "%s has no run %s that could be written over: journal %s gets the next free id",
                    *(self.spec.name, self.overwrite, run.journal_id),
                )
            return self._insert(run)[0]

    def take_up(self, run: RunKey) -> ViewPosition:
        """Insert the run's document, which is not asked for again: the index tells two apart.

        Series that somebody left of a run whose document is gone are met by the ``write``, which
        then says that the view moved.
        """
        self._states.pop(run.journal_id, None)
        if self._unique and self.overwrite is None:
            with self._connection.errors():
                view_id, made = self._insert(run)
            if made:
                self._states[run.journal_id] = _State(view_id, 0)
                return ViewPosition(view_id, Position(), 0, points={}, claimed=True)
        self.claim(run)
        found = self.position(run)
        if found is None:
            raise ViewMovedError("the run was taken back meanwhile")
        return found

    def _insert(self, run: RunKey) -> tuple[Any, bool]:
        """Insert a document; return its id, and whether it is this one, not another replayer's."""
        from pymongo.errors import DuplicateKeyError

        wanted = wanted_id(run.run_id)
        rendered = self._rendered(dict(run.fields), {}, [])
        self._shrink(rendered, _State(None, 0))
        document = {
            "format": FORMAT,
            "captured_out": "",
            **bson_document(rendered, safe_keys=True),
            "_journal": {
                "id": run.journal_id,
                "run_id": bson_value(run.run_id),
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
                    return known["_id"], False
                wanted = max(self._next_id(), 1)
                continue
            return wanted, True
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
        ours = {"id": run.journal_id, "run_id": bson_value(run.run_id), "claimed": own_identity()}
        ours |= {"position": [], "projector": 0, "revision": 0, "overwrote": True}
        result = self._runs.update_one({"_id": target}, {"$set": {"_journal": ours}})
        return target if result.matched_count else None

    def release(self, run: RunKey) -> bool:
        """Delete a document that is only claimed; one that was written over stays."""
        with self._connection.errors():
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
        with self._connection.errors():
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
        with self._connection.errors():
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
            state.overwrites = bool(ours.get("overwrote"))
            ahead = Position()
            if self._metrics is not None:
                metrics = (self._metrics, run.journal_id, self.runs_name, found["_id"])
                state.series, ahead, stray = load_series(*metrics)
                # Asked again: the id may have been taken back just now.
                if stray and self._runs.find_one({"_id": found["_id"], **_of(run)}, {"_id": 1}):
                    bring_home(*metrics)
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
            told=str(ours.get("told") or ""),
        )

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with self._connection.errors():
            found = self._runs.database[MARKS].find_one({"_id": owner})
        return int(found.get("number") or 0) if found else 0

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        with self._connection.errors():
            self._runs.database[MARKS].update_one(
                {"_id": owner}, {"$max": {"number": number}}, upsert=True
            )

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Push the points, then set what changed and the position in one update."""
        with self._connection.errors():
            state = self._states.get(batch.run.journal_id)
            if state is None:
                raise ViewMovedError("the run is not in the view any more")
            # Should it fail, nobody knows what was written: to be asked again.
            del self._states[batch.run.journal_id]
            points = [change for change in batch.changes if isinstance(change, PointsAdded)]
            if self._metrics is not None:
                if state.overwrites:
                    # Else the run would have two documents of a name, and clients show either.
                    # Those that Sacred wrote stay: no journal has them.
                    others = {"$ne": batch.run.journal_id}
                    old = {"run_id": state.view_id, "_journal.runs": self.runs_name}
                    self._metrics.delete_many({**old, "_journal.id": others})
                push_points(
                    self._metrics, self.runs_name, state.view_id, state.series, batch, points
                )
            self._update(batch, state)
            self._states[batch.run.journal_id] = state

    def _update(self, batch: Batch, state: _State) -> None:
        fields: dict[str, Any] = {}
        removed: list[str] = []
        if state.anew:
            removed = [name for name in OWNED_FIELDS if name in {"stop_time", "fail_trace"}]
        stale_file = None
        said = annotation_update({}, Annotations())
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                fields |= self._rendered(
                    change.fields, batch.references, self._metric_references(batch, state)
                )
                removed += change.removed
                if change.annotations is not None:
                    names = {"omniboard": 1, "_journal.annotations": 1}
                    board = self._runs.find_one({"_id": state.view_id}, names) or {}
                    said = annotation_update(board, change.annotations)
                    said.fields["_journal.told"] = change.annotations.digest
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
            **said.fields,
        }
        gone = {name: "" for name in removed if name not in fields} | said.gone
        gone |= {"_journal.claimed": "", "_journal.anew": "", "_journal.overwrote": ""}
        guard = {
            "_id": state.view_id,
            "_journal.id": batch.run.journal_id,
            "_journal.revision": state.revision,
            **said.guard,
        }
        result = self._set(guard, fields, marks, gone)
        if not result.matched_count:
            raise ViewMovedError("another replayer wrote this run meanwhile, or it was deleted")
        state.revision += 1
        state.listed = len(listed)
        state.anew = state.overwrites = False
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
            document = {**head, **bson_document(fields, safe_keys=False), **marks}
            return self._runs.update_one(guard, {"$set": document, "$unset": gone})
        except WriteError as error:
            if error.code not in _BAD_KEYS:
                raise
            # A server that refuses keys with $ or . gets them as Sacred would have written them.
            document = {**head, **bson_document(fields, safe_keys=True), **marks}
            return self._runs.update_one(guard, {"$set": document, "$unset": gone})

    def _metric_references(self, batch: Batch, state: _State) -> list[dict[str, str]]:
        references = []
        for name in batch.metrics:
            series = state.series.get(name)
            if series is not None:
                pairs = zip(series.names, series.ids, strict=True)
                references += [{"name": shown, "id": str(one)} for shown, one in pairs]
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
        if "info" in rendered and (metrics or "metrics" in rendered["info"]):
            own = listed_metrics(rendered["info"].get("metrics"))
            if metrics:
                own = [*(own if isinstance(own, list) else []), *metrics]
            rendered["info"] = {**rendered["info"], "metrics": own}
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
        file_id = object_id("output", batch.run.journal_id, self.runs_name, digest)
        if not self._is_stored(file_id, name):
            put_file(self._fs, file_id, [content], name, digest, "text/plain", None)
        state.output_file = file_id
        tail = tail_of(content, OUTPUT_TAIL)
        return f"[{len(content)} bytes of output, whole in GridFS as {name}; its end:]\n{tail}"

    def _shrink(self, fields: dict[str, Any], state: _State) -> None:
        """Leave out the largest values of a document that no server would take."""
        import bson

        for name, value in fields.items():
            document = bson_document({name: value}, safe_keys=True)
            size = len(bson.encode(document))
            if size > _LARGE:
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
            value, size = fields[largest], state.large.pop(largest)
            if isinstance(value, dict):
                room = max(DOCUMENT_BYTES - sum(state.large.values()), _LARGE)
                fields[largest], size = _without_largest(value, size, room)
                if size > _LARGE:
                    state.large[largest] = size
            else:
                fields[largest] = _in_place_of(largest, value, size)

    # -- files ---------------------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a file in GridFS, unless it is there."""
        if blob is None or self._fs is None:
            return None
        with self._connection.errors():
            md5 = entry.md5 or md5_of(
                blob
            )  # no driver writes one any more, and clients look for it
            if entry.role == "artifact":
                state = self._states.get(run.journal_id)
                if state is None:
                    raise ViewMovedError("the run is not in the view any more")
                name = f"artifact://{self.runs_name}/{state.view_id}/{entry.name}"
                parts = ("artifact", run.journal_id, self.runs_name, entry.name)
                file_id = object_id(*parts, str(entry.version), str(entry.digest))
                content_type, metadata = entry.content_type, bson_value(entry.metadata)
            else:
                name = entry.path
                known = self._fs.find_one({"filename": name, "md5": md5})
                if known is not None:
                    return known._id
                file_id = object_id("file", name, md5)
                content_type, metadata = None, None
            if not self._is_stored(file_id, name):
                content = chunks(blob)
                put_file(self._fs, file_id, content, name, md5, content_type, metadata)
            return file_id

    def _is_stored(self, file_id: Any, name: str) -> bool:
        """Tell whether a file is there. One that was stored under a former id of its run is renamed."""
        files = self._runs.database["fs.files"]
        found = files.find_one({"_id": file_id}, {"filename": 1})
        if found is not None and found.get("filename") != name:
            files.update_one({"_id": file_id}, {"$set": {"filename": name}})
        return found is not None

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Delete the run's series and its position; its document is overwritten field by field."""
        with self._connection.errors():
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
                        "_journal.told": "",
                    },
                    "$inc": {"_journal.revision": 1},
                },
            )
            self._states.pop(run.journal_id, None)


def _notice(size: int) -> str:
    return f"{size} bytes: too large for MongoDB, kept in the journal"


def _of(run: RunKey) -> dict[str, str]:
    return {"_journal.id": run.journal_id}


def _in_place_of(name: str, value: Any, size: int) -> Any:
    """Return what stands for a value that is left out, of the type that clients expect there."""
    if name == "fail_trace" and isinstance(value, list):
        lines = [line if len(line) <= _LINE else _notice(len(line.encode())) for line in value]
        return lines if sum(map(len, lines)) <= _LARGE else [_notice(size)]
    if name in {"artifacts", "resources"}:
        return []  # of what each element is, a text would be none
    return _notice(size)


def _without_largest(value: dict[str, Any], size: int, room: int) -> tuple[dict[str, Any], int]:
    """Return a group with its largest entries left out, so that it fits, and its new size.

    One that is large for all its small entries is left out as a whole.
    """
    import bson

    # One level down: only there a user's name becomes one that BSON has (no NUL).
    sizes = {
        name: len(bson.encode(bson_document({"": {name: one}}, safe_keys=True)))
        for name, one in value.items()
    }
    kept, left = dict(value), size
    for name in sorted(sizes, key=lambda one: -sizes[one]):
        if left <= room or sizes[name] <= _SMALL:
            break
        if name == "metrics" and _kept_metrics(value):
            continue  # the clients count on it
        kept[name] = _notice(sizes[name])
        left -= sizes[name] - _SMALL
    if left <= room:
        return kept, left
    return {"too_large": _notice(size), **_kept_metrics(value)}, 0


def _kept_metrics(value: dict[str, Any]) -> dict[str, Any]:
    return {"metrics": value["metrics"]} if isinstance(value.get("metrics"), list) else {}
