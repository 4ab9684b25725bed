"""A journal as it was at a moment: the same reader, cut.

What was written later is left out, event by event, and of a table of points row by row. What is
wrong with the files is told as it is now: damage has no date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.events import Event, EventType
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length, decode_table, decode_times

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from sacred.journal.cursor import Frame
    from sacred.journal.root import RunFolder

__all__ = ["Moment", "PastReader", "reader_at"]


class Moment(NamedTuple):
    """A moment in the life of runs: a time, or the sequence number of an event of each.

    Attributes
    ----------
    time
        ns since the epoch, UTC: what bears this time or an earlier one was there. None if ``seq``
        says it.
    seq
        Of the run's own writer (0) the events up to and with this number; of other writers those
        that are not later than that event by time. A run with fewer events is as it is now.
    text
        As a person said it, for sentences.
    """

    time: int | None
    seq: int | None = None
    text: str = ""

    def __str__(self) -> str:
        """Return it as it was said."""
        return self.text or (f"event {self.seq}" if self.time is None else f"{self.time} ns")


def reader_at(
    folder: RunFolder, at: Moment | None, table_decoder: Callable[[dict[str, Any]], Any]
) -> JournalReader:
    """Return what reads a run's journal as it was at a moment; None: as it is."""
    if at is None:
        return JournalReader(folder.journal, table_decoder=table_decoder)
    return PastReader(folder.journal, at, table_decoder=table_decoder)


class _Dated(NamedTuple):
    """A table as the caller wants it, with what is needed to cut it.

    Attributes
    ----------
    table
        What the caller's decoder made.
    times
        Of its rows (us).
    wire
        Its fields by wire key.
    """

    table: Any
    times: list[int]
    wire: dict[str, Any]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.times)

    def from_row(self, row: int) -> _Dated:
        """Return it without its first rows."""
        return _Dated(self.table.from_row(row), self.times[row:], self.wire)

    def points(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield name, step and value of each row."""
        table = decode_table(self.wire)
        table = table.from_row(table.rows - self.rows)
        yield from zip(table.names(), table.steps, table.values, strict=True)


class PastReader(JournalReader):
    """Reads the events of a journal that were there at a moment.

    Parameters
    ----------
    folder
        A run's folder or its ``journal`` folder.
    moment
        Which one.
    table_decoder
        As of ``JournalReader``. Of a table through which the cut goes, the rows that were there come
        as ``METRIC_POINT`` events.

    Attributes
    ----------
    time
        The moment in ns since the epoch; None where the run has fewer events than its number says:
        then nothing is cut.
    behind
        Read to the end: the first event of the run's own writer that was left out and has a number;
        None if there is none, so that the run is now what it was then.
    held
        How many events and points were there, of those that have a number.

    Raises
    ------
    NotAJournalError, JournalUnreadableError
        As of ``JournalReader``.

    Notes
    -----
    An event is there if its own time is not later than the moment, whatever stands before it: where
    a writer's clock was put back, what it wrote under the wrong time is missing until that time has
    come. With ``seq`` clocks do not matter for the run's own writer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        moment: Moment,
        *,
        table_decoder: Callable[[dict[str, Any]], Any] = decode_table,
    ) -> None:
        self._decoded = table_decoder
        self._seq = moment.seq
        self._reached = -1
        self.time = moment.time
        self.behind: Event | None = None
        self.held = 0
        super().__init__(folder, table_decoder=self._dated)
        if moment.seq is not None:
            self.time = _time_of(self.folder, moment.seq)
            if self.time is None:
                self._seq = None

    def was_there(self, time: int) -> bool:
        """Tell whether what bears a time (ns) was there."""
        return self.time is None or time <= self.time

    def had_spooled(self, time: int) -> bool:
        """Tell whether what stands in the spool, and in no event that was there, was printed by then.

        Parameters
        ----------
        time
            Of the spool's record (ns since the epoch). After reading: by an event's number nothing
            was that came behind it.
        """
        return self.was_there(time) and (self._seq is None or self.behind is None)

    def poll(self, limit: int = 1 << 62) -> Iterator[Frame]:
        """Yield the frames with what was there of their events; see ``JournalReader.poll``."""
        for frame in super().poll(limit):
            events = list(self._cut(frame.events))
            yield frame._replace(events=events, count=sum(e.count for e in events if e.seq >= 0))

    def _keyed(self, writer: int) -> Iterator[tuple[int, int, int, Event]]:
        for latest, _, number, event in super()._keyed(writer):
            for part in self._cut((event,)):
                yield latest, writer, number, part

    def _dated(self, wire: dict[str, Any]) -> _Dated:
        return _Dated(self._decoded(wire), decode_times(wire), wire)

    def _cut(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if event.type == EventType.METRIC_TABLE:
                parts = self._cut_table(event)
            elif self._holds(event.writer, event.seq, _comparable(event)):
                parts = (event,)
            else:
                parts = ()
                if event.writer == 0 and event.seq >= 0 and self.behind is None:
                    self.behind = event
            for part in parts:
                if part.seq >= 0:
                    self.held += part.count
                    if part.writer == 0:
                        self._reached = max(self._reached, part.seq + part.count - 1)
                yield part

    def _holds(self, writer: int, seq: int, time: int) -> bool:
        if self._seq is not None and writer == 0:
            return seq <= self._seq if seq >= 0 else self._reached < self._seq
        return self.was_there(time)

    def _cut_table(self, event: Event) -> Iterable[Event]:
        dated: _Dated = event.fields["table"]
        place = event.seq
        there = [
            self._holds(event.writer, place + row, micros * 1000)
            for row, micros in enumerate(dated.times)
        ]
        if all(there):
            return (event._replace(fields={**event.fields, "table": dated.table}),)
        if event.writer == 0 and self.behind is None:
            self.behind = event
        if not any(there):
            return ()
        rows = zip(there, dated.times, dated.points(), strict=True)
        return [
            Event(
                EventType.METRIC_POINT,
                micros * 1000,
                place + row,
                event.writer,
                {"metric": name, "step": step, "value": value},
            )
            for row, (held, micros, (name, step, value)) in enumerate(rows)
            if held
        ]


def _comparable(event: Event) -> int:
    """Return the time by which an event is cut: a point's in us, which is all that a table keeps."""
    return event.time // 1000 * 1000 if event.type == EventType.METRIC_POINT else event.time


def _time_of(folder: os.PathLike[str], seq: int) -> int | None:
    """Return the time of an event of the run's own writer; None if it has none of that number yet.

    Where that one is lost, the last before it stands for it.
    """
    time: int | None = None
    reader = JournalReader(
        folder, table_decoder=lambda wire: _Dated(decode_length(wire), decode_times(wire), wire)
    )
    try:
        for frame in reader.poll():
            if frame.writer != 0:
                break
            for event in frame.events:
                if event.seq < 0:
                    continue
                if event.seq > seq:
                    return time if time is not None else event.time - 1
                if event.type == EventType.METRIC_TABLE:
                    times = event.fields["table"].times
                    if seq - event.seq < len(times):
                        return int(times[seq - event.seq]) * 1000
                    time = times[-1] * 1000
                else:
                    time = event.time
                    if event.seq == seq:
                        return time
    finally:
        reader.close()
    return None
