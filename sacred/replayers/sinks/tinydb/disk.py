"""The disk below a TinyDB: what its errors mean for the view, and the lock between processes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
from typing import TYPE_CHECKING

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import A_LINK, open_regular
from sacred.journal.root import fsync_folder
from sacred.replayers.disk import errors_of_disk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

__all__ = ["FolderLock", "disk_errors", "read_file", "replace", "sweep", "sweep_files"]

#: The names under which files are written aside.
_ASIDE = re.compile(r"\..{1,100}\.json\.[0-9a-f]{12}")
#: And those of stored files, which nobody goes on writing after so long (s).
_NEW = re.compile(r"\.{1,2}new\.[0-9a-f]{12}(?:\.[0-9a-f]{12})?")
_ABANDONED = 3600.0


def disk_errors(base: str, *final: int) -> AbstractContextManager[None]:
    """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
    return errors_of_disk(f"the TinyDB {base}", errno.EISDIR, *final)


class FolderLock:
    """A folder's lock: one thread of one process at a time, as often as that one asks for it.

    No file is made for it, and it ends with the process. Where the system has no such locks, the
    threads of this process alone are kept apart.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._mutex = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    def __enter__(self) -> None:
        """Wait for it.

        Raises
        ------
        OSError
            The folder is not there, or can not be opened.
        """
        self._mutex.acquire()
        try:
            if not self._depth:
                self._descriptor = _locked(self._path)
            self._depth += 1
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._depth -= 1
        if not self._depth and self._descriptor >= 0:
            _unlock(self._descriptor)
            self._descriptor = -1
        self._mutex.release()


def _locked(path: str) -> int:
    try:
        import fcntl
    except ImportError:
        return -1
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _unlock(descriptor: int) -> None:
    import fcntl

    # A child that was forked meanwhile has the descriptor too: closing ours does not unlock it.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def read_file(path: str) -> bytes:
    """Return what a regular file holds."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def replace(path: str, content: Iterable[bytes]) -> None:
    """Give a file a new content, whole or not at all, and durable; who may read it stays.

    Parameters
    ----------
    path
        The file.
    content
        In pieces.

    Raises
    ------
    OSError
        The disk refuses, or the name is that of a link, a folder, a pipe.
    """
    if os.path.islink(path):
        raise OSError(errno.ELOOP, A_LINK, path)
    folder = os.path.dirname(path)
    with written_aside(path, folder) as file:
        if hasattr(os, "fchmod"):
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o777)
        file.writelines(content)
    fsync_folder(folder)


def sweep(folder: str) -> None:
    """Remove what kills left of files that were being replaced; the caller holds the lock."""
    _remove(folder, _ASIDE)


def sweep_files(folder: str) -> None:
    """Remove what kills left of stored files: they have no lock, so that one may be on its way."""
    _remove(folder, _NEW, older_than=_ABANDONED)


def _remove(folder: str, names: re.Pattern[str], older_than: float = 0.0) -> None:
    with contextlib.suppress(OSError):  # another one's, or a folder that is not there
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if names.fullmatch(name) and time.time() - os.lstat(path).st_mtime >= older_than:
                os.unlink(path)
