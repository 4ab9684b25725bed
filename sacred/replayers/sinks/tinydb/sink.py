"""The sink: a run's document, and where it stands, in one file that is replaced at once."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.identity import own_identity, process_lives
from sacred.journal.position import Position
from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import TerminalSinkError, ViewMovedError, ViewUnreadableError
from sacred.replayers.sink import (
    OWNED_FIELDS,
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
    ViewPosition,
    wanted_id,
)
from sacred.replayers.sinks.tinydb.database import DatabaseFile, Table, Tables, next_key
from sacred.replayers.sinks.tinydb.disk import disk_errors, sweep, sweep_files
from sacred.replayers.sinks.tinydb.files import HashedFiles
from sacred.replayers.sinks.tinydb.points import FOLDER, RunPoints
from sacred.replayers.sinks.tinydb.tags import file_tag, tagged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FORMAT", "TinyDbSink"]

#: The form of the documents is that of this version.
FORMAT = "TinyDbObserver-0.8.7"
RUNS, JOURNAL, MARKS = "runs", "_journal", "_journal_marks"
#: Longest text that is an id: it names a file.
_ID_CHARACTERS = 100
#: What is the journal's in a document.
_OWNED = frozenset({*OWNED_FIELDS, "captured_out"})


class TinyDbSink:
    """Writes runs into a TinyDB and a folder of files beside it.

    Attributes
    ----------
    weight
        Bytes that the next write has to write, whatever is new.
    """

    rewrites: frozenset[str] = frozenset({"whole"})

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.base = os.path.abspath(spec.url)
        self.weight = 0
        self._database = DatabaseFile(self.base)
        self._files = HashedFiles(os.path.join(self.base, "hashfs"))
        #: Revision of each run's view as of ``position`` or the last ``write``.
        self._seen: dict[str, int] = {}

    # -- the place -----------------------------------------------------------------------------

    def open(self) -> None:
        """Make the folder, and see that its database is one."""
        self._seen.clear()
        self._make_folder()
        with disk_errors(self.base):
            self._database.look()
            with self._database.lock:
                for folder in (self.base, os.path.join(self.base, FOLDER)):
                    sweep(folder)
                sweep_files(self._files.root)

    def _make_folder(self) -> None:
        if os.path.lexists(self.base) and not os.path.isdir(self.base):
            raise TerminalSinkError(
                f"{self.base} is no folder: give the TinyDB one of its own, as in tinydb:DIR"
            )
        # ENOENT, as in /proc: waiting makes no folder there.
        with disk_errors(self.base, errno.ENOENT):
            os.makedirs(self.base, exist_ok=True)

    def close(self) -> None:
        """Forget what was known."""
        self._seen.clear()

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with disk_errors(self.base):
            rows = self._database.look().get(MARKS, {}).values()
        numbers = (row.get("number") for row in rows if row.get("owner") == owner)
        return max((number for number in numbers if type(number) is int), default=0)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        # In the file that is put back with the runs, though it is written whole for that.
        with disk_errors(self.base), self._database.lock:
            tables = self._database.look()
            rows = tables.setdefault(MARKS, {})
            mine = [key for key, row in rows.items() if row.get("owner") == owner]
            if all(
                type(there := rows[key].get("number")) is not int or there < number for key in mine
            ):
                rows[mine[0] if mine else next_key(rows)] = {"owner": owner, "number": number}
                self._database.replace(tables)

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Insert the run's document under an id that is free, under the lock of the folder."""
        self._make_folder()
        with disk_errors(self.base), self._database.lock:
            tables = self._database.look()
            known = _find(tables, run.journal_id)
            return self._insert(tables, run) if known is None else known["view_id"]

    def _insert(self, tables: Tables, run: RunKey) -> int | str:
        documents, rows = tables.setdefault(RUNS, {}), tables.setdefault(JOURNAL, {})
        self._refuse_second(documents, run)
        for key in [key for key, row in rows.items() if row.get("id") == run.journal_id]:
            del rows[key]  # of a document that somebody deleted
        view_id = _free_id(documents, run.run_id)
        number = next_key(documents)
        documents[number] = {
            "resources": [],
            "artifacts": [],
            "captured_out": "",
            "info": {},
            "heartbeat": None,
            **self._rendered(run.fields, {}),
            "format": FORMAT,
            "_id": view_id,
        }
        rows[next_key(rows)] = {
            "id": run.journal_id,
            "view_id": view_id,
            "document": number,
            "claimed": own_identity(),
            "position": [],
            "projector": 0,
            "revision": 0,
        }
        self._database.replace(tables)
        return view_id

    def _refuse_second(self, documents: Table, run: RunKey) -> None:
        """Raise if the run's document is there, by its points or its start, and no row says so."""
        for document in documents.values():
            view_id = document.get("_id")
            if str(view_id) != str(run.run_id):
                continue
            points = RunPoints.load(self._points_path({"view_id": view_id}), run.journal_id)
            if points.next_seqs or _began_at_once(document, run):
                raise ViewUnreadableError(
                    f"{self._database.path} has the run {view_id!r}, and does not say any more how "
                    f"far (table {JOURNAL!r}). Put a copy of the file back, or remove the run's "
                    "document, and replay with --rebuild"
                )

    def release(self, run: RunKey) -> bool:
        """Delete a document that is only claimed."""
        with disk_errors(self.base), self._database.lock:
            tables = self._database.look()
            row = _find(tables, run.journal_id)
            if row is None or not row.get("claimed"):
                return False
            del tables[RUNS][row["document"]]
            tables[JOURNAL] = _without(tables[JOURNAL], run.journal_id)
            self._database.replace(tables)
            return True

    def clear_claims(self, max_age: float) -> int:
        """Delete claims of this host whose process is gone."""
        with disk_errors(self.base):
            if not os.path.isdir(self.base):
                return 0
            stale = []
            for row in self._database.look().get(JOURNAL, {}).values():
                claim = row.get("claimed")
                if isinstance(claim, dict) and isinstance(claim.get("wall"), int):
                    old = time.time() - claim["wall"] / 1e9 > max_age
                    if old and process_lives(claim) is False:
                        stale.append(RunKey(str(row.get("id"))))
            return sum(self.release(run) for run in stale)

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read where the run stands, its points too."""
        with disk_errors(self.base):
            self._seen.pop(run.journal_id, None)
            tables = self._database.look()
            row = _find(tables, run.journal_id)
            if row is None:
                if "start_time" in run.fields:
                    self._refuse_second(tables.get(RUNS, {}), run)
                return None
            found = self._read_row(row)
            points = RunPoints.load(self._points_path(row), run.journal_id)
            self._weigh(row)
        self._seen[run.journal_id] = int(row["revision"])
        return found._replace(ahead=points.at, points=points.counts())

    def _read_row(self, row: Mapping[str, Any]) -> ViewPosition:
        """Return what is kept about a run; anybody may have written into the file."""
        view_id = row["view_id"]
        try:
            if not (isinstance(view_id, int) or _is_name(view_id)) or int(row["revision"]) < 0:
                raise ValueError
            return ViewPosition(
                view_id,
                Position.from_wire(row["position"]),
                int(row["projector"]),
                str(row.get("order", "arrival")),
                claimed=bool(row.get("claimed")),
                spool=int(row.get("spool", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError, JournalError) as error:
            raise ViewUnreadableError(
                f"{self._database.path} does not say any more how far the run {view_id!r} is in it "
                f"(table {JOURNAL!r}). Remove the run's document and replay with --rebuild"
            ) from error

    def _points_path(self, row: Mapping[str, Any]) -> str:
        return os.path.join(self.base, FOLDER, f"{row['view_id']}.json")

    def _weigh(self, row: Mapping[str, Any]) -> None:
        self.weight = self._database.size()
        with contextlib.suppress(OSError):
            self.weight += os.stat(self._points_path(row)).st_size

    def _own_row(self, tables: Tables, run: RunKey) -> tuple[str, dict[str, Any]]:
        """Return the row of a run that nobody else wrote since it was looked at, and its number."""
        key = _find_key(tables, run.journal_id)
        if key is None:
            raise ViewMovedError("the run is not in the view any more")
        row = tables[JOURNAL][key]
        if row.get("revision") != self._seen.get(run.journal_id):
            raise ViewMovedError("another replayer wrote this run meanwhile")
        return key, row

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write the points that are new, then the document and the position in one."""
        with disk_errors(self.base), self._database.lock:
            tables = self._database.look()
            key, row = self._own_row(tables, batch.run)
            # Should it fail, nobody knows what was written: to be asked again.
            del self._seen[batch.run.journal_id]
            self._write_points(row, batch)
            documents = tables[RUNS]
            documents[row["document"]] = self._changed(documents[row["document"]], row, batch)
            row = {name: item for name, item in row.items() if name not in {"claimed", "anew"}}
            row["position"] = batch.position.to_wire()
            row["projector"], row["order"] = batch.projector, batch.order
            row["spool"] = batch.spool
            row["revision"] = int(row.get("revision", 0)) + 1
            tables[JOURNAL][key] = row
            self._database.replace(tables)
            self._seen[batch.run.journal_id] = row["revision"]
            self._weigh(row)

    def _write_points(self, row: Mapping[str, Any], batch: Batch) -> None:
        changes = [change for change in batch.changes if isinstance(change, PointsAdded)]
        if changes:
            points = RunPoints.load(self._points_path(row), batch.run.journal_id)
            if any([points.add(change) for change in changes]):  # noqa: C419 - every one is added
                points.save(batch.ahead)

    def _changed(
        self, document: dict[str, Any], row: Mapping[str, Any], batch: Batch
    ) -> dict[str, Any]:
        changed = dict(document)
        if row.get("anew"):
            changed = {name: item for name, item in changed.items() if name not in _OWNED}
            changed["captured_out"] = ""
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                changed.update(self._rendered(change.fields, batch.references))
                for name in change.removed:
                    changed.pop(name, None)
            elif isinstance(change, OutputChanged):
                before = str(changed.get("captured_out") or "")
                changed["captured_out"] = before[: change.keep] + change.text
        return {**changed, "format": FORMAT, "_id": row["view_id"]}

    def _rendered(
        self,
        fields: Mapping[str, Any],
        references: Mapping[tuple[str, str, str | None, int], Any],
    ) -> dict[str, Any]:
        rendered = dict(fields)
        if "experiment" in rendered:
            sources = [
                [entry.name, *_stored(entry, references)]
                for entry in rendered["experiment"].get("sources") or ()
            ]
            rendered["experiment"] = {**rendered["experiment"], "sources": sources}
        if "resources" in rendered:
            rendered["resources"] = [
                [entry.name, *_stored(entry, references)] for entry in rendered["resources"]
            ]
        if "artifacts" in rendered:
            rendered["artifacts"] = [
                [entry.name, entry.path, *_stored(entry, references)]
                for entry in rendered["artifacts"]
            ]
        found: dict[str, Any] = tagged(rendered)
        return found

    # -- files ---------------------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a file under the md5 of its content, unless it is there."""
        del run
        if blob is None:
            return None
        with disk_errors(self.base):
            if entry.md5 and os.path.isfile(self._files.idpath(entry.md5)):
                return entry.md5
            with os.fdopen(open_regular(blob), "rb") as content:
                return self._files.put(content).id

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Forget the run's points and its position; its document is replaced by the next write."""
        with disk_errors(self.base), self._database.lock:
            tables = self._database.look()
            key = _find_key(tables, run.journal_id)
            if key is None:
                return
            row = tables[JOURNAL][key]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._points_path(row))
            row = {**row, "position": [], "projector": 0, "spool": 0, "anew": True}
            row["revision"] = int(row.get("revision", 0)) + 1
            row.pop("claimed", None)
            tables[JOURNAL][key] = row
            self._database.replace(tables)
            self._seen.pop(run.journal_id, None)


