"""What the source of an experiment shows, without running it."""

from __future__ import annotations

import pytest

from sacred.core.outline import Entry, OwnOption, outline_of


@pytest.fixture
def write(tmp_path):
    """Write files and return the path of the first."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("_in_", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return str(tmp_path / f"{next(iter(files))}.py")

    return write


EX = "from sacred import Experiment\nex = Experiment('x')\n"
END = "\n@ex.automain\ndef train():\n    '''Train it.\n\n    For long.'''\n"


def entries(outline):
    return [tuple(entry) for entry in outline.entries]


def test_commands_and_named_configurations(write):
    """ING-10: with the first lines of their docstrings."""
    outline = outline_of(write(train=EX + (
        "@ex.command\ndef a():\n    'Do a.'\n"
        "@ex.command(unobserved=True)\ndef b(): pass\n"
        "@ex.capture\ndef no(): pass\n"
        "@ex.named_config\ndef quick():\n    'A trial.'\n    c = 1\n"
        "ex.add_named_config('long', c=2)\nex.add_named_config(name, c=2)\n"
    ) + END))  # fmt: skip
    assert {"a": "Do a.", "b": "", "train": "Train it."} == outline.commands
    assert {"quick": "A trial.", "long": ""} == outline.named_configs


def test_entries_of_scopes(write):
    """SCO-08: what is assigned, with values that are short, and nested ones by their paths."""
    outline = outline_of(write(train=EX + (
        "@ex.config\ndef config(data):\n"
        "    import math\n    a = 1  # one\n    b: float = 2.5\n    c, (d, *e) = 1, (2, 3)\n"
        "    f = g = 'text'\n    h = [n for n in range(3)]\n    _private = 1\n    none: int\n"
        "    opt = {'kind': 'adam', 'deep': dict(x=1, y={}), name: 3}\n"
        "    if a:\n        i = 1\n    else:\n        j = 2\n"
        "    try:\n        k = 1\n    except ValueError:\n        l = 1\n    finally:\n        m = 1\n"
        "    with x as y:\n        n = 1\n    for o in p:\n        q = 1\n"
        "    match a:\n        case 1:\n            r = 1\n"
        f"    s = {'x' * 100!r}\n    def t():\n        u = 1\n    a = 5\n    opt['z'] = 1\n"
    ) + END))  # fmt: skip
    found = dict(entries(outline))
    assert {"a": "1", "b": "2.5", "c": "", "f": "'text'", "g": "'text'"}.items() <= found.items()
    assert "[n for n in range(3)]" == found["h"]
    assert ("'adam'", "1", "{}") == (found["opt.kind"], found["opt.deep.x"], found["opt.deep.y"])
    assert set("abcfghijklmnqrs") | {"opt.kind", "opt.deep.x", "opt.deep.y"} == set(found)
    assert "" == found["s"]


def test_dictionaries_and_files(write, tmp_path, monkeypatch):
    """ING-07: as far as they are literals; files are read as when the script runs, pickles are not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.json").write_text('{"f": {"g": [1, 2]}}')
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "c.pickle").write_bytes(b"cos\nabort\n(tR.")
    outline = outline_of(write(train=EX + (
        "ex.add_config({'a': 1, 'b': {'c': 2}})\nex.add_config(d=1)\nex.add_config('c.json')\n"
        "for name in ('bad.json', 'none.json', 'c.pickle'): ex.add_config(name)\n"
        "ex.add_config('bad.json')\nex.add_config('c.pickle')\nex.add_config(made())\n"
    ) + END))  # fmt: skip
    assert [("a", "1"), ("b.c", "2"), ("d", "1"), ("f.g", "[1, 2]")] == entries(outline)


