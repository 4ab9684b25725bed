"""A replayer as a thread of this process: frozen applications can start no other."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from sacred.replayers.serve import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ThreadChannel"]

#: Seconds that the end of the process waits for views that are being written.
_LAST_EFFORT = 10.0


class ThreadChannel:
    """A way to a replayer in a thread here; the same lines as to a process.

    It ends with the process: what is not written by then is for ``sacred-replay``.
    """

    def __init__(self) -> None:
        # What a replayer says to its log is not for the terminal of the experiment.
        log = logging.getLogger("sacred.replayers")
        log.propagate = False
        log.addHandler(logging.NullHandler())
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._service = Service(self._answers.put)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sacred-replayer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._service.run()
        finally:
            self._answers.put(None)

    def send(self, line: bytes) -> None:
        """Have a command carried out."""
        if self._closed:
            raise BrokenPipeError("the replayer ended")
        self._service.command(line)

    def receive(self) -> Iterator[bytes]:
        """Yield what the replayer says."""
        while (line := self._answers.get()) is not None:
            yield line

    def alive(self) -> bool:
        """Return whether the thread runs."""
        return not self._closed and self._thread.is_alive()

    def close(self) -> None:
        """Say that no more commands come."""
        if not self._closed:
            self._closed = True
            self._service.end_of_commands()

    def leave(self) -> None:
        """Give what is being written a moment: the process ends."""
        self._thread.join(_LAST_EFFORT)
