"""A number in the place of a view, by which it is noticed that the place came back older, or empty.

A service does not ask a view about runs of which a note says that the view has all. So every now and
then it counts one up, in the place itself and then here, in ``<root>/.cache/replayers/<view>.mark``.
A place that has a smaller number than this machine remembers was put back to a backup, or dropped:
the notes are taken back then, and each run is brought into the view as one that it never had.

A person who deletes runs leaves the number as it is.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sacred.journal.regular_file import read_regular, replace_regular
from sacred.replayers.memo import ViewMemo
from sacred.replayers.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import SinkSpec

__all__ = ["MarkedSink", "PlaceMark", "look_at_place"]

_MOST = 4096


class MarkedSink(Sink, Protocol):
    """A sink whose place keeps a number for each root that is written into it.

    For databases, which are put back to backups as a whole. A sink without these two is not looked
    at between two writes.
    """

    def marked(self, owner: str) -> int:
        """Return the number that is kept for an owner (16 hex digits); 0 if there is none."""
        ...

    def mark(self, owner: str, number: int) -> None:
        """Keep a number for an owner; a larger one that is there stays."""
        ...


class PlaceMark(NamedTuple):
    """What this machine remembers of it.

    Attributes
    ----------
    owner
        Drawn at random for each root and view.
    number
        What the place has, at least.
    looked
        When it was last found to have that (ns since the epoch).
    """

    owner: str
    number: int = 0
    looked: int = 0

    @classmethod
    def load(cls, path: Path) -> PlaceMark | None:
        """Read it; None if there is none."""
        try:
            found = json.loads(read_regular(path, _MOST))
            mark = cls(found["owner"], found["number"], found["looked"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        sound = type(mark.owner) is str and type(mark.number) is type(mark.looked) is int
        return mark if sound else None

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises
        ------
        OSError
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_regular(path, json.dumps(self._asdict()) + "\n")


def look_at_place(root: JournalRoot, spec: SinkSpec, sink: Sink) -> int:
    """Look whether the place of a view lost what it had; two requests.

    Parameters
    ----------
    root
        The root whose runs the view has.
    spec, sink
        The view. A sink that is not open is opened, and stays so.

    Returns
    -------
    Of how many runs the note was taken back; 0 if nothing was lost, if that can not be told (the
    sink keeps no marks, the root can not be written), or at the first look.

    Raises
    ------
    SinkError
        The place can not be asked.
    """
    marked, mark = getattr(sink, "marked", None), getattr(sink, "mark", None)
    if marked is None or mark is None:
        return 0
    path = root.path / ".cache" / "replayers" / f"{spec.key}.mark"
    known = PlaceMark.load(path)
    now = time.time_ns()
    try:
        if known is None:
            # Remembered before it is said: a root that can not be written must not leave a number
            # in the place each time that it is looked at.
            known = PlaceMark(os.urandom(8).hex(), 0, now)
            known.save(path)
        sink.open()
        found = int(marked(known.owner))
        lost = _take_back(root, spec, known.looked) if found < known.number else 0
        # The place first: a kill in between leaves it ahead, which means nothing.
        number = max(found, known.number) + 1
        mark(known.owner, number)
        known._replace(number=number, looked=now).save(path)
    except OSError:
        return 0
    return lost


def _take_back(root: JournalRoot, spec: SinkSpec, looked: int) -> int:
    """Take back the notes that the view has a run, and that one was deleted there since ``looked``."""
    count = 0
    for folder in root.runs():
        memo = ViewMemo.load(folder.views, spec.key)
        if memo is None:
            continue
        doubtful = memo.state == "deleted" and (memo.looked or 0) > looked
        if memo.state == "current" or doubtful:
            memo._replace(state="following", position=[], journal=None).save(folder.views, spec.key)
            count += 1
    return count
