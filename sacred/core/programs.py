"""Asking a program of the system for a fact, without ever waiting for it without end."""

from __future__ import annotations

import os

from sacred.core.fork import IMPORTING

__all__ = ["ask_program"]

#: Seconds that a program which is asked for a fact may take.
PROGRAM_TIMEOUT = 5.0
#: Seconds that one which was killed may take to go; in a driver that hangs it never does.
_GOING = 0.5


def ask_program(command: list[str], timeout: float | None = None) -> str | None:
    """Return what a program prints, or None if it fails or takes too long.

    Parameters
    ----------
    command
        The program and its arguments.
    timeout
        Seconds; five by default. Then it is killed, with whatever it started.
    """
    with IMPORTING:
        import signal
        import subprocess

    patience = PROGRAM_TIMEOUT if timeout is None else timeout
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A wrapper's children hold its output: they are killed with it.
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        printed, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        try:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate(timeout=_GOING)
        except (OSError, subprocess.TimeoutExpired):
            if process.stdout is not None:
                process.stdout.close()
        return None
    return printed.decode("utf-8", "replace").strip() if process.returncode == 0 else None
