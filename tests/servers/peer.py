"""An environment with the original Sacred, whose behaviour some tests compare with ours.

``$SACRED_PEER_PYTHON`` names a Python that has it; else one is made in ``.cache/servers/peer``.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from servers.mongo import CACHE, ServerMissingError

FOLDER = CACHE / "peer"
#: Sacred imports pkg_resources, which newer setuptools do not have.
REQUIREMENTS = (
    "sacred==0.8.7",
    "setuptools<80",
    "numpy",
    "PyYAML",
    "pymongo",
    "tinydb",
    "tinydb-serialization",
    "hashfs",
    "SQLAlchemy",
    "boto3",
    "google-cloud-storage",
)


def interpreter() -> Path | None:
    """Return the Python that has the original, if there is one; make nothing."""
    named = os.environ.get("SACRED_PEER_PYTHON")
    if named:
        return Path(named)
    python = FOLDER / "bin" / "python"
    return python if (FOLDER / ".complete").exists() and python.exists() else None


def install() -> None:
    """Make the environment, unless it is there.

    Raises
    ------
    ServerMissingError
        pip could not; the text says why.
    """
    if os.environ.get("SACRED_PEER_PYTHON"):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp = " ".join((sys.version.split()[0], *REQUIREMENTS))
    complete = FOLDER / ".complete"
    with (CACHE / "peer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists() and complete.read_text() == stamp:
            return
        _run([sys.executable, "-m", "venv", "--clear", str(FOLDER)])
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", "--root-user-action=ignore", *REQUIREMENTS])
        complete.write_text(stamp)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise ServerMissingError(
            "the environment with the original Sacred can not be made "
            f"(SACRED_PEER_PYTHON may name one):\n{done.stdout[-2000:]}"
        )
