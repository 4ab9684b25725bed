"""The command line of an experiment: ``[COMMAND] [with UPDATE...] [options]``.

The grammar is small and fixed, so it is parsed by hand: that starts faster than any general parser,
allows options anywhere between the other words, and can say what is wrong in one sentence.

Long options may be shortened as long as they stay unique (``--log 30``; those that Sacred does not
have do not count where one that it has fits, so that ``--co`` is ``--comment``), short ones may be joined
(``-ul30``), and ``-`` and ``_`` mean the same inside a long option, because both spellings have
been documented over the years (``--print-config``, ``--print_config``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sacred.core.errors import SacredError
from sacred.core.usage import format_usage, printable_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CommandLine",
    "CommandLineError",
    "Option",
    "closest",
    "default_values",
    "format_usage",
    "get_config_updates",
    "gives_way",
    "parse_arguments",
    "parse_value",
    "printable_usage",
    "same_flag",
    "unknown_command_message",
]


class CommandLineError(SacredError, ValueError):
    """The command line can not be understood; the message says what to do.

    A program that ends with it exits with status 1, as Sacred's do.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False, print_usage=True)


class Option(Protocol):
    """What the parser and the usage text must know of an option."""

    arg: str | None
    arg_description: str | None

    def get_flag(self) -> str:
        """Return the long flag, the key of the option in ``options``."""
        ...

    def get_flags(self) -> tuple[str, str]:
        """Return the short flag, empty where there is none, and the long one."""
        ...

    def get_description(self) -> str:
        """Return the help text."""
        ...


class CommandLine(NamedTuple):
    """What the user asked for.

    Attributes
    ----------
    command
        The name of the command, or None for the default one. After ``help`` and with ``--help``:
        the command to explain, or None for the whole usage.
    updates
        The words after ``with``, as they were typed.
    config_updates
        The assignments among them, nested by their dotted paths.
    named_configs
        The other words: named configurations and files, in the order given.
    options
        Every known option by its long flag, and the four words of the grammar (``COMMAND``,
        ``UPDATE``, ``with``, ``help``): what Sacred records as ``meta_info["options"]``.
    wants_help
        True for ``help``, ``-h`` and ``--help``.
    """

    command: str | None
    updates: tuple[str, ...]
    config_updates: dict[str, Any]
    named_configs: list[str]
    options: dict[str, Any]
    wants_help: bool


def parse_arguments(arguments: Sequence[str], options: Sequence[Option] = ()) -> CommandLine:
    """Parse the words of a command line, without the program's name.

    Parameters
    ----------
    arguments
        The words, as the shell gave them.
    options
        The options to know.

    Raises
    ------
    CommandLineError
        If the words do not fit the grammar.
    """
    table = _FlagTable(options)
    values = default_values(options)
    words = _read_options(arguments, table, values)
    command, updates, has_with, has_help = _read_words(words, help_asked=bool(values.get("--help")))
    values["with"] = has_with
    values["UPDATE"] = list(updates)
    values["help"] = has_help
    values["COMMAND"] = command
    wants_help = has_help or bool(values.get("--help"))
    config_updates: dict[str, Any] = {}
    named_configs: list[str] = []
    if not wants_help:
        config_updates, named_configs = get_config_updates(updates)
    # An empty word, as an empty variable of a shell gives it, is no command.
    return CommandLine(
        command or None, tuple(updates), config_updates, named_configs, values, wants_help
    )


def default_values(options: Iterable[Option]) -> dict[str, Any]:
    """Return the value of every option that was not given: False for flags, else None."""
    return {option.get_flag(): False if option.arg is None else None for option in options}


def unknown_command_message(command: str, available: Iterable[str]) -> str:
    """Return the sentence about a command that the experiment does not have."""
    names = list(available)
    message = f'Command "{command}" not found. Available commands are: {", ".join(names)}'
    close = f"with {command}" if "=" in command else closest(command, names)
    return f'{message}. Did you mean "{close}"?' if close else message


# -- options --------------------------------------------------------------------------------------


