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

__all__ = ["free_place", "new_file"]


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
    target = free_place(path, overwrite=overwrite)
    if os.path.lexists(target) and not target.is_file():
        raise OutputPlaceError(f"{target} is no file: name one")
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        free_place(target, overwrite=overwrite)  # somebody may have been faster
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)
