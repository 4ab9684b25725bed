"""The footer of a Parquet file: read, moved and written without a driver.

A footer is one structure of Thrift's compact protocol. It is kept as it was read, field by field, so
that what this module knows nothing of comes through: only places of bytes are changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["MAGIC", "Footer", "FooterError", "RowGroup", "read_footer"]

MAGIC = b"PAR1"
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEEPEST = 32
#: A longer one is none of ours: 24 row groups have one of 20 KB.
_LONGEST = 16 << 20

# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_ROWS, _GROUPS, _PAIRS = 3, 4, 5
_CHUNKS, _GROUP_ROWS, _GROUP_BEGIN, _ORDINAL = 1, 3, 5, 7
_CHUNK_BEGIN, _CHUNK, _INDEXES = 2, 3, (4, 5, 6, 7)
_CHUNK_SIZE, _PAGES, _BLOOM = 7, (9, 10, 11), (14, 15)

_Struct = dict[int, tuple[int, Any]]


class FooterError(ValueError):
    """These bytes are no Parquet file, or one that is damaged."""


class RowGroup(NamedTuple):
    """Where a row group lies: its bytes, the number of its rows, and its entry in the footer."""

    begin: int
    end: int
    rows: int
    entry: _Struct

    def at(self, begin: int) -> RowGroup:
        """Return the same row group elsewhere in a file.

        What a reader can do without, and lies outside of the row group, is not named any more.
        """
        moved = begin - self.begin
        chunks = [_moved_chunk(chunk, moved) for chunk in self.entry[_CHUNKS][1][1]]
        entry = {name: field for name, field in self.entry.items() if name != _ORDINAL}
        entry[_CHUNKS] = (_LIST, (_STRUCT, chunks))
        if _GROUP_BEGIN in entry:
            entry[_GROUP_BEGIN] = (_I64, entry[_GROUP_BEGIN][1] + moved)
        return RowGroup(begin, self.end + moved, self.rows, entry)


class Footer(NamedTuple):
    """What the footer of a file says.

    Attributes
    ----------
    begin, size
        Where the footer begins, and where the file ends.
    groups
        The row groups, in the order of their rows.
    notes
        Text by name, as the file carries it for its writer.
    entry
        All of it, as it was read.
    """

    begin: int
    size: int
    groups: tuple[RowGroup, ...]
    notes: dict[str, str]
    entry: _Struct

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return sum(group.rows for group in self.groups)

    def of(self, groups: tuple[RowGroup, ...], notes: dict[str, str]) -> bytes:
        """Return the end of a file that has these row groups, with the columns of this one."""
        entry = dict(self.entry)
        entry[_ROWS] = (_I64, sum(group.rows for group in groups))
        entry[_GROUPS] = (_LIST, (_STRUCT, [group.entry for group in groups]))
        pairs: list[_Struct] = [
            {1: (_BINARY, name.encode()), 2: (_BINARY, text.encode())}
            for name, text in notes.items()
        ]
        if pairs:
            entry[_PAIRS] = (_LIST, (_STRUCT, pairs))
        else:
            entry.pop(_PAIRS, None)
        out = bytearray()
        _put_struct(out, entry)
        return bytes(out) + len(out).to_bytes(4, "little") + MAGIC


def read_footer(file: BinaryIO) -> Footer:
    """Read the footer of an open file.

    Raises
    ------
    FooterError
        It is no Parquet file, or damaged.
    """
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        raise FooterError("too short for a Parquet file")
    file.seek(size - 8)
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    begin = size - 8 - length
    if end[4:] != MAGIC or begin < len(MAGIC) or length > _LONGEST:
        raise FooterError("no Parquet file, or one that was cut")
    file.seek(begin)
    try:
        entry = _Reader(file.read(length)).struct(0)
        listed = entry.get(_GROUPS, (_LIST, (_STRUCT, [])))[1][1]
        groups = tuple(_row_group(group, begin) for group in listed)
        pairs = entry.get(_PAIRS, (_LIST, (_STRUCT, [])))[1][1]
        notes = {
            pair[1][1].decode(): pair[2][1].decode() for pair in pairs if 1 in pair and 2 in pair
        }
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, FooterError):
            raise
        raise FooterError("its footer is damaged") from None
    return Footer(begin, size, groups, notes, entry)


def _row_group(entry: _Struct, limit: int) -> RowGroup:
    begin, end = limit, 0
    for chunk in entry[_CHUNKS][1][1]:
        about = chunk[_CHUNK][1]
        first = min(about[field][1] for field in _PAGES if field in about and about[field][1] > 0)
        begin, end = min(begin, first), max(end, first + about[_CHUNK_SIZE][1])
    if not len(MAGIC) <= begin <= end <= limit:
        raise FooterError("its footer names bytes that are not there")
    return RowGroup(begin, end, int(entry[_GROUP_ROWS][1]), entry)


def _moved_chunk(chunk: _Struct, moved: int) -> _Struct:
    about = {name: field for name, field in chunk[_CHUNK][1].items() if name not in _BLOOM}
    for name in _PAGES:
        if name in about and about[name][1] > 0:
            about[name] = (_I64, about[name][1] + moved)
    entry = {name: field for name, field in chunk.items() if name not in _INDEXES}
    entry[_CHUNK] = (_STRUCT, about)
    if entry.get(_CHUNK_BEGIN, (_I64, 0))[1] > 0:
        entry[_CHUNK_BEGIN] = (_I64, entry[_CHUNK_BEGIN][1] + moved)
    return entry


# -- Thrift's compact protocol ---------------------------------------------------------------------


class _Reader:
    """Reads structures, each as a map of field numbers to type and value."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self, depth: int) -> _Struct:
        if depth > _DEEPEST:
            raise FooterError("its footer is damaged")
        fields: _Struct = {}
        name = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            name = name + step if step else self._signed()
            fields[name] = (kind, kind == _TRUE if kind <= _FALSE else self._value(kind, depth))
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _BINARY:
            return self._taken(self._unsigned())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            items, count = head & 15, head >> 4
            count = self._unsigned() if count == 15 else count
            if count > len(self._content):
                raise FooterError("its footer is damaged")
            if items in (_TRUE, _FALSE):
                return items, [self._byte() for _ in range(count)]
            return items, [self._value(items, depth + 1) for _ in range(count)]
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._taken(8)
        raise FooterError("its footer has a field of no known type")

    def _byte(self) -> int:
        return self._taken(1)[0]

    def _taken(self, length: int) -> bytes:
        found = self._content[self._at : self._at + length]
        if len(found) < length:
            raise FooterError("its footer is cut")
        self._at += length
        return found

    def _unsigned(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise FooterError("its footer is damaged")

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)


def _put_struct(out: bytearray, fields: _Struct) -> None:
    last = 0
    for name in sorted(fields):
        kind, value = fields[name]
        if 0 < name - last <= 15:
            out.append((name - last) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, name)
        last = name
        if kind > _FALSE:
            _put_value(out, kind, value)
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, _I32, _I64):
        _put_signed(out, value)
    elif kind == _BINARY:
        _put_unsigned(out, len(value))
        out += value
    elif kind == _STRUCT:
        _put_struct(out, value)
    elif kind in (_LIST, _SET):
        items, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | items)
        else:
            out.append(15 << 4 | items)
            _put_unsigned(out, len(values))
        for item in values:
            _put_value(out, _BYTE if items in (_TRUE, _FALSE) else items, item)
    elif kind == _BYTE:
        out.append(value)
    else:  # of a double, the eight bytes
        out += value


def _put_unsigned(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _put_signed(out: bytearray, value: int) -> None:
    _put_unsigned(out, value << 1 if value >= 0 else (-value << 1) - 1)
