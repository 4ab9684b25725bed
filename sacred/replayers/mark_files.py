"""The numbers by which a place is known again, as files of a folder.

Each is of its own, named by its owner: the roots that are written into one place do not meet there.
"""

from __future__ import annotations

import os

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import read_regular
from sacred.journal.root import fsync_folder
from sacred.replayers.disk import locked

__all__ = ["MarkFiles", "number_of"]

#: A number has fewer digits.
_MOST = 64


class MarkFiles:
    """Numbers as files.

    Parameters
    ----------
    folder
        Where they lie; made with the first.
    beginning
        Of their names.
    """

    def __init__(self, folder: str | os.PathLike[str], beginning: str = "") -> None:
        self._folder = os.fspath(folder)
        self._beginning = beginning

    def get(self, owner: str) -> int:
        """Return an owner's number; 0 if there is none, or it is damaged.

        Raises
        ------
        OSError
            It can not be read.
        """
        try:
            return number_of(read_regular(self._path(owner), _MOST))
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def raise_to(self, owner: str, number: int) -> None:
        """Write a number, durably, unless there is a larger one.

        Raises
        ------
        OSError
            The disk refuses.
        """
        os.makedirs(self._folder, exist_ok=True)
        with locked(lambda: os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)):
            if self.get(owner) < number:
                with written_aside(self._path(owner), self._folder) as file:
                    file.write(b"%d\n" % number)
                fsync_folder(self._folder)

    def _path(self, owner: str) -> str:
        return os.path.join(self._folder, self._beginning + owner)


def number_of(content: bytes) -> int:
    """Return the number that a file or an object holds; 0 if that is none."""
    text = content.strip()
    return int(text) if text.isdigit() and len(text) < _MOST else 0
