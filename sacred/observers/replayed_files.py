"""The files of a run for an observer that is told of it later: as they were when they were recorded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sacred.replayers.sink import FileEntry

__all__ = ["ReplayedFiles"]


class ReplayedFiles:
    """Paths under which an observer finds the content that was recorded.

    That is the path the program gave, as long as the same content is there; else a copy under the
    same name in a temporary folder, which lasts until ``close``: an observer may read late.
    """

    def __init__(self) -> None:
        self._blobs: dict[tuple[str, str, str | None, int], Path | None] = {}
        self._folder: str | None = None
        self._copies = 0

    def add(self, entry: FileEntry, blob: Path | None) -> None:
        """Learn where the content of a file is kept."""
        self._blobs[entry.key] = blob

    def path_of(self, entry: FileEntry) -> str | None:
        """Return a path with the content of a file; None if nobody has it any more.

        Raises
        ------
        OSError
            The disk takes no copy.
        """
        blob = self._blobs.get(entry.key)
        if blob is None:
            # Its content was not stored, or was lost: what lies there now is the best there is.
            return entry.path if os.path.exists(entry.path) else None
        if _holds(entry.path, entry):
            return entry.path
        self._copies += 1
        name = os.path.basename(entry.path) or "file"
        return self._copy(blob, os.path.join(str(self._copies), name))

    def base_of(self, base_dir: str, sources: Iterable[FileEntry]) -> str:
        """Return a folder that holds a run's sources under their names.

        That is ``base_dir``, as long as they are there and unchanged.

        Raises
        ------
        OSError
            The disk takes no copy.
        """
        stored = {entry: blob for entry in sources if (blob := self._blobs.get(entry.key))}
        if all(_holds(os.path.join(base_dir, entry.name), entry) for entry in stored):
            return base_dir
        for entry, blob in stored.items():
            if not os.path.isabs(entry.name) and ".." not in entry.name.split("/"):
                self._copy(blob, os.path.join("sources", entry.name))
        return os.path.join(self._folder, "sources") if self._folder else base_dir

    def close(self) -> None:
        """Remove the copies; never raises."""
        self._blobs.clear()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _copy(self, blob: Path, name: str) -> str:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="sacred-replay-")
        path = os.path.join(self._folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return shutil.copyfile(blob, path)


def _holds(path: str, entry: FileEntry) -> bool:
    """Tell whether a file has the content of an entry."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) != entry.size:
            return False
        sha = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                sha.update(chunk)
    except OSError:
        return False
    return sha.hexdigest() == entry.digest
