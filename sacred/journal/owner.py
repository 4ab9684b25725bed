"""Whose file it is: its first frame that belongs into it, also where another one stands before."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sacred.journal.epoch_file import NotYet
from sacred.journal.frames import FrameDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.epoch_file import EpochFile, RawFrame

#: So many frames tell whose journal it is, where the first two do not agree.
_ELECTORS = 32
#: A file of which so much is of others is theirs (bytes).
_BEGINNING = 1 << 20


def first_frame(file: EpochFile, journal_id: int) -> RawFrame | None:
    """Find the first whole frame of a file, from where it stands, that says it belongs there.

    Parameters
    ----------
    file
        At its beginning.
    journal_id
        The journal's; 0 while nobody knows it. Then it is that of most frames, if the second is
        not of the same as the first, or the beginning is damaged: damaged events may hold frames
        of other journals. Only those that stand one behind the other count where the beginning is
        whole, for the same reason.

    Raises
    ------
    OSError
    """
    found = _belonging(file, journal_id)
    first = next(found, None)
    if first is None or journal_id:
        return first
    if first.offset == 0:
        found = _following(file)
        second = next(found, None)
        if second is None or second.journal_id == first.journal_id:
            return first
        electors = [first, second, *islice(found, _ELECTORS - 2)]
    else:
        electors = [first, *islice(found, _ELECTORS - 1)]
    votes = [frame.journal_id for frame in electors]
    return max(electors, key=lambda frame: votes.count(frame.journal_id))


def _following(file: EpochFile) -> Iterator[RawFrame]:
    """Yield the whole frames that stand one behind the other."""
    try:
        while True:
            frame = file.next_frame()
            if (frame.writer, frame.epoch) == (file.writer, file.epoch):
                yield frame
    except (NotYet, FrameDamagedError):
        return


def _belonging(file: EpochFile, journal_id: int) -> Iterator[RawFrame]:
    """Yield the whole frames that say they belong into the file, also those behind damage."""

    def belongs(frame: RawFrame) -> bool:
        known = not journal_id or frame.journal_id == journal_id
        return known and (frame.writer, frame.epoch) == (file.writer, file.epoch)

    frame: RawFrame | None
    while True:
        try:
            frame = file.next_frame()
        except (NotYet, FrameDamagedError):
            frame = file.resync(belongs)
        if frame is None:
            return
        if belongs(frame):
            yield frame
        elif frame.end > _BEGINNING:
            return
