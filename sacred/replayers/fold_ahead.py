"""A process that reads and folds the next runs while this one writes: it sends what they came to.

It sends one message a run and view, in their order. It opens no view. What it does not send, or what
came out otherwise by then, is read and folded by the process that writes, as without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.replayers.folded_run import FoldedRun, fold_whole
from sacred.replayers.memo import ViewMemo
from sacred.replayers.second_process import SecondProcess, may_be_forked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import SinkSpec

__all__ = ["FoldAhead", "is_of_use"]

#: Fewer runs are not worth a process.
_FEWEST = 8
#: Views that are told a run's document as everybody shows it, in any order of the views.
_KINDS = frozenset({"file", "gcs", "mongo", "parquet", "s3", "sql", "tinydb"})


def is_of_use(folders: Sequence[RunFolder], views: Sequence[SinkSpec]) -> bool:
    """Tell whether a second process would help, and may be forked."""
    if len(folders) * len(views) < _FEWEST:
        return False
    return all(view.kind in _KINDS and view.url for view in views) and may_be_forked()


class FoldAhead:
    """The process, for who writes each of the runs into each of the views.

    Parameters
    ----------
    folders
        The runs.
    views
        The views of each, in the order in which they are written.

    Notes
    -----
    One thread uses it. ``close`` has to be called: the process is waited for there.
    """

    def __init__(self, folders: Sequence[RunFolder], views: Sequence[SinkSpec]) -> None:
        keys = [view.key for view in views]
        self._process = SecondProcess(lambda: _folded(folders, keys))

    def next(self) -> FoldedRun | None:
        """Return the next run of the next view; None if it is to be folded here.

        A process that is gone has told of no more runs.
        """
        found = self._process.next()
        return found if isinstance(found, FoldedRun) else None

    def close(self) -> None:
        """End the process and wait until it is gone: it holds nothing that could be lost."""
        self._process.close()


def _folded(folders: Sequence[RunFolder], keys: Sequence[str]) -> Iterator[FoldedRun | None]:
    for folder in folders:
        for key in keys:
            memo = ViewMemo.load(folder.views, key)
            known = memo is not None and bool(memo.position)  # the view has it, or some of it
            yield fold_whole(folder) if not known else None
