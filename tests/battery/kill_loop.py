"""Row 6's program: a process writes, is killed, and what it was told is looked for, again and again.

``kill_loop.py FOLDER ROUNDS SECONDS SEED``: at least so many rounds, then on until so many seconds
are through. Prints what it counted. A program of its own: it forks, and has one thread.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import shutil
import signal
import struct
import sys
import time
import traceback

from battery import oracle
from sacred.journal import EventType, JournalWriter
from sacred.journal import epoch_writer as lower_half

MESSAGE = EventType.MESSAGE
POINTS = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
#: Of so many last points the child notes when each was logged.
NOTED = 4096
#: A caller writes so many waiting points himself: no more can be lost, also where the interpreter
#: was kept busy.
MOST_POINTS = 112


def write(folder, durability, trouble, rng, pipe, shared):
    """Write for ever; tell what returned."""
    notes = memoryview(shared).cast("Q")
    if trouble == "rotation":
        lower_half.EPOCH_BYTES = 2_000
    real, calls = os.write, [0]
    if trouble == "faults":

        def refuse_now_and_then(descriptor, data):
            if descriptor == pipe:
                return real(descriptor, data)
            calls[0] += 1
            # Not often: what is not durable is written again, in hundreds of calls.
            if calls[0] in {9, 400}:
                if calls[0] % 2:
                    return real(descriptor, data[: len(data) // 2])
                raise OSError(28, "No space left on device")
            return real(descriptor, data)

        os.write = refuse_now_and_then
    writer = JournalWriter.create(folder, durability=durability)
    if trouble == "fork":
        writer.append(MESSAGE, level="info", text="before the fork")
        if os.fork() == 0:  # both are killed: they are a group
            writer.append(MESSAGE, level="info", text="the child")
            real(pipe, struct.pack("<IQ", writer.number, 0))  # 0 was child_began; 1 the text
    log_point = writer.log_point
    seq = writer.append(MESSAGE, level="info", text="begun")
    number = writer.number
    real(pipe, struct.pack("<IQ", number, seq))
    point = 0
    while True:
        for _ in range(rng.randint(1, rng.choice((5, 60, 600)))):
            log_point("loss", point, point / 7)
            if number == 0:
                notes[2 + point % NOTED] = time.time_ns()
                point += 1
                notes[0] = point
        seq = writer.append(
            MESSAGE, level="info", text=f"{writer.number}: " + "x" * rng.choice((3, 90, 400))
        )
        if writer.fault is None:  # else it waits in memory: no promise holds while the disk refuses
            real(pipe, struct.pack("<IQ", writer.number, seq))
        if rng.random() < 0.1:
            writer.sync()


def round_of(folder, seed):
    """Have one process killed, and judge what it left; return (events told, points lost, their age)."""
    rng = random.Random(seed)
    durability = rng.choice(("second", "second", "event", "process"))
    trouble = rng.choice((None, None, None, "rotation", "faults", "fork"))
    shared = mmap.mmap(-1, 8 * (2 + NOTED))
    reading, writing = os.pipe()
    journal = os.path.join(folder, "journal")
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.close(reading)
            write(journal, durability, trouble, rng, writing, shared)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(9)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], 100)  # until it has begun
    told = os.read(reading, 12) if ready else b""
    time.sleep(rng.random() * 0.002)
    os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not told:
        raise oracle.Broken("the writer told nothing")
    if not os.WIFSIGNALED(status):
        raise oracle.Broken(f"the writer ended by itself: {status}")
    while more := os.read(reading, 1 << 16):
        told += more
    os.close(reading)
    required = {}
    for at in range(0, len(told) - 11, 12):
        writer, seq = struct.unpack_from("<IQ", told, at)
        required[writer] = max(required.get(writer, -1), seq)
    seen = oracle.look(journal)
    oracle.check_prefix(seen)
    oracle.check_kept(seen, {writer: [(0, seq + 1)] for writer, seq in required.items()})
    if seen.verdicts and trouble != "faults":
        raise oracle.Broken(f"{seen.verdicts}")
    if any(verdict for verdict in seen.verdicts if not getattr(verdict, "superseded", False)):
        raise oracle.Broken(f"{seen.verdicts}")
    kept = sum(
        event.count
        for frame in seen.frames
        if frame.writer == 0
        for event in frame.events
        if event.type in POINTS
    )
    notes = memoryview(shared).cast("Q")
    logged = notes[0]
    lost = max(0, logged - kept)
    if trouble != "faults" and lost > (0 if durability == "event" else MOST_POINTS):
        raise oracle.Broken(f"{lost} points of {logged} are lost with {durability}")
    if trouble == "faults":
        lost = 0
    last = notes[2 + (logged - 1) % NOTED] if logged else 0
    age = (last - notes[2 + kept % NOTED]) / 1e6 if lost else 0.0
    notes.release()
    shared.close()
    shutil.rmtree(journal)
    return len(told) // 12, lost, age, bool(seen.tails)


def main(folder, rounds, seconds, seed):
    until = time.monotonic() + float(seconds)
    seed = int(seed)
    count = told = torn = 0
    ages, losses = [], []
    while count < int(rounds) or time.monotonic() < until:
        try:
            acks, lost, age, tail = round_of(folder, seed + count)
        except Exception as error:
            raise SystemExit(f"seed {seed + count}: {type(error).__name__}: {error}") from error
        count += 1
        told += acks
        torn += tail
        losses.append(lost)
        ages.append(age)
    ages.sort()
    print(
        json.dumps(
            {
                "rounds": count,
                "told": told,
                "torn": torn,
                "most_points_lost": max(losses),
                "age_p99": round(ages[int(len(ages) * 0.99)], 2),
                "age_max": round(ages[-1], 2),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
