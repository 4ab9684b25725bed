"""An id that the user gave: one run of a root has it, however many ask for it at once."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sacred.journal.regular_file import open_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GivenId"]


class GivenId:
    """The right to begin a run with an id, from the question whether it is free to the run's start.

    It is a lock on the id's note in the root, which ends with the process. Where the system has no
    such locks (Windows, some network file systems), everybody gets it: then only processes that ask
    one after the other are told apart.

    Parameters
    ----------
    note
        The file that tells under which number the run with this id lies; made if it is not there.
    """

    def __init__(self, note: Path) -> None:
        self._descriptor = -1
        self._note = note

    def take(self) -> bool:
        """Take it, without waiting; False if somebody else is about to begin such a run."""
        if os.name == "nt":
            return True
        import fcntl

        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_regular(self._note, os.O_RDWR | os.O_CREAT)
        except OSError:
            return True  # a root that can not be written says so itself
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            return True
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give it back: the run has begun, or does not begin. May be called again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        import fcntl

        # A child that was forked meanwhile has the descriptor too: closing ours does not unlock it.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(descriptor)
