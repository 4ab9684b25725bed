"""What became of one metric, in a few numbers and a curve of bounded size."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

from sacred.replayers.jsontext import jsonable

__all__ = ["MetricSummary", "Trend"]

#: Pieces that a trend keeps at most: twice what the widest sparkline draws.
_MOST = 256


class Trend:
    """The course of a series in fewer than 256 means, each over the same number of points.

    Where they would become more, two neighbours become one. So a metric of any length takes the
    same memory, and is read once.
    """

    __slots__ = ("_count", "_pieces", "_sum", "_taken", "_width")

    def __init__(self) -> None:
        #: Sum and number of the finite values of each piece.
        self._pieces: list[tuple[float, int]] = []
        self._width = 1
        self._taken = self._count = 0
        self._sum = 0.0

    def add(self, values: list[Any]) -> None:
        """Take in some values, in order; what is no finite number has its place and no height."""
        begin = 0
        while begin < len(values):
            part = values[begin : begin + self._width - self._taken]
            begin += len(part)
            total, count = _summed(part)
            self._sum = _bounded(self._sum + total)
            self._count += count
            self._taken += len(part)
            if self._taken == self._width:
                self._next()

    def _next(self) -> None:
        self._pieces.append((self._sum, self._count))
        self._sum, self._count, self._taken = 0.0, 0, 0
        if len(self._pieces) == _MOST:
            pairs = zip(self._pieces[::2], self._pieces[1::2], strict=True)
            self._pieces = [(_bounded(a + c), b + d) for (a, b), (c, d) in pairs]
            self._width *= 2

    def curve(self, width: int) -> list[float | None]:
        """Return the course in at most ``width`` means; None where there is no finite number.

        Of no more points than that, it is the points themselves.
        """
        pieces = [*self._pieces, (self._sum, self._count)] if self._taken else self._pieces
        columns = min(max(width, 0), len(pieces))
        curve: list[float | None] = []
        for column in range(columns):
            part = pieces[column * len(pieces) // columns : (column + 1) * len(pieces) // columns]
            points = sum(count for _, count in part)
            total = _bounded(sum(total for total, _ in part))
            curve.append(total / points if points else None)
        return curve


def _summed(values: list[Any]) -> tuple[float, int]:
    """Return the sum and the number of the finite numbers among some values."""
    try:
        total = math.fsum(values)  # most are floats, and this is ten times a loop
        if math.isfinite(total):
            return total, len(values)
    except (TypeError, OverflowError, ValueError):
        pass
    total, count = 0.0, 0
    for value in values:
        if isinstance(value, (int, float)):
            number = _as_float(value)
            if math.isfinite(number):
                total = _bounded(total + number)
                count += 1
    return total, count


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _bounded(total: float) -> float:
    return total if math.isfinite(total) else math.copysign(sys.float_info.max, total)


@dataclass(slots=True)
class MetricSummary:
    """What became of one metric.

    Attributes
    ----------
    points
        How many.
    last_step, last
        Of the point that came last, as they were logged.
    lowest, highest
        Over the values that are numbers; None if there was none.
    lowest_step, highest_step
        Of the first point that has this value, as it was logged.
    trend
        Its course.
    """

    name: str
    points: int = 0
    last_step: Any = None
    last: Any = None
    lowest: float | None = None
    highest: float | None = None
    lowest_step: Any = None
    highest_step: Any = None
    trend: Trend = field(default_factory=Trend, repr=False, compare=False)

    def add(self, steps: list[Any], values: list[Any]) -> None:
        """Take in some points, in order."""
        self.points += len(values)
        self.last_step, self.last = steps[-1], values[-1]
        self.trend.add(values)
        # A value that is not equal to itself is NaN.
        numbers = [v for v in values if isinstance(v, (int, float)) and v == v]  # noqa: PLR0124
        if not numbers:
            return
        low, high = min(numbers), max(numbers)
        if self.lowest is None or low < self.lowest:
            self.lowest, self.lowest_step = low, steps[values.index(low)]
        if self.highest is None or high > self.highest:
            self.highest, self.highest_step = high, steps[values.index(high)]

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "name": self.name,
            "points": self.points,
            "last_step": jsonable(self.last_step),
            "last": jsonable(self.last),
            "min": jsonable(self.lowest),
            "min_step": jsonable(self.lowest_step),
            "max": jsonable(self.highest),
            "max_step": jsonable(self.highest_step),
        }
