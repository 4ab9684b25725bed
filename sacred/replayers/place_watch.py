"""When a service looks whether the place of a view lost what it had, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sacred.journal.errors import JournalError
from sacred.replayers.errors import SinkError
from sacred.replayers.place_mark import look_at_place
from sacred.replayers.registry import load_sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import SinkSpec

__all__ = ["PlaceWatch"]

log = logging.getLogger("sacred.replayers")

#: Between two looks (s): in general, and while runs are being written; what was written since the
#: last one is not known to be there.
INTERVAL = 600.0
BUSY_INTERVAL = 60.0


class PlaceWatch:
    """Looks at one view, at the beginning and every ten minutes; every minute while it is written.

    Parameters
    ----------
    spec
        The view. One without an address of its own (``mongo``: as each run declared it), and one
        whose place keeps no marks, is not looked at.

    Notes
    -----
    One thread uses it. A place that can not be asked is asked again at the next look: why it can not
    be reached is told of by whoever writes runs into it.
    """

    def __init__(self, spec: SinkSpec) -> None:
        self._spec = spec
        self._thread: threading.Thread | None = None
        self._looked: float | None = None
        self._written = 0
        self._keeps_marks = bool(spec.url)
        self._lost: deque[tuple[Path, int]] = deque()

    def look(self, roots: Sequence[JournalRoot], written: int) -> bool:
        """Begin a look if one is due; True if one was begun.

        Parameters
        ----------
        roots
            Whose runs the view has.
        written
            How many runs were written into it since the beginning.
        """
        if not self._keeps_marks or (self._thread is not None and self._thread.is_alive()):
            return False
        now = time.monotonic()
        interval = INTERVAL if written == self._written else BUSY_INTERVAL
        if self._looked is not None and now - self._looked < interval:
            return False
        self._looked, self._written = now, written
        self._thread = threading.Thread(
            target=self._look, args=(tuple(roots),), name=f"place-{self._spec.name}", daemon=True
        )
        self._thread.start()
        return True

    def lost(self) -> Iterable[tuple[Path, int]]:
        """Yield the roots whose runs have to be looked at again, each with how many notes that were."""
        while self._lost:
            yield self._lost.popleft()

    def _look(self, roots: tuple[JournalRoot, ...]) -> None:
        try:
            sink = load_sink(self._spec)
            try:
                self._keeps_marks = hasattr(sink, "marked")
                for root in roots if self._keeps_marks else ():
                    count = look_at_place(root, self._spec, sink)
                    if count:
                        self._lost.append((root.path, count))
            finally:
                sink.close()
        except (SinkError, JournalError) as error:
            log.info("%s: not looked at: %s", self._spec.name, error)
        except Exception:
            log.exception("%s: not looked at, for a defect", self._spec.name)
