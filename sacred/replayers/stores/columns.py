"""The columns of a file like ``metrics.json``, read piece by piece: it may be larger than memory.

::

    {"loss": {"steps": [0, 1], "timestamps": ["2026-...", "2026-..."], "values": [0.5, 0.25]}}
"""

from __future__ import annotations

import json
import mmap
import os
import re
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import StoredRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ColumnFile"]

#: Strings, which may hold brackets, brackets, and the quote of a string that has no end.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|"', re.DOTALL)
_PIECE = 256 * 1024
#: A value that is larger is no point of a metric.
_MOST = 256 << 20

_OPENING = frozenset({b"{", b"["})
_CLOSING = {b"}": b"{", b"]": b"["}
#: Begin and end of an array's elements in the file.
_Span = tuple[int, int]


class ColumnFile:
    """A JSON file of objects of arrays.

    Parameters
    ----------
    path
        Of the file.
    within
        The key below which the objects lie; None if they are the whole.

    Raises
    ------
    StoredRunError
        It is damaged, or something else.
    OSError
        It can not be read.

    Notes
    -----
    Memory: where the arrays lie, and a piece of each that is read.
    """

    def __init__(self, path: str, within: str | None = None) -> None:
        self._file = os.fdopen(open_regular(path), "rb")
        self._name = os.path.basename(path)
        self.spans: dict[str, dict[str, _Span]] = {}
        try:
            self._find([within] if within is not None else [])
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _damaged(self, what: str) -> StoredRunError:
        return StoredRunError(f"its {self._name} is damaged: {what}")

    def _find(self, prefix: list[str]) -> None:
        """Look where each array begins and ends."""
        size = os.fstat(self._file.fileno()).st_size
        if size == 0:
            raise self._damaged("it is empty")
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            self._scan(content, prefix, size)

    def _scan(self, content: mmap.mmap, prefix: list[str], size: int) -> None:
        opened: list[tuple[bytes, str]] = []  # each with the key it stands under
        text, column, end = b'""', 0, 0
        depth = len(prefix) + 2  # of the object of a metric
        for token in _TOKEN.finditer(content):
            found = token[0]
            if found == b'"':
                raise self._damaged(f"it ends in the middle, at byte {size}")
            if not opened and (end or found != b"{" or content[: token.start()].strip()):
                raise self._damaged(f"something else stands at byte {end}")
            if found in _OPENING:
                # Inside of a column there are no keys; elsewhere what stands before is one.
                opened.append((found, "" if column else self._key(text, token.start())))
                keys = [key for _, key in opened[1:]] if len(opened) <= depth + 1 else []
                if found == b"[" and len(opened) == depth + 1 and keys[:-2] == prefix:
                    column = token.start() + 1
                elif found == b"{" and len(opened) == depth and keys[:-1] == prefix:
                    self.spans[keys[-1]] = {}
            elif found in _CLOSING:
                if opened[-1][0] != _CLOSING[found]:
                    raise self._damaged(f"a bracket does not fit at byte {token.start()}")
                _, key = opened.pop()
                end = token.end()
                if column and len(opened) == depth:
                    self.spans[opened[-1][1]][key] = (column, token.start())
                    column = 0
            elif not column:
                text = found
        if opened or not end:
            raise self._damaged(f"it ends in the middle, at byte {size}")
        if content[end:].strip():
            raise self._damaged(f"something else stands at byte {end}")

    def _key(self, text: bytes, at: int) -> str:
        try:
            return str(json.loads(text))
        except ValueError:
            raise self._damaged(f"before byte {at} stands no key") from None

    def column(self, span: _Span) -> Iterator[Any]:
        """Yield the elements of an array.

        Raises
        ------
        StoredRunError
            They are no JSON.
        """
        at, end = span
        rest, size = b"", _PIECE
        while at < end or rest:
            piece = os.pread(self._file.fileno(), min(size, end - at), at)
            at += len(piece)
            rest += piece
            if at < end and not piece:
                raise self._damaged("it was cut while it was read")
            found, rest = self._elements(rest, last=at >= end)
            if found is None:  # a value that is larger than a piece
                size *= 2
                if size > _MOST:
                    raise self._damaged(f"a value at byte {at - len(rest)} is too large")
                continue
            size = _PIECE
            yield from found

    def _elements(self, text: bytes, *, last: bool) -> tuple[list[Any] | None, bytes]:
        """Decode as many whole elements as there are; return what is left of the text."""
        if last:
            try:
                return json.loads(b"[" + text + b"]"), b""
            except (ValueError, RecursionError) as error:
                raise self._damaged(f"{error}") from None
        cut = len(text)
        for _ in range(32):
            cut = text.rfind(b",", 0, cut)
            if cut < 0:
                return None, text
            try:
                # What is balanced so far was cut between two elements.
                return json.loads(b"[" + text[:cut] + b"]"), text[cut + 1 :]
            except (ValueError, RecursionError):
                continue
        return None, text
