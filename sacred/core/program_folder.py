"""The temporary folder that a stored program is unpacked into, and such folders that kills left.

Whoever works in a folder holds a lock on it: ``sacred run`` and the program that it starts, which
inherits the lock. It ends with the last of them, however they end; a folder that nobody holds is one
that a kill left behind. A note in it tells that it is ours, and which files in it are stored sources.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["NOTE", "ProgramFolder", "remove_leftovers"]

_PREFIX = "sacred-run-"
#: The name of the note; no module and no source has it.
NOTE = ".sacred-run.json"


class ProgramFolder:
    """A temporary folder for the sources of a run, removed when it is left.

    What the program wrote beside its sources stays.

    Parameters
    ----------
    run
        What the run is called, for whoever finds the folder.

    Attributes
    ----------
    path
        Of the folder; real.
    lock
        The descriptor that a process which works in the folder has to inherit; None where the
        system has no such locks. Then folders that a kill left stay.
    started
        Set it when the program is started: before that, nothing in the folder is anybody's.
    """

    def __init__(self, run: str) -> None:
        self.path = os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX))
        self.lock = _locked(self.path)
        self.started = False
        self._run = run
        self._stored: set[str] = set()
        self._note(())

    def __enter__(self) -> ProgramFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the folder up without removing it; ``remove`` comes before."""
        if self.lock is not None:
            with contextlib.suppress(OSError):
                os.close(self.lock)
            self.lock = None

    def expect(self, places: Iterable[str]) -> None:
        """Note which files will be stored sources, before the first of them is written."""
        self._stored = {os.path.normpath(place) for place in places}
        self._note(sorted(self._stored))

    def _note(self, places: Iterable[str]) -> None:
        content = json.dumps({"run": self._run, "sources": list(places)})
        aside = os.path.join(self.path, NOTE + ".new")
        with open(aside, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(content)
        os.replace(aside, os.path.join(self.path, NOTE))

    def remove(self) -> str | None:
        """Remove the sources; return a sentence if what the program wrote stays beside them."""
        return _emptied(self.path, None if not self.started else self._stored)


def remove_leftovers() -> Iterator[str]:
    """Remove the folders whose processes were killed; yield a sentence for each that holds more.

    Only folders of this user, with our note in them, that no process works in. What a program wrote
    beside its sources stays; its folder is no longer looked at then.
    """
    place = tempfile.gettempdir()
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(place) if name.startswith(_PREFIX))
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                yield from _remove_leftover(os.path.join(place, name))


def _remove_leftover(path: str) -> Iterator[str]:
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or not hasattr(os, "geteuid"):
        return
    if found.st_uid != os.geteuid():
        return
    with open(os.path.join(path, NOTE), encoding="utf-8", errors="surrogateescape") as file:
        note = json.load(file)
    if not isinstance(note, dict) or not isinstance(note.get("sources"), list):
        return
    descriptor = _locked(path, alone=True)
    if descriptor is None:
        return
    try:
        sentence = _emptied(path, {os.path.normpath(str(name)) for name in note["sources"]})
    finally:
        os.close(descriptor)
    if sentence is not None:
        yield f"{note.get('run')} was killed: {sentence}"


def _locked(path: str, *, alone: bool = False) -> int | None:
    """Lock a folder, and return what holds the lock; None if that can not be."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:  # somebody has it, or the file system knows no locks
        os.close(descriptor)
        return None
    return descriptor


def _files_below(place: str) -> set[str]:
    return {
        os.path.relpath(os.path.join(folder, name), place)
        for folder, folders, names in os.walk(place)
        for name in [*names, *_links(folder, folders)]
    }


def _links(folder: str, folders: list[str]) -> list[str]:
    return [name for name in folders if os.path.islink(os.path.join(folder, name))]


def _emptied(place: str, stored: set[str] | None) -> str | None:
    """Remove what is ours of a folder; None for ``stored`` stands for all of it."""
    ours: set[Any] = {NOTE, NOTE + ".new", *(stored or ())}
    written = {
        path
        for path in _files_below(place) - ours
        if stored is not None and os.path.basename(os.path.dirname(path)) != "__pycache__"
    }
    if not written:
        shutil.rmtree(place, ignore_errors=True)
        return None
    for path in _files_below(place) - written:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(place, path))
    for folder, _, _ in os.walk(place, topdown=False):
        with contextlib.suppress(OSError):  # the folders that hold something stay
            os.rmdir(folder)
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    return f"the program wrote beside its sources: {min(written)}{more} stay in {place}"
