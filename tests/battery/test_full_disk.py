"""Row 9 of the battery: disks that are really full."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from battery import soak

ROUNDS = 250


def may_mount():
    """Tell whether this process may mount a disk that only it sees."""
    if not shutil.which("unshare") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False, timeout=100).returncode == 0


def _run(kind, record_property, before=()):
    longest = soak.seconds(0.1)
    with soak.scratch() as folder:
        words = (kind, folder, ROUNDS, longest, soak.seed())
        found = soak.run_program("full_disk.py", *words, before=before, limit=280 + longest)
    assert found["rounds"] >= ROUNDS
    assert found["lost"] > ROUNDS
    assert found["epochs"] > 1
    record_property("battery", (f"row 9: full disks ({kind})", found["rounds"]))
    record_property("battery", (f"row 9: events lost and counted ({kind})", found["lost"]))


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="row 9 needs root, to mount small disks")
def test_a_disk_that_fills_up_costs_what_a_gap_event_counts(record_property):
    """Row 9, P3, P6: ENOSPC on tmpfs of any size: what no memory holds is counted, all else is there."""
    _run("tmpfs", record_property, before=["unshare", "-m"])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="row 9 needs RLIMIT_FSIZE")
def test_a_limit_on_the_size_of_files_costs_what_a_gap_event_counts(record_property):
    """Row 9, P3, P6: RLIMIT_FSIZE: a write is cut at any byte, then EFBIG; and with room again all goes on."""
    _run("limit", record_property)
