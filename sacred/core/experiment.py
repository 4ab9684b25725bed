"""Experiment: what a script builds, decorates and runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from sacred.core.facts import LateDict
from sacred.core.ingredient import Ingredient
from sacred.core.loading import note_made, program_facts, stop_at_run
from sacred.core.notebook import is_typed
from sacred.core.redefinition import place
from sacred.core.uncollected import Uncollected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO, ParamSpec, TypeVar

    from sacred.core.config.captured_function import CapturedFunction
    from sacred.core.host_info import HostInfoGetter
    from sacred.core.options import CLIOption
    from sacred.core.run import Run

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _Function = TypeVar("_Function", bound=Callable[..., Any])

__all__ = ["Experiment", "gather_command_line_options"]


class Experiment(Ingredient):
    """The central object: it has the configuration, the commands, the observers, and starts runs.

    Parameters
    ----------
    name
        Its name; that of the file it is built in by default.
    ingredients
        Parts with a configuration of their own.
    interactive
        True allows one without a file, in a notebook or at the prompt. In IPython and notebooks
        the cells that were run are its source; what is typed elsewhere can not be recorded.
    base_dir
        The folder that sources lie below; that of the file by default.
    additional_host_info
        Facts to record beside the built-in ones: a list of what ``sacred.host_info_gatherer``
        makes, or a dictionary of their names and functions.
    additional_cli_options
        Options of one's own; see ``sacred.cli_option``.
    save_git_info
        False leaves git alone.

    Attributes
    ----------
    observers
        Whoever is to know of the runs: views (``MongoObserver(...)``) and observers of one's own.
    current_run
        The last run that was begun.
    captured_out_filter
        Takes the printed text and returns what is to be recorded of it.
    """

    def __init__(
        self,
        name: str | None = None,
        ingredients: Sequence[Ingredient] = (),
        interactive: bool = False,
        base_dir: str | os.PathLike[str] | None = None,
        additional_host_info: Sequence[HostInfoGetter]
        | Mapping[str, Callable[[], Any]]
        | None = None,
        additional_cli_options: Sequence[CLIOption] | None = None,
        save_git_info: bool = True,
        _caller_globals: dict[str, Any] | None = None,
    ) -> None:
        caller_globals = _caller_globals or sys._getframe(1).f_globals
        if name is None:
            name = _name_of(caller_globals, interactive)
        super().__init__(
            path=name,
            ingredients=ingredients,
            interactive=interactive,
            base_dir=base_dir,
            _caller_globals=caller_globals,
            save_git_info=save_git_info,
        )
        self.default_command: str | None = None
        self.observers: list[Any] = []
        self.current_run: Run | None = None
        self.captured_out_filter: Callable[[str], str] | None = None
        self.option_hooks: list[Callable[..., Any]] = []
        self.additional_host_info: list[HostInfoGetter] = []
        self.additional_cli_options: list[CLIOption] = []
        if additional_cli_options:
            from sacred.core.arguments import checked_options

            self.additional_cli_options = checked_options(additional_cli_options)
        if additional_host_info:
            from sacred.core.host_info import check_additional_host_info, getters_of

            self.additional_host_info = getters_of(additional_host_info)
            check_additional_host_info(self.additional_host_info)
        from sacred.core import commands

        self.command(commands.print_config, unobserved=True)
        self.command(commands.print_dependencies, unobserved=True)
        self.command(commands.save_config, unobserved=True)
        self.command(commands.print_named_configs(self), unobserved=True)
        note_made(self)

    @property
    def all_cli_options(self) -> list[Any]:
        """All options of the command line, in the order in which they are applied."""
        from sacred.core.options import without_those_that_give_way

        own: list[Any] = []
        if self.additional_cli_options:  # it may have been added to
            from sacred.core.arguments import checked_options

            own = checked_options(self.additional_cli_options)
        return without_those_that_give_way(gather_command_line_options() + own)

    # -- decorators ------------------------------------------------------------------------------

    def main(self, function: Callable[_P, _R]) -> CapturedFunction[_P, _R]:
        """Make a function the default command."""
        captured = self.command(function)
        self.default_command = captured.__name__
        return captured

    def automain(self, function: Callable[_P, _R]) -> CapturedFunction[_P, _R]:
        """Make a function the default command, and run it if its file is the program.

        It has to stand at the end of the file: what comes after it is not defined yet when it
        runs.

        Raises
        ------
        RuntimeError
            In a notebook or at the prompt, where nothing is the program.
        """
        captured = self.main(function)
        if function.__module__ == "__main__":
            if is_typed(function):
                raise RuntimeError(
                    "Cannot use @ex.automain decorator in interactive mode. "
                    "Decorate with @ex.main and call ex.run()."
                )
            self.run_commandline()
        return captured

    def option_hook(self, function: _Function) -> _Function:
        """Have a function called with ``options``, which it may change, before a run is built.

        Raises
        ------
        KeyError
            The function has no parameter ``options``.
        """
        from sacred.core.config.signature import get_argspec

        names = get_argspec(function)[0]
        if "options" not in names:
            raise KeyError(
                "option_hook functions must have an argument called 'options', "
                f"but got {tuple(names)}"
            )
        place(self.option_hooks, function)
        return function

    # -- running ---------------------------------------------------------------------------------

    def run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        resume: int | str | None = None,
    ) -> Run:
        """Run a command, or go on with a run.

        Parameters
        ----------
        command_name
            Which; the default command if it is left out.
        config_updates
            Entries to set, nested or with dotted names; they win over everything.
        named_configs
            Names of configurations, or of files with one, in the order in which they apply.
        info
            First entries of ``_run.info``.
        meta_info
            Entries of one's own for ``_run.meta_info``.
        options
            Options of the command line by their long flags, such as ``{"--force": True}``, in
            either spelling (``--beat-interval``, ``--beat_interval``). One that the experiment does
            not have is ignored, and a warning names it.
        resume
            A run that died, was interrupted or failed, to go on with: its number in the root, or
            ``"last"``, ``"id:X"``, a path. It keeps its id, command and configuration;
            ``_run.resumed`` tells what it had. Also one that was queued in a notebook, which
            nothing else can begin.

        Returns
        -------
        Run
            The run, ended.

        Raises
        ------
        ResumeError, JournalBusyError
            The run can not be gone on with, or another process has it.
        Exception
            Whatever the command raises.
        """
        stop_at_run(self)
        arguments = (command_name, config_updates, named_configs, info, meta_info, options)
        # By name, and only where there is one: people's own `_create_run` may be one of Sacred's.
        more: dict[str, Any] = {} if resume is None else {"resume": resume}
        run = self._create_run(*arguments, **more)
        run()
        return run

    async def run_async(self, *args: Any, **kwargs: Any) -> Run:
        """Run a command while other tasks of the event loop go on; otherwise as ``run``.

        A command that is ``async`` runs in the loop, so that several runs can take turns in it::

            await asyncio.gather(*(ex.run_async(config_updates=c) for c in configurations))

        Another one runs in a thread. (``ex.run()`` of an ``async`` command makes a loop of its own.)

        Raises
        ------
        asyncio.CancelledError
            It was cancelled; the run has ended as INTERRUPTED then.
        Exception
            Whatever the command raises.
        """
        from sacred.core.async_main import run_in_loop

        return await run_in_loop(lambda: self.run(*args, **kwargs))

    def run_command(
        self,
        command_name: str,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        args: Sequence[Any] = (),
        meta_info: dict[str, Any] | None = None,
    ) -> Run:
        """Run a command with positional arguments; otherwise as ``run``."""
        stop_at_run(self)
        from sacred.core.run_arguments import positional_arguments

        args = positional_arguments(args)
        run = self._create_run(command_name, config_updates, named_configs, None, meta_info)
        run(*args)
        return run

    def run_commandline(self, argv: str | Sequence[str] | None = None) -> Run | None:
        """Run as the words of a command line say.

        Parameters
        ----------
        argv
            The words, the first of which (the program) is dropped; or one text with them; or None
            for those of this process.

        Returns
        -------
        Run
            The run, ended.

        Raises
        ------
        SystemExit
            With status 0 after help, 1 after an error that was printed.
        """
        stop_at_run(self)
        with Uncollected():
            from sacred.core import commandline

        words = _words(argv)
        try:
            parsed = commandline.parse_arguments(words, self.all_cli_options)
        except commandline.CommandLineError as error:
            self._exit_with(error)
        command = parsed.command
        if command is not None and command not in self._commands_by_name():
            message = commandline.unknown_command_message(command, self._commands_by_name())
            print(self._short_usage())
            print(f"Error: {message}")
            sys.exit(1)
        if parsed.wants_help:
            self._print_help(command)
            sys.exit(0)
        resumes = bool(parsed.options.get("--resume")) and self._knows_resume()
        if command is None and self.default_command is None and not resumes:
            print(self._short_usage())
            print(
                "Error: No command found to be run. Specify a command or define a main function. "
                f"Available commands are: {', '.join(self._commands_by_name())}"
            )
            sys.exit(1)
        # The run of an earlier call must not decide how errors of this one are shown.
        self.current_run = None
        try:
            if parsed.named_configs:
                from sacred.core.config.config_files import refuse_typed_pickles

                refuse_typed_pickles(parsed.named_configs)
            return self.run(
                command, parsed.config_updates, parsed.named_configs, {}, {}, parsed.options
            )
        except Exception as error:  # a program ends here
            if parsed.options.get("--debug") or (self.current_run and self.current_run.debug):
                raise
            self._end_program(error)

    def _end_program(self, error: Exception) -> NoReturn:
        """End the program by an error that is being handled, as the options of the run say."""
        if self.current_run is not None and self.current_run.pdb:
            _debug_post_mortem()
            sys.exit(1)
        self._exit_with(error)

    def _exit_with(self, error: Exception) -> NoReturn:
        """Print an error as the user wants to see it, and end the program."""
        try:
            from sacred.core.errors import SacredError
            from sacred.core.passwords import mask_password
            from sacred.core.tracebacks import format_filtered_stacktrace, format_sacred_error
            from sacred.journal.errors import JournalError
        except Exception:  # no descriptor is left to read them by: Python shows it
            can_show = False
        else:
            can_show = True
        if not can_show:
            raise error
        if isinstance(error, JournalError):
            text = f"Error: {error.args[-1] if error.args else error}"
        elif not isinstance(error, SacredError):
            text = format_filtered_stacktrace()
        elif error.print_traceback or not _is_only_here(error):
            text = format_sacred_error(error, self._short_usage() if error.print_usage else "")
        else:
            # Its sentence is all there is to say.
            text = f"{self._short_usage()}\n" if error.print_usage else ""
            text += f"Error: {error}"
        print(mask_password(text), file=sys.stderr)
        ours = isinstance(error, (SacredError, JournalError))
        sys.exit(getattr(error, "exit_code", 1) if ours else 1)

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        resume: int | str | None = None,
    ) -> Run:
        from sacred.core.run_arguments import (
            by_flags,
            entries_of,
            name_of_command,
            names_of_configs,
            tell_unknown_options,
        )

        command_name = name_of_command(command_name)
        known = dict(self.gather_named_configs()) if isinstance(named_configs, str) else ()
        named_configs = names_of_configs(named_configs, known)
        known_options = self.all_cli_options
        options = by_flags(entries_of("options", options), known_options)
        meta_info = entries_of("meta_info", meta_info)
        info = entries_of("info", info)
        asked = options.get("--resume")
        if resume is None and asked and self._knows_resume():
            resume = asked
        if resume is not None:
            from sacred.core.resume import resumed_run

            resumed = resumed_run(
                self,
                resume,
                command_name=command_name,
                config_updates=config_updates,
                named_configs=named_configs,
                info=info,
                meta_info=meta_info,
                options=options,
            )
            tell_unknown_options(options, known_options, resumed.run_logger)
            return resumed
        with Uncollected():
            from sacred.core.initialize import create_run

        command = command_name or self.default_command
        if command is None:
            raise RuntimeError(
                "No command found to be run. Specify a command or define a main function."
            )
        chosen = self.get_default_options()
        chosen.update(options)
        for hook in self.option_hooks:
            hook(options=chosen)
        chosen = by_flags(chosen, known_options)
        run = create_run(
            self,
            command,
            config_updates,
            named_configs=named_configs,
            force=bool(chosen.get("--force")),
            log_level=chosen.get("--loglevel"),
            origin="on the command line" if chosen.get("UPDATE") else None,
        )
        run.info.update(info)
        run.meta_info["command"] = command
        run.meta_info["options"] = chosen
        run.meta_info["named_configs"] = named_configs
        if config_updates is not None:
            run.meta_info["config_updates"] = config_updates
        run.meta_info.update(meta_info)
        tell_unknown_options(chosen, known_options, run.run_logger)
        for option in known_options:
            value = chosen.get(option.get_flag())
            # Zero is a value (`--beat-interval 0`). An empty text, as an empty variable of a shell
            # gives it, is none, but where a run would go unrecorded by it.
            is_zero = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value or is_zero or (value == "" and getattr(option, "refuses_empty", False)):
                option.apply(value, run)
        run._program = program_facts(self)
        run.experiment_path = self.path
        self.current_run = run
        return run

    def _knows_resume(self) -> bool:
        """Tell whether ``--resume`` is ours: an experiment may have an option of its own so called."""
        from sacred.core.options import resume_option

        return resume_option in self.all_cli_options

    # -- while a run goes on ---------------------------------------------------------------------

    @property
    def info(self) -> dict[str, Any]:
        """``info`` of the last run."""
        return self._last_run().info

    def log_scalar(self, name: str, value: float, step: float | None = None) -> None:
        """Record a value of a metric of the run; see ``Run.log_scalar``."""
        self._last_run().log_scalar(name, value, step)

    def log_text(self, name: str, text: str, step: float | None = None) -> None:
        """Record a text; see ``Run.log_text``."""
        self._last_run().log_text(name, text, step)

    def log_dict(self, name: str, value: Any, step: float | None = None) -> None:
        """Record a dictionary or list; see ``Run.log_dict``."""
        self._last_run().log_dict(name, value, step)

    def log_image(
        self, name: str, image: Any, step: float | None = None, caption: str | None = None
    ) -> None:
        """Record a picture; see ``Run.log_image``."""
        self._last_run().log_image(name, image, step, caption)

    def log_array(self, name: str, array: Any, step: float | None = None) -> None:
        """Record an array of numbers; see ``Run.log_array``."""
        self._last_run().log_array(name, array, step)

    def log_histogram(
        self,
        name: str,
        values: Any,
        step: float | None = None,
        bins: int | Sequence[float] = 64,
    ) -> None:
        """Record how numbers are spread; see ``Run.log_histogram``."""
        self._last_run().log_histogram(name, values, step, bins)

    def open_resource(self, filename: str | os.PathLike[str], mode: str = "r") -> IO[Any]:
        """Record a file as a resource of the run, and open it; see ``Run.open_resource``."""
        return self._run_of_now().open_resource(filename, mode)

    def add_resource(self, filename: str | os.PathLike[str]) -> None:
        """Record a file that the run needs; see ``Run.add_resource``."""
        self._run_of_now().add_resource(filename)

    def add_artifact(
        self,
        filename: str | os.PathLike[str] | IO[Any],
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Record a file that the run made; see ``Run.add_artifact``."""
        self._run_of_now().add_artifact(filename, name, metadata, content_type)

    def _last_run(self) -> Run:
        run = self._active_run() or self.current_run
        if run is None:
            raise AttributeError("There is no run yet: this can only be used during a run.")
        return run

    def _run_of_now(self) -> Run:
        run = self._active_run() or self.current_run
        if run is None:
            # The class that people's code catches here.
            raise AssertionError("Can only be called during a run.")
        return run

    def _active_run(self) -> Run | None:
        """Return the run of this experiment that the caller is in: there may be several at once."""
        from sacred.core.run_scope import active_run

        run: Run | None = active_run(self.path)
        return run

    # -- what there is ---------------------------------------------------------------------------

    def get_default_options(self) -> dict[str, Any]:
        """Return every option by its long flag, as if none was given."""
        from sacred.core.commandline import default_values

        return default_values(self.all_cli_options)

    def get_usage(self, program_name: str | None = None) -> tuple[str, str, str]:
        """Return the forms of the command line, the whole usage text, and the latter once more.

        Parameters
        ----------
        program_name
            Made relative to the base folder; that of this process by default.
        """
        from sacred.core.usage import format_usage, printable_usage

        program = os.path.relpath(program_name or sys.argv[0] or "Dummy", self.base_dir)
        usage = format_usage(program, self.doc, self._commands_by_name(), self.all_cli_options)
        return printable_usage(usage), usage, usage

    def _short_usage(self) -> str:
        return self.get_usage()[0]

    def _commands_by_name(self) -> dict[str, Any]:
        return dict(self.gather_commands())

    def _print_help(self, command: str | None) -> None:
        if command is None:
            print(self.get_usage()[1])
            return
        from sacred.core.commands import help_for_command

        print(help_for_command(self._commands_by_name()[command]))

    def post_process_name(self, name: str, ingredient: Ingredient) -> str:
        """Return a command's name without the experiment's own path."""
        if ingredient == self:
            return name[len(self.path) + 1 :]
        return name

    def get_experiment_info(self) -> dict[str, Any]:
        """Return what the experiment is made of.

        Returns
        -------
        dict
            ``name``, ``base_dir``, ``doc`` and ``mainfile`` at once; ``sources``, ``dependencies``
            and ``repositories`` are found when somebody asks for them.
        """
        find = super().get_experiment_info
        main = self.mainfile
        base = os.path.abspath(self.base_dir)
        known: dict[str, Any] = {
            "name": self.path,
            "base_dir": base,
            "mainfile": main.to_json(base)[0] if main is not None else None,
        }
        if self.doc is not None:
            known["doc"] = self.doc
        return LateDict(known, find, ("sources", "dependencies", "repositories"))


