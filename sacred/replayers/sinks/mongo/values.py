"""Plain values as BSON can hold them, and the ids of what belongs to a run."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bson import ObjectId

_MAX_DEPTH = 90
#: Clients read these as JSON: for one time in an ``info``, incense lists no run of the database.
_JSON_FIELDS = frozenset({"info", "result"})


def bson_document(fields: Mapping[str, Any], *, safe_keys: bool) -> dict[str, Any]:
    """Return the fields of a document; with ``safe_keys`` $ and . in keys as Sacred writes them."""
    return {
        name: bson_value(json_value(value) if name in _JSON_FIELDS else value, safe_keys=safe_keys)
        for name, value in fields.items()
    }


def bson_column(values: list[Any]) -> list[Any]:
    """Return the elements of an array."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return values
    if kinds == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 63:
        return values
    return [bson_value(value) for value in values]


def bson_value(value: Any, depth: int = 0, *, safe_keys: bool = False) -> Any:
    """Return a plain value as BSON can hold it."""
    kind = type(value)
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if kind is dict:
        if depth > _MAX_DEPTH:
            return str(value)[:4096]
        return {
            key: bson_value(item, depth + 1, safe_keys=safe_keys)
            for key, item in _keyed(value, safe_keys)
        }
    if kind is list:
        if depth > _MAX_DEPTH:
            return str(value)[:4096]
        return [bson_value(item, depth + 1, safe_keys=safe_keys) for item in value]
    return value


def json_value(value: Any) -> Any:
    """Return a plain value with its times as texts, for what clients read as JSON."""
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value


def _keyed(value: dict[str, Any], safe: bool) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a map with keys that BSON has; of two that become one, both stay."""
    keys = [_key(key, safe) for key in value]
    if len(set(keys)) == len(keys):
        yield from zip(keys, value.values(), strict=True)
        return
    # A key that needs no change keeps its name, wherever it stands.
    taken = {key for key in keys if key in value}
    for (before, item), key in zip(value.items(), keys, strict=True):
        name, number = key, 1
        while name != before and name in taken:
            number += 1
            name = f"{key} ({number})"
        taken.add(name)
        yield name, item


def _key(key: str, safe: bool) -> str:
    key = key.replace("\0", "")
    return key.replace("$", "@").replace(".", ",") if safe else key


def object_id(*parts: str) -> ObjectId:
    """Return an id that is the same whenever it is asked for."""
    import hashlib

    from bson import ObjectId

    text = "\0".join(parts).encode("utf-8", "replace")
    return ObjectId(hashlib.sha256(text).digest()[:12])


def listed_metrics(own: Any) -> Any:
    """Return what a user put into ``info["metrics"]``, so that clients can read the run's metrics there.

    Omniboard makes an ObjectId of every ``id`` in it, and shows no run at all where one can be none:
    that ``id`` is called ``id_``.
    """
    if isinstance(own, list):
        return [listed_metrics(one) if isinstance(one, dict) else one for one in own]
    if not isinstance(own, dict) or own.get("id") is None:
        return own
    if isinstance(own["id"], str) and re.fullmatch("[0-9a-fA-F]{24}", own["id"]):
        return own
    return {"id_" if name == "id" else name: value for name, value in own.items()}
