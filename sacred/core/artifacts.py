"""Files that a user adds to a run: which can be added, and what a folder has of them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from sacred.core.errors import SacredError
from sacred.journal.root import JournalRoot, root_around

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["ArtifactError", "FolderFiles", "check_file", "files_of"]

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ArtifactError(SacredError, ValueError):
    """Something that is no file was to be recorded as one."""


def check_file(filename: str | os.PathLike[str], what: str) -> str:
    """Return the absolute path of a file or folder that can be recorded.

    Raises
    ------
    FileNotFoundError
        There is none.
    ArtifactError
        It has no content to record (a pipe, a device), or is a place of journals.
    """
    given = os.fspath(filename)
    path = os.path.abspath(given)
    # Empty it would be the current folder, which nobody means.
    if not given or not os.path.exists(path):
        import errno

        shown = path if given else given
        raise FileNotFoundError(errno.ENOENT, f"There is no such file to add as {what}", shown)
    kind = _other_kind(path)
    if kind is not None:
        raise ArtifactError(
            f"{path} can not be added as {what}: it is {kind}. Add a file with its content."
        )
    if os.path.isdir(path):
        root = root_around(path)
        if root is not None:
            raise ArtifactError(
                f"{path} can not be added as {what}: it is a place of journals (their root is "
                f"{root.path}). Add the files that are meant."
            )
    return path


def _other_kind(path: str) -> str | None:
    """Return what a path is if it is neither file nor folder."""
    mode = os.stat(path).st_mode
    return next((name for is_kind, name in _KINDS if is_kind(mode)), None)


class FolderFiles(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    files
        Relative paths.
    left_out
        What is not recorded, and why.
    """

    files: list[str]
    left_out: list[str]


def files_of(folder: str, places: Container[str]) -> FolderFiles:
    """Look through a folder for what is recorded of it.

    Roots of journals and the folders of views are not: they grow by what is recorded.

    Parameters
    ----------
    folder
        Absolute.
    places
        Real paths of folders that are left out.
    """
    files: list[str] = []
    left_out: list[str] = []

    def leave_out(path: str, why: str) -> None:
        left_out.append(f"{os.path.relpath(path, folder)} ({why})")

    def unreadable(error: OSError) -> None:
        leave_out(str(error.filename), str(error.strerror))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        reasons = {name: _why_not(os.path.join(parent, name), places) for name in sorted(folders)}
        folders[:] = [name for name, why in reasons.items() if why is None]
        for name, why in reasons.items():
            if why is not None:
                leave_out(os.path.join(parent, name), why)
        for name in sorted(names):
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                files.append(os.path.relpath(path, folder))
            else:
                leave_out(path, (os.path.exists(path) and _other_kind(path)) or "no file")
    return FolderFiles(files, left_out)


def _why_not(folder: str, places: Container[str]) -> str | None:
    if os.path.islink(folder):
        return "a link to a folder"
    if JournalRoot(folder).exists():
        return "journals"
    if os.path.realpath(folder) in places:
        return "a view"
    if os.path.isfile(os.path.join(folder, ".journal", "position.json")):
        return "a view of a run"
    return None
