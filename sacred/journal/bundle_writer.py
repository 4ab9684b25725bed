"""Writing a run into a bundle, as its files are at that moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle import (
    CHUNK,
    MANIFEST,
    MANIFEST_CAP,
    Manifest,
    Member,
    end,
    header,
    padding,
    place_of,
)
from sacred.journal.codec import BlobReference
from sacred.journal.digests import is_digest
from sacred.journal.errors import (
    BlobDamagedError,
    BlobError,
    BlobMissingError,
    BundleError,
    NotAJournalError,
)
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.new_file import new_file
from sacred.journal.reader import JournalReader
from sacred.journal.references import decode_odd, digests_in, references
from sacred.journal.regular_file import open_regular
from sacred.journal.spool import SPOOL, flaws_from, spooled_to
from sacred.journal.verdicts import is_damage
from sacred.journal.verification import vanished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sacred.journal.root import RunFolder

__all__ = ["Bundled", "write_bundle"]

#: A file may be sealed while it is read, one after the other.
_ATTEMPTS = 20


class Bundled(NamedTuple):
    """What was written.

    Attributes
    ----------
    path
        The bundle, links followed.
    manifest
        What it says of itself: the run and its files.
    size
        Of the bundle, in bytes.
    problems
        A sentence for each thing that is wrong with the run: what is damaged is in the bundle as it
        is, what is missing is not.
    """

    path: Path
    manifest: Manifest
    size: int
    problems: list[str]


class _ChangedError(Exception):
    """A file is not any more what it was a moment ago."""


def write_bundle(
    folder: RunFolder, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Bundled:
    """Write a run into one file.

    Of a run that is still written, the bundle holds what its files held at that moment: of each
    writer a prefix of its events.

    Parameters
    ----------
    folder
        The run's; its blobs are looked for beside it.
    path
        The bundle; it appears there when it is whole and durable.
    overwrite
        Also over a file that is there.

    Returns
    -------
    What was written, and what is wrong with it. It survives a power cut.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
    OutputPlaceError
        Something is there already, or can not be.
    BundleError
        The files of the run change faster than they can be read.
    OSError
        The disk refuses.

    Notes
    -----
    Memory: one frame of the journal and the list of the files. Everything is read twice.
    """
    store = BlobStore(folder.root.blobs)
    with new_file(path, overwrite=overwrite) as out:
        for _ in range(_ATTEMPTS):
            out.seek(0)
            out.truncate()
            try:
                manifest, problems = _survey(folder, store)
                size = _write(out, manifest, folder, store)
            except _ChangedError:
                continue
            return Bundled(Path(os.path.realpath(path)), manifest, size, problems)
        raise BundleError(f"the files of {folder.path} change while they are read: try again")


def _survey(folder: RunFolder, store: BlobStore) -> tuple[Manifest, list[str]]:
    """Look at every file that goes into a bundle.

    The journal is read after its files were measured: blobs that came meanwhile go along, and none
    is missing.
    """
    names = _names(folder, "journal")
    members = [_measured(name, folder.path / name) for name in names]
    found = _Found()
    journal_id = found.read(folder)
    if names != _names(folder, "journal"):
        raise _ChangedError  # the event that names a child may be in, and its file not
    notes = _names(folder, "notes")
    if notes:
        members += [_measured(name, folder.path / name) for name in notes]
        found.read_notes(folder)
    missing = []
    for reference in [*found.blobs.values()]:
        try:
            member = _blob(reference, store)
        except (BlobError, OSError) as error:
            found.problems.append(str(error))
            if is_digest(reference.digest):
                missing.append(reference.digest)
            continue
        members.append(member)
        if reference.encoding == "msgpack":
            with store.open(reference.digest) as file:
                inside = [digest for digest in digests_in(file) if digest not in found.blobs]
            for digest in inside:
                with contextlib.suppress(BlobError, OSError):  # it only looked like one
                    inner = BlobReference("sha256", digest, os.stat(store.path_of(digest)).st_size)
                    members.append(_blob(inner, store))
                    found.blobs[digest] = inner
    members.sort(key=lambda member: place_of(member.name))
    return Manifest(
        journal_id, folder.number, tuple(members), tuple(sorted(missing))
    ), found.problems


def _blob(reference: BlobReference, store: BlobStore) -> Member:
    digest = reference.digest
    try:
        member = _measured(f"blobs/{digest[:2]}/{digest}", store.path_of(digest))
    except _ChangedError:
        raise BlobMissingError(f"blob {digest} is not in {store.path}") from None
    if (member.sha256, member.size) != (digest, reference.size):
        raise BlobDamagedError(f"the content of blob {digest} is not what its name says")
    return member


def _names(folder: RunFolder, part: str) -> list[str]:
    try:
        names = [f"{part}/{name}" for name in os.listdir(folder.path / part)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if _is_one(name) and (folder.path / name).is_file())


def _is_one(name: str) -> bool:
    try:
        place_of(name)
    except ValueError:
        return False
    return True


def _measured(name: str, path: Path) -> Member:
    digest, size = hashlib.sha256(), 0
    with _opened(path) as file:
        left = os.fstat(file.fileno()).st_size  # a live file grows
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            size += len(chunk)
            left -= len(chunk)
    return Member(name, size, digest.hexdigest())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise _ChangedError from None
    with os.fdopen(descriptor, "rb") as file:
        yield file


class _Found:
    """What reading a run's journals found: the blobs they name, and what is wrong."""

    def __init__(self) -> None:
        self.blobs: dict[str, BlobReference] = {}
        self.problems: list[str] = []
        self._children: list[Any] = []
        self._spool_end = 0

    def read(self, folder: RunFolder) -> int:
        """Read the journal and return its id."""
        reader = self._read(folder.journal)
        # What a kill leaves is no loss; what damage leaves may be what a writer is about to finish.
        left = [str(tail) for tail in reader.tails() if is_damage(tail)]
        children = [child for child in self._children if type(child) is int]
        gone = vanished(reader, children)
        has_first = not any(gap.writer == 0 for gap in gone)
        if left and not (has_first and run_liveness(folder) is Liveness.RUNNING):
            self.problems += left
        self.problems += map(str, gone)
        self.problems += map(str, flaws_from(folder.journal / SPOOL, self._spool_end))
        reader.close()
        return reader.journal_id

    def read_notes(self, folder: RunFolder) -> None:
        """Read the notes, too."""
        try:
            self._read(folder.path / "notes").close()
        except NotAJournalError as error:
            self.problems.append(str(error))

    def _read(self, folder: Path) -> JournalReader:
        reader = JournalReader(folder, table_decoder=decode_odd)
        redacted = set()
        for frame in reader.poll():
            for event in frame.events:
                for blob in references(event):
                    self.blobs[blob.digest] = blob
                if event.type == EventType.REDACTED:
                    redacted.add(str(event.fields.get("digest")))
                elif event.type == EventType.CHILD_SEEN:
                    self._children.append(event.fields.get("writer"))
                elif event.type == EventType.OUTPUT:
                    self._spool_end = max(self._spool_end, spooled_to(event))
        for digest in redacted:
            self.blobs.pop(digest, None)
        if not reader.journal_id:
            reader.close()
            raise NotAJournalError(f"{folder} holds no whole frame of a journal: nothing to bundle")
        self.problems += [str(verdict) for verdict in reader.verdicts if is_damage(verdict)]
        return reader


def _write(out: BinaryIO, manifest: Manifest, folder: RunFolder, store: BlobStore) -> int:
    data = manifest.to_bytes()
    if len(data) > MANIFEST_CAP:
        raise BundleError(
            f"{folder.path} has {len(manifest.members):,} files: too many for a bundle"
        )
    out.write(header(MANIFEST, len(data)) + data + padding(len(data)))
    for member in manifest.members:
        path = folder.path / member.name if not member.digest else store.path_of(member.digest)
        out.write(header(member.name, member.size))
        digest, left = hashlib.sha256(), member.size
        with _opened(path) as file:
            while left and (chunk := file.read(min(CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
                out.write(chunk)
        if left or digest.hexdigest() != member.sha256:
            raise _ChangedError  # it was sealed or repaired
        out.write(padding(member.size))
    out.write(end(out.tell()))
    return out.tell()
