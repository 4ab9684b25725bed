"""The command ``sacred rm``: it moves runs into the trash, brings them back, and empties it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.garbage import seconds_of
from sacred.cli.options import (
    DAMAGED,
    NOT_LOOKED,
    force_option,
    json_option,
    print_records,
    root_of,
    root_option,
    runs_of,
    say,
    worst,
)

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.journal.trash import TrashedRun

__all__ = ["rm"]

_HELP = """Move runs into the trash of their root.

\b
sacred rm 57 58                      into the trash
sacred rm --list                     what is there
sacred rm --restore 57               and back
sacred rm --empty --older-than 30d   for good

A running run is not removed. What views have of a run stays there. The number of a run is not
given again. Stored files that only runs in the trash need stay until it is emptied; then
sacred gc removes them.
"""

_ASKED = 10


@click.command(help=_HELP)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--list", "listing", is_flag=True, help="List what is in the trash.")
@click.option("--restore", "restoring", is_flag=True, help="Bring runs back, under their numbers.")
@click.option("--empty", "emptying", is_flag=True, help="Remove for good what is in the trash.")
@click.option(
    "--older-than",
    metavar="TIME",
    callback=lambda context, option, text: text and seconds_of(context, option, text),
    help="With --empty: only what was removed so long ago: 30d, 12h.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@force_option
@json_option
@root_option
def rm(
    runs: tuple[str, ...],
    listing: bool,
    restoring: bool,
    emptying: bool,
    older_than: float | None,
    yes: bool,
    force: bool,
    as_json: bool,
    root: str | None,
) -> int:
    """Move runs into the trash of their root."""
    modes = [name for name, on in _modes(listing, restoring, emptying) if on]
    if len(modes) > 1:
        raise click.UsageError(f"{' and '.join(modes)} do not go together")
    if older_than is not None and not emptying:
        raise click.UsageError("--older-than goes with --empty")
    if (listing or emptying) and runs:
        raise click.UsageError(f"{modes[0]} takes no runs: it is about all of the trash")
    if listing:
        return _list(root_of(root), as_json=as_json)
    if emptying:
        return _empty(root_of(root), older_than or 0.0, yes=yes)
    if not runs:
        raise click.UsageError("name the runs to remove, or give --list, --restore or --empty")
    if restoring:
        return _restore(root_of(root), runs)
    return _remove(runs_of(root, runs), yes=yes, force=force)


def _modes(listing: bool, restoring: bool, emptying: bool) -> list[tuple[str, bool]]:
    return [("--list", listing), ("--restore", restoring), ("--empty", emptying)]


def _remove(folders: tuple[RunFolder, ...], *, yes: bool, force: bool) -> int:
    from sacred.journal.errors import JournalError
    from sacred.journal.finding import command_for
    from sacred.journal.trash import remove
    from sacred.replayers.memo import read_memos

    if not yes and _asks():
        for folder in folders[:_ASKED]:
            print(terminal.clean(_about(folder)))
        if len(folders) > _ASKED:
            print(f"and {len(folders) - _ASKED:,} more")
        click.confirm(f"Move {_counted(len(folders))} into the trash?", abort=True)
    codes, removed, views = {0}, [], set()
    bar = terminal.Progress()
    for done, folder in enumerate(folders):
        if len(folders) > 1:
            bar.draw(done, len(folders), f"run {folder.number}")
        known = {memo.view for memo in read_memos(folder.views) if memo.view_id is not None}
        try:
            removed.append(remove(folder, force=force))
        except JournalError as error:
            bar.close()
            say(terminal.clean(str(error.args[-1])))
            codes.add(error.exit_code)
            continue
        views |= known
    bar.close()
    for run in removed:
        print(f"run {run.number}: in the trash")
    if removed:
        numbers = " ".join(str(run.number) for run in removed[:_ASKED])
        back = command_for("rm --restore", numbers, folders[0].root)
        say(f"{back} brings {'it' if len(removed) == 1 else 'them'} back")
    if views:
        say(terminal.clean(f"what views have of it stays there: {', '.join(sorted(views))}"))
    return worst(codes)


def _asks() -> bool:
    return terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)


def _about(folder: RunFolder) -> str:
    from sacred.replayers.listing import outline

    found = outline(folder)
    facts = [found.status, found.name or "", terminal.local_time(found.start)]
    if found.tags:
        facts.append(", ".join(found.tags))
    return f"  run {folder.number}  {'  '.join(filter(None, facts))}"


def _counted(number: int) -> str:
    from sacred.journal.wording import counted

    return counted(number, "run")


def _restore(root: JournalRoot, names: tuple[str, ...]) -> int:
    from sacred.journal.errors import JournalError
    from sacred.journal.trash import restore, trashed

    known: dict[str, TrashedRun] = {}
    for run in trashed(root):
        known.setdefault(str(run.number), run)
    codes = {0}
    for name in names:
        if name not in known:
            there = ", ".join(list(known)[:20]) or "nothing"
            say(terminal.clean(f"run {name} is not in the trash, which has {there}"))
            codes.add(NOT_LOOKED)
            continue
        try:
            restore(known[name], root)
        except JournalError as error:
            say(terminal.clean(str(error.args[-1])))
            codes.add(error.exit_code)
            continue
        print(f"run {name}: back")
    return worst(codes)


def _list(root: JournalRoot, *, as_json: bool) -> int:
    from sacred.journal.trash import trashed
    from sacred.journal.wording import counted
    from sacred.replayers.jsontext import instant
    from sacred.replayers.listing import outline

    runs = trashed(root)
    if as_json:
        print_records(
            {
                **outline(run.folder).record(),
                "removed": run.removed and instant(int(run.removed) * 10**9),
                "bytes": run.size(),
            }
            for run in runs
        )
        return 0
    names = ("RUN", "REMOVED", "STATUS", "NAME", "SIZE")
    table = terminal.Table(names, right=("RUN", "SIZE"), flexible=("NAME",))
    for run in runs:
        found = outline(run.folder)
        when = terminal.local_time(int(run.removed) * 10**9) if run.removed is not None else ""
        size = counted(run.size(), "byte")
        table.add(str(run.number), when, found.status, found.name or "", size)
    aligned = terminal.is_terminal()
    for line in table.lines(aligned=aligned, width=terminal.columns() if aligned else 1 << 20):
        print(line)
    return 0


def _empty(root: JournalRoot, older_than: float, *, yes: bool) -> int:
    from sacred.journal.finding import command_for
    from sacred.journal.trash import empty, trashed

    runs = trashed(root)
    limit = time.time() - older_than
    if older_than:
        runs = [run for run in runs if run.removed is not None and run.removed <= limit]
    if not runs:
        say("nothing in the trash" + (" was removed so long ago" if older_than else ""))
        return 0
    if not yes:
        if not _asks():
            raise click.UsageError("to remove runs for good without being asked give --yes")
        numbers = ", ".join(str(run.number) for run in runs[:_ASKED])
        more = f" and {len(runs) - _ASKED:,} more" if len(runs) > _ASKED else ""
        question = f"Remove {_counted(len(runs))} for good ({numbers}{more})?"
        click.confirm(question, abort=True)
    bar = terminal.Progress()
    failures = 0
    for done, (run, reason) in enumerate(empty(root, older_than=older_than), 1):
        bar.draw(done, len(runs), f"run {run.number}")
        if reason is not None:
            failures += 1
            bar.close()
            say(terminal.clean(f"run {run.number} is not removed: {reason}"))
    bar.close()
    print(f"{_counted(len(runs) - failures)} removed for good")
    say(f"{command_for('gc', '', root).strip()} removes the stored files that no run needs now")
    return DAMAGED if failures else 0
