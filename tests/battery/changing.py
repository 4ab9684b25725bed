"""A run whose info, result and output change all the time, until it is killed.

``changing.py --journal=ROOT -C MODE``. It writes ``NUMBER TIME`` (monotonic, s) to the descriptor
``TOLD`` behind each change.
"""

from __future__ import annotations

import os
import time

from sacred import Experiment

ex = Experiment("changing", save_git_info=False)


@ex.automain
def main(_run):
    told = int(os.environ["TOLD"])
    for number in range(3000):
        _run.info["number"] = number
        _run.result = number
        print("number", number)
        os.write(told, f"{number} {time.monotonic()}\n".encode())
        time.sleep(0.01)
