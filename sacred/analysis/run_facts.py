"""What is known of some runs, read as far as it is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.analysis.details import blob_resolver
from sacred.analysis.fields import Field, entry, names_in, statistics
from sacred.analysis.kept_facts import KeptFacts
from sacred.analysis.metric_statistics import metric_statistics
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.codec import BlobReference
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import RunOutline

__all__ = ["RunFacts", "naive_utc"]

#: Points of which the statistics are made at once (32 bytes of memory each).
_TOGETHER = 4_000_000
_POINTS_AND_OUTPUT = frozenset(
    {
        EventType.METRIC_POINT,
        EventType.METRIC_TABLE,
        EventType.OUTPUT,
        EventType.OUTPUT_FILTERED,
    }
)


class RunFacts:
    """Some runs, and what of them was read: each part once, and only if it is asked for.

    Not for several threads at once. What is known of ended runs is kept for the next question when
    it is closed (as a context, or by ``close``).

    Parameters
    ----------
    folders
        The runs, in the order of the answers.
    cache
        Whether what is known of ended runs may be used, and kept. The answers are the same.
    at
        The runs as they were at a moment, without those that had not begun; None: as they are.
        Their journals are read whole then.
    choice
        The roots that the runs are of, where several were asked for: by what they are called there
        answers name a run's root. None: by its folder.

    Attributes
    ----------
    problems
        A sentence for each run that could not be read whole.
    """

    def __init__(
        self,
        folders: Sequence[RunFolder],
        *,
        cache: bool = True,
        at: Moment | None = None,
        choice: RootChoice | None = None,
    ) -> None:
        self.folders = list(folders)
        self._at = at
        self._choice = choice if choice is not None and choice.several else None
        self._cache = cache and at is None
        self._kept: dict[str, KeptFacts] = {}
        self._outlines: dict[int, RunOutline] = {}
        self._parts: dict[int, dict[str, Any]] = {}
        self._metrics: dict[int, dict[str, dict[str, Any]]] = {}
        #: Of each run the metrics that were read; None: all.
        self._read: dict[int, set[str] | None] = {}
        self._met: dict[int, str] = {}
        if at is not None:
            self._look_back(at)

    def _look_back(self, at: Moment) -> None:
        from sacred.replayers.past_outline import outline_at

        found = [(folder, outline_at(folder, at)) for folder in self.folders]
        there = [(folder, outline) for folder, outline in found if outline is not None]
        self.folders = [folder for folder, _ in there]
        self._outlines = {index: outline for index, (_, outline) in enumerate(there)}

    def __enter__(self) -> RunFacts:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was read."""
        self.close()

    def close(self) -> None:
        """Keep what was read for the next question; it can be asked all the same."""
        for kept in self._kept.values():
            kept.close()
        self._kept = {}

    def _kept_of(self, index: int) -> KeptFacts:
        place = os.path.dirname(self.folders[index].place)
        if place not in self._kept:
            self._kept[place] = KeptFacts(place, cache=self._cache)
        return self._kept[place]

    @property
    def problems(self) -> list[str]:
        """A sentence for each run that was looked at and could not be read whole."""
        told = dict(self._met)
        told.update({i: found.problem for i, found in self._outlines.items() if found.problem})
        return [f"{self._named(index)}: {told[index]}" for index in sorted(told)]

    def _named(self, index: int) -> str:
        folder = self.folders[index]
        root = "" if self._choice is None else f"{self._choice.name_of(folder.place)}: "
        return f"{root}run {folder.number}"

    def outline(self, index: int) -> RunOutline:
        """Return what began and ended a run."""
        if index not in self._outlines:
            self._outlines[index] = self._kept_of(index).outline(self.folders[index])
        return self._outlines[index]

    def part(self, index: int, name: str) -> Any:
        """Return a part of a run's document, one of ``DOCUMENT_PARTS``; None if there is none."""
        parts = self._parts.setdefault(index, {})
        if name not in parts:
            kept, folder = self._kept_of(index), self.folders[index]
            known, value = kept.part(folder, name)
            if known:
                parts[name] = value
            else:
                found, alone = _document(folder, self._at)
                parts.update(found)
                if alone:
                    kept.keep_document(folder, self.outline(index), found)
        return parts[name]

    def read_metrics(self, indices: Iterable[int], names: Iterable[str] | None) -> None:
        """Read the points of some metrics of some runs, all together.

        Parameters
        ----------
        indices
            Of the runs.
        names
            Of the metrics; None: of all. Of a run that ended all are read, and kept.
        """
        wanted = None if names is None else set(names)
        roots: dict[tuple[str, bool], list[int]] = {}
        for index in indices:
            if self._is_read(index, wanted):
                continue
            kept, folder = self._kept_of(index), self.folders[index]
            known = kept.metrics(folder)
            if known is not None:
                self._metrics[index], self._read[index] = known, None
            else:
                whole = wanted is None or kept.may_keep_metrics(folder, self.outline(index))
                roots.setdefault((os.path.dirname(folder.place), whole), []).append(index)
        for (_, whole), chosen in roots.items():
            for together in self._portions(chosen):
                self._read_points(together, None if whole else wanted)

    def _is_read(self, index: int, wanted: set[str] | None) -> bool:
        read = self._read.get(index, set())
        return read is None or (wanted is not None and wanted <= read)

    def _portions(self, indices: list[int]) -> Iterator[list[int]]:
        """Yield runs whose points have room together."""
        portion: list[int] = []
        points = 0
        for index in indices:
            more = self.outline(index).points
            if portion and points + more > _TOGETHER:
                yield portion
                portion, points = [], 0
            portion.append(index)
            points += more
        if portion:
            yield portion

    def _read_points(self, indices: list[int], names: set[str] | None) -> None:
        folders = [self.folders[index] for index in indices]
        found = metric_statistics(folders, names, at=self._at)
        for index in indices:
            folder = self.folders[index]
            metrics = found.runs.get(folder.number, {})
            self._metrics.setdefault(index, {}).update(metrics)
            read = self._read.get(index, set())
            self._read[index] = None if names is None or read is None else read | names
            problem = found.problems.get(folder.number)
            if problem is not None:
                self._met[index] = problem
            elif names is None:
                self._kept_of(index).keep_metrics(folder, self.outline(index), metrics)

    def metrics(self, index: int) -> dict[str, dict[str, Any]]:
        """Return the statistics of the metrics of a run that were read, by name."""
        return self._metrics.get(index, {})

    def value(self, index: int, field: Field) -> tuple[bool, Any]:
        """Return whether a run has an entry, and its value; metrics have to be read before."""
        if field.part == "metrics":
            return statistics(self.metrics(index), field)
        if field.path == "root" and field.part == "run" and self._choice is not None:
            return True, self._choice.name_of(self.folders[index].place)
        if field.part == "run" and not field.of_the_document:
            return True, _of_outline(self.outline(index), self.folders[index], field.path)
        if field.part == "result":
            return entry(self.outline(index).result, field.path)
        if field.part == "run":
            if field.path == "seed":
                return True, (self.part(index, "config") or {}).get("seed")
            return True, self.part(index, field.path)
        return entry(self.part(index, field.part), field.path)

    def names(self) -> Iterator[str]:
        """Yield the names of all entries that some run has, as far as its parts were read."""
        for parts in self._parts.values():
            for part in ("config", "info", "host"):
                yield from names_in(part, parts.get(part))
        for found in self._outlines.values():
            yield from names_in("result", found.result)
        for summaries in self._metrics.values():
            for metric in summaries:
                yield f"metrics.{metric}"


