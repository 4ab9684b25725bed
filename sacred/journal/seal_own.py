"""Sealing at the end of a run, by the process that wrote it or one that it leaves behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sacred.journal.errors import JournalError
from sacred.journal.sealer import seal_file

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.writer import JournalWriter

__all__ = ["SMALL", "seal_own"]

#: A file of so many bytes is sealed by the process that wrote it: 60 ms at most.
SMALL = 256 * 1024


def seal_own(writer: JournalWriter) -> None:
    """Seal what a writer of this process wrote, after it was closed.

    What is small is sealed when this returns; the rest by a process of its own, of lowest priority,
    which this one does not wait for. Nothing is raised: a file that could not be sealed is as it
    was, and ``seal_run`` finds it later.
    """
    if not writer.closed or writer.fault is not None or writer.losses:
        return
    folder, number, epoch = writer.folder, writer.number, writer.epoch
    try:
        if epoch == 1 and os.stat(writer.path).st_size <= SMALL:
            seal_file(folder, number, epoch)
        else:
            _seal_aside(folder, number)
    except (OSError, JournalError):
        return


def _seal_aside(folder: Path, number: int) -> None:
    import subprocess
    import sys

    if getattr(sys, "frozen", False) or not sys.executable:
        return
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", "sacred.journal.seal", str(folder), str(number)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.returncode = 0  # nobody waits for it, and nobody warns that nobody does
