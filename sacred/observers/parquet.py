"""Parquet: the observer that declares a view of Parquet tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError, checked_priority, file_name
from sacred.observers.declaration import DeclaredObserver, declares_a_view

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_PARQUET_PRIORITY", "ParquetObserver"]

DEFAULT_PARQUET_PRIORITY = 15


@declares_a_view
class ParquetObserver(DeclaredObserver):
    """Declares that runs shall be written as Parquet tables, for DuckDB, pandas, polars, Spark, Trino.

    The tables are those of ``sacred query``: ``runs``, ``metrics``, ``config`` and more, each a
    folder ``<basedir>/<table>/experiment=<name>/run=<id>``. A process of its own writes them from
    the run's journal, while the run goes on too, and they can be read at any moment. A subclass, or
    an observer with a replaced method, is called event by event instead, in the run's process. Not
    in Sacred.

    Parameters
    ----------
    basedir
        The folder of the tables; made with the first run. Many experiments, machines and roots may
        share it.
    priority
        Higher ones are asked for a run's id first.
    required
        True: a run does not begin without the view, and ends when it has everything.

    Raises
    ------
    InvalidArgumentError
        ``basedir`` is no path or empty, or ``priority`` no number. It is a ``TypeError``.
    """

    def __init__(
        self,
        basedir: str | os.PathLike[str],
        priority: int = DEFAULT_PARQUET_PRIORITY,
        required: bool = False,
    ) -> None:
        name = type(self).__name__
        folder = file_name(basedir, f"{name}(PATH)")
        if not folder.strip():
            raise InvalidArgumentError(
                f"{name}({folder!r}) names no folder: write {name}(DIR), DIR being one for the "
                'tables alone ("." is this folder).'
            )
        # Absolute as of now: the program may change its folder before the first run.
        self.basedir = os.path.abspath(folder)
        self.priority = checked_priority(priority, name)
        self.required = required

    def _specification(self) -> dict[str, Any]:
        return {
            "kind": "parquet",
            "url": self.basedir,
            "name": f"parquet:{self.basedir}",
            "options": {"priority": self.priority},
        }

    def claim_run(
        self, *, journal_id: str, run_id: Any, document: Mapping[str, Any], strict: bool = False
    ) -> int:
        """Take a number for a run, without DuckDB.

        Parameters
        ----------
        journal_id
            By which the view knows the run.
        run_id
            The run's id if it has one: kept if it is a number and free here.
        document
            What is known about the run: the tables show it when the run has begun.
        strict
            True: a number that is not free is an error.

        Returns
        -------
        The number that the run has in the tables, in column ``run``.

        Raises
        ------
        FileExistsError
            The number is not free, and ``strict``.
        SinkError
            The folder can not be written.
        """
        del document
        from sacred.replayers.sink import RunKey, wanted_id
        from sacred.replayers.sinks.parquet.runs import RunStates

        runs = RunStates(self.basedir)
        given = runs.claim(RunKey(journal_id, run_id))
        if strict and wanted_id(run_id) not in {None, given}:
            runs.release(RunKey(journal_id))
            raise FileExistsError(
                f"There is a run with the id {run_id} in {self.basedir}. "
                "Leave out --id, or choose another one."
            )
        return given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParquetObserver) and self.basedir == other.basedir

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.basedir}>"
