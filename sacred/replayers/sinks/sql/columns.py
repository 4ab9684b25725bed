"""The columns of ``run`` that the fields of a run's document become."""

from __future__ import annotations

from typing import Any

from sacred.replayers.sinks.sql.values import bounded_json, double, number, sql_text

__all__ = ["run_columns"]

_TIMES = ("start_time", "heartbeat", "stop_time")


def run_columns(fields: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the columns of ``run``.

    Parameters
    ----------
    fields
        Some of a run's document; None for those that it has no more.
    most
        How many bytes a value may have.
    """
    columns: dict[str, Any] = {name: fields[name] for name in _TIMES if name in fields}
    if fields.get("status") == "QUEUED":
        columns["queue_time"] = fields.get("start_time")
    for name in ("command", "status"):
        if name in fields:
            columns[name] = sql_text(fields[name])
    for name in ("config", "info"):
        if name in fields:
            columns[name] = bounded_json(fields[name], most)
    if "result" in fields:
        result = fields["result"]
        columns["result"] = double(result)
        columns["result_json"] = None if result is None else bounded_json(result, most)
    if "fail_trace" in fields:
        trace = fields["fail_trace"]
        columns["fail_trace"] = None if trace is None else sql_text("\n".join(map(str, trace)))
    meta = fields.get("meta")
    if meta is not None:
        columns["comment"] = sql_text(meta.get("comment", ""))
        columns["priority"] = double(number(meta.get("priority", 0)))
    return columns
