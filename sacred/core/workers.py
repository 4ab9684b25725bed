"""Runs in other processes: what of a run is pickled, and what becomes of it there.

Whatever is pickled inside a run (a captured function, ``_run``, the experiment) takes the run along
as a *ticket*: where its journal lies, and a copy of what its functions work with. In the process
that started the run, and in those that were forked from it since, a ticket leads to the run itself;
elsewhere to a ``WorkerRun``, of which there is one for each run in each process.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from sacred.core.config.captured_function import CapturedFunction
from sacred.core.errors import SacredError
from sacred.core.fork import ForkSafeLock
from sacred.core.run_scope import OWN_RUNS, active_run, entered, scope_of_now
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.core.config.captured_function import Binding
    from sacred.core.worker_run import WorkerRun

__all__ = [
    "CarriedFunction",
    "RunNotStartedError",
    "Ticket",
    "carry_methods",
    "find_run",
    "key_of",
    "reduce_captured",
    "reduce_ingredient",
    "reduce_run",
]

#: So many runs a process keeps that it joined, though nobody works for them; a pool may serve
#: thousands.
_JOINED = 8
_MAIN = ("__main__", "__mp_main__")


class RunNotStartedError(SacredError, pickle.PicklingError):
    """A run was to be sent to another process before there is a journal to record it."""


class Ticket(NamedTuple):
    """What of a run travels.

    Attributes
    ----------
    key
        The id of its journal, or what stands for it where there is none.
    content
        The facts, pickled: unpickled where they are needed, once in each process.
    """

    key: str
    content: bytes


_joined: dict[str, WorkerRun] = {}
_lock = ForkSafeLock()


# -- what is sent -----------------------------------------------------------------------------------


def ticket_of(run: Any) -> Ticket:
    """Return a run's ticket: made when it is asked for first, and anew when the run has ended.

    Raises
    ------
    RunNotStartedError
        The run was not started yet.
    """
    known: tuple[str, Ticket] | None = getattr(run, "_ticket", None)
    if known is not None and known[0] == run.status:
        return known[1]
    if run.start_time is None:
        raise RunNotStartedError(
            "A run can be sent to another process when it has started: inside the main function "
            "and the hooks, or when it is over."
        )
    from sacred.core.worker_output import places

    recorder = run._recorder
    bindings = [
        (key_of(function), binding.config, _name_of(binding.logger))
        for function, binding in run.captured_bindings.items()
    ]
    facts = {
        "pid": os.getpid(),
        "folder": run.folder,
        "durability": getattr(recorder, "_durability", "second"),
        "id": run._id,
        "experiment_path": run.experiment_path,
        "config": run.config,
        "experiment_info": _known(run.experiment_info),
        "host_info": _known(run.host_info),
        "meta_info": run.meta_info,
        "status": run.status,
        "start_time": run.start_time,
        "stop_time": run.stop_time,
        "result": run.result,
        "info": run.info,
        "fail_trace": run.fail_trace,
        "imports": _imports_of(run),
        "capture_mode": run.capture_mode,
        "streams": places() if run.capture_mode == "fd" else {},
        "loggers": [_name_of(run.root_logger), _name_of(run.run_logger)],
        "bindings": bindings,
    }
    ticket = Ticket(run.key, _pickled(facts))
    run._ticket = (run.status, ticket)
    return ticket


def _imports_of(run: Any) -> Any:
    late = getattr(run, "late_imports", None)
    if late is None:
        return None
    recorded = _known(run.experiment_info).get("sources") or ()
    return late.at_home(str(name) for name, *_ in recorded)


def _name_of(logger: Any) -> str | None:
    name = getattr(logger, "name", None)
    return name if isinstance(name, str) else None  # a test's may be anything


def _known(facts: Any) -> dict[str, Any]:
    """Return what is there; nobody waits for what takes its time."""
    known: Callable[[], dict[str, Any]] | None = getattr(facts, "known", None)
    return dict(facts) if known is None else known()


def _pickled(facts: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps(facts, pickle.HIGHEST_PROTOCOL)
    except Exception:  # locks, lambdas, open files: whatever a configuration may hold
        return pickle.dumps(_sendable(facts, {}), pickle.HIGHEST_PROTOCOL)


def _sendable(value: Any, done: dict[int, Any]) -> Any:
    """Return a copy of dicts and lists without the entries that can not be pickled."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        kept: dict[Any, Any] = {}
        done[id(value)] = kept
        for key, item in list(value.items()):
            if (found := _sendable(item, done)) is not _LOST:
                kept[key] = found
        return kept
    if type(value) in (list, tuple):
        items = [_sendable(item, done) for item in value]
        # A list with a hole would be another list.
        return _LOST if any(item is _LOST for item in items) else type(value)(items)
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return _LOST
    return value


