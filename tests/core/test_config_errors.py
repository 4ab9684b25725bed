"""What is wrong with a configuration or a command line: the entry, the place, the remedy."""

from __future__ import annotations

import os
import re

import pytest

from sacred.core.config.errors import (
    ConfigFileError,
    ConfigTypeError,
    IngredientNotFoundError,
    InvalidKeyError,
    ScopeArgumentError,
)
from sacred.core.errors import ConfigAddedError, NamedConfigNotFoundError, SacredError

HEAD = """\
from sacred import Experiment, Ingredient, SETTINGS

data = Ingredient("data", save_git_info=False)
data.add_config(size=10)
ex = Experiment("x", ingredients=[data], save_git_info=False)


@ex.main
def main():
    pass


"""
LINE = HEAD.count("\n")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return the experiment of a script in a folder of its own, which is the present one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")

    def make(source, name="train.py", **files):
        for file, text in files.items():
            path = tmp_path / file.replace("_", ".")
            path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
        path = tmp_path / name
        path.write_text(HEAD + source)
        module = {"__name__": "train", "__file__": str(path)}
        exec(compile(HEAD + source, str(path), "exec"), module)
        return module["ex"]

    return make


def printed(ex, capsys, *words):
    """Return what a command line that fails prints on stderr, but for what is logged."""
    with pytest.raises(SystemExit) as ended:
        ex.run_commandline(["train.py", *words])
    assert 1 == ended.value.code
    lines = capsys.readouterr().err.splitlines()
    return "\n".join(line for line in lines if not re.match("(INFO|WARNING|ERROR) - ", line))


# -- scopes ---------------------------------------------------------------------------------------

SCOPES = {
    "a key with a dot": (
        '@ex.config\ndef cfg():\n    a = 1\n    b = {"deep": {"x.y": 1}}\n',
        InvalidKeyError,
        (
            'Invalid key "x.y".*It is in "b.deep" of the config scope "cfg" (train.py:{4}). Rename it, '
            "or allow such keys: SETTINGS.CONFIG.ENFORCE_KEYS_MONGO_COMPATIBLE = False."
        ),
    ),
    "a reserved key": (
        '@ex.config\ndef cfg():\n    b = {\n        "py/object": 1,\n    }\n',
        InvalidKeyError,
        (
            'Invalid key "py/object".*It is in "b" of the config scope "cfg" (train.py:{3}).*'
            "ENFORCE_KEYS_JSONPICKLE_COMPATIBLE"
        ),
    ),
    "an empty key": (
        '@ex.config\ndef cfg():\n    b = {"": 1}\n',
        InvalidKeyError,
        'Invalid key "". Config-keys cannot be empty.*"cfg" (train.py:{3})',
    ),
    "an equals sign": (
        '@ex.config\ndef cfg():\n    b = {"a=b": 1}\n',
        InvalidKeyError,
        'Invalid key "a=b".*"cfg" (train.py:{3}).*ENFORCE_KEYS_NO_EQUALS',
    ),
    "in a list": (
        '@ex.config\ndef cfg():\n    b = [{"c": {"$d": 1}}]\n',
        InvalidKeyError,
        'Invalid key "$d".*It is in "b.c" of the config scope "cfg" (train.py:{3})',
    ),
    "a name that nothing sets": (
        "@ex.config\ndef cfg(nope):\n    a = nope\n",
        ScopeArgumentError,
        (
            "'nope' not in preset for ConfigScope. Available options are: .* It is a parameter of the "
            'config scope "cfg" (train.py:{2}). An earlier configuration has to set it'
        ),
    ),
    "the seed": (
        "@ex.config\ndef cfg(seed):\n    a = seed\n",
        ScopeArgumentError,
        "'seed' not in preset.*(train.py:{2}). A scope can set the seed and not read it",
    ),
    "what a hook returns": (
        "@ex.config_hook\ndef hook(config, command_name, logger):\n    return 3\n",
        ConfigTypeError,
        'The config hook "hook" (train.py:{1}) returned 3. Return a dictionary',
    ),
}


