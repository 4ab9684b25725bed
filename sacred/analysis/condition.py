"""A condition on runs: an expression of SQL over their fields, for DuckDB to judge."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from sacred.analysis.fields import RUN_FIELDS
from sacred.analysis.queries import READ_ONLY, _answer, sentence
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Condition", "typed"]

_LIMIT, _HUGE = 1 << 63, 1 << 127
#: What SQL takes for a function though it has no parentheses.
_NOW = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
_EXAMPLE = "config.lr < 0.1 and status = 'COMPLETED'"


class Condition:
    """An expression such as ``config.lr < 0.1 and status = 'COMPLETED'``.

    Parameters
    ----------
    text
        What DuckDB takes behind ``where``, over names of fields. A name that is no word of SQL
        stands in quotes: ``metrics."val/loss".min``.

    Attributes
    ----------
    names
        Of the fields in it, each once.

    Raises
    ------
    QueryError
        It is no expression, or more than one.
    """

    def __init__(self, text: str) -> None:
        import duckdb

        if not isinstance(text, str):
            raise QueryError(f"a condition is a text such as {_EXAMPLE!r}, not {text!r:.80}")
        if not text.strip():
            raise QueryError(f"a condition is empty: write one such as {_EXAMPLE}")
        self.text = text
        self._connection = duckdb.connect(":memory:")
        try:
            self._tree = self._parsed()
        except BaseException:
            self._connection.close()
            raise
        found: dict[str, None] = {}
        for node in _references(self._where()):
            found[".".join(str(name) for name in node["column_names"])] = None
        self.names = tuple(found)

    def _where(self) -> Any:
        return self._tree["statements"][0]["node"].get("where_clause")

    def _parsed(self) -> dict[str, Any]:
        # In parentheses nothing may follow it; without them it can not close any of ours.
        self._serialized(f"select k from t where (\n{self.text}\n)")  # noqa: S608 - parsed alone
        tree = self._serialized(f"select k from t where\n{self.text}\n")  # noqa: S608 - looked at below
        nodes: list[Any] = tree.get("statements") or []
        node = nodes[0].get("node", {}) if len(nodes) == 1 else {}
        plain = (
            node.get("type") == "SELECT_NODE"
            and (node.get("from_table") or {}).get("table_name") == "t"
            and not node.get("modifiers")
            and not node.get("group_expressions")
            and not node.get("having")
            and not node.get("qualify")
            and not node.get("sample")
        )
        if not plain or _has(node.get("where_clause"), {"SUBQUERY", "STAR", "WINDOW", "PARAMETER"}):
            raise QueryError(
                f"{self._quoted()} is no condition: it has to be an expression over a run's "
                f"entries, such as {_EXAMPLE}"
            )
        return tree

    def _serialized(self, statement: str) -> dict[str, Any]:
        """Return DuckDB's tree of a statement that has the condition from its second line on."""
        row = self._connection.execute(
            "select json_serialize_sql(?::varchar)", [statement]
        ).fetchone()
        tree: dict[str, Any] = json.loads(str(row[0])) if row else {}
        if tree.get("error"):
            raise QueryError(f"{self._quoted()} is no condition: {self._said(statement, tree)}")
        return tree

    def _null(self) -> dict[str, Any]:
        """Return DuckDB's tree of a value that is nothing."""
        row = self._connection.execute(
            "select json_serialize_sql('select null'::varchar)"
        ).fetchone()
        tree = json.loads(str(row[0])) if row else {}
        constant: dict[str, Any] = tree["statements"][0]["node"]["select_list"][0]
        return constant

    def _said(self, statement: str, tree: dict[str, Any]) -> str:
        import duckdb

        try:
            duckdb.extract_statements(statement)
        except duckdb.Error as error:
            said = sentence(error)
            line = re.search(r"\(line (\d+)", said)
            if (line and int(line[1]) > self.text.count("\n") + 2) or "end of input" in said:
                return "it ends too early"
            return re.sub(r"\(line (\d+)", lambda found: f"(line {int(found[1]) - 1}", said)
        return str(tree.get("error_message") or "it can not be read")

    def _quoted(self) -> str:
        text = " ".join(self.text.split())
        return repr(text if len(text) <= 80 else f"{text[:77]}...")

    def holds(self, columns: dict[str, Sequence[Any]], rows: int) -> list[int]:
        """Return which rows satisfy it, in order.

        Parameters
        ----------
        columns
            The values of each field of ``names``, by its name.
        rows
            How many each has.

        Raises
        ------
        QueryError
            DuckDB can not judge it: a function that does not exist, types that do not compare.
        """
        import duckdb

        if not rows:
            return []
        place = {name: f"f{number}" for number, name in enumerate(self.names)}
        terms = ["unnest($k::bigint[]) as k"]
        parameters: dict[str, list[Any]] = {"k": list(range(rows))}
        for name in self.names:
            given, made = _column(columns[name])
            parameters[place[name]] = given
            terms.append(f"{made.format(f'${place[name]}')} as {place[name]}")
        tree = json.loads(json.dumps(self._tree))
        for node in list(_references(tree["statements"][0]["node"].get("where_clause"))):
            name = ".".join(str(part) for part in node["column_names"])
            if all(value is None for value in columns[name]):
                # A column would have a type, with which not everything can be compared.
                node.clear()
                node.update(self._null())
            else:
                node["column_names"] = [place[name]]
        try:
            # Times have no zone; what they are compared with is taken to the same one.
            self._connection.execute("set timezone = 'UTC'")
            self._connection.execute(
                f"create or replace table t as select {', '.join(terms)}", parameters
            )
            sql = self._connection.execute(
                "select json_deserialize_sql(?::json)", [json.dumps(tree)]
            ).fetchone()
            for setting in ("set enable_external_access = false", *READ_ONLY):
                self._connection.execute(setting)
            found = _answer(self._connection, sql[0] if sql else "", _rows)
        except (duckdb.Error, QueryError) as error:
            said = sentence(error) if isinstance(error, duckdb.Error) else str(error)
            said = re.sub(r" \(line \d+.*\)$", "", said)
            for name, column in place.items():
                said = re.sub(rf'"?\b{column}\b"?', name.replace("\\", r"\\"), said)
            mixed = [name for name in self.names if _kinds(columns[name]) > 1]
            hint = (
                f"; not all runs have a value of one kind in {mixed[0]}, so that all are texts: "
                f"try_cast({mixed[0]} as double) takes the numbers"
                if mixed
                else ""
            )
            raise QueryError(f"{self._quoted()} can not be judged: {said}{hint}") from None
        finally:
            with contextlib.suppress(duckdb.Error):  # busy still, after Ctrl-C
                self._connection.close()
        return sorted(row[0] for row in found)


