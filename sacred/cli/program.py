"""Which commands there are, and how one ends: with an exit code, and a sentence where it fails."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    INTERRUPTED,
    NOT_LOOKED,
    SETTINGS,
    about_run,
    roots_option,
    version_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["commands_by_section", "main", "replay_main"]


#: The commands as the help lists them: each by the module and the name that it has there. Only the
#: one that was asked for is imported.
_SECTIONS: dict[str, dict[str, str]] = {
    "Look": {
        "ls": "listing:ls",
        "show": "show:show",
        "events": "listing:events",
        "tail": "tail:tail",
    },
    "Compare": {
        "diff": "diff:diff",
        "compare": "compare:compare",
        "plot": "plot:plot",
    },
    "Files": {"artifacts": "files:artifacts", "source": "files:source"},
    "Ask": {"query": "query:query", "sql": "sql:sql"},
    "Run": {"run": "run:run", "rerun": "rerun:rerun"},
    "Annotate": {"tag": "tag:tag", "note": "tag:note"},
    "Keep": {
        "doctor": "doctor:doctor",
        "verify": "maintenance:verify",
        "seal": "maintenance:seal",
        "repair": "maintenance:repair",
        "rm": "rm:rm",
        "gc": "garbage:gc",
    },
    "Exchange": {
        "export": "export:export",
        "import": "importing:import_",
        "merge": "merge:merge",
    },
    "Views": {"replay": "replay:replay", "views": "views:views"},
    "Shell": {"completion": "completion:completion"},
}
_PLACES = {name: place for section in _SECTIONS.values() for name, place in section.items()}


def commands_by_section() -> Iterator[tuple[str, dict[str, click.Command]]]:
    """Yield the commands as the help lists them, with the title of each section.

    All of their modules are imported.
    """
    for title, places in _SECTIONS.items():
        yield title, {name: _command(place) for name, place in places.items()}


def _command(place: str) -> click.Command:
    module, _, name = place.partition(":")
    command: click.Command = getattr(import_module(f"sacred.cli.{module}"), name)
    return command


#: So many new objects are there before Python looks for garbage (700 where nobody says so).
_FEW_COLLECTIONS = 100_000
#: Commands that read, answer and end: what goes on for days would keep its garbage.
_BRIEF = frozenset({"compare", "diff", "ls", "plot", "query", "show"})


class _Group(click.Group):
    """The commands, each imported when it is asked for; it tells which one was meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PLACES:
            return None
        command = _command(_PLACES[cmd_name])
        if ctx.resilient_parsing and ctx.info_name == "sacred" and _asked("sacred"):
            from sacred.cli.candidates import offer_candidates

            return offer_candidates(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _PLACES and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _PLACES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_PLACES)}"
            raise click.UsageError(f"there is no command {args[0][:80]!r}: {hint}")
        if args and args[0] in _BRIEF and "--watch" not in args:
            # What a list of 10,000 runs consists of is there until the end; looked through for
            # garbage as often as Python does, it takes half as long again (300 ms for 200).
            gc.set_threshold(
                *(_FEW_COLLECTIONS if gc.get_threshold()[0] else 0, *gc.get_threshold()[1:])
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        widest = max(map(len, _PLACES))
        room = formatter.width - widest - 6
        for title, commands in commands_by_section():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(widest), command.get_short_help_str(room))
                        for name, command in commands.items()
                    ]
                )


@click.group(cls=_Group, context_settings=SETTINGS)
@roots_option
@version_option
def cli(root: tuple[str, ...]) -> None:
    """Look at the runs of experiments, compare and query them, and bring them into views.

    \b
      sacred ls               all runs
      sacred show last        the last one closely
      sacred tail -f last     what it prints, as it comes
      sacred COMMAND --help   more of a command, with examples

    A RUN is a number, last, last~2 (two before the last), id:X, a path, or how a name begins, if
    one run alone has such a name; NAME~0 is the last of a name.
    """  # noqa: D301 - click's sign


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sacred``.

    Parameters
    ----------
    argv
        Arguments; those of the process if None.

    Returns
    -------
    The exit code. Errors are a sentence on stderr and never raised.
    """
    return _run(cli, "sacred", argv)


def replay_main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sacred-replay``, the same as ``sacred replay``."""
    from sacred.cli.replay import replay

    return _run(replay, "sacred-replay", argv)


