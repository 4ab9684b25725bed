"""The files that a run stored, and copies of them: its artifacts, and the sources of its program.

What is copied out is proved against its digest before it takes its name, lies below the folder that was
named whatever its own name is, and is written over nothing unasked.
"""

from __future__ import annotations

import difflib
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sacred.analysis.details import Repository, repository_of
from sacred.journal.blobs import BlobStore
from sacred.journal.digests import sha256
from sacred.journal.errors import (
    BlobDamagedError,
    BlobError,
    BlobMissingError,
    NotAJournalError,
    OutputPlaceError,
)
from sacred.journal.events import EventType
from sacred.journal.finding import command_on
from sacred.journal.new_file import free_place, new_file
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.errors import QueryError
from sacred.replayers.projection import RunProjection
from sacred.replayers.sink import FileEntry
from sacred.replayers.tree.names import artifact_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.journal.root import RunFolder

__all__ = ["Copied", "StoredFiles", "chosen_files", "content", "copy_out", "stored_files"]

_CHUNK = 1 << 20
#: What an event has that names no file, and may be long.
_BESIDE = frozenset(
    {
        EventType.METRIC_POINT,
        EventType.METRIC_TABLE,
        EventType.OUTPUT,
        EventType.OUTPUT_FILTERED,
        EventType.INFO_CHANGED,
        EventType.INFO_SNAPSHOT,
    }
)


class StoredFiles(NamedTuple):
    """The files of a run.

    Attributes
    ----------
    artifacts
        In the order in which they came; each version of a name by itself.
    sources
        Of the program, by name.
    repositories
        Those that the sources lie in; ``diff`` is the stored patch of what was not committed.
    problems
        A sentence for each thing that is wrong with the journal, and may have named more files.
    """

    artifacts: list[FileEntry]
    sources: list[FileEntry]
    repositories: list[Repository]
    problems: list[str]


class Copied(NamedTuple):
    """What was copied out.

    Attributes
    ----------
    places
        Of each file its own name, and where it is now.
    problems
        A sentence for each that could not be copied: not stored, missing, damaged.
    """

    places: list[tuple[str, Path]]
    problems: list[str]


def stored_files(folder: RunFolder) -> StoredFiles:
    """Tell which files a run stored. Its points and its output are passed over.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
        There is no journal that can be read.
    """
    projection = RunProjection()
    repositories: list[Repository] = []
    reader = JournalReader(folder.journal, table_decoder=decode_length)
    try:
        for event in reader.read(order="time"):
            if event.type in _BESIDE:
                continue
            projection.apply(event)
            if event.type == EventType.REPOSITORY_FOUND:
                repository = repository_of(event.fields)
                if repository not in repositories:
                    repositories.append(repository)
        if not reader.journal_id:
            raise NotAJournalError(
                f"{folder.path} holds no journal: no frame of one is in its files"
            )
        problems = [str(verdict) for verdict in reader.verdicts if is_damage(verdict)]
    finally:
        reader.close()
    document = projection.document()
    sources = (document.get("experiment") or {}).get("sources") or ()
    return StoredFiles(
        [entry for entry in document.get("artifacts") or () if isinstance(entry, FileEntry)],
        sorted(entry for entry in sources if isinstance(entry, FileEntry)),
        repositories,
        problems,
    )


def chosen_files(
    files: Sequence[FileEntry], name: str, version: int | None = None
) -> list[FileEntry]:
    """Return the files of a name, or of all names that a pattern (``*.png``) fits.

    Parameters
    ----------
    files
        Of one run and one role.
    name
        A file's own name comes before a pattern.
    version
        Which of several of one name, from 1; the last if None.

    Raises
    ------
    QueryError
        There is none; the text names the nearest.
    """
    names = list(dict.fromkeys(entry.name for entry in files))
    found = [name] if name in names else [each for each in names if fnmatchcase(each, name)]
    if not found:
        raise QueryError(_no_such_file(name, names))
    chosen = []
    for each in found:
        versions = [entry for entry in files if entry.name == each]
        if version is None:
            chosen.append(versions[-1])
            continue
        fitting = [entry for entry in versions if entry.version == version]
        if not fitting:
            there = ", ".join(str(entry.version) for entry in versions[-20:])
            raise QueryError(f"there is no version {version} of {each!r}: there are {there}")
        chosen.append(fitting[-1])
    return chosen


def _no_such_file(name: str, names: Sequence[str]) -> str:
    if not names:
        return f"there is no {name!r}: the run stored no such files"
    near = difflib.get_close_matches(name, names, 1, 0.5)
    if near:
        return f"there is no {name!r}: did you mean {near[0]!r}?"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"there is no {name!r}: there are {', '.join(map(repr, names[:5]))}{more}"


def content(folder: RunFolder, entry: FileEntry) -> Iterator[bytes]:
    """Yield the content of a stored file in pieces; it was proved before the first one.

    Raises
    ------
    BlobMissingError, BlobDamagedError
        It was not stored, is not there any more, or is not what its digest says.
    OSError
        It can not be read.
    """
    store = BlobStore(folder.root.blobs)
    digest = _digest(entry)
    try:
        store.check(digest)
    except BlobError as error:
        raise type(error)(_sentence(folder, entry.name, error)) from None
    with store.open(digest) as file:
        while piece := file.read(_CHUNK):
            yield piece


