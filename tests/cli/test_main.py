"""The commands as programs: help, wrong use, pipes, interrupts, defects."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sacred import cli
from sacred.__about__ import __version__
from sacred.cli import terminal


def test_help(run_sacred):
    """Without arguments the help, with every command."""
    done = run_sacred()
    assert (0, "") == (done.code, done.err)
    for command in ("events", "ls", "query", "replay", "seal", "show", "verify"):
        assert f"\n  {command} " in done.out


@pytest.mark.parametrize(
    ("name", "command"), [("main", "sacred"), ("replay_main", "sacred-replay")]
)
def test_version(run_sacred, name, command):
    """--version tells the version."""
    told = run_sacred("--version", name=name).out
    assert f"{command} (sacred-journal {__version__})\n" == told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lss"], "there is no command 'lss': did you mean ls? (sacred --help tells more)"),
        (
            ["zzz"],
            "there is no command 'zzz': there are ls, show,",
        ),
        (["ls", "--rot", "x"], "no such option"),
        (["ls", "extra"], "got unexpected extra argument (extra)"),
        (["ls", "-n", "x"], "invalid value for '-n': 'x' is not a valid integer"),
        (["show"], "missing argument 'RUN' (sacred show --help tells more)"),
        (["query"], "give a statement, or --file with one"),
    ],
)
def test_wrong_use(run_sacred, arguments, sentence):
    """Wrong use is told in one line, exit code 2."""
    done = run_sacred(*arguments)
    assert (2, "") == (done.code, done.out)
    assert sentence.lower() in done.err.lower()
    assert 1 == done.err.count("\n")


def test_returns_and_does_not_raise(root, monkeypatch, capsys):
    """main() returns the exit code, and takes arguments."""
    monkeypatch.chdir(root.path.parent)
    assert 0 == cli.main(["ls"])
    assert 2 == cli.main(["show", "1"])
    assert 2 == cli.replay_main([])


def test_closed_pipe(root, tmp_path):
    """``sacred events last | head -1`` is quiet."""
    root.completed(metrics=(("loss", 20_000),))
    code = "import sys; from sacred.cli import main; sys.exit(main(['events', '1']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert b"" == process.stderr.read()
        assert 0 == process.wait(60)


def test_full_disk(root, tmp_path):
    """Output that can not be written is told in one sentence."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    root.completed(metrics=(("loss", 2000),))
    code = "import sys; from sacred.cli import main; sys.exit(main(['events', '1']))"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert b"sacred: No space left on device\n" == done.stderr
    assert 2 == done.returncode


