"""P1 for what has no call of its own: info, result and output of a run that is killed."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from battery import soak
from sacred.journal import EventType, JournalReader, JournalRoot
from sacred.journal.spool import STDOUT, read_spool

PROGRAM = Path(__file__).with_name("changing.py")
#: The promise is one second, and a tenth of one for output in sys mode. A machine that is busy wakes
#: whoever sleeps later, and a disk that is busy syncs later: some times as much as a witness saw.
LATE, TIMES = 2.0, 4


def _killed(root, mode, after):
    """Run the program, kill it some time after its first change.

    Returns when it made its changes, when it was killed, and for how long its witness saw nothing.
    """
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), f"--journal={root}", "-C", mode],
        env={**soak.environment(), "TOLD": str(writing)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
    ) as program:
        os.close(writing)
        try:
            told = os.read(reading, 1 << 16)
            until = time.monotonic() + after
            while time.monotonic() < until and (more := os.read(reading, 1 << 16)):
                told += more
        finally:
            at = time.monotonic()
            program.send_signal(signal.SIGKILL)
        while more := os.read(reading, 1 << 16):
            told += more
        os.close(reading)
    times, seen = [], []
    for line in told.decode().splitlines():
        what, when = line.split()
        (seen if what == "witness" else times).append(float(when))
    seen = [times[0], *seen, at]
    return times, at, max(later - sooner for sooner, later in itertools.pairwise(seen))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("mode", ["fd", "sys"])
def test_a_kill_costs_a_second_of_info_and_result(tmp_path, mode, record_property):
    """Row 7, P1: of a run that is killed at any instant all output in fd mode is kept, and info, result and output in sys mode but for their last moment."""
    rng = random.Random(soak.seed())
    worst = 0.0
    for number in range(2):
        root = tmp_path / str(number)
        times, at, slept = _killed(root, mode, rng.uniform(1.5, 3.5))
        (run,) = JournalRoot(root).runs()
        reader = JournalReader(run.journal)
        events = list(reader.read())
        reader.close()
        output = b"".join(
            event.fields["data"] for event in events if event.type == EventType.OUTPUT
        )
        info = [
            value
            for event in events
            if event.type == EventType.INFO_CHANGED
            for path, value in event.fields["set"]
            if path == ["number"]
        ]
        results = [
            event.fields["result"] for event in events if event.type == EventType.RESULT_CHANGED
        ]
        spool = run.journal / "w0000.spool"
        if spool.exists():
            output += b"".join(c.data for c in read_spool(spool).chunks if c.stream == STDOUT)
        printed = max(map(int, re.findall(rb"^number (\d+)$", output, re.M)), default=-1)
        assert mode == "sys" or printed >= len(times) - 1
        for kept in (max(info, default=-1), max(results, default=-1), printed):
            lost = at - times[kept + 1] if kept + 1 < len(times) else 0.0
            assert lost < LATE + TIMES * slept
            worst = max(worst, lost)
    record_property(
        "battery", (f"row 7: ms of info, result, output lost, {mode}", int(worst * 1e3))
    )
