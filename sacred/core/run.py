"""Run: the life of one run of an experiment, from its start to its end."""

from __future__ import annotations

import os
import sys
import threading
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from sacred.core.artifacts import ArtifactError
from sacred.core.captured_text import CapturedText, FilteredText
from sacred.core.errors import SacredInterrupt
from sacred.core.facts import BackgroundFacts
from sacred.core.heartbeat import Heartbeat
from sacred.core.life import Life
from sacred.core.metrics import MetricsLogger, scalar_logger, utc_now
from sacred.core.observer_checks import check_observers, list_of_observers
from sacred.core.observers import Listener, by_priority
from sacred.core.passwords import masked_within
from sacred.core.recordable import kinds_in, number_of, recordable
from sacred.core.recorder import Recorder
from sacred.core.run_beat import RunBeat
from sacred.core.run_end import RunEnd
from sacred.core.run_facts import (
    claim_document,
    keep_main_file,
    record_late_facts,
    record_main_file,
    start_facts,
)
from sacred.core.run_files import FileRecording
from sacred.core.run_scope import entered, register
from sacred.core.run_series import SeriesLogging
from sacred.core.settings import (
    SETTINGS,
    CollectionSettings,
    collection_settings,
    journal_settings,
)
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
from sacred.journal.integers import legible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from logging import Logger

    from sacred.core.late_imports import LateImports
    from sacred.core.output_capture import Capture
    from sacred.core.resume import Continuation, Resumed
    from sacred.core.sampling import Sampler

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
#: And the end of a run that is only queued.
_QUEUE_WAIT = 600.0


