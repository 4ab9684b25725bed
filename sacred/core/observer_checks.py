"""What may stand among the observers of a run, and whether their methods fit the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.errors import ObserverError, SacredError
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "HEART_OF",
    "InvalidObserverError",
    "ObserverSignatureError",
    "Parameters",
    "check_observers",
    "list_of_observers",
    "misfit",
    "parameters_of",
]

#: The methods that a run calls. One that is missing is as one that does nothing.
_EVENTS = (
    "queued_event",
    "started_event",
    "heartbeat_event",
    "completed_event",
    "interrupted_event",
    "failed_event",
    "resource_event",
    "artifact_event",
    "log_metrics",
)
#: What an event is about: a method that can not take it is no method for the event. Everything else
#: may be missing: Sacred's documents describe shorter events than it has, and older ones still did.
HEART_OF = {
    "resource_event": frozenset({"filename"}),
    "artifact_event": frozenset({"filename"}),
    "log_metrics": frozenset({"metrics_by_name"}),
}


class InvalidObserverError(SacredError, ObserverError, TypeError):
    """Something among the observers is none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class ObserverSignatureError(SacredError, ObserverError, TypeError):
    """A method of an observer that can not take what its event has."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


def list_of_observers(observers: Any) -> list[Any]:
    """Return the observers as a list of one's own.

    Raises
    ------
    InvalidObserverError
        They are no list (a ``TypeError``).
    """
    try:
        return list(observers)
    except TypeError:
        raise InvalidObserverError(
            f"The observers are {observers!r}, and no list of observers: write "
            "observers = [...], or ex.observers.append(...)."
        ) from None


def check_observers(observers: Iterable[Any]) -> None:
    """See that a run can tell its observers of something.

    Raises
    ------
    InvalidObserverError
        One is a class, or has not a single method of the events (a ``TypeError``).
    """
    for observer in observers:
        if isinstance(observer, type):
            raise InvalidObserverError(
                f"The observer {observer.__name__} is a class: add an object of it, "
                f"{observer.__name__}(...), to the observers."
            )
        # A queue has the methods itself, whatever it was put around.
        asked = getattr(observer, "_covered_observer", observer)
        if not any(callable(getattr(asked, event, None)) for event in _EVENTS):
            around = "" if asked is observer else f", around which {type(observer).__name__} is,"
            raise InvalidObserverError(
                f"{asked!r}{around} is no observer: it has none of the methods that a run calls. Take "
                "it out of the observers, or derive its class from sacred.observers.RunObserver."
            )


class Parameters(NamedTuple):
    """What a method takes.

    Attributes
    ----------
    takes
        The names of its parameters; None if it takes any.
    needs
        Those that have no default.
    has_more_places
        Whether it takes more arguments by their places (``*args``), where nothing comes.
    """

    takes: frozenset[str] | None
    needs: frozenset[str]
    has_more_places: bool = False

    def chosen(self, event: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Return those arguments of an event that the method takes; None if it is not for it."""
        takes = self.takes
        if takes is None:
            return arguments
        chosen = {name: value for name, value in arguments.items() if name in takes}
        if not self.needs | HEART_OF.get(event, frozenset()) <= chosen.keys():
            return None
        return None if self.has_more_places and len(chosen) < len(arguments) else chosen


_ANY = Parameters(None, frozenset())


def parameters_of(method: Any) -> Parameters:
    """Return what a method takes by name; anything if that can not be seen."""
    function = getattr(method, "__func__", method)
    code = getattr(function, "__code__", None)
    takes_more_places, takes_any_keyword = 0x04, 0x08
    if code is None or code.co_flags & takes_any_keyword:
        return _ANY
    n_positions = code.co_argcount
    bound = 0 if function is method else 1
    names = code.co_varnames[bound : n_positions + code.co_kwonlyargcount]
    without_default = code.co_varnames[
        bound : n_positions - len(getattr(function, "__defaults__", None) or ())
    ]
    by_name = code.co_varnames[n_positions : n_positions + code.co_kwonlyargcount]
    defaults = getattr(function, "__kwdefaults__", None) or {}
    needs = {*without_default, *(name for name in by_name if name not in defaults)}
    has_more_places = bool(code.co_flags & takes_more_places)
    return Parameters(frozenset(names), frozenset(needs), has_more_places)


def misfit(observer: Any, event: str, arguments: Iterable[str]) -> ObserverSignatureError:
    """Return the error about a method that can not take the arguments of its event."""
    return ObserverSignatureError(
        f"{event} of the observer {observer!r} can not be called: it is given "
        f"{', '.join(arguments)}, by these names. Write it so that it takes them, or **kwargs: "
        f"def {event}(self, {', '.join(arguments)})."
    )
