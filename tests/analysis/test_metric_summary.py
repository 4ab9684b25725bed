"""What became of a metric: numbers, and a curve of bounded size."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.analysis.metric_summary import MetricSummary, Trend
from sacred.cli.sparklines import sparkline

VALUES = st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans())


def trend(values, parts=1):
    """Return the trend of some values that come in so many parts."""
    made = Trend()
    size = max(1, len(values) // parts)
    for begin in range(0, len(values), size):
        made.add(values[begin : begin + size])
    return made


def test_few_points():
    """Where there is a place for each, the curve is the points."""
    assert [3.0, 1.0, 2.0] == trend([3.0, 1, 2]).curve(16)
    assert [] == trend([]).curve(16)
    assert [] == trend([1.0]).curve(0)


def test_means():
    """Where there are more, each place is the mean of its share."""
    assert [0.5, 2.5, 4.5] == trend([0, 1, 2, 3, 4, 5]).curve(3)


@pytest.mark.parametrize("count", [255, 256, 257, 1000, 100_000])
def test_a_long_series(count):
    """However long it is: bounded memory, and a curve from its first value to its last."""
    made = trend([float(number) for number in range(count)], 7)
    assert len(made._pieces) <= 256
    curve = made.curve(60)
    assert 60 == len(curve)
    assert curve == sorted(curve)
    assert curve[0] < count / 40
    assert curve[-1] > count - count / 40


def test_what_is_no_number():
    """NaN, infinities and texts have a place and no height."""
    assert [1.0, None, None, None, None, 2.0] == trend(
        [1.0, math.nan, math.inf, "a", None, 2.0]
    ).curve(6)
    assert [1.5] == trend([1.0, math.nan, 2.0]).curve(1)


@given(st.lists(VALUES, max_size=1500), st.integers(1, 9), st.integers(0, 70))
def test_any_values(values, parts, width):
    """Whatever is logged, the curve has at most the width, finite numbers, and can be drawn."""
    curve = trend(values, parts).curve(width)
    assert len(curve) <= min(width, len(values))
    assert all(value is None or math.isfinite(value) for value in curve)
    assert len(sparkline(curve)) == len(curve)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=600), st.integers(1, 9))
def test_parts_do_not_matter(values, parts):
    """The curve is the same however the points came."""
    assert trend(values).curve(20) == pytest.approx(trend(values, parts).curve(20))


def test_huge_numbers():
    """Sums beyond a float's range do not end in infinities."""
    huge = sys.float_info.max
    assert all(map(math.isfinite, trend([huge] * 600).curve(10)))
    assert "▁█" == sparkline([-huge, huge])
    assert [huge] == trend([10**400]).curve(1)


def test_sparklines():
    """From the lowest block to the highest; a flat curve is in the middle."""
    assert "▁▂▃▄▅▆▇█" == sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    assert "▅▅" == sparkline([3, 3])
    assert "x▁█" == sparkline([None, 0, 1])
    assert ("", "xx") == (sparkline([]), sparkline([None, None]))


def test_where_the_extremes_are():
    """The step of the first point that is the lowest and of the first that is the highest."""
    summary = MetricSummary("loss")
    summary.add([0, 1, 2], [3.0, 1.0, math.nan])
    summary.add([3, 4], [1.0, 3.0])
    assert (1.0, 1, 3.0, 0) == (
        summary.lowest,
        summary.lowest_step,
        summary.highest,
        summary.highest_step,
    )
    assert (5, 4, 3.0) == (summary.points, summary.last_step, summary.last)
