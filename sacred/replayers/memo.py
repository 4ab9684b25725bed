"""What a replayer remembers about a run's view on this machine: ``<run>/views/<view>.json``.

The truth about a view is in the view. This says what the view can not: that it had the run once
(a run that a person deleted there is not written again), and how it is doing, for ``sacred ls`` and
``sacred views``. The replayer writes it, never the experiment's process: when something changes, and
while a run goes on every few seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.regular_file import read_regular, replace_regular

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.replayers.sink import SinkSpec

__all__ = ["JournalSize", "ViewMemo", "memos_by_key", "read_memos"]

#: No memo is larger (bytes): a reason why a view is behind is a sentence.
_MOST = 1 << 20
#: Views that show what people said of a run, or keep it. Of an earlier version's memo it is told by
#: them alone.
_WITH_NOTES = frozenset({"mongo", "journal"})


class JournalSize(NamedTuple):
    """How much lies in a run's ``journal`` folder: by it a journal is known that nothing came to.

    Attributes
    ----------
    files
        How many files.
    bytes
        In all of them.
    """

    files: int
    bytes: int

    @classmethod
    def of(cls, journal: Path) -> JournalSize | None:
        """Look; None where that can not be done."""
        files = size = 0
        try:
            with os.scandir(journal) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat().st_size
        except OSError:
            return None
        return cls(files, size)


class ViewMemo(NamedTuple):
    """How a run stands in a view, as of the last look.

    Attributes
    ----------
    view
        Its name, without secrets.
    view_id
        The run's id there.
    state
        ``following``, ``current`` (it had everything there was), ``behind``, ``failed`` (nobody
        tries any more) or ``deleted`` (by a person, in the view).
    error
        Why it is behind or failed.
    kind
        Of the view: ``mongo``, ``file``.
    position
        Where the view stands in the journal, as ``Position.to_wire`` gives it.
    journal
        ``JournalSize`` of which all was read, as a list; None if it is not known.
    ended
        Whether the run ended, or its process is gone.
    written
        When the view was last written from this machine (ns since the epoch); None if never.
    looked
        When this was written (ns since the epoch).
    since
        Since when there is this error (ns since the epoch).
    notes
        How much people had said of the run beside its journal, all of which was read (as
        ``notes_size`` gives it); None of a view that shows no such things.
    """

    view: str
    view_id: Any
    state: str
    error: str | None = None
    kind: str = ""
    position: Any = ()
    journal: Any = None
    ended: bool = False
    written: int | None = None
    looked: int | None = None
    since: int | None = None
    notes: Any = None

    def _is_sound(self) -> bool:
        texts = (self.view, self.state, self.kind, self.error or "")
        times = (self.written, self.looked, self.since)
        return all(type(text) is str for text in texts) and all(
            when is None or type(when) is int for when in times
        )

    @property
    def had(self) -> bool:
        """Whether the view had the run once: if it is not there, a person deleted it."""
        return self.state in {"current", "deleted"}

    def covers(self, size: JournalSize | None) -> bool:
        """Tell whether the view has all of a journal of this size, without reading it.

        An ended run gets new events in new files only; its files shrink when they are sealed.
        """
        if self.is_of(size):
            return True
        if self.state != "current" or size is None or not isinstance(self.journal, list):
            return False
        known = tuple(self.journal)
        return self.ended and len(known) == 2 and known[0] == size.files and size.bytes < known[1]

    def is_of(self, size: JournalSize | None) -> bool:
        """Tell whether the view has all of a journal, whose files are as they were."""
        if self.state != "current" or size is None or not isinstance(self.journal, list):
            return False
        return tuple(self.journal) == tuple(size)

    def has_notes(self, size: tuple[int, int]) -> bool:
        """Tell whether the view was told of what people said of the run, or shows no such things.

        Parameters
        ----------
        size
            As ``notes_size`` gives it now.
        """
        if self.notes is None:
            return size == (0, 0) or self.kind not in _WITH_NOTES
        return isinstance(self.notes, list) and self.notes == [*size]

    def save(self, folder: Path, key: str) -> None:
        """Write it into a run's ``views`` folder; in silence where that can not be written."""
        with contextlib.suppress(OSError):  # an archive that is read-only stays so
            folder.mkdir(exist_ok=True)
            replace_regular(folder / f"{key}.json", json.dumps(self._asdict()) + "\n")

    @classmethod
    def expect(
        cls, folder: Path, spec: SinkSpec, error: str | None = None, state: str = "failed"
    ) -> None:
        """Remember that a view is to be written; what is known of it already stays.

        Parameters
        ----------
        folder
            The run's ``views`` folder.
        spec
            The view.
        error
            Why it can not even be tried.
        state
            ``behind`` where that may pass.
        """
        known = cls.load(folder, spec.key)
        now = time.time_ns()
        if error is not None:
            memo = known or cls(spec.name, None, state, kind=spec.kind)
            if memo.error != error:
                memo._replace(state=state, error=error, looked=now, since=now).save(
                    folder, spec.key
                )
        elif known is None:
            cls(spec.name, None, "following", kind=spec.kind, looked=now).save(folder, spec.key)

    @classmethod
    def load(cls, folder: Path, key: str) -> ViewMemo | None:
        """Read it; None if there is none."""
        try:
            found = json.loads(read_regular(folder / f"{key}.json", _MOST))
            known = {name: found[name] for name in cls._fields if name in found}
            memo = cls(**{"kind": key.rpartition("-")[0], **known})
            return memo if memo._is_sound() else None
        except (OSError, ValueError, TypeError, RecursionError):
            return None


def read_memos(folder: Path) -> list[ViewMemo]:
    """Return what is remembered about a run's views (``folder`` is its ``views`` folder)."""
    return list(memos_by_key(folder).values())


def memos_by_key(folder: Path) -> dict[str, ViewMemo]:
    """Return what is remembered about a run's views, by the keys of their specifications."""
    try:
        names = sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return {}
    memos = ((name, ViewMemo.load(folder, name)) for name in names)
    return {name: memo for name, memo in memos if memo is not None}
