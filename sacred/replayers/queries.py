"""SQL over the journals themselves, by DuckDB.

A query sees the relations of ``docs/queries.md``, made anew from the journals; those it does not
name are left empty. It can not read or write files, change settings or load anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.finding import looking_root
from sacred.journal.integers import text_of
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.journal.tables import decode_length
from sacred.replayers.details import blob_resolver, spool_beyond
from sacred.replayers.duckdb_settings import ALONE
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import leaves, to_json
from sacred.replayers.lines import Line, OutputLines
from sacred.replayers.listing import outline
from sacred.replayers.plain import plain_text
from sacred.replayers.points import PointLoader, exact_number
from sacred.replayers.projection import RunProjection
from sacred.replayers.relations import RELATIONS
from sacred.replayers.rows import file_row, leaf_row

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder

__all__ = ["QueryResult", "fill", "query"]

#: Rows collected before they go to DuckDB.
_ROWS = 8192
_MICROS = 9 * 10**18

_SETTINGS = (
    "set temp_directory = ''",
    *ALONE,
    "set enable_external_access = false",
    "set lock_configuration = true",
)


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

    def arrow(self) -> Any:
        """Return the result as a ``pyarrow.Table``; needs pyarrow, asks DuckDB again."""
        return _answer(self._connection, self._sql, _arrow_table)

    def df(self) -> Any:
        """Return the result as a pandas ``DataFrame``; needs pandas, asks DuckDB again."""
        return _answer(
            self._connection, self._sql, lambda connection, sql: connection.execute(sql).df()
        )


def query(sql: str, root: JournalRoot | str | os.PathLike[str] | None = None) -> QueryResult:
    """Ask the journals a question in SQL.

    Parameters
    ----------
    sql
        One statement that reads: ``select``, ``from``, ``with``, ``pivot``, ``describe``,
        ``summarize``, ``explain``.
    root
        Where the runs are; found as ``sacred ls`` finds it if None.

    Raises
    ------
    QueryError
        The statement is wrong, or does not read.
    NoRootError
        There is no root of journals.

    Notes
    -----
    The answer is that of the journals as they are now. Memory: the relations the query names.
    """
    if not isinstance(root, JournalRoot):
        root = looking_root(None if root is None else str(root))
    elif not root.exists():
        root = looking_root(str(root.path))
    import duckdb

    _check(sql)
    connection = duckdb.connect(":memory:")
    problems = fill(connection, root.runs(), _named(sql))
    for setting in _SETTINGS:
        connection.execute(setting)
    return QueryResult(connection, sql, problems)


def fill(
    connection: Any, folders: Iterable[RunFolder], names: Iterable[str] = RELATIONS
) -> list[str]:
    """Make every relation in a database, and fill those that are named from journals.

    Returns
    -------
    A sentence for each run that could not be read whole.
    """
    for relation in RELATIONS.values():
        columns = ", ".join(f'"{column.name}" {column.type}' for column in relation.columns)
        connection.execute(f'create table "{relation.name}" ({columns})')
    loader = _Loader(connection, frozenset(names))
    for folder in folders:
        loader.load(folder)
    loader.flush()
    return loader.problems


def _check(sql: str) -> None:
    """Let one reading statement pass."""
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(_sentence(error)) from None
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
    kind = kinds[0]
    # A pivot is several statements to DuckDB: it looks for the names of the columns first.
    if kind not in {"SELECT", "EXPLAIN", "MULTI"}:
        raise QueryError(
            "a query reads (select, pivot, describe, summarize, explain), this is "
            f"{kind.lower()}: journals are never changed"
        )


def _named(sql: str) -> frozenset[str]:
    """Return the relations that a statement may read."""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    if words & {"query", "query_table"}:  # which take names made by expressions
        return frozenset(RELATIONS)
    return frozenset(words & set(RELATIONS))


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
        raise QueryError(_sentence(errors[0])) from None
    raise errors[0]


def _names_and_rows(connection: Any, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = connection.execute(sql)
    return [column[0] for column in cursor.description], cursor.fetchall()


def _arrow_table(connection: Any, sql: str) -> Any:
    return connection.sql(sql).to_arrow_table()


def _sentence(error: Exception) -> str:
    """Put what DuckDB says of a statement into one line, with the place."""
    text = str(error)
    match = re.search(r"\n\s*\nLINE (\d+): (.*)\n( *)(\^+)", text)
    place = ""
    if match:
        said = text[: match.start()]
        head = len(f"LINE {match[1]}: ")
        column = len(match[3]) - head
        # DuckDB 1 marks the first character only.
        word = re.match(r"\w+|\S", match[2][column:])
        token = match[2][column : column + max(len(match[4]), word.end() if word else 0)]
        shown = "" if match[2].startswith("...") else f", column {column + 1}"
        near = f' at "{token}"' if token else ""
        place = f" (line {match[1]}{shown}{near})"
    else:
        said = text
    said = re.sub(r"^[A-Z][A-Za-z -]* Error: ", "", said)
    refused = re.match(r'Cannot access (?:file|directory) "(.*?)"', said)
    if refused:
        said = f'a query reads the runs and no file, such as "{refused[1]}"'
    return " ".join(said.split()) + place


#: How often a query is told to stop, a tenth of a second apart, before it is left alone.
_INTERRUPTS = 300


class _Loader:
    """Fills the relations that a query names."""

    def __init__(self, connection: Any, names: frozenset[str]) -> None:
        self._connection = connection
        self._names = names
        self._points = PointLoader(connection)
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
        self.problems: list[str] = []

    def load(self, folder: RunFolder) -> None:
        """Read one run. What is wrong with it is a problem to tell, and no error."""
        names = self._names
        if not names:
            return
        found = outline(folder)
        if found.problem:
            self.problems.append(f"run {folder.number}: {found.problem}")
        if "runs" in names:
            value = exact_number(found.result)[0]
            self._add(
                "runs",
                folder.number,
                None if found.id is None else plain_text(text_of(found.id)),
                found.name and plain_text(found.name),
                found.command and plain_text(found.command),
                plain_text(found.status),
                _micros(found.start),
                _micros(found.stop),
                found.duration,
                found.points,
                None if found.result is None else to_json(found.result),
                value,
                found.host and plain_text(found.host),
                f"{found.journal_id:016x}" if found.journal_id else None,
                plain_text(found.path),
                found.problem and plain_text(found.problem),
            )
        if not found.journal_id:
            return
        try:
            if "metrics" in names:
                self._points.load(folder)
            if names - {"runs", "metrics"}:
                self._load_events(folder)
        except (JournalError, OSError, OverflowError) as error:
            self.problems.append(f"run {folder.number}: {error}")

    def _add(self, name: str, *row: Any) -> None:
        rows = self._rows[name]
        rows.append(row)
        if len(rows) >= _ROWS:
            self._insert(name)

    def _insert(self, name: str) -> None:
        rows = self._rows[name]
        if not rows:
            return
        self._rows[name] = []
        terms, parameters = [], {}
        for number, column in enumerate(RELATIONS[name].columns):
            parameters[f"c{number}"] = [row[number] for row in rows]
            if column.type == "TIMESTAMP":
                terms.append(f"make_timestamp(unnest($c{number}::bigint[]))")
            elif column.type == "DOUBLE":
                # As texts: DuckDB 1 takes a NaN in a list of numbers for NULL.
                texts = [None if row[number] is None else repr(row[number]) for row in rows]
                parameters[f"c{number}"] = texts
                terms.append(f"unnest($c{number}::varchar[])::double")
            else:
                terms.append(f"unnest($c{number}::{column.type}[])")
        self._connection.execute(f'insert into "{name}" select {", ".join(terms)}', parameters)

    def flush(self) -> None:
        """Give DuckDB what was collected."""
        self._points.flush()
        for name in self._rows:
            self._insert(name)

    # -- what one pass over the events gives -------------------------------------------------

    def _load_events(self, folder: RunFolder) -> None:
        names, run = self._names, folder.number
        projection = RunProjection(resolve=blob_resolver(folder.root))
        output = OutputLines()
        spool_end = 0
        reader = JournalReader(folder.journal, table_decoder=decode_length)
        try:
            for event in reader.read(order="time"):
                if "events" in names:
                    self._add("events", run, *_event_row(event))
                if event.type == EventType.OUTPUT:
                    fields = event.fields
                    end = fields.get("end")
                    if type(end) is int:
                        if end <= spool_end:
                            continue  # it was there before
                        spool_end = end
                    if "output" in names:
                        stream, data = fields.get("stream", 1), fields.get("data") or b""
                        piece = (event.writer, event.seq, event.time, stream, data)
                        self._lines(run, output.add(*piece))
                elif event.type not in _BESIDE:
                    projection.apply(event)
        finally:
            reader.close()
        if "output" in names:
            for chunk in spool_beyond(folder, spool_end):
                self._lines(run, output.add(0, None, chunk.time_ns, chunk.stream, chunk.data))
            self._lines(run, output.end())
        document = projection.document()
        if "config" in names:
            for key, value in leaves(document.get("config") or {}):
                self._add("config", run, key, *leaf_row(value))
        if "hosts" in names:
            for key, value in leaves(document.get("host") or {}):
                self._add("hosts", run, key, leaf_row(value)[1])
        self._files(run, document)

    def _lines(self, run: int | None, lines: Iterable[Line]) -> None:
        for line in lines:
            text = plain_text(line.text)
            self._add("output", run, line.writer, line.seq, _micros(line.time), line.stream, text)

    def _files(self, run: int | None, document: dict[str, Any]) -> None:
        names = self._names
        experiment = document.get("experiment") or {}
        entries = {
            "artifacts": document.get("artifacts") or (),
            "resources": document.get("resources") or (),
            "sources": experiment.get("sources") or (),
        }
        for name in names & set(entries):
            for entry in entries[name]:
                self._add(name, run, *file_row(entry))


_BESIDE = frozenset(
    {EventType.METRIC_POINT, EventType.METRIC_TABLE, EventType.OUTPUT_FILTERED},
)


def _event_row(event: Event) -> tuple[Any, ...]:
    fields = event.fields
    if event.type == EventType.METRIC_TABLE:
        fields = {"rows": fields["table"].rows}
    elif event.type == EventType.OUTPUT:
        fields = {**fields, "data": bytes(fields.get("data") or b"").decode("utf-8", "replace")}
    seq = event.seq if event.seq >= 0 else None
    return event.writer, seq, _micros(event.time), event.name, to_json(fields)


def _micros(nanoseconds: Any) -> int | None:
    if type(nanoseconds) is not int:
        return None
    return max(-_MICROS, min(_MICROS, nanoseconds // 1000))
