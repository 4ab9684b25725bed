"""The code in README and docs runs.

A block marked ```python runs as a program of its own in an empty folder. A comment in front of it
changes that: ``<!-- test: skip REASON -->``, or ``<!-- test: file NAME -->`` for a block that is a
file of its own and only has to compile.

(Blocks marked ```console are typed by ``test_commands.py``.)
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sacred

HERE = Path(__file__).parents[2]
PACKAGE = Path(sacred.__path__[0])
#: Words in backticks that name a file or folder of this project.
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|toml|sh)|(?:[\w.-]+/)+[\w.-]*)`")
#: Such words that name something else: what a run makes, lies in a root or stands in a document.
ELSEWHERE = ("./", "sacred_runs/", "blobs/", "py/", ".cache/", ".trash/")
BLOCK = re.compile(
    r"(?:<!-- test: (?P<how>\w+) (?P<what>[^\n]*?) -->\s*)?^```python\n(?P<code>.*?)^```",
    re.S | re.M,
)


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


def test_the_markers_are_understood() -> None:
    """What stands in front of a block decides what becomes of it."""
    text = "<!-- test: skip no server -->\n```python\n1\n```\n\n```python\n2\n```\n"
    text += "<!-- test: run -->\n```console\n$ a\n```\n<!-- test: file b -->\n```python\n3\n```\n"
    found = [(m["how"], m["what"], m["code"]) for m in BLOCK.finditer(text)]
    assert [("skip", "no server", "1\n"), (None, None, "2\n"), ("file", "b", "3\n")] == found


def test_links_inside_the_project_lead_somewhere() -> None:
    """Every relative link of README and docs names a file that is there."""
    for page in _pages():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    "page",
    [*_pages(), HERE / "CONTRIBUTING.md"],
    ids=lambda page: page.relative_to(HERE).as_posix(),
)
def test_the_paths_that_a_page_names_are_there(page: Path) -> None:
    """A file or folder in backticks lies below the project's root, or below ``sacred/``, or the page saves it."""
    text = page.read_text(encoding="utf-8")
    named = set(PATH.findall(text)) - set(re.findall(r"<!-- test: file (\S+) -->", text))
    missing = {
        path
        for path in named
        if not any((at / path).exists() for at in (HERE, PACKAGE, PACKAGE.parent))
    }
    assert [] == sorted(path for path in missing if not path.startswith(ELSEWHERE))


def test_paths_are_recognized() -> None:
    """What looks like a path is looked for, what is code or an address is not."""
    text = (
        "`core/run.py` `docs/` `make check` `a.md` `mongodb://x/y` `log_point` `tests/house` `1/2.`"
    )
    assert ["core/run.py", "docs/", "a.md", "tests/house", "1/2."] == PATH.findall(text)
