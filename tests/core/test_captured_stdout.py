"""``get_stdcapturer``: Sacred's own way to capture what is printed."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from sacred import SETTINGS, stdout_capturing
from sacred.stdout_capturing import CapturedStdout, TeeingStreamProxy, get_stdcapturer


def test_the_modes(monkeypatch):
    """OUT-02, USE-09: each mode has its function; without one the setting decides."""
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "no")
    names = {"no": "no_tee", "sys": "tee_output_python", "fd": "tee_output_fd", None: "no_tee"}
    for mode, function in names.items():
        assert (mode or "no", getattr(stdout_capturing, function)) == get_stdcapturer(mode)
    with pytest.raises(KeyError, match="Unknown capture mode 'all'"):
        get_stdcapturer("all")


def test_python_output(capsys):
    """OUT-02: what is new since the last time, and once more after the end; the terminal has all."""
    _, capture_out = get_stdcapturer("sys")
    with capture_out() as out:
        print("hello")
        sys.stderr.write("wörld\n")
        first = out.get()
        print("more")
        assert not out.closed
    assert ("hello\nwörld\n", "more\n", True) == (first, out.get(), out.closed)
    with pytest.raises(ValueError, match="closed"):
        out.get()
    assert ("hello\nmore\n", "wörld\n") == capsys.readouterr()


def test_nothing_is_captured(capsys):
    """OUT-02: in the mode no."""
    with get_stdcapturer("no")[1]() as out:
        print("hello")
        assert "" == out.get()
    assert ("", "hello\n") == (out.get(), capsys.readouterr().out)


def test_the_output_of_children():
    """OUT-02: in the mode fd, what other processes write, at once and in order; after an error too."""
    program = (
        "import os, sys\n"
        "from sacred.stdout_capturing import get_stdcapturer\n"
        "outs = []\n"
        "try:\n"
        "    with get_stdcapturer('fd')[1]() as out:\n"
        "        outs.append(out)\n"
        "        print('python')\n"
        "        os.system('echo child')\n"
        "        first = out.get()\n"
        "        os.write(2, b'c\\xc3\\xb6de\\n')\n"
        "        1 / 0\n"
        "except ZeroDivisionError:\n"
        "    print([first, out.get(), out.closed])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    expected = "python\nchild\n['python\\nchild\\n', 'cöde\\n', True]\n"
    assert (expected, "cöde\n") == (done.stdout, done.stderr)


def test_a_buffer_of_ones_own():
    """USE-09: what is captured is read on; the rest is kept at the end."""
    buffer = io.StringIO()
    captured = CapturedStdout(buffer)
    buffer.write("abc\ndef")
    assert ("abc\ndef", "", None) == (captured.get(), captured.get(), captured.final)
    buffer.write("x")
    captured.finalize()
    assert ("x", True, None) == (captured.get(), buffer.closed, captured.final)


def test_a_stream_that_writes_to_two():
    """USE-09: writes and flushes go to both; the rest is the first's."""
    one, other = io.StringIO(), io.StringIO()
    proxy = TeeingStreamProxy(one, other)
    proxy.write("z")
    proxy.flush()
    assert ("z", "z", "z") == (one.getvalue(), other.getvalue(), proxy.getvalue())


def test_flush(capfd):
    """USE-09: what waits in buffers is written."""
    stdout_capturing.flush()
    sys.stdout.write("waits")
    stdout_capturing.flush()
    os.write(1, b" no more")
    assert "waits no more" == capfd.readouterr().out
