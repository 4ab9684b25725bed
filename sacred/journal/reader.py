"""Reading a journal: every event that is whole, in order, and the name of everything that is not.

A reader never changes a journal and never raises for what the bytes are. What is wrong is a
*verdict*: ``Tail`` (the end of a file is not whole: not yet, if its writer lives), ``Gap`` (events
are missing or damaged, named by writer and sequence number), ``Foreign`` (bytes that belong to
something else, or twice). No verdict is a clean journal.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.cursor import Frame, WriterCursor
from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import NewerFormatError
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
from sacred.journal.owner import first_frame
from sacred.journal.position import Position, WriterPosition
from sacred.journal.regular_file import NO_FILE
from sacred.journal.root import NO_FOLDER, no_journal, parse_epoch_file_name, unreadable
from sacred.journal.tables import decode_table
from sacred.journal.verdicts import (
    ANOTHERS,
    UNREAD,
    Foreign,
    Gap,
    Loss,
    Tail,
    Verdict,
    explained,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Foreign", "Frame", "Gap", "JournalReader", "Tail", "Verdict"]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False


def _numbers(wire: Any, most: int) -> int:
    """Return how many sequence numbers an event takes that is none."""
    rows = wire.get("n") if isinstance(wire, dict) and wire.get("e") == 17 else 1
    return rows if type(rows) is int and 0 < rows <= most else 1


#: With more writers than this no file stays open between two looks at it.
_OPEN_WRITERS = 64
#: So many of the latest holes, and of what writers said that they lost, are held against each other:
#: a writer names a hole in the next file that it can write.
_HOLES = 256


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

    Raises
    ------
    NotAJournalError
        The folder is none, or has no file of a journal.
    JournalUnreadableError
        The system does not let us read it.

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
    Not thread-safe. Any number of readers, in any processes, may read a journal while it is written,
    sealed or repaired; none of them changes it. Memory: one frame and a buffer of the same order a writer. A frame's content is
    16 MiB at most, and with the values in it 256 MiB, whatever the bytes are.
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
        #: By (writer, epoch), the fields of the last event of a sealed file.
        self.seals: dict[tuple[int, int], dict[str, Any]] = {}
        #: What is known to be lost: by writer what the run itself told, and by writer and epoch
        #: what a repair wrote down.
        self._told: dict[int, deque[Loss]] = {}
        self._written_down: dict[int, dict[int, list[Loss]]] = {}
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
                raise no_journal(self.folder) from None
            raise unreadable(self.folder, error) from None
        listing: dict[int, list[int]] = {}
        for (writer, epoch), is_file in found:
            if is_file:
                listing.setdefault(writer, []).append(epoch)
            else:  # a folder, or a pipe that one would wait at for ever
                self._report(Foreign(writer, epoch, 0, 0, NO_FILE))
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
            raise no_journal(self.folder)
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
        try:
            return first_frame(file, self.journal_id)
        except OSError as error:
            self._refusal = error
            return None

    def _readable(self, writer: int, epoch: int) -> bool:
        return self._first_seq(writer, epoch) is not None

    def _first_seq(self, writer: int, epoch: int) -> int | None:
        key = (writer, epoch)
        if key in self._first_seqs:
            return self._first_seqs[key]
        file = EpochFile.of(self.folder, writer, epoch)
        frame = self._first_whole(file)
        file.close()
        if frame is None:
            self._note_foreign(file)
        elif not frame.count:
            self._events(frame)  # who wrote it, also for one that goes on in the middle of it
        first = self._first_seqs[key] = None if frame is None else frame.first_seq
        return first

    def holds(self, frame: Frame, at: WriterPosition) -> bool:
        """Tell whether a position that lies in a frame, or at its end, was taken on this journal.

        In a sealed file, whose frames have other bounds, its index knows.

        Parameters
        ----------
        frame
            As ``poll`` gave it.
        at
            A position in what the frame's writer wrote, between the frame's bounds.

        Returns
        -------
        True only where it is proved.
        """
        if (at.next_seq, at.chain) == (frame.after.next_seq, frame.after.chain):
            return True
        if not self._is_sealed(frame.writer, frame.epoch):
            return False  # nobody ever stood inside of a frame
        file = EpochFile.of(self.folder, frame.writer, frame.epoch)
        index = file.index()
        file.close()
        return index is not None and index.proves(at.next_seq, at.chain)

    def losses(self, writer: int) -> list[Loss]:
        """Return what is known to be lost of a writer: told by itself, or by a repair of a file.

        Parameters
        ----------
        writer
            Its number.

        Returns
        -------
        As far as was read; of what the writer told, the last 256.
        """
        known = list(self._told.get(writer, ()))
        for losses in self._written_down.get(writer, {}).values():
            known += losses
        return known

    def _begin(self, frame: RawFrame, fields: dict[str, Any]) -> None:
        """Take in what the first event of a file says."""
        self._check_format(fields)
        self.identities[frame.writer, frame.epoch] = fields
        lost = fields.get("lost")
        if isinstance(lost, list):
            self._written_down.setdefault(frame.writer, {})[frame.epoch] = [
                Loss(entry[0], entry[1], str(entry[2]) if len(entry) > 2 else "unknown")
                for entry in lost
                if isinstance(entry, list) and [type(end) for end in entry[:2]] == [int, int]
            ]

    def _hear(self, when: int, wire: dict[str, Any]) -> None:
        """Take in that a writer lost events, and why; what was missed before has a reason now."""
        writer, first, count = (wire.get(key) for key in ("writer", "first_seq", "count"))
        if not (type(writer) is int and type(first) is int and type(count) is int and count > 0):
            return
        loss = Loss(first, first + count, str(wire.get("reason")), max(1, min(when, 1 << 63)))
        self._told.setdefault(writer, deque(maxlen=_HOLES)).append(loss)
        for place in range(len(self.verdicts) - 1, max(-1, len(self.verdicts) - 1 - _HOLES), -1):
            verdict = self.verdicts[place]
            if isinstance(verdict, Gap) and verdict.writer == writer:
                pieces = explained(verdict, [loss])
                self.verdicts[place : place + 1] = pieces
                self._seen_verdicts.update(pieces)

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
            self._report(Foreign(file.writer, file.epoch, 0, file.remaining(), ANOTHERS))
        except (NotYet, FrameDamagedError):
            pass  # not yet, or damaged: said where it is read
        except OSError as error:
            why = f"{UNREAD}{error.strerror or error}"
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
        told = seq + frame.count
        events = []
        # One more than it tells of, and what has no number: then it is known to lie.
        for wire in frame.values[1 : frame.count + 3]:
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
                        self._begin(frame, fields)
                else:
                    if number not in SCHEMAS and number < FIRST_IGNORABLE:
                        raise NewerFormatError(
                            f"{self.folder} holds events of type {number}, which this version "
                            "does not know: upgrade sacred-journal"
                        )
                    fields = long_names(number, wire)
                    if number == EventType.GAP:
                        self._hear(when, fields)
                    seq += 1
                events.append(Event(number, when, event_seq, frame.writer, fields))
            except NewerFormatError:
                raise
            except Exception as error:
                # The checksum held, so that this was written so: by something else than us.
                why = f"an event that is not one: {type(error).__name__}: {error}"[:200]
                behind = seq + _numbers(wire, told - seq)
                if seq < told:
                    self._lack(frame, seq, behind, why)
                seq = behind
        if seq != told:
            why = f"a frame that tells of {frame.count} events and holds {seq - frame.first_seq}"
            if seq < told:  # what stands behind it counts from there, as it says
                self._lack(frame, seq, told, why)
            else:
                self._report(Foreign(frame.writer, frame.epoch, frame.offset, 0, why))
                events = [event for event in events if event.seq + event.count <= told]
        return events

    def _lack(self, frame: RawFrame, first: int, end: int, reason: str) -> None:
        """Report numbers of which a frame that is whole holds no event."""
        gap = Gap(frame.writer, frame.epoch, frame.offset, first, end, reason)
        for piece in explained(gap, self.losses(frame.writer)):
            self._report(piece)

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
            About how many frames of each writer, so that a caller can stop between batches. Those
            that only begin or end a file do not count.

        Yields
        ------
        Each with its events and the position behind it. ``position`` stands behind the last one
        that was given out.

        Raises
        ------
        PositionContradictedError
            The journal is not the one on which the position was taken: begin anew.
        NewerFormatError
            The journal needs a newer version of this package.
        NotAJournalError
            The folder is gone.
        JournalUnreadableError
            The system does not let us read the folder.
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

        Yields
        ------
        Events, among them those that only begin or seal a file (their ``seq`` is -1).

        Raises
        ------
        PositionContradictedError, NewerFormatError, NotAJournalError, JournalUnreadableError
            As ``poll`` does.
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

        Returns
        -------
        Their numbers.
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

        Returns
        -------
        At most one a file. While its writer lives, each means "not yet".
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
