"""A source: a file that an experiment depends on, and which files count as one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.repositories import state_of_file
from sacred.journal.digests import md5
from sacred.journal.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "Installations",
    "Source",
    "convert_path_to_module_parts",
    "existing_part",
    "get_digest",
    "get_main_file",
    "get_py_file_if_possible",
    "import_folder",
    "is_local_source",
    "iterate_all_python_files",
    "module_name",
]

_ROOT_MARKER = ".sacred-journal"
#: What lies in a folder that no program is written in: a virtual environment, one of conda, a root.
_MARKERS = frozenset({"pyvenv.cfg", "conda-meta", _ROOT_MARKER})
_PACKAGES = frozenset({"site-packages", "dist-packages"})


def get_digest(filename: str | Path) -> str:
    """Return the MD5 of a file's content, in hexadecimal.

    Raises
    ------
    OSError
        If the file can not be read.
    """
    # What the documents of Sacred name files by.
    digest = md5()
    with open(filename, "rb") as file:
        content = Snapshot(file)
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Source:
    """A file that the experiment depends on.

    Attributes
    ----------
    filename
        The absolute path, without symbolic links.
    digest
        The MD5 of its content; read when first asked for, unless given.
    repo, commit, is_dirty
        The state of the repository that the file is in; None where there is none. git is asked
        when one of them is read first, unless they were given.
    save_git_info
        Whether git may be asked.
    """

    __slots__ = ("__dict__", "_digest", "_state", "filename", "save_git_info")

    def __init__(
        self,
        filename: str,
        digest: str | None = None,
        repo: str | None = None,
        commit: str | None = None,
        isdirty: bool | None = None,
    ) -> None:
        self.filename = os.path.realpath(filename)
        self._digest = digest
        self.save_git_info = False
        self._state: tuple[str | None, str | None, bool | None] = (repo, commit, isdirty)

    @staticmethod
    def create(filename: str | Path, save_git_info: bool = True) -> Source:
        """Return the source for a file.

        Parameters
        ----------
        filename
            A file that exists. A compiled one (``.pyc``) stands for the file it was made from.
        save_git_info
            False leaves git alone.

        Raises
        ------
        ValueError
            If there is no such file.
        """
        path = os.fspath(filename)
        if not path or not os.path.exists(path):
            raise ValueError(f'invalid filename or file not found "{path}"')
        source = Source(get_py_file_if_possible(os.path.abspath(path)))
        source.save_git_info = save_git_info
        return source

    @property
    def digest(self) -> str:
        """The MD5 of the content, in hexadecimal."""
        if self._digest is None:
            self._digest = get_digest(self.filename)
        return self._digest

    @property
    def repo(self) -> str | None:
        """The URL of the repository, or ``git:/`` and its folder."""
        return self._git_state()[0]

    @property
    def commit(self) -> str | None:
        """The commit that the repository stands on."""
        return self._git_state()[1]

    @property
    def is_dirty(self) -> bool | None:
        """Whether tracked files of the repository have changes."""
        return self._git_state()[2]

    def _git_state(self) -> tuple[str | None, str | None, bool | None]:
        if not self.save_git_info:
            return self._state
        return state_of_file(self.filename) or (None, None, None)

    def to_json(self, base_dir: str | Path | None = None) -> tuple[str, str]:
        """Return the file's name, relative to a folder if one is given, and its digest."""
        if base_dir is None:
            return self.filename, self.digest
        return os.path.relpath(self.filename, os.path.realpath(base_dir)), self.digest

    def __hash__(self) -> int:
        return hash(self.filename)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.filename == other.filename

    def __lt__(self, other: Source) -> bool:
        return self.filename < other.filename

    def __repr__(self) -> str:
        return f"<Source: {self.filename}>"


def get_main_file(globs: Mapping[str, Any], save_git_info: bool) -> tuple[str, Source | None]:
    """Return the folder of a module and its source.

    Of a module in an archive (a zip application) that is the archive. Without a file on the disk
    (at the prompt, in a frozen application) it is the working folder, and there is no source.
    """
    filename = globs.get("__file__")
    path = existing_part(os.path.abspath(filename)) if filename else os.curdir
    if not os.path.isfile(path):
        return os.path.abspath(os.curdir), None
    main = Source.create(path, save_git_info)
    return os.path.dirname(main.filename), main


