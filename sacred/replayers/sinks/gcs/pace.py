"""How fast a bucket of Google's is written: it lets one object be written about once a second.

A short burst is let pass, so that a run that is over, whose position is put three times, costs no wait.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sacred.replayers.errors import TransientSinkError

__all__ = ["Pace", "retry_after"]

#: Seconds between two writes of one object in the long run, and how many may come at once.
_INTERVAL, _BURST = 1.0, 3
#: Seconds: after a 429 that does not say how long, and at most, whatever it says.
_PAUSE, _LONGEST = 1.0, 600.0


class Pace:
    """What this process may write in one bucket, and when.

    Parameters
    ----------
    name
        What the view is called.
    clock, sleep
        The time in seconds; what waits.
    """

    def __init__(self, name: str, clock: Any = time.monotonic, sleep: Any = time.sleep) -> None:
        self.name = name
        self._clock = clock
        self._sleep = sleep
        #: By object: when the writes it has had would be over, one after the other.
        self._busy: dict[str, float] = {}
        self._until = 0.0
        self._lock = threading.Lock()

    def wait(self, key: str) -> None:
        """Wait until an object may be written.

        Raises
        ------
        TransientSinkError
            The bucket has asked for patience.
        """
        self.check()
        with self._lock:
            now = self._clock()
            if len(self._busy) > 1000:
                self._busy = {name: busy for name, busy in self._busy.items() if busy > now}
            busy = max(self._busy.get(key, now), now)
            self._busy[key] = busy + _INTERVAL
        early = busy - now - (_BURST - 1) * _INTERVAL
        if early > 0:
            self._sleep(early)

    def check(self) -> None:
        """Raise ``TransientSinkError`` while the bucket wants to be left alone."""
        if self._clock() < self._until:
            raise TransientSinkError(
                f"{self.name} has asked for patience: nothing is sent until then"
            )

    def refused(self, seconds: float | None) -> None:
        """Leave the bucket alone for as long as a 429 says, or for a moment."""
        pause = _PAUSE if seconds is None else min(max(seconds, 0.0), _LONGEST)
        self._until = max(self._until, self._clock() + pause)


def retry_after(error: Exception) -> float | None:
    """Return what ``Retry-After`` of an answer says: seconds, or a date; None if it says nothing."""
    from sacred.replayers.posting import seconds_of

    headers = getattr(getattr(error, "response", None), "headers", None)
    return None if headers is None else seconds_of(headers)
