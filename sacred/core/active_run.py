"""A run without an experiment: begun by a call, ended by leaving it or by another one."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredInterrupt
from sacred.core.life import Life
from sacred.core.observer_checks import list_of_observers
from sacred.core.run import Run
from sacred.core.signals import EndingSignals, Terminated
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

__all__ = ["ActiveRun", "ExitStatusError", "NotFinished", "start_run"]

#: What stands in the documents where an experiment's runs have the name of their command.
COMMAND = "start_run"


class ExitStatusError(Exception):
    """Whoever ended the run gave the exit status of something that failed."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the exit status is {status}")
        self.status = status


class NotFinished(SacredInterrupt):
    """The program ended, and nobody had said that the run was done."""

    STATUS = "INTERRUPTED"


def start_run(
    name: str | None = None,
    config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    seed: int | None = None,
    observers: Sequence[Any] = (),
    info: Mapping[str, Any] | None = None,
    comment: str | None = None,
    meta_info: Mapping[str, Any] | None = None,
    run_id: int | str | None = None,
    root: str | os.PathLike[str] | None = None,
    capture: str | None = None,
    captured_out_filter: Callable[[str], str] | None = None,
    unobserved: bool = False,
    base_dir: str | os.PathLike[str] | None = None,
    save_git_info: bool = True,
) -> ActiveRun:
    """Begin a run here and now, without an experiment.

    ::

        with sacred.start_run("fit", config={"lr": 0.1}) as run:
            for step in range(100):
                run.log_scalar("loss", train(run.config["lr"]), step)
            run.add_artifact("model.pt")
            run.result = evaluate()

    It is recorded as an experiment's run is: the same journal, views, ids, sources (the file of
    the caller and what it imports), output and heartbeats. When this returns, its start is in the
    journal.

    Leaving the ``with`` ends it: COMPLETED, FAILED with the stack trace after an exception,
    INTERRUPTED after Ctrl-C, SIGTERM or a ``SacredInterrupt``; the exception goes on. Without
    ``with``, which is what a run over several cells of a notebook needs, ``run.finish()`` says that
    it is done. Where nobody said so before the program ended, it is FAILED after an uncaught
    exception, else INTERRUPTED, and a line tells.

    Unlike an experiment's, such a run leaves alone what it was not asked to touch: logging is not
    set up (its lines go to the logger called ``name``), and no generator is seeded but by ``seed``.

    Parameters
    ----------
    name
        What it is a run of; the name of the caller's file, or of the notebook, by default.
    config
        Recorded as it is, and readable as ``run.config``: a dictionary, or the name of a file with
        one (.json, .yaml, .toml). Keys follow the rules of every configuration; tuples become
        lists, numpy's scalars numbers.
    seed
        Seeds the global generators of Python, numpy, torch and TensorFlow, those that are imported
        later too, and is recorded as ``config["seed"]``. An entry of that name alone seeds nothing.
    observers
        Views (``MongoObserver(...)``) and observers of one's own.
    info
        First entries of ``run.info``.
    comment
        A remark, recorded in ``run.meta_info``.
    meta_info
        More entries for it.
    run_id
        The run's id; it must be free. By default a view gives one, or the root.
    root
        The folder of the journals; that of the settings by default.
    capture
        How output is captured: ``"sys"``, ``"fd"`` or ``"no"``.
    captured_out_filter
        Takes the printed text and returns what is to be recorded of it.
    unobserved
        True records nothing, for a try.
    base_dir
        The folder that sources lie below; that of the caller's file by default.
    save_git_info
        False leaves git alone.

    Returns
    -------
    ActiveRun
        The run, begun. Any number of them may go on at once, in one thread or in several; only the
        first can capture in ``fd`` mode.

    Raises
    ------
    KeyError, ValueError, TypeError, OSError
        The configuration can not be one, or the seed is none.
    RunIdTakenError, RunIdError
        ``run_id`` is taken, or can not be one.
    JournalUnavailableError
        The journal can not be begun.
    """
    caller = sys._getframe(1).f_globals
    from sacred.core import notebook, output_capture
    from sacred.core.arguments import file_name, name_of_part
    from sacred.core.experiment import Experiment
    from sacred.core.initialize import _host_info
    from sacred.core.late_imports import LateImports
    from sacred.core.loading import is_loading
    from sacred.core.run_arguments import entries_of
    from sacred.core.setting_checks import check_settings

    check_settings()
    info = entries_of("info", info)
    meta_info = entries_of("meta_info", meta_info)
    if capture is not None:
        output_capture.check_capture_mode(capture)
    if name is None:
        name = _name_of(caller)
    name = name_of_part(name, "start_run")
    experiment = Experiment(
        name,
        interactive=True,
        base_dir=base_dir,
        save_git_info=save_git_info,
        _caller_globals=caller,
    )
    run = ActiveRun(
        _config(config, seed),
        list_of_observers(observers),
        experiment.get_experiment_info(),
        _host_info(()),
        name=name,
        seed=seed,
        captured_out_filter=captured_out_filter,
    )
    run.info.update(info)
    run.meta_info.update({"command": COMMAND, "options": {}, **meta_info})
    if comment is not None:
        run.meta_info["comment"] = comment
    run._id = run_id
    run.journal_root = None if root is None else file_name(root, "start_run(root=PATH)")
    run.capture_mode = capture
    # A stored program on its way to its run goes through this once more.
    run.unobserved = unobserved or is_loading()
    run.late_imports = LateImports(experiment, frozenset(sys.modules))
    run._begin(guarded=not notebook.is_interactive())
    return run


