"""The options of an experiment's command line, and the way to add one's own.

An option is a function of two arguments: the value that was given (True for a flag) and the run,
which exists but has not started. It changes the run; what it returns is ignored. Options are
applied in the order of their functions' names, then those of the experiment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.commandline import CommandLineError, gives_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "CLIOption",
    "CommandLineOption",
    "cli_option",
    "default_options",
    "gather_options",
    "get_name",
]


class CLIOption:
    """One option of the command line; made by :func:`cli_option`.

    Attributes
    ----------
    apply_function
        The function behind the option.
    short_flag, long_flag
        The two spellings. The long one is the key in ``options``.
    is_flag
        True when the option takes no value.
    arg
        The word that stands for the value in the usage text; None for a flag.
    arg_description
        What the usage text says about that word; empty to say nothing.
    gives_way
        True for options that Sacred does not have: an option of the experiment may take their
        flags, and they do not count where the beginning of a flag fits another one.
    refuses_empty
        True for options that are applied, and raise, where their value is an empty text; for others
        that is as if they were not given.
    """

    def __init__(
        self,
        apply_function: Callable[[Any, Any], Any],
        short_flag: str,
        long_flag: str,
        is_flag: bool,
    ) -> None:
        self.apply_function = apply_function
        self.short_flag = short_flag
        self.long_flag = long_flag
        self.is_flag = is_flag
        self.arg: str | None = None if is_flag else "VALUE"
        self.arg_description: str | None = ""
        self.gives_way = False
        self.refuses_empty = False
        self.__doc__ = apply_function.__doc__

    def __repr__(self) -> str:
        return f"<CLIOption {self.short_flag} {self.long_flag}>"

    def get_name(self) -> str:
        """Return the name of the function, which decides the order of application."""
        return self.apply_function.__name__

    def get_flag(self) -> str:
        """Return the long flag."""
        return self.long_flag

    def get_short_flag(self) -> str:
        """Return the short flag."""
        return self.short_flag

    def get_flags(self) -> tuple[str, str]:
        """Return the short and the long flag."""
        return self.short_flag, self.long_flag

    def get_description(self) -> str:
        """Return the help text: the docstring of the function."""
        return self.apply_function.__doc__ or ""

    def apply(self, args: Any, run: Any) -> None:
        """Change the run as the option says.

        Raises
        ------
        InvalidArgumentError
            The function does not take the value and the run. It is a ``TypeError``.
        """
        try:
            self.apply_function(args, run)
        except TypeError as error:
            trace = error.__traceback__
            if trace is not None and trace.tb_next is None:  # it was not even called
                from sacred.core.arguments import InvalidArgumentError

                raise InvalidArgumentError(
                    f"The function of the option {self.long_flag} can not be called with the value "
                    f"and the run ({error}): write def {self.get_name()}(args, run)."
                ) from None
            raise

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function: its name stands for the option now."""
        return self.apply_function(*args, **kwargs)


def cli_option(
    short_flag: str, long_flag: str, is_flag: bool = False
) -> Callable[[Callable[[Any, Any], Any]], CLIOption]:
    """Make an option of the command line from a function ``f(args, run)``.

    Parameters
    ----------
    short_flag
        One dash and one letter, digit or underscore.
    long_flag
        Two dashes and at least two letters, digits, dashes or underscores.
    is_flag
        True when the option takes no value; ``args`` is then True.

    Raises
    ------
    ValueError
        If a flag is malformed.

    Examples
    --------
    >>> @cli_option("-o", "--own-flag", is_flag=True)
    ... def own_flag(args, run):
    ...     "What the option does, shown by --help."
    ...     run.info["own"] = args
    """
    if not (
        isinstance(short_flag, str)
        and len(short_flag) == 2
        and short_flag[0] == "-"
        and _is_word(short_flag[1])
    ):
        raise ValueError(
            f'Short flag malformed: "{short_flag}". A correct short flag looks like "-j".'
        )
    name = long_flag[2:] if isinstance(long_flag, str) else ""
    if not (
        name
        and long_flag.startswith("--")
        and len(name) > 1
        and _is_word(name[-1])
        and all(letter == "-" or _is_word(letter) for letter in name)
    ):
        raise ValueError(
            f'Long flag malformed: "{long_flag}". A correct long flag looks like "--my-flag".'
        )

    def make_option(function: Callable[[Any, Any], Any]) -> CLIOption:
        if not callable(function):
            from sacred.core.arguments import InvalidArgumentError

            raise InvalidArgumentError(
                f'cli_option("{short_flag}", "{long_flag}") decorates a function of (args, run), '
                f"not {function!r}."
            )
        return CLIOption(function, short_flag, long_flag, is_flag)

    return make_option


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


