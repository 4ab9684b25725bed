"""Values as the program had them: what an observer is given that is called in the run's process."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sacred.journal.codec import Array, BlobReference, ObjectText
from sacred.replayers.plain import plain

__all__ = ["native"]

#: What lies deeper is shown as views show it.
_DEPTH = 200
_ATOMS = (type(None), bool, int, float, complex, str, bytes)
_TIMES = (dt.datetime, dt.date, dt.time, dt.timedelta)


def native(value: Any, depth: int = 0) -> Any:
    """Return a value of a journal in the types that the program used, as far as they were kept.

    Tuples are tuples, keys are what they were, sets are sets, and arrays are those of numpy where
    numpy is installed, else lists. Of an object there is the text that stands for it.
    """
    if type(value) in _ATOMS or isinstance(value, _TIMES):
        return value
    if depth >= _DEPTH or isinstance(value, (ObjectText, BlobReference)):
        return plain(value)
    inside = depth + 1
    if isinstance(value, dict):
        return {native(key, inside): native(item, inside) for key, item in value.items()}
    if type(value) is list:
        return [native(item, inside) for item in value]
    if isinstance(value, Array):
        return _array(value)
    if type(value) is tuple:
        return tuple(native(item, inside) for item in value)
    if isinstance(value, (set, frozenset)):
        return {native(item, inside) for item in value}
    return value


def _array(value: Array) -> Any:
    try:
        import numpy as np
    except ImportError:
        return plain(value)
    try:
        # A copy: what is made of bytes can not be written to.
        return np.frombuffer(value.data, value.dtype).reshape(value.shape).copy()
    except Exception:  # an element type of a newer numpy, or bytes that are not of the shape
        return plain(value)
