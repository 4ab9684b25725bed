"""The trash of a root: runs that were removed, until it is emptied.

``.trash/57.20261123T034500Z`` is run 57 as it was, with the time (UTC) at which it was removed. It got
there by a rename, and comes back by one: nothing of it is read or written. Its number is not given
again, also when it is gone for good, and the stored files that it names stay as long as it is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

from sacred.journal.bundle_import import ASIDE
from sacred.journal.errors import JournalBusyError, JournalError, RunNotFoundError
from sacred.journal.errors import JournalUnavailableError as UnavailableError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.liveness import Liveness, state_after, state_now, why_untouched
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder, fsync_folder, unavailable
from sacred.journal.run_files import is_written
from sacred.journal.tables import decode_length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.journal.root import JournalRoot

__all__ = ["TrashedRun", "empty", "remove", "restore", "trashed", "why_not_removable"]

_FOLDER = ".trash"
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"([1-9][0-9]{0,17})(?:\.([0-9]{8}T[0-9]{6}Z)(?:-[0-9]+)?)?\Z")
#: Whoever claims a folder has written into it so soon (s).
_CLAIMING = 60.0


class TrashedRun(NamedTuple):
    """A run in the trash.

    Attributes
    ----------
    number
        That it had, and has when it comes back.
    folder
        Where it lies: it can be read there as any run.
    removed
        When it was removed (s since the epoch), or None of one that somebody moved there by hand.
    """

    number: int
    folder: RunFolder
    removed: float | None

    def size(self) -> int:
        """Return the bytes of its own files; those of stored files are not in it."""
        total = 0
        for place, _, names in os.walk(self.folder.path):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(place, name)).st_size
        return total


def trashed(root: JournalRoot) -> list[TrashedRun]:
    """Return the runs in the trash, in the order of their numbers, the one removed last first."""
    try:
        names = os.listdir(root.path / _FOLDER)
    except OSError:
        return []
    found = []
    for name in names:
        match = _NAME.match(name)
        path = root.path / _FOLDER / name
        if match is not None and path.is_dir():
            number = int(match[1])
            found.append(TrashedRun(number, RunFolder(path, number), _when(match[2])))
    return sorted(found, key=lambda run: (run.number, -(run.removed or 0)))


def _when(stamp: str | None) -> float | None:
    import calendar

    if stamp is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        return float(calendar.timegm(time.strptime(stamp, _STAMP)))
    return None


def why_not_removable(folder: RunFolder, *, force: bool = False) -> str | None:
    """Tell why a run can not be removed now; None if it can.

    Parameters
    ----------
    folder
        The run's.
    force
        A process that nobody can see from here counts as gone.

    Returns
    -------
    Half a sentence. Damaged, foreign and queued runs can be removed, and folders that hold nothing.
    """
    if os.path.islink(folder.path):
        return (
            "it is a copy that a replay keeps up to its run, under a link: stop that replay, and "
            "remove link and folder by hand"
        )
    if folder.holds_nothing():
        with contextlib.suppress(OSError):
            age = time.time() - os.stat(folder.path).st_mtime
            if 0 <= age < _CLAIMING and not force:
                left = int(_CLAIMING - age) + 1
                return f"it was claimed a moment ago: in {left} s it counts as left behind"
        return None
    if is_written(folder):
        return "a process writes into it: stop that first"
    try:
        reader = JournalReader(folder.journal, table_decoder=decode_length)
        try:
            return _why_alive(reader, force=force)
        finally:
            reader.close()
    except (JournalError, OSError):
        return None  # of no journal nobody is the writer


def _why_alive(reader: JournalReader, *, force: bool) -> str | None:
    state, last = Liveness.RUNNING, 0
    for frame in reader.poll():
        for event in frame.events if frame.writer == 0 else ():
            state = state_after(event.type, state)
            last = max(last, event.time) if event.seq >= 0 else last
    if state_now(reader, state, last) is not Liveness.RUNNING:
        return None
    identity = next(reversed(reader.identities.values()), None) or {}
    lives, reason = why_untouched(identity, force=force)
    if lives:
        return f"it is running (process {identity.get('pid')} on {identity.get('host')}): stop it"
    return reason


def remove(folder: RunFolder, *, force: bool = False) -> TrashedRun:
    """Move a run into the trash of its root.

    Parameters
    ----------
    folder
        The run's; it has a number, and lies in a root.
    force
        Also one of another machine, unseen if it lives.

    Returns
    -------
    Where it is now; that survives a power cut. Views are left alone.

    Raises
    ------
    JournalBusyError
        It is running, or somebody works at it.
    RunNotFoundError
        It is gone, or is no run of a root.
    JournalUnavailableError
        The root can not be written.
    """
    root, number = folder.root, folder.number
    if number is None or not root.exists():
        raise RunNotFoundError(f"{folder.path} is no run of a root: remove the folder by hand")
    if not os.path.lexists(folder.path):
        raise RunNotFoundError(f"there is no run {number} in {root.path}")
    # Who seals it, goes on with it or says something of it is waited for.
    with locked_journal(folder.path), locked_journal(folder.journal):
        reason = why_not_removable(folder, force=force)
        if reason is not None:
            raise JournalBusyError(f"run {number} is not removed: {reason}")
        root.keep_number(number)
        stamp = time.time()
        target = _free_name(root, number, stamp)
        try:
            target.parent.mkdir(exist_ok=True)
            os.rename(folder.path, target)
        except FileNotFoundError:
            raise RunNotFoundError(f"there is no run {number} in {root.path}") from None
        except OSError as error:
            raise _refused(root, error) from error
    for place in (target.parent, root.path):
        with contextlib.suppress(OSError):
            fsync_folder(place)
    return TrashedRun(number, RunFolder(target, number), float(int(stamp)))


def _free_name(root: JournalRoot, number: int, stamp: float) -> Path:
    name = f"{number}.{time.strftime(_STAMP, time.gmtime(stamp))}"
    target, again = root.path / _FOLDER / name, 1
    while os.path.lexists(target):
        again += 1
        target = target.with_name(f"{name}-{again}")
    return target


def _refused(root: JournalRoot, error: OSError) -> UnavailableError:
    if error.errno == errno.EXDEV:
        place = root.path / _FOLDER
        text = f"{place} is on another disk than its root: a run can not be moved there whole"
        return UnavailableError(errno.EXDEV, text)
    return unavailable(root.path, error)


def restore(run: TrashedRun, root: JournalRoot) -> RunFolder:
    """Bring a run back from the trash, under its number.

    Raises
    ------
    JournalBusyError
        Something else has its number meanwhile.
    RunNotFoundError
        It is not in the trash any more.
    JournalUnavailableError
        The root can not be written.
    """
    target = root.path / str(run.number)
    if os.path.lexists(target):
        raise JournalBusyError(
            f"run {run.number} can not come back: {target} is there; move that away first"
        )
    try:
        os.rename(run.folder.path, target)
    except FileNotFoundError:
        raise RunNotFoundError(f"run {run.number} is not in the trash any more") from None
    except OSError as error:
        raise _refused(root, error) from error
    for place in (root.path / _FOLDER, root.path):
        with contextlib.suppress(OSError):
            fsync_folder(place)
    return RunFolder(target, run.number)


def empty(root: JournalRoot, *, older_than: float = 0.0) -> Iterator[tuple[TrashedRun, str | None]]:
    """Remove for good what is in the trash.

    Killed at any moment, what it was removing is no run any more, and goes with the next import or
    ``gc``. Stored files that nothing else names go with ``gc``.

    Parameters
    ----------
    root
        Whose.
    older_than
        Only runs that were removed so long ago (s); one of which that is not known stays then.

    Yields
    ------
    Each run, with the reason why it could not be removed, or None.
    """
    limit = time.time() - older_than
    for run in trashed(root):
        if older_than and (run.removed is None or run.removed > limit):
            continue
        root.keep_number(run.number)
        aside = root.path / f"{ASIDE}{os.getpid()}-{os.urandom(6).hex()}"
        reason = None
        try:
            os.rename(run.folder.path, aside)
            shutil.rmtree(aside)
        except FileNotFoundError:
            reason = None  # somebody else empties it, too
        except OSError as error:
            reason = f"{error.filename or run.folder.path}: {error.strerror or error}"
        yield run, reason
