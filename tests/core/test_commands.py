"""What the four built-in commands print."""

from __future__ import annotations

import json
import logging
import types

import pytest

from sacred.core import commands
from sacred.core.commands import format_config, format_dependencies, format_named_configs

LEGEND = (
    "Configuration (\x1b[34mmodified\x1b[0m, \x1b[32madded\x1b[0m, "
    "\x1b[31mtypechanged\x1b[0m, \x1b[2mdoc\x1b[0m):"
)
PLAIN = "Configuration (modified, added, typechanged, doc):"


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    """Nothing from outside decides about colours."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def changes(added=(), modified=(), typechanged=(), docs=()):
    return types.SimpleNamespace(
        added=set(added), modified=set(modified), typechanged=dict(typechanged), docs=dict(docs)
    )


CONFIG = {
    "a": 1,
    "z": {"y": {}, "x": [1, 2, {"a": 1}], "__doc__": "inner\nmulti"},
    "b": "x" * 40,
    "__doc__": "\n    first\n      second\n    ",
    "n": None,
    "t": (1, 2),
    "nest": {"q": {"w": {"e": 1}}},
}


def test_the_layout_of_a_configuration():
    """CMD-01, CMD-02, CMD-03: order, indents, padding of comments and colours, to the letter."""
    text = format_config(
        CONFIG,
        changes(
            added={"z.x", "nest.q.w.e"},
            modified={"a", "b", "nest", "nest.q", "nest.q.w", "z"},
            typechanged={"b": (int, str)},
            docs={"a": "doc a", "b": "doc b", "nest.q": "q doc", "z.y": "y doc", "n": "two\nlines"},
        ),
    )
    assert text.replace("\x1b", "E").split("\n") == [
        LEGEND.replace("\x1b", "E"),
        'E[2m  """',
        "      first",
        "        second",
        '      """E[0m',
        "E[34m  a = 1                              E[2m# doc aE[0mE[0m",
        f"E[31m  b = {'x' * 40!r}    E[2m# doc bE[0mE[0m",
        "  n = None                           E[2m# two",
        "linesE[0m",
        "  t = (1, 2)",
        "E[34m  nest:E[0m",
        "E[34m    q:                               E[2m# q docE[0mE[0m",
        "E[34m      w:E[0m",
        "E[32m        e = 1E[0m",
        "E[34m  z:E[0m",
        'E[2m    """inner',
        '    multi"""E[0m',
        "E[32m    x = [1, 2, {'a': 1}]E[0m",
        "    y = {}                           E[2m# y docE[0m",
    ]


@pytest.mark.parametrize(("length", "gap"), [(28, 3), (29, 2), (30, 4), (31, 4)])
def test_the_padding_of_comments(length, gap):
    """CMD-02: an entry of up to 35 columns is padded to 37, a longer one by four spaces."""
    name = "x" * length
    text = format_config({name: 1}, changes(docs={name: "d"}))
    assert f"  {name} = 1{' ' * gap}\x1b[2m# d\x1b[0m" == text.split("\n")[1]


def test_an_empty_configuration():
    """CMD-01: an empty configuration is the header."""
    assert LEGEND == format_config({}, changes())


def test_keys_of_different_types():
    """CMD-01 [!]: keys of several types made the sorting fail; text comes first now."""
    text = format_config({2.5: "c", 2: "b", "a": 1, 1: "a", (1, 2): 0}, changes())
    assert ["  a = 1", "  1 = 'a'", "  2 = 'b'", "  2.5 = 'c'", "  (1, 2) = 0"] == text.split("\n")[
        1:
    ]


def test_without_colours():
    """CMD-03: the same text, without colours."""
    text = format_config({"a": 1}, changes(modified={"a"}, docs={"a": "d"}), coloured=False)
    assert (
        "Configuration (modified, added, typechanged, doc):\n"
        "  a = 1                              # d" == text
    )


@pytest.mark.parametrize(("color", "legend"), [(None, PLAIN), ("always", LEGEND)])
def test_print_config_prints_a_run(capsys, color, legend):
    """CMD-01, CMD-03: the command prints the configuration of its run, in colours if it says so."""
    run = types.SimpleNamespace(config={"a": 1}, config_modifications=changes(), color=color)
    commands.print_config(run)
    assert f"{legend}\n  a = 1\n" == capsys.readouterr().out


