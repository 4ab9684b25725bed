"""SIGTERM and SIGHUP end a run as Ctrl-C does: recorded, then the process dies by the signal."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["EndingSignals", "Terminated"]

_NAMES = ("SIGTERM", "SIGHUP")


class Terminated(BaseException):
    """A signal asked the process to end.

    No ``Exception``, so that a training loop that catches everything does not catch it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"the process got {signal.Signals(number).name}")
        self.number = number


class EndingSignals:
    """While entered, the signals raise :class:`Terminated` in the main thread.

    Only where nobody handles them: a handler of the user's, and one that is ignored (``nohup``),
    stays. Elsewhere than in the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._replaced: dict[int, Any] = {}
        self._owner = 0

    def __enter__(self) -> EndingSignals:
        """Put the handlers in place."""
        if threading.current_thread() is not threading.main_thread():
            return self
        self._owner = os.getpid()
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                self._replaced[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # A forked worker has no run to end.
        if os.getpid() != self._owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Terminated(number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the old handlers back; after :class:`Terminated`, die of the signal."""
        for number, old in self._replaced.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, old)
        self._replaced.clear()
        if isinstance(error, Terminated):
            # Whoever sent it sees by the exit status that it worked.
            _flush()
            os.kill(os.getpid(), error.number)


def _flush() -> None:
    import sys

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
