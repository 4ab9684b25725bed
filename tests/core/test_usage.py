"""The layout of the usage text."""

from __future__ import annotations

from sacred.core.options import CLIOption, CommandLineOption, cli_option, gather_options
from sacred.core.usage import format_usage, printable_usage

FORMS = (
    "Usage:\n"
    "  p [(with UPDATE...)] [options]\n"
    "  p help [COMMAND]\n"
    "  p (-h | --help)\n"
    "  p COMMAND [(with UPDATE...)] [options]"
)
ARGUMENTS = (
    "\n\nArguments:\n"
    "  COMMAND   The command to run (see the list below)\n"
    "  UPDATE    An assignment like a.b=17, a named configuration or a file\n\n"
)


def test_the_sections_and_their_blank_lines():
    """CLI-05: Usage, description, Options, Arguments, with the original's blank lines."""
    assert f"{FORMS}\n\n\n\nOptions:\n{ARGUMENTS}" == format_usage("p", "", {}, ())
    assert f"{FORMS}\n\nwhat it is\n   more\n\nOptions:\n{ARGUMENTS}" == format_usage(
        "p", "  what it is\n   more\n", None, ()
    )


def test_commands_are_listed_with_the_first_line_of_their_docstring():
    """CLI-05: the name column is as wide as the longest name."""

    def one():
        """One.

        More.
        """

    def two():
        """
        Starts below.
        """

    def three():
        pass

    text = format_usage("p", None, {"a": one, "longer_name": two, "c": three})
    assert (
        "\nCommands:\n  a            One.\n  longer_name  Starts below.\n  c            \n"
        == text[text.index("\nCommands:") :]
    )


def option(short, long, doc, is_flag=False):
    def function(args, run):
        pass

    function.__doc__ = doc
    made = cli_option(short, long, is_flag)(function)
    assert isinstance(made, CLIOption)
    return made


def test_options_have_a_column_of_28_and_wrap_at_79():
    """CLI-05: flags are padded to 28, longer ones push the text, which keeps its 47 columns."""
    text = format_usage(
        "p",
        "",
        {},
        [
            option("-b", "--beat-interval", "Aaa.\n\n    " + "word " * 20),
            option("-d", "--debug", "Ddd.", True),
            option("-x", "--nothing", None, True),
        ],
    )
    options = text[text.index("Options:") : text.index("\n\n\nArguments")]
    assert options.split("\n") == [
        "Options:",
        "  -b VALUE --beat-interval=VALUE  Aaa.  word word word word word word word word",
        "                                word word word word word word word word word",
        "                                word word word",
        "  -d --debug                    Ddd.",
        "  -x --nothing                  ",
    ]


def test_the_arguments_of_options_are_explained():
    """CLI-13: an option's own word for its value stands among the arguments."""
    own = option("-o", "--own", "Own.")
    own.arg = "MSG"
    own.arg_description = "what the message is " * 5
    text = format_usage("p", "", {}, [own])
    assert "  -o MSG --own=MSG              Own.\n" in text
    assert (
        "  MSG       what the message is what the message is what the message is what\n"
        "            the message is what the message is\n" in text
    )


def test_the_program_name_is_quoted():
    """CLI-05: a program whose name has spaces is shown as a shell needs it."""
    assert "Usage:\n  'prog name.py' [(with" in format_usage("prog name.py", "")


def test_the_short_usage_is_the_forms():
    """CLI-20: the short usage is the first paragraph."""
    assert FORMS == printable_usage(format_usage("p", "text", {"a": print}, ()))


def test_every_built_in_option_fits_the_width():
    """CLI-05: no line is longer than 79 unless its flags are longer than their column."""
    text = format_usage("p", "", {}, gather_options())
    long_lines = [line for line in text.split("\n") if len(line) > 79]
    assert [] == [line for line in long_lines if line[30] == " "]
    assert CommandLineOption not in gather_options()
