"""Row 7's program: an experiment as people write them, which is ended while it works.

``real_script.py --journal=ROOT with how=HOW after=MS``. It prints ``told NUMBER`` when the event of
that number has to be stored: its call returned.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time

from sacred import Experiment

ex = Experiment("real", save_git_info=False)


@ex.config
def config():
    how = "wait"  # how it ends itself; "wait": somebody else ends it  # noqa: F841
    after = 20  # ms of work, about  # noqa: F841


def told(number):
    """Say it at once, past all capturing."""
    os.write(int(os.environ["TOLD"]), f"{number}\n".encode())


def end(how):
    """End this process, or this thread."""
    if how == "exit":
        os._exit(3)
    elif how == "abort":
        os.abort()
    elif how == "memory":
        import resource

        # As where memory is limited: what is asked for next is refused, in whatever thread.
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
        kept = []
        while True:
            kept.append(bytearray(1 << 16))
    elif how == "thread":
        worker = threading.Thread(target=sys.exit, args=(5,))
        worker.start()
        worker.join()
    elif how != "wait":
        os.kill(os.getpid(), getattr(signal, how))


def measure(run, name):
    """Log points as long as the process lives."""
    step = 0
    while True:
        run.log_scalar(name, step / 7, step)
        step += 1
        if step % 200 == 0:
            time.sleep(0.001)


@ex.automain
def main(_run, how, after):
    atexit.register(print, "at exit")
    threads = [
        threading.Thread(target=measure, args=(_run, name), daemon=True) for name in ("a", "b")
    ]
    helper = subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    for thread in threads:
        thread.start()
    until = time.monotonic() + (after / 1000 if how != "wait" else 300)
    number = 0
    while time.monotonic() < until:
        _run.info["number"] = number
        _run.log_scalar("loss", 1 / (number + 1))
        print("number", number, flush=True)
        _run.add_artifact(__file__, name=f"number {number}")
        told(number)
        number += 1
        if how == "wait" and number == 1:
            os.write(int(os.environ["TOLD"]), b"ready\n")
    end(how)
    helper.communicate(b"")
    return number
