"""Every public name of Sacred 0.8.7 is here, with its parameters, or is left out on purpose."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.facts.facts import DIFFERENCES
from tests.facts.signatures import disagreement

_LINES = [
    line
    for line in Path(__file__).with_name("names.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
_LEFT_OUT = [line[2:].partition("(")[0] for line in _LINES if line.startswith("- ")]
_NAMES = [line for line in _LINES if not line.startswith("- ")]
_MODULES = sorted({".".join(line.partition("(")[0].split(".")[:2]) for line in _NAMES})
_MISSING = object()


def _found(path: str) -> Any:
    """What a dotted path leads to: the longest module in it, and attributes from there."""
    names = path.split(".")
    for cut in range(len(names), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:]:
            found = getattr(found, name, _MISSING)
            if found is _MISSING:
                return _MISSING
        return found
    return _MISSING


def _problem(line: str) -> str:
    path, parameters = re.fullmatch(r"([\w.]+)(?:\((.*)\))?", line).groups()  # type: ignore[union-attr]
    found = _found(path)
    if found is _MISSING:
        return f"{path} is not there"
    wrong = "" if parameters is None else disagreement(parameters, found)
    return f"{path} {wrong}" if wrong else ""


@pytest.mark.parametrize("module", _MODULES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_public_names_of_a_module(module: str) -> None:
    """PKG-03, USE-09, USE-15, USE-18: what can be imported from Sacred's modules can be from these, and called alike."""
    lines = [line for line in _NAMES if (line.partition("(")[0] + ".").startswith(module + ".")]
    assert [] == [problem for problem in map(_problem, lines) if problem]


def test_what_is_left_out_is_said() -> None:
    """PKG-03: each name that is left out is not there, and docs/differences.md names it."""
    page = DIFFERENCES.read_text(encoding="utf-8")
    assert [] == [path for path in _LEFT_OUT if _found(path) is not _MISSING]
    assert [] == [path for path in _LEFT_OUT if f"`{path.rpartition('.')[2]}`" not in page]


def test_a_name_that_no_module_has() -> None:
    """PKG-03: a module that was lent names still says of others that it has none."""
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        importlib.import_module("sacred.experiment").nobody  # noqa: B018
    assert not hasattr(importlib.import_module("sacred.optional"), "nobody")


def test_what_a_module_is_lent_is_the_thing_itself() -> None:
    """PKG-03: a class under its second path is the same class."""
    assert _found("sacred.run.Run") is _found("sacred.experiment.Run")
    assert _found("sacred.settings.SETTINGS") is _found("sacred.initialize.SETTINGS")
