"""What a run printed, as text, for whoever wants all of it at each heartbeat."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CapturedText", "FilteredText"]

#: Up to so many characters a filter is given all of the text whenever there is more of it; beyond,
#: when it grew by a twentieth. So it works through twenty-one times the output at most, however
#: long a run prints; through half of the square of it otherwise.
_SMALL = 256 * 1024
_SHARE = 20
#: Writes that wait to be decoded, at most: they take ten times the memory of their text.
_MOST_RAW = 1000


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
        self._length = 0
        #: What nobody has asked for yet. Both ends of a deque can be used without a lock.
        self._raw: deque[tuple[int, bytes]] = deque()

    def add(self, stream: int, data: bytes) -> None:
        """Append bytes of one stream; a character may come in pieces."""
        # ``print`` writes every argument by itself: what is decoded together costs a third.
        raw = self._raw
        raw.append((stream, data))
        if len(raw) >= _MOST_RAW:
            with self._lock:
                self._decode()

    @property
    def length(self) -> int:
        """How many characters it has."""
        with self._lock:
            self._decode()
            return self._length

    @property
    def text(self) -> str:
        """All of it."""
        with self._lock:
            self._decode()
            text = "".join(self._parts)
            self._parts = [text]
            return text

    def _decode(self) -> None:
        """Take in what came since. Holds the lock."""
        import codecs

        raw = self._raw
        while raw:
            stream, data = raw.popleft()
            together = [data]
            while raw and raw[0][0] == stream:
                together.append(raw.popleft()[1])
            if stream not in self._decoders:
                self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
            part = self._decoders[stream].decode(b"".join(together))
            self._parts.append(part)
            self._length += len(part)


class FilteredText:
    """What a user's filter makes of a text that grows. Thread-safe.

    Parameters
    ----------
    source
        The text.
    complain
        Told once what was wrong with the filter: the text is taken as it is from then on.
    """

    def __init__(self, source: CapturedText, complain: Callable[[str], object]) -> None:
        self._source = source
        self._complain = complain
        self._filter: Callable[[str], str] | None = None
        self._text = ""
        self._length = 0
        self._failed = False
        self._lock = threading.RLock()

    def text(self, function: Callable[[str], str], *, exact: bool = True) -> str:
        """Return the filtered text.

        Parameters
        ----------
        function
            The filter.
        exact
            False: what it was some time ago will do, if the text is long and has grown by little.
        """
        with self._lock:
            if function is not self._filter:
                self._filter, self._text, self._length = function, "", 0
            length = self._source.length
            known = self._length
            grown = length - known
            if not grown or (not exact and length > _SMALL and grown * _SHARE < known):
                return self._text
            raw = self._source.text
            self._text, self._length = self._filtered(function, raw), len(raw)
            return self._text

    def _filtered(self, function: Callable[[str], str], raw: str) -> str:
        if self._failed:
            return raw
        try:
            text = function(raw)
            if isinstance(text, str):
                return str.__str__(text)
            problem = f"returned {type(text).__name__}, not a text"
        except Exception as error:  # a user's function
            problem = f"raised {type(error).__name__}: {error}"
        self._failed = True
        self._complain(
            f"captured_out_filter {problem}. What the run prints is shown as it is from now on."
        )
        return raw