INFO = {
    "dependencies": ["numpy==2.4.6", "sacred==0.8.7"],
    "sources": [("dep.py", "3a17a6c27e255a707fc45089f922ec0a")],
    "repositories": [],
}


def test_the_layout_of_dependencies():
    """CMD-04: dependencies in 20 columns, sources in 43, a blank line at the end."""
    assert (
        "Dependencies:\n"
        "  numpy                == 2.4.6\n"
        "  sacred               == 0.8.7\n"
        "\n"
        "Sources:\n"
        "  dep.py                                       3a17a6c27e255a707fc45089f922ec0a\n"
        == format_dependencies(INFO)
    )


def test_the_layout_of_repositories():
    """CMD-04: a dirty repository is red and marked M."""
    commit = "5361276e66a7526c6c9c6cccbce9073bf9daf095"
    info = INFO | {
        "repositories": [
            {"url": "git://tmp/gitdir", "commit": commit, "dirty": True},
            {"url": "git@host:a.git", "commit": commit, "dirty": False},
        ]
    }
    text = format_dependencies(info)
    assert (
        "\nVersion Control:\n"
        f"\x1b[31mM git://tmp/gitdir                             {commit}\x1b[0m\n"
        f"  git@host:a.git                               {commit}\n"
        == text[text.index("\nVersion") :]
    )


def test_the_layout_of_named_configurations():
    """CMD-05: names with their docstrings, on the line or below."""

    def one():
        """single with spaces"""

    def two():
        """
        starts on line two
        more
        """

    def three():
        """first
            indented
        last"""

    def none():
        pass

    text = format_named_configs({"n1": one, "n2": two, "n3": three, "in.n4": none})
    assert two.__doc__.startswith("\n")
    body2 = two.__doc__.replace("\n", "\n  ")
    body3 = three.__doc__.replace("\n", "\n  ")
    assert (
        "Named Configurations (E[2mdocE[0m):\n"
        "  n1E[2m   # single with spacesE[0m\n"
        f'  n2E[2m\n    """{body2}"""E[0m\n'
        f'  n3E[2m\n    """{body3}"""E[0m\n'
        "  in.n4" == text.replace("\x1b", "E")
    )


def test_no_named_configurations(capsys):
    """CMD-05: an experiment without any says so."""
    ingredient = types.SimpleNamespace(gather_named_configs=list)
    command = commands.print_named_configs(ingredient)
    command()
    assert "Named Configurations (doc):\n  No named configs\n" == capsys.readouterr().out
    assert "print_named_configs" == command.__name__


def test_save_config_leaves_its_own_argument_out(tmp_path, caplog):
    """CMD-06: the configuration is saved without `config_filename`, which the log names."""
    file = tmp_path / "saved.json"
    with caplog.at_level(logging.INFO):
        commands.save_config(
            {"a": 1, "config_filename": str(file)}, logging.getLogger("save"), str(file)
        )
    assert {"a": 1} == json.loads(file.read_text())
    assert [f'Saving config to "{file}"'] == [record.getMessage() for record in caplog.records]


def test_help_for_a_command():
    """CLI-21: signature and docstring, without overstrikes."""

    def cmd(a, b=3):
        """A command doc."""

    assert "cmd(a, b=3)\n    A command doc.\n" == commands.help_for_command(cmd)
    assert commands.help_for_command(commands.print_config).startswith("print_config(_run)\n")
    saved = "save_config(_config, _log, config_filename='config.json')\n"
    assert commands.help_for_command(commands.save_config).startswith(saved)
    named = commands.help_for_command(commands.print_named_configs(None))
    assert named.startswith("print_named_configs(_run=None)\n")


def test_the_text_of_a_configuration_under_the_name_that_programs_use(monkeypatch):
    """CMD-01: _format_config gives the text of print_config; coloured where that would be."""
    from sacred import Experiment
    from sacred.commands import _format_config

    ex = Experiment("text", save_git_info=False)
    ex.add_config(a=1, b={"c": 2})
    ex.main(lambda: None)
    run = ex.run("<lambda>", config_updates={"seed": 1})
    monkeypatch.setenv("NO_COLOR", "1")
    expected = (
        "Configuration (modified, added, typechanged, doc):\n  a = 1\n  seed = 1\n  b:\n    c = 2"
    )
    assert expected == _format_config(run.config, run.config_modifications)
