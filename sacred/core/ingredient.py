"""Ingredient: a part of an experiment, with configuration, functions and commands of its own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.config.captured_function import create_captured_function
from sacred.core.config.config_dict import ConfigDict
from sacred.core.config.config_scope import ConfigScope
from sacred.core.dotted import join_paths
from sacred.core.errors import CircularDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sacred.core.config.captured_function import CapturedFunction
    from sacred.core.config.config_summary import ConfigSummary
    from sacred.core.dependencies import PackageDependency, Source

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
        self.path = path if isinstance(path, str) else os.fspath(path)
        self.config_hooks: list[Callable[..., Any]] = []
        self.configurations: list[Callable[..., ConfigSummary]] = []
        self.named_configs: dict[str, Callable[..., ConfigSummary]] = {}
        self.ingredients: list[Ingredient] = list(ingredients)
        self.logger: Any = None
        self.captured_functions: list[CapturedFunction] = []
        self.post_run_hooks: list[CapturedFunction] = []
        self.pre_run_hooks: list[CapturedFunction] = []
        self.commands: dict[str, CapturedFunction] = {}
        filename = _caller_globals.get("__file__")
        if filename is None and not interactive:
            raise RuntimeError(
                "Defining an experiment in interactive mode! "
                "The sourcecode cannot be stored and the experiment won't be reproducible. "
                "If you still want to run it pass interactive=True"
            )
        if base_dir is None:
            base_dir = os.path.dirname(os.path.realpath(filename)) if filename else os.getcwd()
        self.base_dir: str = os.path.abspath(os.fspath(base_dir))
        self.save_git_info = save_git_info
        self.doc: str | None = _caller_globals.get("__doc__")
        self._globals = _caller_globals
        self._mainfile: Any = _UNKNOWN
        self._sources: set[Source] = set()
        self._dependencies: set[PackageDependency] = set()
        self._gathered = False

    # -- decorators -------------------------------------------------------------------------------

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
        self.captured_functions.append(captured)
        return captured

    def pre_run_hook(
        self, func: Callable[..., Any] | None = None, prefix: str | None = None
    ) -> Any:
        """Call a function, captured, right before the main function of each run."""
        if func is None:
            return lambda decorated: self.pre_run_hook(decorated, prefix=prefix)
        captured = self.capture(func, prefix=prefix)
        self.pre_run_hooks.append(captured)
        return captured

    def post_run_hook(
        self, func: Callable[..., Any] | None = None, prefix: str | None = None
    ) -> Any:
        """Call a function, captured, right after the main function of each run."""
        if func is None:
            return lambda decorated: self.post_run_hook(decorated, prefix=prefix)
        captured = self.capture(func, prefix=prefix)
        self.post_run_hooks.append(captured)
        return captured

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
        captured = self.capture(function, prefix=prefix)
        captured.unobserved = unobserved
        self.commands[function.__name__] = captured
        return captured

    def config(self, function: Callable[..., Any]) -> ConfigScope:
        """Make the local variables of a function part of the configuration.

        See ``ConfigScope`` for what the function may be and what is raised.
        """
        scope = ConfigScope(function)
        self.configurations.append(scope)
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

    def config_hook(self, func: Callable[..., Any]) -> Callable[..., Any]:
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

        if get_argspec(func) != (_HOOK_ARGUMENTS, None, None, _HOOK_ARGUMENTS, {}):
            raise ValueError(
                "Wrong signature for config_hook. Expected: (config, command_name, logger)"
            )
        self.config_hooks.append(func)
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

    def _add_named_config(self, name: str, conf: Callable[..., ConfigSummary]) -> None:
        if name in self.named_configs:
            raise KeyError(f'Configuration name "{name}" already in use!')
        self.named_configs[name] = conf

    @staticmethod
    def _create_config_dict(cfg_or_file: Any, kw_conf: dict[str, Any]) -> ConfigDict:
        if cfg_or_file is not None and kw_conf:
            raise ValueError("cannot combine keyword config with positional argument")
        if cfg_or_file is None:
            if not kw_conf:
                raise ValueError("attempted to add empty config")
            return ConfigDict(kw_conf)
        if isinstance(cfg_or_file, dict):
            return ConfigDict(cfg_or_file)
        if isinstance(cfg_or_file, (str, os.PathLike)):
            if not os.path.exists(cfg_or_file):
                raise OSError(f"File not found {os.fspath(cfg_or_file)}")
            from sacred.core.config.config_files import load_config_file

            return ConfigDict(load_config_file(cfg_or_file))
        raise TypeError(f"Invalid argument type {type(cfg_or_file)}")

    def add_source_file(self, filename: str | os.PathLike[str]) -> None:
        """Add a file to the sources.

        Raises
        ------
        ValueError
            If there is no such file.
        """
        from sacred.core.dependencies import Source

        self._sources.add(Source.create(os.fspath(filename), self.save_git_info))

    def add_package_dependency(self, package_name: str, version: str) -> None:
        """Add a package to the dependencies.

        Raises
        ------
        ValueError
            If the version is not written as Python packages write theirs.
        """
        import re

        from sacred.core.dependencies import PackageDependency

        if not re.fullmatch(_VERSION, version):
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

    def _gather(self, again: bool) -> None:
        if self._gathered and not again:
            return
        from sacred.core.dependencies import gather_sources_and_dependencies

        main, sources, dependencies = gather_sources_and_dependencies(
            self._globals, self.save_git_info, self.base_dir
        )
        self._gathered = True
        if self._mainfile is _UNKNOWN:
            self._mainfile = main
        self._sources |= sources
        # What was added by hand has the version that its user wants.
        self._dependencies |= dependencies

    def gather_commands(self) -> Iterator[tuple[str, CapturedFunction]]:
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
        dependencies: set[PackageDependency] = set()
        sources: set[Source] = set()
        for ingredient, _ in self.traverse_ingredients():
            ingredient._gather(again=True)
            dependencies |= ingredient._dependencies
            sources |= ingredient._sources
        for dependency in dependencies:
            dependency.fill_missing_version()
        main = self.mainfile
        return {
            "name": self.path,
            "base_dir": self.base_dir,
            "sources": [source.to_json(self.base_dir) for source in sorted(sources)],
            "dependencies": sorted((d.to_json() for d in dependencies), key=str.lower),
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
            for ingredient in self.ingredients:
                yield from ingredient._traverse((*above, self))


def collect_repositories(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Return the repositories that sources are in: ``url``, ``commit`` and ``dirty`` of each."""
    states = {(source.repo, source.commit, source.is_dirty) for source in sources}
    return [
        {"url": url, "commit": commit, "dirty": dirty}
        for url, commit, dirty in sorted(states, key=repr)
        if url and commit
    ]


_UNKNOWN: Any = object()
_HOOK_ARGUMENTS = ["config", "command_name", "logger"]
_VERSION = (
    r"(\d+!)?\d+(\.\d+)*((a|b|c|rc)\d+)?(\.?post\d+)?(\.?dev\d+)?"
    r"(\+[a-zA-Z0-9]+([.\-_][a-zA-Z0-9]+)*)?"
)

Ingredient.__module__ = "sacred.ingredient"
