"""The sources and packages that an experiment depends on.

What counts as found is decided by ``SETTINGS.DISCOVER_SOURCES`` and
``SETTINGS.DISCOVER_DEPENDENCIES``. A *source* is a file below the experiment's base folder that was
imported under the name that its place there says; a *dependency* is an installed package.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.distributions import all_distributions, distribution_of, find_distribution
from sacred.core.repositories import (
    PendingGitState,
    RepositoryState,
    check_clean_repositories,
    repository_root,
    start_git_query,
    state_of_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

__all__ = [
    "PackageDependency",
    "PendingGitState",
    "RepositoryState",
    "Source",
    "check_clean_repositories",
    "convert_path_to_module_parts",
    "dependency_discovery_strategies",
    "gather_sources_and_dependencies",
    "get_digest",
    "get_main_file",
    "get_py_file_if_possible",
    "is_local_source",
    "repository_root",
    "source_discovery_strategies",
    "start_git_query",
]

_ROOT_MARKER = ".sacred-journal"


def get_digest(filename: str | Path) -> str:
    """Return the MD5 of a file's content, in hexadecimal.

    Raises
    ------
    OSError
        If the file can not be read.
    """
    import hashlib

    # MD5 is what the documents of Sacred name files by; it protects nothing here.
    digest = hashlib.md5(usedforsecurity=False)
    with open(filename, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
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
    """

    __slots__ = ("__dict__", "_digest", "_save_git_info", "_state", "filename")

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
        self._save_git_info = False
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
        source._save_git_info = save_git_info
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
        if not self._save_git_info:
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


class PackageDependency:
    """An installed package that the experiment depends on.

    Attributes
    ----------
    name
        The name of the distribution, or of the module where no distribution is known.
    version
        Its version, or None while it is not known.
    """

    __slots__ = ("__dict__", "name", "version")

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name = name
        self.version = version

    @classmethod
    def create(cls, mod: ModuleType) -> PackageDependency:
        """Return the dependency that a module stands for."""
        distribution = distribution_of(mod.__name__, _file_of(mod))
        if distribution is None:
            return cls(mod.__name__.split(".", 1)[0], None)
        return cls(distribution.name, distribution.version)

    def fill_missing_version(self) -> None:
        """Look the version up if it is not known."""
        if self.version is None:
            distribution = find_distribution(self.name)
            self.version = distribution.version if distribution else None

    def to_json(self) -> str:
        """Return ``name==version``."""
        return f"{self.name}=={self.version or '<unknown>'}"

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackageDependency) and self.name == other.name

    def __lt__(self, other: PackageDependency) -> bool:
        return self.name < other.name

    def __repr__(self) -> str:
        return f"<PackageDependency: {self.name}={self.version}>"


def gather_sources_and_dependencies(
    globs: Mapping[str, Any], save_git_info: bool, base_dir: str | Path | None = None
) -> tuple[Source | None, set[Source], set[PackageDependency]]:
    """Find the sources and packages that a module depends on.

    Parameters
    ----------
    globs
        The module's globals.
    save_git_info
        False leaves git alone.
    base_dir
        The folder that sources lie below; the one of the main file by default.

    Returns
    -------
    tuple
        The main file (None without ``__file__``), the sources with it, and the packages; numpy is
        always among them when it is installed, because it decides random numbers.

    Raises
    ------
    KeyError
        If one of the two settings names no strategy.
    """
    from sacred.core.settings import SETTINGS

    experiment_path, main = get_main_file(globs, save_git_info)
    base_path = os.path.realpath(base_dir) if base_dir is not None else experiment_path
    find_sources = _strategy(
        source_discovery_strategies, SETTINGS.DISCOVER_SOURCES, "DISCOVER_SOURCES"
    )
    find_dependencies = _strategy(
        dependency_discovery_strategies, SETTINGS.DISCOVER_DEPENDENCIES, "DISCOVER_DEPENDENCIES"
    )
    sources = set(find_sources(globs, base_path, save_git_info))
    if main is not None:
        sources.add(main)
    dependencies = set(find_dependencies(globs, base_path))
    numpy = find_distribution("numpy")
    if numpy is not None:
        dependencies.add(PackageDependency(numpy.name, numpy.version))
    return main, sources, dependencies


def _strategy(strategies: Mapping[str, Any], name: str, setting: str) -> Any:
    if name not in strategies:
        raise KeyError(
            f"SETTINGS.{setting} is {name!r}. Set it to one of {', '.join(sorted(strategies))}."
        )
    return strategies[name]


def get_main_file(globs: Mapping[str, Any], save_git_info: bool) -> tuple[str, Source | None]:
    """Return the folder of a module and its source; the working folder if it has no file."""
    filename = globs.get("__file__")
    if filename is None:
        return os.path.abspath(os.curdir), None
    main = Source.create(os.path.abspath(filename), save_git_info)
    return os.path.dirname(main.filename), main


def get_py_file_if_possible(pyc_name: str) -> str:
    """Return the file that a compiled file was made from, if it lies beside it."""
    stem, extension = os.path.splitext(pyc_name)
    if extension not in (".pyc", ".pyo"):
        return pyc_name
    candidate = stem + ".py"
    return candidate if os.path.exists(candidate) else pyc_name


