"""How long a place wants to be left alone, for the processes that come after this one.

Within a process :mod:`sacred.replayers.posting` knows it. A replayer that is started anew would ask
again at once, for each run: so the time lies in ``<root>/.cache/replayers/<view>.patience``, too.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from sacred.journal.regular_file import read_regular, replace_regular
from sacred.replayers.posting import go_on_pausing, pause_left

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot
    from sacred.replayers.posting import Place

__all__ = ["Patience"]

_MOST = 64


class Patience:
    """Keeps, for one root and view, until when its place is left alone.

    Parameters
    ----------
    root
        The root whose runs the place is told of.
    key
        The view's key.

    Notes
    -----
    Where nothing can be written, it counts within the process.
    """

    def __init__(self, root: JournalRoot, key: str) -> None:
        self._path = root.path / ".cache" / "replayers" / f"{key}.patience"

    def take_up(self, place: Place) -> None:
        """Leave the place alone for as long as it asked an earlier process to."""
        with contextlib.suppress(OSError, ValueError):
            go_on_pausing(place, float(read_regular(self._path, _MOST)))

    def keep(self, place: Place) -> None:
        """Write down for how long the place wants to be left alone, if it does."""
        left = pause_left(place)
        if left:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                replace_regular(self._path, f"{time.time() + left:.3f}\n")
