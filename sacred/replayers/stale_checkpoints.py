"""Checkpoints that no replayer will begin at: of runs that are gone, or ended and whole in their view."""

from __future__ import annotations

import os
import re
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from sacred.replayers.memo import JournalSize, ViewMemo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import JournalRoot

__all__ = ["CollectedCheckpoints", "collect_checkpoints"]

_NAME = r"([0-9]+|journal-[0-9a-f]{16})-(.+-[0-9a-f]{12})\.fold"
_KEPT = re.compile(_NAME + r"(?:-before)?\Z")
_NEW = re.compile(r"\." + _NAME + r"\.[0-9a-f]{12}\Z")
_TOLD = 20


class CollectedCheckpoints(NamedTuple):
    """What was removed, or would be.

    Attributes
    ----------
    files, size
        How many files, and their bytes together.
    failures
        What could not be removed, a sentence each: the first twenty.
    """

    files: int
    size: int
    failures: list[str]


def collect_checkpoints(
    root: JournalRoot, *, grace: float, dry_run: bool = False
) -> CollectedCheckpoints:
    """Remove the checkpoints that nobody needs; may be called while replayers are at work.

    One goes when its run's folder is gone, or when the note of its view says that the run ended and
    that the view has all of it. It has no time of grace: without it a journal is folded from its
    beginning, and the view is the same. Names that are no checkpoint's, and links, stay.

    Parameters
    ----------
    root
        The folder of the runs.
    grace
        How old (s) a file must be that a kill left half written.
    dry_run
        Remove nothing; tell what would be.
    """
    count = size = 0
    failures: list[str] = []
    oldest = time.time() - grace
    for name, path in _files(root):
        try:
            found = os.lstat(path)
            stale = _is_stale(root, name, found.st_mtime < oldest)
            if not (stale and stat.S_ISREG(found.st_mode)):
                continue
            if not dry_run:
                os.unlink(path)
        except FileNotFoundError:
            continue  # its replayer made a new one, or another collection was here
        except OSError as error:
            if len(failures) < _TOLD:
                failures.append(f"{path}: {error.strerror or error}")
            continue
        count += 1
        size += found.st_size
    return CollectedCheckpoints(count, size, failures)


def _files(root: JournalRoot) -> Iterator[tuple[str, str]]:
    place = os.path.join(root.path, ".cache", "replayers")
    if os.path.realpath(place) != os.path.join(os.path.realpath(root.path), ".cache", "replayers"):
        return  # it lies behind a link
    try:
        names = sorted(os.listdir(place))
    except OSError:
        return  # none, or nobody's business: nothing there is needed
    for name in names:
        yield name, os.path.join(place, name)


def _is_stale(root: JournalRoot, name: str, old: bool) -> bool:
    if _NEW.match(name):
        return old
    found = _KEPT.match(name)
    if found is None:
        return False
    folder = root.path / found[1]
    if not os.path.lexists(folder):
        return True
    memo = ViewMemo.load(folder / "views", found[2])
    return memo is not None and memo.ended and memo.covers(JournalSize.of(folder / "journal"))
