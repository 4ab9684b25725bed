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
    from pathlib import Path

__all__ = ["errors_of_disk", "errors_of_notes", "locked"]

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
#: What is no regular file is EINVAL, one that is too large to be of ours EFBIG.
_FINAL_NOTES = frozenset({*_FINAL, errno.EINVAL, errno.EFBIG})


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
def errors_of_notes(consequence: str, folder: Path | None) -> Iterator[None]:
    """Say what it means that a sink can not remember on this machine what it did.

    Parameters
    ----------
    consequence
        What it does not do then, for a sentence: ``nothing is sent``.
    folder
        Where it is remembered.

    Raises
    ------
    TerminalSinkError, TransientSinkError
        In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        text = (
            f"{consequence}, because it could not be remembered in {folder}: "
            f"{error.strerror or error}"
        )
        if error.errno in _FINAL_NOTES:
            raise TerminalSinkError(f"{text}. Make the folder writable") from None
        raise TransientSinkError(text) from None


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
