"""A modular experiment: ingredients from another file, one of them with an ingredient of its own.

Each part can be used by other experiments. Hooks run in front of and behind ``main``, those of ingredients included.

Try it::

    $ python modular.py
    $ python modular.py with paths.base=/elsewhere
    $ python modular.py with tiny
    $ python modular.py with dataset.name=faces verbose=False
    $ python modular.py print_config
"""

from modular_data import dataset, load

from sacred import Experiment

ex = Experiment("modular", ingredients=[dataset])


@ex.config
def config(dataset):
    verbose = True
    title = f"about {dataset['name']}"


@ex.named_config
def tiny():
    """A named configuration may change the entries of ingredients."""
    dataset = {"name": "tiny"}


@ex.pre_run_hook
def announce(title, verbose):
    if verbose:
        print(f"=== {title} ===")


@ex.post_run_hook
def goodbye(verbose):
    if verbose:
        print("=== done ===")


@ex.automain
def main():
    numbers = load()
    print(f"loaded {numbers}")
    return sum(numbers)
