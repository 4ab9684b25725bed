"""Row 10 of the battery: the power of a real file system is cut."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from battery import soak

ROUNDS = 100
_TRY = """
set -e
cd "$1"
truncate -s 4M try
mkfs.ext4 -q -F try
mkdir place
mount -o loop try place
umount place
"""


def why_not():
    """Return why this machine can not cut the power of a file system; None if it can."""
    missing = [name for name in ("unshare", "mkfs.ext4", "mount") if not shutil.which(name)]
    if missing:
        return f"row 10 needs {', '.join(missing)}"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "row 10 needs root, to mount a loop device"
    with soak.scratch() as folder:
        command = ["unshare", "-m", "sh", "-c", _TRY, "sh", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    return None if done.returncode == 0 else f"row 10 needs loop devices: {done.stderr.strip()}"


@pytest.mark.slow
def test_a_power_cut_takes_nothing_that_sync_promised(record_property):
    """Row 10, P2, P3: ext4 on a loop device, shut down without its log: what sync() promised is there, blobs too."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    longest = soak.seconds(0.2)
    with soak.scratch() as folder:
        words = (folder, ROUNDS, longest, soak.seed())
        found = soak.run_program(
            "power_cut.py", *words, before=["unshare", "-m"], limit=280 + longest
        )
    assert found["rounds"] >= ROUNDS
    assert found["kept"] > ROUNDS
    record_property("battery", ("row 10: power cuts on ext4", found["rounds"]))
    record_property("battery", ("row 10: events promised, all kept", found["kept"]))
