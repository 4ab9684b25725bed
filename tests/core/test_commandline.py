"""The command line's grammar and the values of updates."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.core.commandline import (
    CommandLineError,
    get_config_updates,
    parse_arguments,
    parse_value,
    unknown_command_message,
)
from sacred.core.errors import SacredError
from sacred.core.options import cli_option, gather_options

OPTIONS = gather_options()


def parse(text):
    return parse_arguments(text.split(), OPTIONS)


def test_nothing_asks_for_the_default_command():
    """CLI-01: an empty command line is the default command without updates."""
    found = parse("")
    assert (None, (), {}, [], False) == (
        found.command,
        found.updates,
        found.config_updates,
        found.named_configs,
        found.wants_help,
    )


def test_options_hold_every_flag_and_the_words_of_the_grammar():
    """EVT-08, EXP-09: flags default to False, valued options to None; the four words are there."""
    sacreds = {
        "--beat-interval": None,
        "--capture": None,
        "--comment": None,
        "--color": None,
        "--debug": False,
        "--enforce_clean": False,
        "--file_storage": None,
        "--force": False,
        "--help": False,
        "--id": None,
        "--loglevel": "30",
        "--mongo_db": None,
        "--name": None,
        "--pdb": False,
        "--print-config": False,
        "--priority": None,
        "--queue": False,
        "--s3": None,
        "--sql": None,
        "--tiny_db": None,
        "--unobserved": True,
        "with": True,
        "UPDATE": ["nc", "a=1"],
        "help": False,
        "COMMAND": None,
    }
    ours = {"--journal": None, "--gcs": None, "--resume": None}
    assert sacreds | ours == parse("-u -l30 with nc a=1").options


@pytest.mark.parametrize(
    "text",
    [
        "cmd with a=1 -u -l 30",
        "-u cmd -l 30 with a=1",
        "cmd -l30 with -u a=1",
        "-ul30 cmd with a=1",
        "--unobs --log=30 cmd with a=1",
        "cmd --loglevel 30 --unobserved with -- a=1",
    ],
)
def test_options_may_stand_anywhere(text):
    """CLI-01: options are interleaved, joined, shortened and given with or without `=`."""
    found = parse(text)
    assert ("cmd", {"a": 1}, "30", True) == (
        found.command,
        found.config_updates,
        found.options["--loglevel"],
        found.options["--unobserved"],
    )


@pytest.mark.parametrize(
    ("typed", "flag"),
    [
        ("--print-config", "--print-config"),
        ("--print_config", "--print-config"),
        ("--enforce-clean", "--enforce_clean"),
        ("--enforce_c", "--enforce_clean"),
    ],
)
def test_dashes_and_underscores_are_the_same(typed, flag):
    """CLI-10: both documented spellings of an option work."""
    assert parse(typed).options[flag] is True


def test_beat_interval_in_both_spellings():
    """CLI-10: `--beat_interval` is what the documents say, `--beat-interval` what the code said."""
    assert "3" == parse("--beat_interval=3").options["--beat-interval"]
    assert "3" == parse("--beat-interval 3").options["--beat-interval"]


@pytest.mark.parametrize(
    ("text", "command", "wants_help"),
    [
        ("help", None, True),
        ("help cmd", "cmd", True),
        ("-h", None, True),
        ("--help", None, True),
        ("cmd -h", "cmd", True),
        ("cmd", "cmd", False),
    ],
)
def test_help(text, command, wants_help):
    """CLI-01, CLI-21: help is asked for in three ways, also after a command."""
    found = parse(text)
    assert (command, wants_help) == (found.command, found.wants_help)


@pytest.mark.parametrize("words", [[""], ["", "with", "a=1"]])
def test_an_empty_word_is_no_command(words):
    """CLI-01: as an empty variable of a shell gives it; the default command is run."""
    assert parse_arguments(words).command is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("--bogus", 'Unknown option "--bogus"'),
        ("--comand", 'Did you mean "--comment"?'),
        ("--lglevel 3", 'Did you mean "--loglevel"?'),
        ("--p", "--pdb, --print-config, --priority"),
        ("-z", 'Unknown option "-z"'),
        ("-U", 'Did you mean "-u"?'),
        ("-l", "needs a value"),
        ("--capture", "needs a value"),
        ("--debug=3", "takes no value"),
        ("-u -u", "given twice"),
        ("-l 1 --loglevel 2", "given twice"),
        ("a b", 'Unexpected argument "b"'),
        ("a=1", None),
        ("with", 'Nothing follows "with"'),
        ("cmd with -u", 'Nothing follows "with"'),
        ("help a b", "one command at a time"),
        ("with =3", '"=3" can not be set: a name in "" is empty'),
        ("with .a=1", 'a name in ".a" is empty'),
        ("with a.=1", 'a name in "a." is empty'),
        ("with a..b=1", 'a name in "a..b" is empty'),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(text, part):
    """CLI-20: words that do not fit the grammar end in one sentence, never in a stack trace."""
    if part is None:
        assert "a=1" == parse(text).command
        return
    with pytest.raises(CommandLineError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert isinstance(caught.value, SacredError)
    assert (False, True, 1) == (
        caught.value.print_traceback,
        caught.value.print_usage,
        caught.value.exit_code,
    )


def test_an_ambiguous_short_flag_is_only_an_error_when_used():
    """CLI-12: an own option with a taken letter leaves the rest of the command line usable."""

    @cli_option("-c", "--clash")
    def clash(args, run):
        pass

    options = gather_options([clash])
    assert "x" == parse_arguments(["--clash", "x"], options).options["--clash"]
    with pytest.raises(CommandLineError, match="--clash, --comment"):
        parse_arguments(["-c", "x"], options)


def test_options_that_sacred_does_not_have_give_way():
    """CLI-12: an experiment's own -J and -G, free in Sacred, stay its own."""

    @cli_option("-J", "--jobs")
    def jobs(args, run):
        pass

    options = gather_options([jobs])
    found = parse_arguments(["-J", "4"], options).options
    assert ("4", None) == (found["--jobs"], found["--journal"])


