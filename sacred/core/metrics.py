"""Metrics: what ``log_scalar`` takes, and how steps are counted.

``log_scalar`` stands in people's innermost loops, so a run binds it once, as a closure over all it
needs: a method that looks its parts up would cost half as much again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from sacred.journal.errors import WriterClosedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    LogPoint = Callable[[str, Any, Any], Any]

__all__ = [
    "MetricError",
    "MetricsLogger",
    "ScalarMetricLogEntry",
    "linearize_metrics",
    "next_step",
    "plain_scalar",
    "scalar_logger",
]


class MetricError(TypeError, ValueError):
    """A value or step that is no metric's; the sentence says what to log instead."""

    exit_code = 1


def scalar_logger(
    log_point: LogPoint,
    steps: dict[str, Any],
    late: Callable[[str], None] | None = None,
    *,
    owner: object,
) -> Callable[..., None]:
    """Return the method that checks a point, gives it a step and passes it on.

    Parameters
    ----------
    log_point
        Takes name, step and value.
    steps
        The last step of each metric, kept up to date.
    late
        Called with the name of the metric when the journal is closed already: whoever logs must
        not be stopped by it.
    owner
        Whose method it is: pickled, it is the ``log_scalar`` of that.
    """

    def log_scalar(_owner: object, metric_name: str, value: Any, step: Any = None) -> None:
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
        try:
            log_point(metric_name, step, value)
        except WriterClosedError:
            if late is not None:
                late(metric_name)

    # A name by which it is found: cloudpickle takes a method apart, and its function with all that
    # it holds. At random: another process has functions of its own.
    log_scalar.__qualname__ = name = _PREFIX + os.urandom(8).hex()
    _loggers[name] = log_scalar
    return MethodType(log_scalar, owner)


_PREFIX = "log_scalar_"
_loggers: WeakValueDictionary[str, Callable[..., None]] = WeakValueDictionary()


def _log_scalar_elsewhere(owner: Any, metric_name: str, value: Any, step: Any = None) -> None:
    """Stand for the function of ``scalar_logger`` in another process than the one it was made in."""
    owner.log_scalar(metric_name, value, step)


# By this name a bound method is pickled where cloudpickle is not asked: it is its owner's method.
_log_scalar_elsewhere.__name__ = "log_scalar"


def __getattr__(name: str) -> Any:
    if name.startswith(_PREFIX):
        return _loggers.get(name, _log_scalar_elsewhere)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def next_step(steps: dict[str, Any], name: str, step: Any = None) -> Any:
    """Return the step of an entry of a series, and remember it as the last one of that name.

    Raises
    ------
    MetricError
        The step is no number, or the name no text.
    """
    try:
        last = steps[name]
    except (KeyError, TypeError):
        last = _before_first_step(name)
    if step is None:
        step = last + 1
    elif type(step) is not int:
        step = _plain_step(step, name)
    steps[name] = step
    return step


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
        A number: also one of numpy, torch, jax, TensorFlow or pandas (a scalar, or an array or
        table of one element), a ``Decimal``, a ``Fraction``, or anything whose ``item()`` is one.
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
        # A text of numpy, or a member of an enumeration: the journal knows texts alone.
        return str.__str__(value) if isinstance(value, str) else value
    shape = getattr(value, "shape", None)
    if shape is not None:
        if any(length != 1 for length in shape):
            raise MetricError(
                f"The {what} of metric {metric_name!r} is an array of shape {tuple(shape)}. "
                + (
                    "Steps are numbers."
                    if what == "step"
                    else "Log one number: an element, or its mean."
                )
            )
        value = _item(value, metric_name, what)
        kind = type(value)
        if isinstance(value, (bool, str)):
            return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) or hasattr(kind, "__float__"):
        try:
            return float(value)
        except OverflowError as error:
            raise MetricError(
                f"The {what} of metric {metric_name!r} is {_with_article(value)} larger than any "
                "float. Log an int, or its logarithm."
            ) from error
        except (TypeError, ValueError) as error:
            raise _no_number(value, metric_name, what) from error
    if hasattr(kind, "__index__"):
        return int(value)
    if shape is None and hasattr(kind, "item"):
        found = _item(value, metric_name, what)
        if type(found) is not kind:  # it may return itself
            return plain_scalar(found, metric_name, what)
    raise _no_number(value, metric_name, what)


def _item(value: Any, metric_name: str, what: str) -> Any:
    """Return the one element of something that holds one."""
    # Of the class: a table may have a column of this name.
    for name in ("item", "numpy", "to_numpy"):
        if hasattr(type(value), name):
            try:
                found = getattr(value, name)()
            except Exception as error:  # of another library, which raises what it likes
                raise _no_number(value, metric_name, what) from error
            return found if name == "item" else _item(found, metric_name, what)
    return value


def _with_article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def _no_number(value: object, metric_name: str, what: str) -> MetricError:
    if what == "step":
        advice = "Steps are numbers: log_scalar(name, value, step)."
    else:
        advice = (
            "Log a number; log_text takes texts, log_dict dictionaries and lists, log_array arrays."
        )
    return MetricError(
        f"The {what} of metric {metric_name!r} is {_with_article(value)}, not a number. {advice}"
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
        self._log = scalar_logger(self.add, self.metric_step_counter, owner=self)

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
