"""Joining roots: the runs of another root become runs of this one, each whole or not at all.

A run is known by its journal's id. One that this root has not is copied aside, proved by reading it,
and renamed to its number. One that both have is compared: the copy that contains the other by chain
stays, or takes its place, file by file in an order in which every state between the two is a journal
that lies between them. So a merge that is killed at any moment leaves whole runs, and the next one
goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle_import import ASIDE, importing_alone, remove_aside, sweep_asides
from sacred.journal.errors import BlobError, JournalError, JournalUnreadableError, MergeError
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.notes import COPY_MARK, bring_notes
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot, RunFolder, unavailable
from sacred.journal.run_files import copy_run, is_written, replace_run, same_files
from sacred.journal.survey import Survey, contains, survey
from sacred.journal.tables import decode_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Found", "MergeOrigin", "MergedRun", "RootOrigin", "merge"]

#: A file may be sealed while it is copied, one after the other.
_ATTEMPTS = 20
#: What the system says where nothing more can be written, without telling where.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


class MergedRun(NamedTuple):
    """What became of one run of the other root.

    Attributes
    ----------
    there
        Its number there; None if it has none.
    journal_id
        16 hex digits; empty if it could not be read.
    number
        Its number here; None if it has none, or none yet.
    state
        ``new`` (it came), ``longer`` (it was here, with fewer events, and has those of the other
        now), ``mended`` (it was here, damaged, and the other is whole), ``already`` (it was here,
        with all that the other has), ``refused`` (neither contains the other), ``failed`` (it can
        not be read, or not be written), ``empty`` (nothing was ever written there).
    reason
        Why it was refused or failed, one sentence; None else.
    events
        How many events it has here.
    blobs
        How many stored files came with it.
    notes
        What is worth knowing, a sentence each: it still runs there, it is damaged, a stored file is
        missing.
    damaged
        The run that came is damaged, or lacks stored files.
    """

    there: int | None
    journal_id: str
    number: int | None
    state: str
    reason: str | None = None
    events: int = 0
    blobs: int = 0
    notes: tuple[str, ...] = ()
    damaged: bool = False

    @property
    def exit_code(self) -> int:
        """0 it is here, 1 it was refused or is damaged, 2 it could not be looked at."""
        if self.state == "failed":
            return 2
        return 1 if self.state == "refused" or self.damaged else 0


class Found(NamedTuple):
    """A run of the other root, as its origin gives it to be read.

    Attributes
    ----------
    folder
        On this machine. Its number is the one that it would like to have here.
    blobs
        Where its stored files are.
    taken
        Called with what became of it, while it is still there to be read; not if nothing is to be
        changed.
    """

    folder: RunFolder
    blobs: BlobStore
    taken: Callable[[MergedRun], None] | None = None


class MergeOrigin(Protocol):
    """Where runs come from: another root, or a copy of one in a store of objects."""

    def __len__(self) -> int:
        """Return how many runs there are."""
        ...

    def __iter__(self) -> Iterator[contextlib.AbstractContextManager[Found]]:
        """Yield the runs; each is there to be read inside of its ``with`` statement."""
        ...


class RootOrigin:
    """Another root on this machine.

    Its runs are those that it had when this was made. May be used by several threads.

    Parameters
    ----------
    root
        The root, or a folder of copied runs.

    Raises
    ------
    NoRootError
        It can not be read.
    """

    def __init__(self, root: JournalRoot) -> None:
        self.root = root
        self._folders = root.every_run()

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self._folders)

    def __iter__(self) -> Iterator[contextlib.AbstractContextManager[Found]]:
        """Yield the runs."""
        store = BlobStore(self.root.blobs)
        for folder in self._folders:
            yield contextlib.nullcontext(Found(folder, store))


def merge(
    origin: MergeOrigin,
    root: JournalRoot,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int, MergedRun], None] | None = None,
) -> list[MergedRun]:
    """Bring the runs of another root into this one.

    Nothing is changed there. May be repeated, and killed at any moment: every run here is whole, and
    what is missing comes with the next call. Runs may begin, go on and end in both meanwhile; of one
    that goes on there, what it has at that moment comes.

    Parameters
    ----------
    origin
        Where the runs are.
    root
        Where they go; made if it is not there.
    dry_run
        Change nothing; tell what would be.
    progress
        Called with (done, all, run) after each.

    Returns
    -------
    One entry a run, in their order there. What could not be done is in it, and not raised. What came
    survives a power cut.

    Raises
    ------
    JournalUnavailableError, OSError
        This root can not be written.

    Notes
    -----
    Merges and imports into one root go one after the other.
    """
    done: list[MergedRun] = []
    with contextlib.ExitStack() as stack:
        if not dry_run:
            root.create()
            if stack.enter_context(importing_alone(root)):
                sweep_asides(root)
        work = _Merge(root, dry_run=dry_run)
        for entry in origin:
            with entry as found:
                run = work.take(found)
                if found.taken is not None and not dry_run:
                    found.taken(run)
            done.append(run)
            if progress is not None:
                progress(len(done), len(origin), run)
    return done


class _Merge:
    """The work of one call of ``merge``."""

    def __init__(self, root: JournalRoot, *, dry_run: bool) -> None:
        self._root = root
        self._store = BlobStore(root.blobs)
        self._dry_run = dry_run
        self._here = _known(root)

    def take(self, found: Found) -> MergedRun:
        """Take one run over, or tell why not."""
        there = found.folder.number
        if found.folder.holds_nothing():
            return MergedRun(there, "", None, "empty")
        try:
            seen = survey(found.folder.journal, found.blobs)
        except (JournalError, OSError) as error:
            return MergedRun(there, "", None, "failed", _told(error, found.folder.path))
        if not seen.journal_id:
            reason = f"nothing of {found.folder.path} is whole: no frame of a journal"
            return MergedRun(there, "", None, "failed", reason)
        ident = f"{seen.journal_id:016x}"
        here = self._here.get(seen.journal_id)
        number = here.number if here is not None else None
        try:
            if here is None:
                return self._new(found, seen)
            return self._both(found, seen, here)
        except MergeError as error:
            return MergedRun(there, ident, number, "refused", str(error))
        except (JournalError, OSError) as error:
            if isinstance(error, OSError) and _is_ours(error, self._root):
                raise unavailable(self._root.path, error) from error
            return MergedRun(there, ident, number, "failed", _told(error, found.folder.path))

    # -- a run that this root has not ------------------------------------------------------------

    def _new(self, found: Found, seen: Survey) -> MergedRun:
        ident, there = f"{seen.journal_id:016x}", found.folder.number
        notes = _notes(found, seen)
        damaged = bool(seen.damage)
        if self._dry_run:
            return MergedRun(there, ident, None, "new", None, seen.events, 0, tuple(notes), damaged)
        with self._staged(found, seen) as (run, fresh):
            blobs, lost = self._bring(fresh, found.blobs)
            folder = self._root.adopt(run.path, there)
        self._here[seen.journal_id] = folder
        notes += lost
        return MergedRun(
            there,
            ident,
            folder.number,
            "new",
            None,
            fresh.events,
            blobs,
            tuple(notes),
            damaged or bool(lost),
        )

    @contextlib.contextmanager
    def _staged(self, found: Found, seen: Survey) -> Iterator[tuple[RunFolder, Survey]]:
        """Copy a run aside, whole: what was copied holds all that was seen."""
        aside = self._root.path / f"{ASIDE}{os.getpid()}-{os.urandom(6).hex()}"
        run = RunFolder(aside / "run")
        try:
            for _ in range(_ATTEMPTS):
                remove_aside(aside)
                aside.mkdir()
                try:
                    copy_run(found.folder, run)
                    fresh = survey(run.journal, found.blobs)
                except FileNotFoundError:
                    continue  # a spool that was taken in, a file that was sealed
                if contains(run.journal, fresh, seen) and len(fresh.damage) <= len(seen.damage):
                    yield run, fresh
                    return
            raise JournalUnreadableError(
                f"the files of {found.folder.path} change while they are read: try again"
            )
        finally:
            remove_aside(aside)

    def _bring(self, seen: Survey, blobs: BlobStore) -> tuple[int, list[str]]:
        """Bring the blobs that a run names; return how many came, and what is wrong with others."""
        came, lost = 0, []
        for digest in seen.blobs:
            try:
                came += self._store.bring(blobs.path_of(digest), digest)
            except BlobError as error:
                if not self._has(digest):
                    lost.append(f"{error}: it does not come with the run")
        return came, lost

    def _has(self, digest: str) -> bool:
        with contextlib.suppress(BlobError):
            return self._store.exists(digest)
        return False

    # -- a run that both have --------------------------------------------------------------------

    def _both(self, found: Found, seen: Survey, here: RunFolder) -> MergedRun:
        ident, there = f"{seen.journal_id:016x}", found.folder.number
        ours = seen if same_files(found.folder, here) else survey(here.journal)
        state = self._which(found, seen, here, ours)
        if self._dry_run:
            events = ours.events if state == "already" else seen.events
            return MergedRun(there, ident, here.number, state, None, events)
        blobs, lost = self._bring(seen, found.blobs)
        if state != "already":
            with self._staged(found, seen) as (run, fresh):
                more, lost = self._bring(fresh, found.blobs)
                blobs += more
                replace_run(here, run, keep=bool(ours.damage))
                ours = fresh
        if not (here.path / COPY_MARK).exists():  # else its original brings them
            bring_notes(found.folder, here)
        notes = [*(_notes(found, seen) if state != "already" else []), *lost]
        damaged = bool(lost) or (state != "already" and bool(seen.damage))
        return MergedRun(
            there,
            ident,
            here.number,
            state,
            None,
            ours.events,
            blobs,
            tuple(notes),
            damaged,
        )

    def _which(self, found: Found, seen: Survey, here: RunFolder, ours: Survey) -> str:
        """Return what is to become of the run that is here.

        Raises
        ------
        MergeError
            Neither contains the other, or the one here is still written.
        """
        if ours is seen:
            return "already"
        larger = contains(found.folder.journal, seen, ours)
        mends = larger and bool(ours.damage) and not seen.damage
        if not mends and contains(here.journal, ours, seen):
            return "already"
        same = f"run {here.number} is the same run as {_label(found.folder)}"
        if not larger:
            raise MergeError(
                f"{same}, and each has events that the other lacks: look at both, and move the one "
                "that is not to stay out of its root"
            )
        if is_written(here):
            raise MergeError(f"{same}, with fewer events, and is still written here: merge later")
        return "mended" if mends else "longer"


def _known(root: JournalRoot) -> dict[int, RunFolder]:
    """Return the runs of a root by the ids of their journals."""
    if not root.exists():
        return {}
    known: dict[int, RunFolder] = {}
    for folder in root.every_run():
        with contextlib.suppress(JournalError, OSError):
            reader = JournalReader(folder.journal, table_decoder=decode_length)
            reader.close()
            if reader.journal_id:
                known.setdefault(reader.journal_id, folder)
    return known


def _notes(found: Found, seen: Survey) -> list[str]:
    notes = list(seen.damage[:1])
    if len(seen.damage) > 1:
        notes[0] += f" (and {len(seen.damage) - 1} more)"
    with contextlib.suppress(JournalError, OSError):
        if run_liveness(found.folder) is Liveness.RUNNING:
            notes.append("it still runs there: merge again when it has ended")
    return notes


def _label(folder: RunFolder) -> str:
    return str(folder.path) if folder.number is None else f"run {folder.number} there"


def _told(error: JournalError | OSError, path: Path) -> str:
    if isinstance(error, JournalError):
        return str(error.args[-1])
    return f"{error.filename or path}: {error.strerror or error}"


def _is_ours(error: OSError, root: JournalRoot) -> bool:
    """Tell whether it is this root that fails: the next run would fail alike."""
    name = getattr(error, "filename", None)
    if isinstance(error, JournalError) or error.errno in _FULL:
        return True
    return isinstance(name, (str, Path)) and Path(name).is_relative_to(root.path)
