"""One at a time where files of a run that nobody writes any more are sealed, repaired or gone on with.

Sealing adds the last output of a run that was killed, and going on with the run does so, too: if both
did at once, the numbers of these events would be given twice. The lock is on the folder itself, so
that nothing is left behind; it ends with the process.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sacred.journal.errors import JournalBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["locked_journal"]

#: Sealing 256 MiB takes some ten seconds.
_PATIENCE = 60.0
_PAUSE = 0.02


@contextmanager
def locked_journal(
    folder: str | os.PathLike[str],
    patience: float = _PATIENCE,
    *,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock of a ``journal`` folder, in a ``with`` statement.

    Whoever seals or repairs a journal, or goes on with it, holds it meanwhile; who reads, and the
    writers, need it not. It ends with the process, however that ends.

    Where the system has no such locks (Windows, some network file systems), nothing is held: then
    the names of the files decide, which are made by one process only.

    Parameters
    ----------
    folder
        The folder.
    patience
        For how long to wait for another process (s).
    on_wait
        Called once, as soon as another process is found to hold it.

    Yields
    ------
    Nothing, while it is held.

    Raises
    ------
    JournalBusyError
        Another process holds it for longer.
    """
    descriptor = _opened(folder)
    try:
        if descriptor >= 0:
            _take(descriptor, folder, patience, on_wait)
        yield
    finally:
        if descriptor >= 0:
            _give_back(descriptor)


def _opened(folder: str | os.PathLike[str]) -> int:
    if os.name == "nt":
        return -1
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1  # whoever works in it is told why


def _give_back(descriptor: int) -> None:
    import fcntl

    # A child that was forked meanwhile has the descriptor too: closing ours does not unlock it.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _take(
    descriptor: int,
    folder: str | os.PathLike[str],
    patience: float,
    on_wait: Callable[[], None] | None,
) -> None:
    import fcntl

    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise JournalBusyError(
                    f"{os.fspath(folder)} is being sealed, repaired or gone on with by another process: "
                    "try again when that is done"
                ) from None
            if on_wait is not None:
                on_wait()
                on_wait = None
            time.sleep(_PAUSE)
        except OSError:
            return
        else:
            return
