"""The sink of the Parquet view."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import errno
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import process_lives
from sacred.journal.integers import text_of
from sacred.journal.position import Position
from sacred.journal.root import fsync_folder
from sacred.replayers.errors import TerminalSinkError, ViewMovedError
from sacred.replayers.jsontext import leaves, to_json
from sacred.replayers.mark_files import MarkFiles
from sacred.replayers.plain import plain_text
from sacred.replayers.points import exact_number
from sacred.replayers.rows import file_row, leaf_row
from sacred.replayers.sink import (
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
    ViewPosition,
)
from sacred.replayers.sinks.parquet.disk import disk_errors, is_parquet, sync
from sacred.replayers.sinks.parquet.layout import (
    OWN,
    SCHEMA,
    TABLES,
    columns_of,
    part_name,
    partition,
)
from sacred.replayers.sinks.parquet.runs import RunState, RunStates, cleared
from sacred.replayers.sinks.parquet.series import (
    SERIES,
    add_points,
    change_output,
    has_rows,
    place_of,
    publish,
)
from sacred.replayers.sinks.parquet.tables import TableWriter

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder

__all__ = ["ParquetSink"]

#: Files without rows that stand where others were stay so long for readers who listed them, and
#: files that nobody finished for whoever may be at them (s).
_RETIRED = 3600.0
#: So long a run's row may wait for its number of points, and the time of its last sign of life (s).
_TOLD = 60.0
#: More than this a write never weighs: what is new waits four minutes at most.
_HEAVIEST = 1 << 20
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the fields' times are naive UTC


class ParquetSink:
    """Writes runs as rows of the relations of ``docs/queries.md``, but ``events``.

    A claim takes a number and shows nothing; rows come with the first batch. A file that a reader
    may have listed is replaced, never removed, and no row ever stands in two files.
    """

    #: The last part of the points, and of the output, is written whole in order to grow; the numbers of
    #: a run's row may wait for a batch that is complete.
    rewrites: frozenset[str] = frozenset({"whole", "rendered"})

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.base = os.path.abspath(spec.url)
        #: Bytes of the parts that the next write writes whole.
        self.weight = 0
        self._runs = RunStates(self.base)
        self._writer = TableWriter(self.base)
        self._folder: str | None = None
        self._marks = MarkFiles(os.path.join(self.base, OWN, "marks"))

    def attend(self, folder: RunFolder) -> None:
        """Learn the folder of the run, for ``runs.path``."""
        self._folder = plain_text(str(folder.path))

    # -- the place -----------------------------------------------------------------------------

    def open(self) -> None:
        """Make the tables, so that every query finds their columns."""
        try:
            self.base.encode()
        except UnicodeEncodeError:
            raise TerminalSinkError(
                f"DuckDB writes to no folder whose path is no UTF-8: {self.base!a}"
            ) from None
        self._runs.known.clear()
        # ENOENT, as in /proc: waiting makes no folder there.
        with disk_errors(self.base, errno.ENOENT):
            own = self._runs.own_folder()
            _sweep(own)
            _sweep(os.path.join(own, "ids"))
            for table in TABLES:
                target = os.path.join(self.base, table, SCHEMA, part_name(0, 0))
                if is_parquet(target):
                    continue
                aside = os.path.join(own, f"new-{os.urandom(8).hex()}")
                path = os.path.join(aside, SCHEMA, part_name(0, 0))
                os.makedirs(os.path.dirname(path))
                self._writer.write(path, table, [[] for _ in columns_of(table)])
                sync(path)
                try:
                    # The table with its file: a folder without one ends a reader's query.
                    os.rename(aside, os.path.join(self.base, table))
                except OSError:
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    os.replace(path, target)
                    shutil.rmtree(aside, ignore_errors=True)

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with disk_errors(self.base):
            return self._marks.get(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        with disk_errors(self.base):
            self._marks.raise_to(owner, number)

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Take a number for the run; the tables show it with the first batch."""
        return self._runs.claim(run)

    def clear_claims(self, max_age: float) -> int:
        """Take back claims among the newest numbers whose process is gone."""
        count = 0
        with disk_errors(self.base):
            for state in list(self._runs.claims()):
                claim = state.kept["claimed"]
                old = time.time() - claim.get("wall", 0) / 1e9 > max_age
                if old and process_lives(claim) is False:
                    count += self.release(RunKey(state.kept["journal_id"]))
        return count

    def release(self, run: RunKey) -> bool:
        """Take a claimed number back."""
        return self._runs.release(run)

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read the run's ``position.json``, and bring the files it names to their places."""
        with disk_errors(self.base):
            state = self._runs.find(run)
            if state is None:
                return None
            state.finish_if_begun()
            if not state.is_shown():
                return None
            kept = state.kept
            if kept.get("flaw") is not None:
                return ViewPosition(kept["view_id"], Position(), -1, flaw=kept["flaw"])
            whole = _is_whole(state)
            if not whole and _revision(self._runs.find(run)) != _revision(state):
                return self.position(run)  # another replayer moved them meanwhile
            if kept.get("untold") and not _is_told(kept):
                self._tell(state)  # who held that back is gone
            self._weigh(state)
            return ViewPosition(
                kept["view_id"],
                Position.from_wire(kept.get("position")),
                int(kept.get("projector", 0)) if whole else -1,
                str(kept.get("order", "arrival")),
                points=dict(kept["counts"]),
                claimed=bool(kept.get("claimed")),
                spool=int(kept.get("spool", 0)),
            )

    def _tell(self, state: RunState) -> None:
        """Write the run's row, which waited."""
        with state.turn():
            before = copy.deepcopy(state.kept)
            try:
                self._put_run(state)
            except BaseException:
                state.drop()
                state.kept = before
                raise
            state.commit(before)

    def _weigh(self, state: RunState) -> None:
        sizes: dict[str, list[int]] = state.kept.get("sizes") or {}
        weight = sum(
            dead + (size - dead) * (table in SERIES) for table, (size, dead) in sizes.items()
        )
        self.weight = min(weight, _HEAVIEST)

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write new files, then ``position.json`` that names them, then give them their names."""
        with disk_errors(self.base):
            state = self._runs.known.get(batch.run.journal_id)
            if state is None:
                raise ViewMovedError("the run is not in the view any more")
            before = copy.deepcopy(state.kept)
            with state.turn():
                try:
                    self._put(state, batch)
                except BaseException:
                    state.drop()
                    state.kept = before
                    raise
                state.commit(before)
            self._weigh(state)

    def _put(self, state: RunState, batch: Batch) -> None:
        kept = state.kept
        fields: dict[str, Any] = {}
        removed: tuple[str, ...] = ()
        points: list[PointsAdded] = []
        output: OutputChanged | None = None
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                fields, removed = change.fields, change.removed
            elif isinstance(change, OutputChanged):
                output = change
            else:
                points.append(change)
        if not kept.get("folder"):
            name = (fields.get("experiment") or {}).get("name")
            kept["folder"] = partition(name and plain_text(str(name)), kept["view_id"])
        add_points(state, self._writer, points)
        if output is not None:
            change_output(state, self._writer, output)
        total = sum(kept["counts"].values())
        if kept.get("anew") is not None and (batch.complete or total >= kept["anew"]):
            publish(state, self._writer)
        self._put_files(state, fields)
        facts = {**kept["facts"], **_facts(fields)}
        for name in removed:
            facts.pop(_FACTS.get(name, ""), None)
        if self._folder is not None:
            facts["path"] = self._folder
        facts["points"] = total if kept["anew"] is None else kept["anew"]
        before, kept["facts"] = kept["facts"], facts
        moved = {name for name in {*facts, *before} if facts.get(name) != before.get(name)}
        kept["untold"] = bool(moved or kept.get("untold"))
        points_told = (kept.get("told") or (0.0, 0))[1]
        if not kept.get("shown") or (
            kept["untold"]
            and (
                batch.complete
                or not moved <= {"points", "beat"}
                or points_told < facts["points"] >= 2 * points_told
                or not _is_told(kept)
            )
        ):
            self._put_run(state)
        kept.update(
            shown=True,
            claimed=False,
            position=batch.position.to_wire(),
            projector=batch.projector,
            order=batch.order,
            spool=batch.spool,
        )

    def _put_run(self, state: RunState) -> None:
        kept = state.kept
        self._put_rows(state, "runs", [_run_row(kept)])
        kept.update(untold=False, told=[time.time(), kept["facts"]["points"]])

    def _put_files(self, state: RunState, fields: dict[str, Any]) -> None:
        """Write the tables that are fields of the run, each whole."""
        rows: dict[str, list[tuple[Any, ...]]] = {}
        if "config" in fields:
            rows["config"] = [(key, *leaf_row(value)) for key, value in leaves(fields["config"])]
        if "host" in fields:
            rows["hosts"] = [(key, leaf_row(value)[1]) for key, value in leaves(fields["host"])]
        for name in ("artifacts", "resources"):
            if name in fields:
                rows[name] = [file_row(entry) for entry in fields[name]]
        if "experiment" in fields:
            entries = (fields["experiment"] or {}).get("sources") or ()
            rows["sources"] = [file_row(entry) for entry in entries]
        for table, found in rows.items():
            place = os.path.join(state.folder(table), part_name(0, 0))
            if found or os.path.lexists(state.path(place)):
                self._put_rows(state, table, found)

    def _put_rows(self, state: RunState, table: str, rows: list[tuple[Any, ...]]) -> None:
        columns = [list(column) for column in zip(*rows, strict=True)]
        place = os.path.join(state.folder(table), part_name(0, 0))
        with state.put(place) as path:
            self._writer.write(path, table, columns or [[] for _ in columns_of(table)])

    # -- files ---------------------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:  # noqa: ARG002
        """Store nothing: the tables name a file and its digest, the root's blobs have the content."""
        return entry.digest

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Begin anew, beside what readers find until as much is there again."""
        with disk_errors(self.base):
            state = self._runs.find(run)
            if state is None:
                return
            with state.turn():
                kept = state.kept
                before = copy.deepcopy(kept)
                shown = sum(kept["counts"].values()) if kept["anew"] is None else kept["anew"]
                keep = ("facts",)
                kept.update({k: v for k, v in cleared().items() if k not in keep})
                # The row is told again though nothing in it moved: its file may be what is damaged.
                kept.update(claimed=False, anew=shown, spool=0, untold=bool(kept["facts"]))
                kept.pop("flaw", None)
                for table in SERIES:
                    kept[table] = self._next_series(state, before.get(table), table)
                state.commit(before)
                self._clear(state)

    def _next_series(
        self, state: RunState, before: dict[str, Any] | None, table: str
    ) -> dict[str, Any] | None:
        """Return a series without parts, whose names nobody used."""
        if not state.kept.get("folder"):
            return None
        used = [generation for generation, _ in state.parts(table)]
        used += [before["generation"]] if before else []
        return {"generation": max(used, default=-1) + 1, "parts": 0}

    def _clear(self, state: RunState) -> None:
        """Remove what another attempt to write the run anew left, and what was emptied long ago."""
        for name in os.listdir(state.own):
            if name.startswith("anew-"):
                os.unlink(os.path.join(state.own, name))
        if not state.kept.get("folder"):
            return
        for table in SERIES:
            folder = state.path(state.folder(table))
            parts = state.parts(table)
            newest = max(parts, default=None)
            for part, name in parts.items():
                path = os.path.join(folder, name)
                old = time.time() - os.path.getmtime(path) > _RETIRED
                if part != newest and old and not has_rows(path):
                    os.unlink(path)
            if parts:
                fsync_folder(folder)

    def close(self) -> None:
        """Forget what was known."""
        self._runs.known.clear()
        self._writer.close()


def _sweep(folder: str) -> None:
    """Remove what kills left of files that belong to no run, once nobody can be writing them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(("new-", ".")):
                with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                    if time.time() - entry.stat().st_mtime <= _RETIRED:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)


