"""Programs with a command line, started as a user does: how they end, and what they show."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

SCRIPT = textwrap.dedent(
    '''
    """Train something."""
    import os
    import signal

    from sacred import Experiment, cli_option
    from sacred.commandline_options import CommandLineOption


    @cli_option("-o", "--offline", is_flag=True)
    def offline(args, run):
        """Use nothing of the network."""
        run.info["offline"] = args


    class GreetingOption(CommandLineOption):
        """Greet somebody."""

        arg = "WHOM"
        arg_description = "who is greeted"

        @classmethod
        def apply(cls, args, run):
            run.info["greeting"] = f"hello {args}"


    ex = Experiment("train", save_git_info=False, additional_cli_options=[offline])
    ex.add_config(how="well", a=1)


    @ex.option_hook
    def hook(options):
        if options["--offline"]:
            options["--comment"] = "no network"


    @ex.command(unobserved=True)
    def show(a):
        """Show the entry.

        That is all.
        """
        print(f"a is {a}")


    @ex.automain
    def train(how, _run):
        if how == "badly":
            raise ValueError("that was bad")
        if how == "stopped":
            os.kill(os.getpid(), signal.SIGINT)
        if how == "exit":
            raise SystemExit(5)
        return sorted(_run.info.items()), _run.meta_info.get("comment")
    '''
)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, in a folder of its own."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    path = tmp_path / "train.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def run(script, *words, python=()):
    return subprocess.run(
        [sys.executable, *python, str(script), *words],
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("words", "status", "stdout", "stderr"),
    [
        ([], 0, "", "Completed after"),
        (["help"], 0, "Commands:", ""),
        (["-h"], 0, "--offline", ""),
        (["help", "show"], 0, "That is all.", ""),
        (["show", "-h"], 0, "That is all.", ""),
        (["show", "with", "a=3"], 0, "a is 3", ""),
        (["shwo"], 1, 'Did you mean "show"?', ""),
        (["--nonsense"], 1, "", 'Unknown option "--nonsense"'),
        (["with", "how=badly"], 1, "", "ValueError: that was bad"),
        (["with", "how=badly", "--debug"], 1, "", "ValueError: that was bad"),
        (["with", "how=stopped"], 130, "", "KeyboardInterrupt"),
        (["with", "how=exit"], 5, "", ""),
        (["with", "b=1"], 1, "", "ConfigAddedError"),
        (["with", "b=1", "--force"], 0, "", "Completed after"),
    ],
)
def test_how_a_program_ends(words, status, stdout, stderr, script):
    """CLI-20: 0, 1, what the program itself exits with, and what Python ends with after Ctrl-C."""
    ended = run(script, *words)
    # A shell shows a process that a signal ended as 128 and the signal.
    got = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
    assert status == got, ended.stderr
    assert stdout in ended.stdout
    assert stderr in ended.stderr


def test_stack_traces_are_the_users(script):
    """RUN-11: lines of the package are left out; --debug shows them."""
    filtered = run(script, "with", "how=badly").stderr
    whole = run(script, "-d", "with", "how=badly").stderr
    assert "Traceback (most recent calls WITHOUT Sacred internals):" in filtered
    assert "/sacred/core/" not in filtered
    assert 'raise ValueError("that was bad")' in filtered
    assert "Traceback (most recent call last):" in whole
    assert "/sacred/core/" in whole


def test_options_of_ones_own(script):
    """CLI-12, CLI-13, EXP-13: both forms of options, and the hook that sees them first."""
    ended = run(script, "--offline", "--greeting=you", python=["-W", "always::DeprecationWarning"])
    assert "Result: ([('greeting', 'hello you'), ('offline', True)], 'no network')" in ended.stderr
    assert "DeprecationWarning: Subclassing CommandLineOption (GreetingOption)" in ended.stderr
    # Joined short flags, in any order with the rest.
    assert "'offline', True" in run(script, "with", "a=2", "-fo").stderr
    usage = run(script, "-h").stdout
    assert "-g WHOM --greeting=WHOM" in usage
    assert "who is greeted" in usage


def typed(script, words, keys, until, seconds=100.0):
    """Run the script on a terminal and type ``keys`` when it asks; (status, what it showed)."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(script.parent)
        os.execv(sys.executable, [sys.executable, str(script), *words])
    seen, end, sent = b"", time.monotonic() + seconds, not keys
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # its end of the terminal is closed
                break
            if not data:
                break
            seen += data
            if not sent and until in seen:
                os.write(terminal, keys)
                sent = True
    finally:
        if time.monotonic() >= end:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, seen.decode()


def test_the_debugger_after_a_failure(script):
    """CLI-20: -D stops where the run failed; then the program ends with status 1."""
    status, seen = typed(script, ["-D", "with", "how=badly"], b"p how + '!'\nq\n", b"(Pdb) ")
    assert 1 == status
    assert "'badly!'" in seen
    assert "ValueError: that was bad" in seen


@pytest.mark.parametrize(
    ("environment", "words", "coloured"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color=always"], True),
        ({}, ["--color=never"], False),
    ],
)
def test_colours_on_a_terminal(environment, words, coloured, script, monkeypatch):
    """CMD-03: where somebody looks, unless he wants none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status, seen = typed(script, ["print_config", "with", "a=2", *words], b"", b"")
    assert 0 == status
    assert coloured == ("\x1b[34m  a = 2\x1b[0m" in seen)
    assert "  a = 2" in seen


def test_no_colours_in_a_pipe(script):
    """CMD-03: a file of a configuration has no letters in it that nobody can read."""
    assert "\x1b" not in run(script, "print_config", "with", "a=2").stdout
    assert "\x1b[34m  a = 2" in run(script, "print_config", "with", "a=2", "--color=always").stdout