class CommandLineOption:
    """Base of options in their old form, a class each. Deprecated: use :func:`cli_option`.

    Every subclass in the process becomes an option of every experiment. The long flag is the
    class's name in snake case without ``Option``, the short one its first letter unless
    ``short_flag`` says other; ``arg`` names the value (None: a flag); the docstring is the help
    text; ``apply(args, run)`` does the work.
    """

    _enabled = True
    short_flag: str | None = None
    arg: str | None = None
    arg_description: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        import warnings

        super().__init_subclass__(**kwargs)
        warnings.warn(
            f"Subclassing CommandLineOption ({cls.__name__}) is deprecated. "
            "Decorate a function with `sacred.cli_option` and pass it to the experiment as "
            "`additional_cli_options=[...]`.",
            DeprecationWarning,
            stacklevel=2,
        )

    @classmethod
    def get_name(cls) -> str:
        """Return the class's name, which decides the order of application."""
        return cls.__name__

    @classmethod
    def get_flag(cls) -> str:
        """Return the long flag."""
        return "--" + _snake_case(cls.__name__.removesuffix("Option"))

    @classmethod
    def get_short_flag(cls) -> str:
        """Return the short flag."""
        return "-" + (cls.get_flag()[2] if cls.short_flag is None else cls.short_flag)

    @classmethod
    def get_flags(cls) -> tuple[str, str]:
        """Return the short and the long flag."""
        return cls.get_short_flag(), cls.get_flag()

    @classmethod
    def get_description(cls) -> str:
        """Return the help text: the docstring of the class."""
        return cls.__doc__ or ""

    @classmethod
    def apply(cls, args: Any, run: Any) -> None:
        """Change the run as the option says."""


def _snake_case(name: str) -> str:
    import re

    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def get_name(option: Any) -> str:
    """Return the name by which an option of either form is ordered."""
    return str(option.get_name())


def gather_options(additional: Iterable[Any] = ()) -> list[Any]:
    """Return all options of an experiment, in the order of application and of the usage text.

    Parameters
    ----------
    additional
        The experiment's own options, which come last in the order given.
    """
    legacy = sorted(_all_subclasses(CommandLineOption), key=get_name)
    enabled = [option for option in legacy if option._enabled or _shows_disabled()]
    return [*enabled, *default_options(), *additional]


def without_those_that_give_way(options: list[Any]) -> list[Any]:
    """Leave out the options of ours whose long flag an option of the experiment has.

    Whoever wrote an experiment for Sacred could not know of them.
    """
    strong = {option.get_flag() for option in options if not gives_way(option)}
    return [option for option in options if not (gives_way(option) and option.get_flag() in strong)]


def _all_subclasses(base: type[CommandLineOption]) -> list[type[CommandLineOption]]:
    found: dict[type[CommandLineOption], None] = {}
    for subclass in base.__subclasses__():
        found[subclass] = None
        found.update(dict.fromkeys(_all_subclasses(subclass)))
    return list(found)


def _shows_disabled() -> bool:
    from sacred.core.settings import SETTINGS

    return bool(SETTINGS.COMMAND_LINE.SHOW_DISABLED_OPTIONS)


# -- options of the run ---------------------------------------------------------------------------


@cli_option("-b", "--beat-interval")
def beat_interval_option(args: Any, run: Any) -> None:
    """Set the seconds between two heartbeats of this run."""
    run.beat_interval = _number("-b/--beat-interval", args)


@cli_option("-C", "--capture")
def capture_option(args: Any, run: Any) -> None:
    """Choose how to capture what is printed.

    The value is one of [no, sys, fd].
    """
    from sacred.core.output_capture import check_capture_mode

    run.capture_mode = check_capture_mode(args)


def color_option(args: Any, run: Any) -> None:
    """Colour what commands print: auto, always or never.

    auto, the default, does on a terminal and in a notebook, unless $NO_COLOR is set.
    """
    from sacred.core.colour import check_colour

    run.color = check_colour(args)


#: Without a short flag: those that are left belong to people's own options.
_COLOR = CLIOption(color_option, "", "--color", is_flag=False)
_COLOR.gives_way = True


@cli_option("-c", "--comment")
def comment_option(args: Any, run: Any) -> None:
    """Record a comment with this run."""
    run.meta_info["comment"] = args


@cli_option("-d", "--debug", is_flag=True)
def debug_option(_args: Any, run: Any) -> None:
    """Debug this run.

    Does not warn about missing observers, shows stack traces whole and raises exceptions again, so
    that debuggers can stop at them.
    """
    run.debug = True


