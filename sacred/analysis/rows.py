"""The rows of the relations ``runs`` and ``events``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.events import EventType
from sacred.journal.integers import text_of
from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text
from sacred.replayers.points import exact_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.events import Event
    from sacred.replayers.listing import RunOutline
    from sacred.replayers.standings import Standing

__all__ = ["event_row", "micros", "run_row", "said_row", "view_row"]

_MICROS = 9 * 10**18


def event_row(event: Event) -> tuple[Any, ...]:
    """Return the row of an event, without the run."""
    fields = event.fields
    if event.type == EventType.METRIC_TABLE:
        fields = {"rows": fields["table"].rows}
    elif event.type == EventType.OUTPUT:
        fields = {**fields, "data": bytes(fields.get("data") or b"").decode("utf-8", "replace")}
    seq = event.seq if event.seq >= 0 else None
    return event.writer, seq, micros(event.time), event.name, to_json(fields)


def said_row(event: Event) -> tuple[Any, ...]:
    """Return the row of what was said beside the journal, whose writers and numbers it has not."""
    return None, None, *event_row(event)[2:]


def micros(nanoseconds: Any) -> int | None:
    """Return a time of the journal in us, as DuckDB takes it; None if it is none."""
    if type(nanoseconds) is not int:
        return None
    return max(-_MICROS, min(_MICROS, nanoseconds // 1000))


_RUN_VALUES: dict[str, Callable[[RunOutline], Any]] = {
    "run": lambda found: found.run,
    "id": lambda found: None if found.id is None else plain_text(text_of(found.id)),
    "name": lambda found: found.name and plain_text(found.name),
    "command": lambda found: found.command and plain_text(found.command),
    "status": lambda found: plain_text(found.status),
    "start": lambda found: micros(found.start),
    "stop": lambda found: micros(found.stop),
    "duration": lambda found: found.duration,
    "points": lambda found: found.points,
    "result": lambda found: None if found.result is None else to_json(found.result),
    "result_value": lambda found: exact_number(found.result)[0],
    "host": lambda found: found.host and plain_text(found.host),
    "journal_id": lambda found: f"{found.journal_id:016x}" if found.journal_id else None,
    "path": lambda found: plain_text(found.path),
    "problem": lambda found: found.problem and plain_text(found.problem),
    "tags": lambda found: list(found.tags),
    "notes": lambda found: found.notes,
    "rerun_of": lambda found: found.rerun_of,
}


def run_row(found: RunOutline, columns: frozenset[str]) -> list[Any]:
    """Return the row of a run; NULL in the columns that nobody reads."""
    return [value(found) if name in columns else None for name, value in _RUN_VALUES.items()]


def view_row(standing: Standing) -> tuple[Any, ...]:
    """Return the row of a view of a run."""
    return (
        standing.run,
        plain_text(standing.kind),
        plain_text(standing.view),
        None if standing.view_id is None else plain_text(text_of(standing.view_id)),
        standing.state,
        standing.events,
        standing.lag_events,
        standing.lag_seconds,
        standing.error and plain_text(standing.error),
        micros(standing.since),
        micros(standing.written),
    )
