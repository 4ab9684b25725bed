"""What a shell offers behind an experiment's script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sacred.core.completion import candidates, find_script, main
from sacred.core.outline import Entry, Outline, OwnOption

OUTLINE = Outline(
    commands={"train": "Train it.", "data.stats": ""},
    named_configs={"quick": "", "data.small": ""},
    entries=[
        Entry("rate", "0.1"), Entry("fast", "False"), Entry("opt.kind", "'adam'"), Entry("n", ""),
    ],
    options=[
        OwnOption("-o", "--own-flag", takes_value=False, doc="Mine."),
        OwnOption("-F", "--format", takes_value=True, doc=""),
    ],
)  # fmt: skip
BUILT_IN = ["print_config", "print_dependencies", "save_config", "print_named_configs"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with two files of configurations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("c.json", "sub/d.yaml", "no.txt"):
        (tmp_path / name).write_text("")


def offered(*words):
    found = candidates(OUTLINE, words[:-1], words[-1])
    return None if found is None else [word for word, _ in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["train"]),
        (["data"], ["data.stats"]),
        (["print_c"], ["print_config"]),
        (["w"], ["with"]),
        (["he"], ["help"]),
        (["train", ""], ["with"]),
        (["help", "t"], ["train"]),
        (["help", "train", ""], []),
        (["with", "r"], ["rate="]),
        (["train", "with", "q"], ["quick"]),
        (["with", "data"], ["data.small"]),
        (["with", "o"], ["opt.kind="]),
        (["with", "s"], ["seed="]),
        (["with", "c"], ["c.json"]),
        (["with", "sub/"], ["sub/d.yaml"]),
        (["with", "none/"], []),
        (["with", "rate=1", "r"], []),
        (["with", "quick", "q"], []),
        (["with", "rate="], ["rate=0.1"]),
        (["with", "fast="], ["fast=True", "fast=False"]),
        (["with", "fast=F"], ["fast=False"]),
        (["with", "opt.kind="], []),
        (["with", "n="], []),
        (["with", "unknown="], []),
        (["--ow"], ["--own-flag"]),
        (["--cap"], ["--capture="]),
        (["with", "rate=1", "--deb"], ["--debug"]),
        (["--capture", ""], ["no", "sys", "fd"]),
        (["-uC", "s"], ["sys"]),
        (["--color=a"], ["--color=auto", "--color=always"]),
        (["--own-flag", "tr"], ["train"]),
        (["--beat_interval", "3", "tr"], ["train"]),
        (["-l", "W"], ["WARNING"]),
        (["--nonsense="], []),
        (["--debug="], None),
        (["-F", ""], None),
        (["--file_storage", ""], None),
        (["-c", ""], None),
    ],
)
def test_what_may_stand_at_the_cursor(words, expected):
    """CLI-01, CLI-02, CLI-10: by the grammar of the command line; None is for names of files."""
    assert expected == offered(*words)


def test_all_commands_are_offered_first():
    """CLI-01: the experiment's, then those that each one has."""
    assert ["train", "data.stats", *BUILT_IN, "help", "with"] == offered("")


def test_flags_of_ones_own_come_first_and_win():
    """CLI-12: a short flag that the script takes is not offered for the built-in option."""
    found = candidates(OUTLINE, [], "-")
    shorts = [word for word, what in found if len(word) == 2]
    assert 1 == shorts.count("-F")
    assert "--own-flag" == found[0].word
    assert {"--file_storage=", "--format="} <= {word for word, _ in found}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "t.py", "a"], ("t.py", ["a"])),
        (["./t.py"], ("./t.py", [])),
        (["/usr/bin/python3.12", "-u", "-X", "dev", "-Werror", "t.py"], ("t.py", [])),
        (["python", "-W", "error", "t.py", "-c"], ("t.py", ["-c"])),
        (["A=1", "B_2=x=y", "python", "t.py"], ("t.py", [])),
        (["python", "-m", "p.t", "with"], ("p/t.py", ["with"])),
        (["python", "-m", "p"], ("p/__main__.py", [])),
        (["python", "-m", "none"], None),
        (["python", "-m"], None),
        (["python", "-c", "t.py"], None),
        (["python", "-", "t.py"], None),
        (["python", "none.py"], None),
        (["python"], None),
        (["t"], None),
        ([], None),
    ],
)
def test_the_script_of_a_command_line(words, expected, tmp_path):
    """What is started, behind Python's own options and the shell's assignments."""
    (tmp_path / "p").mkdir()
    for name in ("t.py", "p/t.py", "p/__main__.py"):
        (tmp_path / name).write_text("")
    found = find_script(words)
    assert expected == (found and found[:2])


SCRIPT = """\
from sacred import Experiment
open("ran", "w").close()
ex = Experiment("x")
ex.add_config(rate=0.1, fast=True)

@ex.automain
def train(rate):
    "Train it."
"""


@pytest.mark.parametrize(
    ("arguments", "status", "lines"),
    [
        (["words", "python", "t.py", "tr"], 0, ["train\tTrain it."]),
        (["words", "python", "t.py", "with", "fast=F"], 0, ["fast=False\t"]),
        (["words", "python", "t.py", "with", "zz"], 0, []),
        (["words", "python", "other.py", ""], 1, []),
        (["words", "python", "t"], 1, []),
        (["words", "ls", ""], 1, []),
        (["bash", "python t.py with fast=F", " =:"], 0, ["False\t"]),
        (["bash", "python t.py with fast=F", " "], 0, ["fast=False\t"]),
        (["bash", "python t.py with ra", " =:"], 0, ["rate=\tnow 0.1"]),
        (["bash", "python t.py ", " =:"], 0, None),
        (["bash", "python 't.py' \"with\" r", " =:"], 0, ["rate=\tnow 0.1"]),
        (["bash", "python t.py with 'ra", " =:"], 1, []),
        (["bash", "", " =:"], 1, []),
    ],
)
def test_what_a_shell_is_told(arguments, status, lines, tmp_path, capsys):
    """A line each; for bash the part that it replaces; 1 where the shell is to do without us."""
    (tmp_path / "t.py").write_text(SCRIPT)
    (tmp_path / "other.py").write_text("import sacred\nprint('ran')\n")
    assert status == main(arguments)
    out = capsys.readouterr().out
    assert lines is None or lines == out.splitlines()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("module", ["pack", "pack.train"])
def test_imports_of_a_module_that_is_started_as_one(module, tmp_path, capsys):
    """Behind ``python -m`` what is imported lies below the present folder, and is found there."""
    for name, text in {
        "__init__": "",
        "data": "from sacred import Ingredient\ndata = Ingredient('data')\ndata.add_config(n=1)\n",
        "train": (
            "from sacred import Experiment\nfrom pack.data import data\n"
            "ex = Experiment('x', ingredients=[data])\n@ex.automain\ndef train(): pass\n"
        ),
        "__main__": "from pack.train import ex\nex.run_commandline()\n",
    }.items():
        (tmp_path / "pack").mkdir(exist_ok=True)
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    assert 0 == main(["words", "python", "-m", module, "with", "data"])
    assert ["data.n=\tnow 1"] == capsys.readouterr().out.splitlines()


def test_completing_loads_little():
    """Pressing Tab loads neither the journal nor any driver, nor numpy."""
    code = (
        "import sys\nfrom sacred.core.completion import main\nmain(['words', 'python', 't.py', ''])\n"
        "heavy = ('sacred.journal', 'click', 'numpy', 'pymongo', 'msgpack', 'asyncio', 'subprocess')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    with open("t.py", "w") as file:
        file.write(SCRIPT)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == result.stdout.splitlines()[-1]
