"""Collections and files in memory, as people's tests have them, which note every call.

No more is here than what Sacred's observer calls: an observer that wants more fails.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Inserted(NamedTuple):
    inserted_id: Any


class _Updated(NamedTuple):
    matched_count: int
    upserted_id: Any


class _Cursor:
    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def sort(self, key: str, direction: int = 1) -> _Cursor:
        """Sort as BSON does: numbers, then texts."""
        self._documents.sort(
            key=lambda one: (isinstance(one[key], str), one[key]), reverse=direction < 0
        )
        return self

    def limit(self, count: int) -> _Cursor:
        """Leave out what is behind."""
        self._documents = self._documents[:count]
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._documents)


class Collection:
    """Documents.

    Attributes
    ----------
    calls
        Names of the methods that were called, each with its arguments.
    before
        Called with the name of the method before it does anything; may raise.
    after
        The same after an insertion.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.documents: list[dict[str, Any]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.before: Callable[[str], object] = lambda _: None
        self.after: Callable[[str], object] = lambda _: None

    @property
    def writes(self) -> list[str]:
        """Names of the methods that were called to write."""
        return [call[0] for call in self.calls if call[0] in {"insert_one", "update_one"}]

    def find_one(self, query: dict[str, Any]) -> dict[str, Any] | None:
        """Return the first that fits."""
        return next(iter(self.find(query)), None)

    def find(self, query: dict[str, Any], _projection: Any = None) -> _Cursor:
        """Return those that fit."""
        self._note("find", query)
        return _Cursor([copy.deepcopy(one) for one in self.documents if _fits(one, query)])

    def insert_one(self, document: dict[str, Any]) -> _Inserted:
        """Insert a document whose ``_id`` is free."""
        from pymongo.errors import DuplicateKeyError

        self._note("insert_one", document)
        if any(one["_id"] == document["_id"] for one in self.documents):
            raise DuplicateKeyError("E11000 duplicate key error", 11000)
        self.documents.append(copy.deepcopy(document))
        self.after("insert_one")
        return _Inserted(document["_id"])

    def update_one(
        self, query: dict[str, Any], update: dict[str, Any], upsert: bool = False
    ) -> _Updated:
        """Set and push."""
        from bson import ObjectId

        self._note("update_one", query, update, upsert)
        found = next((one for one in self.documents if _fits(one, query)), None)
        made = None
        if found is None:
            if not upsert:
                return _Updated(0, None)
            found = {"_id": ObjectId(), **query}
            made = found["_id"]
            self.documents.append(found)
        found.update(copy.deepcopy(update.get("$set", {})))
        for name, pushed in update.get("$push", {}).items():
            found.setdefault(name, []).extend(pushed["$each"])
        return _Updated(1, made)

    def _note(self, name: str, *arguments: Any) -> None:
        import bson

        self.calls.append((name, *copy.deepcopy(arguments)))
        self.before(name)
        for argument in arguments:
            if isinstance(argument, dict):
                bson.encode(argument)  # what a server could not hold is no document


class Files:
    """A GridFS."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []

    def put(self, data: Any, **facts: Any) -> Any:
        """Store a file that is open."""
        from bson import ObjectId

        self.files.append({"_id": ObjectId(), "content": data.read(), **facts})
        return self.files[-1]["_id"]

    def find_one(self, query: dict[str, Any]) -> Any:
        """Return a file that fits."""
        found = next((one for one in self.files if _fits(one, query)), None)
        return None if found is None else SimpleNamespace(_id=found["_id"])

    def exists(self, **query: Any) -> bool:
        """Tell whether a file fits."""
        return self.find_one(query) is not None


def _fits(document: dict[str, Any], query: dict[str, Any]) -> bool:
    return all(_is(document.get(name), wanted) for name, wanted in query.items())


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, int) and wanted["$gte"] <= value < wanted["$lt"]
    return bool(value == wanted)
