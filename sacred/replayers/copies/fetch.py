"""The way back from a bucket: its copies as runs that can be merged into a root."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle import place_of
from sacred.journal.errors import BlobError, JournalUnreadableError
from sacred.journal.merging import Found
from sacred.journal.root import RunFolder, is_copy_name
from sacred.replayers.copies.address import journal_spec
from sacred.replayers.copies.fetched_before import FetchedBefore
from sacred.replayers.copies.objects import blob_key
from sacred.replayers.copies.run_copy import MANIFEST, RunCopy
from sacred.replayers.errors import TerminalSinkError
from sacred.replayers.registry import object_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.merging import MergedRun, MergeOrigin
    from sacred.journal.root import JournalRoot
    from sacred.replayers.objects.store import ObjectStore

__all__ = ["fetched"]

#: So often a run is fetched of which parts become one meanwhile.
_ATTEMPTS = 20


@contextlib.contextmanager
def fetched(address: str, into: JournalRoot | None = None) -> Iterator[MergeOrigin]:
    """Give the copies in a bucket, one after the other, to be merged.

    A run at a time is fetched into a temporary folder (``$TMPDIR``), and of its blobs those that are
    asked for. Of one that did not change since it was merged only the manifest is, and no blob is
    that lies in the root and is whole.

    Parameters
    ----------
    address
        ``s3://bucket/path`` or ``gs://bucket/path``.
    into
        The root into which they are merged; None fetches all.

    Raises
    ------
    SinkError
        The address is none, or the bucket can not be read.
    """
    spec = journal_spec(f"journal:{address}")
    base = spec.url.partition("://")[2].partition("/")[2]
    store = object_store(spec, reads=True)
    before = FetchedBefore(into, spec.url) if into is not None else None
    here = BlobStore(into.blobs) if into is not None else None
    try:
        store.open()
        origin = _BucketOrigin(store, f"{base}/" if base else "", before, here)
        if not len(origin):
            raise TerminalSinkError(f"{spec.name} holds no copies of runs")
        yield origin
    finally:
        store.close()
        if before is not None:
            before.save()


class _BucketOrigin:
    """The copies below a prefix of a bucket."""

    def __init__(
        self,
        store: ObjectStore,
        base: str,
        before: FetchedBefore | None,
        here: BlobStore | None,
    ) -> None:
        self._store = store
        self._base = base
        self._before = before
        self._here = here
        listed = (one.key[len(base) :] for one in store.list(base, folders=True))
        self._names = sorted(
            name[:-1] for name in listed if name.endswith("/") and is_copy_name(name[:-1])
        )

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self._names)

    def __iter__(self) -> Iterator[contextlib.AbstractContextManager[Found]]:
        """Yield the runs."""
        for name in self._names:
            yield self._fetched(name)

    @contextlib.contextmanager
    def _fetched(self, name: str) -> Iterator[Found]:
        with tempfile.TemporaryDirectory(prefix="sacred-") as aside:
            folder = Path(aside) / name
            blobs = _Blobs(Path(aside) / "blobs", self._store, self._base, self._here)
            manifest = self._manifest(name)
            known = self._before.run(name, manifest) if self._before is not None else None
            if known is not None:  # the run here stands for its copy
                yield Found(RunFolder(known, _number(RunCopy.from_bytes(manifest))), blobs)
                return
            manifest, number = self._run(name, folder, manifest)

            def taken(run: MergedRun) -> None:
                if self._before is not None and run.number is not None:
                    self._before.remember(name, manifest, folder, run.number)

            yield Found(RunFolder(folder, number), blobs, taken)

    def _manifest(self, name: str) -> bytes:
        found = self._store.get(f"{self._base}{name}/{MANIFEST}")
        return found.content if found is not None else b""

    def _run(self, name: str, folder: Path, manifest: bytes) -> tuple[bytes, int | None]:
        """Fetch the files of a run; return the manifest that names them, and the number it had."""
        (folder / "journal").mkdir(parents=True)
        for _ in range(_ATTEMPTS):
            copy = RunCopy.from_bytes(manifest)
            if copy is None:
                return manifest, None  # nothing was copied yet: an empty run
            if all(self._file(folder / file, copy, file) for file in copy.files if _is_one(file)):
                return manifest, _number(copy)
            manifest = self._manifest(name)
        raise JournalUnreadableError(
            f"parts of the copy {name} are missing: copy it with --rebuild"
        )

    def _file(self, path: Path, copy: RunCopy, name: str) -> bool:
        """Put the parts of a file together; False if one is not there any more."""
        file = copy.files[name]
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as out:
            for part in file.parts:
                found = self._store.get(self._base + part.name)
                if found is None or len(found.content) != part.end - part.begin:
                    return False
                out.write(found.content)
        when = file.source[2] if len(file.source) > 2 else 0
        os.utime(path, ns=(when, when))
        return True


class _Blobs(BlobStore):
    """The blobs of a bucket, each fetched when it is looked for and not whole in a store here."""

    __slots__ = ("_base", "_bucket", "_here")

    def __init__(self, path: Path, bucket: ObjectStore, base: str, here: BlobStore | None) -> None:
        super().__init__(path, durable=False)
        self._bucket = bucket
        self._base = base
        self._here = here

    def path_of(self, digest: str) -> Path:
        """Return where a blob lies by now."""
        path = super().path_of(digest)
        if not path.is_file():
            if self._here is not None:
                with contextlib.suppress(BlobError, OSError):
                    self._here.check(digest)
                    return self._here.path_of(digest)
            found = self._bucket.get(blob_key(self._base, digest))
            if found is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(found.content)
        return path


def _number(copy: RunCopy | None) -> int | None:
    """Return the number that a run had where it was copied."""
    if copy is None or not isinstance(copy.run, int) or copy.run <= 0:
        return None
    return copy.run


def _is_one(name: str) -> bool:
    """Tell whether a manifest names a file of a run, and none that leads elsewhere."""
    try:
        return place_of(name)[0] < 2
    except ValueError:
        return False
