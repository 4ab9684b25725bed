"""A part of a run as a mapping with dotted paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sacred.analysis.fields import entry, near

__all__ = ["Entries", "no_entry"]


class Entries(Mapping[str, Any]):
    """A part of a run, such as its configuration: a mapping that reads, and takes dotted paths.

    ``config["model.lr"]`` is ``config["model"]["lr"]``; a key that has dots itself comes first.
    Groups of entries are ``Entries``, too; everything else is what was recorded, as plain Python.
    """

    __slots__ = ("_part", "_tree")

    def __init__(self, tree: Mapping[str, Any], part: str) -> None:
        self._tree = dict(tree)
        self._part = part

    def __getitem__(self, path: str) -> Any:
        """Return an entry.

        Raises
        ------
        KeyError
            There is none; the text names what is near.
        """
        found, value = entry(self._tree, path)
        if not found:
            raise KeyError(no_entry(self._part, path, list(self.dotted())))
        return Entries(value, f"{self._part}.{path}") if isinstance(value, dict) else value

    def __contains__(self, path: object) -> bool:
        """Tell whether there is an entry, or a group of them."""
        return isinstance(path, str) and entry(self._tree, path)[0]

    def get(self, path: str, default: Any = None) -> Any:
        """Return an entry, or something else where there is none."""
        return self[path] if path in self else default  # noqa: SIM401 - it is what ``get`` is

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys of the outermost level."""
        return iter(self._tree)

    def __len__(self) -> int:
        """Return how many entries the outermost level has."""
        return len(self._tree)

    def __repr__(self) -> str:
        """Show it as a dict."""
        return f"<{self._part} {self._tree!r}>"

    def dotted(self) -> dict[str, Any]:
        """Return every entry that is no group, by its dotted path."""
        from sacred.replayers.jsontext import leaves

        found: dict[str, Any] = {}
        for path, value in leaves(self._tree):
            # Of two that have one path, as {"a.b": 1, "a": {"b": 2}}, the one that the path finds.
            found[path] = entry(self._tree, path)[1] if path in found else value
        return found

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.dotted())

    def to_dict(self) -> dict[str, Any]:
        """Return it as nested dicts, a copy."""
        from copy import deepcopy

        return deepcopy(self._tree)

    def _repr_html_(self) -> str:
        from sacred.analysis.notebook_view import entries_html

        return entries_html(self.dotted())


def no_entry(what: str, name: str, known: list[str]) -> str:
    """Return the sentence for a name that a part of a run does not have."""
    found = near(name, known) if isinstance(name, str) else []
    hint = f"; did you mean {' or '.join(found)}?" if found else ""
    return f"there is no {name!r} in {what}{hint}"
