"""A database of MongoDB, as Sacred's ``MongoObserver`` and our Mongo view write it."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import SinkError, StoredRunError, StoreError
from sacred.replayers.sinks.mongo.connection import MongoConnection
from sacred.replayers.stores.document import microseconds, stored_run
from sacred.replayers.stores.meaning import meaning_for_a_reader
from sacred.replayers.stores.store import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from sacred.replayers.sink import SinkSpec
    from sacred.replayers.stores.store import Points, StoredRun

__all__ = ["MongoStore"]

_PIECE = 1 << 20
_PLAIN = (type(None), bool, int, float, str, bytes, dt.datetime)


class MongoStore:
    """Reads the runs of one collection.

    Parameters
    ----------
    spec
        The database; its option ``collection`` names that of the runs.
    """

    kind = "mongo"
    lacks: tuple[str, ...] = (
        "when each line was printed, and on which of the two streams",
        "heartbeats but for the last one",
        "contents of resources (Sacred has stored none since 0.8.3)",
        "times to the microsecond",
    )

    def __init__(self, spec: SinkSpec) -> None:
        self.name = spec.name
        self._collection = str(spec.options.get("collection") or "runs")
        if self._collection != "runs":
            self.name = f"{spec.name}/{self._collection}"
        self._connection = MongoConnection(spec)
        self._keys: dict[int | str, Any] = {}
        self._runs: Any = None
        self._metrics: Any = None
        self._fs: Any = None
        self._files: Any = None

    # -- the connection --------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and look that the collection is there."""
        with self._errors():
            database = self._connection.open()
            from bson.codec_options import CodecOptions, DatetimeConversion

            # A date that no calendar has must not hide its run.
            codec: CodecOptions[Any] = CodecOptions(
                datetime_conversion=DatetimeConversion.DATETIME_AUTO
            )
            names = database.list_collection_names()
            if self._collection not in names:
                found = [name for name in names if name == "runs" or name.endswith("_runs")]
                hint = f": say --collection {found[0]}" if found else ""
                raise StoreError(f"{self.name} has no collection {self._collection!r}{hint}")
            prefix = self._collection.removesuffix("_runs")
            own = f"{prefix}_metrics"
            metrics = own if prefix != self._collection and own in names else "metrics"
            import gridfs

            self._runs = database.get_collection(self._collection, codec_options=codec)
            self._metrics = database.get_collection(metrics, codec_options=codec)
            self._fs = gridfs.GridFS(database)
            self._files = database["fs.files"]

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        own: StoreError | None = None
        try:
            with self._connection.errors():  # which takes whatever is raised for the driver's
                try:
                    yield
                except StoreError as error:
                    own = error
        except SinkError as error:
            raise meaning_for_a_reader(error) from None
        if own is not None:
            raise own

    def runs(self) -> list[int | str]:
        """Return the ids: numbers, then names. What is neither stands here as text."""
        with self._errors():
            found = [one["_id"] for one in self._runs.find({}, {"_id": 1})]
        self._keys = {_public_id(key): key for key in found}
        numbers = sorted(one for one in self._keys if isinstance(one, int))
        return [*numbers, *sorted(one for one in self._keys if isinstance(one, str))]

    def _find(self, run_id: int | str) -> dict[str, Any] | None:
        key = self._keys.get(run_id, run_id)
        found: dict[str, Any] | None = self._runs.find_one({"_id": key})
        return found

    def read(self, run_id: int | str, *, partial: bool = False) -> StoredRun:
        """Read a run's document."""
        with self._errors():
            document = self._find(run_id)
        if document is None:
            raise StoredRunError(f"there is no such run in {self.name}")
        losses: list[str] = []
        ours = document.get("_journal")
        ours = ours if isinstance(ours, dict) else {}
        document = _plain(document, losses)
        info = document.get("info")
        series = self._without_series(document) if isinstance(info, dict) else []
        experiment = document.get("experiment")
        experiment = experiment if isinstance(experiment, dict) else {}
        base_dir = str(experiment.get("base_dir") or "")
        return stored_run(
            run_id,
            document,
            sources=[self._source(one, base_dir) for one in _pairs(experiment.get("sources"))],
            resources=[self._resource(*one) for one in _pairs(document.get("resources"))],
            artifacts=list(self._artifacts(document.get("artifacts"), losses)),
            output=lambda: self._output(document, ours.get("captured_out"), losses),
            metrics=lambda: self._points(series, losses, partial=partial),
            journal_id=str(ours["id"]) if "id" in ours else None,
            losses=losses,
            partial=partial,
        )

    # -- metrics ---------------------------------------------------------------------------------

    def _without_series(self, document: dict[str, Any]) -> list[tuple[str, str]]:
        """Take the references to metrics out of ``info``, which has them from the observer."""
        listed = document["info"].get("metrics")
        if not isinstance(listed, list):
            return []
        ours = [one for one in listed if _is_reference(one)]
        others = [one for one in listed if not _is_reference(one)]
        info = {name: value for name, value in document["info"].items() if name != "metrics"}
        document["info"] = {**info, "metrics": others} if others else info
        return [(str(one["name"]), str(one["id"])) for one in ours]

    def _points(
        self, series: list[tuple[str, str]], losses: list[str], *, partial: bool
    ) -> Iterator[Points]:
        for listed, where in series:
            found = self._series(where)
            if found is None:
                losses.append(f"the metric {listed[:80]!r} is not in the database: left out")
                continue
            # A long metric goes on in documents of other names.
            name = str((found.get("_journal") or {}).get("metric", listed))
            lists = [found.get(part) for part in ("steps", "values", "timestamps")]
            steps, values, times = (one if isinstance(one, list) else [] for one in lists)
            if len(steps) != len(values):
                text = f"the metric {name[:80]!r} has {len(steps)} steps and {len(values)} values"
                if not partial:
                    raise StoredRunError(text)
                losses.append(f"{text}: the rest is left out")
            if len(times) < len(steps):
                losses.append(f"points of {name[:80]!r} have no time: they got the run's")
            times += [None] * (len(steps) - len(times))
            yield name, _rows(steps, values, times, losses)

    def _series(self, where: str) -> dict[str, Any] | None:
        from bson import ObjectId

        key = ObjectId(where) if ObjectId.is_valid(where) else where
        with self._errors():
            found: dict[str, Any] | None = self._metrics.find_one({"_id": key})
        return found

    # -- files -----------------------------------------------------------------------------------

    def _output(self, document: Mapping[str, Any], whole: Any, losses: list[str]) -> Iterator[str]:
        if whole is not None:
            file = self._stored(whole)
            if file is not None:
                import codecs

                decoder = codecs.getincrementaldecoder("utf-8")("replace")
                content = _GridFile(file, self._errors)
                while piece := content.read(_PIECE):
                    yield decoder.decode(piece)
                yield decoder.decode(b"", True)
                return
            losses.append("its output is whole in no file any more: only the end is here")
        text = document.get("captured_out")
        if isinstance(text, str) and text:
            yield text

    def _facts(self, file_id: Any) -> dict[str, Any] | None:
        """Return what GridFS says of a file; None if it is not there."""
        with self._errors():
            found: dict[str, Any] | None = self._files.find_one({"_id": file_id})
        return found

    def _stored(self, file_id: Any) -> Any:
        """Return a file of GridFS, open; None if it is not there."""
        from gridfs.errors import NoFile

        with self._errors():
            try:
                return self._fs.get(file_id)
            except NoFile:
                return None

    def _opener(self, file_id: Any) -> Callable[[], BinaryIO]:
        def opened() -> BinaryIO:
            file = self._stored(file_id)
            if file is None:
                raise StoredRunError("it is not in GridFS any more")
            return _GridFile(file, self._errors)  # type: ignore[return-value]

        return opened

    def _source(self, pair: tuple[str, Any], base_dir: str) -> StoredFile:
        name, file_id = pair
        path = f"{base_dir}/{name}" if base_dir else name
        facts = self._facts(file_id)
        if facts is None:
            return StoredFile(name, path, missing="the file is not in GridFS")
        where = str(facts.get("filename") or path)
        return StoredFile(name, where, _md5(facts), self._opener(file_id))

    def _resource(self, name: str, md5: Any) -> StoredFile:
        """Find a resource's content, which old versions of Sacred and ours store."""
        digest = str(md5) if md5 is not None else None
        with self._errors():
            found = digest and self._files.find_one({"filename": name, "md5": digest})
        if not found:
            return StoredFile(name, name, digest, missing="the database has its md5 alone")
        return StoredFile(name, name, digest, self._opener(found["_id"]))

    def _artifacts(self, listed: Any, losses: list[str]) -> Iterator[StoredFile]:
        for entry in listed if isinstance(listed, list) else []:
            if not isinstance(entry, dict) or "name" not in entry:
                losses.append(f"an artifact without a name is left out ({str(entry)[:60]})")
                continue
            name, file_id = str(entry["name"]), entry.get("file_id")
            facts = None if file_id is None else self._facts(file_id)
            if facts is None:
                yield StoredFile(name, name, missing="the file is not in GridFS")
                continue
            metadata, kind = _plain(facts.get("metadata"), losses), facts.get("contentType")
            kind = None if kind is None else str(kind)
            yield StoredFile(name, name, _md5(facts), self._opener(file_id), kind, metadata)


