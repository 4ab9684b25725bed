"""What questions about many runs keep of those that ended: entries of their documents, statistics.

They lie beside the outlines in ``<root>/.cache/questions`` and are believed as these are: as long as
nothing happened to the run's journal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.codec import pack, unpack
from sacred.journal.errors import JournalError
from sacred.journal.root import JournalRoot
from sacred.replayers.journal_stamps import JournalStamps
from sacred.replayers.kept_outlines import KeptOutlines, is_plain
from sacred.replayers.listing import outline
from sacred.replayers.question_cache import KeptRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import RunOutline

__all__ = ["DOCUMENT_PARTS", "METRIC_STATISTICS", "KeptFacts"]

#: What is asked of a run's document, in the order in which it is kept.
DOCUMENT_PARTS = ("config", "info", "host", "comment", "commit")
#: What is asked of a metric, in the order in which it is kept.
METRIC_STATISTICS = ("count", "min", "max", "mean", "last", "first", "step")
#: Bytes that one run's document may take: a row of more is not kept.
_ROOM = 7 << 10


class KeptFacts:
    """What is known of the runs of a root, kept from one question to the next.

    The answers are those of the journals. Close it when all that is wanted was asked for.

    Parameters
    ----------
    place
        The root's folder.
    cache
        False: know nothing and keep nothing.
    """

    def __init__(self, place: str, *, cache: bool = True) -> None:
        self._place = place
        self._root = JournalRoot(place)
        self._cache = cache and os.name != "nt"
        self._outlines: KeptOutlines | None = None
        self._stamps: JournalStamps | None = None
        self._rows: dict[str, KeptRows] = {}

    def outline(self, folder: RunFolder) -> RunOutline:
        """Return what began and ended a run."""
        number = self._number(folder)
        if number is None:
            return outline(folder)
        if self._outlines is None:
            self._outlines = KeptOutlines(self._root)
        return self._outlines.of(number)

    def part(self, folder: RunFolder, name: str) -> tuple[bool, Any]:
        """Return whether a part of a run's document is known, and what it is.

        If not, it was looked at: read it then, and ``keep_document``.
        """
        number = self._number(folder)
        row = None if number is None else self._of("documents").get(number)
        held = None if row is None else row[DOCUMENT_PARTS.index(name)]
        return (False, None) if held is None else (True, unpack(held))

    def keep_document(self, folder: RunFolder, found: RunOutline, parts: Mapping[str, Any]) -> None:
        """Keep the document of a run, read whole and from its journal alone."""
        number = self._number(folder)
        if number is None or not _is_through(found):
            return
        packed = {name: pack(part) for name, part in parts.items() if is_plain(part)}
        room = _ROOM
        for name, held in sorted(packed.items(), key=lambda item: len(item[1])):
            room -= len(held)
            if room < 0:
                del packed[name]  # it is read again each time
        self._of("documents").put(number, tuple(packed.get(name) for name in DOCUMENT_PARTS))

    def metrics(self, folder: RunFolder) -> dict[str, dict[str, Any]] | None:
        """Return the statistics of all metrics of a run; None if they are not known.

        In the latter case it was looked at: read them then, and ``keep_metrics``.
        """
        number = self._number(folder)
        row = None if number is None else self._of("metrics").get(number)
        if row is None:
            return None
        return {name: dict(zip(METRIC_STATISTICS, values, strict=True)) for name, *values in row}

    def may_keep_metrics(self, folder: RunFolder, found: RunOutline) -> bool:
        """Tell whether it is worth while to read all metrics of a run, and not some."""
        return self._number(folder) is not None and _is_through(found)

    def keep_metrics(
        self, folder: RunFolder, found: RunOutline, metrics: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Keep the statistics of all metrics of a run, read without a problem."""
        number = self._number(folder)
        if number is not None and _is_through(found):
            rows = [
                (name, *(values[each] for each in METRIC_STATISTICS))
                for name, values in metrics.items()
            ]
            self._of("metrics").put(number, tuple(rows))

    def close(self) -> None:
        """Keep what was read."""
        if self._outlines is not None:
            self._outlines.close()
        if self._stamps is not None:
            for rows in self._rows.values():
                try:
                    rows.forget_others(self._root.numbers())
                    rows.save()
                except (JournalError, OSError):  # the root is gone
                    rows.close()
            self._stamps.close()
        self._outlines = self._stamps = None
        self._rows = {}

    def _number(self, folder: RunFolder) -> int | None:
        """Return the number by which a run of this root is kept; None if it can not be."""
        known = self._cache and folder.number is not None
        return (
            folder.number
            if known and os.path.basename(folder.place) == str(folder.number)
            else None
        )

    def _of(self, kind: str) -> KeptRows:
        if kind not in self._rows:
            if self._stamps is None:
                self._stamps = JournalStamps(self._root)
            self._rows[kind] = KeptRows(self._root, kind, self._stamps)
        return self._rows[kind]


def _is_through(found: RunOutline) -> bool:
    """Tell whether a run ended, and its journal is sound."""
    return found.stop is not None and found.problem is None
