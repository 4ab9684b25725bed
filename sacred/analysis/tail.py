"""What a run prints and measures, as it comes: what ``sacred tail`` shows."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.events import EventType
from sacred.journal.following import events_and_pauses
from sacred.journal.past import PastReader, reader_at
from sacred.journal.spool import SPOOL, spooled_to, tolerant_chunks
from sacred.replayers.counted_table import CountedTable
from sacred.replayers.jsontext import instant, jsonable
from sacred.replayers.lines import Line, OutputLines
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["Point", "RunTail", "item_record"]

#: Characters of a line that is not ended, as a terminal may show them.
_UNFINISHED = 4096


class Point(NamedTuple):
    """One metric point.

    Attributes
    ----------
    metric
        Its name.
    step, value
        As they were logged.
    time
        When (ns since the epoch).
    """

    metric: str
    step: Any
    value: Any
    time: int


def item_record(item: Line | Point) -> dict[str, Any]:
    """Return a line or a point as plain data for JSON."""
    if isinstance(item, Line):
        text = plain_text(item.text)
        return {"time": instant(item.time), "stream": item.stream, "text": text}
    return {
        "time": instant(item.time),
        "metric": plain_text(item.metric),
        "step": jsonable(item.step),
        "value": jsonable(item.value),
    }


class RunTail:
    """The end of a run that may go on: its output and its metric points.

    Lines come when they are ended, each once, in the order of the writer that printed them. What a
    killed run printed and no event holds comes from the spool.

    Parameters
    ----------
    folder
        Of the run.
    lines, points
        What is handed out.
    at
        The run as it was at that moment: ``last`` ends there. None: as it is.

    Attributes
    ----------
    since
        When it was begun or gone on with last (ns since the epoch); None before that.
    status
        As the events that were read tell it; None before the run began.
    error
        The last line of the stack trace with which the run failed, or None.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
        There is no journal that can be read.

    Notes
    -----
    Not thread-safe. Memory: what ``last`` hands out, a table of points, and the lines that are not
    ended.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        lines: bool = True,
        points: bool = True,
        at: Moment | None = None,
    ) -> None:
        self._spool = folder.journal / SPOOL
        self._reader = reader_at(folder, at, CountedTable)
        self._output = OutputLines()
        self._lines = lines
        self._points = points
        self._offset = 0
        self._latest: dict[str, CountedTable | Point | None] = {}
        self.since: int | None = None
        self.status: str | None = None
        self.error: str | None = None

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def latest(self) -> dict[str, Point]:
        """The last point of each metric, in the order in which the metrics appeared.

        Also where points are not handed out. Of those of several processes it is the one read last.
        """
        for name, found in self._latest.items():
            if isinstance(found, CountedTable):
                self._latest[name] = _last_of(found, name)
        return {name: point for name, point in self._latest.items() if isinstance(point, Point)}

    def unfinished(self) -> list[Line]:
        """Return the end of what was printed without the end of a line, as a progress bar is."""
        return list(self._output.unfinished(_UNFINISHED)) if self._lines else []

    def last(self, most: int | None) -> list[Line | Point]:
        """Return the last lines and points that are there now, by time.

        Parameters
        ----------
        most
            How many; None for all. Tables of points are decoded as far as they are asked for.

        Raises
        ------
        NotAJournalError, NewerFormatError, JournalUnreadableError
        """
        pieces: deque[Line | Point | CountedTable] = deque()
        length = 0

        def add(piece: Line | Point | CountedTable, count: int) -> None:
            nonlocal length
            pieces.append(piece)
            length += count
            while most is not None and pieces and length - _size(pieces[0]) >= most:
                length -= _size(pieces.popleft())

        for event in self._reader.read(order="time"):
            if event.type == EventType.METRIC_TABLE:
                self._note(event)
                if self._points:
                    add(event.fields["table"], event.fields["table"].rows)
                continue
            for item in self._taken(event):
                add(item, 1)
        for line in self._spooled():
            add(line, 1)
        items: list[Line | Point] = []
        for piece in pieces:
            items += _points_of(piece) if isinstance(piece, CountedTable) else [piece]
        return items if most is None else items[max(0, len(items) - most) :]

    def rest(self) -> Iterator[Line]:
        """Yield what was printed last without the end of a line: nothing comes behind it."""
        if self._lines:
            yield from self._output.end()

    def follow(self, *, stop: threading.Event | None = None) -> Iterator[Line | Point | None]:
        """Yield lines and points as they come, until the run is over.

        None stands for a pause: what is there was handed out, and a second passes at most before
        the next one. What is not ended when the run is over is handed out as lines, too.

        Parameters
        ----------
        stop
            Ends it from another thread.

        Raises
        ------
        NotAJournalError
            The run was removed.
        NewerFormatError, JournalUnreadableError
        """
        for event in events_and_pauses(self._reader, stop=stop):
            if event is None:
                yield from self._spooled()
                yield None
            else:
                yield from self._taken(event)
        yield from self._spooled()
        yield from self.rest()

    def _taken(self, event: Event) -> Iterator[Line | Point]:
        if event.type == EventType.METRIC_POINT:
            fields = event.fields
            point = Point(str(fields["metric"]), fields["step"], fields["value"], event.time)
            self._latest[point.metric] = point
            if self._points:
                yield point
        elif event.type == EventType.METRIC_TABLE:
            self._note(event)
            if self._points:
                yield from _points_of(event.fields["table"])
        elif event.type == EventType.OUTPUT:
            end, fields = spooled_to(event), event.fields
            if end:
                if end <= self._offset:
                    return  # it was in the spool before
                self._offset = end
            if self._lines:
                stream, data = fields.get("stream", 1), fields.get("data") or b""
                yield from self._output.add(event.writer, event.seq, event.time, stream, data)
        elif event.type in {EventType.RUN_STARTED, EventType.RUN_RESUMED}:
            self.since, self.status = event.time, "RUNNING"
        elif event.type == EventType.RUN_ENDED:
            self.status = str(event.fields.get("status"))
            trace = event.fields.get("fail_trace") or ()
            said = [line.strip() for part in trace for line in str(part).splitlines()]
            self.error = next((line for line in reversed(said) if line), None)

    def _note(self, event: Event) -> None:
        table = event.fields["table"]
        for name in table.metrics:
            self._latest[str(name)] = table

    def _spooled(self) -> Iterator[Line]:
        """Yield the lines that only the spool holds yet."""
        for chunk in tolerant_chunks(self._spool, self._offset, []):
            if isinstance(self._reader, PastReader) and not self._reader.had_spooled(chunk.time_ns):
                return
            self._offset = chunk.end
            if self._lines:
                yield from self._output.add(0, None, chunk.time_ns, chunk.stream, chunk.data)


def _size(piece: Line | Point | CountedTable) -> int:
    return piece.rows if isinstance(piece, CountedTable) else 1


def _points_of(counted: CountedTable) -> list[Point]:
    try:
        table = counted.decoded()
    except ValueError:  # a frame whose checksum holds and whose columns do not: verify tells of it
        return []
    rows = zip(table.names(), table.steps, table.values, table.times, strict=True)
    return [Point(str(name), step, value, time * 1000) for name, step, value, time in rows]


def _last_of(counted: CountedTable, name: str) -> Point | None:
    return next((p for p in reversed(_points_of(counted)) if p.metric == name), None)
