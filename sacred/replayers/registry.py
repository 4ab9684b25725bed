"""Which kinds of views there are, and how a person names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.errors import SinkMissingError, SinkSpecError
from sacred.replayers.sink import SinkSpec, view_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.replayers.sink import Sink

__all__ = ["ENTRY_POINTS", "kinds", "load_sink", "parse_spec", "sink_class"]

#: Third parties register their sinks here: ``name = "package.module:ClassName"``.
ENTRY_POINTS = "sacred.sinks"


class _Kind(NamedTuple):
    """A kind of view.

    Attributes
    ----------
    where
        ``module:Class`` of its sink.
    parse
        ``module:function`` that makes a ``SinkSpec`` of what a person writes; it needs no driver.
    schemes
        What stands before the colon of its addresses.
    needs
        How to install the packages that it needs.
    example
        An address, for messages; empty for a kind that is of no use to a person.
    """

    where: str
    parse: str
    schemes: tuple[str, ...]
    needs: str
    example: str


_ADDRESSES = "sacred.replayers.addresses"
_NOTIFICATIONS = "sacred.replayers.notification_specs"
_KINDS = {
    "file": _Kind(
        "sacred.replayers.sinks.file:FileSink", f"{_ADDRESSES}:file_spec", ("file",), "", "file:DIR"
    ),
    "mongo": _Kind(
        "sacred.replayers.sinks.mongo:MongoSink",
        f"{_ADDRESSES}:parse_mongo",
        ("mongo", "mongodb", "mongodb+srv"),
        "pip install pymongo",
        "mongodb://host/db",
    ),
    "tinydb": _Kind(
        "sacred.replayers.sinks.tinydb:TinyDbSink",
        f"{_ADDRESSES}:tinydb_spec",
        ("tinydb",),
        "",
        "tinydb:DIR",
    ),
    "parquet": _Kind(
        "sacred.replayers.sinks.parquet.sink:ParquetSink",
        f"{_ADDRESSES}:parquet_spec",
        ("parquet",),
        "",
        "parquet:DIR",
    ),
    "slack": _Kind(
        "sacred.replayers.sinks.slack:SlackSink",
        f"{_NOTIFICATIONS}:parse_slack",
        ("slack",),
        "",
        "slack:FILE",
    ),
    "telegram": _Kind(
        "sacred.replayers.sinks.telegram:TelegramSink",
        f"{_NOTIFICATIONS}:parse_telegram",
        ("telegram",),
        "",
        "telegram:FILE",
    ),
    "webhook": _Kind(
        "sacred.replayers.sinks.webhook:WebhookSink",
        f"{_NOTIFICATIONS}:parse_webhook",
        ("webhook",),
        "",
        "webhook:https://host/path",
    ),
    "sql": _Kind(
        "sacred.replayers.sinks.sql.sink:SqlSink",
        "sacred.replayers.sinks.sql.address:parse_sql",
        ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "sql"),
        "pip install 'sacred-journal[sql]'",
        "sqlite:///FILE.db",
    ),
    "s3": _Kind(
        "sacred.replayers.sinks.s3:S3Sink",
        "sacred.replayers.objects.address:s3_spec",
        ("s3",),
        "pip install boto3",
        "s3://bucket/path",
    ),
    "gcs": _Kind(
        "sacred.replayers.sinks.gcs:GcsSink",
        "sacred.replayers.objects.address:gcs_spec",
        ("gs", "gcs"),
        "pip install google-cloud-storage",
        "gs://bucket/path",
    ),
    "memory": _Kind(
        "sacred.replayers.sinks.memory:MemorySink", f"{_ADDRESSES}:memory_spec", ("memory",), "", ""
    ),
}

#: Addresses that people will try, and what to tell them.
_UNAVAILABLE = {
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
    try:
        loaded: Callable[[SinkSpec], Sink] = _named(known.where)
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
    scheme, _, rest = text.partition(":")
    # "postgresql+psycopg2" names a driver, too.
    names = {scheme, scheme.partition("+")[0]}
    kind = next((name for name, known in _KINDS.items() if names & {*known.schemes}), None)
    if kind is None and scheme in _entry_points():
        return SinkSpec(scheme, rest, {}, view_name(scheme, rest))
    if kind is None:
        raise SinkSpecError(_unknown(scheme))
    parse: Callable[[str], SinkSpec] = _named(_KINDS[kind].parse)
    return parse(text)


def _named(where: str) -> Any:
    """Return what ``module:name`` says."""
    import importlib

    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


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
    examples = (known.example for known in _KINDS.values() if known.example)
    return "Write one of " + ", ".join(examples) + ", mongo."
