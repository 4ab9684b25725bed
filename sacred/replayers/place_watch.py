"""When a service looks after the place of a view, in a thread of its own.

It looks whether the place lost what it had, and takes back what processes that are gone left claimed.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from sacred.journal.errors import JournalError
from sacred.replayers.claims import CLAIM_LIFE
from sacred.replayers.errors import SinkError
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import DECLARED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sacred.journal.root import JournalRoot
    from sacred.replayers.place_mark import PlaceGuards
    from sacred.replayers.sink import SinkSpec

__all__ = ["PlaceWatch"]

log = logging.getLogger("sacred.replayers")

#: Between two looks (s): in general, and while runs are being written; what was written since the
#: last one is not known to be there.
INTERVAL = 600.0
BUSY_INTERVAL = 60.0
#: So long the last look may take (s).
LAST_LOOK = 5.0


class PlaceWatch:
    """Looks at one view, at the beginning and every ten minutes; every minute while it is written.

    Parameters
    ----------
    spec
        The view. Of one without an address (``mongo``: as each run declared it) the places are looked
        at that ``know`` is told of.
    guards
        Those of the service, whose followers look, too.

    Notes
    -----
    One thread uses it. A place that can not be asked is asked again at the next look: why it can not
    be reached is told of by whoever writes runs into it.
    """

    def __init__(self, spec: SinkSpec, guards: PlaceGuards) -> None:
        self._spec = spec
        self._guards = guards
        self._specs = {spec.key: spec} if spec.url or spec.kind not in DECLARED else {}
        self._thread: threading.Thread | None = None
        self._looked: float | None = None
        self._cleared: float | None = None
        self._written = 0
        self._told: dict[tuple[Path, str], int] = {}

    def know(self, spec: SinkSpec) -> None:
        """Look at a place from now on: it is what the view stands for with some run."""
        self._specs.setdefault(spec.key, spec)

    def look(self, roots: Sequence[JournalRoot], written: int) -> bool:
        """Begin a look if one is due; True if one was begun.

        Parameters
        ----------
        roots
            Whose runs the view has.
        written
            How many runs were written into it since the beginning.
        """
        if not self._specs or (self._thread is not None and self._thread.is_alive()):
            return False
        now = time.monotonic()
        interval = INTERVAL if written == self._written else BUSY_INTERVAL
        if self._looked is not None and now - self._looked < interval:
            return False
        self._looked, self._written = now, written
        self._begin(roots)
        return True

    def finish(self, roots: Sequence[JournalRoot]) -> None:
        """Look a last time at what was written, a few seconds at most."""
        if any(
            self._guards.of(root, spec).is_due for root in roots for spec in self._specs.values()
        ):
            if self._thread is not None:
                self._thread.join(LAST_LOOK)
            self._begin(roots)
            if self._thread is not None:
                self._thread.join(LAST_LOOK)

    def _begin(self, roots: Sequence[JournalRoot]) -> None:
        self._thread = threading.Thread(
            target=self._look,
            args=(tuple(roots), tuple(self._specs.values())),
            name=f"place-{self._spec.name}",
            daemon=True,
        )
        self._thread.start()

    def lost(self, roots: Sequence[JournalRoot]) -> Iterator[tuple[Path, int]]:
        """Yield the roots whose runs have to be looked at again, each with how many notes that were."""
        for root in roots:
            for key, spec in self._specs.items():
                lost = self._guards.of(root, spec).lost
                news = lost - self._told.get((root.path, key), 0)
                if news:
                    self._told[root.path, key] = lost
                    yield root.path, news

    def _look(self, roots: tuple[JournalRoot, ...], specs: tuple[SinkSpec, ...]) -> None:
        now = time.monotonic()
        clears = self._cleared is None or now - self._cleared >= INTERVAL
        if clears:
            self._cleared = now
        for spec in specs:
            try:
                sink = load_sink(spec)
                try:
                    if hasattr(sink, "attend"):
                        continue  # what it keeps lies beside each run
                    sink.open()
                    if hasattr(sink, "marked"):
                        for root in roots:
                            self._guards.of(root, spec).look(sink)
                    if clears and (cleared := sink.clear_claims(CLAIM_LIFE)):
                        log.info("%s: %d claims of ended processes taken back", spec.name, cleared)
                finally:
                    sink.close()
            except (SinkError, JournalError) as error:
                log.info("%s: not looked at: %s", spec.name, error)
            except Exception:
                log.exception("%s: not looked at, for a defect", spec.name)
