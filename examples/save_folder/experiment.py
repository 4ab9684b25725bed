"""A decaying curve: drawn into a folder of the run, kept as an artifact, and logged point by point.

The folder comes from an ingredient; ``run_multi_exp.py`` runs this experiment twelve times.

Steps of a metric need not be integers: here they are the times at which the curve was evaluated.

Try it::

    $ python experiment.py
    $ python experiment.py with tau=5 N=20 save_folder.root=elsewhere
    $ python experiment.py -m sacred        # and into MongoDB
    $ sacred query "select run, count(*), min(value) from metrics group by run"
"""

import logging

import numpy as np
from ingredient_save_folder import make_folder, save_folder
from matplotlib.figure import Figure

from sacred import Experiment

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its font cache is no news of ours

ex = Experiment("exponential", ingredients=[save_folder])


@ex.config
def my_config():
    A = 10  # height at the start
    tau = 0.5  # how fast it falls
    B = 3  # what is left at the end
    N = 100  # points
    t_max = 1.0


@ex.capture
def get_exponential(A, tau, B, N, t_max):
    x = np.linspace(0, t_max, N)
    return x, A * np.exp(-tau * x) + B


@ex.automain
def my_main(_run, _log):
    folder = make_folder(_run)
    x, y = get_exponential()

    figure = Figure()  # not pyplot's: it needs no screen, and is gone with the run
    axes = figure.subplots()
    axes.plot(x, y)
    axes.set_xlabel("time")
    axes.set_ylabel("y")
    picture = folder + "/output_plot.png"
    figure.savefig(picture)
    _log.info("Saved output plot to %s", picture)
    _run.add_artifact(picture, name="output_plot.png")

    for time, value in zip(x, y, strict=True):
        _run.log_scalar("y", value, time)
    return float(y[-1])
