"""A run's journal folded into its document, and where in the journal that document stands."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError, PositionContradictedError
from sacred.journal.events import Event, EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_table
from sacred.journal.verdicts import Gap, is_damage
from sacred.replayers.checkpoint import Checkpoint
from sacred.replayers.counted_table import CountedTable
from sacred.replayers.errors import JournalShorterError
from sacred.replayers.held import HeldFrames
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.codec import BlobReference
    from sacred.journal.reader import Frame
    from sacred.journal.root import RunFolder
    from sacred.journal.spool import SpoolFlaw
    from sacred.journal.verdicts import Verdict
    from sacred.replayers.sink import ViewPosition

__all__ = ["RunFold"]

log = logging.getLogger("sacred.replayers")

_ROUND = 64
_STARTS = frozenset({EventType.RUN_CLAIMED, EventType.RUN_QUEUED, EventType.RUN_STARTED})


class RunFold:
    """One run's journal, folded as far as it was read.

    Parameters
    ----------
    folder
        The run's folder.
    keep_output
        Whether the whole output is kept, for a view that writes it anew each time.
    profile
        For whom the projection is: see ``RunProjection``.
    begin
        Where to begin, and with what; None for the beginning.

    Attributes
    ----------
    reader
        Of the journal; ``close`` closes it.
    projection
        The document, and what of it was not taken yet.
    spool
        How far the spool's output is in the view (bytes).
    spool_flaws
        What could not be read of it, at the last look.
    ended
        Whether the journal says that the run ended.

    Raises
    ------
    JournalError
        There is no journal that can be read.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        keep_output: bool,
        profile: str = "sacred",
        begin: Checkpoint | None = None,
    ) -> None:
        self.folder = folder
        #: What is read is in the view already: points are counted and not decoded.
        self._silent = False
        self._begin = begin.position if begin is not None else Position()
        self.reader = JournalReader(folder.journal, self._begin, table_decoder=self._table)
        self.projection = RunProjection(
            profile=profile, resolve=self._resolve, keep_output=keep_output
        )
        self.spool = 0
        self.spool_flaws: list[SpoolFlaw] = []
        self.ended = False
        self._held = HeldFrames(self._begin)
        #: Bytes of events that were folded since the last checkpoint.
        self.content = 0
        self._end_told = False
        if begin is not None:
            self.projection.restore(begin.state)
            self.ended = self.projection.how not in {None, "queued", "running"}
        #: Per writer the first event whose output was not taken.
        self._output_from: dict[int, int] = {}

    @property
    def journal_id(self) -> str:
        """16 hex digits; empty while nothing whole is in the file."""
        return f"{self.reader.journal_id:016x}" if self.reader.journal_id else ""

    @property
    def reached(self) -> Position:
        """Up to where was read."""
        return self.reader.position

    @property
    def flaws(self) -> tuple[Verdict | SpoolFlaw, ...]:
        """What of journal and spool could not be read: the damage, as far as it was met."""
        return (*filter(is_damage, self.reader.verdicts), *self.spool_flaws)

    @property
    def begun(self) -> bool:
        """Whether it began at a checkpoint."""
        return bool(self._begin)

    def close(self) -> None:
        """Close the files."""
        self.reader.close()

    def _table(self, wire: dict[str, Any]) -> Any:
        return CountedTable(wire) if self._silent else decode_table(wire)

    def checkpoint(self) -> Checkpoint | None:
        """Return what was folded so far, if it came from the journal's events alone.

        None where damage was met, which has to be met again, and where a spool or a seal told more.
        """
        if self.reader.verdicts or self.spool or self._end_told or not self.projection.start_time:
            return None
        return Checkpoint(self.latest(), self.projection.state())

    def frames(self) -> Iterator[Frame]:
        """Yield what was not read yet, until there is no more."""
        while True:
            moved = False
            for frame in self.reader.poll(_ROUND):
                moved = True
                yield frame
            if not moved:
                return

    def add(self, frame: Frame, known: WriterPosition | None = None) -> bool:
        """Fold a frame; what lies before ``known`` in silence. True if anything was new."""
        projection = self.projection
        limit = known.next_seq if known is not None else 0
        self.content += frame.size
        if frame.count and frame.after.next_seq <= limit:
            for event in frame.events:
                projection.apply(event, silent=True)
            self._held.stand(frame)
            self._note_end(frame)
            return False
        if projection.start_time is None and frame.events and self._start_is_lost(frame):
            projection.apply(_start_instead(frame.events[0].time, self.folder.number))
        output_waits = projection.pending_output > 0
        for event in self._decoded(frame):
            for part, silent in _parts(event, limit):
                projection.apply(part, silent=silent)
        if not output_waits and projection.pending_output > 0:
            self._output_from = {frame.writer: max(frame.first_seq, limit)}
        elif projection.pending_output > 0:
            self._output_from.setdefault(frame.writer, max(frame.first_seq, limit))
        self._held.add(frame)
        self._note_end(frame)
        return frame.count > 0

    def _decoded(self, frame: Frame) -> Iterator[Event]:
        """Yield a frame's events, with the columns of tables that were only counted."""
        for event in frame.events:
            table = event.fields.get("table") if event.type == EventType.METRIC_TABLE else None
            if not isinstance(table, CountedTable):
                yield event
                continue
            try:
                yield event._replace(fields={**event.fields, "table": table.decoded()})
            except ValueError as error:  # as a reader that decodes it says
                why = f"an event that is not one: {type(error).__name__}: {error}"[:200]
                end = event.seq + table.rows
                gap = Gap(frame.writer, frame.epoch, frame.after.offset, event.seq, end, why)
                self.reader._report(gap)

    def _note_end(self, frame: Frame) -> None:
        if frame.writer == 0:
            self.ended = self.projection.how not in {None, "queued", "running"}

    def add_end(self) -> bool:
        """Fold how the run ended where the event that ends it is lost: the seal tells, too.

        Call it when all frames were folded. True if anything was new.
        """
        from sacred.journal.liveness import ended_as

        if self.projection.how != "running":
            return False
        status = ended_as(self.reader)
        if status is None:
            return False
        self.projection.end_as(status)
        self._end_told = True
        self.ended = True
        return True

    def _start_is_lost(self, frame: Frame) -> bool:
        """Tell whether the event that begins a run was in what is damaged before this frame."""
        if frame.writer != 0 or not frame.count:
            return False
        if any(event.type in _STARTS for event in frame.events):
            return False
        return any(
            isinstance(v, Gap) and (v.writer, v.first_seq) == (0, 0) for v in self.reader.verdicts
        )

    def _resolve(self, blob: BlobReference) -> Any:
        from sacred.journal.blobs import BlobStore
        from sacred.journal.codec import unpack

        try:
            content = BlobStore(self.folder.root.blobs).read(blob.digest)
            return unpack(content) if blob.encoding == "msgpack" else content
        except (JournalError, OSError, ValueError) as error:
            log.warning("%s: %s", self.folder.path, error)
            return blob

    # -- what a view has already -----------------------------------------------------------------

    def add_known(self, found: ViewPosition, view: str) -> bool:
        """Fold in silence up to where a view stands, and prove that it is of this journal.

        Parameters
        ----------
        found
            Where the view stands.
        view
            Its name, for the error's sentence.

        Returns
        -------
        True if events were folded that the view has not.

        Raises
        ------
        PositionContradictedError
            The view has events that the journal has not, or other ones.
        JournalShorterError
            The journal ends before the view does, and no power cut explains it.
        """
        known = dict(found.position.items())
        proof = dict(found.ahead.items())
        for writer, at in known.items():
            if writer not in proof or proof[writer].next_seq < at.next_seq:
                proof[writer] = at
        reached = {writer: at.next_seq for writer, at in self._begin.items()}
        fresh = False

        def short(wanted: dict[int, WriterPosition]) -> dict[int, WriterPosition]:
            return {w: at for w, at in wanted.items() if reached.get(w, 0) < at.next_seq}

        if not short(known):
            self.projection.drop_changes()
        while short(proof):
            moved = False
            self._silent = bool(short(known))
            for frame in self.reader.poll(_ROUND):
                moved = True
                self._prove(frame, known, proof)
                was_short = bool(short(known))
                fresh = self.add(frame, known.get(frame.writer)) or fresh
                reached[frame.writer] = max(reached.get(frame.writer, 0), frame.after.next_seq)
                self._silent = bool(short(known))
                if was_short and not self._silent and not fresh:
                    # All that is dirty is in the view already.
                    self.projection.drop_changes()
                    self._output_from = {}
            if not moved:
                self._is_shorter(short(proof), view)
        if not fresh and self._has_the_end(known.get(0)):
            self.add_end()
            self.projection.drop_changes()
        self.spool = found.spool
        return fresh

    def _has_the_end(self, known: WriterPosition | None) -> bool:
        """Tell whether a view stands behind the event that ends the run, which may be lost by now."""
        epochs = self.reader._epochs(0)
        if known is None or not epochs or (0, epochs[-1]) not in self.reader.seals:
            return False
        return known.next_seq == self.reader.position[0].next_seq

    def _prove(self, frame: Frame, *wanted: dict[int, WriterPosition]) -> None:
        """Raise if a position that lies in a frame was taken on another journal."""
        for positions in wanted:
            at = positions.get(frame.writer)
            if at is None or not frame.first_seq < at.next_seq <= frame.after.next_seq:
                continue
            if not self.reader.holds(frame, at):
                # The view has events that were lost in a power cut.
                raise PositionContradictedError(
                    f"{self.folder.path} holds other events than the view before {at.next_seq}"
                )

    def _is_shorter(self, lacking: dict[int, WriterPosition], view: str) -> None:
        """Raise what it means that the journal ends before the view does."""
        from sacred.journal.identity import boot_id, host_name

        identities = self.reader.identities
        newest = next(reversed(identities.values()), {}) if identities else {}
        for writer, at in lacking.items():
            identity = identities.get((writer, at.epoch)) or newest
            cut = identity.get("host") == host_name() and identity.get("boot") != boot_id()
            if not cut:
                raise JournalShorterError(
                    f"{self.folder.path} is shorter than what {view} has of it (an older copy?): "
                    "left alone; --rebuild writes the view anew from it"
                )
        raise PositionContradictedError("a power cut took the end of the journal")

    def missing_points(self, found: ViewPosition) -> str | None:
        """Return a metric of which a view lacks points that its position promises."""
        if found.points is None:
            return None
        waiting = self.projection.pending_by_metric()
        for name, count in self.projection.counts.items():
            if found.points.get(name, 0) < count - waiting.get(name, 0):
                return name
        return None

    # -- where a view may stand ------------------------------------------------------------------

    def position(self) -> Position:
        """Return the farthest point before which nothing waits to be taken."""
        first = self.projection.first_pending()
        for writer, seq in self._output_from.items():
            first[writer] = min(first.get(writer, seq), seq)
        return self._held.position(first)

    def latest(self) -> Position:
        """Return the point up to which was read."""
        return self._held.latest()

    def output_taken(self) -> None:
        """Note that no output waits any more."""
        self._output_from = {}

    # -- what else belongs to a run --------------------------------------------------------------

    def add_spool(self, *, settled: bool) -> bool:
        """Fold what a killed run left in its spool; True if there was anything new.

        ``settled``: the view has all that was folded, and so perhaps the spool's end too.
        """
        from sacred.journal.spool import SPOOL, flaws_from, tolerant_chunks

        path = self.folder.journal / SPOOL
        self.spool_flaws = []
        if not os.path.lexists(path) or self.writer_lives():
            return False
        begin = self.projection.spool_end
        if settled and self.spool and next(tolerant_chunks(path, self.spool, []), None) is None:
            self.spool_flaws = flaws_from(path, begin)
            return False
        for chunk in tolerant_chunks(path, begin, self.spool_flaws):
            fields = {"stream": chunk.stream, "data": chunk.data, "end": chunk.end}
            event = Event(int(EventType.OUTPUT), chunk.time_ns, -1, 0, fields)
            self.projection.apply(event)
        self.spool = self.projection.spool_end
        return self.spool > begin

    def writer_lives(self) -> bool:
        """Tell whether the run's process may still write."""
        from sacred.journal.liveness import Liveness, state_now

        try:
            return state_now(self.reader, Liveness.RUNNING, 0) is not Liveness.DIED
        except JournalError:
            return False

    def is_final(self) -> bool:
        """Tell whether nothing more is to be expected."""
        return self.ended or not self.writer_lives()

    def add_by_time(self) -> None:
        """Fold the whole journal with the events of its writers merged by time."""
        for event in self.reader.read(order="time"):
            self.projection.apply(event)
        self._held = HeldFrames(self.reader.position)


def _start_instead(when: int, number: int | None) -> Event:
    """Return the start of a run whose own is lost: the rest of it is worth having."""
    text = "the start of this run is lost from its journal: its name, configuration and host"
    fields = {"run_id": number, "name": "(lost)", "meta": {"comment": text}}
    return Event(EventType.RUN_STARTED, when, 0, 0, fields)


def _parts(event: Event, limit: int) -> Iterator[tuple[Event, bool]]:
    """Yield an event in the part that is known and the part that is new."""
    if event.seq < 0 or event.seq >= limit:
        yield event, False
    elif event.type != EventType.METRIC_TABLE or event.seq + event.count <= limit:
        yield event, True
    else:
        table = event.fields["table"]
        rows = limit - event.seq
        yield event._replace(fields={"table": table.first_rows(rows)}), True
        yield event._replace(seq=limit, fields={"table": table.from_row(rows)}), False
