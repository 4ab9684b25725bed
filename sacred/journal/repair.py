"""Repairing a run: damaged files are written anew, with all that is whole, and the old ones kept.

What is lost stays lost. But it is then written down which events that are, the next reading meets
no damage, and the run can be sealed, copied and exported like any other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import JournalError
from sacred.journal.events import FORMAT, MIN_READER, EventType
from sacred.journal.folder_lock import locked_journal
from sacred.journal.frames import FrameDamagedError
from sacred.journal.liveness import ended_as, why_untouched
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.root import name_for_damage
from sacred.journal.seal import Seen
from sacred.journal.sealer import first_event, write_sealed
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import Gap, Tail, beyond_repair, is_damage
from sacred.journal.verification import unindexed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.journal.seal_index import SealIndex
    from sacred.journal.verdicts import Verdict

__all__ = ["RepairOutcome", "repair_run"]


class RepairOutcome(NamedTuple):
    """What became of one damaged file.

    Attributes
    ----------
    path
        The file, under the name it always had.
    kept
        The damaged one under its new name; None if nothing was done.
    lost
        Sequence numbers that are in no whole frame: (first, behind the last).
    reason
        Why nothing was done; None if it was repaired.
    """

    path: Path
    kept: Path | None
    lost: list[tuple[int, int]]
    reason: str | None


def repair_run(
    folder: RunFolder, *, force: bool = False, on_wait: Callable[[], None] | None = None
) -> list[RepairOutcome]:
    """Write the damaged files of a run anew, sealed, with all events that are whole.

    A damaged file keeps its bytes under a name of its own (``w0000-e0001.jzst.damaged-1``). What is
    lost is named in the first event of the new file; reading says it as before, as repaired.

    Parameters
    ----------
    folder
        The run's.
    force
        Also what a process on another machine wrote, which nobody can see from here. Never what is
        written by a process that is seen to live.
    on_wait
        Called once if another process holds the journal: it is waited for, for a minute at most.

    Returns
    -------
    One entry for each file that was damaged. A repaired file survives a power cut.

    Raises
    ------
    NotAJournalError
        The folder holds none.
    NewerFormatError
        It needs a newer version of this package.
    JournalUnreadableError
        The system does not let us read it.
    JournalBusyError
        Another process repairs or seals it, or goes on with the run, and did not end in time.
    OSError
        The disk refuses; the files are as they were.
    """
    with locked_journal(folder.journal, on_wait=on_wait):
        return _repair_files(folder, force=force)


def _repair_files(folder: RunFolder, *, force: bool) -> list[RepairOutcome]:
    reader = JournalReader(folder.journal, table_decoder=decode_length)
    seen = Seen()
    for frame in reader.poll():
        if frame.writer == 0:
            seen.take(frame.events)
    found = [*reader.verdicts, *reader.tails()]
    damage: dict[tuple[int, int], list[Verdict]] = {}
    for verdict in [*found, *unindexed(reader, found)]:
        # Of a file whose events stand again in the next one the end counts for nothing, and is
        # written anew all the same: a damaged one can not be sealed.
        # Where nothing of it is whole, there is nothing to write.
        again = isinstance(verdict, Tail) and verdict.damaged and verdict.offset > 0
        if is_damage(verdict) or again:
            damage.setdefault((verdict.writer, verdict.epoch), []).append(verdict)
    try:
        return [
            _repaired(reader, writer, epoch, verdicts, seen, force=force)
            for (writer, epoch), verdicts in sorted(damage.items())
        ]
    finally:
        reader.close()


def _repaired(
    reader: JournalReader,
    writer: int,
    epoch: int,
    verdicts: list[Verdict],
    seen: Seen,
    *,
    force: bool,
) -> RepairOutcome:
    file = EpochFile.of(reader.folder, writer, epoch)
    path = file.path
    for verdict in verdicts:
        if why := beyond_repair(verdict):
            return RepairOutcome(path, None, [], why)
    known = file.index()
    gaps = [verdict for verdict in verdicts if isinstance(verdict, Gap)]
    gaps += _lost_at_the_end(reader, writer, known, verdicts)
    lost = [(gap.first_seq, gap.next_seq) for gap in gaps if gap.next_seq > gap.first_seq]
    identity = reader.identities.get((writer, epoch))
    sealed = reader._is_sealed(writer, epoch)
    epochs = reader._epochs(writer)
    if epoch == epochs[-1] and identity and not sealed:  # else nobody writes it any more
        _, reason = why_untouched(identity, force=force)
        if reason is not None:
            return RepairOutcome(path, None, lost, reason)
    try:
        before = os.stat(path)
        first = next(_all_whole(file, reader.journal_id), None)
        if first is None:
            return RepairOutcome(path, None, lost, "no frame of this journal is whole in it")
        if file.sealed and type(chain := first.values[1].get("chain")) is int:
            # All before it is gone: the new file begins where the old one ended, as the live one had it.
            first = first._replace(chain=chain)
        began = _began(first, reader.journal_id)
        losses = [[gap.first_seq, gap.next_seq, gap.reason] for gap in gaps]
        before_this = began.get("lost")
        if losses or before_this is not None:
            began["lost"] = [*(before_this if isinstance(before_this, list) else ()), *losses]
        if writer == 0 and epoch == epochs[-1]:
            seal = reader.seals.get((writer, epoch))
            if sealed or seal:  # what was noted then, where it is not hit
                end = {"status": ended_as(reader), "last_seen": (seal or {}).get("last_seen")}
            else:
                end = seen.of_the_end(path)
            began = first_event(began, **end)
        kept = name_for_damage(path)
        until = reader._horizon(writer, [later for later in epochs if later > epoch])
        file.seek(0)
        file.sealed = False  # the first whole frame may have been the last one
        whole = _WholeFrames(file, reader.journal_id, until, known)
        write_sealed(path, began, first, whole, (), before, known=known, end=whole.end, kept=kept)
    except JournalError as error:
        return RepairOutcome(path, None, lost, str(error))
    finally:
        file.close()
    return RepairOutcome(path, kept, lost, None)


def _lost_at_the_end(
    reader: JournalReader, writer: int, known: SealIndex | None, verdicts: list[Verdict]
) -> list[Gap]:
    """Return what the damaged end of a writer's last file held, if its index tells that."""
    at = reader.position.get(writer)
    if known is None or at is None or known.next_seq <= at.next_seq:
        return []
    first = at.next_seq
    why = "the end of the file was damaged"
    return [
        Gap(writer, tail.epoch, tail.offset, first, known.next_seq, why)
        for tail in verdicts
        if isinstance(tail, Tail) and not tail.superseded
    ]


