"""The points of one metric of a run, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Series", "missing"]


class Series:
    """The points of a metric, in the order in which they came; it does not change.

    Attributes
    ----------
    name
        Of the metric.
    steps
        ``numpy`` array of float64: the steps; NaN where one is no number.
    values
        ``numpy`` array of float64: the values; NaN where one is no number.
    times
        ``numpy`` array of datetime64[us], UTC: when each was logged.
    """

    __slots__ = ("name", "steps", "times", "values")

    def __init__(self, name: str, steps: np.ndarray, values: np.ndarray, times: np.ndarray) -> None:
        self.name = name
        self.steps = steps
        self.values = values
        self.times = times

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.values)

    def __repr__(self) -> str:
        """Show how many points there are, and the last one."""
        if not len(self):
            return f"<Series {self.name}: no points>"
        return (
            f"<Series {self.name}: {len(self):,} points, last {self.last:g} at {self.steps[-1]:g}>"
        )

    @property
    def last(self) -> float | None:
        """The value that was logged last; None without points."""
        return float(self.values[-1]) if len(self) else None

    @property
    def min(self) -> float | None:
        """The least value that is a number; None if there is none."""
        return self._of_numbers("min")

    @property
    def max(self) -> float | None:
        """The greatest value that is a number; None if there is none."""
        return self._of_numbers("max")

    @property
    def mean(self) -> float | None:
        """The mean of the values that are numbers; None if there is none."""
        return self._of_numbers("mean")

    def _of_numbers(self, what: str) -> float | None:
        import numpy as np

        numbers = self.values[~np.isnan(self.values)]
        return float(getattr(numbers, what)()) if len(numbers) else None

    def to_pandas(self) -> Any:
        """Return a pandas ``Series`` of the values, its index the steps; needs pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise missing("pandas") from None
        return pd.Series(self.values, index=pd.Index(self.steps, name="step"), name=self.name)

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table`` of ``step``, ``value`` and ``time``; needs pyarrow."""
        try:
            import pyarrow as pa
        except ImportError:
            raise missing("pyarrow") from None
        return pa.table({"step": self.steps, "value": self.values, "time": self.times})

    def to_polars(self) -> Any:
        """Return a polars ``DataFrame`` of ``step``, ``value`` and ``time``; needs polars."""
        try:
            import polars as pl
        except ImportError:
            raise missing("polars") from None
        return pl.DataFrame({"step": self.steps, "value": self.values, "time": self.times})


def missing(package: str) -> QueryError:
    """Return the error for a package that is not installed."""
    return QueryError(f"this needs {package}: pip install {package}")
