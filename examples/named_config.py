"""Sets of values under a name, to be switched on from the command line.

A named configuration replaces the values it names; what is given by hand goes before it, and of two of them the later
one wins. It may be a function, a dictionary or a file.

Try it::

    $ python named_config.py
    $ python named_config.py with large
    $ python named_config.py with large width=300
    $ python named_config.py with large careful
    $ python named_config.py print_named_configs
"""

from sacred import Experiment

ex = Experiment("named_config")


@ex.config
def config():
    width = 32
    depth = 2
    weights = width * width * depth  # follows from the two
    rate = 0.1


@ex.named_config
def large():
    """A network that takes its time."""
    width = 256
    depth = 8
    rate = 0.01


ex.add_named_config("careful", {"rate": 0.001})


@ex.automain
def main(width, depth, weights, rate):
    print(f"{depth} layers of {width}: {weights} weights, learned with rate {rate}")
