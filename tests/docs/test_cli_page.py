"""``docs/cli.md`` says what the commands say, and shows each of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from sacred.cli import commands_by_section

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = [name for _, commands in commands_by_section() for name in commands]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The module that makes the page."""
    spec = importlib.util.spec_from_file_location("cli_page", DOCS / "cli_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _section(name: str) -> str:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    found = re.search(rf"^## sacred {name}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found is not None, name
    return found[1]


def test_the_page_says_what_the_commands_say(maker: ModuleType) -> None:
    """Made anew, the page is what it was: ``python docs/cli_page.py`` brings it up to date."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert maker.page(text) == text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_shown(name: str) -> None:
    """Each command has a section with an example that ``test_commands.py`` types."""
    examples = re.findall(
        r"^<!-- test: run -->\n```console\n(.*?)^```", _section(name), re.M | re.S
    )
    assert any(
        re.search(rf"^\$ (.*\| )?sacred (--root \S+ )?{name}\b", each, re.M) for each in examples
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_text_is_short(name: str) -> None:
    """A line in the list of the commands is whole at 100 columns, and every option says what it does."""
    command = dict(pair for _, found in commands_by_section() for pair in found.items())[name]
    assert not command.get_short_help_str(200).endswith("...")
    assert len(command.get_short_help_str(200)) <= 84
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_a_new_option_makes_the_page_differ(maker: ModuleType) -> None:
    """What is made follows the commands: an option that the page lacks is added."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    without = re.sub(r"^\| `-n N` .*\n", "", text, count=1, flags=re.M)
    assert without != text
    assert maker.page(without) == text


def test_a_section_of_no_command_is_refused(maker: ModuleType) -> None:
    """A command that is gone leaves no section behind."""
    with pytest.raises(SystemExit, match="there is no command gone"):
        maker.page("<!-- made: gone -->\n<!-- end -->\n")
