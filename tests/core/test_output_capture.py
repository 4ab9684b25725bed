"""Capturing output in the modes no, sys and fd, in processes of their own where fd is concerned."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest

from sacred.core import fd_capture, sys_capture
from sacred.core.fd_capture import FdCapture
from sacred.core.output_capture import (
    UnknownCaptureModeError,
    capture,
    check_capture_mode,
    default_capture_mode,
)
from sacred.core.settings import SETTINGS

TIMEOUT = 60


class Collector:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.items = []

    def __call__(self, stream, data, begin, end):
        self.items.append((stream, data, begin, end))

    def text(self, stream):
        return b"".join(data for number, data, _, _ in self.items if number == stream)


# -- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["all", "FD", None, 3])
def test_an_unknown_mode(mode):
    """OUT-01: an unknown mode is a KeyError, with the modes there are."""
    with pytest.raises(KeyError) as caught:
        capture(mode, Collector())
    assert isinstance(caught.value, UnknownCaptureModeError)
    assert f"Unknown capture mode {mode!r}. Available options are ['fd', 'no', 'sys']" == str(
        caught.value
    )


def test_the_default_mode(monkeypatch):
    """OUT-01: the settings decide for an observed run; without a view it is sys."""
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "no")
    assert ("no", "sys") == (default_capture_mode(True), default_capture_mode(False))
    assert "fd" == check_capture_mode("fd")


def test_no_captures_nothing(capsys):
    """OUT-02: in mode no everything is as without."""
    got = Collector()
    stdout = sys.stdout
    with capture("no", got) as captured:
        assert stdout is sys.stdout
        print("hello")
    assert ("no", 0, [], "hello\n") == (
        captured.mode,
        captured.poll(),
        got.items,
        capsys.readouterr().out,
    )


# -- sys ------------------------------------------------------------------------------------------


def own_streams(monkeypatch):
    """Give the test a stdout and a stderr of its own (pytest replaces those of a fixture)."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="replace", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return out, err


def test_sys_tells_what_is_printed(monkeypatch):
    """OUT-02: sys mode passes on both streams, in their encoding, and shows them as before."""
    out, err = own_streams(monkeypatch)
    got = Collector()
    with capture("sys", got) as captured:
        print("hé ☃")
        print("oops", file=sys.stderr)
        sys.stdout.writelines(["a", "b"])
        sys.stdout.buffer.write(b"\xff")
        sys.stdout.buffer.writelines([b"x", b"y"])
    assert "sys" == captured.mode
    assert (out, err) == (sys.stdout, sys.stderr)
    assert b"h\xe9 ?\nab\xffxy" == got.text(1) == out.buffer.getvalue()
    assert b"oops\n" == got.text(2) == err.buffer.getvalue()
    assert {(None, None)} == {item[2:] for item in got.items}


def test_the_proxies_answer_as_the_terminal(monkeypatch):
    """OUT-02: isatty, encoding, fileno and the rest are the original's answers."""
    own_streams(monkeypatch)

    class Terminal(io.StringIO):
        encoding = "koi8-r"

        def isatty(self):
            return True

        def fileno(self):
            return 71

    sys.stdout = Terminal()
    with capture("sys", Collector()):
        assert (True, "koi8-r", 71) == (
            sys.stdout.isatty(),
            sys.stdout.encoding,
            sys.stdout.fileno(),
        )
        assert 3 == sys.stdout.write("abc")
        with pytest.raises(AttributeError):
            sys.stdout.nothing_like_this  # noqa: B018


def test_a_proxy_that_was_kept_stays_usable(monkeypatch):
    """OUT-02: a log handler that keeps the proxy prints after the end, and tells nobody."""
    out, _ = own_streams(monkeypatch)
    got = Collector()
    with capture("sys", got):
        kept = sys.stdout
    kept.write("late")
    assert (b"late", []) == (out.buffer.getvalue(), got.items)


def test_a_stream_that_someone_replaced_is_left_alone(monkeypatch):
    """OUT-02: what was put in place of the proxy stays."""
    own_streams(monkeypatch)
    other = io.StringIO()
    with capture("sys", Collector()):
        sys.stdout = other
    assert other is sys.stdout


