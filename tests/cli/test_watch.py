"""``sacred ls --watch``: a listing that goes on, on a terminal that stays whole."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

LEAVE = "\x1b[?25h\x1b[?1049l"


class Session:
    """A program on a terminal of its own, and what the terminal was told."""

    def __init__(self, tmp_path, *arguments, columns=80, lines=24):
        self.outer, self.inner = pty.openpty()
        self.size(columns, lines)
        self.before = termios.tcgetattr(self.inner)
        code = "import sys; from sacred.cli import main; sys.exit(main())"
        inherited = {n: v for n, v in os.environ.items() if n not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
            env={**inherited, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )
        self.shown = ""

    def size(self, columns, lines):
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, pattern, seconds=60):
        """Read on until what came since the last call has it; return what came."""
        end = time.monotonic() + seconds
        new = ""
        while not re.search(pattern, new):
            ready, _, _ = select.select([self.outer], [], [], max(0, end - time.monotonic()))
            assert ready, f"{pattern!r} did not come: {new!r}"
            new += os.read(self.outer, 65536).decode(errors="replace")
        self.shown += new
        return new

    def press(self, keys):
        os.write(self.outer, keys)

    def end(self):
        """Wait for the end; return its code."""
        code = self.process.wait(60)
        self.after = termios.tcgetattr(self.inner)
        os.set_blocking(self.outer, False)
        try:
            while chunk := os.read(self.outer, 65536):
                self.shown += chunk.decode(errors="replace")
        except OSError:
            pass
        os.close(self.outer)
        os.close(self.inner)
        return code


@pytest.mark.parametrize("how", [b"q", b"\x03"])
def test_until_somebody_has_seen_enough(root, tmp_path, how):
    """q and Ctrl-C end it: code 0, the terminal as it was, and the last picture stays to be read."""
    root.completed(name="first")
    session = Session(tmp_path, "ls", "--watch")
    assert "\x1b[?1049h" in session.until("first")
    session.press(how)
    assert 0 == session.end()
    assert session.before == session.after
    _, left, after = session.shown.rpartition(LEAVE)
    assert left
    assert "RUN" == after.split()[0]
    assert "first" in after
    assert "\x1b" not in after


def test_a_run_that_begins_is_seen(root, tmp_path):
    """A run that is new, and one that ends, are drawn; lines that stay are not sent again."""
    root.completed(name="first")
    session = Session(tmp_path, "ls", "--watch", columns=120)
    session.until("first")
    for _ in range(2):  # the clock at the top goes on
        session.until(r"\d\d:\d\d:\d\d ")
    assert 1 == session.shown.count("first")
    writer = root.writer()
    root.start(writer, 2, name="second")
    writer.flush()
    new = session.until("second")
    assert "RUNNING" in session.until("1 RUNNING, 1 COMPLETED") + new
    root.end(writer)
    session.until("2 COMPLETED")
    session.press(b"q")
    assert 0 == session.end()


def test_more_runs_than_lines(root, tmp_path):
    """Where not all have room, the last are shown, and how many are not."""
    for number in range(12):
        root.completed(name=f"name{number}")
    session = Session(tmp_path, "ls", "--watch", lines=8)
    session.until("name11")
    session.press(b"q")
    assert 0 == session.end()
    assert "7 more above" in session.shown
    assert "name7" in session.shown
    assert "name6" not in session.shown


def test_a_terminal_that_changes_its_size(root, tmp_path):
    """All is drawn anew, as wide as it is then."""
    root.completed(name="n" * 60)
    session = Session(tmp_path, "ls", "--watch", columns=60)
    session.until("COMPLETED")
    assert "n" * 60 not in session.shown
    session.size(160, 24)
    session.until("n" * 60)
    session.press(b"q")
    assert 0 == session.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_it_leaves_the_terminal_whole(root, tmp_path, number):
    """A signal that ends it: the screen, the cursor and the keys are given back before."""
    root.completed(name="first")
    session = Session(tmp_path, "ls", "--watch")
    session.until("first")
    session.process.send_signal(number)
    assert 128 + number == session.end()
    assert session.before == session.after
    assert session.shown.endswith(LEAVE)


def test_stopped_and_continued(root, tmp_path):
    """Ctrl-Z gives the terminal back, and what goes on draws again.

    The group of this process is an orphan, which the system does not stop: it goes on at once.
    """
    root.completed(name="first")
    session = Session(tmp_path, "ls", "--watch")
    session.until("first")
    session.process.send_signal(signal.SIGTSTP)
    left, _, after = session.until(r"(?s)1049l.*1049h.*first").partition("\x1b[?1049l")
    assert left.endswith("\x1b[?25h")
    assert after
    session.press(b"q")
    assert 0 == session.end()
    assert session.before == session.after


def test_a_root_that_is_deleted_while_it_is_watched(root, tmp_path):
    """A sentence on the first screen, exit code 2."""
    root.completed(name="first")
    session = Session(tmp_path, "ls", "--watch")
    session.until("first")
    root.path.rename(tmp_path / "elsewhere")
    assert 2 == session.end()
    assert session.before == session.after
    assert "sacred_runs can not be read: No such file" in session.shown.rpartition(LEAVE)[2]


def test_without_a_terminal(root, run_sacred):
    """A pipe can not be drawn on, and JSON is no picture: a sentence, exit code 2."""
    root.completed()
    done = run_sacred("ls", "--watch")
    assert (2, "") == (done.code, done.out)
    assert "--watch draws on a terminal, and stdout is none" in done.err
    assert 2 == run_sacred("ls", "--watch", "--json").code
