"""Errors that are told in other words than Sacred's, by another class, or on one side only.

Each has an example, which a test runs: a difference that is no longer one does not stay here.
"""

from __future__ import annotations

from typing import NamedTuple

from sidebyside.comparison import FRAMES


class Sentence(NamedTuple):
    """One error.

    Attributes
    ----------
    section, facts
        Where docs/differences.md tells it, and the facts about Sacred that it is about.
    theirs, ours
        How the call ends, as a pattern: ``raised CLASS TEXT``, or ``exit STATUS`` or ``returned
        RESULT`` with what stderr has on the next lines, but for what is logged. Groups called
        ``same`` have to be.
    example
        A call after `SCRIPT`.
    call
        A pattern for the call, where it is about calls of one kind.
    whole
        Whether one of the two goes on, so that the rest can not be compared.
    """

    section: str
    facts: tuple[str, ...]
    theirs: str
    ours: str
    example: str
    call: str = ""
    whole: bool = False


#: Where the examples are tried.
SCRIPT = """\
import math

from sacred import SETTINGS, Experiment, Ingredient

data = Ingredient("data", save_git_info=False)
data.add_config(size=10)


@data.capture
def load(size):
    return size


ex = Experiment("iris", ingredients=[data], save_git_info=False)


@ex.config
def config():
    a = 1
    opts = {"x": 1}
    fail = False
    if fail:
        a = 1 / 0


@ex.named_config
def with_a_module():
    used = math


@ex.capture(prefix="opts")
def in_opts(x=0):
    return x


@ex.capture(prefix="opts.deep")
def in_deep(x=0):
    return x


@ex.capture
def by_name(a, *, b=2):
    return a, b


@ex.command
def calling():
    ex.add_config(5)


@ex.command
def caused():
    raise RuntimeError("what happened") from ValueError("never raised")


@ex.main
def main(a, opts, used=None):
    print(a, opts)
    return in_opts()


def hooked(result={}):
    @ex.config_hook
    def hook(config, command_name, logger):
        return result

    return ex.run(named_configs=["with_a_module"] if result == {} else [])


def reading(name):
    if name:
        @ex.config
        def other(nope):
            b = nope
    return ex.run()


def undeclared():
    @ex.config
    def other(opts):
        b = a
    ex.run_commandline(["case.py"])


def bad_file():
    with open("bad.json", "w") as file:
        file.write("{")
    return "bad.json"


def strict():
    SETTINGS.COMMAND_LINE.STRICT_PARSING = True
    ex.run_commandline(["case.py", "with", "a=some text"])


def nested_ingredient():
    deep = Ingredient("model.opt", save_git_info=False)
    deep.add_config(z=1)
    ex.ingredients.append(deep)
    return ex.run(config_updates={"model": [1]})


def circle():
    @ex.config
    def other():
        name = {"x": 1}
        name = {"y": name}
    return ex.run(config_updates={"name": {"x": 2}})


def with_number_as_key():
    data.add_config({"group": {1: 2}})
    return ex.run(config_updates={"data": {"group": {"x.y": 1}}})
"""


def _words(*words: str) -> str:
    return f"ex.run_commandline({['case.py', *words]!r})"


_USAGE = r"(?:Usage:\n(?:  .*\n)+\n*)?"
_ERROR = rf"exit 1\n{_USAGE}Error: "
#: What docopt says about words that do not fit.
_DOCOPT = r"(?s)exit .*Usage:\n  dummy .*"
_ANY = r"(?s).*"
_FAILED = r"(?s)(?:raised|exit).*"

