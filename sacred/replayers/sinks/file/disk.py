"""The disk: files that are replaced whole, and what its errors mean for a view."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import open_regular
from sacred.journal.snapshot import Snapshot
from sacred.replayers.disk import errors_of_disk, locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

__all__ = ["copy", "disk_errors", "locked_folder", "offset_of", "replace", "sync"]


def disk_errors(base: str, *final: int) -> AbstractContextManager[None]:
    """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
    return errors_of_disk(f"the file view {base}", *final)


def locked_folder(path: str) -> AbstractContextManager[None]:
    """Hold a folder's lock, where the system has such; no file is made for it."""
    return locked(lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def replace(path: str, content: bytes | Iterable[bytes]) -> None:
    """Give a file a new content, whole or not at all, and durable."""
    folder = os.path.dirname(path)
    aside = folder if folder.endswith(".journal") else os.path.join(folder, ".journal")
    with written_aside(path, aside) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


def copy(source: str, target: str) -> None:
    """Copy a file under a name that it has whole or not at all."""
    import shutil

    # Runs share their sources and resources: another thread may be at the same one.
    descriptor = open_regular(source)
    folder = os.path.dirname(target)
    with os.fdopen(descriptor, "rb") as content, written_aside(target, folder) as file:
        # An observer that is called copies what somebody may go on writing.
        shutil.copyfileobj(Snapshot(content), file, 1 << 20)


def sync(path: str) -> None:
    """Make a file's content durable."""
    descriptor = open_regular(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def offset_of(file: Any, size: int, back: int) -> int:
    """Return the offset of the character that lies ``back`` characters before ``size``."""
    span = min(size, 4 * back)
    file.seek(size - span)
    content = file.read(span)
    at = len(content)
    while at > 0 and back > 0:
        at -= 1
        if content[at] & 0xC0 != 0x80:
            back -= 1
    return size - span + at
