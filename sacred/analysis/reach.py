"""From when to when rows have to be that satisfy a statement's conditions on a time.

DuckDB is asked: a comparison of a time with something that does not depend on the row holds from
some moment on, or up to one, and which one that is can be found by asking of a few thousand times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.expressions import FALLING, RISING, is_time, references
from sacred.analysis.statement import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.analysis.statement import Scan, Statement

__all__ = ["Reach", "reaches"]

#: Further than a journal's times go (us since the epoch): they are 64-bit numbers of ns.
_FIRST, _LAST = -(1 << 53) - (1 << 50), (1 << 53) + (1 << 50)
#: So many times are asked of at once, and so often: a 512th of what is left each time.
_SAMPLES = 512
#: How near is near enough (us).
_CLOSE = 1_000_000
_TIMES = "sacred_asked_times"


class Reach(NamedTuple):
    """From when to when (us since the epoch, both counted); of nothing if the first is later."""

    first: int
    last: int

    def meets(self, first_ns: int, last_ns: int) -> bool:
        """Tell whether a time between two of a sealed file's index (ns) may be in reach."""
        # An index has 0 for what was before 1970.
        first = first_ns // 1000 if first_ns > 0 else _FIRST
        return self.first <= last_ns // 1000 and self.last >= first


def reaches(statement: Statement, scans: Iterable[Scan], column: str = "time") -> list[Reach]:
    """Return in which times all rows are that a statement can use of a relation.

    Parameters
    ----------
    statement
        With the connection that it will be asked on; times without a zone are UTC there.
    scans
        All places of it that read the relation.
    column
        The relation's time.

    Returns
    -------
    One for each place; nothing if one of them may need rows of any time.
    """
    found = []
    for scan in scans:
        reach = Reach(_FIRST, _LAST)
        for condition in scan.conditions:
            if condition.columns == {column}:
                for tree in _comparisons(condition.tree):
                    own = _reach_of(statement, scan.alias, tree, column)
                    reach = Reach(max(reach.first, own.first), min(reach.last, own.last))
        if reach == (_FIRST, _LAST):
            return []
        found.append(reach)
    return found


def _comparisons(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a condition comes to: comparisons of the order, all of which have to hold."""
    if tree.get("type") == "COMPARE_EQUAL":
        return [{**tree, "type": f"COMPARE_{way}THANOREQUALTO"} for way in ("GREATER", "LESS")]
    if tree.get("type") == "COMPARE_BETWEEN" and "input" in tree:
        sides = {key: tree[key] for key in ("input", "lower", "upper")}
        rest = {key: value for key, value in tree.items() if key not in sides}
        rest["class"] = "COMPARISON"
        bounds = (("COMPARE_GREATERTHANOREQUALTO", "lower"), ("COMPARE_LESSTHANOREQUALTO", "upper"))
        return [
            {**rest, "type": kind, "left": sides["input"], "right": sides[key]}
            for kind, key in bounds
        ]
    return [tree] if tree.get("type") in RISING | FALLING else []


def _reach_of(statement: Statement, alias: str, tree: dict[str, Any], column: str) -> Reach:
    every = Reach(_FIRST, _LAST)
    left, right = tree.get("left"), tree.get("right")
    up = tree["type"] in RISING
    if is_time(right):
        left, right, up = right, left, not up
    if not is_time(left) or next(references(right), None) is not None:
        return every
    asked = _Asked(statement, alias, Condition(frozenset({column}), tree), column)
    bound = asked.bound(up=up)
    if bound is None:
        return every
    return Reach(bound, _LAST) if up else Reach(_FIRST, bound)


class _Asked:
    """One comparison, of which DuckDB says for which times it holds."""

    def __init__(self, statement: Statement, alias: str, condition: Condition, column: str) -> None:
        self._statement = statement
        self._alias = alias
        self._condition = condition
        self._column = column

    def bound(self, *, up: bool) -> int | None:
        """Return a time before the first for which it holds if ``up``, else one behind the last.

        Returns
        -------
        At most a second before or behind it; beyond all times where it holds for none. None where
        DuckDB does not say, or what it says is not in order.
        """
        low, high = _FIRST, _LAST
        holding = self._holding([low, high])
        if holding is None:
            return None
        if holding == {low, high}:
            return low if up else high
        if not holding:
            return _LAST + 1 if up else _FIRST - 1
        if holding != {high if up else low}:
            return None
        while high - low > _CLOSE:
            times = [*range(low, high, (high - low) // _SAMPLES), high]
            holding = self._holding(times)
            if not holding:
                return low if up and holding is not None else None  # the clock went on meanwhile
            others = set(times) - holding
            if up:
                low, high = max(others, default=low), min(holding)
            else:
                low, high = max(holding), min(others, default=high)
            if low > high:
                return None
        return low if up else high

    def _holding(self, times: list[int]) -> set[int] | None:
        made = f'select t, make_timestamp(t) as "{self._column}" from (select unnest($times) as t)'  # noqa: S608 - our own names
        self._statement.connection.execute(
            f"create or replace table {_TIMES} as {made}", {"times": times}
        )
        return self._statement.rows_where(self._alias, [self._condition], _TIMES, "t")
