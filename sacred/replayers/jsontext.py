"""What a journal holds as JSON that every parser takes.

JSON has no NaN, no infinities, no bytes and no times: they are the texts ``"NaN"``, ``"Infinity"``,
``"-Infinity"``, the text or base64 of the bytes, and ISO 8601. Integers of more than 4,300 digits,
which many parsers refuse, are hexadecimal text.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from typing import TYPE_CHECKING, Any

from sacred.journal.events import EventType
from sacred.journal.integers import is_long
from sacred.replayers.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.events import Event
    from sacred.journal.spool import SpoolChunk
    from sacred.journal.tables import MetricTable

__all__ = ["event_lines", "instant", "jsonable", "leaves", "said_line", "spool_line", "to_json"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the journal's times are UTC throughout
#: Times that ``datetime`` can hold (ns since the epoch).
_FIRST, _LAST = -62_135_596_800 * 10**9, 253_402_300_799 * 10**9


def jsonable(value: Any) -> Any:
    """Return a value of the journal as dicts, lists, finite numbers, text, bools and None."""
    return _finite(plain(value))


def _finite(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else _name(value)
    if kind is dict:
        return {key: _finite(item) for key, item in value.items()}
    if kind is list:
        return [_finite(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat() + "Z"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name(value)
    if isinstance(value, tuple):
        return [_finite(item) for item in value]
    return value


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value of the journal as JSON text, in UTF-8 where it is text."""
    if type(value) is float and math.isfinite(value):
        return repr(value)  # what json says of it, after 5 us
    return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False, indent=indent)


def instant(nanoseconds: Any) -> str | None:
    """Return a time of the journal as ISO 8601 in UTC, to the nanosecond; None if it is none."""
    if type(nanoseconds) is not int or not _FIRST <= nanoseconds <= _LAST:
        return None
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{(_EPOCH + dt.timedelta(seconds=seconds)).isoformat()}.{rest:09d}Z"


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of nested dicts; a list and an empty dict are leaves."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def event_lines(event: Event) -> Iterator[str]:
    """Yield what ``sacred events`` shows of an event: JSON, mostly one line.

    A table of metric points is shown as its points, so that the same journal gives the same lines
    however its points were put together.
    """
    if event.type == EventType.METRIC_TABLE:
        table: MetricTable = event.fields["table"]
        columns = zip(table.names(), table.steps, table.times, table.values, strict=True)
        for row, (name, step, micros, value) in enumerate(columns):
            yield _point_line(event.writer, event.seq + row, micros * 1000, (name, step, value))
        return
    if event.type == EventType.METRIC_POINT:
        point = (event.fields["metric"], event.fields["step"], event.fields["value"])
        yield _point_line(event.writer, event.seq, event.time, point)
        return
    fields = event.fields
    if event.type == EventType.OUTPUT:
        fields = {**fields, "data": _text(fields.get("data"))}
    elif isinstance(fields.get("data"), (bytes, bytearray)):
        fields = {**fields, "data": base64.b64encode(fields["data"]).decode("ascii")}
    seq = event.seq if event.seq >= 0 else None
    yield _line(event.writer, seq, event.time, event.name, fields)


def said_line(event: Event) -> str:
    """Return what ``sacred events`` shows of something said beside the journal: no writer's event."""
    return _line(None, None, event.time, event.name, event.fields)


def spool_line(chunk: SpoolChunk) -> str:
    """Return what ``sacred events`` shows of output that is in the spool and in no event yet."""
    fields = {"stream": chunk.stream, "data": _text(chunk.data)}
    fields |= {"begin": chunk.begin, "end": chunk.end}
    return _line(0, None, chunk.time_ns, "output", fields)


def _line(writer: int | None, seq: int | None, time: Any, kind: str, fields: dict[str, Any]) -> str:
    return to_json(
        {"writer": writer, "seq": seq, "time": instant(time), "type": kind, "fields": fields}
    )


def _point_line(writer: int, seq: int, time: Any, point: tuple[Any, Any, Any]) -> str:
    """Return what ``_line`` would, put together: there may be millions."""
    when = instant(time)
    stamp = "null" if when is None else f'"{when}"'
    metric, step, value = map(_scalar, point)
    return (
        f'{{"writer": {writer}, "seq": {seq}, "time": {stamp}, "type": "metric_point", '
        f'"fields": {{"metric": {metric}, "step": {step}, "value": {value}}}}}'
    )


def _scalar(value: Any) -> str:
    kind = type(value)
    if (kind is int and not is_long(value)) or (kind is float and math.isfinite(value)):
        return repr(value)
    return to_json(value)


def _text(data: Any) -> str:
    return bytes(data).decode("utf-8", "replace") if isinstance(data, (bytes, bytearray)) else ""
