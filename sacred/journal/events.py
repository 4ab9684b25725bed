"""The registry of event types: what a journal can say.

An event on disk is a msgpack map with ``t`` (time, ns since the epoch), ``e`` (the number of its
type) and the fields of that type. This module is the only list of types and fields; the table in
``docs/journal-format.md`` is made from it.

Types below 128 change what a run *is*: a reader that does not know one must stop. Types from 128
on may be skipped. A number, once given, never changes its meaning.

Values here are named tuples, not dataclasses: a training process imports this module, and
``dataclasses`` costs it 5 ms.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from sacred.journal.named_tuple import NamedTuple

FORMAT = 1
MIN_READER = 1
#: Types from here on may be skipped by a reader that does not know them.
FIRST_IGNORABLE = 128


class EventType(IntEnum):
    """The number of each event type."""

    EPOCH_BEGAN = 1
    RUN_STARTED = 2
    RUN_QUEUED = 3
    RUN_CLAIMED = 4
    RUN_RELEASED = 5
    RUN_RESUMED = 6
    RUN_ENDED = 7
    HEARTBEAT = 8
    GAP = 9
    METRIC_POINT = 16
    METRIC_TABLE = 17
    OUTPUT = 20
    OUTPUT_FILTERED = 21
    INFO_CHANGED = 24
    INFO_SNAPSHOT = 25
    RESULT_CHANGED = 26
    RESOURCE_ADDED = 32
    ARTIFACT_ADDED = 33
    DIRECTORY_ADDED = 34
    SOURCE_ADDED = 35
    DEPENDENCIES_FOUND = 36
    REPOSITORY_FOUND = 37
    HOST_FACTS = 38
    TEXT_LOGGED = 48
    IMAGE_LOGGED = 49
    ARRAY_LOGGED = 50
    HISTOGRAM_LOGGED = 51
    CHILD_BEGAN = 64
    CHILD_ENDED = 65
    ANNOTATED = 72
    REDACTED = 80
    TOMBSTONE = 81
    WATERMARK = 128
    METRIC_DECLARED = 129
    USAGE = 130
    VIEW_ID = 131
    LINKED = 132
    CHILD_SEEN = 133
    VIEW_DECLARED = 134
    MESSAGE = 135
    SEALED = 136


class Field(NamedTuple):
    """One field of an event.

    Attributes
    ----------
    name
        The name in Python, in SQL and in ``sacred events``.
    key
        The key in the msgpack map; short where the event is frequent.
    kind
        ``int``, ``float``, ``str``, ``bytes``, ``bool``, ``list``, ``map``, ``time`` (int, ns
        since the epoch), ``blob`` (a map: algorithm, digest, size, encoding), ``name`` (interned
        in its frame), ``column`` (see the format) or ``any``.
    required
        Whether a reader may count on it.
    doc
        What it says.
    """

    name: str
    key: str
    kind: str
    required: bool
    doc: str


class EventSchema(NamedTuple):
    """One event type: its fields and how it is written.

    Attributes
    ----------
    control
        Written to the file before the call that records it returns; the others may wait up to
        10 ms for company.
    """

    type: EventType
    control: bool
    doc: str
    fields: tuple[Field, ...]


def _must(name: str, kind: str, doc: str, key: str = "") -> Field:
    return Field(name, key or name, kind, required=True, doc=doc)


def _may(name: str, kind: str, doc: str, key: str = "") -> Field:
    return Field(name, key or name, kind, required=False, doc=doc)


_BLOB = "algorithm (sha256), digest (hex), size (bytes), encoding (how the content is stored)"

_SCHEMAS = (
    EventSchema(
        EventType.EPOCH_BEGAN,
        True,
        "The first event of every file: who writes it, and with which clocks. Has no seq.",
        (
            _must("format", "int", "version of the format the file is written in"),
            _must("min_reader", "int", "oldest reader version that understands the file"),
            _must("features", "list", "names a reader must know, or stop"),
            _must("journal", "int", "the journal's id, as in every preamble"),
            _must("opened_by", "str", "start, rotation, fault, resume, child, superseded, seal"),
            _must("host", "str", "host name"),
            _must("pid", "int", "process id"),
            _may("process_start", "float", "start of the process, s since boot (Linux) or epoch"),
            _may("boot", "str", "boot id of the host"),
            _may("pid_namespace", "str", "pid namespace, where the system has them"),
            _must("wall", "time", "wall clock, ns since the epoch, UTC"),
            _must("monotonic", "int", "monotonic clock at the same moment, ns"),
            _must("software", "str", "name and version of the writing program"),
            _may("parent", "list", "[writer, epoch, seq] the writer was forked from"),
            _may("supersedes", "int", "writer number this one goes on for"),
            _may("durability", "str", "process, second or event"),
            _may("last_seen", "time", "in a sealed or repaired file: last sign of life"),
            _may("status", "str", "in a sealed file in which the run ended: as in run_ended"),
            _may("lost", "list", "in a repaired file: [first seq, next seq, why] of what is lost"),
        ),
    ),
    EventSchema(
        EventType.RUN_STARTED,
        True,
        "A run began: everything that is known before main() is called.",
        (
            _must("run_id", "any", "_run._id: int or str"),
            _must("name", "str", "experiment name"),
            _must("command", "str", "command that runs"),
            _must("config", "map", "final configuration"),
            _must("meta", "map", "command line, options, comment, priority, the user's own"),
            _must("experiment", "map", "name, base_dir, mainfile, doc, ..."),
            _must("host", "map", "host facts known at the start"),
            _may("modifications", "map", "added, modified, typechanged, docs of the configuration"),
            _may("seed", "int", "root seed"),
            _may("status", "str", "RUNNING if absent"),
            _may("capture", "str", "fd, sys or no"),
            _may("beat_interval", "float", "seconds between heartbeats"),
            _may("info", "map", "info given at the start"),
            _may("views", "list", "views declared by the program, without secrets"),
            _may(
                "program",
                "map",
                "how it was called: cwd, argv, module, package, experiment, id, path; kinds: where "
                "config has a path or frozenset, as [keys, type]",
            ),
        ),
    ),
    EventSchema(
        EventType.RUN_QUEUED,
        True,
        "A run was put into the queue: everything that is needed to start it later.",
        (
            _must("run_id", "any", "_run._id: int or str"),
            _must("name", "str", "experiment name"),
            _must("command", "str", "command that is to run"),
            _must("config", "map", "final configuration"),
            _must("meta", "map", "as in run_started, with queue_time"),
            _must("experiment", "map", "as in run_started"),
            _must("host", "map", "as in run_started"),
            _may("modifications", "map", "as in run_started"),
            _may("seed", "int", "root seed"),
            _may("views", "list", "as in run_started"),
            _may("program", "map", "as in run_started"),
        ),
    ),
    EventSchema(
        EventType.RUN_CLAIMED,
        True,
        "A worker took a queued run.",
        (
            _must("worker", "str", "who took it"),
            _may("until", "time", "when the claim ends"),
            _may("options", "map", "options given for this time, by their long flags"),
        ),
    ),
    EventSchema(
        EventType.RUN_RELEASED,
        True,
        "A worker gave a queued run back.",
        (_must("worker", "str", "who had it"), _may("reason", "str", "why")),
    ),
    EventSchema(
        EventType.RUN_RESUMED,
        True,
        "A run that had died, was interrupted or failed goes on.",
        (
            _may("reason", "str", "what it was before: DIED, INTERRUPTED, FAILED, ..."),
            _may("checkpoint", "any", "what it goes on from"),
            _may("last_seen", "time", "last sign of life before"),
            _may("options", "map", "options given for this time, by their long flags"),
        ),
    ),
    EventSchema(
        EventType.RUN_ENDED,
        True,
        "A run ended.",
        (
            _must("how", "str", "completed, interrupted or failed"),
            _must("status", "str", "COMPLETED, FAILED, INTERRUPTED, TIMEOUT or one's own"),
            _may("result", "any", "what the command returned"),
            _may("fail_trace", "list", "lines of the stack trace"),
        ),
    ),
    EventSchema(
        EventType.HEARTBEAT,
        True,
        "The run lives.",
        (_may("durable", "int", "seqs below this one survive a power cut", key="d"),),
    ),
    EventSchema(
        EventType.GAP,
        True,
        "Events were lost and will not come: the disk took nothing.",
        (
            _must("writer", "int", "whose events"),
            _must("first_seq", "int", "first lost seq"),
            _must("count", "int", "how many seqs"),
            _must("reason", "str", "what the system said"),
        ),
    ),
    EventSchema(
        EventType.METRIC_POINT,
        False,
        "One value of a metric.",
        (
            _must("metric", "name", "name of the metric", key="m"),
            _must("step", "any", "the step, as the user gave it", key="s"),
            _must("value", "any", "the value, bit for bit", key="v"),
        ),
    ),
    EventSchema(
        EventType.METRIC_TABLE,
        False,
        "Many values of metrics, as columns; takes as many seqs as it has rows.",
        (
            _must("rows", "int", "how many rows", key="n"),
            _must("metrics", "list", "names of the metrics", key="m"),
            _may("metric_index", "bytes", "which metric a row is of; absent if one", key="i"),
            _must("steps", "column", "steps", key="s"),
            _must("times", "column", "times in microseconds since the epoch", key="x"),
            _must("values", "column", "values", key="v"),
            _may("odd_steps", "list", "[row, step] of steps that do not fit the column", key="ss"),
            _may("odd_values", "list", "[row, value] of such values", key="vs"),
        ),
    ),
    EventSchema(
        EventType.OUTPUT,
        False,
        "A piece of what the run printed.",
        (
            _must("stream", "int", "1 stdout, 2 stderr", key="s"),
            _must("data", "bytes", "the bytes as they were written", key="d"),
            _may("begin", "int", "offset in the spool of its first record", key="o"),
            _may("end", "int", "offset in the spool behind its last record", key="z"),
        ),
    ),
    EventSchema(
        EventType.OUTPUT_FILTERED,
        False,
        "What the user's filter made of the output so far, as a change of the last such text.",
        (
            _must("keep", "int", "how many characters of the last text stay"),
            _must("text", "str", "what follows them"),
        ),
    ),
    EventSchema(
        EventType.INFO_CHANGED,
        False,
        "Entries of info that changed.",
        (
            _must("set", "list", "[path, value], a path being a list of keys and indices"),
            _must("deleted", "list", "paths"),
        ),
    ),
    EventSchema(
        EventType.INFO_SNAPSHOT,
        False,
        "The whole of info, now and then, so that a reader may begin here.",
        (_must("info", "map", "info"),),
    ),
    EventSchema(
        EventType.RESULT_CHANGED,
        False,
        "An intermediate result.",
        (_must("result", "any", "the result"),),
    ),
    EventSchema(
        EventType.RESOURCE_ADDED,
        True,
        "A file the run needs.",
        (
            _must("filename", "str", "absolute path"),
            _may("blob", "blob", _BLOB),
            _may("md5", "str", "md5, as the views show it"),
            _may("error", "str", "why the content could not be stored"),
        ),
    ),
    EventSchema(
        EventType.ARTIFACT_ADDED,
        True,
        "A file the run made.",
        (
            _must("name", "str", "name of the artifact"),
            _must("filename", "str", "absolute path it was read from"),
            _may("blob", "blob", _BLOB),
            _may("metadata", "any", "the user's own"),
            _may("content_type", "str", "media type given by the user"),
            _may("guessed_type", "str", "media type by the file's name"),
            _may("version", "int", "counts artifacts of one name, from 1"),
            _may("md5", "str", "md5, as the views show it"),
            _may("error", "str", "why the content could not be stored"),
        ),
    ),
    EventSchema(
        EventType.DIRECTORY_ADDED,
        True,
        "A folder of files the run made or needs.",
        (
            _must("name", "str", "name of the artifact or resource"),
            _must("role", "str", "artifact or resource"),
            _must("filename", "str", "absolute path"),
            _must("entries", "list", "[relative path, blob, mode]"),
            _may("metadata", "any", "the user's own"),
            _may("version", "int", "counts artifacts of one name, from 1"),
        ),
    ),
    EventSchema(
        EventType.SOURCE_ADDED,
        True,
        "A source file of the program.",
        (
            _must("filename", "str", "path relative to base_dir"),
            _must("path", "str", "absolute path"),
            _must("md5", "str", "md5, as the views show it"),
            _may("blob", "blob", _BLOB),
            _may("main", "bool", "the file of the main function"),
            _may("module", "str", "name it was imported by, where its place does not say it"),
            _may("error", "str", "why the content could not be stored"),
        ),
    ),
    EventSchema(
        EventType.DEPENDENCIES_FOUND,
        True,
        "Packages the program uses; a later event adds to an earlier one.",
        (_must("dependencies", "list", "name==version"),),
    ),
    EventSchema(
        EventType.REPOSITORY_FOUND,
        True,
        "A version-control repository that sources lie in.",
        (
            _must("url", "str", "address of the origin, passwords masked"),
            _must("commit", "str", "commit that is checked out"),
            _must("dirty", "bool", "whether tracked files differ from it"),
            _may("diff", "blob", "the difference"),
            _may("root", "str", "absolute path"),
        ),
    ),
    EventSchema(
        EventType.HOST_FACTS,
        True,
        "Host facts that were slow to find; merged over those of the start.",
        (_must("facts", "map", "as host in run_started"),),
    ),
    EventSchema(
        EventType.TEXT_LOGGED,
        True,
        "A text belonging to a step.",
        (
            _must("name", "str", "name of the series"),
            _must("step", "any", "the step"),
            _may("text", "str", "the text, if short"),
            _may("blob", "blob", _BLOB),
        ),
    ),
    EventSchema(
        EventType.IMAGE_LOGGED,
        True,
        "A picture belonging to a step.",
        (
            _must("name", "str", "name of the series"),
            _must("step", "any", "the step"),
            _must("blob", "blob", _BLOB),
            _may("content_type", "str", "media type"),
            _may("width", "int", "pixels"),
            _may("height", "int", "pixels"),
            _may("caption", "str", "a caption"),
        ),
    ),
    EventSchema(
        EventType.ARRAY_LOGGED,
        True,
        "An array belonging to a step.",
        (
            _must("name", "str", "name of the series"),
            _must("step", "any", "the step"),
            _must("dtype", "str", "element type as numpy writes it, little endian"),
            _must("shape", "list", "lengths"),
            _may("data", "bytes", "the elements in C order, if few"),
            _may("blob", "blob", _BLOB),
        ),
    ),
    EventSchema(
        EventType.HISTOGRAM_LOGGED,
        True,
        "A histogram belonging to a step.",
        (
            _must("name", "str", "name of the series"),
            _must("step", "any", "the step"),
            _must("edges", "list", "n + 1 bounds"),
            _must("counts", "list", "n counts"),
        ),
    ),
    EventSchema(
        EventType.CHILD_BEGAN,
        True,
        "The first event of a child writer: what it is.",
        (
            _must("kind", "str", "fork, spawn, worker, rank, tee; in notes: person"),
            _may("label", "str", "a name for people"),
            _may("rank", "int", "its number among its kind"),
        ),
    ),
    EventSchema(
        EventType.CHILD_ENDED,
        True,
        "The last event of a child writer.",
        (_may("status", "str", "how it ended"),),
    ),
    EventSchema(
        EventType.ANNOTATED,
        True,
        "A tag, note or name given by a person, mostly in the journal of notes beside the run's.",
        (
            _must("what", "str", "tag, note, name, status"),
            _must("action", "str", "set, add or remove"),
            _must("value", "any", "the text"),
            _may("author", "str", "who"),
        ),
    ),
    EventSchema(
        EventType.REDACTED,
        True,
        "A value is not to be shown any more.",
        (
            _must("path", "list", "where in the run's document"),
            _may("digest", "str", "blob that was taken away"),
            _may("reason", "str", "why"),
        ),
    ),
    EventSchema(
        EventType.TOMBSTONE,
        True,
        "The run was deleted by a person.",
        (_may("reason", "str", "why"), _may("author", "str", "who")),
    ),
    EventSchema(
        EventType.WATERMARK,
        False,
        "What survives a power cut.",
        (_must("durable", "int", "seqs below this one", key="d"),),
    ),
    EventSchema(
        EventType.METRIC_DECLARED,
        True,
        "What a metric is.",
        (
            _must("metric", "str", "its name"),
            _may("unit", "str", "its unit"),
            _may("better", "str", "higher or lower"),
            _may("system", "bool", "measured of the machine, not by the program"),
            _may("doc", "str", "what it measures"),
        ),
    ),
    EventSchema(
        EventType.USAGE,
        True,
        "What the run used of the machine.",
        (
            _may("wall", "float", "seconds"),
            _may("user", "float", "CPU seconds in user mode"),
            _may("system", "float", "CPU seconds in the kernel"),
            _may("peak_memory", "int", "largest resident size, bytes"),
            _may("children_user", "float", "CPU seconds of ended children in user mode"),
            _may("children_system", "float", "CPU seconds of ended children in the kernel"),
            _may("children_peak_memory", "int", "largest resident size of an ended child, bytes"),
        ),
    ),
    EventSchema(
        EventType.VIEW_ID,
        True,
        "The id a view gave the run.",
        (_must("view", "str", "the view, without secrets"), _must("id", "any", "the id")),
    ),
    EventSchema(
        EventType.LINKED,
        True,
        "How this run belongs to another one.",
        (
            _must("relation", "str", "rerun_of, resumed_from, child_of, imported_from"),
            _must(
                "target",
                "any",
                "journal id, run id or address; of imported_from a map: kind, store (its address), "
                "run (the id there), state (a digest of what changes when it goes on), view_of (a "
                "journal id)",
            ),
        ),
    ),
    EventSchema(
        EventType.CHILD_SEEN,
        True,
        "The first writer saw the file of a child, so that its loss would be noticed.",
        (_must("writer", "int", "number of the child writer"),),
    ),
    EventSchema(
        EventType.VIEW_DECLARED,
        True,
        "The program asked for a view after the start.",
        (_must("view", "map", "the view, without secrets"),),
    ),
    EventSchema(
        EventType.MESSAGE,
        True,
        "Something that a person looking at the run should know.",
        (
            _must("level", "str", "info, warning or error"),
            _must("text", "str", "the sentence"),
            _may("source", "str", "what said it"),
        ),
    ),
    EventSchema(
        EventType.SEALED,
        True,
        "The last event of a sealed file. Has no seq.",
        (
            _must("first_seq", "int", "first seq of the file"),
            _must("next_seq", "int", "one behind its last seq"),
            _must("chain", "int", "chain behind its last frame, as the live file had it"),
            _must("by", "str", "software that sealed it"),
            _may("last_seen", "time", "last sign of life of a run that died"),
            _may("status", "str", "of a run that ended: as in run_ended"),
        ),
    ),
)

#: Every event type with its fields.
SCHEMAS: dict[int, EventSchema] = {int(schema.type): schema for schema in _SCHEMAS}

_LONG_NAMES: dict[int, dict[str, str]] = {
    number: {field.key: field.name for field in schema.fields} for number, schema in SCHEMAS.items()
}
#: Wire keys by field name.
KEYS: dict[int, dict[str, str]] = {
    number: {field.name: field.key for field in schema.fields} for number, schema in SCHEMAS.items()
}
#: Names of the fields that are always there, each with whether it may be None.
REQUIRED: dict[int, dict[str, bool]] = {
    number: {field.name: field.kind == "any" for field in schema.fields if field.required}
    for number, schema in SCHEMAS.items()
}
CONTROL: frozenset[int] = frozenset(n for n, schema in SCHEMAS.items() if schema.control)
#: Types that take no sequence number.
SEQLESS: frozenset[int] = frozenset({int(EventType.EPOCH_BEGAN), int(EventType.SEALED)})


class Event(NamedTuple):
    """One event as it was read.

    Attributes
    ----------
    type
        Number of the type; an ``EventType`` where this version knows it.
    time
        ns since the epoch, UTC, by the clock of the writer.
    seq
        Its sequence number within ``writer``; of a table, that of its first row. -1 for the
        events that have none.
    writer
        Number of the writer.
    fields
        The fields by name. Unknown fields are kept under their wire key. A ``METRIC_TABLE`` has
        the one field ``table``, a :class:`sacred.journal.tables.MetricTable`.
    """

    type: int
    time: int
    seq: int
    writer: int
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        """The type in lower case, or ``unknown_200``."""
        schema = SCHEMAS.get(self.type)
        return schema.type.name.lower() if schema else f"unknown_{self.type}"

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count
        """How many sequence numbers the event takes."""
        if self.type == EventType.METRIC_TABLE:
            return int(self.fields["table"].rows)
        return 0 if self.type in SEQLESS else 1


#: The keys of a metric point and of a table, as a writer of this version makes them.
POINT_KEYS = frozenset({"t", "e", *KEYS[EventType.METRIC_POINT].values()})
TABLE_KEYS = frozenset({"t", "e", *KEYS[EventType.METRIC_TABLE].values()})


def long_names(number: int, wire: dict[str, Any]) -> dict[str, Any]:
    """Give the fields of a decoded map their names."""
    names = _LONG_NAMES.get(number)
    if names is None:
        return {key: value for key, value in wire.items() if key not in {"t", "e"}}
    return {names.get(key, key): value for key, value in wire.items() if key not in {"t", "e"}}
