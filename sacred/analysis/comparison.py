"""Runs side by side: what of their configuration differs, and what became of their metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sacred.analysis.fields import Field, near
from sacred.analysis.run_facts import RunFacts
from sacred.analysis.run_table import RunTable, typed_table
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import leaves, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["best_of", "comparison"]

#: A metric whose name has one of these words is better the less it is.
_LESS_IS_BETTER = frozenset(
    [
        "loss",
        "err",
        "error",
        "errors",
        "mse",
        "mae",
        "rmse",
        "perplexity",
        "ppl",
        "nll",
        "distance",
        "divergence",
        "kl",
        "cost",
        "regret",
        "time",
        "duration",
        "seconds",
        "latency",
    ]
)
_ALWAYS = ("run", "name", "status")
_OF_SEVERAL = ("root", *_ALWAYS)


def comparison(
    folders: Sequence[RunFolder],
    *,
    best: Mapping[str, str] | None = None,
    at: Moment | None = None,
    choice: RootChoice | None = None,
) -> RunTable:
    """Return a row for each run: config entries that differ, and last, best and mean of each metric.

    Parameters
    ----------
    folders
        The runs, in the order of the rows.
    best
        For metrics by name, ``min`` or ``max``: which value is best. Of others :func:`best_of` says.
    at
        The runs as they were at a moment, without those that had not begun; None: as they are.
    choice
        The roots of the runs, where several were asked for; see ``RunFacts``.

    Returns
    -------
    Columns: ``root`` of several roots, ``run``, ``name``, ``status``; ``config.X`` for each entry that not all runs have with
    the same value (an entry that one lacks is None there); ``metrics.X.last``, ``metrics.X.best``
    and ``metrics.X.mean`` of the values that are numbers.

    Raises
    ------
    QueryError
        ``best`` says something else.
    """
    best = best or {}
    for name, which in best.items():
        if which not in {"min", "max"}:
            raise QueryError(f"the best value of {name} is its min or its max, not {which!r}")
    with RunFacts(folders, at=at, choice=choice) as facts:
        several = choice is not None and choice.several
        return _compared(facts, best, _OF_SEVERAL if several else _ALWAYS)


def _compared(facts: RunFacts, best: Mapping[str, str], always: Sequence[str]) -> RunTable:
    every = range(len(facts.folders))
    configs = [dict(leaves(facts.part(index, "config") or {})) for index in every]
    facts.read_metrics(every, None)
    keys = [
        key for key in _in_order(configs) if _differs([config.get(key, ...) for config in configs])
    ]
    metrics = _in_order([facts.metrics(index) for index in every])
    for metric in best if facts.folders else ():
        if metric not in metrics:
            hint = near(metric, metrics)
            text = f"; did you mean {hint[0]}?" if hint else ""
            raise QueryError(f"none of the runs has a metric {metric}{text}")
    columns = [*always, *(f"config.{key}" for key in keys)]
    for metric in metrics:
        columns += [f"metrics.{metric}.{what}" for what in ("last", "best", "mean")]
    rows = []
    for index in every:
        row: list[Any] = [facts.value(index, Field.of(name))[1] for name in always]
        row += [configs[index].get(key) for key in keys]
        for metric in metrics:
            found = facts.metrics(index).get(metric, {})
            which = best.get(metric) or best_of(metric)
            row += [found.get("last"), found.get(which), found.get("mean")]
        rows.append(tuple(row))
    return typed_table(columns, rows, facts.folders, facts.problems)


def best_of(metric: str) -> str:
    """Return ``min`` for a metric whose name says that less is better (loss, error, ...), else ``max``."""
    words = set(re.split(r"[^a-z]+", metric.lower()))
    return "min" if words & _LESS_IS_BETTER else "max"


def _in_order(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _differs(values: Sequence[Any]) -> bool:
    return len({"" if value is ... else to_json(value) for value in values}) > 1
