"""A report of one run, to be read in a browser: one page that names nothing outside of it."""

from __future__ import annotations

import datetime as dt
import html
import json
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["REPORT", "report_page"]

#: The name of its file in the folder of the run.
REPORT = "report.html"
#: Characters of the output that are shown, of its end; and of a value.
_OUTPUT, _VALUE = 20_000, 2_000
#: Rows of a table, curves, and points of a curve.
_ROWS, _CURVES, _POINTS = 500, 100, 300

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
h1 small { font-weight: normal; color: #666 }
table { border-collapse: collapse } td, th { padding: .15em 1em .15em 0; text-align: left; vertical-align: top }
th { font-weight: normal; color: #666 } pre { background: #f5f5f5; padding: .7em; overflow: auto }
svg { background: #f5f5f5; vertical-align: middle } polyline { fill: none; stroke: #1565c0; stroke-width: 1.5 }
.COMPLETED { color: #2e7d32 } .FAILED { color: #c62828 } .INTERRUPTED, .DIED { color: #ef6c00 }
"""


def report_page(
    run: Mapping[str, Any],
    config: Any,
    info: Any,
    output: str,
    metrics: Mapping[str, Any],
) -> Iterator[bytes]:
    """Yield the page in pieces.

    Parameters
    ----------
    run
        The content of ``run.json``, times as they stand there or as times.
    config, info
        Of the run.
    output
        What it printed, or the end of that.
    metrics
        By name, ``{"steps": [...], "values": [...]}``.
    """
    name = str((run.get("experiment") or {}).get("name") or run.get("command") or "run")
    status = str(run.get("status") or "unknown")
    style = status if status.isalnum() else ""
    yield (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(name)}: '
        f"{_text(status)}</title><style>{_STYLE}</style></head><body>\n"
        f'<h1>{_text(name)} <small class="{style}">{_text(status)}</small></h1>\n'
    ).encode("utf-8", "replace")
    host = run.get("host") or {}
    facts = {
        "command": run.get("command"),
        "result": run.get("result"),
        "started": run.get("start_time"),
        "ended": run.get("stop_time"),
        "took": _took(run.get("start_time"), run.get("stop_time")),
        "host": host.get("hostname") if isinstance(host, dict) else None,
        "comment": (run.get("meta") or {}).get("comment"),
    }
    shown = [(key, value) for key, value in facts.items() if value not in (None, "")]
    yield from _section("", _table(shown))
    trace = run.get("fail_trace")
    if trace:
        yield from _section("What went wrong", [_pre("".join(map(str, trace)))])
    yield from _section("Configuration", _table(_flat(config)))
    yield from _section("Metrics", _curves(metrics))
    yield from _section("Info", _table(_flat(info)))
    yield from _section("Artifacts", _links(run.get("artifacts") or ()))
    if output:
        cut = "[...]\n" if len(output) > _OUTPUT else ""
        yield from _section("Output", [_pre(cut + output[-_OUTPUT:])])
    yield b"</body></html>\n"


def _section(title: str, content: Iterable[str]) -> Iterator[bytes]:
    head = f"<h2>{title}</h2>\n" if title else ""
    for piece in content:
        yield (head + piece).encode("utf-8", "replace")
        head = ""


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _plain(value)
    return html.escape(text if len(text) <= _VALUE else f"{text[:_VALUE]} [...]")


def _plain(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return str(value)


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>\n"


def _table(rows: list[tuple[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in rows[:_ROWS]
    ]
    if len(rows) > _ROWS:
        lines.append(f"<tr><th>{len(rows) - _ROWS} more</th><td></td></tr>")
    return ["<table>\n" + "\n".join(lines) + "\n</table>\n"]


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return the entries of nested dictionaries, by paths with dots."""
    if not isinstance(value, dict) or not value:
        return [(path, value)] if path else []
    found: list[tuple[str, Any]] = []
    for key, item in value.items():
        found += _flat(item, f"{path}.{key}" if path else str(key))
        if len(found) > 2 * _ROWS:
            break
    return found


def _took(began: Any, ended: Any) -> str | None:
    try:
        first, last = (
            one if isinstance(one, dt.datetime) else dt.datetime.fromisoformat(str(one))
            for one in (began, ended)
        )
        return str(last - first)
    except (ValueError, TypeError):
        return None


def _links(names: Iterable[Any]) -> list[str]:
    items = [f'<li><a href="{html.escape(quote(str(n)))}">{_text(str(n))}</a></li>' for n in names]
    return ["<ul>\n" + "\n".join(items) + "\n</ul>\n"] if items else []


def _curves(metrics: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(metrics)[:_CURVES]:
        steps, values = metrics[name].get("steps") or [], metrics[name].get("values") or []
        last = _text(values[-1]) if values else ""
        yield (
            f"<p>{_curve(steps, values)} <b>{_text(name)}</b> {len(values)} points, the last "
            f"{last}</p>\n"
        )
    if len(metrics) > _CURVES:
        yield f"<p>{len(metrics) - _CURVES} more metrics</p>\n"


def _curve(steps: list[Any], values: list[Any]) -> str:
    """Return a drawing of the points that are numbers, as many as can be seen."""
    apart = max(1, len(values) // _POINTS)
    drawn = [
        (float(x), float(y))
        for x, y in zip(steps[::apart], values[::apart], strict=False)
        if _is_finite(x) and _is_finite(y)
    ]
    if len(drawn) < 2:
        return ""
    xs, ys = zip(*drawn, strict=True)
    points = " ".join(
        f"{_scaled(x, min(xs), max(xs)) * 236 + 2:.1f},{38 - _scaled(y, min(ys), max(ys)) * 36:.1f}"
        for x, y in drawn
    )
    return f'<svg width="240" height="40"><polyline points="{points}"/></svg>'


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _scaled(value: float, least: float, most: float) -> float:
    span = most - least
    if not span or math.isinf(span):
        return 0.5
    return (value - least) / span
