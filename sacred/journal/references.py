"""Which blobs a journal names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO

from sacred.journal.codec import BlobReference, unpack
from sacred.journal.errors import JournalError
from sacred.journal.events import SCHEMAS, EventType
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.tables import decode_length, decode_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.events import Event

__all__ = [
    "decode_checked",
    "decode_odd",
    "digests_in",
    "files_of",
    "references",
    "references_within",
]

#: A digest as msgpack writes it: the last byte of its length, and 64 digits.
_NAMED = re.compile(rb"\x40([0-9a-f]{64})")
_NAMED_BYTES = 64
_CHUNK = 1 << 20


class _OddTable(NamedTuple):
    """A metric table of which only what stands beside its columns is looked at."""

    rows: int
    odd: list[Any]

    def from_row(self, row: int) -> _OddTable:
        return _OddTable(self.rows - row, self.odd)


def decode_odd(fields: dict[str, Any]) -> _OddTable:
    """Stand in for ``decode_table`` where only the blobs in a table count.

    Raises
    ------
    ValueError
        It tells no length.
    """
    odd = [fields.get(key) or () for key in ("ss", "vs")]
    return _OddTable(decode_length(fields).rows, odd)


def decode_checked(fields: dict[str, Any]) -> _OddTable:
    """Do so, and check that the columns are a table's.

    Raises
    ------
    ValueError
        They are none.
    """
    decode_table(fields)
    return decode_odd(fields)


def references(event: Event) -> Iterator[BlobReference]:
    """Yield every blob that an event names, wherever it stands in it.

    The events come from a reader with ``decode_odd`` or ``decode_checked``.
    """
    fields = event.fields
    if event.type == EventType.METRIC_TABLE:
        table: _OddTable = fields["table"]
        yield from _within(table.odd)
        return
    schema = SCHEMAS.get(event.type)
    for field in schema.fields if schema else ():
        value = fields.get(field.name)
        # Files are named by plain maps; values that were too large stand anywhere.
        if field.kind == "blob":
            yield from _named(value)
        elif field.name == "entries":
            yield from _entries(value)
    yield from _within(fields)


def files_of(event: Event) -> str | None:
    """Return the digest of the blob that lists a folder's files, if there are too many for it."""
    entries = event.fields.get("entries")
    if event.type == EventType.DIRECTORY_ADDED and type(entries) is BlobReference:
        return entries.digest
    return None


def references_within(content: bytes, *, files: bool) -> Iterator[BlobReference]:
    """Yield every blob that a value names which became a blob itself.

    Parameters
    ----------
    content
        Of a blob with the encoding ``msgpack``. What is none names nothing.
    files
        It lists a folder's files, as ``entries`` of an event does.
    """
    try:
        value = unpack(content)
    except (JournalError, ValueError):
        return
    if files:
        yield from _entries(value)
    yield from _within(value)


def digests_in(file: BinaryIO) -> set[str]:
    """Return what looks like a digest in a value that was too large for its event.

    Such a value may be the list of a large folder. It is not decoded: it may be of any size.
    """
    found: set[str] = set()
    before = b""
    while chunk := file.read(_CHUNK):
        text = before + chunk
        found.update(match[1].decode("ascii") for match in _NAMED.finditer(text))
        before = text[-_NAMED_BYTES:]
    return found


def _entries(value: Any) -> Iterator[BlobReference]:
    for entry in value if isinstance(value, (list, tuple)) else ():
        if isinstance(entry, (list, tuple)) and len(entry) > 1:
            yield from _named(entry[1])


def _named(wire: Any) -> Iterator[BlobReference]:
    reference = BlobReference.from_wire(wire) if isinstance(wire, dict) else None
    if reference is not None:
        yield reference


def _within(value: Any) -> Iterator[BlobReference]:
    """Yield the references in a value of any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is BlobReference:
            yield one
        elif type(one) is dict:
            waiting.extend(one.values())
        elif type(one) in {list, tuple, frozenset}:
            waiting.extend(one)
