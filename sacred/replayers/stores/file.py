"""A tree of files, as Sacred's ``FileStorageObserver`` and our file view write it."""

from __future__ import annotations

import codecs
import json
import os
import re
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import StoredRunError, StoreError
from sacred.replayers.stores.columns import ColumnFile
from sacred.replayers.stores.document import microseconds, stored_run, without_marks
from sacred.replayers.stores.store import StoredFile
from sacred.replayers.tree.names import folder_name, is_number, view_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from sacred.replayers.stores.store import Points, StoredRun

__all__ = ["FileStore", "column_points", "open_file"]

#: Documents but for metrics are held in memory.
_MOST = 256 << 20
_PIECE = 1 << 20
#: What makes a folder whose name is no number look like a run's.
_SIGNS = ("run.json", "config.json", "cout.txt")
#: Ends the name of a file that all runs share.
_DIGEST = re.compile(r"_([0-9a-f]{32})(?:\.[^.]*)?\Z")
_STORES = ("_sources", "_resources")


def open_file(path: str) -> BinaryIO:
    """Open a regular file for reading; OSError if it is none."""
    return os.fdopen(open_regular(path), "rb")


class FileStore:
    """Reads the runs below one folder.

    Parameters
    ----------
    base
        The folder, absolute. It may have been moved or copied.
    """

    kind = "file"
    lacks: tuple[str, ...] = (
        "when each line was printed, and on which of the two streams",
        "heartbeats but for the last one",
        "earlier contents of artifacts that were added again",
        "metadata, types and places of artifacts",
    )

    def __init__(self, base: str) -> None:
        self.base = base
        self.name = f"file:{base}"

    def open(self) -> None:
        """Look that the folder is there."""
        try:
            os.listdir(self.base)
        except FileNotFoundError:
            raise StoreError(f"{self.base} does not exist: name the folder of the runs") from None
        except OSError as error:
            raise StoreError(f"{self.base} can not be read: {error.strerror}") from None
        if not self.runs():
            raise StoreError(
                f"{self.base} holds no runs of a FileStorageObserver (no folder with a run.json)"
            )

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def runs(self) -> list[int | str]:
        """Return the ids: numbers, then names."""
        found: list[str] = []
        with os.scandir(self.base) as entries:
            for entry in entries:
                name = entry.name
                if folder_name(name) is None or not entry.is_dir():
                    continue
                signs = (os.path.join(entry.path, sign) for sign in _SIGNS)
                if is_number(name) or any(map(os.path.lexists, signs)):
                    found.append(name)
        found.sort(key=lambda name: (0, int(name), "") if is_number(name) else (1, 0, name))
        return [view_id(name) for name in found]

    def read(self, run_id: int | str, *, partial: bool = False) -> StoredRun:
        """Read ``run.json`` and what belongs to it."""
        folder = os.path.join(self.base, str(run_id))
        if not os.path.isdir(folder):
            raise StoredRunError(f"{folder} does not exist")
        run = self._json(folder, "run.json")
        if run is None:
            raise StoredRunError("it has no run.json, without which nothing says what it was")
        losses: list[str] = []
        config = self._part(folder, "config.json", losses, partial=partial)
        if not os.path.lexists(os.path.join(folder, "config.json")):
            self._damaged("it has no config.json", losses, partial=partial)
        info = self._part(folder, "info.json", losses, partial=partial)
        document = {**run, "config": config or {}, "info": info or {}}
        experiment = run.get("experiment")
        sources = experiment.get("sources") if isinstance(experiment, dict) else []
        base_dir = str(experiment.get("base_dir") or "") if isinstance(experiment, dict) else ""
        return stored_run(
            run_id,
            document,
            sources=[self._source(one, folder, base_dir) for one in _pairs(sources)],
            resources=[self._resource(one, folder) for one in _pairs(run.get("resources"))],
            artifacts=[self._artifact(str(one), folder) for one in _list(run.get("artifacts"))],
            output=lambda: self._output(folder, losses),
            metrics=lambda: self._metrics(folder, losses, partial=partial),
            journal_id=self._journal_id(folder),
            losses=losses,
            partial=partial,
        )

    # -- documents -------------------------------------------------------------------------------

    def _json(self, folder: str, name: str) -> dict[str, Any] | None:
        """Return a document; None if there is none."""
        try:
            with open_file(os.path.join(folder, name)) as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read() if size <= _MOST else b""
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoredRunError(f"its {name} can not be read: {error.strerror}") from None
        if size > _MOST:
            raise StoredRunError(f"its {name} is larger than {_MOST >> 20} MiB")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise StoredRunError(f"its {name} is damaged: {_reason(error)}") from None
        if not isinstance(found, dict):
            raise StoredRunError(f"its {name} is no document: it holds a {type(found).__name__}")
        return found

    def _part(
        self, folder: str, name: str, losses: list[str], *, partial: bool
    ) -> dict[str, Any] | None:
        try:
            return self._json(folder, name)
        except StoredRunError as error:
            self._damaged(str(error), losses, partial=partial)
            return None

    def _damaged(self, text: str, losses: list[str], *, partial: bool) -> None:
        if not partial:
            raise StoredRunError(text)
        losses.append(f"{text}: left out")

    def _journal_id(self, folder: str) -> str | None:
        """Return the id of the journal that wrote this view, if one did."""
        try:
            kept = self._json(os.path.join(folder, ".journal"), "position.json")
        except StoredRunError:
            return None
        return None if kept is None else str(kept.get("journal_id"))

    # -- output and metrics ----------------------------------------------------------------------

    def _output(self, folder: str, losses: list[str]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            with open_file(os.path.join(folder, "cout.txt")) as file:
                while piece := file.read(_PIECE):
                    yield decoder.decode(piece)
                yield decoder.decode(b"", True)
        except FileNotFoundError:
            return
        except OSError as error:
            losses.append(f"its cout.txt can not be read: {error.strerror}")

    def _metrics(self, folder: str, losses: list[str], *, partial: bool) -> Iterator[Points]:
        path = os.path.join(folder, "metrics.json")
        try:
            file = ColumnFile(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._damaged(
                f"its metrics.json can not be read: {error.strerror}", losses, partial=partial
            )
            return
        except StoredRunError as error:
            self._damaged(str(error), losses, partial=partial)
            return
        try:
            yield from column_points(file, losses, partial=partial)
        finally:
            file.close()

    # -- files -----------------------------------------------------------------------------------

    def _source(self, pair: tuple[str, str], folder: str, base_dir: str) -> StoredFile:
        name, where = pair
        path = name if os.path.isabs(name) or not base_dir else f"{base_dir}/{name}"
        # A queued run has the md5 in the place of the path, and its sources beside run.json.
        queued = re.fullmatch(r"[0-9a-f]{32}", where)
        if queued:
            return self._file(name, path, where, [os.path.join(folder, name)])
        places = [os.path.join(self.base, where), *self._shared(where)]
        return self._file(name, path, _digest_in(where), places)

    def _resource(self, pair: tuple[str, str], folder: str) -> StoredFile:
        name, where = pair
        if re.fullmatch(r"[0-9a-f]{32}", where):
            return StoredFile(name, name, where, missing="the store has its md5 alone")
        del folder
        return self._file(name, name, _digest_in(where), [*self._shared(where), where])

    def _shared(self, where: str) -> Iterator[str]:
        """Yield where a file that runs share lies in a tree that was moved."""
        last = os.path.basename(where)
        if last and _digest_in(where):
            parent = os.path.basename(os.path.dirname(where))
            for folder in dict.fromkeys((parent, *_STORES)):
                yield os.path.join(self.base, folder, last)

    def _artifact(self, name: str, folder: str) -> StoredFile:
        return self._file(name, name, None, [os.path.join(folder, *name.split("/"))])

    def _file(self, name: str, path: str, md5: str | None, places: list[str]) -> StoredFile:
        """Return the first file that is there, and the store's: below its folder, or told by md5."""
        inside = os.path.join(self.base, "")
        for place in places:
            real = os.path.normpath(place)
            if os.path.isfile(real) and (real.startswith(inside) or (md5 and real == place)):
                return StoredFile(name, path, md5, _opener(real))
        return StoredFile(name, path, md5, missing="the file is not in the store")


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: open_file(path)


def column_points(file: ColumnFile, losses: list[str], *, partial: bool) -> Iterator[Points]:
    """Yield the metrics of a file, as ``metrics.json`` has them.

    Parameters
    ----------
    file
        Of the metrics of a run.
    losses
        Gets what has no time, and what is left out.
    partial
        Leave out what is damaged; else it raises StoredRunError.
    """
    for name, spans in file.spans.items():
        yield name, _whole_rows(file, name, spans, losses, partial=partial)


def _whole_rows(
    file: ColumnFile,
    name: str,
    spans: dict[str, tuple[int, int]],
    losses: list[str],
    *,
    partial: bool,
) -> Iterator[tuple[Any, Any, int | None]]:
    try:
        yield from _rows(file, name, spans, losses)
    except StoredRunError as error:
        if not partial:
            raise
        losses.append(f"{error}: the rest of {name[:80]!r} is left out")


def _rows(
    file: ColumnFile, name: str, spans: dict[str, tuple[int, int]], losses: list[str]
) -> Iterator[tuple[Any, Any, int | None]]:
    if not {"steps", "values"} <= spans.keys():
        raise StoredRunError(f"the metric {name[:80]!r} has no steps or no values")
    missing = object()
    steps, values = file.column(spans["steps"]), file.column(spans["values"])
    times = file.column(spans["timestamps"]) if "timestamps" in spans else iter(())
    untimed = 0
    for step in steps:
        value = next(values, missing)
        if value is missing:
            raise StoredRunError(f"the metric {name[:80]!r} has more steps than values")
        micros = microseconds(next(times, None))
        untimed += micros is None
        yield step, value, micros
    if next(values, missing) is not missing:
        raise StoredRunError(f"the metric {name[:80]!r} has more values than steps")
    if untimed:
        losses.append(f"{untimed:,} points of {name[:80]!r} have no time: they got the run's")


def _digest_in(where: str) -> str | None:
    found = _DIGEST.search(os.path.basename(where))
    return found[1] if found else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    for entry in _list(value):
        pair = without_marks(entry)
        if isinstance(pair, (list, tuple)) and len(pair) >= 2:
            yield str(pair[0]), str(pair[1])


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"at line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"at byte {error.start} it is no text"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
