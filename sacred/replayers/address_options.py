"""The options behind the ``?`` of a view's address: read, or refused with the nearest name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sacred.replayers.errors import SinkSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["options_of", "place_and_options", "truth"]

_TRUTHS = {"1": True, "true": True, "yes": True, "on": True}
_TRUTHS |= {"0": False, "false": False, "no": False, "off": False}


def options_of(query: str, names: Iterable[str], whose: str) -> dict[str, str]:
    """Return the options of an address by their names, as texts.

    Parameters
    ----------
    query
        What stands behind the ``?``: ``name=value&name=value``, quoted as in any URL.
    names
        The options that there are.
    whose
        What has them, for the message: ``a file view``.

    Raises
    ------
    SinkSpecError
        There is no such option. The text names the nearest, and repeats no value.
    """
    from urllib.parse import parse_qsl

    known = list(names)
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            there = f"there is {', '.join(known)}" if known else "it has none"
            hint = f"did you mean {near[0]}?" if near else there
            raise SinkSpecError(f"{whose} has no option {name[:80]!r}: {hint}")
        if name in options:
            raise SinkSpecError(f"the option {name} of {whose} is given twice")
        options[name] = value
    return options


def place_and_options(rest: str, names: Iterable[str], whose: str) -> tuple[str, dict[str, str]]:
    """Split ``FOLDER?name=value``; without a ``=`` a ``?`` is a letter of the folder's name.

    Raises
    ------
    SinkSpecError
        As ``options_of``.
    """
    place, mark, query = rest.partition("?")
    if not mark or "=" not in query:
        return rest, {}
    return place, options_of(query, names, whose)


def truth(name: str, value: str) -> bool:
    """Return the value of an option that is on or off.

    Raises
    ------
    SinkSpecError
        It is neither.
    """
    found = _TRUTHS.get(value.strip().lower())
    if found is None:
        raise SinkSpecError(f"the option {name} is yes or no: write {name}=no")
    return found
