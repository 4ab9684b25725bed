"""Inserting points in bulk, each database in the way it takes them fastest.

SQLAlchemy has a step for each value, and so have drivers. Here rows are whole lines of text where the
server reads those (PostgreSQL's COPY, MySQL's literals), and many rows are one statement in SQLite.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from sacred.replayers.sinks.sql.patience import PROGRESS
from sacred.replayers.sinks.sql.values import EXACT, double, exact_point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from sacred.replayers.sink import PointsAdded

__all__ = ["PointRows", "insert_points"]

COLUMNS = ("run_key", "writer", "seq", "metric", "step", "value", "time", "exact")
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
#: So many rows go to the driver at once.
_ROWS = 10_000
#: And so many are one statement in SQLite: an old one takes 999 values.
_ROWS_OF_SQLITE = 100
#: And so many are one statement in MySQL, which takes it whole: a server takes 1 MB at least.
_ROWS_OF_MYSQL = 5_000
#: After so many it is said that the server still takes them.
_PROGRESS = 1000
#: What a row is on its way, about.
_ROW_BYTES = 100


class PointRows:
    """The rows of a metric's points, as columns.

    Times are texts, which every database takes for one; a number that a double can not stand for is
    in ``exact``.

    Attributes
    ----------
    is_plain
        Steps and values are numbers that the database has as they are, and ``exact`` is empty.
    """

    def __init__(self, change: PointsAdded, metric: int) -> None:
        self.metric = metric
        self.writers, self.seqs = change.writers, change.seqs
        self.times = _texts_of(change.times)
        self.steps: list[Any] = change.steps
        self.values: list[Any] = change.values
        self.exact: list[str | None] | None = None
        self.is_plain = _is_plain(self.steps) and _is_plain(self.values)
        if not self.is_plain:
            self.exact = list(map(exact_point, self.steps, self.values))
            self.steps = list(map(double, self.steps))
            self.values = list(map(double, self.values))

    def rows(self, run_key: int, *, exact: bool = True) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, in the order of ``COLUMNS``; without the last one, unless ``exact``."""
        run_keys, metrics = repeat(run_key), repeat(self.metric)
        columns = (run_keys, self.writers, self.seqs, metrics, self.steps, self.values, self.times)
        if not exact:
            return zip(*columns, strict=False)
        return zip(*columns, repeat(None) if self.exact is None else self.exact, strict=False)


def _texts_of(times: list[int]) -> list[str]:
    """Return times as texts; what they begin with is made once for those of the same second."""
    form, begin = "", 0
    end = begin
    texts: list[str] = []
    add = texts.append
    for time in times:
        if not begin <= time < end:
            begin = time - time % 1_000_000
            end = begin + 1_000_000
            form = (_EPOCH + dt.timedelta(microseconds=begin)).isoformat(" ") + ".%06d"
        add(form % (time - begin))
    return texts


def _is_plain(column: list[Any]) -> bool:
    """Tell quickly that a double stands for each value; False where that takes a closer look."""
    kinds = set(map(type, column))
    if kinds == {float}:
        # One of the zeros may have a sign, which SQLite does not keep.
        return all(map(math.isfinite, column)) and 0.0 not in column
    return kinds == {int} and min(column) >= -EXACT and max(column) <= EXACT


def insert_points(connection: Connection, run_key: int, every: list[PointRows]) -> None:
    """Insert a run's points into ``journal_point``, in the transaction of the connection.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        As for any statement.
    """
    dialect = connection.dialect
    if dialect.driver == "psycopg":
        _copy(connection, run_key, every)
        return
    if dialect.name == "sqlite":
        _insert_many(connection, run_key, every)
        return
    of_mysql = dialect.name in {"mysql", "mariadb"}
    odd = every
    if of_mysql:
        _insert_literals(connection, run_key, [one for one in every if one.is_plain])
        odd = [one for one in every if not one.is_plain]
    statement = _statement("?" if dialect.paramstyle == "qmark" else "%s", 1, mysql=of_mysql)
    for one in odd:
        rows = list(one.rows(run_key))
        for begin in range(0, len(rows), _ROWS):
            connection.exec_driver_sql(statement, rows[begin : begin + _ROWS])


