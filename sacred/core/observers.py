"""Observers: Sacred's event protocol, and how a run calls what listens to it in its own process.

Whoever only *declares* a view (``MongoObserver(url)``) is not called here: another process writes
it from the journal, see ``views.py``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sacred.core.items import items_of
from sacred.core.metrics import linearize_metrics
from sacred.core.observer_checks import Parameters, misfit, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from logging import Logger

    from sacred.core.metrics import ScalarMetricLogEntry

__all__ = [
    "Listener",
    "RunObserver",
    "by_priority",
    "copy_of",
    "listener_priority",
]

#: Events that an observer could not take are kept for its next beat; not more than these.
_BACKLOG = 10_000
#: And not more metric points.
_POINTS = 100_000
#: For so long (s) events that were not taken are offered again with a beat.
_AGAIN = 1.0
#: So many different errors of an observer are told, until it has taken everything.
_ERRORS_TOLD = 100
#: So many containers within one another are copied.
_DEPTH = 200


class RunObserver:
    """Base of observers; every method does nothing.

    A run calls the methods with keywords, in the order of ``priority``, highest first. What an
    observer is given is its own copy. The methods of one observer are never called by two threads
    at once. A method of one's own may leave out parameters that it has no use for.
    """

    priority = 0

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Take a run that is queued, not started; may return its id if ``_id`` is None."""

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Take the start of a run; may return its id if ``_id`` is None."""

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Take what is known by now; ``captured_out`` is the whole text so far."""

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Take the end of a run that went well."""

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Take the end of a run that was interrupted."""

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Take the end of a run that failed."""

    def resource_event(self, filename: str) -> None:
        """Take the name of a file that the run needs."""

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Take the name of a file that the run made."""

    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Take the metric points since the last call; comes before each heartbeat."""

    def join(self) -> None:
        """Finish; the last call of all."""


RunObserver.__module__ = "sacred.observers.base"


def listener_priority(observer: Any) -> float:
    """Return an observer's priority; 0 for one that has none or a nonsensical one."""
    priority = getattr(observer, "priority", 0)
    return priority if isinstance(priority, (int, float)) else 0


def by_priority(observers: Iterable[Any]) -> list[Any]:
    """Return the observers, highest priority first, otherwise in the order given."""
    return sorted(observers, key=listener_priority, reverse=True)


