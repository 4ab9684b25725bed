"""Importing the modules of a stored program from where its sources are unpacked, and from nowhere else.

A program names the folders of its modules itself: ``sys.path.insert(0, "src")``, an absolute path, a
finder that an editable installation left. Each of these leads into the checkout as it is now. So,
in the process of a stored program, what leads below the folder that its base folder was leads below
that of the unpacked sources.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.sources import Installations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["StoredImports"]

_LOADERS: tuple[tuple[Any, list[str]], ...] = (
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
    (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
)


class StoredImports:
    """Where the modules of a stored program lie now.

    Parameters
    ----------
    folder
        The one that holds all unpacked sources.
    base, unpacked_base
        The program's base folder as it was, and what stands for it now.
    others
        Further folders of its modules, as they were, and where each is now. Unlike with the base
        folder, nothing is known of what else lies in them.
    """

    def __init__(
        self, folder: str, base: str, unpacked_base: str, others: Mapping[str, str]
    ) -> None:
        self._facts = (folder, base, unpacked_base, dict(others))
        self._base = os.path.realpath(base) if base else ""
        self._unpacked_base = unpacked_base
        self._others = {os.path.realpath(then): now for then, now in others.items()}
        self._installations = Installations(self._base)
        self._folder = os.path.realpath(folder)

    def place(self, path: str) -> str | None:
        """Return where a folder or file of the program is now; None for what is no part of it.

        Whether something is there is not looked at.
        """
        real = os.path.realpath(path)
        if _is_within(real, self._folder):
            return None  # it may lie below the base folder, as anything may
        if real in self._others:
            return self._others[real]
        if not self._base or not _is_within(real, self._base):
            return None
        if self._installations.hold(real if os.path.isdir(real) else os.path.dirname(real)):
            return None
        return os.path.normpath(
            os.path.join(self._unpacked_base, os.path.relpath(real, self._base))
        )

    def install(self, first: Sequence[str]) -> None:
        """Have this process, and those that it starts, import the program's modules from there.

        Parameters
        ----------
        first
            The folders that modules are looked for first.
        """
        left = [entry for entry in sys.path if not _is_text(entry) or self.place(entry) is None]
        sys.path[:] = [*(_StoredPath(path, self._facts) for path in first), *left]
        self._hook()
        try:
            from multiprocessing import set_forkserver_preload

            # It would execute the main file in a process that is told of nothing.
            set_forkserver_preload([])
        except ImportError:  # Windows
            pass

    def _hook(self) -> None:
        sys.path_hooks.insert(0, self._finder)
        for entry in [*sys.path_importer_cache]:
            if _is_text(entry) and self.place(entry) is not None:
                del sys.path_importer_cache[entry]
        sys.meta_path.insert(0, _Guard(self))
        importlib.util.spec_from_file_location = self._spec_from_file_location

    def _finder(self, path: str) -> Any:
        """Return what finds modules in a folder of the program: a hook of ``sys.path_hooks``.

        Raises
        ------
        ImportError
            It is no folder of the program.
        """
        place = self.place(path) if _is_text(path) else None
        if place is None:
            raise ImportError(f"not of the stored program: {path}", path=path)
        # Also for one that is not there: nothing is found in it then, and nobody else is asked.
        return importlib.machinery.FileFinder(place, *_LOADERS)

    def _spec_from_file_location(self, name: str, location: Any = None, **more: Any) -> Any:
        """Take the place of ``importlib.util``'s function: plug-ins are loaded by it, by a file."""
        if isinstance(location, (str, os.PathLike)):
            location = self.checked(name, os.fspath(location))
        return _SPEC_FROM_FILE(name, location, **more)

    def checked(self, name: str, file: str) -> str:
        """Return where the file of a module is now; a file that is none of the program's stays.

        Raises
        ------
        ModuleNotFoundError
            It is one of the program's, and was not stored.
        """
        place = self.place(file)
        if place is not None and not os.path.exists(place):
            raise ModuleNotFoundError(
                f"{name} leads to {file}, which is not stored with this run", name=name
            )
        return file if place is None else place


_SPEC_FROM_FILE = importlib.util.spec_from_file_location


class _StoredPath(str):
    """A folder in ``sys.path`` that takes along where modules are imported from.

    A process that is started anew (``spawn``, joblib's) is sent ``sys.path`` before anything else, and
    executes the main file, which names its folders again.
    """

    __slots__ = ("_facts",)
    _facts: tuple[Any, ...]

    def __new__(cls, path: str, facts: tuple[Any, ...]) -> _StoredPath:
        made = super().__new__(cls, path)
        made._facts = facts
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (str(self), self._facts)


_arrived_with: list[tuple[Any, ...]] = []


def _arrived(path: str, facts: tuple[Any, ...]) -> _StoredPath:
    """Do in another process as in the one that a folder comes from."""
    if facts not in _arrived_with:
        _arrived_with.append(facts)
        StoredImports(*facts)._hook()
    return _StoredPath(path, facts)


class _Guard:
    """The first finder: asks the others, and lets none lead into the checkout."""

    def __init__(self, stored: StoredImports) -> None:
        self._stored = stored

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is None:
                continue
            if not spec.has_location or not _is_text(spec.origin):
                return spec
            file = self._stored.checked(name, spec.origin)
            # A finder of its own kind, such as that of an editable installation.
            return spec if file == spec.origin else _SPEC_FROM_FILE(name, file)
        return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
