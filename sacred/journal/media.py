"""Media types of the pictures that journals hold, and the ends of the names of such files."""

from __future__ import annotations

from sacred.journal.integers import text_of

__all__ = ["PICTURES", "picture_name"]

PICTURES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}


def picture_name(name: str, step: object, content_type: str | None) -> str:
    """Return under which name a view shows the picture of a series."""
    return f"{name}/{text_of(step)}{PICTURES.get(content_type or '', '')}"
