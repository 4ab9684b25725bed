"""The files that a run consists of: listed, compared, copied, put in the place of others."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from typing import TYPE_CHECKING

from sacred.journal.bundle import place_of
from sacred.journal.folder_lock import locked_journal
from sacred.journal.liveness import lock_is_held
from sacred.journal.regular_file import open_regular
from sacred.journal.root import fsync_folder, name_for_damage, parse_epoch_file_name
from sacred.journal.spool import SPOOL

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder

__all__ = ["copy_run", "is_written", "names_of_run", "replace_run", "same_files"]


def names_of_run(folder: Path) -> list[str]:
    """Return the files that a run consists of, relative to its folder."""
    found = []
    for part in ("journal", "notes"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found += [f"{part}/{name}" for name in os.listdir(folder / part)]
    return sorted(name for name in found if _is_one(name) and (folder / name).is_file())


def _is_one(name: str) -> bool:
    try:
        return place_of(name)[0] < 2
    except ValueError:
        return False


def copy_run(source: RunFolder, target: RunFolder) -> None:
    """Copy a run's files; durable, with their dates: a young one seems to be written still."""
    for name in names_of_run(source.path):
        path = target.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(source.path / name, path)
    for folder in (*target.path.iterdir(), target.path):
        fsync_folder(folder)


def _copy_file(source: Path, target: Path) -> None:
    with os.fdopen(open_regular(source), "rb") as file, open(target, "xb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
        when = os.fstat(file.fileno())
        out.flush()
        os.utime(target, ns=(when.st_atime_ns, when.st_mtime_ns))
        os.fsync(out.fileno())


def same_files(one: RunFolder, other: RunFolder) -> bool:
    """Tell whether two runs have the same files, byte for byte."""
    names = names_of_run(one.path)
    if names != names_of_run(other.path):
        return False
    with contextlib.suppress(OSError):
        return all(filecmp.cmp(one.path / n, other.path / n, shallow=False) for n in names)
    return False


def is_written(here: RunFolder) -> bool:
    """Tell whether a process of this machine holds one of the run's files open to write it."""
    return any(
        lock_is_held(here.path / name)
        for name in names_of_run(here.path)
        if parse_epoch_file_name(os.path.basename(name))
    )


def replace_run(here: RunFolder, run: RunFolder, *, keep: bool) -> None:
    """Put the files of a run in the place of those that are here.

    Of each writer in the order of its files, the first writer last: whatever was replaced when this
    is killed, the journal holds what it held, and nothing that an event names is missing.

    ``keep``: what is replaced stays beside it, under the name of a damaged file.
    """
    # A journal of their own, which goes on here: see ``bring_notes``.
    has_notes = any(name.startswith("notes/") for name in names_of_run(here.path))
    with locked_journal(here.journal):
        for name in sorted(names_of_run(run.path), key=_order):
            if has_notes and name.startswith("notes/"):
                continue
            target = here.path / name
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                if filecmp.cmp(target, run.path / name, shallow=False):
                    continue
                if keep:
                    os.link(target, name_for_damage(target))
            # So ``gc`` knows what a kill left.
            aside = target.with_name(f".{os.urandom(4).hex()}-{target.name}")
            try:
                _copy_file(run.path / name, aside)
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)
            fsync_folder(target.parent)


def _order(name: str) -> tuple[bool, int, int, str]:
    file = os.path.basename(name)
    numbers = parse_epoch_file_name(file)
    if numbers is None:
        return file != SPOOL, 0, 0, name
    return name.startswith("notes/"), -numbers[0], numbers[1], name
