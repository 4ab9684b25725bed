"""Going on with a run in another process: one that was queued begins, one that ended early goes on.

The run stays what it is: its journal goes on in the next file of its first writer, under the same
id and with the configuration that is recorded. Of two processes that try at once, one gets the file.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError
from sacred.core.passwords import is_masked
from sacred.core.recordable import as_it_was
from sacred.core.recorded import NOT_RECORDED, RecordedRun, live_value
from sacred.journal.errors import JournalBusyError
from sacred.journal.finding import command_on, find_run
from sacred.journal.folder_lock import locked_journal
from sacred.journal.identity import process_lives
from sacred.journal.liveness import Liveness, lock_is_held, why_untouched, writer_lives
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.root import JournalRoot, epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from logging import Logger

    from sacred.core.recorder import Recorder
    from sacred.core.run import Run

__all__ = ["Continuation", "ResumeError", "Resumed", "check_state", "continued_run", "resumed_run"]

#: A run that has ended has its journal closed so soon after (s).
_CLOSING = 10.0
#: A file that somebody makes has its first event so soon (s).
_MAKING = 10.0
_PAUSE = 0.05

#: Options that say which run it is, and not how it runs.
_SETTLED = frozenset({"--help", "--id", "--journal", "--queue", "--resume", "--unobserved"})
#: Options that were about that one call.
_PASSED = _SETTLED | {"--debug", "--force", "--pdb", "--print-config"}


class ResumeError(SacredError, ValueError):
    """A run can not be started or gone on with; the sentence says why, and what to do."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class Resumed(NamedTuple):
    """What a run that goes on had when it stopped: ``_run.resumed``.

    Attributes
    ----------
    status
        What it was: ``DIED``, ``INTERRUPTED``, ``FAILED``, ``TIMEOUT`` or one of your own.
    times
        How often somebody went on with the run, this time included.
    last_seen
        When it gave its last sign of life; UTC, without a time zone.
    steps
        By metric, the step of the last point. ``log_scalar`` without a step counts on from there.
    artifacts
        By name, how many versions there are; ``_run.open_artifact(name)`` reads the last.
    """

    status: str
    times: int
    last_seen: datetime
    steps: dict[str, Any]
    artifacts: dict[str, int]


class Continuation:
    """How a run goes on with the journal of an earlier process.

    Parameters
    ----------
    record
        What the journal said when this was decided. It is read again when the run begins.
    resume
        True goes on with a run that ended early, False begins one that was queued.
    stored
        The program is the stored one: there are no other sources to record.
    force
        True goes on also with a run of another machine of which nobody here can see whether it
        lives.
    """

    def __init__(self, record: RecordedRun, *, resume: bool, stored: bool, force: bool) -> None:
        self.record = record
        self.resume = resume
        self.stored = stored
        self.force = force
        #: Options that were given for this time, by their long flags.
        self.given: dict[str, Any] = {}

    def take(self, recorder: Recorder, logger: Logger) -> None:
        """Have a recorder go on with the journal; from then on the run is this process's.

        Waits up to a minute for whoever seals or repairs it, and says so.

        Raises
        ------
        ResumeError
            The run is none any more that can be gone on with.
        JournalBusyError
            Another process was faster.
        JournalUnavailableError
            The disk does not take it.
        """
        folder = self.record.folder

        def say() -> None:
            logger.warning(
                "waiting for the process that seals, repairs or goes on with run %s: a minute at most",
                self.record.number,
            )

        with locked_journal(folder.journal, on_wait=say):
            self.record = RecordedRun(folder)
            check_state(self.record, resume=self.resume, force=self.force)
            recorder.go_on(self.record, resume=self.resume, options=self.given)

    def restore(self, run: Run) -> None:
        """Give a run what it had when it stopped."""
        record = self.record
        info = live_value(record.info)
        run.info.update({key: value for key, value in info.items() if key not in run.info})
        if not self.resume:
            return
        result = live_value(record.result)
        run.result = None if result is NOT_RECORDED else result
        run.start_time = _moment(record.started)
        run._metrics.metric_step_counter.update(record.steps)
        run.resumed = Resumed(
            record.status,
            record.resumed + 1,
            _moment(record.last),
            dict(record.steps),
            {name: len(versions) for name, versions in record.artifacts.items()},
        )

    def callable_observers(self, observers: Iterable[Any], logger: Logger) -> list[Any]:
        """Return the observers that can be told in this process that the run goes on.

        A view that is written event by event, as Sacred wrote it, begins a new entry with each
        start.
        """
        found = []
        for observer in observers:
            covered = getattr(observer, "_covered_observer", observer)
            if getattr(type(covered), "declare_view", None) is None:
                found.append(observer)
            else:
                logger.warning(
                    "%s is written in the run's process and can not go on with a run that another "
                    "one began: `sacred-replay` can, afterwards.",
                    observer,
                )
        return found

    def known_facts(self) -> dict[str, Any]:
        """Return what of the start of a queued run was recorded when it was queued."""
        names = ("modifications", "program", *(["experiment"] if self.stored else []))
        return {name: self.record.start[name] for name in names if name in self.record.start}


