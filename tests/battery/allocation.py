"""Row 15's program: memory that runs out, at every single allocation, while a journal is written.

``allocation.py faults FOLDER ROUNDS SECONDS SEED`` lets the n-th allocation of a call fail,
for n = 1, 2, ... and every call, or some that follow each other. ``allocation.py limit FOLDER MIB`` records under
RLIMIT_AS while it holds as much memory as it gets. Prints what it counted.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import shutil
import sys
import time

from battery import oracle
from sacred.journal import EventType, JournalWriter

MESSAGE = EventType.MESSAGE
POINTS = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
CALLS = ("log_point", "burst", "append", "append_output", "flush", "sync", "close")
BURST = range(200)


def call(writer, name):
    """Do one thing; return how many events it records."""
    if name == "log_point":
        writer.log_point("x", 1000, 0.5)
        return 1
    if name == "burst":
        for step in BURST:
            writer.log_point("x", step, 0.5)
        return len(BURST)
    if name == "append":
        writer.append(MESSAGE, level="info", text="in the middle")
        return 1
    if name == "append_output":
        writer.append_output(1, b"a line\n")
        return 1
    getattr(writer, name)()
    return 0


def round_of(folder, name, durability, number, last, background):
    """Let the allocations from ``number`` to ``last`` fail; return what a call raised, if anything."""
    import _testcapi

    writer = JournalWriter.create(folder, durability=durability)
    if not background:
        writer._rouse = lambda: None
    for step in range(5):
        writer.log_point("x", step, 0.5)
    writer.append_output(1, b"before\n")
    logged, raised = 0, None
    _testcapi.set_nomemory(number, last)
    try:
        logged = call(writer, name)
    except BaseException as error:
        _testcapi.remove_mem_hooks()
        raised = error
    _testcapi.remove_mem_hooks()
    if raised is not None and not _of_the_caller(raised):
        raise oracle.Broken(f"{name} raised {raised!r}") from raised
    if writer._lock._is_owned() or writer._busy:
        raise oracle.Broken(f"{name} left the lock behind")
    for text in ("with memory again", "the end"):
        if not writer.closed:
            writer.append(MESSAGE, level="info", text=text)
    writer.close()
    seen = oracle.look(folder)
    oracle.check_prefix(seen)
    there = 0
    texts = []
    for frame in seen.frames:
        for event in frame.events:
            there += event.count * (event.type in POINTS)
            there += event.type in {EventType.OUTPUT} and event.fields["data"].count(b"\n")
            texts += [event.fields["text"]] if event.type == MESSAGE else []
    lost = sum(loss.count for loss in writer.losses)
    there += texts.count("in the middle")
    if raised is None and there + lost != 6 + logged:
        raise oracle.Broken(f"{6 + logged} were recorded, {there} read, {lost} told to be lost")
    if raised is not None and there + lost < 6:
        raise oracle.Broken(f"{there} were read, {lost} told to be lost, of 6 before")
    if name != "close" and texts[-2:] != ["with memory again", "the end"]:
        raise oracle.Broken(f"with memory again: {texts}")
    if writer.losses and not lost:
        raise oracle.Broken("a loss of nothing")
    shutil.rmtree(folder)
    return raised is not None, lost


def _of_the_caller(error):
    """Tell whether it was this program's own allocation, or the entering of a call."""
    trace, last = error.__traceback__, None
    while trace is not None:
        last, trace = trace, trace.tb_next
    return (
        type(error) is MemoryError
        and last is not None
        and last.tb_frame.f_code.co_filename == __file__
    )


def faults(folder, rounds, seconds, seed):
    rng = random.Random(int(seed))
    until = time.monotonic() + float(seconds)
    plans = []
    for name, durability in itertools.product(CALLS, ("second", "event")):
        numbers = range(1, 120) if name != "burst" else range(1, 700, 5)
        plans += [(name, durability, n, n + 1) for n in numbers]
        plans += [(name, durability, n, rng.choice((n + 2, n + 9))) for n in numbers]
    rng.shuffle(plans)
    count = raised = lost = 0
    place = os.path.join(folder, "journal")
    for plan in itertools.cycle(plans):
        if count >= int(rounds) and time.monotonic() >= until:
            break
        background = rng.random() < 0.2
        try:
            found = round_of(place, *plan, background)
        except Exception as error:
            raise SystemExit(f"seed {seed}, {plan}: {type(error).__name__}: {error}") from error
        count, raised, lost = count + 1, raised + found[0], lost + found[1]
    print(json.dumps({"rounds": count, "raised": raised, "lost": lost}))


def limit(folder, mib):
    writer = JournalWriter.create(os.path.join(folder, "journal"))
    log_point = writer.log_point
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    most = used + (int(mib) << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    held, own, points, texts = [], 0, 0, 0
    size = 1 << 20
    while size >= 512:  # the program takes what there is, to the last bytes
        try:
            held.append(bytearray(size))
        except MemoryError:
            own += 1
            size //= 2
        try:
            log_point("x", points, 0.5)
            points += 1
            if points % 50 == 0:
                texts += writer.append(MESSAGE, level="info", text="x" * 1000) >= 0
        except MemoryError as error:
            if not _of_the_caller(error):
                raise
            own += 1
            points += 1
    for _ in range(3000):
        log_point("x", points, 0.5)
        points += 1
    held.clear()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log_point("x", points, 0.5)
    points += 1
    synced = writer.sync()
    writer.close()
    seen = oracle.look(writer.folder)
    oracle.check_prefix(seen)
    there = sum(e.count for f in seen.frames for e in f.events if e.type in POINTS)
    lost = sum(loss.count for loss in writer.losses)
    if there + lost < points or there > points:
        raise oracle.Broken(f"{points} points, {there} read, {lost} lost")
    print(json.dumps({"points": points, "read": there, "own": own, "synced": synced}))


if __name__ == "__main__":
    {"faults": faults, "limit": limit}[sys.argv[1]](*sys.argv[2:])
