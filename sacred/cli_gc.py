"""The command ``sacred gc``: it removes what no run needs any more."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal

if TYPE_CHECKING:
    from sacred.journal.garbage import Collection

__all__ = ["gc"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_KINDS = {
    "blobs": "stored files that no run names",
    "temporary": "files that were being stored",
    "aside": "journal files that were being written",
    "spools": "spools whose output is in the journal",
}
_TOLD = 20


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Read a time such as 7d, 12h or 30m; a bare number counts days."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw]?)", text.strip())
    if match is None:
        raise click.BadParameter(f"{text[:40]!r} is no time, give one like 7d, 12h or 30m")
    return float(match[1]) * _UNITS[match[2] or "d"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing, tell what would be.")
@click.option(
    "--grace",
    callback=_seconds,
    default="7d",
    metavar="TIME",
    help="Spare what is younger: 7d (this if not given), 36h; less than a day only with --force.",
)
@click.option("--force", is_flag=True, help="Also what only lost events of damaged runs may name.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.option(
    "-J",
    "--root",
    "root",
    metavar="DIR",
    help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above).",
)
def gc(dry_run: bool, grace: float, force: bool, as_json: bool, root: str | None) -> int:
    """Remove stored files that no run needs, and what kills left behind.

    Every journal is read first. While one can not be read whole, no stored file is removed: what
    the rest of it names is unknown. Exit code 1 if a run is damaged or something could not be
    removed, 2 if a run could not be read.
    """
    from sacred.journal.garbage import SHORTEST_GRACE, collect
    from sacred.replayers.naming import looking_root

    if grace < SHORTEST_GRACE and not force:
        raise click.UsageError(
            "less than a day of grace needs --force: what a program has stored and not yet named "
            "would be lost, so give it only while no program writes into this root"
        )
    place = looking_root(root)
    if str(place.path) != os.path.abspath(root or "sacred_runs"):
        print(f"sacred: the runs are in {place.path}", file=sys.stderr)
    done = collect(place, grace=grace, dry_run=dry_run, force=force)
    stopped = any(not (force and obstacle.damaged) for obstacle in done.obstacles)
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json(_record(done, dry_run=dry_run), indent=2))
    else:
        for line in _lines(done, dry_run=dry_run):
            print(terminal.clean(line))
        for line in _complaints(done, stopped=stopped):
            print(f"sacred: {terminal.clean(line)}", file=sys.stderr)
    if done.failures or (stopped and any(obstacle.damaged for obstacle in done.obstacles)):
        return 1
    return 2 if stopped else 0


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
    verb = "would be removed" if dry_run else "removed"
    lines = [
        f"{_KINDS[entry.kind]}: {entry.count:,} {verb}, {entry.size:,} bytes"
        for entry in done.collected
    ]
    rest = f"{done.used:,} stored files are in use, {done.young:,} are too young to judge"
    if done.unneeded:
        rest += f", {done.unneeded:,} are kept because it is not known who needs them"
    lines += [rest, f"{'would free' if dry_run else 'freed'} {done.freed:,} bytes"]
    if done.unknown:
        lines.append(
            f"{done.unknown:,} things among the stored files are none, and were left alone"
        )
    return lines


def _complaints(done: Collection, *, stopped: bool) -> list[str]:
    lines = [f"{obstacle.where}: {obstacle.reason}" for obstacle in done.obstacles[:_TOLD]]
    if len(done.obstacles) > _TOLD:
        lines.append(f"and {len(done.obstacles) - _TOLD} more like these")
    if stopped:
        cure = "see to that first"
        if all(obstacle.damaged for obstacle in done.obstacles):
            cure = (
                "sacred repair mends what can be, a damaged file that it kept goes when you remove "
                "it; --force removes stored files in spite of all that"
            )
        lines.append(f"so no stored file was removed: {cure}")
    return lines + [f"not removed: {failure}" for failure in done.failures]
