"""Files that a user adds to a run: which can be added, and what a folder has of them."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.root import JournalRoot, root_around

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = [
    "ArtifactError",
    "FolderFiles",
    "check_file",
    "content_type_of",
    "files_of",
    "is_open_file",
    "named_file",
    "read_whole",
]

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ArtifactError(SacredError, ValueError):
    """Something that is no file was to be recorded as one."""


def content_type_of(filename: str) -> str | None:
    """Return the content type that a file's name tells, the same on every machine, or None."""
    import mimetypes

    # The tables of the system differ from machine to machine; those of Python do not.
    return mimetypes.MimeTypes(filenames=()).guess_type(filename)[0]


def check_file(filename: str | bytes | os.PathLike[str], what: str) -> str:
    """Return the absolute path of a file or folder that can be recorded.

    Raises
    ------
    FileNotFoundError
        There is none.
    ArtifactError
        It has no content to record (a pipe, a device), is a place of journals, or no path.
    """
    from sacred.core.arguments import file_name

    given = file_name(filename, f"add_{what}(PATH)")
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
    return _kind_of(os.stat(path).st_mode)


def _kind_of(mode: int) -> str | None:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), None)


def is_open_file(value: Any) -> bool:
    """Tell whether something is an open file and not the path of one."""
    return not isinstance(value, (str, bytes, os.PathLike)) and (
        hasattr(value, "read") or hasattr(value, "getvalue") or hasattr(value, "write")
    )


def named_file(file: Any) -> str | None:
    """Return the path of the file that is open, with all in it that was written; None if none is.

    Raises
    ------
    ArtifactError
        It was closed: add it by its path.
    """
    if getattr(file, "closed", False):
        raise ArtifactError(
            f"{_shown(file)} is closed: add it by its path, or before it is closed."
        )
    if hasattr(file, "flush"):
        file.flush()
    name = getattr(file, "name", None)
    if not isinstance(name, (str, os.PathLike)):
        return None
    try:
        path = os.path.abspath(os.fspath(name))
        same = os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except (AttributeError, OSError, ValueError):
        return None  # it was removed or replaced, or has the name of another one
    return path if same else None


def read_whole(file: Any) -> bytes:
    """Return all that an open file holds; where it stands is as before.

    One that can not go back (a download, a pipe whose writer is done) is read from where it stands.
    One that grows meanwhile is read as far as it was.

    Raises
    ------
    ArtifactError
        It can not be read, or whoever reads it would wait for somebody.
    """
    if hasattr(file, "getvalue"):
        content = file.getvalue()
    else:
        size = _size_to_read(file)
        try:
            stands = file.tell()
            file.seek(0)
        except (AttributeError, OSError):
            stands = None
        try:
            content = file.read() if size is None else _first_bytes(file, size)
        except (AttributeError, NotImplementedError, OSError) as error:
            raise ArtifactError(
                f"{_shown(file)} can not be read, so that nothing can be recorded of it ({error}): "
                "open it in mode 'w+b', or add it by its path."
            ) from error
        if stands is not None:
            file.seek(stands)
    if isinstance(content, str):
        return content.encode(getattr(file, "encoding", None) or "utf-8", "surrogateescape")
    return bytes(content)


def _size_to_read(file: Any) -> int | None:
    """Return the bytes that an open file of the disk has; None for what has an end of its own.

    Raises
    ------
    ArtifactError
        It is a pipe that somebody may still write to, or a device.
    """
    try:
        descriptor = file.fileno()
        facts = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None  # it is in memory
    if stat.S_ISREG(facts.st_mode):
        # Another class may make something else of the bytes, as gzip does.
        return facts.st_size if type(_binary(file)) in _OF_THE_DISK else None
    is_pipe = stat.S_ISFIFO(facts.st_mode)
    # A socket is that of a download, which knows its length.
    if stat.S_ISSOCK(facts.st_mode) or (is_pipe and _is_abandoned(descriptor)):
        return None
    raise ArtifactError(
        f"{_shown(file)} can not be added as artifact: it is {_kind_of(facts.st_mode) or 'no file'} "
        "that others may still write to. Read it, and add what was read: "
        "add_artifact(io.BytesIO(content), name='...')."
    )


_OF_THE_DISK = (io.FileIO, io.BufferedReader, io.BufferedRandom, io.BufferedWriter)


def _binary(file: Any) -> Any:
    """Return the binary file behind an open one, a text or one that is called temporary."""
    file = getattr(file, "file", file)
    return file.buffer if type(file) is io.TextIOWrapper else file


def _is_abandoned(descriptor: int) -> bool:
    """Tell whether nobody holds the other end of a pipe any more: what it has is all."""
    import select

    if not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(descriptor, 0)
    return any(events & select.POLLHUP for _, events in poller.poll(0))


def _first_bytes(file: Any, size: int) -> bytes:
    """Return the content of an open file of the disk, up to a number of bytes."""
    binary = _binary(file)
    binary.seek(0)
    parts = []
    while size > 0 and (part := binary.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _shown(file: Any) -> str:
    name = getattr(file, "name", None)
    return str(name) if isinstance(name, (str, os.PathLike)) else f"The {type(file).__name__}"


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
