"""Runs whose process is gone: it wrote with a child of its own, and ended without a word."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["died_run"]

_PROGRAM = """
import os, sys
from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
root = JournalRoot(sys.argv[1])
folder = root.claim()
store = BlobStore(root.blobs)
writer = JournalWriter.create(folder.journal, blobs=store)
writer.append(EventType.RUN_STARTED, run_id=folder.number, name="x", command="main", config={},
              meta={}, experiment={"name": "x"}, host={})
for step in range(int(sys.argv[2])):
    writer.log_point("loss", step, step / 7)
    if step % 40 == 0:
        writer.flush()
stored = store.put_bytes(b"weights of %d" % folder.number)
writer.append(EventType.ARTIFACT_ADDED, name="weights", filename="w", blob=stored.blob.to_wire(),
              md5=stored.md5)
writer.flush()
if os.fork() == 0:
    writer.log_point("child", 0, 1.0)
    writer.flush()
    os._exit(0)
os.wait()
writer.append(EventType.CHILD_SEEN, writer=1)
writer.log_point("loss", 10**6, 1.0)
writer.flush()
os._exit(0)
"""


def died_run(root: JournalRoot, points: int = 200) -> RunFolder:
    """Have a process that is gone write a run of two writers, with a stored file."""
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(root.path), str(points)]
    subprocess.run(command, check=True, timeout=60)
    return root.runs()[-1]
