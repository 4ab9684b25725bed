"""The four commands that every experiment has.

Their output has Sacred's layout to the letter, but that it is coloured only where somebody sees it
(``sacred.core.colour``).
"""

from __future__ import annotations

import sys
from os import PathLike
from typing import TYPE_CHECKING, Any

from sacred.core.colour import BLUE, DIM, GREEN, RED, paint, wants_colour
from sacred.journal.integers import legible, text_of
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = (
    "help_for_command",
    "print_config",
    "print_dependencies",
    "print_named_configs",
    "save_config",
)

#: The width that a configuration entry is padded to before its comment.
_ENTRY_WIDTH = 35


def print_config(_run: Any) -> None:
    """Print the configuration with all updates applied.

    Entries are blue when an update changed them, green when it added them, red when it changed
    their type.
    """
    print(format_config(_run.config, _run.config_modifications, coloured=_is_coloured(_run)))


def print_dependencies(_run: Any) -> None:
    """Print the source files and packages that were found."""
    print(format_dependencies(_run.experiment_info, coloured=_is_coloured(_run)))


def _is_coloured(run: Any) -> bool:
    return wants_colour(sys.stdout, getattr(run, "color", None))


def save_config(_config: Any, _log: Any, config_filename: str = "config.json") -> None:
    """Save the updated configuration to a file.

    By default in "config.json"; `config_filename` names another, and its extension the format.
    """
    from sacred.core.config.config_files import save_config_file
    from sacred.core.config.errors import ConfigFileError

    if not isinstance(config_filename, (str, PathLike)):
        raise ConfigFileError(
            f"config_filename is {config_filename!r}: give the name of a file, config_filename=FILE."
        )
    config = {key: value for key, value in _config.items() if key != "config_filename"}
    _log.info('Saving config to "%s"', config_filename)
    save_config_file(config, config_filename)


def print_named_configs(ingredient: Any) -> Callable[[], None]:
    """Return the command that prints the named configurations of an ingredient."""

    def print_named_configs(_run: Any = None) -> None:
        """Print the named configurations there are."""
        named_configs = dict(ingredient.gather_named_configs())
        print(format_named_configs(named_configs, coloured=_is_coloured(_run)))

    return print_named_configs


