"""`sacred tail`: the end of a run's output and metrics, and what comes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from sacred.journal import EventType
from sacred.journal.spool import encode_record

COMMAND = "import sys; from sacred.cli import main; sys.exit(main())"


@pytest.fixture
def follower(tmp_path):
    """``sacred tail -f ...`` with its stdout in a pipe, or on a terminal of 60 columns."""
    started = []

    def start(*args, terminal=False):
        command = [sys.executable, "-c", COMMAND, "tail", "-f", *args]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60"}
        options = {"cwd": tmp_path, "env": environment, "start_new_session": True}
        if terminal:
            ours, theirs = pty.openpty()
            process = subprocess.Popen(command, stdout=theirs, stderr=theirs, **options)
            os.close(theirs)
        else:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
            )
            ours = os.dup(process.stdout.fileno())
        started.append((process, ours))
        process.seen = ""

        def until(text):
            while text not in process.seen:
                assert select.select([ours], [], [], 60)[0], process.seen
                process.seen += os.read(ours, 65536).decode()
            return process.seen

        process.until = until
        return process

    yield start
    for process, ours in started:
        process.kill()
        process.wait(60)
        os.close(ours)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_the_end_of_the_output(root, run_sacred):
    """The last lines, both streams, ten or as many as are asked for; the last without an end too."""
    writer = root.writer()
    root.start(writer, 1)
    for number in range(30):
        writer.append_output(1 + number % 2, f"line {number}\n".encode())
    writer.append_output(1, b"10%\r20%")
    root.end(writer)
    done = run_sacred("tail", 1)
    assert (0, "") == (done.code, done.err)
    assert [f"line {n}" for n in range(20, 30)] + ["20%"] == done.out.splitlines()
    assert 31 == len(run_sacred("tail", 1, "-n", "all").out.splitlines())
    assert ["20%"] == run_sacred("tail", 1, "-n", 0).out.splitlines()


def test_metrics_are_lines(root, run_sacred):
    """--metrics shows points; with --output both, by time; --json has a record for each."""
    root.completed(metrics=(("loss", 30), ("hits", 2)))
    done = run_sacred("tail", 1, "--metrics", "-n", 2)
    assert [
        "loss\t28\t0.034482758620689655",
        "loss\t29\t0.03333333333333333",
    ] == done.out.splitlines()
    both = run_sacred("tail", 1, "--metrics", "--output", "-n", "all").out.splitlines()
    assert 34 == len(both)
    assert {"epoch 0", "hits\t1\t0.5", "Gr\u00fc\u00dfe"} <= set(both)
    records = [json.loads(line) for line in run_sacred("tail", 1, "--json").out.splitlines()]
    assert 10 == len(records)
    assert {"time", "metric", "step", "value"} in map(set, records)
    assert {"time", "stream", "text"} in map(set, records)


def test_last_words_of_a_killed_run(root, run_sacred):
    """What only the spool of a run that died holds is shown, and what became of it is said."""
    folder = root.died()
    (folder.journal / "w0000.spool").write_bytes(
        encode_record(2, root.START, b"I can feel it, ")
        + encode_record(2, root.START, b"Dave\nmy mi")
    )
    assert "I can feel it, Dave\nmy mi\n" == run_sacred("tail", 1).out
    done = run_sacred("tail", "-f", 1)
    assert (0, "I can feel it, Dave\nmy mi\n") == (done.code, done.out)
    assert "run 1 DIED, its last sign of life after" in done.err


def test_following_until_the_end(root, follower):
    """Lines come while the run goes on, from events and from the spool; its end ends it with 0."""
    writer = root.writer()
    root.start(writer, 1)
    writer.append_output(1, b"first\n")
    writer.flush()
    process = follower("1")
    process.until("first\n")
    spool = root.last.journal / "w0000.spool"
    record = encode_record(1, root.START, b"spooled\n")
    spool.write_bytes(record)
    process.until("spooled\n")
    writer.append_output(1, b"spooled\n", 0, len(record))
    writer.append_output(1, b"then\n")
    writer.flush()
    process.until("then\n")
    root.end(writer, status="COMPLETED")
    assert 0 == process.wait(60)
    assert "first\nspooled\nthen\n" == process.seen
    assert b"run 1 COMPLETED after" in process.stderr.read()


def test_a_failed_run_says_why(root, run_sacred):
    """The last line of the trace stands behind the status."""
    writer = root.writer()
    root.start(writer, 1)
    writer.append(
        EventType.RUN_ENDED,
        how="failed",
        status="FAILED",
        fail_trace=["Traceback\n", "ValueError: not \x1b[31mthat\n"],
    )
    writer.close()
    done = run_sacred("tail", "-f", 1)
    assert 0 == done.code
    assert "FAILED" in done.err
    assert done.err.endswith(": ValueError: not \\x1b[31mthat\n")


def test_a_terminal_keeps_the_metrics_at_the_bottom(root, follower):
    """The last value of each metric is drawn anew below the output, and wiped by Ctrl-C: 130."""
    writer = root.writer()
    root.start(writer, 1)
    writer.log_point("loss", 17, 0.25)
    writer.append_output(1, b"epoch 1\n 10%\r 20%")
    writer.flush()
    process = follower("1", terminal=True)
    shown = process.until("loss 17 0.25")
    assert "epoch 1\r\n" in shown
    assert "\n 20%\r\n" in shown.replace("\x1b[2m", "")
    writer.log_point("loss", 18, 0.125)
    writer.flush()
    process.until("loss 18 0.125")
    process.send_signal(signal.SIGINT)
    assert 130 == process.wait(60)
    assert process.until("\x1b[J\r\n").endswith("\r\x1b[1A\x1b[J\r\n")
    writer.close()


def test_a_run_that_is_not_there(root, run_sacred):
    """A sentence, and 2; so for a number of lines that is none."""
    root.completed()
    done = run_sacred("tail", 7)
    assert (2, "") == (done.code, done.out)
    assert "there is no run 7" in done.err
    done = run_sacred("tail", 1, "-n", "-3")
    assert 2 == done.code
    assert "is no number of lines: give one, or all" in done.err


def test_a_run_that_is_removed_meanwhile(root, follower):
    """A run that is deleted while it is followed is a sentence."""
    import shutil

    writer = root.writer()
    root.start(writer, 1)
    writer.append_output(1, b"first\n")
    writer.flush()
    process = follower("1")
    process.until("first\n")
    shutil.rmtree(root.last.path)
    assert 2 == process.wait(60)
    assert b"Traceback" not in process.stderr.read()
    writer.close()


@pytest.mark.parametrize("command", ["tail", "plot"])
def test_what_is_lost_is_said_in_a_pipe(root, run_sacred, command):
    """A pipe gets what is left of a damaged run, if anything, and stderr says what is lost."""
    writer = root.writer()
    file = root.file(root.last)
    root.start(writer, 1)
    writer.flush()
    begin = file.stat().st_size
    writer.append_output(1, b"epoch 0\n")
    writer.log_point("loss", 0, 1.0)
    writer.flush()
    end = file.stat().st_size
    root.end(writer)
    content = bytearray(file.read_bytes())
    content[(begin + end) // 2] ^= 1
    file.write_bytes(content)
    done = run_sacred(command, "1")
    assert done.out in ("", "epoch 0\n")  # what is lost may still be in the spool
    assert " lost at byte " in done.err
