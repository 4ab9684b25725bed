"""What an evaluated configuration changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.dotted import iter_prefixes, join_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ConfigSummary"]


class ConfigSummary(dict[Any, Any]):
    """A configuration that knows how updates changed it.

    Attributes
    ----------
    added, modified
        Dotted paths that an update added or changed. What lies above a change is modified as well.
    typechanged
        Path -> (type before, type after).
    ignored_fallbacks
        Names of ingredients that were assigned to.
    docs
        Path -> comment.
    """

    def __init__(
        self,
        added: Iterable[str] = (),
        modified: Iterable[str] = (),
        typechanged: Mapping[str, tuple[type, type]] | Iterable[Any] = (),
        ignored_fallbacks: Iterable[str] = (),
        docs: Mapping[str, str] | Iterable[Any] = (),
    ) -> None:
        super().__init__()
        self.added = set(added)
        self.modified = set(modified)
        self.typechanged: dict[str, tuple[type, type]] = dict(typechanged)
        self.ignored_fallbacks = set(ignored_fallbacks)
        self.docs: dict[str, str] = dict(docs)
        self.ensure_coherence()

    def update_from(self, config_mod: ConfigSummary, path: str = "") -> None:
        """Note the changes of a configuration that was evaluated after this one.

        An entry counts as added only when none of the configurations defines it; the first comment
        on an entry stays.
        """
        self.added &= {join_paths(path, name) for name in config_mod.added}
        self._merge(config_mod, path)
        for name, doc in _docs_at(config_mod, path).items():
            self.docs.setdefault(name, doc)

    def update_add(self, config_mod: ConfigSummary, path: str = "") -> None:
        """Note the changes of a configuration that lies beside this one, at ``path``."""
        self.added |= {join_paths(path, name) for name in config_mod.added}
        self._merge(config_mod, path)
        self.docs.update(_docs_at(config_mod, path))

    def _merge(self, config_mod: ConfigSummary, path: str) -> None:
        self.modified |= {join_paths(path, name) for name in config_mod.modified}
        for name, change in config_mod.typechanged.items():
            self.typechanged[join_paths(path, name)] = change
        self.ensure_coherence()

    def ensure_coherence(self) -> None:
        """Let each path be one of typechanged, added and modified, in this order."""
        for path in [*self.added, *self.modified, *self.typechanged]:
            *above, _ = iter_prefixes(path)
            self.modified.update(above)
        self.added -= self.typechanged.keys()
        self.modified -= self.added
        self.modified -= self.typechanged.keys()


def _docs_at(config_mod: ConfigSummary, path: str) -> dict[str, str]:
    # Every scope documents "seed"; only the experiment's is worth showing.
    return {
        join_paths(path, name): doc
        for name, doc in config_mod.docs.items()
        if not path or name != "seed"
    }


ConfigSummary.__module__ = "sacred.config.config_summary"
