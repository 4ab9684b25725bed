"""Where the texts of ``--help``, ``help COMMAND`` and ``print_config`` come from.

This docstring stands in the usage of the program. A command's docstring is its help. A comment beside an entry of the
configuration, or above it, describes that entry; so does the docstring of a named configuration.

Try it::

    $ python docstrings.py --help
    $ python docstrings.py help greet
    $ python docstrings.py print_config
    $ python docstrings.py print_named_configs
"""

from sacred import Experiment

ex = Experiment("docstrings")


@ex.config
def config():
    """What is said, and to whom."""
    recipient = "world"  # whom to greet

    # how it is said
    message = f"Hello {recipient}!"
    loud = False  # in capitals


@ex.named_config
def polite():
    """As in a letter."""
    message = "Good morning."


@ex.command
def greet(message, loud):
    """Print the message.

    All that stands here is shown by ``help greet``.
    """
    print(message.upper() if loud else message)


@ex.automain
def main():
    """Greet, as ``greet`` does."""
    greet()
