"""Looking for an id in a SQLite file, without SQLAlchemy: in the process of an experiment."""

from __future__ import annotations

from typing import Any

__all__ = ["has_run"]

#: How long another program may hold the file (s).
_LOCKED = 2.0


def has_run(url: str, run_id: Any) -> bool:
    """Tell whether a run of a SQLite file has this id.

    False also where nothing can be looked up: the address is that of a server, there is no such
    file or no such table, another program holds it. The view says so when it is written.

    Parameters
    ----------
    url
        The address, with the absolute path.
    run_id
        The id, as the user gave it.
    """
    scheme, _, rest = url.partition(":///")
    path = rest.partition("?")[0]
    if scheme.partition("+")[0].lower() != "sqlite" or not path.startswith("/"):
        return False
    import contextlib
    import sqlite3
    from urllib.parse import quote

    try:
        place = f"file:{quote(path)}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, timeout=_LOCKED, uri=True)) as connection:
            query = "SELECT 1 FROM run WHERE run_id = ? LIMIT 1"
            return connection.execute(query, (str(run_id),)).fetchone() is not None
    except (sqlite3.Error, OSError):
        return False