def help_for_command(command: Any) -> str:
    """Return the help text of a command: its signature and docstring, without overstrikes."""
    import pydoc
    import re
    import types

    function = getattr(command, "__wrapped__", command)
    if getattr(function, "__module__", None) == __name__:
        # One of ours: what its parameters are for type checkers tells a person nothing.
        bare = types.FunctionType(
            function.__code__,
            globals(),
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        bare.__doc__ = function.__doc__
        function = bare
    return re.sub(r".\x08", "", pydoc.text.document(function))


# -- configuration --------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """One line of the configuration; the last name of its path, and whether it is a group."""

    depth: int
    key: str
    value: Any
    is_group: bool
    colour: str
    doc: str | None


def format_config(config: Mapping[Any, Any], modifications: Any, *, coloured: bool = True) -> str:
    """Return the text that ``print_config`` prints.

    Parameters
    ----------
    config
        The configuration.
    modifications
        What changed, with the attributes ``added``, ``modified``, ``typechanged`` and ``docs``,
        each by dotted path.
    coloured
        Whether the text has colours in it.
    """
    legend = ", ".join(
        paint(colour, word, coloured)
        for colour, word in (
            (BLUE, "modified"),
            (GREEN, "added"),
            (RED, "typechanged"),
            (DIM, "doc"),
        )
    )
    lines = [f"Configuration ({legend}):"]
    lines.extend(_format_entry(entry, coloured) for entry in _entries(config, modifications))
    return "\n".join(lines)


def _format_config(cfg: Mapping[Any, Any], config_mods: Any) -> str:
    """Return the text of a configuration; programs that log theirs call it by this name."""
    return format_config(cfg, config_mods, coloured=wants_colour(sys.stdout))


def _entries(
    config: Mapping[Any, Any], changes: Any, prefix: str = "", depth: int = 0
) -> Iterator[_Entry]:
    for key in sorted(config, key=lambda key: _order(key, config[key])):
        value = config[key]
        path = f"{prefix}{text_of(key)}"
        is_group = isinstance(value, dict) and bool(value)
        doc = changes.docs.get(path)
        yield _Entry(depth, text_of(key), value, is_group, _colour(path, changes), doc)
        if is_group:
            yield from _entries(value, changes, path + ".", depth + 1)


def _order(key: Any, value: Any) -> tuple[int, bool, str, Any]:
    # The type's name stands before the key because keys of different types can not be compared.
    if key == "__doc__":
        return 0, False, "", ""
    # Numbers of all kinds can be: 1 stands before 2.5.
    kind = "number" if isinstance(key, (int, float)) else type(key).__name__
    kind = "" if isinstance(key, str) else kind
    return (2 if isinstance(value, dict) and value else 1), bool(kind), kind, key


def _colour(path: str, changes: Any) -> str:
    if path in changes.typechanged:
        return RED
    if path in changes.added:
        return GREEN
    if path in changes.modified:
        return BLUE
    return ""


def _format_entry(entry: _Entry, coloured: bool) -> str:
    from sacred.core.passwords import mask_password, masked_within

    indent = " " * (2 + 2 * entry.depth)
    if entry.key == "__doc__":
        text = str(entry.value).replace("\n", "\n" + indent)
        return paint(DIM, f'{indent}"""{text}"""', coloured)
    if entry.is_group:
        assignment = f"{indent}{entry.key}:"
    else:
        from pprint import pformat

        assignment = f"{indent}{entry.key} = {pformat(legible(masked_within(entry.value)))}"
    if entry.doc:
        padding = 4 if len(assignment) > _ENTRY_WIDTH else _ENTRY_WIDTH + 2 - len(assignment)
        assignment += " " * padding + paint(DIM, f"# {mask_password(entry.doc)}", coloured)
    return paint(entry.colour, assignment, coloured)


# -- dependencies and named configurations --------------------------------------------------------


def format_dependencies(info: Mapping[str, Any], *, coloured: bool = True) -> str:
    """Return the text that ``print_dependencies`` prints, from an experiment's information."""
    lines = ["Dependencies:"]
    for dependency in info["dependencies"]:
        package, _, version = dependency.partition("==")
        lines.append(f"  {package:<20} == {version}")
    lines.append("\nSources:")
    lines.extend(f"  {source:<43}  {digest}" for source, digest in info["sources"])
    from sacred.core.passwords import mask_password

    repositories = info["repositories"]
    if repositories:
        lines.append("\nVersion Control:")
    for repository in repositories:
        url = mask_password(str(repository["url"]))
        mark = "M" if repository["dirty"] else " "
        line = f"{mark} {url:<43}  {repository['commit']}"
        lines.append(paint(RED, line, coloured) if repository["dirty"] else line)
    return "\n".join(lines) + "\n"


def format_named_configs(named_configs: Mapping[str, Any], *, coloured: bool = True) -> str:
    """Return the text that ``print_named_configs`` prints."""
    lines = [f"Named Configurations ({paint(DIM, 'doc', coloured)}):"]
    margin = "  "
    for name, config in named_configs.items():
        doc = _docstring(config)
        if doc is None:
            text = ""
        elif "\n" in doc:
            body = doc.replace("\n", "\n" + margin)
            text = paint(DIM, f'\n{margin}{margin}"""{body}"""', coloured)
        else:
            text = paint(DIM, f"   # {doc.strip()}", coloured)
        lines.append(f"{margin}{name}{text}")
    if not named_configs:
        lines.append(f"{margin}No named configs")
    return "\n".join(lines)


def _docstring(config: Any) -> str | None:
    # The docstring of an object that is no function describes its class, not the configuration.
    doc = getattr(config, "_func", config).__doc__
    if doc == type(config).__doc__:
        return None
    return doc if isinstance(doc, str) else None