class _FlagTable:
    """Finds an option by what was typed."""

    def __init__(self, options: Sequence[Option]) -> None:
        self.shorts: dict[str, list[Option]] = {}
        self.exact: dict[str, Option] = {}
        self.longs: dict[str, Option] = {}
        self._clashing: set[str] = set()
        for option in options:
            short, long = option.get_flags()
            if short:
                self.shorts.setdefault(short, []).append(option)
            # An error when it is typed: old programs have such options and use the short flag.
            if long in self.exact:
                self._clashing.add(long)
            self.exact[long] = option
            # People's own come last: one that is called --beat_interval has that spelling.
            self.longs.setdefault(same_flag(long), option)
        for short, claims in self.shorts.items():
            self.shorts[short] = _those_meant(claims)

    def find_long(self, typed: str) -> Option:
        option = self._found_long(typed)
        if option.get_flag() in self._clashing:
            raise CommandLineError(
                f'Two options are called "{option.get_flag()}". Give one of them another long '
                "flag, or use the short ones."
            )
        return option

    def _found_long(self, typed: str) -> Option:
        key = same_flag(typed)
        exact = self.exact.get(typed) or self.longs.get(key)
        if exact is not None:
            return exact
        matches = _those_meant(
            [option for name, option in self.longs.items() if name.startswith(key)]
        )
        if len(matches) == 1:
            return matches[0]
        if matches:
            flags = ", ".join(sorted(option.get_flag() for option in matches))
            raise CommandLineError(
                f'Option "{typed}" is ambiguous: it could be {flags}. Write more of it.'
            )
        close = closest(key[2:], [name[2:] for name in self.longs])
        hint = f'Did you mean "{self.longs["--" + close].get_flag()}"?' if close else _SEE_HELP
        raise CommandLineError(f'Unknown option "{typed}". {hint}')

    def find_short(self, typed: str) -> Option:
        claims = self.shorts.get(typed, [])
        if len(claims) == 1:
            return claims[0]
        if claims:
            flags = ", ".join(sorted(option.get_flag() for option in claims))
            raise CommandLineError(
                f'Option "{typed}" is claimed by several options: {flags}. Use the long form.'
            )
        other_case = typed.swapcase()
        hint = f'Did you mean "{other_case}"?' if other_case in self.shorts else _SEE_HELP
        raise CommandLineError(f'Unknown option "{typed}". {hint}')


_SEE_HELP = 'Use "--help" to see all options.'


def gives_way(option: Option) -> bool:
    """Tell whether an option is one that Sacred does not have."""
    return bool(getattr(option, "gives_way", False))


def _those_meant(options: list[Option]) -> list[Option]:
    """Return those of some options that what was typed can stand for.

    Options that Sacred does not have give way to those that people wrote for Sacred, and to words
    that they typed for it.
    """
    return [option for option in options if not gives_way(option)] or options


def same_flag(flag: str) -> str:
    """Return what all spellings of a long flag have in common."""
    return flag[:2] + flag[2:].replace("_", "-")


def _read_options(arguments: Sequence[str], table: _FlagTable, values: dict[str, Any]) -> list[str]:
    """Take the options out of the arguments; return the words that are left."""
    words: list[str] = []
    given: set[str] = set()
    rest = list(map(str, arguments))
    rest.reverse()

    def store(option: Option, typed: str, value: str | bool) -> None:
        flag = option.get_flag()
        if flag in given:
            raise CommandLineError(f'Option "{typed}" is given twice. Give it once.')
        given.add(flag)
        values[flag] = value

    def next_value(option: Option, typed: str) -> str:
        if not rest:
            raise CommandLineError(f'Option "{typed}" needs a value, as in "{typed} {option.arg}".')
        return rest.pop()

    while rest:
        word = rest.pop()
        if word == "--":
            words.extend(reversed(rest))
            break
        if word.startswith("--"):
            typed, equals, text = word.partition("=")
            option = table.find_long(typed)
            if option.arg is not None:
                store(option, typed, text if equals else next_value(option, typed))
            elif equals:
                raise CommandLineError(f'Option "{typed}" takes no value. Leave out "={text}".')
            else:
                store(option, typed, True)
        elif word.startswith("-") and word != "-":
            letters = word[1:]
            while letters:
                typed, letters = "-" + letters[0], letters[1:]
                option = table.find_short(typed)
                if option.arg is None:
                    store(option, typed, True)
                else:
                    store(option, typed, letters or next_value(option, typed))
                    letters = ""
        else:
            words.append(word)
    return words


