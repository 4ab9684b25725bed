"""Row 6's second program: a run is killed and gone on with, again and again, by two processes at once.

``go_on_loop.py FOLDER ROUNDS SECONDS SEED``: at least so many kills, then on until so many seconds
are through. Prints what it counted. Each process writes what it prints into the spool, as the tee
does, and some of it into the journal; a worker of it joins. A program of its own: it forks, and has
one thread.
"""

from __future__ import annotations

import json
import logging
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
from pathlib import Path

from battery import oracle, spooled
from sacred.core.recorded import RecordedRun
from sacred.core.recorder import Recorder
from sacred.core.resume import Continuation
from sacred.journal import EventType, JournalWriter, RunFolder
from sacred.journal.errors import JournalBusyError
from sacred.journal.verdicts import is_damage

MESSAGE = EventType.MESSAGE
TOLD = struct.Struct("<cIQ")
#: A run is gone on with so often before a new one begins.
GENERATIONS = 6
_SLOWEST = 100.0


def print_on(writer, spool, first, rng, pipe, shared):
    """Print for ever, and log; tell what returned."""
    printed = memoryview(shared).cast("Q")
    waiting, number = [], first
    while True:
        begin, end = spool.print(spooled.line(number))
        waiting.append((spooled.line(number), begin, end))
        number += 1
        printed[0] = number
        if rng.random() < 0.3:  # what is new in the spool goes into the journal
            for data, begin, end in waiting:
                writer.append_output(1, data, begin, end)
            waiting.clear()
        if rng.random() < 0.2:
            seq = writer.append(MESSAGE, level="info", text="x" * rng.choice((3, 90, 400)))
            os.write(pipe, TOLD.pack(b"e", writer.number, seq))
        if rng.random() < 0.05:
            writer.sync()
        time.sleep(0.0005)  # it computes something: who looks whether it lives reads all of it


def work(journal, pipe):
    """Join the run as a worker, and log for ever."""
    journal_id = RecordedRun(RunFolder(journal.parent, 1)).journal_id
    writer = JournalWriter.join(journal, journal_id=journal_id)
    while True:
        writer.log_point("loss", writer.next_seq, 0.5)
        seq = writer.append(MESSAGE, level="info", text="worker")
        os.write(pipe, TOLD.pack(b"e", writer.number, seq))
        time.sleep(0.001)


def begin(journal, rng, pipe, shared):
    """Begin a run and print."""
    writer = spooled.writer_of(journal, durability=rng.choice(("process", "second", "event")))
    os.write(pipe, TOLD.pack(b"w", 0, 0))
    print_on(writer, spooled.Spool(journal), 0, rng, pipe, shared)


def go_on(journal, rng, pipe, shared, first):
    """Go on with the run if nobody else does, and print."""
    folder = RunFolder(journal.parent, 1)
    recorder = Recorder(journal.parent.parent, durability=rng.choice(("process", "second")))
    record = RecordedRun(folder)
    try:
        Continuation(record, resume=True, stored=False, force=False).take(
            recorder, logging.getLogger()
        )
    except JournalBusyError:
        os.write(pipe, TOLD.pack(b"b", 0, 0))
        return
    os.write(pipe, TOLD.pack(b"w", recorder.writer.epoch, recorder.writer.next_seq - 1))
    spool = spooled.Spool(journal, recorder.spool_begin)
    if rng.random() < 0.3 and os.fork() == 0:  # all of them are killed: they are a group
        work(journal, pipe)
    print_on(recorder.writer, spool, first, rng, pipe, shared)


def killed(entries, rng, *, early):
    """Have processes do something, kill them, and return what they told: (what, writer, number)."""
    reading, writing = os.pipe()
    children = []
    for entry in entries:
        child = os.fork()
        if child == 0:
            try:
                os.setpgid(0, children[0] if children else 0)
                os.close(reading)
                entry(writing)
            except BaseException:
                traceback.print_exc()
                os.write(writing, TOLD.pack(b"x", 0, 0))
            finally:
                os._exit(0)
        try:  # whichever of the two is first
            os.setpgid(child, children[0] if children else child)
        except OSError:
            pass
        children.append(child)
    os.close(writing)
    told, answers = b"", 0
    deadline = time.monotonic() + _SLOWEST
    while not early and answers < len(entries):
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(reading, 1 << 16) if ready else b""
        if not more:
            break
        told += more
        whats = [TOLD.unpack_from(told, at)[0] for at in range(0, len(told) - 12, 13)]
        answers = sum(what in b"wbx" for what in whats)
    time.sleep(rng.random() * 0.012 if early else rng.random() * 0.004)
    # The group is that of the first; a zombie keeps its number until it is waited for.
    os.killpg(children[0], signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    while more := os.read(reading, 1 << 16):
        told += more
    os.close(reading)
    return [TOLD.unpack_from(told, at) for at in range(0, len(told) - 12, 13)]


def life(folder, seed, counted):
    """Have one run killed and gone on with some times, and judge it each time."""
    rng = random.Random(seed)
    journal = Path(folder) / "1" / "journal"
    journal.parent.mkdir()
    shared = mmap.mmap(-1, 8)
    printed = memoryview(shared).cast("Q")
    required, first = {}, 0

    def starts(pipe):
        begin(journal, rng, pipe, shared)

    def goes_on(pipe):
        go_on(journal, rng, pipe, shared, first)

    for generation in range(GENERATIONS):
        early = bool(generation) and rng.random() < 0.5
        told = killed([starts] if not generation else [goes_on, goes_on], rng, early=early)
        whats = b"".join(what for what, _, _ in told if what != b"e")
        if b"x" in whats:
            raise oracle.Broken("a process raised")
        if whats.count(b"w") > 1:
            raise oracle.Broken("two processes were given the run")
        if not early and sorted(whats) != sorted(b"wb" if generation else b"w"):
            raise oracle.Broken(f"both answered {whats}")
        # A file without a first event counts as one that somebody is about to write for ten seconds.
        newest = max(journal.glob("w0000-e*.jzst"))
        os.utime(newest, (time.time() - 20,) * 2)
        counted["kills"] += 1
        counted["refused"] += whats.count(b"b")
        counted["early"] += b"w" not in whats
        for what, writer, seq in told:
            if what == b"e":
                required[writer] = max(required.get(writer, -1), seq)
                counted["told"] += 1
            elif generation and what == b"w":
                required[0] = max(required.get(0, -1), seq)
        seen = oracle.look(journal)
        oracle.check_prefix(seen)
        oracle.check_kept(seen, {writer: [(0, seq + 1)] for writer, seq in required.items()})
        if wrong := [str(verdict) for verdict in seen.verdicts if is_damage(verdict)]:
            raise oracle.Broken(f"{wrong}")
        # The last record may be whole though its write never returned.
        first = spooled.check_lines(journal, max(first, printed[0]), max(first, printed[0]) + 1)
    counted["lines"] += first
    printed.release()
    shared.close()
    shutil.rmtree(journal.parent)


def main(folder, rounds, seconds, seed):
    until = time.monotonic() + float(seconds)
    seed = int(seed)
    counted = dict.fromkeys(("kills", "told", "refused", "early", "lines"), 0)
    while counted["kills"] < int(rounds) or time.monotonic() < until:
        try:
            life(folder, seed, counted)
        except Exception as error:
            raise SystemExit(f"seed {seed}: {type(error).__name__}: {error}") from error
        seed += 1
    print(json.dumps(counted))


if __name__ == "__main__":
    main(*sys.argv[1:])
