"""What can be wrong with a journal, by name and by sequence number."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import NO_FILE
from sacred.journal.root import epoch_file_name
from sacred.journal.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable


#: Why a file is not read that has the name of one, besides being none.
ANOTHERS = "a file of another journal, writer or epoch"
#: The same where the system refuses; its reason follows.
UNREAD = "can not be read: "
#: What to do about one that is not the run's: no repair makes it so.
MOVE_IT = "it is of something else than this run: move it out of the folder"
#: The same about one that may have been, and of which no frame is whole.
NOTHING_WHOLE = "nothing whole is in it: move it out of the folder"
_FORBIDDEN = tuple(map(os.strerror, (errno.EACCES, errno.EPERM)))


class Tail(NamedTuple):
    """The last bytes of a file are not a whole frame.

    Not yet, if the writer lives; else what a kill left, which loses nothing that was promised.

    Attributes
    ----------
    writer, epoch, offset, size
        Of which writer's file, where the end begins, and how many bytes it has.
    superseded
        The writer went on in another file, where the events stand again.
    damaged
        No kill and no power cut leaves such an end: the bytes are neither the beginning of a frame
        nor zeros, or the file was sealed, and so was whole. While the writer lives, that may pass:
        on network disks a size comes before its content.
    """

    writer: int
    epoch: int
    offset: int
    size: int
    superseded: bool = False
    damaged: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        where = epoch_file_name(self.writer, self.epoch)
        if not self.size:
            return f"{where}: it was sealed, and its end (from byte {self.offset}) is missing"
        end = "the last byte" if self.size == 1 else f"the last {self.size} bytes"
        are = "is" if self.size == 1 else "are"
        what = "damaged: whatever was in it is lost" if self.damaged else "not whole"
        return f"{where}: {end} (from byte {self.offset}) {are} {what}"


class Gap(NamedTuple):
    """Events are missing: sequence numbers from ``first_seq`` up to but not ``next_seq``.

    Attributes
    ----------
    writer, epoch, offset
        In which writer's file, and where in it.
    first_seq, next_seq
        Which events. ``next_seq`` is -1 where nobody can say how many: the file is gone, or can not
        be read.
    reason
        Why, half a sentence.
    repaired
        This was written down when the file was repaired: it is no news.
    told
        When the writer itself said, in a ``gap`` event, that it lost them (ns since the epoch), for
        the reason it gave: nothing is damaged. 0 if it did not.
    damaged
        Bytes that can not be read stand in their place, so that some of them were written, whatever
        the writer itself said.
    """

    writer: int
    epoch: int
    offset: int
    first_seq: int
    next_seq: int
    reason: str
    repaired: bool = False
    told: int = 0
    damaged: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        count = self.next_seq - self.first_seq
        where = epoch_file_name(self.writer, self.epoch)
        if self.next_seq < 0:
            return f"{where}: the events from {self.first_seq} on are lost: {self.reason}"
        if not count:
            when = "before it was repaired" if self.repaired else f"at byte {self.offset}"
            return f"{where}: no event but their order is lost {when}: {self.reason}"
        what = f"events {self.first_seq} to {self.next_seq - 1}"
        if count == 1:
            what = f"event {self.first_seq}"
        if self.told:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.told // 10**9))
            never = "was never" if count == 1 else "were never"
            return (
                f"{where}: {what} {never} written, as the run itself said at {when} UTC: "
                f"{self.reason}"
            )
        if self.repaired:
            return f"{where}: {what} lost before it was repaired: {self.reason}"
        return f"{where}: {what} lost at byte {self.offset}: {self.reason}"


class Foreign(NamedTuple):
    """Bytes that are not of this journal, or a frame that was there before.

    Attributes
    ----------
    writer, epoch, offset, size
        In which writer's file, where in it, and how many bytes; 0 of a file that was not read.
    reason
        What it is, half a sentence.
    """

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
        size = counted(self.size, "byte")
        return f"{where}: {size} at byte {self.offset} skipped: {self.reason}"


class Unindexed(NamedTuple):
    """What stands behind the events of a sealed file, and no event needs, is damaged.

    Nothing is lost: but where a view stands may not be proved any more, so that it begins anew, and
    other tools can not seek in the file. Told by ``verify`` alone, and mended by a repair.

    Attributes
    ----------
    writer, epoch, offset
        In which writer's file, and behind which byte.
    reason
        What is damaged, half a sentence.
    """

    writer: int
    epoch: int
    offset: int
    reason: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        where = epoch_file_name(self.writer, self.epoch)
        return f"{where}: no event is lost, but {self.reason} (behind byte {self.offset})"


Verdict = Tail | Gap | Foreign | Unindexed


class Loss(NamedTuple):
    """Events that are known to be lost, and why: from ``first_seq`` up to but not ``next_seq``.

    ``told`` is when their writer said so; 0 where it was written down by a repair.
    """

    first_seq: int
    next_seq: int
    reason: str
    told: int = 0


def is_damage(verdict: Verdict) -> bool:
    """Tell whether something is wrong that no repair, and no writer, has written down.

    An end that is not whole is no damage if a kill may have left it. Whether a damaged one counts
    is for whoever knows that its writer does not live: it may be about to finish it.
    """
    if isinstance(verdict, Gap):
        return not (verdict.repaired or verdict.told)
    if isinstance(verdict, Tail):
        return verdict.damaged and not verdict.superseded
    return True


def is_stray(verdict: Verdict) -> bool:
    """Tell whether a whole file is not the run's: it has to be moved away."""
    return isinstance(verdict, Foreign) and verdict.reason in {ANOTHERS, NO_FILE}


