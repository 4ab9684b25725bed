"""A run's points in objects that are written once, of which ``metrics.json`` is made.

An object can not grow. Each batch with points makes a *part*; eight small parts of one level become
one of the next, so that a run has few parts and each point is written a few times only.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import ViewMovedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.replayers.objects.store import ObjectStore
    from sacred.replayers.sink import PointsAdded

__all__ = ["Parts", "new_points"]

#: So many parts of one level become one.
_FAN = 8
#: Larger parts stay as they are (bytes).
_LARGE = 4 << 20


class Parts:
    """The parts of one run, of which ``position.json`` keeps the list: name, size, level.

    Parameters
    ----------
    store
        Where they are.
    prefix
        What their names begin with, the slash included.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        #: Contents of small ones, by name: they are about to be made one.
        self._contents: dict[str, bytes] = {}

    def add(self, parts: list[list[Any]], content: bytes) -> list[list[Any]]:
        """Write a part; return the list with it, which counts once ``position.json`` has it.

        Parameters
        ----------
        parts
            The list so far.
        content
            The new points.
        """
        kept, level = list(parts), 0
        while True:
            same = 0
            while same < len(kept) and kept[-1 - same][2] == level:
                same += 1
            merged = kept[len(kept) - same :]
            size = len(content) + sum(part[1] for part in merged)
            if same < _FAN - 1 or size > _LARGE:
                break
            content = b"".join(self._content(str(part[0])) for part in merged) + content
            kept = kept[: len(kept) - same]
            level += 1
        name = secrets.token_hex(8)  # one that nobody else gives
        self._store.put(self._prefix + name, content)
        if len(content) < _LARGE // _FAN:
            self._contents[name] = content
        return [*kept, [name, len(content), level]]

    def _content(self, name: str) -> bytes:
        known = self._contents.get(name)
        if known is not None:
            return known
        found = self._store.get(self._prefix + name)
        if found is None:
            raise ViewMovedError("another replayer made the parts of this run one")
        return found.content

    def read(self, parts: Iterable[list[Any]]) -> dict[str, tuple[list[Any], list[Any], list[Any]]]:
        """Return steps, values and times of all metrics."""
        from sacred.journal.codec import unpack_all

        metrics: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
        for part in parts:
            for name, *columns in unpack_all(self._content(str(part[0]))):
                known = metrics.setdefault(name, ([], [], []))
                for column, new in zip(known, columns, strict=True):
                    column.extend(new)
        return metrics

    def forget(self, names: Iterable[str]) -> None:
        """Delete parts that no list has any more."""
        for name in names:
            self._contents.pop(name, None)
            self._store.delete(self._prefix + name)


def new_points(kept: dict[str, Any], change: PointsAdded) -> bytes:
    """Return the points that are new, packed, and count them in the content of a position."""
    from sacred.journal.codec import pack

    seqs = kept.setdefault("next_seqs", {}).setdefault(change.metric, {})
    new = change.beyond({int(writer): seq for writer, seq in seqs.items()})
    if new is None:
        return b""
    seqs.update({str(writer): seq for writer, seq in new.next_seqs().items()})
    counts = kept.setdefault("counts", {})
    counts[new.metric] = counts.get(new.metric, 0) + len(new.seqs)
    return pack([new.metric, new.steps, new.values, new.times])
