"""Files under the md5 of their content, in the folders that hashfs makes: ``aa/bb/cc/<the rest>``."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections import namedtuple
from typing import TYPE_CHECKING, Any, BinaryIO

from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import open_regular
from sacred.journal.root import fsync_folder
from sacred.journal.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HashAddress", "HashedFiles", "StoredFile"]

_CHUNK = 1 << 20


class HashAddress(
    namedtuple("HashAddress", ["id", "relpath", "abspath", "is_duplicate"], defaults=[False])
):
    """Where a file lies: ``id`` (its md5), ``relpath``, ``abspath``, ``is_duplicate``."""

    __slots__ = ()


class HashedFiles:
    """A folder of files by the md5 of their content.

    It has what people use of a ``hashfs.HashFS``, and its folders and files are the same. A file
    appears whole or not at all.

    Parameters
    ----------
    root
        The folder; made with the first file.
    depth, width
        How many folders there are above a file, and how many digits name one.
    """

    algorithm = "md5"
    fmode, dmode = 0o664, 0o755

    def __init__(self, root: str | os.PathLike[str], depth: int = 3, width: int = 2) -> None:
        self.root = os.path.realpath(root)
        self.depth = depth
        self.width = width

    # -- addresses -------------------------------------------------------------------------------

    def shard(self, id: str) -> list[str]:  # noqa: A002 - the name of hashfs
        """Return the names that lead to a file."""
        cuts = [id[at * self.width : (at + 1) * self.width] for at in range(self.depth)]
        return [part for part in (*cuts, id[self.depth * self.width :]) if part]

    def idpath(self, id: str, extension: str = "") -> str:  # noqa: A002
        """Return the path of a file with this md5."""
        ending = extension if not extension or extension.startswith(".") else f".{extension}"
        return os.path.join(self.root, *self.shard(id)) + ending

    def relpath(self, path: str) -> str:
        """Return a path as seen from the root."""
        return os.path.relpath(path, self.root)

    def haspath(self, path: str) -> bool:
        """Tell whether a path lies below the root."""
        return os.path.realpath(path).startswith(os.path.join(self.root, ""))

    def realpath(self, file: str | os.PathLike[str]) -> str | None:
        """Return where a file is, by its md5 or its path; None if it is not here."""
        name = os.fspath(file)
        inside = os.path.realpath(os.path.join(self.root, name))
        if name and self.haspath(inside) and os.path.isfile(inside):
            return inside
        if not name.isalnum():
            return None
        path = self.idpath(name)
        if os.path.isfile(path):
            return path
        with contextlib.suppress(OSError):  # one that was put with an extension
            folder, start = os.path.split(path)
            for found in sorted(os.listdir(folder)):
                if found.startswith(f"{start}."):
                    return os.path.join(folder, found)
        return None

    def exists(self, file: str | os.PathLike[str]) -> bool:
        """Tell whether a file is here, by its md5 or its path."""
        return self.realpath(file) is not None

    def __contains__(self, file: str | os.PathLike[str]) -> bool:
        """As ``exists``."""
        return self.exists(file)

    def get(self, file: str | os.PathLike[str]) -> HashAddress | None:
        """Return the address of a file, by its md5 or its path; None if it is not here."""
        path = self.realpath(file)
        if path is None:
            return None
        return HashAddress(self.unshard(path), self.relpath(path), path)

    def unshard(self, path: str) -> str:
        """Return the md5 that a path stands for.

        Raises
        ------
        ValueError
            The path is not below the root.
        """
        if not self.haspath(path):
            raise ValueError(f"Cannot unshard path. The path {path!r} is not below {self.root!r}.")
        return os.path.splitext(self.relpath(path))[0].replace(os.sep, "")

    # -- files -----------------------------------------------------------------------------------

    def put(self, file: Any, extension: str | None = None) -> HashAddress:
        """Store a file, unless its content is here.

        Parameters
        ----------
        file
            A path, or something open that is read from its beginning and left where it stands.
        extension
            What the name here ends with.

        Raises
        ------
        OSError
            It can not be read, or the disk refuses.
        """
        with _opened(file) as content:
            digest = self.computehash(content)
            path = self.idpath(digest, extension or "")
            is_duplicate = os.path.isfile(path)
            if not is_duplicate:
                content.seek(0)
                digest, path = self._copied(content, path, extension or "")
        return HashAddress(digest, self.relpath(path), path, is_duplicate)

    def _copied(self, content: Any, path: str, extension: str) -> tuple[str, str]:
        """Copy a file below the root; somebody may go on writing it, so that its md5 is another."""
        os.makedirs(self.root, exist_ok=True)
        temporary = os.path.join(self.root, f".new.{os.urandom(6).hex()}")
        md5 = hashlib.md5(usedforsecurity=False)
        try:
            with written_aside(temporary, self.root) as file:
                for chunk in _chunks(content):
                    md5.update(chunk)
                    file.write(chunk)
            path = self.idpath(md5.hexdigest(), extension)
            folder = os.path.dirname(path)
            os.makedirs(folder, exist_ok=True)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        for _ in range(self.depth + 1):  # the folders may be new, too
            fsync_folder(folder)
            folder = os.path.dirname(folder)
        return md5.hexdigest(), path

    def open(self, file: str | os.PathLike[str], mode: str = "rb") -> Any:
        """Return a file, open for reading.

        Raises
        ------
        OSError
            It is not here.
        """
        path = self.realpath(file)
        if path is None:
            raise OSError(f"Could not locate file: {file}")
        reader = StoredFile(path, self.unshard(path))
        return reader if "b" in mode else io.TextIOWrapper(reader, encoding="utf-8")

    def delete(self, file: str | os.PathLike[str]) -> None:
        """Remove a file, and the folders above it that are empty then."""
        path = self.realpath(file)
        if path is None:
            return
        with contextlib.suppress(OSError):
            os.remove(path)
        folder = os.path.dirname(path)
        while self.haspath(folder):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    def files(self) -> Iterator[str]:
        """Yield the paths of all files."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            yield from (os.path.join(folder, one) for one in sorted(names) if one[0] != ".")

    def folders(self) -> Iterator[str]:
        """Yield the paths of all folders that hold files."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            if names:
                yield folder

    def corrupted(self) -> Iterator[tuple[str, HashAddress]]:
        """Yield the files whose content is not what their name says, and where it would belong."""
        for path in self.files():
            with os.fdopen(open_regular(path), "rb") as file:
                digest = self.computehash(file)
            expected = self.idpath(digest, os.path.splitext(path)[1])
            if expected != path:
                yield path, HashAddress(digest, self.relpath(expected), expected)

    @staticmethod
    def computehash(stream: Any) -> str:
        """Return the md5 of something open, from where it stands."""
        md5 = hashlib.md5(usedforsecurity=False)
        for chunk in _chunks(stream):
            md5.update(chunk)
        return md5.hexdigest()

    def __iter__(self) -> Iterator[str]:
        """As ``files``."""
        return self.files()

    def count(self) -> int:
        """Return how many files there are."""
        return sum(1 for _ in self.files())

    def __len__(self) -> int:
        """As ``count``."""
        return self.count()

    def __bool__(self) -> bool:
        """Return True: an empty folder is one, too."""
        return True

    def size(self) -> int:
        """Return how many bytes all files have."""
        return sum(os.path.getsize(path) for path in self.files())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root}>"


class _OnDemand(io.RawIOBase):
    """A file that is opened when it is first read: a database names thousands."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = path
        self.mode = "rb"
        self._file: io.FileIO | None = None

    def _raw(self) -> io.FileIO:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if self._file is None:
            self._file = io.FileIO(open_regular(self.name), "rb")
        return self._file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._raw().readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        if self._file is None and offset == 0 and whence == 0:
            return 0
        return self._raw().seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._file is None else self._file.tell()

    def fileno(self) -> int:
        return self._raw().fileno()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


