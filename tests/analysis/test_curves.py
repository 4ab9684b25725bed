"""Curves: what of a metric's points is drawn, and that thinning them out keeps what can be seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sacred.analysis.curves import panels, reduced, run_curves
from sacred.analysis.scale import Scale
from sacred.analysis.ticks import log_ticks, number_texts, ticks
from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.replayers.errors import QueryError

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.tuples(FINITE | st.integers(0, 50).map(float), FINITE), min_size=1, max_size=200),
    st.integers(1, 5),
)
@example([(float(x), float(x == 7)) for x in range(20)], 2)
def test_reducing_keeps_extremes_and_order(points, buckets):
    """Four points a bucket at most; the lowest, the highest, the first and the last of all are there."""
    points.sort(key=lambda point: point[0])
    xs, ys = zip(*points, strict=True)
    x, y = reduced(xs, ys, buckets)
    kept = list(zip(x, y, strict=True))
    assert len(kept) <= max(4 * buckets, 1)
    assert (min(ys), max(ys)) == (min(y), max(y))
    assert (points[0], points[-1]) == (kept[0], kept[-1])
    rest = iter(points)
    assert all(point in rest for point in kept)


@given(FINITE, FINITE, st.integers(2, 12))
def test_ticks_lie_on_the_axis(one, other, most):
    """Of any two numbers: between one and as many ticks as fit, all on the axis, in order."""
    scale = Scale.of([one, other])
    assert scale.low < scale.high
    for found in (
        ticks(scale.low, scale.high, most),
        ticks(scale.low, scale.high, most, times=True),
    ):
        assert 1 <= len(found) <= most
        assert found == sorted(found)
        room = (scale.high / 2 - scale.low / 2) / 1e6
        assert all(scale.low - room <= tick <= scale.high + room for tick in found)
        assert all(0 <= scale.place(tick) <= 1 for tick in found)
        assert len(found) == len(number_texts(found))


@given(
    st.floats(min_value=5e-324, max_value=1.7e308), st.floats(min_value=5e-324, max_value=1.7e308)
)
@example(9.999999999999196e299, 9.999999999999198e299)
@example(5e-324, 5e-324)
@example(1.7e308, 1.7e308)
def test_logarithmic_ticks(one, other):
    """The same for numbers above zero and their logarithms."""
    scale = Scale.of([one, other], log=True)
    found = log_ticks(scale.low, scale.high, 6)
    assert 1 <= len(found) <= 6
    assert all(scale.low <= tick <= scale.high for tick in found)
    assert 0 == scale.place(scale.low) < scale.place(scale.high) == 1


@pytest.fixture
def folder(tmp_path):
    root = JournalRoot(tmp_path / "root")
    root.create()
    return root.claim()


@pytest.fixture
def writer(folder):
    writer = JournalWriter.create(folder.journal)
    about = {"name": "n", "command": "main", "config": {}, "host": {}, "meta": {}, "experiment": {}}
    writer.append(EventType.RUN_STARTED, time_ns=10**18, run_id=1, **about)
    yield writer
    writer.close()


def test_what_is_no_number_is_counted(writer, folder):
    """NaN, infinities, texts, and points whose step is a text are skipped, and told."""
    values = [1.0, math.nan, math.inf, -math.inf, "much", 10**400, True, 2]
    for step, value in enumerate(values):
        writer.log_point("loss", step, value)
    writer.log_point("loss", "end", 1.0)
    writer.log_point("other", 0, 1.0)
    writer.flush()
    (curve,) = run_curves(folder, ["loss"]).curves
    assert ([0, 6, 7], [1, 1, 2], 6) == (list(curve.x), list(curve.y), curve.skipped)
    assert ["loss", "other"] == run_curves(folder, ["loss"]).metrics
    log = curve._replace(y=type(curve.y)("d", [1, 0, -2])).above_zero()
    assert ([0], [1], 8) == (list(log.x), list(log.y), log.skipped)


def test_several_metrics_in_one_table(writer, folder):
    """Metrics that were logged in turn are told apart, whichever of them are asked for."""
    for step in range(500):
        for name in ("a", "b", "c"):
            writer.log_point(name, step, step * (1 + "abc".index(name)))
    writer.flush()
    for names in ([], ["b"], ["a", "c"], ["[bc]"]):
        for curve in run_curves(folder, names).curves:
            factor = 1 + "abc".index(curve.metric)
            assert list(range(500)) == list(curve.x)
            assert [step * factor for step in range(500)] == list(curve.y)


def test_steps_that_went_back_are_sorted(writer, folder):
    """A run that was gone on with repeats steps: the curve goes from left to right."""
    for step in (0, 1, 2, 1, 2, 3):
        writer.log_point("loss", step, float(step))
    writer.flush()
    (curve,) = run_curves(folder).curves
    assert [0, 1, 1, 2, 2, 3] == list(curve.x)


def test_times(writer, folder):
    """Over the time they are seconds since the epoch, over the relative one since the start."""
    writer.append(
        EventType.METRIC_POINT, time_ns=10**18 + 2_500_000_000, metric="loss", step=0, value=1.0
    )
    writer.append(EventType.METRIC_DECLARED, metric="loss", unit="nats")
    writer.flush()
    (curve,) = run_curves(folder, x="time").curves
    assert ([10**9 + 2.5], "nats") == (list(curve.x), curve.unit)
    (curve,) = run_curves(folder, x="relative").curves
    assert [2.5] == list(curve.x)


def test_panels(writer, folder):
    """One a metric, in the order asked for; together one; a name that is none has its nearest."""
    for name in ("loss", "val.loss", "val.acc"):
        writer.log_point(name, 0, 1.0)
    writer.flush()
    run = run_curves(folder)
    names = [[curve.metric for curve in panel] for panel in panels([run, run], ["val.*", "loss"])]
    assert [["val.loss"] * 2, ["val.acc"] * 2, ["loss"] * 2] == names
    assert 1 == len(panels([run], together=True))
    with pytest.raises(QueryError, match="did you mean 'loss'"):
        panels([run], ["lsos"])
