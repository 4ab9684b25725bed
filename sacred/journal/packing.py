"""Events into bytes: what was given for an event is checked, encoded and, if too large, stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import BlobReference, ObjectText, describe, holds_too_much, pack
from sacred.journal.errors import InvalidEventError
from sacred.journal.events import KEYS, REQUIRED, SCHEMAS, SEQLESS, EventType
from sacred.journal.file_writer import TABLE_ROWS
from sacred.journal.tables import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.blobs import BlobStore

#: Largest content of a frame of several events.
FRAME_BYTES = 256 * 1024
#: Largest event; larger values become blobs.
EVENT_BYTES = 16 * 1024 * 1024
#: A value larger than this becomes a blob where the event would be too large.
VALUE_BYTES = 1024 * 1024

#: Types that only the writer can write: they take no number, or many.
_OF_THE_WRITER = frozenset({*SEQLESS, int(EventType.METRIC_TABLE)})


class EventPacker:
    """Encodes the events of a writer.

    Parameters
    ----------
    blobs
        Where values that are too large for an event go; None if nowhere.
    on_fault
        Called with the error when that store refuses.
    """

    def __init__(self, blobs: BlobStore | None, on_fault: Callable[[OSError], None] | None) -> None:
        self._blobs = blobs
        self._on_fault = on_fault

    def event(self, event_type: int, when: int | None, fields: dict[str, Any]) -> bytes:
        """Encode an event of a registered type, with all the fields that its readers count on.

        Raises
        ------
        InvalidEventError
            It is none that may be appended.
        """
        keys = _keys_of(event_type)
        wire: dict[str, Any] = {"t": time.time_ns() if when is None else _checked_time(when)}
        wire["e"] = int(event_type)
        try:
            for name, value in fields.items():
                if value is not None:
                    wire[keys[name]] = value
        except KeyError as error:
            kind = EventType(event_type).name.lower()
            raise InvalidEventError(f"{kind} has no field {error}: {', '.join(keys)}") from None
        for name, may_be_none in REQUIRED[event_type].items():
            if fields.get(name) is None:
                if name not in fields or not may_be_none:
                    raise _missing(event_type, fields)
                wire[keys[name]] = None
        if event_type == EventType.METRIC_POINT:
            wire["m"] = _name_of(wire["m"])
        packed = pack(wire)
        if len(packed) > VALUE_BYTES and _is_too_large(packed):
            if self._blobs is None:
                raise InvalidEventError(
                    "an event larger than 16 MiB, or of more than 2,097,152 values, and no store "
                    "for blobs"
                )
            packed = self._large(wire)
        return packed

    def _large(self, wire: dict[str, Any]) -> bytes:
        """Move the largest values of an event that is too large into blobs.

        What no blob can take (there is no store, or its disk is full) becomes a text that says so.
        """
        sizes = sorted(((len(pack(value)), key) for key, value in wire.items()), reverse=True)
        total = sum(size for size, _ in sizes)
        for size, key in sizes:
            if total > VALUE_BYTES:
                wire[key] = self._blob_of(wire[key], size)
                total -= size
        return pack(wire)

    def _blob_of(self, value: Any, size: int) -> BlobReference | ObjectText:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if self._blobs is None:
            return ObjectText(kind, f"<{size} bytes: no store for values of more than 16 MiB>")
        try:
            stored = self._blobs.put_bytes(pack(value))
        except OSError as error:
            if self._on_fault is not None:
                self._on_fault(error)
            return ObjectText(kind, f"<{size} bytes that could not be stored: {error.strerror}>")
        return BlobReference(*stored.blob[:3], "msgpack")

    def points(self, cells: list[Any]) -> tuple[bytes, int]:
        """Encode the first of some metric points, as many as fit; return how many that are."""
        try:
            packed = _pack_cells(cells)
        except Exception:  # a name that is none
            cells[::4] = map(_name_of, cells[::4])
            packed = _pack_cells(cells)
        if 0 < len(packed) <= FRAME_BYTES:
            return packed, len(cells) // 4
        if len(cells) > 4:
            return self.points(cells[: len(cells) // 8 * 4])
        return self.point(*cells), 1

    def point(self, name: Any, step: Any, value: Any, when: int) -> bytes:
        """Encode one metric point, whatever was given for it."""
        wire: dict[str, Any] = {"t": when, "e": int(EventType.METRIC_POINT), "m": _name_of(name)}
        wire.update(s=step, v=value)
        packed = pack(wire)
        large = len(packed) > VALUE_BYTES and _is_too_large(packed)
        return self._large(wire) if large else packed


def _is_too_large(event: bytes) -> bool:
    return len(event) > EVENT_BYTES or holds_too_much(event)


def _check_name(name: Any) -> None:
    """Raise if a name is no text that every reader can take for one."""
    if type(name) is not str:
        raise TypeError
    name.encode()


def _name_of(name: Any) -> str:
    """Return what a metric is called that was given some name."""
    text = name if isinstance(name, str) else describe(name).text
    return str.encode(text, "utf-8", "backslashreplace").decode()


def _pack_cells(cells: list[Any]) -> bytes:
    """Encode metric points: as rows with names interned in the frame, or as a table."""
    names, steps, values, times = cells[::4], cells[1::4], cells[2::4], cells[3::4]
    if len(names) < TABLE_ROWS:
        seen: dict[str, int] = {}
        parts = []
        for name, step, value, when in zip(names, steps, values, times, strict=True):
            metric: Any = seen.get(name)
            if metric is None:
                _check_name(name)
                seen[name] = len(seen)
                metric = name
            parts.append(pack({"t": when, "e": 16, "m": metric, "s": step, "v": value}))
        return b"".join(parts)
    fields: dict[str, Any] = {"t": times[0], "e": int(EventType.METRIC_TABLE)}
    fields.update(encode_table(names, steps, times, values))
    metrics = fields["m"]
    if len(metrics) == 1:
        _check_name(metrics[0])
    elif set(map(type, metrics)) != {str}:
        raise TypeError
    else:
        "".join(metrics).encode()
    return pack(fields)


def _keys_of(event_type: int) -> dict[str, str]:
    """Return the wire keys of an event that may be appended, by field."""
    try:
        if event_type not in _OF_THE_WRITER:
            return KEYS[event_type]
    except (KeyError, TypeError):
        known = ", ".join(
            f"{schema.type.name} ({number})"
            for number, schema in SCHEMAS.items()
            if number not in _OF_THE_WRITER
        )
        raise InvalidEventError(f"there is no event type {event_type!r}: {known}") from None
    kind = EventType(event_type).name.lower()
    raise InvalidEventError(f"{kind} events are the writer's own; for metrics there is log_point")


def _missing(event_type: int, fields: dict[str, Any]) -> InvalidEventError:
    """Return the error that names the fields which an event needs and was not given."""
    names = [
        name
        for name, may_be_none in REQUIRED[event_type].items()
        if fields.get(name) is None and not (may_be_none and name in fields)
    ]
    kind = EventType(event_type).name.lower()
    return InvalidEventError(
        f"{kind} needs {', '.join(names)}: a reader counts on {'it' if len(names) == 1 else 'them'}"
    )


def _checked_time(when: Any) -> int:
    if type(when) is not int or not -(1 << 63) <= when < 1 << 63:
        raise InvalidEventError(f"time_ns is a whole number of ns since 1970, not {when!r}")
    return when
