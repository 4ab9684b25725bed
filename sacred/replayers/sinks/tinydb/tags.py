"""Values that JSON has no form for, as Sacred writes them into a TinyDB: ``"{TinyDate}:..."``.

Reading never fails for what a text holds: one that only looks like a tagged value stays a text. Nothing
but dates, numbers and names of stored files comes of it.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from typing import TYPE_CHECKING, Any

from sacred.replayers.sinks.tinydb.files import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "array_text",
    "date_text",
    "file_tag",
    "is_frame",
    "is_numpy_array",
    "is_series",
    "tagged",
    "untagged",
]

DATE, FILE, ARRAY = "{TinyDate}:", "{TinyFile}:", "{TinyArray}:"
FRAME, SERIES = "{TinyDataFrame}:", "{TinySeries}:"
_TIME = "%Y-%m-%dT%H:%M:%S.%f"


def is_numpy_array(value: Any) -> bool:
    """Tell whether a value is one of numpy's arrays; numpy is not loaded for it."""
    numpy = sys.modules.get("numpy")
    return isinstance(value, getattr(numpy, "ndarray", ()))


def is_frame(value: Any) -> bool:
    """Tell whether a value is a table of pandas; pandas is not loaded for it."""
    return isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ()))


def is_series(value: Any) -> bool:
    """Tell whether a value is a column of pandas; pandas is not loaded for it."""
    return isinstance(value, getattr(sys.modules.get("pandas"), "Series", ()))


def date_text(value: dt.datetime) -> str:
    """Return a time as ``{TinyDate}`` has it: always with microseconds, and without a zone."""
    return value.replace(tzinfo=None).isoformat(timespec="microseconds")


def array_text(value: Any) -> str:
    """Return an array as nested lists."""
    return json.dumps(value.tolist(), default=str)


def file_tag(md5: str) -> str:
    """Return what stands for a stored file."""
    return FILE + json.dumps(md5)


def tagged(value: Any, store: Callable[[Any], str] | None = None) -> Any:
    """Return a value as JSON can hold it.

    Parameters
    ----------
    value
        Nested dicts, lists and tuples.
    store
        Takes an open file and returns its md5; without it, only stored files are known.
    """
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, dict):
        return {key: tagged(item, store) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tagged(item, store) for item in value]
    if isinstance(value, dt.datetime):
        return DATE + date_text(value)
    if isinstance(value, StoredFile) and value.md5:
        return file_tag(value.md5)
    if isinstance(value, io.BufferedReader) and store is not None:
        return file_tag(store(value))
    if is_numpy_array(value):
        return ARRAY + array_text(value)
    if is_frame(value):
        return FRAME + str(value.to_json())
    if is_series(value):
        return SERIES + str(value.to_json())
    return value


def untagged(value: Any, find: Callable[[str], Any]) -> Any:
    """Return a value of the JSON with times, files, arrays and tables in the places of their tags.

    Parameters
    ----------
    value
        Is not changed.
    find
        Takes an md5 and returns a reader of the file.
    """
    if isinstance(value, str):
        return _untagged_text(value, find) if value.startswith("{Tiny") else value
    if isinstance(value, dict):
        return {key: untagged(item, find) for key, item in value.items()}
    if isinstance(value, list):
        return [untagged(item, find) for item in value]
    return value


def _untagged_text(text: str, find: Callable[[str], Any]) -> Any:
    tag, colon, rest = text.partition("}:")
    try:
        if tag + colon == DATE:
            return dt.datetime.strptime(rest, _TIME)  # noqa: DTZ007 - Sacred's times are naive UTC
        if tag + colon == FILE:
            md5 = json.loads(rest)
            return find(md5) if isinstance(md5, str) and md5.isalnum() and md5.isascii() else text
        if tag + colon == ARRAY:
            return array_of(json.loads(rest))
        if tag + colon in {FRAME, SERIES}:
            return table_of(rest, tag + colon == SERIES)
    except (ValueError, RecursionError):
        return text
    return text


def array_of(lists: Any) -> Any:
    """Return lists as an array of numpy, or as they are where it is not installed."""
    try:
        import numpy as np
    except ImportError:
        return lists
    return np.array(lists)


def table_of(text: str, is_column: bool) -> Any:
    """Return a table or column of pandas from its JSON, or a dict where that is not installed."""
    found = json.loads(text)
    try:
        import pandas as pd
    except ImportError:
        return found
    # From an open text: a path or an address is none.
    return pd.read_json(io.StringIO(text), typ="series" if is_column else "frame")
