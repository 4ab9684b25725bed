"""Configurations in files: JSON, YAML, TOML and pickle.

Reading JSON, YAML and TOML never executes anything. A pickle does, so it is read only where the
user's own code names the file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.config.plain import plain_value

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "HANDLER_BY_EXT",
    "Handler",
    "MissingReaderError",
    "get_handler",
    "load_config_file",
    "save_config_file",
]


class MissingReaderError(ImportError, KeyError):
    """The package that reads files of some kind is not installed. Sacred raises a ``KeyError``."""


class Handler:
    """How files with one extension are read and written.

    Attributes
    ----------
    load
        Called with an open file.
    dump
        Called with an object and an open file.
    mode
        ``""`` for text, ``"b"`` for bytes.
    """

    def __init__(
        self, load: Callable[[Any], Any], dump: Callable[[Any, Any], None], mode: str
    ) -> None:
        self.load = load
        self.dump = dump
        self.mode = mode


def load_config_file(filename: str | os.PathLike[str]) -> Any:
    """Return the content of a configuration file.

    Raises
    ------
    ValueError
        If the extension is unknown, or the content is not what the extension says.
    OSError
        If the file can not be read.
    MissingReaderError
        If the package that reads such files is not installed.
    """
    handler = get_handler(filename)
    with open(filename, "r" + handler.mode, encoding=None if handler.mode else "utf-8") as file:
        return handler.load(file)


def save_config_file(config: Any, filename: str | os.PathLike[str]) -> None:
    """Write a configuration in the format that the extension of the file says.

    Raises
    ------
    ValueError
        If the extension is unknown or can only be read.
    OSError
        If the file can not be written.
    MissingReaderError
        If the package that writes such files is not installed.
    """
    handler = get_handler(filename)
    with open(filename, "w" + handler.mode, encoding=None if handler.mode else "utf-8") as file:
        handler.dump(config, file)


def get_handler(filename: str | os.PathLike[str]) -> Handler:
    """Return the handler for a file by its extension.

    Raises
    ------
    ValueError
        If there is none.
    """
    extension = os.path.splitext(os.fspath(filename))[1].lower()
    handler = HANDLER_BY_EXT.get(extension)
    if handler is None:
        raise ValueError(
            f'Configuration file "{os.fspath(filename)}" has invalid or unsupported extension '
            f'"{extension}". Please use one of {tuple(HANDLER_BY_EXT)}.'
        )
    return handler


# -- formats --------------------------------------------------------------------------------------


def _load_json(file: Any) -> Any:
    import json

    return json.load(file)


def _dump_json(config: Any, file: Any) -> None:
    import json

    json.dump(plain_value(config), file, sort_keys=True, indent=2)
    file.flush()


def _load_yaml(file: Any) -> Any:
    return _yaml().safe_load(file)


def _dump_yaml(config: Any, file: Any) -> None:
    _yaml().safe_dump(plain_value(config), file)


def _yaml() -> Any:
    import importlib

    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise MissingReaderError(
            "YAML files need the package PyYAML. Install it with: pip install PyYAML"
        ) from error


def _load_toml(file: Any) -> Any:
    import importlib

    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name).load(file)
        except ImportError:
            continue
    raise MissingReaderError(
        "TOML files need Python 3.11 or the package tomli. Install it with: pip install tomli"
    )


def _dump_toml(_config: Any, _file: Any) -> None:
    raise ValueError("TOML files can only be read. Save to .json, .yaml or .pickle instead.")


def _load_pickle(file: Any) -> Any:
    import pickle

    return pickle.load(file)  # noqa: S301 - the user's own code names the file


def _dump_pickle(config: Any, file: Any) -> None:
    import pickle

    pickle.dump(config, file)


HANDLER_BY_EXT = {
    ".json": Handler(_load_json, _dump_json, ""),
    ".pickle": Handler(_load_pickle, _dump_pickle, "b"),
    ".yaml": Handler(_load_yaml, _dump_yaml, ""),
    ".yml": Handler(_load_yaml, _dump_yaml, ""),
    ".toml": Handler(_load_toml, _dump_toml, "b"),
}