@pytest.mark.parametrize(
    ("typed", "flag"),
    [
        ("--co", "--comment"),
        ("--j", "--jobs"),
        ("--g", "--gpus"),
        ("--re", "--rex"),
        ("--jou", "--journal"),
        ("--res", "--resume"),
        ("--col", "--color"),
    ],
)
def test_options_that_sacred_does_not_have_make_no_beginning_ambiguous(typed, flag):
    """CLI-01: what was typed for Sacred means what it meant; ours can be shortened where nothing else fits."""
    own = [
        cli_option(short, long)(lambda args, run: None)
        for short, long in (("-1", "--jobs"), ("-2", "--gpus"), ("-3", "--rex"))
    ]
    found = parse_arguments([typed, "x"], gather_options(own)).options
    assert [flag] == [known for known, value in found.items() if value == "x"]


def test_an_own_option_may_be_another_spelling_of_a_built_in_one():
    """CLI-12: ``--beat_interval``, of which Sacred only has the documents; each is found as it is written."""
    own = cli_option("-x", "--beat_interval")(lambda args, run: None)
    options = gather_options([own])
    found = parse_arguments(["--beat_interval", "3", "--beat-interval", "5"], options).options
    assert ("3", "5") == (found["--beat_interval"], found["--beat-interval"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("1/2", "1/2"),
        ("(1,2)", [1, 2]),
        ("{1:2}", {"1": 2}),
        ("{True:1,None:2,1.5:3}", {"true": 1, "null": 2, "1.5": 3}),
        ("-1", -1),
        ("1e999", math.inf),
        ("nan", "nan"),
        ("None", None),
        ("True", True),
        ("'a'", "a"),
        ("[1,(2,{'a':(1,)})]", [1, [2, {"a": [1]}]]),
        ("0x10", 16),
        ("012", "012"),
        ('"a" "b"', "ab"),
        ("'open", "'open"),
        ("10**2", "10**2"),
        ("", ""),
        ("a\0b", "a\0b"),
        ("(" * 300, "(" * 300),
        ("1if", "1if"),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_values_are_literals_or_text(text, value):
    """CLI-03: a value is a Python literal in its JSON form, else the text itself."""
    assert value == parse_value(text)
    assert type(value) is type(parse_value(text))


@pytest.mark.parametrize("text", ["{1,2}", "b'x'", "1+2j", "...", "{[]:1}", "{(1,2):3}"])
def test_literals_that_json_has_no_form_for_are_text(text):
    """CLI-03 [!]: these ended in an uncaught TypeError."""
    assert text == parse_value(text)


def test_a_dict_is_never_an_object():
    """CLI-03 [!]: the value of an update can not build objects."""
    value = {"py/object": "os.system", "py/reduce": [1]}
    assert value == parse_value(repr(value))


def test_strict_parsing_refuses_text(monkeypatch):
    """CLI-03: with STRICT_PARSING, what is no literal is an error."""
    from sacred.core.settings import SETTINGS

    monkeypatch.setitem(SETTINGS.COMMAND_LINE, "STRICT_PARSING", True)
    assert 1 == parse_value("1")
    with pytest.raises(ValueError, match="not a Python literal"):
        parse_value("hello")


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        (None, ({}, [])),
        ([], ({}, [])),
        (["a=1", "n"], ({"a": 1}, ["n"])),
        (["a.b=2", "a=1"], ({"a": 1}, [])),
        (["a==1"], ({"a": "=1"}, [])),
        ([" a = 3 "], ({"a": 3}, [])),
        (["", "x", "y"], ({}, ["x", "y"])),
        (["a="], ({"a": ""}, [])),
        (["a.b=1", "a.c=2"], ({"a": {"b": 1, "c": 2}}, [])),
        (["a={'b':1}", "a.c=2"], ({"a": {"b": 1, "c": 2}}, [])),
        (["a=1", "a=2"], ({"a": 2}, [])),
    ],
)
def test_updates_are_assignments_or_names(updates, expected):
    """CLI-02: an update with `=` assigns to a dotted path, one without names a configuration."""
    assert expected == get_config_updates(updates)


