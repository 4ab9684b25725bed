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
    stays. Elsewhere than in the main thread it does nothing. Runs may overlap in any order: the
    last one to leave puts the old handlers back.
    """

    def __init__(self) -> None:
        self._owner = 0

    def __enter__(self) -> EndingSignals:
        """Put the handlers in place."""
        if threading.current_thread() is not threading.main_thread():
            return self
        self._owner = os.getpid()
        _entered.append(self)
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                _replaced[number] = signal.signal(number, _handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the old handlers back; after :class:`Terminated`, die of the signal."""
        if self in _entered:
            _entered.remove(self)
        if _others_go_on():
            return
        if threading.current_thread() is threading.main_thread():
            for number, old in _replaced.items():
                if signal.getsignal(number) is _handle:
                    signal.signal(number, old)
            _replaced.clear()
        if isinstance(error, Terminated):
            # Whoever sent it sees by the exit status that it worked.
            _flush()
            os.kill(os.getpid(), error.number)


#: Those that were entered and not left yet; in a forked child also its parent's.
_entered: list[EndingSignals] = []
#: What was there before, by the number of the signal.
_replaced: dict[int, Any] = {}


def _others_go_on() -> bool:
    return any(guard._owner == os.getpid() for guard in _entered)


def _handle(number: int, _frame: FrameType | None) -> None:
    # A forked worker has no run to end.
    if not _others_go_on():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    raise Terminated(number)


#: The signal mask of a thread that forks, from before.
_forking = threading.local()


def _before_fork() -> None:
    if _replaced:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _replaced)


def _after_fork_in_parent() -> None:
    mask = _forking.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    """Have the child die of the signals as every process does: it has no run to end.

    Python forgets in a new child what came before its first line. A pool that is terminated sends
    one SIGTERM to each of its workers, and waits for ever for one that was so young.
    """
    if "mask" in _forking.__dict__:
        for number, old in _replaced.items():
            if signal.getsignal(number) is _handle:
                signal.signal(number, old)
        _replaced.clear()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork") and hasattr(signal, "pthread_sigmask"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def _flush() -> None:
    import sys

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
