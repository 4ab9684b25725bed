"""Functions that fetch their arguments from the configuration.

``@ex.capture`` fills the parameters that a call leaves out, by name: what the call gives comes first, then the
configuration, then the function's own default.

Try it::

    $ python 04_captured_functions.py
    $ python 04_captured_functions.py with recipient=you times=2
    $ python 04_captured_functions.py with mark=?
"""

from sacred import Experiment

ex = Experiment("captured_functions")


@ex.config
def config():
    greeting = "Hello"
    recipient = "world"
    times = 1  # how often to greet


@ex.capture
def greet(greeting, recipient, mark="!"):
    print(f"{greeting} {recipient}{mark}")


@ex.automain
def main(times):
    for _ in range(times):
        greet()
    greet("Goodbye")  # what is given by hand is not looked up
    greet(mark=".")
