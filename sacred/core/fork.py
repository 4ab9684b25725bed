"""What threads of ours may do while the program forks.

A forked child has one thread. What another thread held at that moment is held in the child for ever:
a lock, and a module that was just being imported, for which every import of it waits. The program does
not know that we have threads, so nothing of theirs may be in the way of its forks.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["IMPORTING", "ForkSafeLock", "ImportGuard", "load_hashes"]

#: Seconds that a fork waits for an import at most; a file system may hang.
PATIENCE = 10.0


class ForkSafeLock:
    """A re-entrant lock that a forked child finds free, unless the thread that forked has it."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()


_locks: WeakSet[ForkSafeLock] = WeakSet()


def _after_fork_in_child() -> None:
    for lock in _locks:
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class ImportGuard(ForkSafeLock):
    """Held by a thread of ours while it imports; a fork of the program waits for it.

    Not to be held while anything else is waited for. Re-entrant; a fork by whoever holds it goes on.
    """

    __slots__ = ("_forking",)

    def __init__(self) -> None:
        super().__init__()
        self._forking = threading.local()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._after, after_in_child=self._after
            )

    def _before(self) -> None:
        self._forking.holds = self._lock.acquire(timeout=PATIENCE)

    def _after(self) -> None:
        if self._forking.holds:
            self._lock.release()


IMPORTING = ImportGuard()


def load_hashes() -> None:
    """Load the fast checksums, in any thread."""
    from sacred.journal.digests import load_openssl

    with IMPORTING:
        load_openssl()
