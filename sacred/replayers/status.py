"""How a view stands to a run."""

from __future__ import annotations

from typing import Any, NamedTuple

from sacred.journal.position import Position

__all__ = ["ViewStatus"]


class ViewStatus(NamedTuple):
    """How a view stands to a run.

    Attributes
    ----------
    state
        ``current``: it has all that the journal had at the last look. ``behind``: it has not.
        ``failed``: it has not, and nobody tries any more.
    view_id
        The run's id in the view; None if it has none yet.
    error
        Why it is not current, in one sentence without secrets.
    position
        Where it stands.
    """

    state: str
    view_id: Any
    error: str | None
    position: Position

    @classmethod
    def failed(cls, error: str) -> ViewStatus:
        """Return the status of a view that could not even be tried."""
        return cls("failed", None, error, Position())
