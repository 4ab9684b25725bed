"""How a run began, as its journal says."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader

if TYPE_CHECKING:
    from sacred.journal.root import RunFolder

__all__ = ["start_fields"]


def start_fields(folder: RunFolder) -> dict[str, Any]:
    """Return the fields of a run's start, reading no further; empty if none can be read."""
    with contextlib.suppress(JournalError, OSError):
        reader = JournalReader(folder.journal)
        try:
            for event in reader.read():
                if event.type in {EventType.RUN_STARTED, EventType.RUN_QUEUED}:
                    return event.fields
        finally:
            reader.close()
    return {}
