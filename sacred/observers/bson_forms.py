"""Values in a form that BSON can hold."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "encoding_errors",
    "force_bson_encodeable",
    "force_valid_bson_key",
    "storable",
    "storable_json",
]


def force_valid_bson_key(key: Any) -> Any:
    """Return a key that every server takes."""
    text = text_of(key)
    return ("@" + text[1:] if text.startswith("$") else text).replace(".", ",")


def force_bson_encodeable(obj: Any) -> Any:
    """Return an object as BSON can hold it; what it can not hold becomes text."""
    if isinstance(obj, dict):
        return {
            key if key == "_id" else force_valid_bson_key(key): force_bson_encodeable(item)
            for key, item in obj.items()
        }
    import bson

    try:
        bson.encode({"value": obj})
    except Exception:  # InvalidDocument, OverflowError, and what the methods of its class raise
        if isinstance(obj, (list, tuple)):
            return [force_bson_encodeable(item) for item in obj]
        return text_of(obj)
    return obj


def storable(value: Any) -> Any:
    """Return a value as readable lists, maps, numbers and text that BSON can hold."""
    from sacred.observers.direct import plain_value
    from sacred.replayers.sinks.mongo.values import bson_value

    return bson_value(plain_value(value))


def storable_json(value: Any) -> Any:
    """Return a value as ``storable`` does, with times as texts: clients read it as JSON."""
    from sacred.observers.direct import plain_value
    from sacred.replayers.sinks.mongo.values import bson_value, json_value

    return bson_value(json_value(plain_value(value)))


@contextmanager
def encoding_errors() -> Iterator[None]:
    """Say as Sacred does that an entry has something that BSON can not hold."""
    from bson.errors import InvalidDocument

    try:
        yield
    except (InvalidDocument, OverflowError) as error:
        from sacred.core.errors import ObserverError

        raise ObserverError(
            f"Run contained an unserializable entry.(most likely in the info)\n{error}"
        ) from error