def _read_words(
    words: Sequence[str], *, help_asked: bool = False
) -> tuple[str | None, list[str], bool, bool]:
    """Return (command, updates, whether ``with`` was there, whether ``help`` was there)."""
    if not words:
        return None, [], False, False
    first = words[0]
    if first == "help":
        if len(words) > 2:
            raise CommandLineError(
                f'"help" explains one command at a time, not "{" ".join(words[1:])}".'
            )
        return (words[1] if len(words) == 2 else None), [], False, True
    command = None if first == "with" else first
    rest = list(words if command is None else words[1:])
    if not rest:
        return command, [], False, False
    if rest[0] != "with":
        raise CommandLineError(
            f'Unexpected argument "{rest[0]}" after the command "{command}". '
            'Configuration updates come after the word "with".'
        )
    if len(rest) == 1 and not help_asked:
        raise CommandLineError('Nothing follows "with". Give an update, as in "with a=1".')
    return command, rest[1:], True, False


# -- updates --------------------------------------------------------------------------------------


def get_config_updates(
    updates: Iterable[str] | None,
) -> tuple[dict[str, Any], list[str]]:
    """Split the words after ``with`` into assignments and names of configurations.

    Parameters
    ----------
    updates
        Words such as ``"a.b=3"`` and ``"some_named_config"``; empty ones are skipped.

    Returns
    -------
    tuple
        The assignments as a nested dict, and the names in the order given.

    Raises
    ------
    CommandLineError
        If two assignments contradict each other, or a value is no literal and
        ``SETTINGS.COMMAND_LINE.STRICT_PARSING`` is set.
    """
    config_updates: dict[str, Any] = {}
    named_configs: list[str] = []
    for update in updates or ():
        if not update:
            continue
        path, equals, value = update.partition("=")
        if equals:
            name = path.strip()
            _assign(config_updates, name, parse_value(value.strip(), name))
        else:
            named_configs.append(update)
    return config_updates, named_configs


def _assign(target: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    if not all((*parents, name)):
        raise CommandLineError(
            f'"{path}={value}" can not be set: a name in "{path}" is empty. '
            "Write NAME=VALUE or GROUP.NAME=VALUE."
        )
    for depth, parent in enumerate(parents, 1):
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            prefix = ".".join(parents[:depth])
            raise CommandLineError(
                f'"{path}" can not be set: an update before it makes "{prefix}" a plain value. '
                "Leave out one of the two."
            )
    target[name] = value


def parse_value(text: str, name: str = "NAME") -> Any:
    """Return the value that a piece of the command line stands for.

    A Python literal is read as one; its tuples become lists and the keys of its dicts text, as in
    JSON, because that is what is recorded. Everything else, also a literal that JSON has no form
    for (sets, bytes, complex numbers), is the text itself. Nothing is ever constructed but plain
    values.

    Parameters
    ----------
    text
        As it was typed.
    name
        Of the entry, for the error's sentence.

    Raises
    ------
    CommandLineError
        If ``SETTINGS.COMMAND_LINE.STRICT_PARSING`` is set and the text is no literal; or if it is
        one with an integer of so many digits that Python does not read it.
    """
    import ast

    try:
        return _as_json_value(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        if "Exceeds the limit" in str(error):  # Python's words for too many digits
            import re

            digits = max(map(len, re.findall(r"\d+", text.replace("_", ""))))
            raise CommandLineError(
                f'"{name}={text[:20]}..." has an integer of {digits:,} digits, more than Python '
                f"reads. Write it in hexadecimal, as in {name}=0x1F, or in quotes, as a text."
            ) from None
        from sacred.core.settings import SETTINGS

        if SETTINGS.COMMAND_LINE.STRICT_PARSING:
            raise CommandLineError(
                f'"{text}" is not a Python literal. With STRICT_PARSING, text must be quoted, '
                f"as in \"a='{text}'\"."
            ) from error
        return text


def _as_json_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json_value(item) for item in value]
    if isinstance(value, dict):
        return {_as_json_key(key): _as_json_value(item) for key, item in value.items()}
    raise TypeError(f"JSON has no form for a value of type {type(value).__name__}")


def _as_json_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, (int, float)):
        return repr(key)
    raise TypeError(f"JSON has no form for a key of type {type(key).__name__}")


def closest(name: str, names: list[str]) -> str | None:
    """Return the one of some names that was probably meant; None if none is like it."""
    import difflib

    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return matches[0] if matches else None


CommandLineError.__module__ = "sacred.arg_parser"