def test_interrupt(root, tmp_path):
    """Ctrl-C ends with 130 and without a traceback."""
    code = (
        "import sys, sacred.replayers.listing as l\n"
        "def wait(*a, **k):\n"
        "    print('ready', flush=True)\n"
        "    import time; time.sleep(60)\n"
        "l.outlines = wait\n"
        "from sacred.cli import main; sys.exit(main(['ls']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert b"ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (130, b"\n") == (process.returncode, err)


def test_defect(root, monkeypatch, capsys):
    """An error that is not foreseen is one sentence; SACRED_DEBUG=1 shows where."""
    monkeypatch.chdir(root.path.parent)

    def fail(*_, **__):
        raise TypeError("odd\nthing")

    monkeypatch.setattr("sacred.analysis.root_choice.outlines", fail)
    assert 1 == cli.main(["ls"])
    err = capsys.readouterr().err
    assert "TypeError: odd\\nthing (SACRED_DEBUG=1 shows where)" in err
    assert 1 == err.count("\n")
    monkeypatch.setenv("SACRED_DEBUG", "1")
    assert 1 == cli.main(["ls"])
    assert "Traceback" in capsys.readouterr().err


def on_a_terminal(tmp_path, arguments, columns, **env):
    """Return what a terminal of some width shows."""
    import fcntl
    import struct
    import termios

    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    code = "import sys; from sacred.cli import main; sys.exit(main())"
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**inherited, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **env},
    )
    os.close(inner)
    shown = b""
    try:
        while chunk := os.read(outer, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(outer)
    assert 0 == process.wait(60)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_terminal(root, tmp_path, columns):
    """On a terminal every line fits its width, and the most important columns stay."""
    root.completed("an-id", name="a long name of an experiment, really " * 3)
    root.died()
    shown = on_a_terminal(tmp_path, ["ls"], columns, NO_COLOR="1")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split()[0] == "RUN"
    assert "STATUS" in lines[0]
    assert "POINTS" in lines[0]
    assert "\x1b" not in shown


def test_colours(root, tmp_path):
    """Colours on a terminal; none with NO_COLOR or a dumb terminal."""
    root.completed()
    assert "\x1b[32mCOMPLETED\x1b[0m" in on_a_terminal(tmp_path, ["ls"], 80)
    assert "\x1b" not in on_a_terminal(tmp_path, ["ls"], 80, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(tmp_path, ["ls"], 80, TERM="dumb")


def test_progress_bar(root, tmp_path):
    """A replay draws a bar on a terminal, takes it away and says what came of it."""
    root.completed()
    shown = on_a_terminal(tmp_path, ["replay", "--to", f"file:{tmp_path / 'out'}"], 80)
    assert "\r\x1b[K\x1b[36m████████████████████████\x1b[0m 1/1  run 1 -> file:" in shown
    assert shown.endswith("\r\x1b[K1 of 1 up to date\n")


def test_progress_of_verify(root, tmp_path):
    """Verifying draws which run is read on a terminal, and takes it away before the verdict."""
    root.completed()
    root.completed()
    shown = on_a_terminal(tmp_path, ["verify", "--all"], 80, NO_COLOR="1")
    assert "\r\x1b[K░░░░░░░░░░░░" in shown
    assert "░ 1/2  run 2\r\x1b[Krun 2: clean, 33 events in 1 file, 0 stored files\n" in shown
    assert shown.endswith("files\n")


def test_no_bundle_on_a_terminal(root, monkeypatch, capsys):
    """A bundle is not written to a terminal, nor read from one."""
    root.completed()
    monkeypatch.chdir(root.path.parent)
    monkeypatch.setattr(terminal, "is_terminal", lambda *_: True)
    for words, what in (
        (["export", "1", "--bundle", "-"], "have a program read it"),
        (["import", "-"], "have a program write it"),
    ):
        assert 2 == cli.main(words)
        told = capsys.readouterr()
        assert "" == told.out
        assert f"a bundle is no text: name a file, or {what}" in told.err


def test_wide_rows(root, tmp_path):
    """A row that does not fit the terminal is shown as lines, one a column."""
    root.completed()
    shown = on_a_terminal(tmp_path, ["query", "from runs"], 80, NO_COLOR="1")
    shown = shown.rpartition("\r\x1b[K")[2]  # a busy machine shows that it takes a while
    assert ["run", "1"] == shown.splitlines()[0].split()
    assert ["status", "COMPLETED"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.04, "0.0s"),
        (59.94, "59.9s"),
        (59.99, "1m00s"),
        (3599.4, "59m59s"),
        (3600, "1h00m"),
        (90_000, "1d01h"),
    ],
)
def test_durations(seconds, text):
    """Durations read as people write them, with the rounding in the right place."""
    assert text == terminal.duration_text(seconds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[2Jb\n", "a\\x1b[2Jb\\n"),
        ("\u202etxt", "\\u202etxt"),
        ("grün 日本", "grün 日本"),
        ("\udcff", "\\udcff"),
    ],
)
def test_clean(text, shown):
    """What a run was named can not steer the terminal."""
    assert shown == terminal.clean(text)


def test_width_of_wide_characters():
    """Wide characters count twice where a table is aligned."""
    table = terminal.Table(["A", "B"])
    table.add("日本", "x")
    table.add("abcd", "y")
    assert ["A     B", "日本  x", "abcd  y"] == table.lines(aligned=True, width=80)


def test_queries_page():
    """``docs/queries.md`` lists the relations as they are."""
    from sacred.replayers.relations import relations_page

    page = Path(__file__).parents[2] / "docs" / "queries.md"
    assert relations_page() in page.read_text(encoding="utf-8")


def test_python_dash_m(tmp_path):
    """``python -m sacred`` ends with the exit code of the command."""
    done = subprocess.run(
        [sys.executable, "-m", "sacred", "ls", "--root", "none"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert 2 == done.returncode
    assert b"does not exist" in done.stderr


def test_no_stdout(root, tmp_path):
    """A process whose stdout is closed does its work and ends with its exit code."""
    root.completed()
    code = "import sys; from sacred.cli import main; sys.exit(main(['verify', '1']))"
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stderr)