def _asked(name: str) -> str | None:
    """Return what a shell asks that completes a line, if one does."""
    return os.environ.get(f"_{name.upper().replace('-', '_')}_COMPLETE")


def _run(command: click.Command, name: str, argv: Sequence[str] | None) -> int:
    asked = _asked(name)
    if asked:
        # A shell asks what may stand at the cursor.
        from click.shell_completion import shell_complete

        if command is not cli:
            from sacred.cli.candidates import offer_candidates

            offer_candidates(command)
        return shell_complete(command, {}, name, f"_{name}_COMPLETE", asked)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments and command is cli:
        arguments = ["--help"]
    for which in ("stdout", "stderr"):
        if getattr(sys, which) is None:  # closed by whoever started the process
            setattr(sys, which, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, which)
        if hasattr(stream, "reconfigure"):
            # What a run printed may not fit the encoding of this terminal.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _invoked(command, name, arguments)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where is not None else name
        print(f"{name}: {_sentence(error)} ({path} --help tells more)", file=sys.stderr)
        return NOT_LOOKED
    except BrokenPipeError:
        # Whoever read had enough; the interpreter must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (KeyboardInterrupt, click.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(name, error)


def _invoked(command: click.Command, name: str, arguments: list[str]) -> int:
    before = gc.get_threshold()
    # Not command.main(): it ends the process itself.
    try:
        with command.make_context(name, arguments) as context:
            code = command.invoke(context)
    except click.exceptions.Exit as stop:  # --help, --version
        return stop.exit_code
    finally:
        gc.set_threshold(*before)
    return code if isinstance(code, int) else 0


def _sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _failed(name: str, error: Exception) -> int:
    """Say what went wrong; an error of our own names itself, another is a defect."""
    from sacred.journal.errors import JournalError

    if os.environ.get("SACRED_DEBUG"):
        import traceback

        traceback.print_exc()
    code = getattr(error, "exit_code", None)
    if isinstance(error, JournalError) or code is not None:
        text = str(error.args[-1]) if error.args else str(error)
        print(f"{name}: {terminal.clean(text)}", file=sys.stderr)
        for line in _candidates(error):
            print(f"  {line}", file=sys.stderr)
        return int(code or DAMAGED)
    if isinstance(error, OSError) and not _here():
        print(f"{name}: this folder was removed: go to another one", file=sys.stderr)
        return NOT_LOOKED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print(f"{name}: {where}{error.strerror or error}", file=sys.stderr)
        return NOT_LOOKED
    lacks = _lacks(error)
    if lacks is not None:
        print(f"{name}: this needs {lacks}", file=sys.stderr)
        return NOT_LOOKED
    text = terminal.clean(f"{type(error).__name__}: {error}")
    print(
        f"{name}: an error in sacred-journal itself, please report it: {text} "
        "(SACRED_DEBUG=1 shows where)",
        file=sys.stderr,
    )
    return DAMAGED


def _candidates(error: Exception) -> Iterator[str]:
    """Yield the runs that may be meant, a line each."""
    from sacred.replayers.run_names import AmbiguousNameError

    if isinstance(error, AmbiguousNameError):
        if error.more:
            yield f"({error.more:,} before these)"
        places = getattr(error, "places", None)  # where they are of several roots
        if places is None:
            yield from map(about_run, error.candidates)
        else:
            for place, found in zip(places, error.candidates, strict=True):
                yield terminal.clean(f"{place}: {about_run(found).partition(': ')[2]}")


def _lacks(error: Exception) -> str | None:
    if not isinstance(error, ImportError):
        return None
    from sacred.replayers.missing_package import how_to_install

    return how_to_install(error)


def _here() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
