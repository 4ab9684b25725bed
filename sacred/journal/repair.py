"""Repairing a run: damaged files are written anew, with all that is whole, and the old ones kept.

What is lost stays lost. But it is then written down which events that are, the next reading meets
no damage, and the run can be sealed, copied and exported like any other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.errors import JournalError
from sacred.journal.events import FORMAT, MIN_READER, EventType
from sacred.journal.frames import FrameDamagedError
from sacred.journal.liveness import why_untouched
from sacred.journal.reader import JournalReader
from sacred.journal.sealer import write_sealed
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import Foreign, Gap, Tail, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.journal.root import RunFolder

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


def repair_run(folder: RunFolder, *, force: bool = False) -> list[RepairOutcome]:
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

    Returns
    -------
    One entry for each file that was damaged. A repaired file survives a power cut.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
    OSError
        The disk refuses; the files are as they were.
    """
    reader = JournalReader(folder.journal, table_decoder=decode_length)
    for _ in reader.poll():
        pass
    damage: dict[tuple[int, int], list[Gap | Foreign]] = {}
    for verdict in reader.verdicts:
        if is_damage(verdict):
            damage.setdefault((verdict.writer, verdict.epoch), []).append(verdict)
    for verdict in (*reader.verdicts, *reader.tails()):
        # An end that is no beginning of a frame is damage, too, though nobody can say of how much.
        if isinstance(verdict, Tail) and ends_in_damage(reader, verdict):
            damage.setdefault((verdict.writer, verdict.epoch), [])
    try:
        return [
            _repaired(reader, writer, epoch, verdicts, force=force)
            for (writer, epoch), verdicts in sorted(damage.items())
        ]
    finally:
        reader.close()


def ends_in_damage(reader: JournalReader, tail: Tail) -> bool:
    """Tell whether an end that is not whole is no beginning of a frame either."""
    file = EpochFile.of(reader.folder, tail.writer, tail.epoch)
    try:
        file.seek(tail.offset)
        file.next_frame()
    except FrameDamagedError:
        return True
    except (NotYet, OSError):
        return False
    finally:
        file.close()
    return False


def _repaired(
    reader: JournalReader,
    writer: int,
    epoch: int,
    verdicts: list[Gap | Foreign],
    *,
    force: bool,
) -> RepairOutcome:
    file = EpochFile.of(reader.folder, writer, epoch)
    path = file.path
    gaps = [verdict for verdict in verdicts if isinstance(verdict, Gap)]
    lost = [(gap.first_seq, gap.next_seq) for gap in gaps if gap.next_seq > gap.first_seq]
    identity = reader.identities.get((writer, epoch))
    epochs = reader._epochs(writer)
    if epoch == epochs[-1] and identity:
        _, reason = why_untouched(identity, force=force)
        if reason is not None:
            return RepairOutcome(path, None, lost, reason)
    try:
        before = os.stat(path)
        known = file.index()
        first = next(_all_whole(file, reader.journal_id), None)
        if first is None:
            return RepairOutcome(path, None, lost, "no frame of this journal is whole in it")
        began = _began(first, reader.journal_id)
        losses = [[gap.first_seq, gap.next_seq, gap.reason] for gap in gaps]
        before_this = began.get("lost")
        began["lost"] = [*(before_this if isinstance(before_this, list) else ()), *losses]
        kept = _free_name(path)
        until = reader._horizon(writer, [later for later in epochs if later > epoch])
        file.seek(0)
        whole = _WholeFrames(file, reader.journal_id, until)
        write_sealed(path, began, first, whole, (), before, known=known, end=whole.end, kept=kept)
    except JournalError as error:
        return RepairOutcome(path, None, lost, str(error))
    finally:
        file.close()
    return RepairOutcome(path, kept, lost, None)


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return kept


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

    def __init__(self, file: EpochFile, journal_id: int, until: int | None) -> None:
        self._file = file
        self._journal_id = journal_id
        self._until = until
        self._end: tuple[int, int] | None = None

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
