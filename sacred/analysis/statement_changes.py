"""What a statement changes that DuckDB calls a reading one.

Behind ``with x as (...)`` DuckDB 2 takes statements that change and that write files, and
``explain analyze`` of every version runs what it explains.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

__all__ = ["changes"]

_CHANGING = frozenset({"copy", "delete", "insert", "merge", "truncate", "update"})
_READING = frozenset(
    {"describe", "desc", "from", "pivot", "pivot_longer", "pivot_wider", "select", "show"}
    | {"summarize", "table", "unpivot", "values", "with", "("}
)


def changes(connection: Any, sql: str) -> str | None:
    """Return the first word of what a ``select``, a pivot or an ``explain`` would change with.

    Parameters
    ----------
    connection
        Of DuckDB, which parses it: nothing is asked there.
    sql
        One statement that DuckDB's parser takes.

    Returns
    -------
    Such as ``"copy"``; None if it reads only. In doubt a word: a pivot with a column that is named
    ``copy``, without quotes and right behind a parenthesis.
    """
    words = _words(sql)
    if words[:1] == ["explain"]:
        words = _explained(words[1:])
        if words and words[0] not in _READING:
            return words[0]
    else:
        found = _written_nodes(connection, sql)
        if found is not None:
            return found[0] if found else None
    for before, word in pairwise(words):
        if word in _CHANGING and before in {"(", ")"}:
            return word
    return None


def _written_nodes(connection: Any, sql: str) -> list[str] | None:
    """Return what changes according to DuckDB's tree of a statement; None if it gives none."""
    row = connection.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()
    text = str(row[0]) if row else ""
    if not text.startswith('{"error":false'):
        return None
    # In a text of the statement the quotes would stand behind backslashes.
    return [kind.lower() for kind in re.findall(r'"type":"(\w+)_QUERY_NODE"', text)]


def _explained(words: list[str]) -> list[str]:
    """Return the words behind ``explain`` and its options."""
    if words[:1] == ["("] and words[1:2] and words[1] not in _READING:
        return words[words.index(")") + 1 :]
    while words and words[0] in {"analyze", "analyse", "verbose"}:
        words = words[1:]
    return words


def _words(sql: str) -> list[str]:
    """Return the words and signs of a statement, without comments; of a name in quotes the quote."""
    import duckdb

    text = sql.encode()
    tokens = duckdb.tokenize(sql)  # with places in bytes
    ends = [place for place, _ in tokens[1:]] + [len(text)]
    found = []
    for (place, kind), end in zip(tokens, ends, strict=True):
        word = re.match(r"\w+|\S", text[place:end].decode(errors="replace"))
        if word and kind != duckdb.token_type.comment:
            found.append(word[0].lower())
    return found
