"""Functions whose missing arguments come from the configuration."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sacred.core.config.signature import Signature
from sacred.core.errors import ConfigError
from sacred.core.randomness import create_rnd, get_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Binding", "CapturedFunction", "activate", "bind", "create_captured_function"]

_DEBUG = 10


class CapturedFunction(Protocol):
    """A function that :func:`create_captured_function` made.

    The attributes hold the binding of the last run; inside a run that was activated, its own
    binding is used.
    """

    __name__: str
    signature: Signature
    uses_randomness: bool
    prefix: str | None
    config: Mapping[str, Any]
    logger: Any
    rnd: Any
    run: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function with what the configuration has of the missing arguments."""


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


#: The bindings of the run that this thread, or this task, is in.
_ACTIVE: ContextVar[Mapping[Any, Binding] | None] = ContextVar("sacred_bindings", default=None)


def create_captured_function(
    function: Callable[..., Any], prefix: str | None = None
) -> CapturedFunction:
    """Wrap a function so that a call takes missing arguments from the configuration.

    Explicit arguments win over the configuration, and that over default values. The parameters
    ``_config``, ``_log``, ``_run``, ``_seed`` and ``_rnd`` are given their special values.

    The result is an ordinary function: it is pickled by its name, becomes a method in a class and
    has the signature and documentation of the one it wraps.

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
    signature = Signature(function)
    names = frozenset(signature.arguments)
    wants_config, wants_log, wants_run = (name in names for name in ("_config", "_log", "_run"))
    wants_rnd = "_rnd" in names
    uses_randomness = wants_rnd or "_seed" in names
    wants_special = wants_config or wants_log or wants_run or uses_randomness
    construct_arguments = signature.construct_arguments

    def captured(*args: Any, **kwargs: Any) -> Any:
        active = _ACTIVE.get()
        state: Any = this if active is None else active.get(this, this)
        config = state.config
        options = config
        if wants_special:
            options = {**config, "_config": config, "_log": state.logger, "_run": state.run}
            if uses_randomness:
                options["_seed"] = seed = get_seed(state.rnd)
                # Making a generator loads numpy; a call that brings its own needs none.
                if wants_rnd and "_rnd" not in kwargs:
                    options["_rnd"] = create_rnd(seed)
        args, kwargs = construct_arguments(args, kwargs, options)  # type: ignore[assignment]
        logger = state.logger
        try:
            if logger is None or not logger.isEnabledFor(_DEBUG):
                return function(*args, **kwargs)
            return _call_and_log(function, args, kwargs, logger)
        except ConfigError as error:
            error.locate(config, this.prefix)
            raise

    this: Any = captured
    update_wrapper(captured, function)
    if not hasattr(function, "__name__"):
        captured.__name__ = signature.name
    this.signature = signature
    this.uses_randomness = uses_randomness
    this.prefix = prefix
    this.config = {}
    this.logger = None
    this.rnd = None
    this.run = None
    result: CapturedFunction = this
    return result


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

    This is what calls outside every activated run use, and threads that a run starts.
    """
    for function, binding in bindings.items():
        function.config = binding.config
        function.logger = binding.logger
        function.rnd = binding.rnd
        function.run = binding.run


@contextmanager
def activate(bindings: Mapping[Any, Binding]) -> Iterator[None]:
    """Let captured functions that this thread calls meanwhile work with these bindings.

    Runs that overlap, in several threads or one inside another, do not disturb each other.
    Threads started meanwhile see what was bound last.
    """
    token = _ACTIVE.set(bindings)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