class ActiveRun(Run):
    """A run that :func:`sacred.start_run` began; everything else is as with any ``Run``.

    ``log_scalar``, ``info``, ``result``, ``add_artifact`` and ``add_resource`` may be used from any
    thread. Whatever comes after the end is not recorded, and a line says so.

    Attributes
    ----------
    config
        What was given; it can not be changed.
    result
        None until it is set; recorded within a second of each change, and at the end.
    """

    def __init__(
        self,
        config: dict[str, Any],
        observers: Sequence[Any],
        experiment_info: dict[str, Any],
        host_info: dict[str, Any],
        *,
        name: str,
        seed: int | None,
        captured_out_filter: Callable[[str], str] | None,
    ) -> None:
        import logging

        from sacred.core.config.config_summary import ConfigSummary

        super().__init__(
            config,
            ConfigSummary(),
            _Body(),
            observers,
            logging.getLogger(),
            logging.getLogger(name),
            experiment_info,
            host_info,
            (),
            (),
            captured_out_filter,
        )
        self._seed = seed
        self._life: Life | None = None
        self._guard: EndingSignals | None = None
        self._ending = threading.Lock()

    @property
    def id(self) -> Any:
        """The run's id, decided at the start."""
        return self._id

    # -- life ------------------------------------------------------------------------------------

    def _begin(self, *, guarded: bool) -> None:
        self._get_ready()
        if guarded:
            self._watch_signals()
        try:
            life = Life(self)
            life.__enter__()
        except BaseException:
            self._leave_signals(*sys.exc_info())
            raise
        self._life = life
        _unfinished.add(self)

    def __enter__(self) -> ActiveRun:
        """Return the run; leaving it will end it."""
        _unfinished.discard(self)
        if self._guard is None and self._life is not None:
            self._watch_signals()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, unless it was ended before."""
        self._end_life(kind, error, trace)

    def finish(self, error: BaseException | int | None = None) -> None:
        """End the run; a second call does nothing, and so does leaving the ``with`` afterwards.

        Waits for the views within bounds, as the end of every run does. Thread-safe.

        Parameters
        ----------
        error
            Why it did not go well: it has FAILED then, or was INTERRUPTED, and the stack trace is
            recorded. Also the exit status of a process: 0 is COMPLETED, another one FAILED.
            COMPLETED by default.

        Raises
        ------
        RunArgumentError
            It is neither, as a text. The run goes on. It is a ``TypeError``.
        """
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        elif isinstance(error, int) and not isinstance(error, bool):
            error = ExitStatusError(error) if error else None
        if error is not None and not isinstance(error, BaseException):
            from sacred.core.run_arguments import RunArgumentError

            raise RunArgumentError(
                f"finish({error!r}): give nothing if all went well, else the exception, or the exit "
                "status of the process. What came out of it is run.result."
            )
        if error is None:
            self._end_life(None, None, None)
        else:
            self._end_life(type(error), error, error.__traceback__)

    def _end_life(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._ending:
            life, self._life = self._life, None
        if life is None:
            return
        _unfinished.discard(self)
        try:
            life.__exit__(kind, error, trace)
        except BaseException:
            self._leave_signals(*sys.exc_info())
            raise
        self._leave_signals(kind, error, trace)

    def _watch_signals(self) -> None:
        self._guard = EndingSignals()
        self._guard.__enter__()

    def _leave_signals(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.__exit__(kind, error, trace)

    # -- what is told apart from an experiment's run ---------------------------------------------

    def warn_if_unobserved(self) -> None:
        """Say nothing: whoever calls ``start_run`` knows that the journal has it."""

    def _set_seeds(self) -> None:
        if self._seed is not None:
            from sacred.core.randomness import set_global_seed

            set_global_seed(self._seed)


class _Body:
    """Stands where an experiment's run has its main function."""

    __name__ = COMMAND
    prefix = None

    def __call__(self, *_args: Any) -> None:
        raise RuntimeError("A run of start_run has no function to call.")


