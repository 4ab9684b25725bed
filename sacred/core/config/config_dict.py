"""A configuration given as a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.errors import ConfigFileError, ConfigTypeError, InvalidKeyError
from sacred.core.config.utils import (
    CONTAINS_ITSELF,
    dogmatize,
    normalize_or_die,
    recursive_fill_in,
    undogmatize,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["ConfigDict"]


class ConfigDict:
    """A dictionary that can be evaluated like a config scope.

    Parameters
    ----------
    d
        The entries. They are copied and normalised now: tuples become lists, numpy scalars
        numbers.

    place
        Where they are written, for messages.

    Raises
    ------
    InvalidKeyError
        If a key is not allowed in a configuration. It is a ``KeyError``.
    ConfigTypeError
        If it is no dictionary, or contains itself. It is a ``TypeError``.
    """

    def __init__(self, d: Mapping[str, Any], place: str = "a dictionary") -> None:
        if not hasattr(d, "items"):
            raise ConfigTypeError(f"A configuration is a dictionary of entries, not {d!r}.")
        self.place = place
        try:
            self._conf = normalize_or_die(d)
        except InvalidKeyError as error:
            error.place = place
            raise
        except RecursionError:
            raise ConfigTypeError(f"A value of {place} {CONTAINS_ITSELF}") from None

    @classmethod
    def from_file(cls, filename: str | os.PathLike[str]) -> ConfigDict:
        """Return the configuration in a file; an empty YAML file has no entries.

        Raises
        ------
        ConfigFileError, InvalidKeyError
            If the file holds something else. They are a ``ValueError`` and a ``KeyError``.
        OSError, MissingReaderError
            If the file, or a package that reads such files, is not there.
        """
        from os import fspath

        from sacred.core.config.config_files import load_config_file

        name = fspath(filename)
        content = load_config_file(filename)
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise ConfigFileError(
                f'The file "{name}" holds no entries but a value of type {type(content).__name__}.',
                "Its outermost level has to be names with values.",
            )
        return cls(content, f'the file "{name}"')

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
