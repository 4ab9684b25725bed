"""Connections that say nothing any more: a server that hangs holds a view for a bounded time.

Drivers bound the making of a connection. Of an answer PyMySQL bounds the wait, and libpq (psycopg,
psycopg2) does not: a server that was stopped, or a network that swallows what comes back, would hold
a replayer for ever. Here the socket of such a connection is shut, which the driver takes for the end
of the connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["ANSWER", "CONNECT", "FRESH", "PROGRESS", "Patience"]

#: What a server that swallows packets may cost (s): a connection, an answer.
CONNECT, ANSWER = 5.0, 60.0
#: A connection that was used so long ago (s) is not asked whether it lives: who finds that it does not
#: tries again.
FRESH = 1.0
#: In the ``info`` of a connection: what is called by who works at it past SQLAlchemy, now and then,
#: with how many bytes may be on their way.
PROGRESS = "sacred-journal progress"
#: And an answer to what has so many bytes costs a second more.
_SPEED = 256 << 10


class Patience:
    """Watches the connections of an engine while they are in use.

    Parameters
    ----------
    engine
        A new one: its connections are watched from the first on.

    Attributes
    ----------
    overdue
        How often an answer was not waited for any longer.
    waited
        For how long, the last time (s).
    """

    def __init__(self, engine: Engine) -> None:
        self.overdue = 0
        self.waited = 0.0
        self._dialect: Any = engine.dialect
        #: By the identity of a connection: until when it may be silent (monotonic), how long that
        #: is, and itself.
        self._watched: dict[int, tuple[float, float, Any]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        event.listen(engine, "do_connect", self._connecting)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "before_cursor_execute", self._asked)
        event.listen(engine, "after_cursor_execute", self._answered)
        for end in ("checkin", "invalidate", "close", "close_detached"):
            event.listen(engine, end, self._left)

    # -- what the pool does ----------------------------------------------------------------------

    def _connecting(self, dialect: Any, record: Any, args: Any, keywords: dict[str, Any]) -> None:
        """Have PyMySQL wait no longer for the greeting than for the connection."""
        del args
        connect, answer = keywords.get("connect_timeout"), keywords.get("read_timeout")
        if dialect.driver == "pymysql" and connect and (answer is None or answer > connect):
            keywords["read_timeout"] = connect
            record.info["answer"] = answer

    def _connected(self, connection: Any, record: Any) -> None:
        record.info["new"] = True
        if "answer" in record.info and hasattr(connection, "_read_timeout"):
            # No public name; where it has another one, answers are waited for as long as a greeting.
            connection._read_timeout = record.info["answer"]

    def _taken(self, connection: Any, record: Any, proxy: Any) -> None:
        """Watch it, and see that it is alive: SQLAlchemy's own look would wait unwatched."""
        del proxy
        record.info[PROGRESS] = lambda size=0: self._watch(connection, ANSWER + size / _SPEED)
        self._watch(connection, CONNECT)
        new = record.info.pop("new", False)
        if not new and time.monotonic() - record.info.get("left", 0.0) > FRESH:
            try:
                alive = self._dialect.do_ping(connection)
            except self._dialect.loaded_dbapi.Error:
                alive = False
            if not alive:
                raise DisconnectionError("the connection has ended")
        self._watch(connection, ANSWER)

    def _asked(
        self, connection: Any, cursor: Any, statement: Any, values: Any, context: Any, many: bool
    ) -> None:
        del cursor, statement, context
        size = 0 if many else _size(values)
        self._watch(connection.connection.dbapi_connection, ANSWER + size / _SPEED)

    def _answered(self, connection: Any, *_: Any) -> None:
        self._watch(connection.connection.dbapi_connection, ANSWER)

    def _left(self, connection: Any, record: Any = None, *_: Any) -> None:
        if record is not None and hasattr(record, "info"):
            record.info["left"] = time.monotonic()
        with self._changed:
            self._watched.pop(id(connection), None)

    # -- the clock -------------------------------------------------------------------------------

    def _watch(self, connection: Any, seconds: float) -> None:
        if connection is None or not hasattr(connection, "fileno"):
            return  # a driver that bounds its reading itself
        with self._changed:
            self._watched[id(connection)] = time.monotonic() + seconds, seconds, connection
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sql-patience", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while self._watched:
                now = time.monotonic()
                late = [key for key, (until, *_) in self._watched.items() if until <= now]
                for key in late:
                    _, self.waited, connection = self._watched.pop(key)
                    self.overdue += 1
                    _end(connection)
                if self._watched:
                    self._changed.wait(min(until for until, *_ in self._watched.values()) - now)
            self._thread = None


def _end(connection: Any) -> None:
    """Shut a connection's socket, whoever waits for it."""
    with (
        contextlib.suppress(Exception),  # of any driver: it may just have ended
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


def _size(values: Any) -> int:
    found = values.values() if isinstance(values, dict) else values or ()
    return sum(len(value) for value in found if isinstance(value, (str, bytes)))
