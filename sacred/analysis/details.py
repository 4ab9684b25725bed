"""One run closely: what ``sacred show`` shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.config_changes import ConfigChanges
from sacred.analysis.metric_summary import MetricSummary
from sacred.journal.codec import BlobReference, unpack
from sacred.journal.errors import BlobError, JournalError, RunNotFoundError
from sacred.journal.events import EventType
from sacred.journal.notes import read_notes
from sacred.journal.past import PastReader
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.journal.spool import SPOOL, spooled_to, tolerant_chunks
from sacred.journal.verdicts import Tail, is_damage
from sacred.replayers.jsontext import event_lines as lines_of
from sacred.replayers.jsontext import instant, jsonable, said_line, spool_line
from sacred.replayers.listing import RunOutline, outline
from sacred.replayers.memo import ViewMemo, read_memos
from sacred.replayers.past_outline import outline_at
from sacred.replayers.plain import plain_text
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder
    from sacred.journal.spool import SpoolChunk, SpoolFlaw
    from sacred.journal.verdicts import Verdict
    from sacred.replayers.annotations import Annotations

__all__ = [
    "Message",
    "Repository",
    "Resumption",
    "RunDetails",
    "SeriesSummary",
    "blob_resolver",
    "details",
    "event_lines",
    "patches",
    "repository_of",
    "not_begun",
    "outline_then",
    "spool_beyond",
]

#: What is logged besides numbers.
_SERIES = {
    EventType.TEXT_LOGGED: "text",
    EventType.IMAGE_LOGGED: "image",
    EventType.ARRAY_LOGGED: "array",
    EventType.HISTOGRAM_LOGGED: "histogram",
}

#: Characters of output that are kept while a journal is read.
_KEPT = 1 << 18
#: What tells that a process begins or goes on with a run that was there.
_BEGINNINGS = frozenset({EventType.RUN_CLAIMED, EventType.RUN_RESUMED})
#: What has the configuration.
_STARTS = frozenset({EventType.RUN_STARTED, EventType.RUN_QUEUED})
#: Messages that are kept: the last ones.
_MESSAGES = 1000


class Repository(NamedTuple):
    """A repository that sources of a run lie in.

    Attributes
    ----------
    url, commit, dirty
        Where it comes from, what is checked out, whether tracked files differ from that.
    root
        Its folder; None if the journal does not say.
    diff
        The stored difference, a patch; None if there is none.
    """

    url: str
    commit: str
    dirty: bool
    root: str | None
    diff: BlobReference | None

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        diff = self.diff and {"sha256": self.diff.digest, "size": self.diff.size}
        return {**self._asdict(), "diff": diff}


@dataclass(slots=True)
class SeriesSummary:
    """What became of a series of texts, pictures, arrays or histograms.

    Attributes
    ----------
    kind
        ``text``, ``image``, ``array`` or ``histogram``.
    entries
        How many.
    last_step
        Of the entry that came last, as it was logged.
    """

    name: str
    kind: str
    entries: int = 0
    last_step: Any = None

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "entries": self.entries,
            "last_step": jsonable(self.last_step),
        }


class Resumption(NamedTuple):
    """That a process began a queued run, or went on with one that had ended early.

    Attributes
    ----------
    time
        When (ns since the epoch).
    status
        What it was before: ``QUEUED``, ``DIED``, ``INTERRUPTED``, ``FAILED``, ...; None if it was
        not said.
    last_seen
        Its last sign of life before (ns since the epoch), or None.
    options
        The options that were given for this time, by their long flags.
    """

    time: int
    status: str | None
    last_seen: int | None
    options: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> Resumption:
        """Take it from its event, ``RUN_RESUMED`` or ``RUN_CLAIMED``."""
        status = event.fields.get("reason") if event.type == EventType.RUN_RESUMED else "QUEUED"
        seen, options = event.fields.get("last_seen"), event.fields.get("options")
        return cls(
            event.time,
            None if status is None else plain_text(str(status)),
            seen if type(seen) is int else None,
            options if isinstance(options, dict) else {},
        )

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "time": instant(self.time),
            "status": self.status,
            "last_seen": instant(self.last_seen),
            "options": jsonable(self.options),
        }


class Message(NamedTuple):
    """Something that a person looking at a run should know, as the run recorded it.

    Attributes
    ----------
    time
        When (ns since the epoch).
    level
        ``info``, ``warning`` or ``error``.
    text
        The sentence.
    source
        What said it, or None.
    """

    time: int
    level: str
    text: str
    source: str | None

    @classmethod
    def of(cls, event: Event) -> Message:
        """Take it from its event."""
        level, text, source = (event.fields.get(name) for name in ("level", "text", "source"))
        return cls(event.time, str(level), str(text), None if source is None else str(source))

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {**self._asdict(), "time": instant(self.time)}


@dataclass(slots=True)
class RunDetails:
    """What ``sacred show`` shows of a run.

    Attributes
    ----------
    outline
        Its line of the listing.
    document
        Sacred's run document: config, info, host, artifacts, ...; empty if it never began.
    changes
        What was changed of the configuration.
    metrics, logged
        The metrics, and what else was logged, in the order in which they appeared.
    repositories
        Those that its sources lie in, with their uncommitted changes.
    resumed
        Each time that somebody went on with it.
    messages
        What the run recorded for people: facts that could not be collected, ...; the last 1,000.
    imported_from
        Of a run that was imported from a store of Sacred's: ``store`` (its address), ``run`` (the
        id there), ``kind``; else None.
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
    changes: ConfigChanges = field(default_factory=ConfigChanges)
    metrics: list[MetricSummary] = field(default_factory=list)
    logged: list[SeriesSummary] = field(default_factory=list)
    repositories: list[Repository] = field(default_factory=list)
    resumed: list[Resumption] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    imported_from: dict[str, Any] | None = None
    output: str = ""
    writers: list[int] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)

    @property
    def annotations(self) -> Annotations:
        """What people said of the run: its tags and its note."""
        return self.outline.annotations

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        document = self.document
        experiment = document.get("experiment") or {}
        record = self.outline.record()
        for name in ("config", "meta", "host", "info", "fail_trace"):
            record["host_info" if name == "host" else name] = jsonable(document.get(name))
        record["config_changes"] = self.changes.record()
        record["metrics"] = [metric.record() for metric in self.metrics]
        record["logged"] = [series.record() for series in self.logged]
        for name in ("artifacts", "resources"):
            record[name] = [_file(entry) for entry in document.get(name) or ()]
        record["sources"] = [_file(entry) for entry in experiment.get("sources") or ()]
        record["dependencies"] = jsonable(experiment.get("dependencies") or [])
        record["repositories"] = [jsonable(repository.record()) for repository in self.repositories]
        record["resumed"] = [each.record() for each in self.resumed]
        record["messages"] = [jsonable(message.record()) for message in self.messages]
        record["imported_from"] = jsonable(self.imported_from)
        record["views"] = jsonable(self.views)
        record["writers"] = self.writers
        record["output"] = self.output
        return record


