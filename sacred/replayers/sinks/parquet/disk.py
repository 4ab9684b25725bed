"""The disk below a Parquet view: what its errors mean, and what makes a file durable."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import open_regular
from sacred.replayers.disk import errors_of_disk, locked
from sacred.replayers.errors import TerminalSinkError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = [
    "create",
    "damaged",
    "disk_errors",
    "is_parquet",
    "locked_file",
    "read_file",
    "replace",
    "sync",
]

#: How a file of Parquet begins and ends.
_MAGIC = b"PAR1"


def disk_errors(base: str, *final: int) -> AbstractContextManager[None]:
    """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
    return errors_of_disk(f"the Parquet view {base}", errno.EISDIR, *final)


def damaged(base: str, how: str) -> TerminalSinkError:
    """Return the error of a view that has a file which can not be read."""
    return TerminalSinkError(
        f"the Parquet view {base} has a file that is damaged: {how}. "
        "--rebuild writes the run there anew"
    )


def locked_file(path: str) -> AbstractContextManager[None]:
    """Hold a file's lock, where the system has such; the file is made for it.

    Raises
    ------
    FileNotFoundError
        Its folder is not there.
    """
    return locked(lambda: open_regular(path, os.O_CREAT | os.O_RDWR))


def read_file(path: str) -> bytes:
    """Return what a regular file holds."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def is_parquet(path: str) -> bool:
    """Tell whether a file is there and ends as Parquet does: one that was cut off does not."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - len(_MAGIC)))
            return size > 2 * len(_MAGIC) and file.read() == _MAGIC
    except FileNotFoundError:
        return False


def replace(path: str, content: bytes) -> None:
    """Give a file a new content, whole or not at all, and durable."""
    with written_aside(path, os.path.dirname(path)) as file:
        file.write(content)


def create(path: str, content: bytes) -> None:
    """Write a file where nothing is; not durable yet."""
    with os.fdopen(open_regular(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as file:
        file.write(content)


def sync(path: str) -> None:
    """Make a file's content durable."""
    descriptor = open_regular(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
