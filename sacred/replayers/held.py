"""Where a view's position may stand while points of it are held back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sacred.journal.position import Position, WriterPosition

if TYPE_CHECKING:
    from sacred.journal.reader import Frame

__all__ = ["HeldFrames"]


class HeldFrames:
    """Frame bounds since the committed position: where the position may stand meanwhile."""

    def __init__(self, position: Position) -> None:
        self._bounds: dict[int, deque[WriterPosition]] = {}
        for writer, at in position.items():
            self._bounds[writer] = deque([at])

    def add(self, frame: Frame) -> None:
        """Note that a frame was folded."""
        bounds = self._bounds.setdefault(frame.writer, deque([WriterPosition(0, 0, 0)]))
        bounds.append(frame.after)

    def stand(self, frame: Frame) -> None:
        """Note that the view has a frame."""
        self._bounds[frame.writer] = deque([frame.after])

    def latest(self) -> Position:
        """Return where the fold stands."""
        found = {writer: bounds[-1] for writer, bounds in self._bounds.items()}
        return Position({writer: at for writer, at in found.items() if at.epoch})

    def position(self, first: dict[int, int]) -> Position:
        """Return the farthest bounds that lie before the given sequence numbers."""
        found = {}
        for writer, bounds in self._bounds.items():
            limit = first.get(writer)
            if limit is None:
                bounds = deque([bounds[-1]])  # noqa: PLW2901 - the others are behind us
            while len(bounds) > 1 and limit is not None and bounds[1].next_seq <= limit:
                bounds.popleft()
            self._bounds[writer] = bounds
            found[writer] = bounds[0]
        return Position({writer: at for writer, at in found.items() if at.epoch})
