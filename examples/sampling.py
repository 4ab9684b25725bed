"""What a training uses of the machine, as metrics beside its own.

    python sampling.py
    python sampling.py with workers=4
    sacred query "select metric, avg(value) from metrics group by metric"

Every tenth of a second a thread measures the CPUs, the memory and the graphics cards, if there are
any. Usually every ten seconds is enough.
"""

import subprocess
import sys

from sacred import SETTINGS, Experiment

SETTINGS.SAMPLING.INTERVAL = 0.1  # seconds; None, the default, measures nothing

ex = Experiment("sampling")


@ex.config
def config():
    workers = 2  # processes that compute
    numbers = 2_000_000  # that each of them adds up


@ex.automain
def main(workers, numbers, _run):
    code = f"print(sum(range({numbers})))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(workers)
    ]
    for worker in started:
        _run.log_scalar("sum", int(worker.communicate()[0]))
    return sum(range(numbers)) * workers
