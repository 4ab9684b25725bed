"""The rows of the relations that are the same wherever they are made: by a query, in a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text
from sacred.replayers.points import exact_number

if TYPE_CHECKING:
    from sacred.replayers.sink import FileEntry

__all__ = ["file_row", "leaf_row"]


def leaf_row(value: Any) -> tuple[str, str | None, float | None, int | None, bool | None]:
    """Return type, value, number, integer and truth of a leaf, as relation ``config`` has them."""
    if value is None:
        return "null", None, None, None, None
    if isinstance(value, bool):
        return "bool", to_json(value), None, None, value
    if isinstance(value, int):
        whole = value if -(1 << 63) <= value < 1 << 63 else None
        return "int", str(value), exact_number(value)[0], whole, None
    if isinstance(value, float):
        text = to_json(value).strip('"')
        return "float", text, value, None, None
    if isinstance(value, str):
        return "str", plain_text(value), None, None, None
    kind = "list" if isinstance(value, list) else "map" if isinstance(value, dict) else "other"
    return kind, to_json(value), None, None, None


def file_row(entry: FileEntry) -> tuple[Any, ...]:
    """Return the row of a file, as the relation of its role has it, without the run."""
    about = (entry.size if entry.digest else None, entry.digest, entry.md5)
    if entry.role == "artifact":
        metadata = None if entry.metadata is None else to_json(entry.metadata)
        return entry.name, entry.path, *about, entry.content_type, metadata, entry.version
    if entry.role == "resource":
        return entry.path, *about
    return entry.name, entry.path, *about
