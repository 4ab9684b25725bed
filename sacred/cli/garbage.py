"""The command ``sacred gc``: it removes what no run needs any more."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    NOT_LOOKED,
    json_option,
    print_lines,
    root_of,
    root_option,
    say,
)
from sacred.cli.waiting import Waiting

if TYPE_CHECKING:
    from sacred.journal.garbage import Collection
    from sacred.journal.root import JournalRoot

__all__ = ["gc", "seconds_of"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_KINDS = {
    "blobs": "stored files that no run names",
    "temporary": "files that were being stored",
    "aside": "journal files that were being written",
    "spools": "spools whose output is in the journal",
    "checkpoints": "checkpoints of replayers that none needs",
    "questions": "caches of questions that none reads",
}
_TOLD = 20


def seconds_of(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Read a time such as 7d, 12h or 30m; a bare number counts days."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw]?)", text.strip())
    if match is None:
        raise click.BadParameter(f"{text[:40]!r} is no time, give one like 7d, 12h or 30m")
    return float(match[1]) * _UNITS[match[2] or "d"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing, tell what would be.")
@click.option(
    "--grace",
    callback=seconds_of,
    default="7d",
    metavar="TIME",
    help="Spare what is younger: 7d (this if not given), 36h; less than a day only with --force.",
)
@click.option("--force", is_flag=True, help="Also what only lost events of damaged runs may name.")
@json_option
@root_option
def gc(dry_run: bool, grace: float, force: bool, as_json: bool, root: str | None) -> int:
    """Remove stored files that no run needs, and other leftovers.

    Also what replayers kept of runs that are gone, or ended and whole in their view, and what
    questions of other versions kept.

    Every journal is read first. While one can not be read whole, no stored file is removed: what
    the rest of it names is unknown. Exit code 1 if a run is damaged or something could not be
    removed, 2 if a run could not be read.
    """
    from sacred.journal.garbage import SHORTEST_GRACE, Collected, collect
    from sacred.replayers.question_cache import collect_question_caches
    from sacred.replayers.stale_checkpoints import collect_checkpoints

    if grace < SHORTEST_GRACE and not force:
        raise click.UsageError(
            "less than a day of grace needs --force: what a program has stored and not yet named "
            "would be lost, so give it only while no program writes into this root"
        )
    place = root_of(root)
    with Waiting("reading every journal"):
        done = collect(place, grace=grace, dry_run=dry_run, force=force)
        checkpoints = collect_checkpoints(place, grace=grace, dry_run=dry_run)
        caches = collect_question_caches(place, grace=grace, dry_run=dry_run)
    more = [Collected("checkpoints", *checkpoints[:2]), Collected("questions", *caches[:2])]
    done = done._replace(
        collected=[*done.collected, *more],
        failures=done.failures + checkpoints.failures + caches.failures,
    )
    stopped = any(not (force and obstacle.damaged) for obstacle in done.obstacles)
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json(_record(done, dry_run=dry_run), indent=2))
    else:
        print_lines(map(terminal.clean, _lines(done, dry_run=dry_run)))
        for line in _complaints(done, place, stopped=stopped):
            say(terminal.clean(line))
    if done.failures or (stopped and any(obstacle.damaged for obstacle in done.obstacles)):
        return DAMAGED
    return NOT_LOOKED if stopped else 0


def _record(done: Collection, *, dry_run: bool) -> dict[str, Any]:
    kinds = {entry.kind: {"removed": entry.count, "bytes": entry.size} for entry in done.collected}
    return {
        "dry_run": dry_run,
        **kinds,
        "freed": done.freed,
        "used": done.used,
        "young": done.young,
        "kept": done.unneeded,
        "unknown": done.unknown,
        "journals": done.runs,
        "obstacles": [obstacle._asdict() for obstacle in done.obstacles],
        "failures": done.failures,
    }


def _lines(done: Collection, *, dry_run: bool) -> list[str]:
    from sacred.journal.wording import counted

    verb = "would be removed" if dry_run else "removed"
    lines = [
        f"{_KINDS[entry.kind]}: {entry.count:,} {verb}, {counted(entry.size, 'byte')}"
        for entry in done.collected
    ]
    rest = f"stored files in use: {done.used:,}, too young to judge: {done.young:,}"
    if done.unneeded:
        rest += f", kept because it is not known who needs them: {done.unneeded:,}"
    lines += [rest, f"{'would free' if dry_run else 'freed'} {counted(done.freed, 'byte')}"]
    if done.unknown:
        lines.append(f"left alone among the stored files, for they are none: {done.unknown:,}")
    return lines


def _complaints(done: Collection, root: JournalRoot, *, stopped: bool) -> list[str]:
    from sacred.journal.finding import command_for

    lines = [f"{obstacle.where}: {obstacle.reason}" for obstacle in done.obstacles[:_TOLD]]
    if len(done.obstacles) > _TOLD:
        lines.append(f"and {len(done.obstacles) - _TOLD} more like these")
    if stopped:
        cure = "see to that first"
        if all(obstacle.damaged for obstacle in done.obstacles):
            reparable = [obstacle for obstacle in done.obstacles if obstacle.reparable]
            names = {obstacle.where.partition(os.sep)[0] for obstacle in reparable}
            runs = " ".join(sorted((name for name in names if name.isdecimal()), key=int)[:_TOLD])
            if reparable:
                mend = f"{command_for('repair', runs, root)} mends what can be, " if runs else ""
                cure = f"{mend}a damaged file that a repair kept goes when you remove it"
            cure += "; --force removes stored files in spite of all that"
        lines.append(f"so no stored file was removed: {cure}")
    return lines + [f"not removed: {failure}" for failure in done.failures]
