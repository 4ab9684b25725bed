"""A process that reads on while this one does something else: what it finds comes through a pipe.

It is a fork that only reads: it takes no lock for longer than a look, writes no file, and starts
nothing. It sends its answers in their order, waits where nobody reads, and ends with the last one or
when the pipe has no reader any more, however that went. Whoever asked can do without any of them.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SecondProcess", "may_be_forked"]

#: How much may wait in the pipe (bytes): some runs of a thousand points.
_AHEAD = 1 << 20
_LENGTH = struct.Struct("<I")


def may_be_forked() -> bool:
    """Tell whether a second process would help, and this one may be forked.

    A process with several threads is not forked: what another thread holds stays held in the child.
    """
    if sys.platform != "linux":
        return False
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class SecondProcess:
    """The process, and the end of its pipe.

    Parameters
    ----------
    answers
        Gives in the process what it sends, one by one: what pickle takes, and None.

    Notes
    -----
    One thread uses it. ``close`` has to be called: the process is waited for there.
    """

    def __init__(self, answers: Callable[[], Iterable[Any]]) -> None:
        self._pid = 0
        self._pipe: BinaryIO | None = None
        reading, writing = os.pipe()
        _widen(writing)
        try:
            pid = os.fork()
        except OSError:  # no room for another process: then without
            os.close(reading)
            os.close(writing)
            return
        if pid == 0:
            _child(reading, writing, answers)
        os.close(writing)
        self._pid, self._pipe = pid, os.fdopen(reading, "rb")

    @property
    def goes_on(self) -> bool:
        """Whether more may come."""
        return self._pipe is not None

    def next(self) -> Any:
        """Return the next answer; None if it is that, or there is none.

        A process that is gone has no more answers.
        """
        if self._pipe is None:
            return None
        try:
            head = self._pipe.read(_LENGTH.size)
            length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
            content = self._pipe.read(length)
            if len(head) < _LENGTH.size or len(content) < length:
                self.close()
                return None
            return pickle.loads(content) if length else None  # noqa: S301 - from our own child
        except (OSError, pickle.UnpicklingError, EOFError):
            self.close()
            return None

    def close(self) -> None:
        """End the process and wait until it is gone: it holds nothing that could be lost."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        pid, self._pid = self._pid, 0
        if pid:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _widen(descriptor: int) -> None:
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _AHEAD)


def _child(reading: int, writing: int, answers: Callable[[], Iterable[Any]]) -> None:
    """Answer and send; never returns, and nothing of the parent's ends is run."""
    # The parent finds out for itself what does not come, whatever the reason.
    with contextlib.suppress(BaseException):
        # Ctrl-C is the parent's to answer: this one ends with the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(reading)
        for answer in answers():
            _send(writing, answer)
    os._exit(0)


def _send(writing: int, answer: Any) -> None:
    content = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL) if answer is not None else b""
    message = memoryview(_LENGTH.pack(len(content)) + content)
    while message:
        message = message[os.write(writing, message) :]
