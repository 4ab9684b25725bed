"""A stored run, told as the events that its journal would have had. Pure: nothing is read or written.

The projection makes the same document of them again. What no store knows (when each line was printed,
all heartbeats but the last) is not made up: output, info and artifacts have the time of the last
heartbeat.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.events import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.stores.store import StoredFile, StoredRun

__all__ = ["StoredEvent", "events_of", "live_config", "nanoseconds", "seal_status"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
#: Output goes into events of so many bytes.
_PIECE = 64 * 1024
#: Of the statuses that are no interruption's, which may have any.
_HOW = {"COMPLETED": "completed", "FAILED": "failed"}


class StoredEvent(NamedTuple):
    """An event that is not written yet.

    Attributes
    ----------
    type, time, fields
        As the journal's writer takes them.
    content
        The file whose content it names; the fields ``blob`` and ``md5`` are to be added.
    """

    type: EventType
    time: int
    fields: dict[str, Any]
    content: StoredFile | None = None


def nanoseconds(time: dt.datetime) -> int:
    """Return a naive UTC time as ns since the epoch."""
    return (time - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def seal_status(run: StoredRun) -> str | None:
    """Return how the run ended; None for one that did not: it waits, or died."""
    return None if run.status in {None, "RUNNING", "QUEUED"} else run.status


def events_of(run: StoredRun, origin: dict[str, Any]) -> Iterator[StoredEvent]:
    """Yield the events of a run, in the order of its journal.

    Parameters
    ----------
    run
        Its output and metrics are read as the events are asked for.
    origin
        What the journal remembers of where it came from.

    Raises
    ------
    StoredRunError
        Output or metrics are damaged.
    """
    began = run.start_time or run.queue_time or run.heartbeat or run.stop_time or _EPOCH
    start = nanoseconds(began)
    last = nanoseconds(run.heartbeat or run.stop_time or began)
    yield _beginning(run, start)
    yield StoredEvent(EventType.LINKED, start, {"relation": "imported_from", "target": origin})
    yield from _code(run, start)
    for file in run.resources:
        yield _with_content(EventType.RESOURCE_ADDED, start, {"filename": file.name}, file)
    yield from _points(run, start)
    for data in _pieces(run):
        yield StoredEvent(EventType.OUTPUT, last, {"stream": 1, "data": data})
    if run.info:
        yield StoredEvent(EventType.INFO_SNAPSHOT, last, {"info": run.info})
    yield from _artifacts(run, last)
    yield from _annotations(run, last)
    yield from _end(run, last)


def _beginning(run: StoredRun, time: int) -> StoredEvent:
    queued = run.status == "QUEUED"
    seed = run.config.get("seed")
    experiment = dict(run.experiment)
    if not _are_plain(run.repositories):
        experiment["repositories"] = run.repositories
    fields = {
        "run_id": run.run_id,
        "name": str(run.experiment.get("name") or ""),
        "command": run.command,
        "config": live_config(run.config) if queued else run.config,
        "meta": run.meta,
        "experiment": experiment,
        "host": run.host,
        "seed": seed if type(seed) is int else None,
    }
    return StoredEvent(EventType.RUN_QUEUED if queued else EventType.RUN_STARTED, time, fields)


def _code(run: StoredRun, time: int) -> Iterator[StoredEvent]:
    main = run.experiment.get("mainfile")
    for file in run.sources:
        fields: dict[str, Any] = {"filename": file.name, "path": file.path, "md5": file.md5 or ""}
        if file.name == main:
            fields["main"] = True
        yield _with_content(EventType.SOURCE_ADDED, time, fields, file)
    if run.dependencies:
        found = [_dependency(one) for one in run.dependencies]
        yield StoredEvent(EventType.DEPENDENCIES_FOUND, time, {"dependencies": found})
    if _are_plain(run.repositories):
        for repository in run.repositories:
            yield StoredEvent(EventType.REPOSITORY_FOUND, time, dict(repository))


def _dependency(found: Any) -> str:
    """Return a package as ``name==version``; old versions of Sacred have pairs."""
    if isinstance(found, (list, tuple)) and len(found) == 2:
        return f"{found[0]}=={found[1]}"
    return str(found)


def _are_plain(repositories: list[Any]) -> bool:
    """Tell whether each repository is as Sacred writes it, and once only: an event can say so."""
    kinds: dict[str, type] = {"url": str, "commit": str, "dirty": bool}
    for number, found in enumerate(repositories):
        if not isinstance(found, dict) or found.keys() != kinds.keys():
            return False
        if any(type(found[name]) is not wanted for name, wanted in kinds.items()):
            return False
        if found in repositories[:number]:
            return False
    return True


def _with_content(
    kind: EventType, time: int, fields: dict[str, Any], file: StoredFile
) -> StoredEvent:
    if file.open is not None:
        return StoredEvent(kind, time, fields, file)
    why = file.missing or "the store does not have it"
    md5 = {"md5": file.md5} if file.md5 else {}
    return StoredEvent(kind, time, {**fields, **md5, "error": why})


def _points(run: StoredRun, start: int) -> Iterator[StoredEvent]:
    for name, points in run.metrics():
        for step, value, micros in points:
            when = start if micros is None else micros * 1000
            fields = {"metric": name, "step": step, "value": value}
            yield StoredEvent(EventType.METRIC_POINT, when, fields)


def _pieces(run: StoredRun) -> Iterator[bytes]:
    for text in run.output():
        data = text.encode("utf-8", "replace")
        for begin in range(0, len(data), _PIECE):
            yield data[begin : begin + _PIECE]


def _artifacts(run: StoredRun, time: int) -> Iterator[StoredEvent]:
    versions: dict[str, int] = {}
    for file in run.artifacts:
        version = versions[file.name] = versions.get(file.name, 0) + 1
        fields = {
            "name": file.name,
            "filename": file.path,
            "metadata": file.metadata,
            "content_type": file.content_type,
            "version": version,
        }
        yield _with_content(EventType.ARTIFACT_ADDED, time, fields, file)


def _annotations(run: StoredRun, time: int) -> Iterator[StoredEvent]:
    for tag in run.tags:
        fields = {"what": "tag", "action": "add", "value": tag}
        yield StoredEvent(EventType.ANNOTATED, time, fields)
    if run.notes:
        fields = {"what": "note", "action": "set", "value": run.notes}
        yield StoredEvent(EventType.ANNOTATED, time, fields)


def _end(run: StoredRun, last: int) -> Iterator[StoredEvent]:
    status = seal_status(run)
    if status is not None:
        stop = nanoseconds(run.stop_time) if run.stop_time else last
        fields: dict[str, Any] = {"how": _HOW.get(status, "interrupted"), "status": status}
        fields |= {"result": run.result, "fail_trace": run.fail_trace}
        yield StoredEvent(EventType.RUN_ENDED, stop, fields)
    elif run.result is not None:
        yield StoredEvent(EventType.RESULT_CHANGED, last, {"result": run.result})
    if run.heartbeat is not None and run.status != "QUEUED":
        # Behind the end: Sacred's last heartbeat is a little before or after it, and is kept.
        yield StoredEvent(EventType.HEARTBEAT, last, {})


def live_config(config: Any) -> Any:
    """Return a configuration with tuples, sets and arrays of numpy in the places of their marks.

    Of a run that is to be started: its program gets what was queued, not how Sacred wrote it down.
    No object of a class that a document names is ever made.
    """
    if isinstance(config, list):
        return [live_config(item) for item in config]
    if not isinstance(config, dict):
        return config
    if len(config) == 1:
        ((mark, content),) = config.items()
        if mark in {"py/tuple", "py/set"} and isinstance(content, list):
            items = [live_config(item) for item in content]
            try:
                return tuple(items) if mark == "py/tuple" else frozenset(items)
            except TypeError:
                return config
    kind = config.get("py/object")
    if kind == "numpy.ndarray" and isinstance(config.get("values"), list):
        return _array(config)
    if str(kind).startswith("numpy.") and "value" in config:
        return config["value"]
    return {key: live_config(item) for key, item in config.items()}


def _array(mark: dict[str, Any]) -> Any:
    try:
        import numpy as np

        return np.array(mark["values"], dtype=str(mark.get("dtype") or "") or None)
    except (ImportError, TypeError, ValueError):
        return mark["values"]
