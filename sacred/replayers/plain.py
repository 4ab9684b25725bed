"""Values as views show them: readable lists, dicts, numbers and text, whatever they were."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from sacred.journal.codec import Array, BlobReference, ObjectText, pack
from sacred.journal.integers import text_of, whole_number
from sacred.replayers.sink import FileEntry

__all__ = ["plain", "plain_text", "utc"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
_ATOMS = (type(None), bool, float)
#: So many containers may stand within one another: each takes every reader of a view a part of its
#: stack, which ends at some hundreds in most of them.
MAX_DEPTH = 200
_TOO_DEEP = "<nested too deeply>"
#: And so many dimensions an array may have; numpy's have 64 at most.
_MAX_DIMENSIONS = 64


def utc(nanoseconds: int) -> dt.datetime:
    """Return a time of the journal as Sacred writes times: naive UTC, microseconds."""
    return _EPOCH + dt.timedelta(microseconds=nanoseconds // 1000)


def plain_text(text: str) -> str:
    """Return a text that every backend can encode; of the same length."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value made of dicts with text keys, lists, numbers, text, None and datetimes.

    Arrays, tuples and sets become lists, objects the text that stands for them, bytes text
    (base64 if they are none), aware times naive UTC, integers of more than 4,300 digits
    hexadecimal text, and what lies deeper than 200 containers a text that says so. Nothing raises for its type.
    """
    kind = type(value)
    if kind in _ATOMS or kind is FileEntry:
        return value
    if kind is int:
        return whole_number(value)
    if kind is str:
        return plain_text(value)
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return _TOO_DEEP
        inside = depth + 1
        return {plain_text(text_of(key)): plain(item, inside) for key, item in value.items()}
    if kind is list:
        if depth >= MAX_DEPTH:
            return _TOO_DEEP
        inside = depth + 1
        return [plain(item, inside) for item in value]
    return _plain_rare(value, depth)


def _plain_rare(value: Any, depth: int) -> Any:
    if isinstance(value, Array):
        if len(value.shape) > _MAX_DIMENSIONS:
            return f"<array of {value.dtype}, {len(value.shape)} dimensions>"
        try:
            listed = value.tolist()
        except Exception:  # an element type that needs numpy, or that it does not know either
            return f"<array of {value.dtype}, shape {value.shape}>"
        return listed if value.of_numbers else plain(listed, depth)
    if isinstance(value, ObjectText):
        return plain_text(value.text)
    if isinstance(value, BlobReference):
        return f"<a value of {value.size} bytes, kept as blob {value.digest}>"
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=pack)
    if isinstance(value, (list, tuple)):
        return _TOO_DEEP if depth >= MAX_DEPTH else [plain(item, depth + 1) for item in value]
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return value
        return value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, int) and type(value) is not bool:
        return whole_number(int(value))
    if isinstance(value, (bool, float)):
        return value
    return plain_text(text_of(value))
