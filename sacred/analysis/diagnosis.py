"""What is wrong here, and what to do about it: what ``sacred doctor`` says."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from sacred.analysis.machine import Finding, disk, holders, inotify, versions
from sacred.journal.bundle_import import ASIDE
from sacred.journal.errors import JournalError, NoRootError
from sacred.journal.events import EventType
from sacred.journal.finding import command_for, looking_root
from sacred.journal.notes import read_notes
from sacred.journal.regular_file import read_regular
from sacred.journal.root import LAYOUT_VERSION, MARKER, JournalRoot, parse_epoch_file_name
from sacred.journal.sealed_summary import SummaryReader
from sacred.journal.spool import SPOOL
from sacred.journal.trash import trashed
from sacred.replayers.listing import outline
from sacred.replayers.standings import standings, summarised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder

__all__ = ["Finding", "diagnose", "exit_code"]

_DAY = 86400.0
#: A clock that differs by more is wrong (s).
_SKEW = 60.0
#: A folder that was claimed and holds nothing is left behind after so long (s).
_CLAIMED = 3600.0
#: A disposable cache is worth a word beyond this (bytes).
_LARGE = 10 << 30
_NAMED = 20


def exit_code(findings: list[Finding]) -> int:
    """Return 0 if all is well, 1 if something is wrong, 3 if only views are behind."""
    levels = {finding.level for finding in findings}
    return 1 if "wrong" in levels else 3 if "behind" in levels else 0


def diagnose(
    given: str | None = None,
    *,
    deep: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Finding]:
    """Look over this machine, a root, its runs and their views.

    Parameters
    ----------
    given
        The root; found as ``sacred ls`` finds it if None.
    deep
        Read every event and stored file, as ``sacred verify --all`` does.
    progress
        Called with (done, all, what).

    Returns
    -------
    What was looked at, in order; never raises for what is there. Nothing is changed; a file without
    content is made in the root for a moment, to ask its disk for the time.

    Notes
    -----
    Ten thousand sealed runs take some seconds; ``deep`` takes as long as reading everything.
    """
    found = [*versions()]
    try:
        root = looking_root(given)
        folders = root.runs()
    except NoRootError as error:
        return [*found, *inotify(), Finding("root", "wrong", str(error))]
    found += _root(root, given)
    found += disk(root.path)
    found += inotify()
    found += _clock(root)
    locked = holders()
    found += _locks(root, folders, locked)
    found += _leftovers(root)
    runs = _Runs(root)
    for done, folder in enumerate(folders):
        if progress is not None:
            progress(done, len(folders), f"run {folder.number}")
        runs.look(folder, deep=deep)
    found += runs.findings()
    found += _views(root, folders)
    found += _kept(root)
    return found


def _named(numbers: list[int]) -> str:
    more = f" and {len(numbers) - _NAMED:,} more" if len(numbers) > _NAMED else ""
    return ", ".join(map(str, numbers[:_NAMED])) + more


# -- the root -----------------------------------------------------------------------------------


def _root(root: JournalRoot, given: str | None) -> Iterator[Finding]:
    path = root.path
    how = "named" if given else "of $SACRED_JOURNAL_ROOT" if os.environ.get(_VARIABLE) else "found"
    yield Finding("root", "ok", f"{path} ({how}), {len(root.numbers()):,} runs")
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        layout = json.loads(read_regular(path / MARKER, 4096))["layout"]
        if type(layout) is int and layout > LAYOUT_VERSION:
            cure = "pip install -U sacred-journal"
            yield Finding("root", "wrong", "a later version made the root", cure)
    for place in (path, root.blobs, path / ".cache"):
        if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
            if os.statvfs(place).f_flag & os.ST_RDONLY:
                text = f"{place} can not be written: its disk is mounted read-only"
                yield Finding("root", "wrong", text)
            else:
                text = f"{place} can not be written"
                yield Finding("root", "wrong", text, f"chmod u+rwx {place}")
    if root.blobs.is_symlink():
        text = f"{root.blobs} is a link: stored files may be shared with other roots"
        yield Finding("root", "ok", text)


_VARIABLE = "SACRED_JOURNAL_ROOT"


def _clock(root: JournalRoot) -> Iterator[Finding]:
    """Hold the clock of the root's disk against this machine's: on a network they may differ."""
    probe = root.path / f".high-water.{int.from_bytes(os.urandom(6), 'big')}"
    try:
        probe.touch(exist_ok=False)
        try:
            skew = os.lstat(probe).st_mtime - time.time()
        finally:
            probe.unlink()
    except OSError:
        return  # said as a right that is missing
    if abs(skew) > _SKEW:
        text = f"the disk of the root is {skew:+,.0f} s off the clock here"
        yield Finding("clock", "wrong", text, "set both clocks by NTP")


def _locks(
    root: JournalRoot, folders: list[RunFolder], locked: dict[tuple[int, int], int]
) -> Iterator[Finding]:
    if not locked:
        return
    places: list[tuple[Path, str]] = [(root.path / ".import.lock", "imports or merges runs")]
    places += [
        (folder.journal, f"seals, repairs or goes on with run {folder.number}")
        for folder in folders
    ]
    replayers = root.path / ".cache" / "replayers"
    with contextlib.suppress(OSError):
        names = sorted(name for name in os.listdir(replayers) if name.endswith(".lock"))
        places += [(replayers / name, f"writes the view {name[:-5]}") for name in names]
    for place, what in places:
        with contextlib.suppress(OSError):
            stat = os.stat(place)
            holder = locked.get((stat.st_dev, stat.st_ino))
            if holder is not None:
                yield Finding("locks", "ok", f"process {holder} {what}")


def _leftovers(root: JournalRoot) -> Iterator[Finding]:
    old = time.time() - _DAY
    count = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(root.path):
            if entry.name.startswith((ASIDE, ".high-water.")) and entry.name != ".import.lock":
                with contextlib.suppress(OSError):
                    count += entry.stat(follow_symlinks=False).st_mtime < old
    if count:
        text = f"{count:,} files or folders that kills left behind"
        yield Finding("leftovers", "wrong", text, command_for("gc", "", root).replace("  ", " "))


# -- runs ----------------------------------------------------------------------------------------


class _Runs:
    """Looks at runs one by one, and tells of them together."""

    def __init__(self, root: JournalRoot) -> None:
        self._root = root
        self._now = time.time()
        self._summaries = SummaryReader()
        self._numbers: dict[str, list[int]] = {}
        self._journals: dict[int, list[int]] = {}
        self._single: list[Finding] = []
        self._count = 0

    def look(self, folder: RunFolder, *, deep: bool) -> None:
        """Look at one run."""
        self._count += 1
        number = folder.number or 0
        notes = read_notes(folder)
        if notes.problem is not None:
            cure = f"take {folder.path / 'notes'} from a backup"
            text = f"run {number}: {notes.problem}"
            self._single.append(Finding("notes", "wrong", text, cure, (number,)))
        summary = self._summaries.read(folder.journal)
        if summary is not None:
            self._clock(number, summary.last)
            self._journals.setdefault(summary.journal_id, []).append(number)
        else:
            self._look_closely(folder, number)
        if deep:
            self._verify(folder, number)

    def _note(self, what: str, number: int) -> None:
        self._numbers.setdefault(what, []).append(number)

    def _clock(self, number: int, last: int) -> None:
        if last / 1e9 > self._now + _SKEW:
            self._note("future", number)

    def _look_closely(self, folder: RunFolder, number: int) -> None:
        sealed = [0]

        def visit(event: Event) -> None:
            sealed[0] += event.type == EventType.SEALED

        try:
            found = outline(folder, visit=visit)
            names = os.listdir(folder.journal) if folder.journal.is_dir() else []
        except (JournalError, OSError) as error:
            text = f"run {number} can not be looked at: {error}"
            self._single.append(Finding("runs", "wrong", text, None, (number,)))
            return
        self._clock(number, found.last)
        if found.journal_id:
            self._journals.setdefault(found.journal_id, []).append(number)
        files = sum(parse_epoch_file_name(name) is not None for name in names)
        unsealed = files > sealed[0]
        if found.status == "EMPTY":
            with contextlib.suppress(OSError):
                if self._now - os.stat(folder.path).st_mtime > _CLAIMED:
                    self._note("empty", number)
        elif found.status in {"FOREIGN", "NEWER", "UNREADABLE"}:
            self._note(found.status.lower(), number)
        elif found.problem is not None:
            self._note("damaged", number)
        elif found.status == "DIED":
            if unsealed:
                self._note("died", number)
        elif found.status not in {"RUNNING", "QUEUED"}:
            if unsealed and self._now - found.last / 1e9 > _DAY:
                self._note("unsealed", number)
            elif SPOOL in names and self._now - found.last / 1e9 > _DAY:
                self._note("spool", number)

    def _verify(self, folder: RunFolder, number: int) -> None:
        from sacred.replayers.verification import check

        checked = check(folder)
        if checked.exit_code:
            cure = checked.remedies[0] if checked.remedies else None
            problem = checked.problems[0] if checked.problems else checked.summary
            text = f"run {number}: {checked.verdict}: {problem}"
            self._single.append(Finding("runs", "wrong", text, cure, (number,)))

    def findings(self) -> Iterator[Finding]:
        """Yield what was found."""
        for what, (text, verb, level) in _TOLD.items():
            numbers = self._numbers.get(what)
            if not numbers:
                continue
            one = len(numbers) == 1
            said = f"{'run' if one else f'{len(numbers):,} runs'} {text}: {_named(numbers)}"
            some = " ".join(map(str, numbers[:_NAMED]))
            cure = verb if " " in verb else command_for(verb, some, self._root)
            yield Finding("runs", level, said, cure, tuple(numbers))
        copies = [numbers for numbers in self._journals.values() if len(numbers) > 1]
        for numbers in copies:
            text = f"runs with one and the same journal, of which a view has one: {_named(numbers)}"
            cure = command_for("rm", str(numbers[-1]), self._root) + ", if that is the copy"
            yield Finding("runs", "wrong", text, cure, tuple(numbers))
        yield from self._single
        if not self._numbers and not self._single and not copies:
            yield Finding("runs", "ok", f"{self._count:,} runs looked at: none needs anything")


#: By what a run is: what is said of it, and the command or the sentence that mends it.
_TOLD = {
    "damaged": ("damaged", "verify", "wrong"),
    "foreign": ("without a journal of ours", "verify", "wrong"),
    "newer": ("of a later version", "pip install -U sacred-journal", "wrong"),
    "unreadable": ("that may not be read", "ask their owner for the right to read them", "wrong"),
    "died": ("died, and nobody went on or sealed", "seal", "wrong"),
    "empty": ("claimed, with nothing ever written", "rm", "wrong"),
    "unsealed": ("ended more than a day ago, and not sealed", "seal", "wrong"),
    "spool": ("with a spool left beside a sealed journal", "seal", "wrong"),
    "future": ("with events from the future", "set the clocks of the machines by NTP", "wrong"),
}


# -- beside the runs -----------------------------------------------------------------------------


def _views(root: JournalRoot, folders: list[RunFolder]) -> Iterator[Finding]:
    try:
        found = [*standings(folders, measure=False)]
    except (JournalError, OSError) as error:
        yield Finding("views", "wrong", f"views can not be looked at: {error}")
        return
    for summary in summarised(found):
        failed, behind = summary.counts.get("failed", 0), summary.counts.get("behind", 0)
        name = f"{summary.kind} {summary.view}"
        about = tuple(
            each.run
            for each in found
            if (each.kind, each.view) == (summary.kind, summary.view)
            and not each.is_well
            and each.run is not None
        )
        why = f": {summary.error}" if summary.error else ""
        more = command_for("views", "", root).replace("  ", " ").strip()
        if failed:
            text = f"{name}: {failed:,} of {summary.runs:,} runs failed{why}"
            yield Finding("views", "wrong", text, f"{more} says more", about)
        elif behind:
            text = f"{name}: {behind:,} of {summary.runs:,} runs behind{why}"
            yield Finding("views", "behind", text, f"sacred-replay --to {summary.kind}", about)
        else:
            yield Finding("views", "ok", f"{name}: {summary.runs:,} runs, none behind")


def _kept(root: JournalRoot) -> Iterator[Finding]:
    runs = trashed(root)
    if runs:
        text = f"{len(runs):,} runs in the trash"
        cure = f"{command_for('rm', '--empty', root)} removes them for good"
        yield Finding("trash", "ok", text, cure)
    kept = root.path / ".cache" / "questions"
    size = _size(kept)
    if size > _LARGE:
        text = f"{kept} holds {size / (1 << 30):,.1f} GiB that can be made again"
        yield Finding("cache", "ok", text, f"rm -r {kept}")


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
