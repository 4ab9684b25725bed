"""Processes that are measured: wall clock, processor time and memory, bounded in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Variables that would change what is measured.
_UNWANTED = ("PYTHON", "SACRED_", "COVERAGE", "COV_CORE", "VIRTUAL_ENV")


class ProcessFailedError(Exception):
    """A measured process failed, or did not end in time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost.

    Attributes
    ----------
    wall
        Seconds from before its start until it was gone.
    cpu
        Seconds of processor time, user and system, of the process and of the children it waited
        for. A process that goes on by itself (a replayer) is not in it.
    rss
        Its largest resident memory (bytes). Not below that of the process that measures (about
        25 MB): on Linux a child begins with its parent's.
    """

    wall: float
    cpu: float
    rss: int


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measured process: ours, without what would change the result."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_UNWANTED)}
    return {**kept, **(extra or {})}


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    extra: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    output: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output in a file."""
    path = output if output is not None else cwd / "output.txt"
    with path.open("wb") as stream:
        return subprocess.Popen(
            [os.fspath(part) for part in command],
            cwd=cwd,
            env=environment(extra),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill what ``start`` started, with all of its session."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    extra: Mapping[str, str] | None = None,
    limit: float = 120.0,
) -> Cost:
    """Run a process to its end and return what it cost.

    Raises
    ------
    ProcessFailedError
        It ended with another exit status than 0, or was killed because it took more than
        ``limit`` seconds. The sentence holds the end of its output.
    """
    output = cwd / f"output-{threading.get_ident()}.txt"
    begin = time.perf_counter()
    process = start(command, cwd=cwd, extra=extra, output=output)
    timer = threading.Timer(limit, stop, (process,))
    timer.daemon = True
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        why = f"ended with exit status {process.returncode}"
        if wall >= limit:
            why = f"took more than {limit:g} s"
        tail = output.read_text(errors="replace")[-1500:].strip()
        raise ProcessFailedError(f"{' '.join(map(str, command))} {why}:\n{tail}")
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)
