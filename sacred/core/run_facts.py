"""The facts about a run: those its start event has, and those that follow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.facts import LateDict
from sacred.core.fork import IMPORTING
from sacred.core.host_info import machine_facts
from sacred.core.recordable import recordable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sacred.core.recorder import Recorder
    from sacred.core.run import Run
    from sacred.core.settings import CollectionSettings

__all__ = [
    "claim_document",
    "keep_main_file",
    "record_late_facts",
    "record_main_file",
    "record_typed",
    "start_facts",
]

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


def keep_main_file(recorder: Recorder, experiment_info: Any) -> None:
    """Store the main file, before the start is recorded."""
    known = _known(experiment_info)
    name = known.get("mainfile")
    if name:
        base = str(known.get("base_dir") or os.getcwd())
        recorder.keep_main_source(str(name), os.path.join(base, str(name)))


def record_main_file(recorder: Recorder, experiment_info: Any) -> None:
    """Record the main file, right behind the start."""
    recorder.main_source()
    record_typed(recorder, experiment_info)


def record_typed(recorder: Recorder, experiment_info: Any) -> None:
    """Record the cells that were run so far, where the experiment is in no file."""
    known = _known(experiment_info)
    if "mainfile" in known and not known["mainfile"]:
        from sacred.core.notebook import record_cells

        base = str(known.get("base_dir") or os.getcwd())
        record_cells(recorder, str(known.get("name") or "experiment"), base)


def record_late_facts(
    recorder: Recorder,
    experiment_info: Any,
    host_info: Any,
    settings: CollectionSettings,
    say: Callable[[list[str]], None],
) -> None:
    """Find what was not known at the start, and record it; may take seconds.

    Parameters
    ----------
    recorder
        Of the run.
    experiment_info, host_info
        The facts, found when they are asked for.
    settings
        What is collected.
    say
        Takes sentences for the user.

    Raises
    ------
    OSError
        A source file is gone.
    """
    sources = experiment_info.get("sources") or ()
    known = _known(experiment_info)
    base = str(known.get("base_dir") or os.getcwd())
    paths = {str(name): os.path.join(base, str(name)) for name, _ in sources}
    recorder.sources(
        [(str(name), paths[str(name)], str(md5)) for name, md5 in sources], known.get("mainfile")
    )
    # Last: a run that is killed meanwhile needs the others more than this survives a power cut.
    recorder.sync_main_source()
    if recorder.changed_sources:
        names = ", ".join(recorder.changed_sources)
        text = f"Sources are not as they were when the run began, and are recorded anew: {names}"
        recorder.message("warning", text)
        say([text])
    recorder.dependencies([str(name) for name in experiment_info.get("dependencies") or ()])
    _record_repositories(recorder, experiment_info, paths.values(), settings)
    facts = machine_facts()
    if isinstance(host_info, LateDict) and host_info.pending:
        before = host_info.known()
        after = host_info.complete()
        facts |= {k: v for k, v in after.items() if k not in before}
    recorder.host_facts(facts)


def _record_repositories(
    recorder: Recorder, experiment_info: Any, paths: Iterable[str], settings: CollectionSettings
) -> None:
    """Record the repositories an experiment says its sources are in, with what git knows of them."""
    with IMPORTING:
        from sacred.core.repositories import found_repositories

    told = [dict(repository) for repository in experiment_info.get("repositories") or ()]
    found = found_repositories(os.path.realpath(path) for path in paths)
    notes = [repository.note for repository in found]
    recorded: list[dict[str, Any]] = []
    for repository in told:
        state = tuple(repository.get(name) for name in ("url", "commit", "dirty"))
        roots = [place.root for place in found if place.state == state]
        for root in roots:
            diff = None
            if repository.get("dirty") and settings.diff:
                with IMPORTING:
                    from sacred.core.working_tree import uncommitted_changes

                diff, note = uncommitted_changes(root, settings.diff_limit, settings.diff_exclude)
                notes.append(note)
            recorded.append({**repository, "root": root, "diff": diff})
        if not roots:
            recorded.append(repository)
    recorder.repositories(recorded)
    for note in notes:
        if note is not None:
            recorder.message("info", note)


def _known(facts: Any) -> dict[str, Any]:
    """Return the facts that are there, without waiting for the others."""
    if isinstance(facts, LateDict):
        return facts.known()
    return dict(facts) if facts else {}


def _machine() -> dict[str, Any]:
    """Return what the documents promise of the machine and Sacred's host_info does not have."""
    with IMPORTING:
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
