"""What ``log_scalar`` takes, and which step a point gets."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from sacred.core.metrics import MetricError, MetricsLogger, linearize_metrics, plain_scalar


class _Tensor:
    """A tensor of another library: a shape, and the element behind ``item``."""

    def __init__(self, value: float, shape: tuple[int, ...] = ()) -> None:
        self._value = value
        self.shape = shape

    def item(self) -> float:
        return self._value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ("a text", "a text"),
        (2**70, 2**70),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (_Tensor(0.75), 0.75),
    ],
)
def test_numbers_of_any_library_become_pythons_own(value: object, expected: object) -> None:
    """MET-01: scalars are unboxed; texts are kept."""
    found = plain_scalar(value)
    assert (expected, type(expected)) == (found, type(found))


def test_numpy_scalars_are_unboxed() -> None:
    """MET-01: numpy's float64 is a subclass of float and still becomes a plain one."""
    numpy = pytest.importorskip("numpy")
    values = [numpy.float64(0.5), numpy.float32(0.25), numpy.int64(3), numpy.array(2.0)]
    assert [float, float, int, float] == [type(plain_scalar(value)) for value in values]


def test_nan_stays() -> None:
    """MET-01: NaN is a value like any other."""
    assert math.isnan(plain_scalar(float("nan")))


@pytest.mark.parametrize(
    "value", [_Tensor(1.0, (3,)), _Tensor(1.0, (0,)), object(), [1, 2], {"a": 1}, 1j, b"x"]
)
def test_arrays_and_objects_are_refused(value: object) -> None:
    """An array or object is an error that names the metric, a TypeError and a ValueError."""
    logger = MetricsLogger()
    with pytest.raises(MetricError, match="loss") as caught:
        logger.log_scalar_metric("loss", value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)
    assert [] == list(logger.get_last_metrics())


def test_a_step_left_out_is_the_last_one_and_one() -> None:
    """MET-01: the first is 0, and an explicit step moves the counter of its metric only."""
    logger = MetricsLogger()
    logger.log_scalar_metric("a", 1.0)
    logger.log_scalar_metric("a", 1.0, 10)
    logger.log_scalar_metric("b", 1.0)
    logger.log_scalar_metric("a", 1.0)
    logger.log_scalar_metric("a", 1.0, 0.5)
    logger.log_scalar_metric("a", 1.0)
    steps = [(entry.name, entry.step) for entry in logger.get_last_metrics()]
    assert [("a", 0), ("a", 10), ("b", 0), ("a", 11), ("a", 0.5), ("a", 1.5)] == steps


@pytest.mark.parametrize("step", ["one", [1], object()])
def test_a_step_is_a_number(step: object) -> None:
    """A step that is none is refused, and does not move the counter."""
    logger = MetricsLogger()
    with pytest.raises(MetricError, match="step"):
        logger.log_scalar_metric("a", 1.0, step)
    logger.log_scalar_metric("a", 1.0)
    assert [0] == [entry.step for entry in logger.get_last_metrics()]


def test_the_name_is_a_text() -> None:
    """Arguments in the wrong order are noticed."""
    with pytest.raises(MetricError, match=r"log_scalar\(name, value, step\)"):
        MetricsLogger().log_scalar_metric(0.5, "loss")  # type: ignore[arg-type]


def test_points_are_grouped_by_metric() -> None:
    """MET-02: observers get steps, values and times of each metric."""
    logger = MetricsLogger()
    for value in (1.0, 2.0):
        logger.log_scalar_metric("a", value)
    logger.log_scalar_metric("b", 3.0, 7)
    grouped = linearize_metrics(logger.get_last_metrics())
    assert {"a", "b"} == set(grouped)
    assert ([0, 1], [1.0, 2.0], "a") == (
        grouped["a"]["steps"],
        grouped["a"]["values"],
        grouped["a"]["name"],
    )
    assert [None, None] == [when.tzinfo for when in grouped["a"]["timestamps"]]
    assert [] == list(logger.get_last_metrics())


@pytest.mark.parametrize("name", [3, None, ["a"], {"a": 1}])
def test_a_name_that_is_no_text_is_told_alone(name: object) -> None:
    """MET-01: the error says what to do, and nothing of how names are looked up."""
    with pytest.raises(MetricError, match="The name of a metric is a text, not") as caught:
        MetricsLogger().log_scalar_metric(name, 1.0)  # type: ignore[arg-type]
    assert (None, True) == (caught.value.__cause__, caught.value.__suppress_context__)
