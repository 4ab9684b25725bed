"""The commands for the files that runs stored: ``sacred artifacts`` and ``sacred source``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    json_option,
    print_lines,
    print_records,
    root_option,
    runs_of,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.analysis.stored import Copied, StoredFiles
    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import FileEntry

__all__ = ["artifacts", "source"]

_ARTIFACTS_HELP = """List the files that a run made, or copy them out.

    \b
      sacred artifacts 7                     every version of each, with sizes
      sacred artifacts 7 --cat notes.txt     one on stdout
      sacred artifacts 7 --copy 'plots/*'    those of these names, here
      sacred artifacts 7 --all --to DIR      all, the last version of each

    What is copied is what was stored, proved by its digest, below the folder
    and never over another file unless --force is given. A name that is no path
    below a folder (/tmp/x, ../x) becomes x with a checksum. Exit code 1 if the
    content of one is missing or damaged.
    """

_SOURCE_HELP = """List, print or restore the stored sources of a run's program.

    \b
      sacred source 7                  names and sizes
      sacred source 7 train.py         one on stdout
      sacred source 7 --to DIR         all of them, as a folder

    With --to the uncommitted changes of each git repository lie beside them as
    uncommitted.patch, if the run recorded them. Nothing is written over unless
    --force is given, and nothing outside of DIR. Exit code 1 if the content of
    one is missing or damaged.
    """

_force = click.option("--force", is_flag=True, help="Also over files that are there.")


@click.command(help=_ARTIFACTS_HELP)
@click.argument("run")
@click.option("--cat", "printed", metavar="NAME", help="Print one.")
@click.option("--copy", "copied", metavar="NAME", multiple=True, help="Copy one, or a pattern.")
@click.option("--all", "everything", is_flag=True, help="Copy all.")
@click.option("--version", "version", type=click.IntRange(1), metavar="N", help="Not the last one.")
@click.option("--to", "to", metavar="DIR", help="Where copies go (else here).")
@_force
@json_option
@root_option
def artifacts(
    run: str,
    printed: str | None,
    copied: tuple[str, ...],
    everything: bool,
    version: int | None,
    to: str | None,
    force: bool,
    as_json: bool,
    root: str | None,
) -> int:
    """List the files that a run made, or copy them out."""
    from sacred.analysis.stored import chosen_files, copy_out, stored_files

    if (printed is not None) + bool(copied) + everything > 1:
        raise click.UsageError("give one of --cat, --copy and --all")
    copies = bool(copied) or everything
    if not copies and (to is not None or force):
        raise click.UsageError("--to and --force go with --copy NAME or --all")
    if version is not None and not (copied or printed is not None):
        raise click.UsageError("--version goes with --cat NAME or --copy NAME")
    _check_folder(to)
    (folder,) = runs_of(root, (run,))
    files = stored_files(folder)
    _tell_problems(files)
    if printed is not None:
        (entry, *others) = chosen_files(files.artifacts, printed, version)
        if others:
            raise click.UsageError(f"{printed!r} fits {len(others) + 1} files, --cat prints one")
        return _print(folder, entry, "--copy NAME --to DIR stores it")
    if copies:
        wanted: dict[Any, FileEntry] = {}
        for name in ("*",) if everything and files.artifacts else copied:
            wanted |= {e.name: e for e in chosen_files(files.artifacts, name, version)}
        return _tell_copied(
            copy_out(folder, wanted.values(), to or ".", overwrite=force), to or ".", as_json
        )
    if as_json:
        print_records(map(_record, files.artifacts))
        return 0
    if not files.artifacts and terminal.is_terminal():
        say("the run stored no artifacts")
        return 0
    header = ("NAME", "VERSION", "BYTES", "TYPE", "SHA256")
    table = terminal.Table(
        header, right=("VERSION", "BYTES"), flexible=("NAME", "SHA256"), optional=("SHA256", "TYPE")
    )
    for entry in files.artifacts:
        size = _size(entry)
        table.add(
            entry.name, str(entry.version), size, entry.content_type or "", entry.digest or ""
        )
    print_lines(table.lines())
    return 0


@click.command(help=_SOURCE_HELP)
@click.argument("run")
@click.argument("name", required=False)
@click.option("--to", "to", metavar="DIR", help="Restore them there.")
@_force
@json_option
@root_option
def source(
    run: str, name: str | None, to: str | None, force: bool, as_json: bool, root: str | None
) -> int:
    """List, print or restore the stored sources of a run's program."""
    from sacred.analysis.stored import chosen_files, copy_out, stored_files

    if force and to is None:
        raise click.UsageError("--force goes with --to DIR")
    _check_folder(to)
    (folder,) = runs_of(root, (run,))
    files = stored_files(folder)
    _tell_problems(files)
    if to is not None:
        wanted = files.sources if name is None else chosen_files(files.sources, name)
        patches = files.repositories if name is None else ()
        return _tell_copied(
            copy_out(folder, wanted, to, patches=patches, overwrite=force), to, as_json
        )
    if name is not None:
        (entry, *others) = chosen_files(files.sources, name)
        if others:
            raise click.UsageError(f"{name!r} fits {len(others) + 1} files: name one, or --to DIR")
        return _print(folder, entry, "--to DIR stores it")
    if as_json:
        print_records(map(_record, files.sources))
        return 0
    if not files.sources and terminal.is_terminal():
        say("the run stored no sources")
        return 0
    table = terminal.Table(
        ("NAME", "BYTES", "SHA256"),
        right=("BYTES",),
        flexible=("NAME", "SHA256"),
        optional=("SHA256",),
    )
    for entry in files.sources:
        table.add(entry.name, _size(entry), entry.digest or "")
    print_lines(table.lines())
    if terminal.is_terminal():
        for repository in files.repositories:
            changed = ", with changes that --to DIR restores" if repository.diff is not None else ""
            say(terminal.clean(f"from {repository.url} at {repository.commit}{changed}"))
    return 0