def holds_nothing_whole(verdict: Verdict) -> bool:
    """Tell whether a file is damaged from its beginning to its end: no repair finds anything."""
    if not isinstance(verdict, Tail):
        return False
    return verdict.damaged and not verdict.superseded and not verdict.offset and verdict.size > 0


def is_unread(verdict: Verdict) -> bool:
    """Tell whether the system does not let us read a file: what is in it may be as whole as ever."""
    return isinstance(verdict, Foreign) and verdict.reason.startswith(UNREAD)


def beyond_repair(verdict: Verdict) -> str | None:
    """Return why no repair helps with a file, and what does; None if a repair may.

    Half a sentence, about the file that the verdict names.
    """
    if holds_nothing_whole(verdict):
        return NOTHING_WHOLE
    if not isinstance(verdict, Foreign):
        return None
    if is_unread(verdict):
        forbidden = verdict.reason.endswith(_FORBIDDEN)
        return (
            f"it {verdict.reason}{': ask its owner for the right to read it' if forbidden else ''}"
        )
    if is_stray(verdict):
        return MOVE_IT if verdict.reason == ANOTHERS else f"{NO_FILE}: move it out of the folder"
    return None


def explained(gap: Gap, known: Iterable[Loss]) -> list[Gap]:
    """Return a gap as the pieces of it that are known, each with its reason, and the rest.

    Parameters
    ----------
    gap
        What is missing.
    known
        What is known to be lost of the same writer; where two of them tell of the same events, the
        first counts. Where bytes are damaged, what the writer told does not explain all that is
        missing: something stood there.

    Returns
    -------
    In order; the gap itself where nothing is known of it.
    """
    if gap.first_seq == gap.next_seq:  # nothing but order, which a repair alone tells
        found = [loss for loss in known if loss[:2] == (gap.first_seq, gap.next_seq)]
        return [gap._replace(reason=found[0].reason, repaired=True)] if found else [gap]
    if gap.next_seq < gap.first_seq:  # nobody can say how many
        return [gap]
    pieces = [gap]
    for loss in known:
        rest = []
        for piece in pieces:
            first = max(piece.first_seq, loss.first_seq)
            end = min(piece.next_seq, loss.next_seq)
            if first >= end or piece.repaired or piece.told:
                rest.append(piece)
                continue
            rest += [
                piece._replace(next_seq=first),
                piece._replace(
                    first_seq=first,
                    next_seq=end,
                    reason=loss.reason,
                    repaired=not loss.told,
                    told=loss.told,
                ),
                piece._replace(first_seq=end),
            ]
        pieces = [piece for piece in rest if piece.first_seq < piece.next_seq]
    if gap.damaged and all(piece.told for piece in pieces):
        return [gap]
    return pieces
