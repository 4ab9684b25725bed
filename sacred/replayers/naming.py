"""How a person names runs: by number, ``last``, ``id:X`` or the path of a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sacred.journal.errors import NoRootError, NotAJournalError, RunNotFoundError
from sacred.journal.root import JournalRoot, RunFolder, find_root
from sacred.replayers.start import start_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["find_run", "find_runs", "looking_root", "select_runs"]

_LAST = re.compile(r"last(?:~(\d{1,9}))?\Z")


def looking_root(given: str | None = None) -> JournalRoot:
    """Find the root to look into: the given one, ``$SACRED_JOURNAL_ROOT``, or as git does.

    Raises
    ------
    NoRootError
        There is none; the text says where was looked and what to do.
    """
    return find_root(given=given or os.environ.get("SACRED_JOURNAL_ROOT") or None)


def find_run(root: JournalRoot, text: str) -> RunFolder:
    """Find the run that a person names.

    Parameters
    ----------
    root
        Where the runs are.
    text
        A folder's number, ``last``, ``last~2`` (two before the last), ``id:X`` (the run whose
        ``_run._id`` is X), or the path of a run's folder.

    Raises
    ------
    RunNotFoundError
        There is none, or there are several with that id; the text says which there are.
    NotAJournalError
        The path is no run's folder.
    """
    if os.sep in text or text in {".", ".."}:
        return RunFolder.at(text)
    if text.isascii() and text.isdigit() and len(text) < 19:
        number = int(text)
        path = root.path / str(number)
        if not os.path.lexists(path):
            raise RunNotFoundError(f"there is no run {number} in {root.path}{_there_are(root)}")
        if not path.is_dir():
            raise NotAJournalError(f"{path} is no folder of a run")
        claimed = RunFolder(path, number)
        return claimed if claimed.holds_nothing() else RunFolder.at(path)
    match = _LAST.match(text)
    if match:
        folders = [folder for folder in root.runs() if _has_journal(folder)]
        back = int(match[1] or 0)
        if back >= len(folders):
            raise RunNotFoundError(f"there is no run {text} in {root.path}{_there_are(root)}")
        return folders[-1 - back]
    if text.startswith("id:"):
        wanted = text.removeprefix("id:")
        found = [
            folder
            for folder in root.runs()
            if (ident := start_fields(folder).get("run_id")) is not None and str(ident) == wanted
        ]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = ", ".join(str(folder.number) for folder in found)
            raise RunNotFoundError(
                f"several runs in {root.path} have the id {wanted!r}: name one by its number, "
                f"{numbers}"
            )
        raise RunNotFoundError(f"there is no run with the id {wanted!r} in {root.path}")
    raise RunNotFoundError(
        f"{text!r} names no run: write its number, last, last~2, id:X or the path of its folder"
    )


def find_runs(root: JournalRoot, runs: Iterable[str | int | RunFolder]) -> list[RunFolder]:
    """Find the runs that a person or a program names, each once.

    Parameters
    ----------
    root
        Where the runs are.
    runs
        Each as for ``find_run``, or the folder itself.

    Raises
    ------
    RunNotFoundError, NotAJournalError, NoRootError
    """
    found: dict[Path, RunFolder] = {}
    for run in runs:
        folder = run if isinstance(run, RunFolder) else find_run(root, str(run))
        found.setdefault(folder.path, folder)
    return list(found.values())


def select_runs(texts: tuple[str, ...], root: str | None = None) -> tuple[RunFolder, ...]:
    """Find the runs that a person names; every run of the root if none is named.

    Raises
    ------
    NoRootError, RunNotFoundError, NotAJournalError
    """
    if not texts:
        return tuple(folder for folder in looking_root(root).runs() if _has_journal(folder))
    try:
        found = looking_root(root)
    except NoRootError:
        # A path needs no root around it.
        if not all(os.sep in text for text in texts):
            raise
        found = JournalRoot(os.getcwd())
    return tuple(find_runs(found, texts))


def _there_are(root: JournalRoot) -> str:
    try:
        numbers = root.numbers()
    except NoRootError:
        return ""
    if not numbers:
        return ", which holds no runs yet"
    if len(numbers) == 1:
        return f", which holds run {numbers[0]} only"
    return f", which holds runs {numbers[0]} to {numbers[-1]}"


def _has_journal(folder: RunFolder) -> bool:
    try:
        return folder.journal.is_dir()
    except OSError:  # nobody may look: to be shown as such
        return True
