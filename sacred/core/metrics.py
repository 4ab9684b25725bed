"""Metrics: what ``log_scalar`` takes, and how steps are counted.

``log_scalar`` stands in people's innermost loops, so a run binds it once, as a closure over all it
needs: a method that looks its parts up would cost half as much again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    LogPoint = Callable[[str, Any, Any], Any]

__all__ = [
    "MetricError",
    "MetricsLogger",
    "ScalarMetricLogEntry",
    "linearize_metrics",
    "plain_scalar",
    "scalar_logger",
]


class MetricError(TypeError, ValueError):
    """A value or step that is no metric's; the sentence says what to log instead."""

    exit_code = 1


def scalar_logger(log_point: LogPoint, steps: dict[str, Any]) -> Callable[[str, Any, Any], None]:
    """Return the function that checks a point, gives it a step and passes it on.

    Parameters
    ----------
    log_point
        Takes name, step and value.
    steps
        The last step of each metric, kept up to date.
    """

    def log_scalar(metric_name: str, value: Any, step: Any = None) -> None:
        kind = type(value)
        if kind is not float and kind is not int:
            value = plain_scalar(value, metric_name)
        try:
            last = steps[metric_name]
        except (KeyError, TypeError):  # a list can be the name of nothing
            last = _before_first_step(metric_name)
        if step is None:
            step = last + 1
        elif type(step) is not int:
            step = _plain_step(step, metric_name)
        steps[metric_name] = step
        log_point(metric_name, step, value)

    return log_scalar


def _before_first_step(metric_name: object) -> int:
    if not isinstance(metric_name, str):
        raise MetricError(
            f"The name of a metric is a text, not {metric_name!r}: log_scalar(name, value, step)."
        ) from None
    return -1


def _plain_step(step: Any, metric_name: str) -> Any:
    step = plain_scalar(step, metric_name, what="step")
    if isinstance(step, str):
        raise MetricError(
            f"The step of metric {metric_name!r} is the text {step!r}. Steps are numbers."
        )
    return step


def plain_scalar(value: Any, metric_name: str = "", what: str = "value") -> Any:
    """Return a number of any library as Python's own; texts, bools and None as they are.

    Parameters
    ----------
    value
        A number: also one of numpy, torch, jax or TensorFlow (a scalar, or an array of one
        element), a ``Decimal``, a ``Fraction``.
    metric_name, what
        For the error's sentence.

    Raises
    ------
    MetricError
        It is an array, or no number at all.
    """
    kind = type(value)
    if value is None or kind in (float, int, bool, str):
        return value
    if isinstance(value, (bool, str)):
        return value
    shape = getattr(value, "shape", None)
    if shape is not None:
        if any(length != 1 for length in shape):
            raise MetricError(
                f"The {what} of metric {metric_name!r} is an array of shape {tuple(shape)}. "
                "Log one number: an element, or its mean."
            )
        value = _item(value)
        kind = type(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) or hasattr(kind, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise _no_number(value, metric_name, what) from error
    if hasattr(kind, "__index__"):
        return int(value)
    raise _no_number(value, metric_name, what)


def _item(value: Any) -> Any:
    """Return the one element of an array without dimensions."""
    for name in ("item", "numpy"):
        method = getattr(value, name, None)
        if method is not None:
            found = method()
            return found if name == "item" else _item(found)
    return value


def _no_number(value: object, metric_name: str, what: str) -> MetricError:
    return MetricError(
        f"The {what} of metric {metric_name!r} is a {type(value).__name__}, not a number. "
        "Log a number, or put the object into `_run.info`."
    )


# -- as in-process observers see them -------------------------------------------------------------


class ScalarMetricLogEntry:
    """One point of a metric.

    Attributes
    ----------
    name, step, timestamp, value
        ``timestamp`` is naive UTC.
    """

    __slots__ = ("name", "step", "timestamp", "value")

    def __init__(self, name: str, step: Any, timestamp: datetime, value: Any) -> None:
        self.name = name
        self.step = step
        self.timestamp = timestamp
        self.value = value

    def __repr__(self) -> str:
        return f"<{self.name}[{self.step}] = {self.value}>"


class MetricsLogger:
    """Collects points in memory until they are asked for. Thread-safe as lists are."""

    def __init__(self) -> None:
        self.metrics: list[ScalarMetricLogEntry] = []
        self.metric_step_counter: dict[str, Any] = {}
        self._log = scalar_logger(self.add, self.metric_step_counter)

    def add(self, name: str, step: Any, value: Any) -> None:
        """Keep a point that was checked and has a step."""
        self.metrics.append(ScalarMetricLogEntry(name, step, utc_now(), value))

    def log_scalar_metric(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Add a point.

        Parameters
        ----------
        metric_name
            Its metric.
        value
            A number (or a text).
        step
            Which point it is; one more than the last one's by default, beginning with 0.
        """
        self._log(metric_name, value, step)

    def get_last_metrics(self) -> Iterator[ScalarMetricLogEntry]:
        """Return the points since the last call."""
        count = len(self.metrics)
        taken = self.metrics[:count]
        del self.metrics[:count]
        return iter(taken)


def linearize_metrics(logged_metrics: Iterable[ScalarMetricLogEntry]) -> dict[str, dict[str, Any]]:
    """Group points by metric: ``{name: {"steps", "values", "timestamps", "name"}}``."""
    grouped: dict[str, dict[str, Any]] = {}
    for entry in logged_metrics:
        metric = grouped.get(entry.name)
        if metric is None:
            metric = {"steps": [], "values": [], "timestamps": [], "name": entry.name}
            grouped[entry.name] = metric
        metric["steps"].append(entry.step)
        metric["values"].append(entry.value)
        metric["timestamps"].append(entry.timestamp)
    return grouped


def utc_now() -> datetime:
    """Return the time as Sacred's events carry it: UTC, without a time zone."""
    import datetime as dt

    return dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)


for _public in (MetricError, MetricsLogger, ScalarMetricLogEntry):
    _public.__module__ = "sacred.metrics_logger"
