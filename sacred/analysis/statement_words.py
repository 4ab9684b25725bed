"""Statements as a person types them: where one ends, and what may stand at its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sacred.analysis.root_choice import NamedRoot, RootChoice
from sacred.journal.errors import JournalError
from sacred.replayers.errors import QueryError
from sacred.replayers.relations import RELATIONS

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot

__all__ = ["StatementWords", "Word", "split_statements"]

_KEYWORDS = (  # noqa: SIM905 - read more easily
    "select from where group by order by limit having join using on left inner as and or not in "
    "like between is null distinct case when then else end with union all asc desc pivot describe "
    "summarize explain count sum avg min max median stddev quantile_cont first last arg_min arg_max "
    "round coalesce cast try_cast date_trunc interval now true false qualify exists filter"
).split()
#: Runs whose metrics and configuration are looked at for names: the last ones.
_RUNS = 20
#: Columns whose values are names that a root has.
_NAMED = {
    "metric": "select distinct metric from metrics where run > {after}",
    "key": "select distinct key from config where run > {after}",
    "name": "select distinct name from runs where name is not null",
    "status": "select distinct status from runs",
}


class Word(NamedTuple):
    """What may stand at the end of what was typed.

    Attributes
    ----------
    text
        The whole word.
    typed
        How many characters of it are there.
    kind
        ``table``, ``column``, ``keyword``, or the column whose value it is.
    """

    text: str
    typed: int
    kind: str


def split_statements(text: str) -> tuple[list[str], str]:
    """Return the statements that are ended by a semicolon, and what stands behind the last one.

    A semicolon within a text, a name or a remark ends nothing.
    """
    import duckdb

    statements, begin = [], 0
    for place, _ in duckdb.tokenize(text):
        # The tokens of DuckDB have places in bytes.
        at = len(text.encode()[:place].decode("utf-8", "ignore"))
        if text[at : at + 1] == ";" and at >= begin:
            statement = text[begin:at].strip()
            if statement:
                statements.append(statement)
            begin = at + 1
    return statements, text[begin:].strip()


class StatementWords:
    """What may stand at the end of a statement about the runs of some roots.

    Parameters
    ----------
    choice
        The roots whose metrics, entries and experiments are offered. Those of a kind are read when they are
        asked for, once: of the last twenty runs, as the prompt waits.
    """

    def __init__(self, choice: RootChoice | JournalRoot) -> None:
        if not isinstance(choice, RootChoice):
            choice = RootChoice([NamedRoot(str(choice.path), choice)], several=False)
        self._choice = choice
        self._names: dict[str, list[str]] = {}
        self._of_every: tuple[str, ...] = ()
        if choice.several:
            self._of_every = ("root",)
            self._names["root"] = [name for name, _ in choice.roots]

    def _names_of(self, column: str) -> list[str]:
        from sacred.analysis.queries import query

        if column not in self._names:
            self._names[column] = []
            try:
                found: set[str] = set()
                for _, root in self._choice.roots:
                    numbers = root.numbers()
                    after = numbers[-_RUNS] - 1 if len(numbers) >= _RUNS else 0
                    rows = query(_NAMED[column].format(after=after), root).rows
                    found.update(str(row[0]) for row in rows if row[0] is not None)
                self._names[column] = sorted(found)
            except (JournalError, QueryError, OSError):
                pass  # there is less to offer
        return self._names[column]

    def at_end_of(self, text: str) -> list[Word]:
        """Return what may stand at the end of a text, the likeliest first.

        Parameters
        ----------
        text
            Of the statement, up to the cursor.
        """
        quoted = re.search(r"'([^']*)$", text) if text.count("'") % 2 else None
        if quoted is not None:
            return self._values(text[: quoted.start()], quoted[1])
        typed = re.search(r"[\w.]*$", text)
        word = typed[0] if typed else ""
        before = text[: len(text) - len(word)]
        if "." in word:
            return self._columns_of(text, word)
        if re.search(r"\b(from|join|describe|summarize)\s+$", before, re.IGNORECASE):
            return _fitting([(name, "table") for name in RELATIONS], word)
        named = _relations_in(text)
        columns = [*self._of_every]
        columns += [c.name for name in named or RELATIONS for c in RELATIONS[name].columns]
        words = [(name, "column") for name in dict.fromkeys(columns)]
        words += [(name, "table") for name in RELATIONS]
        words += [(name, "keyword") for name in _KEYWORDS]
        return _fitting(words, word) if word else []

    def _columns_of(self, text: str, word: str) -> list[Word]:
        alias, _, part = word.rpartition(".")
        names = [alias] if alias in RELATIONS else []
        names += re.findall(rf"\b({'|'.join(RELATIONS)})\s+(?:as\s+)?{re.escape(alias)}\b", text)
        columns = [*self._of_every] if names else []
        columns += [column.name for name in names for column in RELATIONS[name].columns]
        return _fitting([(name, "column") for name in columns], part)

    def _values(self, before: str, typed: str) -> list[Word]:
        named = re.search(r"(\w+)\s*(?:=|<>|!=|like|in\s*\([^()]*)\s*$", before, re.IGNORECASE)
        column = named[1].lower() if named else ""
        columns = [column] if column in _NAMED or column in self._of_every else []
        words = [(value, name) for name in columns for value in self._names_of(name)]
        return _fitting(words, typed)


def _fitting(words: list[tuple[str, str]], typed: str) -> list[Word]:
    lowered = typed.lower()
    found = {
        text: Word(text, len(typed), kind)
        for text, kind in words
        if text.lower().startswith(lowered) and text != typed
    }
    return list(found.values())


def _relations_in(text: str) -> list[str]:
    words = {word.lower() for word in re.findall(r"\w+", text)}
    return [name for name in RELATIONS if name in words]
