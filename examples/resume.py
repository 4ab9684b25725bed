"""A training that keeps checkpoints, and goes on from the last one after it was killed.

The checkpoint is an artifact of the run: it is stored, whole, when ``add_artifact`` returns. Who
goes on with the run finds it by ``_run.open_artifact``, on the same metrics, under the same id.

Try it::

    $ python resume.py with pause=0.5       # and kill it: Ctrl-C, kill -9, the power switch
    $ sacred ls                             # INTERRUPTED or DIED
    $ python resume.py --resume last        # or, by the sources as they were: sacred run last --resume
    $ python resume.py with dies_in=5       # one that kills itself, to go on with
"""

import json
import os
import random
import signal
import time

from sacred import Experiment

ex = Experiment("resume")


@ex.config
def config():
    epochs = 20
    rate = 0.2  # of what is left to learn in an epoch
    noise = 0.1
    pause = 0.0  # seconds an epoch takes
    dies_in = None  # the epoch in which it kills itself, when it is not resumed


@ex.automain
def train(epochs, rate, noise, pause, dies_in, seed, _run):
    chance = random.Random(seed)
    weight, first = 0.0, 0
    if _run.resumed and "checkpoint.json" in _run.resumed.artifacts:
        with _run.open_artifact("checkpoint.json") as file:
            state = json.load(file)
        weight, first = state["weight"], state["epoch"] + 1
        # Where the random numbers were: else they would begin anew.
        version, numbers, gauss = state["chance"]
        chance.setstate((version, tuple(numbers), gauss))
        print(f"{_run.resumed.status}: going on with epoch {first}")
    for epoch in range(first, epochs):
        if epoch == dies_in and not _run.resumed:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(pause)
        weight += rate * (1 - weight) + noise * chance.uniform(-1, 1)
        # With its step: a point behind the last checkpoint comes again when the run goes on.
        _run.log_scalar("loss", (1 - weight) ** 2, epoch)
        with open("checkpoint.json", "w") as file:
            json.dump({"epoch": epoch, "weight": weight, "chance": chance.getstate()}, file)
        _run.add_artifact("checkpoint.json")
    return weight
