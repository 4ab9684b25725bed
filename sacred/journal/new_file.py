"""A file that appears under its name whole or not at all, and durable."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sacred.journal.errors import OutputPlaceError
from sacred.journal.root import fsync_folder, root_around

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["free_place", "new_file", "written_aside"]


def free_place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return where something may be written that a person names, links followed.

    Raises
    ------
    OutputPlaceError
        Its folder is not there, it lies among the journals of a root, or something is there and not to be
        overwritten.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputPlaceError(f"the folder {target.parent} does not exist: make it first")
    root = root_around(target)
    if root is not None:
        raise OutputPlaceError(
            f"{target} lies among the journals of {root.path}: choose a place outside of it"
        )
    if os.path.lexists(target) and not overwrite:
        raise OutputPlaceError(
            f"{target} is there already: choose another name, or --force to write over it"
        )
    return target


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name, and is durable, when all is written.

    An error leaves nothing behind, and what was there as it was.

    Raises
    ------
    OutputPlaceError
        Something is there, and not to be overwritten, or is no file.
    OSError
        The disk refuses.
    """
    target = free_place(path, overwrite=True)
    if os.path.lexists(target) and not target.is_file():
        what = "a folder: name a file in it" if target.is_dir() else "no file: name one"
        raise OutputPlaceError(f"{target} is {what}")
    free_place(target, overwrite=overwrite)
    with written_aside(target, target.parent) as file:
        yield file
        free_place(target, overwrite=overwrite)  # somebody may have been faster
    fsync_folder(target.parent)


@contextlib.contextmanager
def written_aside(
    path: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of another one when all of it is durable.

    The name itself may be lost by a power cut until its folder is durable.

    Parameters
    ----------
    path
        Where it appears.
    folder
        Where it is written, under a hidden name of its own: on the same disk.

    Raises
    ------
    OSError
        The disk refuses. Nothing is left behind, and what was there is as it was.
    """
    name = os.path.basename(path)[:100]
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