def copy_out(
    folder: RunFolder,
    files: Iterable[FileEntry],
    to: str | os.PathLike[str],
    *,
    patches: Iterable[Repository] = (),
    overwrite: bool = False,
) -> Copied:
    r"""Copy stored files into a folder, which is made if it is not there.

    A file keeps its name, and the folders in it. A name that is no path below the folder (absolute,
    with ``..`` or ``\``, too long) becomes its last part with a part of a checksum, and so does one
    where another of these files is in the way. Each file appears whole and durable, or not at all.

    Parameters
    ----------
    folder
        Of the run.
    files
        Of the run; one version of each.
    to
        The folder.
    patches
        Repositories whose uncommitted changes are laid beside the files: ``uncommitted.patch``.
    overwrite
        Also over files that are there. Nothing is written through a link in any case.

    Raises
    ------
    OutputPlaceError
        A file is there already, or a place is none; nothing was written then.
    OSError
        The disk refuses.
    """
    target = Path(os.path.realpath(to))
    files = list(files)
    named = [(entry.name, place) for entry, place in zip(files, _places(files), strict=True)]
    digests = [entry.digest for entry in files]
    taken = {place for _, place in named}
    for repository in patches:
        if repository.diff is not None:
            place = _free_name("uncommitted", ".patch", taken)
            taken.add(place)
            named.append((f"the uncommitted changes of {repository.url}", place))
            digests.append(repository.diff.digest)
    _check_places(target, [place for _, place in named], overwrite=overwrite)
    store = BlobStore(folder.root.blobs)
    done = Copied([], [])
    for (name, place), digest in zip(named, digests, strict=True):
        if digest is None:
            done.problems.append(f"the content of {name!r} was not stored")
            continue
        path = target / place
        try:
            with store.open(digest) as source:
                path.parent.mkdir(parents=True, exist_ok=True)
                with new_file(path, overwrite=overwrite) as file:
                    found = sha256()
                    while piece := source.read(_CHUNK):
                        found.update(piece)
                        file.write(piece)
                    if found.hexdigest() != digest:
                        raise BlobDamagedError(
                            f"the content of blob {digest} is not what its name says"
                        )
        except BlobError as error:
            done.problems.append(_sentence(folder, name, error))
        else:
            done.places.append((name, path))
    return done


def _digest(entry: FileEntry) -> str:
    if entry.digest is None:
        raise BlobMissingError(f"the content of {entry.name!r} was not stored")
    return entry.digest


def _sentence(folder: RunFolder, name: str, error: BlobError) -> str:
    what = "is damaged" if isinstance(error, BlobDamagedError) else "is missing from the store"
    return f"the content of {name!r} {what}: {command_on('verify', folder)} says what to do"


def _places(files: Sequence[FileEntry]) -> list[str]:
    """Return where each file goes below the folder; no two in one place, none in another's way."""
    taken: set[str] = set()
    folders: set[str] = set()
    places = []
    for entry in files:
        place = _place(entry.name, aside=False)
        above = _above(place)
        if place in taken | folders or taken & above:
            place = _place(entry.name, aside=True)
            stem, extension = os.path.splitext(place)
            place = place if place not in taken else _free_name(stem, extension, taken)
            above = set()
        taken.add(place)
        folders |= above
        places.append(place)
    return places


def _place(name: str, *, aside: bool) -> str:
    # Below a folder, where no name of a view's own is in the way.
    return artifact_file(name if aside else f"of/{name}", aside=aside).removeprefix("of/")


def _above(place: str) -> set[str]:
    parts = place.split("/")
    return {"/".join(parts[:count]) for count in range(1, len(parts))}


def _free_name(stem: str, extension: str, taken: set[str]) -> str:
    place, number = f"{stem}{extension}", 1
    while place in taken:
        number += 1
        place = f"{stem}-{number}{extension}"
    return place


def _check_places(target: Path, places: Sequence[str], *, overwrite: bool) -> None:
    """Raise before anything is written if anything is in the way."""
    if os.path.lexists(target) and not target.is_dir():
        raise OutputPlaceError(f"{target} is no folder: name one")
    free_place(target if target.parent.is_dir() else _there(target), overwrite=True)
    there = []
    for place in places:
        path = target
        parts = place.split("/")
        for depth, part in enumerate(parts, 1):
            path = path / part
            if path.is_symlink():
                raise OutputPlaceError(f"{path} is a link, and nothing is written through one")
            if not os.path.lexists(path):
                break
            if depth < len(parts) and not path.is_dir():
                raise OutputPlaceError(f"{path} is no folder, and {place!r} needs one there")
            if depth == len(parts):
                if path.is_dir():
                    raise OutputPlaceError(f"{path} is a folder, and a file is to go there")
                there.append(path)
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise OutputPlaceError(
            f"{there[0]} is there already{more}: choose another folder, or write over it "
            "(--force; in Python overwrite=True)"
        )


def _there(target: Path) -> Path:
    """Return the first folder above that is not there yet: what lies in it is made."""
    while not target.parent.is_dir() and target.parent != target:
        target = target.parent
    return target
