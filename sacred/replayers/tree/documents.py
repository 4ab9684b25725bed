"""The tree's JSON documents, as Sacred's observer writes them."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from sacred.replayers.sink import OWNED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sacred.replayers.sink import FileEntry

__all__ = ["began_at_once", "changed_run", "json_document", "metrics_document", "run_fields"]

_RUN_FIELDS = tuple(name for name in OWNED_FIELDS if name not in {"config", "info"})
_PIECE = 16384
_BETWEEN = ",\n      "


def json_document(value: Any) -> bytes:
    """Return a document with an indent and sorted keys."""
    return json.dumps(value, indent=2, sort_keys=True, default=_as_text).encode()


def run_fields(
    fields: Mapping[str, Any],
    references: Mapping[tuple[str, str, str | None, int], Any],
    relative: Callable[[str], str],
    store: Callable[[list[FileEntry]], list[str]],
) -> dict[str, Any]:
    """Return what of some fields stands in ``run.json``, files named as they stand there.

    Parameters
    ----------
    fields
        As a batch has them; ``config`` and ``info`` have documents of their own.
    references
        Where the files are, by ``FileEntry.key``.
    relative
        Makes a stored source's place relative to the folder of the runs.
    store
        Stores artifacts and returns the names of their files.
    """
    mine = {name: fields[name] for name in _RUN_FIELDS if name in fields}
    if "experiment" in mine:
        entries = mine["experiment"]["sources"]
        sources = [[e.name, relative(references.get(e.key) or e.path)] for e in entries]
        mine["experiment"] = {**mine["experiment"], "sources": sources}
    if "resources" in mine:
        entries = mine["resources"]
        mine["resources"] = [[e.name, references.get(e.key) or e.path] for e in entries]
    if "artifacts" in mine:
        mine["artifacts"] = store(mine["artifacts"])
    return mine


def changed_run(
    run: Mapping[str, Any], fields: Mapping[str, Any], removed: tuple[str, ...], *, anew: bool
) -> dict[str, Any]:
    """Return the content of ``run.json`` with some fields changed, those of others as they were.

    ``anew``: of what the journal owns, nothing that was there stays.
    """
    kept = {name: value for name, value in run.items() if not anew or name not in OWNED_FIELDS}
    kept.update(fields)
    return {name: value for name, value in kept.items() if name not in removed}


def began_at_once(document: Any, fields: Mapping[str, Any]) -> bool:
    """Tell whether a ``run.json`` is of a run that began when the one of some fields did."""
    began = fields.get("start_time")
    told = document.get("start_time") if isinstance(document, dict) else None
    return began is not None and told is not None and told == _as_text(began)


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
    name: str, values: list[Any], convert: Callable[[list[Any]], str] | None = None
) -> Iterator[bytes]:
    if not values:
        yield f'    "{name}": []'.encode()
        return
    yield f'    "{name}": [\n      '.encode()
    convert = convert or _rows
    for begin in range(0, len(values), _PIECE):
        yield ((_BETWEEN if begin else "") + convert(values[begin : begin + _PIECE])).encode()
    yield b"\n    ]"


def _rows(values: list[Any]) -> str:
    # With a separator instead of an indent the C encoder does it, twenty times as fast.
    return json.dumps(values, separators=(_BETWEEN, ": "), default=_as_text)[1:-1]


def _as_text(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="microseconds")
    return str(value)


def _iso_times(times: list[int]) -> str:
    """Return times as they stand in a list of JSON; those of one second share their beginning."""
    import datetime as dt

    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
    found = []
    for second, group in itertools.groupby(times, (1_000_000).__rfloordiv__):
        text = (epoch + dt.timedelta(seconds=second)).isoformat()
        begin = 1_000_000 * (1 - second)  # makes of each seven digits, of which the first goes
        micros = [str(begin + time_us)[1:] for time_us in group]
        found.append(f'"{text}.' + f'"{_BETWEEN}"{text}.'.join(micros) + '"')
    return _BETWEEN.join(found)
