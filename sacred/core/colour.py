"""Whether what is printed is coloured.

In this order: ``--color``, then ``NO_COLOR`` and ``FORCE_COLOR`` of the environment
(https://no-color.org), then ``SETTINGS.COMMAND_LINE.COLOR``, then whether a person looks: at a
terminal, or in a notebook.
"""

from __future__ import annotations

import os
from typing import Any

from sacred.core.settings import SETTINGS

__all__ = ["BLUE", "DIM", "GREEN", "RED", "RESET", "check_colour", "paint", "wants_colour"]

BLUE = "\033[34m"
GREEN = "\033[32m"
RED = "\033[31m"
DIM = "\033[2m"
RESET = "\033[0m"

_CHOICES = ("auto", "always", "never")


def check_colour(choice: Any) -> str:
    """Return a choice as one of ``auto``, ``always`` and ``never``.

    Raises
    ------
    CommandLineError
        If it is none of them (a ``ValueError``).
    """
    word = str(choice).lower()
    if word not in _CHOICES:
        from sacred.core.commandline import CommandLineError

        raise CommandLineError(f'"{choice}" is no way to colour: use one of {", ".join(_CHOICES)}.')
    return word


def wants_colour(stream: Any, chosen: str | None = None) -> bool:
    """Return whether what is printed to ``stream`` is coloured.

    Parameters
    ----------
    stream
        Where it is printed to.
    chosen
        What ``--color`` says.
    """
    if chosen in ("always", "never"):
        return chosen == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    setting = check_colour(SETTINGS.COMMAND_LINE.COLOR)
    if setting != "auto":
        return setting == "always"
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return bool(stream.isatty()) or _is_notebook(stream)
    except (AttributeError, OSError, ValueError):
        # No stream at all, or a closed one.
        return False


def _is_notebook(stream: Any) -> bool:
    # A captured stream stands for another one.
    original = getattr(stream, "_sacred_original", stream)
    return type(original).__module__.partition(".")[0] == "ipykernel"


def paint(colour: str, text: str, coloured: bool = True) -> str:
    """Return a text in a colour; as it is without one."""
    return f"{colour}{text}{RESET}" if colour and coloured else text
