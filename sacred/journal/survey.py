"""What a journal holds: which events, proved by which chain, and which blobs they name.

Two copies of one journal are compared by it: one *contains* the other if it holds every event of it
and shows the same chain where the other ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.journal.blobs import BlobStore
from sacred.journal.errors import BlobError, PositionContradictedError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.position import Position
from sacred.journal.reader import JournalReader
from sacred.journal.references import decode_odd, digests_in, references
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.codec import BlobReference

__all__ = ["Survey", "contains", "survey"]

_Rows = list[tuple[int, int]]


class Survey(NamedTuple):
    """What one journal holds.

    Attributes
    ----------
    journal_id
        Its id; 0 if no frame of it is whole.
    position
        Where it ends: per writer the next sequence number, and the chain that proves it.
    held
        Per writer the rows of sequence numbers that can be read: (first, next), in order.
    blobs
        The blobs that its events name, by digest, and those that large values name.
    damage
        A sentence for each thing that is wrong with it.
    events
        How many sequence numbers it holds.
    """

    journal_id: int
    position: Position
    held: dict[int, _Rows]
    blobs: dict[str, BlobReference | None]
    damage: list[str]
    events: int


def survey(journal: Path, blobs: BlobStore | None = None) -> Survey:
    """Read a journal through.

    Memory: one frame, a row for each run of events without a hole, and the digests.

    Parameters
    ----------
    journal
        A ``journal`` folder.
    blobs
        Where its blobs are: large values are looked through for the blobs that they name. None
        leaves all blobs out.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
    """
    reader = JournalReader(journal, table_decoder=decode_length if blobs is None else decode_odd)
    held: dict[int, _Rows] = {}
    named: dict[str, BlobReference | None] = {}
    events = 0
    try:
        for frame in reader.poll():
            events += frame.count
            if frame.count:
                _add(held.setdefault(frame.writer, []), frame.first_seq, frame.after.next_seq)
            if blobs is not None:
                for event in frame.events:
                    named.update((one.digest, one) for one in references(event))
        damage = [str(v) for v in [*reader.verdicts, *reader.tails()] if is_damage(v)]
    finally:
        reader.close()
    if blobs is not None:
        _add_inner(named, blobs)
    return Survey(reader.journal_id, reader.position, held, named, damage, events)


def _add(rows: _Rows, first: int, end: int) -> None:
    if rows and rows[-1][1] >= first:
        rows[-1] = (rows[-1][0], max(rows[-1][1], end))
    else:
        rows.append((first, end))


def _add_inner(named: dict[str, BlobReference | None], store: BlobStore) -> None:
    """Add the blobs that are named by values which became blobs themselves."""
    for reference in [*named.values()]:
        if reference is None or reference.encoding != "msgpack":
            continue
        try:
            with store.open(reference.digest) as file:
                inside = digests_in(file)
        except (BlobError, OSError):
            continue  # said where it is copied
        for digest in inside - named.keys():
            if store.exists(digest):  # else it only looked like one
                named[digest] = None


def contains(journal: Path, larger: Survey, smaller: Survey) -> bool:
    """Tell whether a journal holds all that another one holds, proved by the chain.

    Parameters
    ----------
    journal
        The ``journal`` folder of the larger one.
    larger, smaller
        What the two hold.
    """
    if larger.journal_id != smaller.journal_id:
        return False
    for writer, rows in smaller.held.items():
        if not _covers(larger.held.get(writer, []), rows):
            return False
    if larger.position == smaller.position:
        return True
    return shows(journal, smaller.position)


def _covers(rows: _Rows, wanted: _Rows) -> bool:
    return all(any(row[0] <= first and end <= row[1] for row in rows) for first, end in wanted)


def shows(journal: Path, position: Position) -> bool:
    """Tell whether a journal shows the chain of a position, which was taken on another copy."""
    reader = JournalReader(journal, position, table_decoder=decode_length)
    try:
        for _ in reader.poll():
            pass
        return not reader.unproven()
    except PositionContradictedError:
        return False
    finally:
        reader.close()
