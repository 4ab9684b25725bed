"""What a journal says of its run: the fold that every view has to equal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalError
from sacred.replayers.annotations import Annotations
from sacred.replayers.fold import RunFold
from sacred.replayers.sink import FileEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import RunFolder

__all__ = ["Folded", "Series", "canonical", "fold_of"]


class Series(NamedTuple):
    """The points of one metric, in the order in which they were folded.

    Attributes
    ----------
    steps, values
        As they were logged; plain.
    times
        Microseconds since the epoch, UTC.
    """

    steps: list[Any]
    values: list[Any]
    times: list[int]


class Folded(NamedTuple):
    """A run, as its journal tells it.

    Attributes
    ----------
    document
        The fields of Sacred's run document; plain, with a ``FileEntry`` where a file is named.
    output
        All the run printed.
    metrics
        By name, in the order in which they appeared.
    contents
        Of the files, by ``FileEntry.key``; None if the journal has none.
    annotations
        What people wrote about the run; few places have any.
    """

    document: dict[str, Any]
    output: str
    metrics: dict[str, Series]
    contents: dict[tuple[str, str, str | None, int], bytes | None]
    annotations: Annotations = Annotations()


def fold_of(folder: RunFolder) -> Folded:
    """Return what a run's journal says, all of it folded at once.

    Raises
    ------
    JournalError
        There is no journal that can be read.
    """
    fold = RunFold(folder, keep_output=True)
    try:
        for frame in fold.frames():
            fold.add(frame)
        projection = fold.projection
        if len(projection.writers) > 1 and fold.is_final():
            # A view of several writers is put into the order of their clocks at the end.
            fold.close()
            fold = RunFold(folder, keep_output=True)
            fold.add_by_time()
            projection = fold.projection
        fold.add_end()
        fold.add_spool(settled=False)
        document = projection.document()
        metrics = {
            change.metric: Series(change.steps, change.values, change.times)
            for change in projection.take_points()
        }
        contents = {entry.key: _content(folder, entry) for entry in _files(document)}
        output, said = projection.output(), projection.annotations
        return Folded(document, output, metrics, contents, said)
    finally:
        fold.close()


def _files(document: dict[str, Any]) -> Iterator[FileEntry]:
    yield from document.get("experiment", {}).get("sources", ())
    yield from document.get("resources", ())
    yield from document.get("artifacts", ())


def _content(folder: RunFolder, entry: FileEntry) -> bytes | None:
    if entry.digest is None:
        return None
    try:
        return BlobStore(folder.root.blobs).read(entry.digest)
    except (JournalError, OSError):
        return None


def canonical(value: Any) -> Any:
    """Return a value that is equal to another one exactly if they mean the same.

    NaN is NaN, True is not 1, and 1 is not 1.0.
    """
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, bool):
        return f"<{value}>"
    if isinstance(value, float):
        return "<nan>" if math.isnan(value) else f"<{value!r}>"
    return value
