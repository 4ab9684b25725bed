"""What is known of some runs, read as far as it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.analysis.details import blob_resolver
from sacred.analysis.fields import Field, entry, names_in, statistics
from sacred.analysis.loader import Loader
from sacred.analysis.statement import Statement
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.replayers.listing import outline
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import RunOutline

__all__ = ["RunFacts", "naive_utc"]

_POINTS_AND_OUTPUT = frozenset(
    {
        EventType.METRIC_POINT,
        EventType.METRIC_TABLE,
        EventType.OUTPUT,
        EventType.OUTPUT_FILTERED,
    }
)
#: What is asked of each metric of each run. The order of a run's points is that of its writer; of
#: several writers that of time.
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
    from metrics {where} group by run, metric
"""


class RunFacts:
    """Some runs, and what of them was read: each part once, and only if it is asked for.

    Not for several threads at once.

    Parameters
    ----------
    folders
        The runs, in the order of the answers.

    Attributes
    ----------
    problems
        A sentence for each run that could not be read whole.
    """

    def __init__(self, folders: Sequence[RunFolder]) -> None:
        self.folders = list(folders)
        self._outlines: dict[int, RunOutline] = {}
        self._documents: dict[int, dict[str, Any]] = {}
        self._metrics: dict[int, dict[str, dict[str, Any]]] = {}
        self._asked_metrics: set[str] | None = set()

    @property
    def problems(self) -> list[str]:
        """A sentence for each run that was looked at and could not be read whole."""
        found = (each for _, each in sorted(self._outlines.items()))
        return [f"run {each.run}: {each.problem}" for each in found if each.problem]

    def outline(self, index: int) -> RunOutline:
        """Return what began and ended a run."""
        if index not in self._outlines:
            self._outlines[index] = outline(self.folders[index])
        return self._outlines[index]

    def document(self, index: int) -> dict[str, Any]:
        """Return a run's document without points and output; empty if it can not be read."""
        if index not in self._documents:
            self._documents[index] = _document(self.folders[index])
        return self._documents[index]

    def read_metrics(self, indices: Iterable[int], names: Iterable[str] | None) -> None:
        """Read the points of some metrics of some runs, all together.

        Parameters
        ----------
        indices
            Of the runs.
        names
            Of the metrics; None: of all.
        """
        wanted = None if names is None else set(names)
        roots: dict[Any, list[int]] = {}
        for index in indices:
            roots.setdefault(self.folders[index].path.parent, []).append(index)
        for chosen in roots.values():
            by_number = {self.folders[index].number: index for index in chosen}
            for index in chosen:
                self._metrics.setdefault(index, {})
            for run, metric, values in _summaries([self.folders[i] for i in chosen], wanted):
                self._metrics[by_number[run]][metric] = values

    def metrics(self, index: int) -> dict[str, dict[str, Any]]:
        """Return the statistics of the metrics of a run that were read, by name."""
        return self._metrics.get(index, {})

    def value(self, index: int, field: Field) -> tuple[bool, Any]:
        """Return whether a run has an entry, and its value; metrics have to be read before."""
        if field.part == "metrics":
            return statistics(self.metrics(index), field)
        if field.part == "run" and not field.of_the_document:
            return True, _of_outline(self.outline(index), self.folders[index], field.path)
        if field.part == "result":
            return entry(self.outline(index).result, field.path)
        document = self.document(index)
        if field.part == "run":
            return True, _of_document(document, field.path)
        return entry(document.get(field.part), field.path)

    def names(self) -> Iterator[str]:
        """Yield the names of all entries that some run has, as far as its parts were read."""
        for index, document in self._documents.items():
            for part in ("config", "info", "host"):
                yield from names_in(part, document.get(part))
            del index
        for found in self._outlines.values():
            yield from names_in("result", found.result)
        for summaries in self._metrics.values():
            for metric in summaries:
                yield f"metrics.{metric}"


def _document(folder: RunFolder) -> dict[str, Any]:
    projection = RunProjection(resolve=blob_resolver(folder.root))
    try:
        reader = JournalReader(folder.journal, table_decoder=decode_length)
    except (JournalError, OSError):
        return {}
    try:
        for event in reader.read(order="time"):
            if event.type not in _POINTS_AND_OUTPUT:
                projection.apply(event)
    except (JournalError, OSError):
        pass  # the outline tells of it; what came before is known
    finally:
        reader.close()
    return projection.document()


def _of_outline(found: RunOutline, folder: RunFolder, name: str) -> Any:
    if name in {"start", "stop"}:
        return naive_utc(getattr(found, name))
    if name == "journal_id":
        return f"{found.journal_id:016x}" if found.journal_id else None
    if name == "root":
        return str(folder.path.parent)
    if name == "tags":
        return list(found.tags)
    return getattr(found, name)


def _of_document(document: dict[str, Any], name: str) -> Any:
    if name == "comment":
        return (document.get("meta") or {}).get("comment")
    if name == "seed":
        return (document.get("config") or {}).get("seed")
    repositories = (document.get("experiment") or {}).get("repositories") or ()
    return next((each.get("commit") for each in repositories if isinstance(each, dict)), None)


def naive_utc(nanoseconds: Any) -> Any:
    """Return a time as naive UTC, as a query gives it."""
    from datetime import datetime, timedelta

    if type(nanoseconds) is not int:
        return None
    try:
        return datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)  # noqa: DTZ001 - naive UTC
    except OverflowError:
        return None


def _summaries(
    folders: Sequence[RunFolder], names: set[str] | None
) -> Iterator[tuple[int | None, str, dict[str, Any]]]:
    """Yield run, metric and statistics of runs of one root."""
    import duckdb

    if names is not None and not names:
        return
    connection = duckdb.connect(":memory:")
    try:
        where = ""
        if names is not None:
            texts = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))
            where = f"where metric in ({texts})"
        asked = _STATISTICS.format(where=where)
        Loader(connection, {"metrics"}, Statement(connection, asked), kept=1 << 30).load(folders)
        cursor = connection.execute(asked)
        columns = [column[0] for column in cursor.description][2:]
        for run, metric, *values in cursor.fetchall():
            yield run, metric, dict(zip(columns, values, strict=True))
    finally:
        connection.close()
