"""What the journal of a run says, for whoever starts it (it was queued) or goes on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.codec import Array, BlobReference, ObjectText, unpack
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.info import info_after
from sacred.journal.liveness import Liveness, state_after, state_now
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.position import WriterPosition
from sacred.journal.reader import JournalReader
from sacred.journal.root import epoch_file_name, parse_epoch_file_name, unreadable
from sacred.journal.verdicts import beyond_repair, is_damage

if TYPE_CHECKING:
    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder

__all__ = ["NOT_RECORDED", "RecordedRun", "RecordedSource", "live_value"]

_STARTS = frozenset({int(EventType.RUN_STARTED), int(EventType.RUN_QUEUED)})
_INFO = frozenset({int(EventType.INFO_CHANGED), int(EventType.INFO_SNAPSHOT)})


class RecordedSource(NamedTuple):
    """A source file as it was recorded.

    Attributes
    ----------
    name
        Relative to the experiment's ``base_dir``.
    path
        Where it lay; absolute.
    digest
        SHA-256 of its content, by which it is stored; None if it could not be.
    error
        Why not.
    module
        The name it was imported by, where ``name`` does not say it.
    """

    name: str
    path: str
    digest: str | None
    error: str | None
    module: str | None = None


class RecordedRun:
    """A run's journal, read from its beginning to its present end.

    Attributes
    ----------
    folder
        The run's.
    journal_id
        The journal's id.
    start
        The fields of the event that began the run, or queued it; empty if there is none.
    started
        When that was (ns since the epoch).
    state
        Queued, running, ended or died.
    status
        As ``sacred ls`` shows it.
    how
        How it ended: ``completed``, ``interrupted``, ``failed``; None if it did not.
    last
        Time of the last event of the first writer (ns).
    claimed
        Who took the run when it was queued, and did not start or release it; None for nobody.
    resumed
        How often somebody went on with it.
    info, result
        As they were last.
    steps
        By metric, the step of the last point.
    artifacts
        By name, what is stored of each version, the oldest first.
    versions
        By name of an artifact or folder, how many versions there are.
    sources
        By name.
    dependencies
        As ``name==version``.
    filtered
        What the filter of the output made of it; None without one.
    spool_end
        Where in the spool the output ends that the journal has.
    children
        Numbers of the child writers that were noted.
    at
        Where the first writer's events end; ``epoch`` is that of its newest file, whole or not.
    identity
        Who wrote the file that the last event is in.
    is_begun_anew
        Somebody made a newer file than that and wrote no event into it, yet or ever;
        ``newest_identity`` tells who, if that is known.
    damage
        What is wrong with what the first writer wrote and a repair mends, a sentence each.
    misplaced
        By the name of a file of the first writer that no repair helps with, why: half a sentence.

    Raises
    ------
    JournalError
        There is no journal, or it can not be read.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.start: dict[str, Any] = {}
        self.started = 0
        self.status = "EMPTY"
        self.how: str | None = None
        self.last = 0
        self.claimed: str | None = None
        self.resumed = 0
        self.info: dict[str, Any] = {}
        self.result: Any = None
        self.steps: dict[str, Any] = {}
        self.artifacts: dict[str, list[BlobReference]] = {}
        self.versions: dict[str, int] = {}
        self.sources: dict[str, RecordedSource] = {}
        self.dependencies: dict[str, None] = {}
        self.filtered: str | None = None
        self.spool_end = 0
        self.children: set[int] = set()
        self.identity: dict[str, Any] = {}
        self._epoch = 0
        self._steps_of_children: dict[str, Any] = {}
        reader = JournalReader(folder.journal)
        try:
            state = self._read(reader)
            self._judge(reader, state)
        finally:
            reader.close()

    # -- reading ---------------------------------------------------------------------------------

    def _read(self, reader: JournalReader) -> Liveness:
        state = Liveness.RUNNING
        for frame in reader.poll():
            if frame.writer == 0 and frame.count:
                self._epoch = frame.epoch
            for event in frame.events:
                self._take(event)
                if event.writer == 0:
                    state = state_after(event.type, state)
                    if event.seq >= 0:
                        self.last = max(self.last, event.time)
        self.journal_id = reader.journal_id
        for name, step in self._steps_of_children.items():
            self.steps.setdefault(name, step)
        return state

    def _judge(self, reader: JournalReader, state: Liveness) -> None:
        """Tell what became of the run, and where what was written ends."""
        found = [*reader.verdicts, *(tail for tail in reader.tails() if tail.damaged)]
        damage = [v for v in found if v.writer == 0 and is_damage(v)]
        self.damage = [str(v) for v in damage if beyond_repair(v) is None]
        self.misplaced = {
            epoch_file_name(v.writer, v.epoch): why for v in damage if (why := beyond_repair(v))
        }
        names = map(parse_epoch_file_name, _names(self.folder))
        epochs = [name[1] for name in names if name is not None and name[0] == 0]
        at = reader.position.get(0)
        if not epochs or at is None:
            raise JournalError(f"{self.folder.path} has no file of the run's first writer")
        self.at = WriterPosition(max(epochs), at.next_seq, at.chain)
        self.identity = reader.identities.get((0, self._epoch), {})
        self.newest_identity = reader.identities.get((0, self.at.epoch), {})
        self.is_begun_anew = self.at.epoch > self._epoch
        self.state = state_now(reader, state, self.last)
        if self.start and self.state is Liveness.DIED:
            self.status = "DIED"

    def _take(self, event: Event) -> None:
        kind, fields = event.type, event.fields
        if kind == EventType.METRIC_POINT:
            self._step(event.writer, fields["metric"], fields["step"])
        elif kind == EventType.METRIC_TABLE:
            table = fields["table"]
            for name, step in zip(table.names(), table.steps, strict=True):
                self._step(event.writer, name, step)
        elif kind in {EventType.ARTIFACT_ADDED, EventType.DIRECTORY_ADDED}:
            self._take_artifact(kind, fields)
        elif event.writer == 0:
            self._take_of_first(kind, event.time, fields)
        elif kind == EventType.SOURCE_ADDED:
            self._take_source(fields, of_child=True)
        elif kind == EventType.DEPENDENCIES_FOUND:
            self._take_dependencies(fields)

    def _step(self, writer: int, name: str, step: Any) -> None:
        if type(step) in (int, float):
            (self._steps_of_children if writer else self.steps)[name] = step

    def _take_of_first(self, kind: int, time: int, fields: dict[str, Any]) -> None:
        if kind in _STARTS:
            self.start = {name: self._whole(value) for name, value in fields.items()}
            self.started, self.claimed = time, None
            self.status = "QUEUED" if kind == EventType.RUN_QUEUED else "RUNNING"
            self.info = dict(self.start.get("info") or {})
        elif kind == EventType.RUN_CLAIMED:
            self.claimed = str(fields.get("worker"))
        elif kind == EventType.RUN_RELEASED:
            self.claimed = None
        elif kind == EventType.RUN_RESUMED:
            self.resumed += 1
            self.status, self.how = "RUNNING", None
        elif kind == EventType.RUN_ENDED:
            self.status, self.how = str(fields.get("status")), str(fields.get("how"))
            if fields.get("result") is not None:
                self.result = self._whole(fields["result"])
        elif kind in _INFO:
            self.info = info_after(self.info, kind, {k: self._whole(v) for k, v in fields.items()})
        elif kind == EventType.RESULT_CHANGED:
            self.result = self._whole(fields.get("result"))
        elif kind == EventType.OUTPUT:
            self.spool_end = max(self.spool_end, fields.get("end") or 0)
        elif kind == EventType.OUTPUT_FILTERED:
            self.filtered = (self.filtered or "")[: fields["keep"]] + fields["text"]
        elif kind == EventType.SOURCE_ADDED:
            self._take_source(fields)
        elif kind == EventType.DEPENDENCIES_FOUND:
            self._take_dependencies(fields)
        elif kind == EventType.CHILD_SEEN:
            self.children.add(fields["writer"])

    def _take_dependencies(self, fields: dict[str, Any]) -> None:
        self.dependencies.update(dict.fromkeys(map(str, fields.get("dependencies") or ())))

    def _take_source(self, fields: dict[str, Any], *, of_child: bool = False) -> None:
        blob = BlobReference.from_wire(fields.get("blob"))
        name = str(fields.get("filename"))
        # What the run's own process says of a file holds, whoever was first.
        if of_child and name in self.sources:
            return
        self.sources[name] = RecordedSource(
            name,
            str(fields.get("path") or name),
            blob.digest if blob is not None else None,
            fields.get("error"),
            fields.get("module"),
        )

    def _take_artifact(self, kind: int, fields: dict[str, Any]) -> None:
        name = str(fields.get("name"))
        if kind == EventType.DIRECTORY_ADDED and fields.get("role") != "artifact":
            return
        self.versions[name] = max(self.versions.get(name, 0), int(fields.get("version") or 1))
        entries = [(name, fields.get("blob"))]
        if kind == EventType.DIRECTORY_ADDED:
            entries = [(f"{name}/{path}", blob) for path, blob, *_ in fields.get("entries") or ()]
        for entry, wire in entries:
            blob = BlobReference.from_wire(wire)
            if blob is not None:
                self.artifacts.setdefault(entry, []).append(blob)

    def _whole(self, value: Any) -> Any:
        """Return a value, also one that was too large for its event."""
        if type(value) is not BlobReference or value.encoding != "msgpack":
            return value
        from sacred.journal.blobs import BlobStore

        return unpack(BlobStore(self.folder.root.blobs).read(value.digest))

    # -- what it says ----------------------------------------------------------------------------

    @property
    def run_id(self) -> Any:
        """``_run._id``, a text or a number as the program knew it."""
        given = self.program.get("id")
        return self.start.get("run_id") if given is None else given

    @property
    def program(self) -> dict[str, Any]:
        """How the program was called."""
        return _mapping(self.start.get("program"))

    @property
    def has_program(self) -> bool:
        """Whether there is a file that could be started; not of what was typed in a notebook."""
        experiment = _mapping(self.start.get("experiment"))
        return "mainfile" not in experiment or experiment["mainfile"] is not None

    @property
    def meta(self) -> dict[str, Any]:
        """The run's meta information."""
        return _mapping(self.start.get("meta"))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the command line it was called with."""
        return _mapping(self.meta.get("options"))

    @property
    def number(self) -> str:
        """How a person names the run."""
        return str(self.folder.number or self.folder.path)


def _names(folder: RunFolder) -> list[str]:
    import os

    try:
        return os.listdir(folder.journal)
    except OSError as error:
        raise unreadable(folder.journal, error) from error


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


# -- values ---------------------------------------------------------------------------------------

#: Stands for an object that the journal has as a text only.
NOT_RECORDED = object()


def live_value(value: Any) -> Any:
    """Return a value of the journal as the program had it.

    Lists and dicts become ones that may be changed, arrays numpy's where numpy is installed. An
    object that the journal has as a text only is left out of the dict it stands in; where it stands
    elsewhere, the whole around it is: ``NOT_RECORDED`` stands for that.
    """
    if isinstance(value, dict):
        items = ((key, live_value(item)) for key, item in value.items())
        return {key: item for key, item in items if item is not NOT_RECORDED}
    if type(value) is Array:
        return _array(value)
    if isinstance(value, (ObjectText, BlobReference)):
        return NOT_RECORDED
    if isinstance(value, (list, tuple, frozenset)):
        found = [live_value(item) for item in value]
        if any(item is NOT_RECORDED for item in found):
            return NOT_RECORDED
        if isinstance(value, frozenset):
            return set(found)
        return tuple(found) if isinstance(value, tuple) else found
    return value


def _array(value: Array) -> Any:
    try:
        import numpy as np

        flat = np.frombuffer(value.data, dtype=value.dtype)
        return flat.reshape(value.shape).copy()
    except (ImportError, TypeError, ValueError):
        pass
    try:
        return value.tolist()
    except Exception:  # an element type that needs numpy, or a shape that is none
        return NOT_RECORDED
