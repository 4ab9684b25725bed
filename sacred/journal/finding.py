"""How a person names runs (a number, ``last``, ``id:X``, the path of a folder), and commands for them.

What is none of these may be a name, which whoever can read many journals fast looks up (``by_name``).
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError, NoRootError, NotAJournalError, RunNotFoundError
from sacred.journal.events import EventType
from sacred.journal.integers import text_of
from sacred.journal.root import JournalRoot, RunFolder, find_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sacred.journal.reader import JournalReader

    ByName = Callable[[JournalRoot, str], RunFolder]

__all__ = [
    "command_for",
    "command_on",
    "find_run",
    "find_runs",
    "has_journal",
    "looking_root",
    "names_no_run",
    "select_runs",
    "start_fields",
    "start_time",
]


_LAST = re.compile(r"last(?:~(\d{1,9}))?\Z")


def _reader_of(folder: RunFolder) -> JournalReader:
    from sacred.journal.reader import JournalReader  # 10 ms, and a list that is kept needs none

    return JournalReader(folder.journal)


def start_fields(folder: RunFolder) -> dict[str, Any]:
    """Return the fields of a run's start, reading no further; empty if none can be read."""
    with contextlib.suppress(JournalError, OSError):
        reader = _reader_of(folder)
        try:
            for event in reader.read():
                if event.type in {EventType.RUN_STARTED, EventType.RUN_QUEUED}:
                    return event.fields
        finally:
            reader.close()
    return {}


def start_time(folder: RunFolder) -> int | None:
    """Return when a run began (ns since the epoch), or was queued if it did not; None if unknown."""
    found: int | None = None
    with contextlib.suppress(JournalError, OSError):
        reader = _reader_of(folder)
        try:
            for event in reader.read():
                if event.type in {EventType.RUN_STARTED, EventType.RUN_QUEUED}:
                    found = event.time
                    if event.type == EventType.RUN_STARTED:
                        break
        finally:
            reader.close()
    return found


def find_run(root: JournalRoot, text: str, *, by_name: ByName | None = None) -> RunFolder:
    """Find the run that a person names.

    Parameters
    ----------
    root
        Where the runs are.
    text
        A folder's number, ``last``, ``last~2`` (two before the last), ``id:X`` (the run whose
        ``_run._id`` is X), or the path of a run's folder.
    by_name
        Finds what is none of these (``sacred.replayers.run_names``), or raises; None: no run is.

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
            raise RunNotFoundError(
                f"there is no run {number} in {root.path}{_there_are(root, number)}"
            )
        if not path.is_dir():
            raise NotAJournalError(f"{path} is no folder, and so no run")
        claimed = RunFolder(path, number)
        return claimed if claimed.holds_nothing() else RunFolder.at(path)
    match = _LAST.match(text)
    if match:
        folders = [folder for folder in root.runs() if has_journal(folder)]
        back = int(match[1] or 0)
        if back >= len(folders):
            raise RunNotFoundError(f"there is no run {text} in {root.path}{_there_are(root)}")
        return folders[-1 - back]
    if text.startswith("id:"):
        wanted = text.removeprefix("id:")
        found = [
            folder
            for folder in root.runs()
            if (ident := start_fields(folder).get("run_id")) is not None
            and text_of(ident) == wanted
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
    if by_name is not None:
        return by_name(root, text)
    raise names_no_run(text)


def names_no_run(text: str, near: str | None = None) -> RunNotFoundError:
    """Return the error of a text that is nobody's name; ``near`` is the name that may be meant."""
    try:
        here = f" (./{text} for the one in this folder)" if os.path.exists(text) else ""
    except ValueError:  # no path at all, such as one with a NUL
        here = ""
    meant = f"did you mean {near!r}? Else " if near is not None else ""
    return RunNotFoundError(
        f"{text!r} names no run: {meant}write its number, last, last~2, id:X or the path of its "
        f"folder{here}"
    )


def _there_are(root: JournalRoot, number: int | None = None) -> str:
    if number in root._trashed():
        return (
            f": it is in the trash, {command_for('rm --restore', str(number), root)} brings it back"
        )
    try:
        numbers = root.numbers()
    except NoRootError:
        return ""
    if not numbers:
        return ", which holds no runs yet"
    if len(numbers) == 1:
        return f", which holds run {numbers[0]} only"
    return f", which holds runs {numbers[0]} to {numbers[-1]}"


def has_journal(folder: RunFolder) -> bool:
    """Tell whether a run's folder has one, as far as that can be seen."""
    try:
        return folder.journal.is_dir()
    except OSError:  # nobody may look: to be shown as such
        return True


def looking_root(given: str | None = None) -> JournalRoot:
    """Find the root to look into: the given one, ``$SACRED_JOURNAL_ROOT``, or as git does.

    Raises
    ------
    NoRootError
        There is none; the text says where was looked and what to do.
    """
    named = os.environ.get("SACRED_JOURNAL_ROOT")
    try:
        return find_root(given=given or named or None)
    except NoRootError as error:
        if given or not named:
            raise
        raise NoRootError(f"SACRED_JOURNAL_ROOT names no root: {error}") from None


def command_for(verb: str, runs: str, root: JournalRoot) -> str:
    """Return what a person types here to have something done with runs of a root.

    Parameters
    ----------
    verb
        The command of ``sacred``.
    runs
        As a person names them: ``57``, ``--all``.
    root
        Where they are: it is named where the command would not find it by itself.
    """
    import shlex

    try:
        if looking_root().path == root.path:
            return f"sacred {verb} {runs}"
    except NoRootError:
        pass
    inside = os.path.relpath(root.path)
    place = str(root.path) if inside.startswith(os.pardir) else inside
    return f"sacred {verb} {runs} --root {shlex.quote(place)}"


def command_on(verb: str, folder: RunFolder) -> str:
    """Do so for one run; one that lies in no root is named by its path."""
    if folder.number is not None and folder.root.exists():
        return command_for(verb, str(folder.number), folder.root)
    import shlex

    return f"sacred {verb} {shlex.quote(str(folder.path))}"


def find_runs(
    root: JournalRoot,
    runs: Iterable[str | int | RunFolder],
    *,
    by_name: ByName | None = None,
) -> list[RunFolder]:
    """Find the runs that a person or a program names, each once.

    Parameters
    ----------
    root
        Where the runs are.
    runs
        Each as for ``find_run``, or the folder itself.
    by_name
        As for ``find_run``.

    Raises
    ------
    RunNotFoundError, NotAJournalError, NoRootError
    """
    found: dict[Path, RunFolder] = {}
    for run in runs:
        folder = run if isinstance(run, RunFolder) else find_run(root, str(run), by_name=by_name)
        found.setdefault(folder.path, folder)
    return list(found.values())


def select_runs(
    texts: tuple[str, ...], root: str | None = None, *, by_name: ByName | None = None
) -> tuple[RunFolder, ...]:
    """Find the runs that a person names; every run of the root if none is named.

    Raises
    ------
    NoRootError, RunNotFoundError, NotAJournalError
    """
    if not texts:
        return tuple(folder for folder in looking_root(root).runs() if has_journal(folder))
    try:
        found = looking_root(root)
    except NoRootError:
        # A path needs no root around it.
        if not all(os.sep in text for text in texts):
            raise
        found = JournalRoot(os.getcwd())
    return tuple(find_runs(found, texts, by_name=by_name))
