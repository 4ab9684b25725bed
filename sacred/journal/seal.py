"""Sealing the files of a run: which may be sealed, and what is noted of a run that died."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.errors import NotSealableError
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, state_after, why_untouched
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder, epoch_file_name
from sacred.journal.sealer import Sealed, output_events, seal_file
from sacred.journal.spool import chunks_from
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["SealOutcome", "Sealed", "seal_run"]


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
        can not be seen from here), ``empty`` (nothing whole is in it) or ``damaged``.
    sealed
        What was done; None if nothing was.
    reason
        Why nothing was done, half a sentence; None where the file is sealed.
    """

    path: Path
    state: str
    sealed: Sealed | None = None
    reason: str | None = None


def _main(folder: str, number: str) -> None:
    """Seal what a process closed that is perhaps not gone yet."""
    if hasattr(os, "nice"):
        os.nice(19)
    seal_run(RunFolder.at(folder), closed=frozenset({int(number)}))


def seal_run(
    folder: RunFolder, *, force: bool = False, closed: frozenset[int] = frozenset()
) -> list[SealOutcome]:
    """Seal the files of a run that will not grow.

    A file that is followed by another of its writer will not; the last one will not when its
    writer's process is known to be dead: that can be seen on its own machine only. Sealing moves no
    event, no sequence number and no view. What a killed run left in its spool becomes events of the
    sealed file.

    Parameters
    ----------
    folder
        The run's.
    force
        Seal also what a process on another machine wrote, which nobody can see from here. Never
        what is written by a process that is seen to live.
    closed
        Numbers of writers that are known to have ended their last file, though their process lives.

    Returns
    -------
    One entry a file, in the order of writers and epochs. A file that is sealed survives a power
    cut; one that could not be is as it was, and its entry says why.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
    OSError
        The disk refuses.
    """
    reader = JournalReader(folder.journal, table_decoder=decode_length)
    seen = _Seen()
    for frame in reader.poll():
        if frame.writer == 0:
            seen.take(frame.events)
    damaged = {verdict.writer for verdict in reader.verdicts if is_damage(verdict)}
    outcomes = []
    try:
        for writer, epochs in reader._listing.items():
            for place, epoch in enumerate(epochs):
                outcome = _kept(reader, writer, epoch, writer in damaged)
                later = epochs[place + 1 :]
                if outcome is not None:
                    outcomes.append(outcome)
                elif later:
                    until = reader._horizon(writer, later)
                    outcomes.append(_sealed(folder.journal, writer, epoch, until=until))
                elif writer in closed:
                    outcomes.append(_sealed(folder.journal, writer, epoch))
                else:
                    outcomes.append(_last(reader, writer, epoch, seen, force=force))
    finally:
        reader.close()
    return outcomes


def _kept(reader: JournalReader, writer: int, epoch: int, damaged: bool) -> SealOutcome | None:
    """Return why a file stays as it is, whoever wrote it; None if it may be sealed."""
    path = reader.folder / epoch_file_name(writer, epoch)
    if damaged:
        return SealOutcome(path, "damaged", None, "it is damaged: repair the run first")
    if reader._is_sealed(writer, epoch):
        return SealOutcome(path, "already")
    if not reader._readable(writer, epoch):
        return SealOutcome(path, "empty", None, "nothing whole is in it")
    return None


def _last(
    reader: JournalReader, writer: int, epoch: int, seen: _Seen, *, force: bool
) -> SealOutcome:
    """Seal the last file of a writer, if the writer is known to be dead."""
    path = reader.folder / epoch_file_name(writer, epoch)
    lives, reason = why_untouched(reader.identities.get((writer, epoch)) or {}, force=force)
    if reason is not None:
        return SealOutcome(path, "growing" if lives else "unknown", None, reason)
    more = seen.of_the_dead(path) if writer == 0 else {}
    return _sealed(reader.folder, writer, epoch, **more)


def _sealed(folder: Path, writer: int, epoch: int, **more: Any) -> SealOutcome:
    path = folder / epoch_file_name(writer, epoch)
    try:
        done = seal_file(folder, writer, epoch, **more)
    except NotSealableError as error:
        return SealOutcome(path, "damaged", None, str(error))
    return SealOutcome(path, "already" if done is None else "sealed", done)


class _Seen:
    """What the first writer's events say of the run's end."""

    def __init__(self) -> None:
        self.state = Liveness.RUNNING
        self.last = 0
        self.spool_end = 0

    def take(self, events: list[Any]) -> None:
        for event in events:
            if event.seq >= 0:  # what begins and seals files is no sign of the run's life
                self.last = max(self.last, event.time)
            self.state = state_after(event.type, self.state)
            if event.type == EventType.OUTPUT:
                end = event.fields.get("end")
                if type(end) is int:
                    self.spool_end = max(self.spool_end, end)

    def of_the_dead(self, path: Path) -> dict[str, Any]:
        """Return what is noted in the last file of a run that died."""
        if self.state is not Liveness.RUNNING:
            return {}
        last = self.last
        with contextlib.suppress(OSError):
            # What a copy, or whoever touched the file, made of its date is no sign of life.
            last = max(last, min(os.stat(path).st_mtime_ns, last + _HEARTBEATS))
        spool = path.with_name("w0000.spool")
        return {"last_seen": last, "added": output_events(chunks_from(spool, self.spool_end))}


if __name__ == "__main__":
    import sys

    _main(*sys.argv[1:])
