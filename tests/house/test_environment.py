"""What a person sees whose machine lacks something that ``make`` needs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]


def _interpreter(folder: Path, *failing: str) -> Path:
    """A Python in whose programs some words fail."""
    path = folder / "python"
    patterns = "|".join(f"*{word}*" for word in failing)
    path.write_text(f'#!/bin/sh\ncase "$2" in {patterns}) exit 1;; esac\nexit 0\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _environment(python: object, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(HERE / "tests" / "house" / "environment.sh"), str(python), str(folder)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["old", "missing"])
def test_an_interpreter_that_is_no_use(tmp_path: Path, kind: str) -> None:
    """A Python that is too old, or none, is named, with the way to name another."""
    python = _interpreter(tmp_path, "version_info") if kind == "old" else tmp_path / "none"
    done = _environment(python, tmp_path / "venv", os.environ["PATH"])
    assert 2 == done.returncode
    assert f"Python 3.10 or newer is needed: {python} is not that." in done.stderr
    assert "make PYTHON=" in done.stderr


def test_without_root_a_missing_venv_is_named(tmp_path: Path) -> None:
    """Debian's python3 has no venv: who may not install it is told what to install."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    python = _interpreter(tmp_path, "ensurepip")
    done = _environment(python, tmp_path / "venv", str(programs))
    assert 2 == done.returncode
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_alone_lists_the_targets() -> None:
    """Plain ``make`` says what there is, one line each, and does nothing."""
    done = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}"],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    targets = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"help", "check", "test", "test-local", "demo", "bench", "clean"} <= set(targets)