def test_no_stream_at_all(monkeypatch):
    """OUT-02: a program without stdout (pythonw) is captured without it."""
    monkeypatch.setattr(sys, "stdout", None)
    got = Collector()
    with capture("sys", got):
        print("into nothing")
        print("there", file=sys.stderr)
    assert (b"", b"there\n") == (got.text(1), got.text(2))


def test_a_sink_that_fails_or_prints(monkeypatch):
    """OUT-04 [!]: recording never makes a print fail, and does not hear itself."""
    out, _ = own_streams(monkeypatch)
    seen = []

    def sink(stream, data, begin, end):
        seen.append(data)
        print("from the sink")
        raise OSError("disk full")

    with capture("sys", sink):
        sys.stdout.write("x")
        sys.stdout.write("y")
    assert [b"x", b"y"] == seen
    assert b"xfrom the sink\nyfrom the sink\n" == out.buffer.getvalue()


def test_text_that_can_not_be_encoded(monkeypatch):
    """OUT-04: lone surrogates are kept as the bytes that they stand for."""
    own_streams(monkeypatch)
    sys.stdout = io.StringIO()
    got = Collector()
    with capture("sys", got):
        sys.stdout.write("a\udcff")
    assert b"a\xff" == got.text(1)


def test_threads_print_at_once(monkeypatch):
    """OUT-02: nothing is lost or mixed up within one write."""
    own_streams(monkeypatch)
    got = Collector()
    with capture("sys", got):
        threads = [
            threading.Thread(target=lambda n=n: [sys.stdout.write(f"{n}" * 50) for _ in range(50)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {50} == {len(item[1]) for item in got.items}
    assert 4 * 50 * 50 == len(got.text(1))


# -- fd -------------------------------------------------------------------------------------------

PROLOGUE = """
import json, os, signal, subprocess, sys, warnings
from sacred.core.output_capture import capture
from sacred.journal.spool import read_spool
got = []
def sink(stream, data, begin, end):
    got.append((stream, data.decode("latin-1"), begin, end))
def report(**more):
    with open(sys.argv[1] + ".json", "w") as file:
        json.dump(dict(got=got, **more), file)
"""


def run_script(tmp_path, body, **keywords):
    """Run a script that captures; return its completed process, its report, its spool."""
    script = tmp_path / "script.py"
    script.write_text(PROLOGUE + textwrap.dedent(body))
    spool = tmp_path / "spool"
    keywords.setdefault("stdout", subprocess.PIPE)
    keywords.setdefault("stderr", subprocess.PIPE)
    keywords.setdefault("stdin", subprocess.DEVNULL)
    root = os.path.dirname(os.path.dirname(os.path.dirname(fd_capture.__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    # The interpreter's own buffering is part of what is tested.
    environment.pop("PYTHONUNBUFFERED", None)
    # Returns when nobody holds the pipes any more, so when the tee has ended as well.
    done = subprocess.run(
        [sys.executable, str(script), str(spool)],
        timeout=TIMEOUT,
        env=environment,
        check=False,
        **keywords,
    )
    report = tmp_path / "spool.json"
    return done, json.loads(report.read_text()) if report.exists() else None, spool


def spooled(path, stream):
    from sacred.journal.spool import read_spool

    found, offset, verdict = [], 0, "more"
    while verdict == "more":
        chunks, offset, verdict = read_spool(path, offset)
        found += [chunk.data for chunk in chunks if chunk.stream == stream]
    assert "clean" == verdict
    return b"".join(found)


def reported(report, stream):
    text = "".join(data for number, data, _, _ in report["got"] if number == stream)
    return text.encode("latin-1")


needs_fd = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="needs a POSIX system")


@needs_fd
def test_fd_sees_everybody(tmp_path):
    """OUT-02: Python, children and raw descriptors, told apart, shown and kept as bytes."""
    done, report, spool = run_script(
        tmp_path,
        r"""
        with capture("fd", sink, sys.argv[1]) as captured:
            print("python")
            print("error", file=sys.stderr)
            os.system("echo child; echo childs error >&2")
            os.write(1, b"\xff\xfe\x00 raw\n")
        print("after")
        report(mode=captured.mode)
        """,
    )
    assert "fd" == report["mode"]
    inside = b"python\nchild\n\xff\xfe\x00 raw\n"
    assert (inside + b"after\n", 0) == (done.stdout, done.returncode)
    assert inside == reported(report, 1) == spooled(spool, 1)
    assert b"error\nchilds error\n" == done.stderr == reported(report, 2) == spooled(spool, 2)


@needs_fd
def test_chunks_name_their_place_in_the_spool(tmp_path):
    """R8: begin and end of a chunk are offsets in the spool, without holes."""
    _, report, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]) as captured:
            for number in range(5):
                print(number, flush=True)
                print(number, file=sys.stderr, flush=True)
                captured.drain(30)
                captured.poll()
        report()
        """,
    )
    bounds = [(begin, end) for _, _, begin, end in report["got"]]
    assert 0 == bounds[0][0]
    assert [end for _, end in bounds[:-1]] == [begin for begin, _ in bounds[1:]]
    assert spool.stat().st_size == bounds[-1][1]


@needs_fd
def test_the_spool_may_begin_behind_what_came_before(tmp_path):
    """R8: a run that goes on spools from where the journal has the output, in a new file."""
    _, report, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1], 1000) as captured:
            print("again", flush=True)
            captured.drain(5)
            captured.poll()
        report()
        """,
    )
    assert [1, "again\n", 1000, 1019] == report["got"][0]
    from sacred.journal.spool import read_spool

    (chunk,) = read_spool(spool, 1000).chunks
    assert b"again\n" == chunk.data


@needs_fd
def test_ten_megabytes(tmp_path):
    """OUT-02: much output comes through whole, on both sides."""
    done, _, spool = run_script(
        tmp_path,
        """
        line = "x" * 1023 + "\\n"
        with capture("fd", lambda *a: None, sys.argv[1]):
            for number in range(10 * 1024):
                sys.stdout.write(line)
        report()
        """,
    )
    expected = (b"x" * 1023 + b"\n") * 10 * 1024
    assert expected == done.stdout
    assert expected == spooled(spool, 1)


@needs_fd
def test_a_killed_run_loses_nothing_that_it_printed(tmp_path):
    """P1: what was printed before a kill -9 is in the spool and on the terminal."""
    done, _, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]):
            for number in range(20000):
                print(f"line {number}")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    expected = b"".join(b"line %d\n" % number for number in range(20000))
    assert -9 == done.returncode
    assert expected == spooled(spool, 1)
    assert expected == done.stdout


