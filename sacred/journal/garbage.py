"""Removing what no run of a root needs any more: blobs that none names, and what kills left behind.

Every journal of the root is read, and every digest in it is marked. A blob that is not marked and
has not been stored or stored again for the time of grace is removed. What could be named by events
that can not be read is unknown, and then no blob is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle_import import ASIDE, remove_aside
from sacred.journal.digests import is_digest
from sacred.journal.errors import JournalError, NotAJournalError
from sacred.journal.marks import KEPT_DAMAGE, MarkingReader, mark_of, mark_values, why_not_whole
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import read_regular
from sacred.journal.root import (
    LAYOUT_VERSION,
    MARKER,
    NO_FOLDER,
    epoch_file_name,
    fsync_folder,
    is_run_number,
    no_root,
    parse_epoch_file_name,
)
from sacred.journal.spool import SPOOL, flaws_from, read_spool
from sacred.journal.verdicts import NOTHING_WHOLE, beyond_repair, is_unread
from sacred.journal.verification import vanished

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import JournalRoot

__all__ = ["GRACE", "SHORTEST_GRACE", "Collected", "Collection", "Obstacle", "collect"]

#: How long a blob that no run names stays (s). Between the storing of a blob and the event that
#: names it lie milliseconds; a machine that is put to sleep in between wakes within a week.
GRACE = 7 * 86400.0
#: Less is taken by force only (s).
SHORTEST_GRACE = 86400.0

_PREFIX = re.compile(r"[0-9a-f]{2}\Z")
_ASIDE_BLOB = re.compile(r"\.gc-[0-9a-f]{8}-([0-9a-f]{64})\Z")
_NEW_BLOB = re.compile(r"\.new-[0-9]+-[0-9a-f]{12}\Z")
_ASIDE_FILE = re.compile(r"\.[0-9a-f]{8}-(w[0-9]{4,9}-e[0-9]{4,9}\.jzst)\Z")
_NEW_MARK = re.compile(r"\.high-water\.[0-9]+\Z")
#: Of the system, on a disk that is a root as a whole; nobody else may look into it.
_LOST = "lost+found"
#: No marker is larger.
_MARKER_BYTES = 4096
_TOLD = 20


class Collected(NamedTuple):
    """What was removed of one kind, or would be.

    Attributes
    ----------
    kind
        ``blobs``; ``temporary`` (blobs and marks that were being written), ``aside`` (files of
        journals that were being written), ``spools`` (output that the journal has).
    count, size
        How many files, and their bytes together.
    """

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    size: int


class Obstacle(NamedTuple):
    """Why it is not known which blobs are needed.

    Attributes
    ----------
    where
        The folder, relative to the root.
    reason
        Half a sentence.
    damaged
        What is not known is lost, and whoever says so by force may go on; else somebody else, or a
        later version, can read it, and no force helps.
    reparable
        A repair of the run may help: False where a file is not the run's, or can not be read.
    """

    where: str
    reason: str
    damaged: bool
    reparable: bool = True


class Collection(NamedTuple):
    """What a collection did.

    Attributes
    ----------
    collected
        An entry for each kind, also where nothing was removed.
    used
        Blobs that journals name, among those that are there.
    young
        Blobs that no journal names and whose time of grace is not over.
    unneeded
        Blobs that were kept because of an obstacle alone.
    unknown
        What lies among the blobs and is none: links, folders, other names. Never touched.
    runs
        How many journals were read, those of notes and of the trash included.
    obstacles
        Why no blob was removed; with force, in spite of what. Empty where all was read.
    failures
        What could not be removed, a sentence each: the first twenty.
    """

    collected: list[Collected]
    used: int
    young: int
    unneeded: int
    unknown: int
    runs: int
    obstacles: list[Obstacle]
    failures: list[str]

    @property
    def freed(self) -> int:
        """All bytes together."""
        return sum(entry.size for entry in self.collected)


def collect(
    root: JournalRoot, *, grace: float = GRACE, dry_run: bool = False, force: bool = False
) -> Collection:
    """Remove what no run of a root needs any more.

    May be called while runs begin, go on and end, also from several threads and processes at once:
    what a program stores, or finds stored and uses again, meanwhile stays. Never touched is what is
    not known by its name, a link or what lies behind one, a damaged file that a repair kept, and any
    file of a journal. Killed at any moment, it leaves every blob that a run names in its place, or
    to be put back there by the next call. Memory: 60 bits a blob that is named, and one frame.

    Parameters
    ----------
    root
        The folder of the runs.
    grace
        How old (s) a blob must be that no journal names, and what a kill left.
    dry_run
        Remove nothing; tell what would be.
    force
        Remove blobs although events are lost that may have named them, although other roots may
        share them through a link, or with less than a day of grace. Never although a run was
        written by a later version, or may not be read.

    Returns
    -------
    What was removed, or would be, and what was kept and why. What could not be read or removed is
    in it and not raised.

    Raises
    ------
    NoRootError
        The folder is none.
    ValueError
        The grace is less than a day, without force, or no time.
    """
    if not grace >= 0:
        raise ValueError("the time of grace is at least 0 s")
    if grace < SHORTEST_GRACE and not force:
        raise ValueError(
            "the time of grace is at least a day: a program that began before may be about to "
            "name what it stored. With --force, if no program writes into this root, it may be less"
        )
    if not root.exists():
        raise no_root(root.path)
    collector = _Collector(root, grace, dry_run=dry_run)
    collector.look()
    return collector.sweep(force=force)


class _Collector:
    """One collection: first all is read, then what is not marked goes."""

    def __init__(self, root: JournalRoot, grace: float, *, dry_run: bool) -> None:
        self._root = root
        self._blobs = BlobStore(root.blobs)
        self._real = os.path.realpath(root.path)
        self._dry_run = dry_run
        self._marks: set[int] = set()
        self._limit = self._now() - grace
        self._counts = {kind: [0, 0] for kind in ("blobs", "temporary", "aside", "spools")}
        self._used = self._young = self._unneeded = self._unknown = self._runs = 0
        self._obstacles: list[Obstacle] = []
        self._failures: list[str] = []

    def _now(self) -> float:
        """Return the time by which files of the root are young or old."""
        now = time.time()
        if not self._dry_run:
            # On a network disk the server's clock dates the files, and ours may be fast.
            number = int.from_bytes(os.urandom(6), "big")
            probe = self._root.path / f".high-water.{number}"
            with contextlib.suppress(OSError):
                probe.touch(exist_ok=False)
                now = min(now, os.lstat(probe).st_mtime)
                probe.unlink()
        return now

    # -- reading -----------------------------------------------------------------------------

    def look(self) -> None:
        """Read all journals, and remove on the way what kills left beside them."""
        if self._layout() > LAYOUT_VERSION:
            why = "a later version made it: upgrade sacred-journal"
            self._hinder(self._root.path, why, damaged=False)
        if os.path.islink(self._blobs.path):
            self._hinder(self._blobs.path, "it is a link: other roots may share it", damaged=True)
        # Listed before anything is read: a run that begins later stores, or touches, later.
        for name in self._names(self._root.path):
            path = self._root.path / name
            if is_run_number(name):
                self._look_into_run(path)
            elif _NEW_MARK.match(name):
                self._left_over("temporary", path)
            elif name.startswith(ASIDE):
                self._left_import(path)
            elif name == ".trash" or not (name in {"blobs", _LOST} or name.startswith(".")):
                self._look_into(path)

    def _layout(self) -> int:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            layout = json.loads(read_regular(self._root.path / MARKER, _MARKER_BYTES))["layout"]
            return layout if type(layout) is int else LAYOUT_VERSION
        return LAYOUT_VERSION

    def _look_into_run(self, folder: Path) -> None:
        for place in (folder, folder / "journal", folder / "notes", folder / "notes" / "journal"):
            self._look_at(place, self._names(place))

    def _look_into(self, folder: Path) -> None:
        """Look into a folder that is no run's: somebody may have put runs aside in it."""
        seen = set()
        walk = os.walk(folder, onerror=self._hindered, followlinks=True)
        for place, folders, names in walk:
            with contextlib.suppress(OSError):
                found = os.stat(place)
                if (found.st_dev, found.st_ino) in seen:  # links that lead in a circle
                    folders.clear()
                seen.add((found.st_dev, found.st_ino))
            if MARKER in names:  # a root of its own
                folders.clear()
            else:
                self._look_at(self._root.path / place, names)

    def _names(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            self._hindered(error)
            return []

    def _hindered(self, error: OSError) -> None:
        path = self._root.path / str(error.filename)
        if error.errno in NO_FOLDER:
            if os.path.islink(path):
                self._hinder(path, "the link leads nowhere", damaged=False)
            return  # none, or removed meanwhile
        self._hinder(path, f"it can not be read: {error.strerror}", damaged=False)

    def _look_at(self, place: Path, names: list[str]) -> None:
        """Mark what the journal of a folder names, if it holds one."""
        # What lies behind a link is read, and never touched.
        inside = os.path.relpath(place, self._root.path)
        ours = os.path.realpath(place) == os.path.join(self._real, inside)
        if any(map(parse_epoch_file_name, names)):
            self._runs += 1
            self._mark(place, names, ours=ours)
        elif any(map(KEPT_DAMAGE.match, names)):
            self._hinder(place, "only a damaged file is left of it", damaged=True)
        for name in names if ours else ():
            if _ASIDE_FILE.match(name):
                self._left_over("aside", place / name)

    def _mark(self, place: Path, names: list[str], *, ours: bool) -> None:
        try:
            reader = MarkingReader(place, self._marks)
        except NotAJournalError:
            if os.path.isdir(place):  # else it was removed meanwhile
                self._hinder(place, "no file of it is a regular file", damaged=True)
            return
        except (JournalError, OSError) as error:
            self._hinder(place, str(error), damaged=False)
            return
        try:
            for _ in reader.poll():
                pass
            problem = why_not_whole(reader, names)
            found = [*reader.verdicts, *reader.tails()]
            strange = [verdict for verdict in found if beyond_repair(verdict)]
            gone = vanished(reader, sorted(reader.children))
        except (JournalError, OSError) as error:
            self._hinder(place, str(error), damaged=False)
            return
        finally:
            reader.close()
        for damaged in (False, True):
            for verdict in [v for v in strange if is_unread(v) is not damaged][:1]:
                why = f"{epoch_file_name(*verdict[:2])}: {beyond_repair(verdict)}"
                self._hinder(place, why, damaged=damaged, reparable=False)
        for gap in gone[:1]:
            why = f"{gap}: take it from a backup, if there is one"
            self._hinder(place, why, damaged=True, reparable=False)
        if not reader.journal_id and problem is not None:
            # Of noise from its beginning on no repair keeps anything.
            self._hinder(place, f"{problem}: {NOTHING_WHOLE}", damaged=True, reparable=False)
            return
        # Of a damaged run, too: force takes what only lost events named.
        unread = mark_values(self._blobs, reader.values, self._marks)
        problem = problem or unread
        if problem is not None:
            # What people said of a run is not repaired: nothing else hangs on it.
            self._hinder(place, problem, damaged=True, reparable=place.name != "notes")
        elif ours and not (strange or gone) and SPOOL in names and reader.is_over():
            self._spool(place / SPOOL, reader.spool_end)

    def _spool(self, path: Path, end: int) -> None:
        """Remove a spool that holds nothing which the journal has not."""
        with contextlib.suppress(OSError):
            read = read_spool(path, end)
            # From its beginning: a seal that was killed may have left one of which it recorded a part.
            if end and not read.chunks and read.verdict == "clean" and not flaws_from(path, 0):
                self._left_over("spools", path, os.path.getsize(path) == end)

    def _hinder(self, path: Path, reason: str, *, damaged: bool, reparable: bool = True) -> None:
        where = os.path.relpath(path, self._root.path)
        self._obstacles.append(Obstacle(where, reason, damaged, reparable))

    # -- removing ----------------------------------------------------------------------------

    def sweep(self, *, force: bool) -> Collection:
        """Remove the blobs that are not marked, if that may be, and tell what came of it all."""
        free = all(force and obstacle.damaged for obstacle in self._obstacles)
        for folder in self._scan(self._blobs.path):
            if _NEW_BLOB.match(folder.name):
                self._left_over("temporary", folder)
            elif _PREFIX.match(folder.name) and not folder.is_symlink() and folder.is_dir():
                self._sweep_folder(folder, free=free)
            else:
                self._unknown += 1
        collected = [Collected(kind, *counts) for kind, counts in self._counts.items()]
        counts = (self._used, self._young, self._unneeded, self._unknown, self._runs)
        return Collection(collected, *counts, self._obstacles, self._failures)

    def _scan(self, folder: Path) -> list[Path]:
        try:
            return [folder / name for name in sorted(os.listdir(folder))]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fail(folder, error)
            return []

    def _sweep_folder(self, folder: Path, *, free: bool) -> None:
        paths = self._scan(folder)
        if not self._dry_run:
            for path in paths:
                if match := _ASIDE_BLOB.match(path.name):
                    # A collection that was killed, or another one's that is at work: it is judged
                    # under its own name, here or by the next.
                    self._put_back(path, folder / match[1])
            paths = self._scan(folder)
        for path in paths:
            name = path.name
            if _ASIDE_BLOB.match(name):
                continue
            if not (is_digest(name) and name.startswith(folder.name)):
                self._unknown += 1
                continue
            try:
                found = os.lstat(path)
            except OSError:
                continue  # another collection was here
            if not stat.S_ISREG(found.st_mode):
                self._unknown += 1
            elif mark_of(name) in self._marks:
                self._used += 1
            elif found.st_mtime >= self._limit:
                self._young += 1
            elif not free:
                self._unneeded += 1
            elif self._dry_run or self._remove_blob(path):
                self._count("blobs", found.st_size)

    def _remove_blob(self, path: Path) -> bool:
        """Remove a blob unless a writer uses it again at this very moment.

        A writer that finds a blob touches it and *then* looks whether it is still there; here it
        loses its name and *then* its age is looked at. So one of the two sees the other: the writer
        stores the blob anew, or it gets its name back.
        """
        aside = path.with_name(f".gc-{os.urandom(4).hex()}-{path.name}")
        try:
            os.rename(path, aside)
            if os.lstat(aside).st_mtime >= self._limit:
                self._put_back(aside, path)
                self._young += 1
                return False
            os.unlink(aside)
        except FileNotFoundError:
            return False  # another collection was faster, or put it back
        except OSError as error:
            self._fail(path, error)
            return False
        return True

    def _put_back(self, aside: Path, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another collection was faster
            try:
                os.link(aside, path)
            except FileExistsError:
                pass  # it was stored anew meanwhile
            except OSError:  # a disk without hard links, or a file of another user
                if not os.path.lexists(path):
                    os.rename(aside, path)
                    fsync_folder(path.parent)
                    return
            fsync_folder(path.parent)
            os.unlink(aside)

    def _left_over(self, kind: str, path: Path, still: bool = True) -> None:
        """Remove what a kill left, when it is old."""
        try:
            found = os.lstat(path)
            if not (still and stat.S_ISREG(found.st_mode) and found.st_mtime < self._limit):
                return
            if not self._dry_run:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._fail(path, error)
            return
        self._count(kind, found.st_size)

    def _left_import(self, path: Path) -> None:
        """Remove a run that was being imported when the importer was killed, when it is old."""
        try:
            found = os.lstat(path)
            if not stat.S_ISDIR(found.st_mode) or found.st_mtime >= self._limit:
                return
            sizes = [
                os.lstat(os.path.join(place, name)).st_size
                for place, _, names in os.walk(path)
                for name in names
            ]
            if not self._dry_run:
                remove_aside(path)
        except OSError as error:
            self._fail(path, error)
            return
        self._counts["temporary"][0] += len(sizes)
        self._counts["temporary"][1] += sum(sizes)

    def _count(self, kind: str, size: int) -> None:
        self._counts[kind][0] += 1
        self._counts[kind][1] += size

    def _fail(self, path: Path, error: OSError) -> None:
        if len(self._failures) < _TOLD:
            self._failures.append(f"{path}: {error.strerror or error}")
