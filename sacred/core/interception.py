"""Standing in for a method for a while."""

from __future__ import annotations

import functools
import threading
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BodyDecorator", "ContextMethodDecorator"]

_F = TypeVar("_F", bound="Callable[..., Any]")


class BodyDecorator(ContextDecorator):
    """A context manager that is a decorator too, also of functions that are ``async`` or ``yield``.

    Decorated, a function is as if the ``with`` stood around its body. Python's own is left before
    such a body begins.
    """

    def __call__(self, func: _F) -> _F:
        """Return the function, decorated."""
        function = getattr(func, "__func__", func)
        while not hasattr(function, "__code__") and hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        for flag, around in _AROUND.items():
            if flags & flag:
                return cast("_F", functools.wraps(func)(around(self, func)))
        return super().__call__(func)


def _around_coroutine(manager: Any, func: Any) -> Any:
    async def within(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return await func(*args, **kwargs)

    return within


def _around_generator(manager: Any, func: Any) -> Any:
    def within(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return (yield from func(*args, **kwargs))

    return within


def _around_async_generator(manager: Any, func: Any) -> Any:
    async def within(*args: Any, **kwargs: Any) -> Any:
        with manager:
            async for item in func(*args, **kwargs):
                yield item

    return within


#: By the flag of the code of such a function (the ``CO_`` of ``inspect``).
_AROUND = {0x20: _around_generator, 0x80: _around_coroutine, 0x200: _around_async_generator}


class ContextMethodDecorator(BodyDecorator):
    """While entered, calls of a method go through a function; also a decorator.

    Entered several times, also by threads, it is in force until it was left as often.

    Parameters
    ----------
    classx
        The class, changed in place, so that its subclasses are reached too.
    method_name
        The method.
    decorator_func
        Called as ``(instance, method, args, kwargs)`` instead of the method; what it returns is
        the result.
    """

    def __init__(self, classx: type, method_name: str, decorator_func: Callable[..., Any]) -> None:
        self.classx = classx
        self.method_name = method_name
        self.decorator_func = decorator_func
        self._lock = threading.Lock()
        self._entered = 0
        self._original: Any = None
        self._replacement: Any = None

    def __enter__(self) -> None:
        """Take the method's place."""
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._replace()

    def __exit__(self, *exception: object) -> None:
        """Give the place back, unless somebody else has taken it meanwhile."""
        with self._lock:
            self._entered -= 1
            if self._entered or getattr(self.classx, self.method_name) is not self._replacement:
                return
            if self._is_inherited:
                delattr(self.classx, self.method_name)
            else:
                setattr(self.classx, self.method_name, self._original)

    def _replace(self) -> None:
        original = getattr(self.classx, self.method_name)
        decorator_func = self.decorator_func

        @functools.wraps(original)
        def replacement(instance: Any, *args: Any, **kwargs: Any) -> Any:
            return decorator_func(instance, original, args, kwargs)

        self._is_inherited = self.method_name not in vars(self.classx)
        self._original, self._replacement = original, replacement
        setattr(self.classx, self.method_name, replacement)


ContextMethodDecorator.__module__ = "sacred.stflow.internal"
