"""What a fold came to, with its position: a replayer that begins again need not fold a long run anew.

It lies in ``<root>/.cache/replayers``, is made every 64 MiB of content, and may be thrown away at any
time: without it the journal is folded from its beginning. It is data in the journal's own encoding;
reading it builds nothing that it names. The one before is kept, since a view may hold back points for
a while and then stands before the last one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.__about__ import __version__
from sacred.journal.codec import pack, unpack
from sacred.journal.errors import JournalError
from sacred.journal.position import Position
from sacred.journal.regular_file import read_regular, replace_regular

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.position import WriterPosition
    from sacred.journal.root import RunFolder

__all__ = ["CONTENT", "Checkpoint", "Checkpoints"]

#: So much content lies between two of them (bytes).
CONTENT = 64 << 20
#: A larger one is not made (bytes): a view that keeps the whole output of a talkative run.
_MOST = 32 << 20
_DIGEST = 32


class Checkpoint(NamedTuple):
    """One of them.

    Attributes
    ----------
    position
        Up to where was folded.
    state
        What it came to; data that ``RunProjection.restore`` takes.
    """

    position: Position
    state: dict[str, Any]


class Checkpoints:
    """Those of one run in one view.

    Parameters
    ----------
    folder
        The run's folder.
    key
        ``SinkSpec.key`` of the view.
    kind
        What else the state depends on.
    """

    def __init__(self, folder: RunFolder, key: str, kind: str) -> None:
        self._place: Path = folder.root.path / ".cache" / "replayers"
        self._name = f"{folder.path.name}-{key}.fold"
        self._kind = f"{__version__} {kind}"

    def save(self, journal_id: str, checkpoint: Checkpoint) -> bool:
        """Keep one; False where that can not be done, which harms nobody."""
        wire = {
            "kind": self._kind,
            "journal": journal_id,
            "position": checkpoint.position.to_wire(),
            "state": checkpoint.state,
        }
        content = pack(wire)
        # What does not come back as it was is not kept: no view may depend on it.
        if len(content) > _MOST or repr(unpack(content)) != repr(wire):
            return False
        content = hashlib.sha256(content).digest() + content
        newest, before = self._paths()
        with contextlib.suppress(OSError):
            self._place.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.replace(newest, before)
            replace_regular(newest, content)
            return True
        return False

    def find(self, journal_id: str, position: Position) -> Checkpoint | None:
        """Return the newest one that does not lie behind where a view stands."""
        for path in self._paths():
            found = self._load(path, journal_id)
            if found is not None and _leads_to(found.position, position):
                return found
        return None

    def drop(self) -> None:
        """Throw them away."""
        for path in self._paths():
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _paths(self) -> tuple[Path, Path]:
        return self._place / self._name, self._place / f"{self._name}-before"

    def _load(self, path: Path, journal_id: str) -> Checkpoint | None:
        try:
            content = read_regular(path, _MOST + _DIGEST)
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            wire = unpack(content[_DIGEST:])
            if (wire["kind"], wire["journal"]) != (self._kind, journal_id):
                return None
            return Checkpoint(Position.from_wire(wire["position"]), dict(wire["state"]))
        except (OSError, ValueError, TypeError, KeyError, JournalError, RecursionError):
            return None


def _leads_to(start: Position, goal: Position) -> bool:
    """Tell whether all that lies before one position lies before the other, too."""
    return all(_reaches(at, goal.get(writer)) for writer, at in start.items())


def _reaches(at: WriterPosition, goal: WriterPosition | None) -> bool:
    if goal is None:
        return False
    # At the same place the chain tells whether it is the same journal; behind it, reading does.
    return goal.next_seq > at.next_seq or (goal.next_seq, goal.chain) == (at.next_seq, at.chain)
