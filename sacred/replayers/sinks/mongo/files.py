"""Files in GridFS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CHUNK = 1 << 20


def chunks(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece."""
    with os.fdopen(open_regular(path), "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def md5_of(path: Path) -> str:
    """Return the md5 of a file's content, in hexadecimal."""
    import hashlib

    found = hashlib.md5(usedforsecurity=False)
    for chunk in chunks(path):
        found.update(chunk)
    return found.hexdigest()


def put_file(
    fs: Any,
    file_id: Any,
    content: Iterable[bytes],
    name: str,
    md5: str | None,
    content_type: str | None,
    metadata: Any,
) -> None:
    """Store a file under an id; one that is there already has the same content."""
    from gridfs.errors import FileExists

    # What an upload that was cut off left: chunks without a file are invisible.
    fs.delete(file_id)
    facts: dict[str, Any] = {"filename": name, "metadata": metadata}
    facts |= {"contentType": content_type, "md5": md5}
    if metadata is None and content_type is None and not name.startswith("artifact://"):
        facts = {"filename": name, "md5": md5}
    try:
        file = fs.new_file(_id=file_id, **facts)
        try:
            for chunk in content:
                file.write(chunk)
        except BaseException:
            file.abort()
            raise
        file.close()
    except FileExists:
        return  # another replayer was faster; the content is the same
