"""What can be wrong with a journal, by name and by sequence number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.root import epoch_file_name

if TYPE_CHECKING:
    from typing import TypeGuard


class Tail(NamedTuple):
    """The last bytes of a file are not a whole frame.

    Not yet, if the writer lives; else what a kill or a power cut left. ``superseded`` tells that
    the writer went on in another file, where the events stand again.
    """

    writer: int
    epoch: int
    offset: int
    size: int
    superseded: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        where = epoch_file_name(self.writer, self.epoch)
        return f"{where}: the last {self.size} bytes (from byte {self.offset}) are not whole"


class Gap(NamedTuple):
    """Events are missing: sequence numbers from ``first_seq`` up to but not ``next_seq``.

    ``next_seq`` is -1 where nobody can say how many: the file is gone, or can not be read.
    ``repaired`` tells that this was written down when the file was repaired: it is no news.
    """

    writer: int
    epoch: int
    offset: int
    first_seq: int
    next_seq: int
    reason: str
    repaired: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        count = self.next_seq - self.first_seq
        where = epoch_file_name(self.writer, self.epoch)
        if self.next_seq < 0:
            return f"{where}: the events from {self.first_seq} on are lost: {self.reason}"
        what = f"events {self.first_seq} to {self.next_seq - 1}" if count else "no events but order"
        if self.repaired:
            return f"{where}: {what} lost before it was repaired: {self.reason}"
        return f"{where}: {what} lost at byte {self.offset}: {self.reason}"


class Foreign(NamedTuple):
    """Bytes that are not of this journal, or a frame that was there before."""

    writer: int
    epoch: int
    offset: int
    size: int
    reason: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        where = epoch_file_name(self.writer, self.epoch)
        if not self.size:
            return f"{where}: skipped: {self.reason}"
        return f"{where}: {self.size} bytes at byte {self.offset} skipped: {self.reason}"


Verdict = Tail | Gap | Foreign


def is_damage(verdict: Verdict) -> TypeGuard[Gap | Foreign]:
    """Tell whether something is wrong that no repair has written down.

    An end that is not whole is no damage: a writer may be about to finish it.
    """
    return isinstance(verdict, Foreign) or (isinstance(verdict, Gap) and not verdict.repaired)
