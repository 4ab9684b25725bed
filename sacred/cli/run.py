"""The command that runs a stored run: ``sacred run``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred.cli.options import root_option, runs_of, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["run", "run_program"]

#: The child finds this very package, and is left with the paths that a program has.
_CHILD = """
import sys
place = sys.argv.pop(1)
sys.path.insert(0, place)
from sacred.core.stored_program import main
sys.path.remove(place)
sys.exit(main(sys.argv[1:]))
"""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("run", metavar="RUN")
@click.option("--resume", is_flag=True, help="Go on with one that died, was interrupted or failed.")
@click.option(
    "--force",
    is_flag=True,
    help="Also without packages that are missing, and one of another machine, unseen if it lives.",
)
@root_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
def run(run: str, resume: bool, force: bool, root: str | None, options: tuple[str, ...]) -> int:
    """Run what was queued, as it was stored.

    \b
      sacred run 7                  by the sources and configuration stored with it
      sacred run 7 --resume         one that died goes on

    OPTION is one of the experiment's own command line, such as -C sys or -m ADDRESS; it wins over
    the one that was given when the run was queued. Exit code: that of the program; 2 if the run
    can not be run, or another process has it.
    """  # noqa: D301 - click's sign
    from sacred.core.recorded import RecordedRun
    from sacred.core.resume import check_state
    from sacred.core.stored_program import check_environment

    (folder,) = runs_of(root, [run])
    record = RecordedRun(folder)
    check_state(record, resume=resume, force=force)
    for difference in check_environment(record, force=force):
        say(f"run {record.number}: {difference}")
    flags = ["--resume"] * resume + ["--force"] * force
    return run_program(record, flags, options)


def run_program(record: Any, flags: Sequence[str], options: Sequence[str]) -> int:
    """Unpack the stored sources of a run, run them as a process, and remove them.

    Parameters
    ----------
    record
        The ``RecordedRun`` of one that is queued, or ended early.
    flags
        For the process: ``--resume``, ``--force``.
    options
        Of the experiment's own command line.

    Returns
    -------
    The exit code of the process.
    """
    from sacred.core.program_folder import ProgramFolder, remove_leftovers
    from sacred.core.stored_program import places_of, unpack_sources

    folder = record.folder
    for sentence in remove_leftovers():
        say(sentence)
    with ProgramFolder(f"run {record.number} of {folder.root.path}") as place:
        try:
            place.expect(places_of(record))
            unpack_sources(record, place.path)
            place.started = True
            return _started([str(folder.path), place.path, *flags, "--", *options], place.lock)
        finally:
            kept = place.remove()
            if kept is not None:
                say(kept)


def _started(arguments: list[str], lock: int | None) -> int:
    """Run the stored program as a process, passing on the signals that ask this one to end."""
    import signal
    import subprocess

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # Ctrl-C reaches every process of the terminal by itself.
        if process is not None and number != signal.SIGINT:
            process.send_signal(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        command = [sys.executable, "-c", _CHILD, here, *arguments]
        # It holds the folder of its sources, also if this process is killed.
        process = subprocess.Popen(command, pass_fds=() if lock is None else (lock,))
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
