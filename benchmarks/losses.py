"""B6: how many points a SIGKILL costs."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import time
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.laboratory import OURS, Contestant, event_recorder, recorders
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_START = 60.0  # seconds until the first point
_JITTER = 0.05  # seconds by which a kill comes later, at most


def measure(laboratory: Laboratory) -> Table:
    """Kill processes that record at a steady rate, and read back what they left."""
    scale = laboratory.scale
    environments = laboratory.environments
    ours, *peers = recorders(environments)
    known = [ours, event_recorder(environments), *peers]
    contestants: dict[str, Callable[[], Outcome]] = {
        contestant.name: _once(laboratory, contestant) for contestant in known
    }
    samples = interleave(
        contestants,
        rounds=scale.kill_rounds,
        progress=lambda text: laboratory.say(f"B6 {text}"),
    )
    case = f"{scale.stream_rate:,} points/s, killed after {scale.stream_seconds:g} s"
    limits = {OURS: {"most": 64.0, "holes": 0.0}}
    rows = [
        Row(
            case,
            contestant.name,
            samples[contestant.name],
            limits.get(contestant.name, {"most": 0.0, "holes": 0.0} if contestant.ours else {}),
            contestant.name == OURS,
        )
        for contestant in known
    ]
    return Table(
        "B6",
        "points lost by SIGKILL",
        (
            Column("lost", "lost, median"),
            Column("most", "lost, most", largest=True),
            Column("returned", "calls that had returned"),
            Column("rate", "points/s"),
            Column("holes", "holes", largest=True),
        ),
        tuple(rows),
        scale.kill_rounds,
        (
            "The process puts a byte into a pipe after each call that returned; the parent counts "
            "them after the kill. What was kept is read by this project's `JournalReader`, from "
            "Sacred's `metrics.json`, and from tensorboardX's event files. *Holes* are points that "
            "are missing before the last one that was kept. Sacred delivers points with its "
            "heartbeat, every 10 s: a longer run loses 10 s of them."
        ),
    )


def _once(laboratory: Laboratory, contestant: Contestant) -> Callable[[], Outcome]:
    def once() -> Outcome:
        folder = laboratory.folder()
        returned, seconds = _stream(laboratory, contestant, folder)
        kept, holes = laboratory.count(contestant, folder)
        shutil.rmtree(folder, ignore_errors=True)
        # The kill may fall between a call's return and its byte in the pipe: then one more is kept.
        lost = float(max(0, returned - kept))
        return {
            "lost": lost,
            "most": lost,
            "returned": float(returned),
            "rate": returned / seconds,
            "holes": float(holes),
        }

    return once


def _stream(laboratory: Laboratory, contestant: Contestant, folder: Path) -> tuple[int, float]:
    """Record until the time is over, kill; return the calls that returned, and the seconds."""
    scale = laboratory.scale
    reading, writing = os.pipe()
    command = [
        str(contestant.python),
        str(laboratory.script("stream")),
        contestant.api,
        str(folder / "data"),
        str(scale.stream_rate),
        str(writing),
    ]
    try:
        process = processes.start(
            command, cwd=folder, extra=contestant.variables(folder), pass_fds=[writing]
        )
    finally:
        os.close(writing)
    try:
        if not select.select([reading], [], [], _START)[0]:
            raise processes.ProcessFailedError(f"{' '.join(command)} recorded nothing")
        begin = time.perf_counter()
        # The writer's 10 ms begin with the first point: a kill at a round time always hits the same
        # moment of them.
        late = random.random() * _JITTER
        returned = _drain(reading, begin + scale.stream_seconds + late)
        process.send_signal(signal.SIGKILL)
        seconds = time.perf_counter() - begin
        status = process.wait(timeout=_START)
        # Children may still hold the pipe: what is in it now is all that the process wrote.
        returned += _drain(reading, 0.0)
    finally:
        processes.stop(process)
        process.wait(timeout=_START)
        os.close(reading)
    if status != -signal.SIGKILL:
        tail = (folder / "output.txt").read_text(errors="replace")[-1500:]
        raise processes.ProcessFailedError(f"{' '.join(command)} ended before the kill:\n{tail}")
    return returned, seconds


def _drain(descriptor: int, deadline: float) -> int:
    """Count the bytes of a pipe until a moment, and then what it holds; stop at its end."""
    count = 0
    while True:
        wait = max(0.0, deadline - time.perf_counter())
        if not select.select([descriptor], [], [], wait)[0]:
            return count
        found = len(os.read(descriptor, 1 << 16))
        count += found
        if not found or (deadline and not wait):
            return count
