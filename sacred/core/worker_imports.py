"""What a worker imports that its run's own process did not: sources and packages of the run.

It is looked for when a captured function that was sent here returns, every half second, and at the
end of a process of ``multiprocessing``. What is new belongs to the run of which this process was
given something last.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING, ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from sacred.core.heartbeat import Heartbeat
    from sacred.core.late_imports import ImportsAtHome
    from sacred.core.recorder import Recorder

    Found = dict[str, tuple[ModuleType, bool]]

__all__ = ["WorkerImports", "attend", "follow_children", "look_now"]

#: So many functions are looked through for imports; a program may make its functions anew for each
#: call.
_MOST_FUNCTIONS = 1000
_MAIN = ("__main__", "__mp_main__")


class WorkerImports:
    """Looks for what this process imports for a run. Not thread-safe: one look at a time.

    Parameters
    ----------
    home
        Returns what the run's own process had imported, and where its sources lie.
    before
        The names of the modules that were loaded here before this process had to do with the run.
        They count where the run's own modules or functions import them: a pool's process may have
        loaded them for another run.
    """

    def __init__(self, home: Callable[[], ImportsAtHome], before: frozenset[str]) -> None:
        self._home_of = home
        self._home: ImportsAtHome | None = None
        self._before = before
        self._count = -1
        self._seen: frozenset[str] = frozenset()
        self._functions: dict[Any, Any] = {}

    @classmethod
    def of_fork(cls, home: Callable[[], ImportsAtHome]) -> WorkerImports:
        """Return one for a forked child: what is loaded by now is its parent's to record."""
        before = frozenset(sys.modules)
        packages = frozenset(name.partition(".")[0] for name in before)
        found = cls(lambda: home()._replace(modules=before, packages=packages), before)
        found._count = len(before)
        return found

    def called(self, function: Any) -> None:
        """Have the import statements of a function count, whoever they were executed for."""
        code = getattr(function, "__code__", None)
        # By the value of its code: what cloudpickle sends is another object each time.
        if code not in self._functions and len(self._functions) < _MOST_FUNCTIONS:
            self._functions[code] = function
            self._count, self._seen = -1, frozenset()

    def look(self, recorder: Callable[[], Recorder | None]) -> None:
        """Record what is new since the last look; next to nothing is done while nothing is.

        Parameters
        ----------
        recorder
            Returns what records it; called only if there is something.
        """
        count = len(sys.modules)
        if count == self._count:
            return
        self._count = count
        with IMPORTING:
            from sacred.core.imports import file_of
            from sacred.core.late_imports import is_usual, may_be_own

        home = self._home = self._home or self._home_of()
        new = {
            name: module
            for name, module in list(sys.modules.items())
            if name not in home.modules and not is_usual(name, file_of(module))
        }
        if new.keys() == self._seen:
            return
        self._seen = frozenset(new)
        own = {name for name in new if may_be_own(file_of(new[name]), home.folders)}
        others = {name for name in new.keys() - own if name.partition(".")[0] not in home.packages}
        if not (own and home.sources in _BY_IMPORT) and not (
            others and home.dependencies in _BY_IMPORT
        ):
            return
        found = self._found(home, {name: new[name] for name in own})
        if home.sources in _BY_IMPORT:
            _record_sources(home, found, recorder)
        if home.dependencies == "sys":
            found |= {name: (new[name], False) for name in others}
        if home.dependencies in _BY_IMPORT:
            _record_packages(found, others, recorder)

    def _found(self, home: ImportsAtHome, new: dict[str, ModuleType]) -> Found:
        """Return the modules that the run's own ones import, each with whether it is one of those."""
        with IMPORTING:
            from sacred.core.dependencies import own_modules
            from sacred.core.imports import reachable_modules

        found: Found = {}
        for globs, folder in self._roots(home):
            is_own = own_modules(globs, folder)
            late = {
                f"<{name}>": module
                for name, module in new.items()
                if (name not in self._before or home.sources == "sys") and is_own(module)
            }
            for module, own in reachable_modules({**globs, **late}, is_own):
                name = module.__name__
                found[name] = module, own or (name in found and found[name][1])
        return found

    def _roots(self, home: ImportsAtHome) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the globals of what defines the experiment, as far as it is here, with its folder."""
        with IMPORTING:
            from sacred.core.imports import file_of
            from sacred.core.late_imports import may_be_own

        is_empty = True
        for name, folder in home.places:
            for known in _MAIN if name in _MAIN else (name,):
                module = sys.modules.get(known)
                # The main module of a pool's process may be the pool's.
                file = None if module is None else file_of(module)
                if module is not None and may_be_own(file, (folder, os.path.realpath(folder))):
                    yield vars(module), folder
                    is_empty = False
                    break
        folders = dict(home.places)
        for number, function in enumerate(list(self._functions.values())):
            globs = getattr(function, "__globals__", {})
            folder = folders.get(str(globs.get("__name__")), home.base)
            yield {**globs, f"<sent {number}>": function}, folder
            is_empty = False
        if is_empty:
            yield {}, home.base


_BY_IMPORT = ("imported", "sys")


def _record_sources(
    home: ImportsAtHome, found: Found, recorder: Callable[[], Recorder | None]
) -> None:
    with IMPORTING:
        from sacred.core.imports import file_of
        from sacred.core.sources import get_py_file_if_possible

    base = os.path.realpath(home.base)
    sources: dict[str, str] = {}
    for name, (module, own) in found.items():
        file = file_of(module)
        if own and file is not None and name not in home.modules:
            path = os.path.realpath(get_py_file_if_possible(os.path.abspath(file)))
            sources[os.path.relpath(path, base)] = path
    new = [
        (name, path, "")  # the store finds out the MD5 while it reads the file
        for name, path in sorted(sources.items())
        if name not in home.known and os.path.isfile(path)
    ]
    record = recorder() if new else None
    if record is not None:
        record.sources(new, None)


def _record_packages(found: Found, new: set[str], recorder: Callable[[], Recorder | None]) -> None:
    with IMPORTING:
        from sacred.core.dependencies import packages_of

    tops = {name.partition(".")[0] for name in new}
    modules = [one for name, one in found.items() if name.partition(".")[0] in tops]
    texts = sorted(package.to_json() for package in packages_of(modules))
    record = recorder() if texts else None
    if record is not None:
        record.dependencies(texts)


# -- in this process --------------------------------------------------------------------------------


class _Watch:
    """Looks for the run of which this process was given something last, from a thread of its own."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.pid = 0
        self.key: str | None = None
        self._imports: WorkerImports | None = None
        self._run: Callable[[], Any] = lambda: None
        self._heartbeat: Heartbeat | None = None

    def turn_to(self, key: str, run: Any, imports: Callable[[], WorkerImports]) -> None:
        """Look for another run from now on; what is new by now is that of the one before."""
        with self.lock:
            if self.pid != os.getpid():  # forked: the thread is not here, nor is what it looked for
                self.pid, self.key, self._imports = os.getpid(), None, None
                self._start()
            if self.key != key:
                self.look()
                self.key, self._run = key, weakref.ref(run)
                known: WorkerImports | None = run.__dict__.get("_imports_here")
                if known is None:
                    known = run.__dict__["_imports_here"] = imports()
                self._imports = known

    def called(self, function: Any) -> None:
        """Have what a function imports count."""
        with self.lock:
            if self._imports is not None:
                self._imports.called(function)

    def look(self) -> None:
        """Record what is new; a failure is nobody's but the record's."""
        with self.lock:
            run = self._run()
            if self._imports is not None and run is not None and self.pid == os.getpid():
                with contextlib.suppress(Exception):
                    self._imports.look(lambda: run._recorder)

    def _start(self) -> None:
        with IMPORTING:
            from sacred.core.heartbeat import Heartbeat

        self._heartbeat = Heartbeat(self.look, lambda: None, 0.0, lambda _error: None)
        with contextlib.suppress(RuntimeError):  # no thread can be started: at returns and the end
            self._heartbeat.start()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            follow_children(util)
            util.Finalize(None, self.look, exitpriority=100)


