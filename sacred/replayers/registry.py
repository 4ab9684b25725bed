"""Which kinds of views there are, and how a person names one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.root import root_around
from sacred.replayers.errors import SinkMissingError, SinkSpecError
from sacred.replayers.sink import SinkSpec, view_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.replayers.sink import Sink

__all__ = ["ENTRY_POINTS", "kinds", "load_sink", "parse_spec", "sink_class"]

#: Third parties register their sinks here: ``name = "package.module:ClassName"``.
ENTRY_POINTS = "sacred.sinks"
DEFAULT_MONGO = "mongodb://localhost:27017"
DEFAULT_DATABASE = "sacred"


class _Kind(NamedTuple):
    """A kind of view: where its class is, which schemes name it, what it needs."""

    where: str
    schemes: tuple[str, ...]
    needs: str
    example: str


_KINDS = {
    "file": _Kind("sacred.replayers.sinks.file:FileSink", ("file",), "", "file:DIR"),
    "mongo": _Kind(
        "sacred.replayers.sinks.mongo:MongoSink",
        ("mongo", "mongodb", "mongodb+srv"),
        "pip install pymongo",
        "mongodb://host/db",
    ),
    "memory": _Kind("sacred.replayers.sinks.memory:MemorySink", ("memory",), "", "memory:"),
}

#: Addresses that people will try, and what to tell them.
_UNAVAILABLE = {
    "sqlite": "SQL",
    "postgresql": "SQL",
    "postgres": "SQL",
    "mysql": "SQL",
    "mariadb": "SQL",
    "sql": "SQL",
    "tinydb": "TinyDB",
    "s3": "S3",
    "gs": "Google Cloud Storage",
    "gcs": "Google Cloud Storage",
    "slack": "Slack",
    "telegram": "Telegram",
    "webhook": "webhook",
    "parquet": "Parquet",
    "journal": "journal copy",
}


def _entry_points() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def kinds() -> list[str]:
    """Return the names of all kinds that are registered, those of third parties too."""
    return [*_KINDS, *sorted(set(_entry_points()) - set(_KINDS))]


def sink_class(kind: str) -> Callable[[SinkSpec], Sink]:
    """Return the class of a kind of view.

    Raises
    ------
    SinkSpecError
        There is no such kind.
    SinkMissingError
        A package that it needs is not installed; the text says which.
    """
    import importlib

    known = _KINDS.get(kind)
    if known is None:
        point = _entry_points().get(kind)
        if point is None:
            raise SinkSpecError(_unknown(kind))
        try:
            found: Callable[[SinkSpec], Sink] = point.load()
        except Exception as error:
            raise SinkMissingError(
                f"the view {kind!r} can not be loaded from {point.value}: {error}"
            ) from error
        return found
    module, _, name = known.where.partition(":")
    try:
        loaded: Callable[[SinkSpec], Sink] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        hint = f": {known.needs}" if known.needs else ""
        raise SinkMissingError(f"the view {kind!r} needs {error.name or error}{hint}") from error
    return loaded


def load_sink(spec: SinkSpec) -> Sink:
    """Return a sink for a specification; nothing is connected yet.

    Raises
    ------
    SinkSpecError, SinkMissingError
    """
    return sink_class(spec.kind)(spec)


def parse_spec(text: str) -> SinkSpec:
    """Read the address of a view.

    Raises
    ------
    SinkSpecError
        It is none; the text says which there are.
    """
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    kind = next((name for name, known in _KINDS.items() if scheme in known.schemes), None)
    if kind is None and scheme in _entry_points():
        return SinkSpec(scheme, rest, {}, view_name(scheme, rest))
    if kind is None:
        raise SinkSpecError(_unknown(scheme))
    if kind == "file":
        return _file_spec(rest)
    if kind == "mongo":
        return _mongo_spec(text, scheme, colon, rest)
    return SinkSpec(kind, rest, {}, view_name(kind, rest))


def _file_spec(rest: str) -> SinkSpec:
    folder = rest.removeprefix("//")
    if not folder:
        raise SinkSpecError("a file view needs a folder: --to file:DIR")
    path = os.path.abspath(os.path.expanduser(folder))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise SinkSpecError(f"{path} is no folder: give a file view one of its own, --to file:DIR")
    root = root_around(path)
    if root is not None:
        raise SinkSpecError(
            f"{path} is a place of journals (their root is {root.path}): "
            "give the file view a folder of its own, --to file:DIR"
        )
    return SinkSpec("file", path, {}, f"file:{path}")


def _mongo_spec(text: str, scheme: str, colon: str, rest: str) -> SinkSpec:
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


def _unknown(kind: str) -> str:
    import difflib

    form = _UNAVAILABLE.get(kind)
    if form is not None:
        return f"this version has no {form} view ({kind}:). {_choices()}"
    candidates = [*(scheme for known in _KINDS.values() for scheme in known.schemes), *kinds()]
    near = difflib.get_close_matches(kind, candidates, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"there is no view {kind[:80]!r}. {hint}{_choices()}"


def _choices() -> str:
    # The view in memory ends with its process: no use to a person.
    examples = (known.example for name, known in _KINDS.items() if name != "memory")
    return "Write one of " + ", ".join(examples) + ", mongo."
