"""The files that a run stored, by name: artifacts, resources, sources."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from sacred.analysis.entries import no_entry

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import FileEntry

__all__ = ["StoredFile", "StoredFilesByName"]


class StoredFile:
    """A file that a run stored: an artifact, a resource or a source.

    Attributes
    ----------
    name
        As the run named it.
    size
        Bytes; None if the content was not stored.
    sha256
        The digest of the content; None if it was not stored.
    version
        Counts artifacts of one name, from 1; None for other files.
    """

    def __init__(self, folder: RunFolder, entry: FileEntry) -> None:
        self._folder, self._entry = folder, entry
        self.name = entry.name
        self.size = entry.size if entry.digest else None
        self.sha256 = entry.digest
        self.version = entry.version

    def __repr__(self) -> str:
        """Show name and size."""
        size = "not stored" if self.size is None else f"{self.size:,} bytes"
        return f"<StoredFile {self.name}, {size}>"

    def read(self) -> bytes:
        """Return the content, proved against its digest.

        Raises
        ------
        BlobMissingError, BlobDamagedError
            It was not stored, is not there any more, or is not what its digest says.
        """
        from sacred.analysis.stored import content

        return b"".join(content(self._folder, self._entry))

    def open(self) -> BinaryIO:
        """Return the content as a file to read, proved; see ``read``."""
        return io.BytesIO(self.read())

    def text(self, encoding: str = "utf-8") -> str:
        """Return the content as text."""
        return self.read().decode(encoding)

    def save(self, to: str | Path, *, overwrite: bool = False) -> Path:
        """Write the content below a folder, under its name; return where it is.

        Raises
        ------
        OutputPlaceError
            A file is there already, or the place is none.
        BlobMissingError, BlobDamagedError
            See ``read``.
        """
        from sacred.analysis.stored import copy_out
        from sacred.journal.errors import BlobMissingError

        done = copy_out(self._folder, [self._entry], to, overwrite=overwrite)
        if done.problems:
            raise BlobMissingError(done.problems[0])
        return done.places[0][1]


class StoredFilesByName(Mapping[str, StoredFile]):
    """Files of a run by name; of several versions of one name the last, see ``versions``."""

    def __init__(self, folder: RunFolder, entries: list[FileEntry], what: str) -> None:
        self._what = what
        self._files: dict[str, list[StoredFile]] = {}
        for each in entries:
            self._files.setdefault(each.name, []).append(StoredFile(folder, each))

    def __getitem__(self, name: str) -> StoredFile:
        """Return a file; a ``KeyError`` names what is near."""
        return self.versions(name)[-1]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._files)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._files)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._files)

    def __repr__(self) -> str:
        """Show the names."""
        return f"<{self._what} {', '.join(self._files) or 'none'}>"

    def versions(self, name: str) -> list[StoredFile]:
        """Return all files of a name, the first one first."""
        if name not in self._files:
            raise KeyError(no_entry(self._what, name, list(self._files)))
        return list(self._files[name])
