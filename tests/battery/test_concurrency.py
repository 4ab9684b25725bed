"""Row 20 of the battery: many at once, in every way in which Python knows that.

Each program runs in a process of its own, which shows where it hangs after 20 s and ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from battery import oracle, soak
from sacred.journal import EventType

POINTS = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
HEAD = """
import faulthandler, os, sys, threading, time
faulthandler.dump_traceback_later(20, exit=True)
from sacred.journal import EventType, JournalWriter
def say(text):
    return writer.append(EventType.MESSAGE, level="info", text=str(text))
if __name__ == "__main__":
    writer = JournalWriter.create(sys.argv[1], durability=sys.argv[2])
"""
#: What happens -> (program, status, points, messages), as they must be read.
PROGRAMS = {
    "32 threads": (
        """
        def work(number):
            for step in range(300):
                writer.log_point(f"t{number}", step, 0.5)
                if step % 100 == 0:
                    say(number)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        writer.close()
        """,
        0,
        32 * 300,
        32 * 3,
    ),
    "asyncio": (
        """
        import asyncio
        async def work(number):
            for step in range(50):
                writer.log_point(f"t{number}", step, 0.5)
                await asyncio.sleep(0)
                if step % 10 == 0:
                    await asyncio.to_thread(say, number)
        async def main():
            await asyncio.gather(*[work(n) for n in range(20)])
        asyncio.run(main())
        writer.close()
        """,
        0,
        20 * 50,
        20 * 5,
    ),
    "a fork while 8 threads log": (
        """
        import signal
        stop = threading.Event()
        def work():
            while not stop.wait(0.0005):
                writer.append_output(1, b"x")
                say("thread")
        threads = [threading.Thread(target=work, daemon=True) for n in range(8)]
        for thread in threads: thread.start()
        for number in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(100)
                for step in range(10):
                    writer.log_point("child", step, 0.5)
                writer.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        writer.close()
        """,
        0,
        20 * 10,
        None,
    ),
    "a forked child forks": (
        """
        for generation in range(4):
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                break
        writer.log_point("x", generation, 0.5)
        if generation == 3 and not child:
            say("the last")
        writer.close()
        os._exit(0)
        """,
        0,
        5,
        1,
    ),
    "multiprocessing, forked": (
        """
        import multiprocessing
        def work(number):
            for step in range(100):
                writer.log_point("x", step, float(number))
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(work, range(8))
        writer.close()
        """,
        0,
        800,
        0,
    ),
    "multiprocessing, spawned: a journal of its own": (
        """
        import multiprocessing
        def work(folder):
            other = JournalWriter.create(folder)
            other.log_point("x", 0, 1.0)
            other.close()
        if __name__ == "__main__":
            child = multiprocessing.get_context("spawn").Process(target=work, args=(sys.argv[1] + "-child",))
            child.start()
            writer.log_point("x", 0, 0.5)
            child.join()
            assert child.exitcode == 0
            writer.close()
        """,
        0,
        1,
        0,
    ),
    "the interpreter ends, with threads that log": (
        """
        def work():
            step = 0
            while True:
                writer.log_point("thread", step, 0.5)
                step += 1
        threading.Thread(target=work, daemon=True).start()
        for step in range(2000):
            say("main")
        """,
        0,
        None,
        2000,
    ),
    "atexit and __del__": (
        """
        import atexit
        class Late:
            def __del__(self):
                writer.log_point("late", 0, 0.5)
                say("deleted")
        late = Late()
        late.itself = late
        atexit.register(say, "at exit")
        writer.log_point("x", 0, 0.5)
        """,
        0,
        None,
        None,
    ),
    "a signal handler that logs and closes": (
        """
        import signal
        handled, busy = [], []
        def handler(*_):
            # Not inside of itself, as on a slow machine: the thirtieth would cut others short.
            if busy or len(handled) == 30:
                return
            busy.append(1)
            handled.append(1)
            writer.log_point("handler", len(handled), 0.5)
            say("handler")
            if len(handled) == 30:
                writer.flush()
                raise SystemExit
            busy.clear()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        try:
            while True:
                writer.log_point("x", 0, 0.5)
                writer.sync()
        except SystemExit:
            signal.setitimer(signal.ITIMER_REAL, 0)
        writer.close()
        """,
        0,
        None,
        30,
    ),
    "the garbage collector logs": (
        """
        import gc
        class Logs:
            def __init__(self): self.itself = self
            def __del__(self):
                writer.log_point("gc", 0, 0.5)
        gc.set_threshold(1)
        for step in range(500):
            Logs()
            writer.log_point("x", step, 0.5)
            say(step)
        gc.collect()
        writer.close()
        """,
        0,
        1000,
        500,
    ),
    "os._exit": (
        """
        for step in range(1000):
            writer.log_point("x", step, 0.5)
        say("told")
        os._exit(3)
        """,
        3,
        1000,
        1,
    ),
    "SIGTERM, unhandled": (
        """
        import signal
        for step in range(1000):
            writer.log_point("x", step, 0.5)
        say("told")
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        -signal.SIGTERM,
        1000,
        1,
    ),
    "the kill of a machine without memory": (
        """
        import signal
        say("told")
        hoard = bytearray(64 << 20)
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel's OOM killer sends
        """,
        -signal.SIGKILL,
        0,
        1,
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="row 20 needs fork")
@pytest.mark.parametrize("durability", ["second", "event"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_whoever_logs_at_once_nothing_hangs_and_all_is_there(what, durability, record_property):
    """Row 20, P1, P3, R9: threads, forks, asyncio, handlers, finalizers and ends of all kinds: one owner a file, no deadlock, each event once."""
    program, status, points, messages = PROGRAMS[what]
    with soak.scratch() as folder:
        script = folder / "program.py"
        spawns = "__main__" in program
        body = textwrap.dedent(program)
        script.write_text(HEAD + body)
        assert spawns or "__main__" not in body
        done = subprocess.run(
            [sys.executable, str(script), str(folder / "journal"), durability],
            env=soak.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert status == done.returncode, done.stderr[-3000:]
        assert "" == done.stderr
        seen = oracle.look(folder / "journal")
        assert [] == seen.verdicts
        oracle.check_prefix(seen)
        # A number has one owner, and an owner one number: its process id says which.
        owners = {(w, facts["pid"]) for (w, _), facts in seen.reader.identities.items()}
        assert len({w for w, _ in owners}) == len(owners) == len({pid for _, pid in owners})
        found = [event for frame in seen.frames for event in frame.events]
        counted = sum(event.count for event in found if event.type in POINTS)
        assert points is None or points == counted
        if messages is not None:
            assert messages == len(oracle.texts(seen))
    record_property("battery", ("row 20: programs of many at once", 1))


@pytest.mark.slow
def test_two_writers_of_one_journal_never_share_a_file(tmp_path):
    """Row 20, R3: a second process that goes on for the first takes numbers of its own; the first, when its next file is taken, too."""
    from sacred.journal import JournalWriter
    from sacred.journal.errors import JournalUnavailableError

    first = JournalWriter.create(tmp_path / "journal")
    first.append(EventType.MESSAGE, level="info", text="first")
    with pytest.raises(JournalUnavailableError, match="holds a journal already"):
        JournalWriter.create(tmp_path / "journal")
    second = JournalWriter(tmp_path / "journal", first.journal_id, "second", None, None)
    second._exclusively(second._claim_number, "resume")
    for number in range(5):
        second.append(EventType.MESSAGE, level="info", text=f"second {number}")
        first._fail(OSError(5, "as if"))
        (tmp_path / "journal" / f"w{first.number:04}-e{first.epoch + 1:04}.jzst").touch()
        first.append(EventType.MESSAGE, level="info", text=f"first {number}")
    first.close()
    second.close()
    seen = oracle.look(tmp_path / "journal")
    oracle.check_prefix(seen)
    expected = ["first", *[f"first {n}" for n in range(5)], *[f"second {n}" for n in range(5)]]
    assert expected == sorted(oracle.texts(seen))
