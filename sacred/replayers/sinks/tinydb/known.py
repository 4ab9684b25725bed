"""What this process knows of a database file: a replay of many runs does not read it anew for each.

A file is known as long as its name leads to the very file that was seen, unchanged: it is held open, so
that no other one gets its number.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from sacred.journal.regular_file import open_regular

__all__ = ["KnownFile", "Table", "Tables", "Texts", "forget", "known_file", "remember"]

#: Documents by the text of their number.
Table = dict[str, dict[str, Any]]
Tables = dict[str, Table]
#: By table and number: a document, and what it is as JSON.
Texts = dict[tuple[str, str], tuple[dict[str, Any], str]]

#: Larger files are read each time, rather than held in memory (bytes).
_MOST = 64 << 20
#: So many files are known at once.
_FILES = 4

_known: dict[str, KnownFile] = {}
_lock = threading.Lock()


class KnownFile:
    """A file that is held open, and what is in it.

    Attributes
    ----------
    size
        In bytes.
    tables
        What it holds. They are shared: nobody changes them.
    texts
        Its documents as JSON, as far as they were written here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pid = os.getpid()
        self._facts = _facts(os.fstat(descriptor))
        self.size = os.fstat(descriptor).st_size
        self.tables: Tables = {}
        self.texts: Texts = {}

    @classmethod
    def opened(cls, path: str) -> KnownFile | None:
        """Open a file; None if it is not there.

        Raises
        ------
        OSError
            The disk failed, or it is no regular file.
        """
        try:
            return cls(open_regular(path))
        except FileNotFoundError:
            return None

    def content(self) -> bytes:
        """Return what the file holds."""
        with open(self._descriptor, "rb", closefd=False) as file:
            return file.read()

    def is_at(self, path: str) -> bool:
        """Tell whether a name leads to this file, and the file is as it was."""
        try:
            return self._pid == os.getpid() and self._facts == _facts(os.lstat(path))
        except OSError:
            return False

    def close(self) -> None:
        """Let it go."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


def known_file(path: str) -> KnownFile | None:
    """Return what is known of the file that has a name now; None if that is nothing."""
    with _lock:
        known = _known.get(path)
    return known if known is not None and known.is_at(path) else None


def remember(path: str, known: KnownFile) -> None:
    """Know a file from now on, if it is worth it."""
    with _lock:
        _known.pop(path, None)
        # An open file can not be replaced on Windows.
        if os.name != "nt" and known.size <= _MOST:
            while len(_known) >= _FILES:
                _known.pop(next(iter(_known)))
            _known[path] = known


def forget(path: str) -> None:
    """Know nothing of it any more."""
    with _lock:
        _known.pop(path, None)


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return (
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
