"""Reading a file as it is at one moment, however fast somebody goes on writing it."""

from __future__ import annotations

import os
from typing import BinaryIO

__all__ = ["Snapshot"]

#: Bytes that are read at most of a file that tells no size.
_UNTOLD = 4 << 20


class Snapshot:
    """The bytes that an open file had when this was made; what is appended later is not read.

    Parameters
    ----------
    file
        Stands at its beginning.

    Attributes
    ----------
    size
        The bytes it had.
    """

    __slots__ = ("_file", "_left", "size")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        # A file of the system's own (/proc) has a size of 0, and content all the same.
        self._left = self.size or _UNTOLD

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most so many; none at the end.

        Parameters
        ----------
        size
            All that are left, if it is negative.
        """
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def rewind(self) -> None:
        """Begin again; the end stays where it is."""
        self._file.seek(0)
        self._left = self.size or _UNTOLD
