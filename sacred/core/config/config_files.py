"""Configurations in files: JSON, YAML, TOML and pickle.

Reading JSON, YAML and TOML never executes anything. A pickle does, so it is read only where the
user's own code names the file, or where a setting allows it on the command line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.config.errors import ConfigFileAccessError, ConfigFileError
from sacred.core.config.plain import plain_value
from sacred.core.errors import SacredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "HANDLER_BY_EXT",
    "Handler",
    "MissingReaderError",
    "get_handler",
    "load_config_file",
    "refuse_typed_pickles",
    "save_config_file",
]

#: The endings of files that are read as YAML.
yaml_extensions = (".yaml", ".yml")


class MissingReaderError(SacredError, ImportError, KeyError):
    """The package that reads files of some kind is not installed. Sacred raises a ``KeyError``."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


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
    ConfigFileError
        If the extension is unknown, or the content is not what the extension says. It is a
        ``ValueError``.
    OSError
        If the file can not be read.
    MissingReaderError
        If the package that reads such files is not installed.
    """
    handler = get_handler(filename)
    name = os.fspath(filename)
    # Editors on Windows put a mark in front of UTF-8.
    encoding = None if handler.mode else "utf-8-sig"
    try:
        with open(filename, "r" + handler.mode, encoding=encoding) as file:
            return handler.load(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigFileAccessError(f'"{name}" can not be read: {error.strerror}.') from error
    except MissingReaderError:
        raise
    except Exception as error:  # a reader of its own kind; a pickle may raise anything
        raise ConfigFileError(
            f'"{name}" can not be read as {_KINDS.get(_extension(filename), "a configuration")}: {_reason(error)}.',
            _BUILDS_OBJECTS if "python/" in str(error) else "",
        ) from error


_BUILDS_OBJECTS = "Tags that build objects of Python are not followed, because they can run any code: write plain values."


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if "Exceeds the limit" in text:  # Python's words for too many digits
        return "it has an integer of more digits than Python reads. Write it as a text"
    # Errors of the reader itself, and not of the text, make no sense without their class.
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def save_config_file(config: Any, filename: str | os.PathLike[str]) -> None:
    """Write a configuration in the format that the extension of the file says.

    Raises
    ------
    ConfigFileError
        If the extension is unknown or can only be read. It is a ``ValueError``.
    ConfigFileAccessError
        If the file can not be written. It is an ``OSError``.
    MissingReaderError
        If the package that writes such files is not installed.
    """
    handler = get_handler(filename)
    try:
        with open(filename, "w" + handler.mode, encoding=None if handler.mode else "utf-8") as file:
            handler.dump(config, file)
    except OSError as error:
        raise ConfigFileAccessError(
            f'"{os.fspath(filename)}" can not be written: {error.strerror}.'
        ) from error


def refuse_typed_pickles(names: Iterable[str]) -> None:
    """Refuse pickles among the named configurations of a command line, unless they are allowed.

    Raises
    ------
    ConfigFileError
        If there is one and ``SETTINGS.COMMAND_LINE.ALLOW_PICKLE`` is not set.
    """
    from sacred.core.settings import allows_typed_pickles

    for name in names:
        is_pickle = _extension(name) == ".pickle" and os.path.isfile(name)
        if is_pickle and not allows_typed_pickles():
            raise ConfigFileError(
                f'"{name}" is not read: a pickle can run any code, and this one was named on the '
                "command line.",
                "Save the configuration as JSON, or, if you trust the file, set "
                "SACRED_COMMAND_LINE_ALLOW_PICKLE=1 or SETTINGS.COMMAND_LINE.ALLOW_PICKLE = True.",
            )


def get_handler(filename: str | os.PathLike[str]) -> Handler:
    """Return the handler for a file by its extension.

    Raises
    ------
    ConfigFileError
        If there is none. It is a ``ValueError``.
    """
    extension = _extension(filename)
    handler = HANDLER_BY_EXT.get(extension)
    if handler is None:
        raise ConfigFileError(
            f'Configuration file "{os.fspath(filename)}" has invalid or unsupported extension '
            f'"{extension}". Please use one of {tuple(HANDLER_BY_EXT)}.'
        )
    return handler


def _extension(filename: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.fspath(filename))[1].lower()


# -- formats --------------------------------------------------------------------------------------


def _load_json(file: Any) -> Any:
    import json

    return json.load(file)


def _dump_json(config: Any, file: Any) -> None:
    import json

    json.dump(plain_value(config), file, sort_keys=True, indent=2)
    file.flush()


def _load_yaml(file: Any) -> Any:
    from sacred.core.config.yaml_aliases import check_aliases

    loader = _yaml().SafeLoader(file)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        check_aliases(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


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
    raise ConfigFileError("TOML files can only be read. Save to .json, .yaml or .pickle instead.")


def _load_pickle(file: Any) -> Any:
    import pickle

    return pickle.load(file)  # noqa: S301 - the user's own code names the file


def _dump_pickle(config: Any, file: Any) -> None:
    import pickle

    pickle.dump(config, file)


_KINDS = {
    ".json": "JSON",
    ".pickle": "a pickle",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
}
HANDLER_BY_EXT = {
    ".json": Handler(_load_json, _dump_json, ""),
    ".pickle": Handler(_load_pickle, _dump_pickle, "b"),
    ".yaml": Handler(_load_yaml, _dump_yaml, ""),
    ".yml": Handler(_load_yaml, _dump_yaml, ""),
    ".toml": Handler(_load_toml, _dump_toml, "b"),
}
