"""The import rules hold, and each of them can be broken.

They are checked on a copy of the package that Python imports here: the checkout's, or the wheel's.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sacred

HERE = Path(__file__).parents[2]
PACKAGE = Path(sacred.__path__[0])

LAYERS = "Imports point one way"
ROOT = "Nothing inside imports the package root"
ALIAS = "Nothing inside imports a public alias"
COMMANDS = "A command stands on what it shares, not on its neighbour"
TERMINAL = "A terminal shows what it is given"
JOURNAL = "The journal needs no driver"
CORE = "A training process pays for the journal alone"
ANALYSIS = "Questions need no experiment and no view's driver"
VIEW = "A sink knows neither the follower nor the projection"
SINKS = "A sink knows no other sink"

#: module, forbidden import, the contract that has to say so
BREAKS = [
    ("journal/frames.py", "import sacred.core.errors", LAYERS),
    ("journal/blobs.py", "import sacred.replayers.errors", LAYERS),
    ("journal/reader.py", "import sacred.observers.base", LAYERS),
    ("core/run.py", "import sacred.replayers.sink", LAYERS),
    ("core/run.py", "import sacred.observers.mongo", LAYERS),
    ("core/run.py", "import sacred.config", LAYERS),
    ("core/recorder.py", "from sacred import utils", LAYERS),
    ("replayers/follower.py", "import sacred.core.run", LAYERS),
    ("replayers/follower.py", "import sacred.observers.mongo", LAYERS),
    ("replayers/follower.py", "import sacred.run", LAYERS),
    ("observers/base.py", "import sacred.__main__", LAYERS),
    ("newcomer.py", "import os", LAYERS),
    ("journal/root.py", "import sacred", ROOT),
    ("core/run.py", "from sacred import Experiment", ROOT),
    ("replayers/errors.py", "from sacred import query", ROOT),
    ("observers/base.py", "import sacred", ROOT),
    ("cli/program.py", "import sacred.run", ALIAS),
    ("cli/program.py", "from sacred import utils", ALIAS),
    ("cli/program.py", "from sacred.config.config_scope import ConfigScope", ALIAS),
    ("cli/terminal.py", "from sacred.commands import print_config", ALIAS),
    ("observers/mongo.py", "from sacred.config import ConfigScope", ALIAS),
    ("config/utils.py", "import sacred.config.signature", ALIAS),
    ("utils.py", "import sacred.settings", ALIAS),
    ("cli/compare.py", "from sacred.cli.diff import diff", COMMANDS),
    ("cli/options.py", "import sacred.cli.listing", COMMANDS),
    ("cli/newcomer.py", "import os", COMMANDS),
    ("cli/terminal.py", "import sacred.core.run", TERMINAL),
    ("cli/terminal.py", "from sacred.replayers.listing import RunOutline", TERMINAL),
    *[("journal/root.py", f"import {name}", JOURNAL) for name in ("pymongo", "duckdb", "click")],
    *[
        ("core/launch.py", f"import {name}", CORE)
        for name in ("click", "pymongo", "sqlalchemy", "boto3", "tinydb", "duckdb")
    ],
    ("replayers/follower.py", "import sacred.analysis.queries", LAYERS),
    *[
        ("analysis/queries.py", f"import {name}", ANALYSIS)
        for name in ("sacred.core.run", "sacred.replayers.sinks.memory", "click", "pymongo")
    ],
    ("replayers/sinks/memory.py", "import sacred.replayers.follower", VIEW),
    ("replayers/sinks/memory.py", "import sacred.replayers.projection", VIEW),
    ("replayers/sinks/file/sink.py", "import sacred.replayers.sinks.memory", SINKS),
    ("replayers/sinks/tinydb/sink.py", "import sacred.replayers.projection", VIEW),
    ("replayers/sinks/sql/sink.py", "import sacred.replayers.follower", VIEW),
    ("replayers/sinks/parquet/sink.py", "import sacred.replayers.projection", VIEW),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may break."""
    shutil.copytree(
        PACKAGE, tmp_path / "sacred", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    shutil.copy(HERE / "pyproject.toml", tmp_path)
    return tmp_path


def _lint(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


def _broken(report: str) -> set[str]:
    """The contracts that a report calls broken."""
    return set(re.findall(r"^(.+) BROKEN(?: \(\d+ ignored imports?\))?$", report, re.M))


def _contracts() -> set[str]:
    lines = (HERE / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("[tool.importlinter]")
    names = [line for line in lines[start:] if line.startswith("name = ")]
    return {line.split('"')[1] for line in names}


@pytest.mark.slow
def test_the_rules_hold(copy: Path) -> None:
    """The package as it is keeps every contract."""
    status, report = _lint(copy)
    assert set() == _broken(report), report
    assert 0 == status, report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [pytest.param(*row, id=f"{row[0]}: {row[1]}") for row in BREAKS],
)
def test_each_rule_can_be_broken(copy: Path, module: str, line: str, contract: str) -> None:
    """A forbidden import in any part turns the contract red that forbids it."""
    path = copy / "sacred" / module
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{text}\n\ndef _forbidden() -> None:\n    {line}\n", encoding="utf-8")
    status, report = _lint(copy)
    assert 0 != status
    if path.name == "newcomer.py":
        assert "newcomer" in report  # a module without a place is no broken import, but an error
    else:
        assert contract in _broken(report), report


def test_every_contract_is_shown_red() -> None:
    """No contract stands in pyproject.toml without a test that breaks it."""
    assert {contract for _, _, contract in BREAKS} == _contracts()


#: The modules beside the parts that are no aliases.
_CLI = sorted(path.stem for path in PACKAGE.glob("cli*.py"))
_SHOWING = {"live_screen", "sparklines", "terminal", "terminal_chart", "waiting"}
_OWN = {"__about__", "__init__", "__main__", *_SHOWING, *_CLI}


def test_every_alias_is_forbidden_inside() -> None:
    """A new module under one of Sacred's paths has to be named in the contract."""
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.split(f'name = "{ALIAS}"')[1].split("[[")[0]
    named = contract.split("forbidden_modules = [")[1].split("]")[0].split('"')[1::2]
    aliases = {f"sacred.{path.stem}" for path in PACKAGE.glob("*.py") if path.stem not in _OWN}
    packages = {f"sacred.{name}{below}" for name in ("config", "stflow") for below in ("", ".*")}
    assert sorted(aliases | packages) == sorted(named)


def _imports_of_core(tree: ast.AST) -> list[int]:
    """The lines on which something of ``sacred.core`` is imported."""
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        if any(f"{name}.".startswith("sacred.core.") for name in names):
            found.append(node.lineno)
    return found


_RUNNING = {"run", "run_program", "rerun", "run_repetition"}


@pytest.mark.parametrize("module", _CLI)
def test_the_command_line_imports_the_framework_to_run_an_experiment_only(module: str) -> None:
    """R24: ``cli`` imports core inside the commands ``run`` and ``rerun``, nowhere else."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    inside = {
        line
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in _RUNNING
        for line in _imports_of_core(node)
    }
    assert [] == [line for line in _imports_of_core(tree) if line not in inside]
