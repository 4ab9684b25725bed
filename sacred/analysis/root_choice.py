"""The roots that a question is about: one, or several together."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.errors import RunNotFoundError
from sacred.journal.finding import find_run, has_journal, looking_root, start_time
from sacred.journal.root import JournalRoot, is_run_number
from sacred.replayers.errors import QueryError
from sacred.replayers.kept_outlines import KeptOutlines
from sacred.replayers.listing import outline, outlines
from sacred.replayers.run_names import AmbiguousNameError, run_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import RunOutline

    Place = JournalRoot | str | os.PathLike[str]

__all__ = ["AmbiguousRunError", "NamedRoot", "RootChoice"]

_LAST = re.compile(r"last(?:~(\d{1,9}))?\Z")


class AmbiguousRunError(AmbiguousNameError):
    """A run's name fits runs of several roots; ``places`` are their folders, as one can name them."""

    def __init__(self, text: str, places: Sequence[tuple[str, RunOutline]]) -> None:
        RunNotFoundError.__init__(
            self,
            f"{text!r} is a run in {len(places)} of the roots: name one by its folder, as "
            f"{places[-1][0]}",
        )
        self.candidates = tuple(found for _, found in places)
        self.places = tuple(place for place, _ in places)
        self.more = 0


class NamedRoot(NamedTuple):
    """A root, and what whoever asks calls it: the path as it was given."""

    name: str
    root: JournalRoot


