"""Doing something to a package at the moment that the user imports it.

So that numpy can be seeded, or PyYAML told about our containers, without importing either.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["when_imported"]


def when_imported(name: str, callback: Callable[[Any], None]) -> None:
    """Call ``callback(module)`` now if a module is loaded, else right after its first import.

    An exception of the callback becomes a warning where it runs after an import: the user asked
    for the import, and that went well. The same callback is called once.
    """
    module = sys.modules.get(name)
    if module is not None:
        callback(module)
        return
    callbacks = _FINDER.callbacks.setdefault(name, [])
    if callback not in callbacks:
        callbacks.append(callback)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


class _Finder:
    """Stands first on ``sys.meta_path``; costs other imports one look-up in a small dictionary."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callable[[Any], None]]] = {}
        self._searching: set[str] = set()

    def find_spec(
        self,
        name: str,
        _path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        # While the other finders are asked for a name, this one steps aside. The import system
        # holds the lock of that module, so no second thread asks for the same name.
        if name not in self.callbacks or name in self._searching:
            return None
        from importlib.util import find_spec

        self._searching.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._searching.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, name)  # type: ignore[assignment]
        return spec

    def loaded(self, name: str, module: ModuleType) -> None:
        """Call what waits for a module."""
        for callback in self.callbacks.pop(name, ()):
            try:
                callback(module)
            except Exception as error:
                import warnings

                warnings.warn(f"could not set up {name} after its import: {error}", stacklevel=2)


class _Loader:
    """Loads by another loader, puts that one back in its place and reports."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _FINDER.loaded(self._name, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_FINDER = _Finder()
