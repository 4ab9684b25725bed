"""The lines that a run printed, from the pieces in which its journal holds them."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "OutputLines", "tail_of"]

STREAMS = {1: "stdout", 2: "stderr"}
#: A line that is longer is cut (characters): a progress bar that never ends its own.
MAX_LINE = 1 << 20


class Line(NamedTuple):
    """One line.

    Attributes
    ----------
    writer, seq
        The event in which it begins; ``seq`` is None where the spool alone has it.
    time
        Of that event (ns since the epoch).
    stream
        ``stdout`` or ``stderr``.
    text
        Without its end.
    """

    writer: int
    seq: int | None
    time: int
    stream: str
    text: str


def tail_of(content: bytes, most: int) -> str:
    """Return the end of an output, from the beginning of a line if one begins soon.

    A carriage return counts as the end of one, as in a progress bar. What has no such place in the
    first half begins where it begins: else one long line would hide nearly all of the end.
    """
    tail = content[-most:].decode("utf-8", "ignore")
    half = len(tail) // 2
    for end in ("\n", "\r"):
        place = tail.find(end, 0, half + 1)
        if place >= 0:
            return tail[place + 1 :]
    return tail


class OutputLines:
    """Joins pieces of output to lines, each writer's two streams by themselves.

    Also where a character was cut in two. Bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self) -> None:
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._begun: dict[tuple[int, int], tuple[Line, list[str], int]] = {}

    def add(
        self, writer: int, seq: int | None, time: int, stream: int, data: bytes
    ) -> Iterator[Line]:
        """Take a piece and yield the lines that it ends."""
        key = (writer, stream)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        here = Line(writer, seq, time, STREAMS.get(stream, "stdout"), "")
        *ended, rest = decoder.decode(data).split("\n")
        for text in ended:
            begun = self._begun.pop(key, None)
            if begun is None:
                yield here._replace(text=text.removesuffix("\r"))
            else:
                line, parts, _ = begun
                yield line._replace(text="".join([*parts, text]).removesuffix("\r"))
        if rest:
            line, parts, size = self._begun.pop(key, (here, [], 0))
            parts.append(rest)
            size += len(rest)
            if size > MAX_LINE:
                yield line._replace(text="".join(parts))
            else:
                self._begun[key] = (line, parts, size)

    def unfinished(self, most: int) -> Iterator[Line]:
        """Yield the end of each line that nothing ended yet, of ``most`` characters about."""
        for line, parts, _ in self._begun.values():
            told, length = [], 0
            for part in reversed(parts):
                told.append(part)
                length += len(part)
                if length >= most:
                    break
            yield line._replace(text="".join(reversed(told))[-most:])

    def end(self) -> Iterator[Line]:
        """Yield the lines that nothing ended."""
        for line, parts, _ in self._begun.values():
            yield line._replace(text="".join(parts))
        self._begun.clear()