def test_contradicting_updates_are_refused():
    """CLI-04 [!]: `a=1 a.b=2` was a raw TypeError."""
    with pytest.raises(CommandLineError, match=r'"a\.b" can not be set'):
        get_config_updates(["a=1", "a.b=2"])


def test_the_message_for_an_unknown_command():
    """CLI-20: an unknown command names the ones there are, and the nearest."""
    assert (
        'Command "trian" not found. Available commands are: print_config, train. '
        'Did you mean "train"?' == unknown_command_message("trian", ["print_config", "train"])
    )
    assert 'Command "x" not found. Available commands are: train' == unknown_command_message(
        "x", ["train"]
    )


def test_an_update_without_with_is_told_so():
    """CLI-20: what looks like an update was meant as one."""
    message = unknown_command_message("a=1", ["train"])
    assert message.endswith('Available commands are: train. Did you mean "with a=1"?')


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(plain)
def test_what_json_holds_comes_back(value):
    """CLI-03: the repr of every plain value is read back as it was."""
    assert json.loads(json.dumps(value)) == parse_value(repr(value))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=8) | st.sampled_from(["with", "help", "-u", "--log", "a=1"])))
def test_no_words_are_a_stack_trace(words):
    """CLI-20: any words are understood or refused with our own error."""
    try:
        found = parse_arguments(words, OPTIONS)
    except CommandLineError:
        return
    assert set(found.options) >= {"with", "help", "UPDATE", "COMMAND"}
