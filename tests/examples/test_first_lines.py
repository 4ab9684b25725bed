"""What the first lines of an example say to type, works; and the list of examples is whole."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(os.environ.get("SACRED_TEST_EXAMPLES", Path(__file__).parents[2] / "examples"))
SECONDS = 120
#: What an example imports that not everybody has.
WANTED = ("sklearn", "matplotlib", "numpy", "mako", "torch", "tensorboardX")
#: Examples whose lines are typed by other tests: they take long, kill themselves, or need another environment.
ELSEWHERE = {"demo.py", "digits.py", "engines.py", "resume.py"}


def _lines(script: Path) -> list[str]:
    """The commands that an example's first lines show, without their comments."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    found = re.findall(r"^ *\$ (.*)$|^ {4}((?:python|sacred) .*)$", text, re.M)
    return [(typed or plain).split("  #")[0].strip() for typed, plain in found]


def _programs() -> list[object]:
    found = []
    for path in sorted(EXAMPLES.rglob("*.py")):
        name = path.relative_to(EXAMPLES).as_posix()
        if _lines(path) and name not in ELSEWHERE:
            found.append(pytest.param(name, id=name))
    return found


def _needed(script: Path) -> list[str]:
    """The optional packages that the files of an example's folder import, and those it names."""
    named = script.read_text(encoding="utf-8")
    for match in re.findall(r"^from (\w+) import", named, re.M):
        beside = script.with_name(f"{match}.py")
        named += beside.read_text(encoding="utf-8") if beside.exists() else ""
    return [name for name in WANTED if re.search(rf"(import|from|install) {name}\b", named)]


def _typed(line: str, folder: Path, place: Path) -> subprocess.CompletedProcess[str]:
    programs = str(Path(sys.executable).parent)
    line = re.sub(r"^python (\S+\.py)", rf"python -W ignore {place}/\1", line)
    return subprocess.run(
        line,
        shell=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "Agg",
        },
    )


@pytest.mark.slow  # fifty programs; what matters most of them is in test_examples.py
@pytest.mark.parametrize("name", _programs())
def test_what_the_first_lines_say_to_type(name, tmp_path):
    """Each command ends well, one after the other in one folder; a server is not asked for."""
    script = EXAMPLES / name
    for package in _needed(script):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    lines = [line for line in _lines(script) if " -m " not in line]
    assert lines
    for line in lines:
        done = _typed(line, tmp_path, script.parent)
        assert 0 == done.returncode, f"$ {line}\n{done.stdout}{done.stderr}"


@pytest.mark.skipif(
    "SACRED_TEST_EXAMPLES" in os.environ or not (EXAMPLES / "README.md").exists(),
    reason="other examples",
)
def test_the_list_of_examples_is_whole():
    """Every file of an example is linked from the table, and every link leads to one."""
    linked = set(re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    files = {
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert files - {"README.md"} == linked


def test_every_example_says_what_to_type():
    """An example that is a program shows how it is started."""
    silent = [
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.rglob("*.py")
        if re.search(r"automain|__main__", path.read_text(encoding="utf-8")) and not _lines(path)
    ]
    assert [] == silent
