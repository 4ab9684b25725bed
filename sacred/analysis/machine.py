"""What of this machine a root and its views depend on: packages, disk, inotify, locks."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from sacred.__about__ import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Finding", "disk", "holders", "inotify", "versions"]

_DISTRIBUTION = "sacred-journal"
#: Extras that make views and answers possible; the others are for those who develop.
_EXTRAS = ("sql", "tinydb", "s3", "gcs", "notify", "arrow")
_NEED = re.compile(r"\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([a-z0-9-]+)[\"']")
#: A disk with less is full soon (bytes, part of it, names).
_LEAST_FREE, _LEAST_PART, _LEAST_NAMES = 1 << 30, 0.01, 10_000
#: Linux's own default was this for years, and a root of many runs needs more.
_WATCHES = 8192


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    area
        ``versions``, ``root``, ``disk``, ``inotify``, ``locks``, ``runs``, ``views``, ``clock``,
        ``notes``, ``leftovers``, ``cache``, ``trash``.
    level
        ``ok``; ``wrong``: a person has to look; ``behind``: only views are, the next replay mends.
    text
        What is so, a sentence or less.
    remedy
        What to do, a command as a rule; None where there is nothing to do.
    runs
        Numbers of the runs that it is about.
    """

    area: str
    level: str
    text: str
    remedy: str | None = None
    runs: tuple[int, ...] = ()


def versions() -> Iterator[Finding]:
    """Look at Python, this package, and the packages that it needs or may use."""
    python = platform.python_version()
    yield Finding("versions", "ok", f"Python {python}, sacred-journal {__version__}")
    try:
        other = metadata.version("sacred")
    except metadata.PackageNotFoundError:
        pass
    else:
        yield Finding(
            "versions",
            "wrong",
            f"the package sacred {other} is installed, too, and writes over files of this one",
            f"pip uninstall sacred && pip install --force-reinstall {_DISTRIBUTION}",
        )
    try:
        needs = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding("versions", "ok", "run from its sources: what it needs was not looked at")
        return
    lacking: dict[str, list[str]] = {}
    for need in needs:
        yield from _package(need, lacking)
    for extra, names in sorted(lacking.items()):
        text = f"not installed: {', '.join(names)} ({extra})"
        yield Finding("versions", "ok", text, f"pip install '{_DISTRIBUTION}[{extra}]' if needed")


def _package(need: str, lacking: dict[str, list[str]]) -> Iterator[Finding]:
    match = _NEED.match(need)
    if match is None:
        return
    name, bounds, marker = match[1], match[2] or "", match[3] or ""
    found_extra = _EXTRA.search(marker)
    extra = found_extra[1] if found_extra else None
    if "python_version" in marker and extra is None:
        return  # of another Python, or of this one: pip knows
    if extra is not None and extra not in _EXTRAS:
        return
    cure = f"pip install -U '{_DISTRIBUTION}{f'[{extra}]' if extra else ''}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if extra is None:
            yield Finding("versions", "wrong", f"{name} is missing, and needed", cure)
        else:
            lacking.setdefault(extra, []).append(name)
        return
    least = re.search(r">=\s*([0-9][0-9.]*)", bounds)
    if least is not None and _numbers(version) < _numbers(least[1]):
        text = f"{name} {version} is older than {least[1]}"
        yield Finding("versions", "wrong", text, cure)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:4])


def disk(path: Path) -> Iterator[Finding]:
    """Look at the room on the disk of a root."""
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        yield Finding("disk", "wrong", f"{path}: {error.strerror or error}", "mount the disk")
        return
    free = f"{usage.free / (1 << 30):,.1f} of {usage.total / (1 << 30):,.1f} GiB are free"
    if usage.free < _LEAST_FREE or usage.free < _LEAST_PART * usage.total:
        cure = "sacred seal --all, sacred gc, sacred rm and sacred rm --empty free some"
        yield Finding("disk", "wrong", f"only {free}", cure)
    else:
        yield Finding("disk", "ok", free)
    if hasattr(os, "statvfs"):
        found = os.statvfs(path)
        if found.f_files and found.f_favail < _LEAST_NAMES:
            text = f"only {found.f_favail:,} more files can be made"
            yield Finding("disk", "wrong", text, "remove files, or make the disk with more inodes")


def inotify() -> Iterator[Finding]:
    """Look at the limits of what wakes replayers when a journal grows; Linux alone has them."""
    limits = {}
    for name in ("max_user_instances", "max_user_watches"):
        try:
            with open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
                limits[name] = int(file.read())
        except (OSError, ValueError):
            return
    used = _inotify_instances()
    most = limits["max_user_instances"]
    text = f"{used} of {most} instances used, {limits['max_user_watches']:,} watches at most"
    if used >= 0.9 * most:
        cure = f"sudo sysctl fs.inotify.max_user_instances={max(512, 4 * most)}"
        yield Finding("inotify", "wrong", f"{text}: replayers fall back on polling", cure)
    elif limits["max_user_watches"] < _WATCHES:
        cure = "sudo sysctl fs.inotify.max_user_watches=65536"
        yield Finding("inotify", "wrong", f"{text}: few for many runs at once", cure)
    else:
        yield Finding("inotify", "ok", text)


def _inotify_instances() -> int:
    """Return how many this user has, as far as one may look."""
    count = 0
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 0
    for process in processes:
        try:
            if os.stat(f"/proc/{process}").st_uid != os.getuid():
                continue
            for name in os.listdir(f"/proc/{process}/fd"):
                try:
                    count += os.readlink(f"/proc/{process}/fd/{name}") == "anon_inode:inotify"
                except OSError:
                    continue
        except OSError:
            continue
    return count


def holders() -> dict[tuple[int, int], int]:
    """Return which process holds a lock on a file, by device and inode; Linux alone tells."""
    found: dict[tuple[int, int], int] = {}
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                place = next((word for word in words if word.count(":") == 2), None)
                if place is None or "->" in words:
                    continue
                major, minor, inode = place.split(":")
                pid = int(words[words.index(place) - 1])
                found[os.makedev(int(major, 16), int(minor, 16)), int(inode)] = pid
    except (OSError, ValueError):
        return found
    return found
