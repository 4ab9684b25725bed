"""The replayer as a process: starting it, and the pipes to it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from sacred.journal.identity import environment_of_own
from sacred.journal.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ProcessChannel"]

#: Seconds until a replayer that does not read its commands counts as dead.
_SEND_TIMEOUT = 2.0
_SERVE = ("-m", "sacred.replayers", "serve")


class ProcessChannel:
    """The pipes of a replayer process."""

    def __init__(self, root: str, arguments: tuple[str, ...] = _SERVE) -> None:
        import subprocess

        host = os.uname().nodename if hasattr(os, "uname") else "host"
        logs = os.path.join(root, ".cache", "replayers")
        os.makedirs(logs, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log_file = open_regular(os.path.join(logs, f"{host}-{os.getpid()}.log"), flags)
        with os.fdopen(log_file, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=os.path.abspath(os.sep),
                env=environment_of_own(),
                start_new_session=True,
                close_fds=True,
                bufsize=0,
            )
        if hasattr(os, "set_blocking"):
            os.set_blocking(self._stdin, False)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def _stdin(self) -> int:
        stdin = self._process.stdin
        return stdin.fileno() if stdin is not None and not stdin.closed else -1

    def send(self, line: bytes) -> None:
        """Write a line; a replayer that reads nothing for two seconds is given up."""
        import select

        deadline = time.monotonic() + _SEND_TIMEOUT
        left = memoryview(line)
        while left:
            try:
                left = left[os.write(self._stdin, left) :]
                deadline = time.monotonic() + _SEND_TIMEOUT
            except BlockingIOError:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    self.close()
                    raise BrokenPipeError("the replayer does not read its commands") from None
                select.select([], [self._stdin], [], remaining)

    def receive(self) -> Iterator[bytes]:
        """Yield what the process says."""
        stdout = self._process.stdout
        if stdout is None:
            return
        rest = b""
        try:
            while True:
                data = os.read(stdout.fileno(), 65536)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
        except (OSError, ValueError):  # the program closed it
            return
        finally:
            with contextlib.suppress(OSError):
                stdout.close()

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._stdin >= 0 and self._process.poll() is None

    def close(self) -> None:
        """Close its stdin."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # the program may have closed all descriptors
                self._process.stdin.close()

    def leave(self) -> None:
        """Let it go on alone, without a warning about a process that was not waited for."""
        self._process.returncode = self._process.poll() or 0
