"""Opening a file that somebody else may have put there, by its name.

Under any name in a root may lie a pipe, at which one would wait for ever, a device that never ends,
or a link to one. All of the package opens such names here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

__all__ = ["A_LINK", "NO_FILE", "create_regular", "open_regular", "read_regular", "replace_regular"]

#: What is said of anything else that has the name of a file.
NO_FILE = "it is no regular file"
A_LINK = "it is a link, and nothing is written behind one"

_NEVER = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_HERE = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file, and wait at nothing else.

    Parameters
    ----------
    path
        A link is followed where the file is only read, and refused where it may be written: what
        is written stays in its folder.
    flags, mode
        As for ``os.open``.

    Returns
    -------
    The descriptor, which is not inherited.

    Raises
    ------
    OSError
        As ``os.open`` does; EINVAL if it is a pipe, a folder, a device, ...
    """
    if flags & (os.O_WRONLY | os.O_RDWR):
        flags |= _HERE
    try:
        # As text: out of memory, the system's calls raise TypeError for a path that is an object.
        descriptor = os.open(str(path), flags | _NEVER, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & _HERE:
            raise OSError(errno.ELOOP, A_LINK, str(path)) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, NO_FILE, str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Return what a regular file holds.

    Parameters
    ----------
    path
        Links are followed.
    most
        So many bytes at most, whatever its size.

    Raises
    ------
    OSError
        It is not there, is none, or can not be read; EFBIG if it holds more.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def create_regular(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Make a file where nothing is, of bytes or of text in UTF-8: no file, no pipe, no link that leads elsewhere.

    Raises
    ------
    FileExistsError
        Something is.
    OSError
        The disk refuses.
    """
    descriptor = open_regular(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def replace_regular(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Give a file a new content, whole or not at all; not durable.

    It is written beside it, under a hidden name, so that a link or a pipe of that name is replaced
    and not followed.

    Raises
    ------
    OSError
        The disk refuses. Nothing is left behind, and what was there is as it was.
    """
    folder, name = os.path.split(os.fspath(path))
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")
    try:
        create_regular(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
