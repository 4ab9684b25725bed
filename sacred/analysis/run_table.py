"""Runs as a table: chosen, sorted and grouped by their fields (:mod:`sacred.analysis.fields`)."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.fields import RUN_FIELDS, STATISTICS, Field, near, unknown
from sacred.analysis.run_facts import RunFacts
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["DEFAULT_COLUMNS", "RunTable", "choose", "grouped", "run_table", "typed_table"]

#: Parts of a run, which are no fields by themselves.
_PARTS = frozenset({"config", "info", "metrics"})
DEFAULT_COLUMNS = ("run", "status", "start", "duration", "name", "command", "points", "result")


class RunTable(NamedTuple):
    """Some fields of some runs.

    Attributes
    ----------
    columns
        Names of the fields, as they were asked for.
    types
        Of each column a type of DuckDB: ``BIGINT``, ``DOUBLE``, ``BOOLEAN``, ``TIMESTAMP`` or, for
        anything else and for columns of several kinds, ``VARCHAR``.
    rows
        The values, row by row; None where a run lacks the entry. Times are naive UTC.
    folders
        Of each row its run; empty where runs are grouped.
    problems
        A sentence for each run that could not be read whole.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    folders: list[RunFolder]
    problems: list[str]

    def records(self) -> list[dict[str, Any]]:
        """Return each row as a dict."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def run_table(
    folders: Sequence[RunFolder],
    columns: Sequence[str] = DEFAULT_COLUMNS,
    *,
    where: str | Sequence[str] | None = None,
    sort: Sequence[str] = (),
    last: int | None = None,
    group: Sequence[str] = (),
    cache: bool = True,
    at: Moment | None = None,
    choice: RootChoice | None = None,
) -> RunTable:
    """Return fields of runs.

    Parameters
    ----------
    folders
        The runs.
    columns
        Names of fields.
    where
        A condition over fields, as SQL; of several, all have to hold.
    sort
        Names of fields, the first decides; with ``-`` in front the greatest comes first. A run
        that lacks the entry comes last. By the order of ``folders`` if none is given. Where runs
        are grouped it is the groups that are sorted, by columns that they have.
    last
        How many rows at most: the last ones.
    group
        Names of fields: a row for each combination of their values instead of for each run, with
        how many runs have it (``runs``), and of each column what :func:`grouped` says.
    cache
        Whether what earlier questions kept of ended runs may be used, and more be kept; the answer
        is the same.
    at
        The runs as they were at a moment; those that had not begun are left out. None: as they are.
    choice
        The roots of the runs, where several were asked for; see ``RunFacts``.

    Raises
    ------
    QueryError
        No run has a field of that name, or the condition is wrong; the text says what is near.
    """
    with RunFacts(folders, cache=cache, at=at, choice=choice) as facts:
        return _table(facts, tuple(columns), where, sort, last, group)


def _table(
    facts: RunFacts,
    columns: tuple[str, ...],
    where: str | Sequence[str] | None,
    sort: Sequence[str],
    last: int | None,
    group: Sequence[str],
) -> RunTable:
    chosen = choose(facts, where=where, sort=() if group else sort, last=None if group else last)
    fields = _fields(facts, columns)
    groups = _fields(facts, group)
    values = _values(facts, chosen, [*groups, *fields])
    if group:
        table = grouped(
            tuple(group),
            tuple(columns),
            [values[f.name] for f in groups],
            [values[f.name] for f in fields],
        )
        names = (*group, "runs", *columns)
        table = _sorted_groups(names, table, sort)
        rows = table if last is None else table[max(0, len(table) - last) :]
        return typed_table(names, rows, [], facts.problems)
    rows = list(zip(*(values[name] for name in columns), strict=True)) if columns else []
    found = [facts.folders[index] for index in chosen]
    return typed_table(columns, rows, found, facts.problems)


def choose(
    facts: RunFacts,
    *,
    where: str | Sequence[str] | None = None,
    sort: Sequence[str] = (),
    last: int | None = None,
) -> list[int]:
    """Return the indices of the runs that satisfy a condition, sorted; see :func:`run_table`."""
    from sacred.analysis.condition import Condition

    chosen = list(range(len(facts.folders)))
    texts = [where] if isinstance(where, str) else list(where or ())
    for text in texts:
        condition = Condition(text)
        fields = _fields(facts, condition.names, in_condition=True)
        values = _values(facts, chosen, fields)
        held = condition.holds({f.name: values[f.name] for f in fields}, len(chosen))
        chosen = [chosen[row] for row in held]
    keys = _sort_keys(sort)
    values = _values(facts, chosen, _fields(facts, [name for name, _ in keys]))
    order = _order(len(chosen), [(values[name], falling) for name, falling in keys])
    chosen = [chosen[row] for row in order]
    return chosen if last is None else chosen[max(0, len(chosen) - last) :]


def _sort_keys(sort: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the names by which it is sorted, and of each whether the greatest comes first."""
    names = [Field.of(name).name if not isinstance(name, str) else name for name in sort]
    return [(name.removeprefix("-"), name.startswith("-")) for name in names]