# -- sources --------------------------------------------------------------------------------------


def convert_path_to_module_parts(path: Path) -> list[str]:
    """Return the parts of the module name that a relative path stands for."""
    return _module_parts(list(path.parts))


def _module_parts(parts: list[str]) -> list[str]:
    if parts and parts[-1] in ("__init__.py", "__init__.pyc"):
        return parts[:-1]
    return [*parts[:-1], *(os.path.splitext(name)[0] for name in parts[-1:])]


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


def iterate_imported_modules(globs: Mapping[str, Any]) -> Iterator[ModuleType]:
    """Yield the modules that the values of a module's globals are, or come from.

    The packages that these are in follow each of them. Nothing is yielded twice.
    """
    names: dict[str, None] = {}
    for value in list(globs.values()):
        name = _module_name_of(value)
        while name:
            names[name] = None
            name = name.rpartition(".")[0]
    for name in names:
        module = sys.modules.get(name)
        if module is not None:
            yield module


def _module_name_of(value: Any) -> str:
    try:
        # Not isinstance: that asks the object for its class, and a lazy one would wake up.
        name = value.__name__ if issubclass(type(value), type(sys)) else value.__module__
    except Exception:
        # Lazy objects and proxies may raise anything when they are looked at.
        return ""
    return name if isinstance(name, str) else ""


def iterate_sys_modules() -> Iterator[ModuleType]:
    """Yield all loaded modules."""
    yield from [module for module in list(sys.modules.values()) if isinstance(module, type(sys))]


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


def get_sources_from_modules(
    module_iterator: Iterable[ModuleType], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources among some modules."""
    sources = set()
    for module in module_iterator:
        file = _file_of(module)
        if file is None:
            continue
        file = get_py_file_if_possible(os.path.abspath(file))
        if is_local_source(file, module.__name__, base_path) and os.path.exists(file):
            sources.add(Source.create(file, save_git_info))
    return sources


def get_sources_from_imported_modules(
    globs: Mapping[str, Any], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources that a module's globals come from."""
    return get_sources_from_modules(iterate_imported_modules(globs), base_path, save_git_info)


def get_sources_from_sys_modules(
    _globs: Mapping[str, Any], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources among all loaded modules."""
    return get_sources_from_modules(iterate_sys_modules(), base_path, save_git_info)


def get_sources_from_local_dir(
    _globs: Mapping[str, Any], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return every Python file below the base folder as a source."""
    return {Source.create(file, save_git_info) for file in iterate_all_python_files(base_path)}


def _no_sources(
    _globs: Mapping[str, Any], _base_path: str | Path, _save_git_info: bool
) -> set[Source]:
    return set()


# -- dependencies ---------------------------------------------------------------------------------


def get_dependencies_from_modules(
    module_iterator: Iterable[ModuleType], base_path: str | Path
) -> set[PackageDependency]:
    """Return the installed packages among some modules."""
    dependencies = set()
    seen = set()
    for module in module_iterator:
        top_level = module.__name__.split(".", 1)[0]
        if top_level in seen or top_level.startswith("_"):
            continue
        file = _file_of(module)
        if file is not None and is_local_source(file, module.__name__, base_path):
            continue
        seen.add(top_level)
        dependency = PackageDependency.create(sys.modules.get(top_level, module))
        if dependency.version is not None:
            dependencies.add(dependency)
    return dependencies


def get_dependencies_from_imported_modules(
    globs: Mapping[str, Any], base_path: str | Path
) -> set[PackageDependency]:
    """Return the installed packages that a module's globals come from."""
    return get_dependencies_from_modules(iterate_imported_modules(globs), base_path)


def get_dependencies_from_sys_modules(
    _globs: Mapping[str, Any], base_path: str | Path
) -> set[PackageDependency]:
    """Return the installed packages among all loaded modules."""
    return get_dependencies_from_modules(iterate_sys_modules(), base_path)


def get_dependencies_from_pkg(
    _globs: Mapping[str, Any], _base_path: str | Path
) -> set[PackageDependency]:
    """Return every installed package."""
    return {PackageDependency(name, version) for name, version in all_distributions()}


def _no_dependencies(_globs: Mapping[str, Any], _base_path: str | Path) -> set[PackageDependency]:
    return set()


def _file_of(module: ModuleType) -> str | None:
    try:
        file = module.__file__
    except Exception:
        return None
    return file if isinstance(file, str) else None


#: How sources are found, by the value of ``SETTINGS.DISCOVER_SOURCES``.
source_discovery_strategies: dict[str, Callable[..., set[Source]]] = {
    "none": _no_sources,
    "imported": get_sources_from_imported_modules,
    "sys": get_sources_from_sys_modules,
    "dir": get_sources_from_local_dir,
}

#: How packages are found, by the value of ``SETTINGS.DISCOVER_DEPENDENCIES``.
dependency_discovery_strategies: dict[str, Callable[..., set[PackageDependency]]] = {
    "none": _no_dependencies,
    "imported": get_dependencies_from_imported_modules,
    "sys": get_dependencies_from_sys_modules,
    "pkg": get_dependencies_from_pkg,
}
