"""The command ``sacred merge``: the runs of another root become runs of this one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    json_option,
    print_lines,
    root_option,
    say,
    worst,
    writing_root,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.merging import MergedRun, MergeOrigin
    from sacred.journal.root import JournalRoot

__all__ = ["merge"]

_HELP = """Bring the runs of another root into this one.

    \b
      sacred merge /scratch/me/sacred_runs      another root
      sacred merge backup                       a copy that --to journal:backup wrote
      sacred merge s3://bucket/path             a copy that --to journal:s3://... wrote

    OTHER stays as it is. The root is --root DIR, else $SACRED_JOURNAL_ROOT, else
    ./sacred_runs, and made if need be. A run keeps its number if no run of the
    root ever had it, else it gets the next free one. A run that is in both, with
    more events there, gets these; one that is damaged here and whole there is
    mended. Where each has events that the other lacks, it is refused.

    May be repeated, and killed at any moment: the next call goes on. Exit code 0
    if all runs are here, 1 if one was refused or is damaged, 2 if OTHER or one of
    its runs can not be read.
    """

_STATES = {
    "new": "new",
    "longer": "longer there",
    "mended": "damaged here and mended",
    "already": "here already",
    "refused": "refused",
    "failed": "failed",
    "empty": "empty",
}


@click.command(help=_HELP)
@click.argument("other", metavar="OTHER")
@click.option("--dry-run", is_flag=True, help="Change nothing, tell what would be.")
@json_option
@root_option
def merge(other: str, dry_run: bool, as_json: bool, root: str | None) -> int:
    """Bring the runs of another root into this one."""
    from sacred.journal.merging import merge as merge_runs

    if not other.strip():
        raise click.UsageError("the name of the root to merge is empty")
    place = writing_root(root)
    done: list[MergedRun] = []
    bar = terminal.Progress()

    def progress(count: int, total: int, run: MergedRun) -> None:
        if not as_json:
            lines = list(_lines(run, dry_run=dry_run))
            if lines:
                bar.close()
                print_lines(map(terminal.clean, lines))
            for note in run.notes:
                bar.close()
                say(terminal.clean(f"{_named(run)}: {note}"))
        bar.draw(count, total, _named(run))

    try:
        with _origin(other, place) as origin:
            done = merge_runs(origin, place, dry_run=dry_run, progress=progress)
    finally:
        bar.close()
    if as_json:
        import json

        print(json.dumps([_record(run) for run in done], indent=2))
    else:
        print(terminal.clean(_summary(done, place, dry_run=dry_run)))
    return worst({0, *(run.exit_code for run in done)})


@contextlib.contextmanager
def _origin(other: str, place: JournalRoot) -> Iterator[MergeOrigin]:
    """Find the root that a person names, or the copy of one."""
    from sacred.journal.merging import RootOrigin
    from sacred.journal.root import find_root

    folder = other.removeprefix("journal:")
    if folder.startswith(("s3:", "gs:", "gcs:")):
        from sacred.replayers.copies.fetch import fetched

        with fetched(folder, place) as origin:
            yield origin
        return
    if "://" in folder:
        raise click.UsageError(
            "runs are merged from a folder, s3://bucket/path or gs://bucket/path: `sacred import` "
            "takes them from other places"
        )
    root = find_root(given=folder)
    for one, two in ((root.path, place.path), (place.path, root.path)):
        if one.resolve() == two.resolve() or one.resolve() in two.resolve().parents:
            same = "the root itself" if one.resolve() == two.resolve() else "inside the other"
            raise click.UsageError(f"{folder} is {same}: name another root than {place.path}")
    yield RootOrigin(root)


def _named(run: MergedRun) -> str:
    return f"run {run.there}" if run.there is not None else f"journal {run.journal_id or '?'}"


def _lines(run: MergedRun, *, dry_run: bool) -> Iterator[str]:
    from sacred.journal.wording import counted

    if run.state in {"already", "empty"} and not run.blobs:
        return
    here = "" if run.number is None else f", run {run.number} here"
    what = counted(run.events, "event")
    if run.blobs:
        what += f", {counted(run.blobs, 'stored file')}"
    if run.reason is not None:
        what = run.reason
    would = "would be " if dry_run and run.state not in {"refused", "failed"} else ""
    yield f"{_named(run)} there{here}: {would}{_STATES[run.state]}: {what}"


def _summary(done: list[MergedRun], place: JournalRoot, *, dry_run: bool) -> str:
    from sacred.journal.wording import counted

    counts = {name: sum(run.state == state for run in done) for state, name in _STATES.items()}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    verb = "would be merged into" if dry_run else "merged into"
    return f"{counted(len(done), 'run')} {verb} {place.path}{': ' if told else ''}{told}"


def _record(run: MergedRun) -> dict[str, Any]:
    return {
        "run_there": run.there,
        "journal_id": run.journal_id or None,
        "run": run.number,
        "state": run.state,
        "reason": run.reason,
        "events": run.events,
        "blobs": run.blobs,
        "notes": list(run.notes),
        "damaged": run.damaged,
    }