def _order(count: int, keys: Sequence[tuple[Sequence[Any], bool]]) -> list[int]:
    """Return the rows sorted by columns, the first deciding; what is missing stands last."""
    order = list(range(count))
    for values, falling in reversed(keys):
        ranks = [_rank(value) for value in values]
        order.sort(key=lambda row, ranks=ranks: ranks[row][1:], reverse=falling)  # type: ignore[misc]
        order.sort(key=lambda row, ranks=ranks: ranks[row][0])  # type: ignore[misc]
    return order


def _sorted_groups(
    names: tuple[str, ...], rows: list[tuple[Any, ...]], sort: Sequence[str]
) -> list[tuple[Any, ...]]:
    keys = _sort_keys(sort)
    for name, _ in keys:
        if name not in names:
            found = near(name, names)
            hint = f"; did you mean {found[0]}?" if found else f": {', '.join(names)}"
            raise QueryError(f"groups are sorted by a column that they have, not {name}{hint}")
    columns = [([row[names.index(name)] for row in rows], falling) for name, falling in keys]
    return [rows[row] for row in _order(len(rows), columns)]


def grouped(
    keys: tuple[str, ...],
    names: tuple[str, ...],
    key_values: Sequence[Sequence[Any]],
    values: Sequence[Sequence[Any]],
) -> list[tuple[Any, ...]]:
    """Return a row for each combination of keys, in their order: keys, count, columns.

    Of a column whose name ends with ``.min`` it has the least value of the group, of ``.max`` the
    greatest, of ``points`` and ``.count`` the sum, of ``status`` how many have which
    (``3 COMPLETED, 1 FAILED``), of other numbers the mean, and of anything else the value that all
    runs of the group have, or None.
    """
    del keys
    members: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*key_values, strict=True)):
        members.setdefault(tuple(to_json(value) for value in key), []).append(row)
    lines = []
    for rows in members.values():
        key = tuple(column[rows[0]] for column in key_values)
        cells = [
            _aggregate(name, [column[row] for row in rows])
            for name, column in zip(names, values, strict=True)
        ]
        lines.append((*key, len(rows), *cells))
    width = len(key_values)
    return sorted(lines, key=lambda line: [_rank(value) for value in line[:width]])


