"""QueueObserver: an observer whose events wait until they can be written."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Any

from sacred.core.lending import lend
from sacred.core.observers import RunObserver, copy_of
from sacred.core.views import declared_view
from sacred.observers.declaration import declares_a_view, is_as_written, logger

__all__ = ["QueueObserver"]

#: Seconds that the end of a run waits for the events of a covered observer.
_END_WAIT = 10.0
#: And until another attempt, while somebody waits.
_SOON = 1.0


@declares_a_view
class QueueObserver(RunObserver):
    """Takes the events for another observer and hands them on in a thread, again and again.

    Around one of our observers that declares a view it is that same declaration, because such a
    view waits for nothing anyway. Else an event that fails comes again until it passes, and nothing
    overtakes it; the end of a run and ``join`` wait ten seconds for it, and no longer.

    Parameters
    ----------
    covered_observer
        The observer.
    interval
        Seconds between two looks at the queue.
    retry_interval
        Seconds after an event that failed until it comes again.
    """

    def __init__(
        self, covered_observer: Any, interval: float = 20.0, retry_interval: float = 10.0
    ) -> None:
        self._covered_observer = covered_observer
        self._interval = interval
        self._retry_interval = retry_interval
        self._queue: deque[tuple[str, tuple[Any, ...], dict[str, Any]]] = deque()
        self._wake = threading.Condition()
        self._worker: threading.Thread | None = None
        self._waiting = 0
        self._patience = _END_WAIT
        self._leaving = False
        self.priority = getattr(covered_observer, "priority", 0)

    def declare_view(self) -> dict[str, Any] | None:
        """Return the specification of the covered view; None if it has to be called."""
        return declared_view(self._covered_observer) if is_as_written(self) else None

    def queued_event(self, *args: Any, **kwargs: Any) -> Any:
        """Have a queued run written at once: its id is waited for."""
        return self._covered_observer.queued_event(*args, **kwargs)

    def started_event(self, *args: Any, **kwargs: Any) -> Any:
        """Have the start written at once: its id is waited for."""
        return self._covered_observer.started_event(*args, **kwargs)

    def heartbeat_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event."""
        self._put("heartbeat_event", args, kwargs)

    def completed_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event and wait, within bounds, until the queue is empty."""
        self._finish("completed_event", args, kwargs)

    def interrupted_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event and wait, within bounds, until the queue is empty."""
        self._finish("interrupted_event", args, kwargs)

    def failed_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event and wait, within bounds, until the queue is empty."""
        self._finish("failed_event", args, kwargs)

    def resource_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event."""
        self._put("resource_event", args, kwargs)

    def artifact_event(self, *args: Any, **kwargs: Any) -> None:
        """Queue the event."""
        self._put("artifact_event", args, kwargs)

    def log_metrics(self, metrics_by_name: dict[str, dict[str, Any]], info: dict[str, Any]) -> None:
        """Queue the points."""
        if metrics_by_name:
            self._put("log_metrics", (), {"metrics_by_name": metrics_by_name, "info": info})

    def join(self) -> None:
        """Wait, within bounds, until the queue is empty; say so if it is not."""
        self._drain()
        with self._wake:
            left = len(self._queue)
            self._leaving = True
            self._wake.notify_all()
        if left:
            logger().warning(
                "%d events are not delivered to the '%s' observer, which keeps failing.",
                left,
                self._covered_observer,
            )
            return
        join = getattr(self._covered_observer, "join", None)
        if join is not None:
            join()

    def _put(self, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with self._wake:
            self._patience = _END_WAIT
            self._queue.append((event, copy_of(args), copy_of(kwargs)))
            self._leaving = False
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, name="sacred-queue", daemon=True)
                self._worker.start()
            self._wake.notify_all()

    def _finish(self, event: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._put(event, args, kwargs)
        if not self._drain():
            # The end of a run calls `join` next, and has waited.
            self._patience = 0.0

    def _drain(self) -> bool:
        with self._wake:
            patience, self._patience = self._patience, _END_WAIT
            self._waiting += 1
            self._wake.notify_all()  # what waits for its next attempt, is tried now
            is_empty = self._wake.wait_for(lambda: not self._queue, patience)
            self._waiting -= 1
        return is_empty

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._leaving, self._interval)
                if not self._queue:
                    self._worker = None
                    return
                event, args, kwargs = self._queue[0]
            try:
                getattr(self._covered_observer, event)(*args, **kwargs)
            except Exception:  # it comes again
                logger().debug("%s of %s failed", event, self._covered_observer, exc_info=True)
                with self._wake:
                    soon = min(self._retry_interval, _SOON)
                    self._wake.wait(soon if self._waiting else self._retry_interval)
                continue
            with self._wake:
                self._queue.popleft()
                self._wake.notify_all()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_covered_observer":
            raise AttributeError(name)
        return getattr(self._covered_observer, name)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, QueueObserver):
            return bool(self._covered_observer == other._covered_observer)
        return False

    __hash__ = None  # type: ignore[assignment]


#: What Sacred's module has because it imports it.
lend(sys.modules[__name__], IntervalTimer="sacred.core.heartbeat")