@needs_fd
def test_an_immediate_kill_loses_nothing(tmp_path):
    """P1: the same when the tee has not even started."""
    done, _, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]):
            print("first and last")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert b"first and last\n" == spooled(spool, 1) == done.stdout


@needs_fd
@pytest.mark.parametrize("is_noted", [True, False])
def test_what_is_logged_at_the_start_comes_first(tmp_path, is_noted):
    """OUT-02: a tee that was behind takes it before what was printed then, and nothing else."""
    _, report, _ = run_script(
        tmp_path,
        f"""
        with capture("fd", sink, sys.argv[1]) as captured:
            captured.drain(30)
            os.kill(captured.tee_pid, signal.SIGSTOP)
            os.waitpid(captured.tee_pid, os.WUNTRACED)
            os.write(2, b"started\\n")
            if {is_noted}:
                captured.note_start()
            os.write(1, b"printed\\n")
            os.write(2, b"completed\\n")
            os.kill(captured.tee_pid, signal.SIGCONT)
            captured.drain(30)
            captured.poll()
        report()
        """,
    )
    order = [data.strip() for _, data, _, _ in report["got"]]
    first = ["started", "printed"] if is_noted else ["printed", "started\ncompleted"]
    assert first == order[:2]


@needs_fd
def test_a_start_that_can_not_be_noted_is_passed_over(tmp_path):
    """OUT-02: without a stderr, or with a file in its place, and after the end."""
    done, report, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]) as captured:
            kept = os.dup(2)
            os.close(2)
            captured.note_start()
            os.dup2(os.open(__file__, os.O_RDONLY), 2)
            captured.note_start()
            os.dup2(kept, 2)
            print("printed", flush=True)
            os.write(2, b"logged\\n")
            captured.drain(30)
        captured.note_start()
        report()
        """,
    )
    assert (b"printed\n", b"logged\n") == (spooled(spool, 1), spooled(spool, 2)), done.stderr


@needs_fd
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_do_not_reach_the_tee(tmp_path, name):
    """OUT-02: what ends the run does not end the tee."""
    done, report, spool = run_script(
        tmp_path,
        f"""
        with capture("fd", sink, sys.argv[1]) as captured:
            captured.drain(30)
            os.kill(captured.tee_pid, signal.{name})
            print("still there", flush=True)
            captured.drain(30)
            session = os.getsid(captured.tee_pid)
        report(own_session=session == captured.tee_pid)
        """,
    )
    assert (b"still there\n", True) == (spooled(spool, 1), report["own_session"])
    assert b"still there\n" == done.stdout


@needs_fd
def test_it_is_over_when_nobody_holds_the_pipes(tmp_path):
    """R8: a tee that has shown everything says so before it ends: the spool may be removed."""
    _, report, _ = run_script(
        tmp_path,
        """
        over = []
        for _ in range(20):
            with capture("fd", sink, sys.argv[1]) as captured:
                print("text")
                over.append(captured.is_over)
            over.append(captured.is_over)
            captured.close()
        report(over=over)
        """,
    )
    assert [False, True] * 20 == report["over"]


@needs_fd
def test_a_child_that_keeps_the_pipe(tmp_path):
    """OUT-03 [!]: the end does not wait for a child that goes on, and its output is kept."""
    done, report, spool = run_script(
        tmp_path,
        """
        gate, opener = os.pipe()
        with capture("fd", sink, sys.argv[1]) as captured:
            print("parent", flush=True)
            code = "import os,sys; os.read(int(sys.argv[1]), 1); print('child, late')"
            child = subprocess.Popen([sys.executable, "-S", "-c", code, str(gate)], pass_fds=[gate])
        at_end, over = "".join(item[1] for item in got), captured.is_over
        print("after", flush=True)
        os.write(opener, b"x")
        child.wait()
        captured.drain(30)
        captured.poll()
        report(at_end=at_end, over=[over, captured.is_over])
        """,
    )
    assert "parent\n" == report["at_end"]
    assert [False, True] == report["over"]
    assert b"parent\nchild, late\n" == reported(report, 1) == spooled(spool, 1)
    assert b"parent\nafter\nchild, late\n" == done.stdout


@needs_fd
def test_a_terminal_that_is_gone(tmp_path):
    """OUT-02: when nobody reads the terminal any more, the spool still gets everything."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done, report, spool = run_script(
            tmp_path,
            """
            with capture("fd", sink, sys.argv[1]):
                for number in range(1000):
                    print(number)
            report()
            """,
            stdout=writer,
        )
    finally:
        os.close(writer)
    expected = b"".join(b"%d\n" % number for number in range(1000))
    assert expected == spooled(spool, 1) == reported(report, 1)
    assert 0 == done.returncode


