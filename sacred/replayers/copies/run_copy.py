"""What a place holds of one run: its files, how far each is copied, and what proves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.position import Position, WriterPosition
from sacred.journal.root import parse_epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MANIFEST", "FileCopy", "Part", "RunCopy", "epoch_of"]

#: The name of a run's manifest in its folder; it is written last.
MANIFEST = "copy.json"
_FORMAT = 1


class Part(NamedTuple):
    """Bytes ``begin`` to ``end`` of a file, which hold the events ``first`` up to but not ``next``.

    ``name`` is that of its object; empty in a folder, where a file is one.
    """

    name: str
    begin: int
    end: int
    first: int
    next: int


class FileCopy(NamedTuple):
    """How far a file is copied.

    Attributes
    ----------
    size
        So many bytes of it are there.
    whole
        Behind its last whole frame; behind that is what a kill left, if anything.
    next_seq, chain
        Behind that frame; ``chain`` as 16 hex digits. -1 and "" of what is no file of events.
    head
        Tells the file from the sealed one that takes its name.
    source
        What the file was when it was read last: inode, size, time (ns).
    parts
        Its objects, in order.
    """

    size: int
    whole: int
    next_seq: int
    chain: str
    head: str
    source: tuple[int, ...]
    parts: tuple[Part, ...] = ()


class RunCopy(NamedTuple):
    """What a place holds of a run.

    Attributes
    ----------
    journal_id
        16 hex digits.
    view_id
        The run's number in the place, or its journal's id where it has none.
    run
        Its number in the root that it was copied from.
    files
        By name: ``journal/w0000-e0001.jzst``.
    missing
        Digests that the journal names and that were not among the blobs when it was read.
    projector
        As the last batch said.
    anew
        Everything is to be written again.
    kept
        Parts of files that another one took the place of, and that nothing else holds.
    stale
        Objects that nothing names are about to be deleted.
    """

    journal_id: str
    view_id: Any
    run: int | None
    files: dict[str, FileCopy] = {}  # noqa: RUF012 - never changed
    missing: tuple[str, ...] = ()
    projector: int = 0
    anew: bool = False
    kept: tuple[str, ...] = ()
    stale: bool = False

    @property
    def position(self) -> Position:
        """Where the copied journal ends."""
        found: dict[int, WriterPosition] = {}
        for name, file in self.files.items():
            numbers = epoch_of(name)
            if numbers is None or file.next_seq < 0:
                continue
            writer, epoch = numbers
            if writer not in found or epoch > found[writer].epoch:
                chain = int(file.chain, 16)
                found[writer] = WriterPosition(epoch, file.next_seq, chain, file.whole)
        return Position(found)

    def to_bytes(self) -> bytes:
        """Return it as it stands in the place."""
        content = {"format": _FORMAT, **self._asdict()}
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> RunCopy | None:
        """Read what ``to_bytes`` gave; None if it is something else."""
        try:
            content = json.loads(data)
            if content.pop("format") != _FORMAT:
                return None
            files = {str(name): _file(row) for name, row in content.pop("files").items()}
            missing, kept = content.pop("missing"), content.pop("kept")
            return cls(**content, files=files, missing=tuple(missing), kept=tuple(kept))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


def _file(row: Iterable[Any]) -> FileCopy:
    size, whole, next_seq, chain, head, source, parts = row
    return FileCopy(
        int(size),
        int(whole),
        int(next_seq),
        str(chain),
        str(head),
        tuple(map(int, source)),
        tuple(Part(*part) for part in parts),
    )


def epoch_of(name: str) -> tuple[int, int] | None:
    """Return (writer, epoch) of a file of the run's journal; None for its other files."""
    folder, _, file = name.partition("/")
    return parse_epoch_file_name(file) if folder == "journal" else None
