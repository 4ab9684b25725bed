"""A program that has used up its descriptors: how it ends is its own affair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")

#: Without descriptors nothing can be imported any more: not what seals a journal, nor what prints a
#: stack trace, nor what reads the spool.
PROGRAM = """
import os, resource, signal, sys

from sacred import SETTINGS, Experiment

ending, SETTINGS.CAPTURE_MODE = sys.argv.pop(1), sys.argv.pop(1)
ex = Experiment("leak", save_git_info=False)
kept = []

@ex.main
def main(_run):
    while not _run._facts.done:
        pass  # what is found in the background has been
    print("a line")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50,) * 2)
    try:
        while True:
            kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    _run.log_scalar("loss", 0.5)
    if ending == "raises":
        raise ValueError("of the user's own")
    if ending == "interrupted":
        raise KeyboardInterrupt
    if ending == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    return 5

run = ex.run_commandline()
print("ended as", run.status, run.result)
"""


@pytest.mark.parametrize("capture", ["no", "fd"])
@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("returns", 0, "ended as COMPLETED 5"),
        ("raises", 1, "ValueError: of the user's own"),
        ("interrupted", -signal.SIGINT, "KeyboardInterrupt"),
        ("terminated", -signal.SIGTERM, ""),
    ],
)
def test_a_program_without_descriptors_ends_as_it_would(tmp_path, ending, code, said, capture):
    """P6: what its run can not do any more at its end never becomes an exception of the program's."""
    (tmp_path / "leak.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "leak.py", ending, capture, "-J", "root", "-F", "view"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert said in printed
    assert "During handling" not in printed
    assert done.returncode == code
