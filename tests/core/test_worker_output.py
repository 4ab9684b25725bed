"""What workers print in `fd` mode is in their run's output, however they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="`fd` mode is for POSIX systems")

PROGRAM = """
import ctypes, json, multiprocessing, os, signal, sys
from sacred import Experiment

ex = Experiment("printing", save_git_info=False)
ex.add_config(seed=1)

@ex.capture
def whole(task, _run):
    for part in range(3):
        print("whole", task, part)

@ex.capture
def unended(task, _run):
    print(f"<unended {task}>", end="")

@ex.capture
def by_c(task, _run):
    ctypes.CDLL(None).printf(b"by c %d\\n", ctypes.c_int(task))

def plain(run, task):
    print("plain", task)

@ex.capture
def killed(_run):
    print("killed 0")
    print("killed", 1)
    os.kill(os.getpid(), signal.SIGKILL)

def left(run):
    print("left 0")
    print("left", 1)
    os._exit(0)

def in_pool(pool):
    for function in (whole, unended, by_c):
        pool.map(function, range(2), chunksize=1)

@ex.main
def main(_run):
    how = sys.argv[1]
    if how == "loky":
        from joblib import Parallel, delayed
        for function in (whole, unended, by_c):
            Parallel(n_jobs=2)(delayed(function)(task) for task in range(2))
        Parallel(n_jobs=2)(delayed(plain)(_run, task) for task in range(2))
    elif how.startswith("older"):
        in_pool(pool)
    else:
        context = multiprocessing.get_context(how)
        with context.Pool(2) as one:
            in_pool(one)
            one.starmap(plain, [(_run, task) for task in range(2)])
        for function, arguments in ((killed, ()), (left, (_run,))):
            child = context.Process(target=function, args=arguments)
            child.start()
            child.join(60)

if __name__ == "__main__":
    if sys.argv[1].startswith("older"):
        pool = multiprocessing.get_context(sys.argv[1].split()[1]).Pool(2)
    run = ex.run(options={"--capture": "fd"})
    with open("report.json", "w") as file:
        json.dump(run.captured_out, file)
    if sys.argv[1].startswith("older"):
        pool.terminate()
    sys.stdout.flush()
    # No worker of joblib's may have anything to say at its end, when the run is over.
    if sys.argv[1] == "loky":
        from joblib.externals.loky import get_reusable_executor
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
"""
WHOLE = [f"whole {task} {part}" for task in range(2) for part in range(3)]
IN_POOL = [*WHOLE, "by c 0", "by c 1"]
PLAIN = ["plain 0", "plain 1"]
ENDED = ["killed 0", "killed 1", "left 0", "left 1"]


def _printed(tmp_path: Path, how: str, **environment: str) -> tuple[str, str]:
    """Run the program; return what it recorded, and what it showed."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "program.py", how],
        cwd=tmp_path,
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-4000:]
    recorded: Any = json.loads((tmp_path / "report.json").read_text())
    return recorded, done.stdout


def _parts(text: str) -> list[str]:
    """Return the lines, each piece that has no end by itself, without those that a run logs."""
    lines = text.replace("<", "\n<").replace(">", ">\n").splitlines()
    return sorted(line for line in lines if line and "printing" not in line)


UNENDED = ["<unended 0>", "<unended 1>"]
METHODS = [
    pytest.param("fork", [*IN_POOL, *PLAIN, *ENDED]),
    pytest.param("spawn", [*IN_POOL, *PLAIN, *ENDED]),
    pytest.param("forkserver", [*IN_POOL, *PLAIN, *ENDED], marks=pytest.mark.slow),
    pytest.param("older spawn", IN_POOL, marks=pytest.mark.slow),
    pytest.param("older fork", IN_POOL),
    pytest.param("loky", [*IN_POOL, *PLAIN], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("how", "expected"), METHODS)
def test_nothing_that_a_worker_printed_is_lost(
    tmp_path: Path, how: str, expected: list[str]
) -> None:
    """P1: what captured functions printed is recorded and shown when they returned, by C code and without a newline too; lines at once, of plain functions that were sent the run as well, so that a pool that is terminated, `os._exit` or a kill takes none along."""
    if how == "loky":
        pytest.importorskip("joblib")
    if "older" in how and not os.path.isdir("/proc/self/fd"):
        pytest.skip("a pipe is lent on Linux")
    recorded, shown = _printed(tmp_path, how)
    assert sorted([*expected, *UNENDED]) == _parts(recorded)
    assert sorted([*expected, *UNENDED]) == _parts(shown)


@pytest.mark.slow
def test_workers_of_an_unbuffered_interpreter(tmp_path: Path) -> None:
    """P1: with PYTHONUNBUFFERED, where each argument is written by itself and workers tear each other's lines, no piece is missing."""
    recorded, shown = _printed(tmp_path, "spawn", PYTHONUNBUFFERED="1")
    expected = "".join([*IN_POOL, *PLAIN, *ENDED, *UNENDED])
    for text in (recorded, shown):
        pieces = "".join(line for line in text.splitlines() if "printing" not in line)
        assert sorted(expected.replace(" ", "")) == sorted(pieces.replace(" ", ""))


BUFFERS = """
import multiprocessing, sys
from sacred import Experiment

ex = Experiment("buffers", save_git_info=False)
ex.add_config(seed=1)

@ex.capture
def line_by_line(_run):
    return sys.stdout.line_buffering

def is_line_buffered(_=None):
    return sys.stdout.line_buffering

@ex.main
def main(_run):
    return pool.apply(line_by_line), pool.apply(is_line_buffered)

if __name__ == "__main__":
    pool = multiprocessing.get_context("spawn").Pool(1)
    with pool:
        before = pool.apply(is_line_buffered)
        inside, after = ex.run(options={"--capture": "fd"}).result
    print(before, inside, after)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a pipe is lent on Linux")
def test_a_pool_that_is_older_prints_as_before(tmp_path: Path) -> None:
    """A pool's process has the run's pipe for the time of a call; its own stdout is buffered as it was then."""
    (tmp_path / "buffers.py").write_text(textwrap.dedent(BUFFERS), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "buffers.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "False True False" == done.stdout.strip(), done.stderr[-2000:]


THREADS = """
import json, multiprocessing, sys, threading
from sacred import Experiment

ex = Experiment("threads", save_git_info=False)
ex.add_config(seed=1)

@ex.capture
def first(_run):
    begun.set()
    assert joined.wait(100)
    print("by the first")

@ex.capture
def second(_run):
    joined.set()
    assert first_is_over.wait(100)
    print("by the second")

begun, joined, first_is_over = (threading.Event() for _ in range(3))

def in_threads(one, two):
    def run_second():
        assert begun.wait(100)
        two()
    thread = threading.Thread(target=run_second)
    thread.start()
    one()
    first_is_over.set()
    thread.join(100)

@ex.main
def main(_run):
    pool.apply(in_threads, (first, second))

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        run = ex.run(options={"--capture": "fd"})
    with open("report.json", "w") as file:
        json.dump(run.captured_out, file)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a pipe is lent on Linux")
def test_threads_of_a_worker_share_the_pipe(tmp_path: Path) -> None:
    """A call that ends while another thread still works for the run does not take the pipe away."""
    (tmp_path / "threads.py").write_text(textwrap.dedent(THREADS), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "threads.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    lines = json.loads((tmp_path / "report.json").read_text()).splitlines()
    assert ["by the first", "by the second"] == [line for line in lines if "by the" in line]