def _aggregate(name: str, values: list[Any]) -> Any:
    if name == "status":
        counts = Counter(str(value) for value in values)
        return ", ".join(f"{count} {status}" for status, count in counts.most_common())
    known = [value for value in values if value is not None]
    numbers = [v for v in known if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if known and len(numbers) == len(known):
        if name.endswith(".min"):
            return min(numbers)
        if name.endswith(".max"):
            return max(numbers)
        if name == "points" or name.endswith(".count"):
            return sum(numbers)
        if name != "run":
            return sum(numbers) / len(numbers)
    same = {to_json(value) for value in values}
    return values[0] if len(same) == 1 else None


def _rank(value: Any) -> tuple[int, int, Any]:
    """Return by what a value is sorted: what is missing last, numbers before texts."""
    from datetime import datetime

    if value is None or (isinstance(value, float) and math.isnan(value)):
        return (1, 0, 0)
    if isinstance(value, (bool, int, float)):
        return (0, 0, value)
    if isinstance(value, datetime):
        return (0, 1, value.isoformat())
    return (0, 2, value if isinstance(value, str) else to_json(value))


def _fields(facts: RunFacts, names: Iterable[str], *, in_condition: bool = False) -> list[Field]:
    """Take names apart; of one that can be none, say what is near among all that the runs have."""
    fields = []
    for name in names:
        try:
            fields.append(Field.of(name))
        except QueryError:
            if not isinstance(name, str) or name.partition(".")[0] in {*_PARTS, "host", "result"}:
                raise
            if in_condition and any(name in texts for texts in _texts(facts)):
                raise QueryError(f"{name} is a text: it stands in quotes, '{name}'") from None
            raise QueryError(unknown(name, _known(facts, name, metrics=True))) from None
    return fields


def _texts(facts: RunFacts) -> Iterator[tuple[Any, ...]]:
    """Yield what runs are called, which somebody may have written without quotes."""
    for index in range(len(facts.folders)):
        found = facts.outline(index)
        yield found.status, found.name, found.command, found.host, *found.tags


def _known(facts: RunFacts, asked: str, *, metrics: bool) -> list[str]:
    """Return the names of all fields that the runs have; of metrics with the statistic asked for."""
    every = range(len(facts.folders))
    for index in every:
        for part in ("config", "info", "host"):
            facts.part(index, part)
        facts.outline(index)
    if metrics:
        facts.read_metrics(every, None)
    names = [*dict.fromkeys(facts.names()), *RUN_FIELDS]
    what = asked.rpartition(".")[2]
    if what in STATISTICS:
        names += [f"{name}.{what}" for name in names if name.startswith("metrics.")]
    return names


def _values(
    facts: RunFacts, chosen: Sequence[int], fields: Iterable[Field]
) -> dict[str, list[Any]]:
    """Return the values of fields of some runs; a field that none of all runs has is an error."""
    fields = list(fields)
    asked = {metric for field in fields if field.part == "metrics" for metric, _ in field.metrics()}
    if asked:
        facts.read_metrics(chosen, asked)
    values: dict[str, list[Any]] = {}
    for field in fields:
        pairs = [facts.value(index, field) for index in chosen]
        values[field.name] = [value for _, value in pairs]
        if field.part != "run" and not any(has for has, _ in pairs):
            _check_known(facts, chosen, field)
    return values


def _check_known(facts: RunFacts, chosen: Sequence[int], field: Field) -> None:
    """Refuse a field that no run has, with those that are near; runs left out count, too."""
    if not facts.folders:
        return
    metrics = field.part == "metrics"
    known = _known(facts, field.name, metrics=metrics)
    others = set(range(len(facts.folders))) - set(chosen)
    if any(facts.value(index, field)[0] for index in others):
        return
    if not metrics and not near(field.name, known):
        known = _known(facts, field.name, metrics=True)
    raise QueryError(unknown(field.name, known))


def typed_table(
    columns: Sequence[str],
    rows: list[tuple[Any, ...]],
    folders: list[RunFolder],
    problems: list[str],
) -> RunTable:
    """Return a table with the type of each column."""
    from sacred.analysis.condition import typed

    types = [typed([row[number] for row in rows])[0] for number in range(len(columns))]
    return RunTable(tuple(columns), tuple(types), rows, folders, problems)