_watch = _Watch()


def attend(run: Any) -> None:
    """Look for what this process imports, as that of a run that another process began."""
    key = run.key or run._ticket.key
    if _watch.key == key and _watch.pid == os.getpid():
        return
    if run.pid is not None:
        late = run.late_imports
        if late is not None:
            _watch.turn_to(key, run, lambda: WorkerImports.of_fork(late.at_home))
    elif run._at_home is not None:
        home = run._at_home
        _watch.turn_to(key, run, lambda: WorkerImports(lambda: home, frozenset(sys.modules)))


def look_now(function: Any = None) -> None:
    """Record what is new by now, for a function that was called and returns to another process."""
    if _watch.pid == os.getpid():
        if function is not None:
            _watch.called(function)
        _watch.look()


class _Children:
    """What ``multiprocessing`` calls in its children; it keeps no more than a weak reference."""

    def __init__(self) -> None:
        self.are_followed = False


_children = _Children()


def follow_children(util: Any) -> None:
    """Have the children of ``multiprocessing`` looked after; ``util`` is its module."""
    if not _children.are_followed:
        _children.are_followed = True
        util.register_after_fork(_children, _begin_in_child)


def _begin_in_child(_children: _Children) -> None:
    from sacred.core.run_scope import OWN_RUNS, scope_of_now

    scope = scope_of_now()
    runs = [scope.run] if scope is not None else list(OWN_RUNS.values())
    for run in runs:
        if run.pid != os.getpid() and run.status == "RUNNING" and run._recorder is not None:
            attend(run)
            return
