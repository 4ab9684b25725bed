"""Reading a journal: every event that is whole, in order, and the name of everything that is not.

A reader never changes a journal and never raises for what the bytes are. What is wrong is a
*verdict*: ``Tail`` (the end of a file is not whole: not yet, if its writer lives), ``Gap`` (events
are missing or damaged, named by writer and sequence number), ``Foreign`` (bytes that belong to
something else, or twice). No verdict is a clean journal.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.cursor import Frame, WriterCursor
from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import NewerFormatError, NotAJournalError
from sacred.journal.events import (
    FIRST_IGNORABLE,
    FORMAT,
    POINT_KEYS,
    SCHEMAS,
    SEQLESS,
    TABLE_KEYS,
    Event,
    EventType,
    long_names,
)
from sacred.journal.frames import FrameDamagedError
from sacred.journal.position import Position, WriterPosition
from sacred.journal.root import NO_FOLDER, parse_epoch_file_name, unreadable
from sacred.journal.tables import decode_table
from sacred.journal.verdicts import Foreign, Gap, Tail, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Foreign", "Frame", "Gap", "JournalReader", "Tail", "Verdict"]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False


#: With more writers than this no file stays open between two looks at it.
_OPEN_WRITERS = 64
#: So many frames behind a damaged beginning tell whose journal it is.
_ELECTORS = 32


class JournalReader:
    """Reads the events of one journal, once or as they come.

    Parameters
    ----------
    folder
        A run's folder or its ``journal`` folder.
    position
        Where to begin; None for the beginning. The journal must prove that it is the one on which
        the position was taken: reading raises ``PositionContradictedError`` if it is not.
    table_decoder
        Makes the ``table`` of a ``METRIC_TABLE`` from its fields by wire key: a
        :class:`~sacred.journal.tables.MetricTable` unless told otherwise, for readers that want
        columns of another kind, or none. What it returns has ``rows`` and ``from_row``.

    Attributes
    ----------
    position
        Where the reader stands now.
    verdicts
        What was wrong so far, in the order it was met. A ``Tail`` at the present end of a file is
        not in it (see ``tails``).
    journal_id
        The id of the journal.

    Notes
    -----
    Not thread-safe. Memory: one frame (16 MiB at most) and a buffer of the same order a writer.
    The order over several writers is that of arrival while reading, and by time with
    ``read(order="time")``.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        position: Position | None = None,
        *,
        table_decoder: Callable[[dict[str, Any]], Any] = decode_table,
    ) -> None:
        path = Path(folder)
        if path.name != "journal" and os.path.isdir(path / "journal"):
            path = path / "journal"
        self.folder = path
        self.verdicts: list[Verdict] = []
        self.identities: dict[tuple[int, int], dict[str, Any]] = {}
        self.journal_id = 0
        self._start = position or Position()
        self._decode_table = table_decoder
        self._cursors: dict[int, WriterCursor] = {}
        self._listing: dict[int, list[int]] = {}
        self._first_seqs: dict[tuple[int, int], int | None] = {}
        self._horizons: dict[int, list[int | None]] = {}
        self._seen_verdicts: set[Verdict] = set()
        self._refusal: OSError | None = None
        self._identify()

    # -- finding the files -------------------------------------------------------------------

    def _list(self) -> None:
        try:
            with os.scandir(self.folder) as entries:
                found = [
                    (parsed, _is_file(entry))
                    for entry in entries
                    if (parsed := parse_epoch_file_name(entry.name)) is not None
                ]
        except OSError as error:
            if error.errno in NO_FOLDER:
                text = f"{self.folder} holds no journal: {error.strerror}"
                raise NotAJournalError(text) from None
            raise unreadable(self.folder, error) from None
        listing: dict[int, list[int]] = {}
        for (writer, epoch), is_file in found:
            if is_file:
                listing.setdefault(writer, []).append(epoch)
            else:  # a folder, or a pipe that one would wait at for ever
                self._report(Foreign(writer, epoch, 0, 0, "it is no regular file"))
        self._listing = {writer: sorted(epochs) for writer, epochs in sorted(listing.items())}
        # A file that was not readable before may be now.
        self._first_seqs = {k: v for k, v in self._first_seqs.items() if v is not None}
        self._horizons = {}

    def _epochs(self, writer: int) -> list[int]:
        return self._listing.get(writer, [])

    def _identify(self) -> None:
        """Learn the journal's id from the first whole frame of its first readable file."""
        self._list()
        if not self._listing:
            raise NotAJournalError(
                f"{self.folder} holds no journal (no file like w0000-e0001.jzst)"
            )
        for writer, epochs in self._listing.items():
            for epoch in epochs:
                file = EpochFile.of(self.folder, writer, epoch)
                try:
                    file.remaining()
                    frame = self._first_whole(file)
                except OSError as error:
                    self._refusal = error
                    frame = None
                finally:
                    file.close()
                if frame is not None:
                    self.journal_id = frame.journal_id
                    return
        if self._refusal is not None:
            raise unreadable(self.folder, self._refusal)
        for writer, epochs in self._listing.items():
            for epoch in epochs:  # of an empty file there is nothing to say yet
                self._note_foreign(EpochFile.of(self.folder, writer, epoch))

    def _first_whole(self, file: EpochFile) -> RawFrame | None:
        """Find the first whole frame that says it belongs into this file."""

        def belongs(frame: RawFrame) -> bool:
            known = not self.journal_id or frame.journal_id == self.journal_id
            return known and (frame.writer, frame.epoch) == (file.writer, file.epoch)

        try:
            frame = file.next_frame()
        except (NotYet, FrameDamagedError):
            frame = None
        except OSError as error:
            self._refusal = error
            return None
        if frame is not None and (frame.writer, frame.epoch) == (file.writer, file.epoch):
            return frame
        try:
            return file.resync(belongs) if self.journal_id else self._commonest(file, belongs)
        except OSError as error:
            self._refusal = error
            return None

    @staticmethod
    def _commonest(file: EpochFile, belongs: Callable[[RawFrame], bool]) -> RawFrame | None:
        """Find a frame behind a damaged beginning, of the journal that most of the next ones are of.

        Not simply the first: damaged events may hold frames of other journals.
        """
        found: list[RawFrame] = []
        while len(found) < _ELECTORS and (frame := file.resync(belongs)) is not None:
            found.append(frame)
        votes = [frame.journal_id for frame in found]
        return max(found, key=lambda frame: votes.count(frame.journal_id), default=None)

    def _readable(self, writer: int, epoch: int) -> bool:
        return self._first_seq(writer, epoch) is not None

    def _first_seq(self, writer: int, epoch: int) -> int | None:
        key = (writer, epoch)
        if key in self._first_seqs:
            return self._first_seqs[key]
        file = EpochFile.of(self.folder, writer, epoch)
        frame = self._first_whole(file)
        file.close()
        first = (
            frame.first_seq if frame is not None and frame.journal_id == self.journal_id else None
        )
        if first is None:
            self._note_foreign(file)
        elif frame is not None and not frame.count:
            self._events(frame)  # who wrote it, also for one that goes on in the middle of it
        self._first_seqs[key] = first
        return first

    def holds(self, frame: Frame, at: WriterPosition) -> bool:
        """Tell whether a position that lies in a frame, or at its end, was taken on this journal.

        In a sealed file, whose frames have other bounds, its index knows.
        """
        if (at.next_seq, at.chain) == (frame.after.next_seq, frame.after.chain):
            return True
        if not self._is_sealed(frame.writer, frame.epoch):
            return False  # nobody ever stood inside of a frame
        file = EpochFile.of(self.folder, frame.writer, frame.epoch)
        index = file.index()
        file.close()
        return index is not None and index.proves(at.next_seq, at.chain)

    def _loss(self, writer: int, epoch: int, first: int, end: int) -> str | None:
        """Return why events are lost that a repaired file names as such; None if it does not."""
        lost = self.identities.get((writer, epoch), {}).get("lost")
        for entry in lost if isinstance(lost, list) else ():
            if isinstance(entry, list) and entry[:2] == [first, end]:
                return str(entry[2]) if len(entry) > 2 else "unknown"
        return None

    def _is_sealed(self, writer: int, epoch: int) -> bool:
        self._first_seq(writer, epoch)
        return self.identities.get((writer, epoch), {}).get("opened_by") == "seal"

    def _note_foreign(self, file: EpochFile) -> None:
        """Report a file that begins with a whole frame, but of something else."""
        try:
            file.seek(0)
            frame = file.next_frame()
            ours = frame.journal_id == self.journal_id or not self.journal_id
            if ours and (frame.writer, frame.epoch) == (file.writer, file.epoch):
                return  # it was finished a moment ago
            file.seek(0)
            why = "a file of another journal, writer or epoch"
            self._report(Foreign(file.writer, file.epoch, 0, file.remaining(), why))
        except (NotYet, FrameDamagedError):
            pass  # not yet, or damaged: said where it is read
        except OSError as error:
            why = f"can not be read: {error.strerror or error}"
            self._report(Foreign(file.writer, file.epoch, 0, 0, why))
        finally:
            file.close()

    def _is_foreign(self, writer: int, epoch: int) -> bool:
        return any(
            isinstance(verdict, Foreign) and (verdict.writer, verdict.epoch) == (writer, epoch)
            for verdict in self.verdicts
        )

    def _horizon(self, writer: int, later: list[int]) -> int | None:
        """Return where the files from ``later[0]`` on begin; None if none of them is readable."""
        epochs = self._epochs(writer)
        return self._horizon_from(writer, bisect_left(epochs, later[0])) if later else None

    def _horizon_from(self, writer: int, place: int) -> int | None:
        # For all places in one go: a search from each would cost their square.
        horizons = self._horizons.get(writer)
        if horizons is None:
            firsts = [self._first_seq(writer, epoch) for epoch in self._epochs(writer)]
            horizons = [None]
            for first in reversed(firsts):
                known = [seq for seq in (first, horizons[-1]) if seq is not None]
                horizons.append(min(known, default=None))
            horizons.reverse()
            self._horizons[writer] = horizons
        return horizons[place]

    # -- events ------------------------------------------------------------------------------

    def _events(self, frame: RawFrame) -> list[Event]:
        names: list[str] = []
        seq = frame.first_seq
        events = []
        for wire in frame.values[1:]:
            try:
                number, when = wire["e"], wire["t"]
                if type(number) is not int or type(when) is not int or number < 0:
                    raise TypeError("neither type nor time")
                event_seq = seq
                if number == EventType.METRIC_POINT:
                    name = wire["m"]
                    if type(name) is str:
                        names.append(name)
                    else:
                        name = names[name]
                    fields = {"metric": name, "step": wire["s"], "value": wire["v"]}
                    if len(wire) > len(POINT_KEYS):  # of a later version
                        fields = {**long_names(number, wire), "metric": name}
                    seq += 1
                elif number == EventType.METRIC_TABLE:
                    table = self._decode_table(wire)
                    fields = {"table": table}
                    if not wire.keys() <= TABLE_KEYS:
                        fields |= {key: wire[key] for key in wire.keys() - TABLE_KEYS}
                    seq += table.rows
                elif number in SEQLESS:
                    fields = long_names(number, wire)
                    event_seq = -1
                    if number == EventType.EPOCH_BEGAN:
                        self._check_format(fields)
                        self.identities[frame.writer, frame.epoch] = fields
                else:
                    if number not in SCHEMAS and number < FIRST_IGNORABLE:
                        raise NewerFormatError(
                            f"{self.folder} holds events of type {number}, which this version "
                            "does not know: upgrade sacred-journal"
                        )
                    fields = long_names(number, wire)
                    seq += 1
                events.append(Event(number, when, event_seq, frame.writer, fields))
            except NewerFormatError:
                raise
            except Exception as error:
                # The checksum held, so that this was written so: by something else than us.
                why = f"an event that is not one: {type(error).__name__}: {error}"[:200]
                self._report(Foreign(frame.writer, frame.epoch, frame.offset, 0, why))
                seq += 1
        if seq != frame.first_seq + frame.count:
            why = f"a frame that tells of {frame.count} events and holds {seq - frame.first_seq}"
            self._report(Foreign(frame.writer, frame.epoch, frame.offset, 0, why))
        return events

    def _check_format(self, fields: dict[str, Any]) -> None:
        needed = fields.get("min_reader", 1)
        features = fields.get("features") or []
        if needed > FORMAT or features:
            what = f"format {needed}" if needed > FORMAT else f"the features {features}"
            raise NewerFormatError(
                f"{self.folder} was written by {fields.get('software')} and needs {what}: "
                "upgrade sacred-journal"
            )

    def _report(self, verdict: Verdict) -> None:
        if verdict not in self._seen_verdicts and len(self.verdicts) < 10_000:
            self._seen_verdicts.add(verdict)
            self.verdicts.append(verdict)

    # -- reading -----------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Where the reader stands."""
        position = dict(self._start.items())
        position.update({writer: cursor.at for writer, cursor in self._cursors.items()})
        return Position(position)

    def poll(self, limit: int = 1 << 62) -> Iterator[Frame]:
        """Yield the whole frames that are there now and were not read before.

        Parameters
        ----------
        limit
            About how many frames of each writer, so that a caller can stop between batches.

        Raises
        ------
        PositionContradictedError
            The journal is not the one on which the position was taken: begin anew.
        NewerFormatError
            The journal needs a newer version of this package.
        """
        self._list()
        if not self.journal_id:
            self._identify()
            if not self.journal_id:
                return
        for writer in self._listing:
            cursor = self._cursors.get(writer)
            if cursor is None:
                cursor = WriterCursor(self, writer, self._start.get(writer))
                self._cursors[writer] = cursor
            yield from cursor.poll(limit)
            if self._many():
                cursor.rest()

    def read(self, order: str = "arrival") -> Iterator[Event]:
        """Yield all events that are there now and were not read before.

        Parameters
        ----------
        order
            ``"arrival"``: writer after writer, as they are found. ``"time"``: merged by time, each
            writer in its own order also where its clock stepped back (the order of a rebuilt
            view).
        """
        if order == "arrival" or len(self._listing) < 2:
            for frame in self.poll():
                yield from frame.events
            return
        import heapq

        self._list()
        streams = [self._keyed(writer) for writer in self._listing]
        for *_, event in heapq.merge(*streams, key=lambda item: item[:3]):
            yield event

    def _keyed(self, writer: int) -> Iterator[tuple[int, int, int, Event]]:
        cursor = self._cursors.get(writer)
        if cursor is None:
            cursor = self._cursors[writer] = WriterCursor(self, writer, self._start.get(writer))
        latest = number = 0
        more = True
        while more:
            more = False
            for frame in cursor.poll(1 if self._many() else 1 << 62):
                if self._many():
                    cursor.rest()
                    more = True
                for event in frame.events:
                    if event.seq >= 0:
                        latest = max(latest, event.time)
                    number += 1
                    yield latest, writer, number, event
        if self._many():
            cursor.rest()

    def _many(self) -> bool:
        return len(self._listing) > _OPEN_WRITERS

    def unproven(self) -> list[int]:
        """Return the writers whose position the journal has not shown to hold.

        After reading to the present end: their files end before the position, so that they are an
        older copy, or a power cut took events back that were read.
        """
        begun = [writer for writer, cursor in self._cursors.items() if cursor.unproven is not None]
        return begun + [
            writer
            for writer, at in self._start.items()
            if at.next_seq and writer not in self._cursors
        ]

    def tails(self) -> list[Tail]:
        """Return the unfinished ends that are there now.

        Those at which the reader stands, and files behind them in which nothing is whole.
        """
        tails: list[Tail] = []
        for cursor in self._cursors.values():
            tails += cursor.tails()
            if self._many():
                cursor.rest()
        return tails

    def close(self) -> None:
        """Close the files."""
        for cursor in self._cursors.values():
            if cursor.file is not None:
                cursor.file.close()
