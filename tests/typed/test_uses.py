"""Type checkers see what the decorators make of a function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_mypy_reads_the_typed_uses() -> None:
    """PKG-01: in strict mode: what is right passes, and what is wrong is told, as each line says."""
    pytest.importorskip("mypy")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "tests/typed/uses.py"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stdout), result.stderr
