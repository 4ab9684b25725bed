"""What somebody's observer was told of a run, remembered beside the run.

An observer can not be asked what it knows. So each thing it was told is written down as soon as the
call returned, one line each, in ``<run>/views/.<view>.told``. Whoever goes on after a kill repeats
the call that the kill fell on, if the line is missing, and no other.

One replayer at a time tells an observer of a run: it holds a lock until it closes its sink.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.new_file import written_aside
from sacred.journal.position import Position
from sacred.journal.regular_file import open_regular, read_regular
from sacred.journal.root import fsync_folder
from sacred.replayers.disk import errors_of_notes
from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.sink import ViewPosition

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sacred.replayers.sink import PointsAdded

__all__ = ["ToldLog"]

_FORMAT = 1
#: No such file is larger (bytes): a line for each artifact, at most.
_MOST = 256 << 20
#: So many lines may say again what others said before the file is written anew.
_SPARE = 500


class ToldLog:
    """What one observer was told of one run.

    Parameters
    ----------
    key
        Of the view's specification.
    name
        Of the view, for sentences.
    folder
        The ``views`` folder of the run. None: it is kept in memory.

    Attributes
    ----------
    view_id
        What the run is called where the observer writes; None before a claim.
    events
        Marks of the events that it was told.
    beat
        Time of the last heartbeat that it was told of, as text; empty before.
    said
        Checksum of what that one said.
    metrics
        Time of the last heartbeat of whose points it was told.
    stands
        Where the run stood when everything up to there was told; None before a claim.

    Notes
    -----
    Every method raises ``TransientSinkError`` or ``TerminalSinkError`` for what the disk does.
    """

    def __init__(self, key: str, name: str, folder: Path | None = None) -> None:
        self._key = key
        self._name = name
        self._folder = folder
        self._lock: int | None = None
        self._file: int | None = None
        self._lines = 0
        self._loaded = False
        self._forget()

    def _forget(self) -> None:
        self.journal_id = ""
        self.view_id: Any = None
        self.events: dict[str, None] = {}
        self.beat = ""
        self.said = ""
        self.metrics = ""
        self.stands: ViewPosition | None = None
        #: Per writer the sequence number behind the last point that was told, and the latest time.
        self._points: dict[int, tuple[int, int]] = {}

    @property
    def path(self) -> Path | None:
        """The file, which need not be there; None in memory."""
        return self._folder / f".{self._key}.told" if self._folder is not None else None

    # -- one replayer at a time ------------------------------------------------------------------

    def lock(self) -> None:
        """Keep other replayers away from this run and observer, until ``close``.

        Raises
        ------
        TransientSinkError
            Another one is there.
        """
        if self._folder is None or self._lock is not None:
            return
        try:
            import fcntl
        except ImportError:
            return
        with self._disk_errors():
            self._folder.mkdir(exist_ok=True)
            descriptor = open_regular(self._folder / f".{self._key}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise TransientSinkError(f"another replayer tells {self._name} of this run") from None
        except OSError:  # a file system without locks
            pass
        self._lock = descriptor

    def close(self) -> None:
        """Let others in; never raises."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._file = self._lock = None
        if self._folder is not None:
            self._loaded = False

    # -- what was told ---------------------------------------------------------------------------

    def load(self, journal_id: str) -> bool:
        """Read what is remembered of a run; False if that is nothing."""
        if not self._loaded or self.journal_id != journal_id:
            self._read()
        if self.journal_id != journal_id:
            self._forget()
        self._loaded = True
        return self.stands is not None

    def begin(self, journal_id: str, view_id: Any) -> None:
        """Remember that the run is to be told, and what it is called."""
        self._forget()
        self.journal_id, self.view_id = journal_id, view_id
        self.stands = ViewPosition(view_id, Position(), 0, claimed=True)
        self._loaded = True
        self._write_whole()

    def remove(self) -> None:
        """Forget the run."""
        self._forget()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self.path is not None:
            with self._disk_errors(), contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def tell(self, mark: str) -> None:
        """Note an event that was told."""
        self.events[mark] = None
        self._append(["told", mark])

    def name_run(self, view_id: Any) -> None:
        """Note what the observer calls the run."""
        if view_id != self.view_id:
            self.view_id = view_id
            self._append(["named", view_id])

    def tell_points(self, points: list[PointsAdded], beat: str) -> None:
        """Note points that were told, and of which heartbeat they were the first half."""
        self.metrics = beat
        for change in points:
            latest = max(change.times)
            for writer, next_seq in change.next_seqs().items():
                behind, before = self._points.get(writer, (0, 0))
                self._points[writer] = max(behind, next_seq), max(before, latest)
        self._append(["points", self._points_to_wire()])

    def _points_to_wire(self) -> list[Any]:
        return [self.metrics, [[writer, *at] for writer, at in self._points.items()]]

    def untold(self, change: PointsAdded) -> PointsAdded | None:
        """Return the points that were not told, or None.

        After a power cut a journal may give numbers again that were told; such points are younger.
        """
        if not self._points:
            return change
        nothing = (0, 0)
        rows = [
            row
            for row, writer in enumerate(change.writers)
            if change.seqs[row] >= self._points.get(writer, nothing)[0]
            or change.times[row] > self._points.get(writer, nothing)[1]
        ]
        if len(rows) == len(change.seqs):
            return change
        return change.rows(rows) if rows else None

    def tell_beat(self, time: str, said: str) -> None:
        """Note a heartbeat that was told, and what it said, by a checksum."""
        self.beat, self.said = time, said
        self._append(["beat", [time, said]])

    def stand(self, at: ViewPosition) -> None:
        """Note where the run stands: everything before it was told."""
        self.stands = at
        self._append(["stands", _stands_to_wire(at)])

    # -- the file --------------------------------------------------------------------------------

    def _state(self) -> list[list[Any]]:
        """Return the lines that say all there is to say."""
        lines: list[list[Any]] = [["format", _FORMAT, self.journal_id], ["named", self.view_id]]
        lines += [["told", mark] for mark in self.events]
        if self.metrics:
            lines.append(["points", self._points_to_wire()])
        if self.beat:
            lines.append(["beat", [self.beat, self.said]])
        if self.stands is not None:
            lines.append(["stands", _stands_to_wire(self.stands)])
        return lines

    def _append(self, line: list[Any]) -> None:
        path = self.path
        if path is None:
            return
        if self._file is None or self._lines > len(self.events) + _SPARE:
            self._write_whole()
            return
        with self._disk_errors():
            content = json.dumps(line, default=str).encode() + b"\n"
            if os.write(self._file, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            getattr(os, "fdatasync", os.fsync)(self._file)
        self._lines += 1

    def _write_whole(self) -> None:
        path = self.path
        if path is None:
            return
        with self._disk_errors():
            path.parent.mkdir(exist_ok=True)
            if self._file is not None:
                os.close(self._file)
                self._file = None
            for name in os.listdir(path.parent):  # what a kill left half written
                if name.startswith(f".{path.name}."):
                    with contextlib.suppress(OSError):
                        os.unlink(path.parent / name)
            lines = self._state()
            with written_aside(path, path.parent) as file:
                for line in lines:
                    file.write(json.dumps(line, default=str).encode() + b"\n")
            fsync_folder(path.parent)
            self._lines = len(lines)
            self._file = open_regular(path, os.O_WRONLY | os.O_APPEND)

    def _read(self) -> None:
        path = self.path
        if path is None:
            return
        self._forget()
        with self._disk_errors():
            try:
                content = read_regular(path, _MOST)
            except FileNotFoundError:
                return
        # What stands behind the last end of a line was torn by a kill: its call is repeated.
        *lines, _torn = content.split(b"\n")
        try:
            first, *others = map(json.loads, lines)
            word, version, self.journal_id = first
            if word != "format" or version != _FORMAT:
                raise ValueError("of another version")
            for kind, value in others:
                self._take(kind, value)
            if self.stands is None:
                raise ValueError("it begins, and does not say where")
            self.stands = self.stands._replace(view_id=self.view_id)
        except (ValueError, TypeError, KeyError, RecursionError, JournalError):
            self._forget()
            raise TerminalSinkError(
                f"{path} does not say what {self._name} was told, or is of a newer version: move it "
                "away, and sacred-replay --rebuild tells it everything of this run again"
            ) from None

    def _take(self, kind: str, value: Any) -> None:
        if kind == "told":
            self.events[str(value)] = None
        elif kind == "named":
            self.view_id = value
        elif kind == "points":
            self.metrics, points = value
            self._points = {int(writer): (int(seq), int(time)) for writer, seq, time in points}
        elif kind == "beat":
            self.beat, self.said = map(str, value)
        elif kind == "stands":
            self.stands = _stands_from_wire(self.view_id, value)
        else:
            raise ValueError("a line of another version")

    def _disk_errors(self) -> AbstractContextManager[None]:
        return errors_of_notes(f"{self._name} is told nothing", self._folder)


def _stands_to_wire(at: ViewPosition) -> dict[str, Any]:
    return {
        "position": at.position.to_wire(),
        "ahead": at.ahead.to_wire(),
        "projector": at.projector,
        "order": at.order,
        "spool": at.spool,
        "claimed": at.claimed,
    }


def _stands_from_wire(view_id: Any, wire: dict[str, Any]) -> ViewPosition:
    return ViewPosition(
        view_id,
        Position.from_wire(wire["position"]),
        int(wire["projector"]),
        str(wire["order"]),
        Position.from_wire(wire["ahead"]),
        claimed=bool(wire["claimed"]),
        spool=int(wire["spool"]),
    )
