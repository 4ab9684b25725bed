"""A run's files as objects: sources and resources that all runs share, and its artifacts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sacred.replayers.objects.store import ABSENT, ObjectConflictError
from sacred.replayers.tree.names import artifact_file, shared_file, size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sacred.replayers.objects.store import ObjectStore
    from sacred.replayers.sink import FileEntry

__all__ = ["StoredFiles"]

log = logging.getLogger("sacred.replayers")

#: A store takes names of 1,024 bytes; the prefix and the run's id need some of them.
_NAME_BYTES = 600
#: And a store on a file system makes names of its own of each part, which have to fit as well.
_PART_BYTES = 200


class StoredFiles:
    """The files of the runs below one prefix.

    Parameters
    ----------
    store
        Where they are.
    base
        The prefix, with its slash.
    options
        Of the view: ``source_dir`` and ``resource_dir`` count here.
    """

    def __init__(self, store: ObjectStore, base: str, options: Mapping[str, Any]) -> None:
        self._store = store
        self._base = base
        folders = {"source": "source_dir", "resource": "resource_dir"}
        self._folders = {
            role: str(options.get(option) or f"{base}_{role}s").rstrip("/")
            for role, option in folders.items()
        }
        self._shared: set[str] = set()
        self._blobs: dict[tuple[str, str, str | None, int], Path] = {}

    def forget(self) -> None:
        """Look again what is stored: a server may come back older."""
        self._shared.clear()

    def put(self, entry: FileEntry, blob: Path | None) -> str:
        """Store what all runs share, unless it is there; an artifact waits for its run's turn."""
        if entry.role == "artifact":
            if blob is not None:
                self._blobs[entry.key] = blob
            return entry.name
        if blob is None:
            return entry.path
        plain = "".join(c if c.isprintable() else "_" for c in entry.name)
        name = shared_file(plain, entry.md5 or entry.digest)
        key = f"{self._folders[entry.role]}/{name}"
        if key not in self._shared:
            # Looked for first: a refused put has sent the whole content.
            if all(one.key != key for one in self._store.list(key)):
                try:
                    self._store.put(key, blob, ABSENT)
                except ObjectConflictError:
                    pass  # another replayer was faster; the content is the same
            self._shared.add(key)
        return key

    def relative(self, stored: str) -> str:
        """Return a stored file's name relative to the folder of the runs."""
        return stored.removeprefix(self._base)

    def artifacts(
        self, kept: dict[str, Any], entries: list[FileEntry], waiting: dict[str, Path]
    ) -> list[str]:
        """Return the names of the artifacts' objects.

        Parameters
        ----------
        kept
            The content of the run's position, where it is noted which are there.
        entries
            All artifacts of the run.
        waiting
            Gets the newest content of each name that is not there, by the object's name.
        """
        renamed = kept.setdefault("renamed", {})
        stored = kept.setdefault("artifacts", {})
        newest = {entry.name: entry for entry in entries}
        files: dict[str, str] = {}
        folders: set[str] = set()
        taken: set[str] = set()
        for name, entry in newest.items():
            # A listing is XML, which has no control characters: such a name is not found again.
            aside = size(name) > _NAME_BYTES or not name.isprintable()
            file = str(renamed.get(name) or artifact_file(name, aside=aside, longest=_PART_BYTES))
            above = {file[:at] for at, character in enumerate(file) if character == "/"}
            if name not in renamed and (file in folders or not above.isdisjoint(taken)):
                # A store on a file system has no file and folder of one name.
                file, above = artifact_file(name, aside=True, longest=_PART_BYTES), set()
            folders |= above
            taken.add(file)
            blob = self._blobs.get(entry.key)
            if blob is not None and stored.get(name) != entry.digest:
                waiting[file] = blob
                stored[name] = entry.digest
            if file != name and renamed.get(name) != file:
                renamed[name] = file
                log.warning("the artifact %r is stored as %s", name, file)
            files[name] = file
        return [files[entry.name] for entry in entries]
