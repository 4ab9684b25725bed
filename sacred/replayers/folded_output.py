"""What a run printed, folded from its events: text, and what of it was not taken yet."""

from __future__ import annotations

import codecs
from typing import Any

from sacred.replayers.sink import OutputChanged

__all__ = ["FoldedOutput"]


class FoldedOutput:
    """The output of one run.

    Parameters
    ----------
    keep
        Whether to keep all of it, for ``text``.

    Attributes
    ----------
    spool_end
        Offset in the spool behind what was folded.
    length
        Characters of output.
    pending
        How many characters wait for ``take``.
    """

    def __init__(self, *, keep: bool) -> None:
        self.spool_end = 0
        self.length = 0
        self.pending = 0
        self._keeps = keep
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._filtered = False
        self._text: list[str] = []
        self._keep: int | None = None
        self._added: list[str] = []

    # -- folding -------------------------------------------------------------------------------

    def add(self, writer: int, stream: int, data: bytes, end: int | None) -> None:
        """Fold bytes that a process printed; ``end``: up to where in the spool they lay."""
        if end is not None:
            if end <= self.spool_end:
                return  # it came from the spool before
            self.spool_end = end
        decoder = self._decoders.get((writer, stream))
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self._decoders[writer, stream] = decoder
        text = decoder.decode(data)
        if text and not self._filtered:
            self.change(self.length, text)

    def filter(self, keep: int, text: str) -> None:
        """Take what a filter of the program made of the output in the place of all that it printed."""
        keep = min(keep, self.length) if self._filtered else 0
        self._filtered = True
        self.change(keep, text)

    def end(self) -> None:
        """Fold the halves of characters that nothing came behind."""
        for stream in list(self._decoders):
            rest = self._decoders.pop(stream).decode(b"", True)
            if rest and not self._filtered:
                self.change(self.length, rest)

    def change(self, keep: int, text: str) -> None:
        """Note that the first ``keep`` characters stay and ``text`` follows."""
        begun = self._keep
        if begun is None or keep < begun:
            self._keep, self._added, self.pending = keep, [text], len(text)
        else:
            wanted = keep - begun
            if wanted < self.pending:
                self._added = [_first(self._added, wanted)]
                self.pending = wanted
            self._added.append(text)
            self.pending += len(text)
        if self._keeps:
            if keep < self.length:
                self._text = [_first(self._text, keep)]
            self._text.append(text)
        self.length = keep + len(text)

    # -- what came of it -----------------------------------------------------------------------

    def text(self) -> str:
        """Return all of it; with ``keep`` only."""
        whole = "".join(self._text)
        self._text = [whole]
        return whole

    def take(self) -> OutputChanged | None:
        """Return what changed since it was last taken."""
        keep = self._keep
        if keep is None:
            return None
        text = "".join(self._added)
        self._keep, self._added, self.pending = None, [], 0
        return OutputChanged(keep, text)

    def state(self) -> dict[str, Any]:
        """Return what was folded, without what waits to be taken; data for ``restore``."""
        return {
            "decoders": [[*key, *found.getstate()] for key, found in self._decoders.items()],
            "spool_end": self.spool_end,
            "filtered": self._filtered,
            "text": self.text() if self._keeps else "",
            "length": self.length,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take what ``state`` gave.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is something else.
        """
        self._decoders = {}
        for writer, stream, rest, flag in state["decoders"]:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            decoder.setstate((rest, flag))
            self._decoders[writer, stream] = decoder
        self.spool_end, self._filtered = state["spool_end"], state["filtered"]
        self._text, self.length = [state["text"]], state["length"]


def _first(parts: list[str], length: int) -> str:
    """Return the first characters of a text in parts."""
    return "".join(parts)[:length]
