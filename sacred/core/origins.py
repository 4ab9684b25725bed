"""Origins: where the updates of a run were given, for the errors about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.dotted import iter_prefixes, iterate_flattened, join_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Origins", "named_config_hint", "unused_hint"]

#: As many names are listed for an update that nothing uses; more would hide the message.
_MOST_NAMES = 20


class Origins:
    """Where each update was given: on the command line, in a call, or by a named configuration."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def note(self, updates: Mapping[Any, Any], place: str, below: str = "") -> None:
        """Note where updates were given, unless they have a place already: the first one wins.

        Parameters
        ----------
        updates
            The updates, nested.
        place
            Where, as in "It was set ...".
        below
            The path of the ingredient that they belong to.
        """
        for path, _ in iterate_flattened(updates):
            self._places.setdefault(join_paths(below, str(path)), place)

    def of(self, path: str) -> str | None:
        """Return where an update was given, or None where nobody noted it."""
        for prefix in reversed(list(iter_prefixes(path))):
            if prefix in self._places:
                return self._places[prefix]
        return None


def unused_hint(
    path: str, place: str | None, known: Iterable[str], *, is_no_text: bool = False
) -> str:
    """Return what helps with an update that nothing uses.

    Parameters
    ----------
    path
        The entry that was to be updated.
    place
        Where the update was given.
    known
        The entries that there are, and those that functions take as arguments.
    is_no_text
        There is an entry whose key is no text, but looks like the one that was to be updated.
    """
    import difflib

    parts = [f"It was set {place}."] if place else []
    if is_no_text:
        parts.append(
            "The entry that is there has a key that is no text, and updates name texts: set it in "
            "a configuration of the experiment."
        )
        return " ".join(parts)
    names = sorted(name for name in known if not _is_special(name) and name != path)
    close = difflib.get_close_matches(path, names, n=5)
    meant = next((name for name in close if _are_alike(path, name)), None)
    if meant is not None:
        parts.append(f'Did you mean "{meant}"?')
    elif names and len(names) <= _MOST_NAMES:
        parts.append(f"There are: {', '.join(names)}.")
    parts.append("Add it to a configuration of the experiment, or use --force.")
    return " ".join(parts)


def _are_alike(one: str, other: str) -> bool:
    """Whether two paths are alike, too, without the groups that both lie in.

    These alone make "optimizer.momentum" look like "optimizer.betas".
    """
    import difflib

    left, right = one.split("."), other.split(".")
    while left and right and left[0] == right[0]:
        del left[0], right[0]
    ratio = difflib.SequenceMatcher(None, ".".join(left), ".".join(right)).ratio()
    return not left or not right or ratio >= 0.6


def _is_special(name: str) -> bool:
    # What the framework fills in, and the argument of one of its own commands.
    last = name.rpartition(".")[2]
    return last.startswith("_") or last == "config_filename"


def named_config_hint(name: str, available: Iterable[str]) -> str:
    """Return what helps with the name of a configuration that there is not, or an empty text."""
    import difflib
    import os

    from sacred.core.config.config_files import HANDLER_BY_EXT

    if os.path.isdir(name):
        return "It is a folder: name a file in it."
    if os.path.splitext(name)[1].lower() in HANDLER_BY_EXT:
        if os.path.exists(name):
            return "What has that name is a pipe or a device: name a file."
        return f"There is no such file either, in {os.getcwd()}."
    close = difflib.get_close_matches(name, list(available), n=1)
    return f'Did you mean "{close[0]}"?' if close else ""
