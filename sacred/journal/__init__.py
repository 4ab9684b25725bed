"""The run journal: an append-only, compressed, checksummed file of events.

Usable alone, without any experiment::

    from sacred.journal import EventType, JournalReader, JournalWriter

    writer = JournalWriter.create("somewhere/journal")
    writer.log_point("loss", 0, 0.5)
    writer.append(EventType.MESSAGE, level="info", text="half way")
    writer.close()
    for event in JournalReader("somewhere/journal").read():
        print(event.name, event.fields)

What was written is read again whatever became of its writer. The folder should be called ``journal``:
the one around it is then what ``verify``, ``seal_run`` and the commands take for a run. One that
has no ``RUN_ENDED`` event counts as died when its process is gone, which loses nothing.

The format is ``docs/journal-format.md``; what each module does is its first sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

#: Name and version of the software that writes, as ``EPOCH_BEGAN`` records it.
__software__ = "sacred-journal 0.1.0"

if TYPE_CHECKING:
    from sacred.journal.blobs import BlobStore
    from sacred.journal.bundle_import import import_bundle
    from sacred.journal.bundle_writer import write_bundle
    from sacred.journal.columns import read_metrics
    from sacred.journal.errors import (
        BlobDamagedError,
        BlobError,
        BlobMissingError,
        BundleError,
        InvalidEventError,
        JournalBusyError,
        JournalError,
        JournalUnavailableError,
        JournalUnreadableError,
        MergeError,
        NewerFormatError,
        NoRootError,
        NotABundleError,
        NotAJournalError,
        NotSealableError,
        OutputPlaceError,
        PositionContradictedError,
        RunNotFoundError,
        WriterClosedError,
    )
    from sacred.journal.events import Event, EventType
    from sacred.journal.folder_lock import locked_journal
    from sacred.journal.following import follow
    from sacred.journal.garbage import collect
    from sacred.journal.merging import RootOrigin, merge
    from sacred.journal.position import Position, WriterPosition
    from sacred.journal.reader import JournalReader
    from sacred.journal.repair import repair_run
    from sacred.journal.root import JournalRoot, RunFolder, find_root
    from sacred.journal.seal import seal_run
    from sacred.journal.verdicts import Foreign, Gap, Tail, Unindexed
    from sacred.journal.verification import verify
    from sacred.journal.writer import JournalWriter

__all__ = [
    "BlobDamagedError",
    "BlobError",
    "BlobMissingError",
    "BlobStore",
    "BundleError",
    "Event",
    "EventType",
    "Foreign",
    "Gap",
    "InvalidEventError",
    "JournalBusyError",
    "JournalError",
    "JournalReader",
    "JournalRoot",
    "JournalUnavailableError",
    "JournalUnreadableError",
    "JournalWriter",
    "MergeError",
    "NewerFormatError",
    "NoRootError",
    "NotABundleError",
    "NotAJournalError",
    "NotSealableError",
    "OutputPlaceError",
    "Position",
    "PositionContradictedError",
    "RootOrigin",
    "RunFolder",
    "RunNotFoundError",
    "Tail",
    "Unindexed",
    "WriterClosedError",
    "WriterPosition",
    "collect",
    "find_root",
    "follow",
    "import_bundle",
    "locked_journal",
    "merge",
    "read_metrics",
    "repair_run",
    "seal_run",
    "verify",
    "write_bundle",
]

_HOMES = {
    "BlobDamagedError": "errors",
    "BlobError": "errors",
    "BlobMissingError": "errors",
    "BlobStore": "blobs",
    "BundleError": "errors",
    "Event": "events",
    "EventType": "events",
    "Foreign": "verdicts",
    "Gap": "verdicts",
    "InvalidEventError": "errors",
    "JournalBusyError": "errors",
    "JournalError": "errors",
    "JournalReader": "reader",
    "JournalRoot": "root",
    "JournalUnavailableError": "errors",
    "JournalUnreadableError": "errors",
    "JournalWriter": "writer",
    "MergeError": "errors",
    "NewerFormatError": "errors",
    "NoRootError": "errors",
    "NotABundleError": "errors",
    "NotAJournalError": "errors",
    "NotSealableError": "errors",
    "OutputPlaceError": "errors",
    "Position": "position",
    "PositionContradictedError": "errors",
    "RootOrigin": "merging",
    "RunFolder": "root",
    "RunNotFoundError": "errors",
    "Tail": "verdicts",
    "Unindexed": "verdicts",
    "WriterClosedError": "errors",
    "WriterPosition": "position",
    "collect": "garbage",
    "find_root": "root",
    "follow": "following",
    "import_bundle": "bundle_import",
    "locked_journal": "folder_lock",
    "merge": "merging",
    "read_metrics": "columns",
    "repair_run": "repair",
    "seal_run": "seal",
    "verify": "verification",
    "write_bundle": "bundle_writer",
}


def __getattr__(name: str) -> Any:
    # Lazily: a process that writes pays for the writer alone, one that reads for the reader.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
