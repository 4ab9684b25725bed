"""A report of each run, made from a template.

``FileStorageObserver(folder, template=...)`` fills a `mako <https://www.makotemplates.org>`_ template when the run has
ended: here ``template.html``, into ``report.html`` in the run's folder. A file ``template.html`` in the folder itself
is taken without being named. A template is a program: take none from strangers.

It needs mako: ``pip install mako``.

Try it::

    $ python report.py
    $ python report.py with throws=100 seed=7
    $ ls my_runs/1
"""

from pathlib import Path
from random import Random

from sacred import Experiment
from sacred.observers import FileStorageObserver

ex = Experiment("dice")
ex.observers.append(
    FileStorageObserver("my_runs", template=Path(__file__).parent / "template.html")
)


@ex.config
def config():
    throws = 12  # how often the die is thrown
    sides = 6


@ex.automain
def throw(throws, sides, _seed, _run):
    draw = Random(_seed)
    counts = dict.fromkeys(map(str, range(1, sides + 1)), 0)
    for _ in range(throws):
        counts[str(draw.randint(1, sides))] += 1
    _run.info["counts"] = counts
    print("thrown:", counts)
    return sum(int(side) * number for side, number in counts.items()) / throws
