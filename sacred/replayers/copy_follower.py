"""The follower of a view that is a copy of the journal itself: nothing is projected."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.finding import start_fields
from sacred.journal.liveness import Liveness, state_after, state_now
from sacred.journal.notes import notes_size
from sacred.journal.position import Position
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.follower import Follower
from sacred.replayers.memo import JournalSize, ViewMemo
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.sink import Batch, RunKey

if TYPE_CHECKING:
    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import Sink, SinkSpec

__all__ = ["CopyFollower", "follower_for"]

_State = tuple[tuple[str, int, int, int], ...]


def follower_for(folder: RunFolder, sink: Sink, spec: SinkSpec, **options: Any) -> Follower:
    """Return the follower that a sink asks for: one that projects the journal, or one that does not.

    Parameters
    ----------
    folder, sink, spec, options
        As of ``Follower``.
    """
    kind = CopyFollower if "journal" in sink.rewrites else Follower
    return kind(folder, sink, spec, **options)


class CopyFollower(Follower):
    """Keeps the copy of one run up to its journal.

    The sink looks at the run's files itself (``AttendingSink``) and copies what is new; this says
    when, tries again, and reads along for what is to be told of the run: its end, its damage.

    Notes
    -----
    As ``Follower``.
    """

    def _forget(self) -> None:
        super()._forget()
        self._seen: _State | None = None

    def _is_current(self) -> bool:
        return self._attached and self._seen == _state_of(self.folder)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of the run; for the thread that follows."""
        if self.ended:
            return True
        memo = self._memo or ViewMemo.load(self.folder.views, self._key)
        if memo is not None and memo.ended and memo.is_of(JournalSize.of(self.folder.journal)):
            return True  # known from the last time: an old run is not read for it
        try:
            reader = self._read_along()
            return self.ended or state_now(reader, Liveness.RUNNING, 0) is not Liveness.RUNNING
        except JournalError:
            return True

    def _detach(self) -> None:
        self._attached = False
        self._forget()

    def _advance(self, *, complete: bool) -> bool:
        if not self._attached:
            self._attach()
            if not self._attached:
                return False
        size, notes = JournalSize.of(self.folder.journal), notes_size(self.folder.path)
        seen = _state_of(self.folder)
        if seen == self._seen and (self._complete_written or not complete):
            self._finished = self._complete_written
            return False
        key = RunKey(self.journal_id, self._view_id)
        self._changes_place()
        if self._view_id is None:
            hint = start_fields(self.folder).get("run_id")
            self._view_id = self.sink.claim(RunKey(self.journal_id, hint))
            key = RunKey(self.journal_id, self._view_id)
            self.sink.position(key)
        self._had, self._there = True, time.monotonic()
        batch = Batch(key, (), self._committed, PROJECTOR, complete=complete)
        self.sink.write(batch)
        found = self.sink.position(key)
        news = found is None or found.position != self._committed
        self._committed = found.position if found is not None else Position()
        self._seen, self._complete_written, self._finished = seen, complete, complete
        self._journal_size, self._notes = size, notes
        if news:
            self._written = time.time_ns()
            self._read_along()
        return news

    def _attach(self, size: JournalSize | None = None) -> None:
        del size
        self._forget()
        self.reached = False
        self.sink.open()
        self.reached = True
        reader = JournalReader(self.folder.journal, table_decoder=decode_length)
        reader.close()
        if not reader.journal_id:
            return  # nothing whole is in the file yet
        self.journal_id = f"{reader.journal_id:016x}"
        memo = ViewMemo.load(self.folder.views, self._key)
        key = RunKey(self.journal_id, memo.view_id if memo is not None else None)
        found = self.sink.position(key)
        if found is None:
            self._attach_unknown(memo)
        elif self._rebuild:
            self._changes_place()
            self.sink.reset(key)
            self._view_id = found.view_id
        else:
            self._view_id = found.view_id
            self._had, self._there = not found.claimed, time.monotonic()
            self._committed = found.position
        self._complete_written = False
        self._rebuild = False
        self._attached = True

    def _read_along(self) -> JournalReader:
        """Read the journal as far as it is there, once: what became of the run, what is damaged."""
        reader = self._reader
        if reader is None:
            reader = self._reader = JournalReader(self.folder.journal, table_decoder=decode_length)
        for frame in reader.poll():
            for event in frame.events if frame.writer == 0 else ():
                self._state = state_after(event.type, self._state)
        self.ended = self._state is Liveness.ENDED
        self._damage = tuple(str(v) for v in reader.verdicts if is_damage(v))
        return reader

    #: Of what was read along; it stays when the connection is lost.
    _reader: JournalReader | None = None
    _state = Liveness.RUNNING

    def release(self) -> None:
        """Close the files; the sink stays open, for whoever lent it."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._state = Liveness.RUNNING
        super().release()


def _state_of(folder: RunFolder) -> _State:
    """Return what tells whether the files of a run are as they were."""
    found = []
    for part in ("journal", "notes"):
        try:
            entries = [*os.scandir(folder.path / part)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            try:
                stat = os.stat(entry.path)
            except FileNotFoundError:
                continue
            row = (f"{part}/{entry.name}", stat.st_ino, stat.st_size, stat.st_mtime_ns)
            found.append(row)
    return tuple(sorted(found))
