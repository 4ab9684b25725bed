"""The list of samples, their files and their tests are one thing."""

from __future__ import annotations

import ast
import re

from samples import typed

LIST = (typed.HERE / "README.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in LIST.splitlines()
    if line.startswith("| ") and not line.startswith("| sample")
]
#: What a program imports from beside it, so that it needs no row.
PARTS = {
    "observing/neptunecontrib/__init__.py",
    "observing/neptunecontrib/monitoring/__init__.py",
}


def _words(column):
    return {word.strip() for row in ROWS for word in row[column].split(",") if word.strip()}


def test_every_sample_is_in_the_list():
    """A file of a sample without a row, or a row without its file, is red."""
    files = {
        path.relative_to(typed.HERE).as_posix()
        for document in typed.DOCUMENTS
        for path in (typed.HERE / document).rglob("*.py")
    }
    assert files - PARTS == _words(1)


def test_every_test_is_in_the_list():
    """A row names tests that are there, and each test of a sample has a row."""
    tests = set()
    for path in typed.HERE.glob("test_*.py"):
        if path.name != "test_list.py":
            tests |= {
                node.name
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            }
    assert tests - {"test_the_original_does_the_same"} == _words(2)


def test_a_row_has_four_cells():
    """A sample, its programs, its tests, and what had to change."""
    assert {4} == {len(row) for row in ROWS}
