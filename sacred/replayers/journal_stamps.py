"""Whether anything happened to the journals of a root, seen without opening one."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot

__all__ = ["JournalStamps", "Stamp"]

#: Two changes of a file within this have one time on the coarsest disk there is (ns).
_GRAIN = 2_000_000_000
#: A journal of more files is read.
_MOST_FILES = 64
#: What tells a ``journal`` folder from what it was: of the folder inode and times; then of each file
#: inode, size and times.
Stamp = tuple[int, ...]


class JournalStamps:
    """Tells whether anything happened to the journals of a root since they were looked at.

    Every change that the system knows of changes a stamp: bytes added, cut off or written over,
    files made, removed, renamed, put in the place of others, rights given and taken, also where a
    copy brings the size and the date of the file before. Where times of files are as coarse as two
    seconds, what changed in the last two is not believed.

    Parameters
    ----------
    root
        Of the runs.
    """

    def __init__(self, root: JournalRoot) -> None:
        self._before = ""
        self._descriptor: int | None = None
        # From the root's descriptor on, a look takes 3 us, from the disk's root 4.
        if os.stat in os.supports_dir_fd:
            with contextlib.suppress(OSError):
                self._descriptor = os.open(str(root.path), os.O_RDONLY | os.O_DIRECTORY)
        if self._descriptor is None:
            self._before = str(root.path) + os.sep

    def close(self) -> None:
        """Let go of the root."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_still(self, number: int, stamp: Stamp, names: tuple[str, ...]) -> bool:
        """Tell whether a run's journal is as it was when a stamp was taken of it.

        Parameters
        ----------
        number
            Of the run.
        stamp, names
            As ``of`` gave them.
        """
        folder = f"{self._before}{number}/journal"
        try:
            found = os.stat(folder, dir_fd=self._descriptor)
            if stamp[:3] != (found.st_ino, found.st_mtime_ns, found.st_ctime_ns):
                return False
            at = 3
            for name in names:
                found = os.stat(f"{folder}/{name}", dir_fd=self._descriptor)
                if stamp[at : at + 4] != (
                    found.st_ino,
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                ):
                    return False
                at += 4
        except (OSError, ValueError):
            return False
        return True

    def of(self, number: int, now: int) -> tuple[Stamp, tuple[str, ...]] | None:
        """Look at a run's journal, before it is read.

        Parameters
        ----------
        number
            Of the run.
        now
            The time by the disk's own clock (ns since the epoch), not later than it is.

        Returns
        -------
        The stamp, and the names of the files. None where it could not tell of a change to come, and
        where the system does not let us look.
        """
        folder = f"{self._before}{number}/journal"
        try:
            found = os.stat(folder, dir_fd=self._descriptor)
            latest = max(found.st_mtime_ns, found.st_ctime_ns)
            stamp = [found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
            names = self._names(folder)
            if len(names) > _MOST_FILES:
                return None
            for name in names:
                found = os.stat(f"{folder}/{name}", dir_fd=self._descriptor)
                if not stat.S_ISREG(found.st_mode):
                    return None
                latest = max(latest, found.st_mtime_ns, found.st_ctime_ns)
                stamp += [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        except (OSError, ValueError):
            return None
        return (tuple(stamp), names) if latest < now - _GRAIN else None

    def _names(self, folder: str) -> tuple[str, ...]:
        if self._descriptor is None:
            return tuple(sorted(os.listdir(folder)))
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._descriptor)
        try:
            return tuple(sorted(os.listdir(opened)))
        finally:
            os.close(opened)
