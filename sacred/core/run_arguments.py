"""The arguments of ``ex.run`` and its kin: what they may be, and what is said of others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from logging import Logger

    from sacred.core.commandline import Option

__all__ = [
    "RunArgumentError",
    "by_flags",
    "entries_of",
    "name_of_command",
    "names_of_configs",
    "positional_arguments",
    "tell_unknown_options",
]

#: What stands among the options of a run and is a word of the command line's grammar.
_WORDS = frozenset({"COMMAND", "UPDATE", "help", "with"})


class RunArgumentError(SacredError, TypeError):
    """An argument of a run is of a kind that it can not be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, filter_traceback="always")


def name_of_command(command: Any) -> str | None:
    """Return the name of a command as it was given; None for the default one.

    Raises
    ------
    RunArgumentError
        It is no text.
    """
    if not command:
        return None
    if not isinstance(command, str):
        own_name = getattr(command, "__name__", None)
        hint = f': "{own_name}"' if isinstance(own_name, str) else ""
        raise RunArgumentError(f"command_name is {command!r}: give the name of a command{hint}.")
    return command


def names_of_configs(names: Any, known: Iterable[str]) -> list[str]:
    """Return the names of named configurations and files; None stands for none.

    Raises
    ------
    RunArgumentError
        They are no list of texts or paths.
    """
    if names is None:
        return []
    # As Sacred does, a text is taken for the list of its letters, where that can be meant.
    if isinstance(names, str) and not set(names) <= {*known}:
        raise RunArgumentError(
            f"named_configs is the text {names!r}: give a list of names, [{names!r}]."
        )
    try:
        given = list(names)
    except TypeError:
        raise RunArgumentError(
            f"named_configs is {names!r}: give a list of names of configurations or files."
        ) from None
    for name in given:
        if not isinstance(name, (str, os.PathLike)):
            raise RunArgumentError(
                f"{name!r} in named_configs is no name of a configuration, and none of a file."
            )
    return [os.fsdecode(name) for name in given]


def entries_of(argument: str, entries: Any) -> dict[str, Any]:
    """Return what an argument has, a dictionary or pairs; whatever is false has nothing.

    Raises
    ------
    RunArgumentError
        It is neither.
    """
    try:
        return dict(entries or ())
    except (TypeError, ValueError):
        raise RunArgumentError(
            f"{argument} is {entries!r}: give a dictionary, {{'NAME': VALUE}}."
        ) from None


def by_flags(given: Mapping[Any, Any], options: Sequence[Option]) -> dict[Any, Any]:
    """Return options under their long flags, in whichever spelling they were given.

    Sacred's documents and the records of old runs have ``--beat_interval`` where its code has
    ``--beat-interval``, and the other way round.

    Parameters
    ----------
    given
        Values by flags. Of two that are one option, one that asks for something wins, else the
        later.
    options
        Those that the experiment has.
    """
    from sacred.core.commandline import same_flag

    flags = {option.get_flag() for option in options}
    spellings = {same_flag(option.get_flag()): option.get_flag() for option in reversed(options)}
    named: dict[Any, Any] = {}
    for key, value in given.items():
        is_flag = key in flags or not isinstance(key, str)
        flag = key if is_flag else spellings.get(same_flag(key), key)
        if flag not in named or _asks_for_something(value):
            named[flag] = value
    return named


def tell_unknown_options(
    given: Mapping[Any, Any], options: Sequence[Option], logger: Logger
) -> None:
    """Log a warning about each option that the experiment does not have, and that is not off.

    It stops nothing, because it stops nothing in Sacred: a program may give what only some of its
    experiments know.
    """
    from sacred.core.commandline import closest

    flags = {option.get_flag().lstrip("-"): option.get_flag() for option in options}
    shorts = {option.get_flags()[0]: option.get_flag() for option in options}
    known = {*flags.values(), *_WORDS}
    for key, value in given.items():
        if key in known or not _asks_for_something(value):
            continue
        typed = key.lstrip("-") if isinstance(key, str) else ""
        meant = shorts.get(key) or flags.get(closest(typed, list(flags)) or "")
        hint = (
            f'Did you mean "{meant}"?' if meant else "ex.get_default_options() has all there are."
        )
        logger.warning("The option %r of this run is unknown, and ignored. %s", key, hint)


def _asks_for_something(value: Any) -> bool:
    return value is not None and value is not False


def positional_arguments(args: Any) -> tuple[Any, ...]:
    """Return the positional arguments of a command; whatever is false has none.

    Raises
    ------
    RunArgumentError
        They are no list.
    """
    try:
        return tuple(args or ())
    except TypeError:
        raise RunArgumentError(
            f"args is {args!r}: give a list of the command's positional arguments."
        ) from None
