"""Run: the life of one run of an experiment, from its start to its end."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from sacred.core.artifacts import ArtifactError, check_file
from sacred.core.captured_text import CapturedText
from sacred.core.errors import SacredInterrupt
from sacred.core.facts import BackgroundFacts
from sacred.core.heartbeat import Heartbeat
from sacred.core.metrics import MetricsLogger, scalar_logger, utc_now
from sacred.core.observers import Listener, by_priority
from sacred.core.recorder import Recorder, number_of, recordable
from sacred.core.run_facts import (
    claim_document,
    record_late_facts,
    record_main_file,
    start_facts,
)
from sacred.core.settings import SETTINGS, journal_settings
from sacred.core.signals import EndingSignals, Terminated
from sacred.core.views import (
    RunIdError,
    RunIdTakenError,
    RunViews,
    ViewPlaceError,
    ViewRequiredError,
    check_given_id,
)
from sacred.journal.codec import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from logging import Logger
    from types import TracebackType
    from typing import IO

    from sacred.core.output_capture import Capture
    from sacred.journal.root import RunFolder

__all__ = [
    "ArtifactError",
    "Run",
    "RunIdError",
    "RunIdTakenError",
    "ViewPlaceError",
    "ViewRequiredError",
]

#: Seconds that the end of a run waits for facts that are still being looked for.
_FACTS_WAIT = 10.0
#: What of a folder is left out is said by so many names.
_NAMED = 5


class Run:
    """One run of an experiment.

    Built by the experiment; called once. While it runs, ``_run`` in captured functions is this
    object. ``log_scalar``, ``info``, ``result``, ``add_artifact`` and ``add_resource`` may be used
    from any thread.

    Attributes
    ----------
    _id
        Decided at the start, and never changed. A text if ``--id`` or a file observer gave it, as
        with Sacred; an int if a server did, or nobody.
    config, config_modifications
        The configuration, and what of it the user changed.
    info
        A dict for one's own findings; recorded within a second of each change.
    result
        What the main function returned; set before that, an intermediate result.
    status
        None, QUEUED, RUNNING, COMPLETED, FAILED, INTERRUPTED, TIMEOUT, or that of an interrupt of
        one's own.
    start_time, stop_time
        UTC without a time zone.
    journal_root
        The folder of the journals; None stands for the settings'.
    folder
        The folder of this run's journal, once there is one.
    """

    def __init__(
        self,
        config: dict[str, Any],
        config_modifications: Any,
        main_function: Callable[..., Any],
        observers: Sequence[Any],
        root_logger: Logger,
        run_logger: Logger,
        experiment_info: dict[str, Any],
        host_info: dict[str, Any],
        pre_run_hooks: Sequence[Callable[[], Any]],
        post_run_hooks: Sequence[Callable[[], Any]],
        captured_out_filter: Callable[[str], str] | None = None,
    ) -> None:
        self._id: Any = None
        self.config = config
        self.config_modifications = config_modifications
        self.experiment_info = experiment_info
        self.host_info = host_info
        self.info: dict[str, Any] = {}
        self.root_logger = root_logger
        self.run_logger = run_logger
        self.main_function = main_function
        self.observers: list[Any] = list(observers)
        self.pre_run_hooks = pre_run_hooks
        self.post_run_hooks = post_run_hooks
        self.result: Any = None
        self.status: str | None = None
        self.start_time: datetime | None = None
        self._answered: datetime | None = None
        self.stop_time: datetime | None = None
        self.debug = False
        self.pdb = False
        self.meta_info: dict[str, Any] = {}
        self.beat_interval: float = SETTINGS.DEFAULT_BEAT_INTERVAL
        self.unobserved = False
        self.force = False
        self.queue_only = False
        self.captured_out_filter = captured_out_filter
        self.fail_trace: list[str] | None = None
        self.capture_mode: str | None = None
        self.journal_root: str | os.PathLike[str] | None = None
        #: What captured functions work with in this run; set by whoever builds it.
        self.captured_bindings: dict[Any, Any] = {}

        self._recorder: Recorder | None = None
        self._listeners: list[Listener] = [Listener(o, run_logger) for o in self.observers]
        self._views: RunViews | None = None
        self._heartbeat: Heartbeat | None = None
        self._facts: BackgroundFacts | None = None
        self._capture: Capture | None = None
        self._output = CapturedText()
        self._captured_out: str | None = None
        self._beat_lock = threading.RLock()
        self._faulted = False
        self._has_given_id = False
        self._is_refused = False
        self._said: set[str] = set()
        self._early_files: list[tuple[str, tuple[Any, ...]]] = []
        self._metrics = MetricsLogger()
        self._log_point: Callable[[str, Any, Any], None]
        self._bind_log_scalar(self._metrics.add)

    # -- what users call -------------------------------------------------------------------------

    def log_scalar(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Record a value of a metric.

        The point survives the process 10 ms later at the latest, unless the settings say other.
        Thread-safe, but two threads that leave the step of one metric out may get the same one.

        Parameters
        ----------
        metric_name
            The name of the metric.
        value
            A number, of Python or any library; a text is kept as one.
        step
            A number; one more than that metric's last by default, beginning with 0.

        Raises
        ------
        MetricError
            The value is an array or an object (a ``TypeError`` and a ``ValueError``).
        """
        self._log_point(metric_name, value, step)

    def _bind_log_scalar(self, log_point: Callable[[str, Any, Any], None]) -> None:
        self._log_point = scalar_logger(log_point, self._metrics.metric_step_counter)
        if type(self).log_scalar is _LOG_SCALAR:
            # In the instance it saves the call of a method: a sixth of a microsecond.
            self.__dict__["log_scalar"] = self._log_point

    def open_resource(self, filename: str | os.PathLike[str], mode: str = "r") -> IO[Any]:
        """Record a file as a resource of the run, and open it.

        Raises
        ------
        OSError
            It can not be opened.
        """
        path = self._add_resource(filename, must_exist="r" in mode)
        return open(path, mode)

    def add_resource(self, filename: str | os.PathLike[str]) -> None:
        """Record a file that the run needs, with its content as it is now.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        self._add_resource(filename, must_exist=True)

    def _add_resource(self, filename: str | os.PathLike[str], must_exist: bool) -> str:
        path = check_file(filename, "resource") if must_exist else os.path.abspath(filename)
        if must_exist or os.path.isfile(path):
            self._record_file("resource", path)
        for listener in self._listeners:
            listener.deliver("resource_event", filename=path)
        return path

    def add_artifact(
        self,
        filename: str | os.PathLike[str],
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Record a file or folder that the run made, with its content as it is now.

        Its content is stored, and survives the process, when this returns.

        Parameters
        ----------
        filename
            The file.
        name
            Under which it is recorded; the file's name by default.
        metadata
            Anything of one's own.
        content_type
            Its media type; guessed by its name where it is left out.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ArtifactError
            It has no content to record (a pipe, a device), or is a place of journals.
        """
        path = check_file(filename, "artifact")
        name = os.path.basename(path) if name is None else name
        # An empty name is none; Sacred's file observer takes the file's then.
        recorded = str(name) or os.path.basename(path)
        if not recorded:
            raise ArtifactError(f"{path} has no name: give it one, as name='...'.")
        self._record_file("artifact", recorded, path, metadata, content_type)
        if self._views is not None:
            self._say_each_once(self._views.renamed(recorded, is_folder=os.path.isdir(path)))
        for listener in self._listeners:
            listener.deliver(
                "artifact_event",
                name=name,
                filename=path,
                metadata=metadata,
                content_type=content_type,
            )

    def _record_file(self, kind: str, *arguments: Any) -> None:
        recorder = self._recorder
        if recorder is not None and recorder.is_open:
            left_out = getattr(recorder, kind)(*arguments)
            if left_out:
                more = len(left_out) - _NAMED
                named = ", ".join(left_out[:_NAMED]) + (f" and {more} more" if more > 0 else "")
                self._say_each_once([f"Not recorded of the folder {arguments[1]}: {named}"])
        elif recorder is not None and recorder.writer is not None:
            self._say_each_once([f"The run has ended: the {kind} {arguments[0]} is not recorded."])
        elif recorder is not None or self.start_time is None:
            self._early_files.append((kind, arguments))

    def _say_each_once(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            if sentence not in self._said:
                self._said.add(sentence)
                self.run_logger.warning("%s", sentence)

    @property
    def captured_out(self) -> str:
        """What the run printed so far, filtered if there is a filter."""
        if self._captured_out is not None:
            return self._captured_out
        if self._output.keeps:
            return self._filtered(self._output.text)
        if self._recorder is None or self._recorder.folder is None:
            return ""
        from sacred.core.printed import printed_text

        if self._recorder.writer is not None:
            self._recorder.writer.flush()
        return printed_text(self._recorder.folder)

    @captured_out.setter
    def captured_out(self, text: str) -> None:
        self._captured_out = text

    @property
    def folder(self) -> str | None:
        """The folder of the run's journal; None before the start, and for a run without one."""
        recorder = self._recorder
        return str(recorder.folder.path) if recorder and recorder.folder else None

    def warn_if_unobserved(self) -> None:
        """Log a warning if nobody was asked to show this run."""
        if not self.observers and not self.debug and not self.unobserved:
            self.run_logger.warning("No observers have been added to this run")

    # -- life ------------------------------------------------------------------------------------

    def __call__(self, *args: Any) -> Any:
        """Run the main function.

        Parameters
        ----------
        args
            Its positional arguments; the rest comes from the configuration.

        Returns
        -------
        What the main function returned; None for a run that is only queued.

        Raises
        ------
        RuntimeError
            The run was started before.
        JournalUnavailableError
            The journal can not be begun; the main function was not called then.
        BaseException
            Whatever the main function raises.
        """
        if self.start_time is not None:
            raise RuntimeError("A run can only be started once.")
        self.observers = [] if self.unobserved else by_priority(self.observers)
        self.warn_if_unobserved()
        if "seed" in self.config:
            from sacred.core.randomness import set_global_seed

            set_global_seed(self.config["seed"])
        self._prepare()
        if self.queue_only:
            self._queue()
            return None
        with EndingSignals():
            self._live(*args)
        return self.result

    def _live(self, *args: Any) -> None:
        owner = os.getpid()
        try:
            try:
                with self._capturing():
                    self.start_time = utc_now()
                    self.status = "RUNNING"
                    self._emit_started()
                    self._start_heartbeat()
                    self._execute_pre_run_hooks()
                    self.result = self.main_function(*args)
                    self._execute_post_run_hooks()
                    self._log_result()
                    self.run_logger.info("Completed after %s", self._stop_time())
                self._stop_heartbeat()
                self.status = "COMPLETED"
                self._emit_completed()
            except BaseException as error:
                # A forked child that comes out of main() does not end the run of its parent.
                if os.getpid() == owner:
                    self._stop_heartbeat()
                    self._emit_exception(error)
                raise
            finally:
                if os.getpid() == owner:
                    self._warn_about_failed_observers()
                    self._wait_for_observers()
        finally:
            if os.getpid() == owner:
                self._close()

    def _log_result(self) -> None:
        if self.result is None:
            return
        try:
            self.run_logger.info("Result: %s", self.result)
        except RecursionError:  # the one error that handlers of logging pass on
            self.run_logger.info("Result: %s", describe(self.result).text)

    def _emit_exception(self, error: BaseException) -> None:
        if isinstance(error, (SacredInterrupt, KeyboardInterrupt, Terminated)):
            self.status = getattr(error, "STATUS", "INTERRUPTED")
            self._emit_interrupted(error)
        else:
            self.status = "FAILED"
            self._emit_failed(error)

    def _prepare(self) -> None:
        """Decide what this run is recorded by."""
        settings = journal_settings()
        if settings.enabled and not self.unobserved:
            root = self.journal_root or settings.root or "sacred_runs"
            self._recorder = Recorder(
                os.path.abspath(root),
                durability=settings.durability,
                seal=settings.seal,
                on_fault=self._on_fault,
            )
            # Said before anything else happens: a run that can not be journalled does not begin.
            self._recorder.create_root()
            self._check_given_id()
            self._views = RunViews(
                self.observers, str(self._recorder.root.path), self._recorder.journal_id
            )
            self._views.check_places()
            if self._id is not None:
                check_given_id(self.observers, self._id)
            self._recorder.places = self._views.places()
            self._views.connect()
        views = self._views
        self._listeners = [
            Listener(observer, self.run_logger)
            for observer in self.observers
            if views is None or not views.declares(observer)
        ]
        self._output.keeps = bool(self._listeners) or self.captured_out_filter is not None

    def _check_given_id(self) -> None:
        recorder = self._recorder
        if recorder is None or self._id is None:
            return
        if recorder.holds_run(self._id):
            raise RunIdTakenError(
                f"There is a run with the id {self._id} in {recorder.root.path}. "
                "Leave out --id, or choose another one."
            )

    def _capturing(self) -> Capture:
        from sacred.core import output_capture

        mode = self.capture_mode
        if mode is None:
            watched = self._recorder is not None or self._listeners
            mode = output_capture.default_capture_mode(bool(self.observers)) if watched else "no"
        spool = self._recorder.early_spool_path if self._recorder is not None else None
        capture = output_capture.capture(mode, self._on_output, spool)
        self._capture = capture
        self.capture_mode = capture.mode
        return capture

    def _on_output(self, stream: int, data: bytes, begin: int | None, end: int | None) -> None:
        if self._output.keeps:
            self._output.add(stream, data)
        if self._recorder is not None:
            self._recorder.output(stream, data, begin, end)

    def _filtered(self, text: str) -> str:
        return text if self.captured_out_filter is None else self.captured_out_filter(text)

    # -- start -----------------------------------------------------------------------------------

    def _command(self) -> str:
        from sacred.core.dotted import join_paths

        function = self.main_function
        return join_paths(getattr(function, "prefix", None), function.__name__)

    def _emit_started(self) -> None:
        command = self._command()
        self.run_logger.info("Running command '%s'", command)
        self._announce("started_event", command, start_time=self.start_time)
        self._answered = utc_now()
        self._open_journal(command)
        # Sacred's line names an id where somebody is there to look it up.
        shown = self._id
        self._take_id_of_root()
        if self._views:
            shown = self._id
        if shown is not None:
            self.run_logger.info('Started run with ID "%s"', shown)
        else:
            self.run_logger.info("Started")

    def _take_id_of_root(self) -> None:
        recorder = self._recorder
        if self._id is None and recorder is not None and recorder.folder is not None:
            self._id = recorder.folder.number

    def _queue(self) -> None:
        command = self._command()
        self.meta_info["queue_time"] = utc_now()
        self.status = "QUEUED"
        self.run_logger.info("Queuing-up command '%s'", command)
        try:
            self._announce("queued_event", command, queue_time=self.meta_info["queue_time"])
            self._open_journal(command)
            shown = self._id
            self._take_id_of_root()
            if self._views:
                shown = self._id
            if shown is not None:
                self.run_logger.info('Queued-up run with ID "%s"', shown)
            else:
                self.run_logger.info("Queued")
            self._wait_for_facts()
        finally:
            self._close()

    def _announce(self, event: str, command: str, **time: Any) -> None:
        """Tell everybody of the run, in the order of priority, until somebody gives its id."""
        self._has_given_id = self._id is not None
        listeners = {id(listener.observer): listener for listener in self._listeners}
        for observer in self.observers:
            listener = listeners.get(id(observer))
            if listener is not None:
                given = listener.begin(
                    event,
                    ex_info=self.experiment_info,
                    command=command,
                    host_info=self.host_info,
                    config=self.config,
                    meta_info=self.meta_info,
                    _id=self._id,
                    **time,
                )
            elif self._views is not None:
                try:
                    given = self._views.claim(
                        observer,
                        self._id,
                        claim_document(self, command, *time.values()),
                        is_given=self._has_given_id,
                    )
                except (RunIdTakenError, RunIdError):
                    self._is_refused = True
                    raise
            else:
                continue
            if self._id is None:
                self._id = given

    def _open_journal(self, command: str) -> None:
        recorder = self._recorder
        if recorder is None:
            self._bind_log_scalar(self._metrics.add if self._listeners else _forget)
            return
        number = number_of(self._id)
        folder = recorder.open(number)
        run_id = folder.number if self._id is None else self._id if number is None else number
        recorder.note_id(run_id)
        views = self._views
        facts = start_facts(self, command, run_id)
        facts["views"] = views.public() if views else None
        if self.queue_only:
            recorder.queued(**facts)
        else:
            recorder.started(
                **facts,
                capture=self.capture_mode,
                beat_interval=float(self.beat_interval),
                info=recordable(self.info) or None,
            )
            self._bind_log_scalar(self._log_both if self._listeners else recorder.log_point)
            # Points logged before the start: the steps are counted already.
            for entry in list(self._metrics.metrics):
                recorder.log_point(entry.name, entry.step, entry.value)
            if not self._listeners:
                self._metrics.metrics.clear()
        record_main_file(recorder, self.experiment_info)
        for kind, arguments in self._early_files:
            self._record_file(kind, *arguments)
        if views is not None:
            views.follow(str(folder.path), run_id)
        self._facts = BackgroundFacts(
            lambda: record_late_facts(recorder, self.experiment_info, self.host_info)
        )
        self._facts.start()

    def _log_both(self, name: str, step: Any, value: Any) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.log_point(name, step, value)
        self._metrics.add(name, step, value)

    # -- facts that arrive late ------------------------------------------------------------------

    def _wait_for_facts(self) -> None:
        facts, self._facts = self._facts, None
        if facts is None:
            return
        error = facts.wait(_FACTS_WAIT)
        if error is not None:
            self.run_logger.warning("The sources could not be recorded: %s", error)

    # -- heartbeat -------------------------------------------------------------------------------

    def _start_heartbeat(self) -> None:
        self._heartbeat = Heartbeat(
            self._look, self._emit_heartbeat, float(self.beat_interval), self._on_beat_error
        )
        self._heartbeat.start()

    def _on_beat_error(self, error: Exception) -> None:
        self.run_logger.debug("a heartbeat failed", exc_info=error)

    def _look(self, *, last: bool = False) -> None:
        """Record what changed since the last look; what can not be recorded keeps nothing else."""
        for what, record in self._parts():
            try:
                record()
            except Exception as error:
                if last:
                    self.run_logger.warning("%s could not be recorded: %s", what, error)
                else:
                    self._on_beat_error(error)

    def _parts(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield what changes while a run goes on, and how it is recorded."""
        if self._capture is not None:
            yield "What was printed", self._capture.poll
        recorder = self._recorder
        if recorder is None:
            return
        yield "_run.info", lambda: recorder.info(self.info)
        yield "_run.result", lambda: recorder.result(self.result)
        if self.captured_out_filter is not None:
            yield "What was printed", lambda: recorder.filtered_output(self.captured_out)

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
                "captured_out": self.captured_out,
                "beat_time": utc_now(),
                "result": self.result,
            }
            for listener in self._listeners:
                listener.beat(points, arguments)

    def _stop_heartbeat(self) -> None:
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is None:
            return
        heartbeat.stop()
        self._look(last=True)
        try:
            self._emit_heartbeat()
        except Exception as error:
            self._on_beat_error(error)

    # -- end -------------------------------------------------------------------------------------

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
        if recorder.folder is None:
            # An observer did not let the run start: that is recorded, too.
            try:
                self._open_journal(self._command())
            except Exception as error:
                self.run_logger.debug("the journal could not be opened", exc_info=error)
                return
        # Whatever happens to the rest: how it ended is recorded.
        for step in (self._wait_for_facts, recorder.usage):
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
        capture = self._capture
        if capture is not None:
            capture.poll()
        position = recorder.position()
        recorder.close()
        # A tee that still lives has a child process to listen to, and goes on writing the spool.
        if getattr(capture, "_tee_dead", True) and not recorder.losses:
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
        if recorder.losses and not recorder.folder.journal.is_dir():
            fate = "Nobody can bring it up to date."
            self.run_logger.warning(
                "The journal of this run is gone: %s was removed while the run went on.",
                recorder.folder.path,
            )
        elif not recorder.folder.path.is_dir():
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
            if behind.failed:  # the error is a sentence of its own
                text = (behind.error or f"{behind.view} can not be written").removesuffix(".")
                text = text[:1].upper() + text[1:]
            self.run_logger.warning("%s. %s", text, fate)

    def _report_losses(self, recorder: Recorder, folder: RunFolder) -> None:
        lost = sum(loss.count for loss in recorder.losses)
        if lost:
            self.run_logger.warning(
                "%d events of this run (points, pieces of output and the like) are lost, because "
                "its disk did not take them. What was written before is in %s%s",
                lost,
                folder.path,
                "; its end is not among it, so that sacred ls shows it as DIED."
                if recorder.end_is_lost
                else ".",
            )

    def _on_fault(self, error: OSError) -> None:
        """Say once that the disk fails. Must not block: the caller holds the journal's lock."""
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

    def _execute_pre_run_hooks(self) -> None:
        for hook in self.pre_run_hooks:
            hook()

    def _execute_post_run_hooks(self) -> None:
        for hook in self.post_run_hooks:
            hook()


for _public in (
    ArtifactError,
    Run,
    RunIdError,
    RunIdTakenError,
    Terminated,
    ViewPlaceError,
    ViewRequiredError,
):
    _public.__module__ = "sacred.run"
_LOG_SCALAR = Run.log_scalar


def _forget(name: str, step: Any, value: Any) -> None:
    """Take a point of a run that records nothing."""


def _trace_of(error: BaseException) -> list[str]:
    """Return the lines of the stack trace, without this module's frame."""
    import traceback

    trace: TracebackType | None = error.__traceback__
    try:
        return traceback.format_exception(type(error), error, trace.tb_next if trace else None)
    except Exception:  # an exception of a user's own that can not be shown
        return [f"{type(error).__name__}\n"]
