"""Configurations and command lines hold data: no known payload runs code."""

from __future__ import annotations

import json
import os
import pickle

import pytest

from sacred import SETTINGS, Experiment
from sacred.core.config.config_files import load_config_file
from sacred.core.config.errors import ConfigFileError

#: What jsonpickle's decoder calls or builds: each would make the folder "owned".
JSONPICKLE = [
    {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["owned"]}]},
    {"py/reduce": [{"py/type": "os.mkdir"}, {"py/tuple": ["owned"]}, None, None, None]},
    {"py/object": "subprocess.Popen", "py/newargs": {"py/tuple": [["mkdir", "owned"]]}},
    {"py/object": "subprocess.Popen", "py/newargsex": {"py/tuple": [[["mkdir", "owned"]], {}]}},
    {"py/object": "subprocess.Popen", "py/initargs": {"py/tuple": [["mkdir", "owned"]]}},
    {"py/object": "os.system", "py/state": "mkdir owned"},
    {"py/object": "builtins.exec", "py/newargs": ["__import__('os').mkdir('owned')"]},
    {"py/repr": "os/os.mkdir('owned')"},
    {"py/property": "os.mkdir"},
    {"py/iterator": [{"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["owned"]}]}]},
    {"py/mod": "os", "py/function": "os.mkdir"},
    {'json://{"py/reduce": [{"py/function": "os.mkdir"}]}': "owned"},
]
YAML = [
    "a: !!python/object/apply:os.mkdir [owned]\n",
    "a: !!python/object/apply:os.system ['mkdir owned']\n",
    "a: !!python/object/new:os.mkdir [owned]\n",
    "a: !!python/object:subprocess.Popen {args: [mkdir, owned]}\n",
    (
        "a: !!python/object/new:type\n  args: [z, !!python/tuple [], {extend: !!python/name:exec }]\n"
        "  listitems: \"__import__('os').mkdir('owned')\"\n"
    ),
    "a: !!python/name:os.system\n",
    "a: !!python/module:os\n",
    "a: !!python/tuple [1, 2]\n",
    "? !!python/object/apply:os.mkdir [owned]\n: 1\n",
    "- !!python/object/apply:eval [\"__import__('os').mkdir('owned')\"]\n",
]
#: Values on a command line, each as text that Python would run if it were an expression.
VALUES = [
    "__import__('os').mkdir('owned')",
    "(lambda: __import__('os').mkdir('owned'))()",
    "[x for x in [__import__('os').mkdir('owned')]]",
    'f\'{__import__("os").mkdir("owned")}\'',
    "exec('import os; os.mkdir(\"owned\")')",
    "os.mkdir('owned')",
    "$(mkdir owned)",
    "`mkdir owned`",
    "!!python/object/apply:os.mkdir [owned]",
]


class _Attack:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder in which nothing may be made by a payload."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")
    monkeypatch.delenv("SACRED_COMMAND_LINE_ALLOW_PICKLE", raising=False)


def experiment():
    """Return an experiment that returns its entry ``a``."""
    ex = Experiment("payloads", save_git_info=False)
    ex.add_config(a=1)
    ex.main(lambda a: a)
    ex.default_command = "<lambda>"
    return ex


@pytest.mark.parametrize("payload", JSONPICKLE, ids=lambda payload: next(iter(payload)))
def test_what_jsonpickle_would_build_stays_data(payload, tmp_path, capsys, monkeypatch):
    """CFG-18, CLI-03: in files and on command lines; keys that mean something to it are refused."""
    (tmp_path / "c.json").write_text(json.dumps({"a": payload}))
    assert {"a": payload} == load_config_file("c.json")
    for words in (["with", "c.json"], ["with", f"a={payload!r}"]):
        with pytest.raises(SystemExit):
            experiment().run_commandline(["x.py", *words])
        assert "Invalid key" in capsys.readouterr().err
    if "." in next(iter(payload)):
        return  # dots of a key that is typed lead into groups
    # Whoever allows the keys gets dictionaries.
    monkeypatch.setitem(SETTINGS.CONFIG, "ENFORCE_KEYS_JSONPICKLE_COMPATIBLE", False)
    monkeypatch.setitem(SETTINGS.CONFIG, "ENFORCE_KEYS_MONGO_COMPATIBLE", False)
    run = experiment().run_commandline(["x.py", "with", f"a={payload!r}"])
    assert payload == run.result
    assert not os.path.exists("owned")


@pytest.mark.parametrize("payload", YAML)
def test_tags_of_yaml_build_nothing(payload, tmp_path, capsys):
    """CFG-18: each tag that PyYAML knows is refused in a sentence."""
    pytest.importorskip("yaml")
    (tmp_path / "c.yaml").write_text(payload)
    with pytest.raises(ConfigFileError, match="Tags that build objects of Python are not followed"):
        experiment().add_config("c.yaml")
    with pytest.raises(SystemExit):
        experiment().run_commandline(["x.py", "with", "c.yaml"])
    assert 'Error: "c.yaml" can not be read as YAML' in capsys.readouterr().err
    assert not os.path.exists("owned")


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_a_literal_or_text(text):
    """CLI-03: nothing of an update is evaluated."""
    assert text == experiment().run_commandline(["x.py", "with", f"a={text}"]).result
    assert not os.path.exists("owned")


@pytest.mark.parametrize("name", ["c.pickle", "c.PICKLE", "./c.pickle"])
def test_a_pickle_on_a_command_line_is_refused(name, tmp_path, capsys):
    """CFG-18: it is not even opened, and the sentence says what to do."""
    (tmp_path / os.path.basename(name)).write_bytes(pickle.dumps({"a": _Attack()}))
    with pytest.raises(SystemExit) as ended:
        experiment().run_commandline(["x.py", "with", name])
    assert 1 == ended.value.code
    text = capsys.readouterr().err
    assert f'Error: "{name}" is not read: a pickle can run any code' in text
    assert "SACRED_COMMAND_LINE_ALLOW_PICKLE=1" in text
    assert not os.path.exists("owned")


@pytest.mark.parametrize("how", ["setting", "variable"])
def test_a_pickle_that_somebody_trusts(how, tmp_path, monkeypatch):
    """CFG-18: the setting or its variable lets a command line name one."""
    (tmp_path / "c.pickle").write_bytes(pickle.dumps({"a": 2}))
    if how == "setting":
        monkeypatch.setitem(SETTINGS.COMMAND_LINE, "ALLOW_PICKLE", True)
    else:
        monkeypatch.setenv("SACRED_COMMAND_LINE_ALLOW_PICKLE", "1")
    assert 2 == experiment().run_commandline(["x.py", "with", "c.pickle"]).result


def test_a_pickle_that_the_script_names(tmp_path):
    """CFG-18: the user's own code may, as a configuration or as a named one."""
    (tmp_path / "c.pickle").write_bytes(pickle.dumps({"a": 2}))
    ex = experiment()
    assert 2 == ex.run(named_configs=["c.pickle"]).result
    ex.add_config("c.pickle")
    assert 2 == ex.run_commandline(["x.py"]).result


def test_a_file_that_is_no_pickle(tmp_path):
    """CFG-18: a sentence, whatever pickle raises."""
    (tmp_path / "c.pickle").write_bytes(b"not one")
    with pytest.raises(ConfigFileError, match=r'"c.pickle" can not be read as a pickle'):
        experiment().add_config("c.pickle")
