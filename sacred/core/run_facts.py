"""The facts about a run: those its start event has, and those that follow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.facts import LateDict
from sacred.core.recorder import recordable

if TYPE_CHECKING:
    from datetime import datetime

    from sacred.core.recorder import Recorder
    from sacred.core.run import Run

__all__ = ["claim_document", "record_late_facts", "record_main_file", "start_facts"]

#: Parts of an experiment's information that have events of their own.
_LATE = ("sources", "dependencies", "repositories")


def start_facts(run: Run, command: str, run_id: Any) -> dict[str, Any]:
    """Return the fields of ``RUN_STARTED`` and ``RUN_QUEUED`` that are known at once."""
    experiment = {k: v for k, v in _known(run.experiment_info).items() if k not in _LATE}
    seed = run.config.get("seed")
    return {
        "run_id": run_id,
        "name": str(experiment.get("name", "")),
        "command": command,
        "config": recordable(run.config),
        "meta": recordable(run.meta_info),
        "experiment": experiment,
        "host": _known(run.host_info) | _machine(),
        "modifications": _modifications(run.config_modifications),
        "seed": seed if isinstance(seed, int) else None,
    }


def claim_document(run: Run, command: str, when: datetime) -> dict[str, Any]:
    """Return what is known of a run before it began, for a view that gives ids."""
    import datetime as dt

    since = when.replace(tzinfo=dt.timezone.utc) - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    experiment = {k: v for k, v in _known(run.experiment_info).items() if k not in _LATE}
    return {
        "name": str(experiment.get("name", "")),
        "command": command,
        "config": recordable(run.config),
        "host": _known(run.host_info) | _machine(),
        "meta": recordable(run.meta_info),
        "experiment": experiment,
        "start_time": since // dt.timedelta(microseconds=1) * 1000,
        "status": run.status,
    }


def record_main_file(recorder: Recorder, experiment_info: Any) -> None:
    """Record the main file, before the main function is called."""
    known = _known(experiment_info)
    name = known.get("mainfile")
    if name:
        base = str(known.get("base_dir") or os.getcwd())
        recorder.main_source(str(name), os.path.join(base, str(name)))


def record_late_facts(recorder: Recorder, experiment_info: Any, host_info: Any) -> None:
    """Find what was not known at the start, and record it; may take seconds.

    Raises
    ------
    OSError
        A source file is gone.
    """
    recorder.sync_main_source()
    sources = experiment_info.get("sources") or ()
    known = _known(experiment_info)
    base = str(known.get("base_dir") or os.getcwd())
    recorder.sources(
        [(str(name), os.path.join(base, str(name)), str(md5)) for name, md5 in sources],
        known.get("mainfile"),
    )
    recorder.dependencies([str(name) for name in experiment_info.get("dependencies") or ()])
    recorder.repositories(experiment_info.get("repositories") or ())
    if isinstance(host_info, LateDict) and host_info.pending:
        before = host_info.known()
        after = host_info.complete()
        recorder.host_facts({k: v for k, v in after.items() if k not in before})


def _known(facts: Any) -> dict[str, Any]:
    """Return the facts that are there, without waiting for the others."""
    if isinstance(facts, LateDict):
        return facts.known()
    return dict(facts) if facts else {}


def _machine() -> dict[str, Any]:
    """Return what the documents promise of the machine and Sacred's host_info does not have."""
    from sacred.core.host_info import cpu_count, python_compiler

    return {"cpu_count": cpu_count(), "python_compiler": python_compiler()}


def _modifications(summary: Any) -> dict[str, Any] | None:
    """Return what the user changed of the configuration as plain lists and dicts."""
    if not hasattr(summary, "added"):
        return None
    return {
        "added": sorted(summary.added),
        "modified": sorted(summary.modified),
        "typechanged": {
            path: [getattr(kind, "__name__", str(kind)) for kind in kinds]
            for path, kinds in dict(summary.typechanged).items()
        },
        "docs": {str(path): str(doc) for path, doc in dict(summary.docs).items()},
    }