class Listener:
    """One observer that is called in this process.

    Events that must not fail the run are *delivered*: what the observer raises is logged, and the
    event comes again with the next beat. One that is never taken holds up no other, but those of
    the same file; behind a start everything waits. Calls are serialised.
    """

    def __init__(self, observer: Any, logger: Logger) -> None:
        self.observer = observer
        self.failed = False
        self._logger = logger
        self._lock = threading.RLock()
        self._backlog: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_BACKLOG)
        self._points: list[ScalarMetricLogEntry] = []
        self._lost_points = 0
        self._known: dict[str, Parameters] = {}
        self._reported: set[str] = set()

    def call(self, event: str, **arguments: Any) -> Any:
        """Call a method of the observer with its own copy of those arguments that it takes.

        Raises
        ------
        ObserverSignatureError
            The method can not take the event's arguments (a ``TypeError``).
        Exception
            Whatever the observer raises.
        """
        method = getattr(self.observer, event, None)
        if method is None:
            return None
        if event not in self._known:
            self._known[event] = parameters_of(method)
        taken = self._known[event].chosen(event, arguments)
        if taken is None:
            raise misfit(self.observer, event, arguments)
        given = {name: copy_of(value) for name, value in taken.items()}
        with self._lock:
            return method(**given)

    def begin(self, event: str, **arguments: Any) -> Any:
        """Tell of a run that starts or is queued; return the id the observer gives.

        Raises
        ------
        Exception
            Whatever a custom observer raises: then the run does not start. A view of ours that is
            called here never stops a run unless it is required; it is told again with each beat.
        """
        try:
            return self.call(event, **arguments)
        except FileExistsError:
            raise
        except Exception as error:
            view = getattr(type(self.observer), "declare_view", None) is not None
            if not view or getattr(self.observer, "required", False):
                raise
            self._report(error)
            with self._lock:
                self._backlog.append((event, {n: copy_of(v) for n, v in arguments.items()}))
            return None

    def deliver(self, event: str, **arguments: Any) -> bool:
        """Call the observer; what it can not take now comes again with the next beat."""
        with self._lock:
            in_time = self._deliver_backlog()
            if in_time and not self._waits(event, arguments) and self._try(event, arguments):
                return True
            self._backlog.append((event, {name: copy_of(v) for name, v in arguments.items()}))
            return False

    def beat(self, points: Sequence[ScalarMetricLogEntry], arguments: dict[str, Any]) -> bool:
        """Deliver what is left over, then the metric points, then the heartbeat."""
        with self._lock:
            self._points += points
            self._deliver_backlog()
            if self._waits("heartbeat_event", {}):
                self._bound_points()
                return False
            taken = len(self._points)
            metrics = {
                "metrics_by_name": linearize_metrics(self._points),
                "info": arguments["info"],
            }
            if not self._try("log_metrics", metrics):
                self._bound_points()
                return False
            del self._points[:taken]
            # The state is given whole with each beat, so a heartbeat that failed need not come
            # again: the next one says more.
            if not self._try("heartbeat_event", arguments) or self._backlog:
                return False
            self._reported.clear()
            return True

    def finish(self, event: str, **arguments: Any) -> bool:
        """Deliver a last event, once, whatever is left over; what it raises is logged whole.

        With that all is said: it does not count among the failures told at the end.
        """
        with self._lock:
            self._deliver_backlog()
            try:
                self.call(event, **arguments)
            except Exception:
                # An observer may raise anything; the line is Sacred's: the trace is the message.
                import traceback

                self._logger.error(traceback.format_exc())  # noqa: TRY400
                return False
            return True

    def join(self) -> None:
        """Tell the observer that nothing more will come."""
        if getattr(self.observer, "join", None) is not None:
            with self._lock:
                self._try("join", {})

    def _bound_points(self) -> None:
        """Forget the oldest points of an observer that has not taken any for long."""
        lost = len(self._points) - _POINTS
        if lost > 0:
            del self._points[:lost]
            if not self._lost_points:
                self._logger.warning(
                    "The '%s' observer has taken no metrics for so long that it will not get "
                    "the oldest: only the newest %d are kept for it.",
                    self.observer,
                    _POINTS,
                )
            self._lost_points += lost

    def _waits(self, event: str, arguments: dict[str, Any]) -> bool:
        """Tell whether something is left over that has to come before an event."""
        return any(_comes_before(before, (event, arguments)) for before in self._backlog)

    def _deliver_backlog(self) -> bool:
        """Offer again what was not taken, and forget what is taken now; return whether there was time for all."""
        until = time.monotonic() + _AGAIN
        events, self._backlog = self._backlog, deque(maxlen=_BACKLOG)
        in_time = True
        try:
            while events and in_time:
                if self._waits(*events[0]) or not self._try(*events[0]):
                    self._backlog.append(events[0])
                events.popleft()
                in_time = time.monotonic() < until
        finally:
            self._backlog.extend(events)
        return in_time

    def _try(self, event: str, arguments: dict[str, Any]) -> bool:
        try:
            self.call(event, **arguments)
        except Exception as error:
            self._report(error)
            return False
        return True

    def _report(self, error: Exception) -> None:
        self.failed = True
        text = f"An error ocurred in the '{self.observer}' observer: {error}"
        # The same failure at every beat of a week would fill the terminal.
        if text not in self._reported and len(self._reported) < _ERRORS_TOLD:
            self._reported.add(text)
            self._logger.warning(text, exc_info=error)


def _comes_before(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> bool:
    """Tell whether an event has to be taken before another that came later."""
    if one[0] in ("started_event", "queued_event"):
        return True
    # Of a file that is added again, the last is the newest.
    return one[0] == other[0] and _file_of(one[1]) == _file_of(other[1])


def _file_of(arguments: dict[str, Any]) -> Any:
    return arguments.get("name", arguments.get("filename"))


def copy_of(value: Any) -> Any:
    """Copy dicts, lists, tuples, sets and arrays all the way down; everything else is shared.

    Unlike ``copy.deepcopy`` it works for every value: a configuration may hold modules, locks and
    open files. What lies very deep is shared, too.
    """
    return _copy_of(value, {})


def _copy_of(value: Any, around: dict[int, Any]) -> Any:
    """Copy a value; ``around`` are the copies of the containers around it, by the id of each."""
    if isinstance(value, (dict, list)) or type(value) is tuple:
        if id(value) in around:
            return around[id(value)]
        if len(around) >= _DEPTH:
            return value
        copied: Any = {} if isinstance(value, dict) else []
        around[id(value)] = copied
        try:
            if isinstance(value, dict):
                copied.update((key, _copy_of(item, around)) for key, item in items_of(value))
            else:
                copied.extend(_copy_of(item, around) for item in value)
        except Exception:  # a class whose methods raise: nobody can copy it
            return value
        finally:
            del around[id(value)]
        return tuple(copied) if type(value) is tuple else copied
    if type(value) in (set, bytearray):
        return value.copy()
    if type(value).__module__ == "numpy" and hasattr(value, "copy"):
        return value.copy()
    return value