class StoredFile(io.BufferedReader):
    """A stored file, open for reading; its copies read for themselves.

    The file itself is opened when it is first read, so that a database of many runs takes no
    descriptors. One that is gone raises ``FileNotFoundError`` then.

    Parameters
    ----------
    file
        Where it is, or an open file, which is left as it is.
    md5
        Of the content, by which a database names it; empty if it is not stored yet.
    """

    def __init__(self, file: Any, md5: str = "") -> None:
        super().__init__(_OnDemand(str(getattr(file, "name", file))))
        self.md5 = md5

    def __copy__(self) -> StoredFile:
        """Return another reader of the same file, which stands where this one does."""
        copied = type(self)(self.name, self.md5)
        if not self.closed and self.tell():
            copied.seek(self.tell())
        return copied

    def __deepcopy__(self, memo: Any) -> StoredFile:
        """As ``__copy__``."""
        return self.__copy__()


@contextlib.contextmanager
def _opened(file: Any) -> Iterator[Any]:
    if hasattr(file, "read"):
        position = file.tell()
        file.seek(0)
        try:
            yield file
        finally:
            file.seek(position)
    elif os.path.isfile(file):
        with os.fdopen(open_regular(file), "rb") as opened:
            yield opened
    else:
        raise ValueError(f"{file!r} is no file: give a path, or something that can be read")


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    """Yield what a file has now; somebody may go on writing it."""
    try:
        reader: Any = Snapshot(content)
    except (OSError, AttributeError):  # nothing of the disk
        reader = content
    while chunk := reader.read(_CHUNK):
        yield chunk if isinstance(chunk, bytes) else chunk.encode()
