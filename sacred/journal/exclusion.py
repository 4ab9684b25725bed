"""One thread at a time in a writer, also where signal handlers and the interpreter's end come in."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _Result = TypeVar("_Result")


class Exclusion:
    """The lock of a writer. Whoever calls a method that says so holds it."""

    #: The interpreter ends: for writers that are made from then on, too.
    _all_ending = False

    def __init__(self) -> None:
        self._new_locks()

    def _new_locks(self) -> None:
        # Re-entrant: a signal handler that waited for its own thread would wait for ever.
        self._lock = threading.RLock()
        self._busy = False
        self._ending = Exclusion._all_ending
        self._deferred = False
        self._sync_lock = threading.RLock()

    def _exclusively(self, work: Callable[..., _Result], *args: Any) -> _Result | None:
        """Call a function while this thread holds the lock, and return what it returned.

        None, and nothing is called, if it is a signal handler that interrupted this very thread
        in here: what it left is written as soon as the interrupted call is through.
        """
        if self._is_frozen():
            return None
        # An interrupt may come between any two calls. ``with`` takes the lock in one step, and
        # nothing is called between that and the mark: the lock is never left behind.
        try:
            with self._lock:
                if self._busy:
                    self._deferred = True
                    return None
                self._busy = True
                try:
                    return work(*args)
                finally:
                    self._busy = False
        finally:
            if self._deferred and not self._busy:
                self._deferred = False
                self._write_deferred()

    def _is_frozen(self) -> bool:
        """Tell whether a lock is held by a thread that the interpreter's end has stopped for good.

        A finalizer that waited for it would wait for ever.
        """
        if not sys.is_finalizing():
            return False
        for lock in (self._lock, self._sync_lock):
            if not lock.acquire(blocking=False):
                return True
            lock.release()
        return False

    def _write_deferred(self) -> None:
        """Write what a signal handler left; for whoever takes events."""
