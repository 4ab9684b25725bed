"""Verdicts on runs: what ``sacred verify`` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalError
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from sacred.journal.root import RunFolder

__all__ = ["Checked", "check"]


@dataclass(slots=True)
class Checked:
    """What looking a run over found.

    Attributes
    ----------
    verdict
        ``clean``, ``tail``, ``gap``, ``foreign`` or ``empty``; ``blobs`` if only stored files are
        missing or damaged; ``unreadable`` if nothing could be looked at.
    summary
        Half a sentence that says how much was looked at.
    problems
        A sentence for each thing that is wrong.
    exit_code
        0 clean, 1 damaged, 2 could not look.
    """

    run: int | str
    verdict: str
    summary: str
    exit_code: int
    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "run": self.run,
            "verdict": self.verdict,
            **self.facts,
            "problems": self.problems,
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
    problems = [str(verdict) for verdict in report.verdicts] + report.blob_errors
    verdict = report.verdict
    if not report.journal_id:
        is_empty = not any(path.stat().st_size for path in folder.journal.glob("*.jzst"))
        verdict = "empty" if is_empty else verdict
        problems = [f"its files {'are empty' if is_empty else 'hold no frame of a journal'}"]
    if verdict == "clean" and report.blob_errors:
        verdict = "blobs"
    facts = {
        "events": report.events,
        "files": report.files,
        "blobs": report.blobs,
        "journal_id": f"{report.journal_id:016x}" if report.journal_id else None,
        "liveness": report.liveness.value,
    }
    summary = (
        f"{_count(report.events, 'event')} in {_count(report.files, 'file')}, "
        f"{_count(report.blobs, 'stored file')}"
    )
    return Checked(run, verdict, summary, 0 if report.clean else 1, problems, facts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
