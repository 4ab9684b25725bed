"""The whole convenience at once: everything is filled in by name.

The configuration is the local variables of ``config``; ``train`` and ``score`` never see who calls them with what. The
names with ``_`` in front are given by the run:

* ``_run``: the run itself, for metrics, ``info`` and artifacts
* ``_log``: a logger with the function's name
* ``_config``: all of the configuration
* ``_seed``, ``_rnd``: a seed and a generator for this call

``08_less_magic.py`` is the same experiment with nothing filled in.

Try it::

    $ python 07_magic.py
    $ python 07_magic.py with slope=3 model.rate=0.1
    $ python 07_magic.py print_config
"""

import random

from sacred import Experiment

ex = Experiment("magic")


@ex.config
def config():
    slope = 2.0  # of the line that is to be learned
    points = 50  # how many points of it are seen
    model = {"rate": 0.3, "epochs": 20}  # how it is learned


@ex.capture
def data(slope, points, _seed):
    draw = random.Random(_seed)
    xs = [draw.uniform(-1, 1) for _ in range(points)]
    return [(x, slope * x) for x in xs]


@ex.capture(prefix="model")
def train(pairs, rate, epochs, _run, _log):
    weight = 0.0
    for epoch in range(epochs):
        loss = sum((weight * x - y) ** 2 for x, y in pairs) / len(pairs)
        weight -= rate * sum(2 * x * (weight * x - y) for x, y in pairs) / len(pairs)
        _run.log_scalar("loss", loss, epoch)
    _log.info("learned %.3f in %d epochs", weight, epochs)
    return weight


@ex.automain
def main(_run):
    weight = train(data())
    _run.info["weight"] = weight
    return round(weight, 3)
