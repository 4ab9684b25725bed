"""What a result depends on: the machine, its disk, the versions of what was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine(folder: Path) -> dict[str, str]:
    """Return what to know about this machine, by name.

    Parameters
    ----------
    folder
        Where the measured processes write: its file system is named.
    """
    return {
        "processor": _processor(),
        "cores": str(_cores()),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "file system": _file_system(folder),
    }


def load() -> float:
    """Return the load average of the last minute, 0.0 where the system keeps none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{size / 2**30:.0f} GiB"


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder: the longest mount point wins."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    path = folder.resolve()
    best, kind = "", "unknown"
    for line in mounts:
        _, point, name, *_ = line.split(" ")
        if len(point) >= len(best) and path.is_relative_to(point):
            best, kind = point, name
    return kind
