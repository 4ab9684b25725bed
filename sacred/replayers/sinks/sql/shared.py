"""The rows of the host and the experiment, which many runs share: found once, then known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, exists

from sacred.replayers.sinks.sql import tables
from sacred.replayers.sinks.sql.rows import (
    experiment_md5,
    experiment_row,
    found_or_added,
    host_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection

__all__ = ["IS_THERE", "SharedFacts", "SharedKeys", "SharedRows"]

#: So many keys are kept; a process meets few hosts and experiments.
_MOST_KEPT = 1000
_HOST = ("cpu", "hostname", "os", "os_info", "python_version")


def _are_there() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    host, experiment = tables.host, tables.experiment
    same = (host.c[name].is_not_distinct_from(bindparam(f"host_{name}")) for name in _HOST)
    return (
        exists().where(host.c.host_id == bindparam("host"), *same),
        exists().where(
            experiment.c.experiment_id == bindparam("experiment"),
            experiment.c.md5sum == bindparam("experiment_md5"),
        ),
    )


#: Whether a host's row and an experiment's are there and have not changed; for a statement that asks
#: more, with ``SharedRows.questions``.
IS_THERE = _are_there()


class SharedFacts(NamedTuple):
    """What a run's host and experiment are.

    Attributes
    ----------
    host
        Columns of the host's row; None if that is not said.
    md5
        What tells the experiment's row from others; None if nothing is said of the experiment.
    experiment
        What is said of it.
    sources
        Keys of its sources' rows.
    """

    host: Mapping[str, Any] | None
    md5: str | None
    experiment: Mapping[str, Any]
    sources: list[int]

    @classmethod
    def of(
        cls, fields: Mapping[str, Any], references: Mapping[tuple[str, str, str | None, int], Any]
    ) -> SharedFacts:
        """Read them from a run's document; ``references`` are the keys of files."""
        host, experiment = fields.get("host"), fields.get("experiment")
        values = None if host is None else host_values(host)
        if experiment is None:
            return cls(values, None, {}, [])
        entries = experiment.get("sources") or ()
        keys = [references[entry.key] for entry in entries if references.get(entry.key)]
        return cls(values, experiment_md5(experiment, keys), experiment, keys)


class SharedKeys(NamedTuple):
    """The keys of a host's row and an experiment's; None for one that is not known."""

    host: int | None
    experiment: int | None


class SharedRows:
    """Remembers keys, as they were a moment ago.

    A replayer of many runs meets the same host and experiment in each. What is remembered may be
    gone by now: whoever takes it asks in the same transaction whether it is there.
    """

    def __init__(self) -> None:
        self._keys: dict[Any, int] = {}

    def known(self, facts: SharedFacts) -> SharedKeys:
        """Return what is remembered."""
        host = None if facts.host is None else self._keys.get(tuple(facts.host.values()))
        return SharedKeys(host, self._keys.get(facts.md5))

    @staticmethod
    def questions(facts: SharedFacts, known: SharedKeys) -> dict[str, Any]:
        """Return the parameters of ``IS_THERE``."""
        host = facts.host or {}
        return {
            **{f"host_{name}": host.get(name) for name in _HOST},
            "host": known.host,
            "experiment": known.experiment,
            "experiment_md5": facts.md5,
        }

    def host_key(self, connection: Connection, facts: SharedFacts) -> int | None:
        """Return the key of the host's row, which is made if there is none."""
        if facts.host is None:
            return None
        key = found_or_added(connection, tables.host, facts.host)
        return self._keep(tuple(facts.host.values()), key)

    def experiment_key(self, connection: Connection, facts: SharedFacts) -> int | None:
        """Return the key of the experiment's row, which is made if there is none."""
        if facts.md5 is None:
            return None
        key = experiment_row(connection, facts.md5, facts.experiment, facts.sources)
        return self._keep(facts.md5, key)

    def _keep(self, what: Any, key: int) -> int:
        if len(self._keys) >= _MOST_KEPT:
            self._keys.clear()
        self._keys[what] = key
        return key
