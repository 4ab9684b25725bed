"""What came out different when a run was run once more: what ``sacred rerun`` reports."""

from __future__ import annotations

from array import array
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.details import details
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.replayers.jsontext import jsonable, leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import RunFolder

__all__ = ["Difference", "MetricCompared", "Repetition", "compare_repetition"]

#: Facts about the machine that may explain a difference.
_HOST = ("hostname", "os", "cpu", "cpu_count", "gpus", "python_version", "python_compiler")
_MISSING = object()


class Difference(NamedTuple):
    """One thing that is not the same.

    Attributes
    ----------
    name
        Of what: a dotted path, a package, an artifact.
    before, now
        Plain values; None where there is none.
    """

    name: str
    before: Any
    now: Any


class MetricCompared(NamedTuple):
    """One metric, point by point.

    Attributes
    ----------
    name
        Of the metric.
    points_before, points_now
        How many.
    step, before, now
        The first place at which they differ: the step (of the first run, else of the second), and
        both values; ``before`` or ``now`` is None where that one has ended. ``step`` None: they
        are the same, bit for bit.
    last_before, last_now
        The last values.
    """

    name: str
    points_before: int
    points_now: int
    step: Any = None
    before: Any = None
    now: Any = None
    last_before: Any = None
    last_now: Any = None

    @property
    def is_same(self) -> bool:
        """Whether steps and values are the same, bit for bit; times are never."""
        return self.points_before == self.points_now and self.step is None


class Repetition(NamedTuple):
    """How a run and its repetition compare.

    Attributes
    ----------
    run, again
        Their numbers.
    outcome
        What differs of ``status`` and ``result``.
    metrics
        Every metric of either.
    config, artifacts, dependencies, host
        What differs of these. Artifacts are compared by their contents.
    seconds
        How long each took, or None.
    """

    run: int | None
    again: int | None
    outcome: tuple[Difference, ...]
    metrics: tuple[MetricCompared, ...]
    config: tuple[Difference, ...]
    artifacts: tuple[Difference, ...]
    dependencies: tuple[Difference, ...]
    host: tuple[Difference, ...]
    seconds: tuple[float | None, float | None]

    @property
    def is_same(self) -> bool:
        """Whether result, metrics and artifacts came out the same, bit for bit."""
        same = all(metric.is_same for metric in self.metrics)
        return same and not (self.outcome or self.artifacts)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        found: dict[str, Any] = {"run": self.run, "again": self.again, "same": self.is_same}
        for name in ("outcome", "config", "artifacts", "dependencies", "host"):
            found[name] = [jsonable(each._asdict()) for each in getattr(self, name)]
        found["metrics"] = [{**jsonable(m._asdict()), "same": m.is_same} for m in self.metrics]
        found["seconds"] = list(self.seconds)
        return found


def compare_repetition(run: RunFolder, again: RunFolder) -> Repetition:
    """Compare a run with one that repeats it.

    Parameters
    ----------
    run
        The first.
    again
        The one that repeats it.

    Returns
    -------
    What differs. Never raises for what is in the folders: what can not be read is not there.

    Notes
    -----
    Memory: the points of both, 18 bytes each.
    """
    one, two = details(run), details(again)
    first, second = one.document, two.document
    experiments = [document.get("experiment") or {} for document in (first, second)]
    names = ("status", "result")
    outcome = [
        {name: jsonable(getattr(found.outline, name)) for name in names} for found in (one, two)
    ]
    hosts = [
        {name: host[name] for name in _HOST if name in (host := document.get("host") or {})}
        for document in (first, second)
    ]
    configs = [dict(leaves(document.get("config") or {})) for document in (first, second)]
    files = [
        {entry.name: entry.digest for entry in document.get("artifacts") or ()}
        for document in (first, second)
    ]
    packages = [_versions(experiment.get("dependencies") or ()) for experiment in experiments]
    return Repetition(
        run.number,
        again.number,
        tuple(_differing(*outcome)),
        tuple(_metrics(_points(run), _points(again))),
        tuple(_differing(*configs)),
        tuple(_differing(*files)),
        tuple(_differing(*packages)),
        tuple(_differing(*hosts)),
        (one.outline.duration, two.outline.duration),
    )


def _versions(dependencies: Any) -> dict[str, str]:
    pairs = (str(dependency).partition("==") for dependency in dependencies)
    return {name: version for name, _, version in pairs}


def _differing(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name, _MISSING), now.get(name, _MISSING)
        if old is _MISSING or new is _MISSING or not _is_same(old, new):
            known = [None if value is _MISSING else value for value in (old, new)]
            yield Difference(name, *known)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two plain values are the same; NaN is, and 1 is not True."""
    return repr(one) == repr(other)


#: Of what type a number in a column is; what is neither stands beside it.
_FLOAT, _INT, _ODD = range(3)


class _Points:
    """Steps and values of one metric, 18 bytes each where they are numbers."""

    def __init__(self) -> None:
        self._columns = (array("d"), array("d"))
        self._kinds = (bytearray(), bytearray())
        self._odd: tuple[dict[int, Any], dict[int, Any]] = ({}, {})

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, step: Any, value: Any) -> None:
        for given, column, kinds, odd in zip(
            (step, value), self._columns, self._kinds, self._odd, strict=True
        ):
            kind = _FLOAT if type(given) is float else _ODD
            if type(given) is int and abs(given) < 1 << 53:
                kind = _INT
            if kind == _ODD:
                odd[len(column)] = given
            kinds.append(kind)
            column.append(0.0 if kind == _ODD else given)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        columns = zip(self._columns, self._kinds, self._odd, strict=True)
        step, value = (
            odd[row] if kinds[row] == _ODD else int(column[row]) if kinds[row] else column[row]
            for column, kinds, odd in columns
        )
        return step, value


def _points(folder: RunFolder) -> dict[str, _Points]:
    found: dict[str, _Points] = {}

    def add(name: Any, step: Any, value: Any) -> None:
        found.setdefault(str(name), _Points()).add(step, value)

    try:
        reader = JournalReader(folder.journal)
        try:
            for event in reader.read(order="time"):
                fields = event.fields
                if event.type == EventType.METRIC_POINT:
                    add(fields["metric"], fields["step"], fields["value"])
                elif event.type == EventType.METRIC_TABLE:
                    table = fields["table"]
                    for row in zip(table.names(), table.steps, table.values, strict=True):
                        add(*row)
        finally:
            reader.close()
    except (JournalError, OSError):
        pass  # the outcome tells
    return found


def _metrics(before: dict[str, _Points], now: dict[str, _Points]) -> Iterator[MetricCompared]:
    nothing = _Points()
    for name in dict.fromkeys([*before, *now]):
        one, two = before.get(name, nothing), now.get(name, nothing)
        found = MetricCompared(name, len(one), len(two))
        lasts = [points[len(points) - 1][1] if len(points) else None for points in (one, two)]
        found = found._replace(last_before=lasts[0], last_now=lasts[1])
        for rows in zip_longest(range(len(one)), range(len(two))):
            pair = [
                None if row is None else points[row]
                for row, points in zip(rows, (one, two), strict=True)
            ]
            if pair[0] is None or pair[1] is None or not _is_same(*pair):
                step = (pair[0] or pair[1] or (None, None))[0]
                values = [None if point is None else point[1] for point in pair]
                found = found._replace(step=step, before=values[0], now=values[1])
                break
        yield found
