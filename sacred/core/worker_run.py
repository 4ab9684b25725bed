"""WorkerRun: a run as it is in another process than its own."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sacred.core.config.captured_function import Binding
from sacred.core.config.custom_containers import (
    ReadOnlyContainer,
    ReadOnlyDict,
    ReadOnlyList,
    read_only,
)
from sacred.core.errors import SacredError
from sacred.core.metrics import scalar_logger
from sacred.core.recorder import Recorder
from sacred.core.run_files import FileRecording
from sacred.core.run_series import SeriesLogging
from sacred.core.worker_output import WorkerOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sacred.core.config.captured_function import CapturedFunction
    from sacred.core.workers import Ticket

__all__ = ["WorkerRun", "WorkerRunError"]


class WorkerRunError(SacredError, AttributeError):
    """Something of a run that only its own process can change."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} of a run can be changed in the process of the run alone: have the worker "
            "return what it found, and set it there.",
            filter_traceback="always",
        )


class _SentContainer(ReadOnlyContainer):
    """What the containers of a run have in common, as they were sent: a change of one is told."""

    def __init__(self, items: Any, what: str) -> None:
        super().__init__(items)  # type: ignore[call-arg]
        self._what = what

    def _refusal(self) -> SacredError:
        return WorkerRunError(self._what)


class _SentDict(_SentContainer, ReadOnlyDict):
    """A dictionary of the run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self._what)


class _SentList(_SentContainer, ReadOnlyList):
    """A list of the run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self), self._what)


def _sent(value: Any, what: str) -> Any:
    """Return a value of the run; whoever would change it is told that nobody sees it."""
    return read_only(value, lambda items: _SentDict(items, what), lambda i: _SentList(i, what))