# -- runs that nobody has ended -------------------------------------------------------------------


class _Unfinished:
    """The runs of this process that are not left by a ``with``, and what ends them at the end."""

    def __init__(self) -> None:
        self._runs: list[ActiveRun] = []
        self._lock = threading.Lock()
        self._owner = 0
        self._previous_hook: Any = None

    def add(self, run: ActiveRun) -> None:
        if self._owner != os.getpid():
            # A forked child: its parent's runs are not its own, and who held the lock is not here.
            self._owner, self._runs, self._lock = os.getpid(), [], threading.Lock()
        with self._lock:
            self._runs.append(run)
            import atexit

            # Once, and called before what the journal and this run's views registered before.
            atexit.unregister(self._end_all)
            atexit.register(self._end_all, None)
            if self._previous_hook is None:
                self._previous_hook, sys.excepthook = sys.excepthook, self._on_uncaught

    def discard(self, run: ActiveRun) -> None:
        if self._owner != os.getpid():
            return
        with self._lock:
            if run in self._runs:
                self._runs.remove(run)
            if not self._runs and sys.excepthook == self._on_uncaught:
                sys.excepthook, self._previous_hook = self._previous_hook, None

    def _on_uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        from sacred.core.notebook import is_interactive

        previous = self._previous_hook or sys.__excepthook__
        # Who sent the signal knows; and the interpreter goes on where somebody types.
        if not isinstance(error, Terminated):
            previous(kind, error, trace)
        if is_interactive():
            return
        self._end_all(error)
        if kind is KeyboardInterrupt:
            # The interpreter dies of SIGINT, as shells expect, if this is the last that it saw; what
            # was imported above made it forget.
            try:
                exec("raise KeyboardInterrupt")  # noqa: S102
            except KeyboardInterrupt:
                pass

    def _end_all(self, error: BaseException | None) -> None:
        if self._owner != os.getpid():
            return
        for run in reversed(self._runs[:]):
            if error is not None:
                run.finish(error)
                continue
            run.run_logger.warning(
                "The program ended without finish(): run %s of %s is recorded as INTERRUPTED. "
                "Call run.finish() when it is done, or use `with`.",
                run.id,
                run.run_logger.name,
            )
            run.finish(NotFinished("the program ended without run.finish()"))


_unfinished = _Unfinished()


# -- what is given ---------------------------------------------------------------------------------


def _name_of(caller: dict[str, Any]) -> str:
    from sacred.core.notebook import notebook_name

    file = caller.get("__file__")
    return os.path.splitext(os.path.basename(str(file)))[0] if file else notebook_name()


def _config(
    config: Mapping[str, Any] | str | os.PathLike[str] | None, seed: int | None
) -> dict[str, Any]:
    """Return the configuration as it is recorded.

    Raises
    ------
    KeyError, OSError, TypeError, ValueError
        It can not be one, the seed is none, or there are two.
    """
    from collections.abc import Mapping

    from sacred.core.config.custom_containers import make_recorded
    from sacred.core.ingredient import Ingredient
    from sacred.core.settings import SETTINGS

    if isinstance(config, Mapping):
        config = dict(config)
    elif config is not None and not isinstance(config, (str, os.PathLike)):
        raise TypeError(
            "The config of start_run is a dictionary or the name of a file, and this is of type "
            f"{type(config).__name__}. For arguments of argparse, give vars(args)."
        )
    entries = {} if config is None else dict(Ingredient._create_config_dict(config, {})())
    if seed is not None:
        if isinstance(seed, bool) or not hasattr(type(seed), "__index__"):
            raise TypeError(f"The seed of start_run is a number, not {seed!r}.")
        seed = int(seed)
        if entries.get("seed") not in (None, seed):
            raise ValueError(
                f"start_run was given two seeds: seed={text_of(seed)} and "
                f"config={{'seed': {text_of(entries['seed'])}}}. Leave one of them out."
            )
        entries["seed"] = seed
    return make_recorded(entries) if SETTINGS.CONFIG.READ_ONLY_CONFIG else entries


for _public in (ActiveRun, start_run):
    _public.__module__ = "sacred"
NotFinished.__module__ = "sacred.run"
