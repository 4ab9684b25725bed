"""Runs as a notebook shows them: small pieces of HTML that load nothing."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from sacred.replayers.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from sacred.analysis.recorded_run import RecordedRun
    from sacred.analysis.run_table import RunTable

__all__ = ["entries_html", "run_html", "sparkline_svg", "table_html"]

#: Characters of a value, metrics of a run, and points of a curve that are shown.
_LONG, _METRICS, _POINTS = 200, 20, 120
_WIDTH, _HEIGHT = 120, 24
_COLOURS = {
    "COMPLETED": "#2e7d32",
    "RUNNING": "#1565c0",
    "QUEUED": "#616161",
}
_BAD = "#c62828"


def table_html(table: RunTable, count: int) -> str:
    """Return runs as a table."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = []
    for row in table.rows:
        cells = "".join(
            f"<td>{_status(value) if name == 'status' else escape(_text(value))}</td>"
            for name, value in zip(table.columns, row, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>")
    shown = f", the last {len(table.rows)}" if len(table.rows) < count else ""
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return f"<table><caption>{runs}{shown}</caption><tr>{head}</tr>{''.join(rows)}</table>"


def entries_html(entries: Mapping[str, Any]) -> str:
    """Return entries as a table of paths and values."""
    rows = "".join(
        f"<tr><td>{escape(path)}</td><td>{escape(_text(value))}</td></tr>"
        for path, value in entries.items()
    )
    return f"<table>{rows}</table>"


def run_html(run: RecordedRun) -> str:
    """Return a run: what it is, its configuration, and its metrics as curves."""
    title = f"run {run.number}: {escape(_text(run.name))}"
    parts = [f"<h4>{title} {_status(run.status)}</h4>"]
    facts = {
        "command": run.command,
        "start": run.start,
        "duration": None if run.duration is None else f"{run.duration:.1f} s",
        "result": run.result,
        "tags": ", ".join(run.tags) or None,
        "notes": run.notes,
        "problem": run.problem,
    }
    parts.append(entries_html({key: value for key, value in facts.items() if value is not None}))
    if len(run.config):
        parts.append(f"<b>config</b>{entries_html(run.config.dotted())}")
    rows = []
    shown = list(run.metrics)[:_METRICS]
    metrics = run.metrics.read(shown)
    for name in shown:
        series = metrics[name]
        last = "" if series.last is None else f"{series.last:.6g}"
        curve = sparkline_svg(series.values)
        rows.append(f"<tr><td>{escape(name)}</td><td>{curve}</td><td>{last}</td></tr>")
    more = len(run.metrics) - _METRICS
    if rows:
        rest = f"<div>and {more} more</div>" if more > 0 else ""
        parts.append(f"<b>metrics</b><table>{''.join(rows)}</table>{rest}")
    return "".join(parts)


def sparkline_svg(values: Sequence[float] | np.ndarray) -> str:
    """Return a curve of the finite values; of very many, the least and the greatest of each part."""
    points = _thinned(values)
    if len(points) < 2:
        return ""
    heights = [value for _, value in points]
    low, high = min(heights), max(heights)
    span = (high - low) or 1.0
    last = max(1, len(values) - 1)
    line = " ".join(
        f"{place * _WIDTH / last:.1f},{_HEIGHT - 2 - (value - low) / span * (_HEIGHT - 4):.1f}"
        for place, value in points
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polyline points="{line}" fill="none" stroke="currentColor"/></svg>'
    )


def _thinned(values: Sequence[float] | np.ndarray) -> list[tuple[int, float]]:
    step = max(1, math.ceil(2 * len(values) / _POINTS))
    points: list[tuple[int, float]] = []
    for begin in range(0, len(values), step):
        part = [
            (place, float(value))
            for place, value in enumerate(values[begin : begin + step], begin)
            if math.isfinite(value)
        ]
        if part:
            by_value = sorted(part, key=lambda point: point[1])
            points += sorted({by_value[0], by_value[-1]})
    return points


def _status(status: Any) -> str:
    colour = _COLOURS.get(str(status), _BAD)
    return f'<span style="color:{colour}">{escape(str(status))}</span>'


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value) if _plain(value) else to_json(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text):,} characters)"


def _plain(value: Any) -> bool:
    from datetime import datetime

    return isinstance(value, datetime)
