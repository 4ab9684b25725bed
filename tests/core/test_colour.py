"""Whether what is printed is coloured."""

from __future__ import annotations

import io

import pytest

from sacred import SETTINGS, Experiment
from sacred.core.colour import check_colour, paint, wants_colour
from sacred.core.commandline import CommandLineError

LEGEND = "Configuration (\x1b[34mmodified\x1b[0m"


class Terminal(io.StringIO):
    """A stream at whose other end somebody looks."""

    def isatty(self):
        return True


class Notebook(io.StringIO):
    """A stream as that of a notebook's kernel, which is no terminal and shows colours."""


Notebook.__module__ = "ipykernel.iostream"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """The environment says nothing."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")


@pytest.mark.parametrize(
    ("stream", "environment", "setting", "chosen", "expected"),
    [
        (Terminal, {}, "auto", None, True),
        (Notebook, {}, "auto", None, True),
        (io.StringIO, {}, "auto", None, False),
        (Terminal, {"TERM": "dumb"}, "auto", None, False),
        (Terminal, {"NO_COLOR": "1"}, "auto", None, False),
        (Terminal, {"NO_COLOR": ""}, "auto", None, True),
        (Terminal, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, "always", None, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, "never", None, True),
        (io.StringIO, {}, "always", None, True),
        (Terminal, {}, "never", None, False),
        (io.StringIO, {"NO_COLOR": "1"}, "never", "always", True),
        (Terminal, {"FORCE_COLOR": "1"}, "always", "never", False),
        (io.StringIO, {"FORCE_COLOR": "1"}, "auto", "auto", True),
    ],
)
def test_who_decides(stream, environment, setting, chosen, expected, monkeypatch):
    """CMD-03: --color, then NO_COLOR, FORCE_COLOR, the setting, and at last who looks."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(SETTINGS.COMMAND_LINE, "COLOR", setting)
    assert expected == wants_colour(stream(), chosen)


@pytest.mark.parametrize("stream", [None, object()])
def test_a_stream_that_is_none(stream):
    """CMD-03: a program without an output has no colours, and no error."""
    assert not wants_colour(stream)


def test_a_closed_stream():
    """CMD-03: it is asked, and answers with an error."""
    stream = Terminal()
    stream.isatty = lambda: (_ for _ in ()).throw(ValueError("closed"))
    assert not wants_colour(stream)


def test_a_choice_that_there_is_not(monkeypatch):
    """CMD-03: of the option, and of the setting."""
    assert "always" == check_colour("ALWAYS")
    with pytest.raises(CommandLineError, match='"blue" is no way to colour: use one of auto'):
        check_colour("blue")
    monkeypatch.setitem(SETTINGS.COMMAND_LINE, "COLOR", 3)
    with pytest.raises(ValueError, match='"3" is no way'):
        wants_colour(Terminal())


def test_painting():
    """CMD-03: nothing is added where no colour is wanted."""
    assert ("\x1b[2mx\x1b[0m", "x", "x") == (
        paint("\x1b[2m", "x"), paint("", "x"), paint("\x1b[2m", "x", coloured=False),
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["print_config", "--color=always"],
        ["--color", "always", "print_named_configs"],
        ["--col=always", "print_dependencies"],
        ["-p", "--color=always"],
    ],
)
def test_the_option_on_a_command_line(words, capsys):
    """CMD-01, CMD-04, CMD-05: each of the three commands follows it, and so does -p."""
    ex = Experiment("coloured", save_git_info=False)
    ex.add_config(a=1)
    ex.add_named_config("fast", a=2)
    ex.main(lambda: None)
    ex.default_command = "<lambda>"
    ex.run_commandline(["x.py", *words])
    out = capsys.readouterr().out
    # Only a repository with changes is coloured among the dependencies.
    assert ("\x1b[" in out) == ("print_dependencies" not in words)
    ex.run_commandline(["x.py", *(word.replace("always", "never") for word in words)])
    assert "\x1b[" not in capsys.readouterr().out


def test_one_run_does_not_decide_for_the_next(capsys):
    """CMD-03: the option is that of its run."""
    ex = Experiment("coloured", save_git_info=False)
    ex.add_config(a=1)
    ex.run("print_config", options={"--color": "always"})
    assert capsys.readouterr().out.startswith(LEGEND)
    ex.run("print_config")
    assert "\x1b[" not in capsys.readouterr().out


def test_a_colour_that_there_is_not_ends_the_program(capsys):
    """CLI-20: one sentence and status 1."""
    with pytest.raises(SystemExit) as ended:
        Experiment("coloured", save_git_info=False).run_commandline(
            ["x.py", "print_config", "--color=blue"]
        )
    assert 1 == ended.value.code
    assert 'Error: "blue" is no way to colour' in capsys.readouterr().err
