"""The options and what they do to a run."""

from __future__ import annotations

import logging
import os
import types

import pytest

from sacred.core.commandline import CommandLineError, parse_arguments
from sacred.core.errors import SacredError
from sacred.core.experiment import Experiment
from sacred.core.options import (
    DEFAULT_OPTIONS,
    CLIOption,
    CommandLineOption,
    cli_option,
    gather_options,
)


@pytest.fixture
def run():
    """What an option sees of a run."""
    logger = logging.getLogger("root of the test")
    return types.SimpleNamespace(
        meta_info={}, experiment_info={}, observers=[], root_logger=logger, run_logger=logger
    )


def apply(flag, value, run):
    (option,) = [option for option in DEFAULT_OPTIONS if option.get_flag() == flag]
    option.apply(value, run)


def test_the_table():
    """CLI-10: short flag, long flag and kind of every option, in the order of function names."""
    assert [(*option.get_flags(), option.is_flag) for option in DEFAULT_OPTIONS] == [
        ("-b", "--beat-interval", False),
        ("-C", "--capture", False),
        ("", "--color", False),
        ("-c", "--comment", False),
        ("-d", "--debug", True),
        ("-e", "--enforce_clean", True),
        ("-F", "--file_storage", False),
        ("-f", "--force", True),
        ("-G", "--gcs", False),
        ("-h", "--help", True),
        ("-i", "--id", False),
        ("-J", "--journal", False),
        ("-l", "--loglevel", False),
        ("-m", "--mongo_db", False),
        ("-n", "--name", False),
        ("-D", "--pdb", True),
        ("-p", "--print-config", True),
        ("-P", "--priority", False),
        ("-q", "--queue", True),
        ("-R", "--resume", False),
        ("-S", "--s3", False),
        ("-s", "--sql", False),
        ("-t", "--tiny_db", False),
        ("-u", "--unobserved", True),
    ]


@pytest.mark.parametrize(
    ("flag", "value", "attribute", "expected"),
    [
        ("--beat-interval", "2.5", "beat_interval", 2.5),
        ("--capture", "sys", "capture_mode", "sys"),
        ("--color", "never", "color", "never"),
        ("--debug", True, "debug", True),
        ("--force", True, "force", True),
        ("--id", "my-run_1", "_id", "my-run_1"),
        ("--pdb", True, "pdb", True),
        ("--queue", True, "queue_only", True),
        ("--unobserved", True, "unobserved", True),
        ("--journal", "there", "journal_root", os.path.abspath("there")),
    ],
)
def test_an_option_sets_an_attribute(run, flag, value, attribute, expected):
    """CLI-10: these options set one attribute of the run."""
    apply(flag, value, run)
    assert expected == getattr(run, attribute)


def test_comment_priority_and_name(run):
    """CLI-10: comment and priority are meta information; a name also names the logger."""
    apply("--comment", "hi", run)
    apply("--priority", "3", run)
    apply("--name", "new", run)
    assert {"comment": "hi", "priority": 3.0} == run.meta_info
    assert "new" == run.experiment_info["name"]
    assert run.run_logger is run.root_logger.getChild("new")


@pytest.mark.parametrize(("value", "level"), [("30", 30), ("debug", 10), ("ERROR", 40)])
def test_loglevel_takes_numbers_and_names(run, value, level):
    """CLI-10: -l sets the level of the root logger."""
    apply("--loglevel", value, run)
    assert level == run.root_logger.level


@pytest.mark.parametrize(
    ("flag", "value", "part"),
    [
        ("--beat-interval", "x", "must be a number"),
        ("--priority", "x", "must be a number"),
        ("--loglevel", "loud", 'Unknown log level "loud"'),
        ("--capture", "all", "Unknown capture mode 'all'"),
        ("--id", "../../evil", "can not be the id"),
        ("--id", "..", "can not be the id"),
        ("--id", "a\nb", "can not be the id"),
    ],
)
def test_a_wrong_value_is_one_sentence(run, flag, value, part):
    """CLI-10: a value that an option can not use is a ValueError with a sentence."""
    with pytest.raises(SacredError) as caught:
        apply(flag, value, run)
    assert isinstance(caught.value, ValueError)
    assert part in str(caught.value)
    assert caught.value.print_traceback is False


