"""Reading what is new in a file of a journal: how far it is whole, and what it names."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.codec import BlobReference
from sacred.journal.epoch_file import EpochFile, NotYet, RawFrame
from sacred.journal.events import EventType
from sacred.journal.frames import FrameDamagedError
from sacred.journal.regular_file import open_regular
from sacred.replayers.copies.run_copy import Part

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.replayers.copies.run_copy import FileCopy

__all__ = ["PART", "Scan", "head_of", "scan"]

#: A part is cut at the first frame behind so many bytes.
PART = 8 << 20
#: A digest as msgpack writes it.
_NAMED = re.compile(rb"\x40([0-9a-f]{64})")
_HEAD = 64


class Scan(NamedTuple):
    """What is new in a file.

    Attributes
    ----------
    begin
        Where it begins to be new: 0, or where the copy ends.
    whole
        Behind the last whole frame.
    next_seq, chain
        Behind that frame.
    sealed
        The file will not change any more, and what stands behind its frames belongs to it.
    parts
        The new bytes up to ``whole``, cut into pieces.
    digests
        What looks like the digest of a blob.
    values
        Digests of values that were too large for an event, and may name blobs themselves.
    damaged
        Something in it is no whole frame.
    """

    begin: int
    whole: int
    next_seq: int
    chain: int
    sealed: bool
    parts: tuple[Part, ...]
    digests: frozenset[str]
    values: frozenset[str]
    damaged: bool


def head_of(path: Path) -> str:
    """Return what tells a file from another one of its name."""
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.sha256(file.read(_HEAD)).hexdigest()[:16]


def scan(path: Path, writer: int, epoch: int, known: FileCopy | None) -> Scan | None:
    """Read a file on from where its copy ends.

    Parameters
    ----------
    path, writer, epoch
        Of the file.
    known
        What is copied of it; None to read it from its beginning.

    Returns
    -------
    None if the file does not go on where the copy ends: it is another one.

    Raises
    ------
    OSError
        It can not be read.
    """
    file = EpochFile(path, writer, epoch)
    begin = known.whole if known is not None else 0
    work = _Scanner(file, begin, known)
    try:
        if begin > os.stat(path).st_size:
            return None
        file.seek(begin)
        return work.run()
    finally:
        file.close()


class _Scanner:
    """Walks over the frames of a file."""

    def __init__(self, file: EpochFile, begin: int, known: FileCopy | None) -> None:
        self._file = file
        self._begin = begin
        self._known = known
        self._whole = begin
        self._next = known.next_seq if known is not None else 0
        self._chain = int(known.chain, 16) if known is not None else 0
        self._sealed = False
        self._damaged = False
        self._parts: list[Part] = []
        self._from = (begin, self._next)
        self._digests: set[bytes] = set()
        self._values: set[str] = set()

    def run(self) -> Scan | None:
        """Read to the present end."""
        first = self._known is not None
        while (frame := self._frame(resyncs=not first)) is not None:
            if first and (frame.first_seq, frame.chain) != (self._next, self._chain):
                return None
            first = False
            if self._take(frame):
                break
        self._cut()
        digests = frozenset(digest.decode("ascii") for digest in self._digests)
        return Scan(
            self._begin,
            self._whole,
            self._next,
            self._chain,
            self._sealed,
            tuple(self._parts),
            digests,
            frozenset(self._values),
            self._damaged,
        )

    def _frame(self, *, resyncs: bool) -> RawFrame | None:
        try:
            return self._file.next_frame()
        except NotYet:
            return None
        except FrameDamagedError:
            found = self._file.resync(self._is_of_it) if resyncs else None
            self._damaged = self._damaged or found is not None
            return found

    def _is_of_it(self, frame: RawFrame) -> bool:
        return (frame.writer, frame.epoch) == (self._file.writer, self._file.epoch)

    def _take(self, frame: RawFrame) -> bool:
        """Take in a frame; True if it is the last one of a sealed file."""
        if self._whole == 0:
            self._from = (0, frame.first_seq)
        self._whole = frame.end
        self._next = frame.first_seq + frame.count
        self._chain = frame.chain_after
        self._digests.update(_NAMED.findall(frame.events))
        if b"msgpack" in frame.events:
            self._values.update(_large_values(frame.values))
        if self._whole - self._from[0] >= PART:
            self._cut()
        for wire in frame.values[1:] if not frame.count else ():
            if isinstance(wire, dict) and wire.get("e") == EventType.EPOCH_BEGAN:
                self._sealed = wire.get("opened_by") == "seal"
            elif isinstance(wire, dict) and wire.get("e") == EventType.SEALED:
                if type(wire.get("next_seq")) is int and type(wire.get("chain")) is int:
                    # Of the live file: what its other copies were proved by.
                    self._next, self._chain = wire["next_seq"], wire["chain"]
                return True
        return False

    def _cut(self) -> None:
        begin, first = self._from
        if self._whole > begin:
            self._parts.append(Part("", begin, self._whole, first, self._next))
        self._from = (self._whole, self._next)


def _large_values(values: list[Any]) -> set[str]:
    found: set[str] = set()
    waiting = list(values)
    while waiting:
        one = waiting.pop()
        if type(one) is BlobReference:
            if one.encoding == "msgpack":
                found.add(one.digest)
        elif type(one) is dict:
            waiting.extend(one.values())
        elif type(one) in {list, tuple, frozenset}:
            waiting.extend(one)
    return found
