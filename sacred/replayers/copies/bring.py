"""Bringing the copy of a run up to its journal: what is new of its files, and the blobs they name.

Copied are whole frames only, as long as a file may grow; what stands behind them when it will not.
A file that was replaced (sealed, repaired) is replaced in the copy, and the old one kept where the
new one does not hold all of it. Blobs come before the events that name them.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle import place_of
from sacred.journal.errors import (
    BlobError,
    JournalError,
    JournalUnreadableError,
    PositionContradictedError,
)
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.reader import JournalReader
from sacred.journal.references import digests_in
from sacred.journal.root import parse_epoch_file_name
from sacred.journal.spool import SPOOL
from sacred.journal.tables import decode_length
from sacred.replayers.copies.run_copy import FileCopy, Part, epoch_of
from sacred.replayers.copies.scan import Scan, head_of, scan
from sacred.replayers.errors import JournalShorterError

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.copies.place import CopyPlace
    from sacred.replayers.copies.run_copy import RunCopy

__all__ = ["bring"]

log = logging.getLogger("sacred.replayers")

#: A file may be sealed while it is read, one after the other.
_ATTEMPTS = 20


class _Step(NamedTuple):
    """What is to be written of one file: ``parts`` and, if it is no file of events, no ``scan``."""

    name: str
    path: Path
    head: str
    source: tuple[int, ...]
    scan: Scan | None
    size: int
    parts: tuple[Part, ...]
    replaces: bool


class _ChangedError(Exception):
    """A file is not any more what it was a moment ago."""


def bring(folder: RunFolder, place: CopyPlace, copy: RunCopy, *, complete: bool) -> RunCopy:
    """Copy what is new of a run.

    Parameters
    ----------
    folder
        The run's.
    place
        Where its copy is.
    copy
        What is there of it.
    complete
        Also what may be left for later: the ends of files that a kill tore, the spool.

    Returns
    -------
    What is there then; the same if nothing was new. It counts once the place has it committed.

    Raises
    ------
    JournalShorterError
        The copy has more of the run than the journal.
    JournalError, OSError
        The journal can not be read.
    SinkError
        The place can not be written.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _Bringer(folder, place, copy, complete=complete).bring()
        except (_ChangedError, FileNotFoundError):
            if not folder.journal.is_dir():
                raise JournalUnreadableError(f"{folder.path} is gone") from None
    raise JournalUnreadableError(f"the files of {folder.path} change while they are read")