class RootChoice:
    """The roots of a question, each once.

    Parameters
    ----------
    roots
        In the order in which they were given. A folder that is given twice, also by another path,
        counts once, under its first name.
    several
        Whether several were asked for: answers tell then of each run which root it is of.
    """

    def __init__(self, roots: Iterable[NamedRoot], *, several: bool) -> None:
        found: dict[str, NamedRoot] = {}
        for each in roots:
            found.setdefault(os.path.realpath(each.root.path), each)
        self.roots = tuple(found.values())
        self.several = several

    @classmethod
    def of(cls, given: Place | Iterable[Place] | None) -> RootChoice:
        """Find roots.

        Parameters
        ----------
        given
            A folder of runs; several; or None: as ``sacred ls`` finds it.

        Raises
        ------
        NoRootError
            One of them is none.
        QueryError
            The list of them is empty.
        """
        if given is None or isinstance(given, (str, os.PathLike, JournalRoot)):
            return cls([_named(given)], several=False)
        places = list(given)
        if not places:
            raise QueryError("a question needs a root: name one at least, or give None")
        return cls(map(_named, places), several=True)

    @property
    def first(self) -> JournalRoot:
        """The root that was named first."""
        return self.roots[0].root

    def folders(self, *, cache: bool = True) -> list[RunFolder]:
        """Return the runs: of one root in the order of their numbers, of several as they began.

        A run that never began stands behind the one before it in its root.
        """
        if len(self.roots) == 1:
            return self.first.runs()
        placed: list[tuple[int, RunFolder]] = []
        for _, root in self.roots:
            folders = root.runs()
            kept = KeptOutlines(root, cache=cache)
            try:
                of = (kept.of(f.number) if f.number is not None else outline(f) for f in folders)
                placed += zip(_begun(found.start for found in of), folders, strict=True)
            finally:
                kept.close()
        return [folder for _, folder in sorted(placed, key=lambda pair: pair[0])]

    def outlines(
        self, *, last: int | None = None, cache: bool = True, at: Moment | None = None
    ) -> Iterator[RunOutline]:
        """Yield the outlines of the runs, in the order of ``folders``.

        Parameters
        ----------
        last
            How many at most: of several roots those that began last, among the last of each.
        cache, at
            See :func:`sacred.replayers.listing.outlines`.
        """
        if len(self.roots) == 1:
            yield from outlines(self.first, last=last, cache=cache, at=at)
            return
        placed: list[tuple[int, RunOutline]] = []
        for _, root in self.roots:
            of_root = list(outlines(root, last=last, cache=cache, at=at))
            placed += zip(_begun(found.start for found in of_root), of_root, strict=True)
        placed.sort(key=lambda pair: pair[0])
        yield from (found for _, found in (placed if last is None else placed[-last:]))

    def name_of(self, place: str) -> str:
        """Return what the root of a run is called.

        Parameters
        ----------
        place
            The run's folder.
        """
        above = os.path.dirname(place)
        for name, root in self.roots:
            if above == str(root.path):
                return name
        return above

    @property
    def title(self) -> str:
        """What the roots are called in a line."""
        return ", ".join(name for name, _ in self.roots) if self.several else str(self.first.path)

    def short(self, name: str) -> str:
        """Return the part of a root's name that tells it from the others', for narrow tables."""
        names = [each for each, _ in self.roots]
        if name not in names:
            return name
        try:
            above = os.path.commonpath([os.path.dirname(each) for each in names])
        except ValueError:  # relative ones and absolute ones
            return name
        return os.path.relpath(name, above) if above else name

    def told_of(self, problems: Sequence[str]) -> JournalRoot:
        """Return the first root that one of the sentences about runs is about."""
        if self.several:
            for name, root in self.roots:
                if any(problem.startswith(f"{name}: ") for problem in problems):
                    return root
        return self.first

    # -- runs by their names ---------------------------------------------------------------------

    def find(
        self, text: str, *, by_name: Callable[[JournalRoot, str], RunFolder] = run_by_name
    ) -> RunFolder:
        """Find the run that a person names; of several roots the only one that has such a run.

        Parameters
        ----------
        text
            As for :func:`sacred.journal.finding.find_run`. ``last`` is the one that began last.
        by_name
            Finds in one root what is neither number nor path.

        Raises
        ------
        RunNotFoundError
            There is none.
        AmbiguousRunError
            Several roots have one.
        """
        if len(self.roots) == 1 or os.sep in text or text in {".", ".."}:
            return find_run(self.first, text, by_name=by_name)
        if match := _LAST.match(text):
            return self._last(text, int(match[1] or 0))
        found: list[RunFolder] = []
        missing: list[RunNotFoundError] = []
        fitting: list[AmbiguousNameError] = []
        for _, root in self.roots:
            try:
                found.append(find_run(root, text, by_name=by_name))
            except AmbiguousNameError as error:
                fitting.append(error)
            except RunNotFoundError as error:
                missing.append(error)
        if len(found) == 1 and not fitting:
            return found[0]
        if found or fitting:
            runs = [outline(folder) for folder in found]
            runs += [run for error in fitting for run in error.candidates]
            raise AmbiguousRunError(text, [(self._shown(run), run) for run in runs])
        names = " or ".join(name for name, _ in self.roots)
        if is_run_number(text):
            raise RunNotFoundError(f"there is no run {text} in {names}")
        raise missing[0]

    def _shown(self, run: RunOutline) -> str:
        return os.path.join(self.name_of(run.path), os.path.basename(run.path))

    def _last(self, text: str, back: int) -> RunFolder:
        placed: list[tuple[int, RunFolder]] = []
        for _, root in self.roots:
            folders = [folder for folder in root.runs() if has_journal(folder)][-1 - back :]
            placed += zip(_begun(map(start_time, folders)), folders, strict=True)
        placed.sort(key=lambda pair: pair[0])
        if back >= len(placed):
            names = " or ".join(name for name, _ in self.roots)
            raise RunNotFoundError(f"there is no run {text} in {names}")
        return placed[-1 - back][1]


def _named(given: Place | None) -> NamedRoot:
    if isinstance(given, JournalRoot):
        root = given if given.exists() else looking_root(str(given.path))
        return NamedRoot(str(given.path), root)
    root = looking_root(None if given is None else os.fspath(given))
    return NamedRoot(str(root.path) if given is None else os.fspath(given), root)


def _begun(starts: Iterable[int | None]) -> Iterator[int]:
    """Return when runs of one root began; of one that did not when the one before it did."""
    before = 0
    for start in starts:
        before = start if type(start) is int else before
        yield before
