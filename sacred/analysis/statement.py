"""What a statement of SQL may read: which relations, which columns, and of which runs.

DuckDB says how it takes a statement apart (``json_serialize_sql``); what is recognised there makes
the reader's work less, and what is not is read whole. So the answer never depends on it: DuckDB
filters what it is given once more.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.expressions import is_of_the_row, keeps_holding, references
from sacred.replayers.relations import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Condition", "Scan", "Statement"]

#: Functions that take the name of a table as a value.
_NAMED_BY_VALUES = frozenset({"query", "query_table"})
_EVERY = {name: frozenset(c.name for c in it.columns) for name, it in RELATIONS.items()}


class Condition(NamedTuple):
    """What rows of one relation have to satisfy.

    Attributes
    ----------
    columns
        That it is over.
    tree
        As DuckDB takes it apart.
    """

    columns: frozenset[str]
    tree: Any


class Scan(NamedTuple):
    """One place of a statement that reads a relation.

    Attributes
    ----------
    relation
        Its name.
    alias
        What the statement calls it there.
    conditions
        What rows have to satisfy there, each over columns of this scan alone.
    group
        Scans of one group are joined so that only rows of the same run meet; None: of no group.
    """

    relation: str
    alias: str
    conditions: tuple[Condition, ...] = ()
    group: int | None = None


class Statement:
    """A statement that reads.

    Parameters
    ----------
    connection
        Of DuckDB.
    sql
        One statement that DuckDB's parser takes.
    several
        Whether it is about several roots: each relation has a column ``root`` then, and only rows
        of the same root and run are of one run.

    Attributes
    ----------
    connection
        As given.
    tree
        As DuckDB takes it apart; None if it does not say.
    relations
        Those it may read.
    scans
        Where it reads them, by relation; a relation that stands in ``relations`` and not here is
        read in a way that is not understood: it has to be whole.
    """

    def __init__(self, connection: Any, sql: str, *, several: bool = False) -> None:
        self.connection = connection
        self._several = several
        self.tree: dict[str, Any] | None = None
        self._groups = 0
        self._names: set[str] = set()
        self._last: set[str] = set()  # the last parts of names: the column's, if it has no entries
        self._aliases: set[str] = set()
        self._common: set[str] = set()  # names of queries that stand in front ("with")
        self._every_column = False
        self.relations: set[str] = set()
        self.scans: dict[str, list[Scan]] = {}
        try:
            self.tree = _tree(connection, sql)
            known = self._understood(self.tree)
        except RecursionError:
            known = False
        if not known:
            words = _words(sql)
            self.relations = set(RELATIONS) if words & _NAMED_BY_VALUES else words & set(RELATIONS)
            self._every_column = True
            self.scans.clear()

    def _understood(self, tree: dict[str, Any] | None) -> bool:
        """Look through the tree; tell whether there is one."""
        if tree is None:
            return False
        self._look(tree)
        # The name of a table in the place of a column's is its row as one value.
        if self._last & (self._aliases | set(RELATIONS)):
            self._every_column = True
        if self._common & set(RELATIONS):
            self.scans.clear()  # which of the two is meant depends on the place
        return True

    def columns(self, relation: str) -> frozenset[str]:
        """Return the columns of a relation that may be read."""
        every = _EVERY[relation]
        return every if self._every_column else every & self._names

    def rows_where(
        self,
        alias: str,
        conditions: Sequence[Condition],
        table: str,
        column: str,
        *,
        root: str | None = None,
    ) -> set[Any] | None:
        """Return the values of a column of a table in rows that satisfy conditions of a scan.

        Parameters
        ----------
        alias
            Of the scan.
        conditions
            Of it, one at least.
        table
            A table of the connection that has the columns the conditions are over.
        column
            Of that table.
        root
            What the column ``root`` says there; None: there is none.

        Returns
        -------
        None, if DuckDB does not say.
        """
        import duckdb

        source = _quoted(table)
        if root is not None:
            text = "'" + root.replace("'", "''") + "'"
            source = f"(select {text} as root, * from {source})"  # noqa: S608 - quoted
        every = f"select distinct {_quoted(column)} from {source} as {_quoted(alias)}"  # noqa: S608 - quoted
        tree = _tree(self.connection, every)
        if tree is None:
            return None
        trees = [condition.tree for condition in conditions]
        tree["statements"][0]["node"]["where_clause"] = (
            trees[0]
            if len(trees) == 1
            else {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": trees}
        )
        try:
            found = self.connection.execute(
                "select json_deserialize_sql(?::json)", [json.dumps(tree)]
            ).fetchone()
            return {row[0] for row in self.connection.execute(found[0]).fetchall()}
        except duckdb.Error:
            return None

    # -- taking it apart ---------------------------------------------------------------------------

    def _look(self, node: Any) -> None:
        """Look at a part of the tree and all that is in it."""
        if isinstance(node, list):
            for item in node:
                self._look(item)
        elif isinstance(node, dict):
            if node.get("type") == "SELECT_NODE":
                self._look_at_select(node)
                return
            if node.get("type") == "ORDER_MODIFIER":
                # "order by all" is a star: of what is selected, which was looked at.
                orders = [order.get("expression") for order in node.get("orders") or ()]
                self._look([each for each in orders if each and each.get("class") != "STAR"])
                return
            if node.get("type") == "SHOW_REF" and node.get("show_type") == "DESCRIBE":
                return  # of columns, not of rows
            if node.get("type") == "BASE_TABLE":
                self._found(Scan(_name_of(node), _alias_of(node)))
            self._note(node)
            for item in node.values():
                self._look(item)

    def _note(self, node: dict[str, Any]) -> None:
        """Note what a node says of columns."""
        sort, kind = node.get("class"), str(node.get("type"))
        if sort == "COLUMN_REF":
            # Each part may be the column: of a table, or one that has entries.
            names = [str(name).lower() for name in node.get("column_names") or ()]
            self._names.update(names)
            self._last.update(names[-1:])
        if sort == "STAR" or kind in {"SHOW_REF", "PIVOT"} or node.get("ref_type") == "NATURAL":
            self._every_column = True
        if kind == "BASE_TABLE":
            self._aliases.add(_alias_of(node).lower())
            self._every_column |= bool(node.get("column_name_alias"))
        if str(node.get("function_name", "")).lower() in _NAMED_BY_VALUES:
            self.relations = set(RELATIONS)
            self._every_column = True
        self._names.update(str(name).lower() for name in node.get("using_columns") or ())

    def _found(self, scan: Scan) -> None:
        if scan.relation in RELATIONS:
            self.relations.add(scan.relation)
            self.scans.setdefault(scan.relation, []).append(scan)

    def _look_at_select(self, node: dict[str, Any]) -> None:
        self._note(node)
        for entry in (node.get("cte_map") or {}).get("map") or ():
            self._common.add(str(entry.get("key", "")).lower())
        source = _Source(node.get("from_table"), several=self._several)
        if source.is_plain and not node.get("sample"):
            conditions = [*source.conditions, *_conjuncts(node.get("where_clause"))]
            group = None
            if source.meet_by_run(conditions):
                group = self._groups
                self._groups += 1
            for table in source.tables:
                own = [Condition(_columns_of(c), c) for c in conditions if source.is_of(c, table)]
                self._note(table)
                self._found(Scan(_name_of(table), _alias_of(table), tuple(own), group))
            self._look_beside(node.get("from_table"))
        else:
            self._look(node.get("from_table"))
        for key, item in node.items():
            if key != "from_table":
                self._look(item)

    def _look_beside(self, source: Any) -> None:
        """Look at what stands in a plain source besides its tables."""
        if isinstance(source, dict) and source.get("type") != "BASE_TABLE":
            self._note(source)
            self._look(source.get("condition"))
            self._look_beside(source.get("left"))
            self._look_beside(source.get("right"))


class _Source:
    """What stands behind ``from``: tables that are joined so that each row needs one of each.

    Attributes
    ----------
    tables
        As DuckDB's trees.
    conditions
        Of its joins.
    is_plain
        Whether it is nothing but that.
    """

    def __init__(self, node: Any, *, several: bool = False) -> None:
        self.tables: list[dict[str, Any]] = []
        self.conditions: list[Any] = []
        #: By which columns rows are of one run, and how many joins name each behind "using".
        self._by = dict.fromkeys(("root", "run") if several else ("run",), 0)
        self._several = several
        self.is_plain = self._take(node)

    def _take(self, node: Any) -> bool:
        if not isinstance(node, dict) or node.get("sample"):
            return False
        if node.get("type") == "BASE_TABLE":
            self.tables.append(node)
            odd = node.get("column_name_alias") or node.get("at_clause")
            return _name_of(node) in RELATIONS and not odd
        if node.get("type") != "JOIN" or node.get("join_type") != "INNER":
            return False
        if node.get("ref_type") not in {"REGULAR", "CROSS"}:
            return False
        for name in node.get("using_columns") or ():
            if str(name).lower() in self._by:
                self._by[str(name).lower()] += 1
        self.conditions += _conjuncts(node.get("condition"))
        return self._take(node.get("left")) and self._take(node.get("right"))

    def meet_by_run(self, conditions: list[Any]) -> bool:
        """Tell whether only rows of one run meet, for all its tables together."""
        return len(self.tables) > 1 and all(self._meet_by(name, conditions) for name in self._by)

    def _meet_by(self, column: str, conditions: list[Any]) -> bool:
        """Tell whether only rows meet that have the same in a column."""
        if self._by[column] == len(self.tables) - 1:
            return True
        reached = {_alias_of(self.tables[0]).lower()}
        pairs = [pair for c in conditions if (pair := self._equal(c, column))]
        for _ in self.tables:
            for pair in pairs:
                if pair & reached:
                    reached |= pair
        return reached == {_alias_of(table).lower() for table in self.tables}

    def _equal(self, condition: Any, column: str) -> frozenset[str] | None:
        """Return the two tables that a condition has be the same in a column."""
        if not isinstance(condition, dict) or condition.get("type") != "COMPARE_EQUAL":
            return None
        sides = []
        for side in (condition.get("left"), condition.get("right")):
            names = side.get("column_names") if isinstance(side, dict) else None
            if not names or len(names) != 2 or str(names[1]).lower() != column:
                return None
            sides.append(str(names[0]).lower())
        return frozenset(sides)

    def is_of(self, condition: Any, table: dict[str, Any]) -> bool:
        """Tell whether a condition is over columns of one of the tables alone."""
        if not is_of_the_row(condition) or not keeps_holding(condition):
            return False
        named = list(references(condition))
        joins = len(self.tables) - 1
        shared = [[name] for name, count in self._by.items() if count == joins]
        return bool(named) and all(
            names in shared or self._table_of(names) is table for names in named
        )

    def _table_of(self, names: list[str]) -> dict[str, Any] | None:
        """Return the table whose column is named, if that is sure."""
        if len(names) == 2:
            having = [t for t in self.tables if _alias_of(t).lower() == names[0].lower()]
        elif len(names) == 1:
            having = [t for t in self.tables if self._has(t, names[0])]
        else:
            return None
        if len(having) != 1 or not self._has(having[0], names[-1]):
            return None
        return having[0]

    def _has(self, table: dict[str, Any], column: str) -> bool:
        name = column.lower()
        return name in _EVERY[_name_of(table)] or (self._several and name == "root")


def _tree(connection: Any, sql: str) -> dict[str, Any] | None:
    """Return how DuckDB takes a statement apart; None if it does not say."""
    import duckdb

    try:
        (text,) = connection.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()
    except duckdb.Error:
        return None
    tree = json.loads(text)
    return None if tree.get("error") or len(tree.get("statements") or ()) != 1 else tree


def _words(sql: str) -> set[str]:
    return {word.lower() for word in re.findall(r"\w+", sql)}


def _name_of(table: dict[str, Any]) -> str:
    return str(table.get("table_name", "")).lower()


def _alias_of(table: dict[str, Any]) -> str:
    return str(table.get("alias") or table.get("table_name", ""))


def _conjuncts(node: Any) -> list[Any]:
    if not isinstance(node, dict):
        return []
    if node.get("type") == "CONJUNCTION_AND":
        return [each for child in node.get("children") or () for each in _conjuncts(child)]
    return [node]


def _columns_of(condition: Any) -> frozenset[str]:
    return frozenset(names[-1].lower() for names in references(condition))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
