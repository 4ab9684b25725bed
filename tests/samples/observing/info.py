import numpy as np
from hello_cs import ex

from sacred.observers import FileStorageObserver

ex.observers.append(FileStorageObserver("my_runs"))


@ex.command
def count(_run):
    _run.info["losses"] = [0.5, 0.25]
    _run.info["weights"] = np.eye(2)
    ex.info["parameters"] = np.int64(4)


ex.run("count")
