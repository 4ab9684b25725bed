"""The disk below a view that is files: what its errors mean, and a lock between processes."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sacred.journal.regular_file import A_LINK, NO_FILE
from sacred.replayers.errors import TerminalSinkError, TransientSinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["errors_of_disk", "locked"]

#: Errors that waiting does not mend; EEXIST is a file of a folder's name.
_FINAL = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


@contextlib.contextmanager
def errors_of_disk(view: str, *final: int) -> Iterator[None]:
    """Say what a failing disk means for a view.

    Parameters
    ----------
    view
        What it is, for a sentence: ``the file view /data/runs``.
    final
        Errors (``errno``) that waiting does not mend either, here.

    Raises
    ------
    TerminalSinkError, TransientSinkError
        In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"{view} can not be written: {reason}"
        if reason in {NO_FILE, A_LINK}:
            text = f"{text.removesuffix(reason)}{error.filename}: {reason}"
            raise TerminalSinkError(f"{text}. Move it away") from error
        if error.errno in _FINAL or error.errno in final:
            raise TerminalSinkError(
                f"{text}. Make it writable, or choose another folder"
            ) from error
        raise TransientSinkError(text) from error


@contextlib.contextmanager
def locked(opened: Callable[[], int]) -> Iterator[None]:
    """Hold the lock of a file or folder, where the system has such.

    Parameters
    ----------
    opened
        Opens it; called only where there are locks. The descriptor is closed again.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = opened()
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
