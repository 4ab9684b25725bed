"""A run that was folded whole before anybody asked for it: what ``RunFold`` comes to, as data.

A short run that ended takes as long to be read and folded as to be written. Done by another process,
which sends this, it takes the one that writes no time. Only what is plain is done so: a journal
without damage, of one writer, with its end, which fits into one batch and has nothing outside of its
files. Everything else is ``RunFold``'s, in the process that writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.errors import JournalError
from sacred.journal.position import Position
from sacred.journal.spool import SPOOL
from sacred.replayers.fold import RunFold
from sacred.replayers.memo import JournalSize
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sacred.journal.codec import BlobReference
    from sacred.journal.reader import Frame
    from sacred.journal.root import RunFolder

__all__ = ["MOST_OUTPUT", "MOST_POINTS", "FoldedRun", "fold_whole"]

#: Of larger runs, sending them takes as long as folding them; each is far below a batch of the follower's.
MOST_POINTS = 20_000
MOST_OUTPUT = 1 << 20
#: And a journal of so many bytes is not begun with: a sealed point takes one or two.
_MOST_BYTES = 1 << 20


class FoldedRun(NamedTuple):
    """A whole run, folded.

    Attributes
    ----------
    journal_id
        16 hex digits.
    size
        Of the journal, before it was read: while it has that, nothing came to it.
    projection
        The document and all points, of which none was taken.
    end
        Where the journal ends.
    """

    journal_id: str
    size: JournalSize
    projection: RunProjection
    end: Position

    # -- what a follower asks of a fold ----------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the journal says that the run ended: only such a run is folded whole."""
        return True

    @property
    def content(self) -> int:
        """Bytes to be kept as a checkpoint: none, it is short."""
        return 0

    @property
    def spool(self) -> int:
        """How far the spool's output was folded: it has none."""
        return 0

    @property
    def flaws(self) -> tuple[Any, ...]:
        """What could not be read: nothing."""
        return ()

    @property
    def reached(self) -> Position:
        """Up to where was read."""
        return self.end

    def frames(self) -> Iterator[Frame]:
        """Yield what was not folded yet: nothing."""
        return iter(())

    def add_end(self) -> bool:
        """Fold the end that a seal tells: the journal has it."""
        return False

    def add_spool(self, *, settled: bool) -> bool:
        """Fold what a killed run left: it was not."""
        del settled
        return False

    def position(self) -> Position:
        """Return the farthest point before which nothing waits; all of it is taken at once."""
        return self.end

    def latest(self) -> Position:
        """Return the point up to which was read."""
        return self.end

    def output_taken(self) -> None:
        """Note that no output waits any more."""

    def is_final(self) -> bool:
        """Tell whether nothing more is to be expected."""
        return True

    def close(self) -> None:
        """Close the files: there are none."""


def fold_whole(folder: RunFolder) -> FoldedRun | None:
    """Fold a run from its beginning to its end; None for one that is not plain, whatever the reason.

    Parameters
    ----------
    folder
        The run's folder. Nothing is written there.
    """
    size = JournalSize.of(folder.journal)
    if size is None or size.bytes > _MOST_BYTES:
        return None
    fold = None
    try:
        if (folder.journal / SPOOL).exists():
            return None
        fold = _PlainFold(folder, keep_output=True)
        projection = fold.projection
        for frame in fold.frames():
            fold.add(frame)
            if projection.pending_points > MOST_POINTS or projection.pending_output > MOST_OUTPUT:
                return None
        if not fold.ended or fold.flaws or len(projection.writers) > 1 or not fold.journal_id:
            return None
        projection.forget_resolver()
        return FoldedRun(fold.journal_id, size, projection, fold.latest())
    except (JournalError, OSError, _NotPlainError):
        return None
    finally:
        if fold is not None:
            fold.close()


class _NotPlainError(Exception):
    """A value lies in a file of its own."""


class _PlainFold(RunFold):
    def _resolve(self, blob: BlobReference) -> Any:
        raise _NotPlainError(blob.digest)
