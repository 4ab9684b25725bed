"""Replayers: journals written into the views that people use.

``Follower`` = ``JournalReader`` -> ``RunProjection`` (events -> changes and Sacred's run document)
-> ``Sink`` (one for each kind of view). Nothing here imports the experiment framework, and no
driver is imported before a sink is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sacred.replayers.errors import SinkError, TerminalSinkError, TransientSinkError
    from sacred.replayers.follower import Follower
    from sacred.replayers.projection import RunProjection
    from sacred.replayers.replay import ReplaySummary
    from sacred.replayers.sink import Batch, Sink, SinkSpec

__all__ = [
    "Batch",
    "Follower",
    "ReplaySummary",
    "RunProjection",
    "Sink",
    "SinkError",
    "SinkSpec",
    "TerminalSinkError",
    "TransientSinkError",
]

_HOMES = {
    "Batch": "sink",
    "Follower": "follower",
    "ReplaySummary": "replay",
    "RunProjection": "projection",
    "Sink": "sink",
    "SinkError": "errors",
    "SinkSpec": "sink",
    "TerminalSinkError": "errors",
    "TransientSinkError": "errors",
}


def __getattr__(name: str) -> Any:
    # Lazily: the file view is claimed inside the user's process, which pays for every import.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
