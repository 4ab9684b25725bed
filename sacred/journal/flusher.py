"""The flusher: the thread that writes what waits, and makes durable what was written."""

from __future__ import annotations

import contextlib
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import weakref

    from sacred.journal.pending_writer import PendingWriter

#: The flusher's turns while points come (s), and what is too young for one (ns): together less than
#: ``PATIENCE``, by what a thread that computes in Python may keep the interpreter for itself.
TICK = 0.006
YOUNG = 1_000_000
#: Turns without work after which it waits to be woken: longer than ``IDLE``, so that a steady stream
#: never pays for waking it.
_DOZE_AFTER = 5
_SYNC_EVERY = 1.0


def flush_in_background(reference: weakref.ref[PendingWriter], wake: SimpleQueue[None]) -> None:
    """Write what waits, and make durable what was written, until the writer is closed or gone."""
    turns = Turns(reference, wake)
    while True:
        try:
            if not turns.take():
                return
        except MemoryError:  # whoever has taken it gives it back, or ends with the process
            time.sleep(TICK)


class Turns:
    """The flusher's turns: when the next comes, and when what was written is made durable."""

    def __init__(self, reference: weakref.ref[PendingWriter], wake: SimpleQueue[None]) -> None:
        self._reference = reference
        self._wake = wake
        self._next_sync = 0.0
        self._quiet = 0

    def take(self) -> bool:
        """Do what is due and wait for the next turn; return whether there is to be one."""
        writer = self._reference()
        if writer is None or writer.closed or writer._ending:
            return False
        sleep = writer._tick()
        self._quiet = 0 if sleep is not None else self._quiet + 1
        if writer._syncs and writer._dirty:
            now = time.monotonic()
            if now >= self._next_sync:
                writer._sync_file()
                # A slow disk is given twenty times as long as it took.
                took = time.monotonic() - now
                self._next_sync = now + max(_SYNC_EVERY, 20 * took)
        wake = self._wake
        while not wake.empty():
            wake.get_nowait()
        if writer._due or writer._cells:
            sleep = TICK
        elif writer.fault is not None:
            sleep = max(TICK, writer._retry_at - time.monotonic())
        elif self._quiet < _DOZE_AFTER:
            sleep = TICK
        else:
            pause = max(self._next_sync - time.monotonic(), 0.0)
            sleep = pause if writer._syncs and writer._dirty else None
            writer._dozing = True
            if writer._due or writer._cells:  # came between the look and the doze
                writer._dozing = False
                sleep = TICK
        del writer
        with contextlib.suppress(Empty):
            wake.get(timeout=sleep)
        writer = self._reference()
        if writer is not None:
            writer._dozing = False
        return True
