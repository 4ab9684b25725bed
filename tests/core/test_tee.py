"""The process that copies output: in which order it keeps two streams."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from sacred.core import tee
from sacred.journal.spool import read_spool

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="needs a POSIX system")

#: What a parent does between fork and exec: the descriptors that a tee expects. They are given numbers
#: that nothing has first: a process that ran a thousand tests hands over some of any number.
LAUNCH = """
import fcntl, os, sys
taken = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 200) for fd in sys.argv[2:]]
for number, fd in enumerate(taken, start=3):
    os.dup2(fd, number)
os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", sys.argv[1]])
"""


def chunks(path):
    found, _, verdict = read_spool(path)
    assert "clean" == verdict
    return [(chunk.stream, chunk.data) for chunk in found]


def test_what_waits_at_its_start_is_taken_from_stderr_first(tmp_path):
    """OUT-02: a run logs that it starts before it prints, so its lines on stderr come first."""
    out, to_out = os.pipe()
    err, to_err = os.pipe()
    requests, ask = os.pipe()
    answers, replies = os.pipe()
    os.write(to_err, b"INFO started\n")
    os.write(to_out, b"printed\n")
    spool = os.open(tmp_path / "spool", os.O_RDWR | os.O_CREAT)
    for fd in (to_out, to_err, ask):
        os.close(fd)
    descriptors = (out, err, spool, requests, replies)
    subprocess.run(
        [sys.executable, "-c", LAUNCH, tee.__file__, *map(str, descriptors)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        timeout=60,
        check=True,
    )
    for fd in (*descriptors, answers):
        os.close(fd)
    assert [(2, b"INFO started\n"), (1, b"printed\n")] == chunks(tmp_path / "spool")


@pytest.fixture
def stream(tmp_path):
    """A stream of a tee: (its own object, what writes to it, where it is kept)."""
    reading, writing = os.pipe()
    path = tmp_path / "spool"
    spool = os.open(path, os.O_RDWR | os.O_CREAT)
    void = os.open(os.devnull, os.O_WRONLY)
    woken, wake = os.pipe()
    made = tee.Stream(1, reading, tee.Terminal(void, wake), tee.Spool(spool))
    yield made, writing, path
    # Its terminal's thread waits for more to show for ever, so its descriptors stay open.
    for fd in (reading, spool, woken):
        os.close(fd)


def test_a_line_that_comes_in_parts_is_kept_whole(stream, monkeypatch):
    """OUT-02: an unbuffered print writes its arguments one by one; they are waited for together."""
    monkeypatch.setattr(tee, "PATIENCE", 60.0)
    made, writing, path = stream
    os.write(writing, b"number")
    made.copy()

    def go_on():
        for part in (b" ", b"17", b"\n"):
            os.write(writing, part)

    thread = threading.Thread(target=go_on)
    thread.start()
    made.finish_line()
    thread.join()
    os.close(writing)
    assert b"number 17\n" == b"".join(data for _, data in chunks(path))


def test_a_line_that_is_not_finished_is_waited_for_once(stream, monkeypatch):
    """OUT-02: a prompt or a progress bar has no end of line, and holds the other stream up once."""
    monkeypatch.setattr(tee, "PATIENCE", 0.001)
    made, writing, path = stream
    os.write(writing, b"12 %")
    made.copy()
    made.finish_line()
    ended = made.patient_until
    os.write(writing, b"\r13 %")
    made.copy()
    assert ended == made.patient_until > 0
    os.write(writing, b"\n14 %")
    made.copy()
    assert made.patient_until > ended
    os.write(writing, b" done\n")
    made.copy()
    assert 0 == made.patient_until
    os.close(writing)
    assert b"12 %\r13 %\n14 % done\n" == b"".join(data for _, data in chunks(path))


def test_a_stream_that_ends_within_a_line_is_waited_for_no_longer(stream, monkeypatch):
    """OUT-02: when nobody can write the rest any more, the other stream is read at once."""
    monkeypatch.setattr(tee, "PATIENCE", 600.0)
    made, writing, path = stream
    os.write(writing, b"half")
    made.copy()
    os.close(writing)
    made.finish_line()
    assert made.ended
    assert [(1, b"half")] == chunks(path)


def test_a_stream_that_never_pauses_is_waited_for_once(stream, monkeypatch):
    """OUT-02: new lines of one stream do not make the other one wait for longer."""
    monkeypatch.setattr(tee, "PATIENCE", 0.01)
    made, writing, _ = stream
    os.write(writing, b"begin")
    made.copy()
    over, until = threading.Event(), time.monotonic() + 60

    def flood():
        while not over.is_set() and time.monotonic() < until:
            os.write(writing, b"\n" + b"x" * 999)
        os.close(writing)

    thread = threading.Thread(target=flood)
    thread.start()
    made.finish_line()
    assert time.monotonic() < until
    over.set()
    os.set_blocking(made.pipe, True)
    while made.copy():
        pass
    thread.join()
