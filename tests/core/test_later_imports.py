"""The imports that a program has not made yet, found by reading it."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from sacred.core.later_imports import find_later_imports

if TYPE_CHECKING:
    from pathlib import Path


def _found(folder: Path, text: str, *, main: str = "main.py") -> tuple[list[str], list[str]]:
    """Return the files that a program's imports lead to, and what they miss."""
    path = folder / main
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    found = find_later_imports([str(path)], [str(folder), str(path.parent)])
    real = os.path.realpath(folder)
    files = sorted(os.path.relpath(file, real) for file in found.files)
    return [file for file in files if file != main], [each.module for each in found.missed]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with modules, packages, and a package without ``__init__.py``."""
    for name, text in {
        "late_one.py": "import late_two\n",
        "late_two.py": "",
        "late_pkg/__init__.py": "",
        "late_pkg/part.py": "from .other import VALUE\n",
        "late_pkg/other.py": "VALUE = 1\n",
        "late_pkg/deep/__init__.py": "",
        "late_pkg/deep/leaf.py": "",
        "late_names/leaf.py": "",
        "json/notes.txt": "",
        "json/more/notes.txt": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


_PART = ["late_pkg/__init__.py", "late_pkg/other.py", "late_pkg/part.py"]
_LEAF = ["late_pkg/__init__.py", "late_pkg/deep/__init__.py", "late_pkg/deep/leaf.py"]


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("def f():\n    import late_one\n", ["late_one.py", "late_two.py"]),
        ("def f():\n    from late_one import x\n", ["late_one.py", "late_two.py"]),
        ("def f():\n    import late_pkg.part as p\n", _PART),
        ("def f():\n    from late_pkg import part\n", _PART),
        ("def f():\n    from late_pkg.part import VALUE\n", _PART),
        ("async def f():\n    from late_pkg.deep import leaf\n", _LEAF),
        ("class A:\n    def f(self):\n        import late_pkg.deep.leaf\n", _LEAF),
        ("from late_pkg import *\n", ["late_pkg/__init__.py"]),
        ("import late_names.leaf\n", ["late_names/leaf.py"]),
        ("from late_names import leaf\n", ["late_names/leaf.py"]),
        ("import importlib\nimportlib.import_module('late_two')\n", ["late_two.py"]),
        ("__import__('late_two')\n", ["late_two.py"]),
        ("try:\n    import late_two\nexcept ImportError:\n    late_two = None\n", ["late_two.py"]),
        ("match 1:\n    case 1:\n        import late_two\n", ["late_two.py"]),
        ("import os, json.decoder\nimport msgpack\n", []),
        ("'import late_two'  # import late_two\n", []),
    ],
)
def test_what_is_found(place: Path, text: str, files: list[str]) -> None:
    """Wherever the statement stands, with the packages around it and what it imports in turn."""
    assert (files, []) == _found(place, text)


def test_a_module_in_a_package(place: Path) -> None:
    """Imports with dots are relative to the file; packages above are found up to the top."""
    text = "def f():\n    from ..part import VALUE\n    from . import leaf\n"
    files, missed = _found(place, text, main="late_pkg/deep/main.py")
    assert sorted({*_PART, *_LEAF}) == files
    assert [] == missed


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("def f():\n    import no_such_one\n", ["no_such_one"]),
        ("from no_such.part import x\n", ["no_such.part"]),
        ("from .nothing import x\n", [".nothing"]),
        ("import late_pkg.nothing\n", ["late_pkg.nothing"]),
        ("importlib.import_module('no_such')\n", ["no_such"]),
        ("importlib.import_module('no such')\n", []),
        ("importlib.import_module(name)\n", []),
        ("try:\n    import no_such_one\nexcept ImportError:\n    pass\n", []),
        ("try:\n    import no_such_one\nexcept (KeyError, m.ModuleNotFoundError):\n    pass\n", []),
        ("try:\n    import no_such_one\nexcept KeyError:\n    pass\n", ["no_such_one"]),
        ("with suppress(ImportError):\n    import no_such_one\n", []),
        (
            "if TYPE_CHECKING:\n    import no_such_one\nelse:\n    import no_such_two\n",
            ["no_such_two"],
        ),
        ("def f(:\n    import no_such_one\n", []),
    ],
)
def test_what_is_missed(place: Path, text: str, missed: list[str]) -> None:
    """What neither lies there nor is installed; not what the program does without."""
    assert missed == _found(place, text)[1]


def test_packages_and_lines(tmp_path: Path) -> None:
    """Installed modules are named as such; what is missed is told with its file and line."""
    main = tmp_path / "main.py"
    main.write_text("import msgpack.ext\n\ndef f():\n    import no_such_one\n")
    found = find_later_imports([str(main)], [str(tmp_path)])
    assert ["msgpack"] == found.packages
    assert [("no_such_one", str(main.resolve()), 4, None)] == found.missed


def test_nothing_is_imported(place: Path) -> None:
    """Files are read, and no module is executed for it."""
    (place / "late_bomb.py").write_text("raise SystemExit('executed')\n")
    assert ["late_bomb.py"] == _found(place, "import late_bomb\n")[0]
    assert not {"late_bomb", "late_one"} & set(sys.modules)


def test_a_script_without_an_extension(place: Path) -> None:
    """It is looked through like others; files of a configuration are not."""
    (place / "conf.yaml").write_text("import late_one\n")
    (place / "train").write_text("import late_two\n")
    found = find_later_imports([str(place / "train"), str(place / "conf.yaml")], [str(place)])
    assert ["late_two.py", "train"] == sorted(map(os.path.basename, found.files))


def test_modules_in_a_circle(place: Path) -> None:
    """Each is looked through once."""
    (place / "late_a.py").write_text("import late_b\n")
    (place / "late_b.py").write_text("import late_a, main\n")
    assert (["late_a.py", "late_b.py"], []) == _found(place, "import late_a\n")
