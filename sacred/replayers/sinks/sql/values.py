"""Plain values as the columns can hold them."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import open_regular
from sacred.replayers.jsontext import to_json
from sacred.replayers.lines import tail_of

if TYPE_CHECKING:
    from sacred.replayers.sink import FileEntry

__all__ = [
    "EXACT",
    "blob_bytes",
    "bounded_json",
    "bounded_output",
    "double",
    "exact_point",
    "number",
    "sql_text",
    "artifact_key",
]

#: Integers beyond are rounded by a double.
EXACT = 1 << 53
#: Of an output that is too long so much is kept (bytes).
_TAIL = 1 << 20


def sql_text(value: Any) -> str | None:
    """Return a text for a column, of the same length; None stays None.

    PostgreSQL takes no NUL.
    """
    return None if value is None else str(value).replace("\0", "\ufffd")


def double(value: Any) -> float | None:
    """Return a number as a double; None if it is none that every database takes."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def number(value: Any) -> Any:
    """Return what a text says that is a number (``-P 3``); any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None


def exact_point(step: Any, value: Any) -> str | None:
    """Return [step, value] as JSON, if a double can not stand for one of them."""
    if _is_double(step) and _is_double(value):
        return None
    return to_json([step, value])


def _is_double(value: Any) -> bool:
    if type(value) is float:
        # SQLite keeps a zero without its sign.
        return math.isfinite(value) and (value != 0.0 or math.copysign(1.0, value) > 0.0)
    return type(value) is int and -EXACT <= value <= EXACT


def bounded_json(value: Any, most: int) -> str:
    """Return JSON; of a value that is larger than the database takes, a note that says so."""
    text = to_json(value)
    size = len(text.encode("utf-8", "replace"))
    if size <= most:
        return text
    return to_json({"too_large": f"{size} bytes: too large for the database, kept in the journal"})


def bounded_output(text: str, most: int) -> str:
    """Return the output; of one that is larger than the database takes, its end."""
    content = text.encode("utf-8", "replace")
    if len(content) <= most:
        return text
    tail = tail_of(content, min(_TAIL, most // 2))
    return f"[{len(content)} bytes of output, whole in the journal; its end:]\n{tail}"


def blob_bytes(path: str | os.PathLike[str] | None, most: int) -> bytes | None:
    """Return a file's content; None if there is none, or more than the database takes."""
    if path is None:
        return None
    with os.fdopen(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            return None
        return file.read()


def artifact_key(entry: FileEntry) -> str:
    """Return what tells an artifact from the others of its run."""
    import hashlib

    parts = (entry.name, str(entry.digest), str(entry.version))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
