"""Where a number lies between two others, linearly or by its logarithm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Scale"]


class Scale(NamedTuple):
    """An axis: from which number to which.

    Attributes
    ----------
    low, high
        Finite; not the same. Above zero if ``log``.
    log
        Whether the place goes by the logarithm.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, numbers: Iterable[float], *, log: bool = False) -> Scale:
        """Return the scale that has room for some numbers; about one value if there is but one."""
        low, high = math.inf, -math.inf
        for number in numbers:
            low, high = min(low, number), max(high, number)
        if low > high:
            low, high = 1.0, 1.0
        # Of neighbours among large numbers the logarithms are the same.
        if log and math.log(low) == math.log(high):
            low, high = max(low / 2, 5e-324), high * 2
        elif low == high:
            room = abs(low) / 10 or 1.0
            low, high = low - room, high + room
        if not low < high:  # the smallest or the largest number that there is
            low, high = (low, 1.0) if low < 1.0 else (1.0, high)
        return cls(max(low, -1.7e308), min(high, 1.7e308), log)

    def place(self, number: float) -> float:
        """Return 0 for ``low``, 1 for ``high``, and what lies between."""
        low, high = self.low, self.high
        if self.log:
            low, high, number = math.log(low), math.log(high), math.log(number)
        # Halves: the difference of the largest numbers is none.
        span = high / 2 - low / 2
        return min(1.0, max(0.0, (number / 2 - low / 2) / span)) if span else 0.5
