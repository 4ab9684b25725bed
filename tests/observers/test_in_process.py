"""A replayer as a thread: where no process can be started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = """
    import sys
    {freeze}
    from sacred import Experiment
    from sacred.observers import FileStorageObserver

    ex = Experiment("iris", save_git_info=False)
    ex.observers.append(FileStorageObserver("runs"))

    @ex.main
    def main(_run):
        for value in (1.5, 2.5):
            _run.log_scalar("m", value)
        print("printed")
        return 3

    for _ in range(2):
        ex.run(options={{"--capture": "sys"}})
"""


def _execute(folder: Path, freeze: str) -> str:
    script = folder / "program.py"
    script.write_text(textwrap.dedent(_PROGRAM.format(freeze=freeze)))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "60"},
        timeout=200,
        check=True,
    )
    return re.sub(r"after \d:\d\d:\d\d$", "after TIME", done.stderr, flags=re.MULTILINE)


def _check_views(folder: Path) -> None:
    for number in ("1", "2"):
        with open(folder / "runs" / number / "run.json") as file:
            assert ("COMPLETED", 3) == tuple(
                value for name, value in sorted(json.load(file).items(), reverse=True)
                if name in ("status", "result")
            )  # fmt: skip
        with open(folder / "runs" / number / "metrics.json") as file:
            assert [1.5, 2.5] == json.load(file)["m"]["values"]
        assert "printed" in (folder / "runs" / number / "cout.txt").read_text()
    assert ["1", "2"] == sorted(name for name in os.listdir(folder / "runs") if name[0] != "_")


_LINES = [
    "INFO - iris - Running command 'main'",
    'INFO - iris - Started run with ID "{}"',
    "INFO - iris - Result: 3",
    "INFO - iris - Completed after TIME",
]


def test_a_process_writes_the_view_before_the_run_returns(tmp_path: Path) -> None:
    """USE-07: the bounded wait ends with a view that has everything, and Sacred's lines alone."""
    said = _execute(tmp_path, "")
    _check_views(tmp_path)
    assert [line.format(number) for number in (1, 2) for line in _LINES] == said.splitlines()


def test_a_frozen_application_writes_it_by_a_thread(tmp_path: Path) -> None:
    """sys.frozen: the same commands, the same view, no process, nothing more on the terminal."""
    said = _execute(tmp_path, "sys.frozen = True")
    _check_views(tmp_path)
    assert [line.format(number) for number in (1, 2) for line in _LINES] == said.splitlines()
    logs = (tmp_path / "sacred_runs" / ".cache" / "replayers").glob("*.log")
    assert [] == [*logs]  # every replayer process has one