class WorkerRun(FileRecording, SeriesLogging):
    """A run as it is in a worker: ``_run`` of a captured function that was sent there.

    What it records goes into the journal of the run, as that of a writer of its own: claimed with
    the first thing recorded, and written before each call returns, so that a pool that is
    terminated loses nothing. ``log_scalar`` and its kin, ``add_artifact``, ``add_resource`` and
    ``open_resource`` work as in the run's own process; they may be used from any thread. The worker
    may outlive the run: what it records then is in the journal all the same, and a view has it when
    it is replayed again.

    Steps that are left out are counted in each process by itself, and so are the versions of
    artifacts.

    Attributes
    ----------
    _id, config, experiment_info, host_info, meta_info, start_time
        As in the run, when it was sent.
    info, result, status, stop_time, fail_trace
        The same. None of all these can be changed here (``WorkerRunError``).
    folder
        The folder of the run's journal; None if it has none, and then nothing is recorded.
    """

    #: It is at home nowhere here, and no run of this process.
    pid: int | None = None
    key = ""
    observers: tuple[Any, ...] = ()
    captured_out = ""
    unobserved = False

    def __init__(self, ticket: Ticket, facts: dict[str, Any]) -> None:
        self._ticket = ticket
        self._facts = {**facts, "_id": facts.get("id")}
        self.folder: str | None = facts["folder"]
        self.capture_mode: str = facts["capture_mode"]
        self.experiment_path: str | None = facts["experiment_path"]
        self.root_logger, self.run_logger = map(logging.getLogger, facts["loggers"])
        self.captured_bindings = _Bindings(self, facts["bindings"])
        self._lock = threading.Lock()
        self._recorder_: Recorder | None = None
        self._said: set[str] = set()
        self._log_point = scalar_logger(self._write_point, {}, owner=self)
        self._output = WorkerOutput(
            self.capture_mode, facts["streams"], facts["pid"], self._on_output
        )
        #: What its own process had imported; None if nothing is to be looked for.
        self._at_home = facts["imports"] if self._is_recorded else None
        if self._is_recorded:
            self._output.begin()

    def __getattr__(self, name: str) -> Any:
        if name in _FIXED:
            # What of the run could not be sent is as if it was never set.
            value = self.__dict__[name] = _sent(self._facts.get(name), f"The {name}")
            return value
        raise AttributeError(f"A run in a worker has no {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED:
            raise WorkerRunError(f"The {name}")
        object.__setattr__(self, name, value)

    def __call__(self, *_args: Any) -> Any:
        """Refuse: a run is started once, in its own process."""
        raise WorkerRunError("The start")

    def __reduce__(self) -> tuple[Any, ...]:
        from sacred.core.workers import find_run

        return find_run, (self._ticket,)

    def __repr__(self) -> str:
        return f"<run {self._id} in a worker>"

    # -- recording -------------------------------------------------------------------------------

    def log_scalar(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Record a value of a metric; see ``Run.log_scalar``.

        The point survives the process when this returns.
        """
        self._log_point(metric_name, value, step)

    def _write_point(self, name: str, step: Any, value: Any) -> None:
        recorder = self._recorder
        if recorder is None:
            text = f"A point of the metric '{name}' is not recorded: {self._why}"
            self._say_each_once([text])
        else:
            recorder.log_point(name, step, value)

    def _keep_or_say(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self._say_each_once([f"The {kind} {arguments[0]} is not recorded: {self._why}"])

    @property
    def _why(self) -> str:
        if self.folder is None:
            return "the run has no journal."
        return "the run had ended when it was sent."

    @property
    def _is_recorded(self) -> bool:
        return self.folder is not None and self._facts.get("stop_time") is None

    @property
    def _recorder(self) -> Recorder | None:
        """The recorder of this process, made when it is first needed; None if there is none."""
        if self.folder is None or not self._is_recorded:
            return None
        with self._lock:
            if self._recorder_ is None:
                joined: list[Recorder] = []
                recorder = self._recorder_ = Recorder.join(
                    self.folder,
                    self._ticket.key,
                    durability=self._facts["durability"],
                    on_fault=_fault_teller(self.folder, self.run_logger, joined),
                    label=_process_name(),
                )
                joined.append(recorder)
                # When nobody has the run any more, and at the end of the process.
                weakref.finalize(self, recorder.close)
            return self._recorder_

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Record what is printed meanwhile, as the run does."""
        if self._recorder is None:
            yield
            return
        with self._output.listening():
            yield

    def _on_output(self, stream: int, data: bytes, begin: int | None, end: int | None) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.output(stream, data, begin, end)


_FIXED = frozenset(
    {
        "_id",
        "config",
        "experiment_info",
        "fail_trace",
        "host_info",
        "info",
        "meta_info",
        "result",
        "start_time",
        "status",
        "stop_time",
    }
)


def _fault_teller(
    folder: str, logger: logging.Logger, joined: list[Recorder]
) -> Callable[[OSError], None]:
    """Return what says once that the disk fails, and what was lost at the end of the process.

    It does not keep the run. ``joined`` has the recorder as soon as there is one.
    """
    told: list[OSError] = []

    def tell(error: OSError) -> None:
        if told:
            return
        told.append(error)
        for recorder in joined:
            recorder.tell_losses_at_end(logger)
        text = (
            f"The journal in {folder} can not be written at the moment: {error.strerror or error}. "
            "What this worker records is kept in memory as long as that lasts."
        )
        # In a thread of its own: whatever takes log lines may be waiting for this very journal.
        threading.Thread(target=logger.warning, args=("%s", text), daemon=True).start()

    return tell


def _process_name() -> str | None:
    multiprocessing = sys.modules.get("multiprocessing.process")
    return None if multiprocessing is None else str(multiprocessing.current_process().name)


class _Bindings:
    """What captured functions work with, by their names: here they are other objects."""

    def __init__(self, run: WorkerRun, bindings: list[tuple[Any, Mapping[str, Any], Any]]) -> None:
        self._run = run
        self._bindings = {key: (config, logger) for key, config, logger in bindings}

    def get(self, function: CapturedFunction[..., Any], default: Any = None) -> Any:
        """Return the binding of a function, its stream of seeds left out."""
        from sacred.core.workers import key_of

        found = self._bindings.get(key_of(function))
        if found is None:
            return default
        config, name = found
        logger = None if name is None else logging.getLogger(name)
        return Binding(config, logger, None, self._run)
