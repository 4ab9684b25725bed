"""An experiment whose configuration is the local variables of a function.

One entry may depend on another: change ``recipient`` and the message follows.

Try it::

    $ python 03_hello_config_scope.py
    $ python 03_hello_config_scope.py with recipient="that is cool"
    $ python 03_hello_config_scope.py with message="Hi, I was changed"
    $ python 03_hello_config_scope.py print_config with recipient=you
"""

from sacred import Experiment

ex = Experiment("hello_config_scope")


@ex.config
def config():
    recipient = "world"  # whom to greet
    message = f"Hello {recipient}!"  # what to say


@ex.automain
def main(message):
    print(message)