def _revision(state: RunState | None) -> Any:
    return state.kept.get("revision") if state is not None else None


def _is_told(kept: dict[str, Any]) -> bool:
    """Tell whether a run's row is too young to be written for numbers alone."""
    when, _ = kept.get("told") or (0.0, 0)
    return bool(0 <= time.time() - when < _TOLD)


def _is_whole(state: RunState) -> bool:
    """Tell whether the files are there that the position names, up to their ends.

    Somebody may have removed some, or copied them in part: every query would end in an error.
    """
    for table in SERIES:
        series = state.kept.get(table) or {"parts": 0}
        for number in range(series["parts"]):
            if not is_parquet(state.path(place_of(state, table, number))):
                return False
    if not state.kept.get("folder"):
        return True
    others = [os.path.join(state.folder(t), part_name(0, 0)) for t in TABLES if t not in SERIES]
    return all(is_parquet(path) for path in map(state.path, others) if os.path.exists(path))


#: Fields of a run's document and what they are among the facts kept for its row.
_FACTS = {
    "command": "command",
    "status": "status",
    "start_time": "start",
    "stop_time": "stop",
    "heartbeat": "beat",
    "result": "result",
}


def _facts(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what of some fields is in the run's row."""
    found: dict[str, Any] = {}
    for field, name in _FACTS.items():
        if field in fields:
            value = fields[field]
            found[name] = _micros(value) if isinstance(value, dt.datetime) else value
    if "result" in found:
        found["number"] = exact_number(found["result"])[0]
        result = found["result"]
        found["result"] = None if result is None else to_json(result)
    if "experiment" in fields:
        found["name"] = (fields["experiment"] or {}).get("name")
    if "host" in fields:
        found["host"] = (fields["host"] or {}).get("hostname")
    return found


def _run_row(kept: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of a run, as relation ``runs`` has it, without the run."""
    facts = kept["facts"]
    start = None if facts.get("status") == "QUEUED" else facts.get("start")
    stop = facts.get("stop")
    end = stop if stop is not None else facts.get("beat")
    duration = None if start is None or end is None else max(0.0, (end - start) / 1e6)
    texts = [_text(facts.get(name)) for name in ("name", "command", "status")]
    return (
        kept.get("id") or str(kept["view_id"]),
        *texts,
        start,
        stop,
        duration,
        facts["points"],
        facts.get("result"),
        facts.get("number"),
        _text(facts.get("host")),
        kept["journal_id"],
        facts.get("path"),
        None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else plain_text(text_of(value))


def _micros(when: dt.datetime) -> int:
    return (when - _EPOCH) // dt.timedelta(microseconds=1)
