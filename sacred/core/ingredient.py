"""Ingredient: a part of an experiment, with configuration, functions and commands of its own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, overload

from sacred.core.config.captured_function import create_captured_function
from sacred.core.config.config_dict import ConfigDict
from sacred.core.config.config_scope import ConfigScope
from sacred.core.config.place import function_place, place_of
from sacred.core.dotted import join_paths
from sacred.core.errors import CircularDependencyError
from sacred.core.fork import ForkSafeLock
from sacred.core.loading import stored_place
from sacred.core.notebook import is_made_up
from sacred.core.redefinition import is_redefinition, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import ParamSpec, TypeVar

    from sacred.core.config.captured_function import CapturedFunction
    from sacred.core.config.config_summary import ConfigSummary
    from sacred.core.dependencies import PackageDependency, Source

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = ["Ingredient", "collect_repositories"]

#: What ``ingredient.configurations`` holds: our own classes, or anything called the same way.
_Configuration = "Callable[..., ConfigSummary]"


class Ingredient:
    """A reusable part of experiments.

    Its configuration is an entry of the experiment's, at its path. It can use ingredients itself.

    Parameters
    ----------
    path
        Its name, and where its configuration is placed.
    ingredients
        The ingredients that it uses.
    interactive
        Whether it may be defined where there is no source file, in a notebook or a prompt.
    base_dir
        The folder that its sources lie below; that of the defining file by default.
    save_git_info
        Whether the state of the repositories that its sources are in is recorded.

    Attributes
    ----------
    configurations, named_configs, config_hooks
        What its configuration is made of, in the order added.
    captured_functions, pre_run_hooks, post_run_hooks, commands
        Its functions, in the order added.
    doc
        The docstring of the defining file.

    Raises
    ------
    RuntimeError
        If there is no source file and it is not ``interactive``.

    Notes
    -----
    What a cell of a notebook decorates takes the place of what the same function was before: running
    a cell again leaves no hook that is called twice and no configuration that was changed.

    Sources and packages are looked for when they are first asked for, and again for every run, so
    that imports that come after the construction are found as well. Not thread-safe: define it in
    one thread.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        ingredients: Sequence[Ingredient] = (),
        interactive: bool = False,
        _caller_globals: dict[str, Any] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        save_git_info: bool = True,
    ) -> None:
        if _caller_globals is None:
            _caller_globals = sys._getframe(1).f_globals
        if not isinstance(path, str):
            from sacred.core.arguments import name_of_part

            path = name_of_part(path, type(self).__name__)
        self.path: str = path
        self.config_hooks: list[Callable[..., Any]] = []
        self.configurations: list[Callable[..., ConfigSummary]] = []
        self.named_configs: dict[str, Callable[..., ConfigSummary]] = {}
        self.ingredients: list[Ingredient] = _checked(ingredients, path)
        self.logger: Any = None
        self.captured_functions: list[CapturedFunction[..., Any]] = []
        self.post_run_hooks: list[CapturedFunction[..., Any]] = []
        self.pre_run_hooks: list[CapturedFunction[..., Any]] = []
        self.commands: dict[str, CapturedFunction[..., Any]] = {}
        filename = _caller_globals.get("__file__")
        if filename is None and not interactive:
            raise RuntimeError(
                "Defining an experiment in interactive mode! "
                "The sourcecode cannot be stored and the experiment won't be reproducible. "
                "If you still want to run it pass interactive=True"
            )
        if base_dir is None:
            base_dir = os.path.dirname(os.path.realpath(filename)) if filename else os.getcwd()
            if not os.path.isdir(base_dir):  # the file is in an archive
                from sacred.core.sources import existing_part

                base_dir = os.path.dirname(existing_part(base_dir))
        self.base_dir: str = os.path.abspath(os.fspath(base_dir))
        self.save_git_info = save_git_info
        self.doc: str | None = _caller_globals.get("__doc__", "")
        if filename is None and is_made_up(self.doc):
            self.doc = None
        self._globals = _caller_globals
        self._mainfile: Any = _UNKNOWN
        self._sources: set[Source] = set()
        self._dependencies: set[PackageDependency] = set()
        #: Files of configurations. Observers are told of them as little as Sacred's were.
        self._config_files: list[str] = []
        self._gathered = False

    def __reduce__(self) -> tuple[Any, ...]:
        from sacred.core.workers import reduce_ingredient

        return reduce_ingredient(self)

    def __copy__(self) -> Ingredient:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Ingredient:
        return self

    # -- decorators -------------------------------------------------------------------------------

    @overload
    def capture(
        self, function: Callable[_P, _R], prefix: str | None = None
    ) -> CapturedFunction[_P, _R]: ...
    @overload
    def capture(
        self, function: None = None, prefix: str | None = None
    ) -> Callable[[Callable[_P, _R]], CapturedFunction[_P, _R]]: ...
    def capture(self, function: Callable[..., Any] | None = None, prefix: str | None = None) -> Any:
        """Let a function take missing arguments from the configuration.

        Parameters
        ----------
        function
            The function. One that is captured already is returned as it is.
        prefix
            Dotted path of the part of the configuration that is looked in.
        """
        if function is None:
            return lambda decorated: self.capture(decorated, prefix=prefix)
        if any(function is captured for captured in self.captured_functions):
            return function
        captured = create_captured_function(function, prefix=prefix)
        place(self.captured_functions, captured)
        return captured

    @overload
    def pre_run_hook(
        self, func: Callable[_P, _R], prefix: str | None = None
    ) -> CapturedFunction[_P, _R]: ...
    @overload
    def pre_run_hook(
        self, func: None = None, prefix: str | None = None
    ) -> Callable[[Callable[_P, _R]], CapturedFunction[_P, _R]]: ...
    def pre_run_hook(
        self, func: Callable[..., Any] | None = None, prefix: str | None = None
    ) -> Any:
        """Call a function, captured, right before the main function of each run."""
        if func is None:
            return lambda decorated: self.pre_run_hook(decorated, prefix=prefix)
        captured = self.capture(func, prefix=prefix)
        place(self.pre_run_hooks, captured)
        return captured

    @overload
    def post_run_hook(
        self, func: Callable[_P, _R], prefix: str | None = None
    ) -> CapturedFunction[_P, _R]: ...
    @overload
    def post_run_hook(
        self, func: None = None, prefix: str | None = None
    ) -> Callable[[Callable[_P, _R]], CapturedFunction[_P, _R]]: ...
    def post_run_hook(
        self, func: Callable[..., Any] | None = None, prefix: str | None = None
    ) -> Any:
        """Call a function, captured, right after the main function of each run."""
        if func is None:
            return lambda decorated: self.post_run_hook(decorated, prefix=prefix)
        captured = self.capture(func, prefix=prefix)
        place(self.post_run_hooks, captured)
        return captured

    @overload
    def command(
        self, function: Callable[_P, _R], prefix: str | None = None, unobserved: bool = False
    ) -> CapturedFunction[_P, _R]: ...
    @overload
    def command(
        self, function: None = None, prefix: str | None = None, unobserved: bool = False
    ) -> Callable[[Callable[_P, _R]], CapturedFunction[_P, _R]]: ...
    def command(
        self,
        function: Callable[..., Any] | None = None,
        prefix: str | None = None,
        unobserved: bool = False,
    ) -> Any:
        """Make a function, captured, a command under its own name.

        Parameters
        ----------
        function
            The function. Of two with one name the later is the command.
        prefix
            Dotted path of the part of the configuration that it sees.
        unobserved
            Whether its runs are neither journalled nor observed.
        """
        if function is None:
            return lambda decorated: self.command(decorated, prefix=prefix, unobserved=unobserved)
        name = getattr(function, "__name__", None)
        if name is None:
            raise TypeError(
                f"A command has the name of its function, and {function!r} has none: "
                "write a function, by def, that calls it."
            )
        captured = self.capture(function, prefix=prefix)
        captured.unobserved = unobserved
        self.commands[name] = captured
        return captured

    def config(self, function: Callable[..., Any]) -> ConfigScope:
        """Make the local variables of a function part of the configuration.

        See ``ConfigScope`` for what the function may be and what is raised.
        """
        scope = ConfigScope(function)
        place(self.configurations, scope)
        return scope

    def named_config(self, func: Callable[..., Any]) -> ConfigScope:
        """Make the local variables of a function a configuration that can be asked for by name.

        Raises
        ------
        KeyError
            If there is one with that name.
        """
        scope = ConfigScope(func)
        self._add_named_config(func.__name__, scope)
        return scope

    def config_hook(self, func: _Function) -> _Function:
        """Call a function when the configuration of this ingredient is known, to change it.

        It is given a copy of all of the configuration so far, the name of the command and the
        logger of the run, and returns a dictionary of updates. They win over the configuration,
        not over what the user asked for. An entry with the name of an ingredient updates that.

        Raises
        ------
        ValueError
            If the parameters of the function are not (config, command_name, logger).
        """
        from sacred.core.config.signature import get_argspec

        arguments, more, _, positional, defaults = get_argspec(func)
        if (arguments, positional) != (_HOOK_ARGUMENTS,) * 2 or more or defaults:
            raise ValueError(
                "Wrong signature for config_hook. Expected: (config, command_name, logger), not "
                f"that of {function_place(func)}"
            )
        place(self.config_hooks, func)
        return func

    # -- adding -----------------------------------------------------------------------------------

    def add_config(
        self,
        cfg_or_file: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        **kw_conf: Any,
    ) -> None:
        """Add entries to the configuration.

        Parameters
        ----------
        cfg_or_file
            A dictionary, or a file (.json, .yaml, .toml, .pickle).
        kw_conf
            The entries, instead of a dictionary.

        Raises
        ------
        ValueError
            If both are given, or nothing, or a file of an unknown kind.
        OSError
            If there is no such file.
        TypeError
            If it is neither a dictionary nor a file's name.
        """
        self.configurations.append(self._create_config_dict(cfg_or_file, kw_conf))
        self._note_config_file(cfg_or_file)

    def add_named_config(
        self,
        name: str,
        cfg_or_file: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        **kw_conf: Any,
    ) -> None:
        """Add a configuration that can be asked for by name; see :meth:`add_config`.

        Raises
        ------
        KeyError
            If there is one with that name.
        """
        self._add_named_config(name, self._create_config_dict(cfg_or_file, kw_conf))
        self._note_config_file(cfg_or_file)

    def _note_config_file(self, cfg_or_file: Any) -> None:
        """Note a file that the program can not be started without."""
        if isinstance(cfg_or_file, (str, os.PathLike)):
            path = os.path.realpath(stored_place(cfg_or_file))
            if path not in self._config_files:
                self._config_files.append(path)

    def _add_named_config(self, name: str, conf: Callable[..., ConfigSummary]) -> None:
        known = self.named_configs.get(name)
        if known is not None and not is_redefinition(known, conf):
            raise KeyError(f'Configuration name "{name}" already in use! It is {place_of(known)}.')
        self.named_configs[name] = conf

    @staticmethod
    def _create_config_dict(cfg_or_file: Any, kw_conf: dict[str, Any]) -> ConfigDict:
        if cfg_or_file is not None and kw_conf:
            raise ValueError("cannot combine keyword config with positional argument")
        if cfg_or_file is None:
            if not kw_conf:
                raise ValueError(
                    "attempted to add empty config: give a dictionary, a file or keyword arguments"
                )
            return ConfigDict(kw_conf)
        if isinstance(cfg_or_file, dict):
            return ConfigDict(cfg_or_file)
        if isinstance(cfg_or_file, (str, os.PathLike)):
            place = stored_place(cfg_or_file)
            if not os.path.exists(place):
                raise FileNotFoundError(f"File not found {os.fspath(cfg_or_file)}")
            return ConfigDict.from_file(place)
        raise TypeError(
            f"Invalid argument type {type(cfg_or_file)}: give a dictionary, the name of a file, or "
            "entries as keyword arguments"
        )

    def add_source_file(self, filename: str | os.PathLike[str]) -> None:
        """Add a file to the sources.

        Raises
        ------
        ValueError
            If there is no such file, or it is none.
        """
        from sacred.core.arguments import file_name
        from sacred.core.dependencies import Source

        path = file_name(filename, "add_source_file(PATH)")
        self._sources.add(Source.create(path, self.save_git_info))

    def add_package_dependency(self, package_name: str, version: str) -> None:
        """Add a package to the dependencies.

        Raises
        ------
        ValueError
            If the version is not written as Python packages write theirs, or one of the two is no
            text.
        """
        import re

        from sacred.core.dependencies import PEP440_VERSION, PackageDependency

        if not isinstance(package_name, str) or not isinstance(version, str):
            from sacred.core.arguments import InvalidArgumentError

            raise InvalidArgumentError(
                f"The dependency ({package_name!r}, {version!r}) is no name with a version: give two "
                'texts, add_package_dependency("numpy", "2.0.1").'
            )
        if not re.fullmatch(PEP440_VERSION, version):
            raise ValueError(f'Invalid Version: "{version}"')
        self._dependencies.add(PackageDependency(package_name, version))

    # -- what it is made of -----------------------------------------------------------------------

    @property
    def mainfile(self) -> Source | None:
        """The file that it is defined in; None without one."""
        if self._mainfile is _UNKNOWN:
            from sacred.core.dependencies import get_main_file

            self._mainfile = get_main_file(self._globals, self.save_git_info)[1]
        main: Source | None = self._mainfile
        return main

    @mainfile.setter
    def mainfile(self, source: Source | None) -> None:
        self._mainfile = source

    @property
    def sources(self) -> set[Source]:
        """The source files that were found and those that were added. It may be changed."""
        self._gather(again=False)
        return self._sources

    @sources.setter
    def sources(self, sources: Iterable[Source]) -> None:
        self._sources = set(sources)

    @property
    def dependencies(self) -> set[PackageDependency]:
        """The packages that were found and those that were added. It may be changed."""
        self._gather(again=False)
        return self._dependencies

    @dependencies.setter
    def dependencies(self, dependencies: Iterable[PackageDependency]) -> None:
        self._dependencies = set(dependencies)

    def _gather(self, again: bool, late: Iterable[Any] = ()) -> None:
        if self._gathered and not again:
            return
        from sacred.core.dependencies import gather_sources_and_dependencies

        # The main function of `automain` runs before its name is there.
        functions = [*self.captured_functions, *self.configurations, *self.named_configs.values()]
        main, sources, dependencies = gather_sources_and_dependencies(
            self._globals,
            self.save_git_info,
            self.base_dir,
            also=[*functions, *self.config_hooks, *late],
        )
        self._gathered = True
        if self._mainfile is _UNKNOWN:
            self._mainfile = main
        self._sources |= sources
        # What was added by hand has the version that its user wants.
        self._dependencies |= dependencies

    def _gather_again(
        self, late: Iterable[Any] = ()
    ) -> tuple[list[Source], list[PackageDependency]]:
        """Return the sources and packages as they are now, some modules among them."""
        with _GATHERING:
            self._gather(again=True, late=late)
            return list(self._sources), list(self._dependencies)

    def gather_commands(self) -> Iterator[tuple[str, CapturedFunction[..., Any]]]:
        """Yield (dotted name, command) of this ingredient and those below."""
        for ingredient, _ in self.traverse_ingredients():
            for name, command in ingredient.commands.items():
                yield self._item_name(ingredient, name), command

    def gather_named_configs(self) -> Iterator[tuple[str, Callable[..., ConfigSummary]]]:
        """Yield (dotted name, named configuration) of this ingredient and those below."""
        for ingredient, _ in self.traverse_ingredients():
            for name, config in ingredient.named_configs.items():
                yield self._item_name(ingredient, name), config

    def _item_name(self, ingredient: Ingredient, name: str) -> str:
        return self.post_process_name(join_paths(ingredient.path, name), ingredient)

    def post_process_name(self, name: str, ingredient: Ingredient) -> str:  # noqa: ARG002
        """Return the name of a command or named configuration; can be overridden to change it."""
        return name

    def get_experiment_info(self) -> dict[str, Any]:
        """Return what this and the ingredients below are made of.

        Returns
        -------
        dict
            ``name``, ``base_dir``, ``sources`` as (name relative to ``base_dir``, MD5) sorted,
            ``dependencies`` as ``"package==version"`` sorted, ``repositories``, one entry each,
            and ``mainfile``.

        Raises
        ------
        OSError
            If a source file is gone.
        """
        from sacred.core.repositories import start_git_query

        main = self.mainfile
        # Anew for each run: a process may live longer than the state of a working tree. Most
        # programs lie in one repository, and git tells its state while the sources are looked for.
        first = [main.filename] if main is not None and main.save_git_info else []
        asked = start_git_query(first)
        dependencies: set[PackageDependency] = set()
        sources: set[Source] = set()
        for ingredient, _ in self.traverse_ingredients():
            found, packages = ingredient._gather_again()
            dependencies.update(packages)
            sources.update(found)
        for dependency in dependencies:
            dependency.fill_missing_version()
        start_git_query((s.filename for s in sources if s.save_git_info), besides=asked)
        return {
            "name": self.path,
            "base_dir": self.base_dir,
            "sources": [source.to_json(self.base_dir) for source in sorted(sources)],
            "dependencies": [
                package.to_json()
                for package in sorted(dependencies, key=lambda package: package.name.lower())
            ],
            "repositories": collect_repositories(sources),
            "mainfile": None if main is None else main.to_json(self.base_dir)[0],
        }

    def traverse_ingredients(self) -> Iterator[tuple[Ingredient, int]]:
        """Yield (ingredient, depth), this one first with depth 0, each before those below it.

        Raises
        ------
        CircularDependencyError
            If an ingredient is below itself.
        """
        yield from self._traverse(())

    def _traverse(self, above: tuple[Ingredient, ...]) -> Iterator[tuple[Ingredient, int]]:
        if any(self is ingredient for ingredient in above):
            raise CircularDependencyError(ingredients=[self])
        yield self, len(above)
        with CircularDependencyError.track(self):
            # It may have been added to.
            for ingredient in _checked(self.ingredients, self.path):
                yield from ingredient._traverse((*above, self))


def _checked(ingredients: Any, path: str) -> list[Ingredient]:
    if isinstance(ingredients, (list, tuple)) and all(
        isinstance(each, Ingredient) for each in ingredients
    ):
        return list(ingredients)
    from sacred.core.arguments import ingredient_list

    return ingredient_list(ingredients, Ingredient, path)


def collect_repositories(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Return the repositories that sources are in: ``url``, ``commit`` and ``dirty`` of each."""
    states = {(source.repo, source.commit, source.is_dirty) for source in sources}
    return [
        {"url": url, "commit": commit, "dirty": dirty}
        for url, commit, dirty in sorted(states, key=repr)
        if url and commit
    ]


_UNKNOWN: Any = object()
#: Runs of one experiment in several threads look for its sources at the same time.
_GATHERING = ForkSafeLock()
_HOOK_ARGUMENTS = ["config", "command_name", "logger"]

Ingredient.__module__ = "sacred.ingredient"
