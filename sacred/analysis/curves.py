"""The points of metrics as curves: what ``sacred plot`` and reports draw."""

from __future__ import annotations

import math
from array import array
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.details import not_begun
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.past import reader_at
from sacred.journal.verdicts import is_damage
from sacred.replayers.counted_table import CountedTable
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["AXES", "Curve", "RunCurves", "panels", "reduced", "run_curves"]

#: What may stand on the x axis, and how it is labelled.
AXES = {"step": "step", "time": "time", "relative": "seconds since the start of the run"}


class Curve(NamedTuple):
    """The points of one metric of one run that can be drawn.

    Attributes
    ----------
    run
        How the run is called: ``run 7``.
    metric
        Its name.
    unit
        Of the metric, if the program declared one.
    x, y
        Finite numbers, sorted by x. Times are seconds since the epoch.
    skipped
        How many points are not in it: their value is no finite number, or their step is no number.
    """

    run: str
    metric: str
    unit: str | None
    x: array[float]
    y: array[float]
    skipped: int

    def above_zero(self) -> Curve:
        """Return the part of it that a logarithmic scale can show; the rest counts as skipped."""
        pairs = [(x, y) for x, y in zip(self.x, self.y, strict=True) if y > 0]
        lost = len(self.y) - len(pairs)
        x, y = (array("d", side) for side in (zip(*pairs, strict=True) if pairs else ((), ())))
        return self._replace(x=x, y=y, skipped=self.skipped + lost)

    def reduced(self, buckets: int) -> Curve:
        """Return it with four points a bucket at most; see ``reduced``."""
        x, y = reduced(self.x, self.y, buckets)
        return self._replace(x=x, y=y)


class RunCurves(NamedTuple):
    """The curves of one run.

    Attributes
    ----------
    curves
        In the order in which the metrics appeared.
    metrics
        The names of all metrics of the run.
    problems
        A sentence for each thing that is wrong with the journal, and may have held more points.
    """

    curves: list[Curve]
    metrics: list[str]
    problems: list[str]


class _Points:
    """The points of one metric as they are read."""

    def __init__(self) -> None:
        self.x, self.y = array("d"), array("d")
        self.skipped = 0

    def add(self, xs: Iterable[Any], ys: Iterable[Any]) -> None:
        for x, y in zip(xs, ys, strict=True):
            place, value = _finite(x), _finite(y)
            if place is None or value is None:
                self.skipped += 1
            else:
                self.x.append(place)
                self.y.append(value)


def _finite(value: Any) -> float | None:
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def run_curves(
    folder: RunFolder, names: Sequence[str] = (), x: str = "step", *, at: Moment | None = None
) -> RunCurves:
    """Read the points of some metrics of a run, as its journal is now.

    Parameters
    ----------
    folder
        Of the run.
    names
        Of the metrics, or patterns (``train.*``); all if there are none. Those that the run does not
        have give no curve.
    x
        ``step``; ``time``; or ``relative``, to the start of the run.
    at
        As its journal was at that moment; None: now.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
        There is no journal that can be read.
    RunNotFoundError
        The run had not begun at that moment.

    Notes
    -----
    Points of other metrics are not decoded, where they stand by themselves. Memory: 16 bytes a point.
    """
    found: dict[str, _Points | None] = {}
    units: dict[str, str] = {}
    problems: list[str] = []
    begin: int | None = None
    reader = reader_at(folder, at, CountedTable)
    try:
        for event in reader.read(order="time"):
            if event.type in _KINDS:
                begin = event.time if begin is None else begin
                problems += _take(event, names, found, x, begin)
            elif event.type == EventType.RUN_STARTED and begin is None:
                begin = event.time
            elif event.type == EventType.METRIC_DECLARED and event.fields.get("unit"):
                units[str(event.fields["metric"])] = str(event.fields["unit"])
        problems += [str(verdict) for verdict in reader.verdicts if is_damage(verdict)]
    except JournalError:
        if not found:
            raise
        problems.append("the run was removed while it was read")
    finally:
        reader.close()
    if at is not None and begin is None and not problems:
        raise not_begun(folder, at)
    run = f"run {folder.number}" if folder.number is not None else folder.path.name
    curves = [
        Curve(run, name, units.get(name), *_sorted(points), points.skipped)
        for name, points in found.items()
        if points is not None
    ]
    return RunCurves(curves, list(found), problems)


