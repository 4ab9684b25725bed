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
from sacred.core.imports import (
    file_of,
    iterate_imported_modules,
    iterate_sys_modules,
    reachable_modules,
)
from sacred.core.repositories import (
    PendingGitState,
    RepositoryState,
    check_clean_repositories,
    repository_root,
    start_git_query,
)
from sacred.core.sources import (
    Installations,
    Source,
    convert_path_to_module_parts,
    get_digest,
    get_main_file,
    get_py_file_if_possible,
    import_folder,
    is_local_source,
    iterate_all_python_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
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
    "get_commit_if_possible",
    "get_digest",
    "get_main_file",
    "get_py_file_if_possible",
    "is_local_source",
    "iterate_all_python_files",
    "iterate_imported_modules",
    "iterate_sys_modules",
    "repository_root",
    "source_discovery_strategies",
    "start_git_query",
]


#: Sacred's name for a mebibyte.
MB = 1024 * 1024

#: How Python packages write their versions (PEP 440).
PEP440_VERSION = (
    r"(\d+!)?\d+(\.\d+)*((a|b|c|rc)\d+)?(\.?post\d+)?(\.?dev\d+)?"
    r"(\+[a-zA-Z0-9]+([.\-_][a-zA-Z0-9]+)*)?"
)


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
        distribution = distribution_of(mod.__name__, file_of(mod))
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


def get_commit_if_possible(
    filename: str | Path, save_git_info: bool
) -> tuple[str | None, str | None, bool | None]:
    """Return (address, commit, has changes) of the git repository that a file is in.

    All three are None where there is none, or without ``save_git_info``.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    source = Source.create(filename, save_git_info)
    return source.repo, source.commit, source.is_dirty


def gather_sources_and_dependencies(
    globs: Mapping[str, Any],
    save_git_info: bool,
    base_dir: str | Path | None = None,
    *,
    also: Iterable[Any] = (),
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
    also
        Functions and modules that count as if they stood in the globals.

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
    globs = {**globs, **{f"<{number}>": value for number, value in enumerate(also)}}
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


# -- sources --------------------------------------------------------------------------------------


def is_local_module(module: ModuleType, base_path: str | Path) -> bool:
    """Return whether a module's file lies where its name says below a folder."""
    file = file_of(module)
    return file is not None and is_local_source(
        get_py_file_if_possible(os.path.abspath(file)), module.__name__, base_path
    )


def is_own_module(module: ModuleType, base_path: str | Path) -> bool:
    """Return whether a module is local, or a package without a file whose folder is."""
    if file_of(module) is not None:
        return is_local_module(module, base_path)
    base = os.path.join(os.path.realpath(base_path), "")
    folders = list(getattr(module, "__path__", None) or ())
    return any(os.path.realpath(str(folder)).startswith(base) for folder in folders)


def own_modules(globs: Mapping[str, Any], base_path: str | Path) -> Callable[[ModuleType], bool]:
    """Return what tells whether a module is one of the program's own.

    Parameters
    ----------
    globs
        The globals of the module that defines the experiment.
    base_path
        The folder that sources lie below.

    Returns
    -------
    function
        True for modules below that folder, also those that are imported from a folder in it, such
        as ``src``, and for those of the package that the experiment is defined in, which can not
        be started without them: ``python -m pkg.sub.train``. What is installed is none, nor are
        the modules above the folder of a package without ``__init__.py``.
    """
    package = str(globs.get("__package__") or "")
    around = folder_around(package, globs.get("__file__"))
    top = package.partition(".")[0]
    is_from_within = _imported_within(base_path)

    def is_own(module: ModuleType) -> bool:
        if is_own_module(module, base_path) or is_from_within(module):
            return True
        of_package = around is not None and module.__name__.partition(".")[0] == top
        return of_package and is_own_module(module, str(around))

    return is_own


#: Where most modules lie that are none of a program's: looking for links takes ten times as long.
_ELSEWHERE = tuple(
    os.path.join(os.path.dirname(path), "") for path in (os.__file__, os.path.dirname(__file__))
)


