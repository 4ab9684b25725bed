"""SQL: the observer that declares a view in an SQL database."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError, checked_priority
from sacred.core.lending import lend
from sacred.core.passwords import mask_password
from sacred.core.view_options import sql_option
from sacred.observers.declaration import declares_a_view
from sacred.observers.sql_entry import SqlEntry

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

__all__ = ["DEFAULT_SQL_PRIORITY", "SqlObserver", "sql_option"]

DEFAULT_SQL_PRIORITY = 40


@declares_a_view
class SqlObserver(SqlEntry):
    """Declares that runs shall be written into an SQL database.

    Nothing is connected here: a process of its own writes the run from its journal, while it goes
    on and after it ended, whether or not the server is up. A subclass, an observer with a replaced
    method, with an engine and a session of its own or with a SQLite database in memory is called
    event by event instead, in the run's process, and writes as Sacred's does.

    Parameters
    ----------
    url
        ``sqlite:///runs.db``, ``postgresql://user:password@host:port/database``, ``mysql://...``.
    echo
        Whether SQLAlchemy shows the statements that are written in this process.
    priority
        Higher ones are asked for a run's id first.
    required
        True: a run does not begin without the database, and ends when everything is there.

    Raises
    ------
    ImportError
        SQLAlchemy or the driver of the database is not installed.
    InvalidArgumentError
        ``url`` is no address, or ``priority`` no number. It is a ``TypeError`` and a ``ValueError``.
    """

    def __init__(
        self,
        url: str,
        echo: bool = False,
        priority: int = DEFAULT_SQL_PRIORITY,
        required: bool = False,
    ) -> None:
        from sacred.replayers.sinks.sql.address import anchored, driver_of, in_memory, sql_spec

        name = type(self).__name__
        if not isinstance(url, str) or not url.strip():
            raise InvalidArgumentError(
                f"The url of {name}(...) is {url!r}: give the address of the database, as in "
                f'{name}("sqlite:///runs.db").'
            )
        checked_priority(priority, name)
        missing = driver_of(url)
        if missing is not None:
            raise ImportError(
                f"a SqlObserver needs the package {missing}",
                name=missing.partition(":")[0].lower(),
            )
        self.url: str | None = anchored(url)
        try:
            self._view = None if in_memory(url) else sql_spec(url)
        except ValueError as error:
            raise InvalidArgumentError(f"The url of {name}(...) is none: {error}.") from None
        self.echo = echo
        self.priority = priority
        self.required = required
        self._use(None, None)

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> SqlObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "SqlObserver.create(...) is deprecated. Please use SqlObserver(...) instead.",
            DeprecationWarning,
            stacklevel=1,  # as Sacred's: a script shows none of it
        )
        return cls(*args, **kwargs)

    @classmethod
    def create_from(cls, *args: Any, **kwargs: Any) -> SqlObserver:
        """Return an observer for an engine and a session one has.

        The arguments are those of ``initialize``.
        """
        observer = cls.__new__(cls)
        observer.initialize(*args, **kwargs)
        return observer

    def initialize(
        self, engine: Engine, session: Session, priority: int = DEFAULT_SQL_PRIORITY
    ) -> None:
        """Use this engine and this session, in this process."""
        self.url = None
        self._view = None
        self.echo = False
        self.priority = priority
        self._use(engine, session)

    # -- the declaration -------------------------------------------------------------------------

    def _specification(self) -> dict[str, Any] | None:
        if self._view is None or self._is_given:
            return None
        return self._view.to_wire()

    def check_run_id(self, run_id: Any) -> None:
        """See that a run could have this id, in a database that is a file of this machine.

        A server is not asked: a run does not wait for one.

        Raises
        ------
        FileExistsError
            There is a run with it.
        """
        from sacred.replayers.sinks.sql.lookup import has_run

        if self._specification() is not None and self.url and has_run(self.url, run_id):
            raise FileExistsError(
                f"There is a run with the id {run_id} in {mask_password(self.url)}. "
                "Leave out --id, or choose another one."
            )

    def run_began(self, *, journal_id: str, **_: Any) -> None:
        """Remember the run, for ``run``."""
        self._journal_id = journal_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SqlObserver):
            return False
        if self._view is None or other._view is None or self._is_given or other._is_given:
            # What is in memory belongs to one engine.
            mine, others = self._both(), other._both()
            return bool(mine[0] == others[0] and mine[1] == others[1])
        return self.url == other.url

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        where = mask_password(self.url) if self.url else "an engine of its own"
        return f"<{type(self).__name__} {where}>"


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
    flatten="sacred.serializer",
)