def gather_command_line_options(filter_disabled: bool | None = None) -> list[Any]:
    """Return the options that every experiment has, in the order in which they are applied.

    Parameters
    ----------
    filter_disabled
        Whether to leave out options of Sacred's old kind that say they are disabled; by default
        what ``SETTINGS.COMMAND_LINE.SHOW_DISABLED_OPTIONS`` says.
    """
    from sacred.core.options import gather_options

    options = gather_options()
    if not filter_disabled:
        return options
    return [option for option in options if getattr(option, "_enabled", True)]


def _name_of(caller_globals: dict[str, Any], interactive: bool) -> str:
    if interactive:
        raise RuntimeError("name is required in interactive mode.")
    mainfile = caller_globals.get("__file__")
    if mainfile is None:
        raise RuntimeError(
            "No main-file found. Are you running in interactive mode? If so please provide a name "
            "and set interactive=True."
        )
    name = os.path.basename(str(mainfile))
    stem, extension = os.path.splitext(name)
    return stem if extension in (".py", ".pyc") else name


def _words(argv: str | Sequence[str] | None) -> list[str]:
    if argv is None:
        return sys.argv[1:]
    if isinstance(argv, str):
        import shlex

        return shlex.split(argv)[1:]
    if isinstance(argv, (list, tuple)):
        if not all(isinstance(word, str) for word in argv):
            raise ValueError(f"argv must be str or list of str, but was {argv!r}")
        return list(argv[1:])
    raise ValueError(f"argv must be str or list, but was {type(argv)}")


def _debug_post_mortem() -> None:
    import pdb  # noqa: T100 - the user asked for it
    import traceback

    traceback.print_exc()
    pdb.post_mortem()


Experiment.__module__ = "sacred.experiment"


def _is_only_here(error: Exception) -> bool:
    """Tell whether an error is one of ours that Sacred does not have."""
    module = type(error).__module__
    return module.startswith("sacred.") and module not in {"sacred.utils", "sacred.settings"}