def _began(frame: RawFrame, journal_id: int) -> dict[str, Any]:
    """Return the first event of the new file: that of the old one, if it is whole."""
    if not frame.count and len(frame.values) == 2 and frame.values[1].get("e") == 1:
        return {**frame.values[1], "opened_by": "seal"}
    when = frame.values[1].get("t", 0) if len(frame.values) > 1 else 0
    return {
        "t": when,
        "e": int(EventType.EPOCH_BEGAN),
        "format": FORMAT,
        "min_reader": MIN_READER,
        "features": [],
        "journal": journal_id,
        "opened_by": "seal",
        "host": "",
        "pid": 0,
        "wall": when,
        "monotonic": 0,
        "software": "",
    }


class _WholeFrames:
    """What a reader takes: frames in order, none twice, none that stands again later."""

    def __init__(
        self, file: EpochFile, journal_id: int, until: int | None, known: SealIndex | None
    ) -> None:
        self._file = file
        self._journal_id = journal_id
        self._until = until
        # The index of a sealed file tells it as well as what ends the file, which may be damaged.
        self._end = None if known is None else (known.next_seq, known.chain)

    def __iter__(self) -> Iterator[RawFrame]:
        seq, until = 0, self._until
        for frame in _all_whole(self._file, self._journal_id):
            end = frame.first_seq + frame.count
            if self._file.sealed:
                event = frame.values[1]
                if type(event.get("next_seq")) is int and type(event.get("chain")) is int:
                    self._end = (event["next_seq"], event["chain"])
            elif frame.count and frame.first_seq >= seq and (until is None or end <= until):
                seq = end
                yield frame

    def end(self) -> tuple[int, int] | None:
        """Return where a sealed file says that it ends, and the chain there."""
        return self._end


def _all_whole(file: EpochFile, journal_id: int) -> Iterator[RawFrame]:
    def accepts(frame: RawFrame) -> bool:
        numbers = (frame.journal_id, frame.writer, frame.epoch)
        return numbers == (journal_id, file.writer, file.epoch)

    while True:
        try:
            frame: RawFrame | None = file.next_frame()
        except (NotYet, FrameDamagedError):
            frame = file.resync(accepts) if file.remaining() else None
        if frame is None:
            return
        if accepts(frame):
            sealed = len(frame.values) == 2 and frame.values[1].get("e") == EventType.SEALED
            file.sealed = bool(sealed)
            yield frame
