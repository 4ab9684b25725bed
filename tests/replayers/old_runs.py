"""Stores as Sacred itself writes them: its own Python runs an experiment of every fate."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from observers.calls import PEER

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FATES", "PEER", "run_peer", "write_store"]

#: What becomes of the runs, in the order of their numbers. QUEUED: where the observer can.
FATES = ["COMPLETED", "FAILED", "INTERRUPTED", "TIMEOUT", "RUNNING"]

PROGRAM = """
import os, sys
import numpy as np
import zeta
import Alpha
from sacred import Experiment
from sacred.utils import TimeoutInterrupt

kind, where, *fates = sys.argv[1:]
ex = Experiment("old lab")
if kind == "file":
    from sacred.observers import FileStorageObserver as Observer
    ex.observers.append(Observer(where))
elif kind == "tinydb":
    from sacred.observers import TinyDbObserver as Observer
    ex.observers.append(Observer(where))
elif kind == "sql":
    from sacred.observers import SqlObserver as Observer
    ex.observers.append(Observer(where))
else:
    from sacred.observers import MongoObserver as Observer
    url, _, name = where.rpartition("/")
    ex.observers.append(Observer(url, db_name=name))

ex.add_config(lr=0.1, layers=(1, 2), deep=[1, {"x": None, "y": [True, 2.5]}], text="schön ☃",
              nan=float("nan"), fate="COMPLETED")
if kind != "sql":
    ex.add_config(array=np.arange(3), real=np.float64(2.5))

@ex.main
def main(_run, fate):
    print("hello wörld\\nanother line")
    ex.open_resource("data.csv").close()
    ex.add_artifact("model.bin")
    ex.add_artifact("model.bin", name="model.txt", metadata={"a": [1]}, content_type="text/x-model")
    ex.info["scores"] = {"list": [1, 2], "pair": (3, 4)}
    if kind != "sql":
        ex.info["eye"] = np.eye(2)
    for step in range(30):
        ex.log_scalar("loss", 1.0 / (step + 1), step)
        ex.log_scalar("accuracy", step)
    ex.log_scalar("odd", float("inf"), 7.5)
    if fate == "FAILED":
        raise ValueError("bad luck")
    if fate == "INTERRUPTED":
        raise KeyboardInterrupt
    if fate == "TIMEOUT":
        raise TimeoutInterrupt
    if fate == "RUNNING":
        _run._emit_heartbeat()
        os._exit(0)
    return 42 if kind == "sql" else {"accuracy": np.float64(0.5), "pair": (1, 2), "list": [1]}

for fate in fates:
    try:
        ex.run(config_updates={"fate": fate, "seed": 7}, options={"--queue": fate == "QUEUED"})
    except (ValueError, KeyboardInterrupt, TimeoutInterrupt):
        pass
"""


def write_store(folder: Path, kind: str, where: str, *fates: str) -> None:
    """Have Sacred 0.8.7 write runs into a store.

    Parameters
    ----------
    folder
        Of the program.
    kind
        ``file``, ``tinydb``, ``sql`` or ``mongo``.
    where
        As Sacred's observer takes it; of MongoDB the address with the database.
    fates
        What becomes of each run. ``RUNNING`` dies, and has to be the last.
    """
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    for name in ("zeta.py", "Alpha.py", "beta.py"):  # in no order
        (folder / name).write_text(f"# {name}\n" + "import beta\n" * (name == "zeta.py"))
    (folder / "data.csv").write_text("1,2\n")
    (folder / "model.bin").write_bytes(b"\0\1model")
    run_peer(folder, "program.py", kind, where, *fates)


def run_peer(folder: Path, *words: str) -> None:
    """Run a program by the Python that has Sacred 0.8.7."""
    # A PYTHONPATH would lead the peer's Python to this project.
    done = subprocess.run(
        [str(PEER), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
