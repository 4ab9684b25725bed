"""Statistics of the metrics of many runs, by DuckDB."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.loader import Loader
from sacred.analysis.queries import _answer
from sacred.analysis.statement import Statement
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["MetricStatistics", "metric_statistics"]

#: The order of a run's points is that of its writer; of several writers that of time.
_STATISTICS = """
    select run, metric, count(*)::bigint as count,
           min(value) filter (not isnan(value)) as min,
           max(value) filter (not isnan(value)) as max,
           avg(value) filter (not isnan(value)) as mean,
           case when min(writer) = max(writer) then arg_max(value, seq)
                else arg_max(value, (time, writer, seq)) end as last,
           case when min(writer) = max(writer) then arg_min(value, seq)
                else arg_min(value, (time, writer, seq)) end as first,
           case when min(writer) = max(writer) then arg_max(step, seq)
                else arg_max(step, (time, writer, seq)) end as step
    from metrics {where} group by run, metric order by run, min((writer, seq))
"""
#: Bytes of points that stay in arrays; of one run with more DuckDB gets the rest, and puts it aside.
_KEPT = 1 << 28


class MetricStatistics(NamedTuple):
    """What became of the metrics of runs of one root.

    Attributes
    ----------
    runs
        By the run's number and the metric's name: the statistics by their names.
    problems
        By the run's number: a sentence for each that could not be read whole.
    """

    runs: dict[int | None, dict[str, dict[str, Any]]]
    problems: dict[int | None, str]


def metric_statistics(
    folders: Sequence[RunFolder], names: set[str] | None = None, *, at: Moment | None = None
) -> MetricStatistics:
    """Read the points of some metrics of runs.

    Parameters
    ----------
    folders
        Of one root. Their points are in memory together.
    names
        Of the metrics; None: of all.
    at
        As they were at that moment; None: as they are.
    """
    import duckdb

    result = MetricStatistics({}, {})
    if not folders or (names is not None and not names):
        return result
    where = ""
    # A text of SQL ends at a NUL.
    if names is not None and not any("\0" in name for name in names):
        texts = ", ".join("'" + plain_text(name).replace("'", "''") + "'" for name in sorted(names))
        where = f"where metric in ({texts})"
    asked = _STATISTICS.format(where=where)
    connection = duckdb.connect(":memory:")
    try:
        aside = os.path.join(
            tempfile.gettempdir(), f"sacred-query-{os.getpid()}-{os.urandom(4).hex()}"
        )
        quoted = aside.replace("'", "''")
        connection.execute(f"set temp_directory = '{quoted}'")
        statement = Statement(connection, asked)
        loader = Loader(connection, {"metrics"}, statement, kept=_KEPT, at=at)
        loader.load(folders)
        for run, metric, statistics in _answer(connection, asked, _taken):
            result.runs.setdefault(run, {})[metric] = statistics
        for number in [folder.number for folder in folders]:
            head = f"run {number}: "
            said = next((text for text in loader.problems if text.startswith(head)), None)
            if said is not None:
                result.problems[number] = said[len(head) :]
    finally:
        _closed(connection)
    return result


def _taken(connection: Any, sql: str) -> list[tuple[int | None, str, dict[str, Any]]]:
    return list(_rows(connection.execute(sql)))


def _rows(cursor: Any) -> Iterator[tuple[int | None, str, dict[str, Any]]]:
    names = [column[0] for column in cursor.description][2:]
    for run, metric, *values in cursor.fetchall():
        yield run, metric, dict(zip(names, values, strict=True))


def _closed(connection: Any) -> None:
    import contextlib

    import duckdb

    with contextlib.suppress(duckdb.Error):  # busy still, after Ctrl-C
        connection.close()