def _document(folder: RunFolder, at: Moment | None = None) -> tuple[dict[str, Any], bool]:
    """Return the parts of a run's document, and whether its journal alone decides them, and is sound."""
    resolve = blob_resolver(folder.root)
    alone = True

    def resolved(reference: BlobReference) -> Any:
        nonlocal alone
        alone = False
        return resolve(reference)

    projection = RunProjection(resolve=resolved)
    try:
        reader = _reader(folder, at)
    except (JournalError, OSError):
        return _parts({}), False
    try:
        for event in reader.read(order="time"):
            if event.type not in _POINTS_AND_OUTPUT:
                projection.apply(event)
        alone = alone and not any(map(is_damage, reader.verdicts))
    except (JournalError, OSError):
        alone = False  # the outline tells of it; what came before is known
    finally:
        reader.close()
    return _parts(projection.document()), alone


def _reader(folder: RunFolder, at: Moment | None) -> JournalReader:
    if at is None:
        return JournalReader(folder.journal, table_decoder=decode_length)
    from sacred.journal.past import PastReader

    return PastReader(folder.journal, at, table_decoder=decode_length)


def _parts(document: dict[str, Any]) -> dict[str, Any]:
    repositories = (document.get("experiment") or {}).get("repositories") or ()
    commits = (each.get("commit") for each in repositories if isinstance(each, dict))
    return {
        "config": document.get("config"),
        "info": document.get("info"),
        "host": document.get("host"),
        "comment": (document.get("meta") or {}).get("comment"),
        "commit": next(commits, None),
    }


def _of_outline(found: RunOutline, folder: RunFolder, name: str) -> Any:
    if name in {"start", "stop"}:
        return naive_utc(getattr(found, name))
    if name == "journal_id":
        return f"{found.journal_id:016x}" if found.journal_id else None
    if name == "root":
        return str(folder.path.parent)
    if name == "tags":
        return list(found.tags)
    return getattr(found, name)


def naive_utc(nanoseconds: Any) -> Any:
    """Return a time as naive UTC, as a query gives it."""
    from datetime import datetime, timedelta

    if type(nanoseconds) is not int:
        return None
    try:
        return datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)  # noqa: DTZ001 - naive UTC
    except OverflowError:
        return None
