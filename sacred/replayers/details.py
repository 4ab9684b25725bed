"""One run closely: what ``sacred show`` shows."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import BlobReference, unpack
from sacred.journal.errors import BlobError, JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.journal.spool import chunks_from
from sacred.journal.verdicts import is_damage
from sacred.replayers.jsontext import event_lines as lines_of
from sacred.replayers.jsontext import jsonable, spool_line
from sacred.replayers.listing import RunOutline, outline
from sacred.replayers.memo import ViewMemo, read_memos
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder
    from sacred.journal.spool import SpoolChunk

__all__ = ["MetricSummary", "RunDetails", "blob_resolver", "details", "event_lines", "spool_beyond"]

#: Characters of output that are kept while a journal is read.
_KEPT = 1 << 18


@dataclass(slots=True)
class MetricSummary:
    """What became of one metric.

    Attributes
    ----------
    points
        How many.
    last_step, last
        Of the point that came last, as they were logged.
    lowest, highest
        Over the values that are numbers; None if there was none.
    """

    name: str
    points: int = 0
    last_step: Any = None
    last: Any = None
    lowest: float | None = None
    highest: float | None = None

    def add(self, steps: list[Any], values: list[Any]) -> None:
        """Take in some points, in order."""
        self.points += len(values)
        self.last_step, self.last = steps[-1], values[-1]
        # A value that is not equal to itself is NaN.
        numbers = [v for v in values if isinstance(v, (int, float)) and v == v]  # noqa: PLR0124
        if numbers:
            low, high = min(numbers), max(numbers)
            self.lowest = low if self.lowest is None else min(low, self.lowest)
            self.highest = high if self.highest is None else max(high, self.highest)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "name": self.name,
            "points": self.points,
            "last_step": jsonable(self.last_step),
            "last": jsonable(self.last),
            "min": jsonable(self.lowest),
            "max": jsonable(self.highest),
        }


@dataclass(slots=True)
class RunDetails:
    """What ``sacred show`` shows of a run.

    Attributes
    ----------
    outline
        Its line of the listing.
    document
        Sacred's run document: config, info, host, artifacts, ...; empty if it never began.
    metrics
        In the order in which they appeared.
    output
        The end of what it printed, at most 256 Ki characters, with what is still in the spool.
    writers
        Numbers of the processes that wrote.
    views
        The views that the program declared, without their options, and those that were written
        from this machine; of the latter ``id`` (the run's id there), ``state`` (``current``,
        ``following``, ``behind``) and ``error``, as of the last look.
    """

    outline: RunOutline
    document: dict[str, Any] = field(default_factory=dict)
    metrics: list[MetricSummary] = field(default_factory=list)
    output: str = ""
    writers: list[int] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        document = self.document
        experiment = document.get("experiment") or {}
        record = self.outline.record()
        for name in ("config", "meta", "host", "info", "fail_trace"):
            record["host_info" if name == "host" else name] = jsonable(document.get(name))
        record["metrics"] = [metric.record() for metric in self.metrics]
        for name in ("artifacts", "resources"):
            record[name] = [_file(entry) for entry in document.get(name) or ()]
        record["sources"] = [_file(entry) for entry in experiment.get("sources") or ()]
        record["dependencies"] = jsonable(experiment.get("dependencies") or [])
        record["repositories"] = jsonable(experiment.get("repositories") or [])
        record["views"] = jsonable(self.views)
        record["writers"] = self.writers
        record["output"] = self.output
        return record


def _file(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": entry.path,
        "size": entry.size if entry.digest else None,
        "sha256": entry.digest,
        "md5": entry.md5,
    }


class _OutputTail:
    """The end of a text that may be changed at its end."""

    def __init__(self) -> None:
        self.text = ""
        self._begin = 0

    def change(self, keep: int, added: str) -> None:
        self.text = self.text[: max(0, keep - self._begin)] + added
        over = len(self.text) - _KEPT
        if over > _KEPT:
            self.text = self.text[over:]
            self._begin += over


def blob_resolver(root: JournalRoot) -> Callable[[BlobReference], Any]:
    """Return the function that fetches values too large for an event.

    A blob that is not there or damaged stays the reference it was.
    """

    def resolve(reference: BlobReference) -> Any:
        from sacred.journal.blobs import BlobStore

        try:
            content = BlobStore(root.blobs).read(reference.digest)
            return unpack(content) if reference.encoding == "msgpack" else content
        except (BlobError, OSError, ValueError):
            return reference

    return resolve


def details(folder: RunFolder) -> RunDetails:
    """Read a run's journal and tell everything about it.

    Never raises for what is in the folder: what is wrong is in ``outline.problem``. Memory: the
    run's document, the end of its output and one frame.
    """
    found = RunDetails(outline(folder))
    projection = RunProjection(resolve=blob_resolver(folder.root))
    tail = _OutputTail()
    metrics: dict[str, MetricSummary] = {}
    writers: set[int] = set()
    try:
        reader = JournalReader(folder.journal)
        try:
            for event in reader.read(order="time"):
                writers.add(event.writer)
                if event.type in {EventType.METRIC_POINT, EventType.METRIC_TABLE}:
                    _summarize(metrics, event)
                    continue
                projection.apply(event)
                _take(projection, tail, at_least=_KEPT)
        finally:
            reader.close()
    except (JournalError, OSError):
        pass  # the outline says it
    _take(projection, tail, at_least=0)
    text = tail.text
    rest = b"".join(chunk.data for chunk in spool_beyond(folder, projection.spool_end))
    if rest:
        text += rest.decode("utf-8", "replace")
    found.document = projection.document()
    found.metrics = list(metrics.values())
    found.output = text[-_KEPT:]
    found.writers = sorted(writers)
    found.views = _views(projection.views, folder.views)
    return found


def _take(projection: RunProjection, tail: _OutputTail, *, at_least: int) -> None:
    if projection.pending_output >= at_least:
        change = projection.take_output()
        if change is not None:
            tail.change(change.keep, change.text)


def _summarize(metrics: dict[str, MetricSummary], event: Event) -> None:
    fields = event.fields
    if event.type == EventType.METRIC_POINT:
        _metric(metrics, fields["metric"]).add([fields["step"]], [fields["value"]])
        return
    table = fields["table"]
    if not table.index:
        _metric(metrics, table.metrics[0]).add(table.steps, table.values)
        return
    parts: dict[int, tuple[list[Any], list[Any]]] = {}
    for number, step, value in zip(table.index, table.steps, table.values, strict=True):
        steps, values = parts.setdefault(number, ([], []))
        steps.append(step)
        values.append(value)
    for number, (steps, values) in parts.items():
        _metric(metrics, table.metrics[number]).add(steps, values)


def _metric(metrics: dict[str, MetricSummary], name: Any) -> MetricSummary:
    text = str(name)
    found = metrics.get(text)
    if found is None:
        found = metrics[text] = MetricSummary(text)
    return found


def spool_beyond(folder: RunFolder, offset: int) -> Iterator[SpoolChunk]:
    """Yield what a run printed and what no event of its journal holds yet.

    Parameters
    ----------
    folder
        Of the run.
    offset
        The largest ``end`` of its output events, 0 if there is none.
    """
    with contextlib.suppress(OSError):
        yield from chunks_from(folder.journal / "w0000.spool", offset)


def _views(declared: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Join what the journal says of the views with what this machine remembers of them."""
    memos = {memo.view: memo for memo in read_memos(folder)}
    views = []
    for view in declared:
        known = {k: v for k, v in view.items() if k != "options"}
        memo = memos.pop(str(view.get("name")), None)
        views.append(known if memo is None else {**known, **_seen(memo)})
    return views + [{"name": memo.view, **_seen(memo)} for memo in memos.values()]


def _seen(memo: ViewMemo) -> dict[str, Any]:
    return {"id": memo.view_id, "state": memo.state, "error": memo.error}


def event_lines(folder: RunFolder, problems: list[str]) -> Iterator[str]:
    """Yield every event of a run as a line of JSON, by time, then what only the spool holds.

    Parameters
    ----------
    folder
        Of the run.
    problems
        Gets a sentence for each thing that is wrong with the journal.

    Raises
    ------
    NotAJournalError, NewerFormatError
    """
    reader = JournalReader(folder.journal)
    spool_end = 0
    try:
        for event in reader.read(order="time"):
            end = event.fields.get("end") if event.type == EventType.OUTPUT else None
            if type(end) is int:
                spool_end = max(spool_end, end)
            yield from lines_of(event)
        for chunk in spool_beyond(folder, spool_end):
            yield spool_line(chunk)
        found = outline(folder)
        if found.problem:
            problems.extend(str(verdict) for verdict in reader.verdicts if is_damage(verdict))
            problems.extend(str(tail) for tail in reader.tails() if not tail.superseded)
            if not problems and not reader.verdicts:
                problems.append(found.problem)
    finally:
        reader.close()