def _origin(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the store that a run was imported from, if an event says so."""
    target = fields.get("target")
    if fields.get("relation") != "imported_from" or not isinstance(target, dict):
        return None
    return {name: target.get(name) for name in ("kind", "store", "run")}


def repository_of(fields: dict[str, Any]) -> Repository:
    """Take a repository from the fields of its event."""
    root = fields.get("root")
    return Repository(
        plain_text(str(fields.get("url"))),
        plain_text(str(fields.get("commit"))),
        bool(fields.get("dirty")),
        None if root is None else plain_text(str(root)),
        BlobReference.from_wire(fields.get("diff")),
    )


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


def details(folder: RunFolder, *, at: Moment | None = None) -> RunDetails:
    """Read a run's journal and tell everything about it.

    Never raises for what is in the folder: what is wrong is in ``outline.problem``. Memory: the
    run's document, the end of its output and one frame.

    Parameters
    ----------
    folder
        Of the run.
    at
        The run as it was at that moment; None: as it is. How its views stood then nobody knows:
        ``views`` has those that were declared.

    Raises
    ------
    RunNotFoundError
        The run had not begun at that moment.
    """
    then = outline_then(folder, at)
    found = RunDetails(then)
    projection = RunProjection(resolve=blob_resolver(folder.root))
    tail = _OutputTail()
    metrics: dict[str, MetricSummary] = {}
    logged: dict[tuple[str, str], SeriesSummary] = {}
    writers: set[int] = set()
    messages: deque[Message] = deque(maxlen=_MESSAGES)
    reader: JournalReader
    past: PastReader | None = None
    try:
        if at is not None:
            reader = past = PastReader(folder.journal, at)
        else:
            reader = JournalReader(folder.journal)
        try:
            for event in reader.read(order="time"):
                writers.add(event.writer)
                if event.type in {EventType.METRIC_POINT, EventType.METRIC_TABLE}:
                    _summarize(metrics, event)
                    continue
                if event.type in _STARTS:
                    found.changes = ConfigChanges.of(event.fields.get("modifications"))
                elif event.type == EventType.REPOSITORY_FOUND:
                    repository = repository_of(event.fields)
                    if repository not in found.repositories:
                        found.repositories.append(repository)
                elif event.type == EventType.MESSAGE:
                    messages.append(Message.of(event))
                elif event.type == EventType.LINKED:
                    found.imported_from = _origin(event.fields) or found.imported_from
                if event.writer == 0 and event.type in _BEGINNINGS:
                    found.resumed.append(Resumption.of(event))
                if event.type in _SERIES:
                    kind, name = _SERIES[EventType(event.type)], str(event.fields.get("name"))
                    series = logged.setdefault((kind, name), SeriesSummary(name, kind))
                    series.entries += 1
                    series.last_step = event.fields.get("step")
                projection.apply(event)
                _take(projection, tail, at_least=_KEPT)
        finally:
            reader.close()
    except (JournalError, OSError):
        pass  # the outline says it
    _take(projection, tail, at_least=0)
    text = tail.text
    chunks = spool_beyond(folder, projection.spool_end)
    if at is not None:
        chunks = (chunk for chunk in chunks if past is not None and past.had_spooled(chunk.time_ns))
    rest = b"".join(chunk.data for chunk in chunks)
    if rest:
        text += rest.decode("utf-8", "replace")
    found.document = projection.document()
    found.metrics = list(metrics.values())
    found.logged = list(logged.values())
    found.output = text[-_KEPT:]
    found.writers = sorted(writers)
    found.messages = list(messages)
    found.views = _views(projection.views, None if at is not None else folder.views)
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


def patches(folder: RunFolder) -> Iterator[bytes]:
    """Yield the uncommitted changes of each repository of a run, as ``git apply`` takes them.

    Each begins with a line that names the repository.

    Raises
    ------
    BlobMissingError, BlobDamagedError
        They were recorded, and are not there or not whole.
    """
    from sacred.journal.blobs import BlobStore

    store = BlobStore(folder.root.blobs)
    for repository in details(folder).repositories:
        if repository.diff is not None:
            place = " ".join((repository.root or repository.url).split("\n"))
            title = f"# {place} at {repository.commit}\n"
            yield title.encode("utf-8", "replace") + store.read(repository.diff.digest)


def _metric(metrics: dict[str, MetricSummary], name: Any) -> MetricSummary:
    text = str(name)
    found = metrics.get(text)
    if found is None:
        found = metrics[text] = MetricSummary(text)
    return found


def outline_then(folder: RunFolder, at: Moment | None) -> RunOutline:
    """Return what began and ended a run, as it is, or was at a moment.

    Raises
    ------
    RunNotFoundError
        The run had not begun at that moment.
    """
    found = outline(folder) if at is None else outline_at(folder, at)
    if found is None:
        raise not_begun(folder, at)
    return found


def not_begun(folder: RunFolder, at: Moment | None) -> RunNotFoundError:
    """Return the error of whoever asks for a run before it began."""
    return RunNotFoundError(f"run {folder.number or folder.path} had not begun at {at}")


def spool_beyond(
    folder: RunFolder, offset: int, flaws: list[SpoolFlaw] | None = None
) -> Iterator[SpoolChunk]:
    """Yield what a run printed and what no event of its journal holds yet. Never raises.

    Parameters
    ----------
    folder
        Of the run.
    offset
        The largest ``end`` of its output events, 0 if there is none.
    flaws
        Gets what can not be read.
    """
    yield from tolerant_chunks(folder.journal / SPOOL, offset, [] if flaws is None else flaws)


def _views(declared: list[dict[str, Any]], folder: Path | None) -> list[dict[str, Any]]:
    """Join what the journal says of the views with what this machine remembers of them."""
    memos = {} if folder is None else {memo.view: memo for memo in read_memos(folder)}
    views = []
    for view in declared:
        known = {k: v for k, v in view.items() if k != "options"}
        memo = memos.pop(str(view.get("name")), None)
        views.append(known if memo is None else {**known, **_seen(memo)})
    return views + [{"name": memo.view, **_seen(memo)} for memo in memos.values()]


def _seen(memo: ViewMemo) -> dict[str, Any]:
    return {"id": memo.view_id, "state": memo.state, "error": memo.error}


def event_lines(
    folder: RunFolder, problems: list[str], notes: list[str] | None = None
) -> Iterator[str]:
    """Yield every event of a run as a line of JSON, by time, then what stands beside its journal.

    That is what only the spool holds, and what people said of the run.

    Parameters
    ----------
    folder
        Of the run.
    problems
        Gets a sentence for each thing that is wrong with the journal.
    notes
        Gets one for each that is no damage: what a kill left, what is known to be lost.

    Raises
    ------
    NotAJournalError, NewerFormatError
    """
    reader = JournalReader(folder.journal)
    spool_end = 0
    try:
        for event in reader.read(order="time"):
            spool_end = max(spool_end, spooled_to(event))
            yield from lines_of(event)
        flaws: list[SpoolFlaw] = []
        for chunk in spool_beyond(folder, spool_end, flaws):
            yield spool_line(chunk)
        yield from map(said_line, read_notes(folder).events)
        found = outline(folder)
        if found.problem or found.note:  # else its writer lives, and may finish what it began
            told = [v for v in (*reader.verdicts, *reader.tails()) if not _superseded(v)]
            problems.extend(str(verdict) for verdict in told if is_damage(verdict))
            if notes is not None:
                notes.extend(str(verdict) for verdict in told if not is_damage(verdict))
            problems.extend(map(str, flaws))
            if found.problem and not told and not flaws:
                problems.append(found.problem)
    finally:
        reader.close()


def _superseded(verdict: Verdict) -> bool:
    return isinstance(verdict, Tail) and verdict.superseded
