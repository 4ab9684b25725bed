"""What a run uses of the machine while it goes on, as metrics of the run.

Off unless ``SETTINGS.SAMPLING.INTERVAL`` says how often: then a thread looks at the machine and at
the process of the run with all its children, and logs what it sees as metrics that begin with
``system.``.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.core.recorder import Recorder
    from sacred.core.settings import CollectionSettings

__all__ = ["METRICS", "Declaration", "Sample", "Sampler", "declaration_of", "run_sampler"]

#: A driver that did not answer so many times in a row is not asked again.
_GPU_TRIES = 3


class Declaration(NamedTuple):
    """What a metric is: its unit, and what it measures."""

    unit: str
    doc: str


#: What can be measured. A card's metrics have its number in their names: ``system.gpu0.use``.
METRICS: dict[str, Declaration] = {
    "system.cpu": Declaration("percent", "use of all CPUs of the machine together"),
    "system.memory": Declaration("bytes", "memory of the machine that no program can have"),
    "system.run.cpu": Declaration(
        "percent", "CPU time of the run's process and its children; 100 is one CPU"
    ),
    "system.run.memory": Declaration(
        "bytes", "resident memory of the run's process and its children, shared pages many times"
    ),
    "system.gpu.use": Declaration("percent", "time in which the card computed"),
    "system.gpu.memory": Declaration("bytes", "memory of the card in use"),
}


def declaration_of(metric: str) -> Declaration | None:
    """Return what a metric of this module is, a card's too; None for others."""
    head, _, last = metric.rpartition(".")
    if head.rstrip("0123456789") == "system.gpu":
        return METRICS.get(f"system.gpu.{last}")
    return METRICS.get(metric)


class Sample:
    """Looks at the machine, the process and its children, and the graphics cards.

    Shares are those of the time since the look before; so the first look has none. Not
    thread-safe.

    Parameters
    ----------
    cpu, memory, gpu
        What is looked at.

    Raises
    ------
    ImportError
        psutil is not there.
    """

    def __init__(self, *, cpu: bool = True, memory: bool = True, gpu: bool = True) -> None:
        with IMPORTING:
            import psutil

            from sacred.core.host_info import gpu_program

        self._psutil: Any = psutil
        self._process: Any = psutil.Process()
        self._cpu = cpu
        self._memory = memory
        self._gpu_program = gpu_program() if gpu else None
        self._gpu_failures = 0
        self._seen: tuple[float, float] | None = None
        if cpu:
            # It remembers the moment, and answers 0 at first.
            psutil.cpu_percent()
            self._spent()

    def look(self) -> Iterator[tuple[str, float]]:
        """Yield the name and value of each metric, as far as the system tells it."""
        processes = self._processes()
        if self._cpu:
            yield "system.cpu", self._psutil.cpu_percent()
            share = self._spent(processes)
            if share is not None:
                yield "system.run.cpu", share
        if self._memory:
            memory = self._psutil.virtual_memory()
            yield "system.memory", memory.total - memory.available
            yield "system.run.memory", sum(self._each(processes, "memory_info", _resident))
        yield from self._cards()

    def _processes(self) -> list[Any]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except (self._psutil.Error, OSError):
            return [self._process]

    def _each(
        self, processes: list[Any], method: str, of: Callable[[Any], float]
    ) -> Iterator[float]:
        """Yield a number of each process that still is there."""
        for process in processes:
            try:
                yield of(getattr(process, method)())
            except (self._psutil.Error, OSError):
                continue

    def _spent(self, processes: list[Any] | None = None) -> float | None:
        """Return the share of one CPU that was used since the last call."""
        if processes is None:
            processes = self._processes()
        # With the children that ended: what they used moves to those who waited for them.
        now = time.monotonic(), sum(self._each(processes, "cpu_times", _cpu_seconds))
        before, self._seen = self._seen, now
        if before is None or now[0] <= before[0]:
            return None
        # A child that left the family takes along what it used.
        return max(0.0, round(100 * (now[1] - before[1]) / (now[0] - before[0]), 2))

    def _cards(self) -> Iterator[tuple[str, float]]:
        if self._gpu_program is None:
            return
        with IMPORTING:
            from sacred.core.gpus import gpu_use

        cards = gpu_use(self._gpu_program)
        if cards is None:
            self._gpu_failures += 1
            if self._gpu_failures >= _GPU_TRIES:
                self._gpu_program = None
            return
        self._gpu_failures = 0
        for card in cards:
            if card.percent is not None:
                yield f"system.gpu{card.number}.use", card.percent
            if card.memory is not None:
                yield f"system.gpu{card.number}.memory", card.memory


