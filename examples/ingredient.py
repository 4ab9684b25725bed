"""An ingredient: a part with its own configuration and functions, here in the same file.

The ingredient's entries stand in a group of its name: ``dice.sides`` on the command line, ``dice["sides"]`` where the
experiment reads it.

Try it::

    $ python ingredient.py
    $ python ingredient.py with dice.sides=20 seed=7
    $ python ingredient.py with dice.coin
    $ python ingredient.py dice.odds
"""

from sacred import Experiment, Ingredient

dice = Ingredient("dice")


@dice.config
def dice_config():
    sides = 6
    number = 2  # how many are thrown at once


@dice.named_config
def coin():
    """A single coin, 1 or 2."""
    sides = 2
    number = 1


@dice.capture
def throw(sides, number, _seed):
    from random import Random

    draw = Random(_seed)
    return sum(draw.randint(1, sides) for _ in range(number))


@dice.command(unobserved=True)
def odds(sides, number):
    """Say how likely the highest throw is."""
    print(f"{number} dice of {sides} sides: 1 in {sides**number}")


ex = Experiment("game", ingredients=[dice])


@ex.config
def config(dice):
    rounds = 3
    best = rounds * dice["sides"] * dice["number"]  # what can be reached


@ex.automain
def play(rounds, best):
    total = sum(throw() for _ in range(rounds))
    print(f"{total} of {best}")
    return total
