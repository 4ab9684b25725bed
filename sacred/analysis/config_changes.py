"""What a person changed of a configuration, against what its experiment says by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sacred.replayers.jsontext import jsonable

__all__ = ["ConfigChanges"]


@dataclass(frozen=True, slots=True)
class ConfigChanges:
    """The entries that were given on the command line, by named configurations or by updates.

    Attributes
    ----------
    added
        Dotted paths of entries that the experiment does not have.
    modified
        Of those with another value.
    typechanged
        Of those with a value of another type: the names of the type that it had and that it has.
    docs
        Comments that stand behind entries in the program.
    """

    added: frozenset[str] = frozenset()
    modified: frozenset[str] = frozenset()
    typechanged: dict[str, tuple[str, str]] = field(default_factory=dict)
    docs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, recorded: Any) -> ConfigChanges:
        """Take them from ``modifications`` of a run's start; nothing of what is none is taken."""
        if not isinstance(recorded, dict):
            return cls()
        types, docs = recorded.get("typechanged"), recorded.get("docs")
        return cls(
            _paths(recorded.get("added")),
            _paths(recorded.get("modified")),
            {
                str(path): (str(kinds[0]), str(kinds[1]))
                for path, kinds in (types.items() if isinstance(types, dict) else ())
                if isinstance(kinds, (list, tuple)) and len(kinds) == 2
            },
            {str(path): str(doc) for path, doc in docs.items()} if isinstance(docs, dict) else {},
        )

    def kind(self, path: str) -> str | None:
        """Return ``added``, ``modified`` or ``typechanged`` for an entry, or None.

        An entry of a dict that was added is added, too. One of a dict that was modified is not
        modified for that: Sacred calls a dict so when one of its entries is.
        """
        if path in self.modified:
            return "modified"
        while path:
            if path in self.typechanged:
                return "typechanged"
            if path in self.added:
                return "added"
            path = path.rpartition(".")[0]
        return None

    def record(self) -> dict[str, Any]:
        """Return them as plain data for JSON."""
        return {
            "added": sorted(self.added),
            "modified": sorted(self.modified),
            "typechanged": {path: list(kinds) for path, kinds in sorted(self.typechanged.items())},
            "docs": jsonable(self.docs),
        }


def _paths(value: Any) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, (list, tuple)) else frozenset()
