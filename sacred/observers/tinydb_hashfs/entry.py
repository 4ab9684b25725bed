"""A run's document in a TinyDB, written by an observer that is called itself, event by event.

That happens to a subclass, to one whose methods somebody replaced, to one with a database of its own
(``create_from``), and in tests that call ``observer.started_event(...)`` themselves. What is written is
as with Sacred: such a program compares documents.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

from sacred.observers.declaration import (
    DeclaredObserver,
    declares_a_view,
    extended,
    logger,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["TinyDbEntry"]


@declares_a_view
class TinyDbEntry(DeclaredObserver):
    """Writes the document of one run after the other into a table, in the thread that calls.

    Attributes
    ----------
    db_run_id
        The number of the run's document in the table; None before the first one.
    """

    VERSION = "TinyDbObserver-0.8.7"
    db: Any
    runs: Any
    fs: Any

    _entry: dict[str, Any]
    db_run_id: int | None

    # -- what a subclass may replace ---------------------------------------------------------------

    def save(self) -> None:
        """Write ``run_entry``: insert it, or update the document that it has."""
        from sacred.replayers.sinks.tinydb.tags import tagged

        document = self._entry
        try:
            self._save(document)
        except TypeError:
            # A database of somebody's own, whose storage knows plain JSON only.
            self._save(tagged(document, lambda file: str(self.fs.put(file).id)))

    def _save(self, document: dict[str, Any]) -> None:
        if self.db_run_id is None:
            self.db_run_id = self.runs.insert(document)
        else:
            self.runs.update(document, doc_ids=[self.db_run_id])

    def save_sources(self, ex_info: dict[str, Any]) -> list[list[Any]]:
        """Store the source files, each content once.

        Returns
        -------
        A name, an md5 and an open reader of each: ``experiment.sources`` of the run.
        """
        base = str(ex_info.get("base_dir") or "")
        stored = []
        for name, _ in ex_info.get("sources") or ():
            path = os.path.join(base, str(name))
            try:
                stored.append([name, *self._stored(path)])
            except OSError as error:
                logger().warning("The source %s is not stored: %s", path, error.strerror or error)
        return stored

    def _stored(self, path: str) -> list[Any]:
        from sacred.replayers.sinks.tinydb.files import StoredFile

        with open(path, "rb") as file:
            address = self.fs.put(file)
        return [address.id, StoredFile(str(address.abspath), str(address.id))]

    # -- events ------------------------------------------------------------------------------------

    def queued_event(self, *_: Any, **__: Any) -> Any:
        """Raise, as Sacred's does; a view that is declared has queued runs.

        Raises
        ------
        NotImplementedError
        """
        raise NotImplementedError(
            "queued_event method is not implemented for local TinyDbObserver."
        )

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
        """Write the start of a run; returns its id, 32 hex digits if it was made here."""
        self.db_run_id = None
        run_id = uuid.uuid4().hex if _id is None else _id
        experiment = storable({**ex_info, "sources": []})  # in the order in which they came
        self._entry = {
            "experiment": {**experiment, "sources": self.save_sources(ex_info)},
            "format": self.VERSION,
            "command": command,
            "host": storable(host_info),
            "start_time": start_time,
            "config": storable(config),
            "meta": storable(meta_info),
            "status": "RUNNING",
            "resources": [],
            "artifacts": [],
            "captured_out": "",
            "info": {},
            "heartbeat": None,
            "_id": run_id,
        }
        try:
            self.save()
        except BaseException:
            self._entry = {}
            raise
        return run_id

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        entry = self._begun_entry()
        entry["info"] = storable(info)
        entry["captured_out"] = captured_out
        entry["heartbeat"] = beat_time
        entry["result"] = storable(result)
        self.save()

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Write the end of a run that went well."""
        self._end(stop_time, "COMPLETED", result=storable(result))

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Write the end of a run that was interrupted."""
        self._end(interrupt_time, status)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Write the end of a run that failed; nothing, if it never began here."""
        if self._entry:
            self._end(fail_time, "FAILED", fail_trace=storable(fail_trace))

    def _end(self, when: datetime, status: str, **more: Any) -> None:
        self._begun_entry().update(stop_time=when, status=status, **more)
        self.save()

    def resource_event(self, filename: str) -> None:
        """Store a file that the run needs, unless its content is there, and write its name."""
        from sacred.observers.direct import each_file

        self._begun_entry()
        found = [[path, *self._stored(path)] for _, path in each_file("", filename, self._places())]
        self._add("resources", found)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,  # noqa: ARG002 - Sacred's documents have no place
        content_type: str | None = None,  # noqa: ARG002
    ) -> None:
        """Store a file that the run made, and write its name; of a folder, all files."""
        from sacred.observers.direct import each_file

        self._begun_entry()
        files = each_file(name or os.path.basename(filename), filename, self._places())
        self._add("artifacts", [[one, path, *self._stored(path)] for one, path in files])

    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Do nothing: Sacred's documents have no place for them. A view that is declared has."""

    # -- the document ------------------------------------------------------------------------------

    def _add(self, name: str, found: list[Any]) -> None:
        with extended(self._begun_entry(), name, found):
            self.save()

    def _begun_entry(self) -> dict[str, Any]:
        if not self._entry:
            raise RuntimeError("started_event comes first")
        return self._entry

    def _places(self) -> set[str]:
        """Return where files are written here: an artifact that is a folder may have it in it."""
        root = getattr(self.fs, "root", None)
        return {os.path.realpath(os.path.dirname(root))} if isinstance(root, str) else set()


def storable(value: Any) -> Any:
    """Return a value as readable lists, maps, numbers and text, passwords of addresses masked.

    Arrays and tables of pandas stay, and open files: each has a tag of its own.
    """
    from sacred.observers.direct import plain_value

    return _with_tagged(value, 0) if _has_tagged(value, 0) else plain_value(value)


def _is_tagged(value: Any) -> bool:
    from io import BufferedReader

    from sacred.replayers.sinks.tinydb.tags import is_frame, is_numpy_array, is_series

    if is_numpy_array(value):
        return bool(value.ndim)  # one number is a number
    return is_frame(value) or is_series(value) or isinstance(value, BufferedReader)


def _has_tagged(value: Any, depth: int) -> bool:
    if isinstance(value, (str, int, float)) or value is None or depth >= _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return any(_has_tagged(item, depth + 1) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_tagged(item, depth + 1) for item in value)
    return _is_tagged(value)


def _with_tagged(value: Any, depth: int) -> Any:
    from sacred.observers.direct import plain_value

    if not _has_tagged(value, depth):
        return plain_value(value)
    if isinstance(value, dict):
        found = {}
        for key, item in value.items():
            (name,) = plain_value({key: None})
            found[name] = _with_tagged(item, depth + 1)
        return found
    if isinstance(value, (list, tuple)):
        return [_with_tagged(item, depth + 1) for item in value]
    return value


#: Deeper than this, nothing is looked for.
_MAX_DEPTH = 100
