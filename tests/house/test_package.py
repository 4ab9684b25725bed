"""What pip installs: the metadata, the programs, the types."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sacred

DISTRIBUTION = importlib.metadata.distribution("sacred-journal")


def test_the_version_is_one() -> None:
    """The distribution and the package name the same version."""
    assert sacred.__version__ == DISTRIBUTION.version
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|(a|b|rc)\d+)?", sacred.__version__)


def test_the_package_is_typed() -> None:
    """Type checkers believe the package's own annotations."""
    assert (Path(sacred.__path__[0]) / "py.typed").exists()


def test_the_dependencies_are_those_of_the_design() -> None:
    """Nobody pays for more than the chosen packages without an extra; Python 3.10 has no reader of TOML."""
    names = {
        re.split(r"[^\w-]", requirement)[0].lower().replace("-", "_")
        for requirement in DISTRIBUTION.requires or []
        if "extra ==" not in requirement
    }
    expected = (
        "click duckdb gitpython msgpack prompt_toolkit psutil pymongo pytz tomli watchdog xxhash "
        "zstandard"
    )
    (tomli,) = (one for one in DISTRIBUTION.requires or [] if one.startswith("tomli"))
    assert re.search(r"; *python_version *< *.3\.11", tomli)
    assert set(expected.split()) == names


@pytest.mark.parametrize("name", ["sacred", "sacred-replay"])
def test_the_programs_are_there(name: str) -> None:
    """Each console script starts and has a help."""
    program = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [str(program), "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert f"Usage: {name} " in done.stdout


def test_the_module_is_the_program() -> None:
    """``python -m sacred`` is ``sacred``."""
    done = subprocess.run(
        [sys.executable, "-m", "sacred", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert sacred.__version__ in done.stdout