def pattern(text):
    """Make a pattern of a text in which ``.*`` is one, and ``{n}`` the nth line after the head."""
    text = re.sub(r"\{(\d+)\}", lambda match: str(LINE + int(match[1])), text)
    return ".*".join(map(re.escape, text.split(".*")))


@pytest.mark.parametrize("which", SCOPES)
def test_an_error_of_a_scope_names_the_file_and_the_line(which, program, capsys):
    """CFG-16, SCO-04, CFG-08: one sentence on the command line, an exception in a program."""
    source, kind, expected = SCOPES[which]
    ex = program(source)
    with pytest.raises(kind) as caught:
        ex.run()
    assert re.match(pattern(expected), str(caught.value)), str(caught.value)
    assert f"Error: {caught.value}" == printed(ex, capsys)


@pytest.mark.parametrize(("kind", "base"), [
    (InvalidKeyError, KeyError), (ScopeArgumentError, KeyError), (ConfigTypeError, TypeError),
    (ConfigFileError, ValueError), (IngredientNotFoundError, KeyError),
    (IngredientNotFoundError, NamedConfigNotFoundError),
])  # fmt: skip
def test_programs_that_catch_what_sacred_raises_go_on_doing_so(kind, base):
    """CFG-16, CFG-03, SCO-04: the classes derive from those that Sacred raises there."""
    assert issubclass(kind, base)
    assert issubclass(kind, SacredError)
    assert "what is wrong" == str(kind("what is wrong"))


def test_an_error_in_the_body_shows_its_line(program, capsys):
    """SCO-02: the stack trace on the command line ends in the user's file."""
    ex = program("@ex.config\ndef cfg():\n    a = 1\n    b = a / 0\n")
    text = printed(ex, capsys).rstrip()
    assert re.search(rf'train.py", line {LINE + 4}, in cfg\n    b = a / 0\n', text)
    assert text.endswith("ZeroDivisionError: division by zero")
    assert "sacred/core" not in text