def existing_part(path: str) -> str:
    """Return a path, or the nearest one above it at which something is."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def get_py_file_if_possible(pyc_name: str) -> str:
    """Return the file that a compiled file was made from, if it lies beside it."""
    stem, extension = os.path.splitext(pyc_name)
    if extension not in (".pyc", ".pyo"):
        return pyc_name
    candidate = stem + ".py"
    return candidate if os.path.exists(candidate) else pyc_name


def convert_path_to_module_parts(path: Path) -> list[str]:
    """Return the parts of the module name that a relative path stands for."""
    return _module_parts(list(path.parts))


def _module_parts(parts: list[str]) -> list[str]:
    if parts and parts[-1] in ("__init__.py", "__init__.pyc"):
        return parts[:-1]
    return [*parts[:-1], *(os.path.splitext(name)[0] for name in parts[-1:])]


def module_name(relative: str) -> str:
    """Return the name that a file is imported by from the folder that its path is relative to."""
    return ".".join(_module_parts(relative.split(os.sep)))


def is_local_source(filename: str | Path, modname: str, experiment_path: str | Path) -> bool:
    """Return whether a module's file lies where its name says below a folder.

    The folder may itself lie in the package that the name begins with: ``pkg.sub.tools`` is local
    to ``pkg`` and to ``pkg/sub``. Files below a root of journals never count.
    """
    base = os.path.join(os.path.realpath(experiment_path), "")
    file = os.path.realpath(filename)
    if not file.startswith(base):
        return False
    parts = file[len(base) :].split(os.sep)
    named = modname.split(".")
    # A name that is shorter than the path below the folder is of a package that is installed there,
    # as in a virtual environment; one that is longer goes on in the folders above.
    if len(_module_parts(parts)) > len(named):
        return False
    if _module_parts(file.split(os.sep))[-len(named) :] != named:
        return False
    folders = [os.path.join(base, *parts[:depth]) for depth in range(len(parts))]
    return not any(os.path.exists(os.path.join(folder, _ROOT_MARKER)) for folder in folders)


def import_folder(filename: str, modname: str) -> str | None:
    """Return the folder that a module was imported from, ``src`` of ``src/pkg/tools.py``.

    None if its file does not lie where its name says below any folder.
    """
    folder, last = os.path.split(filename)
    parts = modname.split(".")
    # An extension module has two dots: `fast.cpython-311-x86_64-linux-gnu.so`.
    stem = last.partition(".")[0]
    if stem != "__init__" and stem != parts.pop():
        return None
    for part in reversed(parts):
        folder, last = os.path.split(folder)
        if last != part:
            return None
    return folder


class Installations:
    """Tells which folders below an experiment's hold what is installed, and no part of the program.

    Virtual environments, those of conda, interpreters, ``site-packages``, folders that pip was
    given as a target, this package, and roots of journals.

    Parameters
    ----------
    base
        The experiment's folder, without symbolic links; it holds the program whatever lies in it.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._known: dict[str, bool] = {}
        self._prefixes: set[str] | None = None

    def hold(self, folder: str) -> bool:
        """Tell whether a folder below the base, without symbolic links, is in one."""
        if len(folder) <= len(self._base):
            return False
        known = self._known.get(folder)
        if known is None:
            known = self.hold(os.path.dirname(folder)) or self._is_one(folder)
            self._known[folder] = known
        return known

    def _is_one(self, folder: str) -> bool:
        if self._prefixes is None:
            own = os.path.dirname(os.path.dirname(__file__))
            places = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), own)
            self._prefixes = set(map(os.path.realpath, places))
        if folder in self._prefixes or os.path.basename(folder) in _PACKAGES:
            return True
        try:
            names = os.listdir(folder)
        except OSError:
            return False
        return any(name in _MARKERS or name.endswith(".dist-info") for name in names)


def iterate_all_python_files(base_path: str | Path) -> Iterator[str]:
    """Yield every ``.py`` file below a folder, in order.

    Roots of journals, virtual environments and ``.git`` are passed over.
    """
    for folder, folders, files in os.walk(base_path):
        if not {_ROOT_MARKER, "pyvenv.cfg"}.isdisjoint([*files, *folders]):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__"))
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(folder, name)