class _GridFile:
    """A file of GridFS as something to read, whose errors are those of the connection."""

    def __init__(self, file: Any, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._errors = errors

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        from gridfs.errors import CorruptGridFile

        with self._errors():
            try:
                found: bytes = self._file.read(size)
            except CorruptGridFile:
                raise StoredRunError("it is not whole in GridFS") from None
        return found

    def __enter__(self) -> _GridFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _md5(facts: Mapping[str, Any]) -> str | None:
    found = facts.get("md5")
    return None if found is None else str(found)


def _public_id(key: Any) -> int | str:
    """Return an id as a run has it; a number of any width is a number."""
    return int(key) if isinstance(key, int) and not isinstance(key, bool) else str(key)


def _is_reference(entry: Any) -> bool:
    return isinstance(entry, dict) and {"name", "id"} <= entry.keys()


def _rows(
    steps: list[Any], values: list[Any], times: list[Any], losses: list[str]
) -> Iterator[tuple[Any, Any, int | None]]:
    for step, value, time in zip(steps, values, times, strict=False):
        yield _value(step, losses), _value(value, losses), microseconds(time)


def _value(value: Any, losses: list[str]) -> Any:
    return value if type(value) in {int, float} else _plain(value, losses)


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    for pair in value if isinstance(value, list) else []:
        if isinstance(pair, list) and len(pair) >= 2:
            yield str(pair[0]), pair[1]


def _plain(value: Any, losses: list[str], within: str = "") -> Any:
    """Return a value of BSON as one that a journal has; what BSON alone has becomes text.

    Ids of files stay as they are, in ``experiment.sources`` and ``artifacts``.
    """
    if isinstance(value, dict):
        return {str(key): _plain(item, losses, within or str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, losses, within) for item in value]
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind.__module__.startswith("bson"):  # subclasses, as Int64
        if isinstance(value, int):
            return int(value)
        if isinstance(value, bytes):
            return bytes(value)
    if kind.__name__ == "ObjectId" and within in {"experiment", "artifacts", "_id", "_journal"}:
        return value
    sentence = f"a {kind.__name__} in {within or 'a metric'} became text"
    if sentence not in losses:
        losses.append(sentence)
    return str(value)
