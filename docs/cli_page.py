"""The page of the commands, `docs/cli.md`: what a command takes is made from the command itself.

`python docs/cli_page.py` writes it anew. Between `<!-- made: NAME -->` and `<!-- end -->` stands what
is made; everything else, the examples above all, is written by hand and stays.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sacred.cli import commands_by_section

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("cli.md")
MADE = re.compile(r"<!-- made: (?P<name>\S+) -->\n.*?<!-- end -->\n", re.DOTALL)
#: What every command has, said once.
_COMMON = {"root"}


def page(text: str) -> str:
    """Return the page with what is made in it made anew, and a section for each new command.

    Parameters
    ----------
    text
        The page as it is.
    """
    commands = {n: command for _, found in commands_by_section() for n, command in found.items()}
    made = {"sections": _sections()} | {n: _command(n, c) for n, c in commands.items()}
    for name in commands:
        if f"<!-- made: {name} -->" not in text:
            text += f"\n## sacred {name}\n\n<!-- made: {name} -->\n<!-- end -->\n"
    return MADE.sub(lambda found: _block(found["name"], made), text)


def _block(name: str, made: dict[str, str]) -> str:
    if name not in made:
        raise SystemExit(f"there is no command {name}: remove its section from {PAGE.name}")
    return f"<!-- made: {name} -->\n{made[name]}<!-- end -->\n"


def _sections() -> str:
    """Return a table of all commands."""
    lines = ["| | | |", "|---|---|---|"]
    for title, found in commands_by_section():
        for number, (name, command) in enumerate(found.items()):
            words = _bars(command.get_short_help_str(200).rstrip("."))
            lines.append(
                f"| {title if number == 0 else ''} | [`sacred {name}`](#sacred-{name}) | {words} |"
            )
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command) -> str:
    """Return what a command says of itself."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = ["sacred", name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)]
    lines = [f"`{' '.join(usage)}`", "", *_paragraphs(command.help or "")]
    rows = [_row(option) for option in options if not option.hidden and option.name not in _COMMON]
    if rows:
        lines += ["", "| option | |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    if argument.nargs == -1 and "..." not in name:
        name += "..."
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _row(option: click.Option) -> str:
    metavar = option.metavar
    if metavar is None and not option.is_flag:
        choices = getattr(option.type, "choices", None)
        metavar = "|".join(map(str, choices)) if choices else (option.name or "").upper()
    names = ", ".join(option.opts)
    if option.secondary_opts:
        names += " / " + ", ".join(option.secondary_opts)
    shown = names if option.is_flag or not metavar else f"{names} {metavar}"
    return f"| `{_bars(shown)}` | {_bars(' '.join((option.help or '').split()))} |"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield lines of Markdown: a paragraph that click leaves as it is stands as text."""
    drawn = False
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        was_drawn, drawn = drawn, paragraph.startswith("\b\n")
        if was_drawn and not drawn:
            yield "```"
        if number:
            yield ""
        if drawn:
            if not was_drawn:
                yield "```text"
            yield from paragraph[2:].splitlines()
        else:
            yield _plain(" ".join(paragraph.split()))
    if drawn:
        yield "```"


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is: what looks like HTML or emphasis stands as code."""
    return re.sub(r"(?<![`\w])(\S*[<>*_]\S*)", lambda found: f"`{found[1]}`", text)


def _bars(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(page(before), encoding="utf-8")
    sys.exit(0)