def _rows(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    return rows


def _column(values: Sequence[Any]) -> tuple[list[Any], str]:
    """Return values as DuckDB takes them, and the expression that makes a column of them."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, list) for value in known):
        kind, _ = typed([item for value in known for item in value])
        texts = [None if value is None else [_item(kind, i) for i in value] for value in values]
        if kind != "VARCHAR" or all(isinstance(i, str) for value in known for i in value):
            return texts, f"unnest({{}}::varchar[][])::{kind}[]"
    kind, given = typed(values)
    if kind == "DOUBLE":
        if all(type(value) is int and abs(value) < _HUGE for value in known):
            return [None if value is None else str(value) for value in values], (
                "unnest({}::varchar[])::hugeint"
            )
        # As texts: DuckDB 1 takes a NaN in a list of numbers for NULL.
        return [None if value is None else repr(value) for value in given], (
            "unnest({}::varchar[])::double"
        )
    return given, f"unnest({{}}::{kind}[])"


def _item(kind: str, item: Any) -> str | None:
    if item is None:
        return None
    if kind == "DOUBLE":
        return repr(float(item))
    return plain_text(item) if isinstance(item, str) else to_json(item)


def _kinds(values: Sequence[Any]) -> int:
    """Return of how many kinds values are: all numbers are of one."""
    return len({float if type(v) is int else type(v) for v in values if v is not None})


def typed(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a DuckDB type that holds all of some values, and them in it.

    Numbers stay numbers, truth values truth values, times times; where kinds are mixed, and for
    lists and groups, all are texts: of a text itself, of anything else as JSON.
    """
    from datetime import datetime

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "VARCHAR", [None] * len(values)
    if kinds == {bool}:
        return "BOOLEAN", list(values)
    if kinds == {int} and all(v is None or -_LIMIT <= v < _LIMIT for v in values):
        return "BIGINT", list(values)
    if kinds <= {int, float} and not _too_large(values):
        return "DOUBLE", [None if value is None else float(value) for value in values]
    if kinds == {datetime}:
        return "TIMESTAMP", list(values)
    return "VARCHAR", [None if value is None else _text(value) for value in values]


def _too_large(values: Sequence[Any]) -> bool:
    return any(type(value) is int and abs(value) >= 1 << 1023 for value in values)


def _text(value: Any) -> str:
    return plain_text(value) if isinstance(value, str) else to_json(value)


def _references(node: Any, bound: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """Yield the nodes that name a column; not what a lambda or SQL itself gives a meaning."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item, bound)
    elif isinstance(node, dict):
        names = node.get("column_names")
        if node.get("class") == "COLUMN_REF" and names:
            if names[0] not in bound and not (len(names) == 1 and names[0].lower() in _NOW):
                yield node
            return
        if node.get("class") == "LAMBDA":
            given = _given(node)
            if given is not None:
                yield from _references(node.get("expr"), bound | given)
                return
        for item in node.values():
            yield from _references(item, bound)


def _given(node: dict[str, Any]) -> frozenset[str] | None:
    """Return the names that a lambda gives; None of an arrow that takes an entry out of JSON."""
    left = node.get("lhs") or {}
    parts = left.get("arguments") or [left]
    names = []
    for part in parts:
        column: list[Any] = part.get("expression", part).get("column_names") or []
        if len(column) != 1 or (
            node.get("syntax_type") != "LAMBDA_KEYWORD" and column[0] in RUN_FIELDS
        ):
            return None
        names.append(str(column[0]))
    return frozenset(names)


def _has(node: Any, classes: set[str]) -> bool:
    if isinstance(node, list):
        return any(_has(item, classes) for item in node)
    if not isinstance(node, dict):
        return False
    return node.get("class") in classes or any(_has(item, classes) for item in node.values())
