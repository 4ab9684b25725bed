"""A condition on runs: an expression of SQL over their fields, for DuckDB to judge."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sacred.analysis.queries import READ_ONLY, sentence
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Condition", "typed"]

_LIMIT = 1 << 63


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

        self.text = text
        self._connection = duckdb.connect(":memory:")
        self._tree = self._parsed()
        found: dict[str, None] = {}
        for node in _references(self._where()):
            found[".".join(str(name) for name in node["column_names"])] = None
        self.names = tuple(found)

    def _where(self) -> Any:
        return self._tree["statements"][0]["node"].get("where_clause")

    def _parsed(self) -> dict[str, Any]:
        statement = f"select k from t where (\n{self.text}\n)"  # noqa: S608 - parsed, and looked at below
        row = self._connection.execute(
            "select json_serialize_sql(?::varchar)", [statement]
        ).fetchone()
        tree: dict[str, Any] = json.loads(str(row[0])) if row else {}
        if tree.get("error"):
            raise QueryError(f"{self._quoted()} is no condition: {self._said(tree)}")
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
                "entries, such as config.lr < 0.1 and status = 'COMPLETED'"
            )
        return tree

    def _null(self) -> dict[str, Any]:
        """Return DuckDB's tree of a value that is nothing."""
        row = self._connection.execute(
            "select json_serialize_sql('select null'::varchar)"
        ).fetchone()
        tree = json.loads(str(row[0])) if row else {}
        constant: dict[str, Any] = tree["statements"][0]["node"]["select_list"][0]
        return constant

    def _said(self, tree: dict[str, Any]) -> str:
        import duckdb

        try:
            duckdb.extract_statements(f"select (\n{self.text}\n)")
        except duckdb.Error as error:
            said = sentence(error)
            line = re.search(r"\(line (\d+)", said)
            if line and int(line[1]) > self.text.count("\n") + 2:
                return "it ends too early"
            # The text begins in the second line of what DuckDB was given.
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
        terms, parameters = ["unnest($k::bigint[]) as k"], {"k": list(range(rows))}
        mixed = []
        for name in self.names:
            kind, values = typed(columns[name])
            if kind == "VARCHAR" and any(isinstance(v, (int, float)) for v in columns[name]):
                mixed.append(name)
            given: list[Any] = list(values)
            if kind == "DOUBLE":  # as texts: DuckDB 1 takes a NaN in a list of numbers for NULL
                given = [None if value is None else repr(float(value)) for value in values]
            parameters[place[name]] = given
            listed = "VARCHAR" if kind == "DOUBLE" else kind
            terms.append(f"unnest(${place[name]}::{listed}[])::{kind} as {place[name]}")
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
            self._connection.execute(
                f"create or replace table t as select {', '.join(terms)}", parameters
            )
            sql = self._connection.execute(
                "select json_deserialize_sql(?::json)", [json.dumps(tree)]
            ).fetchone()
            for setting in READ_ONLY:
                self._connection.execute(setting)
            found = self._connection.execute(sql[0] if sql else "").fetchall()
        except duckdb.Error as error:
            hint = f"; {mixed[0]} is a text in some runs and a number in others" if mixed else ""
            said = re.sub(r" \(line \d+.*\)$", "", sentence(error))
            for name, column in place.items():
                said = re.sub(rf'"?\b{column}\b"?', name.replace("\\", r"\\"), said)
            raise QueryError(f"{self._quoted()} can not be judged: {said}{hint}") from None
        finally:
            self._connection.close()
        return sorted(row[0] for row in found)


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


def _references(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes that name a column."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node
        for item in node.values():
            yield from _references(item)


def _has(node: Any, classes: set[str]) -> bool:
    if isinstance(node, list):
        return any(_has(item, classes) for item in node)
    if not isinstance(node, dict):
        return False
    return node.get("class") in classes or any(_has(item, classes) for item in node.values())