@functools.cache
def _statement(mark: str, rows: int, columns: int = len(COLUMNS), *, mysql: bool = False) -> str:
    """Return a statement for so many rows, and the first so many of ``COLUMNS``."""
    quote = "`" if mysql else '"'
    names = ", ".join(f"{quote}{name}{quote}" for name in COLUMNS[:columns])
    marks = ", ".join([f"({', '.join([mark] * columns)})"] * rows)
    return f"INSERT INTO journal_point ({names}) VALUES {marks}"  # noqa: S608


def _insert_many(connection: Connection, run_key: int, every: list[PointRows]) -> None:
    """Insert many rows by a statement: sqlite3 steps, and lets other threads in, once for each."""
    exact = any(one.exact is not None for one in every)
    columns = len(COLUMNS) if exact else len(COLUMNS) - 1
    # In the order of their key, the tables' trees only grow at their ends.
    rows = sorted(chain.from_iterable(one.rows(run_key, exact=exact) for one in every))
    whole = len(rows) - len(rows) % _ROWS_OF_SQLITE
    statement = _statement("?", _ROWS_OF_SQLITE, columns)
    raw: Any = connection.connection
    cursor, failure = raw.cursor(), connection.dialect.loaded_dbapi.Error
    try:
        for begin in range(0, whole, _ROWS_OF_SQLITE):
            part = rows[begin : begin + _ROWS_OF_SQLITE]
            cursor.execute(statement, tuple(chain.from_iterable(part)))
        cursor.executemany(_statement("?", 1, columns), rows[whole:])
    except failure as error:
        raise DBAPIError.instance(
            statement, None, error, failure, dialect=connection.dialect
        ) from error
    finally:
        cursor.close()


def _insert_literals(connection: Connection, run_key: int, every: list[PointRows]) -> None:
    """Insert numbers and times as they are written in SQL: a driver's quoting costs most of it."""
    begin_of_all = _statement("", 0, len(COLUMNS) - 1, mysql=True)
    for one in every:
        metric = one.metric
        columns = zip(one.writers, one.seqs, one.steps, one.values, one.times, strict=True)
        lines = [
            f"({run_key},{writer},{seq},{metric},{step!r},{value!r},'{time}')"
            for writer, seq, step, value, time in columns
        ]
        for begin in range(0, len(lines), _ROWS_OF_MYSQL):
            part = lines[begin : begin + _ROWS_OF_MYSQL]
            connection.exec_driver_sql(begin_of_all + ",".join(part))


def _copy(connection: Connection, run_key: int, every: list[PointRows]) -> None:
    """Insert by COPY, which takes a fifth of the time of as many inserts."""
    import psycopg

    statement = f"COPY journal_point ({_NAMES}) FROM STDIN"
    raw: Any = connection.connection
    progress = connection.info.get(PROGRESS, bool)
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for one in every:
                lines = list(_lines(one, run_key))
                for begin in range(0, len(lines), _PROGRESS):
                    progress()
                    copy.write("".join(lines[begin : begin + _PROGRESS]))
            # Much of it waits in the system's buffers.
            progress(_ROW_BYTES * sum(len(one.seqs) for one in every))
    except psycopg.Error as error:
        raise DBAPIError.instance(
            statement, None, error, psycopg.Error, dialect=connection.dialect
        ) from error


def _lines(one: PointRows, run_key: int) -> Iterator[str]:
    """Yield a metric's rows in COPY's own form."""
    metric = one.metric
    columns = zip(one.writers, one.seqs, one.steps, one.values, one.times, strict=True)
    if one.exact is None:
        for writer, seq, step, value, time in columns:
            yield f"{run_key}\t{writer}\t{seq}\t{metric}\t{step!r}\t{value!r}\t{time}\t\\N\n"
        return
    for (writer, seq, *numbers, time), exact in zip(columns, one.exact, strict=True):
        step, value = ("\\N" if number is None else repr(number) for number in numbers)
        text = "\\N" if exact is None else exact.translate(_ESCAPES)
        yield f"{run_key}\t{writer}\t{seq}\t{metric}\t{step}\t{value}\t{time}\t{text}\n"


#: What COPY would take for its own.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