def _check_folder(to: str | None) -> None:
    if to == "":
        raise click.UsageError("the name of the folder to write to is empty")


def _tell_problems(files: StoredFiles) -> None:
    for problem in files.problems:
        say(terminal.clean(problem))


def _size(entry: FileEntry) -> str:
    if entry.digest is None:
        return "not stored" if terminal.is_terminal() else ""
    return f"{entry.size:,}" if terminal.is_terminal() else str(entry.size)


def _record(entry: FileEntry) -> dict[str, Any]:
    record = {
        "name": entry.name,
        "path": entry.path,
        "size": entry.size if entry.digest else None,
        "sha256": entry.digest,
        "md5": entry.md5,
    }
    if entry.role == "artifact":
        record |= {
            "version": entry.version,
            "content_type": entry.content_type,
            "metadata": entry.metadata,
        }
    return record


def _print(folder: RunFolder, entry: FileEntry, otherwise: str) -> int:
    """Print a file: as it is into a pipe, as text that can not steer it on a terminal."""
    from sacred.analysis.stored import content

    pieces: Iterable[bytes] = content(folder, entry)
    if not terminal.is_terminal():
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return 0
    data = b"".join(pieces)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise click.UsageError(f"{terminal.clean(entry.name)} is no text: {otherwise}")
    print_lines(
        terminal.clean(line.removesuffix("\r").replace("\t", "        "))
        for line in text.removesuffix("\n").split("\n")
    )
    return 0


def _tell_copied(done: Copied, to: str, as_json: bool) -> int:
    if as_json:
        print_records({"name": name, "path": str(path)} for name, path in done.places)
    else:
        from sacred.journal.wording import counted

        print(terminal.clean(f"{counted(len(done.places), 'file')} in {to}"))
        for name, path in done.places:
            if not str(path).endswith("/" + name) and path.suffix != ".patch":
                say(terminal.clean(f"{name} is {path.name} there: its name is no path"))
    for problem in done.problems:
        say(terminal.clean(problem))
    return DAMAGED if done.problems else 0