SENTENCES = (
    # -- the configuration
    Sentence(
        "Errors in other words",
        ("RND-02",),
        r"(?s).*AssertionError.*Seed has to be integer but was (?P<same>.*)",
        r'(?s).*Error.*Seed has to be integer but was (?P<same>.*>)\. It is the entry ".*',
        "ex.run(config_updates={'seed': 'x'})",
    ),
    Sentence(
        "Errors in other words",
        ("RND-02",),
        r"(?s)(?P<same>raised|exit).*ValueError.*expected non-negative integer.*",
        r"(?s)(?P<same>raised|exit).*Error.*Seed has to be a non-negative integer.*",
        "ex.run(config_updates={'seed': -3})",
    ),
    Sentence(
        "Errors in other words",
        ("RND-01",),
        r"(?s).*AssertionError.*Seed has to be integer but was None.*",
        _ANY,
        "ex.run(config_updates={'data.seed': None}, options={'--force': True})",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"""raised KeyError '?Invalid key "(?P<same>.*?)". Config-keys cannot be one of thereserved.*""",
        r"""raised InvalidKeyError Invalid key "(?P<same>.*?)". Config-keys cannot be one of the reserved.*""",
        "ex.add_config({'py/object': 1})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"""(?s)(raised|exit).*Invalid key \W*"=".*may not contain anequals sign.*""",
        r"""(?s)(raised|exit).*Invalid key \W*".*=.*".*may not contain an equals sign.*""",
        "ex.add_config({'a=b': 1})",
    ),
    Sentence(
        "Sacred's defects that are not here",
        ("CFG-16",),
        r"(?s)(raised|exit).*IndexError.*string index out of range.*",
        r"(?s)(raised|exit).*Config-keys cannot be empty.*",
        "ex.add_config({'': 1})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"(?s)(raised |exit 1\n.*\n)TypeError:? can only concatenate str \(not \"\w+\"\) to str",
        _ANY,
        "with_number_as_key()",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"(?s)(raised |exit 1\n.*\n)TypeError:? '<' not supported between instances of .*",
        _ANY,
        "ex.run('print_config', config_updates={'opts': {'x': 2, 1: 2}}, options={'--force': True})",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-02",),
        r"(?s)(?P<same>raised|exit).*(TypeError|AttributeError|IndexError).*(indices must be integers|are valid indices|object does not support item assignment|is not subscriptable|is not iterable|has no attribute|a bytes-like object is required).*",
        r"(?s)(?P<same>raised|exit).* can not set '.*': its part '.*' is no dictionary but.*",
        "ex.run(config_updates={'a': 1, 'a.b': 2})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"""(?s)(?:raised|exit).*KeyError:? \W*Invalid key "(?P<same>[^"]*)". Config-keys cannot contain.*""",
        r"""(?s)(?:raised InvalidKeyError |exit 1\nError: )Invalid key "(?P<same>[^"]*)". Config-keys cannot contain.*""",
        "ex.add_config({'a': {'b.c': 1}})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        _ANY,
        r"(?s)(?:raised InvalidKeyError |exit 1\nError: )(?:Invalid key|Key) .* of what was set .*",
        "ex.run(config_updates={'data': {'size': {'$x': 1}}})",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("SCO-04",),
        r"""(?s)(?:raised|exit).*KeyError:? "'(?P<same>\w+)' not in preset for ConfigScope.*""",
        r"""(?s)(?:raised ScopeArgumentError |exit 1\nError: )'(?P<same>\w+)' not in preset for ConfigScope.*""",
        "reading('nope')",
    ),
    Sentence(
        "Errors in other words",
        ("SCO-04",),
        r"(?s)(?P<same>exit 1\n.*NameError: name '\w+' is not defined)",
        r"(?s)(?P<same>exit 1\n.*NameError: name '\w+' is not defined)\nTo read .* has to declare it.*",
        "undeclared()",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-03",),
        r"(?s)(?P<same>.*Named config not found: .*)",
        r"(?s)(?P<same>.*Named config not found: .*\))\. (?:Did you mean|There is no such|It is a).*",
        "ex.run(named_configs=['with_a_modul'])",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-03",),
        r"(?s)(?:raised|exit).*KeyError:? \W*Ingredient for named config \"(?P<same>.*?)\" not found\W*",
        r"(?s)(?:raised IngredientNotFoundError |exit 1\nError: )Ingredient for named config \"(?P<same>.*?)\" not found.*",
        "ex.run(named_configs=['nope.json'])",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-18",),
        r"(?s)(?:raised|exit).*(?:ValueError|JSONDecodeError|AttributeError|\w+Error).*",
        r"(?s)(?:raised ConfigFileError |exit 1\nError: ).*(?:can not be read as|holds no entries|unsupported extension).*",
        "ex.run(named_configs=[bad_file()])",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-08",),
        r"(?s)(?:raised|exit).*AttributeError:? '\w+' object has no attribute '\w+'.*",
        r"(?s)(?:raised ConfigTypeError |exit 1\nError: )The config hook \".*\" .* returned .*",
        "hooked(3)",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-11",),
        r"(?s)(?P<same>.*not used anywhere\nConflicting configuration values:\n.*?)",
        r"(?s)(?P<same>.*not used anywhere\nConflicting configuration values:\n.*?)\n+It was set .*",
        "ex.run(config_updates={'new': 3})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-02",),
        _ANY,
        r"(?s)(raised|exit).*ConfigAddedError.*\w+\" is an ingredient: update its entries.*",
        "ex.run(config_updates={'data': 3})",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-11",),
        r"(?s)(?P<same>.*Conflicting configuration values:\n  \w+\.[^\n=]*)=None\W*",
        r"(?s)(?P<same>.*Conflicting configuration values:\n  \w+\.[^\n=]*)=.*",
        "ex.run(config_updates={'data.new': 3})",
    ),
    Sentence(
        "Errors in other words",
        ("CFG-08",),
        r"(?s).*(TypeError.*cannot pickle '|AttributeError.*object has no attribute 'get').*"
        # One hook gives a group for what another made a value.
        r"|(?s:(raised |exit 1\nException originated from within Sacred.*\n))"
        r"TypeError:? '(tuple|str|int|float|bool|NoneType)' object does not support item assignment",
        # Not what is said of updates that do so.
        r"(?s)(?!.*can not (?:be )?set).*|.*The config hook .* can not set.*",
        "hooked()",
        whole=True,
    ),
    # -- functions
    Sentence(
        "Errors in other words",
        ("CAP-01",),
        r"(?s)(?P<same>raised|exit).*TypeError.*\w+\(\) takes .* positional arguments? but .*",
        r"(?s)(?P<same>raised|exit).*SignatureError.*\w+ got unexpected argument\(s\): .*",
        "by_name(1, 2)",
    ),
    Sentence(
        "Errors in other words",
        ("CAP-01",),
        r"(?s)(?P<same>raised|exit).*SignatureError:? \w+ got unexpected argument\(s\): \(.*\)",
        r"(?s)(?P<same>raised|exit).*SignatureError:? \w+ got unexpected argument\(s\): \(.*\)",
        "by_name(1, 2, 3)",
    ),
    Sentence(
        "Errors in other words",
        ("CAP-03",),
        # In a text, Sacred looks for the prefix as a part of it.
        _ANY,
        r"(?s)(raised|exit).*ConfigError.*is captured with prefix=.*is no group.*",
        "ex.run(config_updates={'opts': [1]})",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CAP-03",),
        r"(?s)(raised |exit 1\n.*\n)TypeError:? argument of type '\w+' is not iterable",
        _ANY,
        "ex.run('print_config', config_updates={'opts': 3})",
        whole=True,
    ),
    # -- the command line
    Sentence(
        "Sacred's defects that are not here",
        ("CLI-04",),
        r"raised TypeError ('\w+' object does not support item assignment|list indices must be .*|argument of type '\w+' is not iterable)",
        rf"""{_ERROR}"(.*)" can not be set: an update before it makes.*""",
        _words("with", "a=1", "a.b=2"),
    ),
    Sentence(
        "The command line",
        ("CLI-02",),
        _ANY,
        rf"""{_ERROR}".*" can not be set: a name in ".*" is empty.*""",
        _words("with", "=3"),
        whole=True,
    ),
    Sentence(
        "Sacred's defects that are not here",
        ("CLI-03",),
        r"raised TypeError (Object of type (set|bytes|ellipsis|complex) is not JSON serializable|keys must be .*)",
        _ANY,
        _words("with", "a={1, 2}"),
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CLI-03",),
        r"(?s)raised (SyntaxError|ValueError|IndentationError) .*",
        rf"""{_ERROR}".*" is not a Python literal. With STRICT_PARSING.*""",
        "strict()",
    ),
    Sentence(
        "The command line",
        ("CLI-10",),
        _DOCOPT,
        _ANY,
        _words("--print_config"),
        call="--print_config|--beat_interval",
        whole=True,
    ),
    Sentence(
        "The command line",
        ("CLI-21",),
        r"exit 0",
        r"exit 0",
        _words("help", "print_config"),
        call="help.*print_config",
        whole=True,
    ),
    Sentence(
        "The command line",
        ("CLI-01",),
        _ANY,
        _ANY,
        _words("with", "a=2", "--"),
        call="'--'",
        whole=True,
    ),
    Sentence(
        "The command line",
        ("CLI-01",),
        _DOCOPT,
        r"exit [01]",
        _words("-h", "with", "a=2"),
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CLI-01",),
        r"exit 1",
        rf"""{_ERROR}("help" explains one|Nothing follows "with").*""",
        _words("with"),
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CLI-20",),
        _DOCOPT,
        r"(?s)exit 1\n.*\nError: .*",
        _words("--nonsense"),
        whole=True,
    ),
    Sentence(
        "The command line",
        ("CLI-10",),
        r"(?s).*ValueError: Unknown level: '[a-z]+'",
        _ANY,
        _words("-l", "warning"),
        call="-l|--lo",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CLI-10",),
        r"(?s).*ValueError: Unknown level: .*",
        r"(?s).*Error: Unknown log level \".*\"\. Use a number.*",
        _words("-l", "NOPE"),
    ),
    Sentence(
        "Errors in other words",
        ("CLI-10",),
        r"(?s)exit 1\n.*ValueError: could not convert string to float: .*",
        r"(?s)exit 1\n.*Error: The value of -\w/--\S+ must be a number, not .*",
        _words("-P", "much"),
    ),
    Sentence(
        "Errors in other words",
        ("CLI-10",),
        r"(?s).*RuntimeError:? No version control detected.*",
        r"(?s).*Error:? No version control detected, so --enforce_clean can not be kept.*",
        _words("-e"),
    ),
    Sentence(
        "Errors in other words",
        ("CLI-01",),
        r"exit 1",
        rf"""{_ERROR}Unknown option "-\d".*""",
        _words("-P", "3", "-1"),
        whole=True,
    ),
    Sentence(
        "Sacred's defects that are not here",
        ("CLI-20",),
        r"raised KeyError .*|exit 1",
        r"exit [01]",
        _words("help", "nope"),
        call="'help'",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-09",),
        _FAILED,
        r"(?s)(raised|exit).*ConfigError.*\" can not be .*: the ingredient .* has its place in it.*",
        "nested_ingredient()",
    ),
    Sentence(
        "Errors in other words",
        ("OUT-01",),
        r"(?s)(raised|exit 1\n).*KeyError.*Unknown capture mode.*",
        r"(?s)(raised|exit 1\n).*Unknown capture mode.*",
        _words("-C", "xx"),
        whole=True,
    ),
    Sentence(
        "Errors are told",
        ("CLI-10",),
        _ANY,
        r"(?s)(raised RunIdTakenError |exit 1\n.*Error: )There is a run with the id .*",
        "[ex.run(options={'--id': 'x'}).result for _ in range(2)]",
        whole=True,
    ),
    Sentence(
        "Errors in other words",
        ("CFG-16",),
        r"(?s)(raised|exit).*RecursionError.*maximum recursion depth.*",
        r"(?s)(raised|exit).*contains itself, or is nested too deeply.*",
        "circle()",
    ),
    Sentence(
        "Errors in other words",
        ("CLI-20",),
        r"raised KeyError '(?P<same>.*? not found.*?)\.?'",
        r"raised CommandNotFoundError (?P<same>.*? not found.*?)\. Available commands are: .*",
        "ex.run('nope')",
    ),
    # -- stack traces
    Sentence(
        "Errors are told",
        ("RUN-11",),
        rf"(?s)exit 1\nException originated from within Sacred.*{FRAMES}(?P<same>\w+: .*)",
        r"(?s)exit 1\nTraceback \(most recent calls WITHOUT.*\n(?P<same>\w+: .*?)(?:: give a dictionary.*)?",
        _words("calling"),
    ),
    Sentence(
        "Errors in other words",
        ("RUN-11",),
        r"raised IndexError list index out of range",
        r"(?s)exit 1\n.*The above exception was the direct cause.*",
        _words("caused"),
    ),
)
