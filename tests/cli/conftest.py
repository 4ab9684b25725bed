"""Roots with real journals of every fate, and the commands as a shell runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter

START = 1_700_000_000 * 10**9

_DYING = """
import os, sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.RUN_STARTED, run_id=int(sys.argv[2]), name="dies", command="main",
              config={}, meta={}, experiment={"name": "dies"}, host={"hostname": "there"})
for step in range(50):
    writer.log_point("loss", step, 1 / (step + 1))
writer.flush()
os._exit(9)
"""


class Root:
    """A root of journals, and what a test does with it."""

    START = START

    def __init__(self, path):
        self.journals = JournalRoot(path)
        self.path = path

    def writer(self, **options):
        """Begin a journal in the next folder; the folder is ``last``."""
        self.last = self.journals.claim()
        return JournalWriter.create(self.last.journal, **options)

    @staticmethod
    def start(writer, run_id, **fields):
        """Write the start of a run as the recorder does."""
        about = {"name": "trains", "command": "main", "config": {}, "meta": {}, "host": {}}
        about |= {"experiment": {"name": "trains"}}
        writer.append(EventType.RUN_STARTED, time_ns=START, run_id=run_id, **(about | fields))

    @staticmethod
    def end(writer, **fields):
        """Write the end of a run that went well."""
        about = {"how": "completed", "status": "COMPLETED"}
        writer.append(EventType.RUN_ENDED, time_ns=START + 90 * 10**9, **(about | fields))
        writer.close()

    def completed(self, run_id=None, *, metrics=(("loss", 30),), result=0.5, **fields):
        """Write a run that ended, and return its folder."""
        writer = self.writer(blobs=BlobStore(self.journals.blobs))
        number = self.last.number
        self.start(writer, number if run_id is None else run_id, **fields)
        for step in range(max((count for _, count in metrics), default=0)):
            for name, count in metrics:
                if step < count:
                    writer.log_point(name, step, 1 / (step + 1))
        writer.append_output(1, "epoch 0\nGr\u00fc\u00dfe\n".encode())
        self.end(writer, result=result)
        return self.last

    def died(self):
        """Let a process write a run and end without a word; return its folder."""
        folder = self.journals.claim()
        command = [sys.executable, "-c", _DYING, str(folder.journal), str(folder.number)]
        done = subprocess.run(command, check=False, timeout=60)
        assert done.returncode == 9
        return folder

    def file(self, folder):
        """Return the only file of a run's journal."""
        return folder.journal / "w0000-e0001.jzst"


@pytest.fixture
def root(tmp_path):
    """An empty root below the test's folder."""
    root = Root(tmp_path / "sacred_runs")
    root.journals.create()
    return root


@pytest.fixture
def run_sacred(tmp_path):
    """Run ``sacred ARGS`` in the test's folder, as a process; stdout and stderr as text."""

    def run(*args, cwd=tmp_path, name="main", env=None, **options):
        code = f"import sys; from sacred.cli import {name}; sys.exit({name}())"
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})}
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
            **options,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        return SimpleNamespace(code=done.returncode, out=out, err=err)

    return run
