"""The disk: files that are replaced whole, and what its errors mean for a view."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import open_regular
from sacred.journal.snapshot import Snapshot
from sacred.replayers.disk import errors_of_disk, locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType

__all__ = ["NewContents", "copy", "disk_errors", "locked_folder", "offset_of", "replace"]


def disk_errors(base: str, *final: int) -> AbstractContextManager[None]:
    """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
    return errors_of_disk(f"the file view {base}", *final)


def locked_folder(path: str) -> AbstractContextManager[None]:
    """Hold a folder's lock, where the system has such; no file is made for it."""
    return locked(lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def replace(path: str, content: bytes | Iterable[bytes]) -> None:
    """Give a file a new content, whole or not at all, and durable."""
    with NewContents() as contents:
        contents.add(path, content)
        contents.commit()


class NewContents:
    """Files of a run that get new contents together, with one wait for the disk and not one for each.

    Each is written aside, and the disk begins with it at once. ``commit`` waits until all are durable,
    and then gives them their names, in the order in which they came. Use as a context manager: what
    was not committed goes when it is left.

    Parameters
    ----------
    hidden
        The folder is one that nobody looks into yet: files have their names from the first.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        self._hidden = hidden
        self._files: list[BinaryIO] = []
        #: Where each was written, and its name.
        self._names: list[tuple[str, str]] = []

    def __enter__(self) -> NewContents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()
        for aside, _ in self._names:
            with contextlib.suppress(OSError):
                os.unlink(aside)
        self._files, self._names = [], []

    def add(self, path: str, content: bytes | Iterable[bytes]) -> None:
        """Write what a file is to have."""
        if self._hidden:
            descriptor = open_regular(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            self._fill(descriptor, content)
            return
        folder, name = os.path.split(path)
        own = folder if folder.endswith(".journal") else os.path.join(folder, ".journal")
        aside = os.path.join(own, f".{name[:100]}.{os.urandom(6).hex()}")
        descriptor = open_regular(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        self._names.append((aside, path))
        self._fill(descriptor, content)

    def _fill(self, descriptor: int, content: bytes | Iterable[bytes]) -> None:
        file = os.fdopen(descriptor, "wb")
        self._files.append(file)
        file.writelines([content] if isinstance(content, bytes) else content)
        self.begin(file)

    def grown(self, file: BinaryIO) -> None:
        """Take a file that grew where it is, to be made durable with the others, and closed."""
        self._files.append(file)
        self.begin(file)

    @staticmethod
    def begin(file: BinaryIO) -> None:
        """Have the disk begin: the wait for one file is then a wait for all that are on their way."""
        file.flush()
        if hasattr(os, "posix_fadvise"):
            # That nobody needs it sends it to the disk (Linux); it stays in memory till it is there.
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def commit(self) -> None:
        """Make everything durable, then give what was written aside its names."""
        for file in self._files:
            os.fsync(file.fileno())
        for file in self._files:
            file.close()
        self._files = []
        while self._names:
            os.replace(*self._names[0])
            del self._names[0]


def copy(source: str, target: str) -> None:
    """Copy a file under a name that it has whole or not at all."""
    import shutil

    # Runs share their sources and resources: another thread may be at the same one.
    descriptor = open_regular(source)
    folder = os.path.dirname(target)
    with os.fdopen(descriptor, "rb") as content, written_aside(target, folder) as file:
        # An observer that is called copies what somebody may go on writing.
        shutil.copyfileobj(Snapshot(content), file, 1 << 20)


def offset_of(file: Any, size: int, back: int) -> int:
    """Return the offset of the character that lies ``back`` characters before ``size``."""
    span = min(size, 4 * back)
    file.seek(size - span)
    content = file.read(span)
    at = len(content)
    while at > 0 and back > 0:
        at -= 1
        if content[at] & 0xC0 != 0x80:
            back -= 1
    return size - span + at
