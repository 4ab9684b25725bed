"""The addresses of views: what a person writes, made a specification. No driver is loaded."""

from __future__ import annotations

import os
from typing import Any

from sacred.journal.root import root_around
from sacred.replayers.address_options import place_and_options, truth
from sacred.replayers.errors import SinkSpecError
from sacred.replayers.sink import SinkSpec, view_name

__all__ = [
    "DEFAULT_DATABASE",
    "DEFAULT_MONGO",
    "file_spec",
    "memory_spec",
    "mongo_spec",
    "parquet_spec",
    "parse_mongo",
    "tinydb_spec",
]

DEFAULT_MONGO = "mongodb://localhost:27017"
DEFAULT_DATABASE = "sacred"

#: The options of a file view's address, as FileStorageObserver's arguments are called.
_SWITCHES = ("copy_artifacts", "copy_sources")
_FOLDERS = ("resource_dir", "source_dir")


def file_spec(text: str) -> SinkSpec:
    """Return the specification of a file view: ``file:DIR?copy_sources=no&resource_dir=DIR``.

    Raises
    ------
    SinkSpecError
        The folder can not be one of views, or an option is none.
    """
    path, given = _folder(text, "a file view", "file:DIR", (*_SWITCHES, *_FOLDERS))
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in _SWITCHES:
            options[name] = truth(name, value)
        elif value:
            options[name] = os.path.abspath(os.path.expanduser(value))
        else:
            raise SinkSpecError(f"the option {name} of a file view needs a folder: {name}=DIR")
    return SinkSpec("file", path, options, f"file:{path}")


def tinydb_spec(text: str) -> SinkSpec:
    """Return the specification of a TinyDB: ``tinydb:DIR``.

    Raises
    ------
    SinkSpecError
        The folder can not be one of a TinyDB.
    """
    path, _ = _folder(text, "a TinyDB", "tinydb:DIR")
    return SinkSpec("tinydb", path, {}, f"tinydb:{path}")


def parquet_spec(text: str) -> SinkSpec:
    """Return the specification of a Parquet view: ``parquet:DIR``; a bare ``parquet`` has no ``url``.

    Raises
    ------
    SinkSpecError
        The folder can not be one of tables.
    """
    if text == "parquet":
        return SinkSpec("parquet", "", {}, "parquet")
    path, _ = _folder(text, "a Parquet view", "parquet:DIR")
    return SinkSpec("parquet", path, {}, f"parquet:{path}")


def _folder(
    text: str, view: str, form: str, names: tuple[str, ...] = ()
) -> tuple[str, dict[str, str]]:
    """Return the folder that an address names, absolute, and options; raise if no view can be there."""
    folder, options = place_and_options(text.partition(":")[2].removeprefix("//"), names, view)
    if not folder:
        raise SinkSpecError(f"{view} needs a folder: --to {form}")
    path = os.path.abspath(os.path.expanduser(folder))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise SinkSpecError(f"{path} is no folder: give {view} one of its own, --to {form}")
    root = root_around(path)
    if root is not None:
        raise SinkSpecError(
            f"{path} is a place of journals (their root is {root.path}): "
            f"give {view} a folder of its own, --to {form}"
        )
    return path, options


def memory_spec(text: str) -> SinkSpec:
    """Return the specification of a view in memory: ``memory:NAME``."""
    name = text.partition(":")[2]
    return SinkSpec("memory", name, {}, view_name("memory", name))


def parse_mongo(text: str) -> SinkSpec:
    """Return the specification of a MongoDB view: ``mongo``, ``mongo:...``, ``mongodb://...``.

    A bare ``mongo`` has an empty ``url``.

    Raises
    ------
    SinkSpecError
        The address names no server.
    """
    scheme, colon, rest = text.partition(":")
    if scheme == "mongo":
        if not colon:
            return SinkSpec("mongo", "", {}, "mongo")
        text = "mongodb:" + (rest if rest.startswith("//") else "//" + rest)
    return mongo_spec(text)


def mongo_spec(url: str, db_name: str | None = None, **options: Any) -> SinkSpec:
    """Return the specification of a MongoDB view.

    Parameters
    ----------
    url
        ``mongodb://host:port/db``; the database of the path counts if ``db_name`` is None.
    db_name
        The database.
    options
        As in the specification: ``collection``, ``collection_prefix``, ``overwrite``, ``client``.

    Raises
    ------
    SinkSpecError
        The address names no server.
    """
    if "://" not in url:
        url = f"mongodb://{url}"
    scheme, _, rest = url.partition("://")
    servers, _, path = rest.partition("/")
    if scheme not in {"mongodb", "mongodb+srv"} or not servers:
        raise SinkSpecError(
            "a MongoDB view is written --to mongodb://host:port/database, "
            "with user and password as mongodb://user:password@host:port/database"
        )
    place = servers.rpartition("@")[2]
    for server in place.split(","):
        _check_port(server)
    database = db_name or path.partition("?")[0] or DEFAULT_DATABASE
    return SinkSpec("mongo", url, {"db_name": database, **options}, f"mongo:{database}@{place}")


def _check_port(server: str) -> None:
    """Raise if a server's port is no number; without one there is nothing to check."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):  # an IPv6 address ends so
        return
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise SinkSpecError(
            f"{port!r} is no port: write --to mongodb://host:port/database, for example "
            "mongodb://localhost:27017/sacred"
        )
