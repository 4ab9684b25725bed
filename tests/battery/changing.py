"""A run whose info, result and output change all the time, until it is killed.

``changing.py --journal=ROOT -C MODE``. It writes ``NUMBER TIME`` (monotonic, s) to the descriptor
``TOLD`` behind each change, and ``witness TIME`` whenever a thread has slept for a tenth of a second
and synced a file: how late that is, is how late this machine lets anybody be.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time

from sacred import Experiment

ex = Experiment("changing", save_git_info=False)


def bear_witness(told, root):
    with tempfile.TemporaryFile(dir=root) as file:
        while True:
            time.sleep(0.1)
            os.write(file.fileno(), b"x")
            os.fdatasync(file.fileno())
            os.write(told, f"witness {time.monotonic()}\n".encode())


@ex.automain
def main(_run):
    told = int(os.environ["TOLD"])
    threading.Thread(
        target=bear_witness, args=(told, os.path.dirname(_run.folder)), daemon=True
    ).start()
    for number in range(3000):
        _run.info["number"] = number
        _run.result = number
        print("number", number)
        os.write(told, f"{number} {time.monotonic()}\n".encode())
        time.sleep(0.01)
