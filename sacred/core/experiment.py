"""Experiment: what a script builds, decorates and runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sacred.core.facts import LateDict
from sacred.core.ingredient import Ingredient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from sacred.core.host_info import HostInfoGetter
    from sacred.core.options import CLIOption
    from sacred.core.run import Run

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
        True allows one without a file, in a notebook or at the prompt. Its sources can not be
        recorded.
    base_dir
        The folder that sources lie below; that of the file by default.
    additional_host_info
        Facts to record beside the built-in ones; see ``sacred.host_info_gatherer``.
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
        additional_host_info: Sequence[HostInfoGetter] | None = None,
        additional_cli_options: Sequence[CLIOption] | None = None,
        save_git_info: bool = True,
    ) -> None:
        caller_globals = sys._getframe(1).f_globals
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
        self.additional_host_info = list(additional_host_info or ())
        self.additional_cli_options = list(additional_cli_options or ())
        if self.additional_host_info:
            from sacred.core.host_info import check_additional_host_info

            check_additional_host_info(self.additional_host_info)
        from sacred.core import commands

        self.command(commands.print_config, unobserved=True)
        self.command(commands.print_dependencies, unobserved=True)
        self.command(commands.save_config, unobserved=True)
        self.command(commands.print_named_configs(self), unobserved=True)

    @property
    def all_cli_options(self) -> list[Any]:
        """All options of the command line, in the order in which they are applied."""
        return gather_command_line_options() + list(self.additional_cli_options)

    # -- decorators ------------------------------------------------------------------------------

    def main(self, function: Callable[..., Any]) -> Any:
        """Make a function the default command."""
        captured = self.command(function)
        self.default_command = captured.__name__
        return captured

    def automain(self, function: Callable[..., Any]) -> Any:
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
            if _is_interactive(function):
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
        code = getattr(function, "__code__", None)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        if "options" not in names:
            raise KeyError(
                "option_hook functions must have an argument called 'options', "
                f"but got {tuple(names)}"
            )
        self.option_hooks.append(function)
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
    ) -> Run:
        """Run a command.

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
            Options of the command line by their long flags, such as ``{"--force": True}``.

        Returns
        -------
        Run
            The run, ended.

        Raises
        ------
        Exception
            Whatever the command raises.
        """
        run = self._create_run(
            command_name, config_updates, named_configs, info, meta_info, options
        )
        run()
        return run

    def run_command(
        self,
        command_name: str,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        args: Sequence[Any] = (),
        meta_info: dict[str, Any] | None = None,
    ) -> Run:
        """Run a command with positional arguments; otherwise as ``run``."""
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
        if command is None and self.default_command is None:
            print(self._short_usage())
            print(
                "Error: No command found to be run. Specify a command or define a main function. "
                f"Available commands are: {', '.join(self._commands_by_name())}"
            )
            sys.exit(1)
        # The run of an earlier call must not decide how errors of this one are shown.
        self.current_run = None
        try:
            return self.run(
                command, parsed.config_updates, parsed.named_configs, {}, {}, parsed.options
            )
        except Exception as error:  # a program ends here
            if parsed.options.get("--debug") or (self.current_run and self.current_run.debug):
                raise
            if self.current_run is not None and self.current_run.pdb:
                _debug_post_mortem()
                sys.exit(1)
            self._exit_with(error)

    def _exit_with(self, error: Exception) -> NoReturn:
        """Print an error as the user wants to see it, and end the program."""
        from sacred.core.errors import SacredError
        from sacred.core.tracebacks import format_filtered_stacktrace, format_sacred_error
        from sacred.journal.errors import JournalError

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
        print(text, file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1) if isinstance(error, SacredError) else 1)

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: dict[str, Any] | None = None,
        meta_info: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Run:
        from sacred.core.initialize import create_run

        command = command_name or self.default_command
        if command is None:
            raise RuntimeError(
                "No command found to be run. Specify a command or define a main function."
            )
        chosen = self.get_default_options()
        chosen.update(options or {})
        for hook in self.option_hooks:
            hook(options=chosen)
        run = create_run(
            self,
            command,
            config_updates,
            named_configs=named_configs,
            force=bool(chosen.get("--force")),
            log_level=chosen.get("--loglevel"),
        )
        if info is not None:
            run.info.update(info)
        run.meta_info["command"] = command
        run.meta_info["options"] = chosen
        run.meta_info["named_configs"] = list(named_configs)
        if config_updates is not None:
            run.meta_info["config_updates"] = config_updates
        if meta_info:
            run.meta_info.update(meta_info)
        for option in self.all_cli_options:
            value = chosen.get(option.get_flag())
            # Zero is a value (`--beat-interval 0`), False and None are the lack of one.
            if value is not None and value is not False:
                option.apply(value, run)
        self.current_run = run
        return run

    # -- while a run goes on ---------------------------------------------------------------------

    @property
    def info(self) -> dict[str, Any]:
        """``info`` of the last run."""
        return self._last_run().info

    def log_scalar(self, name: str, value: float, step: float | None = None) -> None:
        """Record a value of a metric of the last run; see ``Run.log_scalar``."""
        self._last_run().log_scalar(name, value, step)

    def open_resource(self, filename: str | os.PathLike[str], mode: str = "r") -> IO[Any]:
        """Record a file as a resource of the run, and open it; see ``Run.open_resource``."""
        return self._run_of_now().open_resource(filename, mode)

    def add_resource(self, filename: str | os.PathLike[str]) -> None:
        """Record a file that the run needs; see ``Run.add_resource``."""
        self._run_of_now().add_resource(filename)

    def add_artifact(
        self,
        filename: str | os.PathLike[str],
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Record a file that the run made; see ``Run.add_artifact``."""
        self._run_of_now().add_artifact(filename, name, metadata, content_type)

    def _last_run(self) -> Run:
        if self.current_run is None:
            raise AttributeError("There is no run yet: this can only be used during a run.")
        return self.current_run

    def _run_of_now(self) -> Run:
        if self.current_run is None:
            # The class that people's code catches here.
            raise AssertionError("Can only be called during a run.")
        return self.current_run

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


def gather_command_line_options() -> list[Any]:
    """Return the options that every experiment has, in the order in which they are applied."""
    from sacred.core.options import gather_options

    return gather_options()


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


def _is_interactive(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    filename = code.co_filename if code is not None else ""
    if filename == "<stdin>" or filename.startswith("<ipython-input-"):
        return True
    # Newer kernels put a cell under the temporary folder, in one that is called after themselves.
    return os.path.basename(os.path.dirname(filename)).startswith("ipykernel_")


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
