"""How long the battery goes on, and where it makes its files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Of memory, where the machine has it: the battery tests what is written, not how fast a disk is.
MEMORY = Path("/dev/shm")


def seconds(share):
    """Return for how long a part of the battery goes on in a soak (s): 0 outside of one."""
    return 60 * float(os.environ.get("SACRED_SOAK_MINUTES") or 0) * share


def seed():
    """Return the number that all chance comes from: drawn anew in a soak, and told with a failure."""
    given = os.environ.get("SACRED_SOAK_SEED")
    if given:
        return int(given)
    return time.time_ns() % 10**9 if seconds(1) else 4


@contextlib.contextmanager
def scratch():
    """Give a folder in memory, away from what other tests look through."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    folder = Path(tempfile.mkdtemp(prefix="battery-", dir=MEMORY if usable else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment():
    """Return the environment of a program of the battery: it finds what this process finds."""
    tests = str(Path(__file__).parents[1])
    paths = [tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run_program(name, *words, before=(), limit=280.0):
    """Run one of the battery's programs; return what it printed last, a JSON object."""
    program = Path(__file__).with_name(name)
    result = subprocess.run(
        [*before, sys.executable, str(program), *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    if result.returncode:
        raise AssertionError(f"{name}: status {result.returncode}\n{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])
