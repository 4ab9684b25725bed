"""Somebody's observer, found by its name: a class, a function that makes one, or an observer."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from sacred.core.observer_checks import check_observers
from sacred.replayers.errors import SinkMissingError, SinkSpecError, TransientSinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.replayers.sink import SinkSpec

__all__ = ["ObserverTarget"]

#: Observers that are told of a run at the moment, by their ids: an object can be told of one only.
_BUSY: set[int] = set()
_BUSY_LOCK = threading.Lock()


class ObserverTarget:
    """What the address of an observer names.

    Parameters
    ----------
    spec
        The view.

    Raises
    ------
    SinkMissingError
        Its module can not be imported, or has no such name.
    SinkSpecError
        It is no observer, or does not take the arguments.
    """

    def __init__(self, spec: SinkSpec) -> None:
        self._address = spec.url.partition("#")[0]
        self._arguments: Mapping[str, Any] = spec.options.get("arguments") or {}
        self._found = self._import()
        self._is_object = not isinstance(self._found, type) and _is_observer(self._found)
        self._taken = False
        self._check()

    def _import(self) -> Any:
        module, _, name = self._address.partition(":")
        here = os.getcwd()
        if here not in sys.path and "" not in sys.path:
            sys.path.append(here)  # a command has only its own folder there
        try:
            found: Any = importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise SinkMissingError(_can_not_import(module, error)) from error
        for part in name.split("."):
            if not hasattr(found, part):
                raise SinkMissingError(_no_such_name(module, part, found))
            found = getattr(found, part)
        return found

    def _check(self) -> None:
        what = self._address
        if self._is_object:
            if self._arguments:
                raise SinkSpecError(f"{what} is an observer, and no class: it takes no arguments")
            return
        if not callable(self._found) or (
            isinstance(self._found, type) and not _is_observer(self._found)
        ):
            raise SinkSpecError(
                f"{what} is no observer: it has none of the methods that a run calls. Derive its "
                "class from sacred.observers.RunObserver"
            )
        self._check_arguments()

    def _check_arguments(self) -> None:
        import inspect

        try:
            signature = inspect.signature(self._found)
        except (TypeError, ValueError):  # nobody can tell what it takes
            return
        parameters = signature.parameters.values()
        takes = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        for name in self._arguments:
            if name not in takes and not takes_any:
                import difflib

                near = difflib.get_close_matches(name, takes, 1)
                hint = f"did you mean {near[0]}?" if near else f"it takes {_listed(takes)}"
                raise SinkSpecError(f"{self._address} takes no argument {name[:80]!r}: {hint}")
        lacks = [
            p.name
            for p in parameters
            if p.default is p.empty
            and p.name not in self._arguments
            and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        if lacks:
            raise SinkSpecError(
                f"{self._address} needs {_listed(lacks)}: write "
                f"'{self._address}?{lacks[0]}=VALUE', or name a function without parameters that "
                "makes the observer"
            )

    @property
    def priority(self) -> float:
        """The observer's priority, as far as its class says it."""
        priority = getattr(self._found, "priority", 0)
        return priority if isinstance(priority, (int, float)) else 0

    def take(self) -> Any:
        """Return an observer that nobody else tells of a run, until ``give_back``.

        Raises
        ------
        TransientSinkError
            It is one object, and is told of another run at the moment.
        SinkSpecError
            What was made is no observer.
        Exception
            Whatever making it raises.
        """
        if not self._is_object:
            made = self._found(**self._arguments)
            try:
                check_observers([made])
            except TypeError as error:
                raise SinkSpecError(f"{self._address}: {error}") from None
            return made
        with _BUSY_LOCK:
            if id(self._found) in _BUSY and not self._taken:
                raise TransientSinkError(
                    f"{self._address} is one object and is told of another run: to have several at "
                    "once, name its class, or a function that makes one"
                )
            _BUSY.add(id(self._found))
            self._taken = True
        return self._found

    def give_back(self) -> None:
        """Let others have it."""
        with _BUSY_LOCK:
            if self._taken:
                _BUSY.discard(id(self._found))
                self._taken = False


def _is_observer(found: Any) -> bool:
    """Tell whether a class, or an object, has a method of the events."""
    asked = [found] if not isinstance(found, type) else [_Stand(found)]
    try:
        check_observers(asked)
    except TypeError:
        return False
    return True


class _Stand:
    """Stands for an object of a class that was not made yet."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cls, name)


def _can_not_import(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        if module == error.name or module.startswith(f"{error.name}."):
            return (
                f"there is no Python module {error.name}: run sacred-replay where it can be "
                "imported, in the folder it is in, or with PYTHONPATH"
            )
        return f"the module {module} needs {error.name}, which is not installed here"
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"the module {module} can not be imported: {text}"


def _no_such_name(module: str, name: str, found: Any) -> str:
    import difflib

    near = difflib.get_close_matches(name, [n for n in dir(found) if not n.startswith("_")], 1)
    hint = f". Did you mean {near[0]}?" if near else ""
    return f"the module {module} has no {name}{hint}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
