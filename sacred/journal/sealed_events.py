"""The events of a sealed run without those frames in which nothing that is looked for can be.

The index of a sealed file tells of each frame the types of its events and their times. A frame that
is not wanted is not read, and nobody sees whether it is whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.journal.epoch_file import EpochFile, NotYet
from sacred.journal.events import EventType
from sacred.journal.frames import FrameDamagedError
from sacred.journal.root import epoch_file_name
from sacred.journal.sealed_summary import SummaryReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.journal.events import Event
    from sacred.journal.reader import JournalReader
    from sacred.journal.seal_index import MetricSummary, SealedFrame

__all__ = ["SealedEvents"]

_SUMMARIES = SummaryReader()


class SealedEvents:
    """The events of a run that ended, and is sealed in one sound file of more than 64 KiB.

    Parameters
    ----------
    reader
        Of its journal; nothing was read with it.
    frames
        As the file's index tells of them, in order.
    metrics
        Those of the file.
    end
        Where the frame stands that ends the events (bytes).
    """

    def __init__(
        self,
        reader: JournalReader,
        frames: list[SealedFrame],
        metrics: list[MetricSummary],
        end: int,
    ) -> None:
        self._reader = reader
        self.frames = frames
        self.metrics = metrics
        self._end = end

    @classmethod
    def of(cls, reader: JournalReader) -> SealedEvents | None:
        """Look at a journal; None of every other run: all of it has to be read."""
        summary = _SUMMARIES.read(reader.folder)
        if summary is None or summary.index is None or summary.journal_id != reader.journal_id:
            return None
        index = summary.index
        return cls(reader, index.frames, index.metrics, index.end)

    def read(self, wanted: Callable[[SealedFrame], bool]) -> Iterator[Event]:
        """Yield the events of the frames that are wanted, and those that begin and end the file.

        Where one of these frames is damaged, all that stands behind it is read, as by a reader that
        knows no index; what is wrong is in the reader's ``verdicts`` then.

        Parameters
        ----------
        wanted
            Tells whether a frame may hold what is looked for.

        Raises
        ------
        NotAJournalError, NewerFormatError, JournalUnreadableError
            As the reader does.
        """
        done = -1
        for events, behind in self._frames(wanted):
            yield from events
            done = behind
        if done == self._count:
            return
        for event in self._reader.read():
            if event.seq >= max(0, done) or done < 0 or event.type == EventType.SEALED:
                yield event

    @property
    def _count(self) -> int:
        return self.frames[-1].first_seq + self.frames[-1].count if self.frames else 0

    def _frames(self, wanted: Callable[[SealedFrame], bool]) -> Iterator[tuple[list[Event], int]]:
        """Yield the events of each frame, and the number behind them; end where one is damaged."""
        file = EpochFile(self._reader.folder / epoch_file_name(0, 1), 0, 1)
        places = [(0, 0, 0), *((f.offset, f.first_seq, f.count) for f in self.frames if wanted(f))]
        try:
            for offset, first_seq, count in (*places, (self._end, self._count, 0)):
                file.seek(offset)
                frame = file.next_frame()
                if (frame.journal_id, frame.first_seq, frame.count) != (
                    self._reader.journal_id,
                    first_seq,
                    count,
                ):
                    return
                is_end = offset == self._end
                yield self._reader._events(frame), self._count if is_end else first_seq + count
        except (OSError, NotYet, FrameDamagedError):
            return
        finally:
            file.close()
