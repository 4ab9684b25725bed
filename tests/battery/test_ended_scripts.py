"""Row 7 of the battery: a real script that is ended by every means."""

from __future__ import annotations

import concurrent.futures
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from battery import soak
from sacred.journal import EventType, JournalReader, JournalRoot, verify
from sacred.journal.liveness import Liveness
from sacred.journal.spool import STDOUT, read_spool
from sacred.replayers.listing import outline

SCRIPT = Path(__file__).with_name("real_script.py")
#: How it ends: what the run's status may be then.
ENDS = {
    "SIGKILL": {"DIED"},
    "exit": {"DIED"},
    "abort": {"DIED"},
    "SIGTERM": {"INTERRUPTED"},
    "SIGHUP": {"INTERRUPTED"},
    "thread": {"COMPLETED"},
    # Whose allocation is refused: main's, and the run fails; or the interpreter's own, and it dies.
    "memory": {"FAILED", "DIED"},
}
FEWEST, ROUNDS, SECONDS = 20, 200, 26


def _end(root, rng):
    """Run the script until it is ended; return (how, what it was told of, whether it was early)."""
    how = rng.choice([*ENDS, "SIGKILL", "SIGTERM"])
    outside = how in {"SIGKILL", "SIGTERM", "SIGHUP"} and rng.random() < 0.7
    early = outside and how == "SIGKILL" and rng.random() < 0.3
    reading, writing = os.pipe()
    words = [f"--journal={root}", "--capture=fd", "with"]
    words += [f"how={'wait' if outside else how}", f"after={rng.randrange(30)}"]
    script = subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        env={**soak.environment(), "TOLD": str(writing)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[writing],
        start_new_session=True,
        cwd=root,
    )
    os.close(writing)
    told = b""
    try:
        if outside and not early:
            while b"ready" not in told and (more := os.read(reading, 4096)):
                told += more
        if outside:
            time.sleep(rng.random() * (0.3 if early else 0.03))
            script.send_signal(getattr(signal, how))
        # The terminal's end is the end of all that was printed, also by what outlives the script.
        shown, _ = script.communicate(timeout=60)
        while more := os.read(reading, 1 << 16):
            told += more
    finally:
        os.close(reading)
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)
            script.communicate()
    status = script.returncode
    numbers = [int(line) for line in told.split() if line != b"ready"]
    return how, numbers, early, shown.decode(errors="replace"), status


def _judge(root, how, numbers, early, shown, status):
    """Raise if the run is not as its end has to leave it; return how many events it was told of."""
    folders = JournalRoot(root).runs() if (root / ".sacred-journal").exists() else []
    if early and not numbers and (not folders or outline(folders[0]).status in {"EMPTY", "DIED"}):
        return 0
    said = f"{how}, status {status}, told {numbers[-1:]}\n{shown[-3000:]}"
    (folder,) = folders
    report = verify(folder)
    if report.verdict not in {"clean", "tail"}:
        raise AssertionError(f"{report.verdict} {report.verdicts}: {said}")
    seen = outline(folder)
    if seen.status not in ENDS[how]:
        raise AssertionError(f"{seen.status} {seen.problem}: {said}")
    if (report.liveness is Liveness.DIED) != (seen.status == "DIED"):
        raise AssertionError(f"{report.liveness}: {said}")
    if how.startswith("SIG") and status != -getattr(signal, how):
        raise AssertionError(f"it has to die of the signal: {said}")
    reader = JournalReader(folder.path)
    events = list(reader.read())
    reader.close()
    kept = {e.fields["name"] for e in events if e.type == EventType.ARTIFACT_ADDED}
    lacking = [number for number in numbers if f"number {number}" not in kept]
    if lacking:
        raise AssertionError(f"{lacking} were told, and are not stored: {said}")
    # A line of the log on stderr may stand within one of an unbuffered interpreter's stdout.
    output = b"".join(
        e.fields["data"]
        for e in events
        if e.type == EventType.OUTPUT and e.fields["stream"] == STDOUT
    )
    spool = folder.journal / "w0000.spool"
    if spool.exists():
        output += b"".join(c.data for c in read_spool(spool).chunks if c.stream == STDOUT)
    printed = {int(number) for number in re.findall(rb"^number (\d+)\r?$", output, re.M)}
    if how != "memory" and not set(numbers) <= printed:
        raise AssertionError(f"{set(numbers) - printed} were printed, and are lost: {said}")
    if how in {"SIGTERM", "SIGHUP"}:
        # All is stored: the points are as many as the steps of each thread say.
        steps = {}
        for event in events:
            if event.type == EventType.METRIC_POINT:
                steps.setdefault(event.fields["metric"], []).append(event.fields["step"])
            elif event.type == EventType.METRIC_TABLE:
                table = event.fields["table"]
                for name, step in zip(table.names(), table.steps, strict=True):
                    steps.setdefault(name, []).append(step)
        for name, found in steps.items():
            if sorted(found) != list(range(len(found))):
                raise AssertionError(f"steps of {name} are missing: {said}")
    return len(numbers)


def _round(base, seed):
    root = base / str(seed)
    root.mkdir()
    try:
        found = _end(root, random.Random(seed))
        try:
            return found[0], _judge(root, *found)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="row 7 needs SIGHUP and RLIMIT_AS")
def test_a_script_that_is_ended_leaves_all_it_was_told_of(record_property):
    """Row 7, P1, P3: a real script with threads, a helper and output, ended by SIGKILL, SIGTERM, SIGHUP, os._exit, abort, a limit of its memory, sys.exit in a thread: clean or a tail, its status as its end was, and every control event that returned."""
    seed = soak.seed() * 100_000
    until = time.monotonic() + max(SECONDS, soak.seconds(0.1))
    counts = dict.fromkeys(ENDS, 0)
    told = 0
    with soak.scratch() as base, concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = set()
        while True:
            while len(running) < 2:
                begun = sum(counts.values()) + len(running)
                over = time.monotonic() >= until or (begun >= ROUNDS and not soak.seconds(1))
                if over and begun >= FEWEST:  # however slow this machine is
                    break
                running.add(pool.submit(_round, base, seed))
                seed += 1
            if not running:
                break
            first = concurrent.futures.FIRST_COMPLETED
            done, running = concurrent.futures.wait(running, return_when=first)
            for one in done:
                how, acknowledged = one.result()
                counts[how] += 1
                told += acknowledged
    assert sum(counts.values()) >= FEWEST
    assert told
    record_property("battery", ("row 7: scripts ended", sum(counts.values())))
    record_property("battery", ("row 7: control events acknowledged, all kept", told))
