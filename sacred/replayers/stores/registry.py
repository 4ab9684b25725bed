"""Which kinds of stores there are, and how a person names one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sacred.replayers.errors import SinkMissingError, SinkSpecError, StoreError
from sacred.replayers.registry import parse_spec

if TYPE_CHECKING:
    from sacred.replayers.stores.store import RunStore

__all__ = ["EXAMPLES", "is_address", "store_at"]

EXAMPLES = "file:DIR, mongodb://host/db, tinydb:DIR, sqlite:///FILE.db or postgresql://host/db"
#: A single letter is a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def is_address(text: str) -> bool:
    """Tell whether a text looks like the address of a store, and not like the name of a file."""
    return _ADDRESS.match(text) is not None or text == "mongo"


def store_at(address: str, *, collection: str | None = None) -> RunStore:
    """Return the store of an address; nothing is opened yet.

    Parameters
    ----------
    address
        As for a view: ``file:DIR``, ``mongodb://host/db``, ``tinydb:DIR``, ``sqlite:///FILE.db``.
    collection
        Of the runs in a MongoDB; ``runs`` if None.

    Raises
    ------
    StoreError
        It is none of a store.
    SinkMissingError
        A package that it needs is not installed.
    """
    try:
        spec = parse_spec(address)
    except SinkMissingError:
        raise
    except SinkSpecError as error:
        scheme = address.partition(":")[0]
        text = str(error)
        if text.startswith("there is no view"):
            text = f"there is no store {scheme[:80]!r}: write {EXAMPLES}"
        raise StoreError(text.replace("--to ", "").replace("a file view", "a store")) from None
    if collection is not None and spec.kind != "mongo":
        raise StoreError("--collection is for MongoDB: a store of another kind has none")
    if spec.kind == "file":
        from sacred.replayers.stores.file import FileStore

        return FileStore(spec.url)
    if spec.kind == "tinydb":
        from sacred.replayers.stores.tinydb import TinyDbStore

        return TinyDbStore(spec.url)
    if spec.kind not in {"mongo", "sql"}:
        raise StoreError(f"runs can not be imported from {spec.kind}: write {EXAMPLES}")
    if not spec.url:
        raise StoreError(f"{address!r} names no database: write {EXAMPLES}")
    try:
        if spec.kind == "sql":
            from sacred.replayers.stores.sql import SqlStore

            return SqlStore(spec)
        import pymongo  # noqa: F401 - to say at once that it is missing
    except ImportError as error:
        need = "sacred-journal[sql]" if spec.kind == "sql" else "pymongo"
        raise SinkMissingError(
            f"a store of {spec.kind} needs {error.name}: pip install '{need}'"
        ) from None
    from sacred.replayers.stores.mongo import MongoStore

    options = {**spec.options, **({"collection": collection} if collection else {})}
    return MongoStore(spec._replace(options=options))