def _imported_within(base_path: str | Path) -> Callable[[ModuleType], bool]:
    """Return what tells whether a module was imported from a folder below another one.

    That folder was on ``sys.path``, whoever put it there, or a finder led to it, as for an editable
    installation. Sacred knows no such sources: a run of a program with a ``src`` has nothing then
    of what it computed by, and can not be started again.
    """
    base = os.path.realpath(base_path)
    installations = Installations(base)

    def is_from_within(module: ModuleType) -> bool:
        file = file_of(module)
        if file is None or "-packages" in file or file.startswith(_ELSEWHERE):
            return False
        if os.path.dirname(base) == base:
            return False  # of an application without files: everything lies below `/`
        file = os.path.realpath(get_py_file_if_possible(os.path.abspath(file)))
        return (
            file.startswith(os.path.join(base, ""))
            and import_folder(file, module.__name__) is not None
            and not installations.hold(os.path.dirname(file))
        )

    return is_from_within


def folder_around(package: str, file: Any) -> str | None:
    """Return the folder that a module's package is imported from; None if there is no package."""
    if not package or not isinstance(file, str):
        return None
    folder = os.path.dirname(os.path.realpath(file))
    for name in reversed(package.split(".")):
        if os.path.basename(folder) != name:
            return None
        folder = os.path.dirname(folder)
    # A folder without `__init__.py` may be one that tests or scripts of all kinds lie in.
    is_package = os.path.isfile(os.path.join(folder, package.partition(".")[0], "__init__.py"))
    return folder if is_package and not folder.endswith("-packages") else None


def get_sources_from_modules(
    module_iterator: Iterable[ModuleType], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources among some modules."""
    local = [module for module in module_iterator if is_local_module(module, base_path)]
    return _sources_of(local, save_git_info)


def _sources_of(modules: Iterable[ModuleType], save_git_info: bool) -> set[Source]:
    sources = set()
    for module in modules:
        file = file_of(module)
        if file is None:
            continue
        file = get_py_file_if_possible(os.path.abspath(file))
        if os.path.exists(file):
            sources.add(Source.create(file, save_git_info))
    return sources


def get_sources_from_imported_modules(
    globs: Mapping[str, Any], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources that a module, and what it imports of them, were made of."""
    modules = reachable_modules(globs, own_modules(globs, base_path))
    return _sources_of([module for module, is_own in modules if is_own], save_git_info)


def get_sources_from_sys_modules(
    globs: Mapping[str, Any], base_path: str | Path, save_git_info: bool
) -> set[Source]:
    """Return the sources among all loaded modules."""
    is_own = own_modules(globs, base_path)
    return _sources_of(filter(is_own, iterate_sys_modules()), save_git_info)


def get_sources_from_local_dir(
    globs: Mapping[str, Any],  # noqa: ARG001
    base_path: str | Path,
    save_git_info: bool,
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
    return packages_of((module, is_own_module(module, base_path)) for module in module_iterator)


def packages_of(modules: Iterable[tuple[ModuleType, bool]]) -> set[PackageDependency]:
    """Return the installed packages among modules that come with whether they are own ones."""
    dependencies = set()
    seen = set()
    for module, is_own in modules:
        top_level = module.__name__.split(".", 1)[0]
        if is_own or top_level in seen or top_level.startswith("_"):
            continue
        seen.add(top_level)
        dependency = PackageDependency.create(sys.modules.get(top_level, module))
        if dependency.version is not None:
            dependencies.add(dependency)
    return dependencies


def get_dependencies_from_imported_modules(
    globs: Mapping[str, Any], base_path: str | Path
) -> set[PackageDependency]:
    """Return the installed packages that a module, or a source that it imports, imports."""
    modules = reachable_modules(globs, own_modules(globs, base_path))
    # One that is installed and its own package is both a source and a package.
    return packages_of((module, is_own_module(module, base_path)) for module, _ in modules)


def get_dependencies_from_sys_modules(
    globs: Mapping[str, Any],  # noqa: ARG001
    base_path: str | Path,
) -> set[PackageDependency]:
    """Return the installed packages among all loaded modules."""
    return get_dependencies_from_modules(iterate_sys_modules(), base_path)


def get_dependencies_from_pkg(
    globs: Mapping[str, Any],  # noqa: ARG001
    base_path: str | Path,  # noqa: ARG001
) -> set[PackageDependency]:
    """Return every installed package."""
    return {PackageDependency(name, version) for name, version in all_distributions()}


def _no_dependencies(_globs: Mapping[str, Any], _base_path: str | Path) -> set[PackageDependency]:
    return set()


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

for _public in (Source, PackageDependency):
    _public.__module__ = "sacred.dependencies"


def __getattr__(name: str) -> Any:
    if name == "PEP440_VERSION_PATTERN":
        import re

        return re.compile(PEP440_VERSION + r"\Z")
    if name == "MODULE_BLACKLIST":  # of Python itself, and no dependencies
        return set(sys.stdlib_module_names)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
