"""Statements that would take runs of several roots for one, because they have the same number.

Each root counts its runs from 1. Over several roots a join, a group or a list by ``run`` alone puts
together what has nothing to do with each other, and the answer would look right. Such a statement
is refused with what to write. What is not recognised is answered as SQL says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.analysis.expressions import references
from sacred.replayers.errors import QueryError
from sacred.replayers.relations import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["refuse_mixed_runs"]

_WHY = "the roots have runs of the same numbers"


def refuse_mixed_runs(tree: Any) -> None:
    """Refuse a statement over several roots that names ``run`` without ``root`` where rows meet.

    Parameters
    ----------
    tree
        As DuckDB takes it apart; None: it does not say.

    Raises
    ------
    QueryError
        The text says what to write.
    """
    _look(tree, frozenset())


def _look(node: Any, common: frozenset[str]) -> None:
    """Look at a part of the tree; ``common`` are names of queries that stand in front."""
    if isinstance(node, list):
        for item in node:
            _look(item, common)
    elif isinstance(node, dict):
        entries = (node.get("cte_map") or {}).get("map") or ()
        common |= {str(entry.get("key", "")).lower() for entry in entries}
        if node.get("type") == "SELECT_NODE":
            _check_select(node, common)
        for item in node.values():
            _look(item, common)


def _check_select(node: dict[str, Any], common: frozenset[str]) -> None:
    tables = dict(_tables(node.get("from_table"), common))
    if tables and not any(tables.values()):
        return  # of files alone
    conditions = [*_conjuncts(node.get("where_clause")), *_joined(node.get("from_table"))]
    told = {name[0].lower() for name in references(conditions) if _is_of(name, "root")}
    for join in _joins(node.get("from_table")):
        using = {str(name).lower() for name in join.get("using_columns") or ()}
        sides = [dict(_tables(join.get(side), common)) for side in ("left", "right")]
        ours = all(any(side.values()) for side in sides)
        if "run" in using and "root" not in using and ours and len(told) < 2:
            raise QueryError(f"{_WHY}: join using (root, run)")
    for condition in conditions:
        pair = _equal_runs(condition)
        if pair and pair[0] != pair[1] and not set(pair) <= told:
            if not all(tables.get(name, True) for name in pair):
                continue
            left, right = pair
            raise QueryError(f"{_WHY}: write {left}.root = {right}.root, too, in the condition")
    if any(map(_says_root, conditions)):
        return
    if _without_root(_groups(node)):
        raise QueryError(f"{_WHY}: select and group by root, too (group by root, run)")
    outside = [node.get(part) for part in ("select_list", "where_clause", "having", "qualify")]
    for part in _inside([outside, conditions, node.get("modifiers")]):
        if part.get("class") == "WINDOW" and _without_root(part.get("partitions") or ()):
            raise QueryError(f"{_WHY}: partition by root, run")
        if part.get("subquery_type") == "ANY" and _without_root([part.get("child")]):
            raise QueryError(f"{_WHY}: write (root, run) in (select root, run ...)")
        if part.get("distinct") is True and part.get("class") == "FUNCTION":
            arguments = part.get("arguments") or part.get("children") or ()
            of = [each.get("expression", each) for each in arguments if isinstance(each, dict)]
            if _without_root(of):
                raise QueryError(f"{_WHY}: count(distinct (root, run))")


def _tables(node: Any, common: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Yield the names of what a statement reads, and whether it has runs of ours, as far as seen."""
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if kind == "JOIN":
        yield from _tables(node.get("left"), common)
        yield from _tables(node.get("right"), common)
    elif kind not in {None, "EMPTY"}:
        name = str(node.get("table_name") or "").lower()
        alias = str(node.get("alias") or name).lower()
        ours = name in RELATIONS or name in common if kind == "BASE_TABLE" else kind == "SUBQUERY"
        yield alias, ours


def _joins(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict) and node.get("type") == "JOIN":
        yield node
        yield from _joins(node.get("left"))
        yield from _joins(node.get("right"))


def _joined(node: Any) -> list[Any]:
    return [each for join in _joins(node) for each in _conjuncts(join.get("condition"))]


def _conjuncts(node: Any) -> list[Any]:
    if not isinstance(node, dict):
        return []
    if node.get("type") == "CONJUNCTION_AND":
        return [each for child in node.get("children") or () for each in _conjuncts(child)]
    return [node]


def _equal_runs(condition: Any) -> tuple[str, str] | None:
    """Return the two tables whose runs a condition has be the same."""
    if not isinstance(condition, dict) or condition.get("type") != "COMPARE_EQUAL":
        return None
    names = [_name_of(condition.get(side)) for side in ("left", "right")]
    if all(_is_of(name, "run") and len(name) == 2 for name in names):
        return names[0][0].lower(), names[1][0].lower()
    return None


def _says_root(condition: Any) -> bool:
    """Tell whether a condition lets one root through."""
    if not isinstance(condition, dict) or condition.get("type") != "COMPARE_EQUAL":
        return False
    sides = [condition.get("left"), condition.get("right")]
    constant = any(isinstance(s, dict) and s.get("class") == "CONSTANT" for s in sides)
    return constant and any(_is_of(_name_of(side), "root") for side in sides)


def _groups(node: dict[str, Any]) -> list[Any]:
    """Return what a select groups by: expressions, also where it names them by place or as all."""
    selected = [each for each in node.get("select_list") or () if isinstance(each, dict)]
    if node.get("aggregate_handling") == "FORCE_AGGREGATES":
        return selected
    named = {str(each["alias"]).lower(): each for each in selected if each.get("alias")}
    groups: list[Any] = []
    for group in node.get("group_expressions") or ():
        name = _name_of(group)
        place = _whole(group)
        if place is not None and 0 < place <= len(selected):
            groups.append(selected[place - 1])
        elif len(name) == 1:
            groups.append(named.get(name[0].lower(), group))
        else:
            groups.append(group)
    return groups


def _whole(node: Any) -> int | None:
    """Return the number that a constant is."""
    if not isinstance(node, dict) or node.get("class") != "CONSTANT":
        return None
    value = str((node.get("literal") or {}).get("text", (node.get("value") or {}).get("value")))
    return int(value) if value.isdigit() else None


def _without_root(expressions: Iterable[Any]) -> bool:
    names = list(map(_name_of, expressions))
    has_run = any(_is_of(name, "run") for name in names)
    return has_run and not any(_is_of(name, "root") for name in names)


def _inside(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of expressions, without those of selects within."""
    if isinstance(node, list):
        for item in node:
            yield from _inside(item)
    elif isinstance(node, dict) and node.get("type") != "SELECT_NODE":
        yield node
        for item in node.values():
            yield from _inside(item)


def _name_of(node: Any) -> list[str]:
    """Return the parts of a column's name; nothing if it is no column."""
    if not isinstance(node, dict) or node.get("class") != "COLUMN_REF":
        return []
    return [str(name) for name in node.get("column_names") or ()]


def _is_of(name: list[str], column: str) -> bool:
    return bool(name) and name[-1].lower() == column
