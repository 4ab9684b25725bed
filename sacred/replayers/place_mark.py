"""A number in the place of a view, by which it is noticed that the place came back older, or empty.

A run that the view had and that is not there was deleted by a person, who wants it gone, or the place
was put back to a backup, or dropped: then it is to be written again. To tell these apart, whoever
writes counts a number up, in the place itself and then here, in ``<root>/.cache/replayers/<view>.mark``:
before the first write and behind the last one. A place that has a smaller number than this machine
remembers is not as this machine left it: the notes are taken back then, and each run is brought into
the view as one that it never had. A person who deletes runs leaves the number as it is.

A replay that finds everything in its place asks for no number.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sacred.journal.regular_file import open_regular, read_regular, replace_regular
from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.memo import ViewMemo
from sacred.replayers.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import SinkSpec

__all__ = ["MarkedSink", "PlaceGuard", "PlaceGuards", "PlaceMark"]

log = logging.getLogger("sacred.replayers")

_MOST = 4096
#: What was looked at so recently is not looked at for the next run that is missing (s).
_FRESH = 1.0
#: So often in a row a write waits because no number can be kept now.
_FAILURES = 3
#: So long another process may be at its look (s).
_TURN = 5.0


class MarkedSink(Sink, Protocol):
    """A sink whose place keeps a number for each root that is written into it.

    The number has to lie where it is put back with the runs. Of a sink without these two nobody can
    tell that its place came back older.
    """

    def marked(self, owner: str) -> int:
        """Return the number that is kept for an owner (16 hex digits); 0 if there is none."""
        ...

    def mark(self, owner: str, number: int) -> None:
        """Keep a number for an owner, durably; a larger one that is there stays."""
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


class PlaceGuard:
    """Notices, for the runs of one root, that the place of one view was put back or dropped.

    Whoever writes runs there calls ``before_write`` with the sink it is about to use, ``is_put_back``
    when a run is missing that the view had, and ``look`` at the end, and now and then in between.

    Parameters
    ----------
    root
        The root whose runs the view has.
    spec
        The view.

    Attributes
    ----------
    lost
        Of how many runs the note was taken back, over all looks.

    Notes
    -----
    May be used from several threads. Where no number can be kept (the sink has no ``marked``, the
    place or the root can not be written) nothing is noticed, and nothing is said.
    """

    def __init__(self, root: JournalRoot, spec: SinkSpec) -> None:
        self.lost = 0
        self._root = root
        self._spec = spec
        self._path = root.path / ".cache" / "replayers" / f"{spec.key}.mark"
        self._lock = threading.RLock()
        #: Whether the number was counted up since the last look: what is written now is behind it.
        self._counted = False
        #: Whether anything may have been written since then, or a run was found deleted.
        self._written = self._unsettled = False
        #: By the monotonic clock: when the last look began, and when the place was found put back.
        self._looked, self._put_back = -_FRESH, -math.inf
        self._works = True
        self._failures = 0

    @property
    def is_due(self) -> bool:
        """Whether something was written, or found deleted, that no look stands behind yet."""
        return (self._written or self._unsettled) and self._works

    def before_write(self, sink: Sink) -> None:
        """Count up, once between two looks; the sink is open, and about to write.

        Raises
        ------
        TransientSinkError
            The place can not be asked now, and so not be written either.
        """
        with self._lock:
            if not self._counted:
                try:
                    self.look(sink, count=True)
                    self._failures = 0
                except TransientSinkError:
                    # It would do so to the write, too; if it does not, runs are not held up for this.
                    self._failures += 1
                    if self._failures < _FAILURES:
                        raise
                self._counted = True
            self._written = True

    def is_put_back(self, sink: Sink, since: float | None = None) -> bool:
        """Tell whether a run that is not in the view is missing because the place was put back.

        Parameters
        ----------
        sink
            Of the view, open.
        since
            When the run was last seen there, by the monotonic clock. Of one of which only a note
            says that it was there, it is the note that is taken back, if it is to be.

        Raises
        ------
        TransientSinkError
            The place can not be asked now: the run is neither deleted nor to be written again.
        """
        with self._lock:
            if time.monotonic() - self._looked >= _FRESH:
                self.look(sink, count=False)
            self._unsettled = True
            return self._put_back >= (self._looked if since is None else since)

    def look(self, sink: Sink, *, count: bool | None = None) -> int:
        """Look whether the place lost what it had; one small read, and a write if there is news.

        Parameters
        ----------
        sink
            Of the view, open.
        count
            Whether to count the number up; else if something was written since that was done.

        Returns
        -------
        Of how many runs the note was taken back: each is brought into the view by the next replay.

        Raises
        ------
        TransientSinkError
            The place can not be asked.
        """
        with self._lock:
            if not self._works:
                return 0
            try:
                with self._turn():
                    return self._look(sink, count=self._written if count is None else count)
            except TerminalSinkError as error:
                log.info("%s: keeps no number: %s", self._spec.name, error)
            except OSError as error:
                log.info("%s: the number is not remembered: %s", self._spec.name, error)
            self._works = False
            return 0

    def _look(self, sink: Sink, *, count: bool) -> int:
        marked, mark = getattr(sink, "marked", None), getattr(sink, "mark", None)
        if marked is None or mark is None:
            self._works = False
            return 0
        now, began = time.time_ns(), time.monotonic()
        known = PlaceMark.load(self._path)
        if known is None:
            # Remembered before it is said: a root that can not be written must not leave a number
            # in the place each time that it is looked at.
            known = PlaceMark(os.urandom(8).hex(), 0, now)
            known.save(self._path)
        number = found = int(marked(known.owner))
        lost = 0
        if found < known.number:
            lost = _take_back(self._root, self._spec, known.looked)
            self.lost += lost
            self._put_back = time.monotonic()
            log.info(
                "%s: lacks what it had (put back to a backup, or dropped?): %d runs of %s are "
                "looked at again",
                *(self._spec.name, lost, self._root.path),
            )
        if count or found < known.number or not known.number:
            # The place first: a kill in between leaves it ahead, which means nothing.
            number = max(found, known.number) + 1
            mark(known.owner, number)
            self._written = self._counted = False
        known._replace(number=number, looked=now).save(self._path)
        self._unsettled = False
        self._looked = began
        return lost

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the processes of this machine look one by one: a place may know no larger of two."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_regular(f"{self._path}.lock", os.O_CREAT | os.O_RDWR)
        try:
            end = time.monotonic() + _TURN
            while time.monotonic() < end:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.02)
                except OSError:  # a file system without locks
                    break
            yield
        finally:
            os.close(descriptor)


class PlaceGuards:
    """The guards of a process, one for each root and view."""

    def __init__(self) -> None:
        self._guards: dict[tuple[Path, str], tuple[PlaceGuard, SinkSpec]] = {}
        self._lock = threading.Lock()

    def of(self, root: JournalRoot, spec: SinkSpec) -> PlaceGuard:
        """Return the guard of a root's runs in a view."""
        with self._lock:
            key = (root.path, spec.key)
            if key not in self._guards:
                self._guards[key] = PlaceGuard(root, spec), spec
            return self._guards[key][0]

    def all(self) -> list[tuple[PlaceGuard, SinkSpec]]:
        """Return those that were asked for, with their views."""
        with self._lock:
            return list(self._guards.values())


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
