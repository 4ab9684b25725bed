"""The relations that SQL sees: their columns, types and units.

``docs/queries.md`` is made from this list, and so are the tables themselves.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RELATIONS", "ROOT", "Column", "Relation", "relations_page"]


class Column(NamedTuple):
    """One column: its name, its DuckDB type, and what it says, with its unit."""

    name: str
    type: str
    doc: str


class Relation(NamedTuple):
    """One relation that SQL sees."""

    name: str
    doc: str
    columns: tuple[Column, ...]


#: Stands in front of every relation where several roots are asked about.
ROOT = Column("root", "VARCHAR", "the root of the run: the path as it was given")
_RUN = Column("run", "BIGINT", "the run: the number of its folder")
_WRITER = Column("writer", "INTEGER", "the process that wrote it; 0 is the run's own")
_SEQ = Column("seq", "BIGINT", "its sequence number within the writer")
_TIME = Column("time", "TIMESTAMP", "when, UTC")

_FILE = (
    Column("size", "BIGINT", "bytes; NULL if the content was not stored"),
    Column("sha256", "VARCHAR", "digest of the content, its name among the blobs"),
    Column("md5", "VARCHAR", "as the views show it"),
)

RELATIONS: dict[str, Relation] = {
    relation.name: relation
    for relation in (
        Relation(
            "runs",
            "One row a run, damaged and foreign ones too.",
            (
                _RUN,
                Column("id", "VARCHAR", "`_run._id` as text"),
                Column("name", "VARCHAR", "experiment name"),
                Column("command", "VARCHAR", "command that ran"),
                Column(
                    "status",
                    "VARCHAR",
                    "QUEUED, RUNNING, COMPLETED, FAILED, INTERRUPTED, TIMEOUT or one's own; DIED if "
                    "its process is gone; EMPTY (not begun), FOREIGN (no journal of ours), NEWER (of a newer version) or UNREADABLE (no permission)",
                ),
                Column("start", "TIMESTAMP", "when it began, UTC"),
                Column("stop", "TIMESTAMP", "when it ended, UTC; NULL if it did not"),
                Column(
                    "duration",
                    "DOUBLE",
                    "seconds to the end, to now, or to the last sign of life of one that died",
                ),
                Column("points", "BIGINT", "how many metric points it has"),
                Column("result", "VARCHAR", "its result as JSON"),
                Column("result_value", "DOUBLE", "its result if that is a number"),
                Column("host", "VARCHAR", "name of the machine"),
                Column("journal_id", "VARCHAR", "id of the journal, 16 hex digits"),
                Column("path", "VARCHAR", "its folder"),
                Column("problem", "VARCHAR", "what is wrong with its journal; NULL if nothing is"),
                Column("tags", "VARCHAR[]", "what `sacred tag` gave it, in the order it came"),
                Column("notes", "VARCHAR", "what `sacred note` wrote about it; NULL if nothing"),
                Column("rerun_of", "VARCHAR", "`journal_id` of the run that it repeats, or NULL"),
            ),
        ),
        Relation(
            "metrics",
            "One row a metric point.",
            (
                _RUN,
                _WRITER,
                _SEQ,
                Column("metric", "VARCHAR", "name of the metric"),
                Column("step", "DOUBLE", "the step, if it is a number; the nearest one if large"),
                Column("step_text", "VARCHAR", "the step, where `step` does not say it exactly"),
                Column("value", "DOUBLE", "the value, if it is a number; NaN and infinities too"),
                Column("value_text", "VARCHAR", "the value, where `value` does not say it exactly"),
                _TIME,
            ),
        ),
        Relation(
            "config",
            "One row a leaf of the configuration; a list is a leaf.",
            (
                _RUN,
                Column("key", "VARCHAR", "dotted path"),
                Column("type", "VARCHAR", "int, float, bool, str, null, list, map (empty), other"),
                Column("value", "VARCHAR", "the text itself, anything else as JSON"),
                Column("number", "DOUBLE", "of an int or a float; the nearest one if large"),
                Column("integer", "BIGINT", "of an int that fits 64 bits"),
                Column("truth", "BOOLEAN", "of a bool"),
            ),
        ),
        Relation(
            "output",
            "One row a line of what a run printed.",
            (
                _RUN,
                _WRITER,
                Column("seq", "BIGINT", "of the event it begins in; NULL if in the spool only"),
                _TIME,
                Column("stream", "VARCHAR", "stdout or stderr"),
                Column("text", "VARCHAR", "the line, without its end"),
            ),
        ),
        Relation(
            "events",
            "One row an event; a table of metric points is one event. What people said of a run "
            "beside its journal (`annotated`) has neither writer nor seq.",
            (
                _RUN,
                _WRITER,
                _SEQ,
                _TIME,
                Column("type", "VARCHAR", "as `sacred events` names it"),
                Column("fields", "VARCHAR", "its fields as JSON; of a table its length"),
            ),
        ),
        Relation(
            "artifacts",
            "One row a file that a run made.",
            (
                _RUN,
                Column("name", "VARCHAR", "name of the artifact"),
                Column("path", "VARCHAR", "where it was read from"),
                *_FILE,
                Column("content_type", "VARCHAR", "media type"),
                Column("metadata", "VARCHAR", "the user's own, as JSON"),
                Column("version", "BIGINT", "counts artifacts of one name, from 1"),
            ),
        ),
        Relation(
            "resources",
            "One row a file that a run needed.",
            (_RUN, Column("path", "VARCHAR", "where it was read from"), *_FILE),
        ),
        Relation(
            "sources",
            "One row a source file of a run's program.",
            (
                _RUN,
                Column("name", "VARCHAR", "path relative to the program's folder"),
                Column("path", "VARCHAR", "where it was read from"),
                *_FILE,
            ),
        ),
        Relation(
            "hosts",
            "One row a fact about the machine a run ran on.",
            (
                _RUN,
                Column("key", "VARCHAR", "dotted path"),
                Column("value", "VARCHAR", "the text itself, anything else as JSON"),
            ),
        ),
        Relation(
            "views",
            "One row a run and a view of it that was written from this machine; no view is asked.",
            (
                _RUN,
                Column("kind", "VARCHAR", "mongo, file, sql, ..."),
                Column("view", "VARCHAR", "its address, without secrets"),
                Column("view_id", "VARCHAR", "the run's id there, as text"),
                Column(
                    "state",
                    "VARCHAR",
                    "current, following (a replayer is at it), behind, failed (it will not come right by itself) or deleted (by a person, there)",
                ),
                Column("events", "BIGINT", "how many events of the journal it has"),
                Column("lag_events", "BIGINT", "how many it lacks; NULL if that can not be told"),
                Column("lag_seconds", "DOUBLE", "seconds that the oldest of them has waited"),
                Column("error", "VARCHAR", "why it is behind or failed; NULL if all went well"),
                Column("error_since", "TIMESTAMP", "since when there is this error, UTC"),
                Column("written", "TIMESTAMP", "when it was last written from here, UTC"),
            ),
        ),
    )
}


def relations_page() -> str:
    """Return the section of ``docs/queries.md`` that lists every relation and column."""
    lines = []
    for relation in RELATIONS.values():
        lines += [f"### {relation.name}", "", relation.doc, "", "| column | type | what |"]
        lines.append("|---|---|---|")
        lines += [
            f"| `{column.name}` | {column.type} | {column.doc} |" for column in relation.columns
        ]
        lines.append("")
    return "\n".join(lines)