class _Bringer:
    def __init__(
        self, folder: RunFolder, place: CopyPlace, copy: RunCopy, *, complete: bool
    ) -> None:
        self._folder = folder
        self._place = place
        self._copy = copy
        self._complete = complete
        self._blobs = BlobStore(folder.root.blobs)
        self._lives: bool | None = None

    def bring(self) -> RunCopy:
        """Plan, prove, and write: blobs, children's files, the first writer's, the spool."""
        names = self._names()
        steps = [step for name in names if (step := self._step(name, names)) is not None]
        if set(self._names()) - set(names):
            raise _ChangedError  # the event that names a child may be in, and its file not
        keep = self._keeps(steps)
        missing = self._bring_blobs(steps)
        files, kept = dict(self._copy.files), self._copy.kept
        for step in steps:
            if keep and step.replaces:
                kept += tuple(part.name for part in files[step.name].parts if part.name)
            files[step.name] = self._write(step, keep=keep and step.replaces)
        if self._complete:
            self._spool(files)
        if (files, missing, False) == (self._copy.files, self._copy.missing, self._copy.anew):
            return self._copy
        return self._copy._replace(
            files=files, missing=missing, anew=False, run=self._folder.number, kept=kept
        )

    # -- what is new -----------------------------------------------------------------------------

    def _names(self) -> list[str]:
        found = []
        for part in ("journal", "notes"):
            folder = self._folder.path / part
            if part == "journal" or folder.is_dir():
                found += [f"{part}/{name}" for name in os.listdir(folder)]
        mine = [name for name in found if _is_one(name) and (self._folder.path / name).is_file()]
        return sorted(mine, key=_order)

    def _step(self, name: str, names: list[str]) -> _Step | None:
        """Return what is to be written of a file; None if nothing is."""
        path = self._folder.path / name
        stat = os.stat(path)
        source = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        known = self._copy.files.get(name) if not self._copy.anew else None
        had = name in self._copy.files
        numbers = parse_epoch_file_name(name.partition("/")[2])
        if known is not None and known.source == source:
            waits = numbers is not None and known.size < stat.st_size
            if (not waits or not self._complete) and self._place.goes_on(self._copy, name, path):
                return None
        head = head_of(path)
        if numbers is None:  # a damaged file that a repair kept
            whole = (Part("", 0, stat.st_size, 0, 0),)
            return _Step(name, path, head, source, None, stat.st_size, whole, replaces=False)
        if known is not None and (
            known.head != head
            or known.next_seq < 0
            or known.source[0] != source[0]
            or not self._place.goes_on(self._copy, name, path)
        ):
            known = None
        seen = scan(path, *numbers, known)
        if seen is None:
            known, seen = None, scan(path, *numbers, None)
        if seen is None:
            raise _ChangedError
        size = stat.st_size if self._is_final(name, names, seen, stat.st_size) else seen.whole
        parts = _up_to(seen, size)
        if known is not None and known.source == source and size <= known.size and not parts:
            return None
        return _Step(name, path, head, source, seen, size, parts, replaces=had and seen.begin == 0)

    def _is_final(self, name: str, names: list[str], seen: Scan, size: int) -> bool:
        """Tell whether what stands behind the whole frames of a file belongs to it for good."""
        if seen.sealed or seen.whole == size:
            return True
        numbers = epoch_of(name)
        if numbers is None:
            return False
        later = (numbers[0], numbers[1] + 1)
        if any(later <= other < (numbers[0] + 1, 0) for n in names if (other := epoch_of(n))):
            return True
        return self._complete and not self._is_running()

    def _is_running(self) -> bool:
        if self._lives is None:
            try:
                self._lives = run_liveness(self._folder) is Liveness.RUNNING
            except JournalError:
                self._lives = False
        return self._lives

    # -- what the copy has -----------------------------------------------------------------------

    def _keeps(self, steps: list[_Step]) -> bool:
        """Tell whether files of the copy hold what those that take their place do not.

        Raises
        ------
        JournalShorterError
            The journal lacks what the copy has, and no power cut explains it.
        """
        had = self._copy.position
        gone = had and any(
            epoch_of(name) and not (self._folder.path / name).exists() for name in self._copy.files
        )
        if not (gone or any(step.replaces for step in steps)):
            return False
        reader = JournalReader(self._folder.journal, had, table_decoder=decode_length)
        try:
            for _ in reader.poll():
                pass
            lacking = reader.unproven()
        except PositionContradictedError:
            log.warning("%s: the journal goes on otherwise than its copy", self._folder.path)
            return True
        finally:
            reader.close()
        if lacking and not self._copy.anew and not self._was_cut(reader):
            raise JournalShorterError(
                f"{self._folder.path} is shorter than its copy (an older copy itself?): left alone; "
                "`sacred merge` brings back what the copy has, --rebuild makes the copy as short"
            )
        return bool(lacking) or not self._is_whole()

    def _is_whole(self) -> bool:
        """Tell whether the journal has all events up to where its copy ends."""
        from sacred.journal.survey import survey

        held = survey(self._folder.journal).held
        for writer, at in self._copy.position.items():
            rows = held.get(writer, [])
            if at.next_seq and not any(first == 0 and end >= at.next_seq for first, end in rows):
                return False
        return True

    @staticmethod
    def _was_cut(reader: JournalReader) -> bool:
        """Tell whether the machine was started anew since the journal's newest file was begun."""
        from sacred.journal.identity import boot_id, host_name

        newest = next(reversed(reader.identities.values()), {}) if reader.identities else {}
        return newest.get("host") == host_name() and newest.get("boot") != boot_id()

    # -- writing ---------------------------------------------------------------------------------

    def _bring_blobs(self, steps: list[_Step]) -> tuple[str, ...]:
        """Copy the blobs that new events name; return those that are not there to be copied."""
        waiting = set(self._copy.missing) if self._complete else set()
        values: set[str] = set()
        for step in steps:
            if step.scan is not None:
                waiting |= step.scan.digests
                values |= step.scan.values
        for digest in values:
            try:
                with self._blobs.open(digest) as file:
                    waiting |= digests_in(file)
            except (BlobError, OSError):
                waiting.add(digest)
        missing = set() if self._complete else set(self._copy.missing)
        for digest in sorted(waiting):
            if not self._bring_blob(digest):
                missing.add(digest)
        return tuple(sorted(missing))

    def _bring_blob(self, digest: str) -> bool:
        path = self._blobs.path_of(digest)
        try:
            size = os.stat(path).st_size
        except OSError:
            return False  # lost, or it only looked like a digest
        if self._place.has_blob(digest, size):
            return True
        try:
            self._blobs.check(digest)
        except (BlobError, OSError) as error:
            log.warning("%s: not copied: %s", self._folder.path, error)
            return False
        self._place.put_blob(digest, path)
        return True

    def _write(self, step: _Step, *, keep: bool) -> FileCopy:
        if os.stat(step.path).st_ino != step.source[0]:
            raise _ChangedError
        known = self._copy.files.get(step.name)
        parts = known.parts if known is not None else ()
        if step.parts:
            parts = self._place.write(self._copy, step.name, step.path, step.parts, keep=keep)
        if os.stat(step.path).st_ino != step.source[0]:
            raise _ChangedError  # its bytes may be another file's: written again
        seen = step.scan
        if seen is None:
            return FileCopy(step.size, step.size, -1, "", step.head, step.source, parts)
        chain = f"{seen.chain:016x}"
        return FileCopy(step.size, seen.whole, seen.next_seq, chain, step.head, step.source, parts)

    def _spool(self, files: dict[str, FileCopy]) -> None:
        """Copy what a killed run printed last; take it away when the journal has it."""
        name = f"journal/{SPOOL}"
        path = self._folder.path / name
        known = files.get(name)
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            if known is not None:
                self._place.remove(self._copy, name, known)
                del files[name]
            return
        source = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if (known is not None and known.source == source) or self._is_running():
            return
        if not path.is_file():
            return
        parts = self._place.write(
            self._copy, name, path, (Part("", 0, stat.st_size, 0, 0),), keep=False
        )
        files[name] = FileCopy(stat.st_size, stat.st_size, -1, "", "", source, parts)


def _up_to(seen: Scan, size: int) -> tuple[Part, ...]:
    """Return the parts of a file up to a size.

    What a kill left behind the last frame is a part of its own: the file may turn out to go on.
    """
    if size <= seen.whole:
        return seen.parts
    if seen.sealed and seen.parts:
        return (*seen.parts[:-1], seen.parts[-1]._replace(end=size))
    return (*seen.parts, Part("", seen.whole, size, seen.next_seq, seen.next_seq))


def _is_one(name: str) -> bool:
    try:
        return place_of(name)[0] < 2 and not name.endswith(SPOOL)
    except ValueError:
        return False


def _order(name: str) -> tuple[bool, int, int, str]:
    """Children before their parents, files in the order of their epochs: a copy is a prefix."""
    numbers = parse_epoch_file_name(name.partition("/")[2])
    writer, epoch = numbers or (0, 0)
    return name.startswith("notes/"), -writer, epoch, name
