"""The run journal: an append-only, compressed, checksummed file of events.

Usable alone, without any experiment::

    from sacred.journal import EventType, JournalReader, JournalWriter

    writer = JournalWriter.create("somewhere/journal")
    writer.log_point("loss", 0, 0.5)
    writer.append(EventType.MESSAGE, level="info", text="half way")
    writer.close()
    for event in JournalReader("somewhere/journal").read():
        print(event.name, event.fields)

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
    from sacred.journal.events import Event, EventType
    from sacred.journal.following import follow
    from sacred.journal.position import Position, WriterPosition
    from sacred.journal.reader import JournalReader
    from sacred.journal.root import JournalRoot, RunFolder, find_root
    from sacred.journal.verification import verify
    from sacred.journal.writer import JournalWriter

__all__ = [
    "BlobStore",
    "Event",
    "EventType",
    "JournalReader",
    "JournalRoot",
    "JournalWriter",
    "Position",
    "RunFolder",
    "WriterPosition",
    "find_root",
    "follow",
    "import_bundle",
    "read_metrics",
    "verify",
    "write_bundle",
]

_HOMES = {
    "BlobStore": "blobs",
    "Event": "events",
    "EventType": "events",
    "JournalReader": "reader",
    "JournalRoot": "root",
    "JournalWriter": "writer",
    "Position": "position",
    "RunFolder": "root",
    "WriterPosition": "position",
    "find_root": "root",
    "follow": "following",
    "import_bundle": "bundle_import",
    "read_metrics": "columns",
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
