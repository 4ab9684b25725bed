"""What a journal may name: every digest in its bytes, for the collection of blobs that none names."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import BlobError
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, state_after
from sacred.journal.reader import JournalReader
from sacred.journal.references import decode_odd, references
from sacred.journal.root import epoch_file_name
from sacred.journal.spool import spooled_to
from sacred.journal.verdicts import Gap, Tail, beyond_repair, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sacred.journal.blobs import BlobStore
    from sacred.journal.epoch_file import RawFrame
    from sacred.journal.events import Event

__all__ = ["KEPT_DAMAGE", "MarkingReader", "mark_of", "mark_values", "why_not_whole"]

#: A digest as msgpack writes it: the last byte of its length, 64, and the digits. Looked for in the
#: bytes, so that no event of a later version, no value within a value is overlooked; a text that
#: only looks like a digest keeps a blob, which harms nobody.
_NAMED = re.compile(rb"\x40([0-9a-f]{64})")
#: How a repair names the damaged file that it keeps.
KEPT_DAMAGE = re.compile(r"w[0-9]{4,9}-e[0-9]{4,9}\.jzst\.damaged-[0-9]+\Z")
_CHUNK = 1 << 20


def mark_of(digest: bytes | str) -> int:
    """Return what is remembered of a digest: 60 bits, a third of the memory.

    Two of a million blobs share theirs in one of two million roots, and then one stays too long.
    """
    return int(digest[:15], 16)


class MarkingReader(JournalReader):
    """Reads a journal and gathers all that may be a digest."""

    def __init__(self, folder: Path, marks: set[int]) -> None:
        self._marks = marks
        #: Values that were too large for an event: they may name blobs themselves.
        self.values: set[str] = set()
        self.spool_end = 0
        #: Writers whose files were there once.
        self.children: set[int] = set()
        self.state = Liveness.RUNNING
        super().__init__(folder, table_decoder=decode_odd)

    def _events(self, frame: RawFrame) -> list[Event]:
        self._marks.update(map(mark_of, _NAMED.findall(frame.events)))
        events = super()._events(frame)
        for event in events if frame.writer == 0 else ():
            self.state = state_after(event.type, self.state)
            if event.type == EventType.CHILD_SEEN and type(event.fields.get("writer")) is int:
                self.children.add(event.fields["writer"])
            self.spool_end = max(self.spool_end, spooled_to(event))
        if b"msgpack" in frame.events:
            for event in events:
                for reference in references(event):
                    if reference.encoding == "msgpack":
                        self.values.add(reference.digest)
        return events

    def is_over(self) -> bool:
        """Tell whether the run ended, or was sealed, and so proved to be dead."""
        epochs = self._epochs(0)
        sealed = bool(epochs) and self._is_sealed(0, epochs[-1])
        return sealed or self.state is Liveness.ENDED


def mark_values(blobs: BlobStore, digests: Iterable[str], marks: set[int]) -> str | None:
    """Mark what values name that were too large for an event, of a damaged one what can be read.

    Parameters
    ----------
    blobs
        Where they are.
    digests
        Of the values.
    marks
        Gets the marks.

    Returns
    -------
    Why one of them can not be read, half a sentence; None if all can.
    """
    problem = None
    for digest in digests:
        sha, rest = hashlib.sha256(), b""
        try:
            with blobs.open(digest) as file:
                while chunk := file.read(_CHUNK):
                    sha.update(chunk)
                    marks.update(map(mark_of, _NAMED.findall(rest + chunk)))
                    rest = chunk[-64:]
        except (BlobError, OSError) as error:
            problem = problem or str(error)
        else:
            if sha.hexdigest() != digest:
                problem = problem or f"the content of blob {digest} is not what its name says"
    return problem


def why_not_whole(reader: JournalReader, names: list[str]) -> str | None:
    """Return what a journal lacks that may have named a blob; None if nothing.

    An end that a kill tore is nothing: the call that was to record it never returned. Nor is one
    that a power cut left: what it took back was not durable, and names nothing any more.

    Parameters
    ----------
    reader
        Has read the journal to its present end.
    names
        Of the files beside the journal's.
    """
    kept = any(map(KEPT_DAMAGE.match, names))
    for verdict in [*reader.verdicts, *reader.tails()]:
        if beyond_repair(verdict):
            continue  # said apart
        if is_damage(verdict) or (isinstance(verdict, Tail) and verdict.damaged):
            return str(verdict)
        if kept and isinstance(verdict, Gap) and not verdict.told:
            return f"{verdict}; the damaged file is still beside it"
    for writer, epochs in () if reader.journal_id else reader._listing.items():
        for epoch in epochs:
            if EpochFile.of(reader.folder, writer, epoch).begins_in_damage():
                return f"{epoch_file_name(writer, epoch)} is damaged at byte 0"
    return None