class Run(FileRecording, SeriesLogging, RunBeat, RunEnd):
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
    resumed
        What the run had when it stopped, if this process goes on with one that died, was
        interrupted or failed; else None.
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
        self.observers: list[Any] = list_of_observers(observers)
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
        #: Looks for what is imported while the run goes on; set by whoever builds it.
        self.late_imports: LateImports | None = None
        self.resumed: Resumed | None = None

        #: The journal this run goes on with; set by whoever builds it.
        self._continuation: Continuation | None = None
        #: How the program was called, as the journal keeps it.
        self._program: dict[str, Any] = {}
        self._recorder: Recorder | None = None
        self._listeners: list[Listener] = [Listener(o, run_logger) for o in self.observers]
        self._views: RunViews | None = None
        self._heartbeat: Heartbeat | None = None
        self._sampler: Sampler | None = None
        self._facts: BackgroundFacts | None = None
        self._collection: CollectionSettings | None = None
        self._capture: Capture | None = None
        self._output = CapturedText()
        self._filtered = FilteredText(self._output, lambda text: self._say_each_once([text]))
        self._captured_out: str | None = None
        self._beat_lock = threading.RLock()
        self._faulted = False
        self._tells_at_end = 0
        self._has_given_id = False
        self._is_refused = False
        self._said: set[str] = set()
        self._early_files: list[tuple[str, tuple[Any, ...]]] = []
        self._metrics = MetricsLogger()
        #: The path of the experiment, the process that it runs in, what it is known by in others, and what was sent to them.
        self.experiment_path: str | None = None
        self.pid: int | None = None
        self.key = ""
        self._ticket: Any = None
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
        steps = self._metrics.metric_step_counter
        self._log_point = scalar_logger(log_point, steps, self._say_late, owner=self)
        if type(self).log_scalar is _LOG_SCALAR:
            # In the instance it saves the call of a method: a sixth of a microsecond.
            self.__dict__["log_scalar"] = self._log_point

    def _say_late(self, metric_name: str) -> None:
        """Say once that a point came after the end: nobody's thread is stopped by it."""
        if "late" not in self._said:
            self._said.add("late")
            self.run_logger.warning(
                "A point of the metric '%s' came after the end of the run, and is not recorded. "
                "Nor are others that do.",
                metric_name,
            )

    def _keep_or_say(self, kind: str, arguments: tuple[Any, ...]) -> None:
        recorder = self._recorder
        if recorder is not None and recorder.writer is not None:
            self._say_each_once([f"The run has ended: the {kind} {arguments[0]} is not recorded."])
        elif recorder is not None or self.start_time is None:
            self._early_files.append((kind, arguments))

    def _renamed(self, recorded: str, *, is_folder: bool) -> list[str]:
        if self._views is None:
            return []
        return list(self._views.renamed(recorded, is_folder=is_folder))

    def _tell(self, event: str, **arguments: Any) -> None:
        for listener in self._listeners:
            listener.deliver(event, **arguments)

    @property
    def captured_out(self) -> str:
        """What the run printed so far, filtered if there is a filter."""
        return self._output_text(exact=True)

    @captured_out.setter
    def captured_out(self, text: str) -> None:
        self._captured_out = text

    def _output_text(self, *, exact: bool) -> str:
        if self._captured_out is not None:
            return self._captured_out
        if self._output.keeps:
            if self.captured_out_filter is None:
                return self._output.text
            return self._filtered.text(self.captured_out_filter, exact=exact)
        return self._recorded_output()

    def _recorded_output(self, *, raw: bool = False) -> str:
        recorder = self._recorder
        if recorder is None or recorder.folder is None:
            return ""
        from sacred.core.printed import printed_text

        if recorder.writer is not None:
            recorder.writer.flush()
        return printed_text(recorder.folder, raw=raw)

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
            raise RuntimeError(
                f"A run can only be started once. (Last start was {self.start_time})"
            )
        self._get_ready()
        if self.queue_only:
            self._queue()
            return None
        with EndingSignals(), entered(self, self.captured_bindings):
            self._live(*args)
        return self.result

    def __reduce__(self) -> tuple[Any, ...]:
        from sacred.core.workers import reduce_run

        return reduce_run(self)

    def _live(self, *args: Any) -> None:
        with Life(self):
            self._execute_pre_run_hooks()
            self.result = _completed(self.main_function(*args))
            self._execute_post_run_hooks()

    def _get_ready(self) -> None:
        """Do all that comes before the start: who is told, seeds, where it is recorded."""
        self.observers = [] if self.unobserved else by_priority(self.observers)
        check_observers(self.observers)
        self.warn_if_unobserved()
        self._set_seeds()
        try:
            self._prepare()
        except BaseException:
            if self._recorder is not None:
                self._recorder.release_id()
            raise
        register(self)

    def _set_seeds(self) -> None:
        if "seed" in self.config:
            from sacred.core.randomness import set_global_seed

            set_global_seed(self.config["seed"])

    def _log_result(self) -> None:
        if self.result is None:
            return
        try:
            self.run_logger.info("Result: %s", legible(masked_within(self.result)))
        except RecursionError:  # the one error that handlers of logging pass on
            self.run_logger.info("Result: %s", describe(self.result).text)

    def _emit_exception(self, error: BaseException) -> None:
        ends = (SacredInterrupt, KeyboardInterrupt, Terminated)
        if isinstance(error, ends) or _is_cancelled(error):
            self.status = getattr(error, "STATUS", "INTERRUPTED")
            self._emit_interrupted(error)
        else:
            self.status = "FAILED"
            self._emit_failed(error)

    def _prepare(self) -> None:
        """Decide what this run is recorded by."""
        settings = journal_settings()
        self._collection = collection_settings()
        going_on = self._continuation
        if going_on is not None or (settings.enabled and not self.unobserved):
            root = self.journal_root or settings.root or "sacred_runs"
            self._recorder = Recorder(
                os.path.abspath(root),
                durability=settings.durability,
                seal=settings.seal,
                on_fault=self._on_fault,
            )
            # Said before anything else happens: a run that can not be journalled does not begin.
            self._recorder.create_root()
            if going_on is None:
                self._check_given_id()
            else:
                self._recorder.expect(going_on.record)
            self._views = RunViews(
                self.observers, str(self._recorder.root.path), self._recorder.journal_id
            )
            self._views.check_places()
            if going_on is not None:
                going_on.take(self._recorder, self.run_logger)
                going_on.restore(self)
            elif self._id is not None:
                check_given_id(self.observers, self._id)
            self._recorder.places = self._views.places()
            self._views.connect()
        views = self._views
        called = [o for o in self.observers if views is None or not views.declares(o)]
        if going_on is not None:
            called = going_on.callable_observers(called, self.run_logger)
        self._listeners = [Listener(observer, self.run_logger) for observer in called]
        self._output.keeps = bool(self._listeners) or self.captured_out_filter is not None
        if self.resumed is not None and self._output.keeps:
            self._output.add(1, self._recorded_output(raw=True).encode("utf-8", "surrogatepass"))

    def _check_given_id(self) -> None:
        recorder = self._recorder
        if recorder is None or self._id is None:
            return
        if not recorder.reserve_id(self._id):
            raise self._id_is_taken()

    def _id_is_taken(self) -> RunIdTakenError:
        place = self._recorder.root.path if self._recorder is not None else "the root"
        return RunIdTakenError(
            f"There is a run with the id {self._id} in {place}. "
            "Leave out --id, or choose another one."
        )

    def _capturing(self) -> Capture:
        from sacred.core import output_capture

        mode = self.capture_mode
        if mode is None:
            watched = self._recorder is not None or self._listeners
            mode = output_capture.default_capture_mode(bool(self.observers)) if watched else "no"
        recorder = self._recorder
        spool = recorder.spool_path if recorder is not None else None
        begin = recorder.spool_begin if recorder is not None else 0
        capture = output_capture.capture(mode, self._on_output, spool, begin)
        self._capture = capture
        self.capture_mode = capture.mode
        return capture

    def _on_output(self, stream: int, data: bytes, begin: int | None, end: int | None) -> None:
        if self._output.keeps:
            self._output.add(stream, data)
        if self._recorder is not None:
            self._recorder.output(stream, data, begin, end)

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
        if self.resumed is not None:
            self.run_logger.info('Resumed run with ID "%s"', self._id)
        elif shown is not None:
            self.run_logger.info('Started run with ID "%s"', shown)
        else:
            self.run_logger.info("Started")
        note_start = getattr(self._capture, "note_start", None)
        if note_start is not None:
            note_start()

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
            self._look(last=True)
            shown = self._id
            self._take_id_of_root()
            if self._views:
                shown = self._id
            if shown is not None:
                self.run_logger.info('Queued-up run with ID "%s"', shown)
            elif self._recorder is None and not self._listeners:
                self.run_logger.warning(
                    "The run is not queued: nothing records it, %s.",
                    "because of -u (--unobserved)"
                    if self.unobserved
                    else "because the journal is switched off and there is no observer",
                )
            else:
                self.run_logger.info("Queued")
            # Without its sources nobody could start it.
            self._wait_for_facts(_QUEUE_WAIT)
            self._complete_the_program()
        finally:
            self._close()

    def _complete_the_program(self) -> None:
        """Record what the program will need when it is started, and say what it will lack."""
        if self._recorder is not None and self._program:
            from sacred.core.later_imports import what_will_be_missed

            text = what_will_be_missed(self._recorder, self.experiment_info, self._program)
            if text is not None:
                self.run_logger.warning("%s", text)

    def _announce(self, event: str, command: str, **time: Any) -> None:
        """Tell everybody of the run, in the order of priority, until somebody gives its id."""
        # A run that goes on may have another id in a view.
        self._has_given_id = self._id is not None and self._continuation is None
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
            elif self._views is not None and self._views.declares(observer):
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
        for sentence in self._views.refused() if self._views is not None else ():
            self.run_logger.warning("%s The run goes on: its journal has everything.", sentence)

    def _open_journal(self, command: str) -> None:
        recorder = self._recorder
        if recorder is None:
            self._bind_log_scalar(self._metrics.add if self._listeners else _forget)
            return
        number = number_of(self._id)
        going_on = self._continuation
        try:
            folder = recorder.folder or recorder.open(number)
        except FileExistsError:
            self._is_refused = True
            raise self._id_is_taken() from None
        run_id = folder.number if self._id is None else self._id if number is None else number
        recorder.note_id(run_id)
        views = self._views
        facts = start_facts(self, command, run_id)
        facts["views"] = views.public() if views else None
        if self._program:
            kinds = kinds_in(self.config)
            called = {**self._program, "id": self._id, **({"kinds": kinds} if kinds else {})}
            facts["program"] = recordable(called)
        if going_on is not None:
            facts |= going_on.known_facts()
        # Stored sources are recorded already.
        about = {} if going_on is not None and going_on.stored else self.experiment_info
        keep_main_file(recorder, about)
        if self.queue_only:
            recorder.queued(**facts)
        elif self.resumed is not None:
            known = going_on.record.start.get("views") if going_on is not None else ()
            new = [view for view in facts["views"] or () if view not in (known or ())]
            recorder.resumed(facts["host"], new)
        else:
            recorder.started(
                **facts,
                capture=self.capture_mode,
                beat_interval=float(self.beat_interval),
                info=recordable(self.info) or None,
            )
        record_main_file(recorder, about)
        recorder.release_id()
        if not self.queue_only:
            self._bind_log_scalar(self._log_both if self._listeners else recorder.log_point)
            # Points logged before the start: the steps are counted already.
            for entry in list(self._metrics.metrics):
                recorder.log_point(entry.name, entry.step, entry.value)
            if not self._listeners:
                self._metrics.metrics.clear()
        for kind, arguments in self._early_files:
            self._record_file(kind, *arguments)
        if views is not None:
            views.follow(str(folder.path), run_id)
        settings = self._collection or collection_settings()
        self._facts = BackgroundFacts(
            lambda: record_late_facts(
                recorder, about, self.host_info, settings, self._say_each_once
            )
        )
        self._facts.start()

    def _log_both(self, name: str, step: Any, value: Any) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.log_point(name, step, value)
        self._metrics.add(name, step, value)

    # -- facts that arrive late ------------------------------------------------------------------

    def _wait_for_facts(self, patience: float = _FACTS_WAIT) -> None:
        facts, self._facts = self._facts, None
        if facts is None:
            return
        error = facts.wait(patience)
        if error is not None:
            self.run_logger.warning("The sources could not be recorded: %s", error)
        elif facts.done:
            self._record_late_imports()

    def _record_late_imports(self) -> None:
        if self.late_imports is not None and self._recorder is not None:
            self.late_imports.record(self._recorder)

    # -- hooks -----------------------------------------------------------------------------------

    def _execute_pre_run_hooks(self) -> None:
        for hook in self.pre_run_hooks:
            _completed(hook())

    def _execute_post_run_hooks(self) -> None:
        for hook in self.post_run_hooks:
            _completed(hook())


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


def __getattr__(name: str) -> Any:
    if name in {"ResumeError", "Resumed"}:  # for few runs, so that the others do without
        from sacred.core import resume

        return getattr(resume, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _completed(result: Any) -> Any:
    """Return what a function returned; of one that is async, what it returns at its end."""
    if type(result) is not CoroutineType:
        return result
    from sacred.core.async_main import complete

    return complete(result)


def _is_cancelled(error: BaseException) -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _forget(name: str, step: Any, value: Any) -> None:
    """Take a point of a run that records nothing."""