@needs_fd
def test_a_terminal_that_does_not_move(tmp_path):
    """OUT-02: a stopped terminal holds up neither the run's end nor the spool."""
    reader, writer = os.pipe()
    try:
        _, report, spool = run_script(
            tmp_path,
            """
            with capture("fd", sink, sys.argv[1]):
                for number in range(300):
                    sys.stdout.write("x" * 1023 + "\\n")
            report()
            """,
            stdout=writer,
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        writer = -1
        shown = b""
        while part := os.read(reader, 65536):
            shown += part
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    expected = (b"x" * 1023 + b"\n") * 300
    assert expected == spooled(spool, 1) == reported(report, 1) == shown


@needs_fd
@pytest.mark.parametrize("closed", [(1,), (2,), (0,), (0, 1, 2)])
def test_closed_descriptors(tmp_path, closed):
    """OUT-02: closed descriptors are captured as well, and closed again at the end."""
    closing = "; ".join(f"os.close({fd})" for fd in closed)
    _, report, spool = run_script(
        tmp_path,
        f"""
        {closing}
        with capture("fd", sink, sys.argv[1]) as captured:
            os.write(1, b"out")
            os.write(2, b"err")
        still = []
        for fd in {closed!r}:
            try:
                os.fstat(fd)
            except OSError:
                continue
            still.append(fd)
        report(mode=captured.mode, still=still)
        """,
    )
    assert (b"out", b"err") == (reported(report, 1), reported(report, 2))
    assert ("fd", []) == (report["mode"], report["still"])
    assert (b"out", b"err") == (spooled(spool, 1), spooled(spool, 2))


@needs_fd
def test_replaced_streams_are_captured_beside(tmp_path):
    """OUT-02: a sys.stdout that is not behind descriptor 1 (notebooks, tests) is watched too."""
    _, report, _ = run_script(
        tmp_path,
        """
        import io
        sys.stdout = own = io.StringIO()
        with capture("fd", sink, sys.argv[1]):
            print("replaced")
            os.write(1, b"raw")
        report(own=own.getvalue(), back=sys.stdout is own)
        """,
    )
    assert ("replaced\n", True) == (report["own"], report["back"])
    assert {("replaced", None), ("\n", None), ("raw", 0)} == {
        (data, begin) for _, data, begin, _ in report["got"]
    }


@needs_fd
def test_a_run_inside_a_run(tmp_path):
    """R23: the second capture at once is sys, with one warning for all; it has its output alone."""
    done, report, _ = run_script(
        tmp_path,
        """
        second, third = [], []
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with capture("fd", sink, sys.argv[1]):
                with capture("fd", lambda *a: second.append(a[1].decode())) as inner:
                    print("inner", flush=True)
                with capture("fd", lambda *a: third.append(a[1].decode())) as again:
                    pass
        with capture("fd", lambda *a: None) as later:
            pass
        report(modes=[inner.mode, again.mode, later.mode], second=second,
               seen=[str(item.message) for item in seen])
        """,
    )
    assert ["sys", "sys", "fd"] == report["modes"]
    assert ["inner", "\n"] == report["second"]
    assert (b"", b"inner\n") == (reported(report, 1), done.stdout)
    assert 1 == len(report["seen"])
    assert "`sys` mode, because another run" in report["seen"][0]


@needs_fd
def test_a_tee_that_dies(tmp_path):
    """P6: when the tee is killed, the run goes on, and what the pipes held is kept."""
    done, report, spool = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]) as captured:
            print("before", flush=True)
            captured.drain(30)
            os.kill(captured.tee_pid, signal.SIGKILL)
            os.waitpid(captured.tee_pid, 0)
            print("in the pipe", flush=True)
            captured.poll()
            print("on the terminal", flush=True)
        report()
        """,
    )
    assert b"before\nin the pipe\non the terminal\n" == done.stdout
    assert b"before\nin the pipe\n" == spooled(spool, 1) == reported(report, 1)


@needs_fd
def test_a_full_disk_keeps_nothing_from_being_shown(tmp_path):
    """P6: bytes that the disk does not take are shown and counted."""
    done, report, _ = run_script(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
        with capture("fd", sink, sys.argv[1]) as captured:
            os.write(1, b"a" * 99 + b"\\n")
            captured.drain(30)
            os.write(1, b"b" * 199 + b"\\n")
            captured.drain(30)
            os.write(1, b"c" * 9 + b"\\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        report(lost=captured.lost)
        """,
    )
    assert b"a" * 99 + b"\n" + b"b" * 199 + b"\n" + b"c" * 9 + b"\n" == done.stdout
    assert b"a" * 99 + b"\n" + b"c" * 9 + b"\n" == reported(report, 1)
    assert 200 == report["lost"]