def _moment(nanoseconds: int) -> datetime:
    import datetime as dt

    utc = dt.datetime(1970, 1, 1, tzinfo=None)  # noqa: DTZ001 - as all times of a run
    return utc + dt.timedelta(microseconds=nanoseconds // 1000)


# -- whether it can be done -----------------------------------------------------------------------


def check_state(record: RecordedRun, *, resume: bool, force: bool = False) -> None:
    """See that a run can be begun, or gone on with, by this process.

    Raises
    ------
    ResumeError
        It is in no state for that.
    JournalBusyError
        Another process has it, or is about to have it.
    """
    name = f"run {record.number}"
    if record.start.get("command") == "start_run" and not record.program:
        raise ResumeError(
            f"{name} was begun by sacred.start_run, in the middle of a program: there is no "
            "function that could be called to go on with it"
        )
    if record.misplaced:
        which, why = min(record.misplaced.items())
        raise ResumeError(
            f"{name} can not be gone on with: in {record.folder.journal} stands {which}, and {why}; "
            "then try again"
        )
    if record.damage:
        raise ResumeError(
            f"the journal of {name} is damaged: {record.damage[0]}. "
            f"`{_command(record, 'repair')}` writes it anew with all that is whole; then try again"
        )
    if not record.start:
        raise ResumeError(f"{name} never began, so that there is nothing to go on with")
    _check_nobody_has_it(record)
    if record.state is Liveness.QUEUED:
        if resume and record.has_program:
            raise ResumeError(
                f"{name} is queued and has not begun: start it with `{_command(record)}`"
            )
        return
    if record.state is Liveness.RUNNING:
        raise JournalBusyError(f"{name} is running ({_who(record.identity)})")
    if record.how == "completed":
        raise ResumeError(f"{name} is {record.status}: there is nothing left of it to run")
    if not resume:
        raise ResumeError(
            f"{name} is not queued, it is {record.status}: `{_command(record)} --resume` goes on "
            "with it"
        )
    if record.state is Liveness.DIED and record.identity.get("opened_by") != "seal":
        _, reason = why_untouched(record.identity, force=force)
        if reason is not None:
            raise ResumeError(f"{name} can not be gone on with: {reason}")
    if record.state is Liveness.ENDED:
        _wait_until_closed(record)


def _command(record: RecordedRun, verb: str = "run") -> str:
    return command_on(verb, record.folder)


def _check_nobody_has_it(record: RecordedRun) -> None:
    """See that nobody is between making the next file and writing what it is for."""
    name = f"run {record.number}"
    newest = record.folder.journal / epoch_file_name(0, record.at.epoch)
    if record.is_begun_anew:
        lives = process_lives(record.newest_identity) if record.newest_identity else None
        hint = ""
        if lives is None:
            age = time.time() - os.stat(newest).st_mtime
            # One from the future is of a clock that was set back, and as old as any.
            lives = abs(age) < _MAKING
            hint = f"; if it was killed there, try again in {_MAKING - age + 1:.0f} s"
        if lives:
            raise JournalBusyError(f"another process goes on with {name} already{hint}")
    is_claimed = record.state is Liveness.QUEUED and record.claimed is not None
    if is_claimed and writer_lives(newest, record.identity, record.last):
        raise JournalBusyError(f"{name} is about to be started by {record.claimed}")


def _wait_until_closed(record: RecordedRun) -> None:
    """Wait for the process of a run that has ended to close the journal."""
    newest = record.folder.journal / epoch_file_name(0, record.at.epoch)
    if not process_lives(record.identity):
        return  # a forked child may hold the lock for ever
    deadline = time.monotonic() + _CLOSING
    while lock_is_held(newest):
        if time.monotonic() > deadline:
            raise JournalBusyError(
                f"run {record.number} is {record.status}, but its process still has the journal "
                f"open ({_who(record.identity)})"
            )
        time.sleep(_PAUSE)


def _who(identity: Mapping[str, Any]) -> str:
    return f"process {identity.get('pid')} on {identity.get('host')}"


# -- the run --------------------------------------------------------------------------------------


def resumed_run(
    experiment: Any,
    asked: Any,
    *,
    command_name: str | None,
    config_updates: Mapping[str, Any] | None,
    named_configs: Sequence[str],
    info: dict[str, Any] | None,
    meta_info: dict[str, Any] | None,
    options: Mapping[str, Any],
) -> Run:
    """Build the run that goes on with an earlier one, by the program as it is now.

    Parameters
    ----------
    experiment
        The one the run is of.
    asked
        The number of the run, or as on a command line: ``last``, ``id:X``, a path.
    command_name, config_updates, named_configs, meta_info
        Have to be left out (the command may be the recorded one): they are what they were.
    info
        Entries for ``_run.info``.
    options
        Those given now, by their long flags; the others are as they were recorded.

    Raises
    ------
    ResumeError, JournalError
    """
    from sacred.core.settings import journal_settings

    settings = journal_settings()
    if not settings.enabled or options.get("--unobserved"):
        raise ResumeError("a run goes on in its journal: it can not be resumed without one")
    if options.get("--queue") or options.get("--id") is not None:
        raise ResumeError("a run that is resumed keeps its id, and is not queued again")
    if config_updates or named_configs or meta_info:
        raise ResumeError(
            "a run that is resumed keeps its configuration: leave out what stands behind `with`, "
            "or start a new run"
        )
    chosen = options.get("--journal") if _ours(experiment, {"--journal"}) else None
    root = JournalRoot(chosen or settings.root or "sacred_runs")
    folder = find_run(root, str(asked))
    record = RecordedRun(folder)
    force = bool(options.get("--force"))
    check_state(record, resume=True, force=force)
    # One that was queued where the program is typed: nothing but that can start it.
    begins = record.state is Liveness.QUEUED
    known = (record.meta.get("command"), record.start.get("command"))
    if command_name is not None and command_name not in known:
        raise ResumeError(
            f"run {record.number} is one of the command {known[0]!r}, not {command_name!r}: leave "
            "the command out"
        )
    continuation = Continuation(record, resume=not begins, stored=False, force=force)
    run = continued_run(experiment, continuation, options)
    run.info.update(info or {})
    return run


def continued_run(
    experiment: Any, continuation: Continuation, options: Mapping[str, Any] | None = None
) -> Run:
    """Build the run of an experiment that goes on with a recorded one; it is not begun.

    Parameters
    ----------
    experiment
        The experiment, of today's or of the stored sources.
    continuation
        With what.
    options
        Those given now, by their long flags; they win over the recorded ones.

    Raises
    ------
    ResumeError
        The run is of another experiment, or has a command or a secret that is not there.
    """
    from sacred.core.initialize import create_run
    from sacred.core.run_arguments import by_flags
    from sacred.core.updates import RecordedConfig

    record = continuation.record
    command = _command_of(experiment, record)
    chosen = _options_of(experiment, continuation, options or {})
    for hook in experiment.option_hooks:
        hook(options=chosen)
    chosen = by_flags(chosen, experiment.all_cli_options)
    recorded = live_value(record.start.get("config") or {})
    config, secret = _without_secrets(as_it_was(recorded, record.program.get("kinds")))
    known = {name for name, _ in experiment.gather_named_configs()}
    run = create_run(
        experiment,
        command,
        RecordedConfig(config),
        # What they set is recorded, but for objects that no journal holds.
        named_configs=[name for name in record.meta.get("named_configs") or () if name in known],
        force=True,
        log_level=chosen.get("--loglevel"),
    )
    for path in secret:
        _check_secret(path, recorded, run)
    run.meta_info.update(live_value(record.meta))
    settled = _ours(experiment, _SETTLED)
    for option in experiment.all_cli_options:
        flag = option.get_flag()
        value = chosen.get(flag)
        if flag not in settled and value is not None and value is not False:
            option.apply(value, run)
    run._id = record.run_id
    run.journal_root = record.folder.root.path
    run._continuation = continuation
    _warn_of_other_config(run, record)
    experiment.current_run = run
    return run


def _command_of(experiment: Any, record: RecordedRun) -> str:
    path = record.program.get("experiment")
    if path is not None and path != experiment.path:
        raise ResumeError(
            f"run {record.number} is one of the experiment {path!r}, not {experiment.path!r}"
        )
    commands = {name for name, _ in experiment.gather_commands()}
    for name in (record.meta.get("command"), record.start.get("command")):
        if name in commands:
            return str(name)
    raise ResumeError(
        f"run {record.number} is one of the command {record.start.get('command')!r}, which the "
        f"experiment {experiment.path!r} does not have"
    )


def _options_of(
    experiment: Any, continuation: Continuation, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options: those given now, else as they were recorded."""
    record = continuation.record
    now = {flag: v for flag, v in given.items() if v is not None and v is not False}
    flags = {option.get_flag() for option in experiment.all_cli_options}
    flags -= _ours(experiment, _SETTLED)
    continuation.given = {flag: value for flag, value in now.items() if flag in flags}
    # Stored sources lie in no repository that could be looked at.
    passed = _ours(experiment, _PASSED | {"--enforce_clean"} if continuation.stored else _PASSED)
    recorded = {
        flag: value
        for flag, value in live_value(record.options).items()
        if flag not in passed and flag not in now
    }
    for flag, value in recorded.items():
        if _is_masked(value):
            raise ResumeError(
                f"the option {flag} of run {record.number} is recorded without its password: give "
                f"it again, as in `{flag} ADDRESS`"
            )
    return {**experiment.get_default_options(), **recorded, **now}


def _ours(experiment: Any, flags: Iterable[str]) -> set[str]:
    """Return those of some flags that are built-in options: one of the experiment's may have it."""
    from sacred.core.options import default_options

    built_in = default_options()
    found = {option.get_flag() for option in experiment.all_cli_options if option in built_in}
    return found.intersection(flags)


def _is_masked(value: Any) -> bool:
    """Tell whether a value was recorded without a secret that it had."""
    if isinstance(value, str):
        return is_masked(value)
    if isinstance(value, dict):
        return any(map(_is_masked, (*value, *value.values())))
    return isinstance(value, (list, tuple, set, frozenset)) and any(map(_is_masked, value))


def _without_secrets(
    config: Mapping[str, Any], above: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Leave out the entries that were recorded without a secret, and return where they are.

    The program has to give them again: it would work with what stands in the record, else.
    """
    kept: dict[str, Any] = {}
    left_out: list[tuple[str, ...]] = []
    for name, value in config.items():
        if _is_masked(name):
            continue  # it would be an entry besides the program's; another one is warned of
        if isinstance(value, dict) and _is_masked(value):
            kept[name], within = _without_secrets(value, (*above, name))
            left_out += within
        elif _is_masked(value):
            left_out.append((*above, name))
        else:
            kept[name] = value
    return kept, left_out


def _check_secret(path: tuple[str, ...], recorded: Any, run: Run) -> None:
    """See that the program gives an entry as it was, as far as the record tells."""
    now: Any = run.config
    for name in path:
        recorded = recorded[name]
        now = now.get(name) if isinstance(now, dict) else None
    if not _is_same(recorded, _as_if_recorded(now)):
        raise ResumeError(
            f"the entry {'.'.join(map(str, path))!r} of the configuration is recorded without its "
            "password, and the program gives another value now: a run with secrets on its command "
            "line can not be run by the record; have the program read them from a file or the "
            "environment"
        )


def _warn_of_other_config(run: Run, record: RecordedRun) -> None:
    """Say which entries of the configuration are not as they were recorded."""
    recorded = live_value(record.start.get("config") or {})
    others = _differing(recorded, _as_if_recorded(run.config))
    if others:
        run.run_logger.warning(
            "The configuration of this run is not the recorded one any more, in: %s",
            ", ".join(others),
        )


def _as_if_recorded(value: Any) -> Any:
    """Return what would be had of a value if it had been recorded.

    A class or an object is only named in a journal, and is no difference to the record, then.
    """
    from sacred.core.recorder import recordable
    from sacred.journal.codec import pack, unpack

    return live_value(unpack(pack(recordable(value))))


def _differing(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*recorded, *now])
    return [
        str(name)
        for name in names
        if name not in recorded or name not in now or not _is_same(recorded[name], now[name])
    ]


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same bit for bit, in whatever order their entries stand."""
    from sacred.journal.codec import pack

    return pack(_in_order(one)) == pack(_in_order(other))


def _in_order(value: Any) -> Any:
    from sacred.journal.codec import pack

    if isinstance(value, dict):
        return dict(sorted(((k, _in_order(v)) for k, v in value.items()), key=lambda i: pack(i[0])))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_in_order, value))
    return value


for _public in (ResumeError, Resumed):
    _public.__module__ = "sacred.run"
