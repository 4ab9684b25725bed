"""The reader of a TinyDB of runs: documents, files and reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError, file_name
from sacred.observers.tinydb_hashfs.driver import require_driver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["TinyDbReader"]


class TinyDbReader:
    """Finds runs in the folder of a TinyDbObserver.

    All three ``fetch_*`` take one of: a regular expression that is looked for in the names of the
    experiments, a query of TinyDB, or numbers of runs in the order in which they began.

    Parameters
    ----------
    path
        The folder.

    Attributes
    ----------
    db, runs, fs
        The database, its table of runs, and its files.

    Raises
    ------
    OSError
        There is no such folder.
    ImportError
        tinydb is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_driver(type(self).__name__)
        name = file_name(path, f"{type(self).__name__}(PATH)")
        if not os.path.exists(name):
            raise OSError(f"Path does not exist: {name}")
        from sacred.replayers.sinks.tinydb.storage import open_database

        self.root = os.path.abspath(name)
        self.db, self.fs = open_database(self.root)
        self.runs = self.db.table("runs")

    def search(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the documents of the runs that a query of TinyDB matches."""
        return list(self.runs.search(*args, **kwargs))

    def fetch_metadata(
        self,
        exp_name: str | None = None,
        query: Any = None,
        indices: int | Iterable[int] | None = None,
    ) -> list[Any]:
        """Return the documents of runs.

        Parameters
        ----------
        exp_name
            A regular expression, looked for anywhere in the experiment's name.
        query
            A query of TinyDB; it counts if there is one.
        indices
            A number or several, from 0; -1 is the newest run.

        Raises
        ------
        ValueError
            None of them is given, there is no such number (an ``IndexError``, too), the regular
            expression is none, or the database is damaged.
        """
        numbers = _numbers(indices)
        if not (exp_name or numbers or query is not None):
            raise ValueError("Must specify an experiment name, indicies or pass custom query")
        if query is not None:
            return self.search(query)
        if exp_name:
            from tinydb import Query

            return self.search(Query().experiment.name.search(_pattern(exp_name)))
        documents = self.runs.all()
        return [_numbered(documents, number) for number in numbers]

    def fetch_files(
        self,
        exp_name: str | None = None,
        query: Any = None,
        indices: int | Iterable[int] | None = None,
    ) -> list[dict[str, Any]]:
        """Return the files of runs.

        Parameters
        ----------
        exp_name, query, indices
            As for ``fetch_metadata``.

        Returns
        -------
        For each run ``exp_name``, ``exp_id``, ``date`` and, as far as it has some, ``sources``,
        ``resources`` and ``artifacts``: open readers by name, None for a file that was not stored.
        """
        found = []
        for document in self.fetch_metadata(exp_name, query, indices):
            experiment = document.get("experiment") or {}
            files: dict[str, Any] = {
                "exp_name": experiment.get("name"),
                "exp_id": document.get("_id"),
                "date": document.get("start_time"),
            }
            entries = {
                "sources": experiment.get("sources"),
                "resources": document.get("resources"),
                "artifacts": document.get("artifacts"),
            }
            for kind, listed in entries.items():
                if listed:
                    files[kind] = {entry[0]: entry[-1] for entry in listed}
            found.append(files)
        return found

    def fetch_report(
        self,
        exp_name: str | None = None,
        query: Any = None,
        indices: int | Iterable[int] | None = None,
    ) -> list[str]:
        """Return a report of each run, for people.

        Parameters
        ----------
        exp_name, query, indices
            As for ``fetch_metadata``.
        """
        from sacred.replayers.sinks.tinydb.report import report

        return [report(document) for document in self.fetch_metadata(exp_name, query, indices)]

    def _dict_to_indented_list(self, d: Mapping[str, Any]) -> str:
        from sacred.replayers.sinks.tinydb.report import indented_list

        return indented_list(d)

    def _indent(self, message: str, prefix: str) -> str:
        from sacred.replayers.sinks.tinydb.report import indented

        return indented(message, prefix)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root}>"


class _NoSuchRunError(IndexError, ValueError):
    """There are not so many runs."""


def _numbers(indices: Any) -> list[int]:
    """Return the numbers of runs that somebody wants, as a list."""
    if indices is None:
        return []
    one = hasattr(type(indices), "__index__")
    if isinstance(indices, str) or not (one or hasattr(type(indices), "__iter__")):
        raise InvalidArgumentError(f"indices is {indices!r}: give numbers of runs, from 0.")
    wanted = [indices] if one else list(indices)
    for number in wanted:
        if not hasattr(type(number), "__index__"):
            raise InvalidArgumentError(f"indices has {number!r}: give numbers of runs, from 0.")
    return [int(number.__index__()) for number in wanted]


def _numbered(documents: list[Any], number: int) -> Any:
    count = len(documents)
    if number >= count:
        raise ValueError(f"Index value ({number}) must be less than number of records ({count})")
    if number < -count:
        raise _NoSuchRunError(
            f"Index value ({number}) reaches beyond the oldest of {count} records"
        )
    return documents[number]


def _pattern(text: Any) -> str:
    import re

    if not isinstance(text, str):
        raise InvalidArgumentError(f"exp_name is {text!r}: give a text, exp_name='NAME'.")
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"exp_name {text!r} is no regular expression: {error}") from None
    return text
