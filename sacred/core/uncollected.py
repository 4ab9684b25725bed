"""Loading our modules without the garbage collector."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Uncollected"]


class Uncollected:
    """Within it the collector does not run by itself, where it did before.

    Around imports, which make much and no garbage: of an empty run's 119 ms 8 were the collector's,
    which looked through the new modules forty times. Threads may be in one at once.
    """

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._was_on:
            if not gc.get_freeze_count():
                # What was loaded is old at once: else the next two collections look through it all.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
