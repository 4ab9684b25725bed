"""The usage and help texts of an experiment's command line, in Sacred's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sacred.core.commandline import Option

__all__ = ["first_docstring_line", "format_usage", "printable_usage"]

_FLAG_WIDTH = 28
_LINE_WIDTH = 79

_PATTERNS = """\
Usage:
  {program} [(with UPDATE...)] [options]
  {program} help [COMMAND]
  {program} (-h | --help)
  {program} COMMAND [(with UPDATE...)] [options]"""


def format_usage(
    program_name: str,
    description: str | None,
    commands: Mapping[str, Any] | None = None,
    options: Iterable[Option] = (),
) -> str:
    """Return the whole usage text.

    Parameters
    ----------
    program_name
        The name shown before each form; quoted when a shell would need that.
    description
        What the experiment is, usually the docstring of its module.
    commands
        The commands by name, in the order to show.
    options
        The options, in the order to show.
    """
    import shlex

    options = list(options)
    usage = _PATTERNS.format(program=shlex.quote(program_name))
    flags = "".join(f"{line}\n" for option in options for line in _option_lines(option))
    arguments = "".join(f"{line}\n" for line in _argument_lines(options))
    text = (
        f"{usage}\n\n{(description or '').strip()}\n\n"
        f"Options:\n{flags}\n\nArguments:\n{arguments}\n"
    )
    if commands:
        text += f"\nCommands:\n{_command_lines(commands)}"
    return text


def printable_usage(doc: str) -> str:
    """Return the first paragraph of a usage text: the forms without the explanations."""
    return doc.split("\n\n", 1)[0]


def first_docstring_line(function: Any) -> str:
    """Return the first line of a function's docstring, or an empty text."""
    doc = (getattr(function, "__doc__", None) or "").strip()
    return doc.split("\n", 1)[0]


def _option_lines(option: Option) -> list[str]:
    short, long = option.get_flags()
    if option.arg is None:
        flags = f"{short} {long}".lstrip()
    else:
        flags = f"{short} {option.arg} {long}={option.arg}" if short else f"{long}={option.arg}"
    text = " ".join(line.strip() for line in option.get_description().strip().split("\n"))
    return _wrap(f"  {flags:<{_FLAG_WIDTH}}  ", text, " " * (_FLAG_WIDTH + 4))


def _argument_lines(options: Iterable[Option]) -> list[str]:
    described = {
        "COMMAND": "The command to run (see the list below)",
        "UPDATE": "An assignment like a.b=17, a named configuration or a file",
    }
    for option in options:
        if option.arg and option.arg_description:
            described[option.arg] = option.arg_description
    return [
        line for name, text in described.items() for line in _wrap(f"  {name:<8}  ", text, " " * 12)
    ]


def _command_lines(commands: Mapping[str, Any]) -> str:
    width = max(map(len, commands))
    return "".join(
        f"  {name:<{width}}  {first_docstring_line(function)}\n"
        for name, function in commands.items()
    )


def _wrap(head: str, text: str, indent: str) -> list[str]:
    import textwrap

    # The text keeps its column also beside flags that are too long for theirs.
    lines = textwrap.wrap(text, width=_LINE_WIDTH - len(indent)) or [""]
    return [head + lines[0], *(indent + line for line in lines[1:])]
