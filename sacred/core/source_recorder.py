"""Recording what a run is made of: sources, packages, repositories, facts of the machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING, load_hashes
from sacred.journal.blobs import SMALL_FILE, BlobStore
from sacred.journal.events import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sacred.journal.blobs import StoredFile
    from sacred.journal.root import JournalRoot

__all__ = ["SourceRecorder"]

#: A main file of so many bytes is recorded before the main function is called.
_SMALL_SOURCE = 1 << 20


class SourceRecorder:
    """The part of the recorder that knows facts which arrive late. No method raises because of the disk.

    Attributes
    ----------
    changed_sources
        Names of sources that are not as they were when the run began.
    """

    if TYPE_CHECKING:
        root: JournalRoot
        changed_sources: list[str]
        _blobs: BlobStore
        _durability: str
        _main: str | None
        _kept: tuple[str, str, StoredFile] | None
        _told: set[str]
        _sources: dict[str, str | None]
        _dependencies: set[str]

        @property
        def is_open(self) -> bool:
            """Whether there is a journal to record in."""
            ...

        def _append(self, event_type: EventType, **fields: Any) -> None: ...
        def _fault(self, error: OSError) -> None: ...

    def keep_main_source(self, name: str, path: str) -> None:
        """Store the main file without waiting for the disk, for ``main_source`` to record.

        Before the start is recorded: a run that is killed with its start in the journal has its
        main file, too. ``sync_main_source`` makes it durable. A large one, or one that can not be
        read, is left to ``sources``.
        """
        try:
            if os.stat(path).st_size > _SMALL_SOURCE:
                return
            self._kept = name, path, BlobStore(self.root.blobs, durable=False).put_file(path)
        except OSError:
            return

    def main_source(self) -> None:
        """Record the main file that is kept."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        name, path, stored = kept
        self._main = stored.blob.digest
        self._told.add(name)
        if self._is_new(name, stored.blob.digest):
            self._append_main(name, path, stored)

    def main_text(self, name: str, path: str, text: str) -> None:
        """Record a main source that is in no file; one that was recorded before is replaced.

        ``sync_main_source`` makes it durable.
        """
        try:
            content = text.encode("utf-8", "replace")  # half characters can be typed
            stored = BlobStore(self.root.blobs, durable=False).put_bytes(content)
        except OSError as error:
            self._fault(error)
            return
        if name in self._told and self._main == stored.blob.digest:
            return
        self._main = stored.blob.digest
        self._told.add(name)
        self._append_main(name, path, stored)

    def _append_main(self, name: str, path: str, stored: StoredFile) -> None:
        self._append(
            EventType.SOURCE_ADDED,
            filename=name,
            path=path,
            md5=stored.md5,
            blob=stored.blob.to_wire(),
            main=True,
        )

    def _is_new(self, name: str, digest: str | None) -> bool:
        """Tell whether a source is to be recorded; note that it is another one than before."""
        known = self._sources.get(name)
        if known is not None and digest != known:
            self.changed_sources.append(name)
        return known is None or digest != known

    def sync_main_source(self) -> None:
        """Make the content of the main file durable; may wait for the disk."""
        if self._main is not None and self._durability != "process":
            try:
                self._blobs.sync(self._main)
            except OSError as error:
                self._fault(error)

    def sources(self, sources: Iterable[tuple[str, str, str]], main: str | None) -> None:
        """Record source files: (relative name, absolute path, md5), and which is the main one.

        Each name once: those that were told are passed over, and what is recorded as it is.
        """
        new = [source for source in sources if source[0] not in self._told]
        modules = _modules_of(new)
        for name, path, md5 in new:
            if name in self._told:
                continue
            self._told.add(name)
            fields: dict[str, Any] = {"filename": name, "path": path, "md5": md5}
            if name in modules:
                fields["module"] = modules[name]
            try:
                if os.stat(path).st_size > SMALL_FILE:
                    load_hashes()
                stored = self._blobs.put_file(path)
                fields["blob"] = stored.blob.to_wire()
                # The blob's bytes are what the run's record is about.
                fields["md5"] = stored.md5
            except OSError as error:
                fields["error"] = f"not stored: {error.strerror or error}"
            if not self._is_new(name, (fields.get("blob") or {}).get("digest")):
                continue
            if name == main:
                fields["main"] = True
            self._append(EventType.SOURCE_ADDED, **fields)

    def dependencies(self, dependencies: Iterable[str]) -> None:
        """Record packages, as ``name==version``; those that are recorded are passed over."""
        new = [name for name in dict.fromkeys(dependencies) if name not in self._dependencies]
        if new:
            self._dependencies.update(new)
            self._append(EventType.DEPENDENCIES_FOUND, dependencies=new)

    def repositories(self, repositories: Iterable[Mapping[str, Any]]) -> None:
        """Record the repositories that sources lie in, each state once.

        Parameters
        ----------
        repositories
            ``url``, ``commit`` and ``dirty``; ``root`` (its folder) and ``diff`` (the uncommitted
            changes as bytes, which are stored as they are) where they are known.
        """
        seen = set()
        for repository in repositories:
            names = ("url", "commit", "dirty", "root", "diff")
            facts = tuple(repository.get(name) for name in names)
            if facts in seen:
                continue
            seen.add(facts)
            url, commit, dirty, root, diff = facts
            self._append(
                EventType.REPOSITORY_FOUND,
                url=str(url),
                commit=str(commit),
                dirty=bool(dirty),
                root=root,
                diff=self._stored_diff(diff) if diff else None,
            )

    def _stored_diff(self, content: bytes) -> dict[str, Any] | None:
        if not self.is_open:
            return None
        try:
            return self._blobs.put_bytes(content).blob.to_wire()
        except OSError as error:
            self._fault(error)
            return None

    def host_facts(self, facts: dict[str, Any]) -> None:
        """Record host facts that took their time."""
        if facts:
            self._append(EventType.HOST_FACTS, facts=facts)


def _modules_of(sources: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return what sources were imported as, by their names, where their place does not say it.

    One right in the base folder is a module that is imported from there.
    """
    inner = {path: name for name, path, _ in sources if os.sep in name}
    if not inner:
        return {}
    with IMPORTING:
        from sacred.core.imports import imported_as
        from sacred.core.sources import module_name
    names = imported_as(inner)
    return {inner[path]: name for path, name in names.items() if name != module_name(inner[path])}
