"""What threads of ours import and hold does not get in the way of a fork of the program."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from sacred.core.facts import LateDict
from sacred.core.fork import IMPORTING, ForkSafeLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _in_child(work) -> bool:
    """Call a function in a forked child, where it has ten seconds; return whether it came back."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        import signal

        signal.alarm(10)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def _held(lock):
    """Have another thread take a lock; return what lets go of it, and the thread."""
    taken, go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            go.wait(100)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(100)
    return go, thread


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_finds_the_lock_free():
    """A thread holds it while the program forks: the parent's is held, the child's is not."""
    lock = ForkSafeLock()
    go, thread = _held(lock)

    def take() -> None:
        with lock, lock:
            pass

    try:
        assert _in_child(take)
    finally:
        go.set()
        thread.join()
    with lock:
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_an_import():
    """The child begins when the thread has let go; then both may take it, and fork again."""
    go, thread = _held(IMPORTING)
    timer = threading.Timer(0.2, go.set)
    timer.start()

    def take() -> None:
        assert go.is_set()
        inner = threading.Thread(target=IMPORTING.__enter__)
        inner.start()
        inner.join()

    assert _in_child(take)
    assert go.is_set()
    thread.join()
    timer.join()
    assert _in_child(take)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("lock", [IMPORTING, ForkSafeLock()])
def test_who_holds_it_may_fork(lock):
    """The fork goes on at once; parent and child have it both, and let go of it both."""

    def let_go() -> None:
        with lock:
            pass
        lock.__exit__(None, None, None)
        others = threading.Thread(target=lock.__enter__)
        others.start()
        others.join()

    with lock:
        assert _in_child(let_go)
    with lock:
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_facts_that_are_being_found_can_be_asked_for_in_a_child():
    """The child finds them by itself: the thread that did is not there."""
    begun, go = threading.Event(), threading.Event()
    parent = os.getpid()

    def find() -> dict[str, int]:
        if os.getpid() == parent:
            begun.set()
            go.wait(100)
        return {"late": 1}

    facts = LateDict({}, find, ("late",))
    thread = threading.Thread(target=facts.complete)
    thread.start()
    begun.wait(100)

    def look() -> None:
        if facts["late"] != 1:
            os.abort()

    try:
        assert _in_child(look)
    finally:
        go.set()
        thread.join()


_AUDITED = """
import logging, os, sys, threading
bare = []

def audit(event, arguments):
    if event == "import" and threading.current_thread().name.startswith("sacred-"):
        from sacred.core.fork import IMPORTING
        if not IMPORTING._lock._is_owned():
            bare.append(arguments[0])

import sacred
from sacred import Experiment, SETTINGS
sys.addaudithook(audit)
SETTINGS.SAMPLING.INTERVAL = 0.1
ex = Experiment("audited")

@ex.main
def main(_run):
    import email.policy, threading
    threading.Event().wait(0.3)

ex.run_commandline(["prog", *sys.argv[1:]])
print(bare)
"""


@pytest.mark.parametrize("repository", [False, True])
def test_what_our_threads_import_is_guarded(tmp_path, repository):
    """Each import in a thread of ours is one that a fork waits for."""
    (tmp_path / "script.py").write_text(textwrap.dedent(_AUDITED))
    if repository:
        for words in (
            ["init", "-q"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-mx"],
        ):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "script.py"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
