"""The thread that looks after a run: small looks often, a heartbeat now and then."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Heartbeat", "IntervalTimer"]

#: Seconds between two looks at what changed (output, info, result).
LOOK_EVERY = 0.5


class Heartbeat:
    """Calls ``look`` every half second and ``beat`` every ``interval`` seconds, in its own thread.

    Parameters
    ----------
    look, beat
        What they raise is passed to ``on_error``; the thread goes on.
    interval
        Seconds; zero or less: no beats but the one at the end, which the caller makes.
    on_error
        Called with the exception.
    """

    def __init__(
        self,
        look: Callable[[], object],
        beat: Callable[[], object],
        interval: float,
        on_error: Callable[[Exception], object],
    ) -> None:
        self._look = look
        self._beat = beat
        self._interval = interval
        self._on_error = on_error
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; the first beat comes after one interval."""
        # A daemon: whatever ends the main thread must not wait for the next beat.
        self._thread = threading.Thread(target=self._run, name="sacred-heartbeat", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 2.0) -> bool:
        """End the thread.

        Parameters
        ----------
        patience
            Seconds to wait for a beat that is under way.

        Returns
        -------
        bool
            False if it still is.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(patience)
        return not thread.is_alive()

    def _run(self) -> None:
        interval = self._interval
        next_beat = time.monotonic() + interval if interval > 0 else None
        pause = LOOK_EVERY
        while True:
            wait = pause
            if next_beat is not None:
                wait = min(wait, max(next_beat - time.monotonic(), 0.0))
            if self._stop.wait(wait):
                return
            began = time.monotonic()
            try:
                self._look()
                if next_beat is not None and time.monotonic() >= next_beat:
                    self._beat()
                    next_beat = time.monotonic() + interval
            except Exception as error:
                self._on_error(error)
                if next_beat is not None:
                    next_beat = max(next_beat, time.monotonic() + min(interval, LOOK_EVERY))
            # A look at a huge `info` may take its time; it must not take all of it.
            pause = max(LOOK_EVERY, 10 * (time.monotonic() - began))


class IntervalTimer(threading.Thread):
    """A thread that calls a function at intervals, and once more when it is stopped."""

    @classmethod
    def create(
        cls, func: Callable[[], object], interval: float = 10
    ) -> tuple[threading.Event, IntervalTimer]:
        """Return the event that stops the timer, and the timer, not started."""
        stop_event = threading.Event()
        return stop_event, cls(stop_event, func, interval)

    def __init__(
        self, event: threading.Event, func: Callable[[], object], interval: float = 10.0
    ) -> None:
        super().__init__()
        self.stop_event = event
        self.func = func
        self.interval = interval

    def run(self) -> None:
        """Call the function until the event is set."""
        while not self.stop_event.wait(self.interval):
            self.func()
        self.func()


IntervalTimer.__module__ = "sacred.utils"
