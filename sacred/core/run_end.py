"""The end of a run: how it ended is recorded, and the views get a while to hear of it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from sacred.core.life import Life
from sacred.core.metrics import utc_now
from sacred.core.passwords import mask_password
from sacred.core.recorder import tell_losses_of_child, words_of_losses
from sacred.core.run_facts import record_typed
from sacred.core.settings import journal_settings
from sacred.core.views import ended, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from logging import Logger
    from pathlib import Path
    from types import TracebackType

    from sacred.core.observers import Listener
    from sacred.core.output_capture import Capture
    from sacred.core.recorder import Recorder
    from sacred.core.views import RunViews
    from sacred.journal.root import RunFolder

__all__ = ["RunEnd"]

#: Modules in which a run begins.
_BEGINNERS = ("sacred.core.run", Life.__module__)


class RunEnd:
    """The part of a run that ends it, however that comes."""

    if TYPE_CHECKING:
        run_logger: Logger
        status: str | None
        result: Any
        start_time: datetime | None
        stop_time: datetime | None
        fail_trace: list[str] | None
        experiment_info: Any
        _answered: datetime | None
        _capture: Capture | None
        _views: RunViews | None
        _listeners: list[Listener]
        _is_refused: bool
        _faulted: bool
        _tells_at_end: int
        pid: int | None

        @property
        def _recorder(self) -> Recorder | None: ...
        def _command(self) -> str: ...
        def _open_journal(self, command: str) -> None: ...
        def _wait_for_facts(self) -> None: ...

    def _stop_time(self) -> Any:
        """Note the end, and return how long the run took, in whole seconds."""
        import datetime as dt

        self.stop_time = utc_now()
        if self.start_time is None:
            return dt.timedelta(0)
        # What is said does not count the wait for a view's answer; the documents do, as Sacred's.
        elapsed = self.stop_time - (self._answered or self.start_time)
        return dt.timedelta(seconds=round(elapsed.total_seconds()))

    def _emit_completed(self) -> None:
        self._end("completed")
        for listener in self._listeners:
            listener.finish("completed_event", stop_time=self.stop_time, result=self.result)

    def _emit_interrupted(self, error: BaseException) -> None:
        self.run_logger.warning("Aborted after %s!", self._stop_time())
        self.fail_trace = _trace_of(error)
        self._end("interrupted")
        for listener in self._listeners:
            listener.finish("interrupted_event", interrupt_time=self.stop_time, status=self.status)

    def _emit_failed(self, error: BaseException) -> None:
        self.run_logger.error("Failed after %s!", self._stop_time())
        self.fail_trace = _trace_of(error)
        self._end("failed")
        for listener in self._listeners:
            listener.finish("failed_event", fail_time=self.stop_time, fail_trace=self.fail_trace)

    def _end(self, how: str) -> None:
        recorder = self._recorder
        if recorder is None or self._is_refused:
            return
        if not recorder.has_begun:
            # An observer did not let the run start: that is recorded, too.
            try:
                self._open_journal(self._command())
            except Exception as error:
                self.run_logger.debug("the journal could not be opened", exc_info=error)
                return
        # Whatever happens to the rest: how it ended is recorded.
        steps: tuple[Callable[[], object], ...] = (
            self._wait_for_facts,
            lambda: record_typed(recorder, self.experiment_info),
            recorder.usage,
        )
        for step in steps:
            try:
                step()
            except Exception as error:
                self.run_logger.debug("a step of the end failed", exc_info=error)
        unrecorded = recorder.ended(how, str(self.status), self.result, self.fail_trace)
        if unrecorded is not None:
            self.run_logger.warning(
                "The result could not be recorded, a text stands in its place: %s", unrecorded
            )

    def _close(self) -> None:
        """End the journal and wait, within bounds, for the views."""
        recorder = self._recorder
        if recorder is None:
            return
        recorder.release_id()
        capture = self._capture
        if capture is not None:
            capture.poll()
        position = recorder.position()
        recorder.close()
        recorder.tell_losses_of_children()
        for note in recorder.losses_of_children:
            if not note.told:
                tell_losses_of_child(self.run_logger, note.pid, note.lost)
        # A child process that still prints writes into the spool after us.
        if getattr(capture, "is_damaged", False):
            self.run_logger.warning(
                "A part of what was printed can not be read again, and is not in the journal: it is "
                "kept in %s",
                recorder.spool_path,
            )
        elif getattr(capture, "is_over", True) and not recorder.losses:
            recorder.remove_spool()
        close_capture = getattr(capture, "close", None)
        if close_capture is not None:
            close_capture()
        if recorder.folder is None:
            return
        fate = (
            f"The run is safe in {recorder.folder.path}, and sacred-replay brings the view up to "
            "date."
        )
        if recorder.losses and _is_gone(recorder.folder.journal):
            fate = "Nobody can bring it up to date."
            self.run_logger.warning(
                "The journal of this run is gone: %s was removed while the run went on.",
                recorder.folder.path,
            )
        elif _is_gone(recorder.folder.path):
            fate = (
                f"{recorder.root.path} was moved while the run went on: the run is safe where it is "
                "now, and sacred-replay there brings the view up to date."
            )
        elif recorder.losses:
            fate = f"What was not lost of the run is in {recorder.folder.path}."
            self._report_losses(recorder, recorder.folder)
        if not self._views or recorder.end_is_lost:
            return  # what the disk did not take no view will have: nothing to wait for
        for behind in self._views.wait(position, journal_settings().view_wait):
            why = f": {behind.error}" if behind.error else ""
            text = f"The view {behind.view} is behind{why}"
            if behind.failed:
                text = refusal(behind.view, behind.error or "its replayer says no more")
            self.run_logger.warning("%s %s", ended(text), fate)

    def _report_losses(self, recorder: Recorder, folder: RunFolder) -> None:
        lost = sum(loss.count for loss in recorder.losses)
        if lost:
            self.run_logger.warning(
                "%s of this run (points, pieces of output and the like) %s lost, because its disk "
                "did not take %s. What was written before is in %s%s",
                *words_of_losses(lost),
                folder.path,
                "; its end is not among it, so that sacred ls shows it as DIED."
                if recorder.end_is_lost
                else ".",
            )

    def _on_fault(self, error: OSError) -> None:
        """Say once that the disk fails. Must not block: the caller holds the journal's lock."""
        here = os.getpid()
        if self.pid not in {None, here} and self._tells_at_end != here:
            self._tells_at_end = here
            if self._recorder is not None:
                self._recorder.tell_losses_at_end(self.run_logger)
        if self._faulted:
            return
        self._faulted = True
        place = self._recorder.root.path if self._recorder is not None else "?"
        text = (
            f"The journal in {place} can not be written at the moment: "
            f"{error.strerror or error}. The run goes on, and what it records is kept in memory "
            "as long as that lasts."
        )
        # In a thread of its own: whatever takes log lines may be waiting for this very journal.
        threading.Thread(target=self.run_logger.warning, args=(text,), daemon=True).start()

    def _warn_about_failed_observers(self) -> None:
        for listener in self._listeners:
            if listener.failed:
                self.run_logger.warning(
                    "The observer '%s' failed at some point during the run.", listener.observer
                )

    def _wait_for_observers(self) -> None:
        for listener in self._listeners:
            listener.join()


def _trace_of(error: BaseException) -> list[str]:
    """Return the lines of the stack trace, without the frame that began the run, passwords masked."""
    import traceback

    trace: TracebackType | None = error.__traceback__
    if trace is not None and trace.tb_frame.f_globals.get("__name__") in _BEGINNERS:
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
        return [mask_password(line) for line in lines]
    except Exception:  # an exception of a user's own that can not be shown
        return [f"{type(error).__name__}\n"]


def _is_gone(folder: Path) -> bool:
    """Tell whether a folder was removed or moved; a disk that does not tell has it still."""
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
