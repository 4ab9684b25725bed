"""Sealing at the end of a run, by the process that wrote it or one that it leaves behind."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from sacred.journal.identity import environment_of_own
from sacred.journal.sealer import seal_file

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from sacred.journal.writer import JournalWriter

__all__ = ["SMALL", "seal_own"]

#: A file of so many bytes is sealed by the process that wrote it: 60 ms at most.
SMALL = 256 * 1024


def seal_own(writer: JournalWriter, status: str | None = None) -> None:
    """Seal what a writer of this process wrote, after it was closed.

    What is small is sealed when this returns; the rest by a process of its own, of lowest priority,
    which this one does not wait for. Nothing is raised: a file that could not be sealed is as it
    was, and ``seal_run`` finds it later.

    Parameters
    ----------
    writer
        Closed; nothing that it was given was lost.
    status
        How the run ended, if an event that it wrote says so.
    """
    if not writer.closed or writer.fault is not None or writer.losses:
        return
    folder, number, epoch = writer.folder, writer.number, writer.epoch
    try:
        if epoch == 1 and os.stat(writer.path).st_size <= SMALL:
            seal_file(folder, number, epoch, status=status)
        else:
            _seal_aside(folder, number, epoch)
    except Exception:  # a run that is over must not fail by what only makes its file smaller
        return


def _seal_aside(folder: Path, number: int, epoch: int) -> None:
    import subprocess
    import sys

    if getattr(sys, "frozen", False) or not sys.executable:
        return
    # Those that are through are no zombies any more: a process may begin thousands of runs.
    _sealing[:] = [process for process in _sealing if process.poll() is None]
    process = subprocess.Popen(
        [sys.executable, "-m", "sacred.journal.seal", str(folder), str(number), str(epoch)],
        cwd=os.path.abspath(os.sep),
        env=environment_of_own(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _sealing.append(process)


_sealing: list[subprocess.Popen[bytes]] = []


@atexit.register
def _leave_behind() -> None:
    for process in _sealing:
        process.returncode = 0  # nobody waits for it, and nobody warns that nobody does
