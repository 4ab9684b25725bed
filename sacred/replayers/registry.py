"""Which kinds of views there are, and how a person names one."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.address_options import options_of
from sacred.replayers.errors import SinkMissingError, SinkSpecError
from sacred.replayers.missing_package import is_missing
from sacred.replayers.sink import SinkSpec, view_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.replayers.objects.store import ObjectStore
    from sacred.replayers.sink import Sink

__all__ = [
    "ENTRY_POINTS",
    "kinds",
    "load_sink",
    "object_store",
    "parse_spec",
    "sink_class",
    "third_party_kinds",
]

#: Third parties register their sinks here: ``name = "package.module:ClassName"``. The class may have
#: ``parse(text)``, which makes a ``SinkSpec`` of an address, or else ``options``, the names that may
#: stand behind the ``?`` of one.
ENTRY_POINTS = "sacred.sinks"

#: What a sink has; the methods of ``sacred.replayers.sink.Sink``.
_METHODS = (
    *("open", "claim", "clear_claims", "release", "position", "write", "put_file", "reset"),
    "close",
)


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
    loads
        A module that its sink loads only when it writes; "" if it loads all at once.
    """

    where: str
    parse: str
    schemes: tuple[str, ...]
    needs: str
    example: str
    loads: str = ""


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
        "pip install duckdb",
        "parquet:DIR",
        loads="duckdb",
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
    "observer": _Kind(
        "sacred.observers.replayed:ObserverSink",
        "sacred.replayers.observer_address:parse_observer",
        ("observer",),
        "",
        "package.module:MyObserver",
    ),
    "journal": _Kind(
        "sacred.replayers.sinks.journal:JournalSink",
        "sacred.replayers.copies.address:journal_spec",
        ("journal",),
        "",
        "journal:DIR",
    ),
    "memory": _Kind(
        "sacred.replayers.sinks.memory:MemorySink", f"{_ADDRESSES}:memory_spec", ("memory",), "", ""
    ),
}

#: By the scheme of an address, the class of its buckets and what it needs.
_STORES = {
    "s3": ("sacred.replayers.sinks.s3.store:S3Store", "pip install boto3"),
    "gs": ("sacred.replayers.sinks.gcs.store:GcsStore", "pip install google-cloud-storage"),
}


