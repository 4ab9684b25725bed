"""A TinyDB and its folder of files, as Sacred's ``TinyDbObserver`` and our view write it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import StoredRunError, StoreError, ViewUnreadableError
from sacred.replayers.sinks.tinydb.database import DatabaseFile
from sacred.replayers.sinks.tinydb.files import HashedFiles
from sacred.replayers.stores.columns import ColumnFile
from sacred.replayers.stores.document import stored_run, time_of
from sacred.replayers.stores.file import column_points, open_file
from sacred.replayers.stores.store import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from sacred.replayers.stores.store import Points, StoredRun

__all__ = ["TinyDbStore"]

_DATE, _FILE = "{TinyDate}:", "{TinyFile}:"
_TIMES = ("start_time", "heartbeat", "stop_time")


class TinyDbStore:
    """Reads the runs of one TinyDB.

    The database is one file, which is held in memory as TinyDB itself does.

    Parameters
    ----------
    base
        Its folder, absolute.
    """

    kind = "tinydb"
    lacks: tuple[str, ...] = (
        "metrics (Sacred's TinyDbObserver keeps none)",
        "when each line was printed, and on which of the two streams",
        "heartbeats but for the last one",
        "metadata and types of artifacts",
    )

    def __init__(self, base: str) -> None:
        self.base = base
        self.name = f"tinydb:{base}"
        self._files = HashedFiles(os.path.join(base, "hashfs"))
        self._documents: dict[str, dict[str, Any]] = {}
        self._journals: dict[str, dict[str, Any]] = {}

    def open(self) -> None:
        """Read the database."""
        database = DatabaseFile(self.base)
        if not os.path.isdir(self.base):
            raise StoreError(f"{self.base} does not exist: name the folder of the TinyDB")
        if not os.path.lexists(database.path):
            raise StoreError(f"{self.base} holds no TinyDB of Sacred's: it has no metadata.json")
        try:
            tables = database.read()
        except ViewUnreadableError as error:
            text = str(error).partition(". It is left as it is")[0]
            raise StoreError(f"{text}: put a copy of it back, and import that") from None
        except OSError as error:
            raise StoreError(f"{database.path} can not be read: {error.strerror}") from None
        for number, document in tables.get("runs", {}).items():
            self._documents[str(document.get("_id", f"document {number}"))] = document
        for row in tables.get("_journal", {}).values():
            self._journals[str(row.get("view_id"))] = row
        if not self._documents:
            raise StoreError(f"{self.base} holds no runs (its table 'runs' is empty)")

    def close(self) -> None:
        """Let go of the database."""
        self._documents.clear()
        self._journals.clear()

    def runs(self) -> list[int | str]:
        """Return the ids, in the order of the documents."""
        return [document.get("_id", key) for key, document in self._documents.items()]

    def read(self, run_id: int | str, *, partial: bool = False) -> StoredRun:
        """Read a run's document."""
        found = self._documents.get(str(run_id))
        if found is None:
            raise StoredRunError(f"there is no such run in {self.base}")
        losses: list[str] = []
        document = {**found, **{name: _time(found[name]) for name in _TIMES if name in found}}
        experiment = found.get("experiment")
        experiment = experiment if isinstance(experiment, dict) else {}
        base_dir = str(experiment.get("base_dir") or "")
        row = self._journals.get(str(run_id), {})
        return stored_run(
            run_id,
            document,
            sources=[
                self._file(name, f"{base_dir}/{name}" if base_dir else name, md5)
                for name, md5, *_ in _entries(experiment.get("sources"), 2)
            ],
            resources=[
                self._file(name, name, md5) for name, md5, *_ in _entries(found.get("resources"), 2)
            ],
            artifacts=[
                self._file(name, str(path), md5)
                for name, path, md5, *_ in _entries(found.get("artifacts"), 3)
            ],
            output=lambda: [str(found.get("captured_out") or "")],
            metrics=lambda: self._metrics(str(run_id), losses, partial=partial),
            journal_id=str(row["id"]) if "id" in row else None,
            losses=losses,
            partial=partial,
        )

    def _metrics(self, run_id: str, losses: list[str], *, partial: bool) -> Iterator[Points]:
        """Yield the points that our view keeps beside the database; Sacred keeps none."""
        if run_id not in self._journals:
            return
        try:
            file = ColumnFile(os.path.join(self.base, "metrics", f"{run_id}.json"), "metrics")
        except FileNotFoundError:
            return
        except (OSError, StoredRunError) as error:
            if not partial:
                raise StoredRunError(str(error)) from None
            losses.append(f"{error}: left out")
            return
        try:
            yield from column_points(file, losses, partial=partial)
        finally:
            file.close()

    def _file(self, name: str, path: str, md5: Any) -> StoredFile:
        digest = str(md5) if md5 is not None else None
        if digest is None or not digest.isalnum():
            return StoredFile(name, path, None, missing="the store says nothing of its content")
        place = self._files.idpath(digest)
        if not os.path.isfile(place):
            return StoredFile(name, path, digest, missing="the file is not in the store")
        return StoredFile(name, path, digest, _opener(place))


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: open_file(path)


def _time(value: Any) -> Any:
    """Return a time of the database; what is none, as it stands there."""
    if isinstance(value, str) and value.startswith(_DATE):
        return time_of(value.removeprefix(_DATE)) or value
    return value


def _entries(value: Any, least: int) -> Iterator[list[Any]]:
    """Yield what stands in a list of files, names as text."""
    for entry in value if isinstance(value, list) else []:
        if isinstance(entry, list) and len(entry) >= least:
            md5 = entry[least - 1]
            if isinstance(md5, str) and md5.startswith(_FILE):
                md5 = json.loads(md5.removeprefix(_FILE))
            yield [str(entry[0]), *entry[1 : least - 1], md5]
