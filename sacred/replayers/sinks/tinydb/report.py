"""A run's document as a report for people, in Sacred's words."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["INDENT", "indented", "indented_list", "report"]

INDENT = "    "
_RULE = "-" * 49


def report(document: Mapping[str, Any]) -> str:
    """Return the report of one run.

    A run that has not ended has the time of its last heartbeat for its duration, and no result.
    """
    experiment = document.get("experiment") or {}
    began = document.get("start_time")
    date = began.strftime("%a %d %b %Y") if isinstance(began, dt.datetime) else str(began)
    parts = {
        "Parameters": indented_list(document.get("config") or {}),
        "Result": INDENT + repr(document.get("result")),
        "Dependencies": _names(experiment.get("dependencies") or ()),
        "Resources": _names(entry[0] for entry in document.get("resources") or ()),
        "Source Files": _names(entry[0] for entry in experiment.get("sources") or ()),
        "Outputs": _names(entry[0] for entry in document.get("artifacts") or ()),
    }
    head = (
        f"\n{_RULE}\nExperiment: {experiment.get('name')}\n{_RULE}\nID: {document.get('_id')}\n"
        f"Date: {date}    Duration: {_duration(document)}\n"
    )
    return head + "".join(f"\n{title}:\n{text}\n" for title, text in parts.items())


def _duration(document: Mapping[str, Any]) -> str:
    began = document.get("start_time")
    ended = document.get("stop_time") or document.get("heartbeat")
    if not isinstance(began, dt.datetime) or not isinstance(ended, dt.datetime):
        return "unknown"
    hours, rest = divmod((ended - began).total_seconds(), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{int(hours):02d}:{int(minutes):02d}:{seconds:04.1f}"


def _names(names: Iterable[Any]) -> str:
    found = [str(name) for name in names]
    return "\n".join(INDENT + name for name in found) if found else f"{INDENT}None"


def indented_list(entries: Mapping[str, Any]) -> str:
    """Return ``name: value`` lines, sorted and indented; ``None`` if there is none."""
    if not entries:
        return f"{INDENT}None"
    return "\n".join(indented(f"{name}: {entries[name]}", INDENT) for name in sorted(entries))


def indented(message: str, prefix: str) -> str:
    """Return a text with something in front of each of its lines."""
    return "\n".join(prefix + line for line in message.splitlines())
