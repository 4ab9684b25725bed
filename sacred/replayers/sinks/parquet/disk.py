"""The disk below a Parquet view: what its errors mean, and what makes a file durable."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import A_LINK, NO_FILE, open_regular
from sacred.replayers.errors import TerminalSinkError, TransientSinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["create", "disk_errors", "locked_file", "read_file", "replace", "sync"]

#: Errors that waiting does not mend; EEXIST is a file of a folder's name.
_FINAL = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


@contextlib.contextmanager
def disk_errors(base: str, *final: int) -> Iterator[None]:
    """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"the Parquet view {base} can not be written: {reason}"
        if reason in {NO_FILE, A_LINK}:
            text = f"{text.removesuffix(reason)}{error.filename}: {reason}"
            raise TerminalSinkError(f"{text}. Move it away") from error
        if error.errno in _FINAL or error.errno in final:
            raise TerminalSinkError(
                f"{text}. Make it writable, or choose another folder"
            ) from error
        raise TransientSinkError(text) from error


@contextlib.contextmanager
def locked_file(path: str) -> Iterator[None]:
    """Hold a file's lock, where the system has such; the file is made for it.

    Raises
    ------
    FileNotFoundError
        Its folder is not there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = open_regular(path, os.O_CREAT | os.O_RDWR)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_file(path: str) -> bytes:
    """Return what a regular file holds."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


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
