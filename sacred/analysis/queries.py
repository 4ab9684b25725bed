"""SQL over the journals themselves, by DuckDB.

A query sees the relations of ``docs/queries.md``, made anew from the journals; those it does not
name are left empty. It can not read or write files, change settings or load anything.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

from sacred.analysis.loader import Loader
from sacred.analysis.mixed_runs import refuse_mixed_runs
from sacred.analysis.moment import moment_of
from sacred.analysis.root_choice import RootChoice
from sacred.analysis.statement import Statement
from sacred.analysis.statement_changes import changes
from sacred.replayers.duckdb_settings import ALONE
from sacred.replayers.errors import QueryError
from sacred.replayers.plain import plain_text
from sacred.replayers.relations import RELATIONS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot

    Place = JournalRoot | str | os.PathLike[str]

__all__ = ["READ_ONLY", "QueryResult", "StatementError", "query", "sentence"]

#: With less DuckDB answers nothing.
_LEAST_MEMORY = 1 << 25
_FEW_THREADS = 1 << 29
_UNITS = {"": 1, "b": 1} | {
    f"{letter}{end}": base**power
    for end, base in (("b", 1000), ("ib", 1024), ("", 1000))
    for power, letter in enumerate("kmgt", 1)
}

READ_ONLY = (
    *ALONE,
    "set lock_configuration = true",
)
#: Unless files were asked for. What writes is refused before (``_check``), and what could reach
#: another machine is an extension, of which none is loaded.
_NO_FILES = "set enable_external_access = false"


class StatementError(QueryError):
    """A statement is wrong at a place that is known.

    Attributes
    ----------
    line, column
        The place, from 1.
    pointer
        The line of the statement, and one that has marks below the place.
    """

    def __init__(self, text: str, line: int, column: int, pointer: tuple[str, str]) -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.pointer = pointer


class QueryResult:
    """What a query gave.

    Attributes
    ----------
    columns
        Names.
    rows
        Tuples of Python values; times are naive UTC.
    problems
        A sentence for each run that could not be read whole.
    """

    def __init__(self, connection: Any, sql: str, problems: list[str]) -> None:
        self._connection = connection
        self._sql = sql
        self.problems = problems
        self.columns: list[str]
        self.rows: list[tuple[Any, ...]]
        self.columns, self.rows = _answer(connection, sql, _names_and_rows)

    def __repr__(self) -> str:
        """Show the columns and the first rows."""
        lines = [", ".join(self.columns), *map(repr, self.rows[:20])]
        more = len(self.rows) - 20
        return "\n".join([*lines, f"... and {more} more"] if more > 0 else lines)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def close(self) -> None:
        """Let go of what was read; columns and rows stay."""
        self._connection.close()

    def arrow(self) -> Any:
        """Return the result as a ``pyarrow.Table``; needs pyarrow, asks DuckDB again."""
        return _answer(self._connection, self._sql, _arrow_table)

    def df(self) -> Any:
        """Return the result as a pandas ``DataFrame``; needs pandas, asks DuckDB again."""
        return _answer(
            self._connection, self._sql, lambda connection, sql: connection.execute(sql).df()
        )


def query(
    sql: str,
    root: Place | Sequence[Place] | RootChoice | None = None,
    *,
    memory: int | str | None = None,
    cache: bool = True,
    at: Moment | str | int | dt.datetime | None = None,
    files: bool = False,
) -> QueryResult:
    """Ask the journals a question in SQL.

    Parameters
    ----------
    sql
        One statement that reads: ``select``, ``from``, ``with``, ``pivot``, ``describe``,
        ``summarize``, ``explain``.
    root
        Where the runs are; found as ``sacred ls`` finds it if None. Of a list of roots all runs
        are there, and every relation has a column ``root`` in front: the path as it was given.
    memory
        What the question may take, in bytes or as text (``"500MB"``, ``"4GiB"``): a third for
        points as they are read, two thirds for DuckDB, which puts aside what is more, in the
        system's folder for temporary files. Half of the machine's if None. Up to 170 MB come on
        top: Python and DuckDB, what is being decoded, and the answer.

    cache
        Whether what earlier questions kept of ended runs in ``.cache/questions`` of the root may be
        used, and this one keep more there. The answer is the same.
    at
        Ask the runs as they were at that moment: a time, or the number of an event of each run
        (:func:`sacred.analysis.moment.moment_of`). Those that had not begun are not there. None: as
        they are.
    files
        Whether the statement may read files of this machine, too: ``from 'labels.csv'``,
        ``read_parquet('x/*.parquet')``, ``read_json(...)``. It never writes any.

    Raises
    ------
    QueryError
        The statement is wrong, or does not read; ``memory`` is no size, or ``at`` no moment; or
        it joins or groups runs of several roots by their numbers alone.
    NoRootError
        There is no root of journals, or one of those that were named is none.

    Notes
    -----
    The answer is that of the journals as they are now. What the statement can not use is not read:
    columns, runs and metrics that its conditions leave out.
    """
    choice = root if isinstance(root, RootChoice) else RootChoice.of(root)
    import duckdb

    connection = duckdb.connect(":memory:")
    _check(connection, sql)
    moment = None if at is None else moment_of(at)
    limit = _half_of_the_machine() if memory is None else _bytes(memory)
    connection.execute(f"set memory_limit = '{limit - limit // 3} bytes'")
    connection.execute("set timezone = 'UTC'")  # what the times without a zone are compared by
    if limit < _FEW_THREADS:
        connection.execute("set threads = 1")  # each takes its part of the memory
    aside = os.path.join(tempfile.gettempdir(), f"sacred-query-{os.getpid()}-{os.urandom(4).hex()}")
    connection.execute(f"set temp_directory = {_literal(aside)}")  # made when it is needed
    statement = Statement(connection, sql, several=choice.several)
    if len(choice.roots) > 1 and statement.relations:
        refuse_mixed_runs(statement.tree)
    if moment is not None and "views" in statement.relations:
        raise QueryError("how views stood in the past nobody knows: ask for them without a moment")
    try:
        load = _load_several if choice.several else _load_one
        problems = load(connection, statement, choice, limit // 3, cache=cache, at=moment)
    except duckdb.Error as error:
        raise _refusal(error) from None
    for setting in READ_ONLY if files else (_NO_FILES, *READ_ONLY):
        connection.execute(setting)
    return QueryResult(connection, sql, problems)


def _load_one(
    connection: Any, statement: Statement, choice: RootChoice, kept: int, **options: Any
) -> list[str]:
    """Fill the relations from a root; return what is wrong with its runs."""
    loader = Loader(connection, statement.relations, statement, kept, **options)
    loader.load(choice.first.runs())
    return loader.problems


def _load_several(
    connection: Any, statement: Statement, choice: RootChoice, kept: int, **options: Any
) -> list[str]:
    """Do so from several: a schema for each, and views over all of them.

    So that what is known of runs by their numbers (conditions, what is kept, what was told) stays
    that of one root.
    """
    problems: list[str] = []
    spaces: list[tuple[str, str]] = []
    for number, (name, root) in enumerate(choice.roots):
        space, said = f"sacred_root_{number}", plain_text(name)
        spaces.append((space, said))
        connection.execute(f"create schema {space}")
        connection.execute(f"set schema = '{space}'")
        options |= {"root": said, "space": f"{space}_"}
        loader = Loader(connection, statement.relations, statement, kept, **options)
        loader.load(root.runs())
        kept = loader.room
        problems += [f"{name}: {problem}" for problem in loader.problems]
    connection.execute("set schema = 'main'")
    for relation in RELATIONS:
        parts = [
            f'select {_literal(said)} as root, * from {space}."{relation}"'  # noqa: S608 - our own names
            for space, said in spaces
        ]
        connection.execute(f'create view "{relation}" as {" union all ".join(parts)}')
    return problems


def _bytes(memory: int | str) -> int:
    """Return a size in bytes."""
    text = str(memory).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    if match is None or match[2] not in _UNITS:
        raise QueryError(f"memory is a size such as 500MB or 4GiB, not {str(memory)[:40]!r}")
    size = int(float(match[1]) * _UNITS[match[2]])
    if size < _LEAST_MEMORY:
        raise QueryError("a question needs 32MiB of memory at least")
    return min(size, 1 << 62)


def _half_of_the_machine() -> int:
    import psutil

    return max(_LEAST_MEMORY, int(psutil.virtual_memory().total) // 2)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check(connection: Any, sql: str) -> None:
    """Let one reading statement pass."""
    import duckdb

    try:
        # Of this connection: the module's own is another database, and 20 ms.
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise _refusal(error) from None
    if not statements:
        raise QueryError("the query is empty")
    kinds = [str(statement.type).rpartition(".")[2] for statement in statements]
    first = re.match(r"\s*(\w+)", sql)
    if first and first[1].lower() == "pragma":  # which DuckDB 1 tells as the select it becomes
        kinds = ["PRAGMA"]
    elif kinds == ["CREATE", "SELECT"] and not any(s.query for s in statements):
        kinds = ["MULTI"]  # a pivot, as DuckDB 1 tells it
    if len(kinds) != 1:
        raise QueryError(f"a query is one statement, not {len(kinds)}")
    # A pivot is several statements to DuckDB: it looks for the names of the columns first.
    kind = changes(connection, sql) if kinds[0] in {"SELECT", "EXPLAIN", "MULTI"} else kinds[0]
    if kind is not None:
        raise QueryError(
            "a query reads (select, pivot, describe, summarize, explain), this is "
            f"{kind.lower()}: journals are never changed"
        )


def _answer(connection: Any, sql: str, take: Callable[[Any, str], Any]) -> Any:
    """Ask DuckDB and take its answer; Ctrl-C stops it."""
    import _thread
    import threading

    import duckdb

    begun: list[bool] = []
    answers: list[Any] = []
    errors: list[BaseException] = []
    # Not Thread.join: before Python 3.13 one that is interrupted takes the thread for ended.
    done = threading.Event()

    def ask() -> None:
        begun.append(True)
        try:
            answers.append(take(connection, sql))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    # In a thread of its own, because a signal waits until DuckDB comes back, which may be never.
    # Not threading.Thread: an interrupt inside its start() leaves a thread that nobody waits for,
    # and Python ends by aborting while DuckDB runs.
    try:
        _thread.start_new_thread(ask, ())
        while not done.wait(1.0):
            pass
    except BaseException:
        for _ in range(_INTERRUPTS):
            if done.wait(0.1):
                break
            if begun:
                connection.interrupt()
        raise
    if not errors:
        return answers[0]
    if isinstance(errors[0], duckdb.Error):
        raise _refusal(errors[0]) from None
    raise errors[0]


def _names_and_rows(connection: Any, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = connection.execute(sql)
    return [column[0] for column in cursor.description], cursor.fetchall()


def _arrow_table(connection: Any, sql: str) -> Any:
    return connection.sql(sql).to_arrow_table()


def _refusal(error: Exception) -> QueryError:
    """Return what DuckDB says of a statement as an error of ours, with the place if it is known."""
    text = sentence(error)
    match = re.search(r"\n\s*\nLINE (\d+): (.*)\n( *)(\^+)", str(error))
    if match is None or match[2].startswith("..."):
        return QueryError(text)
    line = match[2].replace("\t", " ")
    column = _column(match)
    word = re.match(r"\w+|\S", line[column:])
    marks = "^" * max(1, len(match[4]), word.end() if word else 0)
    return StatementError(text, int(match[1]), column + 1, (line, " " * column + marks))


def _column(match: re.Match[str]) -> int:
    """Return which character of its line DuckDB marks: it counts columns, and a tab as none."""
    import unicodedata

    left = len(match[3]) - len(f"LINE {match[1]}: ")
    for place, character in enumerate(match[2]):
        if left <= 0 and character != "\t":
            return place
        if character != "\t" and not unicodedata.combining(character):
            left -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return len(match[2])


def sentence(error: Exception) -> str:
    """Put what DuckDB says of a statement into one line, with the place."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return "the answer needs more memory than it may take: --memory gives it more"
    text = str(error)
    match = re.search(r"\n\s*\nLINE (\d+): (.*)\n( *)(\^+)", text)
    place = ""
    if match:
        said = text[: match.start()]
        column = _column(match)
        # DuckDB 1 marks the first character only.
        word = re.match(r"\w+|\S", match[2][column:])
        token = match[2][column : column + max(len(match[4]), word.end() if word else 0)]
        shown = "" if match[2].startswith("...") else f", column {column + 1}"
        near = f' at "{token}"' if token else ""
        place = f" (line {match[1]}{shown}{near})"
    else:
        said = text
    if missing := re.match(r"Catalog Error: Table with name (.+) does not exist!", said):
        name = missing[1]
        said = f"there is no table {name}: {_nearest(name)}"
        if "/" in name or "\\" in name or "." in name:
            said = f'a query reads the runs and no file, such as "{name}" (--files lets it)'
    said = re.sub(
        r'Referenced column "(.+?)" not found in FROM clause!\s+Candidate bindings: (.+)',
        r'there is no column "\1" there; the nearest: \2',
        said,
        flags=re.DOTALL,
    )
    # Behind the name of a table: "Candidate bindings: : ...", or nothing, if DuckDB finds none near.
    if column_of := re.search(
        r'(?:Table|Values list) "(.+?)" does not have a column named "(.+?)"'
        r"(?:\s+Candidate bindings: :? ?(.+))?$",
        said,
        flags=re.DOTALL,
    ):
        table, name, near = column_of.groups()
        near = near or ", ".join(f'"{each}"' for each in _near_columns(name))
        said = f'there is no column "{name}" in "{table}"' + (f"; the nearest: {near}" * bool(near))
    if asked := re.match(r"File (\S+) requires the extension", re.sub(r"^[\w ]*Error: ", "", said)):
        said = f"a query reads files of this machine, and {asked[1]} is none"
    said = re.sub(r"^[A-Z][A-Za-z -]* Error: ", "", said)
    refused = re.match(r'Cannot access (?:file|directory) "(.*?)"', said)
    if refused:
        said = f'a query reads the runs and no file, such as "{refused[1]}" (--files lets it)'
    return " ".join(said.split()) + place


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower(), RELATIONS, 3)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RELATIONS)}"


def _near_columns(name: str) -> list[str]:
    import difflib

    every = {column.name for relation in RELATIONS.values() for column in relation.columns}
    return difflib.get_close_matches(name.lower(), sorted(every), 3)


#: How often a query is told to stop, a tenth of a second apart, before it is left alone.
_INTERRUPTS = 300
