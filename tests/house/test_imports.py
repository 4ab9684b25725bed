"""What an import brings along: nothing that a training process did not ask for."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sacred

#: Each costs 25 ms and more, and most of them are of no use to a training process.
FORBIDDEN = frozenset(
    "boto3 bson click duckdb git google gridfs numpy pandas psutil psycopg pyarrow pymongo pymysql "
    "requests sqlalchemy tinydb watchdog".split()
)
ALIAS = re.compile(r"^import ([\w.]+) as _real$", re.M)


def _loaded(folder: Path, program: str) -> set[str]:
    """The modules that are loaded after a program, run as a script."""
    script = folder / "script.py"
    script.write_text(f"{program}\nimport sys\nprint(*sys.modules)", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "import sacred",
        "from sacred import Experiment, Ingredient",
        "from sacred.observers import MongoObserver, FileStorageObserver",
        "from sacred.observers import TinyDbObserver\nTinyDbObserver('db').declare_view()",
        "from sacred.observers import SqlObserver\nSqlObserver('sqlite:///x.db').declare_view()",
        "import sacred.observers as o\no.ParquetObserver('t').claim_run(journal_id='0' * 16, run_id=1, document={})",
        "from sacred.journal import JournalWriter",
        "from sacred import start_run",
        "from sacred.stflow import LogFileWriter",
        "from sacred import Experiment\nex = Experiment('x')\nex.main(lambda: 1)\n",
    ],
)
def test_no_driver_is_loaded(tmp_path: Path, program: str) -> None:
    """Importing the package, or building an experiment, loads no driver and no numpy."""
    assert set() == _loaded(tmp_path, program) & FORBIDDEN


def test_an_empty_run_loads_what_it_needs(tmp_path: Path) -> None:
    """A whole run, journalled and sealed, needs no OpenSSL, no JSON, no ``dataclasses`` and no ``inspect``.

    What each of them costs is in docs/decisions/0013.
    """
    program = (
        "from sacred import Experiment\nex = Experiment('x')\n"
        "ex.main(lambda: None)\nassert ex.run().status == 'COMPLETED'"
    )
    spared = {"_hashlib", "asyncio", "dataclasses", "importlib.metadata", "inspect", "json", "uuid"}
    loaded = _loaded(tmp_path, program)
    assert set() == loaded & (FORBIDDEN | spared)
    assert {"sacred.journal.writer", "sacred.journal.sealer"} <= loaded


def test_the_wheel_is_what_is_tested() -> None:
    """Where the wheel is to be tested, the package comes from where pip put it."""
    if os.environ.get("SACRED_TEST_WHEEL") != "1":
        pytest.skip("not a test of the wheel")
    assert "site-packages" in (sacred.__file__ or "")


def _aliases() -> dict[str, str]:
    """The modules that stand for another one, and which, as their files say."""
    package = Path(sacred.__path__[0])
    found = {}
    for path in sorted(package.rglob("*.py")):
        target = ALIAS.search(path.read_text(encoding="utf-8"))
        if target is not None:
            name = path.relative_to(package).with_suffix("").as_posix()
            found[f"sacred.{name.replace('/', '.')}"] = target[1]
    return found


def test_the_aliases_are_found() -> None:
    """The paths that Sacred's users import most are among those that are checked below."""
    assert {"sacred.run", "sacred.experiment", "sacred.config.config_scope"} <= set(_aliases())


@pytest.mark.parametrize(("name", "real"), _aliases().items())
def test_every_alias_is_the_module_it_stands_for(name: str, real: str) -> None:
    """PKG-03: a module under Sacred's path is the same object as the real one, also for assignments."""
    assert importlib.import_module(real) is importlib.import_module(name)
    assert sys.modules[real] is sys.modules[name]


def test_every_module_can_be_imported_alone() -> None:
    """No module needs another one to have been imported before it."""
    names = [
        found.name
        for found in pkgutil.walk_packages(sacred.__path__, "sacred.")
        if not found.name.endswith(("__main__", ".tee", "contract"))
        and ".contract." not in found.name
    ]
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n"
    program += "    for known in [m for m in sys.modules if m.split('.')[0] == 'sacred']:\n"
    program += "        del sys.modules[known]\n    importlib.import_module(name)\n"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
