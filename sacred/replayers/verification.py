"""Verdicts on runs: what ``sacred verify`` says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalError
from sacred.journal.finding import command_on
from sacred.journal.liveness import Liveness
from sacred.journal.notes import read_notes
from sacred.journal.regular_file import NO_FILE
from sacred.journal.root import epoch_file_name
from sacred.journal.spool import SPOOL
from sacred.journal.verdicts import Gap, Tail, holds_nothing_whole, is_damage, is_stray, is_unread
from sacred.journal.verification import verify
from sacred.journal.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import RunFolder
    from sacred.journal.verdicts import Verdict
    from sacred.journal.verification import Report

__all__ = ["Checked", "check"]


@dataclass(slots=True)
class Checked:
    """What looking a run over found.

    Attributes
    ----------
    verdict
        ``clean``, ``tail`` (its end is what a kill left), ``gap``, ``foreign``, ``index`` (no
        event is lost, but the index of a sealed file is damaged), ``spool`` (only what was printed
        last is damaged, on its way into the journal) or ``empty``; ``blobs`` if only stored files
        are missing or damaged, ``notes`` if only what people said of the run is; ``unreadable`` if
        nothing could be looked at.
    summary
        Half a sentence that says how much was looked at.
    problems
        A sentence for each thing that is wrong, or that is told though it is no damage.
    remedies
        A sentence for each thing that can be done about it, with the command.
    exit_code
        0 clean, or what a kill left; 1 damaged; 2 could not look.
    """

    run: int | str
    verdict: str
    summary: str
    exit_code: int
    problems: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "run": self.run,
            "verdict": self.verdict,
            **self.facts,
            "problems": self.problems,
            "remedies": self.remedies,
        }


def check(folder: RunFolder) -> Checked:
    """Read a run through, events and stored files.

    Never raises for what is in the folder.
    """
    run = folder.number if folder.number is not None else str(folder.path)
    if folder.holds_nothing():
        return Checked(run, "empty", "it was claimed, and nothing was written", 0)
    try:
        report = verify(folder, blobs=BlobStore(folder.root.blobs))
    except (JournalError, OSError) as error:
        return Checked(run, "unreadable", str(error), 2)
    found = [*report.verdicts, *report.spool]
    problems = [str(problem) for problem in found] + report.blob_errors
    verdict = report.verdict
    remedies = list(_remedies(folder, report))
    if not report.journal_id:
        is_empty = not any(path.stat().st_size for path in folder.journal.glob("*.jzst"))
        verdict = "empty" if is_empty else verdict
        problems = [f"its files {'are empty' if is_empty else 'hold no frame of a journal'}"]
        remedies = [_NOTHING.format(folder.path)]
        if os.path.lexists(folder.journal / SPOOL):
            remedies = [f"{remedies[0]}: {SPOOL} in it holds what the run printed last"]
    if verdict in {"clean", "tail"} and report.blob_errors:
        verdict = "blobs"
    code = 0 if report.clean else 1
    notes = read_notes(folder)
    if notes.problem is not None:
        problems.append(notes.problem)
        remedies.append(
            f"take {folder.path / 'notes'} from a backup, or move the damaged file out of it: the "
            "rest of what was said stays"
        )
        verdict, code = ("notes", 1) if code == 0 else (verdict, code)
    if verdict in {"foreign", "spool"} and not report.blob_errors and _only_unread(report):
        verdict, code = "unreadable", 2
    gaps = [verdict for verdict in report.verdicts if isinstance(verdict, Gap)]
    facts = {
        "events": report.events,
        "points": report.points,
        "frames": report.frames,
        "files": report.files,
        "bytes": report.size,
        "gaps": [_gap(gap) for gap in gaps],
        "spool": [[flaw.begin, flaw.end] for flaw in report.spool],
        "lost": sum(max(0, gap.next_seq - gap.first_seq) for gap in gaps),
        "blobs": report.blobs,
        "blobs_damaged": len(report.blob_errors),
        "notes": len(notes.events),
        "journal_id": f"{report.journal_id:016x}" if report.journal_id else None,
        "liveness": report.liveness.value,
    }
    summary = (
        f"{counted(report.events, 'event')} in {counted(report.files, 'file')}, "
        f"{counted(report.blobs, 'stored file')}"
    )
    return Checked(run, verdict, summary, code, problems, remedies, facts)


def _only_unread(report: Report) -> bool:
    """Tell whether all that is wrong is that the system does not let us read some files."""
    unread = all(is_unread(verdict) for verdict in report.verdicts if is_damage(verdict))
    return unread and all(flaw.refused for flaw in report.spool)


_NOTHING = "take {}/journal from a backup; if there is none, remove the run's folder"


def _gap(gap: Gap) -> dict[str, Any]:
    """Return a gap as data; ``next_seq`` is None where nobody can say where it ends."""
    return {
        "writer": gap.writer,
        "epoch": gap.epoch,
        "first_seq": gap.first_seq,
        "next_seq": gap.next_seq if gap.next_seq >= 0 else None,
        "repaired": gap.repaired,
        "told": bool(gap.told),
        "reason": gap.reason,
    }


def _remedies(folder: RunFolder, report: Report) -> Iterator[str]:
    """Yield what can be done about what is wrong, in the order in which to do it."""
    lives = report.liveness is Liveness.RUNNING  # and may finish what it began
    told = [verdict for verdict in report.verdicts if not (lives and isinstance(verdict, Tail))]
    damage: list[Verdict] = [verdict for verdict in told if is_damage(verdict)]
    away = {epoch_file_name(stray.writer, stray.epoch) for stray in filter(is_stray, damage)}
    if away:
        yield (
            f"move {', '.join(sorted(away))} out of {folder.journal}: "
            f"{'it is' if len(away) == 1 else 'they are'} not of this run"
        )
    nothing = {epoch_file_name(v.writer, v.epoch) for v in filter(holds_nothing_whole, damage)}
    if nothing:
        yield (
            f"take {', '.join(sorted(nothing))} from a backup, or move "
            f"{'it' if len(nothing) == 1 else 'them'} out of {folder.journal}: nothing in "
            f"{'it' if len(nothing) == 1 else 'them'} is whole"
        )
    unread = {epoch_file_name(file.writer, file.epoch) for file in filter(is_unread, damage)}
    if unread:
        yield (
            f"get the right to read {', '.join(sorted(unread))} in {folder.journal}, or take "
            f"{'it' if len(unread) == 1 else 'them'} from a backup; then verify again"
        )
    gone = [verdict for verdict in damage if isinstance(verdict, Gap) and verdict.next_seq < 0]
    if gone:
        lost = ", ".join(sorted({epoch_file_name(gap.writer, gap.epoch) for gap in gone}))
        yield f"take {lost} from a backup into {folder.journal}, if there is one"
    names = {epoch_file_name(v.writer, v.epoch) for v in damage if v not in gone}
    names -= away | unread | nothing
    if names:
        files = "the damaged file" if len(names) == 1 else f"{len(names)} damaged files"
        old = "the old one" if len(names) == 1 else "the old ones"
        yield (
            f"{command_on('repair', folder)} (it writes {files} anew, with all that is whole, "
            f"and keeps {old})"
        )
    yield from _spool_remedies(folder, report)
    if report.blob_errors:
        yield (
            f"take the stored files from a backup into {folder.root.blobs}, if there is one; what "
            "is missing also comes back when a run stores the same content again"
        )


def _spool_remedies(folder: RunFolder, report: Report) -> Iterator[str]:
    """Yield what can be done about output that can not be read on its way into the journal."""
    if not report.spool:
        return
    if any(flaw.refused for flaw in report.spool):
        yield f"get the right to read {SPOOL} in {folder.journal}; then verify again"
    elif any(flaw.reason == NO_FILE for flaw in report.spool):
        yield f"move {SPOOL} out of {folder.journal}: {NO_FILE}"
    elif report.liveness is Liveness.DIED and not report.sealed:
        yield (
            f"{command_on('seal', folder)} (it records what can be read of {SPOOL}, and keeps the "
            "file under another name)"
        )
    elif report.liveness is not Liveness.RUNNING:
        yield (
            f"move {SPOOL} out of {folder.journal}; `sacred show` has no more of what was printed "
            "than the journal then"
        )
