"""A run's ``position.json``: how far the tree has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.sink import ViewPosition

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["view_position"]


def view_position(kept: Mapping[str, Any]) -> ViewPosition:
    """Return what a ``position.json`` says of a run."""
    return ViewPosition(
        kept["view_id"],
        Position.from_wire(kept.get("position")),
        -1 if kept.get("flaw") else int(kept.get("projector", 0)),
        str(kept.get("order", "arrival")),
        points=dict(kept.get("counts", {})),
        claimed=bool(kept.get("claimed")),
        spool=int(kept.get("spool", 0)),
        flaw=kept.get("flaw"),
    )
