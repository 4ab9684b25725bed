"""When a server answered last: one that did a moment ago is not asked whether it is there."""

from __future__ import annotations

import time

__all__ = ["LastAnswer"]

_NEVER = float("-inf")


class LastAnswer:
    """Counts for some seconds, if nothing fails meanwhile.

    Parameters
    ----------
    seconds
        For so long it counts.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._came = _NEVER

    def counts(self) -> bool:
        """Tell whether one came a moment ago, and nothing failed since."""
        return time.monotonic() - self._came < self._seconds

    def came(self) -> None:
        """Note that one came now."""
        self._came = time.monotonic()

    def forget(self) -> None:
        """Know of none any more: something failed, or the connection is another one."""
        self._came = _NEVER
