"""Sacred's reference page as a table: each name is there, with the parameters and defaults it says."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from sacred import Experiment
from tests.facts.signatures import disagreement

_NAMES = [
    line
    for line in Path(__file__).with_name("reference.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def _found(path: str) -> Any:
    """The object of a dotted path; what a run has, is looked up in a run."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for depth, name in enumerate(parts[cut:], cut):
            if not hasattr(found, name):
                found = {"Run": _a_run, "Experiment": _an_experiment}[parts[depth - 1]]()
            found = inspect.getattr_static(found, name) if name == "info" else getattr(found, name)
        return found
    raise AssertionError(path)


def _an_experiment() -> Experiment:
    ex = Experiment("names", save_git_info=False)
    ex.main(lambda: None)
    return ex


def _a_run() -> Any:
    return _an_experiment()._create_run("<lambda>")


@pytest.mark.parametrize("line", _NAMES)
def test_a_name_of_the_reference_page(line: str) -> None:
    """USE-18, EXP-01, ING-01, RUN-01: it is there; what it takes has the same names, in order, and defaults."""
    path, parameters = re.fullmatch(r"([\w.]+)(?:\((.*)\))?", line).groups()  # type: ignore[union-attr]
    found = _found(path)
    if parameters is None:
        return
    assert "" == disagreement(parameters, found)
