"""Functions whose missing arguments come from the configuration."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import cache, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from sacred.core.config.signature import Signature
from sacred.core.errors import ConfigError
from sacred.core.fork import IMPORTING
from sacred.core.randomness import create_rnd, get_seed
from sacred.core.run_scope import SCOPE, entered
from sacred.journal.integers import legible
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Binding", "CapturedFunction", "activate", "bind", "create_captured_function"]

_DEBUG = 10
_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_Result = TypeVar("_Result")


class Binding(NamedTuple):
    """What a captured function works with in one run.

    Attributes
    ----------
    config
        The part of the configuration that the function sees.
    logger
        Its logger.
    rnd
        Where the seeds of its calls are drawn from.
    run
        The run.
    """

    config: Mapping[str, Any]
    logger: Any
    rnd: Any
    run: Any


def _of_function(name: str) -> Any:
    return property(lambda self: getattr(self.__wrapped__, name))


@cache  # each use of a captured method asks for it
def _carry_methods() -> None:
    with IMPORTING:
        from sacred.core.workers import carry_methods

    carry_methods()


class CapturedFunction(Generic[_P, _R_co]):
    """A function whose calls take missing arguments from the configuration.

    It has the name, signature and documentation of the function it wraps (``__wrapped__``) and
    becomes a method in a class.

    Inside a run, and in the threads and tasks that it starts, the function works with what belongs
    to that run, whatever other runs go on at the same time. ``config``, ``logger``, ``rnd`` and
    ``run`` are those of the last run that was made: what a call outside of every run uses.

    It can be pickled, by its name as any function. Within a run it takes along what it works with:
    called in another process, it has the same configuration there, and what it records is in the
    journal of the same run (see ``docs/metrics.md``).

    Attributes
    ----------
    signature
        What it takes.
    uses_randomness
        Whether it declares ``_seed`` or ``_rnd``.
    prefix
        The part of the configuration that it looks in.
    unobserved
        Of a command: whether its runs are recorded.

    Notes
    -----
    For type checkers a call has two forms, and the result is the function's. The first has the
    function's own parameters: editors show and complete them. The second takes anything, because
    any parameter may be left to the configuration: which ones it has is known at run time only, and
    no type can say "these parameters, or fewer". So a call is never refused by a checker. Who wants
    one checked in full calls ``f.__wrapped__(...)``, which takes nothing from the configuration.
    """

    __name__: str
    __qualname__: str
    unobserved: bool

    if TYPE_CHECKING:  # inspect would take the property for what this class wraps

        @property
        def __wrapped__(self) -> Callable[_P, _R_co]:
            """The function as it was written."""

    # What tools look for in a function: those that trace, compile or document.
    __code__ = _of_function("__code__")
    __defaults__ = _of_function("__defaults__")
    __kwdefaults__ = _of_function("__kwdefaults__")
    __globals__ = _of_function("__globals__")
    __closure__ = _of_function("__closure__")
    __builtins__ = _of_function("__builtins__")

    def __init__(self, function: Callable[_P, _R_co], prefix: str | None = None) -> None:
        signature = Signature(function)
        names = frozenset(signature.arguments)
        update_wrapper(self, function)
        if not hasattr(function, "__name__"):
            self.__name__ = self.__qualname__ = signature.name
        self.signature = signature
        self.uses_randomness = "_rnd" in names or "_seed" in names
        self.prefix = prefix
        self.config: Mapping[str, Any] = {}
        self.logger: Any = None
        self.rnd: Any = None
        self.run: Any = None
        self._wants_rnd = "_rnd" in names
        self._wants_special = not names.isdisjoint(_SPECIAL)
        self._construct_arguments = signature.construct_arguments

    @overload
    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...

    @overload
    def __call__(self, /, *args: Any, **kwargs: Any) -> _R_co: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function with what the configuration has of the missing arguments.

        Raises
        ------
        SignatureError, MissingConfigError
            The arguments and the configuration together are too much or too little.
        ConfigError
            The entry at ``prefix`` is no group.
        """
        scope = SCOPE.get()
        state: Any = self if scope is None else scope.bindings.get(self, self)
        config = state.config
        if not hasattr(config, "keys"):
            raise _no_group(self, config)
        options = config
        if self._wants_special:
            options = {**config, "_config": config, "_log": state.logger, "_run": state.run}
            if self.uses_randomness:
                options["_seed"] = seed = get_seed(state.rnd)
                # Making a generator loads numpy; a call that brings its own needs none.
                if self._wants_rnd and "_rnd" not in kwargs:
                    options["_rnd"] = create_rnd(seed)
        args, kwargs = self._construct_arguments(args, kwargs, options)  # type: ignore[assignment]
        logger = state.logger
        try:
            if logger is None or not logger.isEnabledFor(_DEBUG):
                return self.__wrapped__(*args, **kwargs)
            result: _R_co = _call_and_log(self.__wrapped__, args, kwargs, logger)
            return result
        except ConfigError as error:
            error.locate(config, self.prefix)
            raise

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> CapturedFunction[_P, _R_co]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., _R_co]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if "multiprocessing.reduction" in sys.modules:
            _carry_methods()
        return MethodType(self, instance)

    def __copy__(self) -> CapturedFunction[_P, _R_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CapturedFunction[_P, _R_co]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A pool pickles in a thread of its own, and forks in another.
        with IMPORTING:
            from sacred.core.workers import reduce_captured

        return reduce_captured(self)

    @property
    def _sent(self) -> Any:
        """What is pickled of a function of the main script; the same each time."""
        from sacred.core.workers import copy_to_send

        return self.__dict__.setdefault("_copy", copy_to_send(self))

    def __repr__(self) -> str:
        return f"<captured function {self.__qualname__}>"


#: What a function is given that asks for it by name.
_SPECIAL = frozenset({"_config", "_log", "_run", "_seed", "_rnd"})


def create_captured_function(
    function: Callable[_P, _Result], prefix: str | None = None
) -> CapturedFunction[_P, _Result]:
    """Wrap a function so that a call takes missing arguments from the configuration.

    Explicit arguments win over the configuration, and that over default values. The parameters
    ``_config``, ``_log``, ``_run``, ``_seed`` and ``_rnd`` are given their special values.

    Parameters
    ----------
    function
        What to wrap.
    prefix
        Dotted path of the part of the configuration to look in.

    Raises
    ------
    TypeError, ValueError
        If ``function`` can not be called or has no signature.
    """
    return CapturedFunction(function, prefix)


def _no_group(function: CapturedFunction[..., Any], value: Any) -> ConfigError:
    return ConfigError(
        f'{function.__name__} is captured with prefix="{function.prefix}", but that entry is no '
        f"group: it is {legible(value)!r}.",
        print_conflicting_configs=False,
        print_traceback=False,
    )


def _call_and_log(function: Any, args: Any, kwargs: Any, logger: Any) -> Any:
    from datetime import timedelta
    from time import perf_counter

    logger.debug("Started")
    start = perf_counter()
    result = function(*args, **kwargs)
    logger.debug("Finished after %s.", timedelta(seconds=round(perf_counter() - start)))
    return result


def bind(bindings: Mapping[Any, Binding]) -> None:
    """Let captured functions work with these bindings until others replace them.

    This is what calls outside of every run use.
    """
    for function, binding in bindings.items():
        function.config = binding.config
        function.logger = binding.logger
        function.rnd = binding.rnd
        function.run = binding.run


@contextmanager
def activate(bindings: Mapping[Any, Binding], run: Any = None) -> Iterator[None]:
    """Let captured functions work with these bindings where this thread goes meanwhile.

    That is in what it calls, in the tasks and threads that it starts, and in the jobs that it gives
    to a thread pool. Runs that overlap do not disturb each other.
    """
    with entered(run, bindings):
        yield
