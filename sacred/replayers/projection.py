"""The projection: events of a journal -> changes of a view, and Sacred's run document.

Pure: no files, no clock, no connection. What it gives for a journal depends on the events alone and
not on how they were cut into batches.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import BlobReference
from sacred.journal.events import EventType
from sacred.journal.info import info_after
from sacred.journal.media import picture_name
from sacred.replayers.annotations import Annotations
from sacred.replayers.folded_output import FoldedOutput
from sacred.replayers.native import native
from sacred.replayers.plain import plain, plain_text, utc
from sacred.replayers.sink import OWNED_FIELDS, FieldsChanged, FileEntry, OutputChanged, PointsAdded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sacred.journal.events import Event
    from sacred.journal.tables import MetricTable
    from sacred.replayers.sink import Change

__all__ = ["PROFILES", "PROJECTOR", "RunProjection"]

#: A view that an older projector wrote is written anew.
PROJECTOR = 1

#: For whom a projection can be.
PROFILES = ("sacred", "observer")

_Points = tuple[list[int], list[int], list[Any], list[Any], list[int]]
#: Of the statuses that are no interruption's, which may have any.
_HOW = {"COMPLETED": "completed", "FAILED": "failed"}


class RunProjection:
    """Folds the events of one run.

    Parameters
    ----------
    profile
        ``"sacred"``: exactly the fields that Sacred's observers write. ``"observer"``: what Sacred's
        observers are told. Values keep their types, a file that is added again is named again, and
        its media type is the one that the program gave.
    resolve
        Gives the value that was too large for an event, by the blob that holds it; None leaves a
        text in its place.
    keep_output
        Whether to keep the text of the output, for sinks that write it whole.

    Attributes
    ----------
    run_id
        ``_run._id``, as the journal says; None before the start.
    how
        None, ``queued``, ``running``, or how it ended: ``completed``, ``interrupted``, ``failed``.
    counts
        How many points of each metric were folded, in the order in which the metrics appeared.
    views
        The views the program declared.
    writers
        Numbers of the writers whose points or output were folded.
    annotations
        What people wrote about the run.

    Notes
    -----
    Not thread-safe. An event costs what it says, never what was said before. Memory: the points
    and the text since the last ``changes()``, the output if ``keep_output``, nothing for points
    that were handed out.
    """

    def __init__(
        self,
        *,
        profile: str = "sacred",
        resolve: Callable[[BlobReference], Any] | None = None,
        keep_output: bool = False,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"there is no projection profile {profile!r}: it is one of {PROFILES}")
        self._told = profile == "observer"
        self._value: Callable[[Any], Any] = native if self._told else plain
        self.run_id: Any = None
        self.how: str | None = None
        self.counts: dict[str, int] = {}
        self.views: list[dict[str, Any]] = []
        self.writers: set[int] = set()
        self._resolve = resolve
        self._output = FoldedOutput(keep=keep_output)
        self._fields: dict[str, Any] = {}
        self._sources: dict[str, FileEntry] = {}
        self._dependencies: dict[str, None] = {}
        self._repositories: list[dict[str, Any]] = []
        self._resources: dict[tuple[str, str | None, int], FileEntry] = {}
        self._artifacts: list[FileEntry] = []
        self._info: dict[str, Any] = {}
        self.annotations = Annotations()
        #: What the run's own journal says of them, and what was said beside it.
        self._said = Annotations()
        self._notes: tuple[Event, ...] = ()
        self._annotated = False
        self._dirty: set[str] = set()
        self._removed: set[str] = set()
        self._points: dict[str, _Points] = {}
        self._pending_points = 0

    # -- folding -----------------------------------------------------------------------------

    def apply(self, event: Event, *, silent: bool = False) -> None:
        """Fold one event.

        Parameters
        ----------
        event
            The next one of its writer.
        silent
            It is in the view already: points are counted and not kept.
        """
        if event.type == EventType.METRIC_POINT:
            self._point(event, silent=silent)
            return
        if event.type == EventType.METRIC_TABLE:
            self._table(event, silent=silent)
            return
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, self._resolved(event.fields), event)

    def _resolved(self, fields: dict[str, Any]) -> dict[str, Any]:
        resolve = self._resolve
        if resolve is None or not any(type(v) is BlobReference for v in fields.values()):
            return fields
        return {k: resolve(v) if type(v) is BlobReference else v for k, v in fields.items()}

    def _set(self, name: str, value: Any) -> None:
        self._fields[name] = value
        self._dirty.add(name)
        self._removed.discard(name)

    def _remove(self, name: str) -> None:
        if self._fields.pop(name, None) is not None:
            self._dirty.discard(name)
            self._removed.add(name)

    # life

    def _started(self, fields: dict[str, Any], event: Event) -> None:
        queued = event.type == EventType.RUN_QUEUED
        when = utc(event.time)
        self.run_id = fields.get("run_id")
        self.how = "queued" if queued else "running"
        self.views = [view for view in fields.get("views") or () if isinstance(view, dict)]
        experiment = {
            "name": fields.get("name"),
            "base_dir": None,
            "mainfile": None,
            **_mapping(fields.get("experiment")),
        }
        self._named_files(experiment)
        self._set("experiment", self._value(experiment))
        self._set("command", plain(fields.get("command")))
        self._set("status", plain(fields.get("status")) or ("QUEUED" if queued else "RUNNING"))
        # The clients take the heartbeat for granted from the first moment on.
        self._set("start_time", when)
        self._set("heartbeat", when)
        for name in ("config", "meta", "host"):
            self._set(name, self._value(_mapping(fields.get(name))))
        self._info = _mapping(fields.get("info"))
        for name, first in (("info", {}), ("resources", []), ("artifacts", []), ("result", None)):
            self._set(name, first)
        self._output.change(self._output.length, "")

    def _named_files(self, experiment: dict[str, Any]) -> None:
        """Take out what has events of its own, and keep what came without."""
        for dependency in experiment.pop("dependencies", None) or ():
            self._dependencies[str(dependency)] = None
        for repository in experiment.pop("repositories", None) or ():
            self._repositories.append(self._value(repository))
        for source in experiment.pop("sources", None) or ():
            if isinstance(source, (list, tuple)) and len(source) >= 2:
                name, md5 = str(source[0]), source[1]
                base = str(experiment.get("base_dir") or "")
                path = f"{base}/{name}" if base else name
                self._sources[name] = FileEntry("source", name, path, None, _text_or_none(md5))

    def _resumed(self, _fields: dict[str, Any], event: Event) -> None:
        self.how = "running"
        self._set("status", "RUNNING")
        self._set("heartbeat", utc(event.time))
        self._remove("stop_time")
        self._remove("fail_trace")

    def _ended(self, fields: dict[str, Any], event: Event) -> None:
        self.how = str(fields.get("how"))
        when = utc(event.time)
        self._set("status", plain(fields.get("status")))
        self._set("stop_time", when)
        # Clients compute the duration from the heartbeat.
        self._set("heartbeat", max(when, self._fields.get("heartbeat", when)))
        if "result" in fields or self.how == "completed":
            self._set("result", self._value(fields.get("result")))
        trace = fields.get("fail_trace")
        if trace is not None:
            lines = trace if isinstance(trace, (list, tuple)) else [trace]
            self._set("fail_trace", [plain_text(str(line)) for line in lines])
        self._output.end()

    def end_as(self, status: str) -> None:
        """Take in that the run ended, where the event that says so is lost.

        What else was in it stays unknown: the time, the result, the stack trace.

        Parameters
        ----------
        status
            As the seal of the run's last file tells it.
        """
        self.how = _HOW.get(status, "interrupted")
        self._set("status", plain_text(status))
        self._output.end()

    def _heartbeat(self, _fields: dict[str, Any], event: Event) -> None:
        if "status" in self._fields:
            self._set("heartbeat", utc(event.time))

    def _view_declared(self, fields: dict[str, Any], _event: Event) -> None:
        self.views.append(_mapping(fields.get("view")))

    # state

    def _info_changed(self, fields: dict[str, Any], event: Event) -> None:
        self._info = info_after(self._info, event.type, fields)
        self._dirty.add("info")

    def _result_changed(self, fields: dict[str, Any], _event: Event) -> None:
        self._set("result", self._value(fields.get("result")))

    def _person_said(self, fields: dict[str, Any], _event: Event) -> None:
        self._said = self._said.after(fields)
        self._annotate()

    def take_notes(self, events: Iterable[Event]) -> None:
        """Take in what people said of the run beside its journal, in the place of what was taken.

        Parameters
        ----------
        events
            ``ANNOTATED`` events, all of them, in their order.
        """
        self._notes = tuple(events)
        self._annotate()

    def mark_annotations(self, *, told: bool) -> None:
        """Say whether the view was told of the annotations as they are now."""
        self._annotated = not told

    def _annotate(self) -> None:
        before, self.annotations = self.annotations, self._said.after_all(self._notes)
        self._annotated = self._annotated or self.annotations != before

    def _host_facts(self, fields: dict[str, Any], _event: Event) -> None:
        facts = self._value(_mapping(fields.get("facts")))
        self._set("host", _merged(self._fields.get("host") or {}, facts))

    # files

    def _source_added(self, fields: dict[str, Any], event: Event) -> None:
        name = str(fields.get("filename"))
        # Workers name what they import themselves; of one file the run's own process has the say.
        if event.writer and name in self._sources:
            return
        entry = self._entry("source", name, str(fields.get("path") or name), fields, event)
        self._sources[name] = entry
        experiment = self._fields.get("experiment")
        if fields.get("main") and experiment is not None and not experiment.get("mainfile"):
            self._fields["experiment"] = {**experiment, "mainfile": plain_text(name)}
        self._dirty.add("experiment")

    def _dependencies_found(self, fields: dict[str, Any], _event: Event) -> None:
        for dependency in fields.get("dependencies") or ():
            self._dependencies[plain_text(str(dependency))] = None
        self._dirty.add("experiment")

    def _repository_found(self, fields: dict[str, Any], _event: Event) -> None:
        found = {name: plain(fields.get(name)) for name in ("url", "commit", "dirty")}
        if found not in self._repositories:
            self._repositories.append(found)
        self._dirty.add("experiment")

    def _resource_added(self, fields: dict[str, Any], event: Event) -> None:
        name = str(fields.get("filename"))
        entry = self._entry("resource", name, name, fields, event)
        self._add_resource(entry, entry.md5)

    def _add_resource(self, entry: FileEntry, content: str | None) -> None:
        """Take in a resource, which in a view stands once however often it is opened."""
        self._resources.setdefault((entry.name, content, entry.added), entry)
        self._dirty.add("resources")

    def _artifact_added(self, fields: dict[str, Any], event: Event) -> None:
        path = str(fields.get("filename"))
        entry = self._entry("artifact", str(fields.get("name")), path, fields, event)
        self._artifacts.append(entry)
        self._dirty.add("artifacts")

    def _directory_added(self, fields: dict[str, Any], event: Event) -> None:
        name, folder = str(fields.get("name")), str(fields.get("filename"))
        for relative, blob, *_ in fields.get("entries") or ():
            about = {"blob": blob, "metadata": fields.get("metadata")}
            about["version"] = fields.get("version")
            path = f"{folder}/{relative}"
            if fields.get("role") == "resource":
                entry = self._entry("resource", path, path, about, event)
                self._add_resource(entry, entry.digest)
            else:
                entry = self._entry("artifact", f"{name}/{relative}", path, about, event)
                self._artifacts.append(entry)
                self._dirty.add("artifacts")

    def _image_logged(self, fields: dict[str, Any], event: Event) -> None:
        # Clients have no place for pictures but among the artifacts, where they show them.
        kind = _text_or_none(fields.get("content_type"))
        name = picture_name(str(fields.get("name")), plain(fields.get("step")), kind)
        caption = fields.get("caption")
        about = {"metadata": None if caption is None else {"caption": caption}}
        entry = self._entry("artifact", name, name, {**fields, **about}, event)
        self._artifacts.append(entry)
        self._dirty.add("artifacts")

    def _entry(
        self, role: str, name: str, path: str, fields: dict[str, Any], event: Event
    ) -> FileEntry:
        blob = BlobReference.from_wire(fields.get("blob"))
        kind = fields.get("content_type")
        if not self._told:
            kind = kind or fields.get("guessed_type")
        return FileEntry(
            role,
            plain_text(name),
            plain_text(path),
            blob.digest if blob is not None else None,
            _text_or_none(fields.get("md5")),
            blob.size if blob is not None else 0,
            _text_or_none(kind),
            self._value(fields.get("metadata")),
            int(fields.get("version") or 1),
            event.time if self._told else 0,
        )

    # output

    def _printed(self, fields: dict[str, Any], event: Event) -> None:
        self.writers.add(event.writer)
        stream, data = int(fields.get("stream", 1)), fields.get("data") or b""
        self._output.add(event.writer, stream, data, fields.get("end"))

    def _output_filtered(self, fields: dict[str, Any], _event: Event) -> None:
        text = plain_text(str(fields.get("text") or ""))
        self._output.filter(int(fields.get("keep") or 0), text)

    @property
    def spool_end(self) -> int:
        """Offset in the spool behind what was folded."""
        return self._output.spool_end

    @property
    def output_length(self) -> int:
        """Characters of output."""
        return self._output.length

    def output(self) -> str:
        """Return the whole output; with ``keep_output`` only."""
        return self._output.text()

    # points

    def _columns(self, name: str) -> _Points:
        found = self._points.get(name)
        if found is None:
            found = self._points[name] = ([], [], [], [], [])
        return found

    def _count(self, name: str, writer: int, rows: int) -> None:
        known = self.counts.get(name)
        if known is None:
            self._dirty.add("info")  # which names the metrics in some views
            known = 0
        self.counts[name] = known + rows
        self.writers.add(writer)

    def _point(self, event: Event, *, silent: bool) -> None:
        fields = event.fields
        name = plain_text(fields["metric"])
        self._count(name, event.writer, 1)
        if silent:
            return
        writers, seqs, steps, values, times = self._columns(name)
        writers.append(event.writer)
        seqs.append(event.seq)
        steps.append(plain(fields["step"]))
        values.append(plain(fields["value"]))
        times.append(event.time // 1000)
        self._pending_points += 1

    def _table(self, event: Event, *, silent: bool) -> None:
        table: MetricTable = event.fields["table"]
        rows = table.rows
        names = [plain_text(name) for name in table.metrics]
        if silent:
            if not table.index:
                self._count(names[0], event.writer, rows)
            for number, times in Counter(table.index).items():
                self._count(names[number], event.writer, times)
            return
        self._pending_points += rows
        steps, values = _plain_column(table.steps), _plain_column(table.values)
        if not table.index:
            self._count(names[0], event.writer, rows)
            columns = self._columns(names[0])
            columns[0].extend([event.writer] * rows)
            columns[1].extend(range(event.seq, event.seq + rows))
            columns[2].extend(steps)
            columns[3].extend(values)
            columns[4].extend(table.times)
            return
        found: dict[int, list[int]] = {}
        for row, number in enumerate(table.index):
            if number in found:
                found[number].append(row)
            else:
                found[number] = [row]
        # A column at a time, not a point: half the time of all that a fold does.
        for number, mine in found.items():
            self._count(names[number], event.writer, len(mine))
            columns = self._columns(names[number])
            columns[0].extend([event.writer] * len(mine))
            columns[1].extend([event.seq + row for row in mine])
            for column, every in zip(columns[2:], (steps, values, table.times), strict=True):
                column.extend(map(every.__getitem__, mine))

    # -- what came of it ---------------------------------------------------------------------

    @property
    def pending_points(self) -> int:
        """How many points wait for ``changes()``."""
        return self._pending_points

    @property
    def pending_output(self) -> int:
        """How many characters of output wait for ``changes()``."""
        return self._output.pending

    @property
    def start_time(self) -> datetime | None:
        """When the run began."""
        found: datetime | None = self._fields.get("start_time")
        return found

    def changes(self) -> list[Change]:
        """Return what changed since the last call.

        At most one ``FieldsChanged`` and one ``OutputChanged``, then the points, the metrics in
        the order in which they appeared.
        """
        changes: list[Change] = []
        fields = self.take_fields()
        if fields is not None:
            changes.append(fields)
        output = self.take_output()
        if output is not None:
            changes.append(output)
        changes.extend(self.take_points())
        return changes

    def take_fields(self) -> FieldsChanged | None:
        """Return the fields that changed since they were last taken, as whole values."""
        if not self._fields or not (self._dirty or self._removed or self._annotated):
            return None
        fields = {name: self._field(name) for name in OWNED_FIELDS if name in self._dirty}
        removed = tuple(sorted(self._removed))
        self._dirty.clear()
        self._removed.clear()
        annotations = self.annotations if self._annotated else None
        self._annotated = False
        return FieldsChanged(fields, removed, annotations)

    def take_output(self) -> OutputChanged | None:
        """Return the change of the output since it was last taken."""
        return self._output.take() if self._fields else None

    def take_points(self, names: Iterable[str] | None = None) -> list[PointsAdded]:
        """Return the points since they were last taken, of all metrics or some."""
        if names is None:
            taken, self._points = self._points, {}
        else:
            taken = {name: self._points.pop(name) for name in names if name in self._points}
        points = [PointsAdded(name, *columns) for name, columns in taken.items() if columns[0]]
        self._pending_points -= sum(len(change.seqs) for change in points)
        return points

    def pending_by_metric(self) -> dict[str, int]:
        """Return how many points of each metric wait."""
        return {name: len(columns[0]) for name, columns in self._points.items()}

    def first_pending(self) -> dict[int, int]:
        """Return per writer the lowest sequence number of a point that waits."""
        first: dict[int, int] = {}
        for columns in self._points.values():
            for writer in set(columns[0]):
                seq = columns[1][columns[0].index(writer)]
                first[writer] = min(first.get(writer, seq), seq)
        return first

    def forget_resolver(self) -> None:
        """Be data alone, which can be sent to another process: nothing more is folded into it."""
        self._resolve = None

    def drop_changes(self) -> None:
        """Forget what waits: the view has it."""
        self.changes()

    def touch(self) -> None:
        """Have every field and the whole output in the next changes, for a view written anew."""
        self._dirty.update(self._fields)
        self._annotated = self.annotations != Annotations()

    def document(self) -> dict[str, Any]:
        """Return the run's document as it is now, without points and output."""
        return {name: self._field(name) for name in OWNED_FIELDS if name in self._fields}

    # -- what it came to -----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what was folded, without what waits to be taken; data for ``restore``."""
        entries = [list(entry) for entry in self._sources.values()]
        return {
            "run_id": self.run_id,
            "how": self.how,
            "counts": [[name, count] for name, count in self.counts.items()],
            "views": self.views,
            "writers": sorted(self.writers),
            "fields": self._fields,
            "sources": [[name, *entry] for name, entry in zip(self._sources, entries, strict=True)],
            "dependencies": list(self._dependencies),
            "repositories": self._repositories,
            "resources": [[*key, *entry] for key, entry in self._resources.items()],
            "artifacts": [list(entry) for entry in self._artifacts],
            "info": self._info,
            "annotations": [list(self._said.tags), self._said.notes],
            **self._output.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take what ``state`` gave, as if it had been folded in silence.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is something else.
        """
        self.run_id, self.how = state["run_id"], state["how"]
        self.counts = dict(state["counts"])
        self.views, self.writers = list(state["views"]), set(state["writers"])
        self._fields = dict(state["fields"])
        self._sources = {name: FileEntry(*entry) for name, *entry in state["sources"]}
        self._dependencies = dict.fromkeys(state["dependencies"])
        self._repositories = list(state["repositories"])
        self._resources = {
            (name, digest, added): FileEntry(*entry)
            for name, digest, added, *entry in state["resources"]
        }
        self._artifacts = [FileEntry(*entry) for entry in state["artifacts"]]
        self._info = dict(state["info"])
        tags, notes = state["annotations"]
        self.annotations = self._said = Annotations(tuple(tags), notes)
        self._output.restore(state)

    def _field(self, name: str) -> Any:
        if name == "info":
            return self._value(self._info)
        if name == "resources":
            return list(self._resources.values())
        if name == "artifacts":
            return list(self._artifacts)
        if name == "experiment":
            return {
                **self._fields.get("experiment", {}),
                # The main file is recorded before the others, and stands among them in a view.
                "sources": sorted(self._sources.values(), key=lambda entry: entry.name),
                "dependencies": list(self._dependencies),
                "repositories": list(self._repositories),
            }
        return self._fields.get(name)


_HANDLERS: dict[int, Callable[[RunProjection, dict[str, Any], Event], None]] = {
    EventType.RUN_STARTED: RunProjection._started,
    EventType.RUN_QUEUED: RunProjection._started,
    EventType.RUN_RESUMED: RunProjection._resumed,
    EventType.RUN_ENDED: RunProjection._ended,
    EventType.HEARTBEAT: RunProjection._heartbeat,
    EventType.OUTPUT: RunProjection._printed,
    EventType.OUTPUT_FILTERED: RunProjection._output_filtered,
    EventType.INFO_CHANGED: RunProjection._info_changed,
    EventType.INFO_SNAPSHOT: RunProjection._info_changed,
    EventType.RESULT_CHANGED: RunProjection._result_changed,
    EventType.RESOURCE_ADDED: RunProjection._resource_added,
    EventType.ARTIFACT_ADDED: RunProjection._artifact_added,
    EventType.DIRECTORY_ADDED: RunProjection._directory_added,
    EventType.IMAGE_LOGGED: RunProjection._image_logged,
    EventType.SOURCE_ADDED: RunProjection._source_added,
    EventType.DEPENDENCIES_FOUND: RunProjection._dependencies_found,
    EventType.REPOSITORY_FOUND: RunProjection._repository_found,
    EventType.ANNOTATED: RunProjection._person_said,
    EventType.HOST_FACTS: RunProjection._host_facts,
    EventType.VIEW_DECLARED: RunProjection._view_declared,
}


def _text_or_none(value: Any) -> str | None:
    return plain_text(str(value)) if value is not None else None


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _plain_column(values: list[Any]) -> list[Any]:
    kinds = set(map(type, values))
    if kinds <= {int, float, bool}:
        return values
    return [plain(value) for value in values]


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged
