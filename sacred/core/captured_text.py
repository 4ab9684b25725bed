"""What a run printed, as text, for whoever wants all of it at each heartbeat."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["CapturedText"]


class CapturedText:
    """Both streams in the order in which their bytes came. Thread-safe.

    Attributes
    ----------
    keeps
        Whether somebody wants it: nothing is kept otherwise.
    """

    def __init__(self) -> None:
        self.keeps = False
        self._parts: list[str] = []
        self._decoders: dict[int, Any] = {}
        self._lock = threading.Lock()

    def add(self, stream: int, data: bytes) -> None:
        """Append bytes of one stream; a character may come in pieces."""
        import codecs

        with self._lock:
            if stream not in self._decoders:
                self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
            self._parts.append(self._decoders[stream].decode(data))

    @property
    def text(self) -> str:
        """All of it."""
        with self._lock:
            text = "".join(self._parts)
            self._parts = [text]
            return text
