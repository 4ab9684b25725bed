"""What a run imports after it began: inside main, by a scope, by name.

The sources and packages of a run are looked for when it starts. Most programs have imported
everything by then; what comes later is added as soon as somebody sees that more modules are loaded.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from sacred.core.recorder import Recorder

__all__ = ["ImportsAtHome", "LateImports", "is_usual", "may_be_own"]


class ImportsAtHome(NamedTuple):
    """What a worker has to know of its run's own process to look for what it imports itself.

    Attributes
    ----------
    base
        The folder that names of sources are relative to.
    places
        The modules that define the experiment and its ingredients, each with the folder of its
        sources.
    folders
        Below which sources may lie.
    sources, dependencies
        The strategies in force there.
    modules
        Names of the modules that are loaded there and may be sources.
    packages
        Names of the others, without what stands behind a dot.
    known
        Names of the sources that it has recorded.
    """

    base: str
    places: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    sources: str
    dependencies: str
    modules: frozenset[str]
    packages: frozenset[str]
    known: frozenset[str]


class LateImports:
    """Looks for modules that were not loaded when a run was built.

    Not thread-safe: one look at a time. A module of the experiment's folder that is loaded while
    the run goes on counts as imported by it, whoever imported it.

    Parameters
    ----------
    experiment
        Whose sources and packages they are.
    loaded
        The names of the modules that were loaded before.
    """

    def __init__(self, experiment: Any, loaded: frozenset[str]) -> None:
        self._experiment = experiment
        self._loaded = loaded
        self._count = len(loaded)
        self._seen: set[str] = set()
        self._has_files = False

    def record(self, recorder: Recorder) -> None:
        """Record what is new since the last look, and at the first one the files of configurations.

        Costs next to nothing while nothing but Python's own modules is loaded. A source that is
        gone is left out.
        """
        if not self._has_files:
            self._has_files = True
            recorder.sources(self._config_files(), None)
        count = len(sys.modules)
        if count == self._count:
            return
        self._count = count
        from sacred.core.imports import file_of

        new = {
            name: module
            for name, module in list(sys.modules.items())
            if name not in self._loaded and not is_usual(name, file_of(module))
        }
        if new.keys() == self._seen:
            return
        self._seen = set(new)
        from sacred.core.settings import SETTINGS

        if SETTINGS.DISCOVER_SOURCES in _FIXED and SETTINGS.DISCOVER_DEPENDENCIES in _FIXED:
            return  # neither depends on what is imported
        sources: dict[str, tuple[str, str, str]] = {}
        dependencies: set[str] = set()
        base = self._experiment.base_dir
        for ingredient, _ in self._experiment.traverse_ingredients():
            found, packages = ingredient._gather_again(_local(new.values(), ingredient))
            for source in found:
                try:
                    name, md5 = source.to_json(base)
                except OSError:
                    continue
                sources[name] = (name, source.filename, md5)
            dependencies.update(package.to_json() for package in packages if package.version)
        recorder.sources([sources[name] for name in sorted(sources)], None)
        recorder.dependencies(sorted(dependencies, key=lambda text: text.split("==")[0].lower()))

    def at_home(self, known: Iterable[str] = ()) -> ImportsAtHome:
        """Return what workers have to know; ``known`` are the sources that are recorded."""
        with IMPORTING:  # in a worker, a thread of ours asks
            from sacred.core.dependencies import folder_around
            from sacred.core.imports import file_of
            from sacred.core.settings import SETTINGS

        places: dict[tuple[str, str], None] = {}
        folders: dict[str, None] = {}
        for ingredient, _ in self._experiment.traverse_ingredients():
            globs, folder = ingredient._globals, os.path.abspath(ingredient.base_dir)
            places[str(globs.get("__name__")), folder] = None
            around = folder_around(str(globs.get("__package__") or ""), globs.get("__file__"))
            for one in (folder, os.path.realpath(folder), around):
                if one is not None:
                    folders[one] = None
        files = {name: file_of(module) for name, module in list(sys.modules.items())}
        loaded = {name: file for name, file in files.items() if not is_usual(name, file)}
        own = frozenset(name for name, file in loaded.items() if may_be_own(file, folders))
        return ImportsAtHome(
            os.path.abspath(self._experiment.base_dir),
            tuple(places),
            tuple(folders),
            str(SETTINGS.DISCOVER_SOURCES),
            str(SETTINGS.DISCOVER_DEPENDENCIES),
            own,
            frozenset(name.partition(".")[0] for name in loaded.keys() - own),
            frozenset(known),
        )

    def _config_files(self) -> list[tuple[str, str, str]]:
        """Return the files of configurations, which the program can not be started without."""
        from sacred.core.settings import SETTINGS

        if SETTINGS.DISCOVER_SOURCES == "none":
            return []
        base = os.path.realpath(self._experiment.base_dir)
        return [
            (os.path.relpath(path, base), path, "")
            for ingredient, _ in self._experiment.traverse_ingredients()
            for path in ingredient._config_files
            if os.path.isfile(path)  # it was read when it was added
        ]


_FIXED = ("none", "dir", "pkg")
#: What every run loads beside Python's own modules: ours, and what the journal is written with.
_USUAL = ("sacred", "msgpack", "xxhash", "zstandard")
_PYTHON = os.path.join(os.path.dirname(os.__file__), "")


def is_usual(name: str, file: str | None) -> bool:
    """Tell whether a module, by its name and file, is none that a program chose to import."""
    if file is None or name.partition(".")[0] in _USUAL:
        return True
    # By its place, not by its name: a program may have a `statistics.py` of its own.
    return file.startswith(_PYTHON) and "-packages" not in file


def may_be_own(file: str | None, folders: Iterable[str]) -> bool:
    """Tell whether the file of a module lies below one of some folders, and is not installed there.

    By the texts of the paths alone: a look at the disk for each module would take its time.
    """
    return file is not None and any(
        file.startswith(os.path.join(folder, "")) and "-packages" not in file[len(folder) :]
        for folder in folders
    )


def _local(modules: Iterable[Any], ingredient: Any) -> list[ModuleType]:
    """Return the modules whose files are an ingredient's own."""
    from sacred.core.dependencies import own_modules
    from sacred.core.imports import file_of

    kind = type(sys)
    is_own = own_modules(ingredient._globals, ingredient.base_dir)
    return [m for m in modules if isinstance(m, kind) and file_of(m) is not None and is_own(m)]
