"""The addresses of SQL views: what a person writes, and what SQLAlchemy is told. Loads no driver."""

from __future__ import annotations

import os

from sacred.replayers.errors import SinkSpecError
from sacred.replayers.missing_package import is_missing
from sacred.replayers.sink import SinkSpec

__all__ = ["SCHEMES", "anchored", "driver_of", "driver_url", "in_memory", "parse_sql", "sql_spec"]

EXAMPLES = "sqlite:///runs.db, postgresql://user@host/database or mysql://user@host/database"

#: By what stands first in an address: the dialect, and the drivers that are tried, the first of
#: which the extra ``sql`` installs.
_DRIVERS = {
    "postgresql": ("postgresql", ("psycopg", "psycopg2")),
    "postgres": ("postgresql", ("psycopg", "psycopg2")),
    "mysql": ("mysql", ("pymysql", "MySQLdb")),
    "mariadb": ("mysql", ("pymysql", "MySQLdb")),
}
#: What SQLAlchemy calls a driver whose module is called otherwise.
_NAMES = {"MySQLdb": "mysqldb"}
#: By the name of a driver in an address (``mysql+pymysql``): its module, and the package.
_NAMED = {
    "psycopg": ("psycopg", "psycopg"),
    "psycopg2": ("psycopg2", "psycopg2"),
    "pymysql": ("pymysql", "PyMySQL"),
    "mysqldb": ("MySQLdb", "mysqlclient"),
}

#: What a view's address may begin with.
SCHEMES = ("sqlite", *_DRIVERS, "sql")


def driver_url(url: str) -> str:
    """Return the address with the driver that is installed here.

    ``postgresql://`` means psycopg 3 and ``mysql://`` PyMySQL; where only psycopg2 or mysqlclient is
    installed, that one. An address that names its driver is left as it is.
    """
    scheme, separator, rest = url.partition("://")
    known = _DRIVERS.get(scheme.lower())
    if known is None:
        return url
    dialect, drivers = known
    driver = next((one for one in drivers if not is_missing(one)), drivers[0])
    return f"{dialect}+{_NAMES.get(driver, driver)}{separator}{rest}"


def driver_of(url: str) -> str | None:
    """Return the package that is missing for an address and how to get it: the end of a sentence.

    None if none is missing.
    """
    extra = "pip install 'sacred-journal[sql]'"
    if is_missing("sqlalchemy"):
        return f"SQLAlchemy: {extra}"
    scheme = url.partition("://")[0].lower()
    module, package = _NAMED.get(scheme.partition("+")[2], ("", ""))
    if module:
        return f"{package}: pip install {package}" if is_missing(module) else None
    known = _DRIVERS.get(scheme)
    if known is None or not all(map(is_missing, known[1])):
        return None
    return f"{_NAMED[known[1][0]][1]}: {extra}"


def in_memory(url: str) -> bool:
    """Tell whether an address is that of a SQLite database that no other process can have."""
    scheme, separator, rest = url.partition("://")
    if scheme.partition("+")[0].lower() != "sqlite" or not separator:
        return False
    path, _, query = rest.partition("?")
    return path in {"", "/", "/:memory:"} or "mode=memory" in query


def anchored(url: str) -> str:
    """Return the address with the absolute path of a SQLite file, as of this folder."""
    scheme, separator, rest = url.partition("://")
    is_file = scheme.partition("+")[0].lower() == "sqlite" and rest.startswith("/")
    if not is_file or not separator or in_memory(url) or rest.startswith("/file:"):
        return url
    path, mark, query = rest[1:].partition("?")
    return f"{scheme}:///{os.path.abspath(os.path.expanduser(path))}{mark}{query}"


def parse_sql(text: str) -> SinkSpec:
    """Return the specification of an SQL view: ``sqlite:///x.db``, ``postgresql://...``, ``mysql://...``.

    A bare ``sql`` has an empty ``url``.

    Raises
    ------
    SinkSpecError
        The address names no database.
    """
    scheme, colon, rest = text.partition(":")
    if scheme == "sql":
        if not colon:
            return SinkSpec("sql", "", {}, "sql")
        text = rest
    return sql_spec(text)


def sql_spec(url: str) -> SinkSpec:
    """Return the specification of an SQL view.

    Raises
    ------
    SinkSpecError
        The address names no database, or one that no other process can have.
    """
    scheme, separator, rest = url.partition("://")
    dialect = scheme.partition("+")[0].lower()
    if dialect.startswith("sqlite"):
        return _sqlite_spec(url)
    if not separator or not dialect.isidentifier():
        raise SinkSpecError(f"an SQL view is written {EXAMPLES}")
    place, _, path = rest.partition("?")[0].partition("/")
    host = place.rpartition("@")[2]
    _check_port(host, scheme)
    if not path:
        raise SinkSpecError(
            f"an SQL view needs a database: write {scheme}://{host or 'localhost'}/NAME"
        )
    return SinkSpec("sql", url, {}, f"sql:{host or 'localhost'}/{path}")


def _sqlite_spec(url: str) -> SinkSpec:
    _, separator, rest = url.partition("://")
    if not separator or (rest and not rest.startswith("/")):
        path = rest if separator else url.partition(":")[2]
        hint = path.lstrip("/") or "runs.db"
        raise SinkSpecError(
            f"the address of a SQLite file has three slashes: write sqlite:///{hint}"
        )
    if in_memory(url):
        raise SinkSpecError(
            "a SQLite database in memory ends with its process: write sqlite:///runs.db"
        )
    url = anchored(url)
    path = url.partition(":///")[2].partition("?")[0]
    if os.path.isdir(path):
        raise SinkSpecError(f"{path} is a folder: write sqlite:///{path}/runs.db")
    return SinkSpec("sql", url, {}, f"sql:{path}")


def _check_port(server: str, scheme: str) -> None:
    """Raise if a server's port is no number; without one there is nothing to check."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):  # an IPv6 address ends so
        return
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise SinkSpecError(f"{port!r} is no port: write {scheme}://host:port/database")
