"""Where a reader stands in the files of one writer, and how it goes on from there."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import PositionContradictedError
from sacred.journal.events import Event, EventType
from sacred.journal.frames import FrameDamagedError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.position import WriterPosition
from sacred.journal.verdicts import Foreign, Gap, Tail, explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.reader import JournalReader


class Frame(NamedTuple):
    """One frame's events, and where a reader stands behind it."""

    writer: int
    epoch: int
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    events: list[Event]
    after: WriterPosition
    #: How many bytes its events take, decompressed.
    size: int = 0


class WriterCursor:
    """Where a reader stands in one writer's files, and how it goes on."""

    def __init__(self, reader: JournalReader, writer: int, at: WriterPosition | None) -> None:
        self.reader = reader
        self.writer = writer
        self.at = at or WriterPosition(0, 0, 0)
        #: What an outside position claims and was not yet seen to hold.
        self.unproven = at if at is not None and at.next_seq else None
        self.file: EpochFile | None = None
        #: Behind the last sequence number that the present file has shown.
        self.walked = 0
        #: Where a look at the file found nothing whole, and where the file ended then.
        self.stalled_at = (-1, -1)
        #: The position is not behind what was read, but behind a gap.
        self.jumped = False
        #: A frame of the present file was read.
        self.began = False
        #: The index of a sealed file has shown that the next frame continues what was read.
        self.shown = False
        #: The last frames of something else that were reported.
        self.strangers: Foreign | None = None

    def poll(self, limit: int) -> Iterator[Frame]:
        """Yield the whole frames that are there now, at most about ``limit``."""
        produced = 0
        if self.file is not None and self.file.is_another():
            self._let_go(self.file)
        while produced < limit:
            epochs = self.reader._epochs(self.writer)
            file = self.file or self._open(epochs)
            if file is None:
                return
            place = bisect_right(epochs, file.epoch)
            final = place < len(epochs)
            horizon = self.reader._horizon_from(self.writer, place) if final else None
            moved = False
            for frame in self._frames(file, horizon, final=final):
                moved = True
                end = frame.first_seq + frame.count
                if horizon is not None and end > horizon and (frame.count or self._begins(frame)):
                    continue  # stands again in a later epoch, which wins
                taken = self._take(frame)
                if taken is not None:
                    # What begins or ends a file moves no position: whoever takes one frame at a time,
                    # with a new reader each, would be given it for ever.
                    produced += 1 if taken.count else 0
                    yield taken
                    if produced >= limit:
                        return
            # An epoch whose first frame is not whole is passed over once there is one behind it.
            behind = place
            while behind < len(epochs) and not self.reader._readable(self.writer, epochs[behind]):
                behind += 1
            if behind == len(epochs):
                # Sealing a died run adds what stood in its spool: also to what was read just now.
                if not file.is_replaced():
                    return
                self._let_go(file)
                continue
            if not moved:
                self._leave(file)
                for tail in self._unread(epochs[place:behind]):
                    self.reader._report(tail._replace(superseded=True))
                self._enter(epochs[behind])

    def _let_go(self, file: EpochFile) -> None:
        """Open what has a file's name by now: the position has to be proved there.

        As by somebody who comes from outside with it.
        """
        file.close()
        self.reader._first_seqs.pop((self.writer, file.epoch), None)
        self.file = None
        self.unproven = self.at if self.at.next_seq else None

    def rest(self) -> None:
        """Let go of the file until the next look: there are more writers than descriptors."""
        if self.file is not None:
            self.file.rest()

    def tails(self) -> Iterator[Tail]:
        """Yield the unfinished ends that are there now: here, and of later files."""
        if self.file is not None and not self.file.is_another():
            epoch = self.file.epoch
            left, damaged = self.left(), self.ends_in_damage(self.file)
            if left or damaged:
                yield Tail(self.writer, epoch, self.file.offset, left, damaged=damaged)
            yield from self._unread([e for e in self.reader._epochs(self.writer) if e > epoch])

    def _unread(self, epochs: list[int]) -> Iterator[Tail]:
        """Yield what stands in files in which no frame is whole."""
        for epoch in epochs:
            if self.reader._readable(self.writer, epoch) or self.reader._is_foreign(
                self.writer, epoch
            ):
                continue
            file = EpochFile.of(self.reader.folder, self.writer, epoch)
            # Gone meanwhile, or reported where it was opened.
            with contextlib.closing(file), contextlib.suppress(OSError):
                if left := file.remaining():
                    damaged = self.ends_in_damage(file)
                    yield Tail(self.writer, epoch, 0, left, damaged=damaged)

    def _open(self, epochs: list[int]) -> EpochFile | None:
        if not epochs:
            return None
        place = bisect_right(epochs, self.at.epoch)
        # What a file took the place of is read from those before it where nothing of it is whole.
        known = (
            number
            for number in reversed(epochs[:place])
            if self.reader._readable(self.writer, number)
        )
        rest = (e for e in epochs[place:] or epochs if not self._is_anothers(e))
        epoch = next(known, None) or next(rest, None)
        if epoch is None:
            return None
        return self._enter(epoch, hint=self.at.offset if epoch == self.at.epoch else 0)

    def _is_anothers(self, epoch: int) -> bool:
        """Tell whether a file is of something else from its beginning on, which was said."""
        reader, writer = self.reader, self.writer
        return not reader._readable(writer, epoch) and reader._is_foreign(writer, epoch)

    def _enter(self, epoch: int, hint: int = 0) -> EpochFile:
        file = EpochFile.of(self.reader.folder, self.writer, epoch)
        first = self.reader._first_seq(self.writer, epoch)
        self.shown = False
        self.began = False
        if hint and self._hint_holds(file, hint):
            file.seek(hint)
            self.unproven = None
        else:
            file.seek(0)
            if first is not None and first < self.at.next_seq and not self.jumped:
                self.unproven = self.at  # what was read has to stand again in this file
            if self.unproven is not None and self.reader._is_sealed(self.writer, epoch):
                self._look_up(file)
        self.file = file
        self.walked = self.at.next_seq if file.offset and not self.shown else 0
        self.at = self.at._replace(epoch=epoch, offset=file.offset)
        self.stalled_at = (-1, -1)
        return file

    def _hint_holds(self, file: EpochFile, hint: int) -> bool:
        file.seek(hint)
        try:
            frame = file.next_frame()
        except (NotYet, FrameDamagedError, OSError):
            return False
        return (
            frame.journal_id == self.reader.journal_id
            and frame.first_seq == self.at.next_seq
            and frame.chain == self.at.chain
            and frame.count > 0
        )

    def _look_up(self, file: EpochFile) -> None:
        """Have a sealed file's index prove the position, and go where it lies.

        The position stands on the bound of a frame of the live file; sealed frames have others.
        """
        index = file.index()
        if index is None:
            return  # no sealed file, or one whose index is damaged: it is walked
        seq, chain = self.at.next_seq, self.at.chain
        if not index.first_seq < seq <= index.next_seq or not index.proves(seq, chain):
            return  # on a bound of a sealed frame, or of another journal: walked, and proved there
        frame = index.frame_of(seq)
        file.seek(index.end if frame is None else frame.offset)
        self.unproven = None
        self.shown = True

    def _leave(self, file: EpochFile) -> None:
        if left := self.left():
            damaged = self.ends_in_damage(file)
            tail = Tail(self.writer, file.epoch, file.offset, left, True, damaged)
            self.reader._report(tail)
        file.close()

    def ends_in_damage(self, file: EpochFile) -> bool:
        """Tell whether a file ends, where it stands, as neither a kill nor a power cut leaves it.

        The bytes there are no beginning of a frame and no zeros; or it was sealed, and so was whole
        once.
        """
        if file.sealed:
            return False
        at = file.offset
        try:
            # The name may be a sealed file's by now while this one is the live one of before.
            if self.reader._is_sealed(self.writer, file.epoch) and file.has_its_name():
                return True
            try:
                file.next_frame()
            except FrameDamagedError:
                return not file.is_cut()
        except (NotYet, OSError):
            return False
        file.seek(at)  # it was finished a moment ago
        return False

    def left(self) -> int:
        """Return how many bytes lie behind the place where the cursor stands."""
        try:
            return self.file.remaining() if self.file is not None else 0
        except OSError:
            return 0  # it can not be read: said where that was tried

    def _frames(self, file: EpochFile, horizon: int | None, *, final: bool) -> Iterator[RawFrame]:
        """Yield this journal's frames; report what is between them.

        Of a file that may be written still, those that begin before where it ends now: a writer
        that is as fast as its reader would never let go of him.
        """
        until: int | None = None
        while until is None or file.offset < until:
            begin = file.offset
            try:
                if until is None and not final:
                    until = file.look(lambda descriptor: os.fstat(descriptor).st_size)
                frame = self._next(file, begin, horizon, final=final)
            except OSError as error:
                self._refused(file, begin, error)
                return
            if frame is None:
                return
            if not self._accepts(frame):
                self._report_stranger(file.epoch, begin, frame.end)
                continue
            yield frame

    def _next(
        self, file: EpochFile, begin: int, horizon: int | None, *, final: bool
    ) -> RawFrame | None:
        """Return the frame at the file's place, or the next one behind damage, which is reported.

        What lies behind ``horizon`` stands again in a later epoch: damage there is told by what
        that one lacks.
        """
        while True:
            try:
                return file.next_frame()
            except (NotYet, FrameDamagedError) as error:
                # Damage to a length looks like a torn end: only a later frame tells them apart.
                if file.remaining() == 0:
                    return None
                if self._same_end(file, final=final):
                    # On network file systems the size may come first, and the content later.
                    if self._whole_by_now(file, begin):
                        continue
                    return None
                skipped = file.resync(self._is_later)
                if skipped is None:
                    return None
                if self._whole_by_now(file, begin):
                    continue
                if horizon is None or skipped.first_seq + skipped.count <= horizon:
                    why = str(error) or "a frame header was damaged"
                    self._report_damage(begin, skipped, why)
                return skipped

    def _refused(self, file: EpochFile, begin: int, error: OSError) -> None:
        """Report that a file can not be read; the next look goes on where this one began."""
        file.seek(begin)
        self.stalled_at = (-1, -1)
        seq = self.at.next_seq
        why = f"it can not be read: {error.strerror or error}"
        self.reader._report(Gap(self.writer, file.epoch, begin, seq, -1, why))

    def _report_stranger(self, epoch: int, begin: int, end: int) -> None:
        """Report a frame of something else, together with those right before it."""
        before, verdicts = self.strangers, self.reader.verdicts
        if before is not None and before.epoch == epoch:
            known = before.offset + before.size
            if before.offset <= begin and end <= known:
                return  # the file was read before
            if known == begin and verdicts and verdicts[-1] == before:
                why = "frames of another journal, writer or epoch"
                self.strangers = before._replace(size=end - before.offset, reason=why)
                verdicts[-1] = self.strangers
                return
        why = "a frame of another journal, writer or epoch"
        self.strangers = Foreign(self.writer, epoch, begin, end - begin, why)
        self.reader._report(self.strangers)

    def _same_end(self, file: EpochFile, *, final: bool) -> bool:
        """Tell whether nothing was added since the last look from this place."""
        here = (file.offset, file.offset + file.remaining())
        if self.stalled_at == here and not final:
            return True
        self.stalled_at = here
        return False

    def _accepts(self, frame: RawFrame) -> bool:
        return (
            frame.journal_id == self.reader.journal_id
            and frame.writer == self.writer
            and self.file is not None
            and frame.epoch == self.file.epoch
        )

    def _is_later(self, frame: RawFrame) -> bool:
        """Tell whether a frame shows that this journal went on behind damage.

        One that was read before does not: an event that is not whole yet may hold its bytes.
        """
        if not self._accepts(frame):
            return False
        if frame.count:
            return frame.first_seq + frame.count > self.at.next_seq
        return frame.first_seq >= self.at.next_seq

    def _whole_by_now(self, file: EpochFile, begin: int) -> bool:
        """Tell whether the writer finished meanwhile what was not whole a moment ago.

        The file then stands at that frame, else where it stood.
        """
        after = file.offset
        file.reread(begin)
        try:
            file.next_frame()
        except (NotYet, FrameDamagedError):
            file.seek(after)
            return False
        file.seek(begin)
        return True

    def _report_damage(self, begin: int, frame: RawFrame, reason: str) -> None:
        if frame.first_seq <= self.at.next_seq:
            size = frame.offset - begin
            self.reader._report(
                Foreign(self.writer, frame.epoch, begin, size, f"{reason} (no event was lost)")
            )
        else:
            self._gap(begin, frame, reason, damaged=True)

    def _gap(self, offset: int, frame: RawFrame, reason: str, *, damaged: bool = False) -> None:
        first, end = self.at.next_seq, frame.first_seq
        gap = Gap(self.writer, frame.epoch, offset, first, end, reason, damaged=damaged)
        for piece in explained(gap, self.reader.losses(self.writer)):
            self.reader._report(piece)
        self.at = self.at._replace(next_seq=frame.first_seq, chain=frame.chain)
        self.jumped = True

    def _take(self, frame: RawFrame) -> Frame | None:
        """Check a frame against what came before and turn it into events."""
        at = self.at
        shown, self.shown = self.shown, False
        if frame.count:
            if frame.first_seq < self.walked:
                self._report_double(frame)
                return None
            self.walked = frame.first_seq + frame.count
            if self._before(frame):
                return None
            if frame.first_seq > at.next_seq:
                self._gap(frame.offset, frame, "frames are missing")
            elif frame.chain != at.chain and frame.first_seq == at.next_seq and not shown:
                if self.unproven is not None:
                    raise self._contradiction()
                self._gap(frame.offset, frame, "the frame before was exchanged")
            elif frame.first_seq < at.next_seq:
                if self.unproven is not None:
                    raise self._contradiction()
                if not self.reader._is_sealed(self.writer, frame.epoch):
                    self._report_double(frame)
                    return None
            self.unproven = None
        elif frame.offset and len(frame.values) < 2:
            self._report_double(frame, "an empty frame")
            return None
        elif self.began and self._begins(frame):
            self.reader._events(frame)  # who wrote the file
            self._report_double(frame, "the first frame of a file, not at its beginning")
            return None
        elif frame.offset == 0 and frame.first_seq > at.next_seq and self.unproven is None:
            # The first frame of a file tells where the file before it ended.
            self._gap(0, frame, "the end of the file before is missing")
        elif frame.first_seq > at.next_seq and frame.offset and self.unproven is None:
            # The last frame of a sealed file tells where its events end.
            self._gap(frame.offset, frame, "frames are missing")
        after = WriterPosition(
            frame.epoch,
            frame.first_seq + frame.count if frame.count else self.at.next_seq,
            frame.chain_after if frame.count else self.at.chain,
            frame.end,
        )
        self.began = True
        events = self.reader._events(frame)
        if events and events[-1].type == EventType.SEALED and self.file is not None:
            # From here on the journal goes on as the live file would have.
            after = self._end_sealed(self.file, frame, events[-1].fields, after)
        if frame.count:
            self.jumped = False
        skip = at.next_seq - frame.first_seq
        if frame.count and skip > 0:
            events = drop_rows(events, at.next_seq)
        self.at = after
        size = len(frame.events)
        return Frame(frame.writer, frame.epoch, frame.first_seq, frame.count, events, after, size)

    def _end_sealed(
        self, file: EpochFile, frame: RawFrame, seal: dict[str, Any], after: WriterPosition
    ) -> WriterPosition:
        """Check what ends a sealed file; return where its writer's next one goes on."""
        self.reader.seals[self.writer, frame.epoch] = seal
        if self.unproven is not None and seal.get("next_seq") == self.at.next_seq:
            if seal.get("chain") != self.at.chain:
                raise self._contradiction()
            self.unproven = None
        file.sealed = True
        chain = seal.get("chain")
        if type(chain) is not int:
            why = "a seal that does not tell the chain"
            self.reader._report(Foreign(self.writer, frame.epoch, frame.offset, 0, why))
        elif seal.get("next_seq") != frame.first_seq:
            why = "a seal of other events"
            self.reader._report(Foreign(self.writer, frame.epoch, frame.offset, 0, why))
        elif after.next_seq == frame.first_seq:  # else what was read stands again in a later file
            after = after._replace(chain=chain)
        if size := file.strangers():
            why = "frames behind the end of a sealed file"
            begin = file.size() - size
            self.reader._report(Foreign(self.writer, frame.epoch, begin, size, why))
        return after

    def _before(self, frame: RawFrame) -> bool:
        """Tell whether the frame lies before the position; prove the position where it ends."""
        at = self.at
        end = frame.first_seq + frame.count
        if end > at.next_seq:
            return False
        if end == at.next_seq:
            if frame.chain_after == at.chain:
                self.unproven = None
            elif self.unproven is None:
                self._report_double(frame)
            elif not self.reader._is_sealed(self.writer, frame.epoch):
                raise self._contradiction()
            # Else the index is damaged, or would have proved it: what ends the file has to.
        self.at = at._replace(offset=frame.end)
        return True

    @staticmethod
    def _begins(frame: RawFrame) -> bool:
        first = frame.values[1] if len(frame.values) > 1 else None
        return isinstance(first, dict) and first.get("e") == EventType.EPOCH_BEGAN

    def _report_double(
        self,
        frame: RawFrame,
        reason: str = "a frame whose sequence numbers were there before",
    ) -> None:
        size = frame.end - frame.offset
        self.reader._report(Foreign(self.writer, frame.epoch, frame.offset, size, reason))
        self.at = self.at._replace(offset=frame.end)

    def _contradiction(self) -> PositionContradictedError:
        return PositionContradictedError(
            f"writer {self.writer} of {self.reader.folder} wrote other events before "
            f"{self.at.next_seq} than those that were read"
        )


def drop_rows(events: list[Event], next_seq: int) -> list[Event]:
    """Leave out what lies before a position inside a frame (of a sealed file)."""
    kept = []
    for event in events:
        if event.seq < 0 or event.seq >= next_seq:
            kept.append(event)
        elif event.type == EventType.METRIC_TABLE and event.seq + event.count > next_seq:
            table = event.fields["table"].from_row(next_seq - event.seq)
            kept.append(event._replace(seq=next_seq, fields={"table": table}))
    return kept
