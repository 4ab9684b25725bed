"""The beat of a run: what changes while it goes on is recorded, and observers hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.heartbeat import Heartbeat
from sacred.core.metrics import MetricsLogger, utc_now

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from logging import Logger

    from sacred.core.captured_text import CapturedText
    from sacred.core.facts import BackgroundFacts
    from sacred.core.observers import Listener
    from sacred.core.output_capture import Capture
    from sacred.core.recorder import Recorder
    from sacred.core.sampling import Sampler
    from sacred.core.settings import CollectionSettings
    from sacred.core.views import RunViews

__all__ = ["RunBeat"]


class RunBeat:
    """The part of a run that looks, again and again, at what changed."""

    if TYPE_CHECKING:
        run_logger: Logger
        beat_interval: float
        info: dict[str, Any]
        result: Any
        captured_out_filter: Any
        _capture: Capture | None
        _output: CapturedText
        _views: RunViews | None
        _listeners: list[Listener]
        _metrics: MetricsLogger
        _beat_lock: threading.RLock
        _heartbeat: Heartbeat | None
        _sampler: Sampler | None
        _facts: BackgroundFacts | None
        _collection: CollectionSettings | None
        _log_point: Callable[[str, Any, Any], None]

        @property
        def _recorder(self) -> Recorder | None: ...
        def _output_text(self, *, exact: bool) -> str: ...
        def _record_late_imports(self) -> None: ...

    def _start_heartbeat(self) -> None:
        self._heartbeat = Heartbeat(
            self._look, self._emit_heartbeat, float(self.beat_interval), self._on_beat_error
        )
        self._heartbeat.start()
        is_watched = self._recorder is not None or self._listeners
        if is_watched and self._collection is not None and self._collection.sample_every:
            from sacred.core.sampling import run_sampler

            self._sampler = run_sampler(self._log_point, self._recorder, self._collection)
            self._sampler.start()

    def _on_beat_error(self, error: Exception) -> None:
        self.run_logger.debug("a heartbeat failed", exc_info=error)

    def _look(self, *, last: bool = False) -> None:
        """Record what changed since the last look; what can not be recorded keeps nothing else."""
        if not last:  # at the end it is said with what becomes of the run
            self._tell_failed_views()
        for what, record in self._parts(last=last):
            try:
                record()
            except Exception as error:
                if last:
                    self.run_logger.warning("%s could not be recorded: %s", what, error)
                else:
                    self._on_beat_error(error)

    def _tell_failed_views(self) -> None:
        try:
            for sentence in self._views.failed() if self._views is not None else ():
                self.run_logger.warning("%s The run goes on: its journal has everything.", sentence)
        except Exception as error:
            self._on_beat_error(error)

    def _parts(self, *, last: bool) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield what changes while a run goes on, and how it is recorded."""
        if self._capture is not None:
            yield "What was printed", self._capture.poll
        recorder = self._recorder
        if recorder is None:
            return
        yield "_run.info", lambda: recorder.info(self.info)
        yield "_run.result", lambda: recorder.result(self.result)
        if self._facts is not None and self._facts.done:
            yield "What it imported", self._record_late_imports
        if self.captured_out_filter is not None:
            yield "What was printed", lambda: self._record_filtered(recorder, exact=last)

    def _record_filtered(self, recorder: Recorder, *, exact: bool) -> None:
        text = self._output_text(exact=exact)
        if text or self._output.length:  # of nothing a filter has made nothing
            recorder.filtered_output(text)

    def _emit_heartbeat(self) -> None:
        with self._beat_lock:
            if self._recorder is not None:
                self._recorder.heartbeat()
            if self._views is not None:
                self._views.look()
            if not self._listeners:
                return
            points = list(self._metrics.get_last_metrics())
            arguments = {
                "info": self.info,
                "captured_out": self._output_text(exact=False),
                "beat_time": utc_now(),
                "result": self.result,
            }
            for listener in self._listeners:
                listener.beat(points, arguments)

    def _stop_heartbeat(self) -> None:
        sampler, self._sampler = self._sampler, None
        if sampler is not None:
            sampler.stop()
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is None:
            return
        heartbeat.stop()
        self._look(last=True)
        try:
            self._emit_heartbeat()
        except Exception as error:
            self._on_beat_error(error)
