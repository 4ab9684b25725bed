"""The commands that look after journals: ``sacred verify``, ``seal`` and ``repair``."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    NOT_LOOKED,
    chosen,
    first_of,
    force_option,
    json_option,
    named_runs,
    print_lines,
    print_records,
    root_option,
    say,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    from sacred.journal.root import RunFolder
    from sacred.replayers.verification import Checked

    _Outcome = TypeVar("_Outcome")

__all__ = ["repair", "seal", "verify"]


@click.command()
@named_runs
@json_option
@root_option
def verify(runs: tuple[str, ...], everything: bool, as_json: bool, root: str | None) -> int:
    """Read runs through: is all there, and whole?

    Every event and every stored file. Exit code 0 if all are clean, 1 if one is damaged, 2 if one could not be read.
    """
    from sacred.replayers.verification import check

    folders = list(chosen(root, runs, everything))
    codes = {0}
    bar = terminal.Progress()

    def checks() -> Iterator[Checked]:
        for done, folder in enumerate(folders):
            bar.draw(done, len(folders), f"run {folder.number or folder.path}")
            checked = check(folder)
            bar.close()
            codes.add(checked.exit_code)
            yield checked

    try:
        if as_json:
            print_records((checked.record() for checked in checks()), at_once=True)
        else:
            for checked in checks():
                print_lines(_verdict_lines(checked))
                sys.stdout.flush()  # the next one may be large, and a pipe waits
    finally:
        bar.close()
    return worst(codes)


def _verdict_lines(checked: Checked) -> Iterator[str]:
    verdict = terminal.paint(checked.verdict, "green" if checked.exit_code == 0 else "red")
    yield f"run {terminal.clean(str(checked.run))}: {verdict}, {terminal.clean(checked.summary)}"
    for problem in first_of(checked.problems, "--json"):
        yield f"  {terminal.clean(problem)}"
    for remedy in checked.remedies:
        yield f"  to do: {terminal.clean(remedy)}"


@click.command()
@named_runs
@force_option
@json_option
@root_option
def seal(
    runs: tuple[str, ...], everything: bool, force: bool, as_json: bool, root: str | None
) -> int:
    """Make the files of ended runs smaller, and faster to read.

    No event and no view moves. Files that are still written stay as they are. Exit code 1 if one
    is damaged, 2 if it can not be seen whether one is still written.
    """
    from sacred.journal.finding import command_on
    from sacred.journal.seal import seal_run
    from sacred.journal.spool import SPOOL
    from sacred.journal.wording import counted

    records: list[dict[str, Any]] = []
    codes = {0}
    found = chosen(root, runs, everything)
    work = partial(seal_run, force=force)
    for folder, outcomes in _outcomes(found, work, records, codes, as_json=as_json):
        for outcome in outcomes:
            codes.add({"damaged": DAMAGED, "unknown": NOT_LOOKED}.get(outcome.state, 0))
            done = outcome.sealed
            record = {
                "run": folder.number,
                "file": outcome.path.name,
                "state": outcome.state,
                "before": done and done.before,
                "after": done and done.after,
                "left_out": done and done.torn,
                "reason": outcome.reason,
                "kept": outcome.kept and outcome.kept.name,
            }
            records.append(record)
            if not as_json:
                what = f": {outcome.reason}" if outcome.reason else ""
                if "repair " in what:
                    what += f", with {command_on('repair', folder)}"
                if done is not None:
                    what = f", {done.before:,} -> {done.after:,} bytes"
                if done is not None and done.torn:
                    what += f" (its last {counted(done.torn, 'byte')} held no whole event)"
                print_lines([f"run {folder.number} {outcome.path.name}: {outcome.state}{what}"])
                if outcome.kept is not None:
                    lost = f"of what was printed a part is lost; as it was: {outcome.kept.name}"
                    print_lines([f"run {folder.number} {SPOOL}: {lost}"])
    if as_json:
        print_records(records)
    return worst(codes)


@click.command()
@named_runs
@force_option
@json_option
@root_option
def repair(
    runs: tuple[str, ...], everything: bool, force: bool, as_json: bool, root: str | None
) -> int:
    """Write damaged files anew, with all that is whole in them.

    The damaged file keeps its bytes under another name. What is lost stays lost, and is named.
    Exit code 1 if a file could not be repaired.
    """
    from sacred.journal.finding import command_on
    from sacred.journal.repair import repair_run
    from sacred.journal.wording import counted

    records: list[dict[str, Any]] = []
    codes = {0}
    found = chosen(root, runs, everything)
    work = partial(repair_run, force=force)
    for folder, outcomes in _outcomes(found, work, records, codes, as_json=as_json):
        if not outcomes:
            why, code = _why_not_repaired(folder)
            codes.add(code)
            if not as_json:
                print_lines([f"run {folder.number}: {why}"])
        for outcome in outcomes:
            lost = sum(end - first for first, end in outcome.lost)
            record = {
                "run": folder.number,
                "file": outcome.path.name,
                "repaired": outcome.reason is None,
                "lost": lost,
                "kept": outcome.kept and outcome.kept.name,
                "reason": outcome.reason,
            }
            records.append(record)
            if not as_json:
                what = f"not repaired: {outcome.reason}; see {command_on('verify', folder)}"
                if outcome.kept is not None:
                    are = "is" if lost == 1 else "are"
                    left = f"{counted(lost, 'event')} {are} lost" if lost else "no event is lost"
                    what = f"repaired, {left}; as it was: {outcome.kept.name}"
                print_lines([f"run {folder.number} {outcome.path.name}: {what}"])
    if as_json:
        print_records(records)
    if any(not record.get("repaired", True) for record in records):
        codes.add(DAMAGED)
    return worst(codes)


def _why_not_repaired(folder: RunFolder) -> tuple[str, int]:
    """Return why a repair did nothing, and the exit code for that."""
    from sacred.journal.finding import command_on
    from sacred.journal.reader import JournalReader
    from sacred.journal.spool import SPOOL
    from sacred.journal.verification import verify

    if os.path.lexists(folder.journal / SPOOL) and verify(folder).spool:
        return f"no event is damaged, but {SPOOL} is, see {command_on('verify', folder)}", 0
    if JournalReader(folder.journal).journal_id:
        return "nothing to repair", 0
    is_empty = not any(path.stat().st_size for path in folder.journal.glob("*.jzst"))
    why = f"nothing that a repair could keep, see {command_on('verify', folder)}"
    return why, 0 if is_empty else DAMAGED


def _tell_of_waiting(folder: RunFolder, bar: terminal.Progress) -> None:
    bar.close()
    name = folder.path if folder.number is None else f"run {folder.number}"
    say(
        terminal.clean(
            f"waiting for another process that seals, repairs or goes on with {name}, for a minute "
            "at most"
        )
    )


def _outcomes(
    folders: Iterable[RunFolder],
    work: Callable[..., list[_Outcome]],
    records: list[dict[str, Any]],
    codes: set[int],
    *,
    as_json: bool,
) -> Iterator[tuple[RunFolder, list[_Outcome]]]:
    """Yield what became of each run; one with which nothing could be done is said, and passed over."""
    from sacred.journal.errors import JournalError

    every = list(folders)
    bar = terminal.Progress()
    for done, folder in enumerate(every):
        if folder.holds_nothing():
            continue
        bar.draw(done, len(every), f"run {folder.number or folder.path}")
        try:
            try:
                found = work(folder, on_wait=partial(_tell_of_waiting, folder, bar))
            finally:
                bar.close()
        except (JournalError, OSError) as error:
            if isinstance(error, JournalError):
                reason = str(error.args[-1])
            else:
                reason = f"{error.strerror or error}: it is as it was"
            records.append(
                {"run": folder.number, "file": None, "state": "failed", "reason": reason}
            )
            if not as_json:
                print_lines([f"run {folder.number}: failed: {terminal.clean(reason)}"])
            codes.add(getattr(error, "exit_code", None) or NOT_LOOKED)
        else:
            yield folder, found
