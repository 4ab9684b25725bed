"""An experiment with commands of its own, beside its main function.

A command is a captured function that the command line can start. ``unobserved=True`` is for commands that only look:
they leave no run.

Try it::

    $ python 05_my_commands.py
    $ python 05_my_commands.py celsius with degrees=98.6
    $ python 05_my_commands.py table
    $ python 05_my_commands.py help celsius
"""

from sacred import Experiment

ex = Experiment("my_commands")


@ex.config
def config():
    degrees = 20.0  # the temperature that is converted


@ex.command
def celsius(degrees):
    """Take the degrees for Fahrenheit, and give them in Celsius.

    What stands here is shown by ``help celsius``; the first line also in the list of commands.
    """
    result = round((degrees - 32) / 1.8, 1)
    print(f"{degrees} F = {result} C")
    return result


@ex.command(unobserved=True)
def table():
    """Print a small table, and keep no record of it."""
    for degrees in range(0, 101, 25):
        print(f"{degrees:3} C = {degrees * 1.8 + 32:5} F")


@ex.automain
def fahrenheit(degrees):
    """Take the degrees for Celsius, and give them in Fahrenheit."""
    result = round(degrees * 1.8 + 32, 1)
    print(f"{degrees} C = {result} F")
    return result
