"""How a program came to its run, and coming there again with its stored sources.

A stored program is executed from its beginning up to the call that began the run: then everything
that the call could see is defined, as it was. The call itself is not made.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Loading",
    "RunReached",
    "is_loading",
    "note_made",
    "program_facts",
    "stop_at_run",
    "stored_place",
]


class RunReached(BaseException):
    """The program is where it begins a run.

    No ``Exception``, so that a program that catches everything does not catch it.
    """


class Loading:
    """While entered, experiments that are defined are noted, and none is run.

    Parameters
    ----------
    path
        Of the experiment whose run is looked for.
    files
        Where files lie now that the program may name, by where they lay when they were stored.
    cwd
        What relative names of these files are relative to.

    Attributes
    ----------
    found
        The experiment; None until it is defined.
    strangers
        Paths of other experiments that the program wanted to run: those are not run either.
    """

    def __init__(self, path: str, files: Mapping[str, str] | None = None, cwd: str = "") -> None:
        self.path = path
        self.cwd = cwd
        self.files = {os.path.realpath(then): now for then, now in (files or {}).items()}
        self.found: Any = None
        self.strangers: list[str] = []

    def __enter__(self) -> Loading:
        _loading.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _loading.remove(self)

    def execute(self, program: Callable[[], object]) -> None:
        """Call something that defines the experiment, until it would run one.

        Raises
        ------
        BaseException
            Whatever it raises.
        """
        try:
            program()
        except RunReached:
            return


_loading: list[Loading] = []


def note_made(experiment: Any) -> None:
    """Take notice of an experiment that is defined."""
    for loading in _loading:
        if experiment.path == loading.path:
            loading.found = experiment


def stop_at_run(experiment: Any) -> None:
    """End the loading of a program that begins a run.

    Raises
    ------
    RunReached
    """
    for loading in _loading:
        if experiment.path != loading.path:
            loading.strangers.append(experiment.path)
        raise RunReached


def stored_place(filename: Any) -> Any:
    """Return where a file lies that the program names: of a stored one, its stored content."""
    for loading in _loading:
        if isinstance(filename, (str, os.PathLike)):
            for path in (filename, os.path.join(loading.cwd, filename)):
                found = loading.files.get(os.path.realpath(path))
                if found is not None:
                    return found
    return filename


def is_loading() -> bool:
    """Tell whether a stored program is on its way to its run: what it does there is no run again."""
    return bool(_loading)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


#: The working folder of this process when it imported us.
_FIRST_FOLDER = _working_folder()


def program_facts(experiment: Any) -> dict[str, Any]:
    """Return how the program was called, and which of its modules defines the experiment."""
    module = experiment._globals.get("__name__")
    facts = {
        # A script that changes it will do so again; a module is imported where somebody led to.
        "cwd": _FIRST_FOLDER if module == "__main__" else _working_folder(),
        "argv": list(map(str, getattr(sys, "argv", ()))),
        "module": module,
        "package": experiment._globals.get("__package__") or None,
        "experiment": experiment.path,
        "path": _import_folders(experiment.base_dir) or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


#: What the folders of Python itself begin with, and its archive: ``/usr/lib/python``.
_PYTHON = os.path.join(os.path.dirname(os.path.dirname(os.__file__)), "python")


def _import_folders(base_dir: str) -> list[str]:
    """Return the folders of ``sys.path`` that lie below a program's, and hold what is its own."""
    # Of most programs nothing is left here: looking for links takes time, before the run begins.
    entries = [
        entry
        for entry in sys.path
        if isinstance(entry, str)
        and entry != base_dir
        and "-packages" not in entry
        and not entry.startswith(_PYTHON)
    ]
    if not entries:
        return []
    from sacred.core.sources import Installations

    base = os.path.realpath(base_dir)
    installations = Installations(base)
    found: dict[str, None] = {}
    for path in map(os.path.realpath, entries):
        if path.startswith(os.path.join(base, "")) and not installations.hold(path):
            # As the base folder is written, which may be with links.
            found[os.path.normpath(os.path.join(base_dir, os.path.relpath(path, base)))] = None
    return list(found)
