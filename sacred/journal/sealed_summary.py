"""A sealed run at a glance: what began and ended it, and how much it holds.

For lists of many runs: it takes a quarter of the time that reading the events takes, and of a long
run only the frames that begin and end it are read. It knows sound runs alone: of what is damaged,
goes on, or was written by several processes it says nothing, and the reader has to.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.epoch_file import EpochFile, NotYet
from sacred.journal.events import FORMAT, SCHEMAS, EventType, long_names
from sacred.journal.frames import FrameDamagedError, FrameDecoder
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import open_regular
from sacred.journal.root import epoch_file_name

if TYPE_CHECKING:
    from sacred.journal.epoch_file import RawFrame
    from sacred.journal.seal_index import SealIndex

__all__ = ["SealedSummary", "SummaryReader"]

_FILE = epoch_file_name(0, 1)
#: A file that is in memory is never opened.
_NOWHERE = Path(_FILE)
#: Files up to here are read whole, so that damage is seen: the index of a longer one costs less.
_SMALL = 1 << 16
#: What began and ended a run.
_TOLD = frozenset(
    {
        EventType.RUN_STARTED,
        EventType.RUN_QUEUED,
        EventType.RUN_RESUMED,
        EventType.RUN_ENDED,
        EventType.RESULT_CHANGED,
    }
)


class SealedSummary(NamedTuple):
    """What a sealed run of one file tells.

    Attributes
    ----------
    journal_id
        Of the journal.
    told
        (type, time in ns since the epoch, fields) of what began and ended the run, in order.
    events, points
        How many there are; a point is an event.
    last
        The latest time of an event (ns since the epoch).
    index
        Of a file of more than 64 KiB; None of a smaller one.
    """

    journal_id: int
    told: list[tuple[int, int, dict[str, Any]]]
    events: int
    points: int
    last: int
    index: SealIndex | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs


class SummaryReader(threading.local):
    """Reads summaries, one after the other; from any thread, each of which has its own decoder."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()

    def read(self, journal: str | os.PathLike[str]) -> SealedSummary | None:
        """Return the summary of a run that ended, and is sealed in one sound file.

        Parameters
        ----------
        journal
            The ``journal`` folder of the run.

        Returns
        -------
        None of every other run. Of a file of more than 64 KiB the frames in the middle are not
        looked at: whoever reads them sees whether they are whole.
        """
        folder = os.fspath(journal)
        try:
            if os.listdir(folder) != [_FILE]:
                return None  # several writers or epochs, a spool
            return self._summary(f"{folder}{os.sep}{_FILE}")
        except (OSError, NotYet, FrameDamagedError, _OtherError):
            return None
        except (LookupError, TypeError, ValueError, AttributeError):
            return None  # a frame that is whole and holds what no event is

    def _summary(self, path: str) -> SealedSummary:
        descriptor = open_regular(path)
        try:
            # Room for 64 KiB, asked of the system for each file, would cost as much as to read it.
            content = os.read(descriptor, min(os.fstat(descriptor).st_size, _SMALL) + 1)
        finally:
            os.close(descriptor)
        if len(content) <= _SMALL:
            return _summary(_HeldFile(content, self._decoder), held=True)
        file = EpochFile(Path(path), 0, 1, self._decoder)
        try:
            return _summary(file, held=False)
        finally:
            file.close()


class _HeldFile(EpochFile):
    """A file of which all is in memory: nothing is asked of the system for each of its frames."""

    def __init__(self, content: bytes, decoder: FrameDecoder) -> None:
        super().__init__(_NOWHERE, 0, 1, decoder)
        self._buffer = content

    def _ensure(self, size: int) -> int:  # noqa: ARG002 - there is no more
        return max(0, len(self._buffer) - self.offset)

    def size(self) -> int:
        """Return how much was read."""
        return len(self._buffer)


class _OtherError(Exception):
    """It is no run of this kind."""


def _summary(file: EpochFile, *, held: bool) -> SealedSummary:
    first = file.next_frame()
    _check_first(file, first)
    walk = _Walk(first)
    index = None
    if held:
        while not walk.is_done:
            walk.take(file.next_frame())
    else:
        index = _skim(file, walk)
    file.sealed = True
    if file.strangers() or walk.state != EventType.RUN_ENDED:
        raise _OtherError
    return SealedSummary(first.journal_id, walk.told, walk.events, walk.points, walk.last, index)


def _check_first(file: EpochFile, frame: RawFrame) -> None:
    wire = frame.values[1]
    fields = long_names(wire["e"], wire)
    plain = wire["e"] == EventType.EPOCH_BEGAN and not fields.get("lost")
    known = fields.get("min_reader", 1) <= FORMAT and not fields.get("features")
    if not plain or not known or frame.first_seq or frame.count or file.is_replaced():
        raise _OtherError


def _skim(file: EpochFile, walk: _Walk) -> SealIndex:
    """Read of a long file what its index says to hold what began and ended the run."""
    index = file.index()
    if index is None or index.first_seq:
        raise _OtherError
    events = 0
    for place in index.frames:
        if place.first_seq != events:
            raise _OtherError
        events += place.count
        if not _TOLD.isdisjoint(place.types):
            file.seek(place.offset)
            frame = file.next_frame()
            if (frame.first_seq, frame.count) != (place.first_seq, place.count):
                raise _OtherError
            walk.expect(frame)
            walk.take(frame)
        elif any(number not in SCHEMAS or number == EventType.GAP for number in place.types):
            raise _OtherError
        walk.last = max(walk.last, place.last_time)
    file.seek(index.end)
    end = file.next_frame()
    walk.expect(end)
    walk.take(end)
    if not walk.is_done or end.first_seq != events:
        raise _OtherError
    walk.events = events
    walk.points = sum(metric.count for metric in index.metrics)
    return index


class _Walk:
    """Takes in frames that follow each other."""

    def __init__(self, first: RawFrame) -> None:
        self._journal_id = first.journal_id
        self._seq, self._chain = 0, first.chain
        self.told: list[tuple[int, int, dict[str, Any]]] = []
        self.events = self.points = self.last = 0
        #: The type of the last event that began or ended the run.
        self.state = 0
        self.is_done = False

    def expect(self, frame: RawFrame) -> None:
        """Go on with a frame that does not follow the one before."""
        self._seq, self._chain = frame.first_seq, frame.chain

    def take(self, frame: RawFrame) -> None:
        """Take in the events of a frame."""
        if (frame.journal_id, frame.writer, frame.epoch) != (self._journal_id, 0, 1):
            raise _OtherError
        if (frame.first_seq, frame.chain) != (self._seq, self._chain):
            raise _OtherError
        held = 0
        for wire in frame.values[1:]:
            number, when = wire["e"], wire["t"]
            if number == EventType.METRIC_TABLE:
                held += wire["n"]
                self.points += wire["n"]
            elif number == EventType.METRIC_POINT:
                held += 1
                self.points += 1
            elif number == EventType.SEALED:
                self.is_done = not frame.count
                return
            else:
                held += 1
                if number not in SCHEMAS or number == EventType.GAP:
                    raise _OtherError  # of a later version, or of a loss that is to be told
                if number in _TOLD:
                    self.told.append((number, when, long_names(number, wire)))
                    if number != EventType.RESULT_CHANGED:
                        self.state = number
            self.last = max(self.last, when)
        if held != frame.count:
            raise _OtherError
        self.events += held
        self._seq, self._chain = frame.first_seq + frame.count, frame.chain_after
