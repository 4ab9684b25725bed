"""What ``log_scalar`` takes, and which step a point gets."""

from __future__ import annotations

import enum
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


class _Eager:
    """A tensor of TensorFlow: a shape, and an array behind ``numpy``."""

    shape = ()

    def __init__(self, value: object) -> None:
        self._value = value

    def numpy(self) -> object:
        return self._value


class _Holder:
    """Something with one number in it, and no shape."""

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        return self._value


class _Itself:
    def item(self) -> object:
        return self


class _Several:
    def item(self) -> object:
        raise ValueError("it has several")


class _Colour(str, enum.Enum):
    RED = "red"


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
        (_Tensor(True), True),
        (_Colour.RED, "red"),
        (_Eager(0.5), 0.5),
        (_Eager(_Tensor(3)), 3),
        (_Holder(0.5), 0.5),
        (_Holder(_Tensor(3)), 3),
        (_Holder("text"), "text"),
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
    others = [numpy.bool_(True), numpy.array([[7]]), numpy.str_("text"), numpy.array("text")]
    assert [(bool, True), (int, 7), (str, "text"), (str, "text")] == [
        (type(found), found) for found in map(plain_scalar, others)
    ]
    assert [1.5, 2] == [plain_scalar(numpy.float16(1.5), "a", "step"), plain_scalar(numpy.uint8(2))]


def test_pandas_values_are_unboxed() -> None:
    """MET-01: a series or table of one element is one number, whatever its column is called."""
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([0.5])
    tables = [pandas.DataFrame({"a": [2]}), pandas.DataFrame({"item": [2]})]
    assert [0.5, 2, 2] == [plain_scalar(value) for value in (series, *tables)]
    with pytest.raises(MetricError, match=r"an array of shape \(2, 1\)"):
        plain_scalar(pandas.DataFrame({"a": [1, 2]}))


def test_nan_stays() -> None:
    """MET-01: NaN is a value like any other."""
    assert math.isnan(plain_scalar(float("nan")))


@pytest.mark.parametrize(
    "value",
    [
        *(_Tensor(1.0, (3,)), _Tensor(1.0, (0,)), object(), [1, 2], {"a": 1}, 1j, b"x"),
        *(_Holder([1]), _Holder(_Holder([1])), _Itself(), _Several(), _Holder),
    ],
)
def test_arrays_and_objects_are_refused(value: object) -> None:
    """An array or object is an error that names the metric, a TypeError and a ValueError."""
    logger = MetricsLogger()
    with pytest.raises(MetricError, match="loss") as caught:
        logger.log_scalar_metric("loss", value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)
    assert [] == list(logger.get_last_metrics())
    with pytest.raises(MetricError, match="is an object, not a number"):
        logger.log_scalar_metric("loss", object())


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


@pytest.mark.parametrize("step", ["one", [1], object(), _Tensor(1.0, (3,))])
def test_a_step_is_a_number(step: object) -> None:
    """A step that is none is refused, and does not move the counter."""
    logger = MetricsLogger()
    with pytest.raises(MetricError, match="step.*Steps are numbers") as caught:
        logger.log_scalar_metric("a", 1.0, step)
    assert "log_text" not in str(caught.value)
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
