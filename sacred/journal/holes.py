"""Holes in files: zeros that take no room on the disk, which need not be read to be known."""

from __future__ import annotations

import errno
import os

__all__ = ["end_of_data", "next_data"]

#: No file system has smaller holes.
_BLOCK = 4096
_SEEK_DATA: int | None = getattr(os, "SEEK_DATA", None)


def next_data(descriptor: int, offset: int) -> int:
    """Return from where on, at an offset or behind it, a file may hold something else than zeros.

    Where the system can not tell, that is the offset.

    Parameters
    ----------
    descriptor
        Of a file that can be read; its place in the file changes.
    offset
        Where to begin (bytes).

    Returns
    -------
    -1 if there is a hole from the offset to the end of the file.
    """
    if _SEEK_DATA is None:
        return offset
    try:
        return os.lseek(descriptor, offset, _SEEK_DATA)
    except OSError as error:
        return -1 if error.errno == errno.ENXIO else offset


def end_of_data(descriptor: int, begin: int, end: int) -> int:
    """Return from where on a file is a hole up to ``end``, to a block.

    By halves, so that it takes some twenty looks however large the hole is: the system finds what
    is next behind an offset, and never what is before it.

    Parameters
    ----------
    descriptor
        Of a file that can be read; its place in the file changes.
    begin
        What lies before it does not count.
    end
        Not behind the end of the file.

    Returns
    -------
    ``end`` where there is no hole, or where the system can not tell.
    """
    low, high = begin, end
    while high - low > _BLOCK:
        middle = (low + high) // 2
        data = next_data(descriptor, middle)
        if 0 <= data < end:
            low = data + 1
        else:
            high = middle
    return high
