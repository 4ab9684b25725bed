"""SIGTERM and SIGHUP while a run goes on, and in the children that it forks."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sacred.core.signals import EndingSignals, Terminated

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _answer_of_child(ask: object) -> bytes:
    """Return what a forked child answers."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, repr(ask()).encode())  # type: ignore[operator]
        finally:
            os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as answers:
            return answers.read()
    finally:
        os.waitpid(child, 0)


def test_a_forked_child_dies_of_them_as_every_process() -> None:
    """A handler of Python's forgets what comes before a child's first line: ``Pool.terminate`` waited for ever."""
    with EndingSignals():
        found = _answer_of_child(
            lambda: (
                signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
                signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(),
            )
        )
        assert b"(True, True)" == found
        assert set() == signal.pthread_sigmask(signal.SIG_BLOCK, ())
        with pytest.raises(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.SIG_DFL is signal.getsignal(signal.SIGTERM)


def test_a_run_in_a_forked_child_hears_of_them_itself() -> None:
    """The child's own run has handlers of its own."""

    def ask() -> bool:
        with EndingSignals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Terminated:
                return True
        return False

    with EndingSignals():
        assert b"True" == _answer_of_child(ask)


def test_a_signal_that_is_sent_while_a_process_forks_is_not_lost() -> None:
    """It waits until the child can die of it."""
    script = f"""
import os, signal, sys
sys.path[:] = {sys.path!r}
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
from sacred.core.signals import EndingSignals
with EndingSignals():
    child = os.fork()
    if not child:
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "-15\n" == done.stdout, done.stderr
