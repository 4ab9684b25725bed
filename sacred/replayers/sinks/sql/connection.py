"""The connection to a database, one pool for all the runs of a process."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from sacred.replayers.errors import SinkMissingError, SinkSpecError, TransientSinkError
from sacred.replayers.last_answer import LastAnswer
from sacred.replayers.sinks.sql.address import driver_of, driver_url
from sacred.replayers.sinks.sql.kept_files import KeptFiles, path_of
from sacred.replayers.sinks.sql.meaning import meaning_of, said
from sacred.replayers.sinks.sql.patience import ANSWER, CONNECT, FRESH, Patience
from sacred.replayers.sinks.sql.schema import make_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

    from sacred.replayers.sink import SinkSpec

__all__ = ["SqlConnection", "engine_for"]

#: How long a SQLite file may be locked by another process (s).
_LOCKED = 10.0
#: Longer contents are not stored: they are held in memory on their way (bytes).
MOST_BYTES = 256 << 20


_pools: dict[tuple[int, str], _Pool] = {}
_pools_lock = threading.Lock()


class _Pool:
    """The connections of a process to a database.

    Attributes
    ----------
    engine
        Of SQLAlchemy.
    users
        How many use it.
    place
        Where the tables were looked at; None if they may be gone.
    patience
        Bounds the waiting for servers.
    id_length, most_bytes
        As of ``SqlConnection``.
    answer
        Its last one.
    """

    def __init__(self, url: str) -> None:
        parsed = checked_url(url)
        path = path_of(parsed)
        more: dict[str, Any] = {}
        if path is not None:
            more = {"poolclass": QueuePool, "pool_size": 2, "max_overflow": 16}
        self.engine = engine_for(url, pool_pre_ping=False, **more)
        self.patience = Patience(self.engine) if self.engine.dialect.name != "sqlite" else None
        if path is not None:
            KeptFiles(self.engine, path)
        self.users = 0
        self.place: object = None
        self.id_length = 255
        self.most_bytes = MOST_BYTES
        self.answer = LastAnswer(FRESH)

    def failed(self) -> None:
        """Know nothing of it any more: it, or the tables, may be gone."""
        self.place = None
        self.answer.forget()


def engine_for(url: str, **keywords: Any) -> Engine:
    """Return an engine of SQLAlchemy for an address; nothing is connected.

    Parameters
    ----------
    url
        As a person writes it.
    keywords
        More for ``sqlalchemy.create_engine``.

    Raises
    ------
    SinkSpecError
        The address is none, or has an option that its driver does not know.
    SinkMissingError
        A package is not installed.
    """
    parsed = checked_url(url)
    try:
        return create_engine(parsed, **{**_defaults(parsed), **keywords})
    except ImportError as error:
        raise SinkMissingError(
            f"the address of the SQL view needs the package {error.name}: pip install {error.name}"
        ) from None


def checked_url(url: str) -> URL:
    """Return an address as SQLAlchemy has it, with the driver that is installed here.

    Raises
    ------
    SinkSpecError, SinkMissingError
        As ``engine_for``.
    """
    missing = driver_of(url)
    if missing is not None:
        raise SinkMissingError(f"an SQL view needs {missing}")
    try:
        parsed = make_url(driver_url(url))
        parsed.get_dialect()
    except NoSuchModuleError:
        known = "sqlite, postgresql, mysql"
        scheme = url.partition("://")[0][:80]
        raise SinkSpecError(f"SQLAlchemy knows no database {scheme!r}: write {known}") from None
    except ArgumentError:
        raise SinkSpecError(
            "the address of an SQL view is written dialect://user:password@host:port/database, "
            "with special characters in the password as %40 for @"
        ) from None
    except ImportError as error:
        raise SinkMissingError(
            f"the address of the SQL view needs the package {error.name}: pip install {error.name}"
        ) from None
    _check_options(parsed)
    return parsed


def _defaults(url: URL) -> dict[str, Any]:
    given = url.query
    wanted: dict[str, Any] = {}
    dialect, driver = url.get_backend_name(), url.get_driver_name()
    if dialect == "sqlite":
        wanted = {"timeout": _LOCKED}
        # A file costs nothing to open, and a connection that is kept would hide its removal. What is
        # in memory is as old as its connection, and there for all threads.
        more: dict[str, Any] = {"poolclass": NullPool}
        if url.database in {None, "", ":memory:"} or "memory" in given.values():
            more = {"poolclass": StaticPool}
            wanted["check_same_thread"] = False
    else:
        more = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 16, "pool_recycle": 1800}
    if dialect == "postgresql":
        wanted = {"connect_timeout": int(CONNECT), "tcp_user_timeout": int(1000 * ANSWER)}
        wanted |= {"application_name": "sacred-journal"}
    elif driver in {"pymysql", "mysqldb"}:
        timeouts = {"connect_timeout": int(CONNECT), "read_timeout": int(ANSWER)}
        timeouts |= {"write_timeout": int(ANSWER)}
        wanted = {**timeouts, "charset": "utf8mb4"}
    if dialect in {"postgresql", "mysql", "mariadb"}:
        # Each statement sees what others committed, and MySQL locks no gaps between rows.
        more["isolation_level"] = "READ COMMITTED"
    arguments = {name: value for name, value in wanted.items() if name not in given}
    return {**more, "connect_args": arguments}


def _check_options(url: URL) -> None:
    """Raise for an option behind the ``?`` that the driver does not know."""
    known = _known_options(url)
    for name in url.query:
        if known and name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SinkSpecError(
                f"{url.get_backend_name()} knows no option {name[:80]!r} in an address{hint}"
            )


def _known_options(url: URL) -> frozenset[str]:
    driver = url.get_driver_name()
    try:
        if driver == "psycopg":
            from psycopg import pq

            found = {one.keyword.decode() for one in pq.Conninfo.get_defaults()}
            return frozenset(found | {"prepare_threshold", "autocommit"})
        if driver == "pymysql":
            import inspect

            import pymysql

            taken = inspect.signature(pymysql.connections.Connection.__init__).parameters
            ours = {"ssl_ca", "ssl_cert", "ssl_key", "ssl_check_hostname", "charset", "unix_socket"}
            return frozenset({*taken, *ours} - {"self"})
        if driver == "pysqlite":
            connects = {"timeout", "detect_types", "isolation_level", "check_same_thread"}
            names = {"cached_statements", "uri", "mode", "cache", "vfs", "immutable", "nolock"}
            return frozenset(connects | names | {"psow"})
    except (ImportError, AttributeError):
        pass  # another version of the driver: it says itself what it does not know
    return frozenset()


def _borrow(url: str) -> _Pool:
    key = (os.getpid(), url)
    with _pools_lock:
        found = _pools.get(key)
        if found is None:
            found = _pools[key] = _Pool(url)
        found.users += 1
        return found


def _give_back(pool: _Pool) -> None:
    with _pools_lock:
        pool.users -= 1
        if pool.users > 0:
            return
        for key in [key for key, found in _pools.items() if found is pool]:
            del _pools[key]
    pool.engine.dispose()


def _place_of(engine: Engine) -> object:
    """Return what tells a database from another that took its place: a file may be exchanged."""
    if engine.dialect.name != "sqlite" or engine.url.database in {None, "", ":memory:"}:
        return True
    path = path_of(engine.url)
    try:
        state = os.stat(path or str(engine.url.database))
    except OSError:
        return object()  # a name of another kind (file:...?): looked at each time
    return state.st_dev, state.st_ino


class SqlConnection:
    """A database.

    Parameters
    ----------
    spec
        The view.

    Attributes
    ----------
    most_bytes
        Longer values the database does not take.
    id_length
        How many characters ``run.run_id`` has room for.

    Raises
    ------
    SinkSpecError, SinkMissingError
        The address can be none, whatever the server; a package is not installed.
    """

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        if spec.url:  # a bare "sql" is what each run declared
            checked_url(spec.url)
        self.most_bytes = MOST_BYTES
        self.id_length = 255
        self._pool: _Pool | None = None

    def open(self) -> None:
        """Look that the database answers, and see that the tables are there.

        Raises
        ------
        SinkError
        """
        with self.errors():
            if self._pool is None:
                self._pool = _borrow(self.spec.url)
            pool = self._pool
            place = _place_of(pool.engine)
            if not (pool.answer.counts() and pool.place == place):
                with self._options_of_driver(), pool.engine.connect() as connection:
                    self._learn_limits(connection, pool)
            if pool.place != place:
                make_tables(pool.engine, journal=True)
                pool.id_length = self._length_of_ids(pool.engine)
                pool.place = _place_of(pool.engine)
            self.id_length, self.most_bytes = pool.id_length, pool.most_bytes
            pool.answer.came()

    @contextlib.contextmanager
    def _options_of_driver(self) -> Iterator[None]:
        """Take what a driver raises for an option as what the person who wrote it has to know."""
        try:
            yield
        except (TypeError, ValueError) as error:
            raise SinkSpecError(
                f"{self.spec.name} can not be connected with these options: {said(error, self.spec)}"
            ) from None

    @staticmethod
    def _learn_limits(connection: Connection, pool: _Pool) -> None:
        if connection.dialect.name in {"mysql", "mariadb"}:
            packet = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
            # A statement may name each byte by two.
            pool.most_bytes = min(MOST_BYTES, max(1 << 16, int(packet) // 2 - (1 << 16)))
        else:
            connection.exec_driver_sql("SELECT 1")

    def _length_of_ids(self, engine: Engine) -> int:
        from sqlalchemy import inspect

        if engine.dialect.name == "sqlite":
            return 255
        for column in inspect(engine).get_columns("run"):
            if column["name"] == "run_id":
                return getattr(column["type"], "length", None) or 255
        return 255

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run a transaction: all of it counts when the block ends well, nothing else ever.

        Raises
        ------
        SinkError
        """
        with self.errors():
            if self._pool is None:
                self.open()
            pool: Any = self._pool
            with pool.engine.begin() as connection:
                yield connection
            pool.answer.came()

    def close(self) -> None:
        """Give the pool back; never raises."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(Exception):
                _give_back(pool)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the driver raises into what it means for the view."""
        patience = self._pool.patience if self._pool is not None else None
        overdue = patience.overdue if patience is not None else 0
        try:
            yield
        except (SQLAlchemyError, OSError, EOFError, ImportError) as error:
            if self._pool is not None:
                self._pool.failed()
            if patience is not None and patience.overdue > overdue:
                raise TransientSinkError(
                    f"{self.spec.name} does not answer: nothing came for {patience.waited:.0f} s"
                ) from None
            raise meaning_of(error, self.spec) from None  # its text may show what was written
