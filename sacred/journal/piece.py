"""A piece of output: what one stream was given in one go, or nearly so."""

from __future__ import annotations

from sacred.journal.codec import pack
from sacred.journal.events import KEYS, EventType


class Piece:
    """Output of one stream that becomes one event."""

    __slots__ = ("data", "size", "stream", "time")

    def __init__(self, stream: int, when: int, data: list[bytes]) -> None:
        self.stream = stream
        self.time = when
        self.data = data
        self.size = sum(map(len, data))

    def add(self, other: Piece) -> None:
        """Put a later piece of the same stream behind it."""
        size = self.size + other.size
        self.data += other.data
        self.size = size

    def packed(self) -> bytes:
        """Return it as an event."""
        keys = KEYS[EventType.OUTPUT]
        return pack(
            {
                "t": self.time,
                "e": int(EventType.OUTPUT),
                keys["stream"]: self.stream,
                keys["data"]: b"".join(self.data),
            }
        )