_KINDS = frozenset({EventType.METRIC_POINT, EventType.METRIC_TABLE})


def _take(
    event: Event, names: Sequence[str], found: dict[str, _Points | None], x: str, begin: int
) -> list[str]:
    """Take in the points of an event; return what is wrong with it."""
    table = event.fields.get("table")
    told = [str(name) for name in (table.metrics if table else (event.fields["metric"],))]
    for name in told:
        if name not in found:
            wanted = not names or any(name == n or fnmatchcase(name, n) for n in names)
            found[name] = _Points() if wanted else None
    if all(found[name] is None for name in told):
        return []
    if not isinstance(table, CountedTable):
        when = event.time / 1e9
        place = {"step": event.fields["step"], "time": when}.get(x, (event.time - begin) / 1e9)
        points = found[told[0]]
        assert points is not None
        points.add([place], [event.fields["value"]])
        return []
    try:
        decoded = table.decoded()
    except ValueError as error:
        return [f"a table of points can not be read: {error}"]
    if x == "step":
        places = decoded.steps
    else:
        origin = begin // 1000 if x == "relative" else 0
        places = [(time - origin) / 1e6 for time in decoded.times]
    for number, name in enumerate(told):
        points = found[name]
        if points is None:
            continue
        if not decoded.index:
            points.add(places, decoded.values)
            continue
        rows = [row for row, which in enumerate(decoded.index) if which == number]
        points.add([places[row] for row in rows], [decoded.values[row] for row in rows])
    return []


def _sorted(points: _Points) -> tuple[array[float], array[float]]:
    x, y = points.x, points.y
    if all(x[place] <= x[place + 1] for place in range(len(x) - 1)):
        return x, y
    order = sorted(range(len(x)), key=x.__getitem__)
    return array("d", [x[place] for place in order]), array("d", [y[place] for place in order])


def reduced(
    x: Sequence[float], y: Sequence[float], buckets: int
) -> tuple[array[float], array[float]]:
    """Leave out points that a picture of some columns can not show.

    Parameters
    ----------
    x, y
        Finite, sorted by x.
    buckets
        Parts of the same width on the x axis: of each its first, last, lowest and highest point stay.

    Returns
    -------
    At most four points a bucket, in their order; all of them if they are no more than that.
    """
    if len(x) <= 4 * buckets:
        return array("d", x), array("d", y)
    begin, width = x[0], x[-1] / buckets - x[0] / buckets
    kept: list[int] = []
    place = 0
    for bucket in range(1, buckets + 1):
        first = place
        limit = begin + width * bucket
        low = high = first
        last = bucket == buckets
        while place < len(x) and (last or x[place] < limit):
            if y[place] < y[low]:
                low = place
            if y[place] > y[high]:
                high = place
            place += 1
        if place > first:
            kept += sorted({first, low, high, place - 1})
    return array("d", [x[at] for at in kept]), array("d", [y[at] for at in kept])


def panels(
    runs: Sequence[RunCurves], names: Sequence[str] = (), *, together: bool = False
) -> list[list[Curve]]:
    """Put the curves of some runs together: one metric of all runs in one panel.

    Parameters
    ----------
    runs
        Read for these names.
    names
        As they were asked for; each has to be of one run at least.
    together
        All in one panel.

    Raises
    ------
    QueryError
        No run has a metric of that name, or none has any; the text names the nearest.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if not known:
        raise QueryError("there is nothing to plot: no metric was logged")
    for name in names:
        if not any(name == each or fnmatchcase(each, name) for each in known):
            raise QueryError(_no_such_metric(name, known))
    order = list(
        dict.fromkeys(each for name in names or ["*"] for each in known if _fits(each, name))
    )
    found = [
        [curve for run in runs for curve in run.curves if curve.metric == name] for name in order
    ]
    found = [panel for panel in found if panel]
    return [[curve for panel in found for curve in panel]] if together else found


def _fits(metric: str, name: str) -> bool:
    return metric == name or fnmatchcase(metric, name)


def _no_such_metric(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1, 0.5)
    if near:
        return f"there is no metric {name!r}: did you mean {near[0]!r}?"
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"there is no metric {name!r}: there are {', '.join(known[:8])}{more}"
