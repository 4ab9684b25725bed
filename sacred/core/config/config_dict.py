"""A configuration given as a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.utils import (
    dogmatize,
    normalize_or_die,
    recursive_fill_in,
    undogmatize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConfigDict"]


class ConfigDict:
    """A dictionary that can be evaluated like a config scope.

    Parameters
    ----------
    d
        The entries. They are copied and normalised now: tuples become lists, numpy scalars
        numbers.

    Raises
    ------
    KeyError
        If a key is not allowed in a configuration.
    """

    def __init__(self, d: Mapping[str, Any]) -> None:
        self._conf = normalize_or_die(d)

    def __call__(
        self,
        fixed: Mapping[str, Any] | None = None,
        preset: Mapping[str, Any] | None = None,
        fallback: Mapping[str, Any] | None = None,  # noqa: ARG002 - a dictionary reads nothing
    ) -> ConfigSummary:
        """Return the configuration: ``fixed`` before the entries before ``preset``."""
        result = dogmatize(fixed or {})
        recursive_fill_in(result, normalize_or_die(self._conf))
        recursive_fill_in(result, dict(preset or {}))
        added = result.revelation()
        summary = ConfigSummary(added, result.modified, result.typechanges)
        summary.update(undogmatize(result))
        return summary

    def __repr__(self) -> str:
        return f"ConfigDict({self._conf})"


ConfigDict.__module__ = "sacred.config.config_dict"
