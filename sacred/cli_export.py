"""The commands ``sacred export`` and ``sacred import``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.journal.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sacred.journal.bundle_import import Imported
    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["add_commands"]

_DAMAGED = 1

_EXPORT_HELP = """Write runs as files for other programs, or one as a bundle.

    \b
      sacred export 7                           its events as JSON Lines, on stdout
      sacred export --all -o runs.jsonl         those of all runs, in a file
      sacred export --all --format parquet -o tables
                                                the tables of sacred query, in a folder
      sacred export 7 --bundle run7.tar         journal and stored files, for sacred import

    The lines are those of sacred events; those of several runs begin with the
    run. A bundle is one file (tar): the run as it is, and the way back in.

    What is exported appears when it is whole. A run that is still written is
    taken as it is at that moment, a damaged one with all that can be read (a
    bundle has its files as they are). Exit code 1 if a run is damaged: stderr
    says what is lost.
    """

_IMPORT_HELP = """Bring runs back from bundles, into this root or another.

    \b
      sacred export 7 --bundle run7.tar         here
      sacred import run7.tar                    there

    The root is --root DIR, else $SACRED_JOURNAL_ROOT, else ./sacred_runs, and
    made if need be. A run keeps its number if that is free, else it gets the
    next one. A run that is there already stays as it is. A bundle that is not
    as it was written is refused, and nothing of it is kept: exit code 1; 2 if
    the file is no bundle.
    """


def add_commands(
    group: click.Group,
    named_runs: Callable[[Any], Any],
    chosen: Callable[[str | None, Sequence[str], bool], Iterable[RunFolder]],
    say: Callable[[str], None],
) -> None:
    """Add the commands to the group, with its ways to name runs and to say things."""
    root_option = click.option("-J", "--root", metavar="DIR", help="The folder of the runs.")
    json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")

    @group.command(help=_EXPORT_HELP)
    @named_runs
    @click.option(
        "--format",
        "form",
        type=click.Choice(["jsonl", "parquet"]),
        help="JSON Lines (the default), or Parquet.",
    )
    @click.option(
        "-o", "--output", metavar="PATH", help="A file; for Parquet a folder. - is stdout."
    )
    @click.option("--bundle", metavar="FILE", help="Write one run into FILE, for sacred import.")
    @click.option("--force", is_flag=True, help="Also over an earlier export.")
    @root_option
    def export(
        runs: tuple[str, ...],
        everything: bool,
        form: str | None,
        output: str | None,
        bundle: str | None,
        force: bool,
        root: str | None,
    ) -> int:
        if bundle is not None and (form or output):
            raise click.UsageError("--bundle names the file, and goes without --format and -o")
        if bundle is not None and (everything or len(runs) != 1):
            raise click.UsageError("a bundle is of one run: name one, and the next one by itself")
        if form == "parquet" and output in {None, "-"}:
            raise click.UsageError("Parquet needs a folder to write to: -o DIR")
        folders = list(chosen(root, runs, everything))
        if bundle is not None:
            problems = _bundled(folders[0], bundle, force)
        elif form == "parquet":
            problems = _as_tables(folders, str(output), force)
        else:
            several = everything or len(runs) > 1
            problems = _as_lines(folders, output, several, force)
        for problem in problems:
            say(terminal.clean(problem))
        return _DAMAGED if problems else 0

    @group.command("import", help=_IMPORT_HELP)
    @click.argument("files", nargs=-1, metavar="FILE...", required=True)
    @json_option
    @root_option
    def import_(files: tuple[str, ...], as_json: bool, root: str | None) -> int:
        place = _writing_root(root)
        codes, records = {0}, []
        for file in files:
            try:
                done = _imported(file, place)
            except (JournalError, OSError) as error:
                if len(files) == 1:
                    raise
                codes.add(getattr(error, "exit_code", 2))
                text = str(error.args[-1])
                ours = isinstance(error, JournalError)
                say(terminal.clean(text if ours else f"{error.filename or file}: {text}"))  # type: ignore[union-attr]
                continue
            records.append(_record(file, done))
            if not as_json:
                print(_sentence(done))
            if count := len(done.manifest.missing):
                files_were = "file was" if count == 1 else "files were"
                what = f"{count} stored {files_were} missing when it was exported"
                say(f"run {done.folder.number}: {what}")
        if as_json:
            import json

            print(json.dumps(records, indent=2))
        return _DAMAGED if _DAMAGED in codes else max(codes)


def _bundled(folder: RunFolder, path: str, force: bool) -> list[str]:
    from sacred.journal.bundle_writer import write_bundle

    done = write_bundle(folder, path, overwrite=force)
    number = "" if folder.number is None else f"run {folder.number}: "
    blobs = sum(member.digest is not None for member in done.manifest.members)
    print(f"{number}{done.size:,} bytes, {blobs} stored files, in {terminal.clean(str(done.path))}")
    return done.problems


def _as_tables(folders: list[RunFolder], path: str, force: bool) -> list[str]:
    from sacred.replayers.export import parquet

    done = parquet(folders, path, overwrite=force)
    rows = done.rows if isinstance(done.rows, dict) else {}
    told = ", ".join(f"{count:,} {name}" for name, count in rows.items() if count)
    print(f"{told or 'nothing'} in {terminal.clean(str(done.path))}")
    return done.problems


def _as_lines(folders: list[RunFolder], path: str | None, several: bool, force: bool) -> list[str]:
    from sacred.replayers.export import run_lines, write_lines

    if path not in {None, "-"}:
        done = write_lines(folders, str(path), numbered=several, overwrite=force)
        print(f"{done.rows:,} lines in {terminal.clean(str(done.path))}")
        return done.problems
    problems: list[str] = []
    for line in run_lines(folders, problems, numbered=several):
        sys.stdout.write(line + "\n")
    return problems


def _writing_root(given: str | None) -> JournalRoot:
    """Return the root into which a program that is started here would write."""
    from sacred.journal.root import DEFAULT_NAME, JournalRoot

    named = given or os.environ.get("SACRED_JOURNAL_ROOT")
    if named:
        root = JournalRoot(named)
        nested = JournalRoot(root.path / DEFAULT_NAME)
        return nested if nested.exists() and not root.exists() else root
    here = JournalRoot(os.getcwd())
    return here if here.exists() else JournalRoot(here.path / DEFAULT_NAME)


def _imported(file: str, root: JournalRoot) -> Imported:
    from sacred.journal.bundle_import import import_bundle

    return import_bundle(file, root)


def _record(file: str, done: Imported) -> dict[str, Any]:
    return {
        "file": file,
        "run": done.folder.number,
        "path": str(done.folder.path),
        "state": "imported" if done.new else "already",
        "journal_id": f"{done.manifest.journal_id:016x}",
        "run_before": done.manifest.run,
        "events": done.events,
        "blobs": done.blobs,
        "missing": list(done.manifest.missing),
    }


def _sentence(done: Imported) -> str:
    where = terminal.clean(str(done.folder.root.path))
    if not done.new:
        back = f"; {done.blobs} stored files that it missed are back" if done.blobs else ""
        return f"run {done.folder.number}: in {where} already{back}"
    before = done.manifest.run
    was = "" if before in {None, done.folder.number} else f", where it was run {before}"
    return f"run {done.folder.number}: imported into {where}, {done.events:,} events{was}"