_LOST = object()


def reduce_run(run: Any) -> tuple[Any, ...]:
    """Return how a run is pickled."""
    _know_public_names()
    return find_run, (ticket_of(run),)


def _know_public_names() -> None:
    """Load the modules by whose names our classes go.

    cloudpickle sends a class whose module is not loaded as its code: it would be another class at
    its place, and an error that a worker raised would be caught by nobody.
    """
    import importlib

    for name in ("experiment", "ingredient", "metrics_logger", "run", "utils"):
        importlib.import_module(f"sacred.{name}")


def key_of(function: CapturedFunction[..., Any]) -> tuple[str, str]:
    """Return the name under which a captured function is known in every process."""
    module = str(function.__module__)
    return ("__main__" if module in _MAIN else module, function.__qualname__)


def reduce_captured(function: CapturedFunction[..., Any]) -> tuple[Any, ...]:
    """Return how a captured function is pickled."""
    _know_public_names()
    run = _run_of(function)
    if run is None:
        return captured_again, (_reference(function), function.prefix)
    # Each time another number: what is drawn there is drawn nowhere else.
    number = next(run.__dict__.setdefault("_sent", itertools.count(1)))
    sent = str(number) if _is_at_home(run) else f"{os.getpid()}.{number}"
    return captured_again, (_reference(function), function.prefix, _ticket(run), sent)


def carry_methods() -> None:
    """Have multiprocessing send captured methods as it does captured functions, with their run.

    It sends a method as the object and a name, and whoever looks that up elsewhere has no run.
    """
    from multiprocessing.reduction import ForkingPickler

    ForkingPickler.register(MethodType, _reduce_method)


def _reduce_method(method: MethodType) -> tuple[Any, ...]:
    function: Any = method.__func__
    if isinstance(function, (CapturedFunction, CarriedFunction)):
        return method_again, (function, method.__self__)
    # As multiprocessing itself has it for all methods.
    return getattr, (method.__self__, function.__name__)


def method_again(function: Any, instance: Any) -> Any:
    """Return the method of an object that a captured function is."""
    return MethodType(function, instance)


def _is_at_home(run: Any) -> bool:
    """Tell whether this is the process that started a run: not a child, forked or other."""
    return bool(run.pid == os.getpid())


def _run_of(function: CapturedFunction[..., Any]) -> Any:
    """Return the run that a function takes along: the one it is in, else its last one."""
    scope = scope_of_now()
    while scope is not None and not _binds(scope, function):
        scope = scope.outer
    run = function.run if scope is None else scope.run
    # Tests bind functions to anything; and a run that has no journal yet can not be sent.
    return run if getattr(run, "start_time", None) and hasattr(run, "_ticket") else None


def _binds(scope: Any, function: CapturedFunction[..., Any]) -> bool:
    # A thread may have been started by a run that is over, and pickle for another one.
    is_over = getattr(scope.run, "stop_time", None) is not None
    return not is_over and scope.bindings.get(function, None) is not None


def _ticket(run: Any) -> Ticket:
    from sacred.core.run import Run

    return ticket_of(run) if isinstance(run, Run) else run._ticket


