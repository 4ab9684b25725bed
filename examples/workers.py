"""Work in several processes, recorded in one run.

    python workers.py
    python workers.py with tasks=8 processes=2
    sacred show last

A captured function that is sent to another process takes the run along: its configuration is there,
and what it logs, prints and adds belongs to the run. See docs/metrics.md.
"""

import multiprocessing

from sacred import Experiment

ex = Experiment("workers")


@ex.config
def config():
    tasks = 4  # how many starting points are tried
    processes = 4
    rate = 0.1  # of the descent
    steps = 50


@ex.capture
def descend(task, rate, steps, _run, _rnd):
    """Go down x**4 - 3 x**2 + x from a random point."""
    x = 4 * float(_rnd.random()) - 2
    for step in range(steps):
        x -= rate * (4 * x**3 - 6 * x + 1) / 4
        _run.log_scalar(f"height {task}", x**4 - 3 * x**2 + x, step)
    print(f"task {task} ended at {x:.3f}")
    return x**4 - 3 * x**2 + x


@ex.automain
def main(tasks, processes):
    with multiprocessing.Pool(processes) as pool:
        return min(pool.map(descend, range(tasks)))