@cli_option("-e", "--enforce_clean", is_flag=True)
def enforce_clean_option(_args: Any, run: Any) -> None:
    """Fail if a git repository that sources are in has changes, or if there is none."""
    from sacred.core.dependencies import check_clean_repositories

    check_clean_repositories(run.experiment_info)


@cli_option("-f", "--force", is_flag=True)
def force_option(_args: Any, run: Any) -> None:
    """Do not warn about suspicious changes of the configuration."""
    run.force = True


@cli_option("-h", "--help", is_flag=True)
def help_option(_args: Any, _run: Any) -> None:
    """Print this help message and exit."""


@cli_option("-i", "--id")
def id_option(args: Any, run: Any) -> None:
    """Give this run an id."""
    text = str(args)
    if not text.strip(".") or any(c in "/\\" or not c.isprintable() for c in text):
        raise CommandLineError(
            f"{text!r} can not be the id of a run: it would not be safe as the name of a folder. "
            "Use letters, digits, dashes and underscores."
        )
    run._id = args


@cli_option("-J", "--journal")
def journal_option(args: Any, run: Any) -> None:
    """Keep the journals of all runs in this folder.

    Default: $SACRED_JOURNAL_ROOT, else ./sacred_runs
    """
    import os

    if not str(args).strip():
        raise CommandLineError("-J needs a folder, and was given an empty text: write -J DIR.")
    run.journal_root = os.path.abspath(args)


journal_option.gives_way = True
journal_option.refuses_empty = True


@cli_option("-l", "--loglevel")
def loglevel_option(args: Any, run: Any) -> None:
    """Set the log level.

    Either a number from 0 to 50 or a name: DEBUG (10), INFO (20), WARNING (30), ERROR (40),
    CRITICAL (50)
    """
    set_log_level(run.root_logger, args)


def set_log_level(logger: Any, level: int | str) -> None:
    """Set the level of a logger, a number or a name.

    Raises
    ------
    CommandLineError
        If there is no such level.
    """
    try:
        wanted: int | str = int(level)
    except (TypeError, ValueError):
        wanted = str(level).upper()
    try:
        logger.setLevel(wanted)
    except ValueError as error:
        raise CommandLineError(
            f'Unknown log level "{level}". Use a number or one of DEBUG, INFO, WARNING, ERROR, '
            "CRITICAL."
        ) from error


@cli_option("-n", "--name")
def name_option(args: Any, run: Any) -> None:
    """Record this run under another name of the experiment."""
    if not isinstance(args, str):
        raise CommandLineError(f"The name of -n/--name is {args!r}: give a text.")
    run.experiment_info["name"] = args
    run.run_logger = run.root_logger.getChild(args)


@cli_option("-D", "--pdb", is_flag=True)
def pdb_option(_args: Any, run: Any) -> None:
    """Enter the debugger pdb when the run fails."""
    run.pdb = True


@cli_option("-p", "--print-config", is_flag=True)
def print_config_option(_args: Any, run: Any) -> None:
    """Print the configuration first."""
    from sacred.core import commands

    commands.print_config(run)
    print("-" * 79)


@cli_option("-P", "--priority")
def priority_option(args: Any, run: Any) -> None:
    """Set the priority of a queued run, a number."""
    run.meta_info["priority"] = _number("-P/--priority", args)


@cli_option("-q", "--queue", is_flag=True)
def queue_option(_args: Any, run: Any) -> None:
    """Only queue this run, do not start it."""
    run.queue_only = True


@cli_option("-R", "--resume")
def resume_option(_args: Any, _run: Any) -> None:
    """Go on with this run, which died, was interrupted or failed.

    Its number, last or id:X. It keeps its id and configuration. With --force also one of another
    machine, unseen if it lives.
    """


resume_option.gives_way = True


@cli_option("-u", "--unobserved", is_flag=True)
def unobserved_option(_args: Any, run: Any) -> None:
    """Ignore all observers and record nothing."""
    run.unobserved = True


def _number(flags: str, args: Any) -> float:
    try:
        return float(args)
    except (TypeError, ValueError) as error:
        raise CommandLineError(f'The value of {flags} must be a number, not "{args}".') from error


def default_options() -> tuple[CLIOption, ...]:
    """Return the built-in options, in the order of application."""
    # The options that declare views are made with this module's decorator, so they can only be
    # collected once this module is complete; and most programs never parse a command line.
    from sacred.core import view_options

    run_options = [value for value in globals().values() if isinstance(value, CLIOption)]
    return tuple(sorted([*run_options, *view_options.VIEW_OPTIONS], key=get_name))


def __getattr__(name: str) -> Any:
    if name == "DEFAULT_OPTIONS":
        return default_options()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


for _public in (CLIOption, CommandLineOption):
    _public.__module__ = "sacred.commandline_options"
