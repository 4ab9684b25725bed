"""The smallest experiment: one main function.

Try it::

    $ python 01_hello_world.py
    $ sacred ls
"""

from sacred import Experiment

ex = Experiment("hello_world")


@ex.automain
def main():
    print("Hello world!")
