"""Sealing the files of a run: which may be sealed, and what is noted of a run that died."""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import NotSealableError
from sacred.journal.events import EventType
from sacred.journal.folder_lock import locked_journal
from sacred.journal.liveness import Liveness, lock_is_held, state_after, why_untouched
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.regular_file import NO_FILE, open_regular
from sacred.journal.root import RunFolder, epoch_file_name
from sacred.journal.sealer import Sealed, output_events, seal_file
from sacred.journal.spool import (
    SPOOL,
    SpoolFlaw,
    chunks_from,
    set_damage_aside,
    spooled_to,
    told_flaws,
)
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import (
    MOVE_IT,
    NOTHING_WHOLE,
    Foreign,
    beyond_repair,
    holds_nothing_whole,
    is_damage,
    is_unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sacred.journal.verdicts import Verdict


__all__ = ["SealOutcome", "Sealed", "Seen", "seal_run"]


#: Two of Sacred's heartbeats (ns): a writer that lives writes an event with its time as often.
_HEARTBEATS = 20 * 10**9


class SealOutcome(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    path
        The file.
    state
        ``sealed`` (now), ``already``, ``growing`` (its writer lives), ``unknown`` (whether it lives
        can not be seen from here, or the file can not be read), ``empty`` (nothing that counts is
        whole in it) or ``damaged``.
    sealed
        What was done; None if nothing was.
    reason
        Why nothing was done, half a sentence; None where the file is sealed.
    kept
        The spool, under its new name, of which not all could be read; None if all that was printed
        is in the journal.
    """

    path: Path
    state: str
    sealed: Sealed | None = None
    reason: str | None = None
    kept: Path | None = None


def _main(folder: str, number: str, epoch: str) -> None:
    """Seal what a process closed that is perhaps not gone yet."""
    if hasattr(os, "nice"):
        os.nice(19)
    seal_run(RunFolder.at(folder), closed={int(number): int(epoch)})


def seal_run(
    folder: RunFolder,
    *,
    force: bool = False,
    closed: Mapping[int, int] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> list[SealOutcome]:
    """Seal the files of a run that will not grow.

    A file that is followed by another of its writer will not; the last one will not when its
    writer's process is known to be dead: that can be seen on its own machine only. Sealing moves no
    event, no sequence number and no view. What a killed run left in its spool becomes events of the
    sealed file.

    A damaged file stays as it is until it is repaired; the others are sealed, but for the last one
    of a writer, in which is noted what became of it: damage may hide that. What is damaged of a file
    and stands whole in the writer's next one is no damage, and is left out.

    Parameters
    ----------
    folder
        The run's.
    force
        Seal also what a process on another machine wrote, which nobody can see from here. Never
        what is written by a process that is seen to live.
    closed
        By number of a writer, the file (its epoch) that its process is known to have ended, though
        the process lives. One behind it is somebody else's, who goes on with the run.
    on_wait
        Called once if another process holds the journal: it is waited for, for a minute at most.

    Returns
    -------
    One entry a file, in the order of writers and epochs. A file that is sealed survives a power
    cut; one that could not be is as it was, and its entry says why.

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
        The disk refuses.
    """
    with locked_journal(folder.journal, on_wait=on_wait):
        return _seal_files(folder, force=force, closed=closed or {})


def _seal_files(folder: RunFolder, *, force: bool, closed: Mapping[int, int]) -> list[SealOutcome]:
    reader = JournalReader(folder.journal, table_decoder=decode_length)
    seen = Seen()
    for frame in reader.poll():
        if frame.writer == 0:
            seen.take(frame.events)
    nothing = {(v.writer, v.epoch) for v in reader.tails() if holds_nothing_whole(v)}
    damage: dict[int, list[Verdict]] = {}
    for verdict in filter(is_damage, reader.verdicts):
        damage.setdefault(verdict.writer, []).append(verdict)
    outcomes = []
    try:
        for writer, found in reader._listing.items():
            wrong = _wrong(reader, writer, damage.get(writer, []))
            epochs = [epoch for epoch in found if epoch not in wrong.strangers]
            doubtful = wrong.hit or wrong.unread or any(at[0] == writer for at in nothing)
            if writer not in closed and not doubtful:
                epochs = _begun(reader, writer, epochs, force=force)
            for epoch in found:
                behind = bisect_right(epochs, epoch)
                later = epochs[behind : behind + 1]
                outcome = _kept(reader, writer, epoch, wrong, last=not later)
                if (writer, epoch) in nothing:
                    path = reader.folder / epoch_file_name(writer, epoch)
                    outcome = SealOutcome(path, "damaged", None, NOTHING_WHOLE)
                if outcome is not None:
                    outcomes.append(outcome)
                elif later:
                    until = reader._horizon(writer, later)
                    outcomes.append(_sealed(reader, writer, epoch, until=until))
                elif closed.get(writer) == epoch:
                    status = seen.status if writer == 0 else None
                    outcomes.append(_sealed(reader, writer, epoch, status=status))
                else:
                    outcomes.append(_last(reader, writer, epoch, seen, force=force))
    finally:
        reader.close()
    return outcomes


def _begun(reader: JournalReader, writer: int, epochs: list[int], *, force: bool) -> list[int]:
    """Leave out the files at the end in which nothing is, if nobody will write into them.

    A kill, a power cut or a full disk left them; the file before is the last one then, in which is
    noted what became of its writer.
    """
    begun = list(epochs)
    while begun and not reader._readable(writer, begun[-1]):
        if lock_is_held(reader.folder / epoch_file_name(writer, begun.pop())):
            return epochs
    identity = reader.identities.get((writer, begun[-1])) if begun else None
    is_dead = identity is not None and why_untouched(identity, force=force)[1] is None
    return begun if is_dead else epochs


class _Wrong(NamedTuple):
    """What is wrong with the files of a writer, by epoch.

    Attributes
    ----------
    unread
        Why a file can not be read.
    strangers
        The files that are of something else.
    hit
        Those of the others that are damaged.
    """

    unread: dict[int, str | None]
    strangers: set[int]
    hit: set[int]


def _wrong(reader: JournalReader, writer: int, damage: list[Verdict]) -> _Wrong:
    unread = {verdict.epoch: beyond_repair(verdict) for verdict in damage if is_unread(verdict)}
    foreign = {verdict.epoch for verdict in damage if isinstance(verdict, Foreign)} - unread.keys()
    strangers = {epoch for epoch in foreign if not reader._readable(writer, epoch)}
    hit = {verdict.epoch for verdict in damage} - strangers - unread.keys()
    return _Wrong(unread, strangers, hit)


def _kept(
    reader: JournalReader, writer: int, epoch: int, wrong: _Wrong, *, last: bool
) -> SealOutcome | None:
    """Return why a file stays as it is, whoever wrote it; None if it may be sealed."""
    path = reader.folder / epoch_file_name(writer, epoch)
    hit = wrong.hit
    if epoch in wrong.strangers:
        return SealOutcome(path, "damaged", None, MOVE_IT)
    if epoch in wrong.unread:
        return SealOutcome(path, "unknown", None, wrong.unread[epoch])
    if epoch in hit:
        return SealOutcome(path, "damaged", None, "it is not whole: repair it first")
    if reader._is_sealed(writer, epoch):
        return SealOutcome(path, "already")
    if not reader._readable(writer, epoch):
        file = EpochFile.of(reader.folder, writer, epoch)
        if not reader.journal_id and file.begins_in_damage():
            return SealOutcome(path, "damaged", None, NOTHING_WHOLE)
        return SealOutcome(path, "empty", None, "nothing whole is in it")
    if wrong.unread:
        others = ", ".join(epoch_file_name(writer, other) for other in sorted(wrong.unread))
        why = f"{others} can not be read, and may tell where it ends and what became of its writer"
        return SealOutcome(path, "unknown", None, why)
    if hit and last:
        others = ", ".join(epoch_file_name(writer, other) for other in sorted(hit))
        why = f"it tells what became of its writer, which damage may hide: repair {others} first"
        return SealOutcome(path, "damaged", None, why)
    return None


def _last(
    reader: JournalReader, writer: int, epoch: int, seen: Seen, *, force: bool
) -> SealOutcome:
    """Seal the last file of a writer, if the writer is known to be dead."""
    path = reader.folder / epoch_file_name(writer, epoch)
    lives, reason = why_untouched(reader.identities.get((writer, epoch)) or {}, force=force)
    if reason is not None:
        return SealOutcome(path, "growing" if lives else "unknown", None, reason)
    more = seen.of_the_end(path) if writer == 0 else {}
    if "last_seen" in more:
        return _with_output(reader, epoch, seen, more)
    return _sealed(reader, writer, epoch, **more)


def _with_output(
    reader: JournalReader, epoch: int, seen: Seen, more: dict[str, Any]
) -> SealOutcome:
    """Seal the last file of a run that died, with what stands in its spool."""
    path = reader.folder / epoch_file_name(0, epoch)
    spool = reader.folder / SPOOL
    try:
        os.close(open_regular(spool))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.strerror == NO_FILE:
            return SealOutcome(
                path, "damaged", None, f"{SPOOL}: {NO_FILE}: move it out of the folder"
            )
        return SealOutcome(path, "unknown", None, f"{SPOOL} can not be read: {error.strerror}")
    flaws: list[SpoolFlaw] = []
    chunks = chunks_from(spool, seen.spool_end, flaws)
    more["added"] = output_events(chunks, told_flaws(spool, flaws), seen.last)
    outcome = _sealed(reader, 0, epoch, **more)
    if flaws and outcome.state == "sealed":
        outcome = outcome._replace(kept=set_damage_aside(spool))
    return outcome


def _sealed(
    reader: JournalReader, writer: int, epoch: int, *, until: int | None = None, **more: Any
) -> SealOutcome:
    path = reader.folder / epoch_file_name(writer, epoch)
    lost = reader.losses(writer)
    try:
        done = seal_file(reader.folder, writer, epoch, until=until, lost=lost, **more)
    except NotSealableError as error:
        first = reader._first_seq(writer, epoch)
        if until is not None and first is not None and first >= until:
            why = "what is whole in it stands again in the next file"  # but not its first frame
            return SealOutcome(path, "empty", None, why)
        reason = str(error).removeprefix(f"{path} ").removeprefix("is damaged ")
        return SealOutcome(path, "damaged", None, reason)
    return SealOutcome(path, "already" if done is None else "sealed", done)


class Seen:
    """What the first writer's events say of the run's end."""

    def __init__(self) -> None:
        self.state = Liveness.RUNNING
        self.last = 0
        self.spool_end = 0
        #: How the run ended; None if it has not, as far as that is known.
        self.status: str | None = None

    def take(self, events: list[Any]) -> None:
        """Take in what one frame holds."""
        for event in events:
            if event.seq >= 0:  # what begins and seals files is no sign of the run's life
                self.last = max(self.last, event.time)
            self.state = state_after(event.type, self.state)
            if event.type == EventType.RUN_ENDED:
                self.status = str(event.fields.get("status") or "COMPLETED")
            elif self.state is not Liveness.ENDED:
                self.status = None
            self.spool_end = max(self.spool_end, spooled_to(event))

    def of_the_end(self, path: Path) -> dict[str, Any]:
        """Return what is noted in the last file of a run: how it ended, or that it died, and when.

        Of a run that is only queued nothing.
        """
        if self.state is not Liveness.RUNNING:
            return {"status": self.status}
        last = self.last
        with contextlib.suppress(OSError):
            # What a copy, or whoever touched the file, made of its date is no sign of life.
            last = max(last, min(os.stat(path).st_mtime_ns, last + _HEARTBEATS))
        return {"last_seen": last}


if __name__ == "__main__":
    import sys

    _main(*sys.argv[1:])
