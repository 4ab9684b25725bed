"""The run that a thread or task is in: what captured functions, prints and ``ex.log_scalar`` go by.

It is held in context variables, so that runs side by side, in threads, in asyncio's tasks, or one
inside another, keep to themselves. asyncio hands them to tasks by itself; threads and the jobs of
thread pools get them here, from whoever starts them.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "OWN_RUNS",
    "RunScope",
    "active_run",
    "entered",
    "handed_on",
    "inherited",
    "register",
    "scope_of_now",
]


#: The runs that this process started, or had when it was forked, by the ids of their journals.
OWN_RUNS: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def register(run: Any) -> None:
    """Have a run that begins found by what is sent of it, and its threads be in it."""
    recorder = run._recorder
    run.pid = os.getpid()
    run.key = recorder.journal_id if recorder is not None else os.urandom(8).hex()
    OWN_RUNS[run.key] = run
    _hand_on_to_threads()


class RunScope:
    """One run, as seen from inside.

    Attributes
    ----------
    run
        The run.
    bindings
        What its captured functions work with: ``get(function, default)``.
    outer
        The scope that this one was entered in, or None.
    """

    __slots__ = ("bindings", "outer", "run")

    def __init__(self, run: Any, bindings: Any) -> None:
        self.run = run
        self.bindings = bindings
        self.outer = SCOPE.get()


_INHERITED: list[ContextVar[Any]] = []


def inherited(variable: ContextVar[Any]) -> ContextVar[Any]:
    """Have threads and jobs take over a context variable from whoever starts them."""
    _INHERITED.append(variable)
    return variable


#: The scope that this thread, or this task, is in.
SCOPE: ContextVar[RunScope | None] = ContextVar("sacred_scope", default=None)
inherited(SCOPE)


def scope_of_now() -> RunScope | None:
    """Return the scope that the caller is in."""
    return SCOPE.get()


def active_run(path: str) -> Any:
    """Return the innermost run of the experiment of this path that the caller is in, or None."""
    scope = scope_of_now()
    while scope is not None:
        if getattr(scope.run, "experiment_path", None) == path:
            return scope.run
        scope = scope.outer
    return None


@contextmanager
def entered(run: Any, bindings: Any) -> Iterator[RunScope]:
    """Have everything that is called meanwhile, also in threads that it starts, be in a run."""
    _hand_on_to_threads()
    scope = RunScope(run, bindings)
    token = SCOPE.set(scope)
    try:
        yield scope
    finally:
        SCOPE.reset(token)


# -- threads ---------------------------------------------------------------------------------------


def handed_on() -> tuple[Any, ...]:
    """Return the values of this moment, for :func:`_within`."""
    return tuple([variable.get() for variable in _INHERITED])


def _within(values: tuple[Any, ...], function: Callable[..., Any], /, *args: Any, **kw: Any) -> Any:
    """Call a function with what was handed on."""
    tokens = [variable.set(value) for variable, value in zip(_INHERITED, values, strict=False)]
    try:
        return function(*args, **kw)
    finally:
        for variable, token in zip(_INHERITED, tokens, strict=False):
            variable.reset(token)


_patched: set[str] = set()


def _hand_on_to_threads() -> None:
    """See to it that threads are in the run of whoever starts them, from the first run on.

    Python offers no other way before 3.14. Only our own variables are handed on: others, such as
    the precision of ``decimal``, stay what they are for a new thread.
    """
    if "threads" in _patched:
        return
    _patched.add("threads")
    start = threading.Thread.start

    @wraps(start)
    def start_within(self: threading.Thread) -> None:
        values = handed_on()
        if values.count(None) < len(values):
            # In the instance, and taken out again: what a thread runs must not keep the thread.
            self.__dict__["run"] = partial(_run_thread, self, values, self.run)
        start(self)

    threading.Thread.start = start_within  # type: ignore[method-assign]
    from sacred.core.late_import import when_imported

    for module in _POOLS:
        when_imported(module, _hand_on_to_jobs)
    when_imported("multiprocessing.util", _look_after_children)


def _look_after_children(util: Any) -> None:
    from sacred.core.worker_imports import follow_children

    follow_children(util)


def _run_thread(thread: threading.Thread, values: tuple[Any, ...], run: Callable[[], None]) -> None:
    thread.__dict__.pop("run", None)
    _within(values, run)


#: Where pools are defined, and which of their methods take a function first. What a job is, is
#: pickled in a thread of the pool, which may have been started by another run.
_POOLS = {
    "concurrent.futures.thread": ("ThreadPoolExecutor", ("submit",)),
    "concurrent.futures.process": ("ProcessPoolExecutor", ("submit",)),
    "multiprocessing.pool": ("Pool", ("apply_async", "_map_async", "imap", "imap_unordered")),
    "loky.process_executor": ("ProcessPoolExecutor", ("submit",)),
    "joblib.externals.loky.process_executor": ("ProcessPoolExecutor", ("submit",)),
}


def _hand_on_to_jobs(module: Any) -> None:
    """Have the jobs of a pool be in the run that gives them, whoever's thread or process it is."""
    name, methods = _POOLS[module.__name__]
    kind = getattr(module, name)
    for method in methods:
        original = getattr(kind, method, None)
        if original is not None:
            setattr(kind, method, _handing_on(original))


def _handing_on(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def give(self: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        # Also where there is no run: the thread may be one that a run has started.
        return method(self, Job(function, handed_on()), *args, **kwargs)

    return give


class Job:
    """A function that a pool was given inside a run, or outside of all.

    In a thread of this process it is called in that run. Pickled, it is the function, and what of
    it belongs to a run is taken from that one.
    """

    def __init__(self, function: Callable[..., Any], values: tuple[Any, ...]) -> None:
        self._function = function
        self._values = values

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function, in the run."""
        return _within(self._values, self._function, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # In this order: what follows is pickled in the run, and what a pool pickles next is a job.
        return _function_of_job, (_Entered(self._values), self._function)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._function, name)


class _Entered:
    """Something that puts the thread which pickles it into a run."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values

    def __reduce__(self) -> tuple[Any, ...]:
        for variable, value in zip(_INHERITED, self._values, strict=False):
            variable.set(value)
        return tuple, ()


def _function_of_job(_entered: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    return function
