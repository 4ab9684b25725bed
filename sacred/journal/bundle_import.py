"""The way back in: a bundle becomes a run of a root, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle import BundleReader, Manifest
from sacred.journal.errors import BundleError, JournalError, PositionContradictedError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.notes import COPY_MARK, bring_notes
from sacred.journal.reader import JournalReader
from sacred.journal.regular_file import open_regular
from sacred.journal.root import RunFolder, fsync_folder
from sacred.journal.tables import decode_length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.journal.position import Position
    from sacred.journal.root import JournalRoot

__all__ = [
    "ASIDE",
    "Imported",
    "date_files",
    "import_bundle",
    "importing_alone",
    "remove_aside",
    "sweep_asides",
]

#: What an import makes in a root before the run has its number.
ASIDE = ".import-"
_LOCK = ".import.lock"


class Imported(NamedTuple):
    """What became of a bundle.

    Attributes
    ----------
    folder
        The run.
    new
        Whether it came now; False if the root had it.
    manifest
        What the bundle says.
    events
        How many sequence numbers its journal holds.
    blobs
        How many stored files came that the root had not, or not whole.
    """

    folder: RunFolder
    new: bool
    manifest: Manifest
    events: int
    blobs: int


class _Staged(NamedTuple):
    """A journal that was copied and read."""

    events: int
    last: int
    position: Position


def import_bundle(path: str | os.PathLike[str], root: JournalRoot) -> Imported:
    """Make a bundle a run of a root.

    The run gets the number it had if that was never used in this root, else the next one. It appears with all its files
    at once, durable, after its blobs; what ends this before leaves no run. A run that the root has
    (its journal has the same id) is left as it is, and blobs that it lacks come back.

    Parameters
    ----------
    path
        The bundle. Every byte of it is proved before anything is written.
    root
        Made if it is not there.

    Returns
    -------
    The run's folder and what came. The run survives a power cut.

    Raises
    ------
    NotABundleError, NewerFormatError
    BundleError
        The bundle is not as it was written; or the root has the run with fewer events, or others.
    JournalUnavailableError, OSError
        The root can not be written.

    Notes
    -----
    Imports into one root go one after the other. Nothing is written outside of it.
    """
    with BundleReader(path) as bundle:
        bundle.prove()
        root.create()
        with importing_alone(root) as alone:
            if alone:
                sweep_asides(root)
            here = _run_of(root, bundle.manifest.journal_id)
            aside = root.path / f"{ASIDE}{os.getpid()}-{os.urandom(6).hex()}"
            try:
                return _taken(bundle, root, here, aside)
            finally:
                remove_aside(aside)


def _taken(
    bundle: BundleReader, root: JournalRoot, here: RunFolder | None, aside: Path
) -> Imported:
    manifest, run = bundle.manifest, RunFolder(aside / "run")
    aside.mkdir()
    _unpack(bundle, aside)
    staged = _read(bundle, run)
    if here is not None:
        _check_same(bundle, staged, here)
    store = BlobStore(root.blobs)
    digests = [member.digest for member in manifest.members if member.digest]
    # Blobs first, as always. What an error leaves of them is of no harm, and may be in use.
    blobs = sum(store.adopt(aside / "blobs" / digest, digest) for digest in digests)
    if here is not None:
        if not (here.path / COPY_MARK).exists():  # else its original brings them
            bring_notes(run, here)
        return Imported(here, new=False, manifest=manifest, events=staged.events, blobs=blobs)
    date_files(run.journal, staged.last)
    folder = root.adopt(run.path, manifest.run)
    return Imported(folder, new=True, manifest=manifest, events=staged.events, blobs=blobs)


# -- the files ---------------------------------------------------------------------------------


def _unpack(bundle: BundleReader, aside: Path) -> None:
    """Write the members aside: the run's files, and the blobs under their digests."""
    for name in ("run", "run/journal", "blobs"):
        (aside / name).mkdir()
    for member, pieces in bundle.members():
        path = aside / "blobs" / member.digest if member.digest else aside / "run" / member.name
        if member.name.startswith("notes/"):
            path.parent.mkdir(exist_ok=True)
        with open(path, "xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
    for folder in (*(aside / "run").iterdir(), aside / "run"):
        fsync_folder(folder)


def _read(bundle: BundleReader, run: RunFolder) -> _Staged:
    """Read the journal through: is it one, and the one that the manifest names?"""
    reader = JournalReader(run.journal, table_decoder=decode_length)
    events = last = 0
    try:
        for frame in reader.poll():
            events += frame.count
            last = max([last, *(event.time for event in frame.events)])
    finally:
        reader.close()
    if reader.journal_id != bundle.manifest.journal_id:
        raise BundleError(f"{bundle.path} holds another journal than its manifest says")
    return _Staged(events, last, reader.position)


def date_files(journal: Path, last: int) -> None:
    """Have the files look as old as they are: a young one seems to be written still."""
    when = max(0, min(last, time.time_ns()))
    for path in journal.iterdir():
        os.utime(path, ns=(when, when))


def remove_aside(aside: Path) -> None:
    """Remove what an import that was killed left in a root."""
    import shutil

    shutil.rmtree(aside, ignore_errors=True)


# -- the root ----------------------------------------------------------------------------------


@contextlib.contextmanager
def importing_alone(root: JournalRoot) -> Iterator[bool]:
    """Have no other process import into a root meanwhile; tell whether that is sure."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    descriptor = open_regular(root.path / _LOCK, os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def sweep_asides(root: JournalRoot) -> None:
    """Remove what imports that were killed left."""
    for name in os.listdir(root.path):
        if name.startswith(ASIDE):
            remove_aside(root.path / name)


def _run_of(root: JournalRoot, journal_id: int) -> RunFolder | None:
    """Return the run of a root whose journal has an id."""
    for folder in root.runs():
        with contextlib.suppress(JournalError, OSError):
            reader = JournalReader(folder.journal, table_decoder=decode_length)
            reader.close()
            if reader.journal_id == journal_id:
                return folder
    return None


def _check_same(bundle: BundleReader, staged: _Staged, here: RunFolder) -> None:
    """Make sure that the run that is here has all events of the bundle.

    Raises
    ------
    BundleError
        It has other ones, or fewer.
    """
    same = f"run {here.number} of {here.root.path} is the same run as that in {bundle.path}"
    try:
        reader = JournalReader(here.journal, staged.position, table_decoder=decode_length)
        try:
            for _ in reader.poll():
                pass
            shorter = reader.unproven()
        finally:
            reader.close()
    except PositionContradictedError:
        raise BundleError(f"{same}, with other events: look at both, and keep one") from None
    if shorter:
        raise BundleError(
            f"{same}, with fewer events: to have those of the bundle, move {here.path} out of "
            "the root and import again"
        )
