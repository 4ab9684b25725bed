"""Row 22: the bugs of the bank still fit the code. (That tests notice them: ``make bugbank``.)"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sacred
from bugbank.bank import with_bug
from bugbank.bugs import BUGS

PACKAGE = Path(sacred.__file__).parent
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_applies_and_names_tests(bug):
    """Row 22: its text stands in the code once, what comes out is Python, its tests exist."""
    text = (PACKAGE / bug.place).read_text(encoding="utf-8")
    ast.parse(with_bug(bug, text))
    assert bug.tests
    for test in bug.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((TESTS.parent / path).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{path} has no {name}"


def test_the_bank_is_as_large_as_the_plan_says():
    """Row 22: twenty bugs and more, no two of one name, each with its reason."""
    assert len(BUGS) >= 20
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert all(bug.tempting and bug.old != bug.new for bug in BUGS)


def test_a_bug_that_does_not_apply_is_refused():
    """Row 22: a text that is not there, or there twice, is an error and no bug."""
    for text in ("", BUGS[0].old * 2):
        with pytest.raises(ValueError, match="not once, but"):
            with_bug(BUGS[0], text)