def test_ingredients_in_other_files(write):
    """ING-13: followed through every way of importing, and into those that they use."""
    outline = outline_of(write(
        train=(
            "from sacred import Experiment\nimport parts.data as d, model\nfrom parts import far\n"
            "from model import opt as optimizer\n"
            "ex = Experiment('x', ingredients=[d.data, model.model, optimizer, far.far])\n" + END
        ),
        parts_in___init__="",
        parts_in_data=(
            "import sacred\nfrom .far import far\n"
            "data = sacred.Ingredient('data', [far])\n"
            "@data.config\ndef c():\n    size = 1\n"
            "@data.command(prefix='p')\ndef stats():\n    'Show.'\n"
            "@data.named_config\ndef small():\n    size = 0\n"
        ),
        parts_in_far=(
            "from sacred import Ingredient as Part\nfar = Part(path='far.away')\nfar.add_config(x=1)\n"
        ),
        model=(
            "from sacred.ingredient import Ingredient\nmodel = Ingredient('model')\n"
            "opt: Ingredient = Ingredient('opt')\nopt.add_config(lr=0.5)\n"
        ),
    ))  # fmt: skip
    assert {"train": "Train it.", "data.stats": "Show."} == outline.commands
    assert ["data.small"] == list(outline.named_configs)
    assert [
        ("data.size", "1"), ("opt.lr", "0.5"), ("far.away.x", "1"),
    ] == entries(outline)  # fmt: skip


def test_an_experiment_of_another_file(write):
    """EXP-05: what runs the command line decides, and every file that is imported adds to it."""
    outline = outline_of(write(
        run="from core import ex\nimport more\nif __name__ == '__main__':\n    ex.run_commandline()\n",
        core="from sacred import Experiment\nex = Experiment()\n@ex.main\ndef go(): pass\n",
        more="import core\n@core.ex.command\ndef extra(): pass\n",
    ))  # fmt: skip
    assert {"go": "", "extra": ""} == outline.commands


def test_own_options(write):
    """CLI-12: short and long flag, whether a value follows, and the help."""
    outline = outline_of(write(train=(
        "import sacred\nfrom sacred import Experiment, cli_option\n"
        "@cli_option('-o', '--own-flag', is_flag=True)\ndef one(args, run):\n    'The first.'\n"
        "@sacred.cli_option('-v', '--value')\ndef two(args, run): pass\n"
        "@cli_option(FLAG, '--odd')\ndef three(args, run): pass\n"
        "ex = Experiment('x', additional_cli_options=[one, two])\n"
    ) + END))  # fmt: skip
    assert outline.options == [
        OwnOption("-o", "--own-flag", takes_value=False, doc="The first."),
        OwnOption("-v", "--value", takes_value=True, doc=""),
        OwnOption("", "--odd", takes_value=True, doc=""),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import sys\nprint(1)\n",
        "import sacred\n",
        "from sacred import Experiment\nex = Experiment('x')\nex.run()\n",
        "class ex:\n    def automain(f): pass\n@ex.automain\ndef main(): pass\n",
        "from other import Experiment\nex = Experiment('x')\nex.run_commandline()\n",
        "from sacred import Ingredient\nex = Ingredient('x')\nex.run_commandline()\n",
        "import sacred\nthis is no Python\n",
        "\0",
        "import train\nfrom train import ex\nex.run_commandline()\n",
        "(" * 1000,
    ],
)
def test_a_script_that_runs_no_experiment(source, write):
    """EXP-05: it has no outline."""
    assert outline_of(write(train=source)) is None


def test_a_file_that_is_not_there(tmp_path):
    """EXP-05: no outline, no error."""
    assert outline_of(str(tmp_path / "none.py")) is None


def test_nothing_is_run(write, tmp_path):
    """EXP-05: neither the script nor what it imports."""
    mark = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    outline = outline_of(write(train=mark + "import other\n" + EX + END, other=mark))
    assert ["train"] == list(outline.commands)
    assert not (tmp_path / "ran").exists()


def test_circles_end(write):
    """ING-11: files that import each other, names that mean each other, ingredients in a circle."""
    outline = outline_of(write(
        train="from a import ex\nfrom a import data\n" + END,
        a="from b import data\nfrom sacred import Experiment\nex = Experiment('x', [data])\n",
        b="from a import *\nfrom sacred import Ingredient\ndata = Ingredient('data', [data])\n"
          "data.add_config(z=1)\n",
    ))  # fmt: skip
    assert [Entry("data.z", "1")] == outline.entries


def test_a_program_of_many_files_is_looked_at_in_part(write):
    """The number of files is bounded; what was read is offered."""
    files = {f"m{n}": f"import m{n + 1}\n" for n in range(100)}
    outline = outline_of(write(train=EX + "import m0\n" + END, **files))
    assert ["train"] == list(outline.commands)