def _began_at_once(document: Mapping[str, Any], run: RunKey) -> bool:
    """Tell whether a document is of a run that began when this one did."""
    began = run.fields.get("start_time")
    return began is not None and document.get("start_time") == tagged(began)


def _find(tables: Tables, journal_id: str) -> dict[str, Any] | None:
    """Return what is kept about a run whose document is there."""
    key = _find_key(tables, journal_id)
    return None if key is None else tables[JOURNAL][key]


def _find_key(tables: Tables, journal_id: str) -> str | None:
    """Return the number of the row of a run whose document is there."""
    documents = tables.get(RUNS, {})
    for key, row in tables.get(JOURNAL, {}).items():
        if row.get("id") == journal_id:
            document = documents.get(str(row.get("document")))
            if document is not None and "_id" in document and document["_id"] == row.get("view_id"):
                return key
    return None


def _without(rows: Table, journal_id: str) -> Table:
    return {key: row for key, row in rows.items() if row.get("id") != journal_id}


def _free_id(documents: Table, wanted: Any) -> int | str:
    """Return the id that a run would like to have if it is free, else the next number."""
    taken = {str(document.get("_id")) for document in documents.values()}
    number: int | str | None = wanted_id(wanted)
    if number is None and _is_name(wanted):
        number = wanted
    if number is not None and str(number) not in taken:
        return number
    numbers = (int(one) for one in taken if one.isascii() and one.isdecimal() and len(one) < 16)
    return max(numbers, default=0) + 1


def _is_name(text: Any) -> bool:
    """Tell whether a text can be an id here: it names a file, too."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= _ID_CHARACTERS
        and text.isprintable()
        and text.isascii()
        and text == text.strip()
        and text[0] != "."
        and not set(text) & set('/\\:*?"<>|')
    )


def _stored(
    entry: FileEntry, references: Mapping[tuple[str, str, str | None, int], Any]
) -> list[Any]:
    """Return the md5 of a file, and what TinyDB makes a reader of; None where it is not stored."""
    md5 = references.get(entry.key)
    return [md5, file_tag(md5)] if md5 is not None else [entry.md5, None]
