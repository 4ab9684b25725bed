"""The command ``sacred export``."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import DAMAGED, chosen_among, named_runs, roots_of, roots_option, say
from sacred.cli.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.bundle_writer import Bundled
    from sacred.journal.root import RunFolder

__all__ = ["export"]

_EXPORT_HELP = """Write runs as tables or lines, or one as a page or a bundle.

    \b
      sacred export 7                           its events as JSON Lines, on stdout
      sacred export --all -o runs.jsonl         those of all runs, in a file
      sacred export --all --format parquet -o tables
                                                the tables of sacred query, in a folder
      sacred export --all --format csv -o csv
                                                the same as CSV
      sacred export 7 --format csv              its metrics as CSV, on stdout
      sacred export --all --duckdb runs.duckdb  the tables in a database of DuckDB
      sacred export 7 --html run7.html          a page to look at, and to send
      sacred export 7 --bundle run7.tar         journal and stored files, for sacred import

    The lines are those of sacred events; those of several runs begin with the
    run, and with --root repeated with its root, as every table does then. A bundle is one file (tar): the run as it is, and the way back in. A
    page needs no other file, and runs no script.

    What is exported appears when it is whole. A run that is still written is
    taken as it is at that moment, a damaged one with all that can be read (a
    bundle has its files as they are). Exit code 1 if a run is damaged: stderr
    says what is lost.
    """


@click.command(help=_EXPORT_HELP)
@named_runs
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    help="JSON Lines (the default), CSV or Parquet.",
)
@click.option("-o", "--output", metavar="PATH", help="A file; for tables a folder. - is stdout.")
@click.option("--duckdb", "database", metavar="FILE", help="Write a database of DuckDB.")
@click.option("--html", "page", metavar="FILE", help="Write one run as a page. - is stdout.")
@click.option(
    "--bundle", metavar="FILE", help="Write one run into FILE, for sacred import. - is stdout."
)
@click.option("--force", is_flag=True, help="Also over an earlier export.")
@roots_option
def export(
    runs: tuple[str, ...],
    everything: bool,
    form: str | None,
    output: str | None,
    database: str | None,
    page: str | None,
    bundle: str | None,
    force: bool,
    root: tuple[str, ...],
) -> int:
    """Write runs as tables or lines, or one as a page or a bundle."""
    from sacred.journal.finding import command_for, command_on

    files = {"--bundle": bundle, "--duckdb": database, "--html": page}
    named = [option for option, name in files.items() if name is not None]
    if len(named) > 1:
        raise click.UsageError(f"give one of {' and '.join(named)}")
    if named and (form or output is not None):
        raise click.UsageError(f"{named[0]} names the file, and goes without --format and -o")
    if (bundle is not None or page is not None) and (everything or len(runs) != 1):
        what = "a bundle" if page is None else "a page"
        raise click.UsageError(f"{what} is of one run: name one, and the next one by itself")
    if "" in {output, *files.values()}:
        raise click.UsageError("the name of what to write is empty")
    if database == "-":
        raise click.UsageError("a database is no stream: name a file")
    if bundle == "-" and terminal.is_terminal():
        raise click.UsageError("a bundle is no text: name a file, or have a program read it")
    if form == "parquet" and output in {None, "-"}:
        raise click.UsageError("Parquet needs a folder to write to: -o DIR")
    choice = roots_of(root, runs)
    folders = list(chosen_among(choice, runs, everything))
    if bundle is not None:
        problems = [f"{_named(folders[0])}: {it}" for it in _bundled(folders[0], bundle, force)]
    elif page is not None:
        problems = _as_page(folders[0], page, force)
    elif database is not None or form == "parquet" or (form == "csv" and output not in {None, "-"}):
        problems = _as_tables(folders, form, str(database or output), force, choice)
    elif form == "csv":
        problems = _as_csv_lines(folders, choice)
    else:
        several = everything or len(runs) > 1
        problems = _as_lines(folders, output, several, force, choice)
    for problem in problems:
        say(terminal.clean(problem))
    if problems:
        which = command_on("verify", folders[0])
        if len(folders) > 1:
            which = command_for("verify", "--all", choice.told_of(problems))
        say(f"not all of it could be exported: {which} says what to do")
    return DAMAGED if problems else 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int, RunFolder], object]]:
    """Give what shows how far an export of several runs is."""
    bar = terminal.Progress()

    def told(done: int, total: int, folder: RunFolder) -> None:
        if total > 1:
            bar.draw(done, total, _named(folder))

    try:
        yield told
    finally:
        bar.close()


def _bundled(folder: RunFolder, path: str, force: bool) -> list[str]:
    from sacred.journal.bundle_writer import write_bundle

    if path == "-":
        return _piped(folder)
    done = write_bundle(folder, path, overwrite=force)
    print(f"{_content(folder, done)}, in {terminal.clean(str(done.path))}")
    return done.problems


def _piped(folder: RunFolder) -> list[str]:
    """Write a bundle to stdout, when it is whole: what is written there can not be taken back."""
    import shutil
    import tempfile

    from sacred.journal.bundle_writer import write_bundle

    with tempfile.TemporaryDirectory(prefix="sacred-") as aside:
        done = write_bundle(folder, os.path.join(aside, "bundle.tar"))
        with open(done.path, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    say(_content(folder, done))
    return done.problems


def _content(folder: RunFolder, done: Bundled) -> str:
    from sacred.journal.wording import counted

    blobs = sum(member.digest is not None for member in done.manifest.members)
    size, files = counted(done.size, "byte"), counted(blobs, "stored file")
    return f"{terminal.clean(_named(folder))}: {size}, {files}"


def _named(folder: RunFolder) -> str:
    return str(folder.path) if folder.number is None else f"run {folder.number}"


def _as_page(folder: RunFolder, path: str, force: bool) -> list[str]:
    from sacred.analysis.report import write_report

    if path == "-":
        import shutil
        import tempfile

        with tempfile.TemporaryDirectory(prefix="sacred-") as aside:
            with Waiting(f"reading {_named(folder)}"):
                done = write_report(folder, os.path.join(aside, "page.html"))
            with open(done.path, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return [f"{_named(folder)}: {problem}" for problem in done.problems]
    with Waiting(f"reading {_named(folder)}"):
        done = write_report(folder, path, overwrite=force)
    print(f"{_named(folder)} in {terminal.clean(str(done.path))}")
    return [f"{_named(folder)}: {problem}" for problem in done.problems]


def _as_csv_lines(folders: list[RunFolder], choice: RootChoice) -> list[str]:
    """Write the metrics to stdout, when they are whole."""
    import shutil
    import tempfile

    from sacred.analysis.export import csv_tables

    with tempfile.TemporaryDirectory(prefix="sacred-") as aside:
        done = csv_tables(folders, os.path.join(aside, "tables"), choice=choice)
        with open(done.path / "metrics.csv", "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return done.problems


def _as_tables(
    folders: list[RunFolder], form: str | None, path: str, force: bool, choice: RootChoice
) -> list[str]:
    from sacred.analysis.export import csv_tables, parquet, snapshot
    from sacred.journal.wording import counted

    write = {"csv": csv_tables, "parquet": parquet}.get(form or "", snapshot)
    with _progress() as watch:
        done = write(folders, path, overwrite=force, told=watch, choice=choice)
    rows = done.rows if isinstance(done.rows, dict) else {}
    # "1 metric", but "1 output" and "3 output", as the tables are called.
    told = ", ".join(
        counted(count, name.removesuffix("s")) if name.endswith("s") else f"{count:,} {name}"
        for name, count in rows.items()
        if count
    )
    print(f"{told or 'nothing'} in {terminal.clean(str(done.path))}")
    return done.problems


def _as_lines(
    folders: list[RunFolder], path: str | None, several: bool, force: bool, choice: RootChoice
) -> list[str]:
    from sacred.analysis.export import run_lines, write_lines
    from sacred.journal.wording import counted

    if path not in {None, "-"}:
        with _progress() as told:
            done = write_lines(
                folders, str(path), numbered=several, overwrite=force, told=told, choice=choice
            )
        lines = counted(done.rows if isinstance(done.rows, int) else 0, "line")
        print(f"{lines} in {terminal.clean(str(done.path))}")
        return done.problems
    problems: list[str] = []
    for line in run_lines(folders, problems, numbered=several, choice=choice):
        sys.stdout.write(line + "\n")
    return problems
