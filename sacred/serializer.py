"""Values as documents hold them, and back: what observers of one's own import.

``flatten`` makes what the views of this package hold. ``restore`` reads that, and the marks of
jsonpickle in older documents as far as they stand for plain values. It never builds an object of a
class that a document names: such a mark stays the dictionary that it is.
"""

from __future__ import annotations

from typing import Any

__all__ = ["flatten", "restore"]

#: Marks of jsonpickle that stand for a value without a class of anybody's: those are read.
_MARKS = ("py/tuple", "py/set", "py/b64")
_KEY = "json://"


def flatten(obj: Any) -> Any:
    """Return a value as dictionaries with text keys, lists, numbers, text and None.

    Arrays, tuples and sets become lists, numbers of numpy numbers, times text, objects the text
    that names them; bytes that are no text become base64. Nothing raises for its type.

    Parameters
    ----------
    obj
        Any value: a configuration, ``info``, a result.
    """
    from sacred.core.recorder import recordable
    from sacred.journal.codec import pack, unpack
    from sacred.replayers.plain import plain

    return _timeless(plain(unpack(pack(recordable(obj)))))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def restore(flat: Any) -> Any:
    """Return a copy of what a document holds, tuples, sets and bytes as such where it marks them.

    Parameters
    ----------
    flat
        Dictionaries, lists, numbers and text, of ``flatten`` or of Sacred's. What names a class
        (``{"py/object": ...}``, ``{"py/reduce": ...}``) is returned as it stands there.
    """
    if isinstance(flat, dict):
        if len(flat) == 1:
            mark, content = next(iter(flat.items()))
            if mark in _MARKS:
                return _marked(mark, content, flat)
        return {_key(key): restore(item) for key, item in flat.items()}
    if isinstance(flat, (list, tuple)):
        return [restore(item) for item in flat]
    return flat


def _key(key: Any) -> Any:
    """Return a key that is no text as what it is (``json://1``)."""
    if not isinstance(key, str) or not key.startswith(_KEY):
        return key
    import json

    try:
        found = json.loads(key[len(_KEY) :])
    except ValueError:
        return key
    return key if isinstance(found, (dict, list)) else found


def _marked(mark: str, content: Any, flat: dict[str, Any]) -> Any:
    try:
        if mark == "py/b64":
            import base64

            return base64.b64decode(content)
        items = [restore(item) for item in content]
        return tuple(items) if mark == "py/tuple" else set(items)
    except (TypeError, ValueError):  # it is none, whatever it says
        return dict(flat)