def _cpu_seconds(times: Any) -> float:
    # The children's are told by Linux and macOS only.
    names = ("user", "system", "children_user", "children_system")
    return float(sum(getattr(times, name, 0.0) for name in names))


def _resident(memory: Any) -> float:
    return int(memory.rss)


class Sampler:
    """A thread that takes a sample every so many seconds, and one at the end.

    It ends for no error: what can not be measured is left out, that time. In a forked child there
    is none.

    Parameters
    ----------
    log
        Called with name and value.
    declare
        Called with a metric's name before its first value.
    interval
        Seconds.
    make
        Makes the sample; called in the thread, because psutil takes 26 ms to load.
    on_error
        Called with what went wrong, once for each kind of error.
    """

    def __init__(
        self,
        log: Callable[[str, float], object],
        declare: Callable[[str], object],
        interval: float,
        make: Callable[[], Sample],
        on_error: Callable[[Exception], object],
    ) -> None:
        self._log = log
        self._declare = declare
        self._interval = interval
        self._make = make
        self._on_error = on_error
        self._declared: set[str] = set()
        self._told: set[type[Exception]] = set()
        self._stop = threading.Event()
        self._logging = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sacred-sampling", daemon=True)
        self._owner = os.getpid()

    def start(self) -> None:
        """Start the thread; the first sample comes after one interval."""
        self._thread.start()

    def stop(self, patience: float = 2.0) -> bool:
        """Take a last sample, and end.

        Parameters
        ----------
        patience
            Seconds to wait for it. A driver may hang; what it says later is not logged.

        Returns
        -------
        bool
            Whether the thread has ended. In any case nothing is logged behind this call.
        """
        self._stop.set()
        if os.getpid() == self._owner and self._thread.ident is not None:
            self._thread.join(patience)
        with self._logging:
            self._closed = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        sample: Sample | None = None
        next_time = time.monotonic()
        while not self._closed:
            ending = self._stop.is_set()
            try:
                is_new = sample is None
                if sample is None:
                    sample = self._make()
                    ending = self._stop.is_set()
                if ending or not is_new:
                    for name, value in sample.look():
                        self._take(name, value)
            except Exception as error:  # of psutil, of a device, of whoever listens
                self._tell(error)
            if ending:
                return
            # Late ones are left out, not caught up with.
            next_time = max(next_time + self._interval, time.monotonic())
            self._stop.wait(next_time - time.monotonic())

    def _take(self, name: str, value: float) -> None:
        with self._logging:
            if self._closed:
                return
            if name not in self._declared:
                self._declared.add(name)
                self._declare(name)
            self._log(name, value)

    def _tell(self, error: Exception) -> None:
        if type(error) not in self._told:
            self._told.add(type(error))
            self._on_error(error)


def run_sampler(
    log: Callable[[str, Any, Any], object],
    recorder: Recorder | None,
    settings: CollectionSettings,
) -> Sampler:
    """Return the sampler of a run, not started.

    Parameters
    ----------
    log
        Takes name, value and step; a step of None is the next one.
    recorder
        Is told what the metrics are, and what went wrong.
    settings
        How often, and what.
    """

    def declare(metric: str) -> None:
        about = declaration_of(metric)
        if recorder is not None and about is not None:
            recorder.declare_metric(metric, about.unit, about.doc)

    def tell(error: Exception) -> None:
        if recorder is not None:
            text = f"what the run uses could not be measured: {type(error).__name__}: {error}"
            recorder.message("warning", text)

    return Sampler(
        lambda metric, value: log(metric, value, None),
        declare,
        settings.sample_every or 0.0,
        lambda: Sample(
            cpu=settings.sample_cpu, memory=settings.sample_memory, gpu=settings.sample_gpu
        ),
        tell,
    )