def _entry_points() -> dict[str, Any]:
    """Return what third parties registered, by the names that are not ours."""
    return _entry_points_on(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _entry_points_on(path: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG001 - what is found depends on it
    # Looking through all that is installed takes 10 ms and more, and there may be 10,000 runs.
    from importlib.metadata import entry_points

    return {p.name: p for p in entry_points(group=ENTRY_POINTS) if p.name not in _KINDS}


def kinds() -> list[str]:
    """Return the names of all kinds that are registered, those of third parties too."""
    return [*_KINDS, *sorted(_entry_points())]


def third_party_kinds() -> dict[str, str]:
    """Return the kinds that other packages brought, and which package each is from.

    None of them is loaded.
    """
    return {name: _package_of(point) for name, point in sorted(_entry_points().items())}


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
        return _third_party_class(kind, point)
    try:
        loaded: Callable[[SinkSpec], Sink] = _named(known.where)
    except ImportError as error:
        hint = f": {known.needs}" if known.needs else ""
        raise SinkMissingError(f"the view {kind!r} needs {error.name or error}{hint}") from error
    if known.loads and is_missing(known.loads):
        raise SinkMissingError(f"the view {kind!r} needs {known.loads}: {known.needs}")
    return loaded


def _third_party_class(kind: str, point: Any) -> Callable[[SinkSpec], Sink]:
    whose = f"the view {kind!r} of the package {_package_of(point)}"
    try:
        found: Callable[[SinkSpec], Sink] = point.load()
    except ModuleNotFoundError as error:
        needs = error.name or str(error)
        raise SinkMissingError(
            f"{whose} needs the module {needs}, which is not installed: pip install it, or what the "
            "package says that it needs"
        ) from error
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SinkMissingError(f"{whose} can not be loaded from {point.value}: {text}") from error
    lacks = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if isinstance(found, type) and lacks:
        raise SinkMissingError(f"{whose} is no sink: {point.value} has no {', '.join(lacks)}")
    if not callable(found):
        raise SinkMissingError(f"{whose} is no sink: {point.value} is no class")
    return found


def _package_of(point: Any) -> str:
    return str(point.dist.name) if point.dist is not None else str(point.value)


def load_sink(spec: SinkSpec) -> Sink:
    """Return a sink for a specification; nothing is connected yet.

    Raises
    ------
    SinkSpecError, SinkMissingError
    """
    return sink_class(spec.kind)(spec)


def object_store(spec: SinkSpec, *, reads: bool = False) -> ObjectStore:
    """Return the bucket of a view whose address is one's; nothing is connected yet.

    ``reads``: it is only read, and so not made if it is not there.

    Raises
    ------
    SinkMissingError
        The package that speaks to it is not installed.
    """
    scheme = spec.url.partition("://")[0]
    where, needs = _STORES[scheme]
    try:
        options = {"probes": False, "makes": False} if reads and scheme == "s3" else {}
        store: ObjectStore = _named(where)(spec, **options)
    except ImportError as error:
        raise SinkMissingError(
            f"the view {spec.name} needs {error.name or error}: {needs}"
        ) from error
    return store


def parse_spec(text: str) -> SinkSpec:
    """Read the address of a view.

    Raises
    ------
    SinkSpecError
        It is none; the text says which there are.
    """
    text = text.strip()
    scheme = text.partition(":")[0]
    # "postgresql+psycopg2" names a driver, too.
    names = {scheme, scheme.partition("+")[0]}
    kind = next((name for name, known in _KINDS.items() if names & {*known.schemes}), None)
    if kind is None and scheme in _entry_points():
        return _third_party_spec(scheme, text)
    if kind is None:
        return _observer_spec(scheme, text)
    parse: Callable[[str], SinkSpec] = _named(_KINDS[kind].parse)
    return parse(text)


def _third_party_spec(kind: str, text: str) -> SinkSpec:
    """Read the address of a third party's view: by its own ``parse``, else by its ``options``."""
    loaded: Any = sink_class(kind)
    parse = getattr(loaded, "parse", None)
    if parse is None:
        return _plain_spec(kind, text.partition(":")[2], getattr(loaded, "options", None))
    try:
        spec = parse(text)
    except SinkSpecError:
        raise
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SinkSpecError(f"the address is none of the view {kind!r}: {what}") from error
    if not isinstance(spec, SinkSpec) or spec.kind != kind:
        raise SinkMissingError(
            f"the view {kind!r} is defective: its parse() returned {type(spec).__name__}, and no "
            f"SinkSpec of the kind {kind!r}"
        )
    return spec


def _plain_spec(kind: str, rest: str, names: Any) -> SinkSpec:
    """Return ``kind:PLACE?name=value``; without names of options all of it is the place."""
    if names is None:
        return SinkSpec(kind, rest, {}, view_name(kind, rest))
    place, _, query = rest.partition("?")
    options = options_of(query, names, f"the view {kind!r}")
    return SinkSpec(kind, place, options, view_name(kind, place))


def _observer_spec(scheme: str, text: str) -> SinkSpec:
    """Read ``package.module:MyObserver``, unless it is a kind that was misspelt."""
    from importlib.util import find_spec

    from sacred.replayers.observer_address import names_an_observer, parse_observer

    if not names_an_observer(text):
        raise SinkSpecError(_unknown(scheme))
    package = scheme.partition(".")[0]
    here = os.path.join(os.getcwd(), package)
    is_here = os.path.isdir(here) or os.path.isfile(f"{here}.py")
    if package not in sys.modules and not is_here and find_spec(package) is None:
        raise SinkSpecError(f"{_unknown(scheme)} Nor is there a Python module {package!r}.")
    return parse_observer(text)


def _named(where: str) -> Any:
    """Return what ``module:name`` says."""
    import importlib

    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def _unknown(kind: str) -> str:
    import difflib

    candidates = [*(scheme for known in _KINDS.values() for scheme in known.schemes), *kinds()]
    near = difflib.get_close_matches(kind, candidates, 1)
    hint = f"Did you mean {near[0]}?" if near else _choices()
    return f"there is no view {kind[:80]!r}. {hint}"


def _choices() -> str:
    examples = [known.example for known in _KINDS.values() if known.example]
    examples += [f"{name}:..." for name in sorted(_entry_points())]
    return "Write one of " + ", ".join(examples) + ", mongo."
