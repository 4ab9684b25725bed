"""The tree's JSON documents, as Sacred's observer writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["json_document", "metrics_document"]

_PIECE = 16384


def json_document(value: Any) -> bytes:
    """Return a document with an indent and sorted keys."""
    return json.dumps(value, indent=2, sort_keys=True, default=_as_text).encode()


def metrics_document(
    metrics: dict[str, tuple[list[Any], list[Any], list[Any]]],
) -> Iterator[bytes]:
    """Yield ``metrics.json`` in pieces, as ``json`` with an indent writes it."""
    before = "{\n"
    for name in sorted(metrics):
        steps, values, times = metrics[name]
        yield f"{before}  {json.dumps(name)}: {{\n".encode()
        yield from _column("steps", steps)
        yield b",\n"
        yield from _column("timestamps", times, _iso_times)
        yield b",\n"
        yield from _column("values", values)
        yield b"\n  }"
        before = ",\n"
    yield b"{}" if before == "{\n" else b"\n}"


def _column(
    name: str, values: list[Any], convert: Callable[[list[Any]], list[Any]] = list
) -> Iterator[bytes]:
    if not values:
        yield f'    "{name}": []'.encode()
        return
    yield f'    "{name}": [\n      '.encode()
    for begin in range(0, len(values), _PIECE):
        rows = convert(values[begin : begin + _PIECE])
        # With a separator instead of an indent the C encoder does it, twenty times as fast.
        inside = json.dumps(rows, separators=(",\n      ", ": "), default=_as_text)
        yield ((",\n      " if begin else "") + inside[1:-1]).encode()
    yield b"\n    ]"


def _as_text(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="microseconds")
    return str(value)


def _iso_times(times: list[int]) -> list[str]:
    import datetime as dt

    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
    seconds, text = -1, ""
    found = []
    for time_us in times:
        second, micro = divmod(time_us, 1_000_000)
        if second != seconds:
            seconds, text = second, (epoch + dt.timedelta(seconds=second)).isoformat()
        found.append(f"{text}.{micro:06d}")
    return found
