"""``sacred.runs``: the runs of a root, filtered and sorted when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from sacred.analysis.comparison import comparison
from sacred.analysis.fields import split_names
from sacred.analysis.recorded_run import RecordedRun
from sacred.analysis.root_choice import RootChoice
from sacred.analysis.run_facts import RunFacts
from sacred.analysis.run_table import DEFAULT_COLUMNS, RunTable, choose, run_table
from sacred.analysis.series import missing
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder

    Place = JournalRoot | str | os.PathLike[str]

__all__ = ["Runs", "compare", "runs"]

#: Rows that a repr shows: of more, the last ones.
_SHOWN = 20


class Runs(Sequence[RecordedRun]):
    """Runs that are looked for when they are asked for: iteration, ``len``, an index, a table.

    ``where``, ``sort``, ``first`` and ``last`` give further ones and read nothing. What was read once
    stays; ``refresh()`` looks again. Not for several threads at once.
    """

    def __init__(
        self,
        folders: Callable[[], list[RunFolder]],
        choice: RootChoice,
        *,
        at: Moment | None = None,
    ) -> None:
        self._source = folders
        self._choice = choice
        self._at = at
        self._found: list[RunFolder] | None = None

    # -- choosing --------------------------------------------------------------------------------

    def where(self, *conditions: str) -> Runs:
        """Return the runs for which all conditions hold.

        Parameters
        ----------
        conditions
            SQL over the names of their entries: ``"config.lr < 0.1 and status = 'COMPLETED'"``,
            ``'metrics."val/loss".min < 2'``; see the page on names. What a run lacks is null.
            Times are UTC.

        Raises
        ------
        QueryError
            When the runs are asked for: no run has an entry of that name (the nearest is named), or
            the condition is wrong.
        """
        return self._derived(lambda facts: choose(facts, where=conditions))

    def sort(self, *names: str) -> Runs:
        """Return the runs sorted by their entries, the first name decides.

        Parameters
        ----------
        names
            ``"metrics.loss.min"``; with ``-`` in front the greatest comes first. Runs that lack it
            come last.
        """
        return self._derived(lambda facts: choose(facts, sort=names))

    def first(self, count: int) -> Runs:
        """Return the first runs, as many as there are at most."""
        return self._derived(lambda facts: list(range(len(facts.folders)))[: max(0, count)])

    def last(self, count: int) -> Runs:
        """Return the last runs, as many as there are at most."""
        return self._derived(
            lambda facts: list(
                range(max(0, len(facts.folders) - max(0, count)), len(facts.folders))
            )
        )

    def _derived(self, chosen: Callable[[RunFacts], list[int]]) -> Runs:
        def folders() -> list[RunFolder]:
            with RunFacts(self._folders(), at=self._at, choice=self._choice) as facts:
                return [facts.folders[index] for index in chosen(facts)]

        return Runs(folders, self._choice, at=self._at)

    def at(self, moment: Moment | str | int | datetime | None) -> Runs:
        """Return the runs as they were at a moment, without those that had not begun.

        What was chosen before is chosen by how they are now, and what is chosen of the result by
        how they were: ``runs.at("-1h").where("status = 'RUNNING'")``.

        Parameters
        ----------
        moment
            A time (``"2026-11-23 14:05"``, ``"-10m"``, a ``datetime``, UTC if it has no zone), or
            the number of an event of each run, as ``--at`` takes it. None: as they are.

        Raises
        ------
        QueryError
            It is no moment.
        """
        from sacred.analysis.moment import moment_of

        if moment is None:
            return Runs(self._folders, self._choice)
        asked = moment_of(moment)

        def folders() -> list[RunFolder]:
            with RunFacts(self._folders(), at=asked, choice=self._choice) as facts:
                return facts.folders

        return Runs(folders, self._choice, at=asked)

    def refresh(self) -> Runs:
        """Return the same choice, looked for anew."""
        return Runs(self._source, self._choice, at=self._at)

    # -- as a sequence ---------------------------------------------------------------------------

    def _folders(self) -> list[RunFolder]:
        if self._found is None:
            self._found = self._source()
        return self._found

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._folders())

    def __iter__(self) -> Iterator[RecordedRun]:
        """Iterate over them."""
        return (RecordedRun(folder, self._at) for folder in self._folders())

    @overload
    def __getitem__(self, index: int) -> RecordedRun: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> RecordedRun | Runs:
        """Return one by its place in this choice, or a part of it; ``get`` finds by number."""
        if isinstance(index, slice):
            part = self._folders()[index]
            return Runs(lambda: part, self._choice, at=self._at)
        return RecordedRun(self._folders()[index], self._at)

    def get(self, run: int | str) -> RecordedRun:
        """Return a run of the roots by its name on the command line.

        Parameters
        ----------
        run
            The number of its folder, ``"last"``, ``"last~2"``, ``"id:X"``, a path, or how its
            name begins, if no other run's does (``"NAME~0"``: the last of those). Of several
            roots ``"last"`` is the one that began last.

        Raises
        ------
        RunNotFoundError
            There is none, or several roots have one: name its folder then.
        """
        return RecordedRun(self._choice.find(str(run)), self._at)

    # -- as a table ------------------------------------------------------------------------------

    def table(self, columns: Iterable[str] | None = None) -> RunTable:
        """Return entries of the runs as plain rows.

        Parameters
        ----------
        columns
            Names of entries, as a list or with commas between them; those of a listing if None.
        """
        names = split_names(columns) if isinstance(columns, str) else columns
        usual = ("root", *DEFAULT_COLUMNS) if self._choice.several else DEFAULT_COLUMNS
        chosen = tuple(names or usual)
        return run_table(self._folders(), chosen, at=self._at, choice=self._choice)

    def to_pandas(self, columns: Iterable[str] | None = None) -> Any:
        """Return entries of the runs as a pandas ``DataFrame``, a row each; needs pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise missing("pandas") from None
        table = self.table(columns)
        return pd.DataFrame(table.records(), columns=list(table.columns))

    def to_arrow(self, columns: Iterable[str] | None = None) -> Any:
        """Return entries of the runs as a ``pyarrow.Table``, a row each; needs pyarrow."""
        try:
            import pyarrow as pa
        except ImportError:
            raise missing("pyarrow") from None
        return pa.table(self._columns(columns))

    def to_polars(self, columns: Iterable[str] | None = None) -> Any:
        """Return entries of the runs as a polars ``DataFrame``, a row each; needs polars."""
        try:
            import polars as pl
        except ImportError:
            raise missing("polars") from None
        return pl.DataFrame(self._columns(columns))

    def _columns(self, columns: Iterable[str] | None) -> dict[str, list[Any]]:
        """Return columns of one kind each: what is mixed, a list or a group is a text."""
        from sacred.analysis.condition import typed

        table = self.table(columns)
        values = zip(*table.rows, strict=True) if table.rows else ([] for _ in table.columns)
        return {
            name: typed(list(column))[1] for name, column in zip(table.columns, values, strict=True)
        }

    def compare(self, best: Mapping[str, str] | None = None) -> Any:
        """Return them side by side; see :func:`compare`."""
        return compare(self, best=best)

    def __repr__(self) -> str:
        """Show how many there are, and the last ones."""
        table = self.last(_SHOWN).table()
        lines = [f"{len(self):,} runs" if len(self) != 1 else "1 run"]
        widths = [
            max(len(name), *(len(_cell(row[number])) for row in table.rows), 0)
            for number, name in enumerate(table.columns)
        ]
        for row in [table.columns, *table.rows]:
            cells = [_cell(value).ljust(width) for value, width in zip(row, widths, strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from sacred.analysis.notebook_view import table_html

        return table_html(self.last(_SHOWN).table(), len(self))


def runs(root: Place | Sequence[Place] | None = None) -> Runs:
    """Return the runs of a root.

    Parameters
    ----------
    root
        A folder of runs; found as ``sacred ls`` finds it if None. Of a list of several the runs come
        as they began, and each entry ``root`` is the path as it was given.

    Raises
    ------
    NoRootError
        There is no root, or one of the list is none.

    Examples
    --------
    ::

        best = sacred.runs().where("status = 'COMPLETED'").sort("metrics.loss.min")[0]
        best.config["model.lr"], best.metrics["loss"].values
    """
    choice = RootChoice.of(root)
    return Runs(choice.folders, choice)


def compare(runs: Runs | Iterable[RecordedRun], *, best: Mapping[str, str] | None = None) -> Any:
    """Return runs side by side: a pandas ``DataFrame`` with a row for each.

    Its columns are ``name`` and ``status``, each entry of the configuration that not all have with
    the same value, and of each metric ``last``, ``best`` and ``mean``. Its index is the runs' numbers
    (``root`` and number, of several roots).
    Without pandas, ``sacred.analysis.comparison.comparison`` gives the same as plain rows.

    Parameters
    ----------
    runs
        Some of ``sacred.runs(...)``, or a list of them.
    best
        ``{"score": "min"}``: which value of a metric is best. Of others, the least one where the
        name says so (loss, error, ...), else the greatest.

    Raises
    ------
    QueryError
        pandas is not installed, or something else than runs was given.
    """
    try:
        import pandas as pd
    except ImportError:
        raise missing("pandas") from None
    table = _compared(runs, best)
    index = ["root", "run"] if "root" in table.columns else "run"
    return pd.DataFrame(table.records(), columns=list(table.columns)).set_index(index)


def _compared(runs: Runs | Iterable[RecordedRun], best: Mapping[str, str] | None) -> RunTable:
    if isinstance(runs, Runs):
        return comparison(runs._folders(), best=best, at=runs._at, choice=runs._choice)
    listed = list(runs)
    if odd := [run for run in listed if not isinstance(run, RecordedRun)]:
        raise QueryError(f"compare takes runs, such as sacred.runs().last(2), not {odd[0]!r:.40}")
    moments = {run._at for run in listed}
    if len(moments) > 1:
        raise QueryError("these are runs at several moments: compare them at one")
    return comparison([run.folder for run in listed], best=best, at=next(iter(moments), None))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:39]}…"
