"""Runs that go on in daemon threads when the program ends: they end with it, as INTERRUPTED."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING

from sacred.core.errors import SacredInterrupt

if TYPE_CHECKING:
    from sacred.core.life import Life

__all__ = ["ProgramEnded", "forget", "watch"]

#: Seconds that the end of the program waits for a run that is just ending: for its views, too.
_PATIENCE = 20.0


class ProgramEnded(SacredInterrupt):
    """The program ended, and did not wait for the thread that a run went on in."""

    STATUS = "INTERRUPTED"


_lives: list[Life] = []


def watch(life: Life) -> None:
    """Have a run that began in a daemon thread ended when the program ends.

    The interpreter waits for other threads by itself, and for a daemon not at all.
    """
    if not threading.current_thread().daemon:
        return
    _lives.append(life)
    # Once, and called before what the journal and this run's views registered before.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def forget(life: Life) -> None:
    """Take note that a run has ended."""
    if life in _lives:
        _lives.remove(life)


def _end_all() -> None:
    for life in reversed(_lives[:]):
        run = life.run
        if life.owner != os.getpid() or _waits_for_finish(run):
            continue
        if not life.is_ending:
            run.run_logger.warning(
                "The program ended while run %s of %s went on in a daemon thread: it is recorded "
                "as INTERRUPTED. Join the thread, or start it with daemon=False, to let it finish.",
                run._id,
                run.run_logger.name,
            )
            # What the thread still logs needs no line of its own.
            run._said.add("late")
            error = ProgramEnded("the program ended, and the run went on in a daemon thread")
            life.__exit__(ProgramEnded, error, None)
        life.over.wait(_PATIENCE)


def _waits_for_finish(run: object) -> bool:
    """Tell whether a run of ``start_run`` is ended, with its own words, by those who made it."""
    active_run = sys.modules.get("sacred.core.active_run")
    return active_run is not None and run in active_run._unfinished._runs
