"""From the start of a run to its end, around whatever the run is about."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from sacred.core import daemon_runs
from sacred.core.metrics import utc_now

if TYPE_CHECKING:
    from types import TracebackType

    from sacred.core.output_capture import Capture
    from sacred.core.run import Run

__all__ = ["Life"]


class Life:
    """Entered, a run has begun; left, it has ended: completed, interrupted or failed.

    What the body raises decides how it ended, and goes on its way. A forked child that leaves the
    body ends nothing: the run is its parent's. Nor does who leaves it a second time: the end of the
    program may have been first, while a daemon thread was still in the body.

    Parameters
    ----------
    run
        A run that is ready to begin (``Run._get_ready``). It is entered once.

    Attributes
    ----------
    run
        The run.
    owner
        The process that it runs in.
    over
        Set when it has ended.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.owner = os.getpid()
        self.over = threading.Event()
        self._capture: Capture | None = None
        self._to_end = threading.Lock()

    def __enter__(self) -> Life:
        """Begin; a run that can not begin has failed, and says so."""
        run = self.run
        try:
            self._capture = run._capturing()
            self._capture.__enter__()
            run.start_time = run.start_time or utc_now()
            run.status = "RUNNING"
            run._emit_started()
            run._start_heartbeat()
            daemon_runs.watch(self)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    @property
    def is_ending(self) -> bool:
        """Whether somebody ends it already, or has."""
        return self._to_end.locked()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, tell everybody, and wait for the views within bounds."""
        if os.getpid() != self.owner:
            capture, self._capture = self._capture, None
            if capture is not None:
                capture.__exit__(kind, error, trace)
            return
        # Never given back: a run ends once.
        if not self._to_end.acquire(blocking=False):
            return
        try:
            self._end(self._capture, kind, error, trace)
        finally:
            daemon_runs.forget(self)
            self.over.set()

    def _end(
        self,
        capture: Capture | None,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run = self.run
        failure = error
        try:
            try:
                self._say_end(capture, kind, error, trace)
                if error is None:
                    run._stop_heartbeat()
                    run.status = "COMPLETED"
                    run._emit_completed()
            except BaseException as late:
                # Interrupted at its very end, or by somebody who is told of it.
                failure = late
                raise
            finally:
                try:
                    if failure is not None:
                        run._stop_heartbeat()
                        run._emit_exception(failure)
                finally:
                    run._warn_about_failed_observers()
                    run._wait_for_observers()
        finally:
            run._close()

    def _say_end(
        self,
        capture: Capture | None,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the capture; the lines that say how it went well are part of what was printed."""
        run = self.run
        if error is None:
            try:
                run._log_result()
                run.run_logger.info("Completed after %s", run._stop_time())
            except BaseException:
                if capture is not None:
                    capture.__exit__(*sys.exc_info())
                raise
        if capture is not None:
            capture.__exit__(kind, error, trace)
