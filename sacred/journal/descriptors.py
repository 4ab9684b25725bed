"""Open files by their numbers: what the system's calls are wrapped in, a line or two each."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Which file it is, whatever its number and name: device and inode.
Identity = tuple[int, int]

#: From here on numbers are looked for that are out of the way. Most systems allow 1,024.
_HIGH = 512


def sync(descriptor: int) -> None:
    """Wait until what a file holds survives a power cut.

    Raises
    ------
    OSError
    """
    os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)


def identity_of(descriptor: int) -> Identity:
    """Return which file it is: device and inode.

    Raises
    ------
    OSError
    """
    state = os.fstat(descriptor)
    return state.st_dev, state.st_ino


def is_anothers(descriptor: int, identity: Identity) -> bool:
    """Tell whether other code has closed a file: its number is nobody's then, or another file's.

    What daemonizes a program closes all numbers there are (``os.closerange``), and the next file
    that is opened gets one of them.
    """
    try:
        return identity_of(descriptor) != identity
    except OSError as error:
        return error.errno == errno.EBADF


def out_of_the_way(descriptor: int) -> int:
    """Return the file under a number that nobody is given by chance; the one it had is free then.

    The lowest free number is what the next file gets that a program opens. Where the limit for
    numbers is low, or too many are open, it keeps the one that it has.
    """
    try:
        high = _duplicated_high(descriptor)
    except (ImportError, OSError):
        return descriptor
    os.close(descriptor)
    return high


def duplicate(descriptor: int) -> int:
    """Return a second number of a file, out of the way if there is one.

    Raises
    ------
    OSError
        Too many are open.
    """
    try:
        return _duplicated_high(descriptor)
    except (ImportError, OSError):
        return os.dup(descriptor)


def _duplicated_high(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)


def close_own(descriptor: int, identity: Identity) -> None:
    """Close a file, if it is one (-1 is none) and its number is not another's by now."""
    if descriptor >= 0 and not is_anothers(descriptor, identity):
        close(descriptor)


def close(descriptor: int) -> None:
    """Close a file, if it is one (-1 is none), whatever the disk says."""
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def remove(*paths: Path) -> None:
    """Take the names of files away, where that can be done."""
    for path in set(paths):
        with contextlib.suppress(OSError):
            os.unlink(path)


def short_write(descriptor: int, rest: bytes) -> OSError:
    """Return the error of a disk that took a part of a frame only.

    The disk is full, or a quota is, or the limit on the size of files is reached: only the next
    write tells. So the rest is written, into a file that is given up in any case.
    """
    limited = getattr(signal, "SIGXFSZ", None)
    # The system kills who writes beyond the limit; Python ignores that, unless a program undid it.
    if limited is None or signal.getsignal(limited) != signal.SIG_DFL:
        try:
            os.write(descriptor, rest)
        except OSError as error:
            return error
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def lock(descriptor: int) -> None:
    """Hold a lock that ends with the process, for readers that can not look at its pid."""
    try:
        import fcntl
    except ImportError:
        return
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