@needs_fd
def test_a_fork_prints_too(tmp_path):
    """OUT-02: a forked child's output is the run's."""
    done, report, _ = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]):
            pid = os.fork()
            if pid == 0:
                os.write(1, b"forked\\n")
                os._exit(0)
            os.waitpid(pid, 0)
        report()
        """,
    )
    assert b"forked\n" == done.stdout == reported(report, 1)


@needs_fd
def test_a_fork_that_leaves_the_capture(tmp_path):
    """OUT-02: a forked child that unwinds through the capture takes nothing from its parent."""
    done, report, spool = run_script(
        tmp_path,
        """
        parent = os.getpid()
        with capture("fd", sink, sys.argv[1]) as captured:
            print("both", flush=True)
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
                print("parent")
        if os.getpid() != parent:
            os._exit(len(got) + captured.poll())
        report()
        """,
    )
    assert b"both\nparent\n" == done.stdout == reported(report, 1) == spooled(spool, 1)


@needs_fd
def test_buffering_is_put_back(tmp_path):
    """P1: inside, a stdout that is no terminal gives away each line; after it is as before."""
    _, report, _ = run_script(
        tmp_path,
        """
        before = sys.stdout.line_buffering
        with capture("fd", sink, sys.argv[1]):
            inside = sys.stdout.line_buffering
        report(states=[before, inside, sys.stdout.line_buffering])
        """,
    )
    assert [False, True, False] == report["states"]


@needs_fd
def test_c_code_is_flushed(tmp_path):
    """OUT-02: what C's stdio holds goes where it was printed, before and inside."""
    done, report, _ = run_script(
        tmp_path,
        """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.printf(b"before\\n")
        with capture("fd", sink, sys.argv[1]):
            libc.printf(b"inside\\n")
        libc.printf(b"after\\n")
        libc.fflush(None)
        report()
        """,
    )
    assert b"before\ninside\nafter\n" == done.stdout
    assert b"inside\n" == reported(report, 1)


