"""The experiment of ``07_magic.py`` for those who like to see where a value comes from.

The configuration is a dictionary, the functions are plain functions with plain arguments, and ``main`` alone asks the
run for what it needs. Any amount between the two is fine.

Try it::

    $ python 08_less_magic.py
    $ python 08_less_magic.py with slope=3 model.rate=0.1
"""

import random

from sacred import Experiment

ex = Experiment("less_magic")
ex.add_config(
    {
        "slope": 2.0,
        "points": 50,
        "model": {"rate": 0.3, "epochs": 20},
    }
)


def data(slope, points, seed):
    draw = random.Random(seed)
    xs = [draw.uniform(-1, 1) for _ in range(points)]
    return [(x, slope * x) for x in xs]


def train(pairs, rate, epochs, report):
    weight = 0.0
    for epoch in range(epochs):
        loss = sum((weight * x - y) ** 2 for x, y in pairs) / len(pairs)
        weight -= rate * sum(2 * x * (weight * x - y) for x, y in pairs) / len(pairs)
        report("loss", loss, epoch)
    return weight


def main(_config, _run):
    pairs = data(_config["slope"], _config["points"], _config["seed"])
    model = _config["model"]
    weight = train(pairs, model["rate"], model["epochs"], _run.log_scalar)
    _run.info["weight"] = weight
    return round(weight, 3)


ex.main(main)

if __name__ == "__main__":
    ex.run_commandline()