@pytest.mark.parametrize(
    ("source", "kind", "message", "line"),
    [
        ("@ex.config\ndef cfg(a=1):\n    b = 1\n", TypeError, "default values are not allowed", 1),
        ("@ex.config\ndef cfg(*a):\n    b = 1\n", TypeError, "*args not allowed", 1),
        ("@ex.config\ndef cfg(**a):\n    b = 1\n", TypeError, "**kwargs not allowed", 1),
        ("ex.config(lambda: None)\n", TypeError, "defined by def", 1),
        ("@ex.config_hook\ndef h(config):\n    return\n", ValueError, "Wrong signature", 1),
        (
            "@ex.named_config\ndef n():\n    a = 1\n\n\n@ex.named_config\ndef n():\n    a = 2\n",
            KeyError,
            'Configuration name "n" already in use! It is the config scope "n"',
            2,
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_defined_names_the_place(source, kind, message, line, program):
    """SCO-01, ING-06, ING-08: function, file and line stand in the message."""
    with pytest.raises(kind) as caught:
        program(source)
    text = str(caught.value.args[0])
    assert message in text
    assert f"(train.py:{LINE + line})" in text


def test_a_return_names_its_line(program):
    """SCO-03: the SyntaxError shows the line as Python shows one."""
    with pytest.raises(SyntaxError) as caught:
        program("@ex.config\ndef cfg():\n    a = 1\n    return a\n")
    assert (LINE + 4, "    return a\n") == (caught.value.lineno, caught.value.text)


def test_a_variable_that_has_to_be_a_parameter(program):
    """SCO-04: the note on a NameError says what to declare, where the entry is known."""
    ex = program("ex.add_config(a=1)\n\n\n@ex.config\ndef cfg(data):\n    b = a\n")
    with pytest.raises(NameError, match="name 'a' is not defined") as caught:
        ex.run()
    notes = getattr(caught.value, "__notes__", None)
    if hasattr(caught.value, "add_note"):
        assert ["def cfg(data, a)"] == [note.rpartition(": ")[2] for note in notes]


def test_an_unknown_variable_has_no_note(program):
    """SCO-04: what nobody knows is Python's error as it is."""
    ex = program("@ex.config\ndef cfg():\n    b = nowhere\n")
    with pytest.raises(NameError) as caught:
        ex.run()
    assert not hasattr(caught.value, "__notes__")


# -- updates --------------------------------------------------------------------------------------

ADDED = """\
sacred.utils.ConfigAddedError: Added new config entry that is not used anywhere
Conflicting configuration values:
  """


@pytest.mark.parametrize(
    ("words", "value", "hint"),
    [
        (["with", "raet=3"], "raet=3", 'It was set on the command line. Did you mean "rate"?'),
        (["with", "opt.bta=1"], "opt.bta=1", 'on the command line. Did you mean "opt.beta"?'),
        (
            ["with", "named"],
            "zzz=1",
            f'It was set by the config scope "named" (train.py:{LINE + 12}).',
        ),
        (
            ["with", "more.json"],
            "yyy=1",
            'It was set by the file "more.json". There are: argument, opt.beta, rate, seed.',
        ),
        (["with", "data.sise=1"], "data.sise=1", 'Did you mean "data.size"?'),
        (["with", "dicts"], "xxx=1", "It was set by a dictionary."),
    ],
)
def test_an_update_that_nothing_uses_says_where_it_was_given(words, value, hint, program, capsys):
    """CFG-11: where the update is from, and what was probably meant."""
    ex = program(
        '@ex.config\ndef cfg():\n    rate = 0.1\n    opt = {"beta": 1}\n\n\n'
        "@ex.capture\ndef f(argument, _run, _seed):\n    pass\n\n"
        "@ex.named_config\ndef named():\n    zzz = 1\n\n\nex.add_named_config('dicts', xxx=1)\n",
        more_json='{"yyy": 1}',
    )
    text = printed(ex, capsys, *words)
    assert text.startswith(f"{ADDED}{value}\n")
    assert hint in text.splitlines()[3]


def test_a_group_alone_makes_no_entry_alike(program, capsys):
    """CFG-11: what shares only the name of a long group with the entry was not meant."""
    ex = program('ex.add_config(optimizer={"betas": 1, "learning_rate": 2})\n')
    text = printed(ex, capsys, "with", "optimizer.momentum=0.9")
    assert "There are: optimizer.betas, optimizer.learning_rate, seed." in text
    text = printed(ex, capsys, "with", "optimiser.betas=0.9")
    assert 'Did you mean "optimizer.betas"?' in text


def test_an_update_of_a_call(program):
    """CFG-11: also the call is named, and --force."""
    ex = program("")
    with pytest.raises(ConfigAddedError, match="It was set in the config_updates of the call.*--f"):
        ex.run(config_updates={"b": 1})


def test_a_long_list_of_entries_is_not_shown(program):
    """CFG-11: the message stays readable with a large configuration."""
    ex = program("ex.add_config({f'entry{n}': n for n in range(100)})\n")
    with pytest.raises(ConfigAddedError) as caught:
        ex.run(config_updates={"qqq": 1})
    assert "There are" not in str(caught.value)


def test_a_change_of_type_is_logged_in_sacreds_words(program, caplog):
    """CFG-12: the line is compared by people's tests and stays as it is."""
    ex = program("ex.add_config(a=1)\n")
    ex.run_commandline(["train.py", "with", "a=text"])
    assert 'Changed type of config entry "a" from int to str' in caplog.messages


# -- names and files ------------------------------------------------------------------------------

FILES = {
    "bad.json": ('{"a": 1,\n "b" 2}', '"bad.json" can not be read as JSON: .*line 2 column 6'),
    "empty.json": ("", '"empty.json" can not be read as JSON: .*line 1 column 1'),
    "latin.json": (b'{"a": "\xe4"}', "\"latin.json\" can not be read as JSON: 'utf-8' codec"),
    "deep.json": ("[" * 100_000, '"deep.json" can not be read as JSON: RecursionError'),
    "list.json": ("[1]", 'The file "list.json" holds no entries but a value of type list.'),
    "key.json": ('{"a": {"b.c": 1}}', 'Invalid key "b.c".*in "a" of the file "key.json". Rename'),
    "bad.yaml": ("a: [1, 2\nb: 3", '"bad.yaml" can not be read as YAML: .*line 2'),
    "a.txt": ("a", 'Configuration file "a.txt" has invalid or unsupported extension ".txt"'),
    "no.json": (None, 'Ingredient for named config "no.json" not found.*no such file either'),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_configuration(name, program, capsys):
    """CFG-18, CFG-03: the file, the line where there is one, and what to do, in one sentence."""
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    content, expected = FILES[name]
    files = {} if content is None else {name.replace(".", "_"): content}
    text = printed(program("", **files), capsys, "with", name)
    assert re.match(pattern(f"Error: {expected}"), text), text


def test_a_file_that_a_script_names(program):
    """ING-07: the same sentences, where the script adds the file."""
    with pytest.raises(InvalidKeyError, match=r'in "a" of the file "key.json"'):
        program("ex.add_config('key.json')\n", key_json=FILES["key.json"][0])
    with pytest.raises(ConfigFileError, match=r'"bad.json" can not be read as JSON'):
        program("ex.add_named_config('n', 'bad.json')\n", bad_json=FILES["bad.json"][0])


def test_an_empty_file_of_yaml_sets_nothing(program):
    """CFG-18: as one with comments only."""
    pytest.importorskip("yaml")
    ex = program("ex.add_config(a=1)\nex.add_config('e.yaml')\n", e_yaml="# nothing yet\n")
    assert 1 == ex.run().config["a"]


def test_a_named_configuration_that_is_misspelt(program, capsys):
    """CFG-03: what was meant is said, also for one of an ingredient."""
    source = "ex.add_named_config('quick', a=1)\ndata.add_named_config('small', size=1)\n"
    text = printed(program(source), capsys, "with", "quikc")
    assert text.rstrip().endswith("""config values are: ('quick',). Did you mean "quick"?""")
    text = printed(program(source), capsys, "with", "dta.small")
    assert text.startswith('Error: Ingredient for named config "dta.small" not found.')
    assert text.endswith('named configs are: data.small, quick. Did you mean "data.small"?')


def test_a_folder_is_no_configuration(program, capsys, tmp_path):
    """CFG-03: a folder of that name is told."""
    for name in ("conf", "conf.json"):
        (tmp_path / name).mkdir()
        assert "It is a folder" in printed(program(""), capsys, "with", name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")
def test_a_pipe_is_no_configuration(program, capsys, tmp_path):
    """CFG-03: it is there, and is not read, because nobody may ever write into it."""
    os.mkfifo(tmp_path / "conf.json")
    text = printed(program(""), capsys, "with", "conf.json")
    assert "is a pipe or a device: name a file" in text
    assert "no such file" not in text


def test_saving_where_nothing_can_be_saved(program, capsys):
    """CMD-06: a wrong extension and a missing folder are sentences."""
    ex = program("")
    text = printed(ex, capsys, "save_config", "with", "config_filename=x.txt")
    assert text.startswith('Error: Configuration file "x.txt" has invalid')
    text = printed(ex, capsys, "save_config", "with", "config_filename=no/x.json")
    assert 'Error: "no/x.json" can not be written: No such file or directory.' == text


def test_a_path_through_a_value(program, capsys):
    """CFG-02: a sentence that names the part, from a program too."""
    with pytest.raises(ConfigTypeError, match="can not set 'a.b': its part 'a' is no dictionary"):
        program("").run(config_updates={"a": 1, "a.b": 2})
