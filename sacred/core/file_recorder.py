"""Recording files: resources that a run needs, artifacts that it makes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from sacred.core.artifacts import ArtifactError, content_type_of, files_of
from sacred.core.fork import load_hashes
from sacred.journal.events import EventType

if TYPE_CHECKING:
    from typing import IO

    from sacred.journal.blobs import BlobStore, StoredFile
    from sacred.journal.codec import BlobReference

__all__ = ["FileRecorder"]


class FileRecorder:
    """The part of the recorder that knows files. A disk that takes no copy of one raises nothing."""

    if TYPE_CHECKING:
        _blobs: BlobStore
        places: frozenset[str]
        _versions: dict[str, int]
        _artifacts: dict[str, list[BlobReference]]

        @property
        def is_open(self) -> bool:
            """Whether there is a journal to record in."""
            ...

        def _append(self, event_type: EventType, **fields: Any) -> None: ...
        def _fault(self, error: OSError) -> None: ...

    def resource(self, filename: str) -> None:
        """Record a file the run needs, with its content as it is now.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        stored, error = self._store(filename)
        self._append(EventType.RESOURCE_ADDED, filename=filename, **_content(stored, error))

    def artifact(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> list[str]:
        """Record a file or folder the run made, with its content as it is now.

        Durable as far as the disk takes it: the blob is synced before the event names it.

        Returns
        -------
        What of a folder was left out, and why.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        version = self._versions[name] = self._versions.get(name, 0) + 1
        if os.path.isdir(filename):
            found = files_of(filename, self.places)
            self._append(
                EventType.DIRECTORY_ADDED,
                name=name,
                role="artifact",
                filename=filename,
                entries=self._directory(filename, found.files, found.left_out, name),
                metadata=metadata,
                version=version,
            )
            return found.left_out
        stored, error = self._store(filename)
        self._keep_artifact(name, stored)
        self._append(
            EventType.ARTIFACT_ADDED,
            name=name,
            filename=filename,
            metadata=metadata,
            content_type=content_type,
            guessed_type=None if content_type else content_type_of(filename),
            version=version,
            **_content(stored, error),
        )
        return []

    def _keep_artifact(self, name: str, stored: StoredFile | None) -> None:
        if stored is not None:
            self._artifacts.setdefault(name, []).append(stored.blob)

    def open_artifact(self, name: str, version: int | None = None) -> IO[bytes]:
        """Open an artifact of the run for reading, as it was stored.

        Parameters
        ----------
        name
            Under which it was added; ``folder/file`` for a file of a folder.
        version
            Which of several, from 1; the last by default.

        Raises
        ------
        ArtifactError
            There is none.
        BlobError
            What is stored is damaged, or gone.
        """
        versions = self._artifacts.get(name, [])
        if not versions:
            names = ", ".join(self._artifacts) or "none"
            raise ArtifactError(f"the run has no artifact {name!r}; it has {names}")
        if version is not None and not 1 <= version <= len(versions):
            raise ArtifactError(
                f"the artifact {name!r} has no version {version}: there are 1 to {len(versions)}"
            )
        blob = versions[(version or len(versions)) - 1]
        self._blobs.check(blob.digest)
        return self._blobs.open(blob.digest)

    def _directory(
        self, folder: str, names: list[str], left_out: list[str], artifact: str
    ) -> list[list[Any]]:
        entries: list[list[Any]] = []
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                stored, _ = self._store(path)
            except FileNotFoundError:  # somebody else's, and taken away meanwhile
                left_out.append(f"{name} (gone)")
                continue
            self._keep_artifact(f"{artifact}/{name}", stored)
            entries.append([name, stored.blob.to_wire() if stored else None, mode])
        return entries

    def _store(self, filename: str) -> tuple[StoredFile | None, str | None]:
        """Return the stored file, or why it could not be stored."""
        # Opened once before: the caller hears of a file that can not be read, but not of a disk
        # that takes no copy of it.
        with open(filename, "rb"):
            pass
        if not self.is_open:
            return None, None
        load_hashes()
        try:
            return self._blobs.put_file(filename), None
        except OSError as error:
            self._fault(error)
            return None, f"not stored: {error.strerror or error}"


def _content(stored: StoredFile | None, error: str | None) -> dict[str, Any]:
    if stored is None:
        return {"error": error or "not stored"}
    return {"blob": stored.blob.to_wire(), "md5": stored.md5}