@pytest.mark.parametrize(
    ("short", "long", "fits"),
    [
        ("-o", "--own", True),
        ("o", "--own", False),
        ("-ow", "--own", False),
        ("-o", "-own", False),
        ("-o", "--o", False),
        ("-o", "--own flag", False),
        ("-o", "--own-", False),
        ("-o", "--own_flag", True),
        ("-1", "--1a", True),
    ],
)
def test_flags_must_be_well_formed(short, long, fits):
    """CLI-12: short `-\\w`, long `--[\\w-]+\\w`, else ValueError."""
    if fits:
        assert isinstance(cli_option(short, long)(lambda args, run: None), CLIOption)
    else:
        with pytest.raises(ValueError, match="flag malformed"):
            cli_option(short, long)


def test_an_own_option_is_parsed_and_applied(run):
    """CLI-12: a decorated function is an option with its docstring as help."""

    @cli_option("-o", "--own-flag", is_flag=True)
    def own(args, run):
        """Own help."""
        run.own = args

    options = gather_options([own])
    assert own is options[-1]
    values = parse_arguments(["-o"], options).options
    own.apply(values["--own-flag"], run)
    assert (True, "Own help.", "own") == (run.own, own.get_description(), own.get_name())


def test_old_options_are_picked_up_with_a_warning(run):
    """CLI-13: every subclass of CommandLineOption is an option, first in the table."""
    with pytest.warns(DeprecationWarning, match="MyOldThingOption"):

        class MyOldThingOption(CommandLineOption):
            """Old help."""

            short_flag = "z"
            arg = "MSG"
            arg_description = "the message"

            @classmethod
            def apply(cls, args, run):
                run.old = args

    try:
        options = gather_options()
        assert MyOldThingOption is options[0]
        assert ("-z", "--my_old_thing") == MyOldThingOption.get_flags()
        values = parse_arguments(["--my_old_thing=3"], options).options
        MyOldThingOption.apply(values["--my_old_thing"], run)
        assert "3" == run.old
    finally:
        del MyOldThingOption, options, values
        import gc

        gc.collect()


def test_a_long_flag_that_two_options_have():
    """CLI-12: programs whose own option has a long flag of ours run; typed, it is refused."""
    clash = cli_option("-o", "--comment")(lambda args, run: None)
    options = gather_options([clash])
    assert parse_arguments([], options).options["--comment"] is None
    assert "mine" == parse_arguments(["-o", "mine"], options).options["--comment"]
    for typed in ("--comment=x", "--comm=x"):
        with pytest.raises(CommandLineError, match='Two options are called "--comment"'):
            parse_arguments([typed], options)


@pytest.mark.parametrize("flag", ["--color", "--journal", "--resume", "--gcs"])
def test_an_own_option_takes_the_place_of_one_that_sacred_does_not_have(flag):
    """CLI-12: it is the experiment's own then, and the others are as they were."""
    given = []
    own = cli_option("-k", flag)(lambda args, run: given.append(args))
    ex = Experiment("own", save_git_info=False, additional_cli_options=[own])

    @ex.main
    def main():
        return 3

    assert 3 == ex.run_commandline(["own.py", "-u"]).result
    run = ex.run_commandline(["own.py", "-u", flag, "hello"])
    assert ("hello", ["hello"]) == (run.meta_info["options"][flag], given)


def test_an_option_can_be_called_as_its_function():
    """CLI-12: the name of the function stands for the option, and can be called like it."""

    @cli_option("-o", "--own", is_flag=True)
    def own(args, run=None):
        return args, run

    assert ((1, 2), (3, None)) == (own(1, 2), own(args=3))


def test_disabled_options_can_be_filtered_out(monkeypatch):
    """CLI-13: gather_command_line_options leaves out options that say they are disabled, if asked."""
    from sacred.core import options
    from sacred.experiment import gather_command_line_options

    off = types.SimpleNamespace(_enabled=False)
    on = types.SimpleNamespace(_enabled=True)
    monkeypatch.setattr(options, "gather_options", lambda: [on, off])
    found = [gather_command_line_options(filtered) for filtered in (None, False, True)]
    assert [[on, off], [on, off], [on]] == found
