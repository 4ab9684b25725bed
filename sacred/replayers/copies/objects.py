"""Copies in a bucket: immutable parts, named by the events that they hold.

::

    <path>/journal-<id>/copy.json                                how far it is copied; put last
    <path>/journal-<id>/journal/w0000-e0001/<first>-<next>-<token>    a part of a file
    <path>/blobs/<2 hex>/<sha256>
    <path>/.sacred-marks/<owner>                                 a number for each root copied here

An object can not grow, so what is new of a file is a part, and small parts become one. A part is
never put with another content, and counts once ``copy.json`` names it, which is put on condition
that it is as it was read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import open_regular
from sacred.journal.root import copy_name
from sacred.replayers.copies.run_copy import MANIFEST, Part, RunCopy
from sacred.replayers.copies.scan import PART
from sacred.replayers.objects.marks import MarkObjects
from sacred.replayers.objects.store import ABSENT, ObjectConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.replayers.copies.run_copy import FileCopy
    from sacred.replayers.objects.store import ObjectStore

__all__ = ["ObjectPlace", "blob_key"]


def blob_key(base: str, digest: str) -> str:
    """Return the name of a blob's object."""
    return f"{base}blobs/{digest[:2]}/{digest}"


class ObjectPlace:
    """Copies below a prefix of a bucket.

    Parameters
    ----------
    store
        The bucket.
    base
        The prefix, with its slash; empty for the whole bucket.
    """

    def __init__(self, store: ObjectStore, base: str) -> None:
        self._store = store
        self._base = base
        self._marks = MarkObjects(store, f"{base}.sacred-marks/")
        #: Versions of manifests, as they were read or put.
        self._versions: dict[str, str] = {}
        self._stored: set[str] = set()
        #: Whether parts of a run that nothing names may be there.
        self._unswept: set[str] = set()

    def open(self) -> None:
        """Look that the bucket is there."""
        self._versions.clear()
        self._stored.clear()
        self._unswept.clear()
        self._store.open()

    def close(self) -> None:
        """Give the connection back."""
        self._store.close()

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        return self._marks.get(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        self._marks.raise_to(owner, number)

    def is_source(self, root: Path) -> bool:
        """Return False: a bucket is no root."""
        del root
        return False

    # -- runs ------------------------------------------------------------------------------------

    def _prefix(self, journal_id: str) -> str:
        return f"{self._base}{copy_name(journal_id)}/"

    def load(self, journal_id: str) -> RunCopy | None:
        """Read a run's manifest."""
        found = self._store.get(self._prefix(journal_id) + MANIFEST)
        self._versions[journal_id] = found.version if found is not None else ABSENT
        if found is None:
            return None
        self._unswept.add(journal_id)  # a replayer that was killed may have left parts
        copy = RunCopy.from_bytes(found.content)
        if copy is None or copy.journal_id != journal_id:
            return RunCopy(journal_id, journal_id, None)
        return copy

    def claim(self, journal_id: str, run: int | None) -> Any:
        """Put a manifest that names no file; whoever is second finds that of the first."""
        known = self.load(journal_id)
        if known is None:
            known = RunCopy(journal_id, journal_id, run)
            with contextlib.suppress(ObjectConflictError):
                self.commit(known)
        return known.view_id

    def release(self, journal_id: str) -> None:
        """Delete a run."""
        for one in [*self._store.list(self._prefix(journal_id))]:
            self._store.delete(one.key)
        self._versions.pop(journal_id, None)

    @contextlib.contextmanager
    def alone(self, journal_id: str) -> Iterator[None]:
        """Do nothing: the condition of the last put keeps others away."""
        del journal_id
        yield

    def commit(self, copy: RunCopy) -> None:
        """Put a run's manifest, if it is as it was read; delete the parts that it does not name.

        Of those that were there before: whoever put them is refused when it puts its manifest, and
        what is put by those who read this one has other names.
        """
        prefix = self._prefix(copy.journal_id)
        named = {part.name for file in copy.files.values() for part in file.parts} | {*copy.kept}
        stale = []
        if copy.journal_id in self._unswept:
            listed = [one.key for one in self._store.list(prefix)]
            stale = [key for key in listed if key[len(self._base) :] not in named]
        stale = [key for key in stale if key != prefix + MANIFEST]
        self._put_manifest(copy._replace(stale=bool(stale)))
        for key in stale:
            self._store.delete(key)
        if stale:
            self._put_manifest(copy._replace(stale=False))
        self._unswept.discard(copy.journal_id)

    def _put_manifest(self, copy: RunCopy) -> None:
        key = self._prefix(copy.journal_id) + MANIFEST
        expected = self._versions.get(copy.journal_id, ABSENT)
        self._versions[copy.journal_id] = self._store.put(key, copy.to_bytes(), expected)

    # -- blobs -----------------------------------------------------------------------------------

    def has_blob(self, digest: str, size: int) -> bool:
        """Tell whether a blob is there."""
        del size
        if digest not in self._stored:
            key = blob_key(self._base, digest)
            if all(one.key != key for one in self._store.list(key)):
                return False
            self._stored.add(digest)
        return True

    def put_blob(self, digest: str, path: Path) -> None:
        """Put a blob."""
        self._store.put(blob_key(self._base, digest), path)
        self._stored.add(digest)

    # -- files -----------------------------------------------------------------------------------

    def goes_on(self, copy: RunCopy, name: str, source: Path) -> bool:
        """Return True: what was put is never changed."""
        del copy, name, source
        return True

    def write(
        self, copy: RunCopy, name: str, source: Path, parts: tuple[Part, ...], *, keep: bool
    ) -> tuple[Part, ...]:
        """Put the new parts of a file, small ones before them as one with the first."""
        del keep  # the manifest says which old parts stay: see ``commit``
        known = copy.files.get(name)
        begin = parts[0].begin
        there = [part for part in (known.parts if known else ()) if part.end <= begin and begin]
        first, *rest = parts
        while there:
            size = there[-1].end - there[-1].begin
            if size > first.end - first.begin or size + first.end - first.begin > PART:
                break
            last = there.pop()
            first = first._replace(begin=last.begin, first=last.first)
        prefix = f"{self._prefix(copy.journal_id)}{name.removesuffix('.jzst')}/"
        if known is not None:
            self._unswept.add(copy.journal_id)
        with os.fdopen(open_regular(source), "rb") as file:
            for part in (first, *rest):
                there += self._put(file, prefix, part)
        return tuple(there)

    def _put(self, file: Any, prefix: str, part: Part) -> Iterator[Part]:
        """Put a part; one that is very large, of a file without frames, in several."""
        begin = part.begin
        while begin < part.end:
            end = part.end if part.end - begin <= 2 * PART else begin + PART
            file.seek(begin)
            content = file.read(end - begin)
            if len(content) < end - begin:
                raise FileNotFoundError("the file that is copied became shorter")
            # A name that nobody else gives: what is put is never put again, nor deleted by others.
            key = f"{prefix}{part.first:012d}-{part.next:012d}-{secrets.token_hex(4)}"
            self._store.put(key, content)
            yield Part(key[len(self._base) :], begin, end, part.first, part.next)
            begin = end

    def remove(self, copy: RunCopy, name: str, file: FileCopy) -> None:
        """Have the objects of a file deleted, once no manifest names them."""
        del name, file
        self._unswept.add(copy.journal_id)
