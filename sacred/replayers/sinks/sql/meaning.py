"""What an error of a database means for a view: try again, or what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sacred.replayers.errors import (
    SinkError,
    SinkMissingError,
    TerminalSinkError,
    TransientSinkError,
    ViewMovedError,
)

if TYPE_CHECKING:
    from sacred.replayers.sink import SinkSpec

__all__ = ["meaning_of", "said"]

#: PostgreSQL's classes of errors that pass: connection, resources, conflict, lock, shutdown.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
#: And a lock, a server that only reads, a transaction that broke, a table that somebody deleted.
_PASSING_STATES = frozenset({"55P03", "25006", "25P02", "42P01"})
#: MySQL's: lost, refused, too many connections, deadlock, lock, full disk, shutdown, read-only, a
#: table that somebody deleted.
_PASSING_CODES = frozenset(
    {1021, 1040, 1041, 1053, 1077, 1079, 1080, 1114, 1129, 1146, 1180, 1192, 1203, 1205, 1206, 1213}
    | {1226, 1290, 1317, 1836, 1927, 2002, 2003, 2005, 2006, 2013, 2055, 3024}
)
#: Of these, those of a server that is not there: the others it answers itself (a full disk, a lock).
_AWAY_STATES = ("08", "57P")
_AWAY_CODES = frozenset({1053, 1077, 1079, 1080, 1927, 2002, 2003, 2005, 2006, 2013, 2055})
_REFUSED_STATES = frozenset({"28000", "28P01", "42501"})
_REFUSED_CODES = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1698, 1251})
_NO_DATABASE_STATES = frozenset({"3D000"})
_NO_DATABASE_CODES = frozenset({1049, 1046})

_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|"
    r"role .* does not exist|permission denied|authentication failed|"
    r"not permitted to log in|Access denied",
    re.IGNORECASE,
)
_NO_DATABASE = re.compile(r"database .* does not exist|Unknown database", re.IGNORECASE)
_TRUST = re.compile(r"certificate|SSL error|server does not support SSL", re.IGNORECASE)
#: What SQLite says of a place that waiting does not change.
_BAD_FILE = re.compile(r"readonly|is not authorized")
_PASSING_FILE = re.compile(r"locked|busy|disk I/O|is full|schema has changed|no such table")


def meaning_of(error: Exception, spec: SinkSpec) -> SinkError:
    """Return what an error means for a view, in a sentence without secrets."""
    place = spec.name
    text = said(error, spec)
    if isinstance(error, IntegrityError):
        return ViewMovedError(f"another replayer wrote into {place} at the same moment")
    if isinstance(error, PoolTimeoutError):
        return TransientSinkError(f"{place} has no connection left: {text}")
    if isinstance(error, DBAPIError):
        return _of_driver(error, place, text)
    if isinstance(error, ImportError):
        return SinkMissingError(f"{place} needs the package {error.name}: pip install {error.name}")
    if isinstance(error, (OSError, EOFError)):
        return TransientSinkError(f"{place}: {text}")
    if isinstance(error, SQLAlchemyError):
        return TerminalSinkError(f"{place} can not be written: {text}")
    return TerminalSinkError(f"{place}: {type(error).__name__}: {text}")


def _of_driver(error: DBAPIError, place: str, text: str) -> SinkError:
    original: Any = error.orig
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or ""
    number = original.args[0] if original is not None and original.args else None
    code = number if isinstance(number, int) else None
    if type(original).__module__.startswith("sqlite3"):
        return _of_sqlite(place, text)
    if state in _REFUSED_STATES or code in _REFUSED_CODES or (not state and _REFUSED.search(text)):
        return TerminalSinkError(
            f"{place} refuses the connection: {text}. Check user and password, and that the user "
            "may make tables and write there"
        )
    if (
        state in _NO_DATABASE_STATES
        or code in _NO_DATABASE_CODES
        or (not state and _NO_DATABASE.search(text))
    ):
        return TerminalSinkError(
            f"{place} is not there: {text}. Make the database first (CREATE DATABASE)"
        )
    if not state and code is None and _TRUST.search(text):
        return TerminalSinkError(f"{place} was not trusted: {text}. Check the options of TLS")
    passing = state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES
    if error.connection_invalidated or state.startswith(_AWAY_STATES) or code in _AWAY_CODES:
        return TransientSinkError(f"{place} does not answer: {text}")
    if passing or code in _PASSING_CODES:
        return TransientSinkError(f"{place} can not be written now: {text}")
    if not state and not code and type(original).__name__ in {"OperationalError", "InterfaceError"}:
        # libpq has no state for a connection that was never made, or broke.
        return TransientSinkError(f"{place} does not answer: {text}")
    if type(original).__name__ == "ConnectionTimeout":
        return TransientSinkError(f"{place} does not answer: {text}")
    return TerminalSinkError(f"{place} refused what was to be written: {text}")


def _of_sqlite(place: str, text: str) -> SinkError:
    if "unable to open" in text:
        return TerminalSinkError(
            f"{place} can not be opened: see that its folder is there and can be written"
        )
    if "not a database" in text:
        return TerminalSinkError(f"{place} is no SQLite database: name another file")
    if "malformed" in text:
        return TerminalSinkError(
            f"{place} is damaged ({text}). It is left as it is: move it away and replay with "
            "--rebuild, put a copy of it back, or choose another file"
        )
    if _PASSING_FILE.search(text):
        return TransientSinkError(f"{place} can not be written now: {text}")
    if _BAD_FILE.search(text):
        return TerminalSinkError(f"{place} can not be written: {text}")
    return TerminalSinkError(f"{place} refused what was to be written: {text}")


def said(error: Exception, spec: SinkSpec) -> str:
    """Return an error's text without secrets, statements and what was to be written."""
    original: Any = getattr(error, "orig", None) or error
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    if len(arguments) > 1 and isinstance(arguments[0], int):  # MySQL: a number and a text
        text = str(arguments[1])
    else:
        text = str(original)
    # PostgreSQL adds the value and the statement in lines of their own.
    text = (
        text.partition("\n\tIs the server")[0]
        .partition("\nLINE ")[0]
        .partition("\nDETAIL")[0]
        .partition("\nCONTEXT")[0]
    )
    login = spec.url.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    # A name alone is no secret, and a short one stands in every word.
    for secret in (password, login if password else ""):
        for form in (secret, unquote(secret)):
            if form:
                text = text.replace(form, "***")
    text = re.sub(r"\[Errno -?\d+\] ", "", text)
    return " ".join(text.split())[:300].rstrip(".")
