"""What a child process recorded, and no file took before it ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

#: The run's folder is away while its child lives, as a disk that is full or not there.
PROGRAM = """
import multiprocessing, os, sys

from sacred import Experiment

ending = sys.argv.pop(1) if __name__ == "__main__" else ""
ex = Experiment("parent", save_git_info=False)

def child(run):
    for step in range(100):
        run.log_scalar("of the child", step, step)

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
    os.rename(journal + ".away", journal)
    _run.log_scalar("of the parent", 1.0)

if __name__ == "__main__":
    ex.run_commandline()
"""


@pytest.mark.parametrize("ending", ["fork", "spawn", "forkserver", "sys.exit"])
def test_a_child_tells_what_is_lost(tmp_path, ending):
    """P6: what no file took before a child ended is counted on the terminal, once; the run goes on."""
    (tmp_path / "parent.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "parent.py", ending, "-J", "root"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (0, []) == (done.returncode, re.findall("Traceback", done.stderr)), done.stderr
    told = re.findall(r"(\d+) events that a child process \(\d+\) recorded are lost", done.stderr)
    assert ["100"] == told
    assert "of this run" not in done.stderr
