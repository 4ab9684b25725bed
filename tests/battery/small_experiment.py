"""Row 8's program: a small experiment, which says what it sees of its own calls.

``small_experiment.py --journal=ROOT``; it prints ``told WHAT`` when a call returned that must have
been stored by then, ``saw ERROR`` if one raised, and ``through`` at the end.
"""

from __future__ import annotations

import os

from sacred import Experiment

ex = Experiment("small", save_git_info=False)


def told(what):
    """Say it at once, past all capturing."""
    os.write(1, f"told {what}\n".encode())


@ex.automain
def main(_run):
    told("start")
    for step in range(6):
        try:
            for point in range(20):
                _run.log_scalar("loss", point / 7, step * 20 + point)
            _run.info["step"] = step
            _run.add_artifact(__file__, name=f"artifact {step}")
        except BaseException as error:
            os.write(1, f"saw {error!r}\n".encode())
        else:
            told(f"artifact {step}")
    os.write(1, b"through\n")
    return 42
