"""`sacred seal` and `sacred repair`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_ENDS = """
import sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={"name": "x"}, host={})
for step in range(900):
    writer.log_point("loss", step, step / 7)
writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
writer.close()
"""


@pytest.fixture
def ended(root):
    """A run that another process wrote, which is gone."""
    folder = root.journals.claim()
    command = [sys.executable, "-c", _ENDS, str(folder.journal)]
    subprocess.run(command, check=True, timeout=60)
    return folder


def test_sealing(root, run_sacred, ended):
    """Ended runs get smaller, once; a living one is left alone, and none of it is a failure."""
    root.completed()
    done = run_sacred("seal", "--all", "--json")
    assert done.code == 0
    first, second = json.loads(done.out)
    assert (first["state"], second["state"]) == ("sealed", "growing")  # this process lives
    assert first["after"] < first["before"]
    assert run_sacred("seal", "1").out == "run 1 w0000-e0001.jzst: already\n"
    assert run_sacred("verify", "1").code == 0
    assert run_sacred("query", "select count(*) as n from metrics where run = 1").out == "n\n900\n"


def test_repairing(root, run_sacred, ended):
    """A damaged run is repaired, its loss stays named, and verify then calls it clean."""
    file = root.file(ended)
    assert run_sacred("repair", "1").out == "run 1: nothing to repair\n"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert run_sacred("verify", "1").code == 1
    assert run_sacred("seal", "1").code == 1
    done = run_sacred("repair", "1")
    assert done.code == 0
    assert done.out.startswith("run 1 w0000-e0001.jzst: repaired, ")
    assert done.out.endswith("as it was: w0000-e0001.jzst.damaged-1\n")
    checked = run_sacred("verify", "1")
    assert (0, "run 1: clean") == (checked.code, checked.out.partition(",")[0])
    assert "lost before it was repaired" in checked.out
    assert run_sacred("events", "1").code == 0
    assert "lost before it was repaired" in run_sacred("ls").out
