"""Random numbers that can be drawn again.

Every run has a seed, drawn by itself or given with ``seed=``. From it each call of a captured function gets a seed
``_seed`` and, if it asks for it, a generator ``_rnd`` of its own (numpy's, or Python's without numpy); Python's
``random`` and numpy's global functions are seeded, too.

So the draws of one function do not depend on how often another one drew before: with the same seed, ``numbers`` gives the
same values whether or not ``shuffled`` was called in between.

Try it::

    $ python 06_randomness.py
    $ python 06_randomness.py with seed=12345
    $ python 06_randomness.py with seed=12345          # the same again
    $ python 06_randomness.py reverse with seed=12345  # a command that calls them in another order
"""

import random

from sacred import Experiment

ex = Experiment("randomness")


@ex.config
def config():
    digits = [1, 2, 3, 4, 5]


@ex.capture
def numbers(_rnd):
    """Draw three numbers below 100, with a generator of this call's own."""
    draw = getattr(_rnd, "integers", None) or _rnd.randrange
    return [int(draw(100)) for _ in range(3)]


@ex.capture
def shuffled(digits, _seed):
    """Shuffle a copy, with a generator made from this call's seed."""
    digits = list(digits)
    random.Random(_seed).shuffle(digits)
    return digits


@ex.command
def reverse():
    """Ask in another order: each function draws what it drew in ``main``."""
    print("shuffled", shuffled())
    print("numbers ", numbers())
    print("numbers ", numbers())


@ex.automain
def main(_seed):
    print("numbers ", numbers())
    print("shuffled", shuffled())
    print("numbers ", numbers())
    print("seed of this call of main:", _seed)
    print("global draw:", random.randrange(100))