@needs_fd
def test_an_exception_passes_through(tmp_path):
    """OUT-05 [!]: what was printed before an exception is kept."""
    done, report, _ = run_script(
        tmp_path,
        """
        try:
            with capture("fd", sink, sys.argv[1]):
                print("last words")
                raise KeyError("x")
        except KeyError:
            report()
        """,
    )
    assert b"last words\n" == reported(report, 1) == done.stdout


@needs_fd
def test_many_captures_leave_nothing_behind(tmp_path):
    """OUT-02: descriptors and processes of a closed capture are gone."""
    _, report, _ = run_script(
        tmp_path,
        """
        def count():
            return len(os.listdir("/dev/fd"))
        first = count()
        for number in range(5):
            with capture("fd", sink) as captured:
                print(number, flush=True)
            captured.close()
            captured.close()
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        report(more=count() - first, after=captured.poll())
        """,
    )
    assert (0, 0) == (report["more"], report["after"])
    assert b"0\n1\n2\n3\n4\n" == reported(report, 1)


@needs_fd
def test_where_no_process_can_be_started(monkeypatch):
    """OUT-02: without a tee the mode is sys, with a warning, and nothing is left open."""
    own_streams(monkeypatch)
    monkeypatch.setattr(sys_capture, "_warned", set())
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    got = Collector()
    before = os.listdir("/dev/fd")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with FdCapture(got) as captured:
            print("hello")
    assert ("sys", b"hello\n", 1) == (captured.mode, got.text(1), len(seen))
    assert len(before) == len(os.listdir("/dev/fd"))
    assert [] == fd_capture._owners


def test_a_frozen_application_starts_no_process(monkeypatch):
    """OUT-02: in a frozen application the interpreter's path is the application itself."""
    own_streams(monkeypatch)
    monkeypatch.setattr(sys_capture, "_warned", set())
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.warns(RuntimeWarning, match="frozen application"):
        with capture("fd", Collector()) as captured:
            assert "sys" == captured.mode


@needs_fd
def test_a_program_that_closes_all_descriptors_keeps_its_files(tmp_path):
    """OUT-02: files that it opens behind that are its own: nothing of ours goes into them, or closes them."""
    done, report, _ = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]) as captured:
            print("before")
            captured.drain(5.0)
            os.closerange(3, 4096)
            files = [open(f"{sys.argv[1]}-{number}", "wb", 0) for number in range(12)]
            print("behind")
        print("after")
        for file in files:
            file.write(b"mine")
            file.close()
        report(kept=[open(file.name, "rb").read().decode() for file in files])
        """,
    )
    assert 0 == done.returncode, done.stderr
    assert ["mine"] * 12 == report["kept"]


@needs_fd
def test_what_looks_like_a_torn_record_is_damage_when_nobody_writes(tmp_path):
    """R8: a length that a bit error made too large: the spool is kept."""
    done, report, _ = run_script(
        tmp_path,
        """
        with capture("fd", sink, sys.argv[1]) as captured:
            print("one")
            captured.drain(5.0)
            with open(sys.argv[1], "r+b") as file:
                file.seek(9)
                file.write(bytes([0, 0xff]))
        captured.drain(5.0)
        captured.poll()
        report(over=captured.is_over, damaged=captured.is_damaged)
        """,
    )
    assert 0 == done.returncode, done.stderr
    assert (True, True) == (report["over"], report["damaged"])
