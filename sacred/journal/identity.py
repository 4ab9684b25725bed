"""Which process writes a journal, and whether it still lives."""

from __future__ import annotations

import functools
import os
import sys
import time
from typing import Any

#: Without a pid to look at and without a lock, a writer counts as alive for so long after its
#: last sign of life (s): twelve of Sacred's default heartbeats.
YOUNG = 120.0


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def process_start(pid: int) -> float | None:
    """Return when a process started, in seconds; None if there is no such process.

    On Linux since boot, from ``/proc`` (psutil costs 26 ms to import); elsewhere since the epoch.
    Comparable with other values from the same host and boot only.
    """
    if sys.platform == "linux":
        stat = _read(f"/proc/{pid}/stat")
        if stat is None:
            return None
        # The command's name stands in parentheses and may hold anything, also parentheses.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in {"Z", "X"}:
            return None
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def host_name() -> str:
    """Return this machine's name."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def boot_id() -> str | None:
    """Return what tells one boot of this machine from the next, where the system has it."""
    return _read("/proc/sys/kernel/random/boot_id")


def pid_namespace() -> str | None:
    """Return the name of the pid namespace, where the system has them."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def own_identity() -> dict[str, Any]:
    """Return the fields of ``EPOCH_BEGAN`` that name this process and its clocks."""
    fields = {"host": host_name(), **_process(os.getpid())}
    fields |= {"wall": time.time_ns(), "monotonic": time.monotonic_ns()}
    return {name: value for name, value in fields.items() if value is not None}


@functools.lru_cache(maxsize=1)  # a replayer names itself once a run: three files in /proc
def _process(pid: int) -> dict[str, Any]:
    """Return what stays as it is while a process lives; a forked one has another number."""
    return {
        "pid": pid,
        "process_start": process_start(pid),
        "boot": boot_id(),
        "pid_namespace": pid_namespace(),
    }


def environment_of_own() -> dict[str, str]:
    """Return the environment of a process that finds this package from any working folder."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def process_lives(identity: dict[str, Any]) -> bool | None:
    """Tell whether the process that ``identity`` names lives; None if that can not be seen here.

    The pid decides before any lock: a forked worker of a killed writer keeps its lock.
    """
    if identity.get("host") != host_name():
        return None
    if identity.get("boot") != boot_id():
        return False  # the machine was started anew since
    if identity.get("pid_namespace") != pid_namespace():
        return None
    pid, start = identity.get("pid"), identity.get("process_start")
    if not isinstance(pid, int) or start is None:
        return None
    return bool(process_start(pid) == start)
