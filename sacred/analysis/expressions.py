"""Expressions of SQL, as DuckDB takes them apart (``json_serialize_sql``): what they depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FALLING", "RISING", "is_of_the_row", "is_time", "keeps_holding", "references"]

#: Expressions that need more than a row, or that only the statement gives a meaning.
_NOT_OF_THE_ROW = frozenset({"SUBQUERY", "WINDOW", "STAR", "PARAMETER", "LAMBDA"})
#: Functions that give another value each time: a filter by them, made twice, gives too little.
_VOLATILE = frozenset(
    {
        *("random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid"),
        *("nextval", "currval", "setseed", "write_log"),
    }
)
#: Functions whose value is another one when the statement is answered.
_OF_THE_MOMENT = frozenset(
    {
        *("now", "today", "get_current_timestamp", "get_current_time", "transaction_timestamp"),
        *(
            "current_date",
            "current_time",
            "current_timestamp",
            "localtime",
            "localtimestamp",
            "age",
        ),
    }
)
_CLOCKS = frozenset({"now", "today", "get_current_timestamp", "transaction_timestamp"})
#: Comparisons that hold from a value of the left side on, and up to one.
RISING = frozenset({"COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO"})
FALLING = frozenset({"COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO"})
#: Casts that keep the order of times.
_IN_ORDER = frozenset({"date", "timestamp", "timestamp with time zone", "timestamptz"})


def references(node: Any) -> Iterator[list[str]]:
    """Yield the names of each column that a condition is over."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield [str(name) for name in node.get("column_names") or ()]
        for item in node.values():
            yield from references(item)


def is_of_the_row(node: Any) -> bool:
    """Tell whether an expression has one value for a row, whatever else is asked."""
    if isinstance(node, list):
        return all(map(is_of_the_row, node))
    if not isinstance(node, dict):
        return True
    if node.get("class") in _NOT_OF_THE_ROW:
        return False
    if str(node.get("function_name", "")).lower() in _VOLATILE:
        return False
    return all(map(is_of_the_row, node.values()))


def keeps_holding(condition: Any) -> bool:
    """Tell whether rows that satisfy a condition when the statement is answered do so now, too.

    The clock goes on meanwhile: what is later than an hour ago then is so now, and not vice versa.
    """
    if not _tells_time(condition):
        return True
    left, right = condition.get("left"), condition.get("right")
    if condition.get("type") in FALLING:
        left, right = right, left
    elif condition.get("type") not in RISING:
        return False
    return not _tells_time(left) and _grows(right)


def is_time(node: Any) -> bool:
    """Tell whether it is a column; or one that is made something in the same order."""
    if not isinstance(node, dict):
        return False
    if node.get("class") == "CAST":
        return _keeps_order(node) and is_time(node.get("child"))
    return node.get("class") == "COLUMN_REF"


def _keeps_order(cast: dict[str, Any]) -> bool:
    kind = cast.get("type_expr") or cast.get("cast_type") or {}
    name = str(kind.get("type_name") or kind.get("id") or "").lower()
    return name in _IN_ORDER and not cast.get("try_cast")


def _tells_time(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_tells_time, node))
    if not isinstance(node, dict):
        return False
    if str(node.get("function_name", "")).lower() in _OF_THE_MOMENT:
        return True
    return any(map(_tells_time, node.values()))


def _grows(node: Any) -> bool:
    """Tell whether an expression is later when it is asked later."""
    if not isinstance(node, dict):
        return False
    if node.get("class") == "CAST":
        return _keeps_order(node) and _grows(node.get("child"))
    name = str(node.get("function_name", "")).lower()
    arguments = node.get("arguments") or node.get("children") or []
    parts = [each.get("expression", each) for each in arguments if isinstance(each, dict)]
    if name in {"-", "+"} and len(parts) == 2:
        return _grows(parts[0]) and not _tells_time(parts[1])
    return name in _CLOCKS and not parts
