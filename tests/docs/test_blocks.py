"""The code in README and docs runs.

A block marked ```python runs as a program of its own in an empty folder. A comment in front of it
changes that: ``<!-- test: skip REASON -->``, or ``<!-- test: file NAME -->`` for a block that is a
file of its own and only has to compile.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- test: (?P<how>\w+) (?P<what>.*?) -->\s*)?^```python\n(?P<code>.*?)^```", re.S | re.M
)


def _blocks() -> list[object]:
    found = []
    for page in [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]:
        if not page.exists():
            continue
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


def test_links_inside_the_project_lead_somewhere() -> None:
    """Every relative link of README and docs names a file that is there."""
    for page in [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
