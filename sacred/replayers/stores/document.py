"""Sacred's run documents, as files, MongoDB and TinyDB have them, made stored runs."""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import StoredRunError
from sacred.replayers.sink import OWNED_FIELDS
from sacred.replayers.stores.store import StoredRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sacred.replayers.stores.store import Points, StoredFile

__all__ = ["microseconds", "stored_run", "time_of", "without_marks"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
_MICRO = dt.timedelta(microseconds=1)
#: Fields that are no view's but have a place here, and those that say how the document is kept.
_KNOWN = frozenset({*OWNED_FIELDS, "_id", "format", "captured_out", "_journal", "omniboard"})
_EXPERIMENT = ("sources", "dependencies", "repositories")


def time_of(value: Any) -> dt.datetime | None:
    """Return a time of a document, a date or ISO 8601, as naive UTC; None if it is none."""
    if isinstance(value, dict):
        value = _packed_time(value)
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        return None
    if value.tzinfo is None:
        return value
    return value.astimezone(dt.timezone.utc).replace(tzinfo=None)


def _packed_time(mark: dict[str, Any]) -> dt.datetime | None:
    """Return the time of jsonpickle's mark of one: ten bytes. Nothing is unpickled."""
    try:
        if mark["py/object"] != "datetime.datetime":
            return None
        data = base64.b64decode(mark["__reduce__"][1][0])
        high, low, month, day, hour, minute, second, *micros = data
        return dt.datetime(  # noqa: DTZ001 - Sacred's times are naive UTC
            high << 8 | low, month, day, hour, minute, second, int.from_bytes(micros, "big")
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def microseconds(value: Any) -> int | None:
    """Return a time of a document as microseconds since the epoch; None if it is none."""
    found = time_of(value)
    return None if found is None else (found - _EPOCH) // _MICRO


def without_marks(value: Any) -> Any:
    """Return ``{"py/tuple": [...]}``, as Sacred has pairs in some documents, as a list."""
    if isinstance(value, dict) and len(value) == 1 and "py/tuple" in value:
        return value["py/tuple"]
    return value


class _Reader:
    """Takes the fields of one document, and sees that they are what they should be."""

    def __init__(self, document: Mapping[str, Any], losses: list[str], *, partial: bool) -> None:
        self._document = document
        self._losses = losses
        self._partial = partial

    def damaged(self, text: str) -> None:
        """Raise, or take down that something is left out."""
        if not self._partial:
            raise StoredRunError(text)
        self._losses.append(f"{text}: left out")

    def mapping(self, name: str) -> dict[str, Any]:
        found = self._document.get(name)
        if found is None or isinstance(found, dict):
            return dict(found or {})
        self.damaged(f"its {name} is no mapping")
        return {}

    def text(self, name: str) -> str | None:
        found = self._document.get(name)
        return None if found is None else str(found)

    def time(self, name: str) -> dt.datetime | None:
        raw = self._document.get(name)
        found = time_of(raw)
        if raw is not None and found is None:
            self.damaged(f"its {name} is no time ({str(raw)[:40]!r})")
        return found

    def trace(self) -> list[str] | None:
        found = self._document.get("fail_trace")
        if found is None:
            return None
        return [str(line) for line in (found if isinstance(found, list) else [found])]


def stored_run(
    run_id: int | str,
    document: Mapping[str, Any],
    *,
    sources: list[StoredFile],
    resources: list[StoredFile],
    artifacts: list[StoredFile],
    output: Callable[[], Iterable[str]],
    metrics: Callable[[], Iterable[Points]],
    journal_id: str | None,
    losses: list[str],
    partial: bool,
) -> StoredRun:
    """Return the run that a document describes.

    Parameters
    ----------
    run_id, document
        With ``config`` and ``info``, whatever they are kept in. Is not changed.
    sources, resources, artifacts, output, metrics, journal_id, losses
        As ``StoredRun`` has them.
    partial
        Leave out what is damaged.

    Raises
    ------
    StoredRunError
        It is no run's.
    """
    read = _Reader(document, losses, partial=partial)
    experiment = read.mapping("experiment")
    lists = {name: experiment.pop(name, None) or [] for name in _EXPERIMENT}
    for name, found in lists.items():
        if not isinstance(found, list):
            read.damaged(f"its {name} are no list")
            lists[name] = []
    if not {"experiment", "command", "status"} & document.keys():
        raise StoredRunError("its document has nothing of a run of Sacred's")
    losses += (
        f"the field {name[:80]!r}, which is none of Sacred's, is left out"
        for name in sorted(map(str, document.keys() - _KNOWN))
    )
    meta, board = read.mapping("meta"), read.mapping("omniboard")
    tags = board.get("tags") or []
    return StoredRun(
        run_id=run_id,
        command=read.text("command") or "",
        status=read.text("status"),
        start_time=read.time("start_time"),
        heartbeat=read.time("heartbeat"),
        stop_time=read.time("stop_time"),
        queue_time=time_of(meta.get("queue_time")),
        experiment=experiment,
        dependencies=lists["dependencies"],
        repositories=lists["repositories"],
        config=read.mapping("config"),
        meta=meta,
        host=read.mapping("host"),
        info=read.mapping("info"),
        result=document.get("result"),
        fail_trace=read.trace(),
        sources=sources,
        resources=resources,
        artifacts=artifacts,
        output=output,
        metrics=metrics,
        tags=[str(tag) for tag in tags] if isinstance(tags, list) else [],
        notes=None if board.get("notes") is None else str(board["notes"]),
        journal_id=journal_id,
        losses=losses,
    )
