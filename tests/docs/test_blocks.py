"""The code in README and docs runs.

A block marked ```python runs as a program of its own in an empty folder. A comment in front of it
changes that: ``<!-- test: skip REASON -->``, or ``<!-- test: file NAME -->`` for a block that is a
file of its own and only has to compile.

A block marked ```console with ``<!-- test: run -->`` in front of it is typed line by line, what stands behind
``$ ``, into one folder in which ``examples/`` and the files of the page's ``test: file`` blocks lie;
every command has to end with 0. (What it prints is for the reader, and may differ.)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- test: (?P<how>\w+) (?P<what>.*?) -->\s*)?^```python\n(?P<code>.*?)^```", re.S | re.M
)
CONSOLE = re.compile(r"<!-- test: run -->\s*^```console\n(?P<lines>.*?)^```", re.S | re.M)


def _pages() -> list[Path]:
    pages = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
    return [page for page in pages if page.exists()]


def _blocks() -> list[object]:
    found = []
    for page in _pages():
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            name = f"{page.relative_to(HERE)}:{line}"
            found.append(pytest.param(match["how"], match["what"], match["code"], id=name))
    return found


@pytest.mark.parametrize(("how", "what", "code"), _blocks())
def test_a_block_of_python_runs(
    how: str | None, what: str | None, code: str, tmp_path: Path
) -> None:
    """A Python block of the documents runs as it stands."""
    if how == "skip":
        pytest.skip(what or "marked so")
    if how == "file":
        compile(code, what or "block", "exec")
        return
    program = tmp_path / "block.py"
    program.write_text(code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def _consoles() -> list[object]:
    found = []
    for page in _pages():
        text = page.read_text(encoding="utf-8")
        files = {m["what"]: m["code"] for m in BLOCK.finditer(text) if m["how"] == "file"}
        for match in CONSOLE.finditer(text):
            line = text.count("\n", 0, match.start("lines")) + 1
            lines = match["lines"].splitlines()
            commands = [line[2:] for line in lines if line.startswith("$ ")]
            name = f"{page.relative_to(HERE)}:{line}"
            found.append(pytest.param(commands, files, id=name))
    return found


def _type(commands: list[str], folder: Path) -> None:
    """Run commands as a person would who has the environment's programs on the PATH."""
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for command in commands:
        result = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, f"$ {command}\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize(("commands", "files"), _consoles())
def test_a_block_of_commands_runs(
    commands: list[str], files: dict[str, str], tmp_path: Path
) -> None:
    """The commands of a document do what they say, one after the other."""
    assert commands
    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    if (HERE / "examples").is_dir():
        shutil.copytree(HERE / "examples", tmp_path / "examples")
    _type(commands, tmp_path)


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    """A block of commands can be red."""
    with pytest.raises(AssertionError, match="sacred show 99"):
        _type(["sacred --version", "sacred show 99"], tmp_path)


def test_the_markers_are_understood() -> None:
    """What stands in front of a block decides what becomes of it."""
    text = "<!-- test: skip no server -->\n```python\n1\n```\n\n```python\n2\n```\n"
    found = [(m["how"], m["what"], m["code"]) for m in BLOCK.finditer(text)]
    assert [("skip", "no server", "1\n"), (None, None, "2\n")] == found
    text = "```console\n$ no\n```\n<!-- test: run -->\n\n```console\n$ yes\nsaid\n```\n"
    assert ["$ yes\nsaid\n"] == [m["lines"] for m in CONSOLE.finditer(text)]


def test_links_inside_the_project_lead_somewhere() -> None:
    """Every relative link of README and docs names a file that is there."""
    for page in _pages():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
