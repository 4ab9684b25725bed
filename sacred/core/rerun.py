"""Running a recorded run once more: a new run with the same program, configuration and seed.

The new run is queued with all that the old one was begun with, and then run as queued runs are: by
the sources that are stored with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.resume import ResumeError
from sacred.journal.blobs import BlobStore
from sacred.journal.codec import BlobReference
from sacred.journal.errors import BlobError
from sacred.journal.events import EventType
from sacred.journal.finding import command_on
from sacred.journal.liveness import Liveness
from sacred.journal.reader import JournalReader
from sacred.journal.tables import decode_length
from sacred.journal.writer import JournalWriter, journal_id_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.core.recorded import RecordedRun
    from sacred.journal.root import RunFolder

__all__ = ["check_repeatable", "queue_again"]

#: What tells of the program, and is true of its repetition, too.
_KEPT = frozenset({EventType.SOURCE_ADDED, EventType.REPOSITORY_FOUND})
#: Of the start what the repetition has as the run had it.
_START = ("name", "command", "config", "experiment", "host", "modifications", "seed", "views")


def check_repeatable(record: RecordedRun) -> None:
    """See that a run can be run once more by what is stored with it.

    Raises
    ------
    ResumeError
        It can not; the sentence says why, and what to do.
    BlobError
        The content of a source is not there, or not what was stored.
    """
    name, folder = f"run {record.number}", record.folder
    if folder.number is None or not folder.root.exists():
        raise ResumeError(
            f"{folder.path} is in no root, and the new run needs one: bring it into a root first "
            "(sacred merge, sacred import)"
        )
    if not record.start:
        raise ResumeError(f"{name} never began, so that there is nothing to run again")
    if record.state is Liveness.QUEUED:
        raise ResumeError(
            f"{name} is queued and has not run yet: {command_on('run', folder)} runs it"
        )
    if record.start.get("command") == "start_run" and not record.program:
        raise ResumeError(
            f"{name} was begun by sacred.start_run, in the middle of a program: there is no "
            "function that could be called again"
        )
    store = BlobStore(folder.root.blobs)
    for source in record.sources.values():
        if source.digest is not None and not store.exists(source.digest):
            raise BlobError(
                f"{name} can not be run again: the stored content of its source {source.name} is "
                "not there any more. Bring it back from a copy of the root, or from a bundle of "
                "the run (sacred import)"
            )


def queue_again(record: RecordedRun) -> RunFolder:
    """Queue a run that repeats a recorded one.

    Parameters
    ----------
    record
        Of the run that is repeated; ``check_repeatable`` passed it.

    Returns
    -------
    The folder of the new run, in the same root. Its ``meta.rerun_of`` and an event of its journal
    name the old one. Killed on the way, this leaves a folder of no run.

    Raises
    ------
    JournalUnavailableError
        The root can not be written.
    """
    folder = record.folder.root.claim()
    old = journal_id_text(record.journal_id)
    link = {"run": record.folder.number, "id": record.run_id, "journal": old}
    writer = JournalWriter.create(folder.journal, blobs=BlobStore(folder.root.blobs))
    try:
        # The event that makes it a queued run comes last: what is killed before is none.
        for kind, fields in _program_events(record):
            writer.append(kind, **fields)
        here = [found for each in record.dependencies if (found := _installed(each)) is not None]
        if here:
            writer.append(EventType.DEPENDENCIES_FOUND, dependencies=here)
        writer.append(EventType.LINKED, relation="rerun_of", target=old)
        start = {name: record.start[name] for name in _START if record.start.get(name) is not None}
        program = {name: value for name, value in record.program.items() if name != "id"}
        writer.append(
            EventType.RUN_QUEUED,
            run_id=folder.number,
            meta={**record.meta, "rerun_of": link},
            program=program or None,
            **start,
        )
        writer.sync()
    finally:
        writer.close()
    return folder


def _program_events(record: RecordedRun) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what the journal tells of sources and repositories, as it stands there."""
    reader = JournalReader(record.folder.journal, table_decoder=decode_length)
    try:
        known: set[str] = set()
        for event in reader.read():
            if event.type not in _KEPT:
                continue
            name = str(event.fields.get("filename"))
            if event.type == EventType.SOURCE_ADDED:
                if event.writer and name in known:
                    continue  # of a file the run's own process has the say
                known.add(name)
            fields = {
                key: value.to_wire() if isinstance(value, BlobReference) else value
                for key, value in event.fields.items()
            }
            yield event.type, fields
    finally:
        reader.close()


def _installed(dependency: str) -> str | None:
    """Return a dependency with the version that is here; None if it is not."""
    from sacred.core.distributions import find_distribution

    found = find_distribution(dependency.partition("==")[0])
    return None if found is None else f"{dependency.partition('==')[0]}=={found.version}"
