"""The sink of copies: it is not given changes, but copies what is new in the run's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.copies.bring import bring
from sacred.replayers.copies.folder import FolderPlace
from sacred.replayers.copies.objects import ObjectPlace
from sacred.replayers.errors import TerminalSinkError, ViewMovedError
from sacred.replayers.registry import object_store
from sacred.replayers.sink import Batch, FileEntry, RunKey, SinkSpec, ViewPosition, wanted_id

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.copies.place import CopyPlace
    from sacred.replayers.copies.run_copy import RunCopy

__all__ = ["JournalSink"]


class JournalSink:
    """Copies journals and blobs to a folder, or to a bucket of S3 or Google Cloud Storage.

    Options: ``endpoint_url``, ``region``, ``project``, as those of the bucket.

    A batch says that there is something to copy, and ``complete`` that nothing is to wait; what is
    copied is what the files of the run hold at that moment. Where it is not known which run folder
    that is (``attend``), nothing is.
    """

    rewrites: frozenset[str] = frozenset({"journal"})

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self._place: CopyPlace
        if "://" in spec.url:
            base = spec.url.partition("://")[2].partition("/")[2]
            self._place = ObjectPlace(object_store(spec), f"{base}/" if base else "")
        else:
            self._place = FolderPlace(spec.url)
        self._folder: RunFolder | None = None

    def attend(self, folder: RunFolder) -> None:
        """Learn which run is copied."""
        self._folder = folder

    def open(self) -> None:
        """Look that the place is there, and is not the root itself."""
        if self._folder is not None and self._place.is_source(self._folder.root.path):
            raise TerminalSinkError(
                f"{self.spec.name} is the root of these runs: give their copies another place"
            )
        self._place.open()

    def close(self) -> None:
        """Give the connection back."""
        self._place.close()

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        return self._place.marked(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        self._place.mark(owner, number)

    # -- ids -------------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Give the run a folder under its journal's id and, in a folder, a number."""
        number = self._folder.number if self._folder is not None else None
        wanted = number if number is not None else wanted_id(run.run_id)
        return self._place.claim(run.journal_id, wanted)

    def clear_claims(self, max_age: float) -> int:  # noqa: ARG002 - the next replay takes it up
        """Return 0: a run of which nothing was copied yet is found by its journal's id."""
        return 0

    def release(self, run: RunKey) -> bool:
        """Take a claim back, if nothing was copied."""
        copy = self._place.load(run.journal_id)
        if copy is None or copy.files:
            return False
        self._place.release(run.journal_id)
        return True

    # -- writing ---------------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the copied journal ends."""
        copy = self._place.load(run.journal_id)
        return _stands(copy) if copy is not None else None

    def write(self, batch: Batch) -> None:
        """Copy what is new, and then write down that it is there."""
        ident = batch.run.journal_id
        with self._place.alone(ident):
            copy = self._place.load(ident)
            if copy is None:
                raise ViewMovedError("the run is not in the copy any more")
            if self._folder is None:
                return
            after = bring(self._folder, self._place, copy, complete=batch.complete)
            after = after._replace(projector=batch.projector, stale=False)
            if after != copy:
                self._place.commit(after)

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a blob; those that the journal names are copied by ``write``."""
        del run
        if blob is None or entry.digest is None:
            return None
        if not self._place.has_blob(entry.digest, blob.stat().st_size):
            self._place.put_blob(entry.digest, blob)
        return entry.digest

    def reset(self, run: RunKey) -> None:
        """Have everything copied anew; what is there stays until something takes its place."""
        with self._place.alone(run.journal_id):
            copy = self._place.load(run.journal_id)
            if copy is not None:
                self._place.commit(copy._replace(anew=True))


def _stands(copy: RunCopy) -> ViewPosition:
    position = Position() if copy.anew else copy.position
    return ViewPosition(
        copy.view_id, position, copy.projector, ahead=position, claimed=not copy.files
    )
