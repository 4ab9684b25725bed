"""What a worker prints: it goes into the pipe of its run, or is recorded by the worker itself."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import ForkSafeLock
from sacred.core.sys_capture import lines_as_before, lines_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sacred.core.sys_capture import Sink

__all__ = ["WorkerOutput", "flush_output", "places"]


class WorkerOutput:
    """What this process prints while it works for a run of another one.

    In ``fd`` mode it prints into the run's own pipe: by birth, or lent for the time of a call,
    because a pool's process may be older than the run. Where that can not be had, and in ``sys``
    mode, what Python prints during a call is recorded here.

    Parameters
    ----------
    mode
        How the run captures.
    pipes
        What the descriptors 1 and 2 lead to in the run's process, as ``places`` returned there.
    pid
        That process.
    sink
        Takes what is recorded here.
    """

    def __init__(
        self, mode: str, pipes: Mapping[int, tuple[int, int]], pid: int, sink: Sink
    ) -> None:
        self._mode = mode
        self._pipes = pipes if mode == "fd" else {}
        self._pid = pid
        self._sink = sink

    def begin(self) -> None:
        """Have what is printed into the run's pipe not wait in this process any more.

        It may be printed outside of calls: by the function that was sent the run, or a thread.
        """
        own = [fd for fd in self._pipes if place_of(fd) == self._pipes[fd]]
        if own:
            lines_at_once(own)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Record what is printed meanwhile, as the run does; all of it has left this process then."""
        if self._mode not in ("fd", "sys"):
            yield
            return
        with contextlib.ExitStack() as stack:
            heard = [fd for fd in self._pipes if stack.enter_context(self._pipe(fd))]
            others = tuple(fd for fd in (1, 2) if fd not in heard)
            if others:
                from sacred.core.sys_capture import SysCapture

                stack.enter_context(SysCapture(self._sink, others))
            try:
                yield
            finally:
                if heard:
                    flush_output()

    @contextlib.contextmanager
    def _pipe(self, descriptor: int) -> Iterator[bool]:
        """Have a descriptor lead to the run's pipe meanwhile; False if that can not be had."""
        wanted = self._pipes[descriptor]
        with _lending:
            loan = _loans.get(descriptor)
            if loan is None and place_of(descriptor) != wanted:
                loan = _lend(descriptor, wanted, self._pid)
                if loan is None:
                    found = False
                else:
                    _loans[descriptor] = loan
                    found = True
            else:
                found = loan is None or loan.place == wanted
                lines_at_once((descriptor,))
            if found and loan is not None:
                loan.users += 1
        try:
            yield found
        finally:
            if found and loan is not None:
                with _lending:
                    loan.users -= 1
                    if not loan.users:
                        del _loans[descriptor]
                        loan.give_back()


class _Loan:
    """A descriptor that leads to a run's pipe as long as threads of this process work for the run."""

    def __init__(self, descriptor: int, place: tuple[int, int], saved: int) -> None:
        self.place = place
        self.users = 0
        self._descriptor = descriptor
        self._saved = saved
        self._changed = lines_at_once((descriptor,))

    def give_back(self) -> None:
        flush_output()
        lines_as_before(self._changed)
        os.dup2(self._saved, self._descriptor)
        os.close(self._saved)


_lending = ForkSafeLock()
#: By descriptor.
_loans: dict[int, _Loan] = {}


def _lend(descriptor: int, wanted: tuple[int, int], pid: int) -> _Loan | None:
    """Put the pipe of a run in the place of a descriptor; None if it can not be had."""
    try:
        pipe = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_WRONLY)
    except OSError:
        return None
    try:
        if place_of(pipe) != wanted:
            return None
        flush_output()
        saved = os.dup(descriptor)
        os.dup2(pipe, descriptor)
        return _Loan(descriptor, wanted, saved)
    except OSError:
        return None
    finally:
        os.close(pipe)


def places() -> dict[int, tuple[int, int]]:
    """Return what the descriptors 1 and 2 lead to: a child that has the same is heard already."""
    found = ((descriptor, place_of(descriptor)) for descriptor in (1, 2))
    return {descriptor: place for descriptor, place in found if place is not None}


def place_of(descriptor: int) -> tuple[int, int] | None:
    """Return what tells a file or pipe from all others; None if the descriptor is closed."""
    try:
        facts = os.fstat(descriptor)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def flush_output() -> None:
    """Have all that was printed to stdout and stderr leave this process, by C code too."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()
    flush_c = _of_c_code()
    if flush_c is not None:
        flush_c()


_c_code: list[Any] = []


def _of_c_code() -> Any:
    """Return what flushes the stdout of C code; None where there is none."""
    if not _c_code:
        try:
            import ctypes

            library = ctypes.CDLL(None)
            name = "__stdoutp" if sys.platform == "darwin" else "stdout"
            stream = ctypes.c_void_p.in_dll(library, name)
            # Of all streams (NULL) one may be locked by a thread that waits for its input.
            _c_code.append(lambda: library.fflush(stream))
        except (ImportError, OSError, ValueError, AttributeError, TypeError):
            _c_code.append(None)
    return _c_code[0]
