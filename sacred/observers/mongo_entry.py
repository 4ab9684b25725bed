"""A run's entry in MongoDB, written by an observer that is called itself, event by event.

That happens to a subclass, to one whose methods somebody replaced, to one with live objects
(``client=``, ``create_from``), and in tests that call ``observer.started_event(...)`` themselves.
What is written, by which calls of the driver, and which method is asked for what, is as with
Sacred: such a program compares documents, replaces ``save_sources``, counts the writes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.snapshot import Snapshot
from sacred.observers.bson_forms import (
    encoding_errors,
    force_bson_encodeable,
    storable,
    storable_json,
)
from sacred.observers.declaration import (
    DeclaredObserver,
    declares_a_view,
    extended,
    logger,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["MongoEntry"]

#: Seconds after which a last save gives up, however many attempts are left: a server that is gone
#: costs the driver half a minute each.
_PATIENCE = 30.0
_NEWEST_ID = 1 << 53
#: So many numbers that other runs take at the same moment are passed over.
_ATTEMPTS = 1000


@declares_a_view
class MongoEntry(DeclaredObserver):
    """Writes the entry of one run after the other into collections, in the thread that calls.

    Every method raises what the driver raises, unless it says otherwise. What a call could not
    write, is written by the next one.
    """

    VERSION = "MongoObserver-0.7.0"
    runs: Any
    metrics: Any
    fs: Any
    overwrite: int | str | None
    failure_dir: str | os.PathLike[str] | None

    _entry: dict[str, Any] | None = None
    #: The id under which an entry was perhaps inserted: the answer never came.
    _unanswered: Any = None
    _overwrote = False
    _references: list[dict[str, str]]
    _half_done: dict[str, dict[str, list[Any]]]

    # -- what a subclass may replace ---------------------------------------------------------------

    def save_sources(self, ex_info: dict[str, Any]) -> list[list[Any]]:
        """Store the source files, each content once.

        Returns
        -------
        Pairs of a name and the id of its file: ``experiment.sources`` of the run.
        """
        base = str(ex_info.get("base_dir") or "")
        stored = []
        for name, md5 in ex_info.get("sources") or ():
            path = os.path.join(base, str(name))
            try:
                stored.append([name, self._stored(path, md5)])
            except OSError as error:
                logger().warning("The source %s is not stored: %s", path, error.strerror or error)
        return stored

    def insert(self) -> None:
        """Insert ``run_entry``, under the next free number if it has no ``_id``.

        Raises
        ------
        ObserverError
            The entry has something that BSON can not hold.
        FileExistsError
            The ``_id`` is not free. (It is a ``DuplicateKeyError`` as well.)
        """
        if self.overwrite is not None:
            self.save()
            return
        from pymongo.errors import DuplicateKeyError

        entry = self._begun_entry()
        given = entry.get("_id")
        if self._is_inserted(entry):
            return
        following = 0
        for _ in range(_ATTEMPTS):
            if given is None:
                following = entry["_id"] = max(self._next_id(), following + 1)
            try:
                with encoding_errors():
                    self.runs.insert_one(entry)
            except DuplicateKeyError as error:
                if given is not None:
                    raise _taken(given) from error
            except BaseException:
                self._unanswered = entry["_id"]
                if given is None:
                    del entry["_id"]
                raise
            else:
                return
        raise _taken(following)

    def _is_inserted(self, entry: dict[str, Any]) -> bool:
        """Tell whether an entry is there, under its ``_id`` now, though its insertion raised."""
        tried, self._unanswered = self._unanswered, None
        found = None if tried is None else self.runs.find_one({"_id": tried})
        if found is None or entry.get("_id", tried) != tried:
            return False
        import bson

        # As bytes: NaN is not equal to itself, and a date of BSON has milliseconds.
        there, here = (
            bson.encode({name: value for name, value in one.items() if name != "_id"})
            for one in (found, entry)
        )
        if there == here:
            entry["_id"] = tried
        return there == here

    def save(self) -> None:
        """Write all of ``run_entry``; a lost connection is no error, the next save has it all.

        Raises
        ------
        ObserverError
            The entry has something that BSON can not hold.
        """
        from pymongo.errors import AutoReconnect

        try:
            self._update()
        except AutoReconnect:
            logger().debug("the entry of the run was not saved", exc_info=True)

    def final_save(self, attempts: int) -> None:
        """Write all of ``run_entry`` for the last time.

        What BSON can not hold is written as text. If no attempt succeeds, the entry goes into a
        file ``sacred_mongo_fail_<id>_*.pickle`` in ``failure_dir``. Nothing here ever reads it.

        Parameters
        ----------
        attempts
            So many, but for no longer than half a minute.

        Raises
        ------
        pymongo.errors.PyMongoError
            No attempt succeeded, and there is no ``failure_dir``.
        """
        import time

        from bson.errors import InvalidDocument
        from pymongo.errors import AutoReconnect, ConnectionFailure

        until = time.monotonic() + _PATIENCE
        reason: Exception | None = None
        for left in reversed(range(attempts)):
            try:
                self._save_for_good()
            except InvalidDocument as error:  # too large, also when it is all plain
                reason = error
                break
            except ConnectionFailure as error:
                reason = error
                if time.monotonic() > until:
                    break
                if isinstance(error, AutoReconnect) and left:
                    time.sleep(1)
            else:
                return
        if reason is not None:
            self._keep_aside(self._begun_entry(), reason)

    # -- events ----------------------------------------------------------------------------------

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,  # noqa: ARG002 - Sacred does not store it
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write a queued run; returns its id."""
        facts = _facts(ex_info, command, host_info, config, meta_info)
        return self._begin(ex_info, {**facts, "status": "QUEUED"}, _id)

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
        facts = {
            **_facts(ex_info, command, host_info, config, meta_info),
            "format": self.VERSION,
            "start_time": start_time,
            "status": "RUNNING",
            "resources": [],
            "artifacts": [],
            "captured_out": "",
            "info": {},
            "heartbeat": None,
        }
        return self._begin(ex_info, facts, _id)

    def _begin(self, ex_info: dict[str, Any], facts: dict[str, Any], run_id: Any) -> Any:
        before = self._entry
        self._references, self._half_done = [], {}
        if self.overwrite is None:
            self._entry = facts
            if run_id is not None:
                # What can be a number is one, as in all other entries: a text sorts above them.
                self._entry["_id"] = _number_or_text(run_id)
        else:
            if self._overwrote:
                raise RuntimeError("Cannot overwrite more than once!")
            self._entry = {**(before or self._overwritten()), **facts}
        try:
            self._entry["experiment"]["sources"] = self.save_sources(ex_info)
            self.insert()
        except BaseException:
            self._entry = before
            raise
        self._overwrote = self.overwrite is not None
        return self._entry["_id"]

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        entry = self._begun_entry()
        entry["info"] = storable_json(info)
        self._refer(entry["info"])
        entry["captured_out"] = storable(captured_out)
        entry["heartbeat"] = beat_time
        entry["result"] = storable_json(result)
        self.save()

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Write the end of a run that went well."""
        entry = self._begun_entry()
        entry["stop_time"] = stop_time
        entry["result"] = storable_json(result)
        entry["status"] = "COMPLETED"
        self.final_save(attempts=10)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Write the end of a run that was interrupted."""
        entry = self._begun_entry()
        entry["stop_time"] = interrupt_time
        entry["status"] = status
        self.final_save(attempts=3)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Write the end of a run that failed; nothing, if it never began here."""
        if self._entry is None:
            return
        entry = self._begun_entry()
        entry["stop_time"] = fail_time
        entry["status"] = "FAILED"
        entry["fail_trace"] = storable(fail_trace)
        self.final_save(attempts=1)

    def resource_event(self, filename: str) -> None:
        """Store a file that the run needs, unless its content is there, and write its name."""
        from sacred.core.dependencies import get_digest
        from sacred.observers.direct import each_file

        self._begun_entry()
        found = []
        for _, path in each_file("", filename):
            md5 = get_digest(path)
            if self.fs is not None and not self.fs.exists(filename=path, md5=md5):
                with open(path, "rb") as file:
                    self.fs.put(Snapshot(file), filename=path, md5=md5)
            found.append((path, md5))
        self._add("resources", found)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Store a file that the run made; of a folder, all files."""
        from sacred.core.artifacts import content_type_of
        from sacred.observers.direct import each_file

        entry = self._begun_entry()
        collection = getattr(self.runs, "name", "runs")
        stored = []
        for one, path in each_file(name or os.path.basename(filename), filename):
            with open(path, "rb") as file:
                file_id = self.fs.put(
                    Snapshot(file),
                    filename=f"artifact://{collection}/{entry['_id']}/{one}",
                    metadata=metadata,
                    content_type=content_type or content_type_of(path),
                )
            stored.append({"name": one, "file_id": file_id})
        self._add("artifacts", stored)

    def _add(self, name: str, found: list[Any]) -> None:
        """Save the entry with more in a list; not in it if that fails: the event may come again."""
        with extended(self._begun_entry(), name, found):
            self.save()

    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Push metric points, and name their documents in ``info["metrics"]``."""
        entry = self._begun_entry()
        if self.metrics is None:
            return
        for name, metric in metrics_by_name.items():
            points = {part: list(metric[part]) for part in ("steps", "values", "timestamps")}
            new = self._not_pushed(name, points)
            if new["steps"]:
                pushes = {part: {"$each": storable(column)} for part, column in new.items()}
                key = {"run_id": entry["_id"], "name": name}
                result = self.metrics.update_one(key, {"$push": pushes}, upsert=True)
                self._name_series(key, getattr(result, "upserted_id", None))
            self._half_done[name] = points
        # Only a call that failed half way comes again with the same points.
        self._half_done.clear()
        self._refer(info)

    def _name_series(self, key: dict[str, Any], made: Any) -> None:
        """Remember the id of a metric's document: that was made, or was there before."""
        name = key["name"]
        if any(one["name"] == name for one in self._references):
            return
        series_id = made if made is not None else (self.metrics.find_one(key) or {}).get("_id")
        if series_id is not None:
            self._references.append({"name": name, "id": str(series_id)})

    def _not_pushed(self, name: str, points: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the points without those that an earlier try of the same call pushed."""
        known = self._half_done.get(name)
        if known is None or any(
            column[: len(known[p])] != known[p] for p, column in points.items()
        ):
            return points
        return {part: column[len(known[part]) :] for part, column in points.items()}

    # -- the entry and the files -------------------------------------------------------------------

    def _begun_entry(self) -> dict[str, Any]:
        if self._entry is None:
            raise RuntimeError("started_event or queued_event comes first")
        return self._entry

    def _overwritten(self) -> dict[str, Any]:
        """Return the entry that ``overwrite`` names."""
        wanted = _number_or_text(self.overwrite)
        found = self.runs.find_one({"_id": wanted})
        if found is None:
            raise RuntimeError(f"Couldn't find run to overwrite with _id='{self.overwrite}'")
        return dict(found)

    def _next_id(self) -> int:
        newest = self._newest({})
        if newest is not None and not isinstance(newest, (int, float)):
            # A text or an ObjectId sorts above all numbers.
            newest = self._newest({"_id": {"$gte": 0, "$lt": _NEWEST_ID}})
        return int(newest) + 1 if newest is not None else 1

    def _newest(self, query: dict[str, Any]) -> Any:
        for found in self.runs.find(query, {"_id": 1}).sort("_id", -1).limit(1):
            return found["_id"]
        return None

    def _update(self) -> None:
        entry = self._begun_entry()
        with encoding_errors():
            self.runs.update_one({"_id": entry["_id"]}, {"$set": entry})

    def _save_for_good(self) -> None:
        """Write the entry; what BSON can not hold is written as text."""
        from bson.errors import InvalidDocument

        entry = self._begun_entry()
        try:
            self.runs.update_one({"_id": entry["_id"]}, {"$set": entry}, upsert=True)
        except (InvalidDocument, OverflowError):
            entry = self._entry = force_bson_encodeable(entry)
            logger().warning(
                "Some of the entries of the run were not BSON-serializable! They were altered so "
                "that they can be stored, but you should fix your experiment. Most likely it is "
                "either the 'info' or the 'result'."
            )
            self.runs.update_one({"_id": entry["_id"]}, {"$set": entry}, upsert=True)

    def _refer(self, info: dict[str, Any]) -> None:
        """Name the metrics' documents in an ``info``, unless it names them."""
        if not self._references:
            return
        named = info.setdefault("metrics", [])
        if isinstance(named, list):
            named.extend(dict(one) for one in self._references if one not in named)

    def _stored(self, path: str, md5: str) -> Any:
        known = self.fs.find_one({"filename": path, "md5": md5})
        if known is not None:
            return known._id
        with open(path, "rb") as file:
            # PyMongo gives files no md5 any more, and without it each run would store them again.
            return self.fs.put(Snapshot(file), filename=path, md5=md5)

    def _keep_aside(self, entry: dict[str, Any], reason: Exception) -> None:
        if self.failure_dir is None:
            raise reason
        import pickle
        import tempfile

        os.makedirs(self.failure_dir, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=self.failure_dir,
            prefix=f"sacred_mongo_fail_{entry['_id']}_",
            suffix=".pickle",
            delete=False,
        ) as file:
            pickle.dump(entry, file)
        logger().warning("saving to MongoDB failed! Stored experiment entry in '%s'", file.name)


def _facts(
    ex_info: dict[str, Any],
    command: str,
    host_info: dict[str, Any],
    config: dict[str, Any],
    meta_info: dict[str, Any],
) -> dict[str, Any]:
    named = {name: value for name, value in ex_info.items() if name != "sources"}
    return {
        "experiment": storable(named),
        "command": command,
        "host": storable(host_info),
        "config": storable(config),
        "meta": storable(meta_info),
    }


def _number_or_text(run_id: Any) -> Any:
    from sacred.replayers.sink import wanted_id

    wanted = wanted_id(run_id)
    return run_id if wanted is None else wanted


def _taken(run_id: Any) -> Exception:
    """Return an error that is Sacred's and one that the run knows: the id was asked for."""
    from pymongo.errors import DuplicateKeyError

    class RunExistsError(FileExistsError, DuplicateKeyError):
        """There is a run with this id."""

        def __init__(self, text: str) -> None:
            DuplicateKeyError.__init__(self, text, 11000)
            self._text = text

        def __str__(self) -> str:
            return self._text

    return RunExistsError(f"There is a run with the id {run_id}. Choose another one.")
