"""Claims: what a view holds of a run that has got its id there and has no journal yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.journal.events import Event, EventType
from sacred.replayers.projection import RunProjection
from sacred.replayers.sink import RunKey, SinkSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLAIM_LIFE", "claim_in_process", "claimed_fields"]

#: A claim whose journal does not appear is taken back after so long (s).
CLAIM_LIFE = 60.0


def claimed_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with which a run is claimed.

    Parameters
    ----------
    document
        ``name, command, config, host, meta, experiment``, ``start_time`` (ns since the epoch) and
        perhaps ``status``, as the experiment's process knows them.
    """
    names = ("name", "command", "config", "host", "meta", "experiment", "status")
    fields = {name: document[name] for name in names if document.get(name) is not None}
    queued = fields.get("status") == "QUEUED"
    kind = EventType.RUN_QUEUED if queued else EventType.RUN_STARTED
    projection = RunProjection()
    projection.apply(Event(int(kind), int(document.get("start_time") or 0), 0, 0, fields))
    found = projection.document()
    experiment = {**found["experiment"], "sources": []}
    return {**found, "experiment": experiment}


def claim_in_process(
    spec: Mapping[str, Any], journal_id: str, run_id: Any, document: Mapping[str, Any]
) -> tuple[int, str]:
    """Make a run's folder from within the experiment's process.

    Parameters
    ----------
    spec
        As ``SinkSpec.to_wire`` gives it.
    journal_id
        16 hex digits.
    run_id
        The id that the run has or would like to have, or None.
    document
        ``name, command, config, host, meta, experiment`` and ``start_time`` (ns since the epoch).

    Returns
    -------
    The id, and the folder, which holds ``config.json`` and ``run.json`` by then.

    Raises
    ------
    SinkError
        The folder can not be made.
    """
    from sacred.replayers.sinks.file import FileSink

    sink = FileSink(SinkSpec.from_wire(spec))
    given = sink.claim(RunKey(journal_id, run_id, claimed_fields(document)))
    return given, os.path.join(sink.base, str(given))