def _reference(function: CapturedFunction[..., Any]) -> Any:
    """Return what leads to a captured function in another process.

    Its name, mostly. For a function of the main script it is a function that whoever looks for it
    by name finds in the script (``f._sent``), and that cloudpickle, where joblib's workers do not
    have the script, sends as its code.
    """
    wrapped: Any = function.__wrapped__
    module = str(function.__module__)
    if _find(module, function.__qualname__) is not function:
        return wrapped
    if module not in _MAIN:
        return module, function.__qualname__
    return function._sent


def _find(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


_SENT = "._sent"


def copy_to_send(function: CapturedFunction[..., Any]) -> Any:
    """Return a copy of the function that is wrapped, under the name by which it can be found."""
    wrapped: Any = function.__wrapped__
    if type(wrapped) is not FunctionType:
        return wrapped
    copy = FunctionType(
        wrapped.__code__,
        wrapped.__globals__,
        wrapped.__name__,
        wrapped.__defaults__,
        wrapped.__closure__,
    )
    copy.__kwdefaults__ = wrapped.__kwdefaults__
    copy.__annotations__ = wrapped.__annotations__
    copy.__doc__ = wrapped.__doc__
    copy.__module__ = wrapped.__module__
    copy.__qualname__ = function.__qualname__ + _SENT
    return copy


def reduce_ingredient(ingredient: Any) -> tuple[Any, ...]:
    """Return how an experiment or ingredient is pickled: by its name, as a module would be.

    Raises
    ------
    PicklingError
        It has none: nobody could find it again.
    """
    module = str(ingredient._globals.get("__name__"))
    names = (name for name, value in list(ingredient._globals.items()) if value is ingredient)
    name = next(names, None)
    if name is None:
        kind = type(ingredient).__name__
        raise pickle.PicklingError(
            f"{kind} {ingredient.path!r} can not be sent to another process: it is no variable of "
            f"the module {module}. Assign it there, outside of functions."
        )
    _know_public_names()
    run = active_run(ingredient.path)
    ticket = None if run is None else _ticket(run)
    return ingredient_again, (module, name, type(ingredient), ingredient.path, ticket)


# -- what is received ------------------------------------------------------------------------------


def find_run(ticket: Ticket) -> Any:
    """Return the run that a ticket is of, as it is known in this process."""
    own = OWN_RUNS.get(ticket.key)
    if own is not None:
        if not _is_at_home(own):
            _attend(own)
        return own
    _know_public_names()
    from sacred.core.worker_run import WorkerRun

    with _lock:
        run = _joined.pop(ticket.key, None)
        if run is None or run._ticket.content != ticket.content:
            facts = pickle.loads(ticket.content)  # noqa: S301 - it came inside a pickle
            run = WorkerRun(ticket, facts)
        _joined[ticket.key] = run
        for key in list(_joined)[:-_JOINED]:
            del _joined[key]
    _attend(run)
    return run


def _attend(run: Any) -> None:
    from sacred.core.worker_imports import attend

    attend(run)


def captured_again(
    reference: Any, prefix: str | None, ticket: Ticket | None = None, sent: str = ""
) -> Any:
    """Return a captured function that was sent here, with its run."""
    if ticket is None:
        return _captured(reference, prefix)
    run = find_run(ticket)  # first: what is imported for the function is the run's
    captured = _captured(reference, prefix)
    if run.key == ticket.key:  # what was captured by another name is known as it was captured
        known = (f for f in run.captured_bindings if f.__wrapped__ is captured.__wrapped__)
        captured = next(known, captured)
    return captured if _is_at_home(run) else CarriedFunction(captured, run, sent)


def _captured(reference: Any, prefix: str | None) -> CapturedFunction[..., Any]:
    if isinstance(reference, tuple):
        import importlib

        module, qualname = reference
        importlib.import_module(module)
        found: CapturedFunction[..., Any] = _find(module, qualname)
        return found
    name = getattr(reference, "__qualname__", "")
    if not name.endswith(_SENT):
        return CapturedFunction(reference, prefix)
    name = name.removesuffix(_SENT)
    for module in _MAIN:
        here = _find(module, name)
        if isinstance(here, CapturedFunction) and here.__wrapped__.__code__ == reference.__code__:
            return here
    # The script is not here; this is the function itself.
    captured = CapturedFunction(reference, prefix)
    captured.__qualname__ = name
    return captured


def ingredient_again(
    module: str, name: str, kind: type[Any], path: str, ticket: Ticket | None
) -> Any:
    """Return an experiment or ingredient that was sent here.

    Where the main script is not to be had (in joblib's workers), it is an empty one: enough to
    record by (``ex.log_scalar``), nothing to run.
    """
    if module not in _MAIN:
        import importlib

        return getattr(importlib.import_module(module), name)
    for main in _MAIN:
        here = getattr(sys.modules.get(main), name, None)
        if isinstance(here, kind) and here.path == path:
            return here
    ingredient = kind(path, interactive=True)
    if ticket is not None:
        ingredient.current_run = find_run(ticket)
    return ingredient


class CarriedFunction:
    """A captured function as it arrived in another process: it brings its run with it.

    While it is called, other captured functions that it calls are in that run, too.
    """

    def __init__(self, captured: CapturedFunction[..., Any], run: Any, sent: str) -> None:
        self._captured = captured
        self._run = run
        self._bindings = _SentBindings(run, sent)
        self.__doc__ = captured.__doc__
        self.__module__ = captured.__module__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function, in its run."""
        with entered(self._run, self._bindings) as scope:
            is_inside = _is_in(self._run, scope.outer)
            if is_inside and _at_work_in.get() == os.getpid():
                return self._captured(*args, **kwargs)
            with _at_work(self._run, self._captured.__wrapped__, is_inside=is_inside):
                return self._captured(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> tuple[Any, ...]:
        with entered(self._run, self._bindings):
            return reduce_captured(self._captured)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._captured, name)

    def __repr__(self) -> str:
        return f"<{self._captured!r} of {self._run!r}>"


#: The process that this thread called a function in that was sent there. A forked child finds that
#: of its parent, and is in the run as well from its first moment.
_at_work_in: ContextVar[int] = ContextVar("sacred_at_work_in", default=0)


@contextmanager
def _at_work(run: Any, function: Any, *, is_inside: bool) -> Iterator[None]:
    """Have what is printed and imported meanwhile recorded when this is left.

    Whoever gets the result may end this process without a word.
    """
    from sacred.core.worker_imports import look_now
    from sacred.core.worker_output import flush_output

    # A forked child is heard as its parent was.
    listen = nullcontext if is_inside else getattr(run, "listening", nullcontext)
    token = _at_work_in.set(os.getpid())
    try:
        with listen():
            yield
    finally:
        _at_work_in.reset(token)
        if listen is nullcontext and run.capture_mode == "fd":
            flush_output()
        look_now(function)


def _is_in(run: Any, scope: Any) -> bool:
    while scope is not None:
        if scope.run is run:
            return True
        scope = scope.outer
    return False


class _SentBindings:
    """What captured functions work with in another process.

    Their seeds are drawn from streams of their own: a copy of the stream at home would draw there
    what is drawn here.
    """

    def __init__(self, run: Any, sent: str) -> None:
        self._run = run
        self._number = sent
        self._found: dict[CapturedFunction[..., Any], Binding] = {}

    def get(self, function: CapturedFunction[..., Any], default: Any) -> Any:
        found = self._found.get(function)
        if found is None:
            bindings = self._run.captured_bindings
            binding: Binding | None = bindings.get(function)
            if binding is None:
                return default
            if function.uses_randomness:
                binding = binding._replace(rnd=self._stream(function))
            found = self._found[function] = binding
        return found

    def _stream(self, function: CapturedFunction[..., Any]) -> Any:
        import xxhash

        from sacred.core.randomness import create_seed_stream

        seed = self._run.config.get("seed")
        text = "\n".join([str(seed), self._number, *key_of(function)])
        # 32 bits: the most that numpy's older generators take.
        return create_seed_stream(xxhash.xxh32_intdigest(text.encode()))
