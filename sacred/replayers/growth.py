"""When a document that has to be written whole in order to grow is written (the cost stays linear).

A document under 256 KiB goes with every batch. A larger one waits until what is new is a twentieth
of it: all its versions together then cost at most about twenty times the last one.

A view that is one document in all, of all its runs (``"whole"``), is also written because of the time
that went by, a minute for each 256 KiB: a heartbeat never is a twentieth of anything.
"""

from __future__ import annotations

__all__ = ["POINT_BYTES", "Growth", "is_due_in_whole"]

SMALL = 256 * 1024
SHARE = 20
#: About what a point takes in a document: step, value and time, each with its index.
POINT_BYTES = 48
#: For each ``SMALL`` of its weight, so many seconds lie between two writes that only time asks for.
_PERIOD = 60.0


class Growth:
    """How large the documents of one view are, and which may be written now."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def due(self, document: str, waiting: int) -> bool:
        """Tell whether a document for which ``waiting`` bytes are there is worth writing."""
        size = self._sizes.get(document, 0)
        return waiting > 0 and (size < SMALL or waiting * SHARE >= size)

    def written(self, document: str, size: int) -> None:
        """Remember the size of a document (bytes)."""
        self._sizes[document] = size


def is_due_in_whole(weight: int, waiting: int, seconds: float) -> bool:
    """Tell whether a view that is written whole is worth writing.

    Parameters
    ----------
    weight
        Bytes that the write takes, whatever is new.
    waiting
        Bytes that are new, about.
    seconds
        Since the last write.
    """
    return weight < SMALL or waiting * SHARE >= weight or seconds * SMALL >= weight * _PERIOD
