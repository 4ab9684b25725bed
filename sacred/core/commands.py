"""The four commands that every experiment has.

Their output has Sacred's layout to the letter. The colours are always there, also when the output
is no terminal, because tools read them; the one difference is that a non-empty ``NO_COLOR`` in the
environment (https://no-color.org) turns them off.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = (
    "help_for_command",
    "print_config",
    "print_dependencies",
    "print_named_configs",
    "save_config",
)

_BLUE = "\033[34m"
_GREEN = "\033[32m"
_RED = "\033[31m"
_DIM = "\033[2m"
_RESET = "\033[0m"

#: The width that a configuration entry is padded to before its comment.
_ENTRY_WIDTH = 35


def print_config(_run: Any) -> None:
    """Print the configuration with all updates applied.

    Entries are blue when an update changed them, green when it added them, red when it changed
    their type.
    """
    print(format_config(_run.config, _run.config_modifications))


def print_dependencies(_run: Any) -> None:
    """Print the source files and packages that were found."""
    print(format_dependencies(_run.experiment_info))


def save_config(_config: Any, _log: Any, config_filename: str = "config.json") -> None:
    """Save the updated configuration to a file.

    By default in "config.json"; `config_filename` names another, and its extension the format.
    """
    from sacred.core.config.config_files import save_config_file

    config = {key: value for key, value in _config.items() if key != "config_filename"}
    _log.info('Saving config to "%s"', config_filename)
    save_config_file(config, config_filename)


def print_named_configs(ingredient: Any) -> Callable[[], None]:
    """Return the command that prints the named configurations of an ingredient."""

    def print_named_configs() -> None:
        """Print the named configurations there are."""
        print(format_named_configs(dict(ingredient.gather_named_configs())))

    return print_named_configs


def help_for_command(command: Any) -> str:
    """Return the help text of a command: its signature and docstring, without overstrikes."""
    import pydoc
    import re

    return re.sub(r".\x08", "", pydoc.text.document(command))


# -- configuration --------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """One line of the configuration; the last name of its path, and whether it is a group."""

    depth: int
    key: str
    value: Any
    is_group: bool
    colour: str
    doc: str | None


def format_config(config: Mapping[Any, Any], modifications: Any) -> str:
    """Return the text that ``print_config`` prints.

    Parameters
    ----------
    config
        The configuration.
    modifications
        What changed, with the attributes ``added``, ``modified``, ``typechanged`` and ``docs``,
        each by dotted path.
    """
    legend = ", ".join(
        _paint(colour, word)
        for colour, word in (
            (_BLUE, "modified"),
            (_GREEN, "added"),
            (_RED, "typechanged"),
            (_DIM, "doc"),
        )
    )
    lines = [f"Configuration ({legend}):"]
    lines.extend(_format_entry(entry) for entry in _entries(config, modifications))
    return "\n".join(lines)


def _entries(
    config: Mapping[Any, Any], changes: Any, prefix: str = "", depth: int = 0
) -> Iterator[_Entry]:
    for key in sorted(config, key=lambda key: _order(key, config[key])):
        value = config[key]
        path = f"{prefix}{key}"
        is_group = isinstance(value, dict) and bool(value)
        doc = changes.docs.get(path)
        yield _Entry(depth, str(key), value, is_group, _colour(path, changes), doc)
        if is_group:
            yield from _entries(value, changes, path + ".", depth + 1)


def _order(key: Any, value: Any) -> tuple[int, bool, str, Any]:
    # The type's name stands before the key because keys of different types can not be compared.
    if key == "__doc__":
        return 0, False, "", ""
    kind = "" if isinstance(key, str) else type(key).__name__
    return (2 if isinstance(value, dict) and value else 1), bool(kind), kind, key


def _colour(path: str, changes: Any) -> str:
    if path in changes.typechanged:
        return _RED
    if path in changes.added:
        return _GREEN
    if path in changes.modified:
        return _BLUE
    return ""


def _format_entry(entry: _Entry) -> str:
    indent = " " * (2 + 2 * entry.depth)
    if entry.key == "__doc__":
        text = str(entry.value).replace("\n", "\n" + indent)
        return _paint(_DIM, f'{indent}"""{text}"""')
    if entry.is_group:
        assignment = f"{indent}{entry.key}:"
    else:
        from pprint import pformat

        assignment = f"{indent}{entry.key} = {pformat(entry.value)}"
    if entry.doc:
        padding = 4 if len(assignment) > _ENTRY_WIDTH else _ENTRY_WIDTH + 2 - len(assignment)
        assignment += " " * padding + _paint(_DIM, f"# {entry.doc}")
    return _paint(entry.colour, assignment)


# -- dependencies and named configurations --------------------------------------------------------


def format_dependencies(info: Mapping[str, Any]) -> str:
    """Return the text that ``print_dependencies`` prints, from an experiment's information."""
    lines = ["Dependencies:"]
    for dependency in info["dependencies"]:
        package, _, version = dependency.partition("==")
        lines.append(f"  {package:<20} == {version}")
    lines.append("\nSources:")
    lines.extend(f"  {source:<43}  {digest}" for source, digest in info["sources"])
    from sacred.core.view_options import mask_password

    repositories = info["repositories"]
    if repositories:
        lines.append("\nVersion Control:")
    for repository in repositories:
        url = mask_password(str(repository["url"]))
        mark = "M" if repository["dirty"] else " "
        line = f"{mark} {url:<43}  {repository['commit']}"
        lines.append(_paint(_RED, line) if repository["dirty"] else line)
    return "\n".join(lines) + "\n"


def format_named_configs(named_configs: Mapping[str, Any]) -> str:
    """Return the text that ``print_named_configs`` prints."""
    lines = [f"Named Configurations ({_paint(_DIM, 'doc')}):"]
    margin = "  "
    for name, config in named_configs.items():
        doc = _docstring(config)
        if doc is None:
            text = ""
        elif "\n" in doc:
            body = doc.replace("\n", "\n" + margin)
            text = _paint(_DIM, f'\n{margin}{margin}"""{body}"""')
        else:
            text = _paint(_DIM, f"   # {doc.strip()}")
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


def _paint(colour: str, text: str) -> str:
    if not colour or os.environ.get("NO_COLOR"):
        return text
    return f"{colour}{text}{_RESET}"
