"""What a shell offers when Tab is pressed behind an experiment's script.

The shell functions that ``sacred completion`` prints call :func:`main` with the words up to the
cursor. The script is looked at and never run (:mod:`sacred.core.outline`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sacred.core.outline import Outline

__all__ = ["Candidate", "Started", "candidates", "find_script", "main"]

#: Options of Python that are followed by a value.
_WITH_VALUE = ("-W", "-X", "-Q", "--check-hash-based-pycs")
_VALUES = {
    "--capture": ("no", "sys", "fd"),
    "--color": ("auto", "always", "never"),
    "--loglevel": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
}
_BUILT_IN = {
    "print_config": "Print the configuration with all updates applied.",
    "print_dependencies": "Print the source files and packages that were found.",
    "save_config": "Save the updated configuration to a file.",
    "print_named_configs": "Print the named configurations there are.",
}
_CONFIG_FILES = (".json", ".yaml", ".yml", ".toml")


class Candidate(NamedTuple):
    """A word that may stand at the cursor, and what it is."""

    word: str
    what: str = ""


class _Option(NamedTuple):
    short: str
    long: str
    takes_value: bool
    doc: str


class Started(NamedTuple):
    """The Python file that a command line starts, the words behind it, and the folder in which its
    imports are looked for.
    """

    script: str
    rest: list[str]
    folder: str


def find_script(words: Sequence[str]) -> Started | None:
    """Return what a command line starts; None where that is no file of Python."""
    rest = list(words)
    while rest and "=" in rest[0] and rest[0].partition("=")[0].isidentifier():
        rest.pop(0)  # an assignment to a variable of the environment
    if rest and not rest[0].endswith(".py"):
        rest.pop(0)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            option = rest.pop(0)
            if option == "-c":
                return None
            if option == "-m":
                return _module(rest)
            if option in _WITH_VALUE and rest:
                rest.pop(0)
    if not rest:
        return None
    script = os.path.expanduser(rest.pop(0))
    if not script.endswith(".py") or not os.path.isfile(script):
        return None
    return Started(script, rest, os.path.dirname(script))


def _module(rest: list[str]) -> Started | None:
    if not rest:
        return None
    path = os.path.join(*rest.pop(0).split("."))
    for script in (f"{path}.py", os.path.join(path, "__main__.py")):
        if os.path.isfile(script):
            return Started(script, rest, "")  # -m puts the present folder into sys.path
    return None


def candidates(outline: Outline, words: Sequence[str], current: str) -> list[Candidate] | None:
    """Return what may stand at the cursor.

    Parameters
    ----------
    outline
        The experiment.
    words
        The words between the script and the cursor.
    current
        The beginning of the word at the cursor.

    Returns
    -------
    list of Candidate
        Those that begin with ``current``; None where the shell knows better (names of files).
    """
    options = _options(outline)
    positional, wanting = _positional(words, options)
    if wanting is not None:
        return _values(wanting, current, "")
    if current.startswith("-"):
        return _flags(options, current)
    if positional[:1] == ["help"]:
        return _beginning(current, _commands(outline)) if len(positional) == 1 else []
    if "with" in positional:
        return _updates(outline, positional[positional.index("with") + 1 :], current)
    offered = [] if positional else [*_commands(outline), Candidate("help", "explain a command")]
    offered.append(Candidate("with", "set entries, or use named configurations"))
    return _beginning(current, offered)


def _beginning(current: str, offered: Iterable[Candidate]) -> list[Candidate]:
    return [candidate for candidate in offered if candidate.word.startswith(current)]


def _commands(outline: Outline) -> list[Candidate]:
    return [Candidate(*item) for item in {**outline.commands, **_BUILT_IN}.items()]


def _options(outline: Outline) -> list[_Option]:
    from sacred.core.options import default_options

    own = [_Option(*option) for option in outline.options]
    taken = {option.short for option in own}
    for option in default_options():
        short, long = option.get_flags()
        doc = " ".join(option.get_description().split()).partition(". ")[0].rstrip(".")
        own.append(_Option("" if short in taken else short, long, option.arg is not None, doc))
    return own


def _positional(
    words: Sequence[str], options: Sequence[_Option]
) -> tuple[list[str], _Option | None]:
    """Return the words that are no options, and the option that the cursor is at the value of."""
    with_value = {
        flag: option
        for option in options
        if option.takes_value
        for flag in (option.short, option.long.replace("_", "-"))
        if flag
    }
    positional: list[str] = []
    wanting: _Option | None = None
    for word in words:
        if wanting is not None:
            wanting = None
        elif word.startswith("--"):
            wanting = with_value.get(word.replace("_", "-"))
        elif word.startswith("-") and word != "-":
            # Of joined flags the last one may take a value.
            wanting = with_value.get(f"-{word[-1]}") if len(word) > 1 else None
        else:
            positional.append(word)
    return positional, wanting


def _values(option: _Option, current: str, prefix: str) -> list[Candidate] | None:
    values = _VALUES.get(option.long)
    if values is None:
        return None
    return _beginning(current, [Candidate(prefix + value) for value in values])


def _flags(options: Sequence[_Option], current: str) -> list[Candidate] | None:
    flag, equals, _ = current.partition("=")
    if equals:
        for option in options:
            if option.long.replace("_", "-") == flag.replace("_", "-"):
                return _values(option, current, f"{flag}=")
        return []
    found = [
        Candidate(option.long + ("=" if option.takes_value else ""), option.doc)
        for option in options
    ]
    if not current.startswith("--"):
        found += [Candidate(option.short, option.doc) for option in options if option.short]
    return _beginning(current, found)


def _updates(outline: Outline, given: Sequence[str], current: str) -> list[Candidate] | None:
    path, equals, _ = current.partition("=")
    entries = {entry.path: entry.value for entry in outline.entries}
    if equals:
        value = entries.get(path, "")
        values = ["True", "False"] if value in ("True", "False") else [value] * bool(value)
        # A value with blanks or quotes would have to be quoted for the shell.
        plain = [value for value in values if not set(value) & set(" \t'\"\\$`(){}[]*?;&|<>")]
        return _beginning(current, [Candidate(f"{path}={value}") for value in plain])
    done = {word.partition("=")[0] for word in given}
    found = [
        Candidate(name, doc or "a named configuration")
        for name, doc in outline.named_configs.items()
    ]
    found += [
        Candidate(f"{entry.path}=", f"now {entry.value}" if entry.value else "")
        for entry in outline.entries
    ]
    if "seed" not in entries:
        found.append(Candidate("seed=", "the random seed of the experiment"))
    found += [Candidate(name, "a file") for name in _files(current)]
    return _beginning(current, [one for one in found if one.word.partition("=")[0] not in done])


def _files(current: str) -> list[str]:
    folder = os.path.dirname(current)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.lower().endswith(_CONFIG_FILES)]


def main(arguments: Sequence[str]) -> int:
    """Print the candidates, one a line, with a tab and what each is behind it.

    Parameters
    ----------
    arguments
        ``words WORD...``: the words of the command line, the last of which is the one at the
        cursor; or ``bash LINE BREAKS``: the line up to the cursor as it was typed, and the letters
        at which bash breaks words. Only what is behind the last of them is printed then, which is
        the part that bash replaces.

    Returns
    -------
    The exit code: 1 where the shell is to offer what it would without us.
    """
    how, *words = arguments
    breaks = words[1] if how == "bash" else ""
    if how == "bash":
        split = _split(words[0])
        if split is None:
            return 1
        words = split
    *before, current = words
    found = find_script(before)
    if found is None:
        return 1
    from sacred.core.outline import outline_of

    outline = outline_of(found.script, found.folder)
    offered = None if outline is None else candidates(outline, found.rest, current)
    if offered is None:
        return 1
    kept = max((current.rfind(letter) for letter in "=:" if letter in breaks), default=-1) + 1
    lines = [f"{word[kept:]}\t{what}" for word, what in offered]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _split(line: str) -> list[str] | None:
    """Return the words of a line as typed, the last of which may be empty; None within quotes."""
    import shlex

    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return None
    if not words or (line[-1:].isspace() and not line.endswith("\\ ")):
        words.append("")
    return words
