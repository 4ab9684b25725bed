"""Reading back, in the run's own process, what its journal holds."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder

__all__ = ["printed_text", "run_id_of"]


def printed_text(folder: RunFolder, *, raw: bool = False) -> str:
    """Return what a run printed, as text; filtered where it had a filter, unless ``raw``."""
    decoders: dict[int, Any] = {}
    parts: list[str] = []
    filtered: str | None = None
    for event in JournalReader(folder.journal).read():
        if event.type == EventType.OUTPUT:
            stream = event.fields["stream"]
            if stream not in decoders:
                decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
            parts.append(decoders[stream].decode(event.fields["data"]))
        elif event.type == EventType.OUTPUT_FILTERED and not raw:
            filtered = (filtered or "")[: event.fields["keep"]] + event.fields["text"]
    return "".join(parts) if filtered is None else filtered


def run_id_of(folder: Path) -> Any:
    """Return the id of the run in a folder; None if there is none to be read."""
    try:
        for event in JournalReader(folder / "journal").read():
            if event.type in (EventType.RUN_STARTED, EventType.RUN_QUEUED):
                return event.fields.get("run_id")
    except (JournalError, OSError):
        return None
    return None
