"""Runs whose rows are in the tables while the hidden folder does not know their number.

The tree was copied without hidden files, or somebody removed ``.journal``. Each row of ``runs`` says
which journal it is of, so that such a run is written anew in its place, and no row stands twice.
"""

from __future__ import annotations

import contextlib
import os
import threading

from sacred.replayers.sinks.parquet.layout import OWN, part_of

__all__ = ["forget_orphans", "orphan"]

_LOCK = threading.Lock()
#: By base: which ``ids`` that was looked at, and number and folder of each journal without one. To
#: look for each new run would make the cost of n runs n times n.
_FOUND: dict[str, tuple[tuple[int, int], dict[str, tuple[int, str]]]] = {}


def orphan(base: str, journal_id: str) -> tuple[int, str] | None:
    """Return the number and the partition that a journal's row stands in without being known.

    Parameters
    ----------
    base
        The tree's folder, absolute.
    journal_id
        Of the run, of which the hidden folder has nothing.
    """
    ids = os.path.join(base, OWN, "ids")
    try:
        about = os.stat(ids)
    except OSError:
        return None
    stamp = (about.st_dev, about.st_ino)
    with _LOCK:
        known = _FOUND.get(base)
        if known is None or known[0] != stamp:
            known = _FOUND[base] = (stamp, _look(base, ids))
    found = known[1].get(journal_id)
    if found is None or os.path.lexists(os.path.join(ids, str(found[0]))):
        return None
    return found if os.path.isdir(os.path.join(base, "runs", found[1])) else None


def forget_orphans(base: str) -> None:
    """Look again at the next call of ``orphan``: the hidden folder is a new one."""
    with _LOCK:
        _FOUND.pop(base, None)


def _look(base: str, ids: str) -> dict[str, tuple[int, str]]:
    table = os.path.join(base, "runs")
    places: dict[int, list[str]] = {}
    # The rows before the numbers: whoever writes a run meanwhile took its number before.
    for experiment in _names(table):
        for name in _names(os.path.join(table, experiment)):
            digits = name.removeprefix("run=")
            if digits != name and digits.isascii() and digits.isdecimal() and int(digits):
                places.setdefault(int(digits), []).append(os.path.join(experiment, name))
    for name in _names(ids):
        if name.isascii() and name.isdecimal():
            places.pop(int(name), None)
    if not places:
        return {}
    from sacred.replayers.sinks.parquet.tables import journals_of

    found: dict[str, tuple[int, str]] = {}
    for number in sorted(places):
        for place in places[number]:
            folder = os.path.join(table, place)
            parts = [os.path.join(folder, one) for one in _names(folder) if part_of(one)]
            for journal_id in journals_of(parts):
                found.setdefault(journal_id, (number, place))
    return found


def _names(folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []
