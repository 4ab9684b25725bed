"""What a child process recorded, and no file took before it ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

#: The run's folder is away while its child lives, as a disk that is full or not there.
PROGRAM = """
import multiprocessing, os, signal, sys

from sacred import Experiment

ending = os.environ["ENDING"]
last = os.environ["LAST"]
ex = Experiment("parent", save_git_info=False)

def child(run):
    for step in range(100):
        run.log_scalar("of the child", step, step)
    if last == "os._exit":
        os._exit(0)
    if last == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)

@ex.main
def main(_run):
    journal = os.path.join("root", str(_run._id), "journal")
    os.rename(journal, journal + ".away")
    if ending != "sys.exit":
        process = multiprocessing.get_context(ending).Process(target=child, args=(_run,))
        process.start()
        process.join()
    else:
        process = os.fork()
        if not process:
            child(_run)
            sys.exit(0)
        os.waitpid(process, 0)
    if last != "no room":
        os.rename(journal + ".away", journal)
    _run.log_scalar("of the parent", 1.0)

if __name__ == "__main__":
    ex.run_commandline()
"""


def losses_of(tmp_path: Path, ending: str, last: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Run the program; return what it says is lost, and the gap events of its journal."""
    (tmp_path / "parent.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "parent.py", "-J", "root"],
        cwd=tmp_path,
        env={**os.environ, "ENDING": ending, "LAST": last},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (0, []) == (done.returncode, re.findall("Traceback", done.stderr)), done.stderr
    told = re.findall(r"(\d+) events that a child process \(\d+\) recorded are lost", done.stderr)
    if last != "no room":
        assert "of this run" not in done.stderr
    (journal,) = tmp_path.glob("root/1/journal*")
    events = list(JournalReader(journal).read())
    return told, [event.fields for event in events if event.type == EventType.GAP]


@pytest.mark.parametrize("ending", ["fork", "spawn", "forkserver", "sys.exit"])
def test_a_child_tells_what_is_lost(tmp_path: Path, ending: str) -> None:
    """P6: what no file took before a child ended is counted in a gap event and, once, on the terminal."""
    told, gaps = losses_of(tmp_path, ending, "the end")
    assert ["100"] == told
    assert [100] == [gap["count"] for gap in gaps]


@pytest.mark.parametrize("ending", ["fork", "spawn", "sys.exit"])
@pytest.mark.parametrize("last", ["os._exit", "SIGKILL"])
def test_a_child_that_can_tell_nothing(tmp_path: Path, ending: str, last: str) -> None:
    """P6: the losses of a child that was stopped without a word are told by the run that it was of."""
    told, gaps = losses_of(tmp_path, ending, last)
    assert ["100"] == told
    assert [100] == [gap["count"] for gap in gaps]


def test_a_disk_that_never_takes_anything_again(tmp_path: Path) -> None:
    """P6: where the run's own end finds no room either, the terminal has both numbers."""
    told, gaps = losses_of(tmp_path, "fork", "no room")
    assert ["100"] == told
    assert [] == gaps
